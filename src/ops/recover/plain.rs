//! `restore --data-directory`: a base laid out as it was copied, with no log but its own.

use std::sync::Arc;

use super::{Base, Ending, Files};
use crate::{
    codec::Opener,
    model::{Cancel, Finding, Progress, SourceKind},
    ops::{
        OpsError, Result,
        restore::{Part, RestoreReport, carry_out, noted, planned, report_of},
        snapshots::{Wanted, choose, listed_for},
    },
    store::counted::Counted,
    vault::{Vault, reader::Snapshot},
};

/// Lays out a base of `vault` in `target`.
///
/// # Errors
/// If the snapshot is none, or as a restore.
pub async fn lay_out_base(
    vault: &Vault,
    opener: &Opener,
    wanted: &Wanted,
    target: &mut dyn Files,
    (progress, cancel): (&Arc<dyn Progress>, &Cancel),
) -> Result<(RestoreReport, Vec<Finding>)> {
    let counted = Arc::new(Counted::new(Arc::clone(&vault.store)));
    let vault = &vault.through(Arc::clone(&counted) as _);
    let listing = listed_for(vault, wanted).await?;
    let chosen = choose(listing.snapshots, wanted)?;
    noted(vault, &chosen, wanted, progress).await?;
    let header = vault.whole(&chosen.snapshot).await?;
    let mut snapshot = Snapshot::open(vault, header, opener).await?;
    let header = &snapshot.header.header;
    let Some(base) = Base::of(&snapshot.body.details).filter(|_| header.kind == SourceKind::Postgres) else {
        let what = format!(
            "snapshot {} of {} is no copy of a server that knows its place in the log",
            snapshot.header.id.short(),
            header.source
        );
        let next = "leave --data-directory out: it comes back as the files that were backed up";
        return Err(OpsError::Request { what, next: next.to_owned() });
    };
    let layout = target.recovery().ok_or(OpsError::Defect("the target of the recovery"))?;
    layout.open(&header.source)?;
    layout.settle(Ending { base, settings: Vec::new(), later: Vec::new() });
    let warnings = std::mem::take(&mut snapshot.body.warnings);
    let plan = planned(&mut snapshot, Part::default()).await?;
    let carried = carry_out(&snapshot, &plan, target, (progress, cancel), None).await?;
    let mut report = report_of(&snapshot, plan, carried, warnings);
    report.data_directory = true;
    report.fetched_bytes = counted.calls().bytes;
    let mut findings = listing.findings;
    findings.extend(target.told());
    Ok((report, findings))
}
