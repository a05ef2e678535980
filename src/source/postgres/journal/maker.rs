//! Segments that are made before the receiver wants them.
//!
//! `pg_receivewal` writes each segment full of zeros, and syncs that, before it takes the first byte of the log: twice the
//! writes and twice the waiting. One that it finds in its full length, under the name that it is about to write to, it takes
//! as it is. So these are made here, beside it, without a byte that has to be written: the file system gives the room, and
//! says that it reads as zeros.
//!
//! A receiver that starts goes on at the newest file, so none of these may be there until it has: until it has completed a
//! segment, by which alone that shows. While it runs they are told from the segment that grows by their place alone: see
//! [`Spool::segments`].

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{super::super::Result, spool::Spool};

/// So many are made in advance at most, and so many bytes: more than a receiver fills between two looks.
const AHEAD: u64 = 8;
const TOGETHER: u64 = AHEAD * (16 << 20);
/// How often it is looked for more while segments become complete.
const BUSY: Duration = Duration::from_millis(10);
/// The same while none do.
const QUIET: Duration = Duration::from_millis(100);
/// A server that fills a segment in less than this is busy, and any other has one made in advance.
const SOON: Duration = Duration::from_secs(1);

/// Makes segments until it is dropped, and then removes those that nobody wanted. To be made before a receiver starts, and
/// dropped when that has ended.
pub struct Maker {
    spool: Spool,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Maker {
    /// Makes segments of `size` in `spool`, in which there are to be files for no more than `most` bytes, once the receiver
    /// that is about to start has completed one.
    ///
    /// # Errors
    /// If the spool can't be listed.
    pub fn start(spool: Spool, size: u64, most: u64) -> Result<Self> {
        let (over, first) = (Arc::new(AtomicBool::new(false)), spool.next(size)?);
        let (until, of) = (Arc::clone(&over), spool.clone());
        let work = move || make(&of, first, (size, most), &until);
        let made = thread::Builder::new().name("segments".to_owned()).spawn(work);
        // Without it the receiver makes them itself.
        Ok(Self { spool, over, thread: made.ok() })
    }
}

impl Drop for Maker {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
        // Where that fails, it fails again before the next receiver starts, which is then told.
        let _ = self.spool.unmake(..);
    }
}

/// What is wrong here is left to the receiver, which then makes its segments itself and tells what it finds.
fn make(spool: &Spool, first: Option<(u32, u64)>, (size, most): (u64, u64), over: &AtomicBool) {
    let mut at = first;
    let (mut moved, mut ahead) = (Instant::now(), 0);
    while !over.load(Ordering::Acquire) {
        let Ok(next) = spool.next(size) else { return };
        if next != at {
            let went_on = next.zip(at).is_some_and(|((now, _), (before, _))| now > before);
            // The receiver never comes back to a timeline that it has left.
            if went_on && spool.unmake(..next.map_or(0, |(timeline, _)| timeline)).is_err() {
                return;
            }
            ahead = if ahead > 0 && moved.elapsed() < SOON { (TOGETHER / size).min(AHEAD) } else { 1 };
            (at, moved) = (next, Instant::now());
        }
        if let Some(next) = next.filter(|_| size <= TOGETHER)
            && fill(spool, next, (size, most), ahead).is_err()
        {
            return;
        }
        thread::park_timeout(if moved.elapsed() < SOON { BUSY } else { QUIET });
    }
}

fn fill(spool: &Spool, (timeline, next): (u32, u64), (size, most): (u64, u64), ahead: u64) -> Result<()> {
    for start in (0..ahead).map(|n| next + n * size) {
        if spool.files()? * size >= most || !spool.make(timeline, start, size)? {
            return Ok(());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
