//! SQLite, with python's own SQLite as the other program.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use rusqlite::Connection;
use rustix::process::{Pid, Signal, kill_process};

use crate::sandbox::Sandbox;

/// Two accounts whose sum stays, a log that grows by one row with each transfer, and much that stays as it is.
const WRITER: &str = r#"
import sqlite3, sys, time
path, mode, role = sys.argv[1:]
db = sqlite3.connect(path, timeout=60, isolation_level=None)
if role == "make":
    db.execute("PRAGMA journal_mode=" + mode)
    db.execute("CREATE TABLE account(id INTEGER PRIMARY KEY, balance INTEGER NOT NULL)")
    db.execute("INSERT INTO account VALUES(1, 1000000), (2, 1000000)")
    db.execute("CREATE TABLE log(id INTEGER PRIMARY KEY, amount INTEGER, note TEXT)")
    db.execute("CREATE TABLE bulk(id INTEGER PRIMARY KEY, data BLOB)")
    db.execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 8000)"
               " INSERT INTO bulk SELECT i, randomblob(2000) FROM n")
    sys.exit()
print("writing", flush=True)
i = 0
while True:
    i += 1
    db.execute("BEGIN IMMEDIATE")
    db.execute("UPDATE account SET balance = balance - ? WHERE id = 1", (i,))
    db.execute("INSERT INTO log(amount, note) VALUES(?, ?)", (i, role * 50))
    db.execute("UPDATE bulk SET data = randomblob(2000) WHERE id = ?", (i % 8000,))
    db.execute("UPDATE account SET balance = balance + ? WHERE id = 2", (i,))
    db.execute("COMMIT")
    if role == "hang" and i == 50:
        db.execute("PRAGMA cache_size=1")
        db.execute("BEGIN IMMEDIATE")
        db.execute("UPDATE account SET balance = 0")
        db.execute("UPDATE bulk SET data = randomblob(2000)")
        print("hanging", flush=True)
        time.sleep(1000)
    if role == "lock" and i == 5:
        db.execute("BEGIN EXCLUSIVE")
        print("locked", flush=True)
        time.sleep(1000)
"#;

/// A program that writes, until it is dropped.
struct Writer(Child, BufReader<ChildStdout>);

impl Writer {
    fn start(path: &Path, mode: &str, role: &str) -> Self {
        let mut child = python(path, mode, role).stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let mut writer = Self(child, out);
        writer.until("writing");
        writer
    }

    fn until(&mut self, word: &str) {
        let mut line = String::new();
        self.1.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), word);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn python(path: &Path, mode: &str, role: &str) -> Command {
    let mut python = Command::new("python3");
    python.args(["-c", WRITER]).arg(path).args([mode, role]);
    python
}

fn make(path: &Path, mode: &str) {
    assert!(python(path, mode, "make").status().unwrap().success());
}

fn sum(path: &Path) -> (i64, i64, i64) {
    let database = Connection::open(path).unwrap();
    let one = |sql: &str| database.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    let whole: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(whole, "ok");
    (
        one("SELECT sum(balance) FROM account"),
        one("SELECT count(*) FROM log"),
        one("SELECT 1000000 - balance - (SELECT coalesce(sum(amount), 0) FROM log) FROM account WHERE id = 1"),
    )
}

/// What is in a directory: names, sizes and times of modification, and the bytes of the databases.
fn seen(dir: &Path) -> BTreeMap<String, (u64, std::time::SystemTime, Vec<u8>)> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| {
        let entry = entry.unwrap();
        let meta = entry.metadata().unwrap();
        let bytes = fs::read(entry.path()).unwrap();
        (entry.file_name().into_string().unwrap(), (meta.len(), meta.modified().unwrap(), bytes))
    });
    entries.collect()
}

/// Backs the database up, restores it, and returns where it is.
fn round_trip(sandbox: &Sandbox, path: &Path, to: &str) -> std::path::PathBuf {
    let run = sandbox.writer(&["backup", "--name", "app", "--json", "--sqlite", path.to_str().unwrap()]).ok();
    let id = run.json()["result"]["snapshots"][0]["id"].as_str().unwrap().to_owned();
    let to = sandbox.path(to);
    sandbox.reader(&["restore", &id, "--to", to.to_str().unwrap()]).ok();
    to.join("app").join(path.file_name().unwrap())
}

fn scratch(tmp: &Path) -> usize {
    fs::read_dir(tmp).unwrap().count()
}

#[test]
fn every_copy_of_a_database_that_is_written_to_is_of_one_instant() {
    for mode in ["WAL", "DELETE"] {
        let sandbox = Sandbox::with_vault();
        let dir = sandbox.path("data");
        fs::create_dir(&dir).unwrap();
        let path = dir.join("app.db");
        make(&path, mode);
        let writers = [Writer::start(&path, mode, "a"), Writer::start(&path, mode, "b")];
        let mut last = 0;
        for round in 0..3 {
            let restored = round_trip(&sandbox, &path, &format!("out{round}"));
            let (total, log, apart) = sum(&restored);
            assert_eq!((total, apart), (2_000_000, 0), "{mode}: half a transaction was copied");
            assert!(log > last, "{mode}: the copy is not newer than the one before");
            last = log;
        }
        drop(writers);
        assert_eq!(sum(&path).0, 2_000_000);
    }
}

#[test]
fn nothing_is_written_where_the_database_is() {
    let sandbox = Sandbox::with_vault();
    for mode in ["WAL", "DELETE"] {
        let dir = sandbox.path(mode);
        fs::create_dir(&dir).unwrap();
        make(&dir.join("app.db"), mode);
        let before = seen(&dir);
        assert_eq!(before.len(), 1);
        let restored = round_trip(&sandbox, &dir.join("app.db"), &format!("out-{mode}"));
        assert!(seen(&dir) == before, "{mode}: {:?}", seen(&dir).keys());
        assert_eq!(sum(&restored).0, 2_000_000);
        let database = Connection::open(&restored).unwrap();
        let kept: String = database.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
        assert_eq!(kept.to_uppercase(), mode, "it is restored as it was");
    }
}

#[test]
fn what_a_dead_writer_left_is_finished_in_the_copy_alone() {
    let sandbox = Sandbox::with_vault();
    for (mode, left) in [("WAL", "app.db-wal"), ("DELETE", "app.db-journal")] {
        let dir = sandbox.path(mode);
        fs::create_dir(&dir).unwrap();
        let path = dir.join("app.db");
        make(&path, mode);
        let mut writer = Writer::start(&path, mode, "hang");
        writer.until("hanging");
        drop(writer);
        // As if it had been copied here after the crash: the index of the log does not travel.
        let _ = fs::remove_file(dir.join("app.db-shm"));
        let before = seen(&dir);
        assert!(before[left].0 > 100_000, "{:?}", before.keys());
        let restored = round_trip(&sandbox, &path, &format!("out-{mode}"));
        assert!(seen(&dir) == before, "{mode}: {:?}", seen(&dir).keys());
        assert_eq!(sum(&restored), (2_000_000, 50, 0), "{mode}");
    }
}

#[test]
fn odd_databases_come_back() {
    let sandbox = Sandbox::with_vault();
    let path = sandbox.path("Odd name.SQLite3");
    let database = Connection::open(&path).unwrap();
    database
        .execute_batch(
            "PRAGMA encoding = 'UTF-16le'; PRAGMA page_size = 1024; PRAGMA user_version = 77;
             CREATE TABLE \"odd \"\"table'; -- \" (\"a b\" TEXT, \"select\" REAL);
             INSERT INTO \"odd \"\"table'; -- \" VALUES ('x', 1e308 * 10), (NULL, -1e308 * 10), ('\u{e9}', -0.0);
             CREATE TABLE w(k TEXT, v BLOB, PRIMARY KEY(k)) WITHOUT ROWID;
             INSERT INTO w VALUES ('a', x'00ff00'), ('b', zeroblob(100000)), ('c', NULL);
             CREATE TABLE g(n INTEGER, twice INTEGER GENERATED ALWAYS AS (n * 2) VIRTUAL,
                            thrice INTEGER AS (n * 3) STORED) STRICT;
             INSERT INTO g(n) VALUES (1), (2), (9223372036854775807 / 4);
             CREATE VIRTUAL TABLE f USING fts5(body); INSERT INTO f VALUES ('to be or not to be');
             CREATE VIRTUAL TABLE r USING rtree(id, x0, x1); INSERT INTO r VALUES (1, 0.5, 1.5);
             CREATE VIEW v AS SELECT k FROM w; CREATE INDEX i ON g(n) WHERE n > 1;
             CREATE TRIGGER t AFTER INSERT ON w BEGIN UPDATE g SET n = n + 1; END;
             CREATE TABLE auto(id INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO auto DEFAULT VALUES;
             ANALYZE",
        )
        .unwrap();
    let restored = round_trip(&sandbox, &path, "out");
    let dump = |path: &Path| Command::new("sqlite3").arg(path).arg(".dump").output().unwrap().stdout;
    assert!(dump(&path).len() > 1000);
    assert_eq!(String::from_utf8(dump(&restored)), String::from_utf8(dump(&path)));
    let found: String =
        Connection::open(&restored).unwrap().query_row("SELECT * FROM f('not')", [], |row| row.get(0)).unwrap();
    assert_eq!(found, "to be or not to be");
}

#[test]
fn what_only_its_application_knows_is_a_warning() {
    let sandbox = Sandbox::with_vault();
    let path = sandbox.path("app.db");
    let database = Connection::open(&path).unwrap();
    database
        .execute_batch(
            "CREATE TABLE t(a TEXT); CREATE INDEX i ON t(a); INSERT INTO t VALUES ('x'), ('y');
             PRAGMA writable_schema = ON;
             UPDATE sqlite_schema SET sql = 'CREATE INDEX i ON t(a COLLATE of_the_app)' WHERE name = 'i';
             INSERT INTO sqlite_schema VALUES('table', 'odd', 'odd', 0, 'CREATE VIRTUAL TABLE odd USING of_the_app()')",
        )
        .unwrap();
    drop(database);
    let run = sandbox.writer(&["backup", "--name", "app", "--json", "--sqlite", path.to_str().unwrap()]).ok();
    let snapshot = run.json()["result"]["snapshots"][0].clone();
    let warning = snapshot["warnings"][0].as_str().unwrap();
    assert!(warning.contains("could not be checked") && warning.contains("of_the_app"), "{warning}");
}

#[test]
fn what_is_no_whole_database_makes_no_snapshot() {
    let sandbox = Sandbox::with_vault();
    let path = sandbox.path("app.db");
    let failed = |says: &str| {
        let run = sandbox.writer(&["backup", "--name", "app", "--sqlite", path.to_str().unwrap()]).code(1);
        run.says(says).says(path.to_str().unwrap()).says("no snapshot");
    };
    failed("can't find the database");
    fs::write(&path, "").unwrap();
    failed("is empty");
    fs::write(&path, "SQLite format 4, or something else that is longer than a header".repeat(9)).unwrap();
    failed("is not an SQLite database");
    fs::remove_file(&path).unwrap();
    make(&path, "DELETE");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    failed("damaged");
    let mut damaged = whole.clone();
    damaged[4096 * 20..4096 * 24].fill(0xa5);
    fs::write(&path, damaged).unwrap();
    failed("damaged");
    fs::write(&path, whole).unwrap();
    sandbox.writer(&["backup", "--name", "app", "--sqlite", path.to_str().unwrap()]).ok();
}

#[test]
fn a_lock_is_waited_for_and_then_told() {
    let sandbox = Sandbox::with_vault();
    let path = sandbox.path("app.db");
    make(&path, "DELETE");
    let mut writer = Writer::start(&path, "DELETE", "lock");
    writer.until("locked");
    sandbox.configure(&format!(
        "[[source]]\nname = \"app\"\nkind = \"sqlite\"\npath = {:?}\nlock_timeout = \"1s\"\n",
        path.to_str().unwrap()
    ));
    sandbox.writer(&["backup", "app"]).code(1).says("is locked by another program, and still was after 1 s");
    drop(writer);
    sandbox.writer(&["backup", "app"]).ok();
}

#[test]
fn the_copy_is_gone_whatever_happens() {
    let sandbox = Sandbox::with_vault();
    let (path, tmp) = (sandbox.path("app.db"), sandbox.path("tmp"));
    fs::create_dir(&tmp).unwrap();
    make(&path, "DELETE");
    let mut writer = Writer::start(&path, "DELETE", "lock");
    writer.until("locked");
    let start = || {
        let child = Command::new(assert_cmd::cargo::cargo_bin("strongroom"))
            .arg("--config")
            .arg(sandbox.config())
            .args(["backup", "--name", "app", "--sqlite"])
            .arg(&path)
            .env("TMPDIR", &tmp)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let began = Instant::now();
        // Until it holds the lock of its directory, nobody knows whether that is still being made.
        let held = || fs::read_dir(&tmp).unwrap().any(|dir| dir.unwrap().path().join(".lock").exists());
        while !held() {
            assert!(began.elapsed() < Duration::from_mins(1), "it never began");
            std::thread::sleep(Duration::from_millis(5));
        }
        child
    };
    // It waits for the lock now.
    let mut child = start();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(scratch(&tmp), 0, "after Ctrl-C");

    let mut child = start();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(scratch(&tmp), 1, "nobody can clear away after a kill");
    drop(writer);
    let mut next = sandbox.command();
    next.env("TMPDIR", &tmp).arg("--config").arg(sandbox.config());
    sandbox.finish(next.args(["backup", "--name", "app", "--sqlite"]).arg(&path)).ok();
    assert_eq!(scratch(&tmp), 0, "but the next run does");
}

#[test]
fn what_a_damaged_log_or_journal_would_drop_makes_no_snapshot() {
    let sandbox = Sandbox::with_vault();
    for (mode, left, says) in
        [("WAL", "app.db-wal", "were committed"), ("DELETE", "app.db-journal", "leaves the rest of the transaction")]
    {
        let (dir, name) = (sandbox.path(mode), mode.to_lowercase());
        fs::create_dir(&dir).unwrap();
        let path = dir.join("app.db");
        make(&path, mode);
        let mut writer = Writer::start(&path, mode, "hang");
        writer.until("hanging");
        drop(writer);
        let index = fs::read(dir.join("app.db-shm"));
        let whole = fs::read(dir.join(left)).unwrap();
        let mut bad = whole.clone();
        // A byte of a page, of those that the checksums look at.
        let sector = usize::try_from(u32::from_be_bytes(whole[20..24].try_into().unwrap())).unwrap();
        bad[if mode == "WAL" { 32 + 4120 + 24 } else { sector + 4 } + 4096 - 200] ^= 1;
        let backup = || sandbox.writer(&["backup", "--name", &name, "--sqlite", path.to_str().unwrap()]);
        let look = || sandbox.writer(&["backup", "--dry-run", "--name", &name, "--sqlite", path.to_str().unwrap()]);
        for kept in [true, false] {
            fs::write(dir.join(left), &bad).unwrap();
            match &index {
                Ok(index) if kept => fs::write(dir.join("app.db-shm"), index).unwrap(),
                _ => drop(fs::remove_file(dir.join("app.db-shm"))),
            }
            backup().code(1).says("is damaged").says(says).says("Nothing was backed up").says("no snapshot");
            if mode == "WAL" {
                look().code(1).says(says);
            }
        }
        fs::write(dir.join(left), &whole).unwrap();
        backup().ok();
    }
}
