//! Journals of MariaDB: the binary log of a server that the tests start, received, verified, drilled, and replayed by the
//! server's own programs as they are printed.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{sandbox::Sandbox, server::Server};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_mins(1);
const LOGGED: [&str; 4] = ["--log-bin=mariadb-bin", "--server-id=7", "--binlog-format=MIXED", "--gtid-strict-mode=ON"];

pub struct Place {
    pub sandbox: Sandbox,
    pub server: Server,
}

impl Place {
    pub fn new() -> Self {
        let server = Server::start_with(&LOGGED);
        server.sql(
            "CREATE DATABASE shop; CREATE TABLE shop.entries (id INT AUTO_INCREMENT PRIMARY KEY, at DATETIME(6), pad TEXT) ENGINE=InnoDB;
             CREATE USER backup@localhost; GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, LOCK TABLES, RELOAD, PROCESS, BINLOG MONITOR,
             REPLICATION SLAVE ON *.* TO backup@localhost",
        );
        let sandbox = Sandbox::with_vault();
        sandbox.configure(&format!(
            "[[source]]\nname = \"shop\"\nkind = \"mariadb\"\nsocket = {:?}\nuser = \"backup\"\njournal = {{ flush = \"1s\" }}\n",
            server.socket().to_str().unwrap()
        ));
        Self { sandbox, server }
    }

    pub fn insert(&self, format: &str, rows: u32) {
        self.server.sql(&format!(
            "SET SESSION binlog_format={format}; USE shop;
             INSERT INTO entries (at, pad) SELECT NOW(6), REPEAT(MD5(seq), 30) FROM seq_1_to_{rows}"
        ));
    }

    /// `journal run`, in the background.
    pub fn run(&self) -> Child {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin("strongroom"));
        command.arg("--config").arg(self.sandbox.config()).args(["journal", "run"]).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", self.sandbox.path("home"));
        let log = fs::File::options().append(true).create(true).open(self.sandbox.path("run.log")).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
    }

    pub fn said(&self) -> String {
        fs::read_to_string(self.sandbox.path("run.log")).unwrap()
    }

    /// The number of the file that the server writes to, and how far.
    pub fn written(&self) -> (u64, u64) {
        let status = self.server.sql("SHOW MASTER STATUS");
        let mut words = status.split_whitespace();
        let number = words.next().unwrap().rsplit('.').next().unwrap().parse().unwrap();
        (number, words.next().unwrap().parse().unwrap())
    }

    fn list(&self) -> Value {
        self.sandbox.reader(&["journal", "list", "--json"]).ok().json()["result"]["journals"].clone()
    }

    /// Waits until all that the server has written is in the vault, without a gap.
    pub fn flushed(&self) {
        let (number, offset) = self.written();
        until("the flush", || {
            let list = self.list();
            let to = list[0]["stretches"].as_array().and_then(|all| all.last()?["to"].as_str().map(str::to_owned));
            to.is_some_and(|to| u64::from_str_radix(&to, 16).unwrap() >= number << 32 | offset)
        });
        let list = self.list();
        assert_eq!(
            (list.as_array().map(Vec::len), &list[0]["gaps"]),
            (Some(1), &serde_json::json!([])),
            "{}",
            self.said()
        );
    }

    pub fn recover(&self, point: &str, more: &[&str], code: i32) -> (PathBuf, Value, String) {
        let to = self.sandbox.path(&format!("back-{}-{}", point.replace(['/', ':', ' '], "-"), more.len()));
        let mut command = self.sandbox.command();
        command.args(["--vault", &self.sandbox.url(), "restore", "latest", "--source", "shop", "--recover-to", point]);
        command.args(more).arg("--json").arg("-i").arg(self.sandbox.identity()).arg("--to").arg(&to);
        let run = self.sandbox.finish(&mut command);
        assert_eq!(run.code, code, "{point}: {}{}", run.out(), run.stderr);
        let document: Value = serde_json::from_slice(&run.stdout).unwrap();
        (to.join("shop"), document["result"]["recovery"].clone(), format!("{}{}", run.out(), run.stderr))
    }
}

pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < end, "{what} did not happen");
        thread::sleep(Duration::from_millis(50));
    }
}

/// The receivers that write below `dir`.
pub fn receivers(dir: &Path) -> Vec<i32> {
    let dir = dir.as_os_str().as_encoded_bytes();
    let has = |line: &[u8], part: &[u8]| line.windows(part.len()).any(|window| window == part);
    let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        (has(&line, b"mariadb-binlog") && has(&line, dir)).then_some(pid)
    });
    pids.collect()
}

fn kill(pid: i32) {
    let _ = rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), rustix::process::Signal::KILL);
}

fn contents(server: &Server) -> String {
    server.sql("SELECT COUNT(*), MAX(id), MD5(GROUP_CONCAT(CONCAT(id, at, MD5(pad)) ORDER BY id)) FROM shop.entries")
}

/// What lies in a directory, by its name.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir).unwrap().flatten();
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

/// The pieces in a vault's directory, the oldest first.
pub fn pieces(vault: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![vault.join("journals")];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|end| end == "age") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Loads what was laid out, by the commands that lie beside it.
fn replay(server: &Server, laid: &Path) {
    let mut script = Command::new("bash");
    script
        .arg(laid.join("recover.sh"))
        .args(["--no-defaults", "--user=root"])
        .arg(format!("--socket={}", server.socket().display()));
    let output = script.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A server under load, receiver, writer and server killed or restarted; then all of its host is gone. What was committed is in
/// the vault, and a `DELETE` without `WHERE` is undone to the transaction before it.
#[test]
fn an_accident_is_undone_and_what_is_missing_is_told() {
    let mut place = Place::new();
    let run = place.sandbox.writer(&["journal", "run", "--until-idle"]).ok();
    assert!(run.stderr.contains("[shipped]"), "{}", run.stderr);
    place.insert("ROW", 20);
    place.sandbox.writer(&["backup", "shop"]).ok();
    let mut run = place.run();
    // Whoever is made after the dump is made once.
    place.server.sql("CREATE USER later@localhost; GRANT SELECT ON shop.* TO later@localhost");
    place.insert("STATEMENT", 30);
    until("receiving", || !receivers(&place.sandbox.path("")).is_empty());
    place.insert("ROW", 3000);
    receivers(&place.sandbox.path("")).into_iter().for_each(kill);
    place.insert("ROW", 30);
    let second = place.sandbox.writer(&["journal", "run", "--until-idle"]);
    assert_eq!(second.code, 75, "{}", second.stderr);
    place.server.stop();
    place.server.again();
    place.insert("ROW", 40);
    place.flushed();
    run.kill().unwrap();
    run.wait().unwrap();
    place.server.kill();
    place.server.again();
    place.insert("STATEMENT", 50);
    run = place.run();
    place.flushed();

    let accident = Accident::happens(&mut place, run);
    undone(&place, &accident);
    refused(&place);
    drilled_and_broken(&place, &accident);
}

/// A `DELETE` without `WHERE`.
struct Accident {
    before: String,
    after: String,
    at: (u64, u64),
    second: i64,
    gtid: String,
}

impl Accident {
    /// In a second of its own; and flush and two seconds later all is lost but the vault.
    fn happens(place: &mut Place, mut run: Child) -> Self {
        let before = contents(&place.server);
        let at = place.written();
        thread::sleep(Duration::from_millis(1100));
        // Asked behind it, the second may be the next one.
        let said = place.server.sql("SELECT @@timestamp DIV 1; DELETE FROM shop.entries; SELECT @@last_gtid");
        let (second, gtid) = said.trim().split_once('\n').unwrap();
        place.insert("ROW", 5);
        let after = contents(&place.server);
        thread::sleep(Duration::from_secs(3));
        place.server.kill();
        run.kill().unwrap();
        run.wait().unwrap();
        receivers(&place.sandbox.path("")).into_iter().for_each(kill);
        fs::remove_dir_all(place.sandbox.path("etc/state")).unwrap();
        Self { before, after, at, second: second.parse().unwrap(), gtid: gtid.to_owned() }
    }
}

fn undone(place: &Place, accident: &Accident) {
    let Accident { before, after, at, second, gtid } = accident;
    let verified = place.sandbox.run(&["--vault", &place.sandbox.url(), "verify", "--json"]).ok().json();
    assert!(verified["result"]["recoveries"][0]["gap"].is_null(), "{verified}");
    let (laid, all, _) = place.recover("latest", &[], 0);
    let fresh = Server::start_with(&[]);
    replay(&fresh, &laid);
    assert_eq!(contents(&fresh), *after);
    assert!(fresh.sql("SHOW GRANTS FOR later@localhost").contains("SELECT"));

    let time = strongroom::model::Time::from_unix(*second).to_string();
    let (by_gtid, told, _) = place.recover(&format!("gtid:{gtid}"), &["--exclusive"], 0);
    assert!(told["last_commit_gtid"] != gtid.as_str() && all["last_commit_gtid"] != gtid.as_str(), "{told} {all}");
    let (by_time, ..) = place.recover(&time, &[], 0);
    let (by_place, ..) = place.recover(&format!("pos:{}:{}", at.0, at.1), &[], 0);
    assert!(files(&by_gtid.join("binlog")) == files(&by_time.join("binlog")), "by time");
    assert!(files(&by_gtid.join("binlog")) == files(&by_place.join("binlog")), "by place");
    fresh.sql("DROP DATABASE shop; DROP USER backup@localhost; DROP USER later@localhost");
    replay(&fresh, &by_gtid);
    assert_eq!(contents(&fresh), *before);
    drop(fresh);
    let (with, ..) = place.recover(&format!("gtid:{gtid}"), &[], 0);
    assert!(
        files(&with.join("binlog")).values().map(Vec::len).sum::<usize>()
            > files(&by_gtid.join("binlog")).values().map(Vec::len).sum()
    );

    fs::remove_dir_all(laid.parent().unwrap()).unwrap();
}

/// What can't be had is refused, with how near one gets.
fn refused(place: &Place) {
    for (point, words) in [
        ("gtid:0-7-999999", "is not in the log"),
        ("pos:999:4", "is not in the log"),
        ("pos:other.000001:4", "is of another log"),
        ("1999-01-01T00:00:00Z", "before"),
        ("xid:4711", "MariaDB"),
    ] {
        let to = place.sandbox.path("none");
        let refused = place.sandbox.reader(&[
            "restore",
            "latest",
            "--source",
            "shop",
            "--recover-to",
            point,
            "--to",
            to.to_str().unwrap(),
        ]);
        assert!(refused.code != 0 && refused.stderr.contains(words), "{point}: {}", refused.stderr);
        assert!(!to.join("shop").exists());
    }
}

/// The newest transaction of the log comes back in a drill; and when a piece is gone, that is found by all who need it.
fn drilled_and_broken(place: &Place, accident: &Accident) {
    let drill = place.sandbox.reader(&["drill", "shop", "--json"]).ok().json();
    let drilled = &drill["result"]["drills"][0];
    let newest = drilled["recovery"]["last_commit_gtid"].clone();
    assert!(newest.is_string() && newest != accident.gtid.as_str(), "{drill}");
    assert!(
        drilled["checks"].as_array().unwrap().iter().any(|check| check["name"] == "replayed to the end of its log")
    );

    // A piece goes.
    let pieces = pieces(&place.sandbox.path("vault"));
    fs::remove_file(&pieces[pieces.len() - 2]).unwrap();
    let verified = place.sandbox.run(&["--vault", &place.sandbox.url(), "verify"]);
    let told = format!("{}{}", verified.out(), verified.stderr);
    assert!(verified.code != 0 && told.contains("journal.gap"), "{told}");
    let beyond = place.recover("pos:999:4", &[], 1).2;
    assert!(beyond.contains("gap") || beyond.contains("missing"), "{beyond}");
    let (_, cut, _) = place.recover("latest", &[], 4);
    assert!(cut["gap"].is_array() && cut["last_commit_gtid"] != newest, "{cut}");
    let drill = place.sandbox.reader(&["drill", "shop"]);
    assert!(drill.code != 0 && drill.out().contains("log without a gap"), "{}{}", drill.out(), drill.stderr);
}

/// A server that has nothing to give says what to set; files that it has removed are a gap with both ends; another server is
/// another line.
#[test]
fn what_a_server_lacks_is_told() {
    let place = Place::new();
    let gone = |to: &Server| {
        let config = fs::read_to_string(place.sandbox.config()).unwrap();
        let mut lines: Vec<String> = config.lines().map(str::to_owned).collect();
        let line = lines.iter_mut().find(|line| line.starts_with("socket")).unwrap();
        *line = format!("socket = {:?}", to.socket().to_str().unwrap());
        fs::write(place.sandbox.config(), lines.join("\n") + "\n").unwrap();
    };
    place.insert("ROW", 10);
    place.sandbox.writer(&["journal", "run", "--until-idle"]).ok();
    place.server.sql("FLUSH BINARY LOGS; FLUSH BINARY LOGS");
    // A file that somebody reads is kept without a word, and a server needs a while to see that its reader went.
    while place.server.sql("PURGE BINARY LOGS TO 'mariadb-bin.000003'; SHOW BINARY LOGS").contains("bin.000001") {
        std::thread::sleep(std::time::Duration::from_millis(50)); // until the server has seen it
    }
    place.insert("ROW", 10);
    let run = place.sandbox.writer(&["journal", "run", "--until-idle", "--json"]);
    assert_eq!(run.code, 5, "{}{}", run.out(), run.stderr);
    let gap = &run.json()["result"]["sources"][0]["gaps"][0];
    assert!(gap["from"].as_str().unwrap().starts_with("00000001") && gap["to"] == "0000000300000000", "{gap}");

    let other = Server::start_with(&["--log-bin=other", "--server-id=8"]);
    other.sql("CREATE USER backup@localhost; GRANT BINLOG MONITOR, REPLICATION SLAVE ON *.* TO backup@localhost");
    gone(&other);
    place.sandbox.writer(&["journal", "run", "--until-idle"]).says("another server").says("--new-cluster");
    drop(other);
    let bare = Server::start();
    bare.sql(
        "CREATE DATABASE x; CREATE TABLE x.y (a INT); CREATE USER backup@localhost; GRANT ALL ON *.* TO backup@localhost",
    );
    gone(&bare);
    let run = place.sandbox.writer(&["journal", "run", "--until-idle"]).says("writes no binary log").says("log_bin");
    assert_ne!(run.code, 0);
    let run = place.sandbox.writer(&["backup", "shop", "--json"]);
    assert!(run.json()["result"]["snapshots"][0]["warnings"].to_string().contains("log_bin"), "{}", run.out());
}
