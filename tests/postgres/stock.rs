//! Every database of a cluster as its packages make it, with what templates there may be.

use std::fs;

use strongroom::source::postgres::Databases;

use crate::{
    place::{differences, options, read_into},
    sandbox::Sandbox,
    server::{Postgres, as_server, run},
};

#[test]
fn every_database_of_a_stock_cluster_passes_its_drill() {
    let server = Postgres::start();
    server.create("orders");
    server
        .sql("orders", "create table t as select generate_series(1, 10) n; create role app; grant select on t to app");
    server.sql("postgres", "create table in_postgres as select 7 as n; alter database postgres set work_mem = '7MB'");
    server.create("mould");
    server.sql("mould", "create table in_mould as select 3 as n; alter database mould is_template true");
    server.sql("template1", "create table in_template1 as select 1 as n");
    let sandbox = Sandbox::with_vault();
    let dsn = server.dsn("orders");
    sandbox.configure(&format!("[[source]]\nname = \"all\"\nkind = \"postgres\"\ndsn = {dsn:?}\ndatabases = \"*\"\n"));
    sandbox.writer(&["backup"]).ok();
    let drilled = sandbox.reader(&["drill", "--json"]).ok().json();
    let checks = drilled["result"]["drills"][0]["checks"].to_string();
    for table in
        ["orders: public.t", "postgres: public.in_postgres", "mould: public.in_mould", "template1: public.in_template1"]
    {
        assert!(checks.contains(&format!("fingerprint {table}")), "{table}: {checks}");
    }

    // What the page on sources tells people to run, word for word, in a new cluster.
    let to = sandbox.path("back");
    sandbox.reader(&["restore", "latest", "--source", "all", "--to", to.to_str().unwrap()]).ok();
    let back = Postgres::start();
    let roles = fs::read_to_string(to.join("all/globals.sql")).unwrap();
    back.sql("postgres", &roles.replace("CREATE ROLE postgres;", ""));
    for (database, arguments) in [
        ("template1", &["-C", "--clean", "-d", "postgres"][..]),
        ("postgres", &["-C", "--clean", "-d", "template1"]),
        ("orders", &["-C", "-d", "postgres"]),
        ("mould", &["-C", "-d", "postgres"]),
    ] {
        run(back.tool("pg_restore", "x").arg("-e").args(arguments).arg(to.join(format!("all/{database}.dump"))));
    }
    let dir = tempfile::tempdir().unwrap();
    let mut all = options(&server, "orders");
    all.databases = Databases::All;
    let facts = read_into(all.clone(), dir.path()).unwrap();
    let names: Vec<&str> = facts.fingerprints.iter().map(|print| print.database.as_str()).collect();
    assert_eq!(names, ["mould", "orders", "postgres", "template1"]);
    for print in &facts.fingerprints {
        assert_eq!(differences(print, &back, &print.database), [""; 0]);
    }
    assert_eq!(back.sql("postgres", "show work_mem"), "7MB");

    // Named ones work, or say why not.
    all.databases = Databases::Named(vec!["mould".to_owned(), "template1".to_owned()]);
    assert_eq!(read_into(all.clone(), dir.path()).unwrap().fingerprints.len(), 2);
    server.sql("postgres", "alter database mould allow_connections false");
    all.databases = Databases::All;
    let told = read_into(all.clone(), dir.path()).unwrap().warnings;
    assert!(told.iter().any(|w| w.contains("mould") && w.contains("allows no connections")), "{told:?}");
    for name in ["mould", "template0"] {
        all.databases = Databases::Named(vec![name.to_owned()]);
        let error = read_into(all.clone(), dir.path()).unwrap_err().to_string();
        assert!(error.contains("allows no connections"), "{error}");
    }

    // One that is no longer in the backup is told until somebody says that it is known.
    server.sql("postgres", "drop database orders");
    let dsn = server.dsn("postgres");
    let config = fs::read_to_string(sandbox.config()).unwrap();
    fs::write(sandbox.config(), config.replace(&server.dsn("orders"), &dsn)).unwrap();
    for _ in 0..2 {
        let run = sandbox.writer(&["backup", "--json"]).code(3).json();
        let told = run["findings"].to_string();
        for name in ["mould", "orders"] {
            assert!(
                told.contains("source.vanished") && told.contains(&format!("database \\\"{name}\\\" of all is gone"))
            );
        }
        assert!(run["result"]["snapshots"][0]["warnings"].to_string().contains("which it had before, is gone"));
    }
    sandbox.writer(&["backup", "--acknowledge"]).ok();
    sandbox.writer(&["backup"]).ok();
}

/// Without globals there is nobody whom policies and user mappings could name; directories of tablespaces are not there;
/// a dump names no version of an extension; triggers that forbid changes fire when the drill makes its own. A query that does
/// not end is stopped, by its own limit or by what is left of the recovery's.
#[test]
fn a_backup_passes_its_drill_whatever_its_database_names_and_forbids() {
    let server = Postgres::start();
    let place = server.dir().join("fast");
    run(as_server("mkdir").arg(&place));
    server.sql("postgres", &format!("create tablespace fast location '{}'", place.display()));
    server.create("shop");
    server.sql(
        "shop",
        "create table fast (n int primary key) tablespace fast; insert into fast values (1); \
         create extension hstore version '1.4'; \
         create function forbidden() returns event_trigger language plpgsql as \
         $f$ begin raise 'no'; end $f$",
    );
    server.sql(
        "shop",
        "create role app; create extension postgres_fdw; create server s foreign data wrapper postgres_fdw; \
         create user mapping for app server s; create table t (n int); alter table t enable row level security; \
         create policy p on t to app using (true)",
    );
    let sandbox = Sandbox::with_vault();
    let dsn = server.dsn("shop");
    let check = "[[source.check]]\nname = \"bars\"\nsql = \"select 'a|b'\"\nexpected = \"a|b\"\n";
    sandbox.configure(&format!(
        "[[source]]\nname = \"shop\"\nkind = \"postgres\"\ndsn = {dsn:?}\nglobals = false\n{check}"
    ));
    server.sql("shop", "create event trigger no on ddl_command_end execute function forbidden()");
    sandbox.writer(&["backup"]).ok();
    let drill = |more: &[&str]| {
        let mut drill = sandbox.command();
        drill.arg("--config").arg(sandbox.config()).args(["drill", "--json", "-i"]).arg(sandbox.identity()).args(more);
        sandbox.finish(&mut drill)
    };
    let told = drill(&[]).ok().json()["result"].to_string();
    assert!(told.contains("extension hstore: version") && told.contains("was 1.4"), "{told}");

    let config = fs::read_to_string(sandbox.config()).unwrap();
    let slow = |limit: &str| {
        let check = format!(
            "[[source.check]]\nname = \"slow\"\nsql = \"select pg_sleep(600)::text\"\n{limit}expected = \"\"\n"
        );
        fs::write(sandbox.config(), format!("{config}{check}")).unwrap();
    };
    slow("timeout = \"1s\"\n");
    let told = drill(&[]).code(6).json()["result"].to_string();
    assert!(told.contains("canceling statement due to statement timeout"), "{told}");
    slow("");
    let told = drill(&["--max-rto", "1s"]).code(6).json()["result"].to_string();
    assert!(told.contains("canceling statement due to statement timeout"), "{told}");
}
