//! What tests of stores share: a clock that is set by hand, keys and payloads.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use strongroom::{
    codec::seal::Sealer,
    model::{Clock, Key, Span, Time},
    store::{Entry, ObjectStore, Payload, VersionEntry},
};

/// Somebody whose identity no test needs.
const RECIPIENT: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

/// A clock that stands still until it is moved.
pub struct HandClock(AtomicI64);

impl HandClock {
    /// A clock that stands at 2026-11-22T21:51:00Z.
    pub fn new() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(1_795_384_260)))
    }

    /// A clock that stands there.
    #[allow(dead_code, reason = "not every test file needs it")]
    pub fn at(time: Time) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(time.unix())))
    }

    /// Moves it forward.
    pub fn pass(&self, span: Span) {
        self.0.fetch_add(i64::try_from(span.as_seconds()).unwrap(), Ordering::SeqCst);
    }
}

impl HandClock {
    /// Moves it back, as a correction does.
    #[allow(dead_code, reason = "not every test file needs it")]
    pub fn step_back(&self, span: Span) {
        self.0.fetch_sub(i64::try_from(span.as_seconds()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Time {
        Time::from_unix(self.0.load(Ordering::SeqCst))
    }
}

/// The key spelled `text`.
pub fn key(text: &str) -> Key {
    text.parse().unwrap()
}

/// `plain`, sealed. Sealing the same bytes again gives other bytes.
pub fn sealed(plain: &[u8]) -> Payload {
    let sealer = Sealer::new(vec![RECIPIENT.parse().unwrap()]);
    Payload::Sealed(sealer.seal(plain).unwrap())
}

/// Everything that a listing gives.
pub async fn listed(store: &dyn ObjectStore, prefix: &str) -> Vec<Entry> {
    let mut all = Vec::new();
    store.list(prefix, &mut |entry| all.push(entry)).await.unwrap();
    all
}

/// The keys that a listing gives.
pub async fn keys(store: &dyn ObjectStore, prefix: &str) -> Vec<String> {
    listed(store, prefix).await.into_iter().map(|entry| entry.key).collect()
}

/// Everything that a listing of versions gives.
pub async fn versions(store: &dyn ObjectStore, prefix: &str) -> Vec<VersionEntry> {
    let mut all = Vec::new();
    store.list_versions(prefix, &mut |entry| all.push(entry)).await.unwrap();
    all
}
