//! G6, crash-safe: whatever store call fails, in whatever way, the vault holds only whole snapshots, earlier ones
//! restore, and the next run succeeds and uses what was uploaded.

use std::sync::{Arc, LazyLock};

use strongroom::{
    store::{ObjectStore, memory::MemoryStore},
    vault::VaultErrorKind,
};

use crate::{
    faults::{Fault, FaultyStore, When},
    store_support,
    vault_support::{dump, make, noise, policy, streams},
};

fn first() -> Vec<u8> {
    dump(1, 300_000)
}

/// More than one pack of what nothing shrinks.
fn second() -> Vec<u8> {
    static NOISE: LazyLock<Vec<u8>> = LazyLock::new(|| noise(2, 20 << 20));
    NOISE.clone()
}

/// One run whose `n`-th store call fails; returns whether there was such a call.
async fn g6_fails_at(n: u64, fault: Fault) -> bool {
    let clock = store_support::HandClock::new();
    let inner: Arc<dyn ObjectStore> = Arc::new(MemoryStore::new(clock.clone()));
    let made = make(Arc::clone(&inner), clock, policy()).await;
    let state = tempfile::tempdir().unwrap();
    made.backup(state.path(), "orders", streams([("a", first())])).await.unwrap();
    let one = vec![("a".to_owned(), first())];
    let two = vec![("a".to_owned(), second())];

    let faulty = FaultyStore::new(Arc::clone(&inner), When::At(n), fault);
    let run = made.through(faulty.clone()).backup(state.path(), "orders", streams([("a", second())])).await;
    let reached = faulty.calls() >= n;
    let after = made.restore_all().await.unwrap();
    match &run {
        Ok(_) => assert_eq!(after.len(), 2, "call {n}, {fault:?}: a success without its snapshot"),
        // A header whose answer was lost may have landed; then its snapshot is whole.
        Err(error) => assert!(error.kind == VaultErrorKind::TryAgain || fault == Fault::Denied, "call {n}: {error}"),
    }
    for (snapshot, expected) in after.iter().zip([&one, &two]) {
        assert!(snapshot == expected, "call {n}, {fault:?}: a snapshot restores to something else");
    }

    let next = made.backup(state.path(), "orders", streams([("a", second())])).await.unwrap();
    assert_eq!(made.restore_all().await.unwrap().last(), Some(&two), "call {n}, {fault:?}: the next run");
    let uploaded = after.len() == 2 || !reached;
    assert!(!uploaded || next.bytes_new == 0, "call {n}, {fault:?}: stored again what was committed");
    reached
}

async fn g6_every_call(fault: Fault) {
    let mut n = 1;
    while g6_fails_at(n, fault).await {
        n += 1;
    }
    assert!(n > 15, "a run makes more than 15 calls; only {n} were failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn g6_crash_safe_when_any_call_is_refused() {
    g6_every_call(Fault::Error).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g6_crash_safe_when_any_call_times_out() {
    g6_every_call(Fault::Timeout).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g6_crash_safe_when_any_call_is_applied_but_unanswered() {
    g6_every_call(Fault::AppliedButUnanswered).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g6_crash_safe_when_any_call_is_denied() {
    g6_every_call(Fault::Denied).await;
}

/// The store dies at the `n`-th call and stays dead; the next run finds it well again.
#[tokio::test(flavor = "multi_thread")]
async fn g6_crash_safe_when_the_store_dies_and_what_was_acknowledged_is_used_again() {
    let clock = store_support::HandClock::new();
    let inner: Arc<dyn ObjectStore> = Arc::new(MemoryStore::new(clock.clone()));
    let made = make(Arc::clone(&inner), clock, policy()).await;
    let (mut n, mut reused) = (1, 0);
    loop {
        let state = tempfile::tempdir().unwrap();
        let data = noise(100 + n, 20 << 20);
        let faulty = FaultyStore::new(Arc::clone(&inner), When::From(n), Fault::Error);
        let run = made.through(faulty).backup(state.path(), "orders", streams([("a", data.clone())])).await;
        if run.is_ok() {
            break;
        }
        let next = made.backup(state.path(), "orders", streams([("a", data.clone())])).await.unwrap();
        reused += u64::from(next.bytes_new < data.len() as u64);
        n += 1;
    }
    let mut restored = made.restore_all().await.unwrap();
    // A run whose header landed and whose last look at it failed is whole and said to have failed; the next run repeats it.
    restored.dedup();
    assert_eq!(restored.len() as u64, n);
    for (i, snapshot) in restored[..restored.len() - 1].iter().enumerate() {
        assert!(snapshot[0].1 == noise(101 + i as u64, 20 << 20), "run {i}");
    }
    assert!(reused > 5, "only {reused} of {n} runs used what was uploaded before the store died");
}

/// A store that refuses the second pack while later blocks are under way: the run must end, not wait for ever.
#[tokio::test(flavor = "multi_thread")]
async fn g6_crash_safe_a_failing_put_ends_the_run_at_any_length() {
    for blocks in 0..24_usize {
        let clock = store_support::HandClock::new();
        let inner: Arc<dyn ObjectStore> = Arc::new(MemoryStore::new(clock.clone()));
        let made = make(Arc::clone(&inner), clock, policy()).await;
        let state = tempfile::tempdir().unwrap();
        let data = second()[..(17 << 20) + blocks * 100_000].to_vec();
        let faulty = FaultyStore::new(inner, When::At(5), Fault::Denied);
        let failing = made.through(faulty);
        let run = failing.backup(state.path(), "orders", streams([("a", data)]));
        let ended = tokio::time::timeout(std::time::Duration::from_mins(1), run).await;
        assert!(ended.expect("the run ends").is_err(), "{blocks}");
    }
}
