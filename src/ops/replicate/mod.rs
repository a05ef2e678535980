//! `replicate`: a second copy of a vault, made by whoever can read the first and put into the second, without a key.

mod target;

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;

use super::Result;
use crate::{
    model::{Cancel, Finding, Progress, Severity, SnapshotId, Time, VaultId},
    store::{
        ObjectStore,
        cached::Cached,
        counted::{Calls, Counted},
    },
    vault::{
        Vault,
        copying::{self, CopiedCount, CopyRequest, Less},
        parity::Kept,
        writer::refuse_skew,
    },
};

pub use crate::vault::{copying::Limits, parity::Rate};
use target::Fit;
pub use target::{place_of, vault_of};

/// What to copy where.
#[derive(Debug, Clone)]
pub struct ReplicateRequest {
    /// What of the vault, and how.
    pub copy: CopyRequest,
    /// How the target is called, as [`place_of`] has it.
    pub to: String,
    /// Go on although another place fed this copy before, or nothing says that it is one.
    pub adopt: bool,
}

/// What `replicate` did, or would do.
#[derive(Debug, Serialize)]
pub struct ReplicateReport {
    /// What the configuration calls the copy, if it has a name.
    pub name: Option<String>,
    /// Whether nothing was put.
    pub dry_run: bool,
    /// Where the copy was made from.
    pub source: String,
    /// Where it is.
    pub target: String,
    /// The vault that both hold.
    pub vault: VaultId,
    /// When the pass began, by the target's clock.
    pub at: Time,
    /// Snapshots that were there already.
    pub there: u64,
    /// Snapshots that were copied, or would be.
    pub copied: Vec<SnapshotId>,
    /// Snapshots that were left out; the findings say why.
    pub left_out: Vec<SnapshotId>,
    /// What was put, or would be, by kind.
    pub moved: BTreeMap<&'static str, CopiedCount>,
    /// All of it.
    pub objects: u64,
    /// Its bytes.
    pub bytes: u64,
    /// The lock that ends first among those that were read in the target.
    pub weakest_lock: Option<Time>,
    /// Objects whose lock is less than was promised, as `--locks as-possible` allows: it is missing, ends too early, or is of
    /// the weaker mode.
    pub less_locked: u64,
    /// Locks that were extended for snapshots that are held.
    pub held: u64,
    /// The parity beside it, if it is a directory that has some.
    pub parity: Option<Kept>,
    /// What was asked of the source.
    pub source_calls: Calls,
    /// What was asked of the target.
    pub target_calls: Calls,
}

/// Copies what `target` lacks of `source`.
///
/// # Errors
/// If a store does not answer, the target holds something else or can't lock. What is wrong with single objects is a finding.
pub async fn replicate(
    source: &Vault,
    target: Arc<dyn ObjectStore>,
    request: &ReplicateRequest,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<(ReplicateReport, Vec<Finding>)> {
    let (from, to) = (Arc::new(Counted::new(Arc::clone(&source.store))), Arc::new(Counted::new(target)));
    let source = source.through(Arc::new(Cached::new(Arc::clone(&from) as Arc<dyn ObjectStore>)));
    let target = Arc::clone(&to) as Arc<dyn ObjectStore>;
    let at = target.server_time().await?;
    if source.store.traits().trusted_time && !target.traits().trusted_time {
        // A record of the copy that is of a time that is not yet counts for nothing until then.
        refuse_skew(true, at, source.store.server_time().await?)?;
    }
    let Fit { fresh, last, renew, mut findings } = target::must_fit(&source, &target, request, at).await?;
    let mark = request.copy.mark || renew;
    let copy = CopyRequest { fresh, last, mark, now: Some(at), ..request.copy.clone() };
    let held = source.through(Arc::clone(&target));
    let done = Box::pin(copying::copy(&source, &held, &copy, progress, cancel)).await?;
    findings.extend(done.findings.into_vec());
    let told = (progress, cancel);
    let (parity, found) = super::parity::keep(&held, request.copy.parity, request.copy.dry_run, told).await?;
    findings.extend(found.into_vec());
    let report = ReplicateReport {
        name: None,
        dry_run: request.copy.dry_run,
        source: request.copy.from.clone(),
        target: request.to.clone(),
        vault: source.descriptor.vault,
        at,
        there: done.there,
        copied: done.copied,
        left_out: done.left_out,
        objects: done.moved.values().map(|count| count.objects).sum(),
        bytes: done.moved.values().map(|count| count.bytes).sum(),
        moved: done.moved,
        weakest_lock: done.weakest_lock,
        less_locked: done.less.objects(),
        held: done.held,
        parity,
        source_calls: from.calls(),
        target_calls: to.calls(),
    };
    if done.less.objects() > 0 {
        findings.push(less_locked(done.less, report.weakest_lock).on(&report.target));
    }
    if to.without_links() {
        findings.push(plain_disk(&report.target));
    }
    Ok((report, findings))
}

/// Says which locks are less than what the source promises.
fn less_locked(less: Less, weakest: Option<Time>) -> Finding {
    let mut words = Vec::new();
    if less.none > 0 {
        words.push(format!("{} have none, so whoever may delete there can delete them", less.none));
    }
    if less.short > 0 {
        let first = weakest.map(|until| format!(", the first of them at {until}")).unwrap_or_default();
        words.push(format!("{} have one that ends before what the source promises is over{first}", less.short));
    }
    if less.weak > 0 {
        words.push(format!("{} have one of mode governance, which a special right lifts", less.weak));
    }
    let what = format!(
        "of the locks that were looked at, {} are less than what the source promises, as --locks as-possible allows: {}. \
         `verify` of the copy lists them",
        less.objects(),
        words.join("; ")
    );
    Finding::new(Severity::Warning, "copy.as-possible", what)
}

/// Says what a vault at `place` loses where there are no hard links.
#[must_use]
pub fn plain_disk(place: &str) -> Finding {
    let what = "this file system has no hard links, as FAT and exFAT have none: everything is there, and no file is read-only or \
                belongs to anybody. Unmount the disk before you pull it out: it has no journal";
    Finding::new(Severity::Info, "store.plain-disk", what).on(place)
}
