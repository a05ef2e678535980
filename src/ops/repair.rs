//! `repair`: true bytes out of a copy where a vault lost them.

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
        Vault, VaultErrorKind,
        copying::{CopiedCount, mend},
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
    /// The copy that the true bytes are from.
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
            Vault { store: Arc::clone(&store), descriptor: from.descriptor.clone(), findings: Vec::new() }
        }
        Err(error) => return Err(error.into()),
    };
    let done = mend::mend(&vault, mender, &from, request, (progress, cancel)).await?;
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
        calls: here.calls(),
        from_calls: there.calls(),
    };
    Ok((report, done.findings.into_vec()))
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
