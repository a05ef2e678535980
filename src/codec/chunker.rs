//! Content-defined chunks: `FastCDC` as published in 2020 (Xia et al., IEEE TPDS 31/9), normalised at level 1, unseeded.
//!
//! Where a stream is cut depends on its bytes alone, so equal stretches give equal chunks wherever they stand. The cut
//! points are part of the vault format: other ones would still restore, but would share no chunk with what is stored.

use fastcdc::v2020::{Normalization, select_masks};

use super::{
    CodecError, Result,
    gear::{Masks, scan},
};
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
    /// Where the hash has zeros under this one, a place is sampled.
    sample: u64,
}

/// The hashes at the sampled places of a chunk, as sketches are made of.
pub type Samples = Vec<u32>;

/// How many places are sampled in a chunk of 128 KiB, about.
const SAMPLES: usize = 512;
/// One place in 256.
const SAMPLE_BITS: u32 = 8;

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
        Ok(Self { params, min, avg, max, strict, loose, sample: highest(strict & loose, SAMPLE_BITS) })
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
        self.each(data, eof, lengths, |rest| self.next(rest, |end| Masks { end, sample: end }, &mut |_| ()))
    }

    /// As [`cut`](Self::cut), and takes the [`samples`](Self::samples) of each chunk on the way. `samples` has as many
    /// entries as `lengths`, before and after.
    pub fn cut_sampling(&self, data: &[u8], eof: bool, lengths: &mut Vec<u32>, samples: &mut Vec<Samples>) -> usize {
        let masks = |end| Masks { end, sample: self.sample };
        let consumed = self.each(data, eof, lengths, |rest| {
            let mut found = Samples::with_capacity(SAMPLES);
            let length = self.next(rest, masks, &mut |hash| keep(&mut found, hash));
            if length < self.min * 2 {
                found = self.samples(rest.get(..length).unwrap_or_default());
            }
            samples.push(found);
            length
        });
        samples.truncate(lengths.len());
        consumed
    }

    /// The hashes at places of a chunk that its bytes alone decide: about one in 256 of those behind the smallest size,
    /// where it is scanned for its end anyway, or of all if it is so short that little would be left.
    #[must_use]
    pub fn samples(&self, chunk: &[u8]) -> Samples {
        let mut found = Samples::new();
        let from = if chunk.len() < self.min * 2 { 0 } else { self.min };
        let masks = Masks { end: u64::MAX, sample: self.sample };
        let _ = scan(chunk.get(from..).unwrap_or_default(), &mut 0, masks, &mut |hash| keep(&mut found, hash));
        found
    }

    fn each(&self, data: &[u8], eof: bool, lengths: &mut Vec<u32>, mut next: impl FnMut(&[u8]) -> usize) -> usize {
        let mut consumed = 0;
        while let Some(rest) = data.get(consumed..).filter(|rest| !rest.is_empty()) {
            let length = next(rest);
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
    ///
    /// No chunk ends before `min`; up to `avg` the stricter mask decides, then the looser one. The implementation that
    /// the format's cut points come from looks at bytes in pairs, so never at an odd last one.
    fn next(&self, rest: &[u8], masks: impl Fn(u64) -> Masks, sampled: &mut impl FnMut(u64)) -> usize {
        let end = rest.len().min(self.max);
        let even = end & !1;
        let center = self.avg.min(even);
        let mut hash = 0;
        let mut part = |from: usize, to: usize, mask| {
            let bytes = rest.get(from..to).unwrap_or_default();
            scan(bytes, &mut hash, masks(mask), sampled).map(|at| from + at)
        };
        part(self.min, center, self.strict)
            .or_else(|| part(center.max(self.min), even, self.loose))
            .or_else(|| part(even.max(self.min), end, u64::MAX))
            .unwrap_or(end)
    }
}

/// The highest bits of a mask: where the hash has zeros under all of it, it has them under these.
fn highest(mut mask: u64, bits: u32) -> u64 {
    while mask.count_ones() > bits {
        mask &= mask - 1;
    }
    mask
}

/// Keeps the hash of a sampled place, unless a chunk of one pattern over and over has too many.
fn keep(samples: &mut Samples, hash: u64) {
    if samples.len() < 16 * SAMPLES {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "that half has fewer of the bits that are zero in all samples"
        )]
        samples.push(hash as u32);
    }
}

#[cfg(test)]
mod tests {
    use fastcdc::v2020::FastCDC;
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

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn cut_points_are_those_of_the_reference(len in 1_usize..300_000, seed: u64, zeros in 0_usize..50_000) {
            let mut data = noise(len, seed);
            data.splice(len / 3..len / 3, std::iter::repeat_n(0, zeros));
            for params in [SMALL, ChunkerParams::DATA] {
                let [min, avg, max] = [params.min, params.avg, params.max].map(|size| size as usize);
                let theirs = FastCDC::with_level(&data, min, avg, max, Normalization::Level1).map(|chunk| chunk.length);
                prop_assert!(theirs.eq(whole(params, &data).into_iter().map(|length| length as usize)));
            }
        }

        #[test]
        fn samples_are_the_same_taken_on_the_way_or_by_themselves(
            len in 1_usize..300_000, seed: u64, eof: bool, zeros in 0_usize..50_000,
        ) {
            let mut data = noise(len, seed);
            data.splice(len / 2..len / 2, std::iter::repeat_n(0, zeros));
            let (chunker, mut lengths, mut samples) = (Chunker::new(SMALL).unwrap(), Vec::new(), Vec::new());
            let consumed = chunker.cut_sampling(&data, eof, &mut lengths, &mut samples);
            let mut plain = Vec::new();
            prop_assert_eq!(consumed, chunker.cut(&data, eof, &mut plain));
            prop_assert_eq!(&lengths, &plain);
            prop_assert_eq!(samples.len(), lengths.len());
            let mut rest = data.as_slice();
            for (length, samples) in lengths.into_iter().zip(samples) {
                let (chunk, tail) = rest.split_at(length as usize);
                prop_assert_eq!(samples, chunker.samples(chunk));
                rest = tail;
            }
        }
    }

    #[test]
    fn one_byte_at_a_time_is_no_different() {
        let data = noise(9_000, 7);
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
        let theirs = FastCDC::with_level(&data, 32 << 10, 128 << 10, 512 << 10, Normalization::Level1);
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
