//! What a backup reads: bytes and facts in. A source never writes to what it reads.

pub(crate) mod cell;
pub(crate) mod child;
pub mod command;
mod complete;
mod crc;
mod deadline;
pub mod files;
pub mod git;
pub mod journal;
pub mod look;
pub mod mariadb;
pub mod pattern;
pub mod pipe;
pub mod postgres;
mod read;
pub mod receiver;
pub mod redact;
pub mod scratch;
pub mod spool;
pub mod sqlite;
pub mod stdin;

use crate::model::SourceKind;

pub use crate::{
    model::FileMeta,
    vault::input::{Before, Facts, Incoming, Members, Reading, Result, SourceError},
};
pub use command::{CommandOptions, CommandSource};
pub use files::PathSource;
pub use git::GitSource;
pub use look::Look;
pub use mariadb::MariadbSource;
pub use pipe::LargeSteps;
pub use postgres::PostgresSource;
pub use sqlite::SqliteSource;
pub use stdin::StdinSource;

/// Stops every child of this process: what a source that was given up has left.
pub(crate) fn stop_children() {
    child::stop_all();
}

/// Ends what threads that are left behind can't end: every child of this process, and every scratch directory. For its end,
/// whatever brings that about.
pub fn leave_nothing() {
    child::stop_all();
    scratch::remove_all();
}

/// Something that can be backed up. Opened once per run, on a thread of its own; everything here blocks.
pub trait Source: Send {
    /// What kind of source it is.
    fn kind(&self) -> SourceKind;

    /// Checks what can be checked and begins to read.
    ///
    /// # Errors
    /// If the source is not there, is not what it should be, or can't be read.
    fn open(&mut self) -> Result<Box<dyn Reading>>;

    /// As [`open`](Self::open), for a source that can lean on what its last run left.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    fn open_after(&mut self, before: Option<Before>) -> Result<Box<dyn Reading>> {
        drop(before);
        self.open()
    }

    /// Leaves out the directory `dir`, the vault, if it comes upon it: a vault that holds itself would double with each run.
    fn avoid(&mut self, dir: &std::path::Path) {
        let _ = dir;
    }

    /// Looks whether a backup could read it now, by the means of a backup: programs, connections, rights, what would be left
    /// out. Nothing is written but below the temporary directory. A source that can't be looked at finds nothing.
    fn look(&mut self) -> Look {
        Look::default()
    }
}
