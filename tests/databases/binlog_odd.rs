//! Binary logs whose files are not those that were shipped though they are called the same, and whose times do not rise.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use strongroom::model::Time;

use crate::binlog::{Place, pieces, receivers, until};

fn until_idle(place: &Place, code: i32) -> crate::sandbox::Run {
    let run = place.sandbox.writer(&["journal", "run", "--until-idle", "--json"]);
    assert_eq!(run.code, code, "{}{}", run.out(), run.stderr);
    run
}

fn stored(place: &Place) -> Vec<PathBuf> {
    pieces(&place.sandbox.path("vault"))
}

fn data(place: &Place) -> PathBuf {
    place.server.socket().parent().unwrap().to_owned()
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

/// The server's clock, in whole seconds.
fn now(place: &Place) -> i64 {
    place.server.sql("SELECT UNIX_TIMESTAMP()").trim().parse().unwrap()
}

/// Commits a row, and says its transaction's number and when it was.
fn row(place: &Place, pad: &str) -> (String, i64) {
    let said = place.server.sql(&format!(
        "SET SESSION binlog_format=ROW; INSERT INTO shop.entries (at, pad) VALUES (NOW(6), '{pad}');
         SELECT @@last_gtid, UNIX_TIMESTAMP()"
    ));
    let (gtid, at) = said.trim().split_once('\t').unwrap();
    (gtid.to_owned(), at.parse().unwrap())
}

/// A data directory that was copied back: the file of that number is shorter than what was shipped, and the server has gone on in the next.
#[test]
fn a_server_that_was_rolled_back_is_noticed_once_it_writes_to_later_files() {
    let mut place = Place::new();
    place.insert("ROW", 5);
    until_idle(&place, 0);
    place.server.stop();
    let (data, copied) = (data(&place), place.sandbox.path("copied"));
    copy(&data, &copied);
    place.server.again();
    place.insert("ROW", 50);
    until_idle(&place, 0);
    let there = stored(&place);
    let shipped = place.written();

    place.server.kill();
    fs::remove_dir_all(&data).unwrap();
    copy(&copied, &data);
    place.server.again();
    place.insert("ROW", 1);
    place.server.sql("FLUSH BINARY LOGS");
    place.insert("ROW", 1);
    assert!(place.written().0 > shipped.0);
    for _ in 0..2 {
        until_idle(&place, 2).says("another history");
    }
    assert_eq!(stored(&place), there, "nothing of it was stored");
}

/// `RESET MASTER` while it is received: the receiver stays, and goes on with the next file as if nothing was.
#[test]
fn a_log_that_is_emptied_is_noticed_by_the_receiver_that_runs() {
    let place = Place::new();
    let mut run = place.run();
    place.insert("ROW", 20);
    until("receiving", || !receivers(&place.sandbox.path("")).is_empty());
    place.flushed();
    let there = stored(&place);
    assert_eq!(place.written().0, 1);
    place.server.sql("RESET MASTER");
    place.insert("ROW", 1);
    place.server.sql("FLUSH BINARY LOGS");
    place.insert("ROW", 1);
    let mut ended = None;
    until("its end", || {
        ended = run.try_wait().unwrap();
        ended.is_some()
    });
    assert_eq!(ended.unwrap().code(), Some(2), "{}", place.said());
    assert!(place.said().contains("RESET MASTER"), "{}", place.said());
    until_idle(&place, 2).says("another history");
    assert_eq!(stored(&place), there, "nothing of it was stored");
}

/// A crash takes back what was not synced: what is in the vault of it stays, and the log goes on behind a gap that is told.
#[test]
fn a_crash_that_took_the_end_of_a_file_back_is_a_gap_and_no_end() {
    let mut place = Place::new();
    place.insert("ROW", 20);
    let kept = place.written();
    place.insert("ROW", 20);
    until_idle(&place, 0);
    let shipped = place.written();
    place.server.kill();
    let file = data(&place).join(format!("mariadb-bin.{:06}", kept.0));
    fs::File::options().write(true).open(file).unwrap().set_len(kept.1).unwrap();
    place.server.again();
    place.insert("ROW", 2);
    let run = until_idle(&place, 5);
    assert!(run.stderr.contains("lost-end"), "{}", run.stderr);
    let gap = &run.json()["result"]["sources"][0]["gaps"][0];
    let ends = [shipped.0 << 32 | shipped.1, (shipped.0 + 1) << 32].map(|at| format!("{at:016x}"));
    assert_eq!([&gap["from"], &gap["to"]], [&ends[0], &ends[1]], "{gap}");
    place.insert("ROW", 2);
    until_idle(&place, 0);
    place.sandbox.writer(&["backup", "shop"]).ok();
    let (last, _) = row(&place, "behind the gap");
    until_idle(&place, 0);
    assert_eq!(place.recover("latest", &[], 0).1["last_commit_gtid"], last.as_str());
}

/// One transaction that says a time of tomorrow (`SET TIMESTAMP`) ends no recovery.
#[test]
fn a_time_that_has_not_come_does_not_end_a_recovery() {
    let place = Place::new();
    until_idle(&place, 0);
    place.sandbox.writer(&["backup", "shop"]).ok();
    row(&place, "before");
    let said = place.server.sql(
        "SET SESSION binlog_format=ROW; SET TIMESTAMP=UNIX_TIMESTAMP() + 86400;
         INSERT INTO shop.entries (at, pad) VALUES (NOW(6), 'tomorrow'); SELECT @@last_gtid",
    );
    until_idle(&place, 0);
    let (wanted, at) = row(&place, "wanted");
    while now(&place) <= at {
        thread::sleep(Duration::from_millis(50)); // a log has whole seconds
    }
    row(&place, "behind");
    until_idle(&place, 0);
    let (laid, told, words) = place.recover(&Time::from_unix(at + 1).to_string(), &[], 0);
    assert_eq!(told["last_commit_gtid"], wanted.as_str(), "{words}");
    assert!(words.contains("journal.times") && words.contains(said.trim()), "{words}");
    assert!(words.contains("gtid:"), "the exact way is recommended: {words}");
    drop(laid);
}

/// An event's time is when its statement began. What was committed behind a piece that covers the point does not come back.
#[test]
fn a_statement_that_was_committed_after_the_point_does_not_come_back() {
    let place = Place::new();
    until_idle(&place, 0);
    place.sandbox.writer(&["backup", "shop"]).ok();
    let long = "SET SESSION binlog_format=ROW; INSERT INTO shop.entries (at, pad) SELECT NOW(6), SLEEP(6)";
    let mut long = place.server.client().args(["-e", long]).stdout(Stdio::null()).spawn().unwrap();
    until("the statement", || place.server.sql("SHOW PROCESSLIST").contains("SLEEP(6)"));
    let began = now(&place);
    while now(&place) == began {
        thread::sleep(Duration::from_millis(50)); // a log has whole seconds
    }
    let (wanted, at) = row(&place, "wanted");
    while now(&place) <= at {
        thread::sleep(Duration::from_millis(50)); // and so has what a piece covers
    }
    until_idle(&place, 0);
    assert!(long.try_wait().unwrap().is_none(), "too slow to tell");
    assert!(long.wait().unwrap().success());
    let (_, behind) = row(&place, "behind");
    until_idle(&place, 0);
    assert!(behind > at + 1);
    let (_, told, words) = place.recover(&Time::from_unix(at + 1).to_string(), &[], 0);
    assert_eq!(told["last_commit_gtid"], wanted.as_str(), "{words}");
}
