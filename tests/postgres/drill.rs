//! The throwaway server: what was backed up passes, what is not it fails, and what is hostile stays inside.

use std::{
    fs,
    io::{Read, Seek, SeekFrom, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use strongroom::{
    engine::{self, Check, Engine, Place, Restored, RestoredStream, Status},
    model::{FileMeta, Hash, SourceKind},
    source::{Facts, Source, postgres::PostgresOptions, scratch::Scratch},
};

use crate::{
    place::{Writers, everything, options},
    server::{Postgres, bin},
};

/// How long a query may take.
const LIMIT: Duration = Duration::from_mins(2);

/// A backup in a private directory, as a drill restores one.
struct Backup {
    scratch: Scratch,
    restored: Restored,
}

impl Backup {
    fn take(options: PostgresOptions) -> Self {
        let scratch = Scratch::new().unwrap();
        let streams = scratch.path().join("streams");
        fs::create_dir(&streams).unwrap();
        fs::set_permissions(&streams, fs::Permissions::from_mode(0o700)).unwrap();
        let mut source = strongroom::source::PostgresSource::new(options);
        let mut reading = source.open().unwrap();
        let mut all = Vec::new();
        while let Some(mut stream) = reading.next_stream().unwrap() {
            let file = streams.join(stream.name.as_str());
            let mut out = fs::File::create(&file).unwrap();
            let bytes = std::io::copy(&mut stream.reader, &mut out).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
            let (name, meta) = (stream.name, FileMeta::default());
            all.push(RestoredStream { name, file, bytes, blake3: Hash::from_bytes([0; 32]), meta });
        }
        let Facts { details, fingerprints, .. } = reading.finish().unwrap();
        let restored = Restored {
            source: "shop".parse().unwrap(),
            kind: SourceKind::Postgres,
            streams: all,
            repository: None,
            details,
            fingerprints,
            cluster: None,
            log: None,
        };
        Self { scratch, restored }
    }

    fn file(&self, name: &str) -> &Path {
        &self.restored.stream(&name.parse().unwrap()).unwrap().file
    }

    /// A server that took the backup.
    fn engine(&self) -> engine::Result<Box<dyn Engine>> {
        let dir: PathBuf = self.scratch.path().join("engine");
        let mut engine = engine::for_kind(
            SourceKind::Postgres,
            &Place {
                dir,
                warden: engine::jail::Warden::find(std::path::Path::new(env!("CARGO_BIN_EXE_strongroom"))).unwrap(),
                ..Place::default()
            },
        )?;
        engine.load(&self.restored)?;
        Ok(engine)
    }
}

fn wrong(checks: &[Check]) -> Vec<String> {
    let wrong = checks.iter().filter(|check| check.status != Status::Pass);
    wrong.map(|c| format!("{}: {:?} {:?}", c.name, c.expected, c.actual)).collect()
}

/// Runs SQL in the throwaway server, by what it tells of itself.
fn change(engine: &dyn Engine, database: &str, sql: &str) {
    let mut command = Command::new(bin("psql"));
    command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", sql]).envs(engine.access());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_backup_taken_under_load_passes_and_one_changed_row_fails_by_its_tables_name() {
    let server = everything("shop");
    let dir = tempfile::tempdir().unwrap();
    let writers = Writers::start(&server, "shop", dir.path());
    let backup = Backup::take(options(&server, "shop"));
    drop(writers);
    drop(server);
    let mut engine = backup.engine().unwrap();
    assert!(engine.describe().starts_with("postgres "), "{}", engine.describe());
    let checks = engine.check(&backup.restored);
    assert_eq!(wrong(&checks), [""; 0]);
    let named = |name: &str| checks.iter().any(|check| check.name == name);
    assert!(named("fingerprint shop: shop.kinds") && named("roles") && named("database shop: amcheck"), "{checks:?}");
    let told = engine.query(
        None,
        "select string_agg(rolname, ',' order by rolname) from pg_roles where rolname ~* 'app|r.le'",
        LIMIT,
    );
    assert_eq!(told.unwrap(), "Odd Röle,app");
    assert_eq!(engine.query(Some("shop"), "select 'a' || chr(10) || 'b' as v, 2", LIMIT).unwrap(), "a\nb");
    assert_eq!(engine.query(None, "select 1 where false", LIMIT).unwrap(), "");
    assert!(engine.query(None, "select nonsense", LIMIT).unwrap_err().to_string().contains("nonsense"));
    change(&*engine, "shop", "update shop.kinds set bits = B'1' where id = 5");
    let now = wrong(&engine.check(&backup.restored));
    assert_eq!(now.len(), 1, "{now:?}");
    assert!(now[0].starts_with("fingerprint shop: shop.kinds: "), "{now:?}");

    // Nothing of it is left.
    let (path, text) = (backup.scratch.path().to_owned(), backup.scratch.path().display().to_string());
    drop(engine);
    drop(backup);
    assert!(!path.exists());
    let running = Command::new("pgrep").args(["-f", &text]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&running.stdout), "");
}

#[test]
fn large_tables_in_archives_of_their_own_come_together_again() {
    let server = Postgres::start();
    server.create("shop");
    let sql = "create table large as select i, repeat(md5(i::text), 30) t from generate_series(1, 45000) i; \
               alter table large add primary key (i); create table small (i int references large); insert into small values (3)";
    server.sql("shop", sql);
    let mut several = options(&server, "shop");
    (several.jobs, several.globals) = (2, false);
    let backup = Backup::take(several);
    assert_eq!(backup.restored.streams.len(), 2);
    let mut engine = backup.engine().unwrap();
    assert_eq!(wrong(&engine.check(&backup.restored)), [""; 0]);
}

#[test]
fn a_dump_that_is_damaged_is_not_taken() {
    let server = everything("shop");
    let backup = Backup::take(options(&server, "shop"));
    let length = fs::metadata(backup.file("shop.dump")).unwrap().len();
    fs::OpenOptions::new().write(true).open(backup.file("shop.dump")).unwrap().set_len(length / 2).unwrap();
    let error = backup.engine().err().expect("half a dump was taken").to_string();
    assert!(error.contains("pg_restore"), "{error}");
}

/// What a dump of roles holds besides roles is not run, and a dump that starts a program does not load: the server can start
/// nothing but itself.
#[test]
fn a_hostile_dump_runs_nothing_outside_of_the_throwaway_server() {
    let server = Postgres::start();
    server.create("shop");
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let ran = place.path().join("ran");
    server.sql(
        "shop",
        &format!(
            "create function run() returns bool language plpgsql as $f$ begin if current_setting('port') = '5432' then \
             copy (select 1) to program 'cat >{}'; end if; return true; end $f$; \
             create table trap (n int check (public.run())); insert into trap values (1)",
            ran.display()
        ),
    );
    let backup = Backup::take(options(&server, "shop"));
    let mut globals = fs::OpenOptions::new().append(true).open(backup.file("globals.sql")).unwrap();
    let lines = format!(
        "\\! touch {0}.globals\nCREATE TABLE x (y int);\nCOPY x FROM PROGRAM 'touch {0}.copy';\n",
        ran.display()
    );
    globals.write_all(lines.as_bytes()).unwrap();
    drop(globals);
    let error = backup.engine().err().expect("it started a program").to_string();
    assert!(error.contains("could not execute") || error.contains("program \"cat"), "{error}");
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
}

#[test]
fn a_copied_cluster_is_verified_and_started_and_a_damaged_one_fails() {
    let server = everything("shop");
    server.sql("postgres", "alter system set restore_command = 'touch /tmp/strongroom-never'");
    let dir = tempfile::tempdir().unwrap();
    let writers = Writers::start(&server, "shop", dir.path());
    let table = server.sql("shop", "select pg_relation_filepath('shop.kinds')");
    let place = server.dir().join("space");
    crate::server::run(crate::server::as_server("mkdir").arg(&place));
    server.sql("shop", &format!("create tablespace elsewhere location '{}'", place.display()));
    server.sql("shop", "create table far tablespace elsewhere as select generate_series(1, 1000) i");
    let mut physical = options(&server, "shop");
    physical.physical = true;
    let backup = Backup::take(physical);
    drop(writers);
    let mut engine = backup.engine().unwrap();
    let checks = engine.check(&backup.restored);
    assert_eq!(wrong(&checks), [""; 0]);
    for name in ["pg_verifybackup", "database shop: answers", "database shop: amcheck"] {
        assert!(checks.iter().any(|check| check.name == name), "{name} is not in {checks:?}");
    }
    let kinds = engine.query(Some("shop"), "select count(*) > 403 from shop.kinds", LIMIT).unwrap();
    assert_eq!(kinds, "t");
    assert_eq!(engine.query(Some("shop"), "select sum(i) from far", LIMIT).unwrap(), "500500");
    // What would take rows from the publisher of a cluster that subscribes.
    let appliers = "select count(*) from pg_stat_activity where backend_type like 'logical replication%'";
    assert_eq!(engine.query(Some("shop"), appliers, LIMIT).unwrap(), "0");
    drop(engine);
    fs::remove_dir_all(backup.scratch.path().join("engine")).unwrap();

    // One bit in a table that the start does not look at: the server comes up all the same.
    flip(backup.file("base.tar"), &table);
    let mut engine = backup.engine().unwrap();
    let checks = engine.check(&backup.restored);
    let found = checks.iter().find(|check| check.name == "pg_verifybackup").unwrap();
    assert!(found.status != Status::Pass && found.actual.as_ref().unwrap().contains(&table), "{found:?}");
}

/// What a cluster sets for sessions of its roles and databases makes no drill of it fail.
#[test]
fn a_copied_cluster_may_set_what_it_likes_for_its_sessions() {
    let server = Postgres::start();
    server.create("shop");
    server.sql(
        "shop",
        "create table t (n int primary key); insert into t values (1); create role app; create schema mine",
    );
    let set = "alter database shop set role = 'app'; alter database shop set default_transaction_read_only = on; \
               alter database shop set session_replication_role = replica; alter database shop set search_path = mine; \
               alter database shop set statement_timeout = '9s'; alter role all set idle_session_timeout = '9s'; \
               alter role postgres set default_transaction_read_only = on; alter role postgres set zero_damaged_pages = on";
    server.sql("postgres", set);
    let mut physical = options(&server, "postgres");
    physical.physical = true;
    let backup = Backup::take(physical);
    let mut engine = backup.engine().unwrap();
    let checks = engine.check(&backup.restored);
    assert_eq!(wrong(&checks), [""; 0]);
    assert!(checks.iter().any(|check| check.name == "database shop: amcheck"), "{checks:?}");
    let is = "select concat_ws(' ', current_user, current_setting('default_transaction_read_only'), \
              current_setting('session_replication_role'), current_setting('zero_damaged_pages'), \
              current_setting('idle_session_timeout'), current_setting('search_path'))";
    assert_eq!(engine.query(Some("shop"), is, LIMIT).unwrap(), "postgres off origin off 0 mine");
}

/// A copy of a cluster that subscribes, started while that one is away: it takes nothing from the publisher, and the rows come
/// to where they belong. Unconfined, so that it is the settings that see to it.
#[test]
fn a_copied_subscriber_takes_nothing_from_its_publisher() {
    let publisher = Postgres::start_with(&["wal_level=logical"]);
    let mut subscriber = Postgres::start();
    for server in [&publisher, &subscriber] {
        server.create("shop");
        server.sql("shop", "create table orders (id int primary key)");
    }
    publisher.sql("shop", "create publication p for table orders");
    let dsn = publisher.dsn("shop").replace('\'', "''");
    subscriber.sql("shop", &format!("create subscription s connection '{dsn}' publication p"));
    let until = |server: &Postgres, sql: &str, wanted: &str| {
        let end = std::time::Instant::now() + std::time::Duration::from_mins(1);
        while server.sql("shop", sql) != wanted {
            assert!(std::time::Instant::now() < end, "{sql} is not {wanted}: {}", server.log());
            std::thread::sleep(std::time::Duration::from_millis(50)); // nothing tells when a row was replicated
        }
    };
    publisher.sql("shop", "insert into orders select generate_series(1, 10)");
    until(&subscriber, "select count(*) from orders", "10");
    let mut physical = options(&subscriber, "shop");
    physical.physical = true;
    let backup = Backup::take(physical);
    subscriber.stop();
    publisher.sql("shop", "insert into orders select generate_series(11, 60)");
    let at = "select confirmed_flush_lsn || ' ' || active from pg_replication_slots where slot_name = 's'";
    until(&publisher, "select active from pg_replication_slots where slot_name = 's'", "f");
    let before = publisher.sql("shop", at);
    let place = Place {
        dir: backup.scratch.path().join("engine"),
        warden: engine::jail::Warden::unconfined().unwrap(),
        ..Place::default()
    };
    let mut engine = engine::for_kind(SourceKind::Postgres, &place).unwrap();
    engine.load(&backup.restored).unwrap();
    assert_eq!(engine.query(Some("shop"), "select subenabled from pg_subscription", LIMIT).unwrap(), "t");
    // A worker is started within a second of the server, if one is.
    assert_eq!(wrong(&engine.check(&backup.restored)), [""; 0]);
    assert_eq!(engine.query(Some("shop"), "select count(*) from orders, pg_sleep(3)", LIMIT).unwrap(), "10");
    let working = "select count(*) from pg_stat_activity where backend_type not in ('client backend', 'checkpointer', \
                   'background writer', 'walwriter', 'startup', 'io worker')";
    assert_eq!(engine.query(Some("shop"), working, LIMIT).unwrap(), "0");
    drop(engine);
    assert_eq!(publisher.sql("shop", at), before);
    subscriber.restart();
    until(&subscriber, "select count(*) from orders", "60");
}

/// Flips a bit in the middle of the member `name` of a tar.
fn flip(tar: &Path, name: &str) {
    let mut file = fs::OpenOptions::new().read(true).write(true).open(tar).unwrap();
    let mut header = [0; 512];
    loop {
        file.read_exact(&mut header).expect("it is in the tar");
        let text = |range: std::ops::Range<usize>| {
            String::from_utf8_lossy(&header[range]).trim_end_matches(['\0', ' ']).to_owned()
        };
        let size = u64::from_str_radix(&text(124..136), 8).unwrap();
        let at = file.stream_position().unwrap();
        if text(0..100).trim_start_matches("./") == name {
            let mut byte = [0];
            file.seek(SeekFrom::Start(at + size / 2)).unwrap();
            file.read_exact(&mut byte).unwrap();
            file.seek(SeekFrom::Start(at + size / 2)).unwrap();
            return file.write_all(&[byte[0] ^ 1]).unwrap();
        }
        file.seek(SeekFrom::Start(at + size.div_ceil(512) * 512)).unwrap();
    }
}
