//! Arithmetic that every store shares, so that all of them answer alike.

use std::ops::Range;

use crate::model::Lock;

/// The largest object that a store takes or hands out whole: twice the largest pack. What is larger is none of ours.
pub(super) const MAX_OBJECT: u64 = 64 << 20;

/// The part of an object of `len` bytes that `range` means, cut at the end; all of it without a range. `None` if the
/// range is empty or begins at or beyond the end.
pub(super) fn clip(range: Option<Range<u64>>, len: u64) -> Option<Range<u64>> {
    let Some(range) = range else { return Some(0..len) };
    let clipped = range.start..range.end.min(len);
    (!clipped.is_empty()).then_some(clipped)
}

/// The lock that applies once `asked` was added to `current`: the later end, the stronger mode.
pub(super) fn extended(current: Option<Lock>, asked: Lock) -> Lock {
    let Some(current) = current else { return asked };
    let mode = if current.mode.covers(asked.mode) { current.mode } else { asked.mode };
    Lock { mode, until: current.until.max(asked.until) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{LockMode, Time};

    #[test]
    fn ranges_are_cut_at_the_end_and_never_empty() {
        assert_eq!(clip(None, 0), Some(0..0));
        assert_eq!(clip(Some(2..5), 10), Some(2..5));
        assert_eq!(clip(Some(2..u64::MAX), 10), Some(2..10));
        for bad in [0..0, 5..5, 10..11, 11..12, u64::MAX - 1..u64::MAX] {
            assert_eq!(clip(Some(bad.clone()), 10), None, "{bad:?}");
        }
        #[allow(clippy::reversed_empty_ranges, reason = "what a careless caller may pass")]
        let backwards = 5..2;
        assert_eq!(clip(Some(backwards), 10), None);
        assert_eq!(clip(Some(0..1), 0), None);
    }

    #[test]
    fn an_extended_lock_is_never_shorter_or_weaker() {
        let lock = |mode, until| Lock { mode, until: Time::from_unix(until) };
        let (c, g) = (LockMode::Compliance, LockMode::Governance);
        let cases = [
            (None, lock(g, 5), lock(g, 5)),
            (Some(lock(c, 5)), lock(c, 9), lock(c, 9)),
            (Some(lock(c, 9)), lock(c, 5), lock(c, 9)),
            (Some(lock(c, 5)), lock(g, 9), lock(c, 9)),
            (Some(lock(g, 9)), lock(c, 5), lock(c, 9)),
            (Some(lock(g, 5)), lock(g, 5), lock(g, 5)),
        ];
        for (current, asked, expected) in cases {
            assert_eq!(extended(current, asked), expected, "{current:?} asked {asked:?}");
        }
    }
}
