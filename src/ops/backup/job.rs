//! One source to back up.

use std::time::Duration;

use crate::{model::Name, source::Source};

/// One source to back up.
pub struct Job {
    /// Its name.
    pub name: Name,
    /// What is read.
    pub source: Box<dyn Source>,
    /// Whether it is right that it gives nothing.
    pub allow_empty: bool,
    /// The group that it is of, where all of that is backed up.
    pub group: Option<Name>,
    /// It fails if it was not read to its end after this time.
    pub timeout: Option<Duration>,
}
