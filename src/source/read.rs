//! What the sources share: a reader that remembers what passed through it, and a list of warnings that stays short.

use std::{
    io::{self, Read},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use super::{Result, SourceError};

/// What passed through a [`Watched`] reader; the reading keeps it when the pipeline has the reader.
#[derive(Default)]
pub(super) struct Seen {
    bytes: AtomicU64,
    ended: AtomicBool,
    tail: Mutex<Vec<u8>>,
}

impl Seen {
    /// How many bytes were read so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }

    /// The last bytes, at most as many as the reader was told to keep.
    pub(super) fn tail(&self) -> Vec<u8> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Fails unless the reader told its end: a stream that was given up halfway is no backup (G7).
    pub(super) fn must_have_ended(&self, object: &str) -> Result<()> {
        if self.ended.load(Ordering::Acquire) {
            return Ok(());
        }
        Err(SourceError::new(format!("was given up after {} bytes, before its end", self.bytes()), object))
    }
}

/// A reader that counts, keeps the last bytes, notes the end and names itself in its errors.
pub(super) struct Watched<R> {
    inner: R,
    object: String,
    keep: usize,
    seen: Arc<Seen>,
}

impl<R: Read> Watched<R> {
    /// Watches `inner`, called `object` in errors, and keeps its last `keep` bytes.
    pub(super) fn new(inner: R, object: impl Into<String>, keep: usize) -> (Self, Arc<Seen>) {
        let seen = Arc::new(Seen::default());
        (Self { inner, object: object.into(), keep, seen: Arc::clone(&seen) }, seen)
    }
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = match self.inner.read(buf) {
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return Err(e),
            Err(e) => return Err(io::Error::new(e.kind(), format!("{}: {e}", self.object))),
        };
        if n == 0 && !buf.is_empty() {
            self.seen.ended.store(true, Ordering::Release);
        }
        self.seen.bytes.fetch_add(u64::try_from(n).unwrap_or(u64::MAX), Ordering::AcqRel);
        if self.keep > 0 && n > 0 {
            let mut tail = self.seen.tail.lock().unwrap_or_else(PoisonError::into_inner);
            push_tail(&mut tail, buf.get(..n).unwrap_or_default(), self.keep);
        }
        Ok(n)
    }
}

/// Appends `new` to `tail` and keeps the last `keep` bytes of both.
pub(super) fn push_tail(tail: &mut Vec<u8>, new: &[u8], keep: usize) {
    let new = new.get(new.len().saturating_sub(keep)..).unwrap_or_default();
    let over = (tail.len() + new.len()).saturating_sub(keep);
    tail.drain(..over.min(tail.len()));
    tail.extend_from_slice(new);
}

/// Warnings, of which only the first few are kept: a header holds them, and nobody reads a thousand.
#[derive(Default)]
pub(super) struct Warnings {
    kept: Vec<String>,
    more: u64,
}

impl Warnings {
    const KEEP: usize = 20;

    /// Adds a warning.
    pub(super) fn push(&mut self, text: String) {
        if self.kept.len() < Self::KEEP {
            self.kept.push(text);
        } else {
            self.more += 1;
        }
    }

    /// The warnings, the last of which counts those that were left out.
    pub(super) fn into_vec(mut self) -> Vec<String> {
        if self.more > 0 {
            self.kept.push(format!("and {} more warnings of this kind", self.more));
        }
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watched_reader_counts_and_keeps_the_last_bytes() {
        let (mut reader, seen) = Watched::new(&b"one two three"[..], "it", 5);
        assert!(seen.must_have_ended("it").is_err());
        let mut two = [0; 2];
        while reader.read(&mut two).unwrap() > 0 {}
        assert_eq!((seen.bytes(), seen.tail().as_slice()), (13, &b"three"[..]));
        assert!(seen.must_have_ended("it").is_ok());
    }

    #[test]
    fn a_tail_never_exceeds_its_limit() {
        let mut tail = Vec::new();
        for text in ["abc", "", "defgh", "a much longer text than the limit"] {
            push_tail(&mut tail, text.as_bytes(), 4);
            assert!(tail.len() <= 4);
        }
        assert_eq!(tail, b"imit");
    }

    #[test]
    fn many_warnings_become_a_number() {
        let mut warnings = Warnings::default();
        for i in 0..30 {
            warnings.push(format!("{i}"));
        }
        let all = warnings.into_vec();
        assert_eq!(all.len(), 21);
        assert!(all.last().unwrap().contains("10 more"));
    }
}
