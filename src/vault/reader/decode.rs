//! Opening, decompressing and checking blocks.

use super::{
    PackSource,
    places::{BlockPlace, PackPlace},
};
use crate::{
    codec::{
        compress::{Codec, Decompressor},
        seal,
    },
    format::list::ChunkRef,
    vault::{Result, VaultError, VaultErrorKind},
};

/// Decodes the bytes of one block into `out`, in place of what is there.
///
/// # Errors
/// If they are not what the directory says.
pub(super) fn block(
    decompressor: &mut Decompressor,
    place: BlockPlace,
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

/// The part of a pack that holds the opened range `plain`, out of the version that is known to have the pack, or is said to.
pub(super) async fn part(
    source: &PackSource,
    pack: &PackPlace,
    plain: std::ops::Range<u64>,
) -> Result<(u64, bytes::Bytes)> {
    let range = seal::sealed_range(pack.header.len() as u64, pack.sealed_len, plain).ok_or_else(|| {
        VaultError::new(VaultErrorKind::Damaged, "the index contradicts the pack's size").on(&pack.key)
    })?;
    let offset = range.start;
    let version = source.salvaged.version(pack);
    match source.store.get(&pack.key, version.as_ref(), Some(range.clone())).await {
        // A copy has versions of its own. Whatever lies there is opened and checked like any other.
        Err(error) if error.is_not_found() && version.is_some() => {
            let current = source.store.get(&pack.key, None, Some(range)).await?;
            source.salvaged.is_at(pack.id, None);
            Ok((offset, current))
        }
        got => Ok((offset, got?)),
    }
}
