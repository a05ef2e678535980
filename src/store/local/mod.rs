//! A vault in a directory.
//!
//! An object is the read-only file `<root>/<key>`, written to `<root>/.tmp/`, flushed, and linked into its place,
//! which never replaces; where there are no hard links (FAT, exFAT), it is moved there. Its lock is a record beside it,
//! `<root>/<key>.lock`. Whoever may write to the directory can remove both: a directory protects from accidents, not from
//! root and not from the writer's own user. The records keep strongroom itself to what a bucket would enforce.
//!
//! There is no default lock here: a put without a lock leaves the object unlocked.
//!
//! `<root>/.parity/` holds what heals bad sectors; see [`crate::format::parity`].

mod dir;
mod disk;
mod fail;
mod immutable;
mod naming;
mod parity;
mod sidecar;
mod walk;

use std::{
    collections::HashSet,
    fmt,
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock},
};

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    Deleter, Entry, Head, Mender, ObjectStore, Payload, Put, Result, Sidecars, StoreError, StoreErrorKind as Kind,
    Traits, VaultUrl, Version, VersionEntry, rules::MAX_OBJECT,
};
use crate::{
    codec::buffer_pool::BufferPool,
    format::{copied::Copied, parity::Sidecar},
    model::{Clock, Key, Lock, Time},
};

/// What listings call the one version that an object here has.
pub const ONLY_VERSION: &str = "only";

/// How many lost objects are told at most.
const LOST: usize = 1_000_000;

/// How many buffers that held packs are kept for the next: as many as are read at once.
const POOLED: usize = 4;

/// How many entries a listing reads ahead.
const LIST_AHEAD: usize = 256;

/// A directory that holds a vault. Clones are handles to the same directory; several processes may use it at once.
#[derive(Clone)]
pub struct LocalStore {
    root: PathBuf,
    clock: Arc<dyn Clock>,
    immutable: bool,
    /// The directories that this handle knows to be durable, the way to them included. As many as the vault has.
    durable: Arc<Mutex<HashSet<String>>>,
    /// Which directory it was when it was opened: its device and number.
    identity: Arc<OnceLock<(u64, u64)>>,
    /// How files get their names here, as far as was tried.
    naming: Arc<naming::Known>,
    /// Memory of packs that were read.
    pool: Arc<BufferPool>,
}

impl fmt::Debug for LocalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalStore").field("root", &self.root).finish_non_exhaustive()
    }
}

impl LocalStore {
    /// Opens the directory `path` (absolute), making it and what is missing above it. Says nothing of what is in it:
    /// whether it holds a vault already is the caller's to find out.
    ///
    /// # Errors
    /// `Invalid` if something that is no directory is there, `Denied` if it can't be made.
    pub fn create(path: impl Into<PathBuf>, clock: Arc<dyn Clock>) -> Result<Self> {
        let path = path.into();
        disk::make_root(&path)?;
        Self::open(path, clock)
    }

    /// Opens the directory `path` (absolute), which must exist, and removes unfinished files of more than a day ago.
    /// Needs no right to write.
    ///
    /// # Errors
    /// `NoVault` if nothing is there, `Invalid` if it is no directory.
    pub fn open(path: impl Into<PathBuf>, clock: Arc<dyn Clock>) -> Result<Self> {
        let (durable, identity, naming) = (Arc::default(), Arc::default(), Arc::default());
        let pool = BufferPool::new(POOLED);
        let store = Self { root: path.into(), clock, immutable: false, durable, identity, naming, pool };
        store.sweep()?;
        Ok(store)
    }

    /// The same store, setting the immutable flag on every locked object and its record, so that not even root removes
    /// them by mistake. Only root can do that, on a local file system of Linux; tries it at once.
    ///
    /// # Errors
    /// `Denied` without the right, `Unsupported` where there is no such flag.
    pub fn immutable(mut self) -> Result<Self> {
        self.try_immutable()?;
        self.immutable = true;
        Ok(self)
    }

    /// The vault's directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Runs `work` on a thread that may block.
    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(Self) -> Result<T> + Send + 'static) -> Result<T> {
        let store = self.clone();
        let joined = tokio::task::spawn_blocking(move || work(store)).await;
        joined.unwrap_or_else(|e| Err(StoreError::new(Kind::Other, "the task that used the directory died").because(e)))
    }

    /// As [`blocking`](Self::blocking), for a call on one key and one version.
    async fn on<T: Send + 'static>(
        &self,
        call: &'static str,
        key: &Key,
        version: Option<&Version>,
        work: impl FnOnce(Self, Key) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        if let Some(version) = version.filter(|version| version.as_str() != ONLY_VERSION) {
            let what = format!("{call}: there is no version {version}; a directory keeps one, called {ONLY_VERSION}");
            return Err(StoreError::new(Kind::NotFound, what).on(key));
        }
        if key.as_str().ends_with(sidecar::SUFFIX) {
            // Beside objects these names are records of locks, and no objects.
            return Err(StoreError::new(Kind::NotFound, format!("{call}: there is no such object")).on(key));
        }
        let key = key.clone();
        self.blocking(move |store| work(store, key)).await
    }

    /// Gives what [`walk::walk`] finds to `each`, which runs here while the walk goes on elsewhere.
    async fn walk(&self, prefix: &str, each: &mut (dyn FnMut(Entry) + Send)) -> Result<()> {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(LIST_AHEAD);
        let prefix = prefix.to_owned();
        let walk = self.blocking(move |store| {
            let root = store.open_root("list")?;
            // The receiver is gone when the caller dropped this call; then the walk ends.
            walk::walk(&root, &prefix, &mut |entry| sender.blocking_send(entry).is_ok())
        });
        let mut receive = async || {
            while let Some(entry) = receiver.recv().await {
                each(entry);
            }
        };
        let (walked, ()) = tokio::join!(walk, receive());
        walked
    }
}

#[async_trait]
impl ObjectStore for LocalStore {
    fn url(&self) -> String {
        VaultUrl::Local(self.root.clone()).to_string()
    }

    fn traits(&self) -> Traits {
        Traits { versions: false, trusted_time: false, explicit_locks: true }
    }

    async fn put_new(&self, key: &Key, payload: &Payload, lock: Option<Lock>) -> Result<Put> {
        if u64::try_from(payload.bytes().len()).unwrap_or(u64::MAX) > MAX_OBJECT {
            return Err(StoreError::new(Kind::Invalid, "put: larger than an object may be").on(key));
        }
        let (key, bytes) = (key.clone(), payload.bytes().clone());
        self.blocking(move |store| store.put(&key, &bytes, lock)).await
    }

    async fn get(&self, key: &Key, version: Option<&Version>, range: Option<Range<u64>>) -> Result<Bytes> {
        self.on("get", key, version, move |store, key| store.read(&key, range)).await
    }

    async fn head(&self, key: &Key, version: Option<&Version>) -> Result<Head> {
        self.on("head", key, version, |store, key| store.describe(&key)).await
    }

    async fn list(&self, prefix: &str, each: &mut (dyn FnMut(Entry) + Send)) -> Result<()> {
        self.walk(prefix, each).await
    }

    async fn list_versions(&self, prefix: &str, each: &mut (dyn FnMut(VersionEntry) + Send)) -> Result<()> {
        let mut as_version = |Entry { key, bytes, modified }| {
            let version = Version::new(ONLY_VERSION);
            each(VersionEntry { key, version, bytes, modified, latest: true, delete_marker: false });
        };
        self.walk(prefix, &mut as_version).await
    }

    async fn list_lost(&self, each: &mut (dyn FnMut(String, Option<Lock>) + Send)) -> Result<()> {
        let lost = self
            .blocking(|store| {
                let root = store.open_root("list")?;
                let mut found = Vec::new();
                walk::lost(&root, &mut |lost| {
                    found.push(lost);
                    found.len() < LOST
                })?;
                Ok(found)
            })
            .await?;
        for (key, lock) in lost {
            each(key, lock);
        }
        Ok(())
    }

    async fn lock_of(&self, key: &Key, version: Option<&Version>) -> Result<Option<Lock>> {
        self.on("lock of", key, version, |store, key| store.lock(&key)).await
    }

    async fn extend_lock(&self, key: &Key, version: Option<&Version>, lock: Lock) -> Result<Lock> {
        self.on("extend lock", key, version, move |store, key| store.extend(&key, lock)).await
    }

    async fn server_time(&self) -> Result<Time> {
        Ok(self.clock.now())
    }

    fn sidecars(&self) -> Option<&dyn Sidecars> {
        Some(self)
    }

    fn without_links(&self) -> bool {
        self.naming.way() != naming::Way::Link
    }
}

#[async_trait]
impl Sidecars for LocalStore {
    async fn list_sidecars(&self) -> Result<Vec<(String, Option<u64>)>> {
        self.blocking(|store| store.parity_files()).await
    }

    async fn read_sidecar(&self, name: &str, range: Range<u64>) -> Result<Bytes> {
        let name = name.to_owned();
        self.blocking(move |store| store.read_parity(&name, range)).await
    }

    async fn put_sidecar(&self, name: &str, sidecar: &Sidecar) -> Result<()> {
        let (name, bytes) = (name.to_owned(), sidecar.bytes().clone());
        self.blocking(move |store| store.put_parity(&name, &bytes)).await
    }

    async fn remove_sidecar(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        self.blocking(move |store| store.remove_parity(&name)).await
    }
}

#[async_trait]
impl Deleter for LocalStore {
    async fn delete_version(&self, key: &Key, version: Option<&Version>) -> Result<()> {
        self.on("delete", key, version, |store, key| store.delete(&key)).await
    }
}

#[async_trait]
impl Mender for LocalStore {
    async fn put_again(&self, key: &Key, copied: &Copied, lock: Option<Lock>) -> Result<Option<Version>> {
        let (key, bytes) = (key.clone(), copied.bytes().clone());
        self.blocking(move |store| store.put_over(&key, &bytes, lock)).await.map(|()| None)
    }
}
