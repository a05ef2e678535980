//! Chunks that are not where an index says, or not as it says: had from any place and any version that has them.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use zeroize::Zeroizing;

use super::{
    PackSource,
    decode::{block, is_chunk, slice},
    directory::opened,
    locate::lost,
    places::{Found, PackPlace, Places},
};
use crate::{
    codec::compress::Decompressor,
    format::list::ChunkRef,
    model::{ChunkId, PackId},
    store::Version,
    vault::{Result, VaultError, VaultErrorKind},
};

/// So many packs stay open: that of a chunk and that of its base.
const OPEN: usize = 2;

/// A whole pack, opened.
type Plain = Arc<Zeroizing<Vec<u8>>>;

/// What was learnt of packs that could not be read as an index says. Without it each chunk of such a pack would cost all
/// of the pack.
#[derive(Default)]
pub(crate) struct Salvaged {
    /// The version that has a pack, in place of the one that its index names; `None` is the current one.
    versions: Mutex<HashMap<PackId, Option<Version>>>,
    /// Those that were opened last, newest last.
    open: Mutex<VecDeque<(PackId, Plain)>>,
}

impl Salvaged {
    /// The version to read a pack from.
    pub(super) fn version(&self, pack: &PackPlace) -> Option<Version> {
        let versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        versions.get(&pack.id).cloned().unwrap_or_else(|| pack.version.as_deref().map(Version::new))
    }

    /// Remembers which version has a pack.
    pub(super) fn is_at(&self, pack: PackId, version: Option<Version>) {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner).insert(pack, version);
    }

    async fn opened(&self, source: &PackSource, pack: &PackPlace) -> Result<Plain> {
        let known = |open: &VecDeque<(PackId, Plain)>| {
            open.iter().find(|(id, _)| *id == pack.id).map(|(_, plain)| Arc::clone(plain))
        };
        if let Some(plain) = known(&self.open.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(plain);
        }
        let (_, plain) = opened(source, &pack.key, &pack.id, pack.version.as_deref()).await?;
        let plain = Arc::new(plain);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() == OPEN {
            open.pop_front();
        }
        open.push_back((pack.id, Arc::clone(&plain)));
        Ok(plain)
    }
}

/// A chunk from any place that has it: every candidate is tried, each by its whole pack as its hash finds it.
///
/// # Errors
/// If no candidate gives the chunk; the error of the last one is its cause.
pub(super) async fn recover(source: &PackSource, places: &Places, chunk: ChunkRef) -> Result<Vec<u8>> {
    let mut cause = None;
    for place in places.candidates(&chunk.id)? {
        match recover_from(source, places, place, chunk, true).await {
            Ok(bytes) => return Ok(bytes),
            Err(error) => cause = Some(error),
        }
    }
    let lost = lost(&chunk.id);
    Err(match cause {
        Some(error) if error.kind != VaultErrorKind::Damaged => error,
        Some(error) => VaultError { object: error.object.clone(), ..lost }.because(error),
        None => lost,
    })
}

async fn recover_from(
    source: &PackSource,
    places: &Places,
    (place, block_place): Found,
    chunk: ChunkRef,
    follow_base: bool,
) -> Result<Vec<u8>> {
    let pack = places.pack(place.pack)?;
    let plain = source.salvaged.opened(source, &pack).await?;
    let end = block_place.offset + u64::from(block_place.stored);
    let stored = usize::try_from(block_place.offset)
        .ok()
        .zip(usize::try_from(end).ok())
        .and_then(|(from, to)| plain.get(from..to))
        .ok_or_else(|| VaultError::new(VaultErrorKind::Damaged, "the index contradicts the pack").on(&pack.key))?;
    let base = match block_place.base {
        Some(id) if follow_base => Some(recover_base(source, places, &id).await?),
        Some(id) => return Err(lost(&id)),
        None => None,
    };
    let mut decoded = Vec::new();
    block(&mut Decompressor::new()?, block_place, stored, base.as_deref(), &mut decoded)?;
    if !is_chunk(source, &decoded, place.offset, chunk) {
        let what = format!("the pack holds other bytes than chunk {}", chunk.id);
        return Err(VaultError::new(VaultErrorKind::Damaged, what).on(&pack.key));
    }
    Ok(slice(&decoded, place.offset, chunk.len).unwrap_or_default().to_vec())
}

async fn recover_base(source: &PackSource, places: &Places, id: &ChunkId) -> Result<Vec<u8>> {
    let mut cause = lost(id);
    for place in places.candidates(id)? {
        // A base is never a delta, so this goes one level deep.
        let chunk = ChunkRef { id: *id, len: place.0.len };
        match Box::pin(recover_from(source, places, place, chunk, false)).await {
            Ok(bytes) => return Ok(bytes),
            Err(error) => cause = error,
        }
    }
    Err(cause)
}
