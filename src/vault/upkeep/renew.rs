//! Extending locks while snapshots need them: by signed headers alone, version by version.

use std::collections::{BTreeMap, HashMap};

use futures::{StreamExt, TryStreamExt, stream};

pub use super::due::Renewed;
use super::{
    Everything, documents,
    due::{Due, Looked, generation},
    journals::{self, Bases},
    list, list_part,
    needs::{Floors, Need, Needs},
    plausible::{longest, wrong},
};
use crate::{
    codec::hash,
    format::{
        header::HEADER_LIMIT,
        index::SEALED_LIMIT,
        layout::{self, ObjectName},
    },
    model::{Cancel, Finding, Hash, Key, Lock, Name, Progress, Severity, SnapshotId, Span, Time},
    store::{ObjectStore, StoreError, StoreErrorKind, Version},
    vault::{
        Result, Vault, VaultError,
        fetch::{self, Room},
        holds::{Held, Holds},
        journal::Gathering,
        snapshots,
        snapshots::Summary,
        stock::{Stock, Stocks, Stored, Told, keep},
    },
};

/// So many objects are looked at before those that are due are extended.
const BATCH: usize = 10_000;
/// How many objects are looked at once. Of some all versions are read, to tell which one was signed.
const LOOKS: usize = 16;
/// A lock is extended when it ends within this time.
pub(super) const LEAD: Span = Span::days(7);

/// Extends the locks of what live snapshots need, or with `dry_run` only says what is due. Does the same when it is run
/// again, and then finds nothing due.
///
/// # Errors
/// If the store can't be listed or read.
pub async fn renew(vault: &Vault, dry_run: bool, progress: &dyn Progress, cancel: &Cancel) -> Result<Renewed> {
    progress.phase("reading headers", None);
    let listing = snapshots::list(vault).await?;
    let now = vault.store.server_time().await?;
    let mut done = Renewed::default();
    done.findings.extend(vault.findings.iter().cloned().chain(listing.findings));
    let holds = Holds::of(vault).await?;
    done.findings.extend(holds.findings.iter().cloned());
    let wanted = wanted(vault, &listing.snapshots, &holds, now, &mut done);
    done.reads += listing.snapshots.len() as u64;
    let most = vault.descriptor.lock.max_lock;
    let of = |held: &Held| {
        let (until, floor) = (held.hold.until, held.hold.until.min(held.hold.at + most));
        held.hold.snapshots.iter().map(|id| (*id, held.there, (until, floor))).collect::<Vec<_>>()
    };
    let journals = holds.active(now).flat_map(of).collect();
    let floors = floors(&holds, most, now);
    let work = Work { holds: &holds, journals, floors, now, lead: LEAD, dry_run, progress, cancel };
    work.extend(vault, &wanted, done).await
}

/// What holds promised when they were made: that all that a snapshot needs is locked until their end, or as far as the root
/// lets it be. Who holds sees to it at once; in a place that the hold was copied to, nobody did.
fn floors(holds: &Holds, most: Span, now: Time) -> Floors {
    let mut floors = Floors::new();
    for held in holds.active(now) {
        let floor = held.hold.until.min(held.hold.at + most);
        for id in &held.hold.snapshots {
            let known = floors.entry(*id).or_insert(floor);
            *known = floor.max(*known);
        }
    }
    floors
}

/// Extends the locks of what some snapshots and their journals need to the end of a hold, or as far as the root lets it be,
/// also where they would last for a while. Reads them back.
///
/// # Errors
/// If the store can't be listed or read. What can't be extended is a finding.
pub async fn freeze(
    vault: &Vault,
    held: &[(&Summary, Time)],
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<Renewed> {
    let now = vault.store.server_time().await?;
    let journals = held.iter().map(|(snapshot, until)| (snapshot.id, now, (*until, now))).collect();
    let lead = vault.descriptor.lock.max_lock;
    let (holds, floors) = (&Holds::default(), Floors::new());
    let work = Work { holds, journals, floors, now, lead, dry_run: false, progress, cancel };
    work.extend(vault, held, Renewed::default()).await
}

/// What all extending has in common.
struct Work<'a> {
    holds: &'a Holds,
    /// Bases that are held, since when and until when, and until when they were locked at once.
    journals: Vec<(SnapshotId, Time, (Time, Time))>,
    floors: Floors,
    now: Time,
    /// A lock is extended when it ends within this time.
    lead: Span,
    dry_run: bool,
    progress: &'a dyn Progress,
    cancel: &'a Cancel,
}

impl Work<'_> {
    async fn extend(&self, vault: &Vault, wanted: &[(&Summary, Time)], mut done: Renewed) -> Result<Renewed> {
        let Self { now, lead, progress, cancel, .. } = *self;
        let store = &*vault.store;
        let mut bases = Bases::of(wanted.iter().map(|(snapshot, _)| *snapshot), &vault.descriptor.lock);
        let by_id: HashMap<SnapshotId, &Summary> =
            wanted.iter().map(|(snapshot, _)| (snapshot.id, *snapshot)).collect();
        for (id, since, until) in &self.journals {
            if let Some(snapshot) = by_id.get(id) {
                bases.hold(snapshot, *since, *until);
            }
        }
        let mut gathered = Gathering::of(Box::new(|writer, source| bases.has(writer, source)));
        let (mut all, mut rest) = (Stock::new(vault.room, false), Everything::new());
        list(store, "", &mut gathered, &mut |key, stored| {
            let Err(stored) = all.add(key, stored) else { return };
            let ours = match layout::parse(key) {
                Some(ObjectName::Header(.., id)) => by_id.contains_key(&id),
                other => other.is_some_and(|is| documents::is_one(&is)),
            };
            if ours && let Ok(key) = key.parse() {
                keep(rest.entry(key).or_default(), stored);
            }
        })
        .await?;
        done.snapshots = wanted.len() as u64;
        done.reads += all.listed().saturating_add(rest.len() as u64).div_ceil(1000);
        let furthest = wanted.iter().map(|(_, until)| *until).max().unwrap_or(now);
        let cap = now + vault.descriptor.lock.max_lock;
        progress.phase("reading locks", None);
        let mut due = documents::metadata(vault, &rest, self.holds, (now, furthest, cap), cancel, &mut done).await?;
        let headers = wanted.iter().map(|(snapshot, until)| {
            let hash = Hash::from_bytes(*snapshot.id.as_bytes());
            let floor = self.floors.get(&snapshot.id).copied().unwrap_or(Time::from_unix(0));
            let need = Need { hash, bytes: None, hint: None, until: *until, floor, header: true };
            let key = snapshot.key();
            let stored = rest.get(&key).map_or(&[][..], Vec::as_slice);
            (key, need, stored)
        });
        let times = (now, lead, cap);
        self.settle(vault, due, &mut done).await?;
        self.data(vault, (wanted, all), times, &mut done).await?;
        let (mut seen, journals) = (Vec::new(), (&bases, gathered));
        journals::look(vault, journals, (now, LEAD), cancel, &mut |looked| done.piece(looked, times, &mut seen))
            .await?;
        for one in &mut seen {
            if one.version.is_none() {
                one.version = journals::version_of(store, &one.key).await?;
            }
        }
        self.settle(vault, seen, &mut done).await?;
        // Last, so that the lock of a header tells of what its snapshot needs.
        due = Vec::new();
        self.look(vault, headers, times, (&mut due, &mut done)).await?;
        self.settle(vault, due, &mut done).await?;
        Ok(done)
    }

    /// Packs, pages and indexes, a part of them at a time.
    async fn data(
        &self,
        vault: &Vault,
        (wanted, all): (&[(&Summary, Time)], Stock),
        times: (Time, Span, Time),
        done: &mut Renewed,
    ) -> Result<()> {
        let (mut parts, mut told) = (Stocks::of(all), Told::default());
        while let Some(mut stock) = parts.next() {
            if stock.is_to_be_listed() {
                list_part(&*vault.store, &mut stock, &[layout::INDEXES, layout::LISTS, layout::PACKS]).await?;
            }
            let needs = Needs::of(vault, wanted, (&stock, &mut told), &self.floors, self.cancel).await?;
            done.objects += needs.lost_count;
            done.findings.extend(needs.findings.into_vec().into_iter().chain(needs.lost.into_vec()));
            let mut needed =
                stock.objects().iter().zip(needs.objects).filter_map(|(object, need)| Some((object, need?)));
            loop {
                let mut due = Vec::new();
                let some: Vec<_> = needed.by_ref().take(BATCH).collect();
                if some.is_empty() {
                    break;
                }
                let some = some.into_iter().map(|(object, need)| (object.at.key(), need, object.versions.as_slice()));
                self.look(vault, some, times, (&mut due, done)).await?;
                self.settle(vault, due, done).await?;
            }
        }
        Ok(())
    }

    /// Looks at objects, and adds those that are due.
    async fn look<'a>(
        &self,
        vault: &Vault,
        objects: impl Iterator<Item = (Key, Need, &'a [Stored])>,
        times: (Time, Span, Time),
        (due, done): (&mut Vec<Due>, &mut Renewed),
    ) -> Result<()> {
        let (store, room) = (&*vault.store, &Room::new());
        let mut looks = stream::iter(objects)
            .map(|(key, need, stored)| async move { (look((store, room), &key, &need, stored, times).await, key) })
            .buffered(LOOKS);
        while let Some((looked, key)) = looks.next().await {
            if self.cancel.is_cancelled() {
                return Err(VaultError::cancelled());
            }
            done.take(looked?, key, due);
        }
        Ok(())
    }

    /// Extends what is due, or counts it.
    async fn settle(&self, vault: &Vault, due: Vec<Due>, done: &mut Renewed) -> Result<()> {
        if self.dry_run {
            for one in &due {
                done.extended(one, one.until);
            }
            return Ok(());
        }
        if !due.is_empty() {
            self.progress.phase("extending locks", None);
        }
        extend(vault, due, self.cancel, done).await
    }
}

/// The snapshots to keep locked and until when: all whose time is not over, the newest of each source anyway, and those that
/// are held, whatever their headers say.
pub(super) fn wanted<'a>(
    vault: &Vault,
    all: &'a [Summary],
    holds: &Holds,
    now: Time,
    done: &mut Renewed,
) -> Vec<(&'a Summary, Time)> {
    let by_id: HashMap<SnapshotId, &Summary> = all.iter().map(|s| (s.id, s)).collect();
    let mut newest: BTreeMap<(&Name, &Name), SnapshotId> = BTreeMap::new();
    let (mut good, mut held) = (Vec::new(), Vec::new());
    for snapshot in all {
        if let Some(why) = wrong(snapshot, &by_id) {
            done.refused += 1;
            let what = format!("nothing is extended for this header: {why}");
            done.findings.push(Finding::new(Severity::Warning, "header.refused", what).of(snapshot.id));
            if let Some(until) = holds.until(&snapshot.id, now) {
                held.push((snapshot, until));
            }
            continue;
        }
        newest.insert((&snapshot.header.writer, &snapshot.header.source), snapshot.id);
        good.push(snapshot);
    }
    let mut wanted = held;
    for snapshot in good {
        let most = longest(vault, snapshot);
        let mut until = snapshot.header.expires_at;
        if until > most {
            let what = format!("this header asks to be kept until {until}; the root allows no more than {most}");
            done.findings.push(Finding::new(Severity::Warning, "header.greedy", what).of(snapshot.id));
            until = most;
        }
        if newest.get(&(&snapshot.header.writer, &snapshot.header.source)) == Some(&snapshot.id) {
            until = until.max(now + LEAD);
        }
        until = until.max(holds.until(&snapshot.id, now).unwrap_or(until));
        if until > now {
            wanted.push((snapshot, until));
        }
    }
    wanted
}

/// Finds the version that was signed, reads its lock, and says whether that must be extended.
async fn look(
    (store, room): (&dyn ObjectStore, &Room),
    key: &Key,
    need: &Need,
    stored: &[Stored],
    (now, lead, cap): (Time, Span, Time),
) -> Result<Looked> {
    let mut reads = 1;
    let found = match signed_version((store, room), key, need, stored, &mut reads).await {
        Ok(Some(found)) => found,
        Ok(None) => return Ok(Looked::Lost),
        Err(error) if fetch::is_unreadable(error.kind) => return Ok(Looked::Unread(error.to_string())),
        Err(error) => return Err(error.into()),
    };
    let lock = match store.lock_of(key, found.version.as_ref()).await {
        Err(error) if fetch::is_unreadable(error.kind) => return Ok(Looked::Unread(error.to_string())),
        other => other?,
    };
    let until = due_until(lock.map_or(now, |lock| lock.until), (need.until, need.floor), (now, lead, cap));
    Ok(Looked::Seen { version: found.version.clone(), bytes: found.bytes, lock, until, reads })
}

/// To when a lock is extended that ends at `ends`, of what is needed until `need` and must be locked until `floor` at once;
/// nothing if it is not due.
pub(super) fn due_until(ends: Time, (need, floor): (Time, Time), (now, lead, cap): (Time, Span, Time)) -> Option<Time> {
    let due = ends < need && (ends < now + lead || ends < floor);
    due.then(|| generation(need).min(cap)).filter(|until| *until > ends)
}

/// The version whose bytes are those that were signed. Where there is one only, and it is the one that the writer was
/// told of, nobody put another; else the bytes decide. A newer one that somebody put is never taken for it.
async fn signed_version<'a>(
    (store, room): (&dyn ObjectStore, &Room),
    key: &Key,
    need: &Need,
    stored: &'a [Stored],
    reads: &mut u64,
) -> std::result::Result<Option<&'a Stored>, StoreError> {
    let candidates = match candidates(need, stored) {
        Candidates::Known(only) => return Ok(Some(only)),
        Candidates::ToRead(candidates) => candidates,
    };
    let mut refused = None;
    for candidate in candidates {
        *reads += 1;
        let _room = room.take(candidate.bytes).await;
        match store.get(key, candidate.version.as_ref(), None).await {
            Ok(bytes) if hash::hash(&bytes) == need.hash => return Ok(Some(candidate)),
            Ok(_) => {}
            Err(error) if matches!(error.kind, StoreErrorKind::NotFound | StoreErrorKind::Corrupt) => {}
            // Another version may be the one that was signed.
            Err(error) if fetch::is_unreadable(error.kind) => drop(refused.get_or_insert(error)),
            Err(error) => return Err(error),
        }
    }
    refused.map_or(Ok(None), Err)
}

/// The versions that may have the bytes that were signed.
pub(super) enum Candidates<'a> {
    /// Only this one can, and it is the one that the writer was told of.
    Known(&'a Stored),
    /// One of these, that of the hint first: the bytes decide.
    ToRead(Vec<&'a Stored>),
}

/// Which versions may be the one that was signed.
pub(super) fn candidates<'a>(need: &Need, stored: &'a [Stored]) -> Candidates<'a> {
    // Whatever its size is said to be: nobody reads more.
    let limit = if need.header { HEADER_LIMIT } else { SEALED_LIMIT };
    let fits = |s: &&Stored| !s.marker && s.bytes <= limit as u64 && need.bytes.is_none_or(|bytes| bytes == s.bytes);
    let single = stored.iter().filter(|s| !s.marker).count() == 1;
    let hinted = |s: &Stored| s.version.as_ref().map(Version::as_str) == need.hint.as_deref();
    let mut candidates: Vec<&Stored> = stored.iter().filter(fits).collect();
    if let Some(only) = candidates.first().filter(|s| single && (need.header || hinted(s))) {
        return Candidates::Known(only);
    }
    candidates.sort_by_key(|s| !hinted(s));
    Candidates::ToRead(candidates)
}

/// Extends each, one update of a version at a time, and holds what is read back against what was asked.
async fn extend(vault: &Vault, due: Vec<Due>, cancel: &Cancel, done: &mut Renewed) -> Result<()> {
    let mode = vault.descriptor.lock.mode;
    let results: Vec<_> = stream::iter(due)
        .map(|one| async move {
            if cancel.is_cancelled() {
                return Err(VaultError::cancelled());
            }
            let wanted = Lock { mode, until: one.until };
            let result = vault.store.extend_lock(&one.key, one.version.as_ref(), wanted).await;
            Ok((one, result))
        })
        .buffered(vault.store.at_once())
        .try_collect()
        .await?;
    for (one, result) in results {
        match result {
            Ok(lock) if lock.until >= one.until && lock.mode.covers(mode) => done.extended(&one, lock.until),
            Ok(lock) => {
                done.holds(lock.until);
                let what = format!("this lock was to be extended until {}, and ends {}", one.until, lock.until);
                done.findings.push(Finding::new(Severity::Weak, "lock.short", what).on(&one.key));
            }
            Err(error) => {
                done.holds(one.now.map_or(Time::from_unix(0), |lock| lock.until));
                let what = format!("its lock could not be extended: {error}");
                done.findings.push(Finding::new(Severity::Weak, "lock.refused", what).on(&one.key));
            }
        }
    }
    Ok(())
}
