//! Any second between two bases: a data directory that a stock server starts on and that stops where it was told to.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value;
use strongroom::{
    format::writer_key,
    model::{
        Cancel, Clock, Silent, Time,
        journal::{Line, Position, Span},
    },
    store::local::LocalStore,
    vault::{
        journal::{JournalWriter, Stretch},
        writer::Workplace,
    },
};

use crate::{
    sandbox::{Run, Sandbox},
    server::{Postgres, as_server, bin, run},
};

pub const SEGMENT: u64 = 16 << 20;

struct Now;

impl Clock for Now {
    fn now(&self) -> Time {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Time::from_unix(i64::try_from(now.as_secs()).unwrap())
    }
}

/// A vault with bases and the log of a server.
pub struct Lab {
    pub server: Postgres,
    pub sandbox: Sandbox,
    pub out: tempfile::TempDir,
    line: Line,
    pub shipped: Position,
}

impl Lab {
    pub fn new() -> Self {
        let server = Postgres::start_with(&[
            "wal_keep_size=1GB",
            "autovacuum=off",
            "track_commit_timestamp=on",
            "max_prepared_transactions=5",
        ]);
        let space = server.dir().join("space");
        run(as_server("mkdir").arg(&space));
        server.sql("postgres", &format!("create tablespace far location '{}'", space.display()));
        server.sql(
            "postgres",
            "create table t (id int, at timestamptz default clock_timestamp()); create table f (i int) tablespace far",
        );
        let sandbox = Sandbox::with_vault();
        let config = fs::read_to_string(sandbox.config()).unwrap();
        let source = format!(
            "\n[[source]]\nname = \"cluster\"\nkind = \"postgres\"\nphysical = true\ndsn = \"{}\"\n",
            server.dsn("postgres")
        );
        fs::write(sandbox.config(), config + &source).unwrap();
        let out = tempfile::Builder::new().prefix("strongroom-recover-").tempdir().unwrap();
        fs::set_permissions(out.path(), fs::Permissions::from_mode(0o711)).unwrap();
        let system = server.sql("postgres", "select to_hex(system_identifier) from pg_control_system()");
        let line = format!("pg-{system:0>16}-00000001").parse().unwrap();
        let mut lab = Self { server, sandbox, out, line, shipped: Position(0) };
        lab.shipped = Position(lab.lsn().0 / SEGMENT * SEGMENT);
        lab
    }

    pub fn lsn(&self) -> Position {
        Position::from_lsn(&self.server.sql("postgres", "select pg_current_wal_flush_lsn()")).unwrap()
    }

    pub fn base(&self) {
        self.sandbox.writer(&["backup", "cluster"]).ok();
    }

    /// A row in a transaction of its own, which is returned.
    pub fn row(&self, id: u32) -> u64 {
        let sql =
            format!("begin; insert into t values ({id}); insert into f values ({id}); select txid_current(); commit");
        self.server.sql("postgres", &sql).parse().unwrap()
    }

    pub fn now(&self) -> String {
        self.server.sql(
            "postgres",
            "select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')",
        )
    }

    /// Puts the log that is not in the vault yet, in pieces of a few bytes to a few pages.
    pub fn ship(&mut self) {
        // Before it is asked where the log ends, as `journal run` does.
        let covers = Now.now();
        let (from, to) = (self.shipped, self.lsn());
        self.put(&self.server.data(), (1, None), (from, to), Some(covers));
        self.shipped = to;
    }

    /// Puts the log of a timeline out of a data directory, with its history.
    pub fn put(
        &self,
        data: &Path,
        (timeline, history): (u32, Option<&[u8]>),
        (from, to): (Position, Position),
        covers: Option<Time>,
    ) {
        let writer = writer_key::open(&fs::read(self.sandbox.path("etc/writer.key")).unwrap()).unwrap();
        let store = Arc::new(LocalStore::open(self.sandbox.path("vault"), Arc::new(Now)).unwrap());
        let place = Workplace {
            store,
            writer: Arc::new(writer),
            clock: Arc::new(Now),
            progress: Arc::new(Silent),
            cancel: Cancel::default(),
        };
        let journal = JournalWriter::new(place, "cluster".parse().unwrap(), None).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let line = Line::postgres(self.line.postgres_parts().unwrap().0, timeline);
        if let Some(history) = history {
            runtime.block_on(journal.put_history(&line, history, Now.now())).unwrap();
        }
        let mut at = from.0;
        let mut step = 100_003;
        while at < to.0 {
            let end = (at / SEGMENT * SEGMENT + SEGMENT).min(to.0).min(at + step);
            let name = format!("{timeline:08X}{:08X}{:08X}", at >> 32, (at & 0xffff_ffff) / SEGMENT);
            let file = fs::read(data.join("pg_wal").join(name)).unwrap();
            let bytes = &file[usize::try_from(at % SEGMENT).unwrap()..][..usize::try_from(end - at).unwrap()];
            let span = Span::new(Position(at), Position(end)).unwrap();
            let covers = covers.filter(|_| end == to.0);
            let stretch = Stretch { span, log: bytes.to_vec().into(), hash: None, covers };
            runtime.block_on(journal.put_stretch(&line, stretch, Now.now())).unwrap();
            (at, step) = (end, step * 3 % 7_000_003);
        }
    }

    pub fn recover(&self, to: &str, name: &str, more: &[&str]) -> Run {
        let dir = self.out.path().join(name);
        let dir = dir.to_str().unwrap();
        let args = ["restore", "latest", "--source", "cluster", "--recover-to", to, "--to", dir, "--json"];
        self.sandbox.reader(&[&args, more].concat())
    }

    /// Recovers to a point, starts a stock server there and asks it which rows there are.
    pub fn rows(&self, to: &str, name: &str, more: &[&str]) -> (Value, String) {
        let told = self.recover(to, name, more).ok().json()["result"].clone();
        let dir = self.out.path().join(name);
        let rows = started(&dir, &dir.join("cluster"), "select string_agg(id::text, ',' order by id) from t");
        fs::remove_dir_all(&dir).unwrap();
        (told, rows)
    }

    /// The objects of the log in the vault, in their order.
    fn pieces(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut open = vec![self.sandbox.path("vault/journals")];
        while let Some(path) = open.pop() {
            if path.is_dir() {
                open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            } else if path.extension().is_some_and(|ext| ext == "age") {
                found.push(path);
            }
        }
        found.sort();
        found
    }
}

/// Starts a server on `data` with what packages install, and asks it once it is open for writing.
pub fn started(dir: &Path, data: &Path, sql: &str) -> String {
    started_with(dir, data, |ask| ask(sql))
}

/// The same, for several questions.
pub fn started_with<T>(dir: &Path, data: &Path, work: impl FnOnce(&dyn Fn(&str) -> String) -> T) -> T {
    run(Command::new("chown").arg("-R").arg("postgres:").arg(dir));
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let log = dir.join("log");
    let mut start = as_server(bin("pg_ctl"));
    start.args(["-w", "-t", "60", "-D"]).arg(data).arg("-l").arg(&log);
    start
        .arg("-o")
        .arg(format!("-h '' -c fsync=off -c max_prepared_transactions=5 -p {port} -k {}", dir.display()))
        .arg("start");
    let ok = start.output().unwrap().status.success();
    assert!(ok, "{}", fs::read_to_string(&log).unwrap_or_default());
    let ask = |sql: &str| {
        let mut psql = Command::new(bin("psql"));
        psql.args(["-X", "-A", "-t", "-q", "-U", "postgres", "-d", "postgres", "-c", sql]);
        let told = run(psql.env("PGHOST", dir).env("PGPORT", port.to_string()));
        String::from_utf8(told.stdout).unwrap().trim().to_owned()
    };
    let end = Instant::now() + Duration::from_mins(1);
    while ask("select pg_is_in_recovery()") != "f" {
        assert!(Instant::now() < end, "{}", fs::read_to_string(&log).unwrap_or_default());
        std::thread::sleep(Duration::from_millis(50)); // nothing tells when a server has recovered
    }
    let told = work(&ask);
    assert_eq!(
        ask("select count(*) from f"),
        ask("select count(*) from t where id > 0"),
        "the tablespace is as the rest"
    );
    run(as_server(bin("pg_ctl")).args(["-w", "-m", "immediate", "-D"]).arg(data).arg("stop"));
    told
}

#[test]
fn an_accident_is_undone_to_the_transaction_before_it() {
    let mut lab = Lab::new();
    lab.base();
    lab.row(1);
    let second = lab.row(2);
    lab.server.sql("postgres", "select pg_create_restore_point('before the migration')");
    std::thread::sleep(Duration::from_millis(20)); // two commits that a time tells apart
    let (before, at) = (lab.lsn(), lab.now());
    let accident = lab.server.sql("postgres", "begin; delete from t; delete from f; select txid_current(); commit");
    lab.row(4);
    lab.ship();

    let at_lsn = format!("lsn:{:X}/{:X}", before.0 >> 32, before.0 & 0xffff_ffff);
    let at_xid = format!("xid:{accident}");
    let check = |lab: &Lab, (point, more): (&str, &[&str])| {
        let (told, rows) = lab.rows(point, "back", more);
        assert_eq!(rows, "1,2", "{point}: {told:#}");
        assert_eq!(told["recovery"]["last_commit_xid"], second, "{told:#}");
    };
    check(&lab, (&at_xid, &["--exclusive"]));
    check(&lab, (&at, &[]));
    check(&lab, ("name:before the migration", &[]));

    // A base from after the accident is none for a point before it.
    lab.base();
    let fifth = lab.row(5);
    lab.ship();
    check(&lab, (&at_lsn, &["--exclusive"]));
    let (old, new) = (lab.server.dir().join("space"), lab.out.path().join("newest/mapped"));
    let (told, rows) =
        lab.rows("latest", "newest", &["--tablespace-map", &format!("{}={}", old.display(), new.display())]);
    assert_eq!(rows, "4,5", "{told:#}");
    assert_eq!((&told["recovery"]["gap"], &told["recovery"]["last_commit_xid"]), (&Value::Null, &Value::from(fifth)));

    // A map that means none of them is a mistake.
    lab.recover("latest", "mistaken", &["--tablespace-map", "/no/such=/srv/x"])
        .code(2)
        .told("no tablespace at /no/such");

    // A drill goes there too, and tells how old what comes back is.
    let drill = &lab.sandbox.reader(&["drill", "cluster", "--json"]).ok().json()["result"]["drills"][0];
    assert_eq!(drill["recovery"]["last_commit_xid"], fifth, "{drill:#}");
    assert!(drill["rpo_s"].as_u64().unwrap() < 60, "{drill:#}");
    for name in ["pg_verifybackup", "recovered to the end of its log", "database postgres: amcheck"] {
        let check = drill["checks"].as_array().unwrap().iter().find(|check| check["name"] == name);
        assert!(check.is_some_and(|check| check["status"] == "pass"), "{name}: {drill:#}");
    }
}

#[test]
fn a_point_that_can_t_be_had_is_told_and_a_gap_is_never_bridged() {
    let mut lab = Lab::new();
    let early = lab.now();
    lab.base();
    lab.row(1);
    lab.server.sql("postgres", "create table filler as select repeat('x', 500) from generate_series(1, 20000)");
    lab.row(2);
    std::thread::sleep(Duration::from_millis(20));
    let at = lab.now();
    // What is committed next tells that the log has all until then; the piece that will be gone begins behind it.
    lab.server.sql("postgres", "create table next ()");
    lab.server.sql("postgres", "create table more as select repeat('x', 500) from generate_series(1, 20000)");
    lab.row(3);
    lab.ship();
    let refused = |lab: &Lab, point: &str, word: &str| {
        let run = lab.recover(point, "refused", &[]);
        assert_eq!(run.code, 1, "{}", run.stderr);
        let told = run.json();
        assert_eq!(told["error"]["kind"], "not-recoverable", "{told:#}");
        assert!(told["error"]["message"].as_str().unwrap().contains(word), "{told:#}");
        assert_eq!(fs::read_dir(lab.out.path().join("refused")).unwrap().count(), 0, "nothing is left");
    };
    refused(&lab, &early, "before the oldest base");
    refused(&lab, "2020-01-01T00:00:00Z", "before the oldest base");
    refused(&lab, "2200-01-01T00:00:00Z", "the last transaction before that");
    refused(&lab, "name:never", "is not in the log");
    // Nothing happened since: the state then is the state at the end of the log.
    let later = lab.now();
    std::thread::sleep(Duration::from_millis(1100));
    lab.server.sql("postgres", "select pg_switch_wal()");
    lab.ship();
    let (told, rows) = lab.rows(&later, "quiet", &[]);
    assert_eq!(rows, "1,2,3", "{told:#}");

    // One object of the log is gone: what is before it can be had, and nothing behind it.
    let pieces = lab.pieces();
    let base_end = Position::from_lsn(told["recovery"]["log_from"].as_str().unwrap()).unwrap();
    let last = Position::from_lsn(told["recovery"]["stop"].as_str().unwrap()).unwrap();
    let from = |path: &Path| path.file_name().unwrap().to_str().unwrap()[..16].parse::<Position>().unwrap();
    let gone = pieces.iter().rfind(|path| from(path) > base_end && from(path) < last).unwrap();
    fs::remove_file(gone).unwrap();
    let told = lab.recover("latest", "gap", &[]).code(4).json();
    let gap = &told["result"]["recovery"]["gap"];
    assert_eq!(Position::from_lsn(gap[0].as_str().unwrap()).unwrap(), from(gone), "{told:#}");
    assert!(told["findings"].to_string().contains("journal.gap"), "{told:#}");
    let dir = lab.out.path().join("gap");
    let rows = started(&dir, &dir.join("cluster"), "select string_agg(id::text, ',' order by id) from t");
    assert!(rows.starts_with("1,2"), "{rows}");
    refused(&lab, "2200-01-01T00:00:00Z", "missing or damaged");
    let drill = &lab.sandbox.reader(&["drill", "cluster", "--json"]).code(6).json()["result"]["drills"][0];
    assert!(drill["checks"].to_string().contains("log without a gap"), "{drill:#}");
    let (_, rows) = lab.rows(&at, "before", &[]);
    assert_eq!(rows, "1,2");
}

#[test]
fn a_recovery_goes_along_the_timelines_that_a_base_leads_to() {
    let mut lab = Lab::new();
    lab.base();
    lab.row(1);
    lab.ship();
    // A server that was recovered goes on in a timeline of its own, and its origin in the old one.
    let dir = lab.out.path().join("second");
    lab.recover("latest", "second", &[]).ok();
    let data = dir.join("cluster");
    let to = started_with(&dir, &data, |ask| {
        ask("insert into t values (2); insert into f values (2)");
        let to = Position::from_lsn(&ask("select pg_current_wal_flush_lsn()")).unwrap();
        lab.put(
            &data,
            (2, Some(&fs::read(data.join("pg_wal/00000002.history")).unwrap())),
            (Position(to.0 / SEGMENT * SEGMENT), to),
            None,
        );
        to
    });
    lab.row(3);
    lab.ship();
    let (told, rows) = lab.rows("latest", "newest", &[]);
    assert_eq!((rows.as_str(), &told["recovery"]["timeline"]), ("1,2", &Value::from(2)), "{told:#}");
    assert!(Position::from_lsn(told["recovery"]["stop"].as_str().unwrap()).unwrap() < to, "{told:#}");
    let (told, rows) = lab.rows("latest", "old", &["--timeline", "1"]);
    assert_eq!((rows.as_str(), &told["recovery"]["timeline"]), ("1,3", &Value::from(1)), "{told:#}");
    let refused = lab.recover("latest", "none", &["--timeline", "7"]).code(2).json();
    assert!(refused["error"]["message"].as_str().unwrap().contains("timelines 1, 2"), "{refused:#}");
}

/// Changes a byte of a file, unseen by who looks at size and time alone, adds a stranger, and has a directory lead outside.
fn disturbed(data: &Path, path: &Path, outside: &Path) -> Vec<u8> {
    let (mut bytes, time) = (fs::read(path).unwrap(), fs::metadata(path).unwrap().modified().unwrap());
    let right = bytes.clone();
    bytes[5_000_000] ^= 0x10;
    fs::write(path, &bytes).unwrap();
    fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    fs::write(data.join("base/stranger"), "x").unwrap();
    fs::create_dir(outside).unwrap();
    fs::write(outside.join("0000"), "of others").unwrap();
    fs::remove_dir_all(data.join("pg_xact")).unwrap();
    std::os::unix::fs::symlink(outside, data.join("pg_xact")).unwrap();
    right
}

/// A base as it was copied; then, with the server stopped, the same directory as the next base has it, and to a point.
#[test]
fn a_data_directory_that_is_there_becomes_another_and_nothing_else_is_touched() {
    let mut lab = Lab::new();
    lab.server.sql(
        "postgres",
        "create table big as select i, repeat(md5(i::text), 20) as t from generate_series(1, 40000) i",
    );
    lab.row(1);
    lab.base();
    lab.row(2);
    lab.ship();
    let dir = lab.out.path().join("here");
    let data = dir.join("cluster");
    let to = dir.to_str().unwrap();
    let latest = ["restore", "latest", "--source", "cluster", "--to", to];
    let plain = |more: &[&str]| lab.sandbox.reader(&[latest.as_slice(), &["--data-directory"], more].concat());
    let told = plain(&["--json"]).ok().json();
    assert_eq!(
        (&told["result"]["data_directory"], &told["result"]["kept"]["bytes"]),
        (&Value::Bool(true), &Value::from(0))
    );
    assert!(!data.join("recovery.signal").exists() && !data.join("strongroom_wal").exists());
    run(Command::new(bin("pg_verifybackup")).args(["-i", "tablespace_map"]).arg(&data));
    let ids = "select string_agg(id::text, ',' order by id) from t";
    assert_eq!(started(&dir, &data, ids), "1", "as it was copied");

    // It is there: kept unless it is said, and refused while a server runs, or if it is something else.
    plain(&[]).code(2).says("already exists");
    started_with(&dir, &data, |_| plain(&["--delta"]).code(2).says("a server that runs"));
    fs::remove_file(data.join("postmaster.pid")).ok();
    let control = data.join("global/pg_control");
    let was = fs::read(&control).unwrap();
    fs::write(&control, [&[7; 8], &was[8..]].concat()).unwrap();
    plain(&["--delta"]).code(2).says("of another server");
    fs::rename(&control, dir.join("control")).unwrap();
    plain(&["--delta"]).code(2).says("not a data directory");
    fs::write(&control, &was).unwrap();
    assert_eq!(started(&dir, &data, ids), "1", "nothing was changed");

    // A byte of a large file, with size and time as they were, a stranger and a link that leads out.
    let path = data.join(lab.server.sql("postgres", "select pg_relation_filepath('big')"));
    let outside = lab.out.path().join("outside");
    let right = disturbed(&data, &path, &outside);
    let to_latest = |more: &[&str]| lab.recover("latest", "here", more);
    let told = to_latest(&["--delta"]).ok().json()["result"].clone();
    let (all, kept, fetched) = (&told["bytes"], &told["kept"]["bytes"], &told["fetched_bytes"]);
    assert!(kept.as_u64().unwrap() > all.as_u64().unwrap() / 2, "{kept} of {all}, {fetched} fetched");
    assert!(fs::read(&path).unwrap() == right && !data.join("base/stranger").exists());
    assert_eq!(fs::read(outside.join("0000")).unwrap(), b"of others");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(started(&dir, &data, ids), "1,2");

    // One that was killed is gone on with, and another base is no hindrance.
    lab.row(3);
    lab.base();
    lab.row(4);
    lab.ship();
    let partial = dir.join(".strongroom-cluster.partial");
    fs::write(dir.join(".strongroom-restore-cluster.json"), "").unwrap();
    fs::rename(&data, &partial).unwrap();
    run(Command::new("chown").arg("root:").arg(&partial));
    fs::remove_dir_all(partial.join("pg_multixact")).unwrap();
    let space = fs::read_dir(dir.join("cluster.tablespaces")).unwrap().next().unwrap().unwrap().path();
    fs::rename(&space, space.with_file_name(format!(".strongroom-{}.partial", space.file_name().unwrap().display())))
        .unwrap();
    let told = lab.recover("latest", "here", &[]);
    let told = told.ok().json()["result"].clone();
    let (all, kept) = (&told["bytes"], &told["kept"]["bytes"]);
    assert!(kept.as_u64().unwrap() > all.as_u64().unwrap() / 2, "{kept} of {all}");
    assert_eq!(started(&dir, &data, ids), "1,2,3,4");
    let mut left: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert!(left.iter().all(|name| !name.display().to_string().starts_with(".strongroom")), "{left:?}");
}
