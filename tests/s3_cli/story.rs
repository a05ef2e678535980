//! The agent's story: what the writer can do, what it can't, and what a responder gets back.

use strongroom::{
    model::{Key, Lock, LockMode, Span, Time},
    store::{Attempts, Deleter, ObjectStore, StoreErrorKind, VersionEntry, s3::S3Store},
};

use crate::{
    place::{Place, server},
    sandbox::noise,
    seaweed::write_private,
};

/// 24 MiB that look like a dump: half of it compresses well.
fn dump() -> Vec<u8> {
    let mut bytes = noise(12 << 20, 7);
    for n in 0_u32.. {
        if bytes.len() >= 24 << 20 {
            break;
        }
        bytes.extend_from_slice(
            format!("INSERT INTO orders VALUES ({n}, 'paid', {});\n", n.wrapping_mul(97)).as_bytes(),
        );
    }
    bytes
}

fn time(value: &serde_json::Value) -> Time {
    value.as_str().unwrap().parse().unwrap()
}

async fn versions(store: &S3Store) -> Vec<VersionEntry> {
    let mut found = Vec::new();
    store.list_versions("", &mut |entry| found.push(entry)).await.unwrap();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_writer_stored_outlives_everything_done_to_the_bucket() {
    let (place, dump) = tokio::task::spawn_blocking(|| (Place::with_vault(server()), dump())).await.unwrap();
    let first = place.backup("orders", &dump);
    let second = place.backup("orders", &dump);
    let stored = second["bytes_stored"].as_u64().unwrap();
    assert!(stored * 1000 < dump.len() as u64, "the second run stored {stored} bytes");
    assert!(place.restore("orders") == dump);
    for depth in ["locks", "read"] {
        let run = place.run_as("auditor", &["verify", "--depth", depth, "--json"]).ok();
        let result = &run.json()["result"];
        assert_eq!(result["snapshots"], 2, "{result}");
        assert!(time(&result["weakest_lock"]) >= time(&second["floor_until"]), "{result}");
        let findings = run.json()["findings"].as_array().unwrap().clone();
        assert!(findings.iter().all(|f| f["code"] == "vault.unpinned"), "{findings:?}");
    }

    // By the server's own word, everything is locked until the floor: the marker of the proof is gone again.
    let reader = place.store("reader").await;
    let floor = time(&first["floor_until"]).max(time(&second["floor_until"]));
    let all = versions(&reader).await;
    assert!(all.len() > 10 && all.iter().all(|entry| !entry.delete_marker));
    for entry in &all {
        let key: Key = entry.key.parse().unwrap();
        let lock = reader.lock_of(&key, Some(&entry.version)).await.unwrap();
        let lock = lock.unwrap_or_else(|| panic!("{key} has no lock"));
        assert!(lock.mode == LockMode::Compliance && lock.until >= floor, "{key}: {lock:?}, floor {floor}");
    }

    // Everything that an admin can do to a locked bucket.
    let (admin, intruder) = (place.store("admin").await, place.raw("admin"));
    for entry in &all {
        let key: Key = entry.key.parse().unwrap();
        let refused = admin.delete_version(&key, Some(&entry.version)).await.unwrap_err();
        assert_eq!(refused.kind, StoreErrorKind::Locked, "{refused}");
        intruder.put(&entry.key, b"{\"junk\":true}").await;
        intruder.hide(&entry.key).await;
    }
    let mut left = 0;
    admin.list("", &mut |_| left += 1).await.unwrap();
    assert_eq!(left, 0, "everything is hidden");
    assert!(place.restore("orders") == dump);
    for depth in ["locks", "read"] {
        let run = place.run_as("auditor", &["verify", "--depth", depth, "--json"]).ok();
        let document = run.json();
        assert_eq!(document["result"]["snapshots"], 2);
        for code in ["object.hidden", "object.overwritten"] {
            let told = document["findings"].as_array().unwrap().iter().any(|finding| finding["code"] == code);
            assert!(told, "{code} is told: {}", document["findings"]);
        }
    }
    // What was done is told of each object, the vault's own documents included, and no stream of any snapshot is damaged.
    let identity = place.sandbox.identity();
    let args = ["verify", "--depth", "decrypt", "--json", "-i", identity.to_str().unwrap()];
    let document = place.run_as("reader", &args).ok().json();
    assert_eq!((document["ok"].as_bool(), document["result"]["snapshots"].as_u64()), (Some(true), Some(2)));
    let findings = document["findings"].as_array().unwrap();
    let mut kinds = std::collections::BTreeSet::new();
    for entry in all.iter().filter(|entry| !entry.key.starts_with("canaries/")) {
        for code in ["object.hidden", "object.overwritten"] {
            let told = findings.iter().any(|f| f["code"] == code && f["object"] == *entry.key);
            assert!(told, "{code} of {} in {findings:#?}", entry.key);
        }
        kinds.insert(entry.key.split('/').next().unwrap());
    }
    assert_eq!(kinds.len(), 8, "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn by_the_servers_own_word_everything_is_locked_until_the_floor() {
    for explicit in [false, true] {
        let place = tokio::task::spawn_blocking(move || {
            if explicit { Place::with_explicit_vault(server()) } else { Place::with_vault(server()) }
        });
        let place = place.await.unwrap();
        let mut floor = String::new();
        for seed in [1, 2] {
            floor = place.backup("orders", &noise(3 << 20, seed))["floor_until"].as_str().unwrap().to_owned();
        }
        // Asked by a client that is none of ours, with an auditor's credentials, of all versions that there are.
        let (auditor, bucket) = (place.raw("auditor"), place.bucket.as_str());
        let listed = auditor.client().list_object_versions().bucket(bucket).send().await.unwrap();
        assert!(listed.is_truncated() != Some(true) && listed.versions().len() > 10, "{listed:?}");
        assert!(listed.delete_markers().is_empty());
        let floor = aws_sdk_s3::primitives::DateTime::from_secs(floor.parse::<Time>().unwrap().unix());
        let mut kinds = std::collections::BTreeSet::new();
        for version in listed.versions() {
            let (key, id) = (version.key().unwrap(), version.version_id().unwrap());
            let ask = auditor.client().get_object_retention().bucket(bucket).key(key).version_id(id);
            let answer = ask.send().await.unwrap_or_else(|error| panic!("{key}: {error:?}"));
            let lock = answer.retention().unwrap();
            let until = lock.retain_until_date().unwrap();
            assert_eq!(lock.mode().unwrap().as_str(), "COMPLIANCE", "{key}");
            // The canary of an explicit vault proves its lock for an hour, and is no part of a snapshot.
            let canary = key.starts_with("prod/canaries/") && explicit;
            assert!(until.secs() >= floor.secs() || canary, "{key} is locked until {until}, and not until {floor}");
            kinds.insert(key.split('/').nth(1).unwrap().to_owned());
        }
        for kind in ["vault.json", "keys", "members", "packs", "indexes", "lists", "snapshots", "evidence"] {
            assert!(kinds.contains(kind), "{kind} is missing in {kinds:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_writers_role_can_neither_read_nor_destroy() {
    let place = tokio::task::spawn_blocking(|| Place::with_vault(server())).await.unwrap();
    place.backup("orders", &noise(1 << 20, 3));
    let (reader, writer) = (place.store("reader").await, place.store("w1").await);
    let all = versions(&reader).await;
    let pack = all.iter().find(|entry| entry.key.starts_with("packs/w1/")).unwrap();
    let key: Key = pack.key.parse().unwrap();
    let denied = |what: &str, kind: Option<StoreErrorKind>| assert_eq!(kind, Some(StoreErrorKind::Denied), "{what}");
    let kind = |error: strongroom::store::StoreError| error.kind;
    denied("get", writer.get(&key, None, None).await.err().map(kind));
    denied("get by version", writer.get(&key, Some(&pack.version), None).await.err().map(kind));
    denied("get a range", writer.get(&key, None, Some(0..10)).await.err().map(kind));
    denied("head", writer.head(&key, None).await.err().map(kind));
    denied("list versions", writer.list_versions("", &mut |_| ()).await.err().map(kind));
    let intruder = writer.hostile();
    let short = Lock { mode: LockMode::Compliance, until: writer.server_time().await.unwrap() + Span::seconds(60) };
    let weaker = Lock { mode: LockMode::Governance, ..short };
    for entry in &all {
        let (key, version): (Key, _) = (entry.key.parse().unwrap(), &entry.version);
        let refused = writer.delete_version(&key, Some(version)).await.unwrap_err().kind;
        assert!(matches!(refused, StoreErrorKind::Denied | StoreErrorKind::Locked), "delete {key}: {refused:?}");
        denied("hide", intruder.hide(&key).await.err().map(kind));
        denied("shorten", intruder.set_lock(&key, version, short, false).await.err().map(kind));
        denied("weaken", intruder.set_lock(&key, version, weaker, false).await.err().map(kind));
        denied("bypass", intruder.set_lock(&key, version, short, true).await.err().map(kind));
        if !entry.key.contains("/w1/") {
            denied("overwrite", intruder.overwrite(&key, b"junk"[..].into()).await.err().map(kind));
        }
    }
    let other: Key = format!("packs/w2/00/{}", "00".repeat(32)).parse().unwrap();
    denied("put elsewhere", intruder.overwrite(&other, b"junk"[..].into()).await.err().map(kind));
    // Its own key opens no backup. It may not look for records that were added to the epoch, and is told of the key.
    let written: serde_json::Value =
        std::fs::read_to_string(place.sandbox.path("etc/writer.key")).unwrap().parse().unwrap();
    let own = place.sandbox.path("its-own.key");
    write_private(&own, written["catalog_identity"].as_str().unwrap());
    let args = ["restore", "latest", "--source", "orders", "--to", "-", "-i", own.to_str().unwrap()];
    place.run_as("w1", &args).code(12);
    let identity = place.sandbox.identity();
    let args = ["restore", "latest", "--source", "orders", "--to", "-", "-i", identity.to_str().unwrap()];
    // Even with an identity the writer's role reads nothing back, and is told which permission it lacks.
    place.run_as("w1", &args).code(1).says("s3:GetObject");
}

#[test]
fn a_lost_catalog_is_rebuilt_with_the_writers_role() {
    let place = Place::with_vault(server());
    let dump = noise(6 << 20, 11);
    place.backup("orders", &dump);
    std::fs::remove_dir_all(place.sandbox.path("etc/state")).unwrap();
    let mut rebuild = place.sandbox.command();
    place.finish(rebuild.arg("--config").arg(place.sandbox.config()).args(["catalog", "rebuild"])).ok();
    let again = place.backup("orders", &dump);
    assert!(again["bytes_stored"].as_u64().unwrap() < 100_000, "{again}");
    let mut listed = place.sandbox.command();
    let run = place.finish(listed.arg("--config").arg(place.sandbox.config()).args(["snapshots", "--json"])).ok();
    assert_eq!(run.json()["result"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_sets_locks_itself_extends_them() {
    let place = tokio::task::spawn_blocking(|| Place::with_explicit_vault(server())).await.unwrap();
    let dump = noise(2 << 20, 5);
    place.backup("orders", &dump);
    let second = place.backup("orders", &dump);
    assert!(second["bytes_stored"].as_u64().unwrap() < 100_000, "{second}");
    assert!(place.restore("orders") == dump);
    let reader = place.store("reader").await;
    for entry in versions(&reader).await.iter().filter(|entry| entry.key.contains("/w1/")) {
        let lock = reader.lock_of(&entry.key.parse().unwrap(), Some(&entry.version)).await.unwrap().unwrap();
        assert!(lock.mode == LockMode::Compliance && lock.until >= time(&second["floor_until"]), "{entry:?} {lock:?}");
    }
}
