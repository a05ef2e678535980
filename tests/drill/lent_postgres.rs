//! A PostgreSQL server that is lent: dumps go into databases of their own there, which are dropped whatever happens.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{
    lab::{drill, failed, left, of},
    pg::{Postgres, bin},
    sandbox::Sandbox,
};

const PASSWORD: &str = "hunter2-c0rrect'horse";
const OURS: &str =
    "select coalesce(string_agg(datname, ',' order by datname), '') from pg_database where datname like 'strongroom%'";

/// A server that lends, with a role that may make databases and nothing else, and a database that only looks like a drill's.
fn lender() -> Postgres {
    let server = Postgres::start();
    let literal = PASSWORD.replace('\'', "''");
    server.sql("postgres", &format!("create role drill login createdb password '{literal}'"));
    server.create("strongroom_drill_notes");
    server.sql("postgres", "alter database strongroom_drill_notes owner to drill");
    server
}

/// How a sandbox reaches it: by a DSN without a password, which is in the password file of its home.
fn dsn(sandbox: &Sandbox, server: &Postgres) -> String {
    let file = sandbox.path("home/.pgpass");
    fs::write(&file, format!("127.0.0.1:{}:*:drill:{PASSWORD}\n", server.port())).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    format!("host=127.0.0.1 port={} user=drill dbname=postgres", server.port())
}

/// A vault with one backup of `databases` of a server that is gone.
fn vault(sql: &[(&str, &str)], more: &str) -> Sandbox {
    let server = Postgres::start();
    server.sql("postgres", "create role app; create role \"Odd Röle\"");
    for (database, sql) in sql {
        server.create(database);
        server.sql(database, sql);
    }
    let sandbox = Sandbox::with_vault();
    let names: Vec<&str> = sql.iter().map(|(name, _)| *name).collect();
    sandbox.configure(&format!(
        "[[source]]\nname = \"shop\"\nkind = \"postgres\"\ndsn = {:?}\ndatabases = {names:?}\n{more}",
        server.dsn("postgres")
    ));
    sandbox.writer(&["backup", "shop"]).ok();
    sandbox
}

const SHOP: &str = "create table orders (id int primary key, total numeric); insert into orders select i, i * 1.5 from generate_series(1, 500) i; \
                    alter table orders owner to app; grant select on orders to \"Odd Röle\"; create index on orders (total); \
                    create publication p for table orders; create sequence s; select nextval('s')";
/// Loading takes for ever, but only where a drill does it.
const SLOW: &str = "create function slow() returns bool language plpgsql as $f$ begin \
                    if current_database() like 'strongroom%' then perform pg_sleep(1000); end if; return true; end $f$; \
                    create table trap (n int check (public.slow())); insert into trap values (1)";

/// Programs in a directory before all others, which note what they are told, and then what `after` says.
fn watched(sandbox: &Sandbox, after: &str) -> String {
    let dir = sandbox.path("watched");
    fs::create_dir(&dir).unwrap();
    for program in ["psql", "pg_restore"] {
        let (log, real) = (sandbox.path("arguments"), bin(program));
        let then = if program == "pg_restore" { after } else { "" };
        let script = format!(
            "#!/bin/sh\necho \"$0 $*\" >>'{}'\n[ \"$1\" = --version ] && exec '{real}' --version\n'{real}' \"$@\" || exit\n{then}\n",
            log.display(),
            real = real.display(),
        );
        fs::write(dir.join(program), script).unwrap();
        fs::set_permissions(dir.join(program), fs::Permissions::from_mode(0o755)).unwrap();
    }
    format!("{}:{}", dir.display(), env!("PATH"))
}

#[test]
fn a_dump_goes_into_databases_of_its_own_and_they_are_dropped() {
    let lender = lender();
    let script = "psql -XAt -d \"$(printf %s \"$STRONGROOM_DRILL_DATABASES\" | sed 's/.*\"shop\":\"\\([^\"]*\\)\".*/\\1/')\" \
                  -c 'select current_user, count(*) from orders'";
    let sandbox = vault(
        &[("shop", SHOP), ("odd \"name", "create table t (a int); insert into t values (1)")],
        &format!(
            "[[source.check]]\nname = \"orders\"\ndatabase = \"shop\"\nsql = \"select count(*) from orders\"\nexpected = 500\n\
             [[source.check]]\nname = \"by hand\"\ncommand = [\"sh\", \"-c\", {script:?}]\nexpected = \"drill|500\"\n\
             [[source.check]]\nname = \"which\"\ndatabase = \"shop\"\nsql = {OURS:?}\nexpected = \"x\"\n"
        ),
    );
    let dsn = dsn(&sandbox, &lender);
    let path = watched(&sandbox, "");
    let mut command = sandbox.command();
    command.env("PATH", &path).env("TMPDIR", sandbox.path("home")).arg("--config").arg(sandbox.config());
    let run =
        sandbox.finish(command.args(["drill", "--json", "--postgres", &dsn, "-i"]).arg(sandbox.identity())).code(6);
    let document = run.json();
    let found = of(&document, "shop");
    // All is as it was, and while it was looked at the databases had names of their own.
    assert_eq!(failed(found), [("which".to_owned(), "fail".to_owned())], "{found}");
    let checks = found["checks"].as_array().unwrap();
    let which = checks.iter().find(|check| check["name"] == "which").unwrap()["actual"].as_str().unwrap().to_owned();
    let names: Vec<&str> = which.split(',').collect();
    assert!(names.len() == 3 && names.contains(&"strongroom_drill_notes"), "{which}");
    assert!(names.iter().filter(|name| name.ends_with("_0") || name.ends_with("_1")).count() == 2, "{which}");
    for name in ["fingerprint shop: public.orders", "fingerprint odd \"name: public.t"] {
        assert!(checks.iter().any(|check| check["name"] == name), "{name} is not in {found}");
    }
    assert!(found["engine"].as_str().unwrap().contains(&format!("127.0.0.1:{}", lender.port())), "{found}");
    let not = found["not_tested"].to_string();
    assert!(not.contains("owners") && not.contains("globals.sql") && not.contains("amcheck"), "{not}");
    assert_eq!(lender.sql("postgres", OURS), "strongroom_drill_notes");
    let roles = "select count(*) from pg_roles where rolname in ('app', 'Odd Röle')";
    assert_eq!(lender.sql("postgres", roles), "0", "roles were made on somebody's server");

    // The password went to the server alone.
    let log = fs::read_to_string(sandbox.path("arguments")).unwrap();
    assert!(log.contains("pg_restore"), "{log}");
    let evidence = fs::read_to_string(sandbox.path("vault").join(found["evidence"].as_str().unwrap())).unwrap();
    for text in [&log, &run.out(), &run.stderr, &evidence] {
        assert!(!text.contains("hunter2"), "{text}");
    }
    let known = format!("postgres://drill:hunter2@127.0.0.1:{}/postgres", lender.port());
    let refused = sandbox.reader(&["drill", "--postgres", &known]).code(2).says("every user of this host can see");
    assert!(!refused.stderr.contains("hunter2"), "{}", refused.stderr);
    // In the configuration it may stand; a wrong one is told without being shown.
    let literal = PASSWORD.replace('\'', "%27");
    fs::remove_file(sandbox.path("home/.pgpass")).unwrap();
    for (password, code) in [(literal.as_str(), 6), ("hunter2-wrong", 6)] {
        let text = fs::read_to_string(sandbox.config()).unwrap();
        let (before, _) = text.split_once("\n[drill]").unwrap_or((&text, ""));
        let url = format!("postgres://drill:{password}@127.0.0.1:{}/postgres", lender.port());
        fs::write(sandbox.config(), format!("{before}\n[drill]\npostgres = {url:?}\n")).unwrap();
        let run = drill(&sandbox, &["--json", "-vv"]).code(code);
        let loaded = !failed(of(&run.json(), "shop")).contains(&("load".to_owned(), "error".to_owned()));
        assert_eq!(loaded, password == literal, "{}", run.out());
        assert!(!format!("{}{}", run.out(), run.stderr).contains("hunter2"), "{}{}", run.out(), run.stderr);
    }
}

#[test]
fn one_changed_row_fails_by_its_tables_name_and_leaves_nothing() {
    let lender = lender();
    let sandbox = vault(&[("shop", SHOP)], "");
    let dsn = dsn(&sandbox, &lender);
    // Somebody changes one row of what was restored, before it is looked at.
    let change = format!(
        "while [ \"$1\" != -d ]; do shift; done\n'{}' -X -q -d \"$2\" -c 'update orders set total = total + 1 where id = 7'",
        bin("psql").display()
    );
    let path = watched(&sandbox, &change);
    let mut command = sandbox.command();
    command.env("PATH", &path).env("TMPDIR", sandbox.path("home")).arg("--config").arg(sandbox.config());
    let run =
        sandbox.finish(command.args(["drill", "--json", "--postgres", &dsn, "-i"]).arg(sandbox.identity())).code(6);
    let names = failed(of(&run.json(), "shop"));
    assert_eq!(names, [("fingerprint shop: public.orders".to_owned(), "fail".to_owned())], "{}", run.out());
    assert_eq!(lender.sql("postgres", OURS), "strongroom_drill_notes");
}

#[test]
fn a_load_that_fails_leaves_nothing_and_a_superuser_checks_indexes_too() {
    let mut lender = lender();
    let sandbox = vault(&[("shop", &format!("{SHOP}; create policy of_app on orders to app using (true)"))], "");
    let dsn = dsn(&sandbox, &lender);
    let document = drill(&sandbox, &["--json", "--postgres", &dsn]).code(6).json();
    let load = &of(&document, "shop")["checks"][0];
    assert!(load["name"] == "load" && load["actual"].as_str().unwrap().contains("\"app\""), "{load}");
    assert_eq!(lender.sql("postgres", OURS), "strongroom_drill_notes");
    // With the role that the policy names, and as the superuser through the socket.
    lender.sql("postgres", "create role app");
    let document = drill(&sandbox, &["--json", "--postgres", &lender.dsn("postgres")]).ok().json();
    let found = of(&document, "shop");
    assert!(found["checks"].to_string().contains("database shop: amcheck"), "{found}");
    assert_eq!(lender.sql("postgres", OURS), "strongroom_drill_notes");
    lender.sql("postgres", "alter role drill nocreatedb");
    let run = drill(&sandbox, &["--postgres", &dsn]).code(6);
    assert!(run.out().contains("CREATEDB"), "{}", run.out());
    // A server that is not there is a drill that failed, and no more.
    lender.signal("INT");
    drill(&sandbox, &["--postgres", "host=/nowhere"]).code(6);
}

/// A drill that was started and is left to itself.
fn start(sandbox: &Sandbox, dsn: &str) -> Child {
    let _ = fs::create_dir(sandbox.path("tmp"));
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("strongroom"));
    command.arg("--config").arg(sandbox.config()).args(["drill", "--json", "--postgres", dsn, "-i"]);
    command.arg(sandbox.identity()).env("HOME", sandbox.path("home")).env("TMPDIR", sandbox.path("tmp"));
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// Waits until `query` gives `wanted`.
fn until(server: &Postgres, query: &str, wanted: &str) {
    let began = Instant::now();
    while server.sql("postgres", query) != wanted {
        assert!(began.elapsed() < Duration::from_mins(2), "{query} does not give {wanted:?}: {}", server.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

const LOADING: &str =
    "select count(*) from pg_stat_activity where datname like 'strongroom%' and wait_event = 'PgSleep'";

#[test]
fn stopped_or_killed_in_the_middle_of_loading_it_leaves_nothing() {
    let lender = lender();
    let (slow, quick) = (vault(&[("shop", SLOW)], ""), vault(&[("shop", SHOP)], ""));
    let at = dsn(&slow, &lender);
    dsn(&quick, &lender);
    for signal in [Signal::INT, Signal::TERM] {
        let mut child = start(&slow, &at);
        until(&lender, LOADING, "1");
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130));
        assert_eq!(lender.sql("postgres", OURS), "strongroom_drill_notes");
        assert_eq!(left(&slow.path("tmp")), [""; 0]);
    }
    // Killed, it leaves a database, in which its load may still work. The next drill ends that and drops it, and leaves alone
    // what belongs to a drill that lives.
    let mut dead = start(&slow, &at);
    until(&lender, LOADING, "1");
    let mut living = start(&slow, &at);
    until(&lender, LOADING, "2");
    let all = lender.sql("postgres", OURS);
    dead.kill().unwrap();
    dead.wait().unwrap();
    assert_eq!(lender.sql("postgres", OURS), all);
    until(&lender, "select count(*) from pg_stat_activity where application_name like 'strongroom_drill_%'", "1");
    drill(&quick, &["--postgres", &at]).ok();
    let now = lender.sql("postgres", OURS);
    assert_eq!(now.split(',').count(), 2, "{all} became {now}");
    assert_eq!(lender.sql("postgres", LOADING), "1", "the drill that lives was disturbed");
    kill_process(Pid::from_child(&living), Signal::INT).unwrap();
    assert_eq!(living.wait().unwrap().code(), Some(130));
    assert_eq!(lender.sql("postgres", OURS), "strongroom_drill_notes");
}

/// Gives the drills of a sandbox a check that waits for a file, and then does what follows; says which file.
fn waiting(sandbox: &Sandbox, then: &str) -> PathBuf {
    // It sees what it is given by name, below the configuration's directory.
    let gate = sandbox.path("etc/gate");
    fs::create_dir(&gate).unwrap();
    sandbox.configure(&format!(
        "[[source.check]]\nname = \"waits\"\n\
         command = [\"sh\", \"-c\", \"while [ ! -e \\\"$1/go on\\\" ]; do sleep 0.05; done{then}\", \"sh\", \"{}\"]\n",
        gate.display()
    ));
    gate.join("go on")
}

#[test]
fn two_drills_at_once_do_not_meet() {
    let lender = lender();
    let sandbox = vault(&[("shop", SHOP)], "");
    let marker = waiting(&sandbox, "; psql -XAt -d \\\"$STRONGROOM_DRILL_DSN\\\" -c 'select count(*) from orders'");
    sandbox.configure("expected = 500\n");
    let at = dsn(&sandbox, &lender);
    let (first, second) = (start(&sandbox, &at), start(&sandbox, &at));
    let loaded = "select count(*) from pg_database where datname like 'strongroom%'";
    until(&lender, loaded, "3");
    // A third one that begins meanwhile looks for what dead ones left.
    let third = vault(&[("shop", SHOP)], "");
    let at = dsn(&third, &lender);
    drill(&third, &["--postgres", &at]).ok();
    assert_eq!(lender.sql("postgres", loaded), "3");
    fs::write(&marker, "").unwrap();
    for child in [first, second] {
        let output = child.wait_with_output().unwrap();
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(document["ok"], true, "{document}");
    }
    assert_eq!(lender.sql("postgres", OURS), "strongroom_drill_notes");
}

#[test]
fn what_can_not_be_dropped_fails_the_drill_and_goes_with_the_next() {
    let lender = lender();
    let sandbox = vault(&[("shop", SHOP)], "");
    let marker = waiting(&sandbox, "");
    let dsn = dsn(&sandbox, &lender);
    let child = start(&sandbox, &dsn);
    until(&lender, "select count(*) from pg_database where datname like 'strongroom%'", "2");
    let name = lender.sql("postgres", "select datname from pg_database where datname like 'strongroom%0'");
    // Somebody works in it, whom the role may not send away.
    let mut other = lender.tool("psql", &name).args(["-X", "-c", "select pg_sleep(1000)"]).spawn().unwrap();
    until(&lender, LOADING, "1");
    fs::write(&marker, "").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(6));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(failed(of(&document, "shop")), [(format!("{name} is dropped"), "error".to_owned())]);
    lender.sql("postgres", &format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"));
    other.wait().unwrap();
    drill(&sandbox, &["--postgres", &dsn]).ok();
    assert_eq!(lender.sql("postgres", OURS), "strongroom_drill_notes");
}
