//! `renew` and `prune` with the keeper's and the pruner's roles, under locks of seconds.

use std::{fs, thread, time::Duration};

use serde_json::Value;
use strongroom::{
    model::{LockMode, Span, Time},
    store::{ObjectStore, VersionEntry, s3::S3Store},
};

use crate::{
    place::{Place, server},
    sandbox::noise,
};

const KEEP: Span = Span::seconds(4);

async fn versions(store: &S3Store) -> Vec<VersionEntry> {
    let mut found = Vec::new();
    store.list_versions("", &mut |entry| found.push(entry)).await.unwrap();
    found
}

fn json(place: &Place<'_>, identity: &str, args: &[&str]) -> Value {
    let run = place.run_as(identity, &[args, &["--json"]].concat()).ok();
    run.json()["result"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ended_goes_by_the_pruners_role_and_what_lives_is_kept_by_the_keepers() {
    let place = Place::short_lived(server(), KEEP, Span::seconds(2)).await;
    let mut last = Value::Null;
    for seed in 0..5 {
        last = place.backup("orders", &noise(300_000, seed));
    }
    let ends: Time = last["floor_until"].as_str().unwrap().parse().unwrap();
    let reader = place.store("reader").await;
    for entry in versions(&reader).await.iter().filter(|e| e.key.contains("/w1/")) {
        let lock = reader.lock_of(&entry.key.parse().unwrap(), Some(&entry.version)).await.unwrap().unwrap();
        assert!(lock.mode == LockMode::Compliance, "{entry:?} {lock:?}");
    }
    let early = json(&place, "pruner", &["prune", "--grace", "0s", "--yes"]);
    assert!(early["deleted"].get("snapshots").is_none(), "locked: {early}");
    while reader.server_time().await.unwrap() < ends + Span::seconds(4) {
        thread::sleep(Duration::from_millis(200)); // the server's clock ends the locks
    }
    // Others see what could go, and can't do it: each refusal is told, and nothing is gone.
    let before = versions(&reader).await.len();
    let run = place.run_as("reader", &["prune", "--grace", "0s", "--yes", "--json"]).code(1);
    assert_eq!(run.json()["error"]["kind"], "prune-refused");
    assert!(run.json()["findings"].as_array().unwrap().iter().any(|f| f["code"] == "prune.refused"));
    assert_eq!(versions(&reader).await.len(), before);

    let dry = json(&place, "pruner", &["prune", "--grace", "0s"]);
    let done = json(&place, "pruner", &["prune", "--grace", "0s", "--yes"]);
    assert_eq!((&done["deleted"], done["refused"].as_u64()), (&dry["deleted"], Some(0)));
    assert_eq!(done["deleted"]["snapshots"]["versions"], 2, "{done}");
    assert!(done["deleted"]["packs"]["bytes"].as_u64().unwrap() > 400_000, "{done}");
    assert!(place.restore("orders") == noise(300_000, 4));

    // An attacker's version on top of the newest pack, and the keeper, who extends the true one by its version.
    let pack = versions(&reader).await.into_iter().rfind(|e| e.key.starts_with("packs/w1/")).unwrap();
    let junk = place.raw("w1").put(&pack.key, &vec![7; usize::try_from(pack.bytes).unwrap()]).await;
    let refused = place.run_as("reader", &["renew", "--json"]).code(5).json();
    assert!(refused["findings"].as_array().unwrap().iter().any(|f| f["code"] == "lock.refused"), "{refused}");
    let renewed = json(&place, "keeper", &["renew"]);
    assert!(renewed["updates"].as_u64().unwrap() > 4, "{renewed}");
    let week = reader.server_time().await.unwrap() + Span::days(7);
    let header = versions(&reader).await.into_iter().rfind(|e| e.key.starts_with("snapshots/w1/")).unwrap();
    for entry in versions(&reader).await {
        let lock = reader.lock_of(&entry.key.parse().unwrap(), Some(&entry.version)).await.unwrap();
        let kept = lock.is_some_and(|lock| lock.until >= week);
        let vaults = ["vault.json", "keys/", "members/"].iter().any(|prefix| entry.key.starts_with(prefix));
        if vaults || entry.version == header.version {
            assert!(kept, "{entry:?} {lock:?}");
        }
        assert!(!(kept && entry.version == junk), "the attacker's version is not paid for");
    }
    assert_eq!(json(&place, "keeper", &["renew"])["updates"], 0, "twice is once");
    assert_eq!(json(&place, "pruner", &["prune", "--grace", "0s", "--yes"])["deleted"].get("snapshots"), None);
    assert!(place.restore("orders") == noise(300_000, 4));
}

#[test]
fn a_second_writer_and_a_revocation_on_a_real_server() {
    let place = Place::with_vault(server());
    let bytes = noise(200_000, 1);
    place.backup("orders", &bytes);
    let (out, identity) = (place.sandbox.path("w2"), place.sandbox.identity());
    let mut add = place.command("admin");
    add.args(["writer", "add", "w2", "--member-credentials", "file:s3.toml", "--out"])
        .arg(&out)
        .arg("-i")
        .arg(&identity);
    place.finish(&mut add).ok();
    fs::copy(place.server.credentials("w2"), out.join("s3.toml")).unwrap();
    let backup = |source: &str| {
        let mut command = place.sandbox.command();
        command
            .arg("--config")
            .arg(out.join("strongroom.toml"))
            .args(["backup", "--name", source, "--stdin", "--json"]);
        place.finish(command.write_stdin(bytes.clone()))
    };
    let made = backup("copies").ok().json()["result"]["snapshots"][0].clone();
    assert_eq!(made["bytes_new"], made["bytes_read"], "nothing of w1's is known to w2");
    assert!(place.restore("copies") == bytes);
    let mut revoke = place.command("admin");
    revoke.args(["writer", "revoke", "w2", "--from", "2026-01-01T00:00:00Z", "-i"]).arg(&identity);
    place.finish(&mut revoke).ok();
    let run = place.run_as("reader", &["snapshots", "--json"]).ok();
    let lines = run.json()["result"].as_array().unwrap().clone();
    let suspect: Vec<_> = lines.iter().filter(|l| l["suspect"] == true).map(|l| l["writer"].clone()).collect();
    assert_eq!(suspect, ["w2"]);
    assert!(lines.iter().all(|line| line["stored_at"].is_string()), "the store is a witness");
    assert_eq!(backup("copies").code(1).json()["error"]["kind"], "revoked");
    assert!(place.restore("orders") == bytes);
}
