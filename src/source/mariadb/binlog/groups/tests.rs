use proptest::prelude::*;

use super::{
    super::event::tests::{artificial, event, format},
    *,
};

/// A file of a log in the making.
struct Made(Vec<u8>);

impl Made {
    fn new() -> Self {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(format(Some(4)));
        Self(bytes)
    }

    fn add(&mut self, kind: u8, at: u32, body: &[u8]) {
        let begin = u32::try_from(self.0.len()).unwrap();
        self.0.extend(event(kind, at, begin, body));
    }

    fn gtid(&mut self, number: u64, flags: u8) {
        let mut body = number.to_le_bytes().to_vec();
        body.extend(3_u32.to_le_bytes());
        body.extend([flags; 7]);
        self.add(kind::GTID, 1, &body);
    }

    fn query(&mut self, at: u32, text: &str) {
        let mut body = vec![0; 8];
        body.extend([4, 0, 0, 2, 0, 9, 9]);
        body.extend(b"shop\0");
        body.extend(text.as_bytes());
        self.add(kind::QUERY, at, &body);
    }
}

fn log() -> Vec<u8> {
    let mut made = Made::new();
    made.add(kind::GTID_LIST, 1, &[0; 4]);
    made.gtid(1, 0);
    made.query(5, "INSERT INTO t VALUES ('COMMIT')");
    made.query(5, "ROLLBACK TO SAVEPOINT a");
    made.add(kind::XID, 6, &[1; 8]);
    made.gtid(2, 1);
    made.add(kind::INTVAR, 7, &[2; 9]);
    made.query(7, "CREATE TABLE x (a INT)");
    made.gtid(3, 0);
    made.query(8, "UPDATE t SET a = 1");
    made.query(9, "COMMIT");
    made.gtid(4, 0);
    made.query(10, "DELETE FROM t");
    made.0
}

/// Transactions with their seconds, what was kept of the log, and where the last transaction ends.
type Told = (Vec<(u64, u32)>, Vec<u8>, u64);

fn read(pieces: &[&[u8]]) -> Result<Told, Broken> {
    let (mut groups, mut all, mut bytes, mut settled) = (Groups::default(), Vec::new(), Vec::new(), 0);
    for piece in pieces {
        let kept = groups.feed(piece, &mut |group| {
            let gtid = group.gtid.unwrap();
            assert_eq!((gtid.domain, gtid.server), (3, 7));
            all.push((gtid.number, group.at));
            assert_eq!(group.length, group.end);
            settled = group.end;
        })?;
        for range in kept {
            bytes.extend(&piece[range]);
        }
    }
    Ok((all, bytes, settled))
}

#[test]
fn transactions_are_told_with_the_second_of_their_commit_and_one_that_is_cut_is_none() {
    let log = log();
    let (all, bytes, settled) = read(&[&log]).unwrap();
    assert_eq!(all, [(1, 6), (2, 7), (3, 9)]);
    assert!(bytes == log && settled < log.len() as u64);
    let (all, ..) = read(&[&log[..usize::try_from(settled).unwrap()]]).unwrap();
    assert_eq!(all.len(), 3);
    let mut bad = log.clone();
    let at = bad.len() - 9;
    bad[at] ^= 1;
    assert!(read(&[&bad]).is_err());
    assert!(read(&[b"nonsense"]).is_err() && read(&[&log[..log.len() - 1], b""]).is_ok());
    assert_eq!("3-7-2".parse::<Gtid>().unwrap().to_string(), "3-7-2");
    for wrong in ["", "3-7", "3-7-2-1", "a-1-2", "1--2"] {
        assert!(wrong.parse::<Gtid>().is_err(), "{wrong}");
    }
    assert_eq!(beginning(&log).unwrap().len(), 4 + format(Some(4)).len());
    let known = 19 + 4 + 4;
    assert_eq!(opening(&log).unwrap(), log[..beginning(&log).unwrap().len() + known]);
    assert!(beginning(&log[..40]).is_none() && beginning(&log[4..]).is_none());
}

proptest! {
    #[test]
    fn overlaps_and_what_is_in_no_file_change_nothing(cut in 0_usize..13, back in 0_usize..13, middle in 0_usize..30) {
        let log = log();
        let mut ends = vec![0];
        while *ends.last().unwrap() < log.len() {
            let at = *ends.last().unwrap() + if ends.len() == 1 { 4 } else { 0 };
            let head = Head::read(log[at..].first_chunk().unwrap()).unwrap();
            ends.push(at + head.len as usize);
        }
        let cut = cut.min(ends.len() - 1);
        let back = back.min(cut);
        // The second piece begins before the first has ended, and an event of the connection lies between them.
        let mut second = artificial(kind::FORMAT, &[0; 10]);
        second.extend(&log[ends[back].max(if cut > 0 { 4 } else { 0 })..]);
        let whole = read(&[&log]).unwrap();
        if cut > 0 {
            prop_assert_eq!(&read(&[&log[..ends[cut]], &second]).unwrap(), &whole);
        }
        // An event that is longer than a piece goes on in the next.
        let at = (ends[cut] + HEADER + middle).min(log.len());
        if cut + 1 < ends.len() && at < ends[cut + 1] && cut > 0 {
            prop_assert_eq!(&read(&[&log[..at], &log[at..]]).unwrap(), &whole);
        }
    }
}
