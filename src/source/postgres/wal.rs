//! Records of `PostgreSQL`'s log, as far as a recovery asks of them: where each begins and ends, what was committed when,
//! which points have names. Pure; what it reads came out of a vault and may be anything.

pub(super) mod page;
pub(crate) mod timeline;

use self::page::{CONTINUES, Head, IS_LONG, LONG, SHORT};
use crate::model::journal::Position;

/// Microseconds between 1970 and 2000, where the log's times begin.
const EPOCH_US: i64 = 946_684_800_000_000;
/// The length of a record's header, where it tells what wrote the record, and how much of a record is looked at. Behind the time of a commit stand
/// all its transactions, files and invalidations, and then of what was prepared it is; millions of them say nothing that a recovery must know.
const HEADER: usize = 24;
const WRITER: usize = 17;
const LOOKED_AT: usize = HEADER + 256;
const LOOKED_AT_WHOLE: usize = 16 << 20;
/// What wrote a record (`rmgrlist.h`).
const XLOG: u8 = 0;
const XACT: u8 = 1;
const TABLESPACE: u8 = 5;
/// The kinds of those that matter.
const SWITCH: u8 = 0x40;
const PARAMETER_CHANGE: u8 = 0x60;
const RESTORE_POINT: u8 = 0x70;
const COMMIT: u8 = 0x00;
const ABORT: u8 = 0x20;
const COMMIT_PREPARED: u8 = 0x30;
const ABORT_PREPARED: u8 = 0x40;
/// Flags of such a record: more follows its time, and among that is the number of the prepared transaction (`xact.h`).
const HAS_INFO: u8 = 0x80;
const IS_TWO_PHASE: u32 = 1 << 4;
/// From this version of pages on (18), an entry of dropped statistics has 16 bytes instead of 12.
const WIDE_STATISTICS: u16 = 0xd118;

/// Settings that a server wants at least as large as its origin's while it recovers, in the order in which its log has them
/// (`xl_parameter_change` in `xlog_internal.h`, from version 12 on).
pub const AS_LARGE: [&str; 5] = [
    "max_connections",
    "max_worker_processes",
    "max_wal_senders",
    "max_prepared_transactions",
    "max_locks_per_transaction",
];

/// Sizes of the log, in MiB, that a server with segments of `segment` bytes must be given, where its defaults are too small: both
/// are to be at least twice a segment.
#[must_use]
pub fn sizes(segment: u64) -> Vec<(&'static str, u64)> {
    let twice = segment.div_ceil(1 << 20).saturating_mul(2);
    let defaults = [("min_wal_size", 80), ("max_wal_size", 1024)];
    defaults.into_iter().filter(|(_, least)| *least < twice).map(|(name, _)| (name, twice)).collect()
}

/// What a record tells that a recovery can stop at, or must know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A transaction was committed, by its number; nothing where it was prepared before and its record is too long to be looked through.
    Commit(Option<u32>),
    /// A transaction was rolled back.
    Abort(Option<u32>),
    /// Somebody gave this point a name.
    Named(String),
    /// The server was started with other settings than before: the values of [`AS_LARGE`], in that order.
    Settings([u32; 5]),
    /// A tablespace was made: its number, and where. Nothing stands for one within the data directory.
    Tablespace(u32, String),
    /// Anything else.
    Other,
}

/// A record that is there whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where it begins.
    pub start: Position,
    /// Where it ends.
    pub end: Position,
    /// What it tells.
    pub what: What,
    /// When, in microseconds since 1970, where it tells that.
    pub at_us: Option<i64>,
}

/// Goes through a log from the beginning of a segment on.
#[derive(Debug)]
pub struct Records {
    at: u64,
    page: u64,
    segment: u64,
    /// The header of a page that is coming.
    head: Vec<u8>,
    /// Bytes of a record that began before, to be passed over.
    skip: u64,
    record: Option<Reading>,
    /// Where the last record began.
    before: Option<u64>,
    /// The end of the last record that is whole.
    end: u64,
    /// Nothing more is looked at before here.
    jump: u64,
    over: bool,
    /// What the pages of this version begin with.
    magic: u16,
}

#[derive(Debug)]
struct Reading {
    start: u64,
    total: u64,
    seen: u64,
    bytes: Vec<u8>,
}

impl Records {
    /// Begins at `from`, the first byte of a segment of `segment` bytes.
    #[must_use]
    pub const fn new(from: Position, segment: u64) -> Self {
        Self {
            at: from.0,
            page: 8192,
            segment,
            head: Vec::new(),
            skip: 0,
            record: None,
            before: None,
            end: from.0,
            jump: 0,
            over: false,
            magic: 0,
        }
    }

    /// The end of the last record that was whole.
    #[must_use]
    pub const fn end(&self) -> Position {
        Position(self.end)
    }

    /// Where the last record that was whole began.
    #[must_use]
    pub fn last(&self) -> Option<Position> {
        self.before.map(Position)
    }

    /// Whether the log ended, though more bytes came.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.over
    }

    /// Takes the bytes that come next and gives each record that becomes whole to `each`, until it says that it has seen
    /// enough.
    pub fn feed(&mut self, mut bytes: &[u8], each: &mut dyn FnMut(Record) -> bool) {
        while !bytes.is_empty() && !self.over {
            let n = if self.at < self.jump {
                usize::try_from(self.jump - self.at).unwrap_or(usize::MAX).min(bytes.len())
            } else if self.at.is_multiple_of(self.page) || !self.head.is_empty() {
                self.header(bytes)
            } else {
                self.body(bytes, each)
            };
            self.at += n as u64;
            bytes = bytes.get(n..).unwrap_or_default();
        }
    }

    /// More of a page's header.
    fn header(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        for wanted in [SHORT, LONG] {
            if wanted == LONG && Head::read(&self.head).info & IS_LONG == 0 {
                break;
            }
            let n = wanted.saturating_sub(self.head.len()).min(bytes.len() - taken);
            self.head.extend_from_slice(bytes.get(taken..taken + n).unwrap_or_default());
            taken += n;
            if self.head.len() < wanted {
                return taken;
            }
        }
        let bytes = std::mem::take(&mut self.head);
        let (head, page_at) = (Head::read(&bytes), self.at + taken as u64 - bytes.len() as u64);
        if head.magic == 0 || head.address != page_at {
            // Nothing was written here, or it is what another segment left.
            self.over = true;
            return taken;
        }
        self.magic = head.magic;
        if let Some(size) = u32_at(&bytes, 36).filter(|size| size.is_power_of_two() && *size >= 1024) {
            self.page = u64::from(size);
        }
        let goes_on = head.info & CONTINUES != 0;
        match &self.record {
            Some(record) if goes_on && record.total - record.seen == head.rest => {}
            // The end of a record that was given up when a server died.
            _ => {
                self.record = None;
                self.skip = if goes_on { head.rest } else { 0 };
            }
        }
        taken
    }

    /// More of what a page holds.
    fn body(&mut self, bytes: &[u8], each: &mut dyn FnMut(Record) -> bool) -> usize {
        let left = self.page - self.at % self.page;
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        if self.skip > 0 {
            let n = usize::try_from(self.skip).unwrap_or(usize::MAX).min(most);
            self.skip -= n as u64;
            return n;
        }
        let Some(mut record) = self.record.take() else {
            let pad = usize::try_from(self.at.wrapping_neg() % 8).unwrap_or(0);
            if pad > 0 {
                return pad.min(most);
            }
            if let Some(n) = self.at_once(bytes.get(..most).unwrap_or_default(), each) {
                return n;
            }
            self.record = Some(Reading { start: self.at, total: HEADER as u64, seen: 0, bytes: Vec::new() });
            return 0;
        };
        let n = usize::try_from(record.total - record.seen).unwrap_or(usize::MAX).min(most);
        let n = if record.seen < 4 { n.min(usize::try_from(4 - record.seen).unwrap_or(n)) } else { n };
        let by = record.bytes.get(WRITER).or_else(|| bytes.get(WRITER.checked_sub(record.bytes.len())?));
        let looked = looked_at(by).saturating_sub(record.bytes.len()).min(n);
        record.bytes.extend_from_slice(bytes.get(..looked).unwrap_or_default());
        record.seen += n as u64;
        if record.seen == 4 {
            record.total = u64::from(u32_at(&record.bytes, 0).unwrap_or_default());
            if record.total < HEADER as u64 {
                self.over = true;
                return n;
            }
        }
        // A record must follow the one before it: else it is what was here before.
        let follows = |before: u64| record.bytes.len() < 16 || u64_at(&record.bytes, 8) == Some(before);
        if !self.before.is_none_or(follows) {
            self.over = true;
            return n;
        }
        if record.seen < record.total {
            self.record = Some(record);
            return n;
        }
        self.ended(record.start, self.at + n as u64, &Beginning(&record.bytes), each);
        n
    }

    /// A record that is here as a whole, as most are, and follows the one before. Nothing if it is another.
    fn at_once(&mut self, bytes: &[u8], each: &mut dyn FnMut(Record) -> bool) -> Option<usize> {
        let total = usize::try_from(u32_at(bytes, 0)?).ok()?;
        let follows = self.before.is_none_or(|before| u64_at(bytes, 8) == Some(before));
        if total < HEADER || !follows {
            return None;
        }
        let beginning = bytes.get(..total)?.get(..total.min(looked_at(bytes.get(WRITER))))?;
        self.ended(self.at, self.at + total as u64, &Beginning(beginning), each);
        Some(total)
    }

    /// A record is whole.
    fn ended(&mut self, start: u64, end: u64, beginning: &Beginning<'_>, each: &mut dyn FnMut(Record) -> bool) {
        (self.before, self.end) = (Some(start), end);
        if beginning.is(XLOG, SWITCH, 0xf0) {
            self.jump = end.div_ceil(self.segment).saturating_mul(self.segment);
        }
        self.over = !each(beginning.told(start, end, self.magic));
    }
}

/// How much is looked at of a record, by what wrote it.
fn looked_at(by: Option<&u8>) -> usize {
    if matches!(by, Some(&(XACT | TABLESPACE))) { LOOKED_AT_WHOLE } else { LOOKED_AT }
}

/// What is looked at of a record.
struct Beginning<'a>(&'a [u8]);

impl Beginning<'_> {
    fn is(&self, by: u8, kind: u8, mask: u8) -> bool {
        self.0.get(WRITER) == Some(&by) && self.0.get(16).is_some_and(|info| info & mask == kind)
    }

    /// The record's own data, where it has no blocks.
    fn data(&self) -> Option<&[u8]> {
        let mut rest = self.0.get(HEADER..)?;
        loop {
            rest = match rest.split_first()? {
                (0xff, rest) => return rest.get(1..),
                (0xfe, rest) => return rest.get(4..),
                // Whose it was first, and the transaction above.
                (0xfd, rest) => rest.get(2..)?,
                (0xfc, rest) => rest.get(4..)?,
                _ => return None,
            };
        }
    }

    /// The transaction that a record of `COMMIT PREPARED` or `ROLLBACK PREPARED` is about, whose own number is none (`xactdesc.c`:
    /// `ParseCommitRecord`, `ParseAbortRecord`).
    fn prepared(&self, magic: u16) -> Option<u32> {
        let aborts = self.is(XACT, ABORT_PREPARED, 0x70);
        // Behind the time.
        let rest = self.data()?.get(8..)?;
        if self.0.get(16)? & HAS_INFO == 0 {
            return None;
        }
        let (has, mut rest) = (u32_at(rest, 0)?, rest.get(4..)?);
        let mut skip = |bit: u32, fixed: usize, each: usize| -> Option<()> {
            if has & bit == 0 {
                return Some(());
            }
            let many = if each == 0 { 0 } else { usize::try_from(u32_at(rest, 0)?).ok()?.checked_mul(each)? };
            rest = rest.get(fixed.checked_add(many)?..)?;
            Some(())
        };
        let statistics = if magic >= WIDE_STATISTICS { 16 } else { 12 };
        skip(1 << 0, 8, 0)?;
        skip(1 << 1, 4, 4)?;
        skip(1 << 2, 4, 12)?;
        skip(1 << 8, 4, statistics)?;
        if !aborts {
            skip(1 << 3, 4, 16)?;
        }
        if has & IS_TWO_PHASE == 0 {
            return None;
        }
        u32_at(rest, 0).filter(|xid| *xid != 0)
    }

    fn settings(&self) -> Option<[u32; 5]> {
        let data = self.data()?;
        let mut all = [0; 5];
        for (at, one) in all.iter_mut().enumerate() {
            *one = u32_at(data, 4 * at)?;
        }
        Some(all)
    }

    fn tablespace(&self) -> Option<What> {
        let data = self.data()?;
        let path = data.get(4..)?.split(|byte| *byte == 0).next()?;
        Some(What::Tablespace(u32_at(data, 0)?, String::from_utf8_lossy(path).into_owned()))
    }

    fn told(&self, start: u64, end: u64, magic: u16) -> Record {
        let at_us = || self.data().and_then(|data| u64_at(data, 0)).map(|us| us.cast_signed().saturating_add(EPOCH_US));
        let xid = u32_at(self.0, 4).filter(|xid| *xid != 0);
        let (what, at_us) = if self.is(XACT, COMMIT, 0x70) {
            (What::Commit(xid), at_us())
        } else if self.is(XACT, COMMIT_PREPARED, 0x70) {
            (What::Commit(self.prepared(magic)), at_us())
        } else if self.is(XACT, ABORT, 0x70) {
            (What::Abort(xid), at_us())
        } else if self.is(XACT, ABORT_PREPARED, 0x70) {
            (What::Abort(self.prepared(magic)), at_us())
        } else if self.is(XLOG, RESTORE_POINT, 0xf0) {
            let name = self.data().and_then(|data| data.get(8..72)).unwrap_or_default();
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            (What::Named(String::from_utf8_lossy(name).into_owned()), at_us())
        } else if self.is(XLOG, PARAMETER_CHANGE, 0xf0) {
            (self.settings().map_or(What::Other, What::Settings), None)
        } else if self.is(TABLESPACE, 0, 0xf0) {
            (self.tablespace().unwrap_or(What::Other), None)
        } else {
            (What::Other, None)
        };
        Record { start: Position(start), end: Position(end), what, at_us }
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests;
