//! A segment that is asked for once more, to be held against what came of it before.
//!
//! What ended with a segment is never sent again by itself: the receiver goes on with the next. A server that was rolled back may
//! have written another one in its place whose records are as long, and then nothing in the next tells. It is received through no
//! slot, so that nothing there is moved back, and into a directory of its own, since what is here may be all that is left of it.

use std::{
    fs,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use super::{
    super::super::{Result, SourceError},
    follow::is_log,
    receiver::receive_again,
    server::{Identity, Server},
    spool::{Held, Spool},
};
use crate::model::Hash;

/// What its directory is called. A receiver passes over such names.
const AGAIN: &str = "again";
/// So long it may take: nothing is received meanwhile, and the slot holds the log.
const LONGEST: Duration = Duration::from_mins(2);
/// How often it is looked whether it is there.
const POLL: Duration = Duration::from_millis(20);

/// A segment that came once more. Its directory goes with it.
pub struct Again {
    spool: Spool,
    held: Held,
    size: u64,
}

/// A directory that is removed with it.
struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        // What is left is removed before the next.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Again {
    /// Asks `server` for the segment of `timeline` that begins at `start`, and waits for it until it is `over`. Says why it did not
    /// come if it did not.
    ///
    /// # Errors
    /// If the program is not there, or nothing can be written beside `near`.
    pub fn receive(
        server: &Server,
        identity: &Identity,
        near: &Spool,
        (timeline, start): (u32, u64),
        over: &dyn Fn() -> bool,
    ) -> Result<std::result::Result<Self, String>> {
        let (size, dir) = (identity.segment, near.dir().join(AGAIN));
        if dir.exists() {
            fs::remove_dir_all(&dir).map_err(|e| SourceError::at("can't empty a directory of the spool", &dir, e))?;
        }
        let spool = Spool::open(dir.clone())?;
        let place = Place(dir);
        spool.seed(timeline, start, size)?;
        let mut receiver = receive_again(server, identity, spool.dir(), start + size)?;
        let until = Instant::now() + LONGEST;
        let whole = || -> Result<Option<Held>> {
            let all = spool.segments(size)?;
            Ok(all.into_iter().find(|held| (held.timeline, held.start, held.partial) == (timeline, start, false)))
        };
        loop {
            let ended = receiver.ended();
            if let Some(held) = whole()? {
                std::mem::forget(place);
                return Ok(Ok(Self { spool, held, size }));
            }
            if let Some(said) = ended {
                return Ok(Err(said));
            }
            if over() || Instant::now() > until {
                return Ok(Err("it did not come in time".to_owned()));
            }
            thread::sleep(POLL);
        }
    }

    /// Whether its stretch from `from` to its end has this hash.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn ends_as(&self, from: u64, hash: &Hash) -> Result<bool> {
        Ok(self.spool.hash(&self.held, from, self.held.start + self.size)?.as_ref() == Some(hash))
    }

    /// Whether it is the same as that one, which is of the same place; nothing if that can't be read, or is no log.
    ///
    /// # Errors
    /// If it can't be read itself.
    pub fn is_same(&self, near: &Spool, held: &Held) -> Result<Option<bool>> {
        let end = held.start + self.size;
        let Some(hash) = near.hash(held, held.start, end)? else { return Ok(None) };
        if self.ends_as(held.start, &hash)? {
            return Ok(Some(true));
        }
        Ok(is_log(near, held, self.size)?.then_some(false))
    }
}

impl Drop for Again {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.spool.dir());
    }
}
