//! The snapshots of a vault: every header that trust reaches, and how each stands with the store and the members.

use std::collections::{BTreeMap, HashMap};

use futures::{StreamExt, stream};

use super::{Result, Vault, VaultError, VaultErrorKind, fetch, members::Members};
use crate::{
    codec::hash,
    format::{
        header::VerifiedHeader,
        layout::{self, ObjectName},
    },
    model::{Finding, Hash, Key, Name, Severity, SnapshotId, Span, Time},
    store::{StoreErrorKind, Version},
};

/// How many headers are fetched at once. What was put in the place of one may be far larger.
const AT_ONCE: usize = 16;
/// How far a header's own time may be off the store's: clocks, and puts that were tried again for a while.
const SLACK: Span = Span::seconds(3600);

/// What a vault holds.
#[derive(Debug, Default)]
pub struct Listing {
    /// Every header that trust reaches, oldest first, newest last.
    pub snapshots: Vec<VerifiedHeader>,
    /// What stands under a header's name and is none, and what the headers say of each other.
    pub findings: Vec<Finding>,
    /// What stands under a header's name and can't be read, or claims to need a newer build: nobody knows what it needs.
    /// What was put there since its writer was revoked is left out, since nobody needs it.
    pub unread: Vec<Unread>,
}

/// Something under a header's name that tells nothing.
#[derive(Debug, Clone)]
pub struct Unread {
    /// Its name.
    pub key: Key,
    /// Whose header it would be.
    pub writer: Name,
    /// Since when the store has something there, where its time is a witness.
    pub since: Option<Time>,
}

/// Lists and verifies every header of a vault. Those hidden by delete markers or overwritten are found by their
/// versions, where the store has them. Revocations are looked up, and times are held against the store's.
///
/// # Errors
/// If the store can't be listed or read. A header that needs a newer build is a finding.
pub async fn list(vault: &Vault) -> Result<Listing> {
    let listed = fetch::listed(&*vault.store, layout::SNAPSHOTS).await?;
    let names = listed.keys.into_iter().filter_map(|(key, versions)| match layout::parse(&key) {
        Some(ObjectName::Header(writer, seq, id)) => Some((writer, seq, id, versions)),
        _ => None,
    });
    let mut listing = Listing::default();
    let fetched: Vec<_> = stream::iter(names)
        .map(|(writer, seq, id, versions)| async move {
            let since = versions.first().map(|(_, modified)| *modified);
            let since = since.filter(|_| vault.store.traits().trusted_time);
            let found = one(vault, &writer, seq, id, versions).await;
            (Unread { key: layout::header(&writer, seq, &id), writer, since }, found)
        })
        .buffered(AT_ONCE)
        .collect()
        .await;
    for (unread, found) in fetched {
        let key = unread.key.clone();
        match found {
            Ok(header) => listing.snapshots.push(header),
            Err(error) if matches!(error.kind, VaultErrorKind::Damaged | VaultErrorKind::Untrusted) => {
                // Nobody can be sure that this was ever signed, so it is no damage; a later header or a checkpoint
                // that names it would be.
                // An error of the bytes themselves names the object: they are not those that its name tells of.
                if error.kind == VaultErrorKind::Damaged && error.object.is_some() {
                    listing.unread.push(unread);
                }
                let what = format!("not a header that this vault's root vouches for: {error}");
                listing.findings.push(Finding::new(Severity::Warning, "header.foreign", what).on(&key));
            }
            // A claim that nobody verified: were it an error, one planted object would close the whole vault.
            Err(error) if matches!(error.kind, VaultErrorKind::Newer | VaultErrorKind::Draft) => {
                listing.findings.push(Finding::new(Severity::Warning, "header.newer", error.what).on(&key));
                listing.unread.push(unread);
            }
            Err(error) => return Err(VaultError { object: Some(key.to_string()), ..error }),
        }
    }
    judge(vault, &mut listing).await?;
    let places = places(&listing.snapshots);
    listing.snapshots.sort_by(|a, b| order(a, &places).cmp(&order(b, &places)));
    Ok(listing)
}

/// The store's order of time is the authority; within one second the writer's chain decides.
fn order<'a>(
    snapshot: &'a VerifiedHeader,
    places: &HashMap<SnapshotId, usize>,
) -> (Time, Time, &'a Name, u64, Option<usize>, SnapshotId) {
    let VerifiedHeader { id, header, standing, .. } = snapshot;
    let since = standing.since.unwrap_or(header.started_at);
    (since, header.started_at, &header.writer, header.seq, places.get(id).copied(), *id)
}

/// The places in their chain of those headers that have the last number there is, which all that follow share: each
/// comes after those that it names. Whoever holds a writer's key can use its numbers up.
fn places(snapshots: &[VerifiedHeader]) -> HashMap<SnapshotId, usize> {
    let last: HashMap<SnapshotId, &[SnapshotId]> =
        snapshots.iter().filter(|s| s.header.seq == u64::MAX).map(|s| (s.id, s.header.prev.as_slice())).collect();
    let mut followers: HashMap<SnapshotId, Vec<SnapshotId>> = HashMap::new();
    let mut awaited: HashMap<SnapshotId, usize> = HashMap::new();
    let mut ready = Vec::new();
    for (id, prev) in &last {
        let before: Vec<_> = prev.iter().filter(|prev| last.contains_key(prev)).collect();
        for prev in &before {
            followers.entry(**prev).or_default().push(*id);
        }
        if before.is_empty() {
            ready.push(*id);
        } else {
            awaited.insert(*id, before.len());
        }
    }
    let mut places: HashMap<SnapshotId, usize> = HashMap::new();
    while let Some(id) = ready.pop() {
        let place = *places.entry(id).or_default();
        for follower in followers.remove(&id).unwrap_or_default() {
            let its = places.entry(follower).or_default();
            *its = (*its).max(place + 1);
            let Some(awaited) = awaited.get_mut(&follower) else { continue };
            *awaited -= 1;
            if *awaited == 0 {
                ready.push(follower);
            }
        }
    }
    places
}

/// Finds out since when each snapshot is there (G5), and which are suspect since their writer was revoked (G4).
async fn judge(vault: &Vault, listing: &mut Listing) -> Result<()> {
    let Listing { snapshots, findings, unread } = listing;
    let late = |s: &VerifiedHeader| s.standing.stored_at.is_some_and(|at| at > s.header.claimed_at + SLACK);
    // Copied, each was stored long after it was made, and the copy's order says nothing.
    let copied = !snapshots.is_empty() && snapshots.iter().all(late);
    if copied {
        let what = "every snapshot was stored here long after it was made, so this vault is a copy: times and order \
                    are what its writers claim";
        findings.push(Finding::new(Severity::Warning, "vault.copied", what));
        for one in unread.iter_mut() {
            one.since = None;
        }
    }
    for snapshot in snapshots.iter_mut() {
        if copied {
            snapshot.standing.stored_at = None;
        }
        let witness = snapshot.standing.stored_at;
        snapshot.standing.since = witness.or(Some(snapshot.header.started_at));
        findings.extend(early(snapshot));
        let Some(stored) = witness else { continue };
        if late(snapshot) {
            let what = format!(
                "this header claims to be of {}, but the store has it only since {stored}, which is what counts",
                snapshot.header.claimed_at
            );
            findings.push(Finding::new(Severity::Warning, "header.backdated", what).of(snapshot.id));
        } else if snapshot.header.started_at.max(snapshot.header.claimed_at) > stored + SLACK {
            let what = format!(
                "this header claims to be of {}, but the store has it since {stored} already, which is what counts",
                snapshot.header.claimed_at
            );
            findings.push(Finding::new(Severity::Warning, "header.postdated", what).of(snapshot.id));
        }
    }
    suspects(vault, snapshots, unread, findings).await
}

/// Told where a header claims to be older than its writer is, which no clock and no copy explains.
fn early(snapshot: &VerifiedHeader) -> Option<Finding> {
    let claimed = snapshot.header.started_at.min(snapshot.header.claimed_at);
    let began = snapshot.certificate.valid_from;
    let what = format!(
        "this header claims to be of {claimed}, and its writer is certified only since {began}: whoever signed it lies \
         about its time"
    );
    (claimed + SLACK < began).then(|| Finding::new(Severity::Warning, "header.early", what).of(snapshot.id))
}

async fn suspects(
    vault: &Vault,
    snapshots: &mut [VerifiedHeader],
    unread: &mut Vec<Unread>,
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let members = match Members::of(vault).await {
        Ok(members) => members,
        Err(error) if error.kind == VaultErrorKind::Denied => {
            let what = "these credentials may not read members/, so nobody knows which writers were revoked";
            findings.push(Finding::new(Severity::Warning, "members.unread", what).on(layout::MEMBERS));
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    findings.extend(members.findings.iter().cloned());
    // A damaged header of an honest run was there before.
    unread.retain(|one| members.revoked_from(&one.writer).zip(one.since).is_none_or(|(from, since)| since < from));
    let mut counts: BTreeMap<Name, (Time, u64)> = BTreeMap::new();
    for snapshot in snapshots {
        let Some(from) = members.revoked_from(&snapshot.header.writer) else { continue };
        // Where the store is no witness, the latest time that the header admits.
        let claimed = snapshot.header.started_at.max(snapshot.header.claimed_at);
        let since = snapshot.standing.stored_at.and(snapshot.standing.since).unwrap_or(claimed);
        snapshot.standing.suspect = since >= from;
        let count = counts.entry(snapshot.header.writer.clone()).or_insert((from, 0));
        count.1 += u64::from(snapshot.standing.suspect);
    }
    for (writer, (from, suspect)) in counts {
        let what = format!(
            "writer {writer} was revoked: its snapshots from {from} on are suspect ({suspect} here), and none of them \
             is ever taken as the latest"
        );
        findings.push(Finding::new(Severity::Warning, "writer.revoked", what).on(writer));
    }
    Ok(())
}

async fn one(
    vault: &Vault,
    writer: &Name,
    seq: u64,
    id: SnapshotId,
    versions: Vec<(Option<Version>, Time)>,
) -> Result<VerifiedHeader> {
    let key = layout::header(writer, seq, &id);
    let (bytes, modified) = oldest(vault, &key, versions, &Hash::from_bytes(*id.as_bytes())).await?;
    let mut found = VerifiedHeader::open(&bytes, vault.descriptor.vault)?;
    if found.header.writer != *writer || found.header.seq != seq {
        return Err(VaultError::new(VaultErrorKind::Untrusted, "its name is not what it says of itself").on(&key));
    }
    found.standing.stored_at = vault.store.traits().trusted_time.then_some(modified);
    Ok(found)
}

/// The bytes of an object whose hash is right, and when the store first had them: whoever puts them there again makes
/// them no newer.
async fn oldest(
    vault: &Vault,
    key: &Key,
    versions: Vec<(Option<Version>, Time)>,
    wanted: &Hash,
) -> Result<(bytes::Bytes, Time)> {
    for (version, modified) in versions {
        match vault.store.get(key, version.as_ref(), None).await {
            Ok(bytes) if hash::hash(&bytes) == *wanted => return Ok((bytes, modified)),
            Ok(_) => {}
            Err(error) if matches!(error.kind, StoreErrorKind::NotFound | StoreErrorKind::Corrupt) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let what = "no version of this object has the bytes that were signed";
    Err(VaultError::new(VaultErrorKind::Damaged, what).on(key))
}
