//! A sample of a table's rows, asked for in the statement that counts them.
//!
//! Which rows are in it is decided by their key, so that a row's whole hash is worked out twice only where it is kept: over
//! all rows that costs a tenth of the time, and by the row's hash it would double it. A row without a key is chosen by all
//! that it holds.

use crate::model::{Sample, sample::SAMPLED};

/// What the server's variable for the length of such an answer is set to, in bytes.
pub(super) const LENGTH: usize = 1 << 20;
/// Hex digits that decide whether a row is in the sample, and as many of its hash.
const DIGITS: usize = 6;
/// The largest number of so many digits.
const LAST: u64 = (1 << (4 * DIGITS)) - 1;
/// An odd number without pattern: what a checksum leaves in its last bits is spread over the first.
const SPREAD: u64 = 2_654_435_761;

/// What is known of a table beforehand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// How many rows it has, by the server's estimate.
    pub estimate: u64,
    /// The columns of its primary key, as they are asked for.
    pub key: Vec<String>,
    /// Its columns with their types.
    pub columns: Vec<String>,
}

impl Known {
    /// How the table is defined, whatever the order of its columns.
    pub(super) fn definition(&self) -> Option<String> {
        let mut columns = self.columns.clone();
        columns.sort_unstable();
        (!columns.is_empty()).then(|| columns.join(", "))
    }
}

/// Which rows are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bound(u64);

impl Bound {
    /// Of about so many rows: twice as many as a sample keeps, since the number may be wrong.
    pub(super) fn of(rows: u64) -> Self {
        let share = LAST / rows.max(1);
        Self(share.saturating_mul(2 * SAMPLED as u64).min(LAST))
    }

    /// The expression for it. `row` is the hash of a row in hex.
    pub(super) fn asking(self, key: &[String], all: &[String], row: &str) -> String {
        let key = if key.is_empty() { all } else { key };
        let place = format!("(CRC32(CONCAT({})) * {SPREAD} & {}) DIV 256", key.join(", "), u32::MAX);
        format!(
            "GROUP_CONCAT(IF({place} <= {}, CONCAT(LPAD(HEX({place}), {DIGITS}, '0'), LEFT({row}, {DIGITS})), NULL) SEPARATOR '')",
            self.0
        )
    }

    /// The sample in the answer: none where that is not understood, or says nothing of a table of so many rows.
    pub(super) fn understand(self, answer: &str, rows: u64) -> Option<Sample> {
        let text = if answer == "NULL" { "" } else { answer };
        if text.len() + 2 * DIGITS > LENGTH || !text.len().is_multiple_of(2 * DIGITS) {
            return None;
        }
        let words = text.as_bytes().chunks(2 * DIGITS);
        let hash = |word: &[u8]| Some(u64::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()? << 16);
        let hashes: Vec<u64> = words.map(hash).collect::<Option<_>>()?;
        let few = self.0 < LAST && hashes.len() < SAMPLED / 2 && rows >= SAMPLED as u64;
        // Every row up to the bound was asked for, whatever its hash.
        let all = if self.0 >= LAST { u64::MAX } else { ((self.0 + 1) << 40) - 1 };
        (!few).then(|| Sample::of(hashes, all, SAMPLED))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_understood_or_there_is_none() {
        let all = Bound::of(0);
        assert_eq!(all, Bound(LAST));
        let sample = all.understand("00000a0000010000140000ff", 2).unwrap();
        assert_eq!((sample.len(), sample.still_in(&sample)), (2, (2, 2)));
        assert_eq!(all.understand("NULL", 0).map(|s| s.len()), Some(0));
        for bad in ["0", "00000g000001", "00000a00000"] {
            assert_eq!(all.understand(bad, 1), None, "{bad}");
        }
        // What was cut off by the server, and what holds too little since the server knows its table badly.
        assert_eq!(all.understand(&"00000a000001".repeat(LENGTH / 12), 1 << 20), None);
        let half = Bound::of(1 << 20);
        assert_eq!(half.understand("00000a000001", 1 << 20), None);
        // Of an altered row no more is found; one beyond the bound of either is not looked for.
        let altered = all.understand("00000a0000020000140000ff", 2).unwrap();
        assert_eq!(sample.still_in(&altered), (2, 1));
        let less = Bound(0x13).understand("00000a000001", 2).unwrap();
        assert_eq!(sample.still_in(&less), (1, 1));
    }
}
