//! Sketches: a few numbers that similar chunks share, so that one can be found for another among millions.
//!
//! Places of a chunk are sampled where its gear hash has zeros, which depends on the bytes there alone (see
//! [`Chunker::samples`](super::Chunker::samples)). Each of twelve features is the largest that one linear function makes
//! of the sampled hashes, so a feature stays the same unless the change hit just that place. Features are joined in
//! pairs to six super-features. The ideas are those of Finesse (Zhang et al., FAST '19: super-features that are cheap to
//! take) and Odess (Zou et al., ICDE '21: a gear hash, sampled by content, instead of one function for each byte and
//! feature); the gear hash is the one that the cut points are found with, so that one scan does for both.
//!
//! Nothing of this is in the vault: another sketch finds other bases, and what is stored is read the same way.

use super::hash::hash;

/// How many super-features a sketch has.
pub const SUPER_FEATURES: usize = 6;
/// Features: two to each super-feature. Three super-features of four miss every twentieth chunk of a dump whose rows
/// changed here and there, six of two every fortieth, and a chunk missed costs as much as thirty deltas.
const FEATURES: usize = 2 * SUPER_FEATURES;
/// Chunks shorter than this have no sketch: a frame of their own would cost what a delta saves.
pub const SKETCH_FROM: usize = 8 << 10;

/// The super-features of a chunk.
pub type Sketch = [u64; SUPER_FEATURES];

/// The numbers of the linear functions.
const TABLES: Tables = Tables::new();

struct Tables {
    factor: [u32; FEATURES],
    offset: [u32; FEATURES],
}

impl Tables {
    #[allow(clippy::indexing_slicing, reason = "runs in the compiler, which would refuse an index out of range")]
    const fn new() -> Self {
        let mut tables = Self { factor: [0; FEATURES], offset: [0; FEATURES] };
        let mut state = 0x7374_726f_6e67_726f;
        let mut at = 0;
        while at < FEATURES {
            state = next(state);
            tables.factor[at] = high(state) | 1;
            state = next(state);
            tables.offset[at] = high(state);
            at += 1;
        }
        tables
    }
}

/// `SplitMix64`: numbers without a pattern that are the same everywhere.
const fn next(state: u64) -> u64 {
    state.wrapping_add(0x9e37_79b9_7f4a_7c15)
}

#[allow(clippy::cast_possible_truncation, reason = "the upper half is what is wanted")]
const fn high(state: u64) -> u32 {
    let mut z = state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 32) as u32
}

/// The sketch of a chunk of `len` bytes with these samples; none if it is too short, or so uniform that it has none.
#[must_use]
pub fn sketch(len: usize, samples: &[u32]) -> Option<Sketch> {
    if len < SKETCH_FROM || samples.is_empty() {
        return None;
    }
    let mut features = [0_u32; FEATURES];
    for hash in samples {
        for ((feature, factor), offset) in features.iter_mut().zip(TABLES.factor).zip(TABLES.offset) {
            *feature = (*feature).max(hash.wrapping_mul(factor).wrapping_add(offset));
        }
    }
    let mut sketch = [0; SUPER_FEATURES];
    for ((at, pair), out) in features.chunks_exact(2).enumerate().zip(&mut sketch) {
        let mut bytes = [0_u8; 9];
        // The number of the pair goes in, so that one super-feature is never taken for another.
        for (byte, value) in bytes.iter_mut().zip(pair.iter().flat_map(|f| f.to_le_bytes()).chain(u8::try_from(at))) {
            *byte = value;
        }
        let first = hash(&bytes).as_bytes().first_chunk().copied().unwrap_or_default();
        *out = u64::from_le_bytes(first);
    }
    Some(sketch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{codec::Chunker, model::ChunkerParams};

    fn sketch(chunk: &[u8]) -> Option<Sketch> {
        super::sketch(chunk.len(), &Chunker::new(ChunkerParams::DATA).unwrap().samples(chunk))
    }

    /// Rows as a dump has them.
    fn rows(count: u32, changed: impl Fn(u32) -> bool) -> Vec<u8> {
        let row = |i: u32| {
            let noise = hash(&i.to_le_bytes());
            let balance = if changed(i) { 17 } else { 0 };
            format!("{i}\t{}\t{balance}\t{noise}\n", i / 7)
        };
        (0..count).map(row).collect::<String>().into_bytes()
    }

    fn shared(one: &Sketch, other: &Sketch) -> usize {
        one.iter().zip(other).filter(|(a, b)| a == b).count()
    }

    #[test]
    fn scattered_changes_and_shifts_leave_most_of_a_sketch() {
        let before = rows(1500, |_| false);
        let sketch_before = sketch(&before).unwrap();
        let after = sketch(&rows(1500, |i| i % 50 == 3)).unwrap();
        assert!(shared(&sketch_before, &after) >= 3, "{sketch_before:x?} {after:x?}");
        let shifted = [b"a line that was not there\n".as_slice(), &before].concat();
        assert!(shared(&sketch_before, &sketch(&shifted).unwrap()) >= 4);
        let other = rows(3000, |_| false).split_off(before.len());
        assert_eq!(shared(&sketch_before, &sketch(&other).unwrap()), 0, "other rows");
    }

    #[test]
    fn what_is_short_or_uniform_has_none() {
        assert!(sketch(&rows(20, |_| false)).is_none());
        assert!(sketch(&vec![0; 1 << 20]).is_none() || sketch(&vec![0; 1 << 20]) == sketch(&vec![0; 1 << 19]));
        assert!(sketch(&[]).is_none());
    }
}
