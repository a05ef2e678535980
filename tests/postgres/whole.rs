//! What was backed up under load comes back, and the fingerprint tells when it did not.

use std::{collections::BTreeMap, fs, path::Path};

use strongroom::{
    model::journal::Position,
    source::postgres::{Base, Databases, Depth},
};

use crate::{
    place::{Writers, differences, everything, options, read_into},
    server::{Postgres, as_server, run},
};

/// Loads roles and a dump into a new server, as docs/sources.md tells.
fn load(dir: &Path, dumps: &[&str]) -> Postgres {
    // It shows values in another way than the one that was backed up.
    let server = Postgres::start_with(&[
        "timezone=Asia/Kathmandu",
        "datestyle=German",
        "intervalstyle=sql_standard",
        "extra_float_digits=-3",
        "bytea_output=escape",
        "xmlbinary=hex",
        "quote_all_identifiers=on",
    ]);
    let roles = fs::read_to_string(dir.join("globals.sql")).unwrap();
    // The one role that every server has.
    server.sql("postgres", &roles.replace("CREATE ROLE postgres;", ""));
    for dump in dumps {
        run(server.tool("pg_restore", "postgres").args(["-C", "-e", "-j", "2", "-d", "postgres"]).arg(dir.join(dump)));
    }
    server
}

fn written(server: &Postgres, database: &str) -> u64 {
    server.sql(database, "select count(*) from pgbench_history").parse().unwrap()
}

#[test]
fn a_restored_server_holds_what_the_backup_saw_though_everything_was_written_to() {
    let server = everything("Sh\"op 1");
    let dir = tempfile::tempdir().unwrap();
    let writers = Writers::start(&server, "Sh\"op 1", dir.path());
    while written(&server, "Sh\"op 1") < 20 {
        std::thread::yield_now();
    }
    let before = written(&server, "Sh\"op 1");
    let facts = read_into(options(&server, "Sh\"op 1"), dir.path()).unwrap();
    assert!(written(&server, "Sh\"op 1") > before, "nobody wrote meanwhile");
    drop(writers);
    let [print] = facts.fingerprints.as_slice() else { panic!("{:?}", facts.fingerprints) };
    assert_eq!(print.database, "Sh\"op 1");
    assert_eq!(print.streams.len(), 1);
    let odd = r#""Odd ""Schéma"", 100%"."Tab.le;-- 'x' \ ☃""#;
    for (name, rows) in [("shop.secret", 2), ("shop.nothing", 2), ("shop.child", 1), (odd, 50), ("shop.empty", 0)] {
        assert_eq!(print.tables[name].rows, rows, "{name}");
    }
    assert!(print.tables["shop.kinds"].rows > 404, "nothing was inserted before");
    assert!(print.tables.len() >= 18 && !print.tables.contains_key("shop.away"), "{:?}", print.tables.keys());
    for object in ["extension hstore", "large objects", "materialized view shop.later", "sequence shop.untouched"] {
        assert!(print.objects.contains_key(object), "{object} is not in {:?}", print.objects.keys());
    }
    assert_eq!(print.server["encoding"], "UTF8");
    assert!(facts.warnings.iter().any(|warning| warning.contains("foreign tables")), "{:?}", facts.warnings);

    let back = load(dir.path(), &["Sh%22op 1.dump"]);
    assert_eq!(differences(print, &back, "Sh\"op 1"), [""; 0]);
    let roles = "select string_agg(rolname, ',' order by rolname) from pg_roles where rolname !~ '^pg_'";
    assert_eq!(back.sql("postgres", roles), "Odd Röle,app,postgres");

    // Each of these is found, and nothing else is told.
    let mut known: Vec<String> = Vec::new();
    for (change, table) in [
        ("update shop.kinds set raw = '\\x01' where id = 7", "shop.kinds"),
        ("update shop.kinds set small = null where id = 7", "shop.kinds"),
        ("delete from shop.secret where owner = 'somebody'", "shop.secret"),
        ("select nextval('shop.untouched')", "sequence shop.untouched"),
        ("select lo_put(4242, 1500000, 'x')", "large objects"),
        ("drop view shop.seen", "view shop.seen"),
        ("alter table shop.secret disable row level security", "row security shop.secret"),
        (
            "update shop.orders set day = day + 1 where day = (select max(day) from shop.orders_2024)",
            "shop.orders_2024",
        ),
    ] {
        back.sql("Sh\"op 1", change);
        let now = differences(print, &back, "Sh\"op 1");
        let new: Vec<_> = now.iter().filter(|d| !known.contains(d)).collect();
        assert!(
            !new.is_empty() && new.iter().all(|d| d.starts_with(table) || table == "shop.orders_2024"),
            "{change}: {new:?}"
        );
        known = now;
    }
}

#[test]
fn every_database_is_taken_and_each_has_its_fingerprint() {
    let server = Postgres::start();
    for name in ["a", "B/c", "closed"] {
        server.create(name);
        server.sql(name, "create table t (n int); insert into t select generate_series(1, 10)");
    }
    server.sql("postgres", "alter database closed allow_connections false");
    let dir = tempfile::tempdir().unwrap();
    let mut all = options(&server, "postgres");
    all.databases = Databases::All;
    let facts = read_into(all.clone(), dir.path()).unwrap();
    let names: Vec<&str> = facts.fingerprints.iter().map(|print| print.database.as_str()).collect();
    assert_eq!(names, ["B/c", "a", "postgres"], "template1 is as every server makes it");
    assert!(facts.warnings.iter().any(|warning| warning.contains("closed")), "{:?}", facts.warnings);
    let back = load(dir.path(), &["a.dump", "B%2Fc.dump"]);
    for print in facts.fingerprints.iter().take(2) {
        assert_eq!(differences(print, &back, &print.database), [""; 0]);
    }

    all.databases = Databases::Named(vec!["a".to_owned(), "missing".to_owned()]);
    let error = read_into(all.clone(), dir.path()).unwrap_err().to_string();
    assert!(error.contains("no database \"missing\"") && error.contains("B/c"), "{error}");
    all.databases = Databases::Named(vec!["a".to_owned()]);
    all.fingerprint = Depth::Rows;
    let facts = read_into(all.clone(), dir.path()).unwrap();
    let table = &facts.fingerprints[0].tables["public.t"];
    assert_eq!((table.rows, &table.hash), (10, &None));
    all.fingerprint = Depth::Off;
    all.globals = false;
    fs::remove_file(dir.path().join("globals.sql")).unwrap();
    assert!(read_into(all, dir.path()).unwrap().fingerprints.is_empty());
    assert!(!dir.path().join("globals.sql").exists());
}

#[test]
fn several_jobs_make_a_stream_of_each_large_table_and_all_come_back() {
    let server = everything("shop");
    // More than what is dumped along with the rest, and more than what is read ahead; the first also more than what one
    // session counts and hashes at once.
    let large = "create table shop.\"Large \"\"one\"\"\" as select i, repeat(md5(i::text), 30) t from generate_series(1, 75000) i; \
                 create table shop.large2 as select * from shop.\"Large \"\"one\"\"\" limit 45000; \
                 alter table shop.large2 add primary key (i); \
                 create table shop.points (i int references shop.large2); insert into shop.points values (1)";
    server.sql("shop", large);
    let dir = tempfile::tempdir().unwrap();
    let writers = Writers::start(&server, "shop", dir.path());
    let mut several = options(&server, "shop");
    several.jobs = 3;
    let facts = read_into(several, dir.path()).unwrap();
    drop(writers);
    let print = &facts.fingerprints[0];
    assert_eq!(print.streams.len(), 3, "{:?}", print.streams);
    assert_eq!(print.tables[r#"shop."Large ""one""""#].rows, 75000);
    let back = load(dir.path(), &[]);
    back.create("shop");
    let restore = |arguments: &[&str], file: &str| {
        run(back.tool("pg_restore", "shop").args(["-e", "-d", "shop"]).args(arguments).arg(dir.path().join(file)));
    };
    restore(&["--section=pre-data", "--section=data"], "shop.dump");
    assert_eq!(back.sql("shop", "select count(*) from shop.large2"), "0");
    restore(&["-j", "2"], "shop.tables/shop.large2.dump");
    restore(&[], "shop.tables/shop.%22Large %22%22one%22%22%22.dump");
    restore(&["--section=post-data"], "shop.dump");
    assert_eq!(differences(print, &back, "shop"), [""; 0]);
}

#[test]
fn a_role_that_may_not_read_everything_is_told_and_makes_no_backup() {
    let server = everything("shop");
    let schemas = r#"shop, public, "Odd ""Schéma"", 100%""#;
    server.sql(
        "shop",
        &format!(
            "alter role app password 'pw-of-app'; grant usage on schema {schemas} to app; \
             grant select on all tables in schema {schemas} to app; \
             grant select on all sequences in schema {schemas} to app"
        ),
    );
    let dir = tempfile::tempdir().unwrap();
    let dsn = format!("postgres://app:pw-of-app@127.0.0.1:{}/shop", server.port());
    let mut as_app = options(&server, "shop");
    as_app.info = dsn.parse().unwrap();
    // Row security would filter what it sees. Of several sessions the one that failed is told, and not that the others
    // were stopped then.
    for jobs in [1, 3] {
        as_app.jobs = jobs;
        let error = read_into(as_app.clone(), dir.path()).unwrap_err().to_string();
        assert!(error.contains("row-level security") && !error.contains("pw-of-app"), "{error}");
    }
    server.sql("shop", "alter role app bypassrls; select lo_unlink(oid) from pg_largeobject_metadata");
    let facts = read_into(as_app, dir.path()).unwrap();
    assert!(facts.warnings.iter().any(|w| w.contains("without them") && !w.contains("pw-of")), "{:?}", facts.warnings);
    let roles = fs::read_to_string(dir.path().join("globals.sql")).unwrap();
    assert!(roles.contains("CREATE ROLE \"Odd Röle\"") && !roles.contains("PASSWORD"), "{roles}");
    // As the superuser sees it, it is the same.
    let superuser: BTreeMap<_, _> =
        read_into(options(&server, "shop"), dir.path()).unwrap().fingerprints[0].tables.clone();
    assert_eq!(facts.fingerprints[0].tables, superuser);
}

#[test]
fn a_physical_backup_is_a_cluster_that_verifies_and_knows_its_place_in_the_log() {
    let server = everything("shop");
    let dir = tempfile::tempdir().unwrap();
    let mut physical = options(&server, "shop");
    physical.physical = true;
    let take = |name: &str| {
        let to = dir.path().join(name);
        let writers = Writers::start(&server, "shop", dir.path());
        let before = server.sql("shop", "select pg_current_wal_lsn()");
        let facts = read_into(physical.clone(), &to).unwrap();
        drop(writers);
        assert_eq!(facts.details["physical"], true);
        assert!(facts.warnings.iter().all(|w| w.contains("data checksums are off")), "{:?}", facts.warnings);
        let base: Base = serde_json::from_value(facts.details["base"].clone()).unwrap();
        let system = server.sql("shop", "select to_hex(system_identifier) from pg_control_system()");
        assert_eq!(base.line.as_str(), format!("pg-{system:0>16}-00000001"));
        let (before, now) = (before.parse_lsn(), server.sql("shop", "select pg_current_wal_lsn()").parse_lsn());
        assert!(before <= base.from.0 && base.from < base.end && base.end.0 <= now, "{base:?}");
        assert_eq!(facts.journal.unwrap().from, base.from);
        assert_eq!((base.segment, base.end_timeline, base.standby), (16 << 20, 1, false));
        assert!(base.ended_us.is_some() && base.xids.is_some() && base.settings["max_connections"] == "100");
        // The slot that kept the log is gone.
        assert_eq!(server.sql("shop", "select count(*) from pg_replication_slots"), "0");
        (to, base)
    };
    let untar = |tar: &Path, to: &Path| {
        fs::create_dir_all(to).unwrap();
        run(std::process::Command::new("tar").arg("-xf").arg(tar).arg("-C").arg(to));
    };
    let (one, base) = take("one");
    assert!(base.tablespaces.is_empty());
    let data = dir.path().join("data");
    untar(&one.join("base.tar"), &data);
    run(std::process::Command::new(crate::server::bin("pg_verifybackup")).arg(&data));

    // With tablespaces there is a tar for each, and nothing of them was put down on the way.
    for name in ["fast", "slow"] {
        let place = server.dir().join(name);
        run(as_server("mkdir").arg(&place));
        server.sql("shop", &format!("create tablespace {name} location '{}'", place.display()));
        server.sql("shop", &format!("create table in_{name} tablespace {name} as select generate_series(1, 60000) i"));
    }
    let (several, base) = take("several");
    let data = dir.path().join("data2");
    untar(&several.join("base.tar"), &data);
    assert_eq!(base.tablespaces.len(), 2);
    for space in &base.tablespaces {
        assert!(Path::new(&space.path).starts_with(server.dir()));
        let link = data.join("pg_tblspc").join(space.oid.to_string());
        untar(&several.join(space.stream.as_str()), &link);
    }
    fs::copy(several.join("backup_manifest"), data.join("backup_manifest")).unwrap();
    run(std::process::Command::new(crate::server::bin("pg_verifybackup")).arg(&data));
}

trait Lsn {
    fn parse_lsn(&self) -> u64;
}

impl Lsn for String {
    fn parse_lsn(&self) -> u64 {
        Position::from_lsn(self).unwrap().0
    }
}
