//! A set that forgets nothing and takes two mebibytes: whether something is in it is answered rightly if it is, and nearly always
//! if it is not.

/// Of up to a million hashes, one in five hundred that are not in it seems to be (k = 4, m = 2^24; Bloom, "Space/Time Trade-offs in
/// Hash Coding with Allowable Errors", 1970). The hashes have to be keyed where somebody else chooses what is hashed.
#[derive(Debug, Default)]
pub(super) struct BloomFilter {
    bits: Vec<u64>,
}

impl BloomFilter {
    const BITS: u64 = 1 << 24;

    /// Four places, from the halves of one hash (Kirsch and Mitzenmacher, "Less Hashing, Same Performance", 2006).
    fn places(hash: u64) -> impl Iterator<Item = (usize, u64)> {
        let (first, step) = (hash & 0xffff_ffff, hash >> 32 | 1);
        (0..4).map(move |no| {
            let place = (first + no * step) % Self::BITS;
            (usize::try_from(place / 64).unwrap_or_default(), 1 << (place % 64))
        })
    }

    /// Adds a hash.
    pub(super) fn add(&mut self, hash: u64) {
        self.bits.resize(usize::try_from(Self::BITS / 64).unwrap_or_default(), 0);
        for (word, bit) in Self::places(hash) {
            self.bits.get_mut(word).into_iter().for_each(|word| *word |= bit);
        }
    }

    /// Whether a hash may have been added; false only if it was not.
    pub(super) fn may_have(&self, hash: u64) -> bool {
        Self::places(hash).all(|(word, bit)| self.bits.get(word).is_some_and(|word| word & bit != 0))
    }
}
