//! A reader that gives up at a time that was set. What a command left running may hold its output open for ever, and a read of
//! a pipe can't be called off.

use std::{
    io::{self, Read},
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    thread,
    time::{Duration, Instant},
};

/// How much is read at once, of which two parts wait at most.
const STEP: usize = 256 << 10;
/// How long after the command was stopped its output may take to end.
const GRACE: Duration = Duration::from_secs(1);

/// Reads in a thread of its own, which is left behind if it must be.
pub(super) struct Patient {
    parts: Receiver<io::Result<Vec<u8>>>,
    part: io::Cursor<Vec<u8>>,
    end: Instant,
    after: Duration,
}

impl Patient {
    /// Reads `inner` until `after` is over.
    pub(super) fn new(mut inner: impl Read + Send + 'static, after: Duration) -> Self {
        let (sender, parts) = sync_channel(2);
        thread::spawn(move || {
            loop {
                let mut part = vec![0; STEP];
                let read = inner.read(&mut part).map(|n| {
                    part.truncate(n);
                    part
                });
                let over = read.as_ref().map_or(true, Vec::is_empty);
                if sender.send(read).is_err() || over {
                    return;
                }
            }
        });
        let end = Instant::now() + after + GRACE;
        Self { parts, part: io::Cursor::default(), end, after }
    }
}

impl Read for Patient {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.part.read(buf)?;
        if n > 0 || buf.is_empty() {
            return Ok(n);
        }
        match self.parts.recv_timeout(self.end.saturating_duration_since(Instant::now())) {
            Ok(part) => self.part = io::Cursor::new(part?),
            // It ended before.
            Err(RecvTimeoutError::Disconnected) => return Ok(0),
            Err(RecvTimeoutError::Timeout) => {
                let what = format!(
                    "was stopped: it had not ended after {} s, and something that it left running holds its output",
                    self.after.as_secs_f64()
                );
                return Err(io::Error::new(io::ErrorKind::TimedOut, what));
            }
        }
        self.part.read(buf)
    }
}
