//! Rebuilding a writer's catalog from the indexes that it signed itself.

use tokio::runtime::Handle;

use super::{Result, VaultError, VaultErrorKind, fetch, heads::Heads, writer::Workplace};
use crate::{
    catalog::{Catalog, NewPack},
    format::{
        header::ObjectRef,
        index::{self, INDEX_LIMIT},
        layout,
    },
    model::{Finding, Severity},
};

/// What a rebuild found.
#[derive(Debug, Default)]
pub struct Rebuild {
    /// Indexes read.
    pub indexes: u64,
    /// Packs that the catalog knows now.
    pub packs: u64,
    /// Chunks that it knows now.
    pub chunks: u64,
    /// What could not be read, which only costs space.
    pub findings: Vec<Finding>,
}

/// Empties the catalog and fills it from the live indexes of the writer's newest header. The locks of packs stay
/// unknown; the next run reads them. Blocks, like [`writer::backup`](super::writer::backup).
///
/// # Errors
/// If the store can't be read or the catalog can't be written.
pub fn rebuild(place: &Workplace, runtime: &Handle, catalog: &mut Catalog) -> Result<Rebuild> {
    let heads = runtime.block_on(Heads::of(&*place.store, &place.writer, None))?;
    let mut found = Rebuild::default();
    catalog.clear()?;
    let left_out = pass(place, runtime, catalog, &heads.indexes, &mut found)?;
    if left_out > 0 {
        // Indexes are merged newest first, so deltas may come before their bases: these are known now.
        found.findings.clear();
        found.indexes = 0;
        pass(place, runtime, catalog, &heads.indexes, &mut found)?;
    }
    let (chunks, packs, _) = catalog.counts()?;
    (found.chunks, found.packs) = (chunks, packs);
    Ok(found)
}

/// Reads every index once; returns how many deltas have no base.
fn pass(
    place: &Workplace,
    runtime: &Handle,
    catalog: &mut Catalog,
    indexes: &[ObjectRef],
    found: &mut Rebuild,
) -> Result<u64> {
    let mut left_out = 0;
    for index in indexes {
        if place.cancel.is_cancelled() {
            return Err(VaultError::cancelled());
        }
        match add(place, runtime, catalog, index, found) {
            Ok(orphans) => {
                found.indexes += 1;
                left_out += orphans;
            }
            Err(error) if matches!(error.kind, VaultErrorKind::Damaged | VaultErrorKind::Untrusted) => {
                let what = format!("an index was passed over, so its chunks are stored again: {}", error.what);
                let on = layout::index(&place.writer.name, &index.hash);
                found.findings.push(Finding::new(Severity::Warning, "index.damaged", what).on(on));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(left_out)
}

fn add(
    place: &Workplace,
    runtime: &Handle,
    catalog: &mut Catalog,
    index: &ObjectRef,
    found: &mut Rebuild,
) -> Result<u64> {
    let mut left_out = 0;
    let writer = &place.writer;
    let key = layout::index(&writer.name, &index.hash);
    let sealed = runtime.block_on(fetch::by_hash(&*place.store, &key, index.version.as_deref(), &index.hash))?;
    let plain = writer.catalog.open(&sealed, INDEX_LIMIT)?;
    let signer = &writer.certificate.signing_key;
    index::open(&plain, writer.descriptor.vault, &writer.name, signer, |section, _| {
        let blocks = section.directory.blocks.iter();
        let chunks: Vec<_> = blocks.flat_map(|b| b.chunks.iter().map(|c| (c.id, b.base))).collect();
        let pack = NewPack {
            id: section.pack,
            bytes: section.sealed_len,
            version: section.version.as_deref(),
            lock: None,
            section: &[],
            chunks: &chunks,
        };
        let rebuilt = catalog.record_indexed_pack(&pack)?;
        left_out += rebuilt.left_out;
        if rebuilt.left_out > 0 {
            let what = format!("{} deltas of a pack have no base any more and are stored again", rebuilt.left_out);
            let on = layout::pack(&writer.name, &section.pack);
            found.findings.push(Finding::new(Severity::Info, "delta.orphaned", what).on(on));
        }
        Ok::<_, VaultError>(())
    })?;
    place.progress.advance(index.bytes);
    Ok(left_out)
}
