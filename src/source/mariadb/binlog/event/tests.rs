use proptest::prelude::*;

use super::*;

/// An event as a server writes it, with its checksum.
pub(in super::super) fn event(kind: u8, at: u32, begin: u32, body: &[u8]) -> Vec<u8> {
    made(kind, at, Some(begin), body)
}

/// The same of an event that is in no file.
pub(in super::super) fn artificial(kind: u8, body: &[u8]) -> Vec<u8> {
    made(kind, 0, None, body)
}

fn made(kind: u8, at: u32, begin: Option<u32>, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(HEADER + body.len() + 4).unwrap();
    let mut bytes = at.to_le_bytes().to_vec();
    bytes.push(kind);
    bytes.extend(7_u32.to_le_bytes());
    bytes.extend(len.to_le_bytes());
    bytes.extend(begin.map_or(0, |begin| begin + len).to_le_bytes());
    bytes.extend([0, 0]);
    bytes.extend(body);
    let mut crc = Crc::ieee();
    crc.add(&bytes);
    bytes.extend(crc.value().to_le_bytes());
    bytes
}

/// The first event of a file, which says that there are checksums.
pub(in super::super) fn format(begin: Option<u32>) -> Vec<u8> {
    let mut body = vec![4, 0];
    body.extend([b'v'; 54]);
    body.push(1);
    made(kind::FORMAT, 9, begin, &body)
}

/// What is told of an event: kind, end, body, and whether it is sound.
type Told = (u8, u32, Vec<u8>, bool);

fn read(parts: &[&[u8]]) -> Result<Vec<Told>, Broken> {
    let (mut events, mut all) = (Events::default(), Vec::new());
    for part in parts {
        events.feed(part, &mut |event| {
            all.push((event.head.kind, event.head.end, event.body.to_vec(), event.sound));
        })?;
    }
    Ok(all)
}

#[test]
fn events_are_told_apart_and_held_against_their_checksums() {
    let mut log = format(Some(4));
    let begin = u32::try_from(log.len()).unwrap() + 4;
    log.extend(event(kind::QUERY, 5, begin, b"hello"));
    let all = read(&[&log]).unwrap();
    assert_eq!(all.iter().map(|one| (one.0, one.3)).collect::<Vec<_>>(), [(15, true), (2, true)]);
    assert_eq!((all[1].1 as usize, all[1].2.as_slice()), (log.len() + 4, &b"hello"[..]));
    // A file that is being written to says so in its first event, outside of the checksum.
    let mut used = log.clone();
    used[17] |= 1;
    assert!(read(&[&used]).unwrap().iter().all(|one| one.3));
    for at in (0..log.len()).filter(|at| !(9..13).contains(at) && *at != 17) {
        let mut bad = log.clone();
        bad[at] ^= 0x10;
        let told = read(&[&bad]);
        // Without these two nobody knows that there are checksums.
        let known = at == 4 || at == HEADER + 56;
        // One that says that it is longer is not all there.
        let told = told.ok().filter(|all| all.len() == 2);
        assert!(known || told.is_none_or(|all| all.iter().any(|one| !one.3)), "{at}");
    }
    let mut short = log.clone();
    short[9..13].copy_from_slice(&18_u32.to_le_bytes());
    assert!(read(&[&short]).is_err());
    short[9..13].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(read(&[&short]).is_err());
}

#[test]
fn what_is_in_no_file_has_no_place() {
    let head = |bytes: &[u8]| Head::read(bytes.first_chunk().unwrap()).unwrap();
    assert_eq!(head(&event(kind::QUERY, 0, 4, b"")).place(), Some((4, 27)));
    assert_eq!(head(&artificial(kind::ROTATE, b"x")).place(), None);
    let mut flagged = event(kind::QUERY, 0, 4, b"");
    flagged[17] = 0x20;
    assert_eq!(head(&flagged).place(), None);
}

proptest! {
    #[test]
    fn a_log_reads_the_same_however_it_comes(
        bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..6),
        cuts in prop::collection::vec(0_usize..200, 0..6),
    ) {
        let mut log = format(Some(4));
        for body in &bodies {
            let begin = u32::try_from(log.len()).unwrap() + 4;
            log.extend(event(kind::QUERY, 5, begin, body));
        }
        let whole = read(&[&log]).unwrap();
        prop_assert_eq!(whole.len(), bodies.len() + 1);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(log.len())).collect();
        cuts.extend([0, log.len()]);
        cuts.sort_unstable();
        let parts: Vec<&[u8]> = cuts.windows(2).map(|pair| &log[pair[0]..pair[1]]).collect();
        prop_assert_eq!(read(&parts).unwrap(), whole);
    }

    #[test]
    fn anything_else_is_refused_or_read_and_never_more(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut events = Events::default();
        let mut length = 0;
        let fed = events.feed(&bytes, &mut |event| length += event.head.len as usize);
        prop_assert!(length <= bytes.len());
        prop_assert!(fed.is_err() || events.is_between() || length < bytes.len());
    }
}
