//! What the last run of a source left, and which of its streams this run may lean on.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Run, known::KnownPacks};
use crate::{
    catalog::{Catalog, Kept, PackNo},
    format::list,
    model::Name,
    vault::{
        VaultError, VaultErrorKind,
        input::{Before, SourceError},
    },
};

/// A stream that can be carried: all of its chunks were found.
pub(super) struct Carried {
    pub(super) stream: Kept,
    /// The packs that hold them, and those of bases.
    pub(super) packs: BTreeSet<PackNo>,
}

impl Run<'_> {
    /// What the last run of this source left, and those of its streams whose packs are all there and locked until this
    /// run's floor.
    pub(super) fn before(&self, catalog: &mut Catalog) -> Result<Option<(Before, Vec<Carried>)>, VaultError> {
        let Some(memory) = catalog.recall(&self.request.source)? else { return Ok(None) };
        let Ok(note) = serde_json::from_str(&memory.note) else { return Ok(None) };
        let mut known = self.known(catalog);
        let mut kept = Vec::new();
        for stream in memory.streams {
            if let Some(packs) = packs_of(catalog, &mut known, &self.request.source, &stream)? {
                kept.push(Carried { stream, packs });
            }
        }
        let streams: BTreeMap<Name, u64> =
            kept.iter().map(|kept| (kept.stream.name.clone(), kept.stream.bytes)).collect();
        let before = Before { snapshot: memory.snapshot, locked_until: memory.floor, note, streams };
        Ok(Some((before, kept)))
    }

    /// The catalog's packs, as this run may lean on them.
    pub(super) fn known(&self, catalog: &Catalog) -> KnownPacks {
        let (store, writer) = (Arc::clone(&self.place.store), self.place.writer.name.clone());
        let (runtime, listed) = (self.runtime.clone(), self.listed.clone());
        KnownPacks::new(store, runtime, writer, self.locking, listed, catalog.is_empty() || self.retention.full)
    }
}

/// How many chunks are looked up at once.
const BATCH: usize = 1024;

/// The packs that a stream needs; `None` if one of its chunks can't be leaned on.
fn packs_of(
    catalog: &mut Catalog,
    known: &mut KnownPacks,
    source: &Name,
    stream: &Kept,
) -> Result<Option<BTreeSet<PackNo>>, VaultError> {
    let (mut packs, mut ids, mut found) = (BTreeSet::new(), Vec::with_capacity(BATCH), Vec::new());
    for part in 0..stream.parts() {
        let chunks = catalog.chunks_of(source, stream, part)?;
        for batch in chunks.chunks(BATCH * list::ENTRY) {
            let Ok(batch) = list::decode(batch) else { return Ok(None) };
            ids.clear();
            ids.extend(batch.iter().map(|chunk| chunk.id));
            catalog.lookup(&ids, &mut found)?;
            for hit in &found {
                let Some(hit) = hit else { return Ok(None) };
                for pack in [Some(hit.pack), hit.base_pack].into_iter().flatten() {
                    if !packs.contains(&pack) && !known.usable(catalog, pack)? {
                        return Ok(None);
                    }
                    packs.insert(pack);
                }
            }
        }
    }
    Ok(Some(packs))
}

/// The streams of these names, in their order.
pub(super) fn named(names: &[Name], mut kept: Vec<Carried>) -> Result<Vec<Carried>, VaultError> {
    let mut take = |name: &Name| {
        let at = kept.iter().position(|kept| kept.stream.name == *name)?;
        Some(kept.swap_remove(at))
    };
    let all: Option<Vec<Carried>> = names.iter().map(&mut take).collect();
    let missing = || {
        SourceError::new("refers to a stream that can't be carried over; this is a defect in strongroom", "the source")
    };
    all.ok_or_else(|| VaultError::new(VaultErrorKind::Failed, missing().to_string()))
}
