//! G5 on a store that gives an object a new time when its lock is extended, as `SeaweedFS` does.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use strongroom::{
    format::layout,
    model::{Clock, Key, Lock, SnapshotId, Span, Time},
    ops::snapshots::{Wanted, choose},
    store::{Entry, Head, ObjectStore, Payload, Put, Result, Traits, Version, VersionEntry, memory::MemoryStore},
    vault::{Vault, snapshots},
};

use crate::{
    store_support::HandClock,
    vault_support::{make, policy, streams},
};

/// A store in which the first header was touched just now, by all that it says or by the answer about that object alone.
struct Touched(MemoryStore, Arc<HandClock>, bool);

impl Touched {
    fn time(&self, key: &str, modified: Time) -> Time {
        if key.starts_with("snapshots/") && key.contains("/0000000001-") { self.1.now() } else { modified }
    }
}

#[async_trait::async_trait]
impl ObjectStore for Touched {
    fn url(&self) -> String {
        self.0.url()
    }
    fn traits(&self) -> Traits {
        self.0.traits()
    }
    async fn put_new(&self, key: &Key, payload: &Payload, lock: Option<Lock>) -> Result<Put> {
        self.0.put_new(key, payload, lock).await
    }
    async fn get(&self, key: &Key, version: Option<&Version>, range: Option<Range<u64>>) -> Result<Bytes> {
        self.0.get(key, version, range).await
    }
    async fn head(&self, key: &Key, version: Option<&Version>) -> Result<Head> {
        let head = self.0.head(key, version).await?;
        Ok(Head { modified: self.time(key.as_str(), head.modified), ..head })
    }
    async fn list(&self, prefix: &str, each: &mut (dyn FnMut(Entry) + Send)) -> Result<()> {
        let time = |entry: &Entry| if self.2 { self.time(&entry.key, entry.modified) } else { entry.modified };
        self.0.list(prefix, &mut |entry| each(Entry { modified: time(&entry), ..entry })).await
    }
    async fn list_versions(&self, prefix: &str, each: &mut (dyn FnMut(VersionEntry) + Send)) -> Result<()> {
        let time = |entry: &VersionEntry| if self.2 { self.time(&entry.key, entry.modified) } else { entry.modified };
        self.0.list_versions(prefix, &mut |entry| each(VersionEntry { modified: time(&entry), ..entry })).await
    }
    async fn lock_of(&self, key: &Key, version: Option<&Version>) -> Result<Option<Lock>> {
        self.0.lock_of(key, version).await
    }
    async fn extend_lock(&self, key: &Key, version: Option<&Version>, lock: Lock) -> Result<Lock> {
        self.0.extend_lock(key, version, lock).await
    }
    async fn server_time(&self) -> Result<Time> {
        self.0.server_time().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g5_an_extended_lock_makes_no_snapshot_the_latest() {
    let clock = HandClock::new();
    let memory = MemoryStore::new(clock.clone());
    let made = make(Arc::new(memory.clone()), clock.clone(), policy()).await;
    let state = tempfile::tempdir().unwrap();
    let mut ids: Vec<SnapshotId> = Vec::new();
    for day in 0..3 {
        ids.push(made.backup(state.path(), "orders", streams([("a", vec![day; 9])])).await.unwrap().id);
        clock.pass(Span::days(1));
    }
    let store = Touched(memory.clone(), Arc::clone(&clock), true);
    let vault = Vault::open(Arc::new(store), Some(made.id)).await.unwrap();
    let listing = snapshots::list(&vault).await.unwrap();
    let order: Vec<SnapshotId> = listing.snapshots.iter().map(|s| s.id).collect();
    assert_eq!(order, ids);
    // What the store says all the same is told.
    assert!(listing.findings.iter().any(|f| f.code == "header.backdated"), "{:?}", listing.findings);
    let wanted = Wanted::Latest { source: "orders".parse().unwrap(), writer: None, at: None };
    assert_eq!(choose(listing.snapshots, &wanted).unwrap().snapshot.id, ids[2]);

    // Ceph's answer about the object alone has a new time, and its listings have that of the put, which are what counts.
    let store = Arc::new(Touched(memory, clock, false));
    let vault = Vault::open(Arc::clone(&store) as Arc<dyn ObjectStore>, Some(made.id)).await.unwrap();
    let head = store.head(&layout::header(&made.writer.name, 1, &ids[0]), None).await.unwrap();
    let listing = snapshots::list(&vault).await.unwrap();
    assert!(listing.snapshots[0].since() < head.modified, "{head:?}");
    assert!(listing.findings.iter().all(|f| f.code != "header.backdated"), "{:?}", listing.findings);
}
