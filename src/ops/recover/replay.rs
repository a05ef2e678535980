//! What a recovery of a `MariaDB` server wants of the place that it is laid out in.

use super::super::Result;
use crate::model::Name;

/// Where the log goes, beside the dump.
pub const LOG: &str = "binlog";

/// What is to be said beside the dump and the log.
#[derive(Debug, Clone)]
pub struct Guide {
    /// To where it comes back, for people.
    pub point: String,
    /// Where the dump is in the log, and where the log is cut.
    pub from: String,
    /// See there.
    pub until: String,
    /// The one database that was dumped, if it was one.
    pub database: Option<String>,
    /// What one packet must hold to load the dump, in bytes, if that is more than the default.
    pub packet: Option<u64>,
}

/// A directory that holds a dump and the log behind it. Implemented where files may be touched.
pub trait Replay: Send {
    /// Makes ready for what comes of `source`.
    ///
    /// # Errors
    /// If something is in the way.
    fn open(&mut self, source: &Name) -> Result<()>;

    /// Puts bytes behind what is there of a file of the log.
    ///
    /// # Errors
    /// If they can't be written.
    fn log(&mut self, file: &str, bytes: &[u8]) -> Result<()>;

    /// Keeps of the log what comes up to this file, and of that so many bytes; nothing at all, if no file is given.
    ///
    /// # Errors
    /// If it can't be cut.
    fn cut(&mut self, end: Option<(&str, u64)>) -> Result<()>;

    /// What is written beside it when all else is there.
    fn guide(&mut self, guide: Guide);
}
