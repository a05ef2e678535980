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
