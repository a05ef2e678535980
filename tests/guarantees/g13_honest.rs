//! G13: a time that the vault does not reach is refused, however young what it has was put; and a log of another history is never
//! taken for the one that was shipped.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use crate::{
    g13_any_second::Place,
    sandbox::Run,
    server::{Postgres, as_server, bin, run},
};

const SEGMENT: &str = "--wal-segsize=1";

/// A place whose server has small segments.
fn place() -> Place {
    let settings = ["max_wal_senders=6", "wal_keep_size=256MB", "wal_writer_delay=20ms", "autovacuum=off"];
    Place::of(Postgres::start_as(&[SEGMENT], &settings), "")
}

fn sql(place: &Place, sql: &str) -> String {
    place.server.sql("postgres", sql).trim().to_owned()
}

fn now(place: &Place) -> String {
    // Two commits that a time tells apart.
    thread::sleep(Duration::from_millis(20));
    let at = sql(place, "select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')");
    thread::sleep(Duration::from_millis(20));
    at
}

fn until_idle(place: &Place, more: &[&str]) -> Run {
    place.sandbox.writer(&[&["journal", "run", "--until-idle"], more].concat())
}

fn recover(place: &Place, point: &str, name: &str) -> Run {
    let to = place.sandbox.path(name);
    place.sandbox.reader(&["restore", "latest", "--source", "pg", "--recover-to", point, "--to", to.to_str().unwrap()])
}

fn refused(place: &Place, point: &str) {
    let run = recover(place, point, "refused");
    assert_eq!(run.code, 1, "{}{}", run.out(), run.stderr);
    assert!(run.stderr.contains("is not in the log, which the vault has up to"), "{}", run.stderr);
    assert!(!place.sandbox.path("refused/pg").exists());
}

/// The pieces in the vault, by where they end.
fn pieces(place: &Place) -> Vec<(u64, PathBuf)> {
    let (mut found, mut dirs) = (Vec::new(), vec![place.sandbox.path("vault/journals")]);
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap().flatten() {
            let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
            if path.is_dir() {
                dirs.push(path);
            } else if let Some(to) = name.get(17..33).and_then(|to| u64::from_str_radix(to, 16).ok()) {
                found.push((to, path));
            }
        }
    }
    found.sort();
    found
}

/// A segment that waited is put late, and holds nothing that is younger than it.
#[test]
fn a_segment_that_was_pushed_late_claims_no_time() {
    let place = place();
    place.sandbox.writer(&["backup", "pg"]).ok();
    place.insert(3);
    let first = sql(&place, "select pg_walfile_name(pg_switch_wal())");
    place.insert(3);
    let point = now(&place);
    place.insert(3);
    sql(&place, "select pg_switch_wal()");
    thread::sleep(Duration::from_millis(1100)); // the piece is to be made in a later second than the point
    let path = place.server.data().join("pg_wal").join(first);
    place.sandbox.writer(&["journal", "push", path.to_str().unwrap(), "--source", "pg", "--ahead", "0"]).ok();
    refused(&place, &point);
}

/// What was received and waits is put late, too: only the piece that reaches what the server had then says so.
#[test]
fn what_waited_claims_no_time_and_the_end_of_an_idle_server_s_log_does() {
    let place = place();
    until_idle(&place, &[]).ok();
    place.sandbox.writer(&["backup", "pg"]).ok();
    place.insert(3);
    for _ in 0..4 {
        place.insert(2000);
        sql(&place, "select pg_switch_wal()");
    }
    let before = place.flushed();
    sql(&place, "insert into rows (pad) values ('wanted')");
    let point = now(&place);
    thread::sleep(Duration::from_millis(2100)); // a server's time is told in whole seconds
    until_idle(&place, &[]).ok();
    // All is there: nothing was committed between the row and the point, and nothing after it.
    let run = recover(&place, &point, "idle").ok();
    assert!(place.sandbox.path("idle/pg").exists(), "{}", run.stderr);
    // The vault as it was when the first of these pieces was in it.
    let late: Vec<_> = pieces(&place).into_iter().filter(|(to, _)| *to > before).collect();
    assert!(!late.is_empty());
    for (_, path) in &late {
        fs::remove_file(path).unwrap();
    }
    refused(&place, &point);
}

/// Copies the server's directory of data while it stands still.
fn copy(from: &Path, to: &Path) {
    run(Command::new("cp").arg("-a").arg(from).arg(to));
}

/// Puts back what was copied, as a snapshot of a machine is.
fn roll_back(server: &mut Postgres, copied: &Path) {
    server.stop();
    fs::remove_dir_all(server.data()).unwrap();
    copy(copied, &server.data());
    server.restart();
}

#[test]
fn a_server_that_was_rolled_back_is_noticed_before_and_after_it_grew() {
    let mut place = place();
    place.insert(10);
    place.server.stop();
    let copied = place.server.dir().join("copied");
    copy(&place.server.data(), &copied);
    place.server.restart();
    until_idle(&place, &[]).ok();
    place.insert(2000);
    until_idle(&place, &[]).ok();
    let there = pieces(&place);
    let shipped = place.reached();

    roll_back(&mut place.server, &copied);
    let behind = until_idle(&place, &[]).code(2);
    assert!(behind.stderr.contains("rolled back") && behind.stderr.contains("[[source]]"), "{}", behind.stderr);
    // It writes more than was shipped, within a segment of it and beyond, and other things.
    while place.flushed() <= shipped + 4096 {
        sql(&place, "insert into rows (pad) select md5(random()::text) from generate_series(1, 1000)");
    }
    for _ in 0..2 {
        let grown = until_idle(&place, &[]).code(2);
        assert!(grown.stderr.contains("another history"), "{}", grown.stderr);
    }
    assert_eq!(pieces(&place), there, "nothing of it was stored");
}

#[test]
fn a_log_that_goes_on_at_a_segment_s_end_is_of_the_same_history_or_refused() {
    let mut place = place();
    place.insert(10);
    place.server.stop();
    let copied = place.server.dir().join("copied");
    copy(&place.server.data(), &copied);
    place.server.restart();
    until_idle(&place, &[]).ok();
    place.insert(50);
    sql(&place, "select pg_switch_wal()");
    until_idle(&place, &[]).ok();
    let shipped = place.reached();
    assert_eq!(shipped % (1 << 20), 0, "{shipped:x}");
    // It goes on.
    place.insert(5);
    sql(&place, "select pg_switch_wal()");
    until_idle(&place, &[]).ok();
    let (there, shipped) = (pieces(&place), place.reached());
    assert_eq!(shipped % (1 << 20), 0, "{shipped:x}");

    roll_back(&mut place.server, &copied);
    while place.flushed() <= shipped + 4096 {
        sql(&place, "insert into rows (pad) select md5(random()::text) from generate_series(1, 1000)");
    }
    let grown = until_idle(&place, &[]).code(2);
    assert!(grown.stderr.contains("another history"), "{}", grown.stderr);
    assert_eq!(pieces(&place), there, "nothing of it was stored");
}

/// Other rows of the same length, in a segment that was shipped as a whole: where the next begins says nothing.
#[test]
fn another_history_whose_records_are_as_long_is_noticed_where_a_segment_ended() {
    let mut place = place();
    // The next start knows none of the settings that this one was given.
    for setting in ["autovacuum = off", "checkpoint_timeout = '1h'", "wal_keep_size = '64MB'"] {
        sql(&place, &format!("alter system set {setting}"));
    }
    let writes = |place: &Place, pad: &str| {
        sql(place, &format!("insert into rows (pad) values ('{pad}')"));
        sql(place, "select pg_switch_wal()");
        place.flushed()
    };
    // The same server goes on, also after a crash.
    writes(&place, "AAAA");
    until_idle(&place, &[]).ok();
    writes(&place, "AAAA");
    run(as_server(bin("pg_ctl")).args(["-w", "-m", "immediate", "stop", "-D"]).arg(place.server.data()));
    place.server.restart();
    for _ in 0..2 {
        writes(&place, "AAAA");
        let run = until_idle(&place, &[]).ok();
        assert!(!run.stderr.contains("[unproven]"), "{}", run.stderr);
    }
    // Where it has that segment no more nobody knows, and that is told.
    let name = sql(&place, "select pg_walfile_name(pg_current_wal_insert_lsn())");
    writes(&place, "AAAA");
    until_idle(&place, &[]).ok();
    sql(&place, "checkpoint");
    fs::remove_file(place.server.data().join("pg_wal").join(name)).unwrap();
    let run = until_idle(&place, &[]).ok();
    assert!(run.stderr.contains("[unproven]") && run.stderr.contains("already been removed"), "{}", run.stderr);

    place.server.stop();
    let copied = place.server.dir().join("copied");
    copy(&place.server.data(), &copied);
    place.server.restart();
    let ends = [writes(&place, "AAAA"), writes(&place, "AAAA")];
    until_idle(&place, &[]).ok();
    let (there, shipped) = (pieces(&place), place.reached());
    assert_eq!(shipped % (1 << 20), 0, "{shipped:x}");
    roll_back(&mut place.server, &copied);
    assert_eq!([writes(&place, "BBBB"), writes(&place, "BBBB")], ends, "as long as before");
    for _ in 0..2 {
        writes(&place, "BBBB");
        let grown = until_idle(&place, &[]).code(2);
        assert!(grown.stderr.contains("another history"), "{}", grown.stderr);
    }
    assert_eq!(pieces(&place), there, "nothing of it was stored");
}

/// Two servers that were recovered from one base have the same timeline's number.
#[test]
fn a_timeline_that_came_about_otherwise_is_refused() {
    let mut place = place();
    place.insert(10);
    let promote = |place: &mut Place| {
        place.server.stop();
        let signal = place.server.data().join("recovery.signal");
        fs::write(&signal, "").unwrap();
        run(Command::new("chown").arg("postgres:").arg(&signal));
        let settings = place.server.data().join("postgresql.auto.conf");
        let before = fs::read_to_string(&settings).unwrap();
        fs::write(&settings, before + "restore_command = 'false'\n").unwrap();
        place.server.restart();
        while sql(place, "select pg_is_in_recovery()") != "f" {
            thread::sleep(Duration::from_millis(50)); // nothing tells when a server has recovered
        }
    };
    place.server.stop();
    let copied = place.server.dir().join("copied");
    copy(&place.server.data(), &copied);
    place.server.restart();
    promote(&mut place);
    until_idle(&place, &[]).ok();
    place.insert(20);
    until_idle(&place, &[]).ok();
    let there = pieces(&place);
    // The other one went on for a while before it was promoted.
    roll_back(&mut place.server, &copied);
    place.insert(3000);
    promote(&mut place);
    let other = until_idle(&place, &[]).code(2);
    assert!(other.stderr.contains("came there otherwise"), "{}", other.stderr);
    assert_eq!(pieces(&place), there, "nothing of it was stored");
}

/// What the refusal recommends works, once all of the old cluster's log is in the vault.
#[test]
fn a_new_cluster_goes_on_once_the_old_one_s_log_is_stored() {
    let mut place = place();
    place.insert(10);
    until_idle(&place, &[]).ok();
    let there = pieces(&place).len();
    let other = Postgres::start_with(&["max_wal_senders=6"]);
    other.sql("postgres", "create table rows (n bigserial, at timestamptz default clock_timestamp(), pad text)");
    let config = fs::read_to_string(place.sandbox.config()).unwrap();
    fs::write(place.sandbox.config(), config.replace(&place.server.dsn("postgres"), &other.dsn("postgres"))).unwrap();
    place.server = other;
    let refused = until_idle(&place, &[]).code(2);
    assert!(refused.stderr.contains("--new-cluster"), "{}", refused.stderr);
    until_idle(&place, &["--new-cluster"]).ok();
    assert!(pieces(&place).len() > there);
    until_idle(&place, &[]).ok();
}
