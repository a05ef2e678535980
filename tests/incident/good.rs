//! `restore last-good`.

use std::fs;

use rusqlite::Connection;

use crate::shop::Shop;

/// The rows of the orders in the restored database below `to`.
fn rows(shop: &Shop, to: &str) -> i64 {
    let dir = shop.sandbox.path(to).join("shop");
    let file = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).next().unwrap();
    Connection::open(file).unwrap().query_row("SELECT count(*) FROM orders", [], |row| row.get(0)).unwrap()
}

fn last_good(shop: &Shop, to: &str, more: &[&str]) -> crate::sandbox::Run {
    let to = shop.sandbox.path(to).display().to_string();
    shop.responder(&[&["restore", "last-good", "--source", "shop", "--to", &to], more].concat())
}

#[test]
fn what_was_emptied_stays_bad_until_it_is_undone_or_acknowledged() {
    let shop = Shop::open(6);
    let (good, held) = (shop.backup(), shop.count());
    let calm = last_good(&shop, "calm", &["--json"]).ok().json();
    assert_eq!(calm["result"]["id"], good.as_str(), "without an alarm it is the newest");
    assert_eq!(calm["findings"], serde_json::json!([]));

    let copy = shop.sandbox.path("copy.db");
    let keep = format!(
        "ATTACH '{}' AS copy; CREATE TABLE copy.orders AS SELECT * FROM orders; DELETE FROM main.orders",
        copy.display()
    );
    shop.db.execute_batch(&keep).unwrap();
    // The writer says nothing: its memory is gone.
    fs::remove_dir_all(shop.sandbox.path("etc/state")).unwrap();
    let bad = shop.backup();
    // Two more runs of the empty table: each is like the one before, and none is good.
    for _ in 0..2 {
        shop.db.execute_batch("INSERT INTO notes VALUES('later')").unwrap();
        shop.backup();
    }
    let run = last_good(&shop, "back", &[]).ok();
    assert!(run.stderr.contains("table orders is empty and held"), "{}", run.stderr);
    assert!(run.stderr.contains("the 2 after it still show it"), "{}", run.stderr);
    assert!(run.stderr.contains(&format!("last good snapshot of shop: {}", &good[..12])), "{}", run.stderr);
    assert_eq!(rows(&shop, "back"), held);
    let told = last_good(&shop, "json", &["--json"]).ok().json();
    assert_eq!(told["result"]["id"], good.as_str());
    let passed: Vec<_> =
        told["findings"].as_array().unwrap().iter().filter(|f| f["code"] == "restore.passed-over").collect();
    assert!(passed.len() == 1 && passed[0]["snapshot"] == bad.as_str(), "{told}");

    // Up to a time it is the last good one of then.
    let early = last_good(&shop, "early", &["--json", "--at", "2999-01-01T00:00:00Z"]).ok().json();
    assert_eq!(early["result"]["id"], good.as_str());

    // It was meant: what somebody knows of is passed over no more.
    let open = shop.watch(&[]).code(7).json();
    let cause = open["result"]["open"][0]["cause"].as_str().unwrap().to_owned();
    assert_eq!(open["result"]["open"][0]["snapshot"], bad.as_str());
    shop.watch(&["--acknowledge", &cause]).ok();
    let seen = shop.sandbox.path("seen.json").display().to_string();
    let newest = last_good(&shop, "known", &["--json", "--checkpoint", &seen]).ok().json();
    assert_eq!(newest["findings"], serde_json::json!([]), "{newest}");
    assert_ne!(newest["result"]["id"], good.as_str());
    assert_eq!(rows(&shop, "known"), 0);

    // As many rows that nobody has seen are no undoing.
    shop.orders(held);
    let other = shop.backup();
    assert_eq!(last_good(&shop, "other", &["--json"]).ok().json()["result"]["id"], good.as_str());
    assert_ne!(other, good);
    shop.db.execute_batch("DELETE FROM main.orders").unwrap();

    // Or it is undone, and what follows is good again, also for somebody who knows of nothing.
    shop.db.execute_batch("INSERT INTO main.orders SELECT * FROM copy.orders").unwrap();
    let again = shop.backup();
    assert_eq!(last_good(&shop, "again", &["--json"]).ok().json()["result"]["id"], again.as_str());
}

#[test]
fn where_none_is_good_it_says_so_and_restores_nothing() {
    let shop = Shop::open(1);
    let to = shop.sandbox.path("back").display().to_string();
    shop.responder(&["restore", "last-good", "--to", &to]).code(2).says("needs --source NAME");
    shop.responder(&["restore", "last-good", "--source", "shpo", "--to", &to]).code(2).says("there is shop");
    let seen = shop.sandbox.path("none.json").display().to_string();
    let args = ["restore", "last-good", "--source", "shop", "--to", &to, "--checkpoint", &seen];
    shop.responder(&args).code(2).says("there is no checkpoint");
    let args = ["restore", "latest", "--source", "shop", "--to", &to, "--checkpoint", &seen];
    shop.responder(&args).code(2).says("--checkpoint goes with `last-good`");

    // The only snapshots have bodies that can't be read.
    let packs = shop.sandbox.path("vault/packs/writer");
    for dir in fs::read_dir(packs).unwrap().map(|entry| entry.unwrap().path()) {
        for pack in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
            fs::remove_file(pack).unwrap();
        }
    }
    let run = shop.responder(&["restore", "last-good", "--source", "shop", "--to", &to]);
    assert_ne!(run.code, 0, "{}", run.stderr);
    assert!(run.stderr.contains("of shop that were looked at") || run.stderr.contains("body"), "{}", run.stderr);
    assert!(!shop.sandbox.path("back").exists());
}
