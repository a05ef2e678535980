//! Chunks that resemble earlier ones are stored as deltas: what that saves, what it must not cost, and that nothing
//! depends on the cache that it needs.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking, and share support that each uses a part of"
)]

#[path = "support/store.rs"]
mod store_support;
#[path = "support/vault.rs"]
mod vault_support;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use store_support::HandClock;
use strongroom::{
    catalog::{Bases, Catalog},
    model::{Cancel, Severity, Silent, Span},
    store::memory::MemoryStore,
    vault::{
        Vault,
        audit::{self, Depth, VerifyRequest},
        rebuild,
        writer::{self, Committed, Workplace},
    },
};
use vault_support::{Made, make, noise, policy, streams};

const ROWS: u64 = 40_000;

async fn fresh() -> (Arc<HandClock>, Made, tempfile::TempDir) {
    let clock = HandClock::new();
    let store = MemoryStore::new(clock.clone());
    let made = make(Arc::new(store), clock.clone(), policy()).await;
    (clock, made, tempfile::tempdir().unwrap())
}

/// A table of a dump on a day: each row changes on the days that its key decides, one of fifty a day.
fn table(day: u64) -> Vec<u8> {
    let mix = |n: u64| {
        let n = (n ^ (n >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (n ^ (n >> 29)).wrapping_mul(0x94d0_49bb_1331_11eb)
    };
    let row = |i: u64| {
        let changes = (1..=day).filter(|d| mix(i * 1000 + d) % 50 == 0).count();
        let (a, b) = (mix(i), mix(i + 7_000_000));
        format!("{i}\t{}\t{changes}\tcustomer {:x} of {:x}\t{}\n", a % 9_973, a >> 20, b, b % 1000)
    };
    (0..ROWS).map(row).collect::<String>().into_bytes()
}

async fn day(made: &Made, state: &Path, day: u64) -> Committed {
    made.backup(state, "orders", streams([("orders.sql", table(day))])).await.unwrap()
}

/// Every snapshot restores to its day, and opens and checks without a finding.
async fn assert_whole(made: &Made, days: &[u64]) {
    let restored = made.restore_all().await.unwrap();
    assert_eq!(restored.len(), days.len());
    for (streams, day) in restored.iter().zip(days) {
        assert!(streams[0].1 == table(*day), "day {day}");
    }
    let vault = Vault::open(Arc::clone(&made.store), Some(made.id)).await.unwrap();
    for depth in [Depth::Locks, Depth::Decrypt] {
        let request = VerifyRequest { opener: Some(made.owner.clone()), ..VerifyRequest::new(depth) };
        let report = audit::verify(&vault, &request, Arc::new(Silent), &Cancel::default()).await.unwrap();
        let bad: Vec<_> = report.findings.iter().filter(|f| f.severity >= Severity::Weak).collect();
        assert!(bad.is_empty(), "{bad:?}");
    }
}

fn cached(state: &Path) -> Vec<PathBuf> {
    let dirs = fs::read_dir(state).unwrap().map(|entry| entry.unwrap().path());
    let dir = dirs.into_iter().find(|path| path.extension().is_some_and(|e| e == "bases")).unwrap();
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn scattered_changes_are_stored_as_deltas_of_one_base() {
    let (_, made, state) = fresh().await;
    let first = day(&made, state.path(), 0).await;
    assert_eq!(first.chunks_delta, 0);
    let second = day(&made, state.path(), 1).await;
    assert!(second.chunks_new * 10 > first.chunks_new * 9, "every chunk is new");
    assert!(second.chunks_delta * 10 > second.chunks_new * 9, "{} of {}", second.chunks_delta, second.chunks_new);
    assert!(second.bytes_stored * 8 < first.bytes_stored, "{} of {}", second.bytes_stored, first.bytes_stored);
    let third = day(&made, state.path(), 2).await;
    assert!(third.chunks_delta * 10 > third.chunks_new * 9, "a base of deltas serves again");
    let again = day(&made, state.path(), 2).await;
    assert_eq!((again.chunks_new, again.chunks_delta), (0, 0), "deltas are known like whole chunks");
    assert_whole(&made, &[0, 1, 2, 2]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deltas_that_have_grown_give_way_to_new_bases() {
    let (_, made, state) = fresh().await;
    let whole = day(&made, state.path(), 0).await.bytes_stored;
    let mut worst = 0;
    let days: Vec<u64> = (0..=40).step_by(8).collect();
    for n in &days[1..] {
        worst = worst.max(day(&made, state.path(), *n).await.bytes_stored);
    }
    assert!(worst > whole / 4, "after some days, chunks are stored whole: {worst} of {whole}");
    let next = day(&made, state.path(), 41).await;
    assert!(next.bytes_stored * 2 < whole, "and serve as bases: {} of {whole}", next.bytes_stored);
    let days: Vec<u64> = days.into_iter().chain([41]).collect();
    assert_whole(&made, &days).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_or_damaged_cache_costs_space_and_nothing_else() {
    let (_, made, state) = fresh().await;
    let whole = day(&made, state.path(), 0).await.bytes_stored;
    for path in cached(state.path()) {
        let mut bytes = fs::read(&path).unwrap();
        for at in (0..bytes.len()).step_by(1 << 20) {
            bytes[at] ^= 0xff;
        }
        fs::write(&path, bytes).unwrap();
    }
    let damaged = day(&made, state.path(), 1).await;
    assert_eq!(damaged.chunks_delta, 0);
    assert!(damaged.bytes_stored * 2 > whole);
    let mended = day(&made, state.path(), 2).await;
    assert!(mended.bytes_stored * 4 < whole, "day 1 is the base: {} of {whole}", mended.bytes_stored);
    for path in cached(state.path()) {
        fs::remove_file(path).unwrap();
    }
    let lost = day(&made, state.path(), 3).await;
    assert_eq!(lost.chunks_delta, 0);
    assert_whole(&made, &[0, 1, 2, 3]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_cache_holds_is_sealed() {
    let (_, made, state) = fresh().await;
    day(&made, state.path(), 0).await;
    let files = cached(state.path());
    assert!(!files.is_empty());
    for path in files {
        let bytes = fs::read(path).unwrap();
        assert!(!bytes.windows(4).any(|w| w == [0x28, 0xb5, 0x2f, 0xfd]), "a frame of zstd in the clear");
        assert!(!bytes.windows(8).any(|w| w == b"customer"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cache_keeps_to_its_limit() {
    let (_, mut made, state) = fresh().await;
    made.delta_cache = 0;
    day(&made, state.path(), 0).await;
    assert_eq!(cached(state.path()).len(), 0);
    assert_eq!(day(&made, state.path(), 1).await.chunks_delta, 0);
    made.delta_cache = 1 << 30;
    day(&made, state.path(), 2).await;
    let size = |paths: Vec<PathBuf>| paths.iter().map(|path| fs::metadata(path).unwrap().len()).sum::<u64>();
    let full = size(cached(state.path()));
    assert!(full > 0);
    made.delta_cache = full / 2;
    day(&made, state.path(), 2).await;
    assert!(size(cached(state.path())) <= full / 2);
    assert_whole(&made, &[0, 1, 2, 2]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_whose_lock_is_too_short_is_none() {
    let (clock, made, state) = fresh().await;
    let whole = day(&made, state.path(), 0).await.bytes_stored;
    // The default lock is 65 days, of which a snapshot needs 35.
    clock.pass(Span::days(20));
    assert!(day(&made, state.path(), 1).await.bytes_stored * 4 < whole);
    clock.pass(Span::days(5));
    assert_whole(&made, &[0, 1]).await;
    clock.pass(Span::days(200));
    day(&made, state.path(), 2).await;
    let vault = Vault::open(Arc::clone(&made.store), Some(made.id)).await.unwrap();
    let request = VerifyRequest::new(Depth::Locks);
    let report = audit::verify(&vault, &request, Arc::new(Silent), &Cancel::default()).await.unwrap();
    // Nobody renewed the vault's own documents in all that time; what the snapshots need is what this is about.
    let of_snapshots: Vec<_> = report.findings.iter().filter(|f| f.code != "lock.owed").collect();
    assert!(of_snapshots.iter().all(|f| f.severity < Severity::Weak), "{of_snapshots:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn deltas_survive_a_rebuilt_catalog() {
    let (_, made, state) = fresh().await;
    day(&made, state.path(), 0).await;
    day(&made, state.path(), 1).await;
    let (path, place) = (state.path().to_owned(), place(&made));
    let (id, name, runtime) = (made.id, made.writer.name.clone(), tokio::runtime::Handle::current());
    let rebuilt = tokio::task::spawn_blocking(move || {
        let mut catalog = Catalog::open(&path, id, &name).unwrap().into_catalog();
        let rebuilt = rebuild::rebuild(&place, &runtime, &mut catalog).unwrap();
        let bases = Arc::new(Bases::open(&path, id, &name, 1 << 30).unwrap());
        let again = writer::refill_features(&place.writer, &bases, &mut catalog).unwrap();
        (rebuilt, again)
    });
    let (rebuilt, bases) = rebuilt.await.unwrap();
    assert!(rebuilt.findings.is_empty() && rebuilt.chunks > 0 && bases > 0, "{bases} bases");
    let again = day(&made, state.path(), 1).await;
    assert_eq!(again.chunks_new, 0, "deltas and their bases are known again");
    let next = day(&made, state.path(), 2).await;
    assert!(next.chunks_delta * 10 > next.chunks_new * 9, "{} of {}", next.chunks_delta, next.chunks_new);
    assert_whole(&made, &[0, 1, 1, 2]).await;
}

fn place(made: &Made) -> Workplace {
    Workplace {
        store: Arc::clone(&made.store),
        writer: Arc::clone(&made.writer),
        clock: Arc::clone(&made.clock),
        progress: Arc::new(Silent),
        cancel: Cancel::default(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_shrink_is_never_a_base() {
    let (_, made, state) = fresh().await;
    let data = noise(1, 40 << 20);
    made.backup(state.path(), "media", streams([("a", data.clone())])).await.unwrap();
    assert_eq!(cached(state.path()).len(), 0);
    let mut changed = data;
    changed.iter_mut().step_by(1 << 16).for_each(|byte| *byte ^= 1);
    let second = made.backup(state.path(), "media", streams([("a", changed)])).await.unwrap();
    assert_eq!(second.chunks_delta, 0);
}
