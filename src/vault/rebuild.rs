//! Rebuilding a writer's catalog from the indexes that it signed itself.

use tokio::runtime::Handle;

use super::{Result, VaultError, fetch, heads::Heads, writer::Workplace};
use crate::{
    catalog::{Catalog, IndexedPack},
    format::{
        header::ObjectRef,
        index::{self, SEALED_LIMIT, Section},
        layout,
    },
    model::{Finding, Severity},
};

/// So many chunks are recorded at once: 35 MB, of which each page of a table of 1 TiB gets two.
const BATCH: usize = 512 << 10;

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
/// unknown; the next run reads them. If it is stopped, the catalog knows some of what is stored and says so. Blocks, like [`writer::backup`](super::writer::backup).
///
/// # Errors
/// If the store can't be read or the catalog can't be written.
pub fn rebuild(place: &Workplace, runtime: &Handle, catalog: &mut Catalog) -> Result<Rebuild> {
    let heads = runtime.block_on(Heads::of(&*place.store, &place.writer, None))?;
    let mut found = Rebuild::default();
    catalog.begin_rebuild()?;
    let left_out = pass(place, runtime, catalog, &heads.indexes, &mut found)?;
    if left_out > 0 {
        // Indexes are merged newest first, so deltas may come before their bases: these are known now.
        found.findings.clear();
        found.indexes = 0;
        pass(place, runtime, catalog, &heads.indexes, &mut found)?;
    }
    catalog.end_rebuild()?;
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
        match add(place, runtime, catalog, index, found) {
            Ok(orphans) => {
                found.indexes += 1;
                left_out += orphans;
            }
            Err(error) if error.is_of_object() => {
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
    let writer = &place.writer;
    let key = layout::index(&writer.name, &index.hash);
    let sealed =
        runtime.block_on(fetch::by_hash(&*place.store, &key, index.version.as_deref(), &index.hash, SEALED_LIMIT))?;
    let of = (writer.descriptor.vault, &writer.name, &writer.certificate.signing_key);
    let (mut left_out, mut batch, mut chunks) = (0, Vec::new(), 0);
    index::open_sealed(&sealed, &writer.catalog, of, |section, _| {
        let blocks = &section.directory.blocks;
        let mut all = Vec::with_capacity(blocks.iter().map(|block| block.chunks.len()).sum());
        all.extend(blocks.iter().flat_map(|block| block.chunks.iter().map(|chunk| (chunk.id, block.base))));
        chunks += all.len();
        let Section { pack: id, sealed_len: bytes, version, .. } = section;
        batch.push(IndexedPack { id, bytes, version, chunks: all });
        if chunks >= BATCH {
            left_out += record(place, catalog, &batch, found)?;
            (batch, chunks) = (Vec::new(), 0);
        }
        Ok::<_, VaultError>(())
    })?;
    left_out += record(place, catalog, &batch, found)?;
    place.progress.advance(index.bytes);
    Ok(left_out)
}

/// Records packs; returns how many of their deltas have no base.
fn record(place: &Workplace, catalog: &mut Catalog, packs: &[IndexedPack], found: &mut Rebuild) -> Result<u64> {
    if place.cancel.is_cancelled() {
        return Err(VaultError::cancelled());
    }
    let left_out = catalog.record_indexed_packs(packs)?;
    for (pack, orphans) in packs.iter().zip(&left_out).filter(|(_, orphans)| **orphans > 0) {
        let what = format!("{orphans} deltas of a pack have no base any more and are stored again");
        let on = layout::pack(&place.writer.name, &pack.id);
        found.findings.push(Finding::new(Severity::Info, "delta.orphaned", what).on(on));
    }
    Ok(left_out.iter().sum())
}
