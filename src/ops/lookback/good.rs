//! `restore last-good`: the newest snapshot of a source without an alarm that nobody acknowledged.

use std::collections::BTreeMap;

use super::{Judged, Known, Past, Stand, first_seen, look};
use crate::{
    codec::seal::Opener,
    model::{Cancel, Finding, Progress, Severity, SnapshotId},
    ops::{
        OpsError, Result,
        snapshots::{SnapshotLine, Wanted, choose},
    },
    vault::{Vault, snapshots},
};

/// The code of a snapshot that was passed over.
const PASSED: &str = "restore.passed-over";

/// The last good snapshot.
#[derive(Debug)]
pub struct LastGood {
    /// The snapshot.
    pub snapshot: SnapshotLine,
    /// Which newer ones were passed over, and why.
    pub findings: Vec<Finding>,
}

/// Finds the newest snapshot that `wanted` may mean (a `Latest`) without an alarm that nobody acknowledged. Judged anew,
/// from bodies with an identity, else from headers.
///
/// # Errors
/// If there is none, or the vault can't be read.
pub async fn find(
    vault: &Vault,
    opener: Option<&Opener>,
    wanted: &Wanted,
    known: &Known,
    on: (&dyn Progress, &Cancel),
) -> Result<LastGood> {
    let listing = snapshots::list(vault).await?;
    let mut findings = listing.findings;
    let newest = choose(listing.snapshots.clone(), wanted)?.snapshot;
    let of = |one: &snapshots::Summary| (one.header.source.clone(), one.header.writer.clone());
    let whose = of(&newest);
    let end = listing.snapshots.iter().position(|one| one.id == newest.id).map_or(0, |at| at + 1);
    let mine = listing.snapshots.iter().filter(|one| one.header.writer == newest.header.writer);
    let numbers: BTreeMap<SnapshotId, u64> = mine.map(|one| (one.id, one.header.seq)).collect();
    let all: Vec<_> = listing.snapshots.iter().take(end).filter(|one| of(one) == whose).cloned().collect();
    let past = look(vault, opener, &all, (numbers, known), on).await?;
    let Some(good) = past.last_good() else { return Err(none(&past, &newest.header.source)) };
    findings.extend(past.findings.iter().cloned());
    findings.extend(passed(past.behind_good()));
    Ok(LastGood { snapshot: good.line.clone(), findings })
}

/// Why each was passed over; those that show what one before them showed are told with that one.
fn passed(behind: &[Judged]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, one) in behind.iter().enumerate().filter(|(_, one)| one.stand != Stand::Still) {
        let still = behind.iter().skip(at + 1).take_while(|later| later.stand == Stand::Still).count();
        let more = match still {
            0 => String::new(),
            1 => "; the one after it still shows it, and was passed over as well".to_owned(),
            n => format!("; the {n} after it still show it, and were passed over as well"),
        };
        let why = match &one.cause {
            Some(cause) => format!("ALARM {cause}: {}", why(one)),
            None => "its body can't be read".to_owned(),
        };
        let what = format!("a newer snapshot, of {}, was skipped: {why}{more}", one.line.created_at);
        findings.push(Finding::new(Severity::Warning, PASSED, what).of(one.line.id));
    }
    findings
}

/// The loudest reason, in words.
fn why(one: &Judged) -> String {
    one.verdicts.first().map(|verdict| format!("{} [{}]", verdict.words, verdict.rule)).unwrap_or_default()
}

fn none(past: &Past, source: &crate::model::Name) -> OpsError {
    let since = first_seen(past).map(|at| format!(" since {at}")).unwrap_or_default();
    let first = past.judged.iter().find_map(|one| Some((one.cause.as_ref()?, one)));
    let first = first.map(|(cause, one)| format!("; the first is {cause}: {}", why(one))).unwrap_or_default();
    let what = format!(
        "all {} snapshots of {source} that were looked at{since} show an alarm that nobody acknowledged, or can't be read\
         {first}. Name one by its id",
        past.judged.len()
    );
    OpsError::NoSnapshot { what }
}
