use proptest::prelude::*;

use super::*;
use crate::source::postgres::wal::page::{CONTINUES, LONG, SHORT};

const SYSTEM: u64 = 0x6b0b_cafe_0000_0001;
const PAGE: u64 = 1024;
const SEGMENT: u64 = 1 << 20;
const START: u64 = 5 * SEGMENT;

fn geometry() -> Geometry {
    Geometry { magic: 0xd110, system: SYSTEM, segment: SEGMENT, page: PAGE }
}

/// Writes a log as a server does, from the beginning of a segment on.
struct Written {
    bytes: Vec<u8>,
    /// Where each record ends.
    ends: Vec<u64>,
}

impl Written {
    fn new() -> Self {
        Self { bytes: Vec::new(), ends: Vec::new() }
    }

    fn at(&self) -> u64 {
        START + self.bytes.len() as u64
    }

    fn header(&mut self, rest: u32) {
        let at = self.at();
        let first = at.is_multiple_of(SEGMENT);
        let info = if first { 2_u16 } else { 0 } | if rest > 0 { CONTINUES } else { 0 };
        let mut head = Vec::new();
        head.extend(0xd110_u16.to_le_bytes());
        head.extend(info.to_le_bytes());
        head.extend(3_u32.to_le_bytes());
        head.extend(at.to_le_bytes());
        head.extend(rest.to_le_bytes());
        head.resize(SHORT, 0);
        if first {
            head.extend(SYSTEM.to_le_bytes());
            head.extend(u32::try_from(SEGMENT).unwrap().to_le_bytes());
            head.extend(u32::try_from(PAGE).unwrap().to_le_bytes());
            assert_eq!(head.len(), LONG);
        }
        self.bytes.extend(head);
    }

    fn put(&mut self, record: &[u8], upto: usize) {
        for (n, byte) in record.iter().enumerate().take(upto) {
            if self.at().is_multiple_of(PAGE) {
                self.header(u32::try_from(if n == 0 { 0 } else { record.len() - n }).unwrap());
            }
            self.bytes.push(*byte);
        }
    }

    fn record(&mut self, data: &[u8], info: u8) {
        let record = record(data, info);
        self.put(&record, record.len());
        while !self.at().is_multiple_of(ALIGNED) {
            self.bytes.push(0);
        }
        if info == 0x40 {
            let all = self.bytes.len().next_multiple_of(usize::try_from(SEGMENT).unwrap());
            self.bytes.resize(all, 0);
        }
        self.ends.push(self.at());
    }
}

fn record(data: &[u8], info: u8) -> Vec<u8> {
    let mut record = Vec::new();
    record.extend(u32::try_from(HEADER + data.len()).unwrap().to_le_bytes());
    record.extend([7; 12]);
    record.extend([info, 0, 0, 0]);
    let mut crc = Crc::castagnoli();
    crc.add(data);
    crc.add(&record);
    record.extend(crc.value().to_le_bytes());
    record.extend(data);
    record
}

/// Walks over `bytes` in steps of `step`, as far as it goes.
fn walk(walk: &mut Walk, bytes: &[u8], step: usize) -> Result<Stop, Broken> {
    loop {
        let from = usize::try_from(walk.at() - START).unwrap();
        let Some(part) = bytes.get(from..).filter(|part| !part.is_empty()) else { return Ok(Stop::More) };
        let part = &part[..part.len().min(step)];
        let before = walk.at();
        let why = walk.feed(part)?;
        if why != Stop::More || walk.at() == before && part.len() < step {
            return Ok(why);
        }
        assert!(walk.at() > before, "it goes on");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    /// However much of a log was written of a segment full of zeros, what is whole is what ends with the last whole record,
    /// and looking again goes on from there.
    #[test]
    fn what_is_whole_ends_with_the_last_whole_record(
        sizes in prop::collection::vec(prop_oneof![0_usize..200, 900_usize..1200, 5000_usize..9000], 1..20),
        cuts in prop::collection::vec(0_usize..1000, 1..4),
        step in 256_usize..5000,
    ) {
        let mut log = Written::new();
        for (n, size) in sizes.iter().enumerate() {
            log.record(&vec![u8::try_from(n).unwrap() | 1; *size], 0);
        }
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut * log.bytes.len() / 1000).collect();
        cuts.sort_unstable();
        cuts.push(log.bytes.len());
        let mut growing = Walk::new(geometry(), 3, START);
        for cut in cuts {
            let mut now = log.bytes[..cut].to_vec();
            now.resize(1 << 20, 0);
            // What fills up behind a record is zeros, written or not.
            let is_there = |end: u64| log.bytes[..usize::try_from(end - START).unwrap()] == now[..usize::try_from(end - START).unwrap()];
            let whole = log.ends.iter().copied().filter(|end| is_there(*end)).max().unwrap_or(START);
            growing.rewind();
            // Half of a page's header is none.
            let _ = walk(&mut growing, &now, step);
            prop_assert_eq!(growing.whole(), whole);
            let mut anew = Walk::new(geometry(), 3, START);
            let _ = walk(&mut anew, &now, 1 << 20);
            prop_assert_eq!(anew.whole(), whole);
        }
    }

    /// Whatever the bytes are, nobody panics, and a changed byte of a record never counts as whole.
    #[test]
    fn a_changed_byte_is_never_whole(at in 40_usize..9000, with in 1_u8..=255) {
        let mut log = Written::new();
        for n in 0..10 {
            log.record(&vec![n; 900], 0);
        }
        let mut changed = log.bytes.clone();
        changed.resize(1 << 20, 0);
        changed[at] ^= with;
        let mut walked = Walk::new(geometry(), 3, START);
        let _ = walk(&mut walked, &changed, 4096);
        let before = log.ends.iter().copied().filter(|end| *end <= START + at as u64).max().unwrap_or(START);
        let padding = changed.len() > log.bytes.len() && log.ends.contains(&(START + at as u64 + 1).next_multiple_of(8));
        prop_assert!(walked.whole() <= before || padding || !in_record(&log, at), "{} {before}", walked.whole());
    }
}

/// Whether the byte is of a record, and not of a page's header, of which not every field is checked.
fn in_record(log: &Written, at: usize) -> bool {
    let page = at - at % usize::try_from(PAGE).unwrap();
    at < log.bytes.len() && at - page >= if page == 0 { LONG } else { SHORT }
}

#[test]
fn a_record_may_cross_segments_and_its_rest_counts_once_something_follows() {
    let mut log = Written::new();
    let near = usize::try_from(SEGMENT).unwrap() / 1000 * 960;
    log.record(&vec![1; near], 0);
    log.record(&vec![2; 200_000], 0);
    let segment = usize::try_from(SEGMENT).unwrap();
    assert!(log.ends[0] < START + SEGMENT && log.ends[1] > START + SEGMENT);
    log.record(&[3; 10], 0);
    let mut first = Walk::new(geometry(), 3, START);
    walk(&mut first, &log.bytes[..segment], 65536).unwrap();
    assert_eq!((first.whole(), first.at()), (log.ends[0], START + SEGMENT));
    first.settle();
    assert_eq!(first.whole(), START + SEGMENT, "the segment is complete, whatever it ends with");
    let mut half = log.bytes.clone();
    half.truncate(segment + 50_000);
    half.resize(2 * segment, 0);
    walk(&mut first, &half, 65536).unwrap();
    assert_eq!(first.whole(), START + SEGMENT);
    first.rewind();
    walk(&mut first, &log.bytes, 65536).unwrap();
    assert_eq!(first.whole(), log.ends[2]);

    // Without its beginning nobody can tell whether its rest is whole, until something follows.
    let rest = |upto: u64| {
        let mut bytes = log.bytes[..usize::try_from(upto - START).unwrap()].to_vec();
        bytes.resize(2 * segment, 0);
        let mut walked = Walk::new(geometry(), 3, START + SEGMENT);
        while walked.feed(&bytes[usize::try_from(walked.at() - START).unwrap()..]).unwrap() == Stop::More {}
        walked.whole()
    };
    assert_eq!(rest(log.ends[1]), START + SEGMENT);
    assert_eq!(rest(log.ends[2]), log.ends[2]);
}

#[test]
fn a_switch_ends_its_segment_and_a_record_that_nobody_finished_is_left_out() {
    let mut log = Written::new();
    log.record(&[1; 100], 0);
    log.record(&[], 0x40);
    let mut walked = Walk::new(geometry(), 3, START);
    walked.feed(&log.bytes[..300]).unwrap();
    assert_eq!(walked.whole(), START + SEGMENT);

    let mut log = Written::new();
    let lost = record(&[2; 3000], 0);
    log.put(&lost, usize::try_from(PAGE).unwrap() - LONG);
    log.record(&[3; 10], 0);
    let mut walked = Walk::new(geometry(), 3, START);
    assert_eq!(walk(&mut walked, &log.bytes, 4096), Ok(Stop::More));
    assert_eq!(walked.whole(), log.ends[0]);
}

#[test]
fn what_is_no_log_is_told() {
    let mut log = Written::new();
    log.record(&vec![1; 5000], 0);
    assert_eq!(Geometry::read(&log.bytes).unwrap(), Some(geometry()));
    assert_eq!(Geometry::read(&[0; 100]).unwrap(), None);
    assert_eq!(Geometry::read(&log.bytes[..20]).unwrap(), None);
    let told = |at: usize, with: &[u8]| {
        let mut bytes = log.bytes.clone();
        bytes[at..at + with.len()].copy_from_slice(with);
        match Geometry::read(&bytes) {
            Err(broken) => broken.what,
            Ok(_) => walk(&mut Walk::new(geometry(), 3, START), &bytes, 4096).unwrap_err().what,
        }
    };
    assert!(told(0, &[0xd1, 0x10]).contains("byte order"));
    assert!(told(0, b"PK").contains("no segment"));
    assert!(told(8, &[1]).contains("where no segment begins"));
    assert!(told(32, &[1]).contains("impossible segment or page sizes"));
    assert!(told(4, &[9]).contains("timeline 9"));
    assert!(told(24, &[9]).contains("another cluster"));
    assert!(told(1024, &[9]).contains("no page"));
    assert!(told(1024 + 8, &[9]).contains("belongs to"));
    assert!(told(1024 + 16, &[9]).contains("goes on with"));
    assert!(told(LONG, &[9, 0]).contains("no record has 9"));
}
