//! Indexes: where the chunks of a writer's packs are, signed inside and sealed outside.
//!
//! ```text
//! index (before sealing)  "SRI1"  32 bytes: vault  u8 length, writer  u64 seq  u32 sections  section*  64 bytes: signature
//! section                 32 bytes: pack  u64 sealed length  u16 length, version  u16 length, age header and nonce
//!                         u32 length, directory
//! ```
//! The signature is the writer's, over `strongroom-index\n` and the BLAKE3 hash of all that stands before it. The age
//! header and nonce of each pack let a reader fetch and open any part of the pack with one ranged read.

use std::ops::Range;

use bytes::Bytes;

use super::{FormatError, Result, cursor::Cursor, pack::Directory};
use crate::{
    codec::{
        CodecError,
        hash::{self, Hasher},
        seal::{self, Opener, Sealed, Sealer},
        sign::{PublicKey, Signature, SigningKey},
    },
    model::{Hash, Name, PackId, VaultId},
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
            std::str::from_utf8(cursor.take(length.into())?).map_err(|_| cursor.error("a version is not text"))?;
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

/// An index in the making.
pub struct Builder {
    out: Vec<u8>,
    sections: u32,
    /// Where their number stands.
    at: usize,
}

impl Builder {
    /// One without sections.
    #[must_use]
    pub fn new(binding: &Binding) -> Self {
        let mut out = Vec::new();
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(binding.vault.as_bytes());
        let writer = binding.writer.as_str().as_bytes();
        out.push(u8::try_from(writer.len()).unwrap_or(u8::MAX));
        out.extend_from_slice(writer);
        out.extend_from_slice(&binding.seq.to_le_bytes());
        let at = out.len();
        out.extend_from_slice(&[0; 4]);
        Self { out, sections: 0, at }
    }

    /// Adds an encoded section.
    ///
    /// # Errors
    /// If the index would be larger than [`INDEX_LIMIT`].
    pub fn push(&mut self, section: &[u8]) -> Result<()> {
        if self.out.len() + section.len() > INDEX_LIMIT - SIGNATURE {
            return Err(FormatError::TooLarge { what: WHAT, limit: INDEX_LIMIT });
        }
        self.out.extend_from_slice(section);
        self.sections += 1;
        Ok(())
    }

    /// How many bytes it has so far.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.out.len()
    }

    /// Whether it has no section.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sections == 0
    }

    /// Signs and seals it.
    ///
    /// # Errors
    /// If sealing fails.
    pub fn seal(mut self, key: &SigningKey, sealer: &Sealer) -> Result<Sealed> {
        let number = self.out.get_mut(self.at..).and_then(<[u8]>::first_chunk_mut);
        if let Some(number) = number {
            *number = self.sections.to_le_bytes();
        }
        let signature = key.sign(&signed_bytes(hash::hash(&self.out)));
        self.out.extend_from_slice(signature.as_bytes());
        Ok(sealer.seal(&self.out)?)
    }
}

/// Builds, signs and seals an index of encoded sections.
///
/// # Errors
/// If it is larger than [`INDEX_LIMIT`], or sealing fails.
pub fn seal<'a>(
    binding: &Binding,
    sections: impl IntoIterator<Item = &'a [u8]>,
    key: &SigningKey,
    sealer: &Sealer,
) -> Result<Sealed> {
    let mut index = Builder::new(binding);
    sections.into_iter().try_for_each(|section| index.push(section))?;
    index.seal(key, sealer)
}

fn signed_bytes(hash: Hash) -> Vec<u8> {
    let mut bytes = CONTEXT.to_vec();
    bytes.extend_from_slice(hash.as_bytes());
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
    each: impl FnMut(Section, &[u8]) -> std::result::Result<(), E>,
) -> std::result::Result<Binding, E> {
    let read = |range: Range<u64>, out: &mut Vec<u8>| {
        let part = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
        let part = part.and_then(|(from, to)| plain.get(from..to)).ok_or_else(|| short().into());
        part.map(|part| out.extend_from_slice(part))
    };
    open_pieces(plain.len() as u64, read, (vault, writer, key), each)
}

/// As [`open`], of an index as it is stored. It is opened piece by piece, once for its signature and once for its sections,
/// so that no more of it is in memory than what is stored.
///
/// # Errors
/// As [`open`], if it can't be opened, or it is larger than [`INDEX_LIMIT`].
pub fn open_sealed<E: From<FormatError> + From<CodecError>>(
    sealed: &[u8],
    opener: &Opener,
    of: (VaultId, &Name, &PublicKey),
    each: impl FnMut(Section, &[u8]) -> std::result::Result<(), E>,
) -> std::result::Result<Binding, E> {
    let header = seal::header_len(sealed).and_then(|len| sealed.get(..len)).unwrap_or_default();
    let mut reader = opener.reader(header, sealed.len() as u64)?;
    let len = reader.plain_len();
    if len > INDEX_LIMIT as u64 {
        return Err(FormatError::TooLarge { what: WHAT, limit: INDEX_LIMIT }.into());
    }
    let read = |range: Range<u64>, out: &mut Vec<u8>| Ok(reader.read_at((0, sealed), range, out)?);
    open_pieces(len, read, of, each)
}

fn short() -> FormatError {
    FormatError::damaged(WHAT, "it is cut short")
}

fn open_pieces<E: From<FormatError>>(
    len: u64,
    mut read: impl FnMut(Range<u64>, &mut Vec<u8>) -> std::result::Result<(), E>,
    (vault, writer, key): (VaultId, &Name, &PublicKey),
    mut each: impl FnMut(Section, &[u8]) -> std::result::Result<(), E>,
) -> std::result::Result<Binding, E> {
    let damaged = |why: &str| FormatError::damaged(WHAT, why);
    let signed = len.checked_sub(SIGNATURE as u64).ok_or_else(short)?;
    let (mut hasher, mut piece) = (Hasher::new(), Vec::with_capacity(PIECE));
    for from in (0..signed).step_by(PIECE) {
        piece.clear();
        read(from..signed.min(from + PIECE as u64), &mut piece)?;
        hasher.update(&piece);
    }
    piece.clear();
    read(signed..len, &mut piece)?;
    let signature = Signature::from_slice(piece.first_chunk::<SIGNATURE>().ok_or_else(short)?);
    key.verify(&signed_bytes(hasher.finish()), &signature.map_err(FormatError::from)?)
        .map_err(|_| FormatError::untrusted(WHAT, "its signature is not its writer's"))?;
    piece.clear();
    let mut window = Window { read, at: 0, end: signed, bytes: piece, used: 0 };
    if window.take(4)? != MAGIC {
        return Err(damaged("it does not begin with SRI1").into());
    }
    let head = 32 + 1;
    let name = window.peek(head)?.last().copied().unwrap_or_default();
    let mut cursor = Cursor::new(WHAT, window.take(head + usize::from(name) + 8 + 4)?);
    let bound_to = VaultId::from_bytes(cursor.array()?);
    let length = cursor.u8()?;
    let name = cursor.take(length.into())?;
    if bound_to != vault || name != writer.as_str().as_bytes() {
        return Err(FormatError::untrusted(WHAT, "it belongs to another vault or writer").into());
    }
    let seq = cursor.u64()?;
    for _ in 0..cursor.u32()? {
        let encoded = window.section()?;
        let mut cursor = Cursor::new(WHAT, encoded);
        let section = Section::decode(&mut cursor)?;
        cursor.finish()?;
        each(section, encoded)?;
    }
    if !window.is_at_end() {
        return Err(damaged("it goes on after its last section").into());
    }
    Ok(Binding { vault, writer: writer.clone(), seq })
}

/// So much of an index is opened at once; more where one section needs it.
const PIECE: usize = 1 << 20;

/// A part of an opened index, moved along it.
struct Window<R> {
    read: R,
    /// Where the next read begins.
    at: u64,
    end: u64,
    bytes: Vec<u8>,
    used: usize,
}

impl<R> Window<R> {
    fn is_at_end(&self) -> bool {
        self.at == self.end && self.used == self.bytes.len()
    }

    /// The next `n` bytes, which stay the next.
    fn peek<E: From<FormatError>>(&mut self, n: usize) -> std::result::Result<&[u8], E>
    where
        R: FnMut(Range<u64>, &mut Vec<u8>) -> std::result::Result<(), E>,
    {
        let have = self.bytes.len() - self.used;
        if have < n {
            if n as u64 > have as u64 + (self.end - self.at) {
                return Err(short().into());
            }
            self.bytes.drain(..self.used);
            self.used = 0;
            let to = self.end.min(self.at + (n - have).max(PIECE) as u64);
            (self.read)(self.at..to, &mut self.bytes)?;
            self.at = to;
        }
        self.bytes.get(self.used..self.used + n).ok_or_else(|| short().into())
    }

    fn take<E: From<FormatError>>(&mut self, n: usize) -> std::result::Result<&[u8], E>
    where
        R: FnMut(Range<u64>, &mut Vec<u8>) -> std::result::Result<(), E>,
    {
        self.peek(n)?;
        self.used += n;
        self.bytes.get(self.used - n..self.used).ok_or_else(|| short().into())
    }

    /// The encoding of the next section, found by the lengths in it.
    fn section<E: From<FormatError>>(&mut self) -> std::result::Result<&[u8], E>
    where
        R: FnMut(Range<u64>, &mut Vec<u8>) -> std::result::Result<(), E>,
    {
        // Up to the length of its version, then of its age header, then of its directory.
        let mut n = 32 + 8;
        for _ in 0..2 {
            let length = self.peek(n + 2)?.last_chunk().copied().map_or(0, u16::from_le_bytes);
            n += 2 + usize::from(length);
        }
        let length = self.peek(n + 4)?.last_chunk().copied().map_or(0, u32::from_le_bytes);
        let whole = usize::try_from(length).ok().and_then(|length| length.checked_add(n + 4)).ok_or_else(short)?;
        self.take(whole)
    }
}
