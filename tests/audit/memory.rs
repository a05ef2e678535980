//! Checkpoints, forks, samples and what a deep verification reads, in a bucket in memory.

use std::sync::Arc;

use strongroom::{
    model::{Cancel, Severity, Silent, Span},
    store::{ObjectStore, counted::Counted, memory::MemoryStore},
    vault::{
        Vault,
        audit::{self, Depth, VerifyRequest},
    },
};

use crate::{
    craft::{Craft, stream},
    matrix::verify,
    store_support::HandClock,
    vault_support::{Made, dump, make, noise, policy, streams},
};

async fn made() -> (Made, Arc<HandClock>, MemoryStore) {
    let clock = HandClock::new();
    let store = MemoryStore::new(clock.clone());
    let made = make(Arc::new(store.clone()), clock.clone(), policy()).await;
    (made, clock, store)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hosts_with_one_key_are_a_fork_until_somebody_knows() {
    let (made, clock, store) = made().await;
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    made.backup(one.path(), "x", streams([("a", noise(1, 50_000))])).await.unwrap();
    // A second host that was cloned before the last run: it does not see the newest header.
    let kept = verify(&made, &store, Depth::Locks, None).await;
    assert!(kept.findings.is_empty(), "{:?}", kept.findings);
    let blind = made.through(Arc::new(crate::memory::Blind(store.clone())));
    made.backup(one.path(), "x", streams([("a", noise(2, 50_000))])).await.unwrap();
    blind.backup(two.path(), "x", streams([("a", noise(3, 50_000))])).await.unwrap();
    clock.pass(Span::seconds(60));
    let mut report = verify(&made, &store, Depth::Locks, Some(kept.checkpoint)).await;
    let fork = report.findings.iter().find(|f| f.code == "chain.fork").expect("a fork");
    assert_eq!(fork.severity, Severity::Warning);
    report.checkpoint.acknowledge(&report.findings);
    let again = verify(&made, &store, Depth::Locks, Some(report.checkpoint)).await;
    let fork = again.findings.iter().find(|f| f.code == "chain.fork").expect("still told");
    assert_eq!(fork.severity, Severity::Info);
}

/// A store whose second header and later ones are not listed.
pub struct Blind(MemoryStore);

#[async_trait::async_trait]
impl ObjectStore for Blind {
    fn url(&self) -> String {
        self.0.url()
    }
    fn traits(&self) -> strongroom::store::Traits {
        self.0.traits()
    }
    async fn put_new(
        &self,
        key: &strongroom::model::Key,
        payload: &strongroom::store::Payload,
        lock: Option<strongroom::model::Lock>,
    ) -> strongroom::store::Result<strongroom::store::Put> {
        self.0.put_new(key, payload, lock).await
    }
    async fn get(
        &self,
        key: &strongroom::model::Key,
        version: Option<&strongroom::store::Version>,
        range: Option<std::ops::Range<u64>>,
    ) -> strongroom::store::Result<bytes::Bytes> {
        self.0.get(key, version, range).await
    }
    async fn head(
        &self,
        key: &strongroom::model::Key,
        version: Option<&strongroom::store::Version>,
    ) -> strongroom::store::Result<strongroom::store::Head> {
        self.0.head(key, version).await
    }
    async fn list(
        &self,
        prefix: &str,
        each: &mut (dyn FnMut(strongroom::store::Entry) + Send),
    ) -> strongroom::store::Result<()> {
        let mut some = |entry: strongroom::store::Entry| {
            if !entry.key.contains("/0000000002-") {
                each(entry);
            }
        };
        self.0.list(prefix, &mut some).await
    }
    async fn list_versions(
        &self,
        prefix: &str,
        each: &mut (dyn FnMut(strongroom::store::VersionEntry) + Send),
    ) -> strongroom::store::Result<()> {
        let mut some = |entry: strongroom::store::VersionEntry| {
            if !entry.key.contains("/0000000002-") {
                each(entry);
            }
        };
        self.0.list_versions(prefix, &mut some).await
    }
    async fn lock_of(
        &self,
        key: &strongroom::model::Key,
        version: Option<&strongroom::store::Version>,
    ) -> strongroom::store::Result<Option<strongroom::model::Lock>> {
        self.0.lock_of(key, version).await
    }
    async fn extend_lock(
        &self,
        key: &strongroom::model::Key,
        version: Option<&strongroom::store::Version>,
        lock: strongroom::model::Lock,
    ) -> strongroom::store::Result<strongroom::model::Lock> {
        self.0.extend_lock(key, version, lock).await
    }
    async fn server_time(&self) -> strongroom::store::Result<strongroom::model::Time> {
        self.0.server_time().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_did_not_change_is_decrypted_once() {
    let (made, clock, store) = made().await;
    let state = tempfile::tempdir().unwrap();
    let same = noise(4, 400_000);
    for day in 0..5 {
        let changing = noise(10 + day, 30_000);
        made.backup(state.path(), "x", streams([("a", same.clone()), ("b", changing)])).await.unwrap();
        clock.pass(Span::days(1));
    }
    let report = verify(&made, &store, Depth::Decrypt, None).await;
    assert_eq!((report.snapshots, report.streams), (5, 10));
    assert_eq!(report.bytes_decoded, 400_000 + 5 * 30_000, "{:?}", report.findings);
}

/// A stream that was had from its second place is whole there, and nowhere in a snapshot that names the first alone. Both places
/// are as their packs say themselves.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_a_second_place_saved_is_read_again_where_that_is_not_named() {
    let (made, _, store) = made().await;
    let (real, other) = (dump(5, 50_000), dump(6, 50_000));
    let mut whole = Craft::new(&made);
    whole.pack(vec![whole.instead(&real, &other)]).await;
    let hollow = whole.another();
    whole.pack(vec![whole.plain(&real)]).await;
    let stream = stream("a", None, &real, vec![whole.chunk(&real)]);
    let whole = whole.commit(vec![stream.clone()], true).await.to_string();
    let hollow = hollow.commit(vec![stream], true).await.to_string();
    let report = verify(&made, &store, Depth::Decrypt, None).await;
    let of = |id: &str| {
        let bad = |finding: &&strongroom::model::Finding| {
            finding.severity == Severity::Error && finding.snapshot.as_deref() == Some(id)
        };
        report.findings.iter().find(bad).map(|finding| finding.code.clone())
    };
    assert_eq!(of(&whole), None, "{:?}", report.findings);
    assert!(of(&hollow).is_some_and(|code| code.starts_with("stream.")), "{:?}", report.findings);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_parts_of_a_sample_together_read_everything() {
    let (made, _, store) = made().await;
    let state = tempfile::tempdir().unwrap();
    made.backup(state.path(), "x", streams([("a", noise(5, 300_000)), ("b", noise(6, 5_000))])).await.unwrap();
    let run = async |sample| {
        let counted = Arc::new(Counted::new(Arc::new(store.clone())));
        let vault = Vault::open(Arc::clone(&counted) as Arc<dyn ObjectStore>, Some(made.id)).await.unwrap();
        let request = VerifyRequest { opener: Some(made.owner.clone()), sample, ..VerifyRequest::new(Depth::Decrypt) };
        let report = audit::verify(&vault, &request, Arc::new(Silent), &Cancel::default()).await.unwrap();
        assert!(report.findings.is_empty(), "{:?}", report.findings);
        (report.bytes_decoded, counted.calls())
    };
    let (all, _) = run(None).await;
    let mut sum = 0;
    for part in 1..=7 {
        sum += run(Some((part, 7))).await.0;
    }
    assert_eq!((sum, all), (305_000, 305_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_downloads_no_pack() {
    let (made, _, store) = made().await;
    let state = tempfile::tempdir().unwrap();
    made.backup(state.path(), "x", streams([("a", noise(7, 3 << 20))])).await.unwrap();
    let counted = Arc::new(Counted::new(Arc::new(store.clone())));
    let vault = Vault::open(Arc::clone(&counted) as Arc<dyn ObjectStore>, Some(made.id)).await.unwrap();
    let request = VerifyRequest::new(Depth::Locks);
    audit::verify(&vault, &request, Arc::new(Silent), &Cancel::default()).await.unwrap();
    let calls = counted.calls();
    assert!(calls.bytes < 200_000 && calls.list > 0 && calls.head > 0, "{calls:?}");
}
