//! What the two threads of a source tell each other: the keeper, who receives, and the shipper, who puts into the vault.
//! Only the shipper changes the spool.

use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::{super::OpsError, covered::Moments};
use crate::{
    catalog::Tail,
    model::journal::Line,
    source::{journal::Shipped, postgres::journal::Identity},
};

/// How often it is looked whether both are to end, while one waits for the other.
const HEARD: Duration = Duration::from_millis(100);

/// Where the receiver is to begin, with a spool that holds nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seed {
    pub(super) timeline: u32,
    pub(super) start: u64,
    pub(super) size: u64,
}

#[derive(Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is sent by one and received by the other")]
pub(super) struct Notes {
    /// The server, as it was when it was asked last, where it is one of `PostgreSQL`.
    pub(super) server: Option<Identity>,
    /// When that was.
    pub(super) heard: Option<Instant>,
    /// The line of its log, where that has but one.
    pub(super) line: Option<Line>,
    /// Where its log ended when it was reached first.
    pub(super) target: Option<Shipped>,
    /// Whether it was tried to reach it.
    pub(super) tried: bool,
    /// From where on all comes from the receiver that runs: before that, another one may have received what is here.
    pub(super) sure_from: Option<u64>,
    /// The end of what was shipped.
    pub(super) tail: Option<Tail>,
    /// Whether a receiver runs.
    pub(super) receiving: bool,
    /// What the spool is to be made into once all of it is shipped.
    pub(super) seed: Option<Seed>,
    /// Whether nobody may receive now, since the spool is full.
    pub(super) paused: bool,
    /// Whether it is known what the vault has.
    pub(super) asked: bool,
    /// How far it was shipped.
    pub(super) shipped: Option<Shipped>,
    /// Bytes that wait in the spool.
    pub(super) unshipped: u64,
    /// Up to when the log is known to be whole.
    pub(super) moments: Moments,
    /// Whether the vault takes nothing.
    pub(super) away: bool,
}

/// See the top.
#[derive(Default)]
pub(super) struct Board {
    notes: Mutex<Notes>,
    changed: Condvar,
    stopped: Arc<AtomicBool>,
    failed: Mutex<Option<OpsError>>,
}

impl Board {
    pub(super) fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes whoever waits.
    pub(super) fn wake(&self) {
        self.changed.notify_all();
    }

    /// Waits for so long, or until somebody changed something.
    pub(super) fn wait(&self, longest: Duration) {
        let notes = self.notes();
        drop(self.changed.wait_timeout(notes, longest));
    }

    /// Waits until the other one has done something, for so long at most, and no longer once both are to end. Says whether it has.
    pub(super) fn wait_for(&self, longest: Duration, done: impl Fn(&Notes) -> bool) -> bool {
        let until = Instant::now() + longest;
        let mut notes = self.notes();
        while !done(&notes) && !self.is_stopped() && Instant::now() < until {
            // Who asks both to end holds no lock, and may not be heard.
            let waited = self.changed.wait_timeout(notes, HEARD);
            notes = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        done(&notes)
    }

    /// Asks both to end.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.wake();
    }

    /// Tells whether both were asked to end, to whoever waits for something else.
    pub(super) fn stopping(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stopped)
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// It can't go on.
    pub(super) fn fail(&self, error: OpsError) {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.stop();
    }

    /// Whether it can't go on.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Why it can't.
    pub(super) fn failure(&self) -> Option<OpsError> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn one_waits_for_the_other_and_not_for_what_never_comes() {
        let board = Arc::new(Board::default());
        let other = Arc::clone(&board);
        let shipper = thread::spawn(move || {
            other.notes().asked = true;
            other.wake();
        });
        assert!(board.wait_for(Duration::from_mins(1), |notes| notes.asked));
        shipper.join().unwrap();
        assert!(!board.wait_for(Duration::ZERO, |notes| notes.away), "it took too long");
        board.stop();
        assert!(!board.wait_for(Duration::from_mins(1), |notes| notes.away), "all is to end");
    }
}
