//! `prune`: what no snapshot needs goes when its lock has ended.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Result;
use crate::{
    format::approval::Action,
    guard::approvals::{self, Deed, Papers, Passed},
    model::{Cancel, Finding, Name, Progress, Span, Time},
    store::Deleter,
    vault::{
        Vault,
        parity::Kept,
        upkeep::prune::{self, Count},
    },
};

pub use crate::vault::upkeep::prune::PruneRequest;

/// How long after its lock something is still kept, if nothing else is said.
pub const GRACE: Span = Span::days(7);

/// What people approve who approve a pruning.
#[must_use]
pub fn deed(request: &PruneRequest) -> Deed {
    let mut parameters = vec![("grace", request.grace.to_string())];
    if request.clock_is_right {
        parameters.push(("clock-is-right", "true".to_owned()));
    }
    Deed::new(Action::Prune, parameters)
}

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
    /// How many of them a hold keeps.
    pub held: u64,
    /// Who approved it, where that was needed.
    pub approved_by: Vec<Name>,
    /// The parity beside the vault, if it is a directory that has some.
    pub parity: Option<Kept>,
}

/// Deletes what may go by `deleter`; without one, says what would. Where the root puts that under several people, their
/// approval is used up before anything is deleted.
///
/// # Errors
/// If it was not approved, or the vault can't be read. A refusal of the store is a finding.
pub async fn prune(
    vault: &Vault,
    deleter: Option<&dyn Deleter>,
    (request, papers): (PruneRequest, Option<Papers<'_>>),
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<(PruneReport, Vec<Finding>)> {
    let mut approved_by = Vec::new();
    if deleter.is_some()
        && let Passed::Spent { people, .. } = approvals::spend(vault, &deed(&request), papers).await?
    {
        approved_by = people;
    }
    let mut done = prune::prune(vault, deleter, request, progress, cancel).await?;
    let (parity, found) = super::parity::keep(vault, None, deleter.is_none(), (progress, cancel)).await?;
    found.into_vec().into_iter().for_each(|finding| done.findings.push(finding));
    let report = PruneReport {
        dry_run: deleter.is_none(),
        blocked: done.blocked,
        deleted: done.deleted,
        refused: done.refused,
        waiting: done.waiting,
        next: done.next,
        snapshots: done.snapshots,
        held: done.held,
        approved_by,
        parity,
    };
    Ok((report, done.findings.into_vec()))
}
