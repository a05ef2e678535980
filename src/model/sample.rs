//! A sample of many things by their hashes, kept so that two of different times can be held against each other.

use std::{collections::BTreeSet, fmt::Write as _};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::Error as _};

/// How many bits of a hash are kept. A sample of a thousand million things has 2²⁶ places for each of 256 of them.
const BITS: u32 = 48;
/// What is left out of 64.
const SHIFT: u32 = u64::BITS - BITS;
/// About so many things of one set are sampled where that is no matter of room.
pub const SAMPLED: usize = 1024;
/// The largest hash of these bits.
const LAST: u64 = (1 << BITS) - 1;
/// Hex digits of one.
const DIGITS: usize = 12;
/// The most hashes that one sample holds.
const MOST: usize = 8192;

/// The things of a set whose hashes are smallest. Whether one is in the sample depends on its own hash alone, so of two
/// samples of one set at two times it can be said which share of the earlier things is still there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample {
    /// Every thing whose hash is at most this is in the sample.
    up_to: u64,
    /// Their hashes, in order.
    hashes: Vec<u64>,
}

impl Sample {
    /// The `most` smallest of these 64-bit hashes. `bound` is the largest hash of which all were looked at, the largest of
    /// all where nothing was left out before.
    #[must_use]
    pub fn of(hashes: impl IntoIterator<Item = u64>, bound: u64, most: usize) -> Self {
        let mut sampling = Sampling { up_to: bound >> SHIFT, ..Sampling::new(most) };
        hashes.into_iter().for_each(|hash| sampling.add(hash));
        sampling.done()
    }

    /// How many things it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// The same, with no more than `most` hashes.
    #[must_use]
    pub fn thinned(&self, most: usize) -> Self {
        let up_to = self.hashes.get(most.max(1)).map_or(self.up_to, |next| next.saturating_sub(1));
        Self { up_to, hashes: self.hashes.iter().copied().filter(|hash| *hash <= up_to).collect() }
    }

    /// How many of the things of this sample can be looked for in `later`, and how many of them are there.
    #[must_use]
    pub fn still_in(&self, later: &Self) -> (u64, u64) {
        let bound = self.up_to.min(later.up_to);
        let mut there = Walk(&later.hashes);
        let comparable = self.hashes.iter().take_while(|hash| **hash <= bound);
        comparable.fold((0, 0), |(all, still), hash| (all + 1, still + u64::from(there.has(*hash))))
    }

    /// The same of those things alone that were in an `earlier` sample as well: first how many can be looked for in both, then
    /// how many of them were there, and how many still are.
    #[must_use]
    pub fn old_still_in(&self, earlier: &Self, later: &Self) -> [u64; 3] {
        let bound = self.up_to.min(later.up_to).min(earlier.up_to);
        let (mut before, mut there) = (Walk(&earlier.hashes), Walk(&later.hashes));
        let comparable = self.hashes.iter().take_while(|hash| **hash <= bound);
        comparable.fold([0; 3], |[all, old, still], hash| {
            let was = before.has(*hash);
            [all + 1, old + u64::from(was), still + u64::from(was && there.has(*hash))]
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let digits = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !digits || !text.len().is_multiple_of(DIGITS) || text.len() / DIGITS > MOST + 1 {
            return None;
        }
        let mut words =
            text.as_bytes().chunks(DIGITS).map(|word| u64::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok());
        let up_to = words.next()??;
        let hashes: Vec<u64> = words.collect::<Option<_>>()?;
        let ordered = hashes.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
        (ordered && hashes.last().is_none_or(|last| *last <= up_to) && up_to <= LAST).then_some(Self { up_to, hashes })
    }
}

/// What is left of hashes in order that are looked through in order: each is passed once.
struct Walk<'a>(&'a [u64]);

impl Walk<'_> {
    fn has(&mut self, hash: u64) -> bool {
        while let Some((first, rest)) = self.0.split_first() {
            if *first > hash {
                return false;
            }
            self.0 = rest;
            if *first == hash {
                return true;
            }
        }
        false
    }
}

/// A sample being taken, of any number of things.
#[derive(Debug)]
pub struct Sampling {
    up_to: u64,
    most: usize,
    kept: BTreeSet<u64>,
}

impl Sampling {
    /// Of at most so many things.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { up_to: LAST, most: most.clamp(1, MOST), kept: BTreeSet::new() }
    }

    /// Takes one in, by 64 bits of its hash.
    pub fn add(&mut self, hash: u64) {
        let hash = hash >> SHIFT;
        if hash <= self.up_to && self.kept.insert(hash) && self.kept.len() > self.most {
            self.kept.pop_last();
            self.up_to = self.kept.last().copied().unwrap_or_default();
        }
    }

    /// The sample.
    #[must_use]
    pub fn done(self) -> Sample {
        Sample { up_to: self.up_to, hashes: self.kept.into_iter().collect() }
    }
}

impl Serialize for Sample {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let words = std::iter::once(&self.up_to).chain(&self.hashes);
        let mut text = String::with_capacity(DIGITS * (self.hashes.len() + 1));
        for hash in words {
            write!(text, "{hash:012x}").map_err(S::Error::custom)?;
        }
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Sample {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("a sample is not spelled as samples are"))
    }
}

/// A sample, or none where something else stands in its place: a restore is not to fail by what it does not need.
pub(super) fn lenient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Sample>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Stored {
        Text(String),
        Other(serde::de::IgnoredAny),
    }
    Ok(match Stored::deserialize(deserializer)? {
        Stored::Text(text) => Sample::parse(&text),
        Stored::Other(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashes(range: std::ops::Range<u64>) -> impl Iterator<Item = u64> {
        // A multiplier without pattern spreads them.
        range.map(|n| (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    #[test]
    fn what_is_still_there_is_told_whatever_the_size() {
        let was = Sample::of(hashes(0..100_000), u64::MAX, 512);
        assert_eq!(was.len(), 512);
        // A fifth is gone, as much again is new.
        let is = Sample::of(hashes(20_000..140_000), u64::MAX, 512);
        let (all, there) = was.still_in(&is);
        assert!(all > 350 && (70..90).contains(&(there * 100 / all)), "{there} of {all}");
        assert_eq!(was.still_in(&was), (512, 512));
        assert_eq!(was.still_in(&Sample::of([], u64::MAX, 512)), (512, 0));
        let thin = was.thinned(64);
        assert_eq!((thin.len(), thin.still_in(&was)), (64, (64, 64)));
        // Where only a part was looked at, nothing beyond it counts as gone.
        let part = Sample::of(hashes(0..100_000).filter(|h| *h < 1 << 50), (1 << 50) - 1, 512);
        let (all, there) = was.still_in(&part);
        assert_eq!(all, there);
    }

    #[test]
    fn a_sample_is_spelled_in_one_way() {
        let sample = Sample::of(hashes(0..9), u64::MAX, 4);
        let text = serde_json::to_string(&sample).unwrap();
        assert_eq!(text.len(), 5 * DIGITS + 2);
        assert_eq!(serde_json::from_str::<Sample>(&text).unwrap(), sample);
        for bad in ["", "0", "00000000000g", "000000000001000000000002", "ffffffffffff000000000002000000000001"] {
            assert!(Sample::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn what_was_old_already_is_told_apart() {
        let of = |hashes: &[u64], bound: u64| Sample::of(hashes.iter().map(|n| n << SHIFT), bound << SHIFT, 64);
        let (first, second, third) = (of(&[1, 2, 5, 9], 20), of(&[2, 3, 5, 9], 20), of(&[2, 3, 9], 20));
        assert_eq!(second.old_still_in(&first, &third), [4, 3, 2]);
        assert_eq!(second.old_still_in(&of(&[2], 4), &third), [2, 1, 1], "beyond what was looked at, nothing is known");
        assert_eq!(second.old_still_in(&first, &of(&[2], 4)), [2, 1, 1]);
        assert_eq!(of(&[2, 5], 5).old_still_in(&first, &third), [2, 2, 1]);
        assert_eq!((second.still_in(&of(&[2], 4)), of(&[], 9).still_in(&first)), ((2, 1), (0, 0)));
        assert!(of(&[], 9).is_empty() && !first.is_empty());
    }

    #[test]
    fn a_sample_holds_all_up_to_its_bound() {
        let full = Sample::of((1..=10_u64).map(|n| n << SHIFT), u64::MAX, 4);
        assert_eq!((full.up_to, full.hashes.as_slice()), (4, [1, 2, 3, 4].as_slice()));
        let twice = Sample::of([3, 3, 1, 1].map(|n: u64| n << SHIFT), u64::MAX, 2);
        assert_eq!((twice.up_to, twice.hashes.as_slice()), (LAST, [1, 3].as_slice()), "two are two");
        let part = Sample::of([1, 2, 3].map(|n: u64| n << SHIFT), 2 << SHIFT, 9);
        assert_eq!((part.up_to, part.hashes.as_slice()), (2, [1, 2].as_slice()));
        let thin = full.thinned(2);
        assert_eq!((thin.up_to, thin.hashes.as_slice()), (2, [1, 2].as_slice()), "up to the next one");
        assert_eq!(full.thinned(4), full);
        assert_eq!(full.thinned(0).len(), 1);
        assert_eq!(Sample::of((0..9000_u64).map(|n| n << SHIFT), u64::MAX, 9000).len(), MOST);
        assert_eq!((Sample::of([1 << SHIFT, 2 << SHIFT], u64::MAX, 0).len(), LAST), (1, 0xffff_ffff_ffff));
    }

    #[test]
    fn a_sample_is_read_within_its_bounds_or_left_out() {
        let words = |words: &[u64]| words.iter().map(|word| format!("{word:012x}")).collect::<Vec<_>>().concat();
        assert_eq!(Sample::parse(&words(&[7, 2, 7])).unwrap().hashes, [2, 7], "the last may be the bound");
        for bad in [words(&[6, 2, 7]), words(&[9, 7, 7]), words(&[9, 7, 2]), words(&[9, 2]) + "0", "A".repeat(12)] {
            assert!(Sample::parse(&bad).is_none(), "{bad}");
        }
        let most: Vec<u64> = std::iter::once(LAST).chain(0..MOST as u64).collect();
        assert!(Sample::parse(&words(&most)).is_some());
        assert!(Sample::parse(&words(&[most, vec![1 << 20]].concat())).is_none());
        let read = |text: &str| lenient(&mut serde_json::Deserializer::from_str(text)).unwrap();
        assert_eq!(read(&format!("{:?}", words(&[7, 2]))).unwrap().hashes, [2]);
        assert!(read("\"x\"").is_none() && read("7").is_none() && read("null").is_none());
    }
}
