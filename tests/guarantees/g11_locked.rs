//! G11, locked as long as promised: when a header is written, all that its snapshot needs is locked until its floor.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use strongroom::{
    model::{Cancel, Key, Lock, LockMode, LockPolicy, Severity, Silent, Span, Tier, Tiers, Time},
    source::{self, Facts, Incoming, Reading},
    store::{
        Deleter, Entry, Head, ObjectStore, Payload, Put, Result, Traits, Version, VersionEntry, memory::MemoryStore,
    },
    vault::{
        Vault, VaultErrorKind,
        audit::{self, Depth, VerifyRequest},
    },
};

use crate::{
    house::{House, short},
    store_support::{self, HandClock},
    vault_support::{Made, Streams, dump, make, policy, streams},
};

/// A bucket whose default retention locks what comes, and whose writer may not touch locks.
pub struct DefaultOnly(pub MemoryStore);

#[async_trait]
impl ObjectStore for DefaultOnly {
    fn url(&self) -> String {
        self.0.url()
    }
    fn traits(&self) -> Traits {
        Traits { explicit_locks: false, ..self.0.traits() }
    }
    async fn put_new(&self, key: &Key, payload: &Payload, lock: Option<Lock>) -> Result<Put> {
        assert_eq!(lock, None, "this role may not set locks");
        self.0.put_new(key, payload, None).await
    }
    async fn get(&self, key: &Key, version: Option<&Version>, range: Option<std::ops::Range<u64>>) -> Result<Bytes> {
        self.0.get(key, version, range).await
    }
    async fn head(&self, key: &Key, version: Option<&Version>) -> Result<Head> {
        self.0.head(key, version).await
    }
    async fn list(&self, prefix: &str, each: &mut (dyn FnMut(Entry) + Send)) -> Result<()> {
        self.0.list(prefix, each).await
    }
    async fn list_versions(&self, prefix: &str, each: &mut (dyn FnMut(VersionEntry) + Send)) -> Result<()> {
        self.0.list_versions(prefix, each).await
    }
    async fn lock_of(&self, key: &Key, version: Option<&Version>) -> Result<Option<Lock>> {
        self.0.lock_of(key, version).await
    }
    async fn extend_lock(&self, key: &Key, _version: Option<&Version>, _lock: Lock) -> Result<Lock> {
        panic!("this role may not extend the lock of {key}")
    }
    async fn server_time(&self) -> Result<Time> {
        self.0.server_time().await
    }
}

/// Fails if anything that a live snapshot needs is locked for less than its floor.
async fn assert_locked(made: &Made) {
    let vault = Vault::open(Arc::clone(&made.store), Some(made.id)).await.unwrap();
    let request = VerifyRequest::new(Depth::Locks);
    let report = audit::verify(&vault, &request, Arc::new(Silent), &Cancel::default()).await.unwrap();
    // The vault's own documents are the keeper's to renew, and there is none here; headers embed what they need of them.
    let bad: Vec<_> =
        report.findings.iter().filter(|f| f.severity >= Severity::Weak && f.code != "lock.owed").collect();
    assert!(bad.is_empty(), "{bad:?}");
}

async fn forty_days(store: Arc<dyn ObjectStore>, clock: Arc<HandClock>, policy: LockPolicy) -> (Made, u64, u64) {
    let made = make(store, clock.clone(), policy).await;
    let state = tempfile::tempdir().unwrap();
    let mut data = dump(1, 4 << 20);
    let (mut first, mut later) = (0, 0);
    for day in 0..40 {
        data.extend_from_slice(&dump(100 + day, 50_000));
        let run = made.backup(state.path(), "orders", streams([("a", data.clone())])).await.unwrap();
        assert_eq!(run.header.floor_until, clock_now(&clock) + policy.keep);
        assert_locked(&made).await;
        if day == 0 {
            first = run.bytes_new;
        } else {
            later += run.bytes_new;
        }
        clock.pass(Span::days(1));
    }
    assert_eq!(made.restore_all().await.unwrap().len(), 40);
    (made, first, later)
}

fn clock_now(clock: &HandClock) -> Time {
    strongroom::model::Clock::now(clock)
}

#[tokio::test(flavor = "multi_thread")]
async fn g11_forty_days_where_the_writer_extends_locks() {
    let clock = HandClock::new();
    let policy = LockPolicy { keep: Span::days(5), window: Span::days(2), ..policy() };
    let store = Arc::new(MemoryStore::new(clock.clone()));
    let (_, first, later) = forty_days(store, clock, policy).await;
    assert!(later < 2 * first, "locks are extended, not stored again: {later} after {first}");
}

#[tokio::test(flavor = "multi_thread")]
async fn g11_forty_days_where_the_bucket_default_locks() {
    let clock = HandClock::new();
    let policy = LockPolicy { keep: Span::days(5), window: Span::days(2), ..policy() };
    let inner = MemoryStore::new(clock.clone()).with_default_lock(LockMode::Compliance, Span::days(7));
    let (_, first, later) = forty_days(Arc::new(DefaultOnly(inner)), clock, policy).await;
    // Every chunk is stored anew when its lock no longer reaches the floor: every third day here.
    let copies = later / first;
    assert!((12..24).contains(&copies), "{copies} further copies in 40 days");
}

#[tokio::test(flavor = "multi_thread")]
async fn g11_a_store_that_gives_no_lock_gets_no_header() {
    let clock = HandClock::new();
    let store = Arc::new(DefaultOnly(MemoryStore::new(clock.clone())));
    let made = make(store, clock, policy()).await;
    let state = tempfile::tempdir().unwrap();
    let error = made.backup(state.path(), "orders", streams([("a", dump(1, 1 << 20))])).await.unwrap_err();
    assert_eq!(error.kind, VaultErrorKind::Unprotected);
    assert!(made.restore_all().await.unwrap().is_empty());
}

/// Streams of a source that takes so long to be read.
struct Long(Streams, Arc<HandClock>, Span);

impl Reading for Long {
    fn next_stream(&mut self) -> source::Result<Option<Incoming>> {
        self.0.next_stream()
    }

    fn finish(self: Box<Self>) -> source::Result<Facts> {
        self.1.pass(self.2);
        Box::new(self.0).finish()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g11_a_run_that_lasts_longer_than_it_promises_makes_no_snapshot() {
    let house = House::new(short(), true).await;
    let (state, data) = (tempfile::tempdir().unwrap(), dump(1, 1 << 20));
    let lasting = |span| Long(streams([("a", data.clone())]), Arc::clone(&house.clock), span);
    let day = Span::days(5);
    let error = house.made.backup(state.path(), "orders", lasting(day)).await.unwrap_err();
    assert_eq!(error.kind, VaultErrorKind::Unprotected, "{error}");
    assert!(error.to_string().contains("longer than its snapshot would be kept"), "{error}");
    assert!(house.headers().await.is_empty());
    // A second less is enough, and the next run is not held up by what the late one left.
    let less = Span::seconds(day.as_seconds() - 1);
    house.made.backup(state.path(), "orders", lasting(less)).await.unwrap();
    assert_eq!(house.headers().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn g11_a_pack_that_vanished_is_stored_again_by_the_next_run() {
    let clock = HandClock::new();
    let store = MemoryStore::new(clock.clone());
    let made = make(Arc::new(store.clone()), clock, policy()).await;
    let state = tempfile::tempdir().unwrap();
    let data = dump(1, 3 << 20);
    made.backup(state.path(), "orders", streams([("a", data.clone())])).await.unwrap();
    for key in store_support::keys(&store, "packs/").await {
        store.hide(&key);
    }
    let run = made.backup(state.path(), "orders", streams([("a", data.clone())])).await.unwrap();
    assert_eq!(run.bytes_new, data.len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn g11_the_first_of_a_period_is_to_be_kept_as_long_as_its_tier() {
    // The clock begins on a Sunday.
    let clock = HandClock::new();
    let tiers = Tiers { weekly: Some(Span::days(84)), monthly: Some(Span::days(300)), yearly: None };
    let made = Made { tiers, ..make(Arc::new(MemoryStore::new(clock.clone())), clock.clone(), policy()).await };
    let state = tempfile::tempdir().unwrap();
    let mut found = Vec::new();
    for _ in 0..12 {
        let header = made.backup(state.path(), "orders", streams([("a", vec![1; 9])])).await.unwrap().header;
        let kept = header.expires_at.since(header.started_at);
        assert_eq!(header.floor_until, header.started_at + policy().keep, "a tier promises no lock");
        found.push((header.tier, kept));
        clock.pass(Span::days(1));
    }
    let (day, week, month) =
        ((None, Span::days(35)), (Some(Tier::Weekly), Span::days(84)), (Some(Tier::Monthly), Span::days(300)));
    assert_eq!(found[..3], [month, week, day]);
    assert_eq!(found[8..10], [week, month], "2026-11-30 is a Monday");
    // A tier beyond what the root allows to lock is refused, not cut.
    let greedy = Made { tiers: Tiers { yearly: Some(Span::days(401)), ..tiers }, ..made };
    let error = greedy.backup(state.path(), "orders", streams([("a", vec![1; 9])])).await.unwrap_err();
    assert_eq!(error.kind, VaultErrorKind::Invalid);
}

#[tokio::test(flavor = "multi_thread")]
async fn g11_a_clock_that_is_set_back_stops_no_renewal_and_no_alarm_rings() {
    let house = House::new(short(), true).await;
    let state = tempfile::tempdir().unwrap();
    for day in 0..4 {
        house.backup(state.path(), &dump(day, 100_000)).await;
        // All of it within what clocks may be apart.
        house.clock.step_back(Span::seconds(70));
    }
    let done = house.renew().await;
    assert_eq!((done.refused, done.findings.len()), (0, 0), "{:?}", done.findings);
    house.assert_renewed().await;
    let request = VerifyRequest::new(Depth::Locks);
    let report = audit::verify(&house.vault().await, &request, Arc::new(Silent), &Cancel::default()).await.unwrap();
    assert_eq!(report.findings, [], "nobody was told of an order that is wrong");
}

#[tokio::test(flavor = "multi_thread")]
async fn g11_what_a_header_embeds_is_needed_nowhere_else() {
    let house = House::new(short(), true).await;
    let state = tempfile::tempdir().unwrap();
    for day in 0..2 {
        house.backup(state.path(), &dump(day, 100_000)).await;
    }
    // Without a keeper the locks of the vault's own documents end, and runs do not look at them.
    house.clock.pass(Span::days(8));
    for prefix in ["vault.json", "keys/epoch-", "members/"] {
        for entry in store_support::versions(&house.bucket, prefix).await {
            house.bucket.delete_version(&entry.key.parse().unwrap(), Some(&entry.version)).await.unwrap();
        }
    }
    house.backup(state.path(), &dump(2, 100_000)).await;
    let restored = house.made.through(Arc::new(house.bucket.clone())).restore_all().await.unwrap();
    assert_eq!(restored.iter().map(|s| s[0].1.clone()).collect::<Vec<_>>(), [0, 1, 2].map(|day| dump(day, 100_000)));
}
