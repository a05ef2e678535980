//! `repair`: true bytes out of a copy, or by parity, where a vault lost them.

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;

use super::{OpsError, Pin, Result, open_vault};
use crate::{
    model::{Cancel, Finding, Progress, SnapshotId, VaultId},
    store::{
        Mender, ObjectStore,
        counted::{Calls, Counted},
    },
    vault::{
        Vault, VaultErrorKind, copy_records,
        copying::{CopiedCount, mend},
        parity::{self, Kept, Rate},
    },
};

pub use crate::vault::copying::mend::MendRequest;

/// What `repair` did, or would do.
#[derive(Debug, Serialize)]
pub struct RepairReport {
    /// Whether nothing was put.
    pub dry_run: bool,
    /// What was repaired.
    pub vault: VaultId,
    /// Where it is.
    pub url: String,
    /// The copy that the true bytes are from; `parity` without one.
    pub from: String,
    /// Snapshots whose objects were looked at.
    pub snapshots: u64,
    /// Objects that were put right, or would be, by kind.
    pub mended: BTreeMap<&'static str, CopiedCount>,
    /// All of them.
    pub objects: u64,
    /// Locks that were extended.
    pub extended: u64,
    /// Snapshots that are still not whole, or not locked as they promise.
    pub broken: Vec<SnapshotId>,
    /// The parity beside it, if it is a directory that has some.
    pub parity: Option<Kept>,
    /// What was asked of the vault.
    pub calls: Calls,
    /// What was asked of the copy.
    pub from_calls: Calls,
}

/// How the vault and its copy are called, as [`place_of`](super::replicate::place_of) has it.
#[derive(Debug, Clone)]
pub struct Places {
    /// The vault.
    pub vault: String,
    /// The copy.
    pub from: String,
}

/// Repairs the vault in `store` with what the copy in `from` has.
///
/// # Errors
/// If a store does not answer, or they hold different vaults. What can't be put right is a finding.
pub async fn repair(
    (store, mender): (Arc<dyn ObjectStore>, &dyn Mender),
    from: Arc<dyn ObjectStore>,
    (pins, places): (&[Pin], Places),
    request: MendRequest,
    (progress, cancel): (&dyn Progress, &Cancel),
) -> Result<(RepairReport, Vec<Finding>)> {
    let (here, there) = (Arc::new(Counted::new(store)), Arc::new(Counted::new(from)));
    let store = Arc::clone(&here) as Arc<dyn ObjectStore>;
    if places.vault == places.from {
        let what = format!("{} can't be repaired from itself", places.vault);
        let next = "give --from the URL of a copy".to_owned();
        return Err(OpsError::Request { what, next });
    }
    // Where nothing says which vault is meant, the damaged one does, as long as it can.
    let own = if pins.is_empty() { Vault::open(Arc::clone(&store), None).await.ok() } else { None };
    let pins = match own {
        Some(own) => vec![Pin::one(own.descriptor.vault, store.url())],
        None => pins.to_vec(),
    };
    let from = open_vault(&(Arc::clone(&there) as Arc<dyn ObjectStore>), &pins).await?;
    let id = from.descriptor.vault;
    let vault = match Vault::open(Arc::clone(&store), Some(id)).await {
        Ok(vault) => vault,
        // Its descriptor is damaged or gone with all headers: the copy's is the same.
        Err(error) if matches!(error.kind, VaultErrorKind::Damaged | VaultErrorKind::NoVault) => {
            must_hold_something(&*store).await?;
            Vault { findings: Vec::new(), ..from.through(Arc::clone(&store)) }
        }
        Err(error) => return Err(error.into()),
    };
    // What a place is to hold is told by its records.
    let (records, bytes, found) = copy_records::mend(&vault, mender, &places.from, request.dry_run).await?;
    let mut done = mend::mend(&vault, mender, &from, request, (progress, cancel)).await?;
    if !records.is_empty() {
        let count = done.mended.entry("copies").or_default();
        (count.objects, count.bytes) = (count.objects + records.len() as u64, count.bytes + bytes);
    }
    let mut findings = done.findings.into_vec();
    findings.retain(|one| {
        one.code != "repair.lost" || records.iter().all(|key| one.object.as_deref() != Some(key.as_str()))
    });
    findings.extend(found.into_vec());
    let (parity, found) = super::parity::keep(&vault, None, request.dry_run, (progress, cancel)).await?;
    findings.extend(found.into_vec());
    let report = RepairReport {
        dry_run: request.dry_run,
        vault: id,
        url: places.vault,
        from: places.from,
        snapshots: done.snapshots,
        objects: done.mended.values().map(|count| count.objects).sum(),
        mended: done.mended,
        extended: done.extended,
        broken: done.broken,
        parity,
        calls: here.calls(),
        from_calls: there.calls(),
    };
    Ok((report, findings))
}

/// How a vault is repaired from the parity beside it.
#[derive(Debug, Clone, Copy)]
pub struct ParityRequest {
    /// How much parity there is to be from now on; without one as much as there is.
    pub rate: Option<Rate>,
    /// Put nothing; say what would be.
    pub dry_run: bool,
}

/// Repairs the vault in the directory `store`, called `place`, with nothing but the parity beside it, and brings that in step.
///
/// # Errors
/// If the directory fails, or there is no parity and none is to be made. What can't be put right is a finding.
pub async fn from_parity(
    (store, mender): (Arc<dyn ObjectStore>, &dyn Mender),
    (pins, place): (&[Pin], String),
    request: ParityRequest,
    (progress, cancel): (&dyn Progress, &Cancel),
) -> Result<(RepairReport, Vec<Finding>)> {
    let here = Arc::new(Counted::new(store));
    let store = Arc::clone(&here) as Arc<dyn ObjectStore>;
    let Some(sidecars) = here.sidecars() else {
        let what = format!("parity lies beside a directory vault, and {place} is a bucket");
        return Err(OpsError::Request { what, next: "give --from the URL of a copy".to_owned() });
    };
    let healed = parity::heal((&*store, sidecars, mender), request.dry_run, (progress, cancel)).await?;
    if healed.objects == 0 && healed.renew.is_empty() && healed.odd.is_empty() && request.rate.is_none() {
        let what = format!("there is no parity beside {place}, so nothing heals it by itself");
        let next = "give --from the URL of a copy. While all is whole, `repair --parity 5%` makes parity".to_owned();
        return Err(OpsError::Request { what, next });
    }
    // Its descriptor may be what was healed.
    let vault = open_vault(&store, pins).await?;
    let mut findings = healed.findings.into_vec();
    let mut kept = None;
    if request.dry_run {
        findings.extend(healed.unread.iter().map(|name| parity::damaged(name)).chain(healed.odd));
    } else {
        let place = (vault.descriptor.vault, &*store);
        let (now, found) = parity::keep(place, request.rate, &healed.renew, (progress, cancel)).await?;
        findings.extend(found.into_vec());
        kept = now;
        findings.extend(parity::renewed(sidecars, &healed.unread).await?.into_vec());
    }
    let report = RepairReport {
        dry_run: request.dry_run,
        vault: vault.descriptor.vault,
        url: place,
        from: "parity".to_owned(),
        snapshots: healed.snapshots,
        objects: healed.mended.values().map(|count| count.objects).sum(),
        mended: healed.mended,
        extended: 0,
        broken: Vec::new(),
        parity: kept,
        calls: here.calls(),
        from_calls: Calls::default(),
    };
    Ok((report, findings))
}

async fn must_hold_something(store: &dyn ObjectStore) -> Result<()> {
    let mut something = false;
    store.list("", &mut |_| something = true).await?;
    if something {
        return Ok(());
    }
    let what = format!("{} is empty, so there is nothing to repair", store.url());
    let next = "`strongroom replicate --vault COPY --to` makes a new copy there".to_owned();
    Err(OpsError::Request { what, next })
}
