//! G13: what was committed and flushed longer ago than the flush interval is in the vault, and a gap is told.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{sandbox::Sandbox, server::Postgres};

const SEGMENT: u64 = 16 << 20;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// A server, a vault, and a source with a journal.
pub struct Place {
    pub sandbox: Sandbox,
    pub server: Postgres,
}

impl Place {
    fn new() -> Self {
        Self::of(Postgres::start_with(&["max_wal_senders=6", "wal_writer_delay=20ms"]), "")
    }

    pub fn of(server: Postgres, more: &str) -> Self {
        let sandbox = Sandbox::with_vault();
        server.sql("postgres", "create table rows (n bigserial, at timestamptz default clock_timestamp(), pad text)");
        sandbox.configure(&format!(
            "[[source]]\nname = \"pg\"\nkind = \"postgres\"\ndsn = \"{}\"\nphysical = true\n\
             journal = {{ slot = \"strongroom\", flush = \"1s\"{more} }}\n",
            server.dsn("postgres")
        ));
        Self { sandbox, server }
    }

    /// `journal run`, in the background.
    fn run(&self) -> Child {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin("strongroom"));
        command.arg("--config").arg(self.sandbox.config()).args(["journal", "run"]).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", self.sandbox.path("home"));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(self.sandbox.path("run.log")).unwrap());
        command.spawn().unwrap()
    }

    pub fn insert(&self, rows: u32) {
        self.server.sql(
            "postgres",
            &format!("insert into rows (pad) select repeat(md5(i::text), 30) from generate_series(1, {rows}) i"),
        );
    }

    pub fn list(&self) -> Value {
        self.sandbox.reader(&["journal", "list", "--source", "pg", "--json"]).ok().json()["result"]["journals"].clone()
    }

    /// Up to where the journal's only line is in the vault.
    pub fn reached(&self) -> u64 {
        if !self.sandbox.path("vault").exists() {
            return 0;
        }
        let list = self.list();
        let to = list.as_array().and_then(|lines| lines.first()?["stretches"].as_array()?.last()?["to"].as_str());
        to.map_or(0, |to| u64::from_str_radix(to, 16).unwrap())
    }

    pub fn flushed(&self) -> u64 {
        let said = self.server.sql("postgres", "select (pg_current_wal_flush_lsn() - '0/0')::bigint");
        said.trim().parse().unwrap()
    }

    /// `journal fetch`; gives its exit code and what it said.
    fn fetch(&self, name: &str, to: &Path) -> (i32, String) {
        let system = self.server.sql("postgres", "select system_identifier from pg_control_system()");
        let mut command = self.sandbox.command();
        command.args(["--vault", &self.sandbox.url(), "journal", "fetch", "--source", "pg", "--system", system.trim()]);
        command.arg("--ahead").arg(self.sandbox.path("ahead")).arg("-i").arg(self.sandbox.identity()).arg(name).arg(to);
        let run = self.sandbox.finish(&mut command);
        (run.code, run.stderr)
    }
}

fn segment(at: u64) -> String {
    format!("{:08X}{:08X}{:08X}", 1, at >> 32, (at & 0xffff_ffff) / SEGMENT)
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
    let here = |line: &[u8]| line.windows(13).any(|part| part == b"pg_receivewal") && contains(line, dir);
    let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        here(&fs::read(entry.path().join("cmdline")).ok()?).then_some(pid)
    });
    pids.collect()
}

fn contains(line: &[u8], dir: &Path) -> bool {
    let dir = dir.as_os_str().as_encoded_bytes();
    line.windows(dir.len()).any(|part| part == dir)
}

pub fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

/// Under load, receiver and writer are killed again and again. In the end the vault has every byte of the log that the
/// server wrote since the journal began, and a gap that somebody makes is told with both ends, and stops a recovery.
#[test]
fn kills_lose_nothing_and_a_gap_is_told() {
    let place = Place::new();
    let mut run = place.run();
    until("receiving", || !receivers(&place.sandbox.path("")).is_empty());
    for round in 0_u32..4 {
        place.insert(3000);
        thread::sleep(Duration::from_millis(u64::from(round * 137 % 500)));
        if round % 2 == 0 {
            receivers(&place.sandbox.path("")).into_iter().for_each(kill);
        } else {
            run.kill().unwrap();
            run.wait().unwrap();
            run = place.run();
        }
        place.insert(2000);
    }
    // A second receiver is refused while this one lives.
    until("receiving", || !receivers(&place.sandbox.path("")).is_empty());
    let second = place.sandbox.writer(&["journal", "run", "--until-idle"]);
    assert_eq!(second.code, 75, "{}", second.stderr);
    // What is committed is there after the flush, without anybody asking for more.
    let committed = place.flushed();
    until("the flush", || place.reached() >= committed);
    let _ = rustix::process::kill_process(rustix::process::Pid::from_child(&run), rustix::process::Signal::TERM);
    assert!(run.wait().unwrap().success(), "{}", fs::read_to_string(place.sandbox.path("run.log")).unwrap());
    assert!(receivers(&place.sandbox.path("")).is_empty(), "nothing is left behind");

    for _ in 0..2 {
        place.insert(10);
        let run = place.sandbox.writer(&["journal", "run", "--until-idle", "--json"]).ok();
        assert_eq!(run.json()["result"]["sources"][0]["gaps"], serde_json::json!([]));
    }

    let list = place.list();
    assert_eq!(list.as_array().map(Vec::len), Some(1), "{list}");
    assert_eq!(list[0]["gaps"], serde_json::json!([]));
    let from = u64::from_str_radix(list[0]["stretches"][0]["from"].as_str().unwrap(), 16).unwrap();
    let reached = place.reached();
    assert!(reached > from + SEGMENT, "the load fills more than a segment");
    let out = place.sandbox.path("segment");
    for at in (from..reached).step_by(usize::try_from(SEGMENT).unwrap()) {
        let (code, said) = place.fetch(&segment(at), &out);
        assert_eq!(code, 0, "{said}");
        let whole = usize::try_from(SEGMENT.min(reached - at)).unwrap();
        let (ours, theirs) =
            (fs::read(&out).unwrap(), fs::read(place.server.data().join("pg_wal").join(segment(at))).unwrap());
        assert!(ours[..whole] == theirs[..whole], "{} is not what the server wrote", segment(at));
        assert!(ours.len() == theirs.len() && ours[whole..].iter().all(|byte| *byte == 0));
    }
    another_journal(&place);
    // Nothing is there beyond: recovery ends in good order.
    assert_eq!(place.fetch(&segment(reached + SEGMENT), &out).0, 1);
    assert_eq!(place.fetch("00000002.history", &out).0, 1);

    // A piece goes that no other holds too, as one does that was put and not remembered.
    let pieces: Vec<((u64, u64), PathBuf)> = pieces(&place.sandbox.path("vault")).into_iter().collect();
    let gone = pieces.len() - 2;
    assert!(pieces[gone - 1].0.1 <= pieces[gone].0.0 && pieces[gone].0.1 <= pieces[gone + 1].0.0, "{pieces:?}");
    fs::remove_file(&pieces[gone].1).unwrap();
    let listed = place.list();
    let gap = &listed[0]["gaps"][0];
    let hex = |end: &str| u64::from_str_radix(gap[end].as_str().unwrap(), 16).unwrap();
    assert_eq!((hex("from"), hex("to")), pieces[gone].0);
    let at = u64::from_str_radix(gap["from"].as_str().unwrap(), 16).unwrap();
    fs::remove_dir_all(place.sandbox.path("ahead")).unwrap();
    let (code, said) = place.fetch(&segment(at), &out);
    assert_eq!(code, 255, "{said}");
    assert!(said.contains("a gap") && said.contains(gap["to_lsn"].as_str().unwrap()), "{said}");
    // A base brings some of the log with it, which the server then takes.
    let beside = place.sandbox.path(&segment(at));
    fs::copy(place.server.data().join("pg_wal").join(segment(at)), &beside).unwrap();
    assert_eq!(place.fetch(&segment(at), &out).0, 1);
    nothing_else_looks_like_the_end(&place);
}

/// Whatever else goes wrong must not look like the end of the log either.
fn nothing_else_looks_like_the_end(place: &Place) {
    let wrong = place.sandbox.run(&["journal", "fetch", "--no-such-option"]);
    assert_eq!(wrong.code, 255);
    // A standby asks again, so that an outage of the vault does not end it.
    let away = |standby: bool| {
        let dir = place.sandbox.path("standby");
        fs::create_dir_all(&dir).unwrap();
        if standby {
            fs::write(dir.join("standby.signal"), "").unwrap();
        }
        let mut command = place.sandbox.command();
        command.current_dir(&dir).args([
            "--vault",
            "file:///no/such/vault",
            "journal",
            "fetch",
            "--source",
            "pg",
            "--system",
            "7",
        ]);
        place
            .sandbox
            .finish(command.arg("-i").arg(place.sandbox.identity()).args(["000000010000000000000001", "x"]))
            .code
    };
    assert_eq!((away(false), away(true)), (255, 1));
}

/// What was read ahead of one journal is not given to another, of which segments have the same names.
fn another_journal(place: &Place) {
    let other = Sandbox::with_vault();
    let (ahead, out) = (place.sandbox.path("ahead"), place.sandbox.path("of another"));
    let name = segment(place.reached());
    for part in fs::read_dir(&ahead).unwrap() {
        fs::write(part.unwrap().path().join(&name), vec![7; usize::try_from(SEGMENT).unwrap()]).unwrap();
    }
    let mut command = other.command();
    command
        .args(["--vault", &other.url(), "journal", "fetch", "--source", "pg", "--system", "7", "--ahead"])
        .arg(&ahead);
    let run = other.finish(command.arg("-i").arg(other.identity()).arg(&name).arg(&out));
    assert!(run.code == 255 && !out.exists(), "{}: {}", run.code, run.stderr);
    let (code, said) = place.fetch(&name, &out);
    assert!(code == 0 && out.exists(), "what was planted is found: {said}");
    assert_eq!(place.fetch(&segment(place.reached() + SEGMENT), &out).0, 1);
    let left = || fs::read_dir(&ahead).unwrap().flatten().flat_map(|part| fs::read_dir(part.path()).unwrap()).flatten();
    assert!(left().all(|one| one.file_name().len() != 24), "nothing of the database stays at the end of the log");
}

/// The pieces in a vault's directory, by what they hold.
fn pieces(vault: &Path) -> BTreeMap<(u64, u64), PathBuf> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![vault.join("journals")];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap().flatten() {
            let (name, path) = (entry.file_name().into_string().unwrap(), entry.path());
            let at = |range: std::ops::Range<usize>| u64::from_str_radix(name.get(range)?, 16).ok();
            if path.is_dir() {
                dirs.push(path);
            } else if let (Some(from), Some(to), true) =
                (at(0..16), at(17..33), Path::new(&name).extension().is_some_and(|end| end == "age"))
            {
                found.insert((from, to), path);
            }
        }
    }
    found
}

/// With a vault that is away the spool stays within its bounds, and the slot holds the rest. What the server then removes all
/// the same is told with both ends, once, and the journal goes on behind it. Segments are small ones.
#[test]
fn the_spool_is_bounded_and_what_the_server_removed_is_told() {
    let settings = ["max_wal_senders=6", "min_wal_size=2MB", "max_wal_size=4MB", "wal_writer_delay=20ms"];
    let server = Postgres::start_as(&["--wal-segsize=1"], &settings);
    let place = Place::of(server, ", spool = \"64MiB\", every = \"1m\"");
    let mut run = place.run();
    until("receiving", || !receivers(&place.sandbox.path("")).is_empty());
    place.insert(100);
    until("the flush", || place.reached() >= place.flushed());

    let (vault, away) = (place.sandbox.path("vault"), place.sandbox.path("away"));
    fs::rename(&vault, &away).unwrap();
    let log = || fs::read_to_string(place.sandbox.path("run.log")).unwrap();
    let mut most = 0;
    until("the pause", || {
        place.insert(5000);
        most = most.max(spooled(&place.sandbox.path("")));
        log().contains("[paused]")
    });
    place.insert(30_000);
    most = most.max(spooled(&place.sandbox.path("")));
    assert!((60..=80).contains(&(most >> 20)), "{most} bytes in a spool of 64 MiB");
    fs::rename(&away, &vault).unwrap();
    until("the rest", || place.reached() >= place.flushed());
    let _ = rustix::process::kill_process(rustix::process::Pid::from_child(&run), rustix::process::Signal::TERM);
    assert!(run.wait().unwrap().success(), "{}", log());
    assert_eq!(place.list()[0]["gaps"], serde_json::json!([]), "{}", log());

    // Somebody removes the slot, and the server what it held.
    let before = place.reached();
    place.server.sql("postgres", "select pg_drop_replication_slot('strongroom')");
    place.insert(8000);
    place.server.sql("postgres", "checkpoint");
    place.server.sql("postgres", "select pg_switch_wal()");
    place.server.sql("postgres", "checkpoint");
    let run = place.sandbox.writer(&["journal", "run", "--until-idle", "--json"]);
    assert_eq!(run.code, 5, "{}", run.stderr);
    let document = run.json();
    let gaps = document["result"]["sources"][0]["gaps"].as_array().unwrap().clone();
    let [gap] = &gaps[..] else { panic!("{gaps:?}") };
    let hex = |end: &str| u64::from_str_radix(gap[end].as_str().unwrap(), 16).unwrap();
    assert!(hex("from") == before && hex("to") > before + (1 << 20), "{gap}");
    let list = place.list();
    assert_eq!((&list[0]["gaps"][0]["from"], &list[0]["gaps"][0]["to"]), (&gap["from"], &gap["to"]));
    assert!(place.reached() >= place.flushed());

    // A server that writes nothing is no receiver that receives nothing: the end of its log is there once more.
    let pieces = |list: &Value| list[0]["pieces"].as_u64().unwrap();
    let run = place.sandbox.writer(&["journal", "run", "--until-idle"]).ok();
    assert!(run.stderr.contains("[still]") || run.stderr.contains("[shipped]"), "{}", run.stderr);
    assert!(pieces(&place.list()) > pieces(&list));
}

/// How many bytes the files of the spool below `dir` have.
fn spooled(dir: &Path) -> u64 {
    let mut all = 0;
    let mut dirs = vec![dir.join("etc/state")];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_dir() {
                dirs.push(entry.path());
            } else if entry.path().parent().is_some_and(|dir| dir.ends_with("wal")) {
                all += meta.len();
            }
        }
    }
    all
}
