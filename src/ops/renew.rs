//! `renew`: locks are extended while snapshots need them.

use serde::Serialize;

use super::Result;
use crate::{
    model::{Cancel, Finding, Progress, Time},
    vault::{Vault, upkeep::renew},
};

/// What the store's owner pays, in the owner's currency.
#[derive(Debug, Clone, Copy)]
pub struct Prices {
    /// For 1000 calls that change something.
    pub updates: f64,
    /// For 1000 calls that read.
    pub reads: f64,
    /// For keeping a GiB for a month.
    pub gib_month: f64,
}

/// What `renew` did, or would do.
#[derive(Debug, Serialize)]
pub struct RenewReport {
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// Snapshots whose locks are kept.
    pub snapshots: u64,
    /// Headers that nothing is extended for.
    pub refused: u64,
    /// Objects that live snapshots and the vault itself need.
    pub objects: u64,
    /// Calls that read.
    pub reads: u64,
    /// Calls that extended a lock.
    pub updates: u64,
    /// Bytes of the objects whose locks were extended.
    pub bytes: u64,
    /// The furthest end of a lock that was set.
    pub extended_until: Option<Time>,
    /// When the first lock ends among all that is needed.
    pub weakest_lock: Option<Time>,
    /// What the calls cost, about.
    pub cost_calls: f64,
    /// What keeping these bytes for the longer time costs, about.
    pub cost_storage: f64,
}

/// Extends what is due, or with `dry_run` only says what is.
///
/// # Errors
/// If the vault can't be read. A lock that can't be extended is a finding.
pub async fn renew(
    vault: &Vault,
    dry_run: bool,
    prices: Prices,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<(RenewReport, Vec<Finding>)> {
    let done = renew::renew(vault, dry_run, progress, cancel).await?;
    let report = RenewReport {
        dry_run,
        snapshots: done.snapshots,
        refused: done.refused,
        objects: done.objects,
        reads: done.reads,
        updates: done.updates,
        bytes: done.bytes,
        extended_until: done.extended_until,
        weakest_lock: done.weakest_lock,
        cost_calls: thousands(done.updates) * prices.updates + thousands(done.reads) * prices.reads,
        cost_storage: done.byte_seconds / GIB / MONTH * prices.gib_month,
    };
    Ok((report, done.findings.into_vec()))
}

const GIB: f64 = 1_073_741_824.0;
/// The seconds of a month of 30 days.
const MONTH: f64 = 2_592_000.0;

#[allow(clippy::cast_precision_loss, reason = "an estimate for people")]
fn thousands(calls: u64) -> f64 {
    calls as f64 / 1000.0
}
