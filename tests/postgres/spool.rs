//! A dump runs ahead of whoever stores it, so its locks end when it is written; and what waits on the disk shows nothing.

use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
    path::Path,
    time::{Duration, Instant},
};

use strongroom::source::{PostgresSource, Source, spool::SpoolPlace};

use crate::{
    broken::{configured, no_snapshot},
    place::options,
    server::Postgres,
};

/// What each row holds, with its number.
const ROW: &str = "a row that nobody but its owner may read";

/// A table of more than fits into memory on its way.
fn shop() -> Postgres {
    let server = Postgres::start();
    server.create("shop");
    server.sql(
        "shop",
        &format!("create table t as select i, repeat(i::text || '{ROW}', 20) t from generate_series(1, 60000) i"),
    );
    server
}

/// Waits until `done`, and fails after a long time.
fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_mins(1), "{what}");
        std::thread::sleep(Duration::from_millis(20)); // nothing tells when another process has written
    }
}

/// All that files without a name below `dir` hold, which this process has open.
fn nameless(dir: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc/self/fd").unwrap().flatten() {
        let to = fs::read_link(entry.path()).unwrap_or_default();
        if to.starts_with(dir) && to.to_string_lossy().contains("(deleted)") {
            let mut file = File::open(entry.path()).unwrap();
            file.seek(SeekFrom::Start(0)).unwrap();
            file.read_to_end(&mut all).unwrap();
        }
    }
    all
}

#[test]
fn locks_end_with_the_dump_though_nobody_reads_it_and_nothing_of_it_is_readable_on_the_disk() {
    let server = shop();
    let dir = tempfile::tempdir().unwrap();
    let spool = dir.path().join("spool");
    let dumping = "select count(*) from pg_stat_activity where application_name like 'strongroom%' and backend_type = 'client backend'";
    let place = SpoolPlace { dir: spool.clone(), most: 1 << 30 };
    let mut reading = PostgresSource::new(options(&server, "shop")).spooling(Some(place)).open().unwrap();
    let mut globals = reading.next_stream().unwrap().unwrap();
    globals.reader.read_to_end(&mut Vec::new()).unwrap();
    let mut stream = reading.next_stream().unwrap().unwrap();
    wait("the dump goes on without a reader", || server.sql("shop", dumping) == "0");
    server.sql("shop", "set lock_timeout = '30s'; alter table t add column more int");

    assert_eq!(fs::read_dir(&spool).unwrap().count(), 0, "it has no name");
    let held = nameless(&spool);
    assert!(held.len() > 16 << 20, "{} bytes", held.len());
    let shows = |bytes: &[u8]| bytes.windows(ROW.len()).any(|part| part == ROW.as_bytes());
    assert!(!shows(&held), "a row lies on the disk as it is");

    let mut dump = Vec::new();
    stream.reader.read_to_end(&mut dump).unwrap();
    assert!(shows(&dump) && dump.len() > held.len());
    drop(stream);
    assert!(reading.next_stream().unwrap().is_none());
    let facts = reading.finish().unwrap();
    assert!(facts.held.unwrap() > Duration::ZERO);
    assert_eq!(facts.warnings, [""; 0]);
    let table = &facts.fingerprints[0].tables["public.t"];
    assert!(table.rows == 60000 && table.hash.is_some(), "one more column changes nothing of what was dumped");
}

/// Without a place on a disk there is memory alone, and the dump waits for who reads it: what the test above would see if the
/// spool did nothing.
#[test]
fn without_a_spool_the_dump_waits_for_its_reader() {
    let server = shop();
    let mut reading = PostgresSource::new(options(&server, "shop")).open().unwrap();
    let mut globals = reading.next_stream().unwrap().unwrap();
    globals.reader.read_to_end(&mut Vec::new()).unwrap();
    let mut stream = reading.next_stream().unwrap().unwrap();
    let waiting = "select count(*) from pg_stat_activity where application_name like 'strongroom%' and wait_event = 'ClientWrite'";
    wait("the dump waits", || server.sql("shop", waiting) == "1");
    // Whoever waits for its locks is seen, and lets the rest give way where there is no core to spare.
    let haste = reading.haste().unwrap();
    assert!(!haste.waited_for());
    let mut change = server.tool("psql", "shop").args(["-c", "alter table t add column more int"]).spawn().unwrap();
    wait("a change of the table is seen", || haste.waited_for());
    stream.reader.read_to_end(&mut Vec::new()).unwrap();
    assert!(change.wait().unwrap().success() && !haste.waited_for());
}

#[test]
fn what_a_spool_may_take_is_told_and_how_long_locks_were_held() {
    let server = Postgres::start();
    server.create("shop");
    server.sql("shop", "create table t as select generate_series(1, 100) i");
    let sandbox = configured(&server, None, "spool = \"64MiB\"\n");
    let run = sandbox.writer(&["backup", "--dry-run"]).ok();
    assert!(run.out().contains("spool-room") && run.out().contains("limit 64.0 MiB"), "{}", run.out());
    let snapshot = sandbox.writer(&["backup", "--json"]).ok().json()["result"]["snapshots"][0].clone();
    let (held, all) = (snapshot["held_s"].as_f64().unwrap(), snapshot["duration_s"].as_f64().unwrap());
    assert!(held > 0.0 && held <= all, "{held} of {all}");
    let none = configured(&server, None, "spool = \"0\"\n");
    let run = none.writer(&["backup", "--dry-run"]).ok();
    assert!(!run.out().contains("spool-room"), "{}", run.out());
    for (wrong, says) in [("1MiB", "64MiB or more"), ("much", "is not a size")] {
        let sandbox = configured(&server, None, &format!("spool = \"{wrong}\"\n"));
        sandbox.writer(&["backup"]).code(2).says(says);
    }
    let sandbox = configured(&server, None, "physical = true\nspool = \"1GiB\"\n");
    sandbox.writer(&["backup"]).code(2).says("holds no locks");
}

/// A dump that fails at its very end is refused though all of it is in the spool by then.
#[test]
fn g7_a_dump_that_fails_after_all_was_written_makes_no_snapshot() {
    let server = shop();
    let programs =
        crate::broken::replaced("pg_dump", "REAL \"$@\" || exit 1; echo 'the last page was not flushed' >&2; exit 9");
    let sandbox = configured(&server, Some(programs.path()), "fingerprint = \"off\"\n");
    no_snapshot(&sandbox, sandbox.writer(&["backup"])).says("exit status 9").says("the last page was not flushed");
}
