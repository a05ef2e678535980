//! So many bytes per second and no more, on the average of a few seconds.

use std::time::Duration;

use tokio::{sync::Mutex, time::Instant};

/// A limit on bytes per second; without one nobody waits.
pub(super) struct Limit {
    rate: Option<u64>,
    /// When what was let through so far is paid for.
    paid: Mutex<Option<Instant>>,
}

impl Limit {
    /// So many bytes per second. None at all would be no copy, so it is one byte at least.
    pub(super) fn new(rate: Option<u64>) -> Self {
        Self { rate: rate.map(|rate| rate.max(1)), paid: Mutex::new(None) }
    }

    /// Waits until `bytes` more may pass. They are paid for beforehand, so that what is under way never exceeds the limit.
    pub(super) async fn pass(&self, bytes: u64) {
        let Some(rate) = self.rate else { return };
        let millis = bytes.saturating_mul(1000) / rate;
        let due = {
            let mut paid = self.paid.lock().await;
            let from = paid.unwrap_or_else(Instant::now).max(Instant::now());
            *paid.insert(from + Duration::from_millis(millis))
        };
        tokio::time::sleep_until(due).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_passes_takes_its_time() {
        let limit = Limit::new(Some(10_000));
        let start = Instant::now();
        futures::future::join_all([limit.pass(500), limit.pass(1500), limit.pass(1000)]).await;
        assert!(start.elapsed() >= Duration::from_millis(300), "{:?}", start.elapsed());
        Limit::new(None).pass(u64::MAX).await;
        assert!(start.elapsed() < Duration::from_mins(1));
    }
}
