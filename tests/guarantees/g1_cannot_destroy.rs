//! G1, cannot destroy: nobody takes away, replaces or shortens what is locked, and a store that does not hold its locks
//! is found by who may delete.

use strongroom::{
    model::{Key, Lock, LockMode, Span},
    store::{Attempts, ObjectStore, VersionEntry, s3::S3Store},
};

use crate::{
    fake_place::FakePlace,
    fakes3::Lies,
    place::{Place, server},
};

/// Every version and its lock.
async fn locks(reader: &S3Store) -> Vec<(VersionEntry, Lock)> {
    let mut entries = Vec::new();
    reader.list_versions("", &mut |entry| entries.push(entry)).await.unwrap();
    let mut locks = Vec::new();
    for entry in entries {
        let lock = reader.lock_of(&entry.key.parse().unwrap(), Some(&entry.version)).await.unwrap();
        locks.push((entry, lock.expect("everything is locked")));
    }
    locks
}

#[tokio::test(flavor = "multi_thread")]
async fn g1_no_role_takes_away_or_shortens_what_is_locked_on_a_real_server() {
    let place = tokio::task::spawn_blocking(|| Place::with_vault(server())).await.unwrap();
    place.backup("orders", b"some bytes");
    let reader = place.store("reader").await;
    let before = locks(&reader).await;
    for who in ["w1", "w1-explicit", "w2", "reader", "auditor", "driller", "pruner", "admin"] {
        let store = place.store(who).await;
        let intruder = store.hostile();
        let soon = Lock { mode: LockMode::Compliance, until: store.server_time().await.unwrap() + Span::seconds(60) };
        for (entry, lock) in &before {
            let key: Key = entry.key.parse().unwrap();
            for bypass in [false, true] {
                intruder.destroy(&key, &entry.version, bypass).await.expect_err("a delete");
                intruder.set_lock(&key, &entry.version, soon, bypass).await.expect_err("a shorter lock");
                let weaker = Lock { mode: LockMode::Governance, ..*lock };
                intruder.set_lock(&key, &entry.version, weaker, bypass).await.expect_err("a weaker lock");
            }
        }
    }
    assert_eq!(locks(&reader).await, before);
    assert!(place.restore("orders") == b"some bytes");
}

#[test]
fn g1_enforcement_is_proved_by_who_may_delete_and_the_writer_is_shown_when() {
    let place = Place::with_vault(server());
    let proof = place.run_as("pruner", &["doctor", "--as", "pruner", "--json"]).ok().json();
    let checks = proof["result"]["lock_proof"]["checks"].to_string();
    assert!(checks.contains("canary-delete-refused") && checks.contains("control-deleted"), "{checks}");
    let mut command = place.sandbox.command();
    let run = place.finish(command.arg("--config").arg(place.sandbox.config()).args(["doctor", "--json"])).ok();
    assert!(run.json()["result"]["lock_proved_at"].is_string());
}

#[test]
fn g1_a_store_that_takes_locks_and_does_not_hold_them_is_found() {
    let place = FakePlace::new();
    place.run(&["doctor", "--as", "owner"]).ok();
    place.fake.lie(Lies { locks_not_enforced: true, ..Lies::default() });
    let run = place.run(&["doctor", "--as", "owner", "--json"]).code(5);
    let checks = run.json()["result"]["checks"].clone();
    let status = |name: &str| checks.as_array().unwrap().iter().find(|c| c["name"] == name).unwrap()["status"].clone();
    assert_eq!((status("delete-version"), status("canary-delete-refused")), ("allowed".into(), "failed".into()));
    let out = place.sandbox.path("other");
    let other = ["init", "--lock-by", "explicit", "--out", out.to_str().unwrap(), "--vault", "s3://vault/other"];
    let mut init = place.sandbox.command();
    init.args(["--endpoint", &place.fake.endpoint(), "--path-style", "--credentials"]);
    init.arg(format!("file:{}", place.sandbox.path("keys.toml").display())).args(other);
    place.sandbox.finish(&mut init).code(5).says("does not enforce its locks");
}
