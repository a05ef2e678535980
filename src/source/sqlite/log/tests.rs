use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
};

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;

/// A database of 4 KiB pages with its files, copied away while it is open.
struct Lab(TempDir);

impl Lab {
    /// What the files of a database are while `sql` has been run and nothing was closed.
    fn of(sql: &[&str]) -> Self {
        let lab = Self(tempfile::tempdir().unwrap());
        fs::create_dir(lab.path("open")).unwrap();
        let database = Connection::open(lab.path("open/app.db")).unwrap();
        for sql in sql {
            database.execute_batch(sql).unwrap();
        }
        for entry in fs::read_dir(lab.path("open")).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, lab.0.path().join(path.file_name().unwrap())).unwrap();
        }
        lab
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }

    fn live(&self, wal: &[u8]) -> Option<String> {
        live(&self.write("app.db-wal", wal), &self.path("app.db-shm"), 4096).unwrap()
    }

    fn dead(&self, wal: &[u8]) -> Option<String> {
        dead(&self.write("app.db-wal", wal), 4096).unwrap()
    }

    /// What SQLite finds in the database with `beside` as the file of that ending.
    fn rows(&self, ending: &str, beside: &[u8], sql: &str) -> i64 {
        fs::copy(self.path("app.db"), self.path("tried")).unwrap();
        self.write(&format!("tried{ending}"), beside);
        let tried = Connection::open(self.path("tried")).unwrap();
        let rows = tried.query_row(sql, [], |row| row.get(0)).unwrap();
        tried.close().unwrap();
        rows
    }
}

const FRAME: usize = FRAME_HEADER + 4096;
const ROWS: &str = "PRAGMA page_size = 4096; PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;
                    CREATE TABLE t(v); PRAGMA wal_checkpoint(TRUNCATE)";
const ROW: &str = "INSERT INTO t VALUES (zeroblob(3000))";

fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes
}

#[test]
fn a_flip_in_a_log_is_told_wherever_sqlite_drops_what_was_committed() {
    let lab = Lab::of(&[&[ROWS][..], &[ROW; 8][..]].concat());
    let wal = lab.read("app.db-wal");
    let count = "SELECT count(*) FROM t";
    assert_eq!(lab.rows("-wal", &wal, count), 8);
    assert_eq!((lab.live(&wal), lab.dead(&wal)), (None, None));
    let frames = (wal.len() - WAL_HEADER) / FRAME;
    // The last frame that is not whole looks as if a crash had cut it off.
    let last = WAL_HEADER + (frames - 1) * FRAME;
    let heads = (0..frames).flat_map(|frame| (0..FRAME_HEADER).map(move |at| WAL_HEADER + frame * FRAME + at));
    for at in (0..WAL_HEADER).chain(heads).chain((WAL_HEADER..wal.len()).step_by(997)) {
        let bad = flipped(&wal, at);
        assert!(lab.live(&bad).is_some(), "{at}");
        assert_eq!(lab.dead(&bad).is_some(), at < last, "{at} of {last}: {:?}", lab.dead(&bad));
    }
    assert!(lab.rows("-wal", &flipped(&wal, last / 2), count) < 8, "SQLite says nothing");
    // A log that is cut off is what a crash leaves, unless the index says what was in it.
    for end in (0..wal.len()).step_by(1009) {
        assert_eq!(lab.dead(&wal[..end]), None, "{end}");
        assert!(lab.live(&wal[..end]).is_some(), "{end}");
    }
    // What lies behind an earlier round of the log is none of this one.
    let again = Lab::of(&[&[ROWS][..], &[ROW; 8][..], &["PRAGMA wal_checkpoint(RESTART)", ROW]].concat());
    let wal = again.read("app.db-wal");
    assert!(wal.len() >= WAL_HEADER + 8 * FRAME);
    assert_eq!((again.live(&wal), again.dead(&wal)), (None, None));
}

#[test]
fn what_was_written_and_not_committed_is_no_damage() {
    let spill = "PRAGMA cache_size = 1; BEGIN; INSERT INTO t SELECT zeroblob(3000) FROM generate_series";
    let spill = spill.replace(
        "generate_series",
        "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300) SELECT i FROM n)",
    );
    let twice = "UPDATE t SET v = zeroblob(2999)";
    let cases: [&[&str]; 5] =
        [&[], &["ROLLBACK"], &["ROLLBACK", ROW], &[twice, "ROLLBACK", ROW, ROW], &[twice, "COMMIT", ROW]];
    for after in cases {
        let lab = Lab::of(&[&[ROWS, ROW, ROW, spill.as_str()][..], after].concat());
        let wal = lab.read("app.db-wal");
        assert!(wal.len() > 200 * FRAME, "{}", wal.len());
        assert_eq!((lab.live(&wal), lab.dead(&wal)), (None, None), "{after:?}");
        let bad = flipped(&wal, WAL_HEADER + FRAME_HEADER + 100);
        assert!(lab.live(&bad).is_some() && lab.dead(&bad).is_some(), "{after:?}");
    }
}

/// Commits, takes back what has grown far beyond the cache, writes pages twice, and begins the log anew, all the time.
const WRITER: &str = r#"
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
db.execute("PRAGMA page_size=4096"); db.execute("PRAGMA journal_mode=WAL"); db.execute("PRAGMA wal_autocheckpoint=50")
db.execute("PRAGMA cache_size=2"); db.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB)")
print("writing", flush=True)
i = 0
while True:
    i += 1
    db.execute("BEGIN IMMEDIATE")
    db.execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 60)"
               " INSERT INTO t(v) SELECT randomblob(3000) FROM n")
    if i % 3 == 0:
        db.execute("UPDATE t SET v = randomblob(2999)")
    db.execute("ROLLBACK" if i % 2 else "COMMIT")
    db.execute("INSERT INTO t(v) VALUES(randomblob(9000))")
    if i % 7 == 0:
        db.execute("DELETE FROM t"); db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
"#;

#[test]
fn a_log_that_is_written_to_all_the_time_is_never_taken_for_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.db");
    let mut writer = Command::new("python3").args(["-c", WRITER]).arg(&path).stdout(Stdio::piped()).spawn().unwrap();
    BufReader::new(writer.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
    let [wal, shm] = ["app.db-wal", "app.db-shm"].map(|name| dir.path().join(name));
    let (mut told, mut seen) = (Vec::new(), 0);
    // Mostly the log was just begun anew, and such a look takes no time.
    for _ in 0..1_000_000 {
        if seen == 300 {
            break;
        }
        told.extend(live(&wal, &shm, 4096).unwrap());
        seen += u32::from(index(&shm).unwrap().is_some_and(|(frames, _)| frames > 0));
    }
    writer.kill().unwrap();
    writer.wait().unwrap();
    assert_eq!(told, [""; 0]);
    assert_eq!(seen, 300, "the log was empty nearly all the time");
    // And as it was left.
    assert_eq!((live(&wal, &shm, 4096).unwrap(), dead(&wal, 4096).unwrap()), (None, None));
}

#[test]
fn a_journal_that_can_not_take_everything_back_is_told() {
    let fill = "PRAGMA page_size = 4096; CREATE TABLE t(id INTEGER PRIMARY KEY, a, v);
                WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
                INSERT INTO t SELECT i, 0, zeroblob(3000) FROM n";
    let change = "PRAGMA cache_size = 20; BEGIN; UPDATE t SET a = 1";
    let changed = "SELECT count(*) FROM t WHERE a = 1";
    for (synchronous, counted) in [("NORMAL", true), ("OFF", false)] {
        let lab = Lab::of(&[fill, &format!("PRAGMA synchronous = {synchronous}"), change]);
        let whole = lab.read("app.db-journal");
        let told = |bytes: &[u8]| journal(&lab.write("app.db-journal", bytes)).unwrap();
        assert!(whole.starts_with(&JOURNAL_MAGIC) && whole[8..12].iter().all(|b| *b == 0xff) != counted);
        assert_eq!((told(&whole), lab.rows("-journal", &whole, changed)), (None, 0), "{synchronous}");
        let sector = usize::try_from(u32::from_be_bytes(whole[20..24].try_into().unwrap())).unwrap();
        // A byte that SQLite's checksum looks at, and the checksum, of the second record.
        let record = sector + 4104;
        for at in [record + 4 + 4096 - 200, record + 4103] {
            let bad = flipped(&whole, at);
            assert!(told(&bad).is_some_and(|told| told.contains("record 2")), "{at}: {:?}", told(&bad));
            assert!(lab.rows("-journal", &bad, changed) > 0, "{at}: SQLite took all back");
        }
        let mut none = whole.clone();
        none[record..record + 4].fill(0);
        assert!(told(&none).is_some() && told(&flipped(&whole, 3)).is_some());
        assert_eq!(told(&whole[..record + 100]).is_some(), counted);
        // One that is done with.
        let mut done = whole.clone();
        done[..28].fill(0);
        assert_eq!((told(&done), told(&[])), (None, None));
    }
}
