//! G11, locked as long as promised: over histories of backups, renewals and prunes, and against those who meddle.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use async_trait::async_trait;
use proptest::{prelude::*, test_runner::Config};
use strongroom::{
    format::{header::VerifiedHeader, layout},
    model::{Cancel, Clock, Finding, Key, Name, Silent, Span, Tiers, Time},
    store::{Deleter, ObjectStore, Result, StoreError, StoreErrorKind, Version},
    vault::{
        Vault,
        upkeep::{
            prune::{PruneRequest, prune},
            renew::renew,
        },
    },
};

use crate::{
    faults::{Fault, FaultyStore, When},
    house::{House, short},
    store_support::{HandClock, keys, versions},
    vault_support::{Made, dump, policy, streams},
};

/// The clock of a host that is off by so many seconds.
struct HostClock {
    store: Arc<HandClock>,
    off: AtomicI64,
}

impl Clock for HostClock {
    fn now(&self) -> Time {
        Time::from_unix(self.store.now().unix() + self.off.load(Ordering::SeqCst))
    }
}

/// Something that happens to a vault.
#[derive(Debug, Clone)]
enum Event {
    /// A writer backs a source up after a change of so many bytes.
    Backup {
        second: bool,
        source: u8,
        change: usize,
    },
    Pass {
        hours: u64,
    },
    /// The store's clock is set back, by less than a host may be off.
    Back {
        seconds: u64,
    },
    /// The writers' host is off by so many seconds from here on.
    Skew {
        seconds: i64,
    },
    Renew,
    Prune {
        grace: u64,
    },
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        5 => (any::<bool>(), 0..2_u8, 0..60_000_usize)
            .prop_map(|(second, source, change)| Event::Backup { second, source, change }),
        3 => (1..100_u64).prop_map(|hours| Event::Pass { hours }),
        1 => (500..3000_u64).prop_map(|hours| Event::Pass { hours }),
        2 => (1..300_u64).prop_map(|seconds| Event::Back { seconds }),
        2 => (-600..600_i64).prop_map(|seconds| Event::Skew { seconds }),
        2 => Just(Event::Renew),
        2 => (0..5_u64).prop_map(|grace| Event::Prune { grace }),
    ];
    prop::collection::vec(event, 12..28)
}

/// After a clock was set back by more than clocks may be apart, snapshots are of a time that is not yet, and that is told.
fn of_the_clock(finding: &Finding) -> bool {
    finding.code == "header.future"
}

async fn live(events: Vec<Event>, by_default: bool) {
    let mut house = House::new(short(), by_default).await;
    let host = Arc::new(HostClock { store: Arc::clone(&house.clock), off: AtomicI64::new(0) });
    house.made.clock = host.clone();
    house.made.tiers = Tiers { weekly: Some(Span::days(20)), monthly: Some(Span::days(70)), yearly: None };
    house.made.full_every = Some(Span::days(40));
    let second = Made { tiers: Tiers::default(), ..house.second_writer().await };
    let state = tempfile::tempdir().unwrap();
    let mut sources: BTreeMap<(bool, u8), Vec<u8>> = BTreeMap::new();
    for (at, event) in events.into_iter().enumerate() {
        match event {
            Event::Backup { second: other, source, change } => {
                let data = sources.entry((other, source)).or_insert_with(|| dump(u64::from(source), 300_000));
                data.extend_from_slice(&dump(100 + at as u64, change));
                let (made, dir) = if other { (&second, "2") } else { (&house.made, "1") };
                let name = ["orders", "code"][usize::from(source)];
                let before = versions(&house.bucket, "").await.len();
                let run = made.backup(&state.path().join(dir), name, streams([("a", data.clone())])).await;
                let refused = host.off.load(Ordering::SeqCst).abs() > 300;
                assert_eq!(run.is_err(), refused, "{:?}", run.err());
                assert!(!refused || versions(&house.bucket, "").await.len() == before, "it stored nothing");
            }
            Event::Back { seconds } => house.clock.step_back(Span::seconds(seconds)),
            Event::Skew { seconds } => host.off.store(seconds, Ordering::SeqCst),
            Event::Pass { hours } => house.clock.pass(Span::seconds(hours * 3600)),
            Event::Renew => {
                let first = house.renew().await;
                assert!(first.findings.iter().all(of_the_clock), "{:?}", first.findings);
                house.assert_renewed().await;
                assert_eq!(house.renew().await.updates, 0, "twice is once");
            }
            Event::Prune { grace } => {
                let before = house.headers().await;
                let done = house.prune(Span::days(grace)).await;
                assert!(
                    done.findings.iter().all(of_the_clock) && done.blocked.is_empty() && done.refused == 0,
                    "{done:?}"
                );
                let now = house.clock.now();
                let left: Vec<_> = house.headers().await.iter().map(|s| s.id).collect();
                for gone in before.iter().filter(|s| !left.contains(&s.id)) {
                    assert!(gone.header.expires_at <= now, "{} was promised", gone.id);
                    let same = |s: &&VerifiedHeader| {
                        (&s.header.writer, &s.header.source) == (&gone.header.writer, &gone.header.source)
                    };
                    assert!(before.iter().filter(same).filter(|s| left.contains(&s.id)).count() >= 3);
                }
                assert_eq!(house.prune(Span::days(grace)).await.deleted, BTreeMap::new(), "twice is once");
            }
        }
        house.assert_promises().await;
    }
    // What is left can be read, whoever wrote it.
    let through = house.made.through(Arc::new(house.bucket.clone()));
    assert_eq!(through.restore_all().await.unwrap().len(), house.headers().await.len());
}

proptest! {
    #![proptest_config(Config { cases: 12, failure_persistence: None, max_shrink_iters: 40, ..Config::default() })]
    #[test]
    fn g11_over_any_history_what_lives_is_whole_and_locked(events in events(), by_default: bool) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(live(events, by_default));
    }
}

/// What forty days cost, of a source of 1 MiB that grows by 12 500 bytes a day.
#[derive(Debug, Default)]
struct Figures {
    first: u64,
    stored: u64,
    peak: u64,
    left: u64,
    calls: [u64; 3],
    updates: u64,
}

async fn forty_days(by_default: bool, keeper: bool) -> Figures {
    let house = House::new(short(), by_default).await;
    let counted = |inner: Arc<dyn ObjectStore>| FaultyStore::new(inner, When::Never, Fault::Error);
    let writer = counted(Arc::clone(&house.made.store));
    let made = house.made.through(writer.clone());
    let (kept, pruned) = (counted(Arc::new(house.bucket.clone())), counted(Arc::new(house.bucket.clone())));
    let state = tempfile::tempdir().unwrap();
    let mut data = dump(1, 1 << 20);
    let mut figures = Figures::default();
    for day in 0..40 {
        data.extend_from_slice(&dump(100 + day, 12_500));
        let run = made.backup(state.path(), "orders", streams([("a", data.clone())])).await.unwrap();
        figures.stored += run.bytes_stored;
        figures.first = figures.first.max(if day == 0 { run.bytes_stored } else { 0 });
        house.assert_promises().await;
        if keeper {
            let vault = Vault::open(kept.clone(), Some(house.made.id)).await.unwrap();
            let done = renew(&vault, false, &Silent, &Cancel::default()).await.unwrap();
            assert!(done.findings.is_empty(), "{:?}", done.findings);
            figures.updates += done.updates;
            house.assert_renewed().await;
        }
        let vault = Vault::open(pruned.clone(), Some(house.made.id)).await.unwrap();
        let request = PruneRequest { grace: Span::ZERO, clock_is_right: false };
        let done = prune(&vault, Some(&house.bucket), request, &Silent, &Cancel::default()).await.unwrap();
        assert!(done.findings.is_empty() && done.refused == 0, "{done:?}");
        figures.left = versions(&house.bucket, "").await.iter().map(|entry| entry.bytes).sum();
        figures.peak = figures.peak.max(figures.left);
        house.assert_promises().await;
        house.clock.pass(Span::days(1));
    }
    figures.calls = [writer.calls(), kept.calls(), pruned.calls()];
    let restored = house.made.through(Arc::new(house.bucket.clone())).restore_all().await.unwrap();
    assert_eq!(restored.last().unwrap()[0].1, data);
    figures
}

#[tokio::test(flavor = "multi_thread")]
async fn g11_forty_days_renewed_and_pruned_cost_what_is_said() {
    for (by_default, keeper) in [(true, false), (true, true), (false, false), (false, true)] {
        let figures = forty_days(by_default, keeper).await;
        let Figures { first, stored, peak, left, calls: [writer, kept, pruned], updates } = figures;
        let mode = if by_default { "bucket default 7 d" } else { "explicit" };
        let with = if keeper { "renewed and pruned daily" } else { "pruned daily" };
        let tenths = 10 * stored / first;
        println!(
            "{mode}, keep 5 d, {with}: first {first} B, stored in 40 days {stored} B ({}.{} x), at most {peak} B, left \
             {left} B; calls: writer {writer}, keeper {kept} ({updates} of them extend), pruner {pruned}",
            tenths / 10,
            tenths % 10
        );
        // What is appended in forty days is about half of the first day's.
        let copies = stored / first;
        match (by_default, keeper) {
            (true, false) => assert!((12..24).contains(&copies), "{copies}: stored anew every second day or so"),
            (true, true) => assert!(copies <= 6, "{copies}: the writer profits from the keeper"),
            (false, _) => assert!(copies <= 3, "{copies}: locks are extended"),
        }
        assert!(peak < 8 * first, "{peak} for {first}: what nothing needs goes");
    }
}

/// Somebody who may not delete.
struct Refusing;

#[async_trait]
impl Deleter for Refusing {
    async fn delete_version(&self, key: &Key, _: Option<&Version>) -> Result<()> {
        Err(StoreError::new(StoreErrorKind::Denied, "delete: not allowed").on(key))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g11_the_true_version_is_renewed_and_never_the_newest() {
    let house = House::new(short(), true).await;
    let state = tempfile::tempdir().unwrap();
    let snapshot = house.backup(state.path(), &dump(1, 1 << 20)).await;
    for (key, _) in house.locks(&snapshot).await {
        let bytes = house.bucket.get(&key, None, None).await.unwrap();
        // As long as the true one, so that only the bytes tell them apart.
        house.bucket.overwrite(key.as_str(), vec![7; bytes.len()]);
        house.bucket.hide(key.as_str());
    }
    house.clock.pass(Span::days(1));
    let done = house.renew().await;
    assert!(done.updates > 0);
    let week = house.clock.now() + Span::days(7);
    for (key, until) in house.locks(&snapshot).await {
        assert!(until >= week, "{key} {until}");
        let all = versions(&house.bucket, key.as_str()).await;
        let lock = house.bucket.lock_of(&key, Some(&all[1].version)).await.unwrap().unwrap();
        assert!(lock.until < week, "the attacker's version of {key} is not paid for");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g11_nothing_is_extended_for_headers_that_lie() {
    let house = House::new(short(), true).await;
    let state = tempfile::tempdir().unwrap();
    let honest = house.backup(state.path(), &dump(1, 400_000)).await;
    let forge = async |seq: u64, change: &dyn Fn(&mut strongroom::format::header::Header)| {
        let mut header = honest.header.clone();
        header.seq = seq;
        (header.started_at, header.claimed_at) = (house.clock.now(), house.clock.now());
        header.floor_until = header.started_at + Span::days(5);
        header.expires_at = header.floor_until;
        header.prev = vec![honest.id];
        change(&mut header);
        let (id, public) = header.seal(&house.made.writer.signing_key).unwrap();
        house.bucket.overwrite(layout::header(&header.writer, seq, &id).as_str(), public.bytes().clone());
        id
    };
    house.clock.pass(Span::days(1));
    let century = house.clock.now() + Span::days(36_500);
    let future = forge(2, &|h| {
        (h.started_at, h.claimed_at) = (century, century);
        (h.floor_until, h.expires_at) = (century, century);
    })
    .await;
    let chain = forge(1, &|h| h.expires_at = century).await;
    let greedy = forge(3, &|h| h.expires_at = century).await;
    let done = house.renew().await;
    let told = |code: &str| -> Vec<String> {
        done.findings.iter().filter(|f| f.code == code).filter_map(|f| f.snapshot.clone()).collect()
    };
    let mut refused = told("header.refused");
    refused.sort();
    let mut expected = vec![future.to_string(), chain.to_string()];
    expected.sort();
    assert_eq!((refused, done.refused), (expected, 2));
    assert_eq!(told("header.greedy"), [greedy.to_string()]);
    // The root allows 400 days, and not one more, whatever is claimed.
    let most = house.clock.now() + policy().max_lock;
    for entry in versions(&house.bucket, "").await {
        let lock = house.bucket.lock_of(&entry.key.parse().unwrap(), Some(&entry.version)).await.unwrap();
        assert!(lock.is_none_or(|lock| lock.until <= most), "{} {lock:?}", entry.key);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g11_the_newest_three_of_each_source_stay_for_ever() {
    let house = House::new(short(), true).await;
    let state = tempfile::tempdir().unwrap();
    for day in 0..6 {
        house.backup(state.path(), &dump(day, 400_000)).await;
        house.clock.pass(Span::days(1));
    }
    house.clock.pass(Span::days(1000));
    let all = versions(&house.bucket, "").await.len();
    let vault = house.vault().await;
    let dry =
        prune(&vault, None, PruneRequest { grace: Span::days(7), clock_is_right: false }, &Silent, &Cancel::default())
            .await
            .unwrap();
    assert_eq!(versions(&house.bucket, "").await.len(), all, "without --yes nothing goes");
    let refused = house.prune_by(&Refusing, Span::days(7)).await;
    assert!(refused.refused > 0 && refused.deleted.is_empty(), "{refused:?}");
    assert!(refused.findings.iter().any(|f| f.code == "prune.refused"), "a refusal is never hidden");
    let done = house.prune(Span::days(7)).await;
    assert_eq!(done.deleted, dry.deleted, "what was said is what is done");
    assert_eq!(done.deleted["snapshots"].versions, 3);
    assert_eq!(house.headers().await.len(), 3);
    assert_eq!(house.made.through(Arc::new(house.bucket.clone())).restore_all().await.unwrap().len(), 3);
    for key in ["vault.json", "keys/"] {
        assert!(!keys(&house.bucket, key).await.is_empty(), "{key}");
    }
    assert_eq!(house.prune(Span::days(7)).await.deleted, BTreeMap::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn g11_a_header_that_nobody_can_read_stops_every_prune() {
    let house = House::new(short(), true).await;
    let state = tempfile::tempdir().unwrap();
    for day in 0..5 {
        house.backup(state.path(), &dump(day, 400_000)).await;
    }
    house.clock.pass(Span::days(100));
    let all = versions(&house.bucket, "").await.len();
    let newer = r#"{"payload":"eyJmb3JtYXQiOiI5OSJ9","payloadType":"application/vnd.strongroom.snapshot+json","signatures":[]}"#;
    let hash = strongroom::codec::hash::hash(newer.as_bytes());
    for (key, bytes) in [
        (format!("snapshots/w1/{:010}-{hash}.json", 99), newer),
        (format!("snapshots/w1/{:010}-{}.json", 99, "ab".repeat(32)), "cut short"),
    ] {
        let version = house.bucket.overwrite(&key, bytes);
        let done = house.prune(Span::ZERO).await;
        assert!(done.deleted.is_empty() && matches!(&done.blocked[..], [why] if why.contains(&key)), "{done:?}");
        assert_eq!(versions(&house.bucket, "").await.len(), all + 1);
        house.clock.pass(Span::days(8));
        house.bucket.delete_version(&key.parse().unwrap(), Some(&version)).await.unwrap();
    }
    assert!(!house.prune(Span::ZERO).await.deleted.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn g11_a_false_header_can_only_keep_more() {
    let house = House::new(short(), true).await;
    let state = tempfile::tempdir().unwrap();
    let mut all = Vec::new();
    for day in 0..6 {
        all.push(house.backup(state.path(), &dump(day, 400_000)).await);
        house.clock.pass(Span::seconds(60));
    }
    // Another header that needs what the first did, and is to be kept for ever.
    house.clock.pass(Span::days(1));
    let mut header = all[0].header.clone();
    (header.seq, header.started_at, header.claimed_at) = (7, house.clock.now(), house.clock.now());
    header.floor_until = Time::MAX;
    header.expires_at = Time::MAX;
    header.source = "other".parse::<Name>().unwrap();
    let (id, public) = header.seal(&house.made.writer.signing_key).unwrap();
    house.bucket.overwrite(layout::header(&header.writer, 7, &id).as_str(), public.bytes().clone());
    house.clock.pass(Span::days(1000));
    let done = house.prune(Span::ZERO).await;
    let left: Vec<_> = house.headers().await.iter().map(|s| s.id).collect();
    assert_eq!(left, [all[3].id, all[4].id, all[5].id, id], "{done:?}");
    assert_eq!(house.made.through(Arc::new(house.bucket.clone())).restore_all().await.unwrap().len(), 4);
}
