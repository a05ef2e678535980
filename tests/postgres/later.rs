//! What changes at a server after its base: larger settings and new tablespaces, which a recovery meets in the log.

use std::{fs, process::Command};

use crate::{
    recover::{Lab, started},
    sandbox::Sandbox,
    server::{Postgres, as_server, run},
};

/// A server that recovers with less than its origin had would wait for ever where that changed.
#[test]
fn settings_that_grew_after_the_base_come_along() {
    let mut lab = Lab::new();
    lab.base();
    lab.row(1);
    lab.ship();
    lab.server.sql("postgres", "alter system set max_connections = 123");
    lab.server.sql("postgres", "alter system set max_locks_per_transaction = 77");
    lab.server.restart();
    lab.row(2);
    lab.ship();
    let (told, rows) = lab.rows("latest", "back", &[]);
    assert_eq!(rows, "1,2", "{told:#}");
    let settings = told["recovery"]["settings"].to_string();
    assert!(
        settings.contains(r#"["max_connections","123"]"#) && settings.contains(r#"["max_locks_per_transaction","77"]"#)
    );
}

/// A recovered server makes the tablespace again where the log says, and there may be a server that works.
#[test]
fn a_tablespace_that_the_log_makes_is_told_and_never_one_that_is_in_use() {
    let mut lab = Lab::new();
    lab.base();
    let first = lab.row(1);
    let place = lab.server.dir().join("made later");
    run(as_server("mkdir").arg(&place));
    lab.server.sql("postgres", &format!("create tablespace later location '{}'", place.display()));
    lab.server.sql("postgres", "create table l tablespace later as select generate_series(1, 1000) as i");
    let filled = lab.row(2);
    lab.ship();
    let refused = lab.recover("latest", "back", &[]).code(2).json();
    let said = refused["error"]["message"].as_str().unwrap();
    assert!(said.contains(place.to_str().unwrap()) && said.contains("would write into"), "{refused:#}");
    assert!(!lab.out.path().join("back/cluster").exists());
    let map = format!("{}={}", place.display(), lab.out.path().join("mapped").display());
    lab.recover("latest", "back", &["--tablespace-map", &map]).code(2).told("can't be mapped");
    // Before it was made nothing is in the way.
    let (told, rows) = lab.rows(&format!("xid:{first}"), "before", &[]);
    assert_eq!(rows, "1", "{told:#}");
    assert!(told["recovery"]["tablespaces"].is_null(), "{told:#}");

    // The drill goes there in a root directory of its own, and touches nothing of the server.
    let pages = || {
        lab.server.sql("postgres", "checkpoint");
        let listed = run(Command::new("find").arg(&place).args(["-type", "f", "-printf", "%p %s %T@\\n"]));
        String::from_utf8(listed.stdout).unwrap()
    };
    let before = pages();
    let drill = lab.sandbox.reader(&["drill", "cluster", "--json"]).ok().json();
    assert_eq!(drill["result"]["drills"][0]["recovery"]["tablespaces"][0][1], place.to_str().unwrap(), "{drill:#}");
    assert_eq!(pages(), before);

    // Where the directory is empty, it is told and comes back.
    lab.server.sql("postgres", "drop table l; drop tablespace later");
    let told = lab.recover(&format!("xid:{filled}"), "back", &[]).ok();
    assert!(told.json()["findings"].to_string().contains("restore.tablespace"), "{}", told.out());
    let dir = lab.out.path().join("back");
    assert_eq!(started(&dir, &dir.join("cluster"), "select sum(i) from l"), "500500");
    assert!(fs::read_dir(&place).unwrap().next().is_some(), "there it lies");
}

/// Both sizes of the log are to be at least twice a segment, which the defaults are not from segments of 64 MiB on.
#[test]
fn a_cluster_with_large_segments_is_drilled() {
    let server = Postgres::start_as(&["--wal-segsize=64"], &["min_wal_size=128MB"]);
    server.sql("postgres", "create table t as select generate_series(1, 100) as i");
    let sandbox = Sandbox::with_vault();
    sandbox.configure(&format!(
        "\n[[source]]\nname = \"cluster\"\nkind = \"postgres\"\nphysical = true\ndsn = \"{}\"\n",
        server.dsn("postgres")
    ));
    sandbox.writer(&["backup", "cluster"]).ok();
    sandbox.reader(&["drill", "cluster"]).ok();
}
