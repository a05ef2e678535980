//! Opening, decompressing and checking blocks.

use super::{
    PackSource,
    directory::opened,
    locate::{BlockPlace, Located, PackPlace, Places, lost},
};
use crate::{
    codec::{
        compress::{Codec, Decompressor},
        seal,
    },
    format::list::ChunkRef,
    model::ChunkId,
    vault::{Result, VaultError, VaultErrorKind},
};

/// Decodes the bytes of one block into `out`, in place of what is there.
///
/// # Errors
/// If they are not what the directory says.
pub(super) fn block(
    decompressor: &mut Decompressor,
    place: &BlockPlace,
    stored: &[u8],
    base: Option<&[u8]>,
    out: &mut Vec<u8>,
) -> Result<()> {
    let plain = usize::try_from(place.plain).unwrap_or(usize::MAX);
    out.clear();
    match (place.codec, base) {
        (Codec::ZstdDelta, Some(base)) => decompressor.undelta(base, stored, plain, out)?,
        (Codec::ZstdDelta, None) => return Err(VaultError::stage_gone("decoding a base")),
        (codec, _) => decompressor.decompress(codec, stored, plain, out)?,
    }
    Ok(())
}

/// Whether the bytes at a place of a decoded block are the chunk of this id.
pub(super) fn is_chunk(source: &PackSource, block: &[u8], offset: u32, chunk: ChunkRef) -> bool {
    slice(block, offset, chunk.len).is_some_and(|bytes| source.key.id(bytes) == chunk.id)
}

/// The bytes of a chunk in a decoded block.
pub(super) fn slice(block: &[u8], offset: u32, len: u32) -> Option<&[u8]> {
    let (offset, len) = (usize::try_from(offset).ok()?, usize::try_from(len).ok()?);
    block.get(offset..offset.checked_add(len)?)
}

/// The part of a pack that holds the opened range `plain`, read with the hint of its version.
pub(super) async fn part(
    source: &PackSource,
    pack: &PackPlace,
    plain: std::ops::Range<u64>,
) -> Result<(u64, bytes::Bytes)> {
    let range = seal::sealed_range(pack.header.len() as u64, pack.sealed_len, plain).ok_or_else(|| {
        VaultError::new(VaultErrorKind::Damaged, "the index contradicts the pack's size").on(&pack.key)
    })?;
    let version = pack.version.as_deref().map(crate::store::Version::new);
    let offset = range.start;
    Ok((offset, source.store.get(&pack.key, version.as_ref(), Some(range)).await?))
}

/// A chunk from any place that has it: every candidate is tried, each by its whole pack as its hash finds it.
///
/// # Errors
/// If no candidate gives the chunk; the error of the last one is its cause.
pub(super) async fn recover(source: &PackSource, places: &Places, chunk: ChunkRef) -> Result<Vec<u8>> {
    let mut cause = None;
    for place in places.candidates(&chunk.id) {
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
    place: Located,
    chunk: ChunkRef,
    follow_base: bool,
) -> Result<Vec<u8>> {
    let (pack, block_place) = places.block(place).ok_or_else(|| lost(&chunk.id))?;
    let (_, plain) = opened(source, &pack.key, &pack.id, pack.version.as_deref()).await?;
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
    for place in places.candidates(id) {
        // A base is never a delta, so this goes one level deep.
        let chunk = ChunkRef { id: *id, len: place.len };
        match Box::pin(recover_from(source, places, place, chunk, false)).await {
            Ok(bytes) => return Ok(bytes),
            Err(error) => cause = error,
        }
    }
    Err(cause)
}
