//! What the files of a log are called.

use std::fmt;

/// A file of a log as its name tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogFile {
    /// A segment.
    Segment(SegmentName),
    /// A segment that is not complete: one that is being received, or the last of a timeline that ended in it.
    Partial(SegmentName),
    /// How a timeline came about.
    History(u32),
    /// A note on a base backup, which begins so many bytes into the segment. Nobody needs it: a base has its own.
    Backup(SegmentName, u32),
}

/// The name of a segment. What position it means depends on the size of segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentName {
    /// The timeline.
    pub timeline: u32,
    log: u32,
    part: u32,
}

impl SegmentName {
    /// The segment of `timeline` that `at` lies in.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "the upper and the lower half")]
    pub const fn of(timeline: u32, at: u64, size: u64) -> Self {
        Self { timeline, log: (at >> 32) as u32, part: ((at & 0xffff_ffff) / size) as u32 }
    }

    /// Where it begins, if there is such a segment.
    #[must_use]
    pub fn start(&self, size: u64) -> Option<u64> {
        let within = u64::from(self.part).checked_mul(size).filter(|within| *within < 1 << 32)?;
        Some(u64::from(self.log) << 32 | within)
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08X}{:08X}{:08X}", self.timeline, self.log, self.part)
    }
}

impl fmt::Display for LogFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Segment(name) => name.fmt(f),
            Self::Partial(name) => write!(f, "{name}.partial"),
            Self::History(timeline) => write!(f, "{timeline:08X}.history"),
            Self::Backup(name, offset) => write!(f, "{name}.{offset:08X}.backup"),
        }
    }
}

impl LogFile {
    /// What a file of this name is, if it is one of a log.
    #[must_use]
    pub fn read(name: &str) -> Option<Self> {
        let (stem, rest) = name.split_once('.').unwrap_or((name, ""));
        if rest == "history" {
            return hex(stem).filter(|timeline| *timeline > 0).map(Self::History);
        }
        let (timeline, place) = stem.split_at_checked(8)?;
        let (log, part) = place.split_at_checked(8)?;
        let segment = SegmentName { timeline: hex(timeline)?, log: hex(log)?, part: hex(part)? };
        if segment.timeline == 0 {
            return None;
        }
        match rest {
            "" if !name.contains('.') => Some(Self::Segment(segment)),
            "partial" => Some(Self::Partial(segment)),
            _ => {
                let offset = rest.strip_suffix(".backup")?;
                hex(offset).map(|offset| Self::Backup(segment, offset))
            }
        }
    }
}

/// Eight upper-case hex digits.
fn hex(text: &str) -> Option<u32> {
    let digit = |b: u8| matches!(b, b'0'..=b'9' | b'A'..=b'F');
    (text.len() == 8 && text.bytes().all(digit)).then(|| u32::from_str_radix(text, 16).ok()).flatten()
}

/// One timeline of a history: where it ended, and the next began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Past {
    /// The timeline.
    pub timeline: u32,
    /// Where it ended.
    pub end: u64,
}

/// What a history file says: the timelines before, oldest first.
#[must_use]
pub fn history(text: &str) -> Vec<Past> {
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let timeline = words.next()?.parse().ok()?;
        let end = crate::model::journal::Position::from_lsn(words.next()?).ok()?.0;
        Some(Past { timeline, end })
    };
    text.lines().filter(|line| !line.trim_start().starts_with('#')).filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_mean_positions() {
        let read = |name: &str| LogFile::read(name).unwrap_or_else(|| panic!("{name}"));
        let segment = SegmentName::of(2, 0x1_ff00_0000, 16 << 20);
        assert_eq!(segment.to_string(), "0000000200000001000000FF");
        assert_eq!(segment.start(16 << 20), Some(0x1_ff00_0000));
        assert_eq!(segment.start(64 << 20), None, "there are but 64 of these in four gibibytes");
        assert_eq!(SegmentName::of(1, 0x1_0410_0000, 1 << 20).to_string(), "000000010000000100000041");
        assert_eq!(read("0000000200000001000000FF"), LogFile::Segment(segment));
        assert_eq!(read("0000000200000001000000FF.partial"), LogFile::Partial(segment));
        assert_eq!(read("0000000200000001000000FF.00000028.backup"), LogFile::Backup(segment, 0x28));
        assert_eq!(LogFile::Backup(segment, 0x28).to_string(), "0000000200000001000000FF.00000028.backup");
        assert_eq!(read("0000000A.history"), LogFile::History(10));
        for other in [
            "",
            "0000000200000001000000ff",
            "0000000200000001000000FF.",
            "0000000200000001000000FF.tmp",
            "0000000200000001000000FF.partial.backup",
            "000000000000000100000001",
            "00000000.history",
            "A.history",
            "0000000200000001000000FF0",
            "archive_status",
            "é0000002",
        ] {
            assert_eq!(LogFile::read(other), None, "{other}");
        }
    }

    #[test]
    fn a_history_says_where_timelines_ended() {
        let text = "1\t0/5000148\tno recovery target specified\n\n# a remark\n2\t1/A\tbefore 2020\n";
        assert_eq!(history(text), [Past { timeline: 1, end: 0x500_0148 }, Past { timeline: 2, end: 0x1_0000_000a }]);
        assert_eq!(history("nonsense"), []);
    }
}
