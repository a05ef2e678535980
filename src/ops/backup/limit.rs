//! A time limit for reading a source, whatever that waits for: a server that says nothing, a disk that does not answer, a
//! program that left another with its output in hand.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use super::{OpsError, POLL};
use crate::{
    model::{Cancel, Name},
    source::{self, SourceError},
};

/// Counts until the source was read.
pub(super) struct Limit {
    after: Duration,
    own: Cancel,
    fired: Arc<AtomicBool>,
    read: Arc<AtomicBool>,
    /// Dropped, it ends the thread.
    _off: mpsc::Sender<()>,
}

impl Limit {
    /// Begins to count. Whoever asks everybody to stop through `all` is heard as well.
    pub(super) fn start(after: Duration, all: &Cancel) -> Self {
        let (own, fired, read) = (Cancel::default(), Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let (off, called_off) = mpsc::channel::<()>();
        let (all, stop, late, over) = (all.clone(), own.clone(), Arc::clone(&fired), Arc::clone(&read));
        thread::spawn(move || {
            let began = Instant::now();
            while called_off.recv_timeout(POLL) == Err(RecvTimeoutError::Timeout) {
                if all.is_cancelled() {
                    return stop.cancel();
                }
                if began.elapsed() >= after && !over.load(Ordering::Acquire) {
                    late.store(true, Ordering::Release);
                    return stop.cancel();
                }
            }
        });
        Self { after, own, fired, read, _off: off }
    }

    /// What asks to stop when the time is up.
    pub(super) fn cancel(&self) -> Cancel {
        self.own.clone()
    }

    /// What is to be set once the source was read: what comes then takes as long as the store takes.
    pub(super) fn read(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.read)
    }

    /// What an error really means: that the time was up, if it was. What is left of the source is stopped then.
    pub(super) fn judge(&self, error: OpsError, name: &Name) -> OpsError {
        if !self.fired.load(Ordering::Acquire) {
            return error;
        }
        source::stop_children();
        let limit = self.after.as_secs_f64();
        let what = format!("was stopped: it was not read to its end after {limit} s, which is its `timeout`");
        SourceError::new(what, name.as_str()).into()
    }
}
