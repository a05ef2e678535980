//! Putting right what is damaged, gone or locked too short in a vault, with the true bytes out of a copy.

use std::collections::{BTreeMap, HashMap, HashSet};

use tokio::sync::Semaphore;

use super::{
    Before, CopiedCount, CopyDone, CopyRequest, Limits, Pass, choice, documents, evidence,
    held::{self, Kept},
    journals, lasts,
    lease::{Lease, Word},
    lost::{self, Repair},
    mover::{Mend, Mover},
    orphans,
    place::Place,
    windows,
};
use crate::{
    format::layout,
    model::{Cancel, Finding, Findings, Progress, Severity, SnapshotId, Time},
    store::Mender,
    vault::{
        Result, Vault,
        copies::{Copies, Extent},
        snapshots::{self, Summary},
        upkeep::wrong,
    },
};

/// How many objects are looked at at once. What is read of them is bounded apart.
const JOBS: usize = 8;

/// How to repair.
#[derive(Debug, Clone, Copy)]
pub struct MendRequest {
    /// Read every byte, and not only names, sizes, locks and small documents.
    pub read: bool,
    /// Put nothing; say what would be.
    pub dry_run: bool,
}

/// What a repair did, or would do.
#[derive(Debug, Default)]
pub struct Mended {
    /// Snapshots whose objects were looked at.
    pub snapshots: u64,
    /// Objects that were put right, by kind.
    pub mended: BTreeMap<&'static str, CopiedCount>,
    /// Locks that were extended.
    pub extended: u64,
    /// Snapshots that are still not whole, or not locked as they promise.
    pub broken: Vec<SnapshotId>,
    /// What was found.
    pub findings: Findings,
}

/// Puts right in `vault` what `from`, a copy of it, has as it was signed.
///
/// # Errors
/// If a store does not answer, or does not let be put what must be. What can't be put right is a finding.
pub async fn mend(
    vault: &Vault,
    mender: &dyn Mender,
    from: &Vault,
    request: MendRequest,
    (progress, cancel): (&dyn Progress, &Cancel),
) -> Result<Mended> {
    progress.phase("comparing", None);
    let now = vault.store.server_time().await?;
    let place = place((vault, from), mender, now, request.dry_run).await?;
    let mend = Some(Mend { mender, read: request.read });
    let (stores, told) = ((&*from.store, &place), (progress, cancel));
    let mover = Mover::new(stores, (JOBS, Limits::default()), told, (request.dry_run, mend));
    let copying = CopyRequest { dry_run: request.dry_run, ..CopyRequest::default() };
    let lease = Lease::new(&*vault.store, Word::default_of(from.descriptor.vault), (None, None));
    place.list(layout::SNAPSHOTS).await?;

    let theirs = snapshots::list(from).await?;
    let ours = snapshots::list(vault).await?;
    let copies = Copies::of(&*vault.store).await?;
    let theirs_now = from.store.server_time().await?;
    let extents = (copies.extent(vault, now).await?, Copies::of(&*from.store).await?.extent(from, theirs_now).await?);
    let kept = Kept::of(from, &place).await?.and(Kept::of(vault, &place).await?);
    let lost = lost::records(&*vault.store).await?;
    let known = wanted((from, &kept), &place, &theirs.snapshots, (&extents.0, &lost));
    let ids: HashSet<SnapshotId> = known.iter().map(|snapshot| snapshot.id).collect();
    let own = honest(&ours.snapshots).into_iter().filter(|snapshot| !ids.contains(&snapshot.id));
    let own: Vec<Summary> = own.cloned().collect();

    let all = || known.iter().chain(&own);
    let furthest = all().map(|snapshot| lasts(&place, snapshot)).max().unwrap_or_else(|| place.usual());
    let needed = all().map(|snapshot| promised(&place, snapshot)).max().unwrap_or(now);
    let ready = Semaphore::new(0);
    let less_locked = copies.last(vault, now).await?.is_some_and(|last| last.less_locked);
    let before = Before { is_copy: !copies.is_empty(), lost, less_locked };
    let pass = Pass {
        source: from,
        reads: from,
        also: Some(vault),
        target: vault,
        mover: &mover,
        lease: &lease,
        ready: &ready,
        request: &copying,
        furthest,
        needed: needed.min(a_day_before(place.cap())),
        before: Some(&before),
        relocks: None,
    };
    let mut done = CopyDone::default();
    let repair = Repair { vault, from, ours: &ours, theirs: &theirs, known: &known, own: &own, extents: &extents, now };
    let listed = (documents::list(from, &place, Some(vault)), journals::list(from), documents::begin(from, &mover));
    let (documents, journals, begun) = tokio::try_join!(listed.0, listed.1, listed.2)?;
    lost::embedded(&pass, &repair, begun.has_descriptor(), &mut done).await?;
    documents::descriptor_first(&pass, begun, true, &mut done).await?;
    documents::copy(&pass, &documents, true, &mut done).await?;
    windows::copy(&pass, &known, &mut done).await?;
    let own_pass = Pass { reads: vault, also: Some(from), ..pass };
    windows::copy(&own_pass, &own, &mut done).await?;
    mover.must_have_read()?;
    lost::unread(&repair, &mut done).await?;
    journals::copy(&pass, journals, Some(theirs.snapshots.clone()), &mut done).await?;
    orphans::bring(&pass, (request.read, &before.lost), &mut done).await?;
    evidence::copy(&pass, &documents, &mut done).await?;
    held::follow(&pass, &kept, &mut done).await?;
    lost::name(&pass, &repair, &mut done).await?;
    if !request.dry_run {
        mark(vault, &copies, (request.read, done.unhealed), now).await?;
    }
    tell(&mover, request.dry_run, &mut done.findings);
    Ok(Mended {
        snapshots: (known.len() + own.len()) as u64,
        mended: mover.moved(),
        extended: place.extended() + done.held,
        broken: done.left_out,
        findings: done.findings,
    })
}

/// The place that is repaired.
async fn place<'a>(
    (vault, from): (&'a Vault, &Vault),
    mender: &'a dyn Mender,
    now: Time,
    dry_run: bool,
) -> Result<Place<'a>> {
    let mut place = Place::new(&*vault.store, from.descriptor.lock, now, (false, dry_run));
    place.mender = (!vault.store.traits().versions).then_some(mender);
    place.vault = Some(from.descriptor.vault);
    place.begin().await?;
    Ok(place)
}

/// What was put right.
fn tell(mover: &Mover<'_>, dry_run: bool, findings: &mut Findings) {
    for key in mover.mended() {
        let what = if dry_run {
            "damaged or gone here; the copy has it as it was signed"
        } else {
            "damaged or missing here; repaired and read back"
        };
        findings.push(Finding::new(Severity::Info, "repair.mended", what).on(key));
    }
    for key in mover.place.records() {
        let what = "the record of its lock could not be read; the object is right, and the record was made anew";
        findings.push(Finding::new(Severity::Info, "repair.mended", what).on(format!("{key}.lock")));
    }
}

/// Until when a snapshot is to be kept, whenever that is asked.
fn promised(place: &Place<'_>, snapshot: &Summary) -> Time {
    let most = snapshot.since() + (place.cap().since(place.now));
    snapshot.header.expires_at.max(snapshot.header.floor_until).min(most)
}

/// What is needed for longer than any lock lasts would be extended at each repair, by as long as the last was ago.
fn a_day_before(cap: Time) -> Time {
    Time::from_unix(cap.unix().saturating_sub(86_400))
}

/// Notes in a copy whether something is left there that is not what was signed. A page that was put back over such a pack
/// says nothing of it any more, so whoever copies goes by the bytes until all of them were seen to be right.
async fn mark(vault: &Vault, copies: &Copies, (read, unhealed): (bool, bool), now: Time) -> Result<()> {
    let Some(last) = copies.last(vault, now).await? else { return Ok(()) };
    if last.unhealed == unhealed || !unhealed && !read {
        return Ok(());
    }
    let (from, had) = (last.from.clone(), last.had.clone());
    let word = Word { vault: last.vault, from, part: last.part, unhealed, less_locked: last.less_locked, had };
    Lease::new(&*vault.store, word, (None, Some(last))).say(now).await
}

/// Those of a listing that an honest run made.
fn honest(all: &[Summary]) -> Vec<&Summary> {
    let by_id: HashMap<SnapshotId, &Summary> = all.iter().map(|snapshot| (snapshot.id, snapshot)).collect();
    all.iter().filter(|one| !one.standing.future && wrong(one, &by_id).is_none()).collect()
}

/// The snapshots of the copy that belong here: those that are not over, and those whose headers have a name here. Of a copy
/// of a part, the latter alone, those of whose headers the record of a lock is left, and those that it had while it was whole.
fn wanted(
    (from, kept): (&Vault, &Kept),
    place: &Place<'_>,
    all: &[Summary],
    (extent, lost): (&Extent, &HashSet<String>),
) -> Vec<Summary> {
    let live = choice::wanted((from, kept), place, &CopyRequest::default(), &honest(all));
    let live: HashSet<SnapshotId> = live.into_iter().map(|snapshot| snapshot.id).collect();
    let had = |snapshot: &Summary| !extent.may_lack(&snapshot.header.writer, snapshot.header.seq);
    let was_here = |snapshot: &Summary| place.there(&snapshot.key()) || lost.contains(snapshot.key().as_str());
    let belongs = |snapshot: &&&Summary| was_here(snapshot) || had(snapshot) && live.contains(&snapshot.id);
    honest(all).iter().filter(belongs).map(|snapshot| Summary::clone(snapshot)).collect()
}
