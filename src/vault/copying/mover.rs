//! Moving objects: each is read from the source, hashed, and put into the target under its name.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use tokio::sync::Semaphore;

use super::{
    CopiedCount, Limits,
    limit::Limit,
    object::{Object, Trouble},
    place::{Place, Standing},
    reads::Reads,
};
use crate::{
    codec::hash,
    format::layout,
    model::{Cancel, Key, Progress, Time},
    store::{Mender, ObjectStore, Payload, StoreErrorKind},
    vault::{Result, VaultError, VaultErrorKind, fetch},
};

/// So many bytes are under way at once at most, whatever the number of jobs: the largest object has a quarter of it.
const ROOM: u32 = 128 << 20;
/// The same while a vault is repaired, which reads what is there as well.
const ROOM_TO_MEND: u32 = 64 << 20;
/// So many objects that were mended are named.
const MENDED: usize = 100_000;
/// So many small objects are put at once in the place of one large one.
const SMALL: u32 = 4;
/// What is larger than so many of these counts as large.
const SMALL_BYTES: u64 = 2 << 20;
/// What room is counted in.
const UNIT: u64 = 1 << 10;

/// How a repair mends.
pub(super) struct Mend<'a> {
    pub(super) mender: &'a dyn Mender,
    /// Whether every byte is read, and not only names, sizes and locks are looked at.
    pub(super) read: bool,
}

/// Moves objects from one place to another.
pub(super) struct Mover<'a> {
    pub(super) source: &'a dyn ObjectStore,
    pub(super) place: &'a Place<'a>,
    pub(super) progress: &'a dyn Progress,
    pub(super) cancel: &'a Cancel,
    /// How many objects are put at once.
    pub(super) jobs: usize,
    /// Whether nothing is put.
    dry_run: bool,
    /// What puts over what is damaged; nothing for a copy, which never does.
    pub(super) mend: Option<Mend<'a>>,
    room: Semaphore,
    /// How much is put at once; what comes after that is read meanwhile.
    puts: Semaphore,
    /// Closed to puts until the target is known to take the vault's descriptor.
    gate: Semaphore,
    down: Limit,
    up: Limit,
    reads: Reads,
    /// What was put, by kind.
    moved: Mutex<BTreeMap<&'static str, CopiedCount>>,
    /// What was mended, or would be: of very many, the first.
    mended: Mutex<Vec<Key>>,
}

impl<'a> Mover<'a> {
    pub(super) fn new(
        (source, place): (&'a dyn ObjectStore, &'a Place<'a>),
        (jobs, limits): (usize, Limits),
        (progress, cancel): (&'a dyn Progress, &'a Cancel),
        (dry_run, mend): (bool, Option<Mend<'a>>),
    ) -> Self {
        let room = if mend.is_some() { ROOM_TO_MEND } else { ROOM };
        let units = usize::try_from(u64::from(room) / UNIT).unwrap_or(1);
        let (down, up) = (Limit::new(limits.down), Limit::new(limits.up));
        let (room, gate) = (Semaphore::new(units), Semaphore::new(0));
        let (moved, mended) = (Mutex::default(), Mutex::default());
        let jobs = jobs.max(1);
        let puts = Semaphore::new(jobs * SMALL as usize);
        let reads = Reads::default();
        Self { source, place, progress, cancel, jobs, dry_run, mend, room, puts, gate, down, up, reads, moved, mended }
    }

    /// Whether the descriptor is put before it is known what is copied: where nothing is yet, and no put says how long it locks.
    pub(super) fn puts_first(&self) -> bool {
        self.place.fresh && !self.dry_run && !self.mends() && !self.place.sets_locks()
    }

    /// Lets objects be put from now on. What was read before waited for it.
    pub(super) fn open(&self) {
        self.gate.add_permits(1);
    }

    /// Fails if no pack could be read, in the source or in the target.
    pub(super) fn must_have_read(&self) -> Result<()> {
        self.reads.must_be_some(self.source)?;
        self.place.reads.must_be_some(self.place.store)
    }

    /// Whether this is a repair.
    pub(super) fn mends(&self) -> bool {
        self.mend.is_some()
    }

    /// What was mended, or would be.
    pub(super) fn mended(&self) -> Vec<Key> {
        self.mended.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was put, by kind.
    pub(super) fn moved(&self) -> BTreeMap<&'static str, CopiedCount> {
        self.moved.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Fails if somebody asked to stop.
    pub(super) fn go_on(&self) -> Result<()> {
        if self.cancel.is_cancelled() { Err(VaultError::cancelled()) } else { Ok(()) }
    }

    /// Whether an object is there, as far as that is known without asking.
    pub(super) fn knows(&self, object: &Object, trusted: bool) -> bool {
        let trusted = self.mend.as_ref().map_or(trusted, |mend| !mend.read);
        self.place.knows(object, trusted)
    }

    /// Sees to it that the target has an object: it is there, or is put there, locked until `ask` where puts lock.
    pub(super) async fn bring(
        &self,
        object: &Object,
        trusted: bool,
        ask: Time,
    ) -> Result<std::result::Result<(), Trouble>> {
        self.go_on()?;
        let most = object.bytes.unwrap_or(object.limit as u64).min(u64::from(ROOM_TO_MEND));
        let units = u32::try_from(most.div_ceil(UNIT).max(1)).unwrap_or(u32::MAX);
        // Never closed.
        let _room = self.room.acquire_many(units).await;
        self.go_on()?;
        match self.ready(object, trusted).await? {
            Ok(Some(payload)) => self.put(object, &payload, ask).await,
            Ok(None) => Ok(Ok(())),
            Err(trouble) => Ok(Err(trouble)),
        }
    }

    /// The true bytes of an object that is to be put; nothing where it is there already.
    pub(super) async fn ready(
        &self,
        object: &Object,
        trusted: bool,
    ) -> Result<std::result::Result<Option<Payload>, Trouble>> {
        self.go_on()?;
        let trusted = self.mend.as_ref().map_or(trusted, |mend| !mend.read);
        match self.place.standing(object, trusted).await? {
            Ok(Standing::Here) => Ok(Ok(None)),
            Ok(Standing::Taken) if self.mend.is_none() => Ok(Err(Trouble::Taken)),
            Ok(Standing::Free | Standing::Taken) => Ok(self.fetch(object).await?.map(Some)),
            // What can't be read can't be judged, and what is put over it may be put in vain.
            Err(trouble) => Ok(Err(trouble)),
        }
    }

    /// The true bytes of an object, out of the source.
    async fn fetch(&self, object: &Object) -> Result<std::result::Result<Payload, Trouble>> {
        // Where its size is known, it is paid for before it is fetched, so that the line is never fuller than was allowed.
        if let Some(bytes) = object.bytes {
            self.down.pass(bytes).await;
        }
        let key = object.key();
        if layout::named_hash(key.as_str()) != Some(object.hash) {
            return Ok(Err(Trouble::Damaged("its name is not the hash of what was signed".to_owned())));
        }
        let copied = fetch::copied(self.source, &key, object.hint.as_deref(), object.limit).await;
        self.reads.note(object.kind(), &key, &copied);
        let copied = match copied {
            Ok(copied) => copied,
            Err(error) if error.kind == VaultErrorKind::Damaged => return Ok(Err(Trouble::Damaged(error.what))),
            Err(error) if error.is_of_object() => return Ok(Err(Trouble::Unread(error.what))),
            Err(error) => return Err(error),
        };
        if object.bytes.is_none() {
            self.down.pass(copied.bytes().len() as u64).await;
        }
        Ok(Ok(Payload::Copied(copied)))
    }

    /// Puts what was read, once the descriptor is there.
    pub(super) async fn put(
        &self,
        object: &Object,
        payload: &Payload,
        ask: Time,
    ) -> Result<std::result::Result<(), Trouble>> {
        // Never closed for good; whoever passes leaves it open.
        drop(self.gate.acquire().await);
        let share = u32::try_from(payload.bytes().len() as u64 / SMALL_BYTES).unwrap_or(u32::MAX);
        // Never closed.
        let _turn = self.puts.acquire_many(share.clamp(1, SMALL)).await;
        self.put_first(object, payload, ask).await
    }

    /// The same for the descriptor, for which the others wait.
    pub(super) async fn put_first(
        &self,
        object: &Object,
        payload: &Payload,
        ask: Time,
    ) -> Result<std::result::Result<(), Trouble>> {
        let bytes = payload.bytes().len() as u64;
        if !self.dry_run {
            self.up.pass(bytes).await;
            let standing = match self.place.put(object, payload, ask).await {
                Ok(Ok(standing)) => standing,
                Ok(Err(trouble)) => return Ok(Err(trouble)),
                Err(error) if error.kind == VaultErrorKind::Damaged => return Ok(Err(Trouble::Failed(error.what))),
                Err(error) => return Err(error),
            };
            match (standing, &self.mend) {
                (Standing::Here, _) => {}
                (Standing::Free | Standing::Taken, None) => return Ok(Err(Trouble::Taken)),
                (Standing::Free | Standing::Taken, Some(mend)) => {
                    if let Err(trouble) = self.over(mend, object, payload, ask).await? {
                        return Ok(Err(trouble));
                    }
                }
            }
        }
        let mut moved = self.moved.lock().unwrap_or_else(PoisonError::into_inner);
        let count = moved.entry(object.kind()).or_default();
        count.objects += 1;
        count.bytes += bytes;
        drop(moved);
        if self.mends() {
            let mut mended = self.mended.lock().unwrap_or_else(PoisonError::into_inner);
            if mended.len() < MENDED {
                mended.push(object.key());
            }
        }
        self.progress.advance(bytes);
        Ok(Ok(()))
    }

    /// Puts true bytes over what is damaged, and reads them back.
    async fn over(
        &self,
        mend: &Mend<'_>,
        object: &Object,
        payload: &Payload,
        ask: Time,
    ) -> Result<std::result::Result<(), Trouble>> {
        let Payload::Copied(copied) = payload else { return Ok(Err(Trouble::Taken)) };
        let key = object.key();
        let mut put = mend.mender.put_again(&key, copied, self.place.lock_until(ask)).await;
        if let Err(error) = &put
            && self.place.gives_up_locks(error)
        {
            put = mend.mender.put_again(&key, copied, None).await;
        }
        let version = match put {
            Ok(version) => version,
            // Something is in its place that is no object, and others are well.
            Err(error) if error.kind == StoreErrorKind::Corrupt => return Ok(Err(Trouble::Failed(error.to_string()))),
            Err(error) => return Err(error.into()),
        };
        let read = match self.place.store.get(&key, version.as_ref(), Some(0..object.limit as u64 + 1)).await {
            Ok(read) => read,
            Err(error) if error.is_not_found() || fetch::is_unreadable(error.kind) => {
                return Ok(Err(Trouble::Unread(error.to_string())));
            }
            Err(error) => return Err(error.into()),
        };
        if hash::hash(&read) != object.hash {
            return Ok(Err(Trouble::Taken));
        }
        self.place.note(&key, version, read.len() as u64);
        Ok(Ok(()))
    }
}
