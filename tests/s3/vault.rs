//! A whole vault in a real bucket, each role with its own credentials.

use std::sync::Arc;

use strongroom::{
    model::{Clock, LockBy, LockMode, LockPolicy, Span, Time},
    store::{
        ObjectStore,
        s3::{Patience, S3Settings, S3Store},
    },
};

use crate::{
    Bucket,
    http::{Fault, Forward, Server},
    made::{self, Made, noise, streams},
    seaweed::Raw,
    support::{key, versions},
};

struct HostClock;

impl Clock for HostClock {
    fn now(&self) -> Time {
        Time::from_unix(jiff::Timestamp::now().as_second())
    }
}

/// A vault that the owner made, seen by somebody else's credentials.
struct Vault {
    bucket: Bucket,
    made: Made,
    state: tempfile::TempDir,
}

impl Vault {
    async fn fresh(by: LockBy) -> Self {
        let bucket = Bucket::fresh().await;
        let policy = LockPolicy { by, ..made::policy() };
        bucket.admin.admin().set_default_lock(LockMode::Compliance, policy.keep + policy.window).await.unwrap();
        let made = made::make(Arc::new(bucket.admin.clone()), Arc::new(HostClock), policy).await;
        Self { bucket, made, state: tempfile::tempdir().unwrap() }
    }

    async fn seen_by(&self, identity: &str) -> Made {
        self.made.through(Arc::new(self.bucket.store(identity).await))
    }

    /// Backs up a stream that all of it can be known by.
    async fn backup(&self, made: &Made, bytes: Vec<u8>) -> strongroom::vault::writer::Committed {
        made.backup(self.state.path(), "orders", streams([("orders.dump", bytes)])).await.unwrap()
    }

    async fn restored(&self) -> Vec<Vec<u8>> {
        let all = self.seen_by("reader").await.restore_all().await.unwrap();
        all.into_iter().map(|mut streams| streams.remove(0).1).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_writer_backs_up_and_the_reader_restores() {
    let vault = Vault::fresh(LockBy::BucketDefault).await;
    let writer = vault.seen_by("w1").await;
    let first = noise(1, 5 << 20);
    let second = [first.as_slice(), &noise(2, 100_000)].concat();
    vault.backup(&writer, first.clone()).await;
    vault.backup(&writer, second.clone()).await;
    assert_eq!(vault.restored().await, [first, second]);

    // By the server's own word everything is locked for as long as was promised.
    let reader = vault.bucket.store("reader").await;
    let floor = reader.server_time().await.unwrap() + Span::days(35);
    let all = versions(&reader, "").await;
    let stored = all.iter().map(|entry| entry.bytes).sum::<u64>();
    assert!(all.len() > 8 && stored < 8 << 20, "{} objects, {stored} bytes", all.len());
    for entry in all {
        let lock = reader.lock_of(&key(&entry.key), Some(&entry.version)).await.unwrap().unwrap();
        assert!(lock.mode == LockMode::Compliance && lock.until >= floor, "{}: {lock:?}", entry.key);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_of_explicit_locks_sets_and_extends_them() {
    let vault = Vault::fresh(LockBy::Explicit).await;
    let writer = vault.seen_by("w1-explicit").await;
    let bytes = noise(3, 2 << 20);
    vault.backup(&writer, bytes.clone()).await;
    vault.backup(&writer, bytes.clone()).await;
    assert_eq!(vault.restored().await, [bytes.clone(), bytes]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn junk_and_markers_on_every_key_do_not_stop_the_reader() {
    let vault = Vault::fresh(LockBy::BucketDefault).await;
    let bytes = noise(4, 3 << 20);
    vault.backup(&vault.seen_by("w1").await, bytes.clone()).await;
    let admin = Raw::new(vault.bucket.server, "admin", &vault.bucket.name, "");
    let keys = crate::support::keys(&vault.bucket.admin, "").await;
    for key in &keys {
        admin.put(key, b"junk").await;
    }
    assert_eq!(vault.restored().await, std::slice::from_ref(&bytes), "after junk on every key");
    for key in &keys {
        admin.hide(key).await;
    }
    assert!(crate::support::keys(&vault.bucket.admin, "").await.is_empty());
    assert_eq!(vault.restored().await, [bytes], "after a marker on every key");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_gets_through_a_wire_that_breaks() {
    for fault in [Fault::CutBefore, Fault::CutAfter, Fault::Error(503, "SlowDown")] {
        let vault = Vault::fresh(LockBy::BucketDefault).await;
        let server = Server::start(Forward(vault.bucket.server.address()));
        let settings = vault.bucket.settings("w1");
        let settings = S3Settings { endpoint: Some(server.endpoint()), patience: Patience::default(), ..settings };
        let writer = vault.made.through(Arc::new(S3Store::connect(settings).await.unwrap()));
        let sent = fault.clone();
        server.plan(move |n, _| (n % 3 == 0).then(|| sent.clone()));
        let bytes = noise(5, 3 << 20);
        vault.backup(&writer, bytes.clone()).await;
        assert!(server.exchanges() > 12, "{fault:?}: {:?}", server.log());
        assert_eq!(vault.restored().await, [bytes], "{fault:?}");
    }
}
