//! A store in memory: the reference model of a bucket with versions and object locks.
//!
//! It is stricter than real ones. It refuses everything that the contract allows a store to refuse, and knows no
//! permission that lifts a lock: governance holds here like compliance.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    Deleter, Entry, Head, Mender, ObjectStore, Payload, Put, Result, StoreError, StoreErrorKind as Kind, Traits,
    Version, VersionEntry,
    rules::{MAX_OBJECT, clip, extended},
};
use crate::{
    format::copied::Copied,
    model::{Clock, Key, Lock, LockMode, Span, Time},
};

/// A bucket in memory. Clones are handles to the same bucket, like several processes that use one.
#[derive(Clone)]
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    default_lock: Option<(LockMode, Span)>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// The versions of each key, oldest first. A key without versions is not kept.
    keys: BTreeMap<String, Vec<Stored>>,
    /// How many versions were ever made; names the next one.
    made: u64,
    /// Keys whose bytes can't be read.
    lost: BTreeSet<String>,
}

#[derive(Clone)]
struct Stored {
    version: Version,
    /// `None` makes it a delete marker.
    bytes: Option<Bytes>,
    modified: Time,
    lock: Option<Lock>,
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("default_lock", &self.default_lock).finish_non_exhaustive()
    }
}

impl MemoryStore {
    /// An empty bucket without a default lock, whose time is `clock`'s.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, default_lock: None, state: Arc::default() }
    }

    /// The same bucket, locking each new object for `span` unless its put asks for another lock.
    ///
    /// Belongs to the handle: give it before cloning.
    #[must_use]
    pub fn with_default_lock(mut self, mode: LockMode, span: Span) -> Self {
        self.default_lock = Some((mode, span));
        self
    }

    /// Puts a new version on top of whatever `key` holds, as a plain put to a bucket does, and says which. Takes any
    /// key and any bytes: it is the administrator, or the attacker, who writes.
    pub fn overwrite(&self, key: &str, bytes: impl Into<Bytes>) -> Version {
        self.push(&mut self.state(), key, Some(bytes.into()), self.default_lock())
    }

    /// Hides `key` behind a delete marker, as a plain delete does, and says which version the marker is.
    pub fn hide(&self, key: &str) -> Version {
        self.push(&mut self.state(), key, None, None)
    }

    /// From now on the bytes of `key` can't be read, as those on a bad sector, though all else is told of it.
    pub fn lose(&self, key: &str) {
        self.state().lost.insert(key.to_owned());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves no half-made change: each change is one push, one assignment or one removal.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn default_lock(&self) -> Option<Lock> {
        self.default_lock.map(|(mode, span)| Lock { mode, until: self.clock.now() + span })
    }

    fn push(&self, state: &mut State, key: &str, bytes: Option<Bytes>, lock: Option<Lock>) -> Version {
        state.made += 1;
        let version = Version::new(format!("v{:08}", state.made));
        let stored = Stored { version: version.clone(), bytes, modified: self.clock.now(), lock };
        state.keys.entry(key.to_owned()).or_default().push(stored);
        version
    }

    /// Runs `look` on the version meant and on its bytes.
    fn with<T>(
        &self,
        call: &str,
        key: &Key,
        version: Option<&Version>,
        look: impl FnOnce(&mut Stored, &Bytes) -> Result<T>,
    ) -> Result<T> {
        let mut state = self.state();
        let versions = state.keys.get_mut(key.as_str());
        let found = versions.and_then(|all| match version {
            Some(version) => all.iter_mut().find(|stored| stored.version == *version),
            None => all.last_mut(),
        });
        match found.and_then(|stored| stored.bytes.clone().map(|bytes| (stored, bytes))) {
            Some((stored, bytes)) => look(stored, &bytes),
            None => Err(missing(call, key, version)),
        }
    }

    /// A lock that ends in the past protects nothing; buckets refuse it.
    fn must_last(&self, call: &str, key: &Key, lock: Lock) -> Result<()> {
        if lock.until > self.clock.now() {
            return Ok(());
        }
        let what = format!("{call}: a lock until {} has already ended by the store's clock", lock.until);
        Err(StoreError::new(Kind::Invalid, what).on(key))
    }

    /// The keys with this prefix and their versions, copied, so that no caller's code runs under the mutex.
    fn matching(&self, prefix: &str) -> Vec<(String, Vec<Stored>)> {
        let state = self.state();
        let from = state.keys.range(prefix.to_owned()..);
        from.take_while(|(key, _)| key.starts_with(prefix)).map(|(key, all)| (key.clone(), all.clone())).collect()
    }
}

fn missing(call: &str, key: &Key, version: Option<&Version>) -> StoreError {
    let what = match version {
        Some(version) => format!("{call}: there is no version {version} of this object"),
        None => format!("{call}: there is no such object"),
    };
    StoreError::new(Kind::NotFound, what).on(key)
}

fn size(stored: &Stored) -> u64 {
    stored.bytes.as_ref().map_or(0, |bytes| u64::try_from(bytes.len()).unwrap_or(u64::MAX))
}

#[async_trait]
impl ObjectStore for MemoryStore {
    fn url(&self) -> String {
        "memory:".to_owned()
    }

    fn traits(&self) -> Traits {
        Traits { versions: true, trusted_time: true, explicit_locks: true }
    }

    async fn put_new(&self, key: &Key, payload: &Payload, lock: Option<Lock>) -> Result<Put> {
        if u64::try_from(payload.bytes().len()).unwrap_or(u64::MAX) > MAX_OBJECT {
            return Err(StoreError::new(Kind::Invalid, "put: larger than an object may be").on(key));
        }
        if let Some(lock) = lock {
            self.must_last("put", key, lock)?;
        }
        let mut state = self.state();
        let taken = state.keys.get(key.as_str()).and_then(|all| all.last()).is_some_and(|last| last.bytes.is_some());
        if taken {
            return Ok(Put::AlreadyThere);
        }
        let lock = lock.or_else(|| self.default_lock());
        let version = self.push(&mut state, key.as_str(), Some(payload.bytes().clone()), lock);
        Ok(Put::Created { version: Some(version) })
    }

    async fn get(&self, key: &Key, version: Option<&Version>, range: Option<Range<u64>>) -> Result<Bytes> {
        if self.state().lost.contains(key.as_str()) {
            return Err(StoreError::new(Kind::Corrupt, "get: the disk can't read it").on(key));
        }
        self.with("get", key, version, |stored, bytes| {
            let beyond = || {
                let what = format!("get: the range is empty or lies beyond the {} bytes of the object", bytes.len());
                StoreError::new(Kind::BadRange, what).on(key)
            };
            let part = clip(range, size(stored)).ok_or_else(beyond)?;
            let start = usize::try_from(part.start).map_err(|_| beyond())?;
            let end = usize::try_from(part.end).map_err(|_| beyond())?;
            Ok(bytes.slice(start..end))
        })
    }

    async fn head(&self, key: &Key, version: Option<&Version>) -> Result<Head> {
        self.with("head", key, version, |stored, _| {
            Ok(Head { bytes: size(stored), version: Some(stored.version.clone()), modified: stored.modified })
        })
    }

    async fn list(&self, prefix: &str, each: &mut (dyn FnMut(Entry) + Send)) -> Result<()> {
        for (key, versions) in self.matching(prefix) {
            if let Some(current) = versions.last().filter(|stored| stored.bytes.is_some()) {
                each(Entry { key, bytes: size(current), modified: current.modified });
            }
        }
        Ok(())
    }

    async fn list_versions(&self, prefix: &str, each: &mut (dyn FnMut(VersionEntry) + Send)) -> Result<()> {
        for (key, versions) in self.matching(prefix) {
            let count = versions.len();
            for (at, stored) in versions.iter().enumerate() {
                each(VersionEntry {
                    key: key.clone(),
                    version: stored.version.clone(),
                    bytes: size(stored),
                    modified: stored.modified,
                    latest: at + 1 == count,
                    delete_marker: stored.bytes.is_none(),
                });
            }
        }
        Ok(())
    }

    async fn lock_of(&self, key: &Key, version: Option<&Version>) -> Result<Option<Lock>> {
        self.with("lock of", key, version, |stored, _| Ok(stored.lock))
    }

    async fn extend_lock(&self, key: &Key, version: Option<&Version>, lock: Lock) -> Result<Lock> {
        self.with("extend lock", key, version, |stored, _| {
            let wanted = extended(stored.lock, lock);
            if stored.lock != Some(wanted) {
                self.must_last("extend lock", key, wanted)?;
                stored.lock = Some(wanted);
            }
            Ok(wanted)
        })
    }

    async fn server_time(&self) -> Result<Time> {
        Ok(self.clock.now())
    }
}

#[async_trait]
impl Deleter for MemoryStore {
    async fn delete_version(&self, key: &Key, version: Option<&Version>) -> Result<()> {
        let mut state = self.state();
        let gone = || missing("delete", key, version);
        let versions = state.keys.get_mut(key.as_str()).ok_or_else(gone)?;
        let at = match version {
            Some(version) => versions.iter().position(|stored| stored.version == *version),
            // A key hidden by a marker has no current object; the marker goes by its own version.
            None => versions.len().checked_sub(1).filter(|_| versions.last().is_some_and(|s| s.bytes.is_some())),
        };
        let at = at.ok_or_else(gone)?;
        let lock = versions.get(at).and_then(|stored| stored.lock);
        if let Some(lock) = lock.filter(|lock| lock.until > self.clock.now()) {
            let what = format!("delete: locked until {} ({})", lock.until, lock.mode.as_str());
            return Err(StoreError::new(Kind::Locked, what).on(key));
        }
        versions.remove(at);
        if versions.is_empty() {
            state.keys.remove(key.as_str());
        }
        Ok(())
    }
}

#[async_trait]
impl Mender for MemoryStore {
    async fn put_again(&self, key: &Key, copied: &Copied, lock: Option<Lock>) -> Result<Option<Version>> {
        if let Some(lock) = lock {
            self.must_last("put", key, lock)?;
        }
        let lock = lock.or_else(|| self.default_lock());
        Ok(Some(self.push(&mut self.state(), key.as_str(), Some(copied.bytes().clone()), lock)))
    }
}
