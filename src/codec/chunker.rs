//! Content-defined chunks: `FastCDC` as published in 2020 (Xia et al., IEEE TPDS 31/9), normalised at level 1, unseeded.
//!
//! Where a stream is cut depends on its bytes alone, so equal stretches give equal chunks wherever they stand. The cut
//! points are part of the vault format: other ones would still restore, but would share no chunk with what is stored.

use fastcdc::v2020::{Normalization, cut, select_masks};

use super::{CodecError, Result};
use crate::model::ChunkerParams;

/// Cuts streams into chunks. Holds no data: the caller keeps the buffer, so nothing is copied.
#[derive(Debug, Clone)]
pub struct Chunker {
    params: ChunkerParams,
    min: usize,
    avg: usize,
    max: usize,
    strict: u64,
    loose: u64,
}

impl Chunker {
    /// A chunker for these sizes.
    ///
    /// # Errors
    /// If [`ChunkerParams::is_valid`] says no.
    pub fn new(params: ChunkerParams) -> Result<Self> {
        let size = |n: u32| usize::try_from(n).map_err(|_| CodecError::Damaged("the chunk sizes are out of range"));
        if !params.is_valid() {
            return Err(CodecError::Damaged("the chunk sizes must be even, min ≤ avg ≤ max, and within the limits"));
        }
        let (min, avg, max) = (size(params.min)?, size(params.avg)?, size(params.max)?);
        let (strict, loose) = select_masks(avg, Normalization::Level1);
        Ok(Self { params, min, avg, max, strict, loose })
    }

    /// The sizes it was made with.
    #[must_use]
    pub fn params(&self) -> ChunkerParams {
        self.params
    }

    /// Appends the lengths of all chunks at the start of `data` that are final, and returns the sum of them.
    ///
    /// `data` begins where a chunk begins. With `eof` all of it is cut. Without, a chunk that ended only because the
    /// data did is left for the next call, which must be given those bytes again with more behind them; less than the
    /// largest chunk is ever left. So the chunks do not depend on how a stream was cut into buffers. Give buffers of
    /// several times the largest chunk, since what is left is scanned again.
    pub fn cut(&self, data: &[u8], eof: bool, lengths: &mut Vec<u32>) -> usize {
        let mut consumed = 0;
        while let Some(rest) = data.get(consumed..).filter(|rest| !rest.is_empty()) {
            let length = self.next(rest);
            if length == rest.len() && length < self.max && !eof {
                break;
            }
            let Ok(short) = u32::try_from(length) else { break };
            lengths.push(short);
            consumed += length;
        }
        consumed
    }

    /// The length of the chunk at the start of `rest`, which is not empty. At most `max`, so it fits 32 bits.
    fn next(&self, rest: &[u8]) -> usize {
        let (strict, loose) = (self.strict, self.loose);
        cut(rest, self.min, self.avg, self.max, strict, loose, strict << 1, loose << 1).1
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::hash;

    const SMALL: ChunkerParams = ChunkerParams { min: 1024, avg: 4096, max: 16384 };

    /// Bytes that look random and are the same everywhere.
    fn noise(len: usize, seed: u64) -> Vec<u8> {
        let mut bytes = vec![0; len];
        blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
        bytes
    }

    fn whole(params: ChunkerParams, data: &[u8]) -> Vec<u32> {
        let mut lengths = Vec::new();
        assert_eq!(Chunker::new(params).unwrap().cut(data, true, &mut lengths), data.len());
        lengths
    }

    /// Cuts `data` as it arrives in `pieces`, and the rest in one.
    fn arriving(params: ChunkerParams, data: &[u8], pieces: &[usize]) -> Vec<u32> {
        let chunker = Chunker::new(params).unwrap();
        let (mut lengths, mut buffer, mut rest) = (Vec::new(), Vec::new(), data);
        for &piece in pieces {
            let (now, later) = rest.split_at(piece.min(rest.len()));
            rest = later;
            buffer.extend_from_slice(now);
            let consumed = chunker.cut(&buffer, false, &mut lengths);
            buffer.drain(..consumed);
            assert!(buffer.len() < params.max as usize, "what is left is less than the largest chunk");
        }
        buffer.extend_from_slice(rest);
        assert_eq!(chunker.cut(&buffer, true, &mut lengths), buffer.len());
        lengths
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn chunks_do_not_depend_on_the_buffers(
            len in 0_usize..200_000, seed: u64, zeros in 0_usize..50_000,
            pieces in prop::collection::vec(0_usize..40_000, 0..12),
        ) {
            let mut data = noise(len, seed);
            data.splice(len / 2..len / 2, std::iter::repeat_n(0, zeros));
            prop_assert_eq!(arriving(SMALL, &data, &pieces), whole(SMALL, &data));
        }

        #[test]
        fn sizes_keep_their_bounds(len in 1_usize..300_000, seed: u64) {
            let lengths = whole(SMALL, &noise(len, seed));
            prop_assert_eq!(lengths.iter().map(|&n| n as usize).sum::<usize>(), len);
            prop_assert!(lengths.iter().all(|&n| n <= SMALL.max));
            prop_assert!(lengths.iter().rev().skip(1).all(|&n| n >= SMALL.min));
        }
    }

    #[test]
    fn one_byte_at_a_time_is_no_different() {
        let data = noise(60_000, 7);
        assert_eq!(arriving(SMALL, &data, &vec![1; data.len()]), whole(SMALL, &data));
    }

    #[test]
    fn an_insertion_changes_few_chunks() {
        let data = noise(4 << 20, 1);
        let mut changed = data.clone();
        changed.splice(1_000_000..1_000_000, *b"inserted");
        let chunks = |data: &[u8]| {
            let mut at = 0;
            let lengths = whole(ChunkerParams::LIST, data);
            lengths.iter().map(|&n| (at += n as usize, hash(&data[at - n as usize..at])).1).collect::<Vec<_>>()
        };
        let (before, after) = (chunks(&data), chunks(&changed));
        let new = after.iter().filter(|h| !before.contains(h)).count();
        assert!(after.len() > 100 && new <= 4, "{new} of {} are new", after.len());
    }

    #[test]
    fn cut_points_of_the_format_never_move() {
        let data = noise(8 << 20, 42);
        let lengths = whole(ChunkerParams::DATA, &data);
        let theirs = fastcdc::v2020::FastCDC::with_level(&data, 32 << 10, 128 << 10, 512 << 10, Normalization::Level1);
        assert!(theirs.map(|c| c.length).eq(lengths.iter().map(|&n| n as usize)));
        let bytes: Vec<u8> = lengths.iter().flat_map(|n| n.to_le_bytes()).collect();
        assert_eq!(hash(&bytes).short(), "637ea67260e2");
    }

    #[test]
    fn impossible_sizes_are_refused() {
        for (min, avg, max) in [(0, 0, 0), (1025, 4096, 16384), (4096, 1024, 16384), (1024, 4096, 8 << 20)] {
            assert!(Chunker::new(ChunkerParams { min, avg, max }).is_err());
        }
        assert!(Chunker::new(ChunkerParams::DATA).is_ok());
    }
}
