//! A store that is given no more than so many bytes a second, on average: objects are put whole, so what is spaced is when
//! each begins.

use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;

use super::{Enforcement, Entry, Head, ObjectStore, Payload, Put, Result, Sidecars, Traits, Version, VersionEntry};
use crate::model::{Cancel, Key, Lock, Time};

/// Limits the puts on the store within.
pub struct Limited {
    store: Arc<dyn ObjectStore>,
    /// Bytes a second.
    rate: u64,
    /// When the next put may begin.
    next: Mutex<Option<Instant>>,
    cancel: Cancel,
}

/// How often a wait looks whether somebody asked to stop.
const POLL: Duration = Duration::from_millis(100);

impl Limited {
    /// Lets `rate` bytes a second through, and at least one, until somebody asks to stop.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>, rate: u64, cancel: Cancel) -> Self {
        Self { store, rate: rate.max(1), next: Mutex::new(None), cancel }
    }

    /// Takes the time that `bytes` need, and says how long to wait for its beginning.
    fn reserve(&self, bytes: u64, now: Instant) -> Duration {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = next.filter(|next| *next > now).unwrap_or(now);
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.rate);
        // A day for one object is long enough for whoever mistyped a rate.
        let takes = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).min(Duration::from_hours(24));
        *next = Some(begin + takes);
        begin.saturating_duration_since(now)
    }
}

#[async_trait]
impl ObjectStore for Limited {
    fn url(&self) -> String {
        self.store.url()
    }

    fn traits(&self) -> Traits {
        self.store.traits()
    }

    fn at_once(&self) -> usize {
        self.store.at_once()
    }

    async fn put_new(&self, key: &Key, payload: &Payload, lock: Option<Lock>) -> Result<Put> {
        let until = Instant::now() + self.reserve(payload.bytes().len() as u64, Instant::now());
        // Where somebody asked to stop, nobody waits for the line any more.
        while !self.cancel.is_cancelled() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            tokio::time::sleep(left.min(POLL)).await;
        }
        self.store.put_new(key, payload, lock).await
    }

    async fn get(&self, key: &Key, version: Option<&Version>, range: Option<Range<u64>>) -> Result<Bytes> {
        self.store.get(key, version, range).await
    }

    async fn head(&self, key: &Key, version: Option<&Version>) -> Result<Head> {
        self.store.head(key, version).await
    }

    async fn list(&self, prefix: &str, each: &mut (dyn FnMut(Entry) + Send)) -> Result<()> {
        self.store.list(prefix, each).await
    }

    async fn list_versions(&self, prefix: &str, each: &mut (dyn FnMut(VersionEntry) + Send)) -> Result<()> {
        self.store.list_versions(prefix, each).await
    }

    async fn list_lost(&self, each: &mut (dyn FnMut(String, Option<Lock>) + Send)) -> Result<()> {
        self.store.list_lost(each).await
    }

    async fn lock_of(&self, key: &Key, version: Option<&Version>) -> Result<Option<Lock>> {
        self.store.lock_of(key, version).await
    }

    async fn enforcement(&self) -> Result<Enforcement> {
        self.store.enforcement().await
    }

    async fn extend_lock(&self, key: &Key, version: Option<&Version>, lock: Lock) -> Result<Lock> {
        self.store.extend_lock(key, version, lock).await
    }

    async fn server_time(&self) -> Result<Time> {
        self.store.server_time().await
    }

    fn sidecars(&self) -> Option<&dyn Sidecars> {
        self.store.sidecars()
    }

    fn without_links(&self) -> bool {
        self.store.without_links()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::Clock, store::memory::MemoryStore};

    struct Still;

    impl Clock for Still {
        fn now(&self) -> Time {
            Time::from_unix(0)
        }
    }

    #[test]
    fn bytes_are_spaced_as_the_rate_says() {
        let limited = Limited::new(Arc::new(MemoryStore::new(Arc::new(Still))), 1000, Cancel::default());
        let now = Instant::now();
        assert_eq!(limited.reserve(500, now), Duration::ZERO, "the first waits for nothing");
        assert_eq!(limited.reserve(2000, now), Duration::from_millis(500));
        assert_eq!(limited.reserve(1, now), Duration::from_millis(2500));
        // What was not used is not saved up.
        let later = now + Duration::from_mins(1);
        assert_eq!(limited.reserve(1000, later), Duration::ZERO);
        assert_eq!(limited.reserve(1000, later), Duration::from_secs(1));
    }
}
