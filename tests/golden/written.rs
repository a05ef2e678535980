//! Today's build goes on where the one left off that made a golden vault.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::Value;
use strongroom::{
    codec::{NoPrompt, Opener},
    format::writer_key,
    model::{Span, Tiers},
    store::local::LocalStore,
};

use crate::{
    restores::came_back,
    store_support::HandClock,
    vault_support::{Made, dump, streams},
    vaults::{GOLDEN, Golden, sha256},
};

/// A writer of a copy makes another snapshot; it and all before it restore.
pub fn goes_on(name: &str) {
    let golden = Golden::copy(name);
    golden.configure("db1.key", "db1");
    golden.sandbox.writer(&["catalog", "rebuild"]).ok();
    let line = "said by a later build\n".repeat(9_000);
    let id = golden.sandbox.backup("later", line.as_bytes());

    let document = golden.sandbox.reader(&["snapshots", "--writer", "db1", "--json"]).ok().json();
    let listed = document["result"].as_array().unwrap();
    let seq = |line: &Value| line["seq"].as_u64().unwrap();
    let mine = |line: &&Value| line["writer"] == "db1";
    let last = golden.snapshots().iter().filter(mine).map(seq).max().unwrap();
    let new = listed.iter().find(|line| line["id"] == id.as_str()).unwrap();
    assert_eq!(seq(new), last + 1, "it follows what was there: {document}");
    assert_eq!(listed.len(), golden.snapshots().iter().filter(mine).count() + 1);

    let report = golden.verify();
    let findings = report["findings"].as_array().unwrap();
    assert!(findings.iter().all(|finding| finding["severity"] != "error"), "{report}");
    assert!(!findings.iter().any(|finding| finding["code"] == "chain.fork"), "{report}");
    let restored = golden.sandbox.reader(&["restore", &id, "--to", "-"]).ok();
    assert!(restored.stdout == line.as_bytes());
    for expected in golden.snapshots() {
        came_back(&golden, expected);
    }
}

/// The same in a hundred years, when all locks are over and nothing local is left.
#[tokio::test(flavor = "multi_thread")]
async fn a_writer_goes_on_when_all_locks_are_over() {
    for (name, id) in GOLDEN {
        let golden = Golden::copy(name);
        let clock = HandClock::at("2126-11-27T00:00:00Z".parse().unwrap());
        let identity = std::fs::read_to_string(golden.sandbox.identity()).unwrap();
        let made = Made {
            store: Arc::new(LocalStore::open(golden.sandbox.path("vault"), clock.clone()).unwrap()),
            clock,
            id: id.parse().unwrap(),
            writer: Arc::new(writer_key::open(&golden.key("db1.key")).unwrap()),
            key: golden.key("db1.key"),
            owner: Opener::from_identity_text(&identity, "test", Arc::new(NoPrompt)).unwrap(),
            identity,
            tiers: Tiers::default(),
            full_every: Some(Span::days(90)),
            delta_cache: 1 << 30,
            adapts: false,
        };
        let bytes = dump(5, 300_000);
        made.backup(&golden.sandbox.path("state"), "orders", streams([("later.sql", bytes.clone())])).await.unwrap();
        let restored = made.restore_all().await.unwrap();
        assert_eq!(restored.len(), golden.snapshots().len() + 1, "{name}");
        assert!(restored.last().unwrap() == &[("later.sql".to_owned(), bytes)], "{name}");
        let hashes: BTreeSet<String> = restored.iter().flatten().map(|(_, bytes)| sha256(bytes)).collect();
        for file in golden.snapshots().iter().filter_map(|line| line.get("files")?.as_object()).flat_map(|f| f.values())
        {
            assert!(file.get("sha256").is_none_or(|hash| hashes.contains(hash.as_str().unwrap())), "{name}: {file}");
        }
    }
}
