//! What a restore wants of the place that it writes to.

use std::io::Read;

use super::{
    super::{
        OpsError, Result,
        recover::{Layout, Replay},
    },
    Entry, Lost, Plan, RefReport,
};
use crate::{model::Finding, vault::reader::Sink};

/// Where an entry's bytes go.
pub enum Begun {
    /// A file that is there and may be what it should be.
    There(Box<dyn Read + Send>),
    /// A file that is written, of which a beginning may be there.
    File(Box<dyn Sink>),
    /// Nowhere: the place can't hold it, and tells so in the end.
    Skipped,
}

/// Where restored streams go. Implemented where files may be touched.
pub trait Target: Send {
    /// Checks that nothing is in the way and that there is room, and prepares. Called once, before any stream is
    /// fetched.
    ///
    /// # Errors
    /// If the plan can't be carried out here.
    fn prepare(&mut self, plan: &Plan) -> Result<()>;

    /// Whether everything is there already, and proved.
    fn is_whole(&self) -> bool {
        false
    }

    /// Whether something of an entry is there already.
    fn has(&self, _entry: &Entry) -> bool {
        false
    }

    /// Where the bytes of an entry go, which is a file.
    ///
    /// # Errors
    /// If it can't be made.
    fn begin(&mut self, entry: &Entry) -> Result<Begun>;

    /// The error of a file that was there and is not what it should be.
    fn differs(&self, entry: &Entry) -> OpsError;

    /// Makes an entry another name of the one at `first`, which is there. Tells whether that can be.
    ///
    /// # Errors
    /// If something is in the way.
    fn link(&mut self, _entry: &Entry, _first: &str) -> Result<bool> {
        Ok(false)
    }

    /// Called when all bytes of an entry were written and checked, and for links and directories: gives it its name.
    ///
    /// # Errors
    /// If it can't be finished.
    fn end(&mut self, entry: &Entry) -> Result<()>;

    /// Called after the last entry.
    ///
    /// # Errors
    /// If the whole can't be finished.
    fn finish(&mut self) -> Result<()>;

    /// What lays out a data directory for a recovery, where this is that.
    fn recovery(&mut self) -> Option<&mut dyn Layout> {
        None
    }

    /// What lays out a dump and the log behind it for a recovery, where this is that.
    fn replay(&mut self) -> Option<&mut dyn Replay> {
        None
    }

    /// Called before [`prepare`](Self::prepare) where of a repository only this is wanted.
    fn want(&mut self, _reference: &str) {}

    /// What that was, once all is finished.
    fn reference(&mut self) -> Option<RefReport> {
        None
    }

    /// Called where an entry that was begun can't be had whole.
    fn give_up(&mut self, entry: &Entry);

    /// Called where nothing at all could be had.
    fn nothing(&mut self) {}

    /// As [`finish`](Self::finish), where what is damaged is to be left out: tells what that is.
    ///
    /// # Errors
    /// If the whole can't be finished.
    fn salvage(&mut self) -> Result<Vec<Lost>> {
        self.finish().map(|()| Vec::new())
    }

    /// Why the last write failed, if it did: a full disk should not look like a damaged vault.
    fn failure(&mut self) -> Option<OpsError>;

    /// What the place could not keep of what it was given.
    fn told(&self) -> Vec<Finding> {
        Vec::new()
    }
}
