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

/// A table outside `public`, with types, functions and sequences that it needs, a parent, and one that is partitioned.
const RICH: &str = "create schema app2; create schema \"odd S\"; create type app2.mood as enum ('ok', 'bad'); \
    create domain app2.pos as int check (value > 0); create type app2.pair as (a int, m app2.mood); \
    create function app2.next_no(text, int) returns int language sql as $$ select 7 $$; \
    create sequence app2.free_seq start 100; create table app2.base(made timestamptz default now()); \
    create table app2.orders(id serial primary key, no int default nextval('app2.free_seq'), \
    k int generated always as identity, m app2.mood, p app2.pos, pr app2.pair, f int default app2.next_no('x', 1), t text) \
    inherits (app2.base); comment on table app2.orders is 'theirs'; comment on schema app2 is 'a schema'; \
    create index on app2.orders(t); \
    insert into app2.orders(m, p, pr, t) select 'ok', 3, row(1, 'bad')::app2.pair, 'x' || i from generate_series(1, 100) i; \
    create table app2.parts(d int, v app2.mood) partition by range (d); \
    create table app2.parts_1 partition of app2.parts for values from (0) to (10); \
    create table \"odd S\".parts_2 partition of app2.parts for values from (10) to (20) partition by range (d); \
    create table \"odd S\".\"p 2a\" partition of \"odd S\".parts_2 for values from (10) to (20); \
    insert into app2.parts select i, 'ok' from generate_series(0, 19) i; \
    create table \"odd S\".\"Odd \"\"Tab\"(a int, w int[]); insert into \"odd S\".\"Odd \"\"Tab\" values (1);";

#[test]
fn one_table_takes_along_what_it_needs() {
    let origin = Postgres::start();
    origin.create("shop");
    origin.sql("shop", RICH);
    // Partitions large enough for archives of their own.
    origin.sql(
        "shop",
        "create table app2.huge(d int, t text) partition by range (d); \
         create table app2.huge_1 partition of app2.huge for values from (0) to (10); \
         create table app2.huge_2 partition of app2.huge for values from (10) to (20); \
         create table app2.other_huge(t text); alter table app2.huge_1 alter column t set storage external; \
         alter table app2.other_huge alter column t set storage external; \
         insert into app2.huge select 1, repeat(md5(i::text), 3000) from generate_series(1, 400) i; \
         insert into app2.huge values (11, 'y'); \
         insert into app2.other_huge select repeat(md5(i::text), 3000) from generate_series(1, 400) i",
    );
    let sandbox = backed_up(&origin, "jobs = 2\n");
    let target = Postgres::start();
    let dsn = target.dsn("fresh");
    let one = |sql: &str| target.sql("fresh", sql).trim().to_owned();
    let text = into(&sandbox, &dsn, &["--table", "app2.orders"]).ok().out();
    assert!(text.contains("schema app2") && text.contains("type app2.mood"), "{text}");
    assert_eq!(one("select count(*) from app2.orders where m = 'ok' and p = 3 and (pr).m = 'bad'"), "100");
    // Its sequences go on where they were.
    assert_eq!(one("insert into app2.orders(t) values ('new') returning id, no, k, f"), "101|200|101|7");
    assert_eq!(
        one("select obj_description('app2.orders'::regclass) || obj_description('app2'::regnamespace)"),
        "theirsa schema"
    );
    assert_eq!(one("select inhparent::regclass from pg_inherits"), "app2.base");
    assert_eq!(one("select count(*) from pg_indexes where schemaname = 'app2'"), "0");

    // What is there already is used; the table and its partitions must not be.
    let text = into(&sandbox, &dsn, &["--table", "app2.parts"]).ok().out();
    assert!(!text.contains("type app2.mood") && text.contains("schema odd S"), "{text}");
    assert_eq!(one("select count(*), count(distinct tableoid) from app2.parts"), "20|2");
    target.sql("fresh", "alter table app2.parts detach partition app2.parts_1; drop table app2.parts cascade");
    into(&sandbox, &dsn, &["--table", "app2.parts"]).code(2).says("app2.parts_1 already");
    assert_eq!(one("select to_regclass('app2.parts')"), "");
    target.sql("fresh", "delete from app2.orders; select setval('app2.free_seq', 900)");
    into(&sandbox, &dsn, &["--table", "app2.orders", "--clean"]).ok();
    assert_eq!(one("select count(*) from app2.orders"), "100");
    assert_eq!(one("insert into app2.orders(t) values ('new') returning id, no, k"), "101|901|101");

    // A partition alone, and a name that is quoted.
    target.create("second");
    let dsn = target.dsn("second");
    into(&sandbox, &dsn, &["--table", "\"odd S\".\"p 2a\""]).ok();
    into(&sandbox, &dsn, &["--table", "\"odd S\".\"Odd \"\"Tab\""]).ok();
    let made = "select count(*) from pg_tables where schemaname !~ '^pg_' and schemaname <> 'information_schema'";
    assert_eq!(target.sql("second", made).trim(), "2");
    assert_eq!(
        target
            .sql(
                "second",
                "select (select count(*) from \"odd S\".\"p 2a\") + (select a from \"odd S\".\"Odd \"\"Tab\")"
            )
            .trim(),
        "11"
    );

    // Of rows in archives of their own those of the partitions alone.
    into(&sandbox, &dsn, &["--table", "app2.huge"]).ok();
    assert_eq!(target.sql("second", "select count(*), count(distinct tableoid) from app2.huge").trim(), "401|2");
    assert_eq!(target.sql("second", "select to_regclass('app2.other_huge')").trim(), "");
}

#[test]
fn what_a_table_needs_and_can_not_be_made_is_named_with_the_next_step() {
    let origin = Postgres::start();
    origin.create("shop");
    origin.sql("shop", "create type mood as enum ('ok', 'bad'); create table t as select 'bad'::mood as m");
    let sandbox = backed_up(&origin, "");
    let target = Postgres::start();
    target.create("other");
    // A type of that name that is another.
    target.sql("other", "create type mood as enum ('ok')");
    let run = into(&sandbox, &target.dsn("other"), &["--table", "t"]).code(1);
    run.says("mood").says("may hold a part").says("--section=pre-data");
}

#[test]
fn large_objects_count_and_templates_and_empty_names_are_refused() {
    let origin = Postgres::start();
    origin.create("shop");
    origin.sql("shop", "create table t as select 1 as n");
    let sandbox = backed_up(&origin, "");
    let target = Postgres::start();
    target.create("other");
    target.sql("other", "select lo_create(4711)");
    into(&sandbox, &target.dsn("other"), &[]).code(2).says("is not empty").says("large object 4711");
    for name in ["template0", "template1"] {
        into(&sandbox, &target.dsn(name), &[]).code(2).says("is the template");
    }
    assert_eq!(target.sql("template1", "select to_regclass('t')").trim(), "");
    for name in ["", " "] {
        into(&sandbox, name, &[]).code(2).says("--into is empty");
    }
}
