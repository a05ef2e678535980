//! A store that misbehaves on demand, around one that works.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use strongroom::{
    model::{Key, Lock, Time},
    store::{
        Deleter, Entry, Head, ObjectStore, Payload, Put, Result, StoreError, StoreErrorKind, Traits, Version,
        VersionEntry,
    },
};

/// How a call misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The store can't be reached; nothing was done.
    Error,
    /// The answer took too long; nothing was done, though the caller can't know.
    Timeout,
    /// It was done, and the answer was lost.
    AppliedButUnanswered,
    /// The credentials don't allow it.
    Denied,
}

impl Fault {
    fn error(self, call: &str) -> StoreError {
        let (kind, words) = match self {
            Self::Error => (StoreErrorKind::Unreachable, "injected: connection refused"),
            Self::Timeout => (StoreErrorKind::Unreachable, "injected: timed out"),
            Self::AppliedButUnanswered => (StoreErrorKind::Unreachable, "injected: connection reset"),
            Self::Denied => (StoreErrorKind::Denied, "injected: access denied"),
        };
        StoreError::new(kind, format!("{call}: {words}"))
    }
}

/// When it misbehaves. Calls count from 1, in the order in which they begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Never; calls are only counted.
    Never,
    /// At this call alone.
    At(u64),
    /// At this call and every later one: the store died.
    From(u64),
}

/// A store around `inner` whose calls fail as told. Calls of the deleter count too.
pub struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    deleter: Option<Arc<dyn Deleter>>,
    fault: Fault,
    when: When,
    /// Bytes of a put that it takes in a second; all at once where none is said.
    rate: Option<u64>,
    calls: AtomicU64,
}

impl FaultyStore {
    /// `inner`, misbehaving with `fault` as `when` says.
    pub fn new(inner: Arc<dyn ObjectStore>, when: When, fault: Fault) -> Arc<Self> {
        Arc::new(Self { inner, deleter: None, fault, when, rate: None, calls: AtomicU64::new(0) })
    }

    /// The same, where a put takes as long as its bytes need at so many a second, beside others.
    pub fn slow(inner: Arc<dyn ObjectStore>, when: When, fault: Fault, rate: u64) -> Arc<Self> {
        Arc::new(Self { inner, deleter: None, fault, when, rate: Some(rate), calls: AtomicU64::new(0) })
    }

    /// The same, also around the deleter of the same store.
    pub fn with_deleter(inner: Arc<dyn ObjectStore>, deleter: Arc<dyn Deleter>, when: When, fault: Fault) -> Arc<Self> {
        Arc::new(Self { inner, deleter: Some(deleter), fault, when, rate: None, calls: AtomicU64::new(0) })
    }

    /// How many calls have begun.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// Runs `work`, or fails as told, or both.
    async fn through<T>(&self, call: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let n = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let faulty = match self.when {
            When::Never => false,
            When::At(at) => n == at,
            When::From(from) => n >= from,
        };
        if !faulty {
            return work.await;
        }
        if self.fault == Fault::AppliedButUnanswered {
            work.await?;
        }
        Err(self.fault.error(call))
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    fn url(&self) -> String {
        self.inner.url()
    }

    fn traits(&self) -> Traits {
        self.inner.traits()
    }

    async fn put_new(&self, key: &Key, payload: &Payload, lock: Option<Lock>) -> Result<Put> {
        if let Some(rate) = self.rate {
            let takes = Duration::from_millis(payload.bytes().len() as u64 * 1000 / rate);
            tokio::time::sleep(takes).await; // that it takes time is what a slow store is
        }
        self.through("put", self.inner.put_new(key, payload, lock)).await.map_err(|e| e.on(key))
    }

    async fn get(&self, key: &Key, version: Option<&Version>, range: Option<Range<u64>>) -> Result<Bytes> {
        self.through("get", self.inner.get(key, version, range)).await.map_err(|e| e.on(key))
    }

    async fn head(&self, key: &Key, version: Option<&Version>) -> Result<Head> {
        self.through("head", self.inner.head(key, version)).await.map_err(|e| e.on(key))
    }

    async fn list(&self, prefix: &str, each: &mut (dyn FnMut(Entry) + Send)) -> Result<()> {
        self.through("list", self.inner.list(prefix, each)).await
    }

    async fn list_versions(&self, prefix: &str, each: &mut (dyn FnMut(VersionEntry) + Send)) -> Result<()> {
        self.through("list versions", self.inner.list_versions(prefix, each)).await
    }

    async fn lock_of(&self, key: &Key, version: Option<&Version>) -> Result<Option<Lock>> {
        self.through("lock of", self.inner.lock_of(key, version)).await.map_err(|e| e.on(key))
    }

    async fn extend_lock(&self, key: &Key, version: Option<&Version>, lock: Lock) -> Result<Lock> {
        self.through("extend lock", self.inner.extend_lock(key, version, lock)).await.map_err(|e| e.on(key))
    }

    async fn server_time(&self) -> Result<Time> {
        self.through("server time", self.inner.server_time()).await
    }
}

#[async_trait]
impl Deleter for FaultyStore {
    async fn delete_version(&self, key: &Key, version: Option<&Version>) -> Result<()> {
        let deleter = self.deleter.as_ref().expect("made with a deleter");
        self.through("delete", deleter.delete_version(key, version)).await.map_err(|e| e.on(key))
    }
}
