//! Verification: what the vault's signed documents promise, held against what the store has.
//!
//! Every finding is reported; nothing stops at the first. Three depths: `locks` reads headers, pages and locks, `read`
//! every byte, `decrypt` opens and decodes all streams.

mod begun;
mod chain;
mod checkpoint;
mod documents;
mod freshness;
mod held;
mod inventory;
mod journals;
mod listing;
mod looking;
mod needed;
mod objects;
mod packs;
mod streams;
mod unchecked;

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;

use super::{
    Result, Vault, VaultError, VaultErrorKind,
    copies::{Copies, Extent},
    copy_records,
    evidence::Signed,
    holds::Held,
    journal::Gathering,
    snapshots::{self, Listing, Summary},
    standing,
};
use crate::{
    codec::seal::Opener,
    model::{Cancel, Finding, Findings, Name, Progress, Severity, SnapshotId, SourceKind, Span, Time},
    signal::Level,
};
use documents::Documents;
use inventory::Inventory;
use looking::{Looked, Looking};
use objects::ReadBack;

pub use checkpoint::{Checkpoint, Head};
pub use freshness::Freshness;
pub use journals::{Further, Recovery};
pub use objects::Weakest;

/// How deep a verification looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Depth {
    /// Headers, signatures, presence, sizes and locks. Needs no key and downloads no pack.
    Locks,
    /// And the hash of every sealed byte. Needs no key.
    Read,
    /// And every chunk and stream, opened. Needs an identity.
    Decrypt,
}

impl Depth {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Locks => "locks",
            Self::Read => "read",
            Self::Decrypt => "decrypt",
        }
    }
}

/// What to verify.
pub struct VerifyRequest {
    /// How deep.
    pub depth: Depth,
    /// Opens the snapshots; for [`Depth::Decrypt`].
    pub opener: Option<Opener>,
    /// Only this snapshot.
    pub snapshot: Option<SnapshotId>,
    /// Read only the `a`-th of `b` parts of what there is to read; `b` runs with `a` from 1 to `b` read all.
    pub sample: Option<(u32, u32)>,
    /// How often each source is expected to have a new snapshot; of others it is learned.
    pub schedule: BTreeMap<Name, Span>,
    /// Whose sources the schedule is about, if not everybody's.
    pub writer: Option<Name>,
    /// Names of sources that somebody typed: one of which there is no snapshot is a mistake.
    pub typed: Vec<Name>,
    /// How old the newest piece of a source's journal may be.
    pub journals: BTreeMap<Name, Span>,
    /// What was seen last time. It must belong to this vault.
    pub checkpoint: Option<Checkpoint>,
}

impl VerifyRequest {
    /// Everything, so deep, without an identity and without memory.
    #[must_use]
    pub fn new(depth: Depth) -> Self {
        let (schedule, journals, typed) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        let (snapshot, sample, writer, checkpoint) = (None, None, None, None);
        Self { depth, opener: None, snapshot, sample, schedule, writer, typed, journals, checkpoint }
    }
}

/// One snapshot as a verification saw it.
#[derive(Debug, Clone, Serialize)]
pub struct Seen {
    /// Its id.
    pub id: SnapshotId,
    /// Its source.
    pub source: Name,
    /// What kind of source that is.
    pub kind: SourceKind,
    /// Who wrote it.
    pub writer: Name,
    /// When its run started.
    pub started_at: Time,
    /// Until when it was promised to be locked.
    pub floor_until: Time,
    /// Until when it is to be kept.
    pub expires_at: Time,
    /// When the first lock ends that it needs.
    pub locked_until: Option<Time>,
    /// Bytes of its streams.
    pub bytes: u64,
    /// Sealed bytes of the packs that no earlier snapshot needed.
    pub stored: u64,
    /// Whether its writer was revoked from a time before it.
    pub suspect: bool,
    /// Whether it claims to be of a time that is not yet.
    pub future: bool,
    /// What its writer found odd about what it backed up, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<Level>,
    /// Whether it has all of its source, as far as its writer says.
    pub whole: bool,
}

/// What a verification saw.
#[derive(Debug)]
pub struct VerifyReport {
    /// How deep it looked.
    pub depth: Depth,
    /// When it began, by the store's clock.
    pub at: Time,
    /// Snapshots checked.
    pub snapshots: u64,
    /// Objects checked.
    pub objects: u64,
    /// What they amount to, in bytes.
    pub bytes: u64,
    /// Bytes read of them.
    pub bytes_read: u64,
    /// Streams that were looked at, and bytes that were decoded.
    pub streams: u64,
    /// Decoded bytes.
    pub bytes_decoded: u64,
    /// Objects that no valid signature names.
    pub foreign: u64,
    /// Their bytes.
    pub foreign_bytes: u64,
    /// The end of the lock that ends first among all that live snapshots need.
    pub weakest: Option<Weakest>,
    /// How each source stands with its schedule.
    pub sources: Vec<Freshness>,
    /// Up to where each base of a journal can be recovered.
    pub recoveries: Vec<Recovery>,
    /// What was not checked, in words.
    pub not_checked: Vec<String>,
    /// The snapshots, oldest first.
    pub seen: Vec<Seen>,
    /// The holds that a keeper or the root signed, oldest first.
    pub holds: Vec<Held>,
    /// The evidence whose signature leads to root, oldest first.
    pub evidence: Vec<Signed>,
    /// What to remember until next time.
    pub checkpoint: Checkpoint,
    /// Everything that was found.
    pub findings: Vec<Finding>,
}

/// Verifies a vault.
///
/// # Errors
/// If the store can't be listed, there is no such snapshot, or an identity is missing. Whatever is wrong with the
/// vault's objects is a finding instead.
pub async fn verify(
    vault: &Vault,
    request: &VerifyRequest,
    progress: Arc<dyn Progress>,
    cancel: &Cancel,
) -> Result<VerifyReport> {
    progress.phase("reading headers", None);
    let listing = snapshots::list(vault).await?;
    Box::pin(verify_listed(vault, request, listing, progress, cancel)).await
}

/// As [`verify`], of headers that were listed just now.
///
/// # Errors
/// As there.
pub async fn verify_listed(
    vault: &Vault,
    request: &VerifyRequest,
    listing: Listing,
    progress: Arc<dyn Progress>,
    cancel: &Cancel,
) -> Result<VerifyReport> {
    let now = vault.store.server_time().await?;
    let mut findings = Findings::default();
    let refused = chain::refused(&listing);
    findings.extend(vault.findings.iter().cloned().chain(listing.findings));
    let all = listing.snapshots;
    let whole = request.snapshot.is_none();
    known(&all, request)?;
    let (extent, copies) = begun::extent(vault, whole && all.is_empty() && listing.unread.is_empty(), now).await?;
    chains(vault, &all, (request.snapshot, &extent, &refused), now, &mut findings);
    let chosen = chosen(&all, request, &mut findings)?;
    let suspects: Vec<&Summary> = all.iter().filter(|s| whole && s.standing.suspect).collect();

    let holds = held::read(vault, &mut findings).await?;
    let mut inventory = Inventory::new(held::promises(vault, &holds, now));
    let ends = |s: &&Summary| s.header.expires_at.max(holds.until(&s.id, now).unwrap_or(now));
    let mut documents = Documents::of(vault, chosen.iter().map(ends).fold(now, Time::max));
    if let Some(first) = chosen.first() {
        documents.learn(&vault.whole(first).await?)?;
    }
    inventory.headers(vault, (&chosen, &suspects));
    let evidence = documents::add(&mut inventory, vault, &documents, &mut findings).await?;
    held::add(&mut inventory, vault, (&holds, &all, extent.is_part()), now, &mut findings).await?;
    progress.phase("listing objects", None);
    let bases = journals::bases(&chosen, (&holds, vault.descriptor.lock.max_lock), now);
    let mut gathered = Gathering::of(Box::new(|writer, source| bases.contains_key(&(writer, source))));
    let (mut listed, parts) = inventory.compare(vault, &mut gathered, &mut findings).await?;
    let mut keys = streams::Keys::default();
    let openers = openers(vault, request, &chosen, &mut keys).await?;
    let looking = Looking { vault, request, snapshots: (&chosen, &suspects), openers, documents, now };
    let told = (&progress, cancel);
    let Looked { locks, read, objects, bytes } =
        Box::pin(looking.at(&mut inventory, (&mut listed, parts), told, &mut findings)).await?;
    inventory.left(&mut listed);
    listed.untold = inventory.untold();
    listing::hinted(&mut listed, &mut findings);
    if whole {
        let copies = (&copies, request.depth);
        others(vault, (&inventory, &listed), (&listing.unread, &suspects), copies, now, &mut findings).await?;
    }
    let weakest = locks.finish(now, &mut findings);
    let gathered = (&bases, gathered);
    let journals = Box::pin(journals::check(vault, request, &all, gathered, now, told, &mut findings)).await?;
    let weakest = weakest.into_iter().chain(journals.weakest).min_by_key(|weakest| weakest.until);
    let (sources, stale) = freshness::check(&all, &request.schedule, request.writer.as_ref(), now);
    findings.extend(stale.into_iter().filter(|_| whole));
    if let Some(before) = &request.checkpoint {
        findings.extend(before.compare(&all, &inventory, now).into_iter().filter(|_| whole));
        before.calm(&mut findings);
    }
    let deep = deeper(vault, request, &chosen, (&mut keys, &read), &progress, cancel, &mut findings).await?;
    let checkpoint = Checkpoint::new(vault.descriptor.vault, now, &all, &inventory, request.checkpoint.as_ref());
    Ok(VerifyReport {
        depth: request.depth,
        at: now,
        snapshots: chosen.len() as u64,
        objects: objects + journals.objects,
        bytes: bytes + journals.bytes,
        bytes_read: inventory.bytes_read + read.bytes + journals.bytes_read,
        streams: deep.streams,
        bytes_decoded: deep.plain,
        foreign: listed.foreign,
        foreign_bytes: listed.foreign_bytes,
        weakest,
        sources,
        recoveries: journals.recoveries,
        not_checked: unchecked::not_checked(request, &listed, suspects.len(), &findings),
        seen: seen(&inventory, &all, request.snapshot),
        holds: holds.all,
        evidence,
        checkpoint,
        findings: findings.into_vec(),
    })
}

/// Checks how headers follow each other.
fn chains(
    vault: &Vault,
    all: &[Summary],
    (only, extent, refused): (Option<SnapshotId>, &Extent, &chain::Refused),
    now: Time,
    findings: &mut Findings,
) {
    // Asked for one snapshot, what others say of themselves is not its fault. Asked for all, suspect ones say nothing.
    let meant = |finding: &Finding| only.is_none_or(|id| finding.snapshot == Some(id.to_string()));
    let heard = all.iter().filter(|s| only.is_some() || !s.standing.suspect);
    findings.extend(
        chain::check(heard, &vault.descriptor.lock, (now, extent, refused)).into_vec().into_iter().filter(meant),
    );
}

/// Tells of what no snapshot needs that was verified: objects that are foreign, lost or damaged, and suspect snapshots.
async fn others(
    vault: &Vault,
    (inventory, listed): (&Inventory, &listing::Listed),
    (unread, suspects): (&[snapshots::Unread], &[&Summary]),
    (copies, depth): (&Copies, Depth),
    now: Time,
    findings: &mut Findings,
) -> Result<()> {
    let most = if depth == Depth::Locks { copy_records::NEWEST } else { usize::MAX };
    copy_records::report(&copy_records::read(copies, vault, most, now).await?, findings);
    listing::foreign(listed, findings);
    listing::lost(vault, now, findings).await?;
    listing::damaged(vault, unread, now, findings).await?;
    listing::unreadable(vault, findings).await?;
    findings.extend(hollow(inventory, suspects));
    Ok(())
}

/// Fails if a name that was typed is none that the vault knows.
fn known(all: &[Summary], request: &VerifyRequest) -> Result<()> {
    for source in &request.typed {
        standing::must_be_known("source", source, all.iter().map(|s| &s.header.source))?;
    }
    request
        .writer
        .iter()
        .try_for_each(|writer| standing::must_be_known("writer", writer, all.iter().map(|s| &s.header.writer)))
}

/// The snapshots that are to be verified, oldest first: the one that is asked for, or all that are not suspect.
fn chosen<'a>(all: &'a [Summary], request: &VerifyRequest, findings: &mut Findings) -> Result<Vec<&'a Summary>> {
    let fits = |s: &&Summary| request.snapshot.map_or(!s.standing.suspect, |id| s.id == id);
    let chosen: Vec<&Summary> = all.iter().filter(fits).collect();
    match request.snapshot {
        Some(id) if chosen.is_empty() => {
            Err(VaultError::new(VaultErrorKind::NoSnapshot, format!("there is no snapshot {id}")))
        }
        None if chosen.is_empty() => {
            let what = "the vault holds no snapshot that can be verified";
            findings.push(Finding::new(Severity::Warning, "vault.empty", what));
            Ok(chosen)
        }
        _ => Ok(chosen),
    }
}

/// What opens the packs of snapshots, for the depth that does.
async fn openers(
    vault: &Vault,
    request: &VerifyRequest,
    chosen: &[&Summary],
    keys: &mut streams::Keys,
) -> Result<objects::Openers> {
    if request.depth < Depth::Decrypt {
        return Ok(objects::Openers::default());
    }
    keys.openers(vault, chosen, request.opener.as_ref().ok_or_else(no_identity)?).await
}

/// What the deepest depth did.
#[derive(Default)]
struct Deeper {
    streams: u64,
    plain: u64,
}

async fn deeper(
    vault: &Vault,
    request: &VerifyRequest,
    chosen: &[&Summary],
    (keys, read): (&mut streams::Keys, &ReadBack),
    progress: &Arc<dyn Progress>,
    cancel: &Cancel,
    findings: &mut Findings,
) -> Result<Deeper> {
    if request.depth < Depth::Decrypt {
        return Ok(Deeper::default());
    }
    let people = request.opener.as_ref().ok_or_else(no_identity)?;
    let mut deep = streams::Deep::new(vault, request.sample, progress, cancel, findings);
    let mut wholes = vault.wholes(chosen.iter().copied());
    loop {
        let window = wholes.next().await?;
        if window.is_empty() {
            return Ok(Deeper { streams: deep.streams, plain: deep.plain });
        }
        deep.indexes(&window, keys, people, read).await?;
        for snapshot in window {
            let keys = keys.of(vault, &snapshot, people).await?;
            deep.snapshot(snapshot, keys).await?;
        }
    }
}

fn no_identity() -> VaultError {
    VaultError::new(VaultErrorKind::NoIdentity, "the depth decrypt needs an identity")
}

/// What of suspect snapshots is not there. Whoever held the writer's key can have named what never was, so this is no
/// damage; nor does anybody have to hear of it for as long as the false header is locked.
fn hollow(inventory: &Inventory, suspects: &[&Summary]) -> Vec<Finding> {
    let mut counts: BTreeMap<&Name, (u64, u64)> = BTreeMap::new();
    for suspect in suspects {
        let count = counts.entry(&suspect.header.writer).or_default();
        count.0 += 1;
        count.1 += u64::from(inventory.is_hollow(&suspect.id));
    }
    let told = counts.into_iter().filter(|(_, (_, hollow))| *hollow > 0);
    told.map(|(writer, (all, hollow))| {
        let what = format!(
            "{hollow} of {all} suspect snapshots of writer {writer} name objects that are missing or different: forged or damaged; `verify --snapshot ID` checks each"
        );
        Finding::new(Severity::Warning, "suspect.hollow", what).on(writer)
    })
    .collect()
}

/// The snapshots with what the first of them stored, and when their first lock ends.
fn seen(inventory: &Inventory, all: &[Summary], only: Option<SnapshotId>) -> Vec<Seen> {
    let one = |s: &Summary| Seen {
        id: s.id,
        source: s.header.source.clone(),
        kind: s.header.kind,
        writer: s.header.writer.clone(),
        started_at: s.header.started_at,
        floor_until: s.header.floor_until,
        expires_at: s.header.expires_at,
        // Asked for all, nobody looked at the locks of those that are suspect.
        locked_until: inventory.locked_until(&s.id).filter(|_| only.is_some() || !s.standing.suspect),
        bytes: s.header.totals.bytes,
        stored: inventory.stored(&s.id),
        suspect: s.standing.suspect,
        future: s.standing.future,
        signal: s.header.signal,
        whole: s.header.whole,
    };
    all.iter().filter(|s| only.is_none_or(|id| s.id == id)).map(one).collect()
}
