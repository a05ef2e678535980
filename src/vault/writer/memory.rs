//! What the last run of a source left, and which of its streams this run may lean on.

use std::{collections::BTreeMap, sync::Arc};

use super::{Run, known::KnownPacks};
use crate::{
    catalog::{Catalog, Kept},
    format::list,
    model::Name,
    vault::{
        VaultError, VaultErrorKind,
        input::{Before, SourceError},
    },
};

impl Run<'_> {
    /// What the last run of this source left, and those of its streams whose packs are all there and locked until this
    /// run's floor.
    pub(super) fn before(&self, catalog: &mut Catalog) -> Result<Option<(Before, Vec<Kept>)>, VaultError> {
        let Some(memory) = catalog.recall(&self.request.source)? else { return Ok(None) };
        let Ok(note) = serde_json::from_str(&memory.note) else { return Ok(None) };
        let mut known = self.known(catalog);
        let mut kept = Vec::new();
        for stream in memory.streams {
            if can_be_carried(catalog, &mut known, &stream)? {
                kept.push(stream);
            }
        }
        let streams: BTreeMap<Name, u64> = kept.iter().map(|stream| (stream.name.clone(), stream.bytes)).collect();
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

/// Whether all of a stream's chunks can be leaned on.
fn can_be_carried(catalog: &mut Catalog, known: &mut KnownPacks, stream: &Kept) -> Result<bool, VaultError> {
    let Ok(chunks) = list::decode(&stream.chunks) else { return Ok(false) };
    let ids: Vec<_> = chunks.iter().map(|chunk| chunk.id).collect();
    let mut found = Vec::new();
    catalog.lookup(&ids, &mut found)?;
    for hit in found {
        let Some(hit) = hit else { return Ok(false) };
        for pack in [Some(hit.pack), hit.base_pack].into_iter().flatten() {
            if !known.usable(catalog, pack)? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// The streams of these names, in their order.
pub(super) fn named(names: &[Name], mut kept: Vec<Kept>) -> Result<Vec<Kept>, VaultError> {
    let mut take = |name: &Name| {
        let at = kept.iter().position(|stream| stream.name == *name)?;
        Some(kept.swap_remove(at))
    };
    let all: Option<Vec<Kept>> = names.iter().map(&mut take).collect();
    let missing =
        || SourceError::new("leans on a stream that can't be carried; this is a defect in strongroom", "the source");
    all.ok_or_else(|| VaultError::new(VaultErrorKind::Failed, missing().to_string()))
}
