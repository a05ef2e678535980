//! Locks of others: they are waited for, nobody is held up meanwhile, and whose they are is told.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use crate::{
    broken::{configured, no_snapshot, replaced},
    place::{options, read_into},
    server::Postgres,
};

/// A session that holds what it was told to take, until this is dropped.
struct Holder(Child);

impl Holder {
    fn start(server: &Postgres, sql: &str) -> Self {
        let mut psql = server.tool("psql", "shop");
        psql.args(["-X", "-q", "-A", "-t"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = psql.spawn().unwrap();
        writeln!(child.stdin.as_mut().unwrap(), "begin; {sql}; select 'taken';").unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "taken");
        Self(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// How many sessions of ours wait for a lock.
const WAITING: &str = "select count(*) from pg_stat_activity \
                       where application_name like 'strongroom%' and wait_event_type = 'Lock'";

fn shop() -> Postgres {
    let server = Postgres::start();
    server.create("shop");
    server.sql(
        "shop",
        "create table accounts as select generate_series(1, 100) n; create view seen as select n from accounts",
    );
    server
}

#[test]
fn a_lock_of_another_session_is_waited_for_and_told() {
    let server = shop();
    for (taken, on) in [("lock table accounts", "accounts"), ("alter view seen set (security_barrier)", "seen")] {
        let holder = Holder::start(&server, taken);
        let sandbox = configured(&server, None, "lock_timeout = \"3s\"\n");
        let began = Instant::now();
        let run = no_snapshot(&sandbox, sandbox.writer(&["backup"]));
        run.says("waited").says(on).says("user postgres").says("lock_timeout");
        assert!(began.elapsed() < Duration::from_mins(1));
        // Nothing of ours goes on waiting.
        while server.sql("shop", WAITING) != "0" {
            assert!(began.elapsed() < Duration::from_mins(1), "something of ours waits on");
        }
        drop(holder);
    }
    let holder = Holder::start(&server, "lock table accounts");
    let dir = tempfile::tempdir().unwrap();
    let facts = std::thread::scope(|scope| {
        let reading = scope.spawn(|| read_into(options(&server, "shop"), dir.path()).unwrap());
        while server.sql("shop", WAITING) == "0" {}
        std::thread::sleep(Duration::from_secs(3)); // more than it waits for one lock at once
        drop(holder);
        reading.join().unwrap()
    });
    assert!(facts.warnings.iter().any(|w| w.contains("late") && w.contains("accounts")), "{:?}", facts.warnings);
    assert_eq!(facts.fingerprints[0].tables["public.accounts"].rows, 100);
}

/// A change that is asked for between our lock and `pg_dump`'s waits for us; `pg_dump` waits for it. Whoever reads the
/// table then waits too, so it must be over at once.
#[test]
fn a_change_of_a_table_in_the_middle_holds_nobody_up() {
    let server = shop();
    let place = tempfile::tempdir().unwrap();
    let once = place.path().join("once");
    let alter = format!(
        "env -u PGAPPNAME '{}' -X -q -h '{}' -p {} -U postgres -d shop -c \"alter table accounts add c int\"",
        crate::server::bin("psql").display(),
        server.dir().display(),
        server.port()
    );
    // The first dump finds somebody waiting for the table; `pg_dump` itself is then in the way of nobody. Who waits is not of
    // its process group, which is ended with it.
    let change = place.path().join("change");
    std::fs::write(&change, format!("{alter} >/dev/null 2>&1; touch '{}/done'\n", once.display())).unwrap();
    let script = format!(
        "if mkdir '{}' 2>/dev/null; then setsid sh '{}' >/dev/null 2>&1 </dev/null & sleep 1; fi; exec REAL \"$@\"",
        once.display(),
        change.display()
    );
    let programs = replaced("pg_dump", &script);
    let sandbox = configured(&server, Some(programs.path()), "");
    let began = Instant::now();
    let made = sandbox.writer(&["backup", "--json"]).ok().json();
    assert!(began.elapsed() < Duration::from_mins(1), "{:?}", began.elapsed());
    assert!(once.join("done").exists(), "the change was made");
    let warnings = made["result"]["snapshots"][0]["warnings"].to_string();
    assert!(warnings.contains("ALTER TABLE") && warnings.contains("accounts"), "{warnings}");
    assert_eq!(server.sql("shop", "select count(c) from accounts"), "0");
}

#[test]
fn a_pooler_that_shares_sessions_is_refused_before_anything_is_set() {
    let server = shop();
    let place = tempfile::tempdir().unwrap();
    let log = place.path().join("log");
    // What two clients of such a pooler see: one and the same process of the server.
    let script = format!("sed -u 's/pg_catalog.pg_backend_pid()/4711/' | tee -a '{}' | REAL \"$@\"", log.display());
    let programs = replaced("psql", &script);
    let sandbox = configured(&server, Some(programs.path()), "");
    no_snapshot(&sandbox, sandbox.writer(&["backup"])).says("pooler").says("session");
    let asked = std::fs::read_to_string(log).unwrap();
    assert!(asked.contains("4711") && !asked.contains("set_config"), "{asked}");
}

/// Once `pg_dump` has ended nothing of ours keeps anybody from changing a table, and what was changed then is not taken for
/// what was dumped.
#[test]
fn whoever_changes_a_table_waits_for_the_dump_and_not_for_the_hashes() {
    let server = shop();
    let create = |name: &str| format!("create table {name} as select generate_series(1, 50) n, 'x' t;");
    server.sql("shop", &["emptied", "renamed", "dropped", "typed", "longer"].map(create).concat());
    let changes = "begin; lock table accounts; truncate emptied; alter table renamed rename column t to u; drop table dropped; \
                   alter table typed alter n type text; alter table longer add z int; commit";
    // All is dumped, and the changes wait for what we hold. Then the first byte comes, and we let go.
    let script = format!(
        "here=$(mktemp); 'REAL' \"$@\" > \"$here\" || exit 1; unset PGAPPNAME\n\
         psql -XqAt '{dsn}' -c '{changes}' &\n\
         until [ \"$(psql -XqAt '{dsn}' -c \"select count(*) from pg_stat_activity where wait_event_type = 'Lock'\")\" = 1 ]; \
         do sleep 0.1; done\n\
         head -c 100 \"$here\"; wait; tail -c +101 \"$here\"; rm \"$here\"",
        dsn = server.dsn("shop"),
    );
    let programs = replaced("pg_dump", &script);
    let sandbox = configured(&server, Some(programs.path()), "globals = false\n");
    let made = sandbox.writer(&["backup", "--json"]).ok().json();
    let warnings = made["result"]["snapshots"][0]["warnings"].to_string();
    assert!(
        warnings.contains("others changed these tables")
            && warnings.contains("dropped, public.emptied, public.renamed, public.typed"),
        "{warnings}"
    );
    let drill = sandbox.reader(&["drill", "--json"]).ok().json();
    let checks = drill["result"]["drills"][0]["checks"].as_array().unwrap().clone();
    for (name, hashed) in [("emptied", false), ("typed", false), ("longer", true), ("accounts", true)] {
        let named = |check: &&serde_json::Value| check["name"] == format!("fingerprint shop: public.{name}");
        let told = checks.iter().find(named).unwrap()["expected"].as_str().unwrap();
        assert_eq!((told.contains(" rows"), told.contains(", ")), (true, hashed), "{name}: {told}");
    }
}
