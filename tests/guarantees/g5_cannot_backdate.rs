//! G5, cannot backdate: time is the store's.

use std::sync::Arc;

use strongroom::{
    codec::hash,
    format::{copied::CopyRecord, header::Header, layout},
    model::{Cancel, Clock, Silent, SnapshotId, SourceKind, Span, Time, VaultId},
    ops::{
        backup::{BackupRequest, Job, backup},
        member,
        snapshots::{Wanted, choose},
    },
    source::{Reading, Source},
    store::{Deleter, ObjectStore, Payload, local::LocalStore, memory::MemoryStore},
    vault::{
        Vault,
        audit::{Depth, VerifyRequest, verify},
        snapshots,
        upkeep::{
            prune::{PruneRequest, prune},
            renew::renew,
        },
        writer::Workplace,
    },
};

use crate::{
    store_support::{HandClock, keys, versions},
    vault_support::{Made, make, policy, streams},
};

/// The clock of a host that is off.
struct Off(Arc<HandClock>, i64);

impl Clock for Off {
    fn now(&self) -> Time {
        Time::from_unix(self.0.now().unix() + self.1)
    }
}

async fn host_off_by(seconds: i64) -> (Made, Time) {
    let clock = HandClock::new();
    let made = make(Arc::new(MemoryStore::new(clock.clone())), clock.clone(), policy()).await;
    let now = clock.now();
    (Made { clock: Arc::new(Off(clock, seconds)), ..made }, now)
}

#[tokio::test(flavor = "multi_thread")]
async fn g5_a_host_whose_clock_is_off_is_refused() {
    for seconds in [-600, -301, 301, 600] {
        let (made, _) = host_off_by(seconds).await;
        let state = tempfile::tempdir().unwrap();
        let error = made.backup(state.path(), "orders", streams([("a", vec![1; 9])])).await.unwrap_err();
        assert!(error.to_string().contains("clock"), "{error}");
        assert!(made.restore_all().await.unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g5_a_snapshot_carries_the_stores_time() {
    for seconds in [-299, 0, 299] {
        let (made, now) = host_off_by(seconds).await;
        let state = tempfile::tempdir().unwrap();
        let header = made.backup(state.path(), "orders", streams([("a", vec![1; 9])])).await.unwrap().header;
        assert_eq!((header.started_at, header.floor_until), (now, now + Span::days(35)));
    }
}

/// A header like `old`, signed by its writer, with another start and another time of its making.
async fn forge(made: &Made, old: &Header, started: Time, claimed: Time) -> SnapshotId {
    let keep = old.floor_until.since(old.started_at);
    let header = Header {
        seq: old.seq + 1,
        prev: Vec::new(),
        started_at: started,
        claimed_at: claimed,
        floor_until: started + keep,
        expires_at: started + keep,
        ..old.clone()
    };
    let (id, public) = header.seal(&made.writer.signing_key).unwrap();
    let key = layout::header(&made.writer.name, header.seq, &id);
    made.store.put_new(&key, &Payload::Public(public), None).await.unwrap();
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn g5_a_header_is_as_old_as_the_store_says() {
    let clock = HandClock::new();
    let memory = MemoryStore::new(clock.clone());
    let made = make(Arc::new(memory.clone()), clock.clone(), policy()).await;
    let state = tempfile::tempdir().unwrap();
    let first = made.backup(state.path(), "orders", streams([("a", vec![1; 9])])).await.unwrap();
    clock.pass(Span::days(1));
    let second = made.backup(state.path(), "orders", streams([("a", vec![2; 9])])).await.unwrap();
    clock.pass(Span::days(1));
    // Whoever has the writer's key says what it likes: that it is a week old, and that it is of next week.
    let now = clock.now();
    let week = Span::days(7);
    let back = Time::from_unix(now.unix() - i64::try_from(week.as_seconds()).unwrap());
    let backdated = forge(&made, &first.header, back, back).await;
    clock.pass(Span::seconds(60));
    let postdated = forge(&made, &first.header, now + week, now + week).await;
    clock.pass(Span::days(1));
    let third = made.backup(state.path(), "orders", streams([("a", vec![3; 9])])).await.unwrap();
    // An old header put once more is no newer for it.
    let key = layout::header(&made.writer.name, first.header.seq, &first.id);
    let bytes = made.store.get(&key, None, None).await.unwrap();
    memory.overwrite(key.as_str(), bytes);

    let vault = Vault::open(made.store.clone(), Some(made.id)).await.unwrap();
    let listing = snapshots::list(&vault).await.unwrap();
    let order: Vec<SnapshotId> = listing.snapshots.iter().map(|s| s.id).collect();
    assert_eq!(order, [first.id, second.id, backdated, postdated, third.id]);
    for (code, id) in [("header.backdated", backdated), ("header.postdated", postdated)] {
        let told: Vec<_> = listing.findings.iter().filter(|f| f.code == code).collect();
        assert!(matches!(told[..], [one] if one.snapshot == Some(id.to_string())), "{code}: {told:?}");
    }
    // Neither is taken for what was there at a time at which it was not.
    let at = |at| Wanted::Latest { source: "orders".parse().unwrap(), writer: None, at };
    let chosen = |wanted| choose(listing.snapshots.clone(), &wanted).unwrap().snapshot.id;
    assert_eq!(chosen(at(None)), third.id);
    assert_eq!(chosen(at(Some(second.header.started_at))), second.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn g5_junk_among_the_records_of_copies_makes_no_header_a_copied_one() {
    let clock = HandClock::new();
    let memory = MemoryStore::new(clock.clone());
    let made = make(Arc::new(memory.clone()), clock.clone(), policy()).await;
    let state = tempfile::tempdir().unwrap();
    let first = made.backup(state.path(), "orders", streams([("a", vec![1; 9])])).await.unwrap();
    clock.pass(Span::days(9));
    let now = clock.now();
    let back = Time::from_unix(now.unix() - 7 * 86_400);
    let backdated = forge(&made, &first.header, back, back).await;
    let codes = async || {
        let vault = Vault::open(made.store.clone(), Some(made.id)).await.unwrap();
        let found = snapshots::list(&vault).await.unwrap().findings;
        found.into_iter().filter(|f| f.code != "chain.gap").map(|f| (f.code, f.snapshot)).collect::<Vec<_>>()
    };
    let told = [("header.backdated".to_owned(), Some(backdated.to_string()))];
    // Of that time: bytes that are no record, under a false hash and under their own, and a record of another vault.
    let around = (Time::from_unix(now.unix() - 60), now + Span::seconds(7200));
    memory.overwrite(layout::copy(around.0, around.1, false, &hash::hash(b"true")).as_str(), &b"junk"[..]);
    memory.overwrite(layout::copy(around.0, around.1, true, &hash::hash(b"junk")).as_str(), &b"junk"[..]);
    let record = |vault| CopyRecord::new(vault, "the first".to_owned(), around, false).encode().unwrap();
    let (key, other) = record(VaultId::from_bytes([7; 32]));
    made.store.put_new(&key, &Payload::Public(other), None).await.unwrap();
    assert_eq!(codes().await, told);
    // A true one does.
    let (key, own) = record(made.id);
    made.store.put_new(&key, &Payload::Public(own), None).await.unwrap();
    assert_eq!(codes().await, [("vault.copied".to_owned(), None)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn g5_a_copied_vault_is_told_once_and_ordered_by_its_claims() {
    let clock = HandClock::new();
    let made = make(Arc::new(MemoryStore::new(clock.clone())), clock.clone(), policy()).await;
    let state = tempfile::tempdir().unwrap();
    let mut ids = Vec::new();
    for day in 1..4 {
        ids.push(made.backup(state.path(), "orders", streams([("a", vec![day; 9])])).await.unwrap().id);
        clock.pass(Span::days(1));
    }
    // The copy is made backwards, so that its own times are of no use.
    let copy = MemoryStore::new(clock.clone());
    for key in keys(&*made.store, "").await.into_iter().rev() {
        let bytes = made.store.get(&key.parse().unwrap(), None, None).await.unwrap();
        copy.overwrite(&key, bytes);
        clock.pass(Span::seconds(1));
    }
    let vault = Vault::open(Arc::new(copy), Some(made.id)).await.unwrap();
    let listing = snapshots::list(&vault).await.unwrap();
    assert_eq!(listing.snapshots.iter().map(|s| s.id).collect::<Vec<_>>(), ids);
    let codes: Vec<&str> = listing.findings.iter().map(|f| f.code.as_str()).collect();
    assert_eq!(codes, ["vault.copied"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn g5_a_vault_in_which_nothing_honest_is_left_passes_for_no_copy() {
    let clock = HandClock::new();
    let memory = MemoryStore::new(clock.clone());
    let made = make(Arc::new(memory.clone()), clock.clone(), policy()).await;
    let state = tempfile::tempdir().unwrap();
    let honest = made.backup(state.path(), "orders", streams([("a", vec![1; 9])])).await.unwrap();
    // It expired, and a prune took it.
    clock.pass(Span::days(500));
    let key = layout::header(&made.writer.name, honest.header.seq, &honest.id);
    for entry in versions(&memory, key.as_str()).await {
        memory.delete_version(&key, Some(&entry.version)).await.unwrap();
    }
    let vault = Vault::open(made.store.clone(), Some(made.id)).await.unwrap();
    member::revoke(&vault, &made.owner, &made.writer.name, clock.now()).await.unwrap();
    clock.pass(Span::days(1));
    // Of before the revocation, it says; and there is nothing beside it that shows what the store's times are worth.
    let began = honest.header.started_at;
    let forged = forge(&made, &honest.header, began, began).await;
    let listing = snapshots::list(&vault).await.unwrap();
    let codes: Vec<&str> = listing.findings.iter().map(|f| f.code.as_str()).collect();
    assert!(codes.contains(&"header.backdated") && !codes.contains(&"vault.copied"), "{codes:?}");
    assert!(matches!(&listing.snapshots[..], [one] if one.id == forged && one.standing.suspect));
}

#[tokio::test(flavor = "multi_thread")]
async fn g5_the_newest_of_one_second_is_the_last_of_its_chain_though_numbers_are_used_up() {
    let clock = HandClock::new();
    let made = make(Arc::new(MemoryStore::new(clock.clone())), clock.clone(), policy()).await;
    let state = tempfile::tempdir().unwrap();
    let first = made.backup(state.path(), "orders", streams([("a", vec![0; 9])])).await.unwrap();
    // Whoever has the writer's key can leave no number after its own.
    let last = Header { seq: u64::MAX, prev: vec![first.id], ..first.header.clone() };
    let (id, public) = last.seal(&made.writer.signing_key).unwrap();
    let key = layout::header(&made.writer.name, u64::MAX, &id);
    made.store.put_new(&key, &Payload::Public(public), None).await.unwrap();
    let mut expected = vec![first.id, id];
    // So many that no order of their ids would do by chance.
    for run in 1..9 {
        let made = made.backup(state.path(), "orders", streams([("a", vec![run; 9])])).await.unwrap();
        assert_eq!((made.header.seq, &made.header.prev[..]), (u64::MAX, &expected[expected.len() - 1..]), "{run}");
        expected.push(made.id);
    }
    let vault = Vault::open(made.store.clone(), Some(made.id)).await.unwrap();
    let listing = snapshots::list(&vault).await.unwrap();
    assert!(listing.snapshots.iter().all(|s| s.standing.since == Some(clock.now())));
    assert_eq!(listing.snapshots.iter().map(|s| s.id).collect::<Vec<_>>(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn g5_no_header_is_older_than_its_writer_even_where_the_store_is_no_witness() {
    let clock = HandClock::new();
    let (bucket, folder) = (MemoryStore::new(clock.clone()), tempfile::tempdir().unwrap());
    let local = LocalStore::create(folder.path().join("vault"), clock.clone()).unwrap();
    for (store, witness) in [(Arc::new(bucket) as Arc<dyn ObjectStore>, true), (Arc::new(local), false)] {
        let made = make(store, clock.clone(), policy()).await;
        let state = tempfile::tempdir().unwrap();
        let honest = made.backup(state.path(), "orders", streams([("a", vec![1; 9])])).await.unwrap();
        let before = |span: Span| Time::from_unix(clock.now().unix() - i64::try_from(span.as_seconds()).unwrap());
        // Clocks may be off by a little, and a header can't be older than the key that signed it.
        let off = forge(&made, &honest.header, before(Span::seconds(290)), clock.now()).await;
        let early = forge(&made, &honest.header, before(Span::days(300)), before(Span::days(300))).await;
        let vault = Vault::open(made.store.clone(), Some(made.id)).await.unwrap();
        let listing = snapshots::list(&vault).await.unwrap();
        let told: Vec<_> = listing.findings.iter().filter(|f| f.code == "header.early").collect();
        assert!(matches!(told[..], [one] if one.snapshot == Some(early.to_string())), "{:?}", listing.findings);
        assert_eq!(listing.findings.iter().any(|f| f.code == "header.backdated"), witness);
        let renewed = renew(&vault, true, &Silent, &Cancel::default()).await.unwrap();
        let refused: Vec<_> = renewed.findings.iter().filter(|f| f.code == "header.refused").collect();
        assert!(matches!(refused[..], [one] if one.snapshot == Some(early.to_string())), "{:?}", renewed.findings);
        assert!(listing.snapshots.iter().any(|s| s.id == off), "{off}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g5_a_snapshot_of_a_time_that_is_not_yet_is_neither_latest_nor_fresh() {
    let clock = HandClock::new();
    let (bucket, folder) = (MemoryStore::new(clock.clone()), tempfile::tempdir().unwrap());
    let local = LocalStore::create(folder.path().join("vault"), clock.clone()).unwrap();
    for store in [Arc::new(bucket) as Arc<dyn ObjectStore>, Arc::new(local)] {
        let made = make(store, clock.clone(), policy()).await;
        let state = tempfile::tempdir().unwrap();
        let honest = made.backup(state.path(), "orders", streams([("a", vec![1; 9])])).await.unwrap();
        let (near, far) = (clock.now() + Span::seconds(290), clock.now() + Span::days(3650));
        let off = forge(&made, &honest.header, near, near).await;
        clock.pass(Span::seconds(1));
        let future = forge(&made, &honest.header, far, far).await;
        let vault = Vault::open(made.store.clone(), Some(made.id)).await.unwrap();
        let latest = || async {
            let listing = snapshots::list(&vault).await.unwrap();
            let told: Vec<_> = listing.findings.iter().filter(|f| f.code == "header.future").cloned().collect();
            let wanted = Wanted::Latest { source: "orders".parse().unwrap(), writer: None, at: None };
            (choose(listing.snapshots, &wanted).unwrap().snapshot.id, told)
        };
        let (id, told) = latest().await;
        assert_eq!(id, off, "clocks may be off by a little");
        assert!(matches!(&told[..], [one] if one.snapshot == Some(future.to_string())), "{told:?}");
        // Nothing was backed up since, and no header makes it look otherwise.
        clock.pass(Span::days(2));
        let schedule = || [("orders".parse().unwrap(), Span::days(1))].into();
        let request = VerifyRequest { schedule: schedule(), ..VerifyRequest::new(Depth::Locks) };
        let report = verify(&vault, &request, Arc::new(Silent), &Cancel::default()).await.unwrap();
        assert!(report.findings.iter().any(|f| f.code == "source.stale"), "{:?}", report.findings);
        assert!(report.sources.iter().all(|source| source.stale), "{:?}", report.sources);
        // Once its time has come, it is a snapshot as any other.
        clock.pass(Span::days(3650));
        assert_eq!(latest().await, (future, Vec::new()));
    }
}

const YEAR: i64 = 365 * 86_400;

/// A source in memory.
struct Given;

impl Source for Given {
    fn kind(&self) -> SourceKind {
        SourceKind::Stdin
    }

    fn open(&mut self) -> strongroom::source::Result<Box<dyn Reading>> {
        Ok(Box::new(streams([("a", vec![1; 9])])))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g5_the_clock_of_a_directory_is_held_against_its_past() {
    let clock = HandClock::new();
    let (folder, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let local = |clock| LocalStore::create(folder.path().join("vault"), clock).unwrap();
    let made = make(Arc::new(local(clock.clone())), clock.clone(), policy()).await;
    let run = |seconds: i64, clock_is_right: bool, state: &std::path::Path| {
        let off: Arc<dyn Clock> = Arc::new(Off(clock.clone(), seconds));
        let place = Workplace {
            store: Arc::new(local(Arc::clone(&off))),
            writer: Arc::clone(&made.writer),
            clock: off,
            progress: Arc::new(Silent),
            cancel: Cancel::default(),
        };
        let request = BackupRequest {
            expected: Vec::new(),
            jobs: vec![Job {
                name: "orders".parse().unwrap(),
                source: Box::new(Given),
                allow_empty: false,
                group: None,
                timeout: None,
            }],
            keep: None,
            tiers: made.tiers,
            full_every: None,
            state: state.to_owned(),
            adapts: false,
            delta_cache: None,
            pins: Vec::new(),
            clock_is_right,
            acknowledge: false,
            no_rebuild: false,
            requested: None,
            elapsed: Box::new(|| std::time::Duration::ZERO),
        };
        let runtime = tokio::runtime::Handle::current();
        async { tokio::task::spawn_blocking(move || backup(&place, &runtime, request)).await.unwrap() }
    };
    let refused = async |seconds, state: &std::path::Path| {
        let error = run(seconds, false, state).await.unwrap_err();
        assert!(error.to_string().contains("--clock-is-right"), "{seconds}: {error}");
    };
    // Before there is any snapshot the vault's own making is its past; later, its last snapshot is.
    for seconds in [-6 * YEAR, -301, 10 * YEAR] {
        refused(seconds, state.path()).await;
    }
    run(-299, false, state.path()).await.unwrap();
    clock.pass(Span::days(80));
    run(0, false, state.path()).await.unwrap();
    let other = tempfile::tempdir().unwrap();
    for seconds in [-86_400, 10 * YEAR] {
        refused(seconds, state.path()).await;
        refused(seconds, other.path()).await;
    }
    assert_eq!(made.restore_all().await.unwrap().len(), 2, "nothing was written");
    // By a clock that is years ahead every lock has ended.
    for (seconds, clock_is_right, blocked) in [(0, false, false), (10 * YEAR, false, true), (10 * YEAR, true, false)] {
        let off = local(Arc::new(Off(clock.clone(), seconds)) as Arc<dyn Clock>);
        let vault = Vault::open(Arc::new(off), Some(made.id)).await.unwrap();
        let request = PruneRequest { grace: Span::ZERO, clock_is_right };
        let done = prune(&vault, None, request, &Silent, &Cancel::default()).await.unwrap();
        assert_eq!(done.blocked.iter().any(|why| why.contains("--clock-is-right")), blocked, "{:?}", done.blocked);
    }
    // Somebody insists, and was wrong: afterwards somebody has to say so once, and not again.
    run(10 * YEAR, true, state.path()).await.unwrap();
    clock.pass(Span::days(1));
    refused(0, state.path()).await;
    run(0, true, state.path()).await.unwrap();
    clock.pass(Span::days(1));
    let last = run(0, false, state.path()).await.unwrap().snapshots.remove(0);
    let vault = Vault::open(made.store.clone(), Some(made.id)).await.unwrap();
    let wanted = Wanted::Latest { source: "orders".parse().unwrap(), writer: None, at: None };
    let listing = snapshots::list(&vault).await.unwrap();
    assert_eq!(choose(listing.snapshots, &wanted).unwrap().snapshot.id, last.id);
}
