//! Copying a vault to another place, by hash: what is there already is left as it is, what is missing is read from the
//! source, hashed, put under its name and locked, and headers come last. Needs no identity and no key of the root.

mod again;
mod choice;
mod documents;
mod evidence;
mod flow;
mod held;
mod journals;
mod lease;
mod limit;
mod lost;
pub mod mend;
mod mover;
mod object;
mod orphans;
mod place;
mod reads;
mod table;
mod wanted;
mod windows;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::Serialize;
use tokio::sync::{Semaphore, oneshot};

use super::{Result, Vault, VaultError, snapshots::Summary};
use crate::{
    format::{copied::CopyRecord, parity::Rate},
    model::{Cancel, Findings, Name, Progress, Severity, SnapshotId, Time},
};
use choice::Chosen;
use documents::Begun;
use lease::{Lease, Word};
use mover::Mover;
pub(in crate::vault) use object::kind_of;
pub use place::Less;
use place::Place;

/// What of a vault to copy, and how.
#[derive(Debug, Clone, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each says something of its own")]
pub struct CopyRequest {
    /// Snapshots of these sources alone; of all if there are none.
    pub sources: Vec<Name>,
    /// Of each source only so many of the newest.
    pub newest: Option<usize>,
    /// Only those that are not older.
    pub since: Option<Time>,
    /// Put nothing; say what would be.
    pub dry_run: bool,
    /// Copy also what can't be locked as long as it should be.
    pub as_possible: bool,
    /// How many objects are moved at once.
    pub jobs: usize,
    /// How fast.
    pub limits: Limits,
    /// Where the copy is made from, for its record.
    pub from: String,
    /// Put a record also if nothing is copied.
    pub mark: bool,
    /// Whether the target was just seen to hold nothing at all, so that it need not be listed.
    pub fresh: bool,
    /// The target's time, if it was asked a moment ago.
    pub now: Option<Time>,
    /// What the last record in the target says, if it has one.
    pub last: Option<CopyRecord>,
    /// How much parity to make beside a directory; without one, what is there is kept in step.
    pub parity: Option<Rate>,
}

impl CopyRequest {
    /// Whether only a part of the vault is wanted.
    #[must_use]
    pub fn is_part(&self) -> bool {
        !self.sources.is_empty() || self.newest.is_some() || self.since.is_some()
    }

    /// Whether the locks of what is there already are looked at again: an earlier pass was allowed to lock for less, and this
    /// one is not.
    fn looks_again(&self) -> bool {
        !self.as_possible && self.last.as_ref().is_some_and(|last| last.less_locked)
    }
}

/// Bytes per second; without one as many as come.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// Read from the source.
    pub down: Option<u64>,
    /// Put into the target.
    pub up: Option<u64>,
}

/// What was copied of one kind, or would be.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CopiedCount {
    /// Objects.
    pub objects: u64,
    /// Their bytes, as far as they are known.
    pub bytes: u64,
}

/// What a pass of copying did, or would do.
#[derive(Debug, Default)]
pub struct CopyDone {
    /// Snapshots that were to be in the target and are there already.
    pub there: u64,
    /// Snapshots that were copied.
    pub copied: Vec<SnapshotId>,
    /// Snapshots that were left out, since what they need is damaged, can't be locked, or is none of an honest run's.
    pub left_out: Vec<SnapshotId>,
    /// By kind: `packs`, `lists`, `indexes`, `snapshots`, `journals`, `members`, `keys`, `evidence`, `descriptor` and so on.
    pub moved: BTreeMap<&'static str, CopiedCount>,
    /// The lock that ends first among those that were read.
    pub weakest_lock: Option<Time>,
    /// Locks that are less than was promised, where that was allowed.
    pub less: Less,
    /// Locks that were extended for what is held.
    pub held: u64,
    /// Whether a repair left something that is not what was signed.
    unhealed: bool,
    /// Writers of whom a repair can't tell which packs they have: what would name them is gone from both places.
    unnamed: BTreeSet<Name>,
    /// What was found.
    pub findings: Findings,
}

impl CopyDone {
    /// Adds what was found and counted apart.
    fn join(&mut self, apart: Self) {
        self.findings.extend(apart.findings.into_vec());
        for (kind, count) in apart.moved {
            let all = self.moved.entry(kind).or_default();
            (all.objects, all.bytes) = (all.objects + count.objects, all.bytes + count.bytes);
        }
    }
}

/// Copies what the target lacks of `source`.
///
/// # Errors
/// If a store does not answer or refuses what it must allow, or the target can't lock. What is wrong with single objects is a
/// finding, and the snapshots that need them are left out.
pub async fn copy(
    source: &Vault,
    target: &Vault,
    request: &CopyRequest,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<CopyDone> {
    progress.phase("comparing", None);
    let now = match request.now {
        Some(now) => now,
        None => target.store.server_time().await?,
    };
    let mut place = Place::new(&*target.store, source.descriptor.lock, now, (request.as_possible, false));
    place.fresh = request.fresh;
    place.distrusts = request.last.as_ref().is_some_and(|last| last.unhealed);
    let (stores, told) = ((&*source.store, &place), (progress, cancel));
    let mover = Mover::new(stores, (request.jobs, request.limits), told, (request.dry_run, None));
    let (send, begun) = oneshot::channel();
    // What is to be copied is chosen and read meanwhile.
    let first = async {
        // Whoever waits for it is gone if something failed there.
        drop(send.send(documents::begin(source, &mover).await?));
        Ok(())
    };
    let ((), done) = tokio::try_join!(first, copy_all((source, target), &mover, request, begun))?;
    Ok(done)
}

async fn copy_all(
    (source, target): (&Vault, &Vault),
    mover: &Mover<'_>,
    request: &CopyRequest,
    begun: oneshot::Receiver<Begun>,
) -> Result<CopyDone> {
    let (place, policy, mut done) = (mover.place, source.descriptor.lock, CopyDone::default());
    // All that is only listed is asked for at once.
    let (chosen, documents, journals) = tokio::try_join!(
        choice::choose(source, place, request),
        documents::list(source, place, None),
        journals::list(source),
    )?;
    let Chosen { new, all, findings, there, refused, kept, part, had, again } = chosen;
    // What was a part is one until a pass for the whole is over, whatever stops this one.
    let completes = !part && request.last.as_ref().is_some_and(|last| last.part);
    done.findings.extend(findings.into_vec());
    (done.there, done.left_out) = (there, refused);
    let furthest = new.iter().map(|snapshot| lasts(place, snapshot)).max().unwrap_or_else(|| place.usual());
    let lock = (!request.as_possible).then_some((policy.mode, furthest.max(place.usual())));
    let (vault, part) = (source.descriptor.vault, part || completes);
    let had = if part { had } else { BTreeMap::new() };
    let less_locked = request.as_possible || request.looks_again();
    let word = Word { vault, from: request.from.clone(), part, unhealed: place.distrusts, less_locked, had };
    let lock = lock.filter(|_| place.store.traits().explicit_locks);
    let lease = Lease::new(place.store, word, (lock, request.last.clone()));
    let ready = Semaphore::new(0);
    let (lease, ready) = (&lease, &ready);
    let pass = Pass {
        source,
        reads: source,
        also: None,
        target,
        mover,
        lease,
        ready,
        request,
        furthest,
        needed: place.now,
        before: None,
        relocks: again.iter().map(|snapshot| snapshot.header.floor_until).filter(|until| *until > place.now).max(),
    };
    let (mut of_documents, mut of_evidence) = (CopyDone::default(), CopyDone::default());
    let first = async {
        let begun = begun.await.map_err(|_| VaultError::stage_gone("descriptor"))?;
        documents::descriptor_first(&pass, begun, !new.is_empty(), &mut of_documents).await?;
        if place.fresh && !request.dry_run && !new.is_empty() {
            // From the beginning on, the place says what it is.
            lease.hold().await?;
        }
        documents::copy(&pass, &documents, !new.is_empty(), &mut of_documents).await?;
        if request.mark && !request.dry_run {
            lease.hold().await?;
        }
        Ok(())
    };
    tokio::try_join!(
        first,
        windows::copy(&pass, &new, &mut done),
        evidence::copy(&pass, &documents, &mut of_evidence),
    )?;
    mover.must_have_read()?;
    journals::copy(&pass, journals, all, &mut done).await?;
    held::follow(&pass, &kept, &mut done).await?;
    lost::of_source(source, &mut done).await?;
    for apart in [of_documents, of_evidence] {
        done.join(apart);
    }
    let less_locked = again::look(&pass, &again, &mut done).await?;
    if !request.dry_run {
        // Told to be whole, also where nothing was left to be copied.
        lease.conclude((completes, less_locked)).await?;
    }
    done.moved.extend(mover.moved());
    done.weakest_lock = place.weakest();
    done.less = place.less();
    Ok(done)
}

/// What every part of a pass works with.
struct Pass<'a> {
    source: &'a Vault,
    /// Where headers and pages are read.
    reads: &'a Vault,
    /// Where pages are read that can't be read there.
    also: Option<&'a Vault>,
    mover: &'a Mover<'a>,
    lease: &'a Lease<'a>,
    /// Open once the documents are there, without which no header may be.
    ready: &'a Semaphore,
    request: &'a CopyRequest,
    /// Until when the vault's documents are needed.
    furthest: Time,
    /// Until when a repair sees to it that they are locked.
    needed: Time,
    /// Where the copy goes, or what is repaired.
    target: &'a Vault,
    /// What a repair knows of headers that are not there.
    before: Option<&'a Before>,
    /// Until when what is there is to be locked at least, where its locks are looked at again.
    relocks: Option<Time>,
}

impl Pass<'_> {
    /// Whether the lock of something is looked at that is promised until a time: not where that is over, unless the record
    /// of it may be damaged.
    fn looks_at(&self, promised: Time) -> bool {
        promised > self.mover.place.now || self.mover.place.mender.is_some()
    }

    /// Whether a header belongs here although not all that it needs is: a repair puts back what the place had, so that what
    /// is left of its snapshot can be restored. A copy never has one whose closure is not there and locked.
    fn promised(&self, snapshot: &Summary, worst: Severity) -> bool {
        let Some(before) = self.before else { return false };
        let key = snapshot.key();
        let as_allowed = before.less_locked && worst < Severity::Error;
        !before.is_copy || as_allowed || self.mover.place.there(&key) || before.lost.contains(key.as_str())
    }
}

/// What a place that is repaired had before.
#[derive(Debug, Default)]
struct Before {
    /// Whether it is a copy, which may never have had what another place has.
    is_copy: bool,
    /// Names of which the record of a lock is left.
    lost: HashSet<String>,
    /// Whether locks may be less here than what is promised, as was allowed when it was copied.
    less_locked: bool,
}

/// Until when what a snapshot needs is to be locked: as long as it is to be kept, as far as the root allows.
fn lasts(place: &Place<'_>, snapshot: &Summary) -> Time {
    let most = snapshot.since() + (place.cap().since(place.now));
    let wanted = snapshot.header.expires_at.max(snapshot.header.floor_until).min(most);
    wanted.max(place.usual()).min(place.cap())
}
