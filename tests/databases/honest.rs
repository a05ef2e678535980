//! A journal of MariaDB says no more than it knows: not of a time that it does not reach, and not of another history.

use std::{fs, path::Path, process::Command, thread, time::Duration};

use crate::binlog::{Place, pieces};

fn until_idle(place: &Place, code: i32) -> String {
    place.sandbox.writer(&["journal", "run", "--until-idle"]).code(code).stderr
}

/// What waited is put late: only what reaches the end of the server's log says when that was.
#[test]
fn a_piece_that_waited_claims_no_time() {
    let place = Place::new();
    until_idle(&place, 0);
    let backup = place.sandbox.writer(&["backup", "shop", "--json"]).ok();
    let warned = backup.json()["result"]["snapshots"][0]["warnings"].to_string();
    assert!(warned.contains("binlog_format = MIXED"), "{warned}");
    place.insert("ROW", 20);
    place.server.sql("FLUSH BINARY LOGS");
    let before = place.written();
    place.insert("ROW", 20);
    thread::sleep(Duration::from_millis(1100)); // the log has whole seconds
    let point = place.server.sql("SELECT @@timestamp DIV 1").trim().parse().unwrap();
    let point = strongroom::model::Time::from_unix(point).to_string();
    place.server.sql("FLUSH BINARY LOGS");
    thread::sleep(Duration::from_millis(1100)); // and a server's time is told in them, too
    let said = until_idle(&place, 0);
    assert!(said.contains("[binlog-format]"), "{said}");
    // Nothing was committed after the point, and all before it is there.
    place.recover(&point, &[], 0);
    let from = format!("{:08x}", before.0);
    let late = pieces(&place.sandbox.path("vault"));
    let late: Vec<_> =
        late.iter().filter(|path| path.file_name().unwrap().to_str().unwrap()[..8] >= from[..]).collect();
    assert!(!late.is_empty());
    for path in &late {
        fs::remove_file(path).unwrap();
    }
    let refused = place.sandbox.reader(&[
        "restore",
        "latest",
        "--source",
        "shop",
        "--recover-to",
        &point,
        "--to",
        place.sandbox.path("none").to_str().unwrap(),
    ]);
    assert!(refused.code == 1 && refused.stderr.contains("is not in the log"), "{}", refused.stderr);
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

/// A data directory that was copied back has the same name and another history, also once it is longer.
#[test]
fn a_server_that_was_rolled_back_is_refused_before_and_after_it_grew() {
    let mut place = Place::new();
    place.insert("ROW", 5);
    place.server.stop();
    let data = place.server.socket().parent().unwrap().to_owned();
    let copied = data.with_file_name("copied");
    copy(&data, &copied);
    place.server.again();
    until_idle(&place, 0);
    place.insert("ROW", 100);
    until_idle(&place, 0);
    let (there, shipped) = (pieces(&place.sandbox.path("vault")), place.written());
    place.server.stop();
    fs::remove_dir_all(&data).unwrap();
    copy(&copied, &data);
    place.server.again();
    let behind = until_idle(&place, 2);
    assert!(behind.contains("was reset"), "{behind}");
    while place.written() <= (shipped.0, shipped.1 + 4096) {
        place.insert("ROW", 10);
    }
    let grown = until_idle(&place, 2);
    assert!(grown.contains("another history"), "{grown}");
    assert_eq!(pieces(&place.sandbox.path("vault")), there, "nothing of it was stored");
}
