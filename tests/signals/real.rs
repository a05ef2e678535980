//! The same through the program, on real sources: five honest backups, then the day. `watch` judges from the vault alone;
//! the writer's own memory is taken away before the last run, so it says nothing.

use std::{fs, path::Path, process::Command};

use rusqlite::Connection;
use serde_json::Value;

use crate::{
    sandbox::{Run, Sandbox},
    server::Postgres,
};

pub fn watch(sandbox: &Sandbox, more: &[&str]) -> Run {
    let seen = sandbox.path("seen.json").display().to_string();
    let mut args = vec!["--config".to_owned(), sandbox.config().display().to_string(), "watch".to_owned()];
    args.extend(["--checkpoint".to_owned(), seen, "-i".to_owned(), sandbox.identity().display().to_string()]);
    args.extend(more.iter().map(|word| (*word).to_owned()));
    sandbox.finish(sandbox.command().args(args))
}

/// Nobody has anything to say; then the writer forgets all that it knows.
pub fn calm(sandbox: &Sandbox) {
    let run = watch(sandbox, &["--json"]).ok();
    assert_eq!(run.json()["result"]["open"], serde_json::json!([]), "{}", run.out());
    fs::remove_dir_all(sandbox.path("etc/state")).unwrap();
}

/// The alarms of a pass that ends with 7.
pub fn alarms(run: &Run) -> Vec<Value> {
    let document = run.json();
    assert_eq!(run.code, 7, "{document}");
    assert_eq!(document["error"]["kind"], "alarm");
    let open = document["result"]["open"].as_array().unwrap().clone();
    assert!(open.iter().all(|signal| signal["by"] == "watch"), "{document}");
    open
}

pub fn words(signal: &Value, rule: &str) -> String {
    let reasons = signal["reasons"].as_array().unwrap();
    let found = reasons.iter().find(|reason| reason["rule"] == rule && reason["level"] == "alarm");
    found.unwrap_or_else(|| panic!("no {rule} in {signal}"))["words"].as_str().unwrap().to_owned()
}

fn orders(db: &Connection, count: usize) {
    let sql = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) \
         INSERT INTO orders(what, paid) SELECT hex(randomblob(40)), 0 FROM n"
    );
    db.execute_batch(&sql).unwrap();
}

/// Closes the one cause that is open.
fn acknowledged(sandbox: &Sandbox, cause: &str) {
    // A cause that nothing has closes nothing, and the one that was meant is named.
    let typed = cause.replacen("shop@", "shpo@", 1);
    watch(sandbox, &["--acknowledge", &typed]).code(2).says("the one that is open is").says(cause);
    assert_eq!(alarms(&watch(sandbox, &["--json"])).len(), 1);
    watch(sandbox, &["--acknowledge", cause]).ok();
    watch(sandbox, &["--acknowledge", cause]).ok();
    watch(sandbox, &["--acknowledge", "nosuch"]).code(2).says("none is open");
}

#[test]
fn an_sqlite_database_is_emptied_altered_and_encrypted_slowly() {
    let sandbox = Sandbox::with_vault();
    let path = sandbox.path("shop.db");
    let db = Connection::open(&path).unwrap();
    db.execute_batch(
        "CREATE TABLE orders(id INTEGER PRIMARY KEY, what TEXT, paid INTEGER); CREATE TABLE notes(t TEXT)",
    )
    .unwrap();
    orders(&db, 1000);
    let backup =
        || sandbox.writer(&["backup", "--name", "shop", "--sqlite", path.to_str().unwrap(), "--json"]).ok().json();
    let honest = |runs: usize| {
        for _ in 0..runs {
            orders(&db, 20);
            db.execute_batch("UPDATE orders SET paid = 1 WHERE id > (SELECT max(id) - 30 FROM orders)").unwrap();
            backup();
        }
    };
    honest(5);
    calm(&sandbox);

    // All rows are altered, by a statement without WHERE.
    db.execute_batch("UPDATE orders SET paid = 2").unwrap();
    let made = backup();
    assert_eq!(made["result"]["snapshots"][0]["signals"], serde_json::json!([]), "the writer knows nothing");
    let open = alarms(&watch(&sandbox, &["--json"]));
    let said = words(&open[0], "rows.rewritten");
    assert!(said.contains("100% of the rows of table orders (1100 rows)"), "{said}");
    let id = made["result"]["snapshots"][0]["id"].as_str().unwrap();
    assert_eq!(open[0]["snapshot"], id);
    let good = open[0]["last_good"].as_str().unwrap();
    assert_ne!(good, id);
    // It stays open until somebody knows of it, also where nothing is new.
    let cause = open[0]["cause"].as_str().unwrap();
    assert_eq!(alarms(&watch(&sandbox, &["--json"])).len(), 1);
    acknowledged(&sandbox, cause);

    // Two rows in a hundred a day, when nine runs are known in all, one of them with the alteration of before.
    honest(2);
    watch(&sandbox, &[]).ok();
    // The writer forgets once more what it knows: it is `watch` that has to see it.
    fs::remove_dir_all(sandbox.path("etc/state")).unwrap();
    honest(1);
    let mut told = 0;
    for day in 1..=5 {
        let sql = format!("UPDATE orders SET what = hex(randomblob(80)) WHERE id % 50 = {day} AND id < 1100");
        db.execute_batch(&sql).unwrap();
        honest(1);
        let run = watch(&sandbox, &["--json"]);
        if run.code == 7 {
            let said = words(&alarms(&run)[0], "rows.changing");
            assert!(said.contains("table orders"), "{said}");
            told = day;
            let cause = alarms(&run)[0]["cause"].as_str().unwrap().to_owned();
            watch(&sandbox, &["--acknowledge", &cause]).ok();
            break;
        }
    }
    assert!(told > 0, "nobody noticed in five days");

    // And all rows are deleted. The writer, which has a memory again, sees it as well, and says so in the header.
    db.execute_batch("DELETE FROM orders").unwrap();
    let made = backup();
    let said = made["result"]["snapshots"][0]["signals"].to_string();
    assert!(said.contains("rows.emptied") && said.contains("\"alarm\""), "{said}");
    let open = alarms(&watch(&sandbox, &["--json"]));
    let said = words(&open[0], "rows.emptied");
    assert!(said.contains("table orders is empty and held 1"), "{said}");
    let lines = sandbox.reader(&["snapshots", "--json"]).ok().json();
    assert_eq!(lines["result"].as_array().unwrap().last().unwrap()["signal"], "alarm");
    let to = sandbox.path("back").display().to_string();
    let run = sandbox.reader(&["restore", "latest", "--source", "shop", "--to", &to]).ok();
    assert!(run.stderr.contains("ALARM") && run.stderr.contains("the last one without is"), "{}", run.stderr);
    // Without an identity the writer's word is all there is about tables.
    let plain = sandbox.reader(&["watch", "--json"]).code(7).json();
    assert!(plain["result"]["open"].to_string().contains("\"by\":\"writer\""), "{plain}");
}

fn git(dir: &Path, args: &[&str]) {
    let mut command = Command::new("git");
    command
        .arg("-C")
        .arg(dir)
        .args(["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"])
        .args(args);
    let output = command.env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_repository_is_pushed_over_and_a_dump_ends_early() {
    let sandbox = Sandbox::with_vault();
    let repo = sandbox.path("repo");
    fs::create_dir(&repo).unwrap();
    git(&repo, &["init", "-q", "-b", "main"]);
    for branch in ["dev", "fix-a", "fix-b"] {
        git(&repo, &["commit", "-q", "--allow-empty", "-m", branch]);
        git(&repo, &["branch", branch]);
    }
    let dump = |bytes: usize| sandbox.backup("dump", "INSERT INTO t VALUES(1);\n".repeat(bytes / 25).as_bytes());
    let backup = || sandbox.writer(&["backup", "--name", "code", "--git", repo.to_str().unwrap()]).ok();
    for n in 0..5 {
        git(&repo, &["commit", "-q", "--allow-empty", "-m", "more"]);
        backup();
        dump(200_000 + n * 1000);
    }
    watch(&sandbox, &[]).ok();
    // What is announced is a notice.
    let expect = "\n[[source]]\nname = \"dump\"\nkind = \"command\"\ncommand = [\"true\"]\n[[source.expect]]\n\
                  rules = [\"data.*\"]\nuntil = \"2999-01-01T00:00:00Z\"\nreason = \"archived\"\n";
    let before = fs::read_to_string(sandbox.config()).unwrap();
    dump(90_000);
    fs::write(sandbox.config(), format!("{before}{expect}")).unwrap();
    let run = watch(&sandbox, &[]).ok();
    assert!(run.out().contains("announced until") && run.out().contains("archived"), "{}", run.out());
    fs::write(sandbox.config(), before).unwrap();
    dump(800);
    git(&repo, &["reset", "-q", "--hard", "HEAD~3"]);
    git(&repo, &["commit", "-q", "--allow-empty", "-m", "other"]);
    backup();
    let react = |name: &str, command: &str| {
        format!("\n[[watch.react]]\nname = \"{name}\"\ncommand = {command}\ntimeout = \"2s\"\n")
    };
    let file = sandbox.path("told");
    let tell = format!(
        "[\"sh\", \"-c\", \"echo $WATCH_CAUSE $WATCH_WORDS ${{AWS_SECRET_ACCESS_KEY-none}} >> {}\"]",
        file.display()
    );
    let slow = react("slow", "[\"sh\", \"-c\", \"sleep 60 & sleep 60\"]");
    sandbox.configure(&(react("gone", "[\"/nowhere/at/all\"]") + &slow + &react("tell", &tell)));
    let run = watch(&sandbox, &["--react", "--json"]);
    let open = alarms(&run);
    assert_eq!(open.len(), 2, "{open:?}");
    let of = |source: &str| open.iter().find(|signal| signal["source"] == source).unwrap();
    let said = words(of("dump"), "data.collapsed");
    assert!(said.contains("99% are gone"), "{said}");
    let said = words(of("code"), "refs.default");
    assert!(said.contains("branch main") && said.contains("force-push"), "{said}");
    // One reaction's failure is told and leaves the others running; none is run twice.
    let failed: Vec<Value> =
        run.json()["findings"].as_array().unwrap().iter().filter(|f| f["code"] == "watch.reaction").cloned().collect();
    assert_eq!(failed.len(), 4, "{failed:?}");
    assert!(failed.iter().any(|f| f["message"].to_string().contains("was ended after 2s")), "{failed:?}");
    let told = fs::read_to_string(&file).unwrap();
    assert!(told.lines().count() == 2 && told.contains("force-push") && told.contains(" none"), "{told}");
    assert_eq!(watch(&sandbox, &["--react", "--json"]).json()["result"]["reactions"], serde_json::json!([]));
    assert_eq!(fs::read_to_string(&file).unwrap(), told);

    // A header that is gone before its time is damage, and louder than alarms.
    let headers = fs::read_dir(sandbox.path("vault/snapshots/writer")).unwrap().map(|entry| entry.unwrap().path());
    headers
        .filter(|path| path.to_string_lossy().contains("/0000000003"))
        .for_each(|path| fs::remove_file(path).unwrap());
    let run = watch(&sandbox, &["--json"]).code(4);
    assert!(run.out().contains("header.missing"), "{}", run.out());
    // Anybody's checkpoint is not everybody's.
    let other = Sandbox::with_vault();
    fs::copy(sandbox.path("seen.json"), other.path("seen.json")).unwrap();
    watch(&other, &[]).code(2).says("does not belong here");
}

#[test]
fn a_server_loses_a_schema_and_gains_a_superuser() {
    let server = Postgres::start();
    server.create("shop");
    let sql = |text: &str| server.sql("shop", text);
    sql("create schema s; create table s.orders(id serial, what text); create table s.items(id serial, what text)");
    sql("create role app login");
    let sandbox = Sandbox::with_vault();
    let backup = || sandbox.writer(&["backup", "--name", "shop", "--postgres", &server.dsn("shop")]).ok();
    for n in 0..5 {
        sql("insert into s.orders(what) select md5(random()::text) from generate_series(1, 300)");
        sql("insert into s.items(what) select md5(random()::text) from generate_series(1, 200)");
        if n == 4 {
            // Rows lie elsewhere afterwards, and are the same.
            sql("vacuum full s.orders");
            sql("reindex table s.orders");
        }
        backup();
    }
    calm(&sandbox);
    sql("alter role app superuser");
    sql("update s.items set what = encode(sha256(what::bytea), 'hex')");
    backup();
    let open = alarms(&watch(&sandbox, &["--json"]));
    assert!(words(&open[0], "roles.grew").contains("role app got: superuser"));
    let said = words(&open[0], "rows.rewritten");
    assert!(said.contains("table s.items (1000 rows)") && !said.contains("s.orders"), "{said}");
    sql("delete from s.orders");
    backup();
    assert!(words(alarms(&watch(&sandbox, &["--json"])).last().unwrap(), "rows.emptied").contains("held 1500 rows"));
    sql("drop schema s cascade");
    backup();
    assert!(words(alarms(&watch(&sandbox, &["--json"])).last().unwrap(), "tables.gone").contains("no table is left"));
}
