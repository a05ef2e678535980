//! Sealing, at once or as a stream.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    PartReader, Recipient, SEGMENT, TAG, library,
    payload::{Caught, NONCE, Payload, Watched},
    recipient::wrappers,
};
use crate::{
    codec::{Result, buffer_pool::BufferPool, hash},
    model::Hash,
};

/// Bytes that only the holders of an identity can open. Only a [`Sealer`] makes them.
#[derive(Debug, Clone)]
pub struct Sealed(Bytes);

impl Sealed {
    /// The sealed bytes.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }
}

/// A sealed file with what is worth knowing about it.
pub struct SealedFile {
    /// The file.
    pub sealed: Sealed,
    /// BLAKE3 of the sealed bytes.
    pub hash: Hash,
    /// A copy of the bytes before the first segment: the age header and the nonce.
    pub header: Bytes,
    /// Opens it again, by the key that it was sealed with: for as long as who made it keeps this.
    pub reader: PartReader,
}

/// Seals to fixed recipients. Cannot open anything.
///
/// Large files are sealed into memory that is used again once they are dropped, by this sealer and its clones.
#[derive(Clone)]
pub struct Sealer {
    recipients: Vec<Recipient>,
    pool: Arc<BufferPool>,
}

/// How many pieces of memory are kept to be used again: as many packs as are under way at once.
const POOLED: usize = 4;

impl Sealer {
    /// A sealer to these recipients.
    #[must_use]
    pub fn new(recipients: Vec<Recipient>) -> Self {
        Self { recipients, pool: BufferPool::new(POOLED) }
    }

    /// Seals `plain` into one age file.
    ///
    /// # Errors
    /// If there is no recipient, or a recipient's plugin fails.
    pub fn seal(&self, plain: &[u8]) -> Result<Sealed> {
        let mut stream = self.stream(plain.len())?;
        stream.write(plain)?;
        stream.end().map(|(sealed, ..)| sealed)
    }

    /// Begins an age file. `capacity` is how many plaintext bytes to reserve for; more may follow.
    ///
    /// # Errors
    /// If there is no recipient, or a recipient's plugin fails.
    pub fn stream(&self, capacity: usize) -> Result<SealStream> {
        let caught = Caught::default();
        let wrappers = wrappers(&self.recipients)?;
        let watched: Vec<_> = wrappers.iter().map(|w| Watched { inner: &**w, caught: &caught }).collect();
        let encryptor = age::Encryptor::with_recipients(watched.iter().map(|w| w as &dyn age::Recipient))
            .map_err(|e| library("seal", e.to_string()))?;
        let mut bytes = self.pool.take(sealed_body(capacity).saturating_add(512));
        bytes.clear();
        // It has made the header, and is not asked for segments.
        drop(encryptor.wrap_output(&mut bytes).map_err(|e| library("seal", e))?);
        drop(watched);
        let nonce = bytes.split_last_chunk::<NONCE>().map(|(_, nonce)| *nonce);
        let nonce = nonce.ok_or_else(|| library("seal", "the header has no nonce"))?;
        let payload = caught.payload(&nonce)?;
        let header = bytes.len();
        Ok(SealStream { payload, bytes, header, plain: 0, segment: header, no: 0, pool: Arc::clone(&self.pool) })
    }
}

/// Bytes of the segments that hold this many plaintext bytes.
fn sealed_body(plain: usize) -> usize {
    let segment = usize::try_from(SEGMENT).unwrap_or(usize::MAX);
    let tag = usize::try_from(TAG).unwrap_or(0);
    plain.saturating_add(plain.div_ceil(segment).max(1).saturating_mul(tag))
}

/// One age file in the making, sealed segment by segment into one buffer.
pub struct SealStream {
    payload: Payload,
    bytes: Vec<u8>,
    header: usize,
    plain: usize,
    /// Where the segment begins that is being filled, and its number.
    segment: usize,
    no: u64,
    pool: Arc<BufferPool>,
}

impl SealStream {
    /// Adds plaintext.
    ///
    /// # Errors
    /// If sealing fails; the stream is of no use then.
    pub fn write(&mut self, mut plain: &[u8]) -> Result<()> {
        let size = usize::try_from(SEGMENT).unwrap_or(usize::MAX);
        self.plain = self.plain.saturating_add(plain.len());
        while !plain.is_empty() {
            // A full segment is sealed when there is more: which is the last must be known.
            if self.bytes.len().saturating_sub(self.segment) == size {
                self.seal(false)?;
            }
            let room = size.saturating_sub(self.bytes.len().saturating_sub(self.segment));
            let (now, later) = plain.split_at_checked(room).unwrap_or((plain, &[]));
            self.bytes.extend_from_slice(now);
            plain = later;
        }
        Ok(())
    }

    fn seal(&mut self, last: bool) -> Result<()> {
        self.payload.seal(self.no, last, &mut self.bytes, self.segment)?;
        self.no = self.no.saturating_add(1);
        self.segment = self.bytes.len();
        Ok(())
    }

    /// How long the file would be if it ended here: what is sealed, and what still waits for its segment to fill.
    #[must_use]
    pub fn sealed_len(&self) -> usize {
        self.header.saturating_add(sealed_body(self.plain))
    }

    /// The plaintext bytes written so far.
    #[must_use]
    pub fn plain_len(&self) -> usize {
        self.plain
    }

    /// Seals the last segment and hashes the file.
    ///
    /// # Errors
    /// If sealing fails.
    pub fn finish(self) -> Result<SealedFile> {
        let (sealed, header, payload) = self.end()?;
        let reader = PartReader::new(payload, header as u64, sealed.0.len() as u64)?;
        // A slice would keep the whole file in memory for as long as its header is kept.
        let header = Bytes::copy_from_slice(sealed.0.get(..header).unwrap_or_default());
        Ok(SealedFile { hash: hash(&sealed.0), sealed, header, reader })
    }

    fn end(mut self) -> Result<(Sealed, usize, Payload)> {
        self.seal(true)?;
        Ok((Sealed(self.pool.lend(self.bytes)), self.header, self.payload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::seal::{generate_identity, header_len};

    #[test]
    fn the_length_is_known_before_the_end() {
        let sealer = Sealer::new(vec![generate_identity().1]);
        for len in [0, 1, 65_535, 65_536, 65_537, 131_072, 200_000] {
            let mut stream = sealer.stream(len).unwrap();
            for piece in vec![7; len].chunks(10_007) {
                stream.write(piece).unwrap();
            }
            let expected = stream.sealed_len();
            let mut file = stream.finish().unwrap();
            assert_eq!(file.sealed.bytes().len(), expected, "{len}");
            let mut opened = Vec::new();
            file.reader.read_at((0, file.sealed.bytes()), 0..len as u64, &mut opened).unwrap();
            assert!(opened == vec![7; len], "who sealed it opens it: {len}");
            assert_eq!(file.hash, hash(file.sealed.bytes()));
            assert_eq!(Some(file.header.len()), header_len(file.sealed.bytes()));
            assert!(file.sealed.bytes().starts_with(&file.header));
        }
    }

    #[test]
    fn nothing_is_sealed_to_nobody() {
        assert!(Sealer::new(Vec::new()).seal(b"x").is_err());
    }
}
