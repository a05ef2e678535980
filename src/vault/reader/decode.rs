//! Opening, decompressing and checking blocks.

use super::{
    PackSource,
    locate::{BlockPlace, PackPlace},
};
use crate::{
    codec::{
        compress::{Codec, Decompressor},
        seal::{self, Opener},
    },
    format::{
        index::Section,
        layout,
        list::ChunkRef,
        pack::{self, Directory, PACK_LIMIT},
        page::PackRef,
    },
    model::{Hash, Key, Name, PackId},
    vault::{Result, VaultError, VaultErrorKind, fetch},
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

/// A whole pack, found by its hash in whichever version has it, opened.
pub(crate) async fn opened(
    source: &PackSource,
    key: &Key,
    id: &PackId,
    version: Option<&str>,
) -> Result<(bytes::Bytes, zeroize::Zeroizing<Vec<u8>>)> {
    let hash = Hash::from_bytes(*id.as_bytes());
    let (sealed, found) = fetch::version_by_hash(&*source.store, key, version, &hash, PACK_LIMIT).await?;
    source.salvaged.is_at(*id, found);
    if sealed.len() > PACK_LIMIT {
        return Err(VaultError::new(VaultErrorKind::Damaged, "the pack is larger than the format allows").on(key));
    }
    let on_key = |error: crate::codec::CodecError| VaultError::from(error).on(key);
    let plain = source.opener.open(&sealed, PACK_LIMIT).map_err(on_key)?;
    Ok((sealed, plain))
}

/// Opens all of a sealed pack piece by piece, and returns its directory: in as much memory as that needs.
///
/// # Errors
/// If any part of it can't be opened, or it is no pack.
pub(crate) fn directory_of_sealed(opener: &Opener, sealed: &[u8]) -> Result<Directory> {
    const PIECE: usize = 1 << 20;
    let short = || VaultError::new(VaultErrorKind::Damaged, "the pack is too short for its directory");
    let header = seal::header_len(sealed).and_then(|len| sealed.get(..len)).unwrap_or_default();
    let mut reader = opener.reader(header, sealed.len() as u64)?;
    let end = reader.plain_len().checked_sub(4).ok_or_else(short)?;
    let mut read = |range: std::ops::Range<u64>, out: &mut Vec<u8>| {
        out.clear();
        reader.read_at((0, sealed), range, out)
    };
    let mut piece = Vec::with_capacity(PIECE);
    read(end..end + 4, &mut piece)?;
    let length = piece.first_chunk().map_or(u64::MAX, |length| u64::from(u32::from_le_bytes(*length)));
    let blocks = end.checked_sub(length).ok_or_else(short)?;
    for start in (0..blocks).step_by(PIECE) {
        read(start..blocks.min(start + PIECE as u64), &mut piece)?;
    }
    read(blocks..end, &mut piece)?;
    Ok(pack::directory_after(blocks, &piece)?)
}

/// What an index would say of a pack, read from the pack itself.
pub(super) async fn directory_of(source: &PackSource, writer: &Name, pack: &PackRef) -> Result<Section> {
    let key = layout::pack(writer, &pack.id);
    let (sealed, plain) = opened(source, &key, &pack.id, pack.version.as_deref()).await?;
    let (_, directory) = pack::split(&plain)?;
    let header = seal::header_len(&sealed).and_then(|n| sealed.get(..n)).unwrap_or_default();
    Ok(Section {
        pack: pack.id,
        sealed_len: sealed.len() as u64,
        version: pack.version.clone(),
        header: bytes::Bytes::copy_from_slice(header),
        directory,
    })
}
