//! What a recovery wants of the place that it is laid out in.

use super::super::Result;
use crate::{model::Name, source::postgres::Base};

/// How a server is to start.
#[derive(Debug, Clone)]
pub struct Ending {
    /// What it goes on from.
    pub base: Base,
    /// Its settings, in this order. None where it is not to recover to a point: then it goes on from the base.
    pub settings: Vec<(&'static str, String)>,
    /// Tablespaces that its log makes: their numbers, and where. Where they are stands in the log, and can't be mapped.
    pub later: Vec<(u32, String)>,
}

/// A data directory that is made ready for a recovery. Implemented where files may be touched.
pub trait Layout: Send {
    /// Makes ready for what comes of `source`.
    ///
    /// # Errors
    /// If something is in the way.
    fn open(&mut self, source: &Name) -> Result<()>;

    /// Puts bytes of a file of the log where they belong in it.
    ///
    /// # Errors
    /// If they can't be written.
    fn log(&mut self, file: &str, at: u64, bytes: &[u8]) -> Result<()>;

    /// Forgets all of the log.
    ///
    /// # Errors
    /// If it can't be removed.
    fn forget(&mut self) -> Result<()>;

    /// How the server is to start; written when all else is there.
    fn settle(&mut self, ending: Ending);
}
