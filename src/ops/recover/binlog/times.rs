//! Where a time lies in a log whose times need not rise.
//!
//! Transactions stand in the order in which they were committed. What a transaction says of its time is when its last statement began,
//! by a clock that anybody can set for his session. So a transaction may say less than one before it, since its statement took long, and
//! that is no reason to go on; or one says a time that has not come yet (`SET TIMESTAMP`, a clock that jumped), and that is no reason
//! to end there. Two others know better: the pieces say up to when the log is in them, so what stands behind one was committed later;
//! and nothing is stored before it was committed.

use super::search::Verdict;
use crate::source::mariadb::binlog::Group;

/// So far apart clocks may be that are right, in seconds.
const APART: i64 = 60;
/// A statement that began so long before, in seconds, is taken for no long one, but for a clock that went back.
const FAR: i64 = 3600;
/// So many pieces behind the point are read at most where they don't say up to when they reach.
const BEHIND: u32 = 16;

/// What is told of a piece, in seconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told {
    /// When it was stored.
    pub(super) stored: i64,
    /// All that was committed before that is in it and those before it.
    pub(super) covers: Option<i64>,
}

/// Looks for a time.
#[derive(Debug, Clone, Default)]
pub(super) struct Times {
    /// What comes was committed at this time or later.
    since: i64,
    /// And not after this one.
    until: i64,
    /// So far ahead of the store's the server's clock is, if it is.
    ahead: i64,
    /// So many pieces were read since the point was found.
    behind: u32,
    /// The first that does not come back, and its time.
    stop: Option<(Group, i64)>,
    /// One that says a time which had not come, with those that don't come back from there on unless more is known.
    doubt: Option<Group>,
    /// The first that says such a time and comes back.
    pub(super) passed: Option<Group>,
    /// The first and the last behind the point that say a time before it.
    pub(super) late: Option<(Group, Group)>,
}

/// Why a time does not tell where to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unclear {
    /// This one says a time that had not come, and may lie before the point or behind it.
    Ahead(Group),
    /// The first says a time behind the point, and the last, far later in the log, one before it.
    Back(Group, Group),
}

impl Times {
    /// A piece begins.
    pub(super) fn begin(&mut self, told: Told) {
        self.ahead = self.ahead.max(told.covers.map_or(0, |covers| covers - told.stored));
        self.until = told.stored + self.ahead + APART;
    }

    /// All of a piece was judged.
    pub(super) fn end(&mut self, told: Told) {
        // A clock that is far ahead may have jumped, and says nothing of what comes once it is right again.
        let right = |covers: i64| if covers - told.stored > APART { told.stored } else { covers };
        let covers = told.covers.map_or(0, right);
        self.since = self.since.max(covers);
        self.behind += u32::from(self.stop.is_some());
    }

    /// Judges a transaction by a time in microseconds since 1970; nothing if it can't be said yet.
    pub(super) fn judge(&mut self, us: i64, group: &Group) -> Option<Verdict> {
        // The log has whole seconds. What was committed within the second of the point may have been so after it.
        let over = |at: i64| (at + 1).saturating_mul(1_000_000) <= us;
        let at = i64::from(group.at).max(self.since);
        if self.stop.is_some() {
            if over(at) {
                self.late = Some((self.late.map_or(*group, |(first, _)| first), *group));
            }
            return Some(Verdict::Behind);
        }
        let false_time = at > self.until;
        if over(at) || (false_time && over(self.until)) {
            // It stands behind those that were in doubt.
            let passed = self.doubt.take().or(false_time.then_some(*group));
            self.passed = self.passed.or(passed);
            return Some(Verdict::Comes);
        }
        if false_time && over(self.since) {
            self.doubt.get_or_insert(*group);
            return None;
        }
        self.stop = Some((*group, at));
        Some(Verdict::Behind)
    }

    /// Whether nothing that is still to come was committed before the point.
    pub(super) fn is_over(&self, us: i64) -> bool {
        self.stop.is_some() && (self.since.saturating_mul(1_000_000) >= us || self.behind > BEHIND)
    }

    /// Whether the point was found.
    pub(super) fn found(&self) -> bool {
        self.stop.is_some()
    }

    /// Why it can't be said where it is, if that is so.
    pub(super) fn unclear(&self) -> Option<Unclear> {
        if let Some(group) = self.doubt {
            return Some(Unclear::Ahead(group));
        }
        let ((stop, at), (_, last)) = (self.stop?, self.late?);
        (at - i64::from(last.at) > FAR).then_some(Unclear::Back(stop, last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(number: u64, at: u32) -> Group {
        Group { gtid: format!("0-1-{number}").parse().ok(), begin: 0, end: 0, at, length: 0 }
    }

    /// Reads pieces, each of which was stored then, covers that time, and holds transactions of these times; looks for `point`. Says how
    /// many come back.
    fn read(point: i64, pieces: &[(i64, Option<i64>, &[u32])]) -> (usize, Times) {
        let (mut times, mut come, mut number) = (Times::default(), 0, 0);
        for (stored, covers, all) in pieces {
            let told = Told { stored: *stored, covers: *covers };
            times.begin(told);
            for at in *all {
                number += 1;
                if times.judge(point * 1_000_000, &group(number, *at)) == Some(Verdict::Comes) {
                    come = usize::try_from(number).unwrap();
                }
            }
            times.end(told);
            if times.is_over(point * 1_000_000) {
                break;
            }
        }
        (come, times)
    }

    const DAY: u32 = 86_400;

    #[test]
    fn times_that_rise_are_found_at_the_first_that_is_over() {
        let (come, times) = read(1005, &[(1002, Some(1002), &[1000, 1001]), (1009, Some(1008), &[1004, 1005, 1006])]);
        assert_eq!((come, times.late, times.passed, times.unclear()), (3, None, None, None));
        assert!(times.found());
    }

    #[test]
    fn a_time_that_had_not_come_ends_nothing() {
        let future = 1003 + DAY;
        let (come, times) = read(1010, &[(1005, Some(1004), &[1000, future, 1004]), (1014, Some(1013), &[1006, 1012])]);
        assert_eq!((come, times.passed.map(|group| group.at), times.unclear()), (4, Some(future), None));
        // Nothing else tells but that it was stored before.
        let (come, times) = read(1210, &[(1005, Some(1004), &[1000, future]), (1214, Some(1213), &[1212])]);
        assert_eq!((come, times.unclear()), (2, None));
        // It may lie before the point or behind it.
        let (come, times) = read(1004, &[(1005, Some(1005), &[1000, future]), (1014, Some(1013), &[1012])]);
        assert!(come == 1 && matches!(times.unclear(), Some(Unclear::Ahead(group)) if group.at == future));
        // What stands behind a piece that covers the point does not come back, whatever it says.
        let (come, times) = read(1004, &[(1005, Some(1004), &[1000]), (1014, Some(1013), &[future, 1012])]);
        assert_eq!((come, times.unclear()), (1, None));
    }

    #[test]
    fn a_statement_that_took_long_comes_back_only_once_it_was_committed() {
        // It began at 1003, and what was committed until 1007 is in the piece before.
        let (come, _) = read(1005, &[(1008, Some(1007), &[1000]), (1014, Some(1013), &[1003])]);
        assert_eq!(come, 1);
        let (come, times) = read(1005, &[(1014, Some(1013), &[1000, 1006, 1003])]);
        assert_eq!((come, times.late.map(|(_, last)| last.at), times.unclear()), (1, Some(1003), None));
    }

    #[test]
    fn a_clock_that_was_ahead_for_a_while_is_told() {
        let (jumped, day) = (1003 + DAY, i64::from(DAY));
        let pieces: &[(i64, Option<i64>, &[u32])] =
            &[(1005, Some(1004 + day), &[1000, jumped]), (1009, Some(1008), &[1007]), (1020, Some(1019), &[1018])];
        let (come, times) = read(1010, pieces);
        assert_eq!((come, times.unclear()), (1, Some(Unclear::Back(group(2, jumped), group(3, 1007)))));
        // One that is ahead all the time is a clock like any other.
        let (come, times) = read(5005, &[(1005, Some(5004), &[5000, 5003]), (1010, Some(5009), &[5006])]);
        assert_eq!((come, times.unclear(), times.passed), (2, None, None));
    }

    #[test]
    fn what_says_nothing_of_its_reach_is_read_on_for_a_while() {
        let mut pieces: Vec<(i64, Option<i64>, &[u32])> = vec![(1005, None, &[1000, 1004])];
        pieces.extend((0..40).map(|n| (1010 + n, None, &[1006][..])));
        let (come, times) = read(1002, &pieces);
        assert_eq!((come, times.behind), (1, BEHIND + 1));
    }
}
