//! A limit on the time of something that waits: when it is over, what is waited for is stopped.

use std::{
    sync::mpsc::{self, RecvTimeoutError},
    thread::{self, JoinHandle},
    time::Duration,
};

use super::EngineError;

/// Watches over something until it is called off.
pub(super) struct Watchdog {
    limit: Duration,
    off: mpsc::Sender<()>,
    thread: JoinHandle<bool>,
}

impl Watchdog {
    /// Calls `stop` after `limit`, unless it is called off before.
    pub(super) fn start(limit: Duration, stop: impl FnOnce() + Send + 'static) -> Self {
        let (off, called_off) = mpsc::channel::<()>();
        let thread = thread::spawn(move || {
            let late = called_off.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
            if late {
                stop();
            }
            late
        });
        Self { limit, off, thread }
    }

    /// Calls it off. Where it was too late, what that did to `object` is the error.
    ///
    /// # Errors
    /// If it was stopped.
    pub(super) fn call_off(self, object: &str) -> Result<(), EngineError> {
        drop(self.off);
        if self.thread.join().unwrap_or(true) {
            let what = format!("was stopped: it had not ended after {:.1} s", self.limit.as_secs_f64());
            return Err(EngineError::new(what, object));
        }
        Ok(())
    }
}
