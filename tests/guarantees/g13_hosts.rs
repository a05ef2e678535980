//! G13 where hosts fail: a disk that is full below the spool, a primary that is gone where a segment ends, and a bucket whose
//! roles are apart.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use strongroom::{
    model::{LockMode, Span},
    store::{Deleter, ObjectStore, StoreErrorKind},
};

use crate::{
    g13_any_second::{Place, kill, receivers, until},
    place as bucket,
    server::{Postgres, as_server, bin, run},
};

/// Segments of one mebibyte, so that little log fills some.
const SMALL: [&str; 1] = ["--wal-segsize=1"];
const SEGMENT: u64 = 1 << 20;

/// The disk that holds the spool and the memory of a journal takes no more. What was received is in the vault when that is
/// there again, and what was not, the slot has held.
#[test]
fn a_full_disk_below_the_spool_loses_nothing() {
    let server = Postgres::start_as(&SMALL, &["max_wal_senders=6", "wal_writer_delay=20ms"]);
    let place = Place::of(server, "");
    let state = place.sandbox.path("etc/state");
    fs::create_dir_all(&state).unwrap();
    let mounted = |size: &str| {
        let script = "mount -t tmpfs -o size=$1,mode=0700 none \"$2\" && shift 2 && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh", size]).arg(&state);
        command
    };
    if !mounted("1m").arg("true").stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        eprintln!("not tested: this user may not mount a file system");
        return;
    }
    let log = || fs::read_to_string(place.sandbox.path("run.log")).unwrap();
    let mut command = mounted("6m");
    command.arg(assert_cmd::cargo::cargo_bin("strongroom")).arg("--config").arg(place.sandbox.config());
    command.args(["journal", "run"]).env("HOME", place.sandbox.path("home")).stdin(Stdio::null());
    let log_file = fs::File::create(place.sandbox.path("run.log")).unwrap();
    let mut service = Service(command.stdout(Stdio::null()).stderr(log_file).spawn().unwrap());
    until("receiving", || !receivers(&place.sandbox.path("")).is_empty());
    place.insert(100);
    until("the flush", || place.reached() >= place.flushed());

    let (vault, away) = (place.sandbox.path("vault"), place.sandbox.path("away"));
    fs::rename(&vault, &away).unwrap();
    place.insert(7000);
    until("a full disk", || log().contains("[disk-full]"));
    place.insert(1000);
    assert!(service.0.try_wait().unwrap().is_none(), "{}", log());
    fs::rename(&away, &vault).unwrap();
    until("the rest", || place.reached() >= place.flushed());
    let _ = rustix::process::kill_process(rustix::process::Pid::from_child(&service.0), rustix::process::Signal::TERM);
    assert!(service.0.wait().unwrap().success(), "{}", log());
    assert_eq!(place.list()[0]["gaps"], serde_json::json!([]), "{}", log());
}

/// Ends with whoever began it.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A standby of `primary`, in a directory of its own beside it.
struct Standby {
    dir: PathBuf,
    port: u16,
}

impl Standby {
    fn of(primary: &Postgres) -> Self {
        let dir = primary.dir().join("standby");
        let mut copy = as_server(bin("pg_basebackup"));
        copy.args(["-R", "--checkpoint=fast", "--no-sync", "-d", &primary.dsn("postgres"), "-D"]).arg(&dir);
        run(&mut copy);
        let listener = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let standby = Self { dir, port };
        let options = format!("-h 127.0.0.1 -c fsync=off -c wal_keep_size=1GB -p {port} -k {}", standby.dir.display());
        run(standby
            .ctl()
            .arg("-l")
            .arg(standby.dir.join("log"))
            .arg("-o")
            .arg(options)
            .arg("start")
            .stdout(Stdio::null()));
        standby
    }

    fn ctl(&self) -> Command {
        let mut command = as_server(bin("pg_ctl"));
        command.args(["-w", "-t", "60", "-D"]).arg(&self.dir);
        command
    }

    fn sql(&self, sql: &str) -> String {
        let mut psql = Command::new(bin("psql"));
        psql.args(["-XAtq", "-U", "postgres", "-d", "postgres", "-c", sql]).env("PGHOST", &self.dir);
        let told = run(psql.env("PGPORT", self.port.to_string()));
        String::from_utf8(told.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Standby {
    fn drop(&mut self) {
        let _ = self.ctl().args(["-m", "immediate", "stop"]).stdout(Stdio::null()).status();
    }
}

/// The primary dies when all that it wrote ends with a segment, and all of that is in the vault: of its timeline nothing is
/// left to receive, and the journal goes on in that of the standby, with no gap.
#[test]
fn a_standby_that_is_promoted_where_a_segment_ends_is_followed() {
    let settings = ["max_wal_senders=6", "autovacuum=off", "checkpoint_timeout=1h", "wal_keep_size=1GB"];
    let place = Place::of(Postgres::start_as(&SMALL, &settings), "");
    let standby = Standby::of(&place.server);
    let config = fs::read_to_string(place.sandbox.config()).unwrap();
    let hosts = format!("host={},{}", place.server.dir().display(), standby.dir.display());
    let config = config.replace(&format!("host={}", place.server.dir().display()), &hosts);
    let config = config
        .replace(&format!("port={}", place.server.port()), &format!("port={},{}", place.server.port(), standby.port));
    fs::write(place.sandbox.config(), config).unwrap();
    place.sandbox.writer(&["journal", "run", "--until-idle"]).ok();
    place.sandbox.writer(&["backup", "pg"]).ok();
    place.insert(4000);
    // It notes now and then what runs, which would begin another segment.
    let pid = |what: &str| -> i32 {
        let sql = format!("select pid from pg_stat_activity where backend_type = '{what}'");
        place.server.sql("postgres", &sql).trim().parse().unwrap()
    };
    let noting = pid("background writer");
    let stopped = rustix::process::Pid::from_raw(noting).unwrap();
    rustix::process::kill_process(stopped, rustix::process::Signal::STOP).unwrap();
    place.server.sql("postgres", "select pg_switch_wal()");
    let end = place.flushed();
    assert_eq!(end % SEGMENT, 0, "{end:x}");
    let replayed = || standby.sql("select (pg_last_wal_replay_lsn() - '0/0')::bigint").parse::<u64>().unwrap_or(0);
    until("the standby", || replayed() == end);
    place.sandbox.writer(&["journal", "run", "--until-idle"]).ok();
    assert_eq!(place.reached(), end, "all of it is in the vault");

    let main = fs::read_to_string(place.server.data().join("postmaster.pid")).unwrap();
    kill(main.lines().next().unwrap().parse().unwrap());
    kill(noting);
    run(standby.ctl().arg("promote").stdout(Stdio::null()));
    let history = fs::read_to_string(standby.dir.join("pg_wal/00000002.history")).unwrap();
    let lsn = |at: u64| format!("{:X}/{:X}", at >> 32, at & 0xffff_ffff);
    assert!(history.contains(&lsn(end)), "{history}");
    standby.sql("insert into rows (pad) select 'behind' from generate_series(1, 500)");
    let done = place.sandbox.writer(&["journal", "run", "--until-idle", "--json"]).ok().json();
    assert_eq!(done["result"]["sources"][0]["gaps"], serde_json::json!([]), "{done:#}");

    let lines = place.list();
    let lines = lines.as_array().unwrap();
    let hex = |value: &Value| u64::from_str_radix(value.as_str().unwrap(), 16).unwrap();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines.iter().all(|line| line["gaps"] == serde_json::json!([])), "{lines:#?}");
    let begins = lines.iter().map(|line| hex(&line["stretches"][0]["from"])).max();
    assert_eq!(begins, Some(end), "the new timeline begins where the old one ended");
    let back = place.sandbox.path("back");
    let to = back.to_str().unwrap();
    let told =
        place.sandbox.reader(&["restore", "latest", "--source", "pg", "--recover-to", "latest", "--to", to, "--json"]);
    let told = told.ok().json()["result"]["recovery"].clone();
    assert_eq!((&told["timeline"], &told["gap"]), (&Value::from(2), &Value::Null), "{told:#}");
    // The server is asked: it goes along both.
    let rows = opened(&back.join("pg"), "select count(*) from rows where pad = 'behind'");
    assert_eq!(rows, "500");
}

/// What a stock server that starts on `data` answers once it is open.
fn opened(data: &Path, sql: &str) -> String {
    let dir = tempfile::Builder::new().prefix("strongroom-g13-").tempdir().unwrap();
    let data = {
        let to = dir.path().join("data");
        run(Command::new("cp").arg("-a").arg(data).arg(&to));
        to
    };
    if rustix::process::geteuid().is_root() {
        run(Command::new("chown").arg("-R").arg("postgres:").arg(dir.path()));
    }
    let ctl = || {
        let mut command = as_server(bin("pg_ctl"));
        command.args(["-w", "-t", "60", "-D"]).arg(&data);
        command
    };
    let options = format!("-h '' -c fsync=off -k {}", dir.path().display());
    run(ctl().arg("-l").arg(dir.path().join("log")).arg("-o").arg(options).arg("start").stdout(Stdio::null()));
    let ask = |sql: &str| {
        let mut psql = Command::new(bin("psql"));
        psql.args(["-XAtq", "-U", "postgres", "-d", "postgres", "-c", sql]).env("PGHOST", dir.path());
        String::from_utf8(run(&mut psql).stdout).unwrap().trim().to_owned()
    };
    let end = Instant::now() + Duration::from_mins(1);
    while ask("select pg_is_in_recovery()") != "f" {
        assert!(Instant::now() < end, "{}", fs::read_to_string(dir.path().join("log")).unwrap());
        thread::sleep(Duration::from_millis(50)); // nothing tells when a server has recovered
    }
    let told = ask(sql);
    run(ctl().args(["-m", "immediate", "stop"]).stdout(Stdio::null()));
    told
}

/// A server's segments go into a bucket by the writer's role, who can neither read nor delete them; the reader's role recovers
/// with the identity, the keeper's finds them locked, and the pruner's takes none that is needed.
#[tokio::test(flavor = "multi_thread")]
async fn a_journal_in_a_bucket_whose_roles_are_apart() {
    let place = bucket::Place::with_vault(bucket::server());
    let server = Postgres::start_as(&SMALL, &["autovacuum=off", "wal_keep_size=1GB"]);
    place.sandbox.configure(&format!(
        "[[source]]\nname = \"pg\"\nkind = \"postgres\"\ndsn = \"{}\"\nphysical = true\njournal = true\n",
        server.dsn("postgres")
    ));
    let writer = |args: &[&str]| {
        let mut command = place.sandbox.command();
        place.finish(command.arg("--config").arg(place.sandbox.config()).args(args))
    };
    writer(&["backup", "pg"]).ok();
    server
        .sql("postgres", "create table rows as select repeat(md5(i::text), 30) as pad from generate_series(1, 2000) i");
    server.sql("postgres", "select pg_switch_wal()");
    let last = server.sql("postgres", "select pg_walfile_name(pg_current_wal_lsn() - 1)");
    let wal = server.data().join("pg_wal");
    let mut names: Vec<String> =
        fs::read_dir(&wal).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.len() == 24 && *name <= last);
    names.sort_unstable();
    for name in &names {
        writer(&["journal", "push", wal.join(name).to_str().unwrap()]).ok();
    }
    writer(&["journal", "push", wal.join(&last).to_str().unwrap()]).ok();

    let (w1, reader) = (place.store("w1").await, place.store("reader").await);
    let mut pieces = Vec::new();
    reader.list_versions("journals/", &mut |entry| pieces.push(entry)).await.unwrap();
    assert_eq!(pieces.len(), names.len(), "each once");
    let now = reader.server_time().await.unwrap();
    for piece in &pieces {
        let (key, version) = (piece.key.parse().unwrap(), Some(&piece.version));
        let lock = reader.lock_of(&key, version).await.unwrap().unwrap();
        assert!(lock.mode == LockMode::Compliance && lock.until > now + Span::days(60), "{piece:?}: {lock:?}");
        assert_eq!(w1.get(&key, None, None).await.unwrap_err().kind, StoreErrorKind::Denied);
        for role in [&w1, &place.store("pruner").await] {
            let refused = role.delete_version(&key, version).await.unwrap_err();
            assert!(matches!(refused.kind, StoreErrorKind::Denied | StoreErrorKind::Locked), "{refused}");
        }
    }

    let verified = place.run_as("reader", &["verify", "--json"]).ok().json();
    only_unpinned(&verified);
    let renewed = place.run_as("keeper", &["renew", "--json"]).ok().json();
    only_unpinned(&renewed);
    let pruned = place.run_as("pruner", &["prune", "--yes", "--json"]).ok().json();
    assert_eq!(pruned["result"]["deleted"].get("journals"), None, "{pruned:#}");
    let (back, identity) = (place.sandbox.path("back"), place.sandbox.identity());
    let (to, key) = (back.to_str().unwrap(), identity.to_str().unwrap());
    let latest = ["restore", "latest", "--source", "pg", "--recover-to", "latest", "-i", key, "--to", to, "--json"];
    place.run_as("reader", &latest).ok();
    assert_eq!(opened(&back.join("pg"), "select count(*) from rows"), "2000");
}

/// Nothing was found but that these tests name a vault by its place alone.
fn only_unpinned(document: &Value) {
    let found = document["findings"].as_array().unwrap();
    assert!(found.iter().all(|one| one["code"] == "vault.unpinned"), "{found:#?}");
}
