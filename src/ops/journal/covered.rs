//! Times up to which the log is known to be whole, as a server told them.

use std::time::{Duration, Instant};

use crate::model::{Time, journal::Position};

/// So long a server is not asked again that could not say it.
const AGAIN: Duration = Duration::from_mins(5);
/// A server counts the header of the page that comes next, and the log ends before it.
const HEADER: u64 = 40;
/// Where a page begins whatever the size of pages: elsewhere so many bytes could be a record.
const PAGE: u64 = 64 << 10;

/// What a server told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    /// When.
    pub(super) at: Time,
    /// The timeline, and where its log ended then, or later.
    pub(super) timeline: u32,
    pub(super) to: Position,
}

/// What is told of moments by the keeper, and asked for by the shipper.
#[derive(Debug, Default)]
pub(super) struct Moments {
    newest: Option<Moment>,
    wanted: bool,
    /// When it was asked last and could not say it.
    failed: Option<Instant>,
}

/// Whether a log that goes up to `to` has all that a server has whose log is at `end`.
const fn reaches(to: u64, end: u64) -> bool {
    to >= end || (to.is_multiple_of(PAGE) && end - to <= HEADER)
}

impl Moments {
    /// Whether it may be asked: it has not just failed to say it.
    pub(super) fn may_ask(&self) -> bool {
        self.failed.is_none_or(|at| at.elapsed() >= AGAIN)
    }

    /// Asks the keeper to ask the server.
    pub(super) const fn want(&mut self) {
        self.wanted = true;
    }

    /// Whether the server is to be asked.
    pub(super) const fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// What it said; nothing if it could not say it.
    pub(super) fn told(&mut self, moment: Option<Moment>) {
        self.wanted = false;
        match moment {
            Some(moment) => (self.newest, self.failed) = (Some(moment), None),
            None => self.failed = Some(Instant::now()),
        }
    }

    /// The newest time that a piece of `timeline` that ends at `to` covers.
    pub(super) fn covered(&self, timeline: u32, to: u64) -> Option<Time> {
        self.newest.filter(|moment| moment.timeline == timeline && reaches(to, moment.to.0)).map(|moment| moment.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_reaches_the_end_that_was_told_covers_the_time() {
        let moment = Moment { at: Time::from_unix(1000), timeline: 2, to: Position(0x10_2010) };
        let mut moments = Moments::default();
        assert_eq!(moments.covered(2, u64::MAX), None);
        moments.told(Some(moment));
        let covered = |timeline, to| moments.covered(timeline, to).map(Time::unix);
        assert_eq!((covered(2, 0x10_2008), covered(2, 0x10_2010)), (None, Some(1000)), "a record may lie between");
        assert_eq!(covered(3, u64::MAX), None, "another server may have said so");
        // The header of a page, and no record.
        assert!(reaches(0x10_0000, 0x10_0018) && !reaches(0x10_0000, 0x10_0040) && !reaches(0x10_2008, 0x10_2018));
    }
}
