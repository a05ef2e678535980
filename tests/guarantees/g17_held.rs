//! G17 of what is held, of locks that are less than promised, and of who may not read: in buckets, through whole passes.

use std::{ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use strongroom::{
    codec::hash,
    format::{certificate::Role, hold::Hold, layout},
    model::{
        Cancel, Clock, Key, Lock, LockMode, Severity, Silent, SnapshotId, Span, Time,
        journal::{Line, Position, Start},
    },
    ops::{
        OpsError,
        member::{self, NewMember},
    },
    store::{
        self, Entry, Head, Mender, ObjectStore, Payload, Put, StoreError, StoreErrorKind, Traits, Version,
        VersionEntry, local::LocalStore, memory::MemoryStore,
    },
    vault::{
        Vault, VaultErrorKind,
        audit::{Depth, VerifyReport, VerifyRequest, verify},
        snapshots,
        upkeep::renew::renew,
    },
};

use crate::{
    g17_elsewhere::{ByDefault, bucket, copied, explicit, run, spoiled, three, wanted},
    g17_repair::{mended, piece},
    store_support::{HandClock, versions},
    vault_support::{Based, Made, dump, make, policy, streams},
};

async fn opened(made: &Made, store: &Arc<dyn ObjectStore>) -> Vault {
    Vault::open(Arc::clone(store), Some(made.id)).await.unwrap()
}

async fn verified(made: &Made, store: &Arc<dyn ObjectStore>) -> VerifyReport {
    let vault = opened(made, store).await;
    verify(&vault, &VerifyRequest::new(Depth::Locks), Arc::new(Silent), &Cancel::default()).await.unwrap()
}

fn bad(report: &VerifyReport) -> Vec<&str> {
    report.findings.iter().filter(|f| f.severity >= Severity::Weak).map(|f| f.code.as_str()).collect()
}

/// A keeper, and what it holds.
struct Keeper(strongroom::format::member_key::Member);

impl Keeper {
    async fn new(made: &Made, vault: &Vault) -> Self {
        let new = NewMember::new(vault, &made.owner, "keep".parse().unwrap(), Role::Keeper, Vec::new()).await.unwrap();
        let key = new.key_file().to_vec();
        new.store().await.unwrap();
        Self(strongroom::format::member_key::open(&key).unwrap())
    }

    /// Signs a hold of snapshots and puts it, without locking anything for it.
    async fn holds(&self, made: &Made, snapshots: Vec<SnapshotId>, at: Time, until: Time) -> Key {
        let member = self.0.name.clone();
        let hold = Hold { format: "1".to_owned(), vault: made.id, member, at, until, snapshots, reason: None };
        let envelope = strongroom::format::dsse::Envelope::sign(&hold, &self.0.signing_key).unwrap();
        let public = envelope.encode().unwrap();
        let key = layout::hold(&hold.member, at, &hash::hash(public.bytes()));
        let lock = Lock { mode: policy().mode, until };
        made.store.put_new(&key, &Payload::Public(public), Some(lock)).await.unwrap();
        key
    }
}

async fn ids(vault: &Vault) -> Vec<SnapshotId> {
    snapshots::list(vault).await.unwrap().snapshots.iter().map(|snapshot| snapshot.id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn g17_a_hold_means_the_same_in_the_copy() {
    let (made, clock, state) = three(explicit()).await;
    made.backup(state.path(), "orders", streams([("a", dump(9, 50_000))])).await.unwrap();
    let began = clock.now();
    let target = bucket(&clock);
    copied(&made, &target).await;
    let vault = opened(&made, &made.store).await;
    let (all, keeper) = (ids(&vault).await, Keeper::new(&made, &vault).await);
    let until = clock.now() + Span::days(200);
    keeper.holds(&made, vec![all[0]], clock.now(), until).await;
    clock.pass(Span::seconds(60));
    // It comes with the next pass, and what it needs is locked first.
    let report = copied(&made, &target).await;
    assert!(report.held > 3 && report.copied.is_empty(), "{report:?}");
    let seen = verified(&made, &target).await;
    assert_eq!((bad(&seen), seen.holds.len()), (vec![], 1));
    assert_eq!(copied(&made, &target).await.held, 0, "once");
    // A new copy has it at once, and a snapshot that is over by itself comes along while it is held.
    clock.pass(Span::days(120));
    let fresh = bucket(&clock);
    let report = copied(&made, &fresh).await;
    assert!(report.copied.contains(&all[0]), "{report:?}");
    assert_eq!(bad(&verified(&made, &fresh).await), Vec::<&str>::new());
    // A keeper that was revoked since still holds what it held before, in both.
    let revoked = member::revoke(&vault, &made.owner, &"keep".parse().unwrap(), clock.now()).await;
    revoked.unwrap();
    let late = bucket(&clock);
    clock.pass(Span::days(1));
    copied(&made, &late).await;
    for store in [&made.store, &late] {
        let held = verified(&made, store).await.holds;
        assert!(held.iter().all(|held| !held.suspect) && held.len() == 1, "{held:?}");
    }
    // What it signs from now on holds nothing, and does not come along.
    let forged = keeper.holds(&made, vec![all[1]], began, until).await;
    copied(&made, &late).await;
    assert!(late.head(&forged, None).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn g17_where_the_copier_may_not_extend_a_hold_is_told_and_the_keeper_of_the_copy_extends() {
    let (made, clock, _state) = three(policy()).await;
    let bucket = MemoryStore::new(clock.clone()).with_default_lock(policy().mode, Span::days(65));
    let target: Arc<dyn ObjectStore> = Arc::new(ByDefault(bucket.clone()));
    copied(&made, &target).await;
    let vault = opened(&made, &made.store).await;
    let (all, keeper) = (ids(&vault).await, Keeper::new(&made, &vault).await);
    keeper.holds(&made, vec![all[0]], clock.now(), clock.now() + Span::days(200)).await;
    let (report, findings) = run(&made, Arc::clone(&target), &wanted("the first")).await.unwrap();
    let told: Vec<_> = findings.iter().filter(|f| f.severity >= Severity::Weak).collect();
    assert!(told.iter().any(|f| f.code == "copy.hold" && f.message.contains("renew")), "{told:?}");
    assert!(told.len() <= 3 && report.held == 0, "one thing is told, and not each object: {told:?}");
    assert!(bad(&verified(&made, &target).await).contains(&"lock.short"));
    // Whose role may extend does, long before any lock nears its end.
    let kept: Arc<dyn ObjectStore> = Arc::new(bucket);
    renew(&opened(&made, &kept).await, false, &Silent, &Cancel::default()).await.unwrap();
    assert_eq!(bad(&verified(&made, &target).await), Vec::<&str>::new());
    let again = renew(&opened(&made, &kept).await, false, &Silent, &Cancel::default()).await.unwrap();
    assert_eq!(again.updates, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn g17_a_lock_that_is_shorter_or_weaker_is_told_where_that_is_allowed() {
    let (made, clock, _state) = three(policy()).await;
    for (mode, days, word, code) in
        [(LockMode::Compliance, 3, "ends before", "lock.short"), (LockMode::Governance, 65, "governance", "lock.mode")]
    {
        let bucket = MemoryStore::new(clock.clone()).with_default_lock(mode, Span::days(days));
        let target: Arc<dyn ObjectStore> = Arc::new(ByDefault(bucket));
        let mut request = wanted("the first");
        request.copy.as_possible = true;
        let (report, findings) = run(&made, Arc::clone(&target), &request).await.unwrap();
        let told = findings.iter().find(|f| f.code == "copy.as-possible").unwrap_or_else(|| panic!("{findings:?}"));
        assert!(told.message.contains(word) && report.less_locked > 9, "{told:?}");
        assert!(bad(&verified(&made, &target).await).contains(&code), "{code}");
    }
}

/// A store that lets nobody read packs, as a writer's role has it.
#[derive(Clone)]
struct Writers(Arc<dyn ObjectStore>);

#[async_trait]
impl ObjectStore for Writers {
    fn url(&self) -> String {
        "s3://bucket/p".to_owned()
    }
    fn traits(&self) -> Traits {
        self.0.traits()
    }
    async fn put_new(&self, key: &Key, payload: &Payload, lock: Option<Lock>) -> store::Result<Put> {
        self.0.put_new(key, payload, lock).await
    }
    async fn get(&self, key: &Key, version: Option<&Version>, range: Option<Range<u64>>) -> store::Result<Bytes> {
        if key.as_str().starts_with(layout::PACKS) {
            return Err(StoreError::new(StoreErrorKind::Denied, "get: s3:GetObject is not allowed").on(key));
        }
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
    async fn extend_lock(&self, key: &Key, version: Option<&Version>, lock: Lock) -> store::Result<Lock> {
        self.0.extend_lock(key, version, lock).await
    }
    async fn server_time(&self) -> store::Result<Time> {
        self.0.server_time().await
    }
}

#[async_trait]
impl Mender for Writers {
    async fn put_again(
        &self,
        key: &Key,
        _: &strongroom::format::copied::Copied,
        _: Option<Lock>,
    ) -> store::Result<Option<Version>> {
        panic!("{key} was put over something that nobody could read")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g17_who_may_read_no_pack_is_told_that_and_nothing_of_damage() {
    let (made, clock, _state) = three(explicit()).await;
    let target = bucket(&clock);
    let writers = Writers(Arc::clone(&made.store));
    let error = run(&made.through(Arc::new(writers.clone())), Arc::clone(&target), &wanted("the first")).await;
    let OpsError::Vault(error) = error.unwrap_err() else { panic!("not of the vault") };
    assert!(error.kind == VaultErrorKind::Denied && error.what.contains("none of the"), "{error}");
    // A repair of what can't be read, too, and it puts nothing.
    let request = strongroom::ops::repair::MendRequest { read: true, dry_run: false };
    let places = strongroom::ops::repair::Places { vault: "a".to_owned(), from: "b".to_owned() };
    let whole = Arc::clone(&made.store);
    let cancel = Cancel::default();
    let done = strongroom::ops::repair::repair(
        (Arc::new(writers.clone()), &writers),
        whole,
        (&[], places),
        request,
        (&Silent, &cancel),
    );
    let OpsError::Vault(error) = done.await.unwrap_err() else { panic!("not of the vault") };
    assert!(error.kind == VaultErrorKind::Denied && error.what.contains("none of the"), "{error}");
    // One that is refused among many is of that one.
    assert_eq!(copied(&made, &target).await.copied.len(), 3);
}

/// The same store by another name of its server.
#[tokio::test(flavor = "multi_thread")]
async fn g17_a_bucket_by_another_name_of_its_server_is_no_copy() {
    let (made, ..) = three(explicit()).await;
    let mut request = wanted("s3://bucket/p at http://127.0.0.1:9000");
    request.to = "s3://bucket/p at http://localhost:9000".to_owned();
    (request.adopt, request.copy.mark) = (true, true);
    let here: Arc<dyn ObjectStore> = Arc::new(Writers(Arc::clone(&made.store)));
    let made = made.through(Arc::clone(&here));
    let OpsError::Request { what, .. } = run(&made, here, &request).await.unwrap_err() else { panic!("not refused") };
    assert!(what.contains("the vault itself, by another name"), "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn g17_a_repair_locks_what_is_held_for_as_long() {
    let (made, clock, _state) = three(explicit()).await;
    let vault = opened(&made, &made.store).await;
    let (all, keeper) = (ids(&vault).await, Keeper::new(&made, &vault).await);
    keeper.holds(&made, vec![all[0]], clock.now(), clock.now() + Span::days(200)).await;
    let target = bucket(&clock);
    copied(&made, &target).await;
    let pack = crate::store_support::keys(&*target, layout::PACKS).await.remove(0);
    let copy = spoiled(&*target, &clock, |key, bytes| (key != pack).then_some(bytes)).await;
    let target: Arc<dyn ObjectStore> = Arc::new(copy.clone());
    let (report, findings) = mended(&copy, &made, true).await;
    assert_eq!(report.objects, 1, "{findings:?}");
    assert_eq!(bad(&verified(&made, &target).await), Vec::<&str>::new());
    assert_eq!(versions(&copy, &pack).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn g17_the_journal_of_what_is_held_is_locked_as_long_in_the_copy() {
    let clock = HandClock::new();
    let made = make(Arc::new(MemoryStore::new(clock.clone())), clock.clone(), explicit()).await;
    let (state, line) = (tempfile::tempdir().unwrap(), Line::postgres(7, 1));
    let base = Based(streams([("a", dump(1, 20_000))]), Start { line: line.clone(), from: Position(0x1000) });
    made.backup(state.path(), "orders", base).await.unwrap();
    let pieces = [piece(&made, &line, 0x1000, 0x1100).await, piece(&made, &line, 0x1100, 0x1200).await];
    let place = tempfile::tempdir().unwrap();
    let directory = LocalStore::create(place.path().join("v"), clock.clone()).unwrap();
    let targets: [Arc<dyn ObjectStore>; 2] = [bucket(&clock), Arc::new(directory)];
    copied(&made, &targets[0]).await;
    clock.pass(Span::seconds(60));
    let vault = opened(&made, &made.store).await;
    let (all, keeper) = (ids(&vault).await, Keeper::new(&made, &vault).await);
    let until = clock.now() + Span::days(200);
    keeper.holds(&made, vec![all[0]], clock.now(), until).await;
    clock.pass(Span::days(1));
    for target in targets {
        copied(&made, &target).await;
        for key in &pieces {
            let lock = target.lock_of(key, None).await.unwrap().unwrap();
            assert!(lock.until >= until, "{key}: {lock:?}");
        }
        assert_eq!(bad(&verified(&made, &target).await), Vec::<&str>::new());
    }
}
