//! Records of `PostgreSQL`'s log, as far as a recovery asks of them: where each begins and ends, what was committed when,
//! which points have names. Pure; what it reads came out of a vault and may be anything.

use crate::model::journal::Position;

/// Microseconds between 1970 and 2000, where the log's times begin.
const EPOCH_US: i64 = 946_684_800_000_000;
/// The length of a page's header, and of the one that begins a segment.
const SHORT: usize = 24;
const LONG: usize = 40;
/// Flags of a page: a record goes on in it, it begins a segment.
const GOES_ON: u16 = 1;
const IS_LONG: u16 = 2;
/// The length of a record's header, and how much more of a record is looked at.
const HEADER: usize = 24;
const LOOKED_AT: usize = HEADER + 256;
/// What wrote a record.
const XLOG: u8 = 0;
const XACT: u8 = 1;
/// The kinds of those that matter.
const SWITCH: u8 = 0x40;
const RESTORE_POINT: u8 = 0x70;
const COMMIT: u8 = 0x00;
const ABORT: u8 = 0x20;
const COMMIT_PREPARED: u8 = 0x30;
const ABORT_PREPARED: u8 = 0x40;

/// What a record tells that a recovery can stop at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A transaction was committed, by its number; nothing where it was prepared before, since it is another one's record.
    Commit(Option<u32>),
    /// A transaction was rolled back.
    Abort(Option<u32>),
    /// Somebody gave this point a name.
    Named(String),
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
        let is_long = |head: &[u8]| u16_at(head, 2).is_some_and(|info| info & IS_LONG != 0);
        let mut taken = 0;
        for wanted in [SHORT, LONG] {
            if wanted == LONG && !is_long(&self.head) {
                break;
            }
            let n = wanted.saturating_sub(self.head.len()).min(bytes.len() - taken);
            self.head.extend_from_slice(bytes.get(taken..taken + n).unwrap_or_default());
            taken += n;
            if self.head.len() < wanted {
                return taken;
            }
        }
        let head = std::mem::take(&mut self.head);
        let page_at = self.at + taken as u64 - head.len() as u64;
        let (info, rest) = (u16_at(&head, 2).unwrap_or_default(), u32_at(&head, 16).unwrap_or_default());
        if u16_at(&head, 0).unwrap_or_default() == 0 || u64_at(&head, 8) != Some(page_at) {
            // Nothing was written here, or it is what another segment left.
            self.over = true;
            return taken;
        }
        if let Some(size) = u32_at(&head, 36).filter(|size| size.is_power_of_two() && *size >= 1024) {
            self.page = u64::from(size);
        }
        let goes_on = info & GOES_ON != 0;
        match &self.record {
            Some(record) if goes_on && record.total - record.seen == u64::from(rest) => {}
            // The end of a record that was given up when a server died.
            _ => {
                self.record = None;
                self.skip = if goes_on { u64::from(rest) } else { 0 };
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
            self.record = Some(Reading { start: self.at, total: HEADER as u64, seen: 0, bytes: Vec::new() });
            return 0;
        };
        let n = usize::try_from(record.total - record.seen).unwrap_or(usize::MAX).min(most);
        let n = if record.seen < 4 { n.min(usize::try_from(4 - record.seen).unwrap_or(n)) } else { n };
        let looked = LOOKED_AT.saturating_sub(record.bytes.len()).min(n);
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
        let end = self.at + n as u64;
        (self.before, self.end) = (Some(record.start), end);
        if record.is(XLOG, SWITCH, 0xf0) {
            self.jump = end.div_ceil(self.segment).saturating_mul(self.segment);
        }
        self.over = !each(record.told(end));
        n
    }
}

impl Reading {
    fn is(&self, by: u8, kind: u8, mask: u8) -> bool {
        self.bytes.get(17) == Some(&by) && self.bytes.get(16).is_some_and(|info| info & mask == kind)
    }

    /// The record's own data, where it has no blocks.
    fn data(&self) -> Option<&[u8]> {
        let mut rest = self.bytes.get(HEADER..)?;
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

    fn told(&self, end: u64) -> Record {
        let at_us = || self.data().and_then(|data| u64_at(data, 0)).map(|us| us.cast_signed().saturating_add(EPOCH_US));
        let xid = u32_at(&self.bytes, 4).filter(|xid| *xid != 0);
        let (what, at_us) = if self.is(XACT, COMMIT, 0x70) {
            (What::Commit(xid), at_us())
        } else if self.is(XACT, COMMIT_PREPARED, 0x70) {
            (What::Commit(None), at_us())
        } else if self.is(XACT, ABORT, 0x70) {
            (What::Abort(xid), at_us())
        } else if self.is(XACT, ABORT_PREPARED, 0x70) {
            (What::Abort(None), at_us())
        } else if self.is(XLOG, RESTORE_POINT, 0xf0) {
            let name = self.data().and_then(|data| data.get(8..72)).unwrap_or_default();
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            (What::Named(String::from_utf8_lossy(name).into_owned()), at_us())
        } else {
            (What::Other, None)
        };
        Record { start: Position(self.start), end: Position(end), what, at_us }
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SEGMENT: u64 = 1 << 20;
    const PAGE: usize = 8192;

    /// A log that is written record by record, with the headers of its pages.
    struct Log {
        from: u64,
        bytes: Vec<u8>,
        before: u64,
    }

    impl Log {
        fn new(from: u64) -> Self {
            Self { from, bytes: Vec::new(), before: 0 }
        }

        fn byte(&mut self, byte: u8, left: usize) {
            if self.bytes.len().is_multiple_of(PAGE) {
                let at = self.from + self.bytes.len() as u64;
                let long = at.is_multiple_of(SEGMENT);
                let goes_on = left > 0;
                let info = u16::from(goes_on) | if long { IS_LONG } else { 0 };
                self.bytes.extend(0xd110_u16.to_le_bytes());
                self.bytes.extend(info.to_le_bytes());
                self.bytes.extend(1_u32.to_le_bytes());
                self.bytes.extend(at.to_le_bytes());
                self.bytes.extend(u32::try_from(left).unwrap().to_le_bytes());
                self.bytes.extend([0; 4]);
                if long {
                    self.bytes.extend(7_u64.to_le_bytes());
                    self.bytes.extend(u32::try_from(SEGMENT).unwrap().to_le_bytes());
                    self.bytes.extend(u32::try_from(PAGE).unwrap().to_le_bytes());
                }
            }
            self.bytes.push(byte);
        }

        /// A record of this transaction; gives where it begins.
        fn record(&mut self, (by, info): (u8, u8), xid: u32, data: &[u8]) -> u64 {
            while !self.bytes.len().is_multiple_of(8) {
                self.bytes.push(0);
            }
            let mut record = Vec::new();
            let long = data.len() > 255;
            let total = HEADER + data.len() + if long { 5 } else { 2 };
            record.extend(u32::try_from(total).unwrap().to_le_bytes());
            record.extend(xid.to_le_bytes());
            record.extend(self.before.to_le_bytes());
            record.extend([info, by, 0, 0, 0, 0, 0, 0]);
            if long {
                record.push(0xfe);
                record.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
            } else {
                record.extend([0xff, u8::try_from(data.len()).unwrap()]);
            }
            record.extend(data);
            let mut start = None;
            for (no, byte) in record.iter().enumerate() {
                self.byte(*byte, if no == 0 { 0 } else { record.len() - no });
                start.get_or_insert(self.from + self.bytes.len() as u64 - 1);
            }
            self.before = start.unwrap();
            self.before
        }

        fn commit(&mut self, xid: u32, us: i64) -> u64 {
            self.record((XACT, COMMIT | 0x80), xid, &(us - EPOCH_US).to_le_bytes())
        }
    }

    fn read(log: &Log, step: usize) -> (Vec<Record>, Records) {
        let mut records = Records::new(Position(log.from), SEGMENT);
        let mut found = Vec::new();
        for some in log.bytes.chunks(step) {
            records.feed(some, &mut |record| {
                found.push(record);
                true
            });
        }
        (found, records)
    }

    #[test]
    fn records_are_found_across_pages_and_segments_whatever_the_steps() {
        let mut log = Log::new(3 * SEGMENT);
        let first = log.commit(700, 1_000_000_000_000_123);
        log.record((10, 0), 701, &vec![7; 20_000]);
        let second = log.commit(701, 1_000_000_000_000_456);
        let mut name = [0; 72];
        name[8..12].copy_from_slice(b"here");
        log.record((XLOG, RESTORE_POINT), 0, &name);
        log.record((XACT, ABORT), 702, &5_i64.to_le_bytes());
        // The rest of a segment that was left is zeros, with or without headers of pages.
        log.record((XLOG, SWITCH), 0, &[]);
        log.bytes.resize(usize::try_from(SEGMENT).unwrap(), 0);
        let last = log.commit(703, 1_000_000_000_000_789);
        for step in [1, 7, 4096, 8192, 100_000, 5_000_000] {
            let (found, records) = read(&log, step);
            let told: Vec<&What> = found.iter().map(|record| &record.what).collect();
            let named = What::Named("here".to_owned());
            let wanted = [
                &What::Commit(Some(700)),
                &What::Other,
                &What::Commit(Some(701)),
                &named,
                &What::Abort(Some(702)),
                &What::Other,
                &What::Commit(Some(703)),
            ];
            assert_eq!(told, wanted, "{step}");
            assert_eq!((found[0].start.0, found[2].start.0, found[6].start.0), (first, second, last));
            assert_eq!(found[2].at_us, Some(1_000_000_000_000_456));
            assert_eq!((records.last(), records.end().0), (Some(Position(last)), log.from + log.bytes.len() as u64));
            assert!(!records.is_over());
        }
    }

    #[test]
    fn a_record_that_is_not_there_whole_is_none_and_what_was_there_before_ends_the_log() {
        let mut log = Log::new(SEGMENT);
        log.commit(700, EPOCH_US);
        let end = log.bytes.len();
        log.record((10, 0), 701, &vec![7; 20_000]);
        let cut = Log { bytes: log.bytes[..end + 15_000].to_vec(), ..Log::new(SEGMENT) };
        let (found, records) = read(&cut, 1000);
        assert_eq!((found.len(), records.end().0, records.is_over()), (1, SEGMENT + end as u64, false));
        // A page of another place, zeros, and a record that follows another one.
        let mut other = log.bytes[..PAGE].to_vec();
        other.extend(&log.bytes[..PAGE]);
        assert!(read(&Log { bytes: other, ..Log::new(SEGMENT) }, 1000).1.is_over());
        let mut zeros = log.bytes[..end].to_vec();
        zeros.resize(PAGE, 0);
        let (found, records) = read(&Log { bytes: zeros, ..Log::new(SEGMENT) }, 1000);
        assert_eq!((found.len(), records.is_over()), (1, true));
        let mut foreign = Log::new(SEGMENT);
        foreign.commit(700, EPOCH_US);
        foreign.before = 99;
        foreign.commit(701, EPOCH_US);
        let (found, records) = read(&foreign, 1000);
        assert_eq!((found.len(), records.is_over()), (1, true));
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(
            at in 0_usize..60_000, junk in prop::collection::vec(any::<u8>(), 1..64), step in 1_usize..20_000,
        ) {
            let mut log = Log::new(SEGMENT);
            for xid in 0..300 {
                log.commit(700 + xid, EPOCH_US);
                log.record((10, 0), xid, &vec![3; usize::try_from(xid).unwrap()]);
            }
            let at = at.min(log.bytes.len() - junk.len());
            log.bytes[at..at + junk.len()].copy_from_slice(&junk);
            let (found, records) = read(&log, step);
            prop_assert!(found.len() <= 600 && records.end().0 <= log.from + log.bytes.len() as u64);
        }
    }
}
