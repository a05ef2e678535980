//! Restores that fit a hand: `--list`, `--dry-run`, `--include`, and `--into` a file of SQLite.

use std::fs;

use rusqlite::Connection;
use serde_json::Value;

use crate::{
    lab::with_shop,
    sandbox::{Run, Sandbox},
    ssh::Key,
};

/// A vault with a tree of files.
fn tree() -> Sandbox {
    let sandbox = Sandbox::with_vault();
    let root = sandbox.path("files");
    for (path, bytes) in
        [("etc/nginx/nginx.conf", 400), ("etc/nginx/sites/shop", 300), ("etc/hosts", 60), ("srv/big.bin", 3_000_000)]
    {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, crate::sandbox::noise(bytes, bytes as u64)).unwrap();
    }
    sandbox.configure(&format!("[[source]]\nname = \"files\"\nkind = \"path\"\npath = {:?}\n", root.to_str().unwrap()));
    sandbox.writer(&["backup", "files"]).ok();
    sandbox
}

fn latest(sandbox: &Sandbox, source: &str, more: &[&str]) -> Run {
    sandbox.reader(&[&["restore", "latest", "--source", source], more].concat())
}

#[test]
fn a_snapshot_is_listed_and_its_restore_rehearsed_without_writing() {
    let sandbox = tree();
    let listed = latest(&sandbox, "files", &["--list", "--json"]).ok().json()["result"].clone();
    let paths: Vec<&str> = listed["streams"].as_array().unwrap().iter().map(|s| s["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["etc/hosts", "etc/nginx/nginx.conf", "etc/nginx/sites/shop", "srv/big.bin"], "{listed}");
    assert_eq!(listed["bytes"], 3_000_760);
    let text = latest(&sandbox, "files", &["--list", "--include", "nginx"]).ok().out();
    assert!(text.contains("nginx.conf") && text.contains("sites/shop") && !text.contains("hosts"), "{text}");

    let all = latest(&sandbox, "files", &["--dry-run", "--json"]).ok().json()["result"].clone();
    let some = latest(&sandbox, "files", &["--dry-run", "--include", "etc", "--json"]).ok().json()["result"].clone();
    let fetched = |result: &Value| result["fetch"]["bytes"].as_u64().unwrap();
    assert!(fetched(&all) >= 3_000_000 && fetched(&some) < 1_000_000, "{all}\n{some}");
    assert_eq!((&some["streams"], &some["dry_run"]), (&3.into(), &true.into()));
    // What was said is what is read.
    let done = latest(&sandbox, "files", &["--to", sandbox.path("out").to_str().unwrap(), "--json"]).ok().json();
    let (read, said) =
        (done["result"]["fetched_bytes"].as_u64().unwrap(), fetched(&all) + all["opening"]["bytes"].as_u64().unwrap());
    assert!(read.abs_diff(said) * 50 < said, "{read} were read, {said} were said");
    latest(&sandbox, "files", &["--list", "--to", "x"]).code(2);
    latest(&sandbox, "files", &[]).code(2).says("--to");
}

#[test]
fn only_what_fits_comes_back_and_a_mistyped_pattern_is_answered_with_the_nearest() {
    let sandbox = tree();
    let out = sandbox.path("out");
    let to = out.to_str().unwrap();
    latest(&sandbox, "files", &["--include", "etc/nginx", "--include", "*.bin", "--to", to]).ok();
    let back = |path: &str| out.join("files").join(path);
    assert_eq!(fs::read(back("srv/big.bin")).unwrap(), fs::read(sandbox.path("files/srv/big.bin")).unwrap());
    assert!(back("etc/nginx/sites/shop").is_file() && !back("etc/hosts").exists());
    latest(&sandbox, "files", &["--include", "etc/host", "--to", to]).code(1).says("etc/hosts");
    latest(&sandbox, "files", &["--include", "x", "--stream", "y", "--to", to]).code(2);
}

#[test]
fn a_database_goes_into_a_file_and_one_table_into_another() {
    let sandbox = with_shop("");
    sandbox.writer(&["backup", "shop"]).ok();
    let file = sandbox.path("back.db");
    let into = format!("sqlite:{}", file.display());
    let done = latest(&sandbox, "shop", &["--into", &into, "--json"]).ok().json();
    assert_eq!(done["result"]["loaded"], serde_json::json!(["shop.db"]), "{done}");
    let rows = |path: &std::path::Path, table: &str| -> i64 {
        let db = Connection::open(path).unwrap();
        db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    };
    assert_eq!(rows(&file, "orders"), 500);
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).unwrap().permissions()) & 0o77, 0);
    latest(&sandbox, "shop", &["--into", &into]).code(2).says("is there already");
    Connection::open(&file).unwrap().execute_batch("DELETE FROM orders").unwrap();
    latest(&sandbox, "shop", &["--into", &into, "--clean"]).ok();
    assert_eq!(rows(&file, "orders"), 500);

    // One table, beside what is there.
    let other = sandbox.path("other.db");
    let db = Connection::open(&other).unwrap();
    db.execute_batch("CREATE TABLE mine(x); INSERT INTO mine VALUES (1)").unwrap();
    drop(db);
    let into = format!("sqlite:{}", other.display());
    latest(&sandbox, "shop", &["--into", &into, "--table", "order"]).code(2).says("orders");
    let text = latest(&sandbox, "shop", &["--into", &into, "--table", "orders"]).ok().out();
    assert!(text.contains("500 rows"), "{text}");
    assert_eq!((rows(&other, "orders"), rows(&other, "mine")), (500, 1));
    latest(&sandbox, "shop", &["--into", &into, "--table", "orders"]).code(2).says("already");
    latest(&sandbox, "shop", &["--into", &into, "--table", "orders", "--clean"]).ok();
    assert_eq!(rows(&other, "orders"), 500);
    // A database that is in use is left alone.
    fs::write(sandbox.path("other.db-wal"), "x").unwrap();
    latest(&sandbox, "shop", &["--into", &into, "--table", "notes"]).code(2).says("in use");
    // The log of a database that was moved away would be read into the one that takes its place.
    let moved = sandbox.path("moved.db");
    let into_moved = format!("sqlite:{}", moved.display());
    fs::write(sandbox.path("moved.db-wal"), "x").unwrap();
    for more in [&[][..], &["--table", "orders"], &["--clean"]] {
        let words = [&["--into", &into_moved], more].concat();
        latest(&sandbox, "shop", &words).code(2).says("moved.db-wal is there");
    }
    assert!(!moved.exists());
    // One that somebody has open, who wrote nothing yet.
    let held = Connection::open(&file).unwrap();
    held.execute_batch("PRAGMA journal_mode = WAL; BEGIN IMMEDIATE").unwrap();
    let into_held = format!("sqlite:{}", file.display());
    latest(&sandbox, "shop", &["--into", &into_held, "--clean"]).code(2).says("is in use");
    held.execute_batch("ROLLBACK").unwrap();
    drop(held);
    latest(&sandbox, "shop", &["--into", &into_held, "--clean"]).ok();
    assert_eq!(rows(&file, "orders"), 500);
    latest(&sandbox, "shop", &["--into", "host=nowhere.invalid"]).code(2).says("kind sqlite");
    latest(&sandbox, "shop", &["--into", "mariadb://root:geheim@nowhere.invalid"]).code(2);
    let refused = latest(&sandbox, "shop", &["--into", "postgresql://app:geheim@nowhere.invalid/x"]).code(2);
    assert!(!refused.stderr.contains("geheim"), "{}", refused.stderr);
}

/// An option that would have no effect is a mistake of who typed it: all would come back where a table was meant.
#[test]
fn no_option_of_a_restore_is_passed_over() {
    let sandbox = with_shop("");
    sandbox.writer(&["backup", "shop"]).ok();
    let out = sandbox.path("out");
    for mode in [&["--list"][..], &["--dry-run"], &["--to", out.to_str().unwrap()]] {
        for (option, value) in [
            ("--table", Some("orders")),
            ("--database", Some("x")),
            ("--clean", None),
            ("--no-roles", None),
            ("--token", Some("file:/x")),
            ("--repo", Some("a/b")),
            ("--inclusive", None),
            ("--exclusive", None),
            ("--timeline", Some("2")),
            ("--wal", Some("here")),
            ("--delta", None),
        ] {
            let words: Vec<&str> = mode.iter().copied().chain([option]).chain(value).collect();
            let run = latest(&sandbox, "shop", &words).code(2);
            assert!(run.stderr.contains(" --into") || run.stderr.contains("--recover-to"), "{words:?}: {}", run.stderr);
        }
    }
    assert!(!out.exists());
    let typed = ["replicate", "disk", "--to-endpoint", "http://127.0.0.1:1"];
    sandbox.writer(&typed).code(2).says("--to-endpoint goes with --to");
    let typed = ["repair", "--parity", "5%", "--from-region", "x"];
    sandbox.reader(&typed).code(2).says("--from");
}

#[test]
fn people_approve_what_goes_into_a_server() {
    let sandbox = with_shop("");
    let made = sandbox.writer(&["backup", "shop", "--json"]).ok().json();
    let id = made["result"]["snapshots"][0]["id"].as_str().unwrap().to_owned();
    let keys = sandbox.path("keys");
    fs::create_dir(&keys).unwrap();
    let (alice, bob) = (Key::new(&keys, "alice", "ed25519"), Key::new(&keys, "bob", "ed25519"));
    let mut command = sandbox.command();
    command
        .args(["--vault", &sandbox.url(), "approvers", "set", "--need", "restore-into=2", "-i"])
        .arg(sandbox.identity());
    for (name, key) in [("alice", &alice), ("bob", &bob)] {
        command.args(["--approver", &format!("{name}={}", key.file().display())]);
    }
    sandbox.finish(&mut command).ok();
    let file = sandbox.path("back.db");
    let into = format!("sqlite:{}", file.display());
    let refused = latest(&sandbox, "shop", &["--into", &into]).code(8).says("2 people");
    assert!(!file.exists(), "nothing may be made before it was approved");
    // The words that it gives are those to be approved.
    let words = refused.stderr.split("approve new ").nth(1).unwrap().split('`').next().unwrap().to_owned();
    assert!(words.contains(&format!("snapshot={id}")), "{words}");
    let mut ask = vec!["approve", "new"];
    ask.extend(words.split(' '));
    let request = sandbox.reader(&ask).ok().stdout;
    let write = |name: &str, bytes: &[u8]| {
        let path = sandbox.path(name);
        fs::write(&path, bytes).unwrap();
        path.display().to_string()
    };
    let papers = [
        write("request", &request),
        write("a.sig", alice.sign(&request).as_ref()),
        write("b.sig", bob.sign(&request).as_ref()),
    ];
    let one = ["--approved", &papers[0], "--signature", &papers[1]];
    let both = [&one[..], &["--signature", &papers[2]]].concat();
    latest(&sandbox, "shop", &[&["--into", &into], &one[..]].concat()).code(8).says("1 of 2");
    let elsewhere = format!("sqlite:{}", sandbox.path("elsewhere.db").display());
    latest(&sandbox, "shop", &[&["--into", &elsewhere], &both[..]].concat()).code(8);
    let done = latest(&sandbox, "shop", &[&["--into", &into, "--json"], &both[..]].concat()).ok().json();
    assert_eq!(done["result"]["approved_by"], serde_json::json!(["alice", "bob"]));
    latest(&sandbox, "shop", &[&["--into", &into, "--clean"], &both[..]].concat()).code(8);
}
