//! `restore --into`: straight into a server that is there.

use std::{fs, os::unix::fs::PermissionsExt as _};

use crate::{
    broken::replaced,
    sandbox::{Run, Sandbox},
    server::{Postgres, bin},
};

fn backed_up(server: &Postgres, more: &str) -> Sandbox {
    let sandbox = Sandbox::with_vault();
    sandbox.configure(&format!(
        "[[source]]\nname = \"shop\"\nkind = \"postgres\"\ndsn = {:?}\n{more}\n",
        server.dsn("shop")
    ));
    sandbox.writer(&["backup", "shop"]).ok();
    sandbox
}

fn into(sandbox: &Sandbox, dsn: &str, more: &[&str]) -> Run {
    sandbox.reader(&[&["restore", "latest", "--source", "shop", "--into", dsn], more].concat())
}

#[test]
fn a_dump_goes_into_an_empty_database_with_its_roles() {
    let origin = Postgres::start();
    origin.create("shop");
    origin.sql(
        "shop",
        "create role owner login password 'p'; create role reader; create role \"Odd \"\"one\" in role reader; \
         create table orders(id serial primary key, what text); create table notes(t text); create schema audit; \
         create table audit.log(x int); insert into orders(what) select md5(i::text) from generate_series(1, 20000) i; \
         alter table orders owner to owner; grant select on orders to reader; create index on orders(what); \
         insert into notes values ('a'), ('b'); insert into audit.log values (7)",
    );
    let sandbox = backed_up(&origin, "jobs = 2\n");
    let target = Postgres::start();
    // Into a database of its own name, which is made; a role that is there stays as it is.
    target.sql("postgres", "create role reader login password 'kept'");
    let kept = target.sql("postgres", "select rolpassword from pg_authid where rolname = 'reader'");
    let done = into(&sandbox, &target.dsn("postgres").replace("dbname='postgres'", ""), &["--json"]);
    let done = done.ok().json()["result"].clone();
    let name = done["loaded"][0].as_str().unwrap().to_owned();
    let count =
        |database: &str, table: &str| target.sql(database, &format!("select count(*) from {table}")).trim().to_owned();
    assert_eq!(count(&name, "orders"), "20000", "{done}");
    assert_eq!(target.sql(&name, "select tableowner from pg_tables where tablename = 'orders'").trim(), "owner");
    assert_eq!(target.sql(&name, "select count(*) from pg_indexes where tablename = 'orders'").trim(), "2");
    assert_eq!(target.sql("postgres", "select rolpassword from pg_authid where rolname = 'reader'"), kept);
    assert_eq!(target.sql("postgres", "select rolcanlogin from pg_roles where rolname = 'Odd \"one'").trim(), "f");

    // Into one that the DSN names; what is not empty is refused, and --clean replaces.
    let dsn = target.dsn("other");
    into(&sandbox, &dsn, &["--no-roles"]).ok();
    assert_eq!((count("other", "orders").as_str(), count("other", "audit.log").as_str()), ("20000", "1"));
    into(&sandbox, &dsn, &[]).code(2).says("is not empty").says("public.notes");
    target.sql("other", "delete from orders");
    into(&sandbox, &dsn, &["--clean"]).ok();
    assert_eq!(count("other", "orders"), "20000");

    // One table.
    target.create("third");
    let dsn = target.dsn("third");
    into(&sandbox, &dsn, &["--table", "public.oders"]).code(2).says("public.orders");
    let text = into(&sandbox, &dsn, &["--table", "orders"]).ok().out();
    assert!(text.contains("public.orders") && text.contains("left out"), "{text}");
    assert_eq!(count("third", "orders"), "20000");
    assert_eq!(target.sql("third", "select count(*) from pg_tables where schemaname = 'public'").trim(), "1");
    into(&sandbox, &dsn, &["--table", "orders"]).code(2).says("already");
}

/// What a dump that was tampered with says of roles that are there: however it writes their names, it is not run.
#[test]
fn hostile_globals_change_no_role_that_is_there() {
    let origin = Postgres::start();
    origin.create("shop");
    origin.sql("shop", "create table t as select 1 as n; create role app login password 'p'");
    let script = "REAL \"$@\"; cat <<'END'\nALTER ROLE POSTGRES VALID UNTIL '2001-01-01';\n\
                  ALTER ROLE U&\"\\0070ostgres\" VALID UNTIL '2001-01-01';\nALTER ROLE CURRENT_USER VALID UNTIL '2001-01-01';\n\
                  CREATE ROLE app2;\nGRANT app TO app2, postgres;\nCREATE ROLE app3 ADMIN postgres;\n\
                  ALTER ROLE app /* ' */ LOGIN; ALTER ROLE postgres VALID UNTIL '2001-01-01'; /* ' */;\nEND";
    let programs = replaced("pg_dumpall", script);
    let sandbox = backed_up(&origin, &format!("bin = \"{}\"\n", programs.path().display()));
    let target = Postgres::start();
    let state =
        "select rolvaliduntil, (select count(*) from pg_auth_members where member = 10) from pg_authid where oid = 10";
    let before = target.sql("postgres", state);
    into(&sandbox, &target.dsn("shop"), &[]).ok();
    assert_eq!(target.sql("postgres", state), before);
    assert_eq!(target.sql("postgres", "select rolcanlogin from pg_roles where rolname = 'app'"), "t");
    // A drill's own role neither.
    sandbox.reader(&["drill", "shop"]).ok();
}

#[test]
fn what_fails_on_the_way_leaves_nothing_that_was_made_for_it() {
    let origin = Postgres::start();
    origin.create("shop");
    origin.sql("shop", "create table t as select generate_series(1, 300000) i, repeat('x', 100) p");
    let sandbox = backed_up(&origin, "globals = false\n");
    let target = Postgres::start();
    // A server that takes no more.
    target.sql(
        "postgres",
        "create role small login; alter role small createdb; alter role small set temp_file_limit = 0",
    );
    let place = tempfile::tempdir().unwrap();
    let script = place.path().join("pg_restore");
    // One that fails in the middle, having read a part.
    fs::write(
        &script,
        format!(
            "#!/bin/sh\n[ \"$1\" = --version ] && exec '{}' --version\nhead -c 100000 >/dev/null\necho 'disk full, password=geheim' >&2\nexit 1\n",
            bin("pg_restore").display()
        ),
    )
    .unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = sandbox.command();
    let path = format!("{}:{}", place.path().display(), std::env::var("PATH").unwrap());
    command.env("PATH", path).env("PGPASSWORD", "geheim").args([
        "--vault",
        &sandbox.url(),
        "restore",
        "latest",
        "--source",
    ]);
    command.args(["shop", "--into", &target.dsn("fresh"), "-i"]).arg(sandbox.identity());
    let run = sandbox.finish(&mut command).code(1).says("disk full").says("was dropped again");
    assert!(!run.stderr.contains("geheim"), "{}", run.stderr);
    assert_eq!(target.sql("postgres", "select count(*) from pg_database where datname = 'fresh'").trim(), "0");
    // And then it works.
    into(&sandbox, &target.dsn("fresh"), &[]).ok();
    assert_eq!(target.sql("fresh", "select count(*) from t").trim(), "300000");
}
