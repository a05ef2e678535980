//! What each role may and may not do, by the server's word.

use strongroom::{
    model::{Lock, LockMode, Span},
    store::{
        Attempts, Deleter, ObjectStore, Put, StoreErrorKind as Kind, Version,
        s3::{Ability, BucketLock, S3Store, Versioning},
    },
};

use crate::{
    Bucket, lock,
    support::{key, keys, sealed, versions},
};

const COMPLIANCE: LockMode = LockMode::Compliance;

/// Puts an object and says which version it is.
async fn put(store: &S3Store, name: &str) -> Version {
    match store.put_new(&key(name), &sealed(name.as_bytes()), None).await.unwrap() {
        Put::Created { version: Some(version) } => version,
        other => panic!("{name}: {other:?}"),
    }
}

/// The call is refused because this permission is missing, and says so.
fn refused<T: std::fmt::Debug>(result: Result<T, strongroom::store::StoreError>, permission: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.kind, Kind::Denied, "{error}");
    assert!(error.to_string().contains(permission), "{permission}: {error}");
}

#[tokio::test]
async fn the_owner_makes_a_bucket_that_locks() {
    let bucket = Bucket::fresh().await;
    let admin = bucket.admin.admin();
    assert_eq!(admin.versioning().await.unwrap(), Versioning::Enabled);
    assert_eq!(admin.lock().await.unwrap(), Some(BucketLock { default: None }));
    admin.set_default_lock(COMPLIANCE, Span::seconds(65 * 86_400 - 1)).await.unwrap();
    assert_eq!(admin.lock().await.unwrap(), Some(BucketLock { default: Some((COMPLIANCE, Span::days(65))) }));
    let again = admin.create_bucket().await.unwrap_err();
    assert_eq!(again.kind, Kind::Invalid, "{again}");
    assert!(again.to_string().contains(&bucket.name), "{again}");
    let abilities = bucket.admin.probe(Some(&key("canaries/owner/probe"))).await.unwrap();
    let all = [&abilities.versions, &abilities.locks, &abilities.conditional_put];
    assert!(all.iter().all(|ability| **ability == Ability::Present), "{abilities:?}");
}

#[tokio::test]
async fn a_bucket_without_lock_or_versions_is_told_in_words() {
    let bucket = Bucket::fresh().await;
    let name = format!("{}-plain", bucket.name);
    let raw = crate::seaweed::Raw::new(bucket.server, "admin", &name, "");
    raw.client().create_bucket().bucket(&name).send().await.unwrap();
    let plain = S3Store::connect(bucket.server.settings("admin", &name, "")).await.unwrap();
    let abilities = plain.probe(None).await.unwrap();
    let missing: Vec<_> = abilities.missing().collect();
    assert_eq!(missing.len(), 2, "{abilities:?}");
    assert!(missing[0].contains("keeps no versions") && missing[1].contains("no object lock"), "{missing:?}");
    assert!(matches!(abilities.conditional_put, Ability::Unknown(_)));
    let asked = Lock { mode: COMPLIANCE, until: plain.server_time().await.unwrap() + Span::days(1) };
    let error = plain.put_new(&key("a"), &sealed(b"a"), Some(asked)).await.unwrap_err();
    assert!(matches!(error.kind, Kind::Unsupported | Kind::Invalid), "{error}");
}

#[tokio::test]
async fn a_writer_stores_under_the_default_lock_and_can_do_nothing_else() {
    let bucket = Bucket::fresh().await;
    bucket.admin.admin().set_default_lock(COMPLIANCE, Span::days(65)).await.unwrap();
    put(&bucket.admin, "vault.json").await;
    let foreign = put(&bucket.admin, "packs/w2/ab/cd").await;
    let w1 = bucket.store("w1").await;

    let start = w1.server_time().await.unwrap();
    let mut packs = Vec::new();
    let own = [
        "packs/w1/ab/cd",
        "indexes/w1/aa.age",
        "lists/w1/bb",
        "snapshots/w1/1-cc.json",
        "journals/w1/x/y/z",
        "canaries/w1/t-1",
    ];
    for name in own {
        let version = put(&w1, name).await;
        let lock = w1.lock_of(&key(name), Some(&version)).await.unwrap().unwrap();
        assert_eq!(lock.mode, COMPLIANCE);
        assert!(lock.until >= start + Span::days(65), "{name}: {lock:?}");
        packs.push(version);
    }
    for name in ["indexes/w1/aa.age", "lists/w1/bb", "snapshots/w1/1-cc.json", "vault.json"] {
        w1.get(&key(name), None, None).await.unwrap();
        w1.head(&key(name), None).await.unwrap();
    }
    w1.get(&key("lists/w1/bb"), Some(&packs[2]), None).await.unwrap();
    assert_eq!(keys(&w1, "packs/w1/").await, ["packs/w1/ab/cd"]);

    let pack = key("packs/w1/ab/cd");
    refused(w1.get(&pack, None, None).await, "s3:GetObject");
    refused(w1.get(&pack, Some(&packs[0]), None).await, "s3:GetObjectVersion");
    refused(w1.head(&pack, None).await, "s3:GetObject");
    refused(w1.get(&key("journals/w1/x/y/z"), None, None).await, "s3:GetObject");
    refused(w1.put_new(&key("journals/w2/x/y/z"), &sealed(b"x"), None).await, "s3:PutObject");
    refused(w1.list_versions("", &mut |_| {}).await, "s3:ListBucketVersions");
    refused(w1.delete_version(&pack, Some(&packs[0])).await.map_err(unlocked), "s3:DeleteObjectVersion");
    refused(w1.hostile().hide(&pack).await, "s3:DeleteObject");
    refused(w1.put_new(&key("packs/w2/ab/ef"), &sealed(b"x"), None).await, "s3:PutObject");
    refused(w1.put_new(&key("vault.json.2"), &sealed(b"x"), None).await, "s3:PutObject");
    refused(w1.lock_of(&key("packs/w2/ab/cd"), Some(&foreign)).await, "s3:GetObjectRetention");
    let longer = lock(&w1, COMPLIANCE, Span::days(90)).await;
    refused(w1.put_new(&key("packs/w1/ab/ef"), &sealed(b"x"), Some(longer)).await, "s3:PutObjectRetention");
    refused(w1.extend_lock(&pack, Some(&packs[0]), longer).await, "s3:PutObjectRetention");
    let soon = lock(&w1, COMPLIANCE, Span::seconds(60)).await;
    refused(w1.hostile().set_lock(&pack, &packs[0], soon, false).await, "s3:PutObjectRetention");
    refused(w1.hostile().set_lock(&pack, &packs[0], soon, true).await, "s3:BypassGovernanceRetention");

    // It can pile junk on its own keys; what was there stays.
    w1.hostile().overwrite(&pack, b"junk"[..].into()).await.unwrap();
    let all = versions(&bucket.admin, "packs/w1/").await;
    assert_eq!((all.len(), &all[0].version), (2, &packs[0]));
}

/// A locked version that the role may not delete either: which of the two the server minds, it does not say.
fn unlocked(mut error: strongroom::store::StoreError) -> strongroom::store::StoreError {
    if error.kind == Kind::Locked {
        error.kind = Kind::Denied;
        error.what += " (s3:DeleteObjectVersion)";
    }
    error
}

#[tokio::test]
async fn nobody_shortens_weakens_or_deletes_a_compliance_lock() {
    let bucket = Bucket::fresh().await;
    let explicit = bucket.store("w1-explicit").await;
    let name = key("packs/w1/ab/cd");
    let asked = lock(&explicit, COMPLIANCE, Span::days(30)).await;
    let put = explicit.put_new(&name, &sealed(b"x"), Some(asked)).await.unwrap();
    let Put::Created { version: Some(version) } = put else { panic!("{put:?}") };
    let longer = Lock { until: asked.until + Span::days(1), ..asked };
    assert_eq!(explicit.extend_lock(&name, Some(&version), longer).await.unwrap(), longer);
    let shorter = Lock { until: asked.until, ..asked };
    for who in ["w1-explicit", "keeper", "admin"] {
        let store = bucket.store(who).await;
        let intruder = store.hostile();
        let weaker = Lock { mode: LockMode::Governance, ..longer };
        refused(intruder.set_lock(&name, &version, shorter, false).await, "s3:PutObjectRetention");
        refused(intruder.set_lock(&name, &version, weaker, false).await, "s3:PutObjectRetention");
        refused(intruder.set_lock(&name, &version, shorter, true).await, "s3:BypassGovernanceRetention");
        assert_eq!(store.lock_of(&name, Some(&version)).await.unwrap(), Some(longer), "{who}");
    }
    for who in ["pruner", "admin"] {
        let error = bucket.store(who).await.delete_version(&name, Some(&version)).await.unwrap_err();
        assert_eq!(error.kind, Kind::Locked, "{who}: {error}");
        assert!(error.to_string().contains(&longer.until.to_string()), "{error}");
    }
}

#[tokio::test]
async fn the_keeper_extends_and_the_reader_only_reads() {
    let bucket = Bucket::fresh().await;
    let version = put(&bucket.admin, "packs/w1/ab/cd").await;
    let name = key("packs/w1/ab/cd");
    let (keeper, reader) = (bucket.store("keeper").await, bucket.store("reader").await);
    let asked = lock(&keeper, COMPLIANCE, Span::seconds(60)).await;
    refused(reader.extend_lock(&name, Some(&version), asked).await, "s3:PutObjectRetention");
    assert_eq!(keeper.extend_lock(&name, Some(&version), asked).await.unwrap(), asked);
    for store in [&keeper, &reader] {
        assert_eq!(store.lock_of(&name, Some(&version)).await.unwrap(), Some(asked));
        store.get(&name, Some(&version), Some(0..9)).await.unwrap();
        assert_eq!(versions(store, "").await.len(), 1);
        refused(store.put_new(&key("packs/w1/ab/ef"), &sealed(b"x"), None).await, "s3:PutObject");
        refused(store.hostile().hide(&name).await, "s3:DeleteObject");
    }
}

#[tokio::test]
async fn drillers_and_auditors_write_their_own_evidence() {
    let bucket = Bucket::fresh().await;
    for who in ["driller", "auditor"] {
        let store = bucket.store(who).await;
        put(&store, &format!("evidence/{who}/t-aa.json")).await;
        refused(store.put_new(&key("evidence/other/t-aa.json"), &sealed(b"x"), None).await, "s3:PutObject");
        refused(store.put_new(&key("packs/w1/ab/cd"), &sealed(b"x"), None).await, "s3:PutObject");
    }
}

#[tokio::test]
async fn the_pruner_deletes_what_no_lock_protects_and_never_the_trust() {
    let bucket = Bucket::fresh().await;
    let pruner = bucket.store("pruner").await;
    let free = put(&bucket.admin, "packs/w1/ab/cd").await;
    pruner.delete_version(&key("packs/w1/ab/cd"), Some(&free)).await.unwrap();
    for name in ["vault.json", "keys/root-aa.age", "members/w1/1-aa.json"] {
        let version = put(&bucket.admin, name).await;
        refused(pruner.delete_version(&key(name), Some(&version)).await, "s3:DeleteObjectVersion");
    }
    // The control of a lock proof: a marker of its own, made and taken away.
    let canary = put(&pruner, "canaries/pruner/t-1").await;
    let marker = pruner.hostile().hide(&key("canaries/pruner/t-1")).await.unwrap();
    pruner.delete_version(&key("canaries/pruner/t-1"), Some(&marker)).await.unwrap();
    assert_eq!(pruner.head(&key("canaries/pruner/t-1"), None).await.unwrap().version, Some(canary));
}
