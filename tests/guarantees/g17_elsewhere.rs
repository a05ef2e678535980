//! G17, elsewhere: a copy restores with the first vault gone; it never holds a header whose closure is not there and locked; and
//! damage in one place heals from another. No identity is needed for either.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use strongroom::{
    codec::hash,
    format::{
        header::{HEADER_LIMIT, VerifiedHeader},
        layout,
        page::Page,
    },
    model::{Cancel, Clock, Finding, Hash, Key, Lock, LockBy, LockPolicy, Severity, Silent, Span, Time},
    ops::replicate::{ReplicateReport, ReplicateRequest, replicate},
    store::{
        self, Entry, Head, ObjectStore, Payload, Put, StoreError, StoreErrorKind, Traits, Version, VersionEntry,
        memory::MemoryStore,
    },
    vault::{
        Vault, VaultErrorKind,
        audit::{Depth, VerifyRequest, verify},
        copying::CopyRequest,
        snapshots,
    },
};

use crate::{
    house::House,
    store_support::{HandClock, keys},
    vault_support::{Made, dump, make, noise, policy, streams},
};

pub fn explicit() -> LockPolicy {
    LockPolicy { by: LockBy::Explicit, ..policy() }
}

/// A bucket that locks what comes, and whose copier may not touch locks.
pub struct ByDefault(pub MemoryStore);

#[async_trait]
impl ObjectStore for ByDefault {
    fn url(&self) -> String {
        self.0.url()
    }
    fn traits(&self) -> Traits {
        Traits { explicit_locks: false, ..self.0.traits() }
    }
    async fn put_new(&self, key: &Key, payload: &Payload, lock: Option<Lock>) -> store::Result<Put> {
        match lock {
            Some(_) => Err(StoreError::new(StoreErrorKind::Denied, "put: s3:PutObjectRetention is not allowed")),
            None => self.0.put_new(key, payload, None).await,
        }
    }
    async fn get(
        &self,
        key: &Key,
        version: Option<&Version>,
        range: Option<std::ops::Range<u64>>,
    ) -> store::Result<Bytes> {
        self.0.get(key, version, range).await
    }
    async fn head(&self, key: &Key, version: Option<&Version>) -> store::Result<Head> {
        self.0.head(key, version).await
    }
    async fn list(&self, prefix: &str, each: &mut (dyn FnMut(Entry) + Send)) -> store::Result<()> {
        self.0.list(prefix, each).await
    }
    async fn list_versions(&self, prefix: &str, each: &mut (dyn FnMut(VersionEntry) + Send)) -> store::Result<()> {
        self.0.list_versions(prefix, each).await
    }
    async fn lock_of(&self, key: &Key, version: Option<&Version>) -> store::Result<Option<Lock>> {
        self.0.lock_of(key, version).await
    }
    async fn extend_lock(&self, _: &Key, _: Option<&Version>, _: Lock) -> store::Result<Lock> {
        Err(StoreError::new(StoreErrorKind::Denied, "extend lock: s3:PutObjectRetention is not allowed"))
    }
    async fn server_time(&self) -> store::Result<Time> {
        self.0.server_time().await
    }
}

pub fn wanted(from: &str) -> ReplicateRequest {
    let copy = CopyRequest { jobs: 4, from: from.to_owned(), ..CopyRequest::default() };
    ReplicateRequest { copy, to: "the copy".to_owned(), adopt: false }
}

pub async fn run(
    made: &Made,
    target: Arc<dyn ObjectStore>,
    request: &ReplicateRequest,
) -> Result<(ReplicateReport, Vec<Finding>), strongroom::ops::OpsError> {
    let vault = Vault::open(Arc::clone(&made.store), Some(made.id)).await?;
    replicate(&vault, target, request, &Silent, &Cancel::default()).await
}

pub async fn copied(made: &Made, target: &Arc<dyn ObjectStore>) -> ReplicateReport {
    let (report, findings) = run(made, Arc::clone(target), &wanted("the first")).await.unwrap();
    let bad: Vec<_> = findings.iter().filter(|finding| finding.severity >= Severity::Weak).collect();
    assert!(bad.is_empty(), "{bad:?}");
    report
}

/// Fails if a header is in `store` whose closure is not there, or not locked until its floor. Returns how many there are.
pub async fn must_be_closed(made: &Made, store: &dyn ObjectStore, what: &str) -> usize {
    let mut headers = 0;
    for key in keys(store, layout::SNAPSHOTS).await {
        let bytes = store.get(&key.parse().unwrap(), None, Some(0..HEADER_LIMIT as u64)).await.unwrap();
        let header = VerifiedHeader::open(&bytes, made.id).unwrap();
        headers += 1;
        let writer = &header.header.writer;
        let mut needed: Vec<(Key, Hash)> =
            header.header.indexes.iter().map(|index| (layout::index(writer, &index.hash), index.hash)).collect();
        for page in &header.header.pages {
            let key = layout::page(writer, &page.hash);
            let bytes = store.get(&key, None, None).await.unwrap_or_else(|e| panic!("{what}: {e}"));
            let packs = Page::decode(&bytes, made.id, writer).unwrap().packs;
            needed.push((key, page.hash));
            needed.extend(packs.iter().map(|p| (layout::pack(writer, &p.id), Hash::from_bytes(*p.id.as_bytes()))));
        }
        for (key, wanted) in needed {
            let bytes = store.get(&key, None, None).await.unwrap_or_else(|e| panic!("{what}: {e}"));
            assert!(hash::hash(&bytes) == wanted, "{what}: {key} is something else");
            let lock = store.lock_of(&key, None).await.unwrap();
            let until = lock.map_or(Time::from_unix(0), |lock| lock.until);
            assert!(until >= header.header.floor_until, "{what}: {key} is locked until {until} only");
        }
    }
    headers
}

/// A vault with three snapshots in a bucket whose writer locks.
pub async fn three(policy: LockPolicy) -> (Made, Arc<HandClock>, tempfile::TempDir) {
    let clock = HandClock::new();
    let made = make(Arc::new(MemoryStore::new(clock.clone())), clock.clone(), policy).await;
    let state = tempfile::tempdir().unwrap();
    for day in 0..3_u64 {
        let data = [dump(day, 60_000), noise(day + 10, 300_000)].concat();
        made.backup(state.path(), "orders", streams([("a", data)])).await.unwrap();
        clock.pass(Span::days(1));
    }
    (made, clock, state)
}

pub fn bucket(clock: &Arc<HandClock>) -> Arc<dyn ObjectStore> {
    Arc::new(MemoryStore::new(clock.clone()))
}

#[tokio::test(flavor = "multi_thread")]
async fn g17_a_copy_restores_with_the_first_vault_gone_and_is_verified_renewed_and_pruned() {
    let (made, clock, state) = three(explicit()).await;
    let expected = made.restore_all().await.unwrap();
    let copy = MemoryStore::new(clock.clone());
    let target: Arc<dyn ObjectStore> = Arc::new(copy.clone());
    assert_eq!(copied(&made, &target).await.copied.len(), 3);
    assert_eq!(must_be_closed(&made, &*target, "the first pass").await, 3);
    assert_eq!(made.through(Arc::clone(&target)).restore_all().await.unwrap(), expected);

    // What comes a day later is copied within the hour after it was made; what came before was not.
    made.backup(state.path(), "orders", streams([("a", dump(9, 70_000))])).await.unwrap();
    clock.pass(Span::seconds(600));
    let report = copied(&made, &target).await;
    assert_eq!((report.copied.len(), report.there), (1, 3));
    let vault = Vault::open(Arc::clone(&target), Some(made.id)).await.unwrap();
    let source = Vault::open(Arc::clone(&made.store), Some(made.id)).await.unwrap();
    let order = |listing: snapshots::Listing| listing.snapshots.into_iter().map(|s| s.id).collect::<Vec<_>>();
    let listing = snapshots::list(&vault).await.unwrap();
    assert!(!listing.findings.iter().any(|f| f.code == "header.backdated"), "{:?}", listing.findings);
    assert_eq!(order(listing), order(snapshots::list(&source).await.unwrap()));
    let seen = verify(&vault, &VerifyRequest::new(Depth::Read), Arc::new(Silent), &Cancel::default()).await.unwrap();
    let bad: Vec<_> = seen.findings.iter().filter(|f| f.severity >= Severity::Weak).collect();
    assert!(bad.is_empty() && seen.snapshots == 4, "{bad:?}");

    // The copy lives on by itself: its keeper extends, its pruner deletes what is over, and nothing of it comes back.
    clock.pass(Span::days(30));
    let house = House::of(copy.clone(), clock.clone(), made.through(Arc::clone(&target)));
    let renewed = house.renew().await;
    assert_eq!((renewed.refused, renewed.snapshots), (0, 4));
    clock.pass(Span::days(60));
    for day in 0..3_u64 {
        made.backup(state.path(), "orders", streams([("a", dump(day + 20, 70_000))])).await.unwrap();
        clock.pass(Span::days(1));
    }
    assert_eq!(copied(&made, &target).await.copied.len(), 3);
    clock.pass(Span::days(1));
    let pruned = house.prune(Span::ZERO).await;
    assert!(pruned.blocked.is_empty(), "{:?}", pruned.blocked);
    assert!(pruned.deleted.get("snapshots").is_some_and(|count| count.versions == 4), "{:?}", pruned.deleted);
    assert_eq!(made.through(Arc::clone(&target)).restore_all().await.unwrap().len(), 3);
    let again = copied(&made, &target).await;
    assert_eq!((again.copied.len(), again.objects), (0, 0), "what was pruned in the copy does not come back");
}

/// A copy of a bucket in which the object `key` has other bytes, put as an attacker or a rotten disk would leave them.
pub async fn spoiled(
    store: &dyn ObjectStore,
    clock: &Arc<HandClock>,
    spoil: impl Fn(&str, Vec<u8>) -> Option<Vec<u8>>,
) -> MemoryStore {
    let other = MemoryStore::new(clock.clone());
    for key in keys(store, "").await {
        let key: Key = key.parse().unwrap();
        let bytes = store.get(&key, None, None).await.unwrap().to_vec();
        let Some(bytes) = spoil(key.as_str(), bytes) else { continue };
        let version = other.overwrite(key.as_str(), bytes);
        if let Some(lock) = store.lock_of(&key, None).await.unwrap().filter(|lock| lock.until > clock.now()) {
            other.extend_lock(&key, Some(&version), lock).await.unwrap();
        }
    }
    other
}

#[tokio::test(flavor = "multi_thread")]
async fn g17_what_is_damaged_in_the_source_is_named_and_left_out_with_what_needs_it() {
    let (made, clock, _state) = three(explicit()).await;
    let vault = Vault::open(Arc::clone(&made.store), Some(made.id)).await.unwrap();
    let last = snapshots::list(&vault).await.unwrap().snapshots.pop().unwrap();
    let header = vault.whole(&last).await.unwrap();
    // A pack that the last snapshot alone needs: the last of its last page.
    let page = header.header.pages.last().unwrap();
    let bytes = made.store.get(&layout::page(&last.header.writer, &page.hash), None, None).await.unwrap();
    let pack = Page::decode(&bytes, made.id, &last.header.writer).unwrap().packs.pop().unwrap();
    let pack = layout::pack(&last.header.writer, &pack.id);
    let flip = |key: &str, mut bytes: Vec<u8>| {
        if key == pack.as_str() {
            bytes[100] ^= 1;
        }
        Some(bytes)
    };
    let source: Arc<dyn ObjectStore> = Arc::new(spoiled(&*made.store, &clock, flip).await);
    let target = bucket(&clock);
    let (report, findings) = run(&made.through(source), Arc::clone(&target), &wanted("the first")).await.unwrap();
    assert_eq!((report.copied.len(), report.left_out.as_slice()), (2, &[last.id][..]));
    let codes: Vec<(&str, Option<&str>)> = findings
        .iter()
        .filter(|f| f.severity == Severity::Error)
        .map(|f| (f.code.as_str(), f.object.as_deref()))
        .collect();
    assert!(codes.contains(&("copy.damaged", Some(pack.as_str()))), "{codes:?}");
    assert!(codes.iter().any(|(code, _)| *code == "copy.left-out"), "{codes:?}");
    assert_eq!(must_be_closed(&made, &*target, "damaged").await, 2);
    assert!(!keys(&*target, "").await.contains(&pack.to_string()));
    // Mended, it comes along.
    assert_eq!(copied(&made, &target).await.copied, [last.id]);
}

#[tokio::test(flavor = "multi_thread")]
async fn g17_a_target_that_cannot_lock_as_long_is_refused_or_told() {
    // The bucket's default lock ends before what is promised, and the copier may not extend it.
    let (made, clock, _state) = three(policy()).await;
    let short = MemoryStore::new(clock.clone()).with_default_lock(policy().mode, Span::days(3));
    let target: Arc<dyn ObjectStore> = Arc::new(ByDefault(short.clone()));
    let error = run(&made, Arc::clone(&target), &wanted("the first")).await.unwrap_err();
    let strongroom::ops::OpsError::Vault(error) = error else { panic!("{error}") };
    assert_eq!(error.kind, VaultErrorKind::Unprotected, "{error}");
    assert!(keys(&*target, layout::SNAPSHOTS).await.is_empty());
    let mut request = wanted("the first");
    request.copy.as_possible = true;
    let (report, _) = run(&made, Arc::clone(&target), &request).await.unwrap();
    assert_eq!(report.copied.len(), 3);
    assert!(report.weakest_lock.unwrap() < clock.now() + Span::days(4));
    let vault = Vault::open(target, Some(made.id)).await.unwrap();
    let seen = verify(&vault, &VerifyRequest::new(Depth::Locks), Arc::new(Silent), &Cancel::default()).await.unwrap();
    assert!(seen.findings.iter().any(|f| f.code == "lock.short" && f.severity == Severity::Weak));
    // A default that is long enough needs no right to set locks.
    let fit = MemoryStore::new(clock.clone()).with_default_lock(policy().mode, Span::days(65));
    let target: Arc<dyn ObjectStore> = Arc::new(ByDefault(fit));
    assert_eq!(copied(&made, &target).await.copied.len(), 3);
    assert_eq!(must_be_closed(&made, &*target, "by default").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn g17_another_vault_two_sources_and_a_vault_that_is_written_to_are_refused() {
    let (made, clock, _state) = three(explicit()).await;
    let refused = |result: Result<_, strongroom::ops::OpsError>| match result {
        Err(strongroom::ops::OpsError::Request { what, .. }) => what,
        Err(error) => panic!("{error}"),
        Ok::<(ReplicateReport, Vec<Finding>), _>(_) => panic!("it was not refused"),
    };
    let (other, ..) = three(explicit()).await;
    let what = refused(run(&made, Arc::clone(&other.store), &wanted("the first")).await);
    assert!(what.contains("another vault"), "{what}");
    // The vault itself, which a writer feeds.
    let twin: Arc<dyn ObjectStore> = Arc::new(spoiled(&*made.store, &clock, |_, bytes| Some(bytes)).await);
    let what = refused(run(&made, Arc::clone(&twin), &wanted("the first")).await);
    assert!(what.contains("nothing says that they were copied"), "{what}");
    let target = bucket(&clock);
    copied(&made, &target).await;
    let what = refused(run(&made, Arc::clone(&target), &wanted("the second")).await);
    assert!(what.contains("is a copy of the first, and not of the second"), "{what}");
    let mut request = wanted("the second");
    request.adopt = true;
    request.copy.mark = true;
    clock.pass(Span::seconds(1));
    made.backup(tempfile::tempdir().unwrap().path(), "other", streams([("a", dump(5, 5_000))])).await.unwrap();
    run(&made, Arc::clone(&target), &request).await.unwrap();
    run(&made, Arc::clone(&target), &wanted("the second")).await.unwrap();
    let mut itself = wanted("the copy");
    itself.adopt = true;
    let what = refused(run(&made, target, &itself).await);
    assert!(what.contains("the vault itself"), "{what}");
    // Something else lies there.
    let full = MemoryStore::new(clock.clone());
    full.overwrite("holiday.jpg", "x");
    let what = refused(run(&made, Arc::new(full), &wanted("the first")).await);
    assert!(what.contains("holiday.jpg"), "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn g17_a_part_is_copied_as_it_was_asked_for_and_verifies() {
    let (made, clock, state) = three(explicit()).await;
    made.backup(state.path(), "code", streams([("a", dump(30, 5_000))])).await.unwrap();
    let target = bucket(&clock);
    let mut request = wanted("the first");
    (request.copy.newest, request.copy.sources) = (Some(2), vec!["orders".parse().unwrap()]);
    request.copy.dry_run = true;
    let (dry, _) = run(&made, Arc::clone(&target), &request).await.unwrap();
    assert!(keys(&*target, "").await.is_empty(), "a dry run puts nothing");
    request.copy.dry_run = false;
    let (report, _) = run(&made, Arc::clone(&target), &request).await.unwrap();
    assert_eq!(dry.copied, report.copied);
    assert_eq!(report.copied.len(), 2);
    let told = |report: &ReplicateReport| (report.moved.get("packs").copied(), report.moved.get("lists").copied());
    assert_eq!(told(&dry), told(&report));
    let vault = Vault::open(Arc::clone(&target), Some(made.id)).await.unwrap();
    let seen = verify(&vault, &VerifyRequest::new(Depth::Read), Arc::new(Silent), &Cancel::default()).await.unwrap();
    let bad: Vec<_> = seen.findings.iter().filter(|f| f.severity >= Severity::Weak).collect();
    assert!(bad.is_empty() && seen.snapshots == 2, "{bad:?}");
    assert!(seen.findings.iter().any(|f| f.code == "chain.part"));
    // A repair does not make it a whole one.
    let (again, _) = run(&made, Arc::clone(&target), &request).await.unwrap();
    assert_eq!((again.there, again.copied.len(), again.objects), (2, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn g17_a_header_that_the_source_contradicts_stays_there() {
    let (made, clock, _state) = three(explicit()).await;
    let vault = Vault::open(Arc::clone(&made.store), Some(made.id)).await.unwrap();
    let last = snapshots::list(&vault).await.unwrap().snapshots.pop().unwrap();
    let mut header = vault.whole(&last).await.unwrap().header;
    // Whoever holds the writer's key makes one that claims to be of two days ago.
    (header.seq, header.prev) = (header.seq + 1, vec![last.id]);
    header.started_at = Time::from_unix(clock.now().unix() - 2 * 86_400);
    header.claimed_at = header.started_at;
    let (id, public) = header.seal(&made.writer.signing_key).unwrap();
    let key = layout::header(&header.writer, header.seq, &id);
    made.store.put_new(&key, &strongroom::store::Payload::Public(public), None).await.unwrap();
    let target = bucket(&clock);
    let (report, findings) = run(&made, Arc::clone(&target), &wanted("the first")).await.unwrap();
    assert_eq!((report.copied.len(), report.left_out.as_slice()), (3, &[id][..]));
    assert!(findings.iter().any(|f| f.code == "copy.refused"), "{findings:?}");
    assert!(!keys(&*target, "").await.contains(&key.to_string()));
}

/// What a pass costs grows with what is missing, and not with what is there.
#[tokio::test(flavor = "multi_thread")]
async fn g17_an_up_to_date_copy_costs_a_few_listings() {
    let clock = HandClock::new();
    let made = make(Arc::new(MemoryStore::new(clock.clone())), clock.clone(), explicit()).await;
    let state = tempfile::tempdir().unwrap();
    // `STRONGROOM_COPY_DAYS=1000` measures what docs/copies.md says.
    let days: u64 = std::env::var("STRONGROOM_COPY_DAYS").map_or(60, |text| text.parse().unwrap());
    let target = bucket(&clock);
    for day in 0..days {
        made.backup(state.path(), "orders", streams([("a", noise(day, 40_000))])).await.unwrap();
        clock.pass(Span::seconds(3600));
    }
    let first = copied(&made, &target).await;
    assert_eq!(first.copied.len() as u64, days);
    // Each put has read back the lock that it asked for, and nobody reads it again.
    assert!(first.target_calls.head <= 4, "{first:?}");
    // Each object is read once, headers and pages too, and some to open the vault.
    assert!(first.source_calls.get <= 4 * days + 16, "{first:?}");
    let idle = copied(&made, &target).await;
    assert_eq!((idle.objects, idle.target_calls.put, idle.source_calls.bytes < 20_000), (0, 0, true), "{idle:?}");
    assert!(idle.source_calls.get <= 4 && idle.target_calls.get <= 6, "{idle:?}");
    assert!(idle.source_calls.list <= 12 && idle.target_calls.list <= 12 && idle.target_calls.head <= 3, "{idle:?}");
    made.backup(state.path(), "orders", streams([("a", noise(1000, 40_000))])).await.unwrap();
    let one = copied(&made, &target).await;
    println!("first: {:?} {:?}", first.source_calls, first.target_calls);
    println!("idle: {:?} {:?}", idle.source_calls, idle.target_calls);
    println!("one more: {:?} {:?}", one.source_calls, one.target_calls);
    assert_eq!(one.copied.len(), 1);
    // One lock is looked at for each object that the new snapshot needs, and only what is new is read and put.
    assert!(one.source_calls.get <= 14 && one.target_calls.put <= 90, "{one:?}");
}
