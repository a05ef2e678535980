//! What was counted and hashed of rows, added up.

use serde::Deserialize;

use crate::model::{Sample, TableFingerprint, sample::SAMPLED};

/// What was counted so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sum {
    rows: u64,
    /// The lower 64 bits of the sum of each of the two hashes.
    hash: Option<(u64, u64)>,
    /// The first hash of those rows where it is small, if these were asked for.
    sample: Option<Vec<u64>>,
}

impl Sum {
    pub(super) fn add(&mut self, more: Self) {
        self.rows = self.rows.saturating_add(more.rows);
        let (some, others) = (self.hash.take(), more.hash);
        // A range without rows has no sum.
        if let Some(more) = more.sample {
            self.sample.get_or_insert_default().extend(more);
        }
        self.hash = match (some, others) {
            (Some(some), Some(others)) => Some((some.0.wrapping_add(others.0), some.1.wrapping_add(others.1))),
            (some, others) => some.or(others),
        };
    }

    /// As a fingerprint tells it. All rows whose first hash is at most `bound` were asked for a sample.
    pub(super) fn told(self, bound: Option<u64>) -> TableFingerprint {
        let sample = self.sample.unwrap_or_default();
        TableFingerprint {
            rows: self.rows,
            hash: self.hash.map(|(low, high)| format!("{low:016x}{high:016x}")),
            sample: bound.filter(|_| self.hash.is_some()).map(|bound| Sample::of(sample, bound, SAMPLED)),
            columns: None,
        }
    }
}

/// What a statement that counts gives.
#[derive(Deserialize)]
pub(super) struct Counted {
    rows: String,
    low: Option<String>,
    high: Option<String>,
    #[serde(default)]
    sample: Option<Vec<String>>,
}

/// The numbers in it; nothing if they are none.
pub(super) fn read(counted: &Counted) -> Option<Sum> {
    let hash = match (&counted.low, &counted.high) {
        (Some(low), Some(high)) => Some((half(low)?, half(high)?)),
        _ => None,
    };
    let unsigned = |hash: &String| Some(hash.parse::<i64>().ok()?.cast_unsigned() ^ 1 << 63);
    let sample: Option<Vec<u64>> = match &counted.sample {
        Some(all) => Some(all.iter().map(unsigned).collect::<Option<_>>()?),
        None => None,
    };
    Some(Sum { rows: counted.rows.parse().ok()?, hash, sample })
}

/// The lower 64 bits of a sum.
fn half(sum: &str) -> Option<u64> {
    u64::try_from(sum.parse::<i128>().ok()?.rem_euclid(1 << 64)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_keep_their_lower_half() {
        assert_eq!(half("0"), Some(0));
        assert_eq!(half("-1"), Some(u64::MAX));
        assert_eq!(half("36893488147419103232"), Some(0), "two to the 65th");
        assert_eq!(half("x"), None);
    }

    #[test]
    fn parts_add_up_to_what_the_whole_gives() {
        let sum = |rows: &str, low: Option<&str>, high: Option<&str>| {
            let own = |text: Option<&str>| text.map(str::to_owned);
            read(&Counted { rows: rows.to_owned(), low: own(low), high: own(high), sample: None }).unwrap()
        };
        let mut parts = sum("0", None, None);
        parts.add(sum("2", Some("-3"), Some("9223372036854775808")));
        parts.add(sum("0", None, None));
        parts.add(sum("3", Some("5"), Some("9223372036854775809")));
        assert_eq!(parts.clone().told(None), sum("5", Some("2"), Some("18446744073709551617")).told(None));
        assert_eq!(parts.told(None).hash.unwrap(), "00000000000000020000000000000001");
    }
}
