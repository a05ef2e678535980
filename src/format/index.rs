//! Indexes: where the chunks of a writer's packs are, signed inside and sealed outside.
//!
//! ```text
//! index (before sealing)  "SRI1"  32 bytes: vault  u8 length, writer  u64 seq  u32 sections  section*  64 bytes: signature
//! section                 32 bytes: pack  u64 sealed length  u16 length, version  u16 length, age header and nonce
//!                         u32 length, directory
//! ```
//! The signature is the writer's, over `strongroom-index\n` and the BLAKE3 hash of all that stands before it. The age
//! header and nonce of each pack let a reader fetch and open any part of the pack with one ranged read.

use bytes::Bytes;

use super::{FormatError, Result, cursor::Cursor, pack::Directory};
use crate::{
    codec::{
        hash,
        seal::{Sealed, Sealer},
        sign::{PublicKey, Signature, SigningKey},
    },
    model::{Name, PackId, VaultId},
};

const WHAT: &str = "index";
const MAGIC: &[u8; 4] = b"SRI1";
const CONTEXT: &[u8] = b"strongroom-index\n";
const SIGNATURE: usize = 64;
/// The largest index in bytes, opened.
pub const INDEX_LIMIT: usize = 64 << 20;
/// The largest index as it is stored, in bytes: sealed, it has a little more.
pub const SEALED_LIMIT: usize = INDEX_LIMIT + (1 << 20);

/// What an index says of one pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// The pack.
    pub pack: PackId,
    /// Its sealed length in bytes.
    pub sealed_len: u64,
    /// The store's version when it was written: a hint.
    pub version: Option<String>,
    /// The pack's age header and nonce: its first bytes.
    pub header: Bytes,
    /// What is in the pack.
    pub directory: Directory,
}

impl Section {
    /// The section's encoding.
    ///
    /// # Errors
    /// If the version or the age header is longer than any can be.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let version = self.version.as_deref().unwrap_or_default().as_bytes();
        let directory = self.directory.encode();
        let mut out = Vec::with_capacity(48 + version.len() + self.header.len() + directory.len());
        out.extend_from_slice(self.pack.as_bytes());
        out.extend_from_slice(&self.sealed_len.to_le_bytes());
        for field in [version, &self.header] {
            let length = u16::try_from(field.len()).map_err(|_| FormatError::damaged(WHAT, "a field is too long"))?;
            out.extend_from_slice(&length.to_le_bytes());
            out.extend_from_slice(field);
        }
        let length = u32::try_from(directory.len()).map_err(|_| FormatError::damaged(WHAT, "a field is too long"))?;
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&directory);
        Ok(out)
    }

    fn decode(cursor: &mut Cursor<'_>) -> Result<Self> {
        let pack = PackId::from_bytes(cursor.array()?);
        let sealed_len = cursor.u64()?;
        let length = cursor.u16()?;
        let version =
            std::str::from_utf8(cursor.take(length.into())?).map_err(|_| cursor.error("a version is no text"))?;
        let version = (!version.is_empty()).then(|| version.to_owned());
        let length = cursor.u16()?;
        let header = Bytes::copy_from_slice(cursor.take(length.into())?);
        let length = usize::try_from(cursor.u32()?).unwrap_or(usize::MAX);
        let directory = Directory::decode(cursor.take(length)?)?;
        Ok(Self { pack, sealed_len, version, header, directory })
    }
}

/// Whom an index belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The vault.
    pub vault: VaultId,
    /// The writer.
    pub writer: Name,
    /// The sequence number of the run that made it.
    pub seq: u64,
}

/// Builds, signs and seals an index of encoded sections.
///
/// # Errors
/// If it is larger than [`INDEX_LIMIT`], or sealing fails.
pub fn seal<'a>(
    binding: &Binding,
    sections: impl ExactSizeIterator<Item = &'a [u8]>,
    key: &SigningKey,
    sealer: &Sealer,
) -> Result<Sealed> {
    let mut out = Vec::new();
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(binding.vault.as_bytes());
    let writer = binding.writer.as_str().as_bytes();
    out.push(u8::try_from(writer.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(writer);
    out.extend_from_slice(&binding.seq.to_le_bytes());
    out.extend_from_slice(&u32::try_from(sections.len()).unwrap_or(u32::MAX).to_le_bytes());
    for section in sections {
        out.extend_from_slice(section);
        if out.len() > INDEX_LIMIT - SIGNATURE {
            return Err(FormatError::TooLarge { what: WHAT, limit: INDEX_LIMIT });
        }
    }
    let signature = key.sign(&signed_bytes(&out));
    out.extend_from_slice(signature.as_bytes());
    Ok(sealer.seal(&out)?)
}

fn signed_bytes(index: &[u8]) -> Vec<u8> {
    let mut bytes = CONTEXT.to_vec();
    bytes.extend_from_slice(hash::hash(index).as_bytes());
    bytes
}

/// Checks an opened index and gives each of its sections, with its encoding, to `each`.
///
/// # Errors
/// If the signature or the binding does not hold, the bytes break the format, or `each` fails.
pub fn open<E: From<FormatError>>(
    plain: &[u8],
    vault: VaultId,
    writer: &Name,
    key: &PublicKey,
    mut each: impl FnMut(Section, &[u8]) -> std::result::Result<(), E>,
) -> std::result::Result<Binding, E> {
    let damaged = |why: &str| FormatError::damaged(WHAT, why);
    let (signed, signature) = plain.split_last_chunk::<SIGNATURE>().ok_or_else(|| damaged("it is cut short"))?;
    let signature = Signature::from_slice(signature).map_err(FormatError::from)?;
    key.verify(&signed_bytes(signed), &signature)
        .map_err(|_| FormatError::untrusted(WHAT, "its signature is not its writer's"))?;
    let mut cursor = Cursor::new(WHAT, signed);
    if cursor.take(4)? != MAGIC {
        return Err(damaged("it does not begin with SRI1").into());
    }
    let bound_to = VaultId::from_bytes(cursor.array()?);
    let length = cursor.u8()?;
    let name = cursor.take(length.into())?;
    if bound_to != vault || name != writer.as_str().as_bytes() {
        return Err(FormatError::untrusted(WHAT, "it belongs to another vault or writer").into());
    }
    let seq = cursor.u64()?;
    for _ in 0..cursor.u32()? {
        let before = cursor.remaining();
        let at = signed.len() - before;
        let section = Section::decode(&mut cursor)?;
        let encoded = signed.get(at..at + before - cursor.remaining()).unwrap_or_default();
        each(section, encoded)?;
    }
    cursor.finish()?;
    Ok(Binding { vault, writer: writer.clone(), seq })
}
