//! Opening whole packs, and reading their own directories.

use super::PackSource;
use crate::{
    codec::{
        hash,
        seal::{self, Opener},
    },
    format::{
        index::Encoded,
        layout,
        pack::{self, PACK_LIMIT},
    },
    model::{Hash, Key, Name, PackId},
    vault::{Result, VaultError, VaultErrorKind, fetch},
};

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

/// Opens all of a sealed pack piece by piece, checks its directory, and returns the hash of that. Besides the pack no more than
/// the directory's encoding is in memory.
///
/// # Errors
/// If any part of it can't be opened, or it is no pack.
pub(crate) fn directory_hash(opener: &Opener, sealed: &[u8]) -> Result<Hash> {
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
    pack::check_directory(blocks, &piece)?;
    Ok(hash::hash(&piece))
}

/// What a pack says of itself.
pub(super) struct Own {
    sealed_len: u64,
    /// Its age header and nonce.
    header: Vec<u8>,
    directory: Vec<u8>,
}

impl Own {
    /// As an index would say it.
    pub(super) fn encoded<'a>(&'a self, pack: PackId, version: Option<&'a str>) -> Encoded<'a> {
        Encoded { pack, sealed_len: self.sealed_len, version, header: &self.header, directory: &self.directory }
    }
}

/// What an index would say of a pack, read from the pack itself.
///
/// # Errors
/// If it is not there, or is none.
pub(super) async fn directory_of(
    source: &PackSource,
    writer: &Name,
    pack: &PackId,
    version: Option<&str>,
) -> Result<Own> {
    let key = layout::pack(writer, pack);
    let (sealed, plain) = opened(source, &key, pack, version).await?;
    let (_, directory) = pack::encoded(&plain)?;
    let header = seal::header_len(&sealed).and_then(|n| sealed.get(..n)).unwrap_or_default();
    Ok(Own { sealed_len: sealed.len() as u64, header: header.to_vec(), directory: directory.to_vec() })
}
