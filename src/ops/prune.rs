//! `prune`: what no snapshot needs goes when its lock has ended.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Result;
use crate::{
    model::{Cancel, Finding, Progress, Time},
    store::Deleter,
    vault::{
        Vault,
        upkeep::prune::{self, Count},
    },
};

pub use crate::vault::upkeep::prune::PruneRequest;

/// What `prune` did, or would do.
#[derive(Debug, Serialize)]
pub struct PruneReport {
    /// Whether nothing was deleted.
    pub dry_run: bool,
    /// Why nothing may be deleted, if something forbids it.
    pub blocked: Vec<String>,
    /// What was deleted, or would be, by kind.
    pub deleted: BTreeMap<&'static str, Count>,
    /// Versions that the store refused to delete.
    pub refused: u64,
    /// Versions that nothing needs and that are still locked or within the grace.
    pub waiting: Count,
    /// When the first of these may go.
    pub next: Option<Time>,
    /// Snapshots that stay.
    pub snapshots: u64,
}

/// Deletes what may go by `deleter`; without one, says what would.
///
/// # Errors
/// If the vault can't be read. A refusal of the store is a finding.
pub async fn prune(
    vault: &Vault,
    deleter: Option<&dyn Deleter>,
    request: PruneRequest,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<(PruneReport, Vec<Finding>)> {
    let done = prune::prune(vault, deleter, request, progress, cancel).await?;
    let report = PruneReport {
        dry_run: deleter.is_none(),
        blocked: done.blocked,
        deleted: done.deleted,
        refused: done.refused,
        waiting: done.waiting,
        next: done.next,
        snapshots: done.snapshots,
    };
    Ok((report, done.findings.into_vec()))
}
