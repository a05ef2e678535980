//! `show` and `diff`: what a snapshot holds, and what became of it.

use rusqlite::Connection;
use serde_json::Value;

use crate::{
    lab::{orders, with_shop},
    sandbox::Sandbox,
};

fn backup(sandbox: &Sandbox) -> String {
    let made = sandbox.writer(&["backup", "shop", "--json"]).ok().json();
    made["result"]["snapshots"][0]["id"].as_str().unwrap().to_owned()
}

fn opened(sandbox: &Sandbox, args: &[&str]) -> Value {
    let identity = sandbox.identity().display().to_string();
    let mut all = vec!["--json"];
    all.extend(args);
    all.extend(["-i", &identity]);
    sandbox.writer(&all).ok().json()
}

#[test]
fn a_snapshot_is_shown_with_and_without_an_identity() {
    let sandbox = with_shop("");
    let first = backup(&sandbox);
    let shown = sandbox.reader(&["show", &first[..10], "--json"]).ok().json();
    let result = &shown["result"];
    assert_eq!(
        (&result["id"], &result["source"], &result["kind"]),
        (&first.as_str().into(), &"shop".into(), &"sqlite".into())
    );
    assert_eq!(result["opened"], Value::Null);
    assert!(
        result["cost"]["packs"].as_u64().unwrap() >= 1 && result["cost"]["bytes"].as_u64().unwrap() > 1000,
        "{result}"
    );
    let text = sandbox.reader(&["show", &first]).ok().out();
    assert!(
        text.contains("-i FILE shows what is in it") && !text.contains("orders"),
        "names of tables are sealed: {text}"
    );
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");

    let result = opened(&sandbox, &["show", "latest", "--source", "shop"])["result"].clone();
    let tables = result["opened"]["databases"][0]["tables"].as_array().unwrap();
    let orders = tables.iter().find(|table| table["name"] == "orders").unwrap();
    assert_eq!(orders["rows"], 500);
    assert_eq!(
        result["opened"]["streams"].as_array().unwrap().len() as u64,
        result["opened"]["stream_count"].as_u64().unwrap()
    );
    // The same in files.
    let (json, page) = (sandbox.path("shown.json"), sandbox.path("shown.md"));
    let (json_text, page_text) = (json.display().to_string(), page.display().to_string());
    let run = sandbox.reader(&["show", &first, "--report", &json_text, "--report", &page_text]).ok();
    let written: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    assert_eq!(written, shown["result"]);
    let indented: String = run.out().lines().flat_map(|line| ["    ", line, "\n"].map(str::to_owned)).collect();
    assert_eq!(std::fs::read_to_string(&page).unwrap(), indented);
    sandbox.reader(&["show", &first, "--report", "x.html"]).code(2).says(".md or .json");
    sandbox.reader(&["diff", "latest", &first]).code(2).says("compares two snapshots by their ids");
    // A second run of the same adds next to nothing.
    let second = backup(&sandbox);
    let after = sandbox.reader(&["show", &second, "--json"]).ok().json();
    assert!(after["result"]["cost"]["bytes"].as_u64().unwrap() < result["cost"]["bytes"].as_u64().unwrap(), "{after}");
    sandbox.reader(&["show", "00000000"]).code(1).says("no snapshot id begins with");
    sandbox.reader(&["show", "latest"]).code(2);
    sandbox.reader(&["diff", &first, &second]).code(2).says("identity");
}

#[test]
fn two_snapshots_are_compared_by_table_file_and_ref() {
    let sandbox = with_shop("");
    let db = Connection::open(sandbox.path("shop.db")).unwrap();
    let first = backup(&sandbox);
    orders(&db, 20);
    db.execute_batch("DROP TABLE notes; CREATE TABLE extra(x); INSERT INTO extra VALUES (1)").unwrap();
    let second = backup(&sandbox);
    let result = opened(&sandbox, &["diff", &first, &second])["result"].clone();
    let tables: Vec<(String, String)> = result["tables"]["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| (change["what"].as_str().unwrap().to_owned(), change["name"].as_str().unwrap().to_owned()))
        .collect();
    let said = |what: &str, name: &str| (what.to_owned(), name.to_owned());
    assert_eq!(tables, [said("gone", "notes"), said("changed", "orders"), said("added", "extra")], "{result}");
    let orders = &result["tables"]["changes"][1];
    assert!(
        orders["from"].as_str().unwrap().starts_with("500 rows")
            && orders["to"].as_str().unwrap().starts_with("520 rows")
    );
    let same = opened(&sandbox, &["diff", &first, &first])["result"].clone();
    assert_eq!(
        (&same["tables"]["changed"], &same["streams"]["changed"], &same["grown"]),
        (&0.into(), &0.into(), &0.into())
    );
    let identity = sandbox.identity().display().to_string();
    let text = sandbox.writer(&["diff", &first, &second, "-i", &identity]).ok().out();
    assert!(text.contains("tables: 1 gone, 1 changed, 1 added") && text.contains("500 rows"), "{text}");

    // Files, one gone, one altered, one new.
    let dir = sandbox.path("data");
    std::fs::create_dir(&dir).unwrap();
    for name in ["gone", "altered", "same"] {
        std::fs::write(dir.join(name), name).unwrap();
    }
    let path = dir.display().to_string();
    let run = || sandbox.writer(&["backup", "--name", "files", "--path", &path, "--json"]).ok().json();
    let id = |made: Value| made["result"]["snapshots"][0]["id"].as_str().unwrap().to_owned();
    let a = id(run());
    std::fs::remove_file(dir.join("gone")).unwrap();
    std::fs::write(dir.join("altered"), "other").unwrap();
    std::fs::write(dir.join("new"), "new").unwrap();
    let b = id(run());
    let files = opened(&sandbox, &["diff", &a, &b])["result"]["streams"].clone();
    let counts = ["gone", "changed", "added", "same"].map(|field| files[field].as_u64().unwrap());
    assert_eq!(counts, [1, 1, 1, 1], "{files}");
    // What is of different kinds holds nothing alike.
    let run = sandbox.writer(&["diff", &a, &second, "-i", &identity]).code(2);
    assert!(run.stderr.contains("kind path") && run.stderr.contains("kind sqlite"), "{}", run.stderr);
}
