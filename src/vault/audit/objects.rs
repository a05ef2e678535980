//! The checks of single objects: their locks and their bytes.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use futures::{StreamExt, stream};
use tokio::sync::Semaphore;

use super::{
    inventory::{Inventory, Slot},
    needed::{Candidate, Kind, Needed},
};
use crate::{
    codec::{hash, seal::Opener},
    model::{Cancel, Finding, Findings, Hash, Key, Lock, Progress, Severity, SnapshotId, Span, Time},
    store::{ObjectStore, StoreError, StoreErrorKind, Version},
    vault::{
        Result, Vault, VaultError, VaultErrorKind,
        fetch::{self, Room},
        reader,
    },
};

/// How many objects are read at once. Each may be a pack of 32 MiB.
const READS: usize = 2;
/// So many bytes of them at once, in MiB: an index of the largest size is read beside nothing but small ones.
const ROOM: usize = 80;
/// So many packs' directories are held against what indexes say of them: 32 TiB in packs of 16 MiB, and about 60 MB.
const DIRECTORIES: usize = 1_800_000;
/// A lock that is owed an extension is an alarm once its end is so near.
const NEAR: Span = Span::days(7);

/// The lock that ends first among all that live snapshots need.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Weakest {
    /// When it ends.
    pub until: Time,
    /// The object.
    pub object: String,
    /// The snapshot that promises longest among those that need it.
    pub snapshot: Option<SnapshotId>,
}

/// What renewal owes one snapshot, or the vault's documents.
struct Owed {
    objects: u64,
    until: Time,
    object: Key,
    expires: Time,
}

/// What the locks told so far.
#[derive(Default)]
pub(super) struct Locks {
    /// The one that ends first among all that live snapshots need.
    pub(super) weakest: Option<Weakest>,
    owed: BTreeMap<Option<SnapshotId>, Owed>,
}

impl Locks {
    /// Reads the lock of every object of the part in hand.
    pub(super) async fn read(
        &mut self,
        vault: &Vault,
        inventory: &mut Inventory,
        now: Time,
        cancel: &Cancel,
        findings: &mut Findings,
    ) -> Result<()> {
        let mut ends: Vec<(Slot, Time)> = Vec::new();
        let wanted = inventory.all().filter(|(_, needed)| !needed.missing() && !needed.suspect);
        let room = &Room::new();
        let mut locks = stream::iter(wanted)
            .map(|(at, needed)| async move { (at, needed, lock_of(&*vault.store, needed, room).await) })
            .buffered(vault.store.at_once());
        while let Some((at, needed, lock)) = locks.next().await {
            stop_if_asked(cancel)?;
            let lock = match lock {
                Ok(lock) => lock,
                Err(error) if error.kind == StoreErrorKind::Unreachable => return Err(error.into()),
                Err(error) => {
                    let what = format!("the lock of this {} could not be read: {error}", needed.kind.as_str());
                    findings.push(needed.finding(Severity::Weak, "lock.unread", what));
                    continue;
                }
            };
            ends.push((at, lock.map_or(Time::from_unix(0), |lock| lock.until)));
            self.take(needed, lock, now, findings);
        }
        drop(locks);
        for (at, until) in ends {
            inventory.lock(at, until);
        }
        Ok(())
    }

    fn take(&mut self, needed: &Needed, lock: Option<Lock>, now: Time, findings: &mut Findings) {
        let until = lock.map_or(Time::from_unix(0), |lock| lock.until);
        if needed.expires > now && self.weakest.as_ref().is_none_or(|w| until < w.until) {
            let (object, snapshot) = (needed.key().to_string(), needed.snapshot);
            self.weakest = Some(Weakest { until, object, snapshot });
        }
        if let Some((code, what)) = judge(needed, lock, now) {
            let what = format!("the lock of this {} {what}", needed.kind.as_str());
            findings.push(needed.finding(Severity::Weak, &format!("lock.{code}"), what));
        } else if needed.expires > now && until < needed.expires {
            let (object, expires) = (needed.key(), needed.expires);
            let owed = self.owed.entry(needed.snapshot).or_insert(Owed { objects: 0, until, object, expires });
            owed.objects += 1;
            owed.expires = owed.expires.max(needed.expires);
            if until < owed.until {
                (owed.until, owed.object) = (until, needed.key());
            }
        }
    }

    /// Says what renewal owes, once all parts were read.
    pub(super) fn finish(self, now: Time, findings: &mut Findings) -> Option<Weakest> {
        findings.extend(self.owed.into_iter().map(|(snapshot, owed)| owing(snapshot, &owed, now)));
        self.weakest
    }
}

fn owing(snapshot: Option<SnapshotId>, owed: &Owed, now: Time) -> Finding {
    let Owed { objects, until, object, expires } = owed;
    let what = if snapshot.is_some() { "objects of this snapshot" } else { "of the vault's own documents" };
    let ended = if *until <= now { ", which is over" } else { "" };
    let what = format!(
        "{objects} {what} are to be kept until {expires} and are locked only until {until} at least{ended}: renewal is owed"
    );
    let severity = if *until < now + NEAR { Severity::Weak } else { Severity::Warning };
    let finding = Finding::new(severity, "lock.owed", what).on(object);
    snapshot.map_or(finding.clone(), |snapshot| finding.of(snapshot))
}

/// The lock of the version that was signed: the one hinted at, or the only one, or the one whose bytes are right.
/// Somebody else's version of the same key may have another lock.
async fn lock_of(
    store: &dyn ObjectStore,
    needed: &Needed,
    room: &Room,
) -> std::result::Result<Option<Lock>, StoreError> {
    let [first, rest @ ..] = needed.candidates.as_slice() else { return Ok(None) };
    let hinted = needed.hint.is_some() && needed.hint.as_deref() == first.version.as_ref().map(Version::as_str);
    let mut version = first.version.clone();
    // A pack is too large to be read for that, and has a hint.
    if !hinted && !rest.is_empty() && needed.kind != Kind::Pack {
        let _room = room.take(first.bytes).await;
        match signed(store, &Wanted::of(needed)).await {
            Ok(Ok((_, found))) => version = found,
            // Its bytes are nowhere; the other checks say so.
            Ok(Err(_)) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    match store.lock_of(&needed.key(), version.as_ref()).await {
        Err(error) if error.is_not_found() => Ok(None),
        other => other,
    }
}

/// What is looked for among the versions of an object.
struct Wanted {
    key: Key,
    hash: Hash,
    candidates: Vec<Candidate>,
}

impl Wanted {
    fn of(needed: &Needed) -> Self {
        Self { key: needed.key(), hash: needed.hash, candidates: needed.candidates.clone() }
    }
}

/// The bytes that were signed, and the version that has them. Only versions of the right size are read, so nobody can
/// make this read more than was signed. Else why none has them.
async fn signed(
    store: &dyn ObjectStore,
    wanted: &Wanted,
) -> std::result::Result<std::result::Result<(bytes::Bytes, Option<Version>), String>, StoreError> {
    let (mut lost, mut refused) = (None, None);
    for candidate in &wanted.candidates {
        match store.get(&wanted.key, candidate.version.as_ref(), None).await {
            Ok(bytes) if bytes.len() as u64 == candidate.bytes && hash::hash(&bytes) == wanted.hash => {
                return Ok(Ok((bytes, candidate.version.clone())));
            }
            Ok(_) => {}
            Err(error) if error.is_not_found() => {}
            Err(error) if error.kind == StoreErrorKind::Corrupt => drop(lost.get_or_insert(error.what)),
            // Another version may be the one that was signed.
            Err(error) if fetch::is_unreadable(error.kind) => drop(refused.get_or_insert(error)),
            Err(error) => return Err(error),
        }
    }
    if let Some(error) = refused {
        return Err(error);
    }
    Ok(Err(lost.unwrap_or_else(|| "no version has the bytes that were signed".to_owned())))
}

fn judge(needed: &Needed, lock: Option<Lock>, now: Time) -> Option<(&'static str, String)> {
    let promised = match needed.snapshot {
        Some(_) => format!("its snapshot promises {}", needed.floor),
        None => format!("the vault's policy promises {}", needed.floor),
    };
    match lock {
        // A promise that is over binds nobody.
        _ if needed.floor <= now => None,
        None => Some(("missing", format!("is missing, and {promised}: anybody who may delete can delete it"))),
        Some(lock) if !lock.mode.covers(needed.mode) => {
            Some(("mode", format!("is of mode {}, weaker than the vault's policy", lock.mode.as_str())))
        }
        Some(lock) if lock.until < needed.floor => Some(("short", format!("ends {}, but {promised}", lock.until))),
        Some(_) => None,
    }
}

/// Opens the packs of snapshots by their epochs; for the depth that has keys.
pub(super) type Openers = HashMap<SnapshotId, Opener>;

/// What was read.
#[derive(Default)]
pub(super) struct ReadBack {
    pub(super) bytes: u64,
    /// The hash of each pack's own directory, of those that were opened: of each hash its beginning, and of very many the
    /// first.
    directories: HashMap<u64, u64>,
    /// Whether a pack could be read, and the first that could not be.
    packs: bool,
    refused: Option<VaultError>,
}

impl ReadBack {
    fn refused(&mut self, needed: &Needed, error: &StoreError) {
        if needed.kind == Kind::Pack && error.kind == StoreErrorKind::Denied && self.refused.is_none() {
            let what =
                format!("none of the packs can be read with these credentials, so nothing is known of them: {error}");
            self.refused = Some(VaultError::new(VaultErrorKind::Denied, what).on(needed.key()));
        }
    }

    /// Fails if no pack could be read at all: then it is these credentials that read none. In a directory each file has a mode of
    /// its own.
    pub(super) fn must_be_some(&mut self, store: &dyn ObjectStore) -> Result<()> {
        let refused = self.refused.take().filter(|_| !self.packs && store.traits().trusted_time);
        refused.map_or(Ok(()), Err)
    }

    /// Whether a pack says other things of itself than this directory.
    pub(super) fn differs(&self, pack: &Hash, directory: &Hash) -> bool {
        self.directories.get(&beginning(pack)).is_some_and(|own| *own != beginning(directory))
    }
}

fn beginning(hash: &Hash) -> u64 {
    hash.as_bytes().first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}

/// What is to be read.
pub(super) struct Reading<'a> {
    /// Whether packs and indexes are, too, and not only the small documents, which every depth reads.
    pub(super) data: bool,
    /// Which part of the data.
    pub(super) sample: Option<(u32, u32)>,
    /// What opens packs, for the depth that does.
    pub(super) openers: &'a Openers,
}

/// Reads objects and checks their hashes; with openers, packs are opened and their directories are read, too.
pub(super) async fn read(
    vault: &Vault,
    inventory: &Inventory,
    Reading { data, sample, openers }: &Reading<'_>,
    progress: &Arc<dyn Progress>,
    cancel: &Cancel,
    (done, findings): (&mut ReadBack, &mut Findings),
) -> Result<()> {
    let wanted = |n: &&Needed| !n.missing() && (n.kind.is_document() || *data && in_sample(n.hash.as_bytes(), *sample));
    let chosen = || inventory.firm().filter(wanted);
    progress.phase("reading", Some(chosen().filter_map(|n| n.bytes).sum()));
    let room = &Semaphore::new(ROOM);
    let mut reads = stream::iter(chosen())
        .map(|needed| async move {
            let opener = needed.snapshot.and_then(|id| openers.get(&id)).filter(|_| needed.kind == Kind::Pack);
            let largest = needed.candidates.iter().map(|candidate| candidate.bytes).max().unwrap_or(0);
            let room_for = usize::try_from(largest >> 20).unwrap_or(ROOM).min(ROOM);
            let _room = room.acquire_many(u32::try_from(room_for).unwrap_or(0)).await;
            // Hashing is work for a core of its own.
            let read = tokio::spawn(one(Arc::clone(&vault.store), Wanted::of(needed), opener.cloned()));
            (needed, read.await.unwrap_or_else(|_| Err(VaultError::stage_gone("reading"))))
        })
        .buffer_unordered(READS);
    while let Some((needed, read)) = reads.next().await {
        stop_if_asked(cancel)?;
        let kind = needed.kind.as_str();
        let Read { bytes, directory } = match read? {
            Found::Whole(read) => read,
            Found::Unread(error) => {
                done.refused(needed, &error);
                let what = format!("this {kind} can't be read, so whether it is whole is not known: {error}");
                findings.push(needed.finding(Severity::Error, "object.unread", what));
                continue;
            }
            Found::Damaged(why) => {
                done.packs |= needed.kind == Kind::Pack;
                let what = format!("this {kind} is damaged: {why}: {}", needed.kind.meaning());
                findings.push(needed.finding(Severity::Error, &format!("{kind}.damaged"), what));
                continue;
            }
        };
        done.bytes += bytes;
        done.packs |= needed.kind == Kind::Pack;
        progress.advance(bytes);
        match directory {
            Some(Ok(directory)) if done.directories.len() < DIRECTORIES => {
                done.directories.insert(beginning(&needed.hash), beginning(&directory));
            }
            Some(Err(error)) => {
                let what = format!(
                    "this pack's bytes are what was signed, and yet it can't be opened, so its writer made it wrong: \
                     {error}; {}",
                    needed.kind.meaning()
                );
                findings.push(needed.finding(Severity::Error, "pack.sealed", what));
            }
            _ => {}
        }
    }
    Ok(())
}

/// What came of reading an object.
enum Found {
    Whole(Read),
    /// No version has the bytes that were signed, and why.
    Damaged(String),
    /// One that may have them can't be read.
    Unread(StoreError),
}

/// An object whose bytes were right.
struct Read {
    bytes: u64,
    /// The hash of the pack's directory, if it was to be opened.
    directory: Option<std::result::Result<Hash, String>>,
}

async fn one(store: Arc<dyn ObjectStore>, wanted: Wanted, opener: Option<Opener>) -> Result<Found> {
    let bytes = match signed(&*store, &wanted).await {
        Ok(Ok((bytes, _))) => bytes,
        Ok(Err(why)) => return Ok(Found::Damaged(why)),
        // Whoever may add objects can make one that nobody reads, and a disk can hold one that this user may not.
        Err(error) if fetch::is_unreadable(error.kind) => return Ok(Found::Unread(error)),
        Err(error) => return Err(error.into()),
    };
    let Some(opener) = opener else { return Ok(Found::Whole(Read { bytes: bytes.len() as u64, directory: None })) };
    // Opening is work for a core of its own.
    let task = tokio::task::spawn_blocking(move || {
        let directory = reader::directory_hash(&opener, &bytes).map_err(|error| error.to_string());
        Read { bytes: bytes.len() as u64, directory: Some(directory) }
    });
    task.await.map(Found::Whole).map_err(|_| VaultError::stage_gone("opening"))
}

/// Whether something named by a hash belongs to the `a`-th of `b` parts.
pub(super) fn in_sample(hash: &[u8; 32], sample: Option<(u32, u32)>) -> bool {
    let [a, b, c, d, ..] = *hash;
    sample.is_none_or(|(part, parts)| u32::from_be_bytes([a, b, c, d]) % parts.max(1) == part.saturating_sub(1))
}

pub(super) fn stop_if_asked(cancel: &Cancel) -> Result<()> {
    if cancel.is_cancelled() { Err(VaultError::cancelled()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_samples_cover_everything_once() {
        for n in 0..200_u32 {
            let hash = *crate::codec::hash::hash(&n.to_le_bytes()).as_bytes();
            let hits = (1..=20).filter(|a| in_sample(&hash, Some((*a, 20)))).count();
            assert_eq!(hits, 1);
            assert!(in_sample(&hash, None));
        }
    }
}
