//! The point that a recovery goes to, and where it lies in the log.

use std::{fmt, str::FromStr};

use super::super::{OpsError, Result};
use crate::{
    model::{Time, journal::Position},
    source::{
        mariadb::binlog::{Gtid, file_of, number_of},
        postgres::{
            Base,
            wal::{Record, What},
        },
    },
};

/// The longest name of a point: what a server keeps of it.
const NAME: usize = 63;

/// A point in the log of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Point {
    /// An instant, in microseconds since 1970: all that was committed until then.
    Time(i64),
    /// A position.
    Lsn(Position),
    /// The end of a transaction. One that is below 2^32 may be of any epoch.
    Xid(u64),
    /// What `pg_create_restore_point` was given.
    Named(String),
    /// An offset in a file of a `MariaDB` server: what was committed before it.
    File {
        /// What the server's files are called, if it was said: what stands before their number.
        base: Option<String>,
        /// The file's number.
        number: u32,
        /// Where in the file.
        offset: u64,
    },
    /// A transaction of such a server.
    Gtid(Gtid),
    /// As far as the log goes.
    Latest,
}

impl FromStr for Point {
    type Err = String;

    /// Reads all but times.
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        if text == "latest" {
            return Ok(Self::Latest);
        }
        match text.split_once(':') {
            Some(("lsn", at)) => Position::from_lsn(at)
                .map(Self::Lsn)
                .map_err(|_| format!("{at:?} is not a position in a log, such as 16/B374D848")),
            Some(("xid", xid)) => {
                let read = xid.parse().ok().filter(|xid| *xid >= 3);
                read.map(Self::Xid).ok_or_else(|| format!("{xid:?} is not a transaction, such as 4711"))
            }
            Some(("name", name)) if (1..=NAME).contains(&name.len()) && !name.contains(char::is_control) => {
                Ok(Self::Named(name.to_owned()))
            }
            Some(("name", name)) => {
                Err(format!("{name:?} is not a name of a restore point: those have 1 to {NAME} bytes"))
            }
            Some(("pos", at)) => file(at)
                .ok_or_else(|| format!("{at:?} is not a position in a binary log, such as mariadb-bin.000042:1337")),
            Some(("gtid", gtid)) => gtid.parse().map(Self::Gtid),
            _ => {
                Err("neither latest, lsn:X/Y, xid:N, name:LABEL, pos:FILE:OFFSET or gtid:D-S-N, nor a time".to_owned())
            }
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(us) => f.write_str(&time(*us)),
            Self::Lsn(at) => write!(f, "lsn:{}", lsn(*at)),
            Self::Xid(xid) => write!(f, "xid:{xid}"),
            Self::Named(name) => write!(f, "name:{name}"),
            Self::File { base: Some(base), number, offset } => write!(f, "pos:{}:{offset}", file_of(base, *number)),
            Self::File { base: None, number, offset } => write!(f, "pos:{number}:{offset}"),
            Self::Gtid(gtid) => write!(f, "gtid:{gtid}"),
            Self::Latest => f.write_str("latest"),
        }
    }
}

/// The number of a file, or its name, and an offset.
fn file(text: &str) -> Option<Point> {
    let (file, offset) = text.rsplit_once(':')?;
    let (base, number) = match file.parse() {
        Ok(number) => (None, number),
        Err(_) => (file.rsplit_once('.').map(|(base, _)| base.to_owned()), number_of(file)?),
    };
    Some(Point::File { base, number, offset: offset.parse::<u32>().ok()?.into() }).filter(|_| number > 0)
}

/// The position that a point in a file means.
pub(super) const fn within(number: u32, offset: u64) -> Position {
    Position((number as u64) << 32 | offset)
}

/// A position as `PostgreSQL` writes it.
pub(super) fn lsn(at: Position) -> String {
    format!("{:X}/{:X}", at.0 >> 32, at.0 & 0xffff_ffff)
}

/// An instant with its microseconds, if it has any.
pub(super) fn time(us: i64) -> String {
    let whole = Time::from_unix(us.div_euclid(1_000_000)).to_string();
    match us.rem_euclid(1_000_000) {
        0 => whole,
        rest => format!("{}.{rest:06}Z", whole.trim_end_matches('Z')),
    }
}

/// A point, and how it is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The point.
    pub point: Point,
    /// Whether what is at the point is to be there.
    pub inclusive: bool,
}

/// Whether a base can be gone on from to a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fits {
    /// It lies before the point.
    Before,
    /// It is not consistent before the point.
    After,
    /// Only the log tells.
    Unknown,
}

impl Target {
    /// Whether `base` lies before the point; `done` is when it was done at the latest.
    pub(super) fn fits(&self, base: &Base, done: Time) -> Fits {
        let before = |is| if is { Fits::Before } else { Fits::After };
        match &self.point {
            Point::Time(us) => before(base.ended_us.unwrap_or(done.unix().saturating_mul(1_000_000)) <= *us),
            Point::Lsn(at) => before(base.end <= *at),
            Point::Xid(xid) => match base.xids.as_deref().and_then(Over::read) {
                Some(over) => before(!over.is(*xid)),
                None => Fits::Unknown,
            },
            Point::Named(_) | Point::File { .. } | Point::Gtid(_) => Fits::Unknown,
            Point::Latest => Fits::Before,
        }
    }

    /// What a server's settings call it. `stop` stands for what has no name of its own there.
    pub(super) fn setting(&self, stop: Option<Position>) -> (&'static str, String) {
        match (&self.point, stop) {
            (_, Some(stop)) => ("recovery_target_lsn", lsn(stop)),
            // Zones have no names yet when a server reads this.
            (Point::Time(us), None) => {
                ("recovery_target_time", time(*us).replace('T', " ").trim_end_matches('Z').to_owned() + "+00")
            }
            (Point::Lsn(at), None) => ("recovery_target_lsn", lsn(*at)),
            (Point::Xid(xid), None) => ("recovery_target_xid", (xid & 0xffff_ffff).to_string()),
            (Point::Named(name), None) => ("recovery_target_name", name.clone()),
            (Point::Latest | Point::File { .. } | Point::Gtid(_), None) => {
                ("recovery_target_inclusive", "true".to_owned())
            }
        }
    }
}

/// Which transactions were over at some instant.
#[derive(Debug)]
struct Over {
    /// Below this one all were.
    min: u64,
    /// From this one on none had begun.
    max: u64,
    running: Vec<u64>,
}

impl Over {
    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let (min, max) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let running = parts.next()?.split(',').filter(|xid| !xid.is_empty()).map(str::parse);
        Some(Self { min, max, running: running.collect::<std::result::Result<_, _>>().ok()? })
    }

    fn is(&self, xid: u64) -> bool {
        let xid = if xid >> 32 == 0 { self.lifted(xid) } else { xid };
        xid < self.min || (xid < self.max && !self.running.contains(&xid))
    }

    /// The transaction of these 32 bits that is nearest to this instant.
    fn lifted(&self, xid: u64) -> u64 {
        let here = (self.max & !0xffff_ffff) | xid;
        let half = 1 << 31;
        if here > self.max + half && here >> 32 > 0 {
            here - (1 << 32)
        } else if here + half < self.max {
            here + (1 << 32)
        } else {
            here
        }
    }
}

/// A transaction that came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Commit {
    pub(super) at_us: i64,
    pub(super) xid: Option<u32>,
}

/// Where a recovery stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stop {
    /// Where the record begins that it stops at.
    pub(super) at: Position,
    /// When that was, if it tells.
    pub(super) at_us: Option<i64>,
}

/// Looks for the point in the log, record by record.
#[derive(Debug)]
pub(super) struct Search<'a> {
    target: &'a Target,
    /// Nothing before is a point that can be had.
    from: Position,
    /// Which transactions were over at the base, if it tells.
    over: Option<Over>,
    /// Whether the log goes through the end of the base as it must, or past it within a record; nothing until it came there.
    pub(super) meets: Option<bool>,
    /// The last transaction before the point.
    pub(super) commit: Option<Commit>,
    pub(super) stop: Option<Stop>,
}

impl<'a> Search<'a> {
    pub(super) fn new(target: &'a Target, base: &Base) -> Self {
        let over = base.xids.as_deref().and_then(Over::read);
        Self { target, from: base.end, over, meets: None, commit: None, stop: None }
    }

    /// Whether a record of the log is about the transaction `wanted`. Records tell the lower half; which epoch that is of follows from
    /// the base.
    fn is_of(&self, ended: u32, wanted: u64) -> bool {
        match &self.over {
            Some(over) if wanted >> 32 > 0 => over.lifted(ended.into()) == wanted,
            _ => u64::from(ended) == wanted & 0xffff_ffff,
        }
    }

    /// Looks at a record; tells whether there is more to look for.
    pub(super) fn see(&mut self, record: &Record) -> bool {
        if self.meets.is_none() && record.end >= self.from {
            // Records begin at multiples of eight, and a base ends where one does.
            self.meets = Some(record.start >= self.from || record.end.0.next_multiple_of(8) == self.from.0);
        }
        let (committed, ended) = match record.what {
            What::Commit(xid) => (Some(xid), Some(xid)),
            What::Abort(xid) => (None, Some(xid)),
            _ => (None, None),
        };
        let Target { point, inclusive } = self.target;
        let found = record.end > self.from
            && match point {
                Point::Time(us) => {
                    ended.is_some() && record.at_us.is_some_and(|at| at > *us || (!inclusive && at == *us))
                }
                Point::Lsn(at) => record.start >= *at,
                Point::Xid(xid) => ended.flatten().is_some_and(|ended| self.is_of(ended, *xid)),
                Point::Named(name) => matches!(&record.what, What::Named(label) if label == name),
                Point::File { .. } | Point::Gtid(_) | Point::Latest => false,
            };
        // A time is passed by the first transaction behind it, which does not come back.
        let comes = !found || (*inclusive && !matches!(point, Point::Time(_)));
        if let (true, Some(xid), Some(at_us)) = (comes, committed, record.at_us) {
            self.commit = Some(Commit { at_us, xid });
        }
        if found {
            self.stop = Some(Stop { at: record.start, at_us: record.at_us });
        }
        !found
    }
}

/// An error about a point that can't be had.
pub(super) fn unreachable(what: String, next: impl Into<String>) -> OpsError {
    OpsError::Unrecoverable { what, next: next.into() }
}

/// Fails where a point and a side of it make no sense together.
pub(super) fn must_make_sense(target: &Target) -> Result<()> {
    if !target.inclusive && matches!(target.point, Point::Latest | Point::Named(_)) {
        return Err(OpsError::Request {
            what: format!("--exclusive says nothing with {}", target.point),
            next: "leave it out: a server stops behind a name, and `latest` is all there is".to_owned(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_read_as_they_are_written() {
        let all = ["latest", "lsn:16/B374D848", "xid:4711", "name:before the migration", "pos:42:1337", "gtid:0-1-42"];
        for text in all.iter().chain(&["pos:mariadb-bin.000042:1337"]) {
            assert_eq!(text.parse::<Point>().unwrap().to_string(), *text);
        }
        let base = Some("mariadb-bin".to_owned());
        assert_eq!("pos:mariadb-bin.000042:1337".parse(), Ok(Point::File { base, number: 42, offset: 1337 }));
        for bad in
            ["", "lsn:", "lsn:16", "xid:1", "xid:-5", "name:", "name:a\nb", "yesterday", "pos:1", "pos:0:4", "gtid:1-2"]
        {
            assert!(bad.parse::<Point>().is_err(), "{bad}");
        }
        assert_eq!(time(1_795_816_800_000_000), "2026-11-27T22:00:00Z");
        assert!(time(1_000_001).ends_with("01.000001Z"));
    }

    #[test]
    fn a_transaction_that_was_over_is_not_a_point_behind_a_base() {
        let over = Over::read("100:110:103,105").unwrap();
        for (xid, is) in [(99, true), (101, true), (103, false), (105, false), (109, true), (110, false), (5000, false)]
        {
            assert_eq!(over.is(xid), is, "{xid}");
        }
        // The counter went round.
        let over = Over::read(&format!("{0}:{0}:", (1_u64 << 32) + 10)).unwrap();
        assert!(over.is(5) && over.is(4_294_967_290) && !over.is(12));
        assert!(Over::read("100:110").is_none() && Over::read("a:b:c").is_none());
    }
}
