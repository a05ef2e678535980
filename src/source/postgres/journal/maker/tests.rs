use std::{fs, path::Path};

use super::*;

const SIZE: u64 = 1 << 20;

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

fn starts(spool: &Spool) -> Vec<(u32, u64, bool)> {
    let all = spool.segments(SIZE).unwrap();
    all.iter().map(|held| (held.timeline, held.start / SIZE, held.partial)).collect()
}

#[test]
fn what_was_made_in_advance_is_no_segment_and_goes_alone() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path().join("spool")).unwrap();
    let put = |name: &str, bytes: &[u8]| fs::write(spool.dir().join(name), bytes).unwrap();
    put("000000010000000000000001", b"complete");
    put("000000010000000000000002.partial", b"left by a switch of timelines");
    put("000000020000000000000002", b"complete");
    put("000000020000000000000003.partial", b"grows");
    for (timeline, at) in [(1, 3), (2, 3), (2, 4), (2, 5)] {
        assert!(spool.make(timeline, at * SIZE, SIZE).unwrap());
    }
    let kept = fs::read(spool.dir().join("000000020000000000000003.partial")).unwrap();
    assert_eq!(kept, b"grows", "what is there is not made anew");
    let real = [(1, 1, false), (1, 2, true), (2, 2, false), (2, 3, true)];
    assert_eq!(starts(&spool), real);
    assert_eq!(spool.next(SIZE).unwrap(), Some((2, 4 * SIZE)));
    assert_eq!(spool.files().unwrap(), 7);
    let made = spool.dir().join("000000020000000000000004.partial");
    assert!(fs::read(&made).unwrap() == vec![0; usize::try_from(SIZE).unwrap()], "in its full length");
    // Whoever was killed in the middle of it leaves a second name, which must not be written through.
    fs::hard_link(&made, spool.dir().join("made")).unwrap();
    assert!(spool.make(2, 6 * SIZE, SIZE).unwrap());
    assert_eq!(fs::metadata(&made).unwrap().len(), SIZE);

    spool.unmake(..2).unwrap();
    assert!(!spool.dir().join("000000010000000000000003.partial").exists() && made.exists());
    // The receiver is done with one, and writes to the next.
    let path = |name: &str| spool.dir().join(name);
    fs::rename(path("000000020000000000000003.partial"), path("000000020000000000000003")).unwrap();
    fs::write(&made, b"grows").unwrap();
    spool.mend(SIZE).unwrap();
    assert_eq!(
        names(spool.dir()),
        [
            "000000010000000000000001",
            "000000010000000000000002.partial",
            "000000020000000000000002",
            "000000020000000000000003",
            "000000020000000000000004.partial",
        ]
    );
}

#[test]
fn a_busy_receiver_finds_its_next_segments_made_and_none_are_left_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path().join("spool")).unwrap();
    spool.seed(1, SIZE, SIZE).unwrap();
    let name = |at: u64, ending: &str| spool.dir().join(format!("0000000100000000{at:08X}{ending}"));
    let wait = |what: &dyn Fn() -> bool| {
        for _ in 0..2000 {
            if what() {
                return true;
            }
            thread::sleep(Duration::from_millis(5)); // a thread looks again and again, and so does this
        }
        false
    };
    let maker = Maker::start(spool.clone(), SIZE, 7 * SIZE).unwrap();
    thread::sleep(QUIET * 3); // it would have looked a few times
    assert_eq!(spool.files().unwrap(), 1, "a receiver may still be about to look for the newest file");
    for at in 1..=3 {
        fs::rename(name(at, ".partial"), name(at, "")).unwrap();
        if at == 1 {
            // The receiver makes the first itself.
            spool.seed(1, 2 * SIZE, SIZE).unwrap();
        }
        assert!(wait(&|| name(at + 2, ".partial").exists()), "{at}");
    }
    assert!(wait(&|| name(7, ".partial").exists()), "more for one that is busy");
    // As many as there is room for.
    assert_eq!(spool.files().unwrap(), 7);
    drop(maker);
    assert_eq!(starts(&spool), [(1, 1, false), (1, 2, false), (1, 3, false), (1, 4, true)]);
    assert_eq!(spool.files().unwrap(), 4);
}
