//! Journals: the log that a database writes anyway, kept in pieces between two snapshots, and how far pieces reach.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::{Hash, Name, NameError};

/// One unbroken log: what positions are counted on. A server that is promoted goes on in another line.
///
/// `PostgreSQL`: `pg-<system identifier, 16 hex digits>-<timeline, 8 hex digits>`. `MariaDB`:
/// `my-<server id, 8 hex digits>-<base name of its files>`. Names sort as timelines do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Line(Name);

impl Line {
    /// The line of a `PostgreSQL` cluster's timeline.
    #[must_use]
    pub fn postgres(system: u64, timeline: u32) -> Self {
        let name = format!("pg-{system:016x}-{timeline:08x}").parse();
        Self(name.unwrap_or_else(|e| unreachable!("hex is within a name's alphabet: {e}")))
    }

    /// The line of a `MariaDB` server's binary logs. What of the base name can't stand in a name becomes `_`.
    ///
    /// # Errors
    /// If the base name is too long for a name.
    pub fn mariadb(server: u32, base: &str) -> Result<Self, NameError> {
        let fits = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c) { c } else { '_' };
        let base: String = base.chars().map(|c| fits(c.to_ascii_lowercase())).collect();
        format!("my-{server:08x}-{base}").parse()
    }

    /// The system identifier and the timeline, if it is a line of `PostgreSQL`.
    #[must_use]
    pub fn postgres_parts(&self) -> Option<(u64, u32)> {
        let (system, timeline) = self.0.as_str().strip_prefix("pg-")?.split_once('-')?;
        let system = hex_of(system, 16)?;
        Some((system, u32::try_from(hex_of(timeline, 8)?).ok()?))
    }

    /// Whether the log of this line may go on in `other`: the same cluster, on a later timeline.
    #[must_use]
    pub fn may_become(&self, other: &Self) -> bool {
        match (self.postgres_parts(), other.postgres_parts()) {
            (Some((system, timeline)), Some((another, later))) => system == another && timeline < later,
            _ => false,
        }
    }

    /// The line as a name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.0
    }

    /// The line as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// A position in this line as its server writes it: `16/B374D848` for `PostgreSQL`, `3:1234` (number of the file,
    /// offset) for `MariaDB`.
    #[must_use]
    pub fn say(&self, at: Position) -> String {
        let (high, low) = (at.0 >> 32, at.0 & 0xffff_ffff);
        if self.0.as_str().starts_with("my-") { format!("{high}:{low}") } else { format!("{high:X}/{low:X}") }
    }
}

impl FromStr for Line {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        text.parse().map(Self)
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Exactly so many lower-case hex digits.
fn hex_of(text: &str, digits: usize) -> Option<u64> {
    let digit = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    (text.len() == digits && text.bytes().all(digit)).then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

/// A text that is not 16 lower-case hex digits, or no `X/Y` of two hex numbers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a position in a log")]
pub struct PositionError;

/// A position in a line: a number of bytes. In names and JSON 16 lower-case hex digits.
///
/// `PostgreSQL`: the LSN. `MariaDB`: the number of the file, times 2^32, and the offset in it; the piece that ends a file
/// ends at `(number + 1) << 32`, so that a whole log has no gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl Position {
    /// Reads an LSN as `PostgreSQL` writes it, such as `16/B374D848`.
    ///
    /// # Errors
    /// If it is none.
    pub fn from_lsn(text: &str) -> Result<Self, PositionError> {
        let (high, low) = text.split_once('/').ok_or(PositionError)?;
        let part = |text: &str| {
            let plain = (1..=8).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
            plain.then(|| u64::from_str_radix(text, 16).ok()).flatten().ok_or(PositionError)
        };
        Ok(Self(part(high)? << 32 | part(low)?))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Position {
    type Err = PositionError;
    fn from_str(text: &str) -> Result<Self, PositionError> {
        hex_of(text, 16).map(Self).ok_or(PositionError)
    }
}

impl Serialize for Position {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// A stretch of a line. Never empty where [`Span::new`] made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Span {
    /// Where it begins.
    pub from: Position,
    /// Where it ends: the first position that is not in it.
    pub to: Position,
}

impl Span {
    /// The stretch from `from` up to `to`, if that is one.
    #[must_use]
    pub fn new(from: Position, to: Position) -> Option<Self> {
        (from < to).then_some(Self { from, to })
    }

    /// How far its ends are apart. For `PostgreSQL` its bytes; for `MariaDB` that only within one file.
    #[must_use]
    pub const fn distance(&self) -> u64 {
        self.to.0.saturating_sub(self.from.0)
    }

    /// Whether `at` is in it.
    #[must_use]
    pub fn contains(&self, at: Position) -> bool {
        self.from <= at && at < self.to
    }
}

/// One object of a journal as its key names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Piece {
    /// Who put it.
    pub writer: Name,
    /// The source whose log it is.
    pub source: Name,
    /// The line.
    pub line: Line,
    /// Which stretch of the line it holds.
    pub span: Span,
    /// BLAKE3 of its sealed bytes.
    pub hash: Hash,
}

/// Where the journal of a base begins: the clear field of a snapshot's header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// The line that the base was taken in.
    pub line: Line,
    /// From where on the log is needed to go on from the base.
    pub from: Position,
}

/// The stretches of one line that pieces cover without a gap, in their order, none touching another.
///
/// Overlaps are fine: two receivers of one source, or a piece that was shipped again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Reach {
    /// The stretches.
    pub stretches: Vec<Span>,
}

impl Reach {
    /// What these spans cover together, in whatever order they come. What comes in order costs no memory but for gaps.
    #[must_use]
    pub fn of(spans: impl Iterator<Item = Span>) -> Self {
        let mut reach = Self::default();
        spans.for_each(|span| reach.add(span));
        reach
    }

    /// Adds a span.
    pub fn add(&mut self, span: Span) {
        let Span { mut from, mut to } = span;
        if from >= to {
            return;
        }
        let first = self.stretches.partition_point(|s| s.to < from);
        let last = self.stretches.partition_point(|s| s.from <= to);
        if let Some(touched) = self.stretches.get(first..last) {
            from = touched.first().map_or(from, |s| s.from.min(from));
            to = touched.last().map_or(to, |s| s.to.max(to));
            self.stretches.splice(first..last, [Span { from, to }]);
        }
    }

    /// Up to where everything from `from` on is covered; `from` itself if it is where a stretch ends. Nothing if no
    /// stretch holds or ends at it.
    #[must_use]
    pub fn until(&self, from: Position) -> Option<Position> {
        let at = self.stretches.partition_point(|s| s.to < from);
        self.stretches.get(at).filter(|s| s.from <= from).map(|s| s.to)
    }

    /// What lies between the stretches.
    #[must_use]
    pub fn gaps(&self) -> Vec<Span> {
        let next = self.stretches.iter().skip(1);
        self.stretches.iter().zip(next).map(|(a, b)| Span { from: a.to, to: b.from }).collect()
    }

    /// Where the last stretch ends.
    #[must_use]
    pub fn newest(&self) -> Option<Position> {
        self.stretches.last().map(|s| s.to)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn span(from: u64, to: u64) -> Span {
        Span { from: Position(from), to: Position(to) }
    }

    #[test]
    fn lines_name_a_cluster_and_its_timeline() {
        let line = Line::postgres(0x68f1_a2b3_c4d5_e6f7, 18);
        assert_eq!(line.as_str(), "pg-68f1a2b3c4d5e6f7-00000012");
        assert_eq!(line.as_str().parse::<Line>().unwrap(), line);
        assert_eq!(line.postgres_parts(), Some((0x68f1_a2b3_c4d5_e6f7, 18)));
        assert!(line.may_become(&Line::postgres(0x68f1_a2b3_c4d5_e6f7, 19)));
        assert!(!line.may_become(&line) && !line.may_become(&Line::postgres(1, 19)));
        for other in ["pg-68f1a2b3c4d5e6f7-12", "pg-g8f1a2b3c4d5e6f7-00000012", "my-00000001-mariadb-bin", "x"] {
            assert_eq!(other.parse::<Line>().unwrap().postgres_parts(), None, "{other}");
        }
        assert!("pg/1".parse::<Line>().is_err());
        let line = Line::mariadb(7, "Maria DB-bin").unwrap();
        assert_eq!(line.as_str(), "my-00000007-maria_db-bin");
        assert!(Line::mariadb(7, &"b".repeat(60)).is_err());
        assert_eq!(line.say(Position(0x3_0000_04d2)), "3:1234");
    }

    #[test]
    fn positions_are_sixteen_hex_digits_or_an_lsn() {
        let at = Position::from_lsn("16/B374D848").unwrap();
        assert_eq!(at.to_string(), "00000016b374d848");
        assert_eq!(at.to_string().parse::<Position>().unwrap(), at);
        assert_eq!(Line::postgres(1, 1).say(at), "16/B374D848");
        assert_eq!(serde_json::to_string(&at).unwrap(), "\"00000016b374d848\"");
        for bad in ["16b374d848", "00000016B374D848", "+000000000000000", ""] {
            assert!(bad.parse::<Position>().is_err(), "{bad}");
        }
        for bad in ["16", "/", "1/", "+1/2", "123456789/0", "g/0"] {
            assert!(Position::from_lsn(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_gap_is_never_bridged() {
        let reach = Reach::of([span(30, 40), span(0, 10), span(10, 20), span(5, 12), span(41, 50)].into_iter());
        assert_eq!(reach.stretches, [span(0, 20), span(30, 40), span(41, 50)]);
        assert_eq!(reach.gaps(), [span(20, 30), span(40, 41)]);
        for (from, until) in [(0, Some(20)), (19, Some(20)), (20, Some(20)), (25, None), (30, Some(40)), (51, None)] {
            assert_eq!(reach.until(Position(from)), until.map(Position), "{from}");
        }
        assert_eq!(reach.newest(), Some(Position(50)));
        assert_eq!(Reach::of([span(7, 7), span(9, 3)].into_iter()), Reach::default());
    }

    proptest! {
        #[test]
        fn reach_covers_what_the_spans_cover_and_no_more(spans in prop::collection::vec((0_u64..60, 1_u64..9), 0..30)) {
            let mut covered = [false; 80];
            for (from, len) in &spans {
                for at in *from..from + len {
                    covered[usize::try_from(at).unwrap()] = true;
                }
            }
            let reach = Reach::of(spans.iter().map(|(from, len)| span(*from, from + len)));
            for (at, is) in (0..).zip(covered) {
                prop_assert_eq!(reach.stretches.iter().any(|s| s.contains(Position(at))), is);
            }
            for pair in reach.stretches.windows(2) {
                prop_assert!(pair[0].to < pair[1].from);
            }
            for stretch in &reach.stretches {
                prop_assert_eq!(reach.until(stretch.from), Some(stretch.to));
            }
        }
    }

    #[test]
    fn the_edges_of_a_stretch() {
        let stretch = span(5, 9);
        assert_eq!([4, 5, 8, 9].map(|at| stretch.contains(Position(at))), [false, true, true, false]);
        assert_eq!((stretch.distance(), span(9, 5).distance()), (4, 0));
        assert_eq!(Span::new(Position(5), Position(9)), Some(stretch));
        assert_eq!((Span::new(Position(5), Position(5)), Span::new(Position(9), Position(5))), (None, None));
        assert_eq!((Reach::default().newest(), Reach::default().gaps()), (None, Vec::new()));
    }

    #[test]
    fn lines_and_positions_are_spelled_in_one_way() {
        let line = Line::postgres(7, 2);
        assert_eq!(
            (line.to_string(), line.name().as_str()),
            (line.as_str().to_owned(), "pg-0000000000000007-00000002")
        );
        assert!(!line.may_become(&Line::mariadb(7, "bin").unwrap()) && !Line::postgres(7, 3).may_become(&line));
        assert_eq!(Line::mariadb(255, "a.b_c-9").unwrap().as_str(), "my-000000ff-a.b_c-9");
        assert_eq!(Position::from_lsn("1/2").unwrap(), Position(0x1_0000_0002));
        assert_eq!(line.say(Position(0x1a_0000_000b)), "1A/B");
        assert_eq!(serde_json::from_str::<Position>("\"00000001b374d848\"").unwrap(), Position(0x1_b374_d848));
        assert!(serde_json::from_str::<Position>("\"1\"").is_err());
    }
}
