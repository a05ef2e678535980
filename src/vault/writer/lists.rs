//! The list of a stream's chunks while it grows.

use crate::{
    codec::chunker::Chunker,
    format::{
        body::INLINE_CHUNKS,
        list::{self, ChunkRef},
    },
    model::ChunkerParams,
    vault::VaultError,
};

/// A list is cut once this much of it has come together.
const CUT_AT: usize = 256 << 10;

/// Builds the list of one stream: inline while it is short, then as an encoded list that is chunked itself.
#[derive(Default)]
pub(super) struct ListMaker {
    inline: Vec<ChunkRef>,
    encoded: Vec<u8>,
    lengths: Vec<u32>,
    taken: usize,
    stored: Vec<ChunkRef>,
    total: u64,
}

impl ListMaker {
    /// Adds the stream's next chunk.
    pub(super) fn push(&mut self, chunk: ChunkRef) {
        self.total += 1;
        if self.inline.len() <= INLINE_CHUNKS {
            self.inline.push(chunk);
        }
        list::push(&mut self.encoded, chunk);
    }

    /// How many chunks the stream has so far.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// The stream's chunks, if they are few enough to stand in the body.
    pub(super) fn inline(&mut self) -> Option<Vec<ChunkRef>> {
        (self.inline.len() <= INLINE_CHUNKS).then(|| std::mem::take(&mut self.inline))
    }

    /// The next chunk of the encoded list, if enough of it has come together to cut.
    ///
    /// # Errors
    /// Never in practice; making a chunker is fallible by type.
    pub(super) fn full_part(&mut self) -> Result<Option<Vec<u8>>, VaultError> {
        self.part(CUT_AT, false)
    }

    /// The next chunk of the encoded list, now that the stream has ended.
    ///
    /// # Errors
    /// As for [`full_part`](Self::full_part).
    pub(super) fn last_part(&mut self) -> Result<Option<Vec<u8>>, VaultError> {
        self.part(1, true)
    }

    fn part(&mut self, at: usize, end: bool) -> Result<Option<Vec<u8>>, VaultError> {
        if self.lengths.is_empty() {
            self.encoded.drain(..self.taken);
            self.taken = 0;
            if self.encoded.len() < at {
                return Ok(None);
            }
            Chunker::new(ChunkerParams::LIST)?.cut(&self.encoded, end, &mut self.lengths);
            self.lengths.reverse();
        }
        let Some(length) = self.lengths.pop() else { return Ok(None) };
        let from = self.taken;
        self.taken += length as usize;
        Ok(self.encoded.get(from..self.taken).map(<[u8]>::to_vec))
    }

    /// Notes where a part was stored.
    pub(super) fn stored(&mut self, chunk: ChunkRef) {
        self.stored.push(chunk);
    }

    /// The chunks of the encoded list.
    pub(super) fn into_parts(self) -> Vec<ChunkRef> {
        self.stored
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ChunkId;

    fn chunks(n: u32) -> Vec<ChunkRef> {
        (0..n)
            .map(|i| {
                let mut id = [0; 32];
                id[..4].copy_from_slice(&(i.wrapping_mul(2_654_435_761)).to_le_bytes());
                ChunkRef { id: ChunkId::from_bytes(id), len: i + 1 }
            })
            .collect()
    }

    fn build(n: u32) -> (Option<Vec<ChunkRef>>, Vec<u8>) {
        let mut maker = ListMaker::default();
        let mut out = Vec::new();
        for chunk in chunks(n) {
            maker.push(chunk);
            while let Some(part) = maker.full_part().unwrap() {
                out.extend(part);
            }
        }
        let inline = maker.inline();
        while let Some(part) = maker.last_part().unwrap() {
            out.extend(part);
        }
        (inline, out)
    }

    #[test]
    fn short_lists_are_inline_and_long_ones_are_whole() {
        assert_eq!(build(0).0.unwrap(), []);
        assert_eq!(build(32).0.unwrap(), chunks(32));
        for n in [33, 20_000] {
            let (inline, encoded) = build(n);
            assert!(inline.is_none());
            assert_eq!(list::decode(&encoded).unwrap(), chunks(n));
        }
    }
}
