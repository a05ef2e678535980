//! What fails makes no snapshot: a program killed, a server killed, an output cut short, a source among others.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{
    sandbox::{Run, Sandbox},
    server::{Postgres, bin},
};

/// A server with a table that takes a while to dump.
fn large() -> Postgres {
    let server = Postgres::start();
    server.create("shop");
    server.sql("shop", "create table t as select i, repeat(md5(i::text), 30) t from generate_series(1, 100000) i");
    server
}

/// A configuration for the database `shop` of a server, with the programs in `bin`.
pub(crate) fn configured(server: &Postgres, programs: Option<&Path>, more: &str) -> Sandbox {
    let sandbox = Sandbox::with_vault();
    let programs = programs.map(|dir| format!("bin = \"{}\"\n", dir.display())).unwrap_or_default();
    let dsn = server.dsn("shop");
    sandbox.configure(&format!("[[source]]\nname = \"shop\"\nkind = \"postgres\"\ndsn = {dsn:?}\n{programs}{more}"));
    sandbox
}

/// The installed programs, but for `program`, which is the script; `REAL` in it is the installed one.
pub(crate) fn replaced(program: &str, script: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in ["psql", "pg_dump", "pg_dumpall", "pg_basebackup"] {
        let real = bin(name).display().to_string();
        let text = if name == program {
            // It is asked for its version first.
            format!("#!/bin/sh\n[ \"$1\" = --version ] && exec '{real}' --version\n{}\n", script.replace("REAL", &real))
        } else {
            format!("#!/bin/sh\nexec '{real}' \"$@\"\n")
        };
        fs::write(dir.path().join(name), text).unwrap();
        fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    dir
}

pub(crate) fn no_snapshot(sandbox: &Sandbox, run: Run) -> Run {
    let run = run.code(1);
    let listed = sandbox.reader(&["snapshots", "--json"]).ok().json();
    assert_eq!(listed["result"].as_array().unwrap().len(), 0, "{listed}");
    run
}

#[test]
fn g7_programs_that_fail_or_are_cut_short_make_no_snapshot() {
    let server = large();
    for (program, script, says) in [
        ("pg_dump", "REAL \"$@\" | head -c 1000000", "cut short"),
        ("pg_dump", "REAL \"$@\" | head -c 100", "cut short"),
        ("pg_dump", "echo oops, no dump today; exit 0", "not an archive"),
        ("pg_dump", "exit 0", "cut short"),
        ("pg_dump", "REAL \"$@\"; echo 'pg_dump: error: PGPASSWORD=hunter22' >&2; exit 7", "exit status 7"),
        ("pg_dump", "kill -9 $$", "signal 9"),
        ("pg_dump", "REAL \"$@\" | head -c 5000000; kill -9 $$", "signal 9"),
        ("pg_dumpall", "REAL \"$@\" | head -n 5", "cut short"),
        ("pg_dumpall", "exit 3", "exit status 3"),
        ("psql", "kill -9 $$", "signal 9"),
    ] {
        let programs = replaced(program, script);
        let sandbox = configured(&server, Some(programs.path()), "");
        let run = no_snapshot(&sandbox, sandbox.writer(&["backup"])).says(says);
        assert!(!run.stderr.contains("hunter22"), "{}", run.stderr);
    }
    let programs = replaced("pg_basebackup", "REAL \"$@\" | head -c 2000000");
    let sandbox = configured(&server, Some(programs.path()), "physical = true\n");
    no_snapshot(&sandbox, sandbox.writer(&["backup"])).says("cut short");
    // The session that holds the snapshot ends in the middle: at a question about a table. What stands between ends too.
    let programs = replaced("psql", "exec sed -u '/hashtextextended(r/{s/.*/\\\\! kill -9 $PPID/;q}' | REAL \"$@\"");
    let sandbox = configured(&server, Some(programs.path()), "");
    no_snapshot(&sandbox, sandbox.writer(&["backup"]));
}

/// Starts a backup and waits until `pg_dump` is at work; it can't finish, since nobody reads its last output.
fn under_way(sandbox: &Sandbox, started: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
    command.arg("--config").arg(sandbox.config()).arg("backup").stdout(Stdio::null()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let end = Instant::now() + Duration::from_mins(1);
    while !started.exists() {
        assert!(Instant::now() < end, "pg_dump was not started");
        thread::sleep(Duration::from_millis(10)); // nothing tells when pg_dump has begun
    }
    child
}

#[test]
fn g7_a_server_that_is_killed_in_the_middle_makes_no_snapshot() {
    for signal in ["KILL", "QUIT", "INT"] {
        let mut server = large();
        let place = tempfile::tempdir().unwrap();
        let started = place.path().join("started");
        // It writes a part, and goes on when the server is gone.
        let script = format!(
            "REAL \"$@\" | {{ head -c 3000000; touch {0}; while [ ! -e {0}.gone ]; do sleep 0.05; done; cat; }}\n\
             exit 0",
            started.display()
        );
        let programs = replaced("pg_dump", &script);
        let sandbox = configured(&server, Some(programs.path()), "");
        let child = under_way(&sandbox, &started);
        server.signal(signal);
        while server.tool("pg_isready", "shop").stdout(Stdio::null()).status().unwrap().success() {
            thread::sleep(Duration::from_millis(20)); // nothing tells when a killed server is gone
        }
        fs::write(started.with_extension("gone"), "").unwrap();
        let output = child.wait_with_output().unwrap();
        let run = Run {
            code: output.status.code().unwrap(),
            stdout: output.stdout,
            stderr: String::from_utf8(output.stderr).unwrap(),
        };
        no_snapshot(&sandbox, run);
    }
}

#[test]
fn g7_two_of_five_sources_fail_and_three_have_snapshots() {
    let server = large();
    server.create("other");
    let sandbox = Sandbox::with_vault();
    for (name, database) in [("a", "shop"), ("b", "nowhere"), ("c", "other"), ("e", "postgres")] {
        let dsn = server.dsn(database);
        sandbox.configure(&format!("[[source]]\nname = \"{name}\"\nkind = \"postgres\"\ndsn = {dsn:?}\n"));
    }
    let dsn = "host=127.0.0.1 port=1 user=x password=hunter2-of-d dbname=d";
    sandbox.configure(&format!("[[source]]\nname = \"d\"\nkind = \"postgres\"\ndsn = {dsn:?}\n"));
    let run = sandbox.writer(&["backup", "--json"]).code(3);
    let document = run.json();
    let made: Vec<&str> =
        document["result"]["snapshots"].as_array().unwrap().iter().map(|s| s["source"].as_str().unwrap()).collect();
    assert_eq!(made, ["a", "c", "e"]);
    let findings = document["findings"].as_array().unwrap();
    let told = |object: &str| {
        let finding = findings.iter().find(|f| f["object"] == object && f["code"] == "source.failed");
        finding.unwrap_or_else(|| panic!("{document}"))["message"].as_str().unwrap().to_owned()
    };
    assert!(told("b").contains("\"nowhere\" does not exist"), "{}", told("b"));
    assert!(told("d").contains("127.0.0.1:1") && told("d").contains("refused"), "{}", told("d"));
    assert!(!format!("{document}{}", run.stderr).contains("hunter2"), "{document}");
    assert_eq!(sandbox.reader(&["snapshots", "--json"]).ok().json()["result"].as_array().unwrap().len(), 3);
}
