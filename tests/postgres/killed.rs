//! Drills through the program: killed in the middle of a load, with a row changed meanwhile, and without what checks indexes.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{
    sandbox::{Run, Sandbox},
    server::{Postgres, bin},
};

/// Loading takes for ever, but only where a drill does it.
const SLOW: &str = "create function slow() returns bool language plpgsql as $f$ begin \
                    if current_setting('port') = '5432' then perform pg_sleep(1000); end if; return true; end $f$; \
                    create table trap (n int check (public.slow())); insert into trap values (1)";
const ORDERS: &str = "create table orders (id int primary key, total numeric); \
                      insert into orders select i, i * 1.5 from generate_series(1, 500) i";

/// A vault with a source for each database, backed up from a server that is gone.
fn vault(databases: &[(&str, &str)]) -> Sandbox {
    let server = Postgres::start();
    let sandbox = Sandbox::with_vault();
    for (name, sql) in databases {
        server.create(name);
        server.sql(name, sql);
        sandbox.writer(&["backup", "--name", name, "--postgres", &server.dsn(name)]).ok();
    }
    fs::create_dir(sandbox.path("tmp")).unwrap();
    // The server of a drill has a user of its own, who must get to its directory.
    for open in [sandbox.path(""), sandbox.path("tmp")] {
        fs::set_permissions(open, fs::Permissions::from_mode(0o711)).unwrap();
    }
    sandbox
}

fn start(sandbox: &Sandbox, source: &str) -> Child {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("strongroom"));
    command.args(["--vault", &sandbox.url(), "drill", source, "-i"]).arg(sandbox.identity());
    command.env("HOME", sandbox.path("home")).env("TMPDIR", sandbox.path("tmp"));
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn drill(sandbox: &Sandbox, source: &str, path: &str) -> Run {
    let mut command = sandbox.command();
    command.env("PATH", path).env("TMPDIR", sandbox.path("tmp")).args(["--vault", &sandbox.url(), "drill", source]);
    sandbox.finish(command.args(["--json", "-i"]).arg(sandbox.identity()))
}

/// The command lines of processes that work below a directory.
fn working(dir: &Path) -> Vec<String> {
    let needle = dir.join("strongroom-scratch-").display().to_string();
    let lines =
        fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(&needle)).collect()
}

/// Waits until `dir` is as it should be.
fn until(dir: &Path, what: &str, fits: impl Fn(&[String]) -> bool) {
    let began = Instant::now();
    while !fits(&working(dir)) {
        assert!(began.elapsed() < Duration::from_mins(2), "{what}: {:?}", working(dir));
        std::thread::sleep(Duration::from_millis(50)); // nothing tells what another process has made
    }
}

fn left(sandbox: &Sandbox) -> usize {
    fs::read_dir(sandbox.path("tmp")).unwrap().count()
}

#[test]
fn stopped_in_the_middle_of_loading_it_leaves_no_server_and_no_data() {
    let sandbox = vault(&[("slow", SLOW), ("orders", ORDERS)]);
    let tmp = sandbox.path("tmp");
    // It never ends, so whoever sees it is in the middle of it.
    let loading = |lines: &[String]| lines.iter().any(|line| line.contains("pg_restore"));
    let mut child = start(&sandbox, "slow");
    until(&tmp, "it does not load", loading);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(left(&sandbox), 0);
    until(&tmp, "something still works", <[String]>::is_empty);

    // After a kill, the next drill ends the engine of the dead one and removes what it held.
    let mut child = start(&sandbox, "slow");
    until(&tmp, "it does not load", loading);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(left(&sandbox), 1);
    // Where it was in namespaces, the engine went with it.
    drill(&sandbox, "orders", env!("PATH")).ok();
    assert_eq!(left(&sandbox), 0);
    until(&tmp, "something still works", <[String]>::is_empty);
}

/// The checks of a run's one drill that did not pass: names, status and what was found.
fn failed(run: &Run) -> Vec<(String, String, String)> {
    let document = run.json();
    let checks = document["result"]["drills"][0]["checks"].as_array().unwrap().clone();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let bad = checks.iter().filter(|check| check["status"] != "pass");
    bad.map(|check| (text(&check["name"]), text(&check["status"]), text(&check["actual"]))).collect()
}

#[test]
fn one_row_changed_in_the_restored_engine_fails_by_its_tables_name() {
    let sandbox = vault(&[("orders", ORDERS)]);
    assert_eq!(failed(&drill(&sandbox, "orders", env!("PATH")).ok()), []);
    // Somebody changes one row once the dump was loaded.
    let dir = sandbox.path("between");
    fs::create_dir(&dir).unwrap();
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] && exec '{restore}' --version\n'{restore}' \"$@\" || exit\n\
         while [ \"$1\" != -d ]; do shift; done\n'{}' -X -q -d \"$2\" -c 'update orders set total = 1 where id = 7'\n",
        bin("psql").display(),
        restore = bin("pg_restore").display(),
    );
    fs::write(dir.join("pg_restore"), script).unwrap();
    for path in [dir.clone(), dir.join("pg_restore")] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let run = drill(&sandbox, "orders", &format!("{}:{}", dir.display(), env!("PATH"))).code(6);
    assert!(
        matches!(&failed(&run)[..], [(name, status, _)] if name == "fingerprint orders: public.orders" && status == "fail"),
        "{}",
        run.out()
    );
}

/// An installation like the one that is here, without the files of one extension.
fn without(extension: &str, dir: &Path) -> PathBuf {
    let real = bin("postgres");
    let home = real.parent().unwrap().parent().unwrap();
    let version = home.file_name().unwrap().to_str().unwrap();
    let (lib, share) = (dir.join("lib/postgresql").join(version), dir.join("share/postgresql").join(version));
    let from = PathBuf::from("/usr/share/postgresql").join(version);
    fs::create_dir_all(lib.join("bin")).unwrap();
    fs::create_dir_all(share.join("extension")).unwrap();
    for program in ["postgres", "initdb", "psql", "pg_restore"] {
        // A link would lead back to where the others are.
        fs::copy(bin(program), lib.join("bin").join(program)).unwrap();
    }
    let link = |from: &Path, to: PathBuf| std::os::unix::fs::symlink(from, to).unwrap();
    link(&home.join("lib"), lib.join("lib"));
    for (from, to) in [(from.clone(), share.clone()), (from.join("extension"), share.join("extension"))] {
        for entry in fs::read_dir(from).unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap();
            if name != "extension" && !name.starts_with(extension) {
                link(&entry.path(), to.join(name));
            }
        }
    }
    lib.join("bin")
}

#[test]
fn a_check_that_could_not_run_fails() {
    let sandbox = vault(&[("orders", ORDERS)]);
    let bin = without("amcheck", &sandbox.path("usr"));
    let run = drill(&sandbox, "orders", &format!("{}:{}", bin.display(), env!("PATH"))).code(6);
    let failed = failed(&run);
    let [(name, status, why)] = &failed[..] else { panic!("{failed:?}") };
    assert_eq!((name.as_str(), status.as_str()), ("database orders: amcheck", "error"));
    assert!(why.contains("contrib"), "{why}");
}
