use std::fs;

use super::{
    super::event::{
        MAGIC, kind,
        tests::{artificial, event, format},
    },
    *,
};

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn put(&self, run: u32, number: u32, bytes: &[u8]) {
        let dir = self.dir.path().join(format!("{run:010}"));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(format!("mariadb-bin.{number:06}")), bytes).unwrap();
    }

    fn follower(&self, part: u64) -> Follower {
        Follower::new(Spool::new(self.dir.path().to_owned()), part)
    }

    fn left(&self) -> Vec<(u32, u32)> {
        Spool::new(self.dir.path().to_owned()).files().unwrap().iter().map(|held| (held.run, held.number)).collect()
    }
}

/// A file of the server, as far as its first events; where it ends.
fn file(events: &[&[u8]]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(format(Some(4)));
    for body in events {
        let begin = u32::try_from(bytes.len()).unwrap();
        bytes.extend(event(kind::QUERY, 5, begin, body));
    }
    bytes
}

fn ended(mut bytes: Vec<u8>, how: u8) -> Vec<u8> {
    let begin = u32::try_from(bytes.len()).unwrap();
    bytes.extend(event(how, 5, begin, b""));
    bytes
}

/// What a receiver writes that begins at `from` of `of`.
fn from(of: &[u8], from: usize) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(format(None));
    bytes.extend(&of[from..]);
    bytes
}

fn at(number: u64, offset: usize) -> u64 {
    number << 32 | offset as u64
}

const fn shipped(to: u64) -> Shipped {
    Shipped { timeline: 0, to }
}

fn spans(look: &Look) -> Vec<(u64, u64)> {
    look.ready.iter().map(|ready| (ready.from, ready.to)).collect()
}

#[test]
fn only_whole_events_are_shipped_and_the_end_of_a_file_is_told() {
    let place = Place::new();
    let whole = file(&[b"one", b"two"]);
    let first = file(&[b"one"]).len();
    place.put(1, 3, &whole[..whole.len() - 1]);
    let mut follower = place.follower(1 << 24);
    let look = follower.look(None, true).unwrap();
    assert_eq!((spans(&look), look.gap), (vec![(at(3, 0), at(3, first))], None));
    assert_eq!(follower.read(&look.ready[0]).unwrap().unwrap(), whole[..first]);
    // It grows, and ends; what was shipped stays shipped.
    place.put(1, 3, &ended(whole.clone(), kind::ROTATE));
    let look = follower.look(Some(shipped(at(3, first))), true).unwrap();
    assert_eq!(spans(&look), [(at(3, first), at(4, 0))]);
    // What grows waits for its time, what has ended does not.
    place.put(1, 4, &file(&[]));
    let look = follower.look(Some(shipped(at(3, first))), false).unwrap();
    assert_eq!((spans(&look), look.unshipped > 0), (vec![(at(3, first), at(4, 0))], true));
    follower.clear(shipped(at(4, 0))).unwrap();
    assert_eq!(place.left(), [(1, 4)], "what is in the vault goes");
}

#[test]
fn a_file_that_a_crash_ended_is_told_to_have_ended() {
    let place = Place::new();
    let whole = file(&[b"one", b"two"]);
    place.put(1, 3, &whole);
    let mut follower = place.follower(1 << 24);
    let all = at(3, whole.len());
    assert_eq!(spans(&follower.look(None, true).unwrap()), [(at(3, 0), all)]);
    // The same receiver is told of the next file: the last event goes with the end once more.
    place.put(1, 4, &file(&[]));
    let look = follower.look(Some(shipped(all)), true).unwrap();
    let last = file(&[b"one"]).len();
    assert_eq!((spans(&look)[0], look.gap), ((at(3, last), at(4, 0)), None));
    assert_eq!(follower.read(&look.ready[0]).unwrap().unwrap(), whole[last..]);
    follower.clear(Shipped { timeline: 0, to: all }).unwrap();
    assert_eq!(place.left(), [(1, 3), (1, 4)], "it is needed until its end is in the vault");

    // Another receiver begins where that ended, and nothing is left of it.
    let place = Place::new();
    place.put(2, 3, &from(&whole, whole.len()));
    place.put(2, 4, &file(&[]));
    let mut follower = place.follower(1 << 24);
    let look = follower.look(Some(shipped(all)), true).unwrap();
    assert_eq!((spans(&look)[0], look.gap), ((all, at(4, 0)), None));
    assert!(!follower.read(&look.ready[0]).unwrap().unwrap().is_empty(), "a piece holds something");
}

#[test]
fn a_receiver_that_begins_in_the_middle_goes_on_there() {
    let place = Place::new();
    let whole = file(&[b"one", b"two", b"three"]);
    let first = file(&[b"one"]).len();
    place.put(1, 3, &whole[..first + 4]);
    place.put(2, 3, &from(&whole, first));
    let mut follower = place.follower(1 << 24);
    let look = follower.look(None, true).unwrap();
    assert_eq!((spans(&look), look.gap), (vec![(at(3, 0), at(3, first)), (at(3, first), at(3, whole.len()))], None));
    let both: Vec<u8> = look.ready.iter().flat_map(|ready| follower.read(ready).unwrap().unwrap()).collect();
    assert_eq!(both, whole);
    assert_eq!(follower.newest(None).unwrap(), Some(at(3, whole.len())));
    follower.clear(Shipped { timeline: 0, to: at(3, first) }).unwrap();
    assert_eq!(place.left(), [(2, 3)]);

    // The server has no more of what comes next: a gap, with both ends.
    place.put(3, 9, &file(&[b"later"]));
    let look = follower.look(Some(shipped(at(3, whole.len()))), true).unwrap();
    assert_eq!(look.gap.map(|(from, to)| (from.to, to.to)), Some((at(3, whole.len()), at(9, 0))));
    assert_eq!(spans(&look)[0].0, at(9, 0));
    // Events that are in no file count for nothing.
    let mut more = file(&[b"later"]);
    more.extend(artificial(kind::ROTATE, b"x"));
    place.put(3, 9, &more);
    assert_eq!(spans(&follower.look(Some(shipped(at(9, more.len()))), true).unwrap()), []);
}

#[test]
fn parts_end_where_events_do_and_what_is_longer_than_a_part_is_cut() {
    let place = Place::new();
    let (small, large) = (vec![b's'; 700_000], vec![b'l'; 5_000_000]);
    let whole = file(&[&small, &small, &small, &large, b"end"]);
    place.put(1, 1, &whole);
    let mut follower = place.follower(2_000_000);
    let look = follower.look(None, true).unwrap();
    let bytes: Vec<u8> = look.ready.iter().flat_map(|ready| follower.read(ready).unwrap().unwrap()).collect();
    assert!(bytes == whole && look.ready.iter().all(|ready| ready.bytes <= 2_000_000));
    assert!(look.ready.windows(2).all(|pair| pair[0].to == pair[1].from));
    let two = file(&[&small, &small]).len();
    assert_eq!(look.ready[0].to, at(1, two), "at the end of an event: {:?}", spans(&look));

    // A file that is damaged is told, and stored as it came; one that is no log at all is told, and not.
    let mut bad = whole;
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    place.put(1, 1, &bad);
    let look = place.follower(1 << 24).look(None, true).unwrap();
    assert!(look.broken.unwrap().1.contains("checksum") && look.ready.last().unwrap().to == at(1, bad.len()));
    place.put(1, 1, b"nonsense");
    let look = place.follower(1 << 24).look(None, true).unwrap();
    assert!(look.broken.unwrap().1.contains("does not begin") && look.ready.is_empty());
}

#[test]
fn the_newest_receiver_that_came_so_far_tells_whether_it_is_the_same_log() {
    let place = Place::new();
    let (whole, first) = (file(&[b"one", b"two"]), file(&[b"one"]));
    let (from, is) = (at(3, first.len()), |event: &[u8]| *event == whole[first.len()..]);
    let joint = || {
        let mut follower = place.follower(1 << 24);
        follower.look(None, true).unwrap();
        follower.joint(from, None, &is).unwrap()
    };
    assert_eq!(joint(), Joint::Unknown);
    place.put(1, 3, &whole);
    assert_eq!(joint(), Joint::Same);
    // Another one has not come so far, though the first has.
    place.put(2, 3, &first);
    assert_eq!(joint(), Joint::NotYet);
    // And nothing more comes of it.
    place.put(2, 4, &file(&[b"other"]));
    assert_eq!(joint(), Joint::Lost);
    place.put(2, 3, &file(&[b"one", b"owt"]));
    assert_eq!(joint(), Joint::Other);
    // What is nothing of it goes, and what was shipped stays.
    place.follower(1 << 24).reject(Some((from, None)), &is).unwrap();
    assert_eq!((place.left(), joint()), (vec![(1, 3)], Joint::Same));

    // A file that was written to when its receiver began, and ended without a word.
    let ended_by = |bytes: &[u8]| {
        place.put(1, 3, bytes);
        place.put(1, 4, &file(&[b"other"]));
        let mut follower = place.follower(1 << 24);
        follower.look(None, true).unwrap();
        follower.broke_off().unwrap()
    };
    assert_eq!(ended_by(&whole), None, "it may have ended before");
    fs::write(place.dir.path().join("live"), "1 3\n").unwrap();
    assert_eq!((ended_by(&ended(whole.clone(), kind::ROTATE)), ended_by(&whole)), (None, Some((1, 3))));
    place.follower(1 << 24).reject(None, &is).unwrap();
    assert_eq!(place.left(), [(1, 3)]);
}
