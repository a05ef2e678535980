//! The gear hash of `FastCDC`: where it has zeros under a mask is where a stream may be cut, or a place is sampled.
//!
//! Each byte moves the hash one bit to the left and adds a number of its own, so the hash depends on the last 64 bytes.

use std::{array, sync::LazyLock};

use fastcdc::v2020::get_gear_with_seed;

/// The number of each byte.
static NUMBERS: LazyLock<[u64; 256]> = LazyLock::new(|| {
    let (numbers, _) = get_gear_with_seed(0);
    array::from_fn(|byte| numbers.get(byte).copied().unwrap_or_default())
});

/// What is looked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Masks {
    /// Where the hash has zeros under this one, the scan ends.
    pub(super) end: u64,
    /// Where it has them under this one, whose bits are among those of `end`, a place is told and the scan goes on.
    pub(super) sample: u64,
}

/// Scans `bytes`, going on from `hash`, until the scan ends; returns at which byte that is. `sampled` is told the hash of
/// every sampled place before it.
///
/// Four bytes are one step: each hash in it follows from the one before the step, so that the processor need not wait
/// for one to have the next, and one look at `sample` is enough for both masks.
pub(super) fn scan(bytes: &[u8], hash: &mut u64, masks: Masks, sampled: &mut impl FnMut(u64)) -> Option<usize> {
    let numbers = &*NUMBERS;
    let Masks { end, sample } = masks;
    let (fours, rest) = bytes.as_chunks::<4>();
    let mut before = *hash;
    #[allow(clippy::indexing_slicing, reason = "there are as many numbers as bytes")]
    let number = |byte: u8| numbers[usize::from(byte)];
    for (step, &[a, b, c, d]) in fours.iter().enumerate() {
        let (a, b, c, d) = (number(a), number(b), number(c), number(d));
        let first = (before << 1).wrapping_add(a);
        let second = (before << 2).wrapping_add((a << 1).wrapping_add(b));
        let third = (second << 1).wrapping_add(c);
        before = (second << 2).wrapping_add((c << 1).wrapping_add(d));
        // Nearly no step has any. Asked first, without a loop, unoptimised builds are ten times as fast.
        let none = first & sample != 0 && second & sample != 0 && third & sample != 0 && before & sample != 0;
        if none {
            continue;
        }
        for (at, hash) in [first, second, third, before].into_iter().enumerate() {
            if hash & sample == 0 {
                if hash & end == 0 {
                    return Some(4 * step + at);
                }
                sampled(hash);
            }
        }
    }
    for (at, byte) in rest.iter().enumerate() {
        before = (before << 1).wrapping_add(number(*byte));
        if before & sample == 0 {
            if before & end == 0 {
                return Some(4 * fours.len() + at);
            }
            sampled(before);
        }
    }
    *hash = before;
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same, as the paper has it: one byte after the other.
    fn plainly(bytes: &[u8], masks: Masks) -> (Option<usize>, Vec<u64>) {
        let (mut hash, mut sampled) = (0_u64, Vec::new());
        for (at, byte) in bytes.iter().enumerate() {
            hash = (hash << 1).wrapping_add(NUMBERS[usize::from(*byte)]);
            if hash & masks.end == 0 {
                return (Some(at), sampled);
            }
            if hash & masks.sample == 0 {
                sampled.push(hash);
            }
        }
        (None, sampled)
    }

    proptest! {
        #[test]
        fn four_at_a_time_is_one_after_the_other(
            bytes in prop::collection::vec(any::<u8>(), 0..3000),
            parts in prop::collection::vec(0_usize..1000, 0..4),
            few in 1_u32..6, more in 0_u32..8,
        ) {
            let sample = ((1 << few) - 1) << 40;
            let masks = Masks { end: sample | ((1 << more) - 1) << 20, sample };
            let (mut hash, mut sampled, mut done, mut end) = (0, Vec::new(), 0, None);
            for part in parts.into_iter().chain([bytes.len()]) {
                let next = (done + part).min(bytes.len());
                end = end.or_else(|| {
                    scan(&bytes[done..next], &mut hash, masks, &mut |hash| sampled.push(hash)).map(|at| done + at)
                });
                done = next;
            }
            prop_assert_eq!((end, sampled), plainly(&bytes, masks));
        }
    }
}
