//! How many small calls to have under way at once, by how long the store takes to answer one.

use std::{
    future::Future,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// The fewest at once, and what stores are asked with that are not measured.
pub const FEWEST: usize = 16;
/// The most: each has a connection of its own.
pub const MOST: usize = 64;
/// Calls per second that are aimed at. S3 answers 5,500 reads per second and prefix before it says 503
/// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html>), and there are other writers.
const RATE: u128 = 800;

/// The shortest time that any call took. An average would grow with the calls that wait for one another, and ask for more.
#[derive(Debug)]
pub(super) struct Concurrency(AtomicU64);

impl Default for Concurrency {
    fn default() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }
}

impl Concurrency {
    /// Waits for the answer to a call, and notes how long it took.
    pub(super) async fn of<T>(&self, call: impl Future<Output = T>) -> T {
        let start = Instant::now();
        let answer = call.await;
        self.note(start.elapsed());
        answer
    }

    fn note(&self, took: Duration) {
        self.0.fetch_min(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How many calls to have under way at once.
    pub(super) fn at_once(&self) -> usize {
        match self.0.load(Ordering::Relaxed) {
            u64::MAX => FEWEST,
            micros => {
                let calls = u128::from(micros) * RATE / 1_000_000;
                usize::try_from(calls).unwrap_or(MOST).clamp(FEWEST, MOST)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_far_away_is_asked_more_at_once() {
        let concurrency = Concurrency::default();
        assert_eq!(concurrency.at_once(), FEWEST, "nothing is known yet");
        for (took, calls) in [(3_000, MOST), (200, MOST), (50, 40), (30, 24), (70, 24), (20, FEWEST), (1, FEWEST)] {
            concurrency.note(Duration::from_millis(took));
            assert_eq!(concurrency.at_once(), calls, "{took} ms");
        }
    }
}
