//! `renew` and `prune`, on a directory vault.

use std::{fs, path::Path, thread, time::Duration};

use serde_json::Value;

use crate::sandbox::{Sandbox, noise};

/// A vault that promises a second to each snapshot, with five snapshots whose time is over.
fn over() -> Sandbox {
    let sandbox = Sandbox::new();
    // A run that takes longer than that makes no snapshot.
    sandbox.init(&["--keep", "10s"]).ok();
    fs::rename(sandbox.path("etc/recovery.key"), sandbox.identity()).unwrap();
    for seed in 0..5 {
        sandbox.backup("orders", &noise(200_000, seed));
    }
    thread::sleep(Duration::from_millis(11_100)); // what is kept for ten seconds is over then, to the second
    sandbox
}

/// Lets every lock end, as time would.
fn end_locks(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            end_locks(&path);
        } else if path.extension().is_some_and(|end| end == "lock") {
            fs::remove_file(&path).unwrap();
            fs::write(&path, r#"{"mode": "compliance", "until": "2020-01-01T00:00:00Z"}"#).unwrap();
        }
    }
}

fn files(dir: &Path) -> usize {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { files(&path) } else { 1 }).sum()
}

#[test]
fn prune_says_first_and_deletes_when_told() {
    let sandbox = over();
    let before = files(&sandbox.path("vault"));
    let early = sandbox.reader(&["prune", "--grace", "0s", "--yes", "--json"]).ok().json();
    assert_eq!(early["result"]["deleted"], serde_json::json!({}), "all is locked");
    end_locks(&sandbox.path("vault"));
    let dry = sandbox.reader(&["prune", "--grace", "0s", "--json"]).ok().json();
    assert_eq!((dry["result"]["dry_run"].as_bool(), files(&sandbox.path("vault"))), (Some(true), before));
    let told = sandbox.reader(&["prune", "--grace", "0s"]).ok().out();
    assert!(told.contains("would delete 2 versions of snapshots") && told.contains("--yes deletes"), "{told}");
    let done = sandbox.reader(&["prune", "--grace", "0s", "--yes", "--json"]).ok().json();
    assert_eq!(done["result"]["deleted"], dry["result"]["deleted"]);
    assert_eq!(done["result"]["deleted"]["snapshots"]["versions"], 2);
    assert!(done["result"]["deleted"]["packs"]["bytes"].as_u64().unwrap() > 300_000, "{done}");
    assert_eq!(sandbox.reader(&["snapshots", "--json"]).ok().json()["result"].as_array().unwrap().len(), 3);
    let back = sandbox.reader(&["restore", "latest", "--source", "orders", "--to", "-"]).ok().stdout;
    assert!(back == noise(200_000, 4));
    let whole = sandbox.reader(&["verify", "--depth", "decrypt", "--json"]);
    let missing = |f: &Value| f["severity"] == "error";
    assert!(!whole.json()["findings"].as_array().unwrap().iter().any(missing), "{}", whole.out());
    for kept in ["vault.json", "keys", "members"] {
        assert!(sandbox.path("vault").join(kept).exists(), "{kept}");
    }
    sandbox.reader(&["prune", "--dry-run", "--yes"]).code(2);
}

#[test]
fn prune_deletes_nothing_while_a_header_is_not_understood() {
    let sandbox = over();
    end_locks(&sandbox.path("vault"));
    let junk = sandbox.path("vault/snapshots/writer").join(format!("{:010}-{}.json", 9, "ab".repeat(32)));
    fs::write(&junk, "{}").unwrap();
    let before = files(&sandbox.path("vault"));
    let run = sandbox.reader(&["prune", "--yes", "--json"]).code(5).json();
    assert_eq!(run["error"]["kind"], "prune-blocked");
    assert!(run["error"]["message"].as_str().unwrap().contains("0000000009-"), "{run}");
    assert_eq!(files(&sandbox.path("vault")), before);
    fs::remove_file(&junk).unwrap();
    sandbox.reader(&["prune", "--yes"]).ok();
}

#[test]
fn renew_extends_what_ends_soon_and_says_what_it_costs() {
    let sandbox = over();
    end_locks(&sandbox.path("vault"));
    let dry = sandbox.reader(&["renew", "--dry-run", "--json"]).ok().json();
    let result = &dry["result"];
    assert!(result["updates"].as_u64().unwrap() > 3, "{result}");
    assert!(result["weakest_lock"].as_str().unwrap() > "2026", "what would be: {result}");
    let done = sandbox.reader(&["renew", "--json", "--price-updates", "1000"]).ok().json();
    assert_eq!(done["result"]["updates"], result["updates"]);
    let (updates, cost) = (done["result"]["updates"].as_f64().unwrap(), done["result"]["cost_calls"].as_f64().unwrap());
    assert!(cost >= updates && cost < updates + 1.0, "{done}");
    let again = sandbox.reader(&["renew"]).ok().out();
    assert!(again.contains("extended the locks of 0 objects"), "{again}");
    // The newest of the source is locked again, and the four before it are not: their time is over.
    assert_eq!(done["result"]["snapshots"], 1);
    sandbox.reader(&["renew", "--price-reads", "-1"]).code(2);
    sandbox.reader(&["renew", "--price-reads=NaN"]).code(2);
}
