//! Which chunk a new one may be stored as a delta of.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use super::{
    Run,
    bases::BaseCache,
    known::KnownPacks,
    sketching::Sketching,
    stages::{BaseRef, NewChunk},
};
use crate::{
    catalog::{Bases, Catalog, CatalogError, PackNo},
    codec::{
        chunker::Chunker,
        sketch::{Sketch, sketch},
    },
    format::writer_key::Writer,
    model::PackId,
    vault::VaultError,
};

/// Finds bases for one run.
pub(super) struct Similar {
    cache: Option<Arc<BaseCache>>,
    sketching: Arc<Sketching>,
    chunker: Chunker,
    /// The ids of packs that were asked for, where the cache has their files.
    packs: HashMap<PackNo, Option<PackId>>,
}

impl Similar {
    pub(super) fn new(cache: Option<Arc<BaseCache>>, sketching: Arc<Sketching>, chunker: Chunker) -> Self {
        Self { cache, sketching, chunker, packs: HashMap::new() }
    }

    /// The sketch of a new chunk, where one is of use.
    pub(super) fn sketch(&self, chunk: &[u8]) -> Option<Sketch> {
        if self.sketching.worthwhile() { sketch(chunk.len(), &self.chunker.samples(chunk)) } else { None }
    }

    /// Notes how many chunks of a segment were new.
    pub(super) fn segment(&self, new: usize, all: usize) {
        self.sketching.segment(new, all);
    }

    /// A chunk that `new` resembles: a whole one, in a pack that the snapshot may lean on, and in the cache. `mine` are
    /// packs that the snapshot needs anyway.
    ///
    /// # Errors
    /// If the catalog fails, or the store does not tell of a lock.
    pub(super) fn base(
        &mut self,
        catalog: &mut Catalog,
        known: &mut KnownPacks,
        mine: &BTreeSet<PackNo>,
        new: NewChunk,
    ) -> Result<Option<BaseRef>, VaultError> {
        let (Some(cache), Some(sketch)) = (&self.cache, new.sketch) else { return Ok(None) };
        let Some(similar) = catalog.similar(&sketch)?.filter(|similar| similar.chunk != new.chunk.id) else {
            return Ok(None);
        };
        let mut found = Vec::with_capacity(1);
        catalog.lookup(&[similar.chunk], &mut found)?;
        let Some(home) = found.pop().flatten().filter(|home| home.base_pack.is_none()) else { return Ok(None) };
        if !self.sketching.promising() {
            return Ok(None);
        }
        if !mine.contains(&home.pack) && !known.may_lean_on(catalog, home.pack)? {
            return Ok(None);
        }
        let pack = if let Some(pack) = self.packs.get(&home.pack) {
            *pack
        } else {
            let id = catalog.pack(home.pack)?.id;
            let cached = cache.files().has(&id).then_some(id);
            self.packs.insert(home.pack, cached);
            cached
        };
        Ok(pack.map(|pack| BaseRef { chunk: similar.chunk, pack }))
    }
}

impl Run<'_> {
    /// Makes room in the cache for the next run, and forgets the features of what is not in it any more. Returns what
    /// went wrong, which costs space only.
    pub(super) fn tidy_cache(&self, catalog: &mut Catalog) -> Option<String> {
        let cache = self.cache.as_ref()?;
        if cache.files().trim() > 0 {
            let forgotten = keep_features(catalog, cache.files());
            if let Err(error) = forgotten {
                return Some(format!("the features of dropped bases were not forgotten: {error}"));
            }
        }
        cache.failure().map(|error| format!("later runs will find fewer chunks to store as deltas of: {error}"))
    }
}

/// Notes the features of everything in the cache in a catalog that was rebuilt, which knows the packs and not what is
/// like what. Returns how many chunks may serve as bases again. Files of packs that the catalog does not know go.
///
/// # Errors
/// If the catalog fails.
pub fn refill_features(writer: &Writer, files: &Arc<Bases>, catalog: &mut Catalog) -> Result<u64, VaultError> {
    let cache = BaseCache::new(Arc::clone(files), &writer.chunk_id_key)?;
    let mut known = BTreeMap::new();
    for id in files.packs() {
        match catalog.find_pack(&id)? {
            Some(row) => drop(known.insert(row.no, id)),
            None => files.forget(&id),
        }
    }
    let mut chunks = 0;
    // Oldest first, so that what is newer takes the place of what is older.
    for (no, id) in known {
        let Some(sketches) = cache.sketches(&id) else {
            files.forget(&id);
            continue;
        };
        catalog.add_features(no, sketches.iter().map(|(id, sketch)| (id, sketch.as_slice())))?;
        chunks += sketches.len() as u64;
    }
    Ok(chunks)
}

fn keep_features(catalog: &mut Catalog, files: &Bases) -> Result<u64, CatalogError> {
    let mut packs = HashSet::new();
    for id in files.packs() {
        packs.extend(catalog.find_pack(&id)?.map(|row| row.no));
    }
    catalog.keep_features(&packs)
}
