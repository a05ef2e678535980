//! How long a snapshot is to be kept, and whether its data is stored anew: decided from the store's time and from the
//! source's newest snapshot before it, as its signed header has it.

use tokio::runtime::Handle;

use super::{Request, Workplace};
use crate::{
    catalog::Catalog,
    format::{
        header::{HEADER_LIMIT, VerifiedHeader},
        layout::{self, ObjectName},
    },
    model::{Hash, LockPolicy, SnapshotId, Span, Tier, Time},
    vault::{VaultError, VaultErrorKind, fetch},
};

/// How many headers are looked at for the source's newest, if the catalog does not name it.
const LOOK_BACK: usize = 64;

/// What was decided for a run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Retention {
    /// Why the snapshot is kept longer than others, if it is.
    pub(super) tier: Option<Tier>,
    /// Until when it is to be kept.
    pub(super) expires_at: Time,
    /// Whether all data is stored anew, and nothing that the catalog knows is trusted.
    pub(super) full: bool,
    /// When the source's data was last stored so.
    pub(super) full_at: Time,
}

/// The source's snapshot before this one.
struct Previous {
    started_at: Time,
    full_at: Time,
}

impl Retention {
    /// Decides for a run of `request` that began `at`, with `floor` as what it promises.
    ///
    /// # Errors
    /// If a tier asks for more than the root allows, or the store can't be read.
    pub(super) fn decide(
        place: &Workplace,
        runtime: &Handle,
        catalog: &mut Catalog,
        request: &Request,
        (at, floor): (Time, Time),
    ) -> Result<Self, VaultError> {
        let policy = &place.writer.descriptor.lock;
        allowed(request, policy)?;
        let previous = previous(place, runtime, catalog, request, at)?;
        let longer = request.tiers.of(at, previous.as_ref().map(|p| p.started_at));
        let expires_at = longer.map_or(floor, |(_, span)| floor.max(at + span));
        // Without a snapshot before it there is nothing of this source's to distrust.
        let full = previous.as_ref().is_some_and(|p| request.full_every.is_some_and(|every| p.full_at + every <= at));
        let full_at = if full { at } else { previous.map_or(at, |p| p.full_at) };
        Ok(Self { tier: longer.map(|(tier, _)| tier), expires_at, full, full_at })
    }
}

/// Refuses tiers beyond what the root signed.
fn allowed(request: &Request, policy: &LockPolicy) -> Result<(), VaultError> {
    let most = request.tiers.longest().unwrap_or(Span::ZERO);
    if most <= policy.max_lock {
        return Ok(());
    }
    let what =
        format!("a tier of {most} is more than the vault's policy allows to lock anything ({})", policy.max_lock);
    Err(VaultError::new(VaultErrorKind::Invalid, what))
}

fn previous(
    place: &Workplace,
    runtime: &Handle,
    catalog: &mut Catalog,
    request: &Request,
    at: Time,
) -> Result<Option<Previous>, VaultError> {
    // The catalog only says where to look first; what counts is the header.
    let mut names: Vec<(u64, SnapshotId)> =
        catalog.runs(Some(&request.source), 1)?.into_iter().map(|run| (run.seq, run.snapshot)).collect();
    if let Some(found) = newest_of(place, runtime, request, at, &names)? {
        return Ok(Some(found));
    }
    names.clear();
    runtime.block_on(place.store.list(&layout::own(layout::SNAPSHOTS, &place.writer.name), &mut |entry| {
        if let Some(ObjectName::Header(_, seq, id)) = layout::parse(&entry.key) {
            names.push((seq, id));
        }
    }))?;
    names.sort_unstable();
    names.reverse();
    names.truncate(LOOK_BACK);
    newest_of(place, runtime, request, at, &names)
}

/// The first of `names` that is a snapshot of the source. A false claim of a later time counts as now.
fn newest_of(
    place: &Workplace,
    runtime: &Handle,
    request: &Request,
    at: Time,
    names: &[(u64, SnapshotId)],
) -> Result<Option<Previous>, VaultError> {
    let writer = &place.writer;
    for (seq, id) in names {
        let key = layout::header(&writer.name, *seq, id);
        let hash = Hash::from_bytes(*id.as_bytes());
        let bytes = match runtime.block_on(fetch::by_hash(&*place.store, &key, None, &hash, HEADER_LIMIT)) {
            Ok(bytes) => bytes,
            Err(error) if matches!(error.kind, VaultErrorKind::Damaged | VaultErrorKind::Denied) => continue,
            Err(error) => return Err(error),
        };
        let Ok(VerifiedHeader { header, .. }) = VerifiedHeader::open(&bytes, writer.descriptor.vault) else { continue };
        if header.writer == writer.name && header.source == request.source {
            let started_at = header.started_at.min(at);
            let full_at = header.full_at.unwrap_or(started_at).min(started_at);
            return Ok(Some(Previous { started_at, full_at }));
        }
    }
    Ok(None)
}
