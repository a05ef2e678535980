//! A store that counts what is asked of it, for what a verification cost.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;

use super::{Enforcement, Entry, Head, ObjectStore, Payload, Put, Result, Sidecars, Traits, Version, VersionEntry};
use crate::model::{Key, Lock, Time};

/// How many entries a bucket lists per call.
const PAGE: u64 = 1000;

/// What was asked of a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Calls {
    /// Objects or parts of them that were read.
    pub get: u64,
    /// Locks, sizes and times that were asked for.
    pub head: u64,
    /// Pages of listings, at 1000 entries each.
    pub list: u64,
    /// Objects that were put, and locks that were set.
    pub put: u64,
    /// Bytes that came back.
    pub bytes: u64,
}

/// Counts the calls on the store within.
pub struct Counted {
    store: Arc<dyn ObjectStore>,
    get: AtomicU64,
    head: AtomicU64,
    list: AtomicU64,
    put: AtomicU64,
    bytes: AtomicU64,
}

impl Counted {
    /// Begins at nothing.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        let zero = AtomicU64::default;
        Self { store, get: zero(), head: zero(), list: zero(), put: zero(), bytes: zero() }
    }

    /// What was asked so far.
    #[must_use]
    pub fn calls(&self) -> Calls {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Calls {
            get: read(&self.get),
            head: read(&self.head),
            list: read(&self.list),
            put: read(&self.put),
            bytes: read(&self.bytes),
        }
    }
}

fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

#[async_trait]
impl ObjectStore for Counted {
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
        add(&self.put, 1);
        self.store.put_new(key, payload, lock).await
    }

    async fn get(&self, key: &Key, version: Option<&Version>, range: Option<Range<u64>>) -> Result<Bytes> {
        add(&self.get, 1);
        let bytes = self.store.get(key, version, range).await?;
        add(&self.bytes, bytes.len() as u64);
        Ok(bytes)
    }

    async fn head(&self, key: &Key, version: Option<&Version>) -> Result<Head> {
        add(&self.head, 1);
        self.store.head(key, version).await
    }

    async fn list(&self, prefix: &str, each: &mut (dyn FnMut(Entry) + Send)) -> Result<()> {
        let mut entries = 0_u64;
        let mut count = |entry| {
            entries += 1;
            each(entry);
        };
        let listed = self.store.list(prefix, &mut count).await;
        add(&self.list, entries.div_ceil(PAGE).max(1));
        listed
    }

    async fn list_versions(&self, prefix: &str, each: &mut (dyn FnMut(VersionEntry) + Send)) -> Result<()> {
        let mut entries = 0_u64;
        let mut count = |entry| {
            entries += 1;
            each(entry);
        };
        let listed = self.store.list_versions(prefix, &mut count).await;
        add(&self.list, entries.div_ceil(PAGE).max(1));
        listed
    }

    async fn list_lost(&self, each: &mut (dyn FnMut(String, Option<Lock>) + Send)) -> Result<()> {
        self.store.list_lost(each).await
    }

    async fn lock_of(&self, key: &Key, version: Option<&Version>) -> Result<Option<Lock>> {
        add(&self.head, 1);
        self.store.lock_of(key, version).await
    }

    async fn enforcement(&self) -> Result<Enforcement> {
        self.store.enforcement().await
    }

    async fn extend_lock(&self, key: &Key, version: Option<&Version>, lock: Lock) -> Result<Lock> {
        add(&self.put, 1);
        self.store.extend_lock(key, version, lock).await
    }

    async fn server_time(&self) -> Result<Time> {
        add(&self.head, 1);
        self.store.server_time().await
    }

    fn sidecars(&self) -> Option<&dyn Sidecars> {
        self.store.sidecars()
    }

    fn without_links(&self) -> bool {
        self.store.without_links()
    }
}
