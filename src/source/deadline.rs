//! A time limit for a source, which holds against whatever it waits for.

use std::{
    io::{self, Read},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use super::{
    SourceError,
    child::{self, Alive},
};

/// How often children are stopped once the time is up: what is being read may start more of them.
const AGAIN: Duration = Duration::from_millis(50);

/// Stops one child when the time is up, unless what is given back is dropped before.
pub(super) fn stop_after(child: Alive, after: Duration) -> mpsc::Sender<()> {
    let (off, called_off) = mpsc::channel();
    thread::spawn(move || {
        if called_off.recv_timeout(after) == Err(RecvTimeoutError::Timeout) {
            child.stop();
        }
    });
    off
}

/// A thread that stops all children of this process when the time is up, and those that are started after. One source is read
/// at a time, so they are all its own.
pub(super) struct Deadline {
    after: Duration,
    fired: Arc<AtomicBool>,
    /// Dropping it calls the thread off.
    _off: mpsc::Sender<()>,
}

impl Deadline {
    /// Begins to count.
    pub(super) fn start(after: Duration) -> Self {
        let (off, called_off) = mpsc::channel();
        let fired = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&fired);
        thread::spawn(move || {
            let mut wait = after;
            while called_off.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                flag.store(true, Ordering::Release);
                child::stop_all();
                wait = AGAIN;
            }
        });
        Self { after, fired, _off: off }
    }

    /// What an error really means: that the time was up, if it was.
    pub(super) fn judge(&self, error: SourceError) -> SourceError {
        if !self.fired.load(Ordering::Acquire) {
            return error;
        }
        let limit = self.after.as_secs_f64();
        SourceError::new(format!("was stopped: it had not ended after {limit} s, which is its `timeout`"), error.object)
    }

    /// Fails if the time is up.
    pub(super) fn check(&self, object: &str) -> Result<(), SourceError> {
        if !self.fired.load(Ordering::Acquire) {
            return Ok(());
        }
        Err(self.judge(SourceError::new("", object)))
    }

    /// A reader that fails once the time is up.
    pub(super) fn limit<R: Read>(&self, inner: R) -> Limited<R> {
        Limited { inner, fired: Arc::clone(&self.fired) }
    }
}

/// See [`Deadline::limit`].
pub(super) struct Limited<R> {
    inner: R,
    fired: Arc<AtomicBool>,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf);
        if self.fired.load(Ordering::Acquire) {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "was stopped: the source's `timeout` is over"));
        }
        n
    }
}
