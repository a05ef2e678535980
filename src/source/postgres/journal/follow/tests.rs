use super::*;
use crate::source::postgres::journal::files::SegmentName;

const SIZE: u64 = 1 << 20;

/// A segment with records of so much data each, and zeros behind.
fn segment(timeline: u32, start: u64, records: &[usize]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for data in records {
        let record = record(*data);
        for (n, byte) in record.iter().enumerate() {
            let at = start + bytes.len() as u64;
            if at.is_multiple_of(8192) {
                header(&mut bytes, timeline, at, if n == 0 { 0 } else { record.len() - n });
            }
            bytes.push(*byte);
        }
        bytes.resize(bytes.len().next_multiple_of(8), 0);
    }
    bytes.resize(usize::try_from(SIZE).unwrap(), 0);
    bytes
}

fn record(data: usize) -> Vec<u8> {
    let mut record = Vec::new();
    record.extend(u32::try_from(24 + data).unwrap().to_le_bytes());
    record.extend([1; 16]);
    let mut crc = crate::source::crc::Crc::castagnoli();
    crc.add(&vec![5; data]);
    crc.add(&record);
    record.extend(crc.value().to_le_bytes());
    record.resize(24 + data, 5);
    record
}

fn header(bytes: &mut Vec<u8>, timeline: u32, at: u64, rest: usize) {
    let first = at.is_multiple_of(SIZE);
    bytes.extend(0xd110_u16.to_le_bytes());
    bytes.extend((if first { 2_u16 } else { 0 } | u16::from(rest > 0)).to_le_bytes());
    bytes.extend(timeline.to_le_bytes());
    bytes.extend(at.to_le_bytes());
    bytes.extend(u32::try_from(rest).unwrap().to_le_bytes());
    bytes.extend([0; 4]);
    if first {
        bytes.extend(9_u64.to_le_bytes());
        bytes.extend([0, 0, 16, 0, 0, 32, 0, 0]);
    }
}

/// So much data fills a segment.
const FULL: usize = (1 << 20) - 40 - 127 * 24 - 24;

fn put(spool: &Spool, timeline: u32, start: u64, partial: bool, bytes: &[u8]) {
    let name = SegmentName::of(timeline, start, SIZE);
    let ending = if partial { ".partial" } else { "" };
    std::fs::write(spool.dir().join(format!("{name}{ending}")), bytes).unwrap();
}

fn spans(look: &Look) -> Vec<(u32, u64, u64)> {
    look.ready.iter().map(|ready| (ready.held.timeline, ready.from, ready.to)).collect()
}

#[test]
fn what_is_new_is_shipped_once_and_what_is_shipped_goes() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path().join("spool")).unwrap();
    let mut follower = Follower::new(spool.clone(), SIZE);
    assert!(follower.look(None, true).unwrap().ready.is_empty());
    put(&spool, 1, SIZE, false, &segment(1, SIZE, &[FULL]));
    put(&spool, 1, 2 * SIZE, true, &segment(1, 2 * SIZE, &[1000]));
    let end = 2 * SIZE + 40 + 1024;
    let look = follower.look(None, true).unwrap();
    assert_eq!(spans(&look), [(1, SIZE, 2 * SIZE), (1, 2 * SIZE, end)]);
    assert!(look.gap.is_none() && look.broken.is_none());
    assert_eq!(spans(&follower.look(None, false).unwrap()), [(1, SIZE, 2 * SIZE)], "what grows is not looked at");
    let bytes = follower.read(&look.ready[1]).unwrap().unwrap();
    assert_eq!(bytes.len(), 1064);
    let shipped = Some(Shipped { timeline: 1, to: end });
    assert!(follower.look(shipped, true).unwrap().ready.is_empty());

    // It grows, is complete, and the next begins.
    put(&spool, 1, 2 * SIZE, true, &segment(1, 2 * SIZE, &[1000, 5000]));
    let grown = follower.look(shipped, true).unwrap();
    assert_eq!(spans(&grown), [(1, end, end + 5024)]);
    std::fs::remove_file(spool.dir().join("000000010000000000000002.partial")).unwrap();
    assert_eq!(follower.read(&grown.ready[0]).unwrap(), None, "it was renamed");
    put(&spool, 1, 2 * SIZE, false, &segment(1, 2 * SIZE, &[1000, 5000, FULL - 6048]));
    put(&spool, 1, 3 * SIZE, true, &[]);
    let look = follower.look(shipped, true).unwrap();
    assert_eq!(spans(&look), [(1, end, 3 * SIZE)]);
    follower.clear(Shipped { timeline: 1, to: 3 * SIZE }).unwrap();
    let left: Vec<u64> = spool.segments(SIZE).unwrap().iter().map(|held| held.start / SIZE).collect();
    assert_eq!(left, [2, 3], "the receiver goes on from there");
}

#[test]
fn a_gap_and_a_broken_segment_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path().to_owned()).unwrap();
    let mut follower = Follower::new(spool.clone(), SIZE);
    put(&spool, 1, 4 * SIZE, false, &segment(1, 4 * SIZE, &[FULL]));
    let mut bad = segment(1, 5 * SIZE, &[FULL]);
    bad[70_000] ^= 1;
    put(&spool, 1, 5 * SIZE, false, &bad);
    let shipped = Shipped { timeline: 1, to: 2 * SIZE };
    let look = follower.look(Some(shipped), true).unwrap();
    assert_eq!(look.gap, Some((shipped, Shipped { timeline: 1, to: 4 * SIZE })));
    let (held, broken) = look.broken.unwrap();
    assert_eq!((held.start, broken.at), (5 * SIZE, 5 * SIZE + 40));
    assert!(broken.what.contains("checksum"));
}

#[test]
fn a_timeline_that_ended_is_shipped_to_its_end_and_the_next_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path().to_owned()).unwrap();
    let mut follower = Follower::new(spool.clone(), SIZE);
    put(&spool, 1, SIZE, true, &segment(1, SIZE, &[1000]));
    put(&spool, 2, SIZE, true, &segment(2, SIZE, &[3000]));
    std::fs::write(dir.path().join("00000002.history"), "1\t0/100428\tx\n").unwrap();
    assert_eq!(spool.histories().unwrap().into_iter().collect::<Vec<_>>(), [2]);
    let look = follower.look(Some(Shipped { timeline: 1, to: SIZE }), true).unwrap();
    assert_eq!(spans(&look), [(1, SIZE, SIZE + 1064), (2, SIZE, SIZE + 3064)]);
    assert_eq!(look.gap, None);
    let shipped = Shipped { timeline: 2, to: SIZE + 3064 };
    assert!(follower.look(Some(shipped), true).unwrap().ready.is_empty());
    follower.clear(shipped).unwrap();
    assert_eq!(spool.segments(SIZE).unwrap().len(), 1);
    follower.empty().unwrap();
    spool.seed(3, 7 * SIZE, SIZE).unwrap();
    let held = spool.segments(SIZE).unwrap();
    assert_eq!((held[0].timeline, held[0].start, held[0].partial), (3, 7 * SIZE, true));
    // A receiver was killed while it made the next, and one that was being written to stays.
    put(&spool, 3, 7 * SIZE, true, &[0; 5000]);
    put(&spool, 2, 6 * SIZE, true, &segment(2, 6 * SIZE, &[10]));
    spool.mend(SIZE).unwrap();
    let bytes = |held: &Held| std::fs::metadata(dir.path().join(format!("{}.partial", held.name))).unwrap().len();
    assert_eq!(spool.segments(SIZE).unwrap().iter().map(bytes).collect::<Vec<_>>(), [SIZE, 0]);
}
