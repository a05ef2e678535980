//! The object store: its contract, and the implementations.
//!
//! Every implementation passes the same conformance suite (`tests/conformance`). The contract is what strongroom
//! needs and no more: objects are written once under new keys, found again by key or by version, locked, and never
//! replaced. Deleting is a trait of its own, [`Deleter`], that only `prune` and the proof of the lock hold.

mod attempts;
pub mod cached;
mod concurrency;
pub mod counted;
pub mod credentials;
mod error;
pub mod limited;
pub mod local;
pub mod memory;
mod rules;
pub mod s3;
mod url;

use std::{fmt, ops::Range};

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    codec::seal::Sealed,
    format::{Public, copied::Copied, parity::Sidecar},
    model::{Key, Lock, Time},
};

pub use attempts::{Attempts, Encryption, Setting, Target, Through};
pub use error::{StoreError, StoreErrorKind};
pub use s3::Checksum;
pub use url::{UrlError, VaultUrl};

/// The result of a store call.
pub type Result<T> = std::result::Result<T, StoreError>;

/// What may be put into a store: sealed bytes, or a document that is public by design. Nothing else has this type,
/// so plaintext in a bucket does not compile.
#[derive(Debug, Clone)]
pub enum Payload {
    /// Bytes that only the holders of an identity can open.
    Sealed(Sealed),
    /// A signed or content-named document without secrets.
    Public(Public),
    /// What another place of the vault holds, as it is there.
    Copied(Copied),
}

impl Payload {
    /// The bytes as they are stored.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        match self {
            Self::Sealed(sealed) => sealed.bytes(),
            Self::Public(public) => public.bytes(),
            Self::Copied(copied) => copied.bytes(),
        }
    }
}

/// The store's name for one version of an object. A hint: hashes are the authority.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Version(Box<str>);

impl Version {
    /// The version that the store calls `text`.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into().into())
    }

    /// The version as the store spells it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a put did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    /// The object is stored durably under its key, which was free.
    Created {
        /// The version that the store gave it, if it has versions.
        version: Option<Version>,
    },
    /// The key was taken. Says nothing about what is stored there.
    AlreadyThere,
}

/// What a store tells of one object without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its size in bytes.
    pub bytes: u64,
    /// The version looked at, if the store has versions.
    pub version: Option<Version>,
    /// When the store wrote it, by the store's clock.
    pub modified: Time,
}

/// One line of a listing of current objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key as the store has it; may be none of ours, so it is plain text.
    pub key: String,
    /// The size in bytes.
    pub bytes: u64,
    /// When the store wrote it, by the store's clock.
    pub modified: Time,
}

/// One line of a listing of versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionEntry {
    /// The key as the store has it; may be none of ours.
    pub key: String,
    /// The version.
    pub version: Version,
    /// The size in bytes; 0 for a delete marker.
    pub bytes: u64,
    /// When the store wrote it, by the store's clock.
    pub modified: Time,
    /// Whether this is the current version of its key.
    pub latest: bool,
    /// Whether this is a delete marker.
    pub delete_marker: bool,
}

/// What a kind of store is, where callers must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traits {
    /// Keeps every version of a key.
    pub versions: bool,
    /// Its times are a witness that the writer's host cannot forge (G5).
    pub trusted_time: bool,
    /// A writer may set and extend locks itself; otherwise the store's default applies.
    pub explicit_locks: bool,
}

/// Whether the locks that a store tells of bind whoever may delete there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enforcement {
    /// As far as the store says.
    Enforced,
    /// The bucket has no object lock, so what is told of the retention of objects binds nobody, and counts as none.
    Absent,
    /// It can't be asked, and why.
    Unknown(Box<str>),
}

/// An object store that holds one vault. Keys are relative to the vault's prefix.
///
/// Calls may be made from many tasks at once. Every error names the call and the key. No call prints.
#[async_trait]
pub trait ObjectStore: Send + Sync {
    /// The vault's URL, for messages. Holds no secret.
    fn url(&self) -> String;

    /// What kind of store this is.
    fn traits(&self) -> Traits;

    /// How many small calls to have under way at once: more, the longer the store takes to answer one.
    fn at_once(&self) -> usize {
        concurrency::FEWEST
    }

    /// Stores `payload` under `key` if no current object has that key, with `lock` if one is given, else with the
    /// store's default lock if it has one.
    ///
    /// On `Created` the object is durable, readable, complete and (if asked) locked. On `AlreadyThere` nothing was
    /// changed. Never replaces. Of several racing puts of one key, exactly one is `Created`.
    /// An error leaves the object either absent or complete, never in part; after a time-out both are possible.
    ///
    /// # Errors
    /// `Denied`, `Unreachable`, `Full`, `Unsupported` (no locks here), or another kind of [`StoreErrorKind`].
    async fn put_new(&self, key: &Key, payload: &Payload, lock: Option<Lock>) -> Result<Put>;

    /// The bytes of an object: of `version` if given, else of the current one; all of them, or those in `range`
    /// (end exclusive). A range that begins at or beyond the end, or is empty, is `BadRange`; one that ends beyond the
    /// end is cut there.
    ///
    /// # Errors
    /// `NotFound` also for a key hidden by a delete marker (unless `version` is given) and for an unknown version.
    async fn get(&self, key: &Key, version: Option<&Version>, range: Option<Range<u64>>) -> Result<Bytes>;

    /// Size, version and time of an object, of `version` if given.
    ///
    /// # Errors
    /// As for [`get`](Self::get).
    async fn head(&self, key: &Key, version: Option<&Version>) -> Result<Head>;

    /// Every current object whose key begins with `prefix` (plain text, not a directory), in ascending byte order of
    /// keys, however many there are. Objects hidden by delete markers are left out.
    ///
    /// # Errors
    /// `Denied` or `Unreachable`; entries already given stay valid. An empty result is no error.
    async fn list(&self, prefix: &str, each: &mut (dyn FnMut(Entry) + Send)) -> Result<()>;

    /// Every version, delete markers included, of every key that begins with `prefix`: keys in ascending order, the
    /// versions of one key oldest first.
    ///
    /// # Errors
    /// As for [`list`](Self::list).
    async fn list_versions(&self, prefix: &str, each: &mut (dyn FnMut(VersionEntry) + Send)) -> Result<()>;

    /// Gives the keys that have a lock and no object, and the lock as far as it can be read: of a directory, where both
    /// are files. A bucket keeps a lock with its object, so it never has any.
    ///
    /// # Errors
    /// As for [`list`](Self::list).
    async fn list_lost(&self, each: &mut (dyn FnMut(String, Option<Lock>) + Send)) -> Result<()> {
        let _ = each;
        Ok(())
    }

    /// The lock on an object's version (the current one if none is given); `None` if it has none. A lock that has
    /// ended is returned as it stands.
    ///
    /// # Errors
    /// `NotFound` if the object is not there; `Denied` when the lock could not be read, which does not mean unlocked.
    async fn lock_of(&self, key: &Key, version: Option<&Version>) -> Result<Option<Lock>>;

    /// Whether locks bind here. Where they don't, [`lock_of`](Self::lock_of) tells of none and none can be set. A store is asked
    /// once.
    ///
    /// # Errors
    /// `Unreachable`.
    async fn enforcement(&self) -> Result<Enforcement> {
        Ok(Enforcement::Enforced)
    }

    /// Extends the lock of a version to `lock.until` and returns the lock that really applies afterwards, read back.
    /// Never shortens and never weakens: asked for less, it changes nothing and returns what is there.
    ///
    /// # Errors
    /// `NotFound`, `Denied`, or `Unsupported` where locks can't be set.
    async fn extend_lock(&self, key: &Key, version: Option<&Version>, lock: Lock) -> Result<Lock>;

    /// The current time by the store's clock.
    ///
    /// # Errors
    /// `Unreachable`.
    async fn server_time(&self) -> Result<Time>;

    /// What the store deletes, hides or moves by its age, in words, one for each rule. A directory has no such rules.
    ///
    /// # Errors
    /// `Denied`, `Unsupported`, `Unreachable`.
    async fn harmful_rules(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// Whether what was put so far got its name without a hard link, since the file system has none: a directory on FAT or
    /// exFAT, which keeps no modes either.
    fn without_links(&self) -> bool {
        false
    }

    /// The files of parity beside the objects: of a directory.
    fn sidecars(&self) -> Option<&dyn Sidecars> {
        None
    }
}

/// The power to delete. Held by `prune` and by the proof of the lock, and by nothing else.
#[async_trait]
pub trait Deleter: Send + Sync {
    /// Deletes one version of an object for good.
    ///
    /// # Errors
    /// `Locked` while its lock lasts; `NotFound` where the store says so (S3 does not).
    async fn delete_version(&self, key: &Key, version: Option<&Version>) -> Result<()>;

    /// Hides `key` behind a delete marker, and returns the marker's version. A marker is never locked.
    ///
    /// # Errors
    /// `Unsupported` where there are no markers; `Denied`.
    async fn hide(&self, key: &Key) -> Result<Version> {
        Err(StoreError::new(StoreErrorKind::Unsupported, "hide: this store has no delete markers").on(key))
    }
}

/// The power to put an object although something has its key. Held by `repair` alone, which gives it what is known to be
/// right where nothing right is left.
#[async_trait]
pub trait Mender: Send + Sync {
    /// Puts `copied` under `key`, on top of whatever has that key: as a new version where the store keeps versions, which
    /// leaves all others as they are; else in the place of the one object, whose lock stays and is extended to `lock`.
    /// Returns the version.
    ///
    /// # Errors
    /// As for [`ObjectStore::put_new`].
    async fn put_again(&self, key: &Key, copied: &Copied, lock: Option<Lock>) -> Result<Option<Version>>;
}

/// The files of parity that lie beside the objects of a directory vault, and are none. Names are plain file names.
#[async_trait]
pub trait Sidecars: Send + Sync {
    /// The files and their sizes, by name; none if there never was one. Of what is no file, such as a directory or a link, no size.
    ///
    /// # Errors
    /// As for [`ObjectStore::list`]; `Corrupt` where they are to lie in something that is no directory.
    async fn list_sidecars(&self) -> Result<Vec<(String, Option<u64>)>>;

    /// The bytes of a file in `range`.
    ///
    /// # Errors
    /// As for [`ObjectStore::get`].
    async fn read_sidecar(&self, name: &str, range: Range<u64>) -> Result<Bytes>;

    /// Writes a file as a whole, durably, in the place of one that has its name.
    ///
    /// # Errors
    /// `Denied`, `Full`.
    async fn put_sidecar(&self, name: &str, sidecar: &Sidecar) -> Result<()>;

    /// Removes a file; one that is gone already is no error.
    ///
    /// # Errors
    /// `Denied`.
    async fn remove_sidecar(&self, name: &str) -> Result<()>;
}
