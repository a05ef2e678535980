//! `catalog rebuild`: the writer's local memory, made anew from its own signed indexes.

use std::{path::Path, sync::Arc};

use serde::Serialize;
use tokio::runtime::Handle;

use super::{OpsError, Pin, Result, open_vault};
use crate::{
    catalog::{Bases, Catalog, Opened, RunLock},
    format::layout,
    model::{Finding, Severity},
    vault::{
        VaultErrorKind, rebuild,
        writer::{self, Workplace},
    },
};

/// What to do where nothing was rebuilt.
const AGAIN: &str = "what it does not know is stored again; `strongroom catalog rebuild` fills it";

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
    let (report, more) = fill(place, runtime, state, &mut catalog)?;
    findings.extend(more);
    // Which streams and tips a repository's snapshots have is in their bodies, which the writer can't open.
    let what = "what git sources refer to can't be rebuilt: the next run of each reads all of its repository and begins a \
                new set of segments. Of these, what the vault has already is not stored again";
    findings.push(Finding::new(Severity::Info, "git.whole", what));
    Ok((report, findings))
}

/// Empties the catalog, and fills it from the writer's own indexes.
fn fill(
    place: &Workplace,
    runtime: &Handle,
    state: &Path,
    catalog: &mut Catalog,
) -> Result<(RebuildReport, Vec<Finding>)> {
    place.progress.phase("rebuilding the catalog", None);
    let rebuilt = rebuild::rebuild(place, runtime, catalog)?;
    // Only what is there is read, so any limit will do.
    let bases = Arc::new(Bases::open(state, place.writer.descriptor.vault, &place.writer.name, u64::MAX)?);
    writer::refill_features(&place.writer, &bases, catalog)?;
    let report = RebuildReport { indexes: rebuilt.indexes, packs: rebuilt.packs, chunks: rebuilt.chunks };
    Ok((report, rebuilt.findings))
}

/// Opens the catalog for a backup. One that is lost, can't be used, or knows some of what is stored is filled again at
/// once, unless `no_rebuild`: otherwise all would be stored again.
pub(super) fn open(
    place: &Workplace,
    runtime: &Handle,
    state: &Path,
    no_rebuild: bool,
    findings: &mut Vec<Finding>,
) -> Result<Catalog> {
    let name = &place.writer.name;
    let (mut catalog, code, what) = match Catalog::open(state, place.writer.descriptor.vault, name)? {
        Opened::Existing(catalog) if !catalog.is_partial() => return Ok(catalog),
        Opened::Existing(catalog) => {
            (catalog, "catalog.partial", "a rebuild of the catalog was stopped before its end".to_owned())
        }
        Opened::New(catalog) => {
            let mut earlier = 0_u64;
            let own = layout::own(layout::SNAPSHOTS, name);
            runtime.block_on(place.store.list(&own, &mut |_| earlier += 1))?;
            if earlier == 0 {
                return Ok(catalog);
            }
            let what = format!(
                "this writer has {earlier} snapshots in the vault and there was no catalog in {} (is `state` the right \
                 directory?)",
                state.display()
            );
            (catalog, "catalog.lost", what)
        }
        Opened::Replaced { catalog, reason, kept } => {
            let what = format!("the catalog could not be used ({reason}) and was set aside as {}", kept.display());
            (catalog, "catalog.replaced", what)
        }
    };
    let warn = |code: &'static str, text: String| Finding::new(Severity::Warning, code, text);
    if no_rebuild {
        findings.push(warn(code, format!("{what}: {AGAIN}")));
        return Ok(catalog);
    }
    match fill(place, runtime, state, &mut catalog) {
        Ok((RebuildReport { indexes, packs, chunks }, more)) => {
            let told =
                format!("{what}: it was rebuilt from {indexes} indexes, and knows {chunks} chunks in {packs} packs");
            findings.push(warn("catalog.rebuilt", told));
            findings.extend(more);
        }
        // A role that may not read its own indexes can back up all the same.
        Err(OpsError::Vault(error)) if error.kind == VaultErrorKind::Denied => {
            findings
                .push(warn(code, format!("{what}, and it can't be rebuilt with these credentials ({error}): {AGAIN}")));
        }
        Err(error) => return Err(error),
    }
    Ok(catalog)
}
