//! `catalog rebuild`: the writer's local memory, made anew from its own signed indexes.

use std::{path::Path, sync::Arc};

use serde::Serialize;
use tokio::runtime::Handle;

use super::{Pin, Result, open_vault};
use crate::{
    catalog::{Bases, Catalog, RunLock},
    model::{Finding, Severity},
    vault::{
        rebuild,
        writer::{self, Workplace},
    },
};

/// What was rebuilt.
#[derive(Debug, Serialize)]
pub struct RebuildReport {
    /// Indexes read.
    pub indexes: u64,
    /// Packs known again.
    pub packs: u64,
    /// Chunks known again.
    pub chunks: u64,
}

/// Rebuilds the catalog of the writer of `place` in the directory `state`. Blocks; to be called on a thread that may.
///
/// # Errors
/// If another run of the writer is under way, or the vault or the catalog fails.
pub fn rebuild(
    place: &Workplace,
    runtime: &Handle,
    state: &Path,
    pins: Vec<Pin>,
) -> Result<(RebuildReport, Vec<Finding>)> {
    let vault = place.writer.descriptor.vault;
    let mut all = vec![Pin::one(vault, "the writer's key")];
    all.extend(pins);
    let mut findings = runtime.block_on(open_vault(&place.store, &all))?.findings;
    let _lock = RunLock::acquire(state, vault, &place.writer.name)?;
    let mut catalog = Catalog::open(state, vault, &place.writer.name)?.into_catalog();
    place.progress.phase("rebuilding the catalog", None);
    let rebuilt = rebuild::rebuild(place, runtime, &mut catalog)?;
    findings.extend(rebuilt.findings);
    // Which streams and tips a repository's snapshots have is in their bodies, which the writer can't open.
    let what = "what git sources lean on can't be rebuilt: the next run of each reads all of its repository and begins a \
                new set of segments. Of these, what the vault has already is not stored again";
    findings.push(Finding::new(Severity::Info, "git.whole", what));
    // Only what is there is read, so any limit will do.
    let bases = Arc::new(Bases::open(state, vault, &place.writer.name, u64::MAX)?);
    writer::refill_features(&place.writer, &bases, &mut catalog)?;
    let report = RebuildReport { indexes: rebuilt.indexes, packs: rebuilt.packs, chunks: rebuilt.chunks };
    Ok((report, findings))
}
