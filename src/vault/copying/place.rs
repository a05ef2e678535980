//! The place that a copy goes to: what it holds already, by its listing, and until when that is locked.

mod locks;

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

pub use locks::Less;

use super::{
    object::{Id, Object, Trouble},
    reads::Reads,
};
use crate::{
    model::{Hash, Key, Lock, LockBy, LockPolicy, Time, VaultId},
    store::{Enforcement, Mender, ObjectStore, Payload, Put, StoreError, StoreErrorKind, Version},
    vault::{Result, VaultError, VaultErrorKind, fetch},
};

/// An object that has a name in the target.
#[derive(Debug, Clone)]
struct Held {
    bytes: u64,
    /// The version that has the right bytes, as far as is known.
    version: Option<Version>,
    /// Whether there is one version only, and nothing that hides it.
    plain: bool,
    /// Whether its bytes were read, or put, by this copy.
    proven: bool,
    /// Until when it is locked at least.
    locked: Option<Time>,
}

/// How an object stands with the target.
pub(super) enum Standing {
    /// It is there.
    Here,
    /// Its name is free.
    Free,
    /// Something else has its name.
    Taken,
}

/// Where a copy goes to.
#[allow(clippy::struct_excessive_bools, reason = "each says something of its own")]
pub(super) struct Place<'a> {
    pub(super) store: &'a dyn ObjectStore,
    policy: LockPolicy,
    /// By its own clock.
    pub(super) now: Time,
    /// Whether nothing is there, as was just seen.
    pub(super) fresh: bool,
    /// Whether what can't be locked is copied anyway.
    as_possible: bool,
    /// Whether each put asks for its lock.
    explicit: AtomicBool,
    /// Whether no lock can be had.
    lockless: AtomicBool,
    held: Mutex<HashMap<Id, Held>>,
    /// Prefixes that were listed: what is listed twice would look as if it had two versions.
    listed: Mutex<HashSet<String>>,
    /// The lock that ends first among those that were read.
    weakest: Mutex<Option<Time>>,
    /// Whether locks are only looked at.
    look_only: bool,
    extended: AtomicU64,
    /// Whether nothing is taken for whole because something else names it: a repair left what is damaged.
    pub(super) distrusts: bool,
    /// What makes records of locks anew that can't be read any more, in a repair of a directory.
    pub(super) mender: Option<&'a dyn Mender>,
    /// The vault that is repaired.
    pub(super) vault: Option<VaultId>,
    /// How reading what is there went.
    pub(super) reads: Reads,
    /// Records that were made anew.
    records: Mutex<Vec<Key>>,
    /// Locks that are less than was promised, where that is allowed.
    less: Mutex<Less>,
}

impl<'a> Place<'a> {
    pub(super) fn new(
        store: &'a dyn ObjectStore,
        policy: LockPolicy,
        now: Time,
        (as_possible, look_only): (bool, bool),
    ) -> Self {
        let explicit = policy.by == LockBy::Explicit || store.traits().explicit_locks;
        Self {
            store,
            policy,
            now,
            fresh: false,
            as_possible,
            explicit: AtomicBool::new(explicit),
            lockless: AtomicBool::new(false),
            held: Mutex::default(),
            listed: Mutex::default(),
            weakest: Mutex::default(),
            look_only,
            extended: AtomicU64::new(0),
            distrusts: false,
            mender: None,
            vault: None,
            reads: Reads::default(),
            records: Mutex::default(),
            less: Mutex::default(),
        }
    }

    /// Asks whether locks bind here at all; where they don't, a repair asks for none.
    pub(super) async fn begin(&self) -> Result<()> {
        if self.store.enforcement().await? == Enforcement::Absent {
            self.lockless.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Whether a put that failed is to be tried without a lock: a repair puts back what is gone wherever it can, and says that
    /// it is not locked.
    pub(super) fn gives_up_locks(&self, error: &StoreError) -> bool {
        let gives_up = self.vault.is_some() && self.sets_locks() && cannot_lock(error);
        if gives_up {
            self.lockless.store(true, Ordering::Relaxed);
        }
        gives_up
    }

    /// Whether puts ask for their locks here, and locks can be extended.
    pub(super) fn sets_locks(&self) -> bool {
        self.explicit.load(Ordering::Relaxed) && !self.lockless.load(Ordering::Relaxed)
    }

    /// How many locks were extended.
    pub(super) fn extended(&self) -> u64 {
        self.extended.load(Ordering::Relaxed)
    }

    /// Locks that are less than was promised, and were taken as they are.
    pub(super) fn less(&self) -> Less {
        *self.less.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records of locks that were made anew.
    pub(super) fn records(&self) -> Vec<Key> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The lock that something gets which is to be locked until `ask`.
    pub(super) fn lock_until(&self, ask: Time) -> Option<Lock> {
        self.sets_locks().then_some(Lock { mode: self.policy.mode, until: ask })
    }

    /// Notes what was put over something else, once it was read back.
    pub(super) fn note(&self, key: &Key, version: Option<Version>, bytes: u64) {
        let held = Held { bytes, version, plain: true, proven: true, locked: None };
        self.held().insert(Id::of(key.as_str()), held);
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Id, Held>> {
        // Each change is one insertion or one assignment.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lock that ends first among those that were read.
    pub(super) fn weakest(&self) -> Option<Time> {
        *self.weakest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a lock that was read.
    fn seen(&self, ends: Time) {
        let mut weakest = self.weakest.lock().unwrap_or_else(PoisonError::into_inner);
        *weakest = Some(weakest.map_or(ends, |weakest| weakest.min(ends)));
    }

    /// The furthest that anything may be locked.
    pub(super) fn cap(&self) -> Time {
        self.now + self.policy.max_lock
    }

    /// Until when what is put now is locked at least, as for a writer: later snapshots lean on it.
    pub(super) fn usual(&self) -> Time {
        self.policy.lock_from(self.now).until
    }

    /// Until when what is put now is promised to live.
    pub(super) fn promised(&self) -> Time {
        self.policy.floor(self.now)
    }

    /// Lists what is below `prefix`, overwritten and hidden objects included where they may be listed.
    pub(super) async fn list(&self, prefix: &str) -> Result<()> {
        let new = self.listed.lock().unwrap_or_else(PoisonError::into_inner).insert(prefix.to_owned());
        if self.fresh || !new {
            return Ok(());
        }
        let mut listed = false;
        if self.store.traits().versions {
            let mut each = |entry: crate::store::VersionEntry| {
                let id = Id::of(&entry.key);
                let mut held = self.held();
                if entry.delete_marker {
                    held.entry(id).and_modify(|held| held.plain = false);
                    return;
                }
                let (bytes, version) = (entry.bytes, Some(entry.version));
                let one = Held { bytes, version, plain: true, proven: false, locked: None };
                held.entry(id).and_modify(|held| held.plain = false).or_insert(one);
            };
            match self.store.list_versions(prefix, &mut each).await {
                Err(error) if error.kind == StoreErrorKind::Denied => {}
                other => {
                    other?;
                    listed = true;
                }
            }
        }
        if !listed {
            let mut each = |entry: crate::store::Entry| {
                let one = Held { bytes: entry.bytes, version: None, plain: true, proven: false, locked: None };
                self.held().insert(Id::of(&entry.key), one);
            };
            self.store.list(prefix, &mut each).await?;
        }
        Ok(())
    }

    /// Whether the listing has an object of this name and size, which nothing else lies on.
    pub(super) fn lists(&self, key: &str, sizes: &[u64]) -> bool {
        let fits = |held: &Held| held.plain && sizes.contains(&held.bytes);
        self.held().get(&Id::of(key)).is_some_and(fits)
    }

    /// Whether the listing has an object of this name, whatever it is.
    pub(super) fn there(&self, key: &Key) -> bool {
        self.held().contains_key(&Id::of(key.as_str()))
    }

    /// Whether an object is there with the right bytes, as far as that was looked at.
    pub(super) fn holds(&self, object: &Object) -> bool {
        self.held().get(&Id::of(object.key().as_str())).is_some_and(|held| held.proven || held.plain)
    }

    /// Whether the bytes of an object were seen to be right.
    pub(super) fn proven(&self, key: &Key) -> bool {
        self.held().get(&Id::of(key.as_str())).is_some_and(|held| held.proven)
    }

    /// Forgets an object that is not asked for again.
    pub(super) fn forget(&self, key: &Key) {
        self.held().remove(&Id::of(key.as_str()));
    }

    /// Whether an object is there, as far as that is known without asking.
    pub(super) fn knows(&self, object: &Object, trusted: bool) -> bool {
        let trusted = trusted && !self.distrusts;
        let fits =
            |held: &Held| held.proven || held.plain && trusted && object.bytes.is_none_or(|bytes| bytes == held.bytes);
        self.held().get(&Id::of(object.key().as_str())).is_some_and(fits)
    }

    /// How an object stands. What is `trusted` was seen whole by whoever put what names it; of anything else the bytes are
    /// read.
    pub(super) async fn standing(
        &self,
        object: &Object,
        trusted: bool,
    ) -> Result<std::result::Result<Standing, Trouble>> {
        let key = object.key();
        let id = Id::of(key.as_str());
        let Some(held) = self.held().get(&id).cloned() else { return Ok(Ok(Standing::Free)) };
        let fits = object.bytes.is_none_or(|bytes| bytes == held.bytes);
        let trusted = trusted && !self.distrusts;
        if held.proven || held.plain && trusted && fits {
            return Ok(Ok(Standing::Here));
        }
        if held.plain && !fits {
            return Ok(Ok(Standing::Taken));
        }
        self.prove(object, &key, id).await
    }

    /// Looks for the version that has the right bytes.
    async fn prove(&self, object: &Object, key: &Key, id: Id) -> Result<std::result::Result<Standing, Trouble>> {
        let (hash, limit) = (&object.hash, object.limit);
        let found = fetch::version_by_hash(self.store, key, None, hash, limit).await;
        self.reads.note(object.kind(), key, &found);
        match found {
            Ok((bytes, version)) => {
                let version = match version {
                    Some(version) => Some(version),
                    None => self.only_version(key, hash, limit).await?,
                };
                let bytes = bytes.len() as u64;
                self.held().insert(id, Held { bytes, version, plain: true, proven: true, locked: None });
                Ok(Ok(Standing::Here))
            }
            Err(error) if error.kind == VaultErrorKind::Damaged => {
                let current = self.store.head(key, None).await;
                match current {
                    // Only what is hidden has this name, so a put makes a new version.
                    Err(error) if error.is_not_found() => Ok(Ok(Standing::Free)),
                    Err(error) if !fetch::is_unreadable(error.kind) => Err(error.into()),
                    _ => Ok(Ok(Standing::Taken)),
                }
            }
            Err(error) if error.is_of_object() => Ok(Err(Trouble::Unread(error.to_string()))),
            Err(error) => Err(error),
        }
    }

    /// The name of the version whose lock counts, where the store has versions and they may be listed.
    async fn only_version(&self, key: &Key, hash: &Hash, limit: usize) -> Result<Option<Version>> {
        let versions = fetch::versions(self.store, key).await?;
        match versions.as_slice() {
            [] => Ok(None),
            [only] => Ok(Some(only.clone())),
            _ => Ok(fetch::oldest_version(self.store, key, hash, limit).await.ok()),
        }
    }

    /// Puts an object under its name, which is free, and locks it until `ask` where puts do so. Says how it stands then.
    pub(super) async fn put(
        &self,
        object: &Object,
        payload: &Payload,
        ask: Time,
    ) -> Result<std::result::Result<Standing, Trouble>> {
        let key = object.key();
        let asked = self.lock_until(ask);
        let put = match self.store.put_new(&key, payload, asked).await {
            Err(error) if asked.is_some() && cannot_lock(&error) => {
                if !self.as_possible && self.vault.is_none() {
                    return Err(unlockable(&key, &error));
                }
                // What fails without a lock as well did not fail for it.
                let put = self.store.put_new(&key, payload, None).await?;
                self.lockless.store(true, Ordering::Relaxed);
                put
            }
            other => other?,
        };
        let id = Id::of(key.as_str());
        match put {
            Put::Created { version } => {
                let bytes = payload.bytes().len() as u64;
                // The store has read back the lock that it was asked for, and lets nobody delete what has one. A directory
                // is asked again.
                let holds = self.sets_locks() && self.store.traits().versions;
                let locked = asked.filter(|_| holds).map(|lock| lock.until);
                if let Some(until) = locked {
                    self.seen(until);
                }
                self.held().insert(id, Held { bytes, version, plain: true, proven: true, locked });
                Ok(Ok(Standing::Here))
            }
            // An earlier try may have landed without an answer, or somebody else was faster.
            Put::AlreadyThere => self.prove(object, &key, id).await,
        }
    }
}

/// Whether a store says that it has no locks, or none that are set by a put.
const fn cannot_lock(error: &StoreError) -> bool {
    matches!(error.kind, StoreErrorKind::Unsupported | StoreErrorKind::Invalid)
}

fn unlockable(key: &Key, error: &StoreError) -> VaultError {
    let what = format!(
        "the target can't lock what it is given, and a copy that anybody may delete is not what the source promises: \
         {error}; with --locks as-possible it is copied anyway"
    );
    VaultError::new(VaultErrorKind::Unprotected, what).on(key)
}
