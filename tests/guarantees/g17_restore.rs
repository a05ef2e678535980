//! G17: a copy, and a vault that was repaired, restore at the cost of the first. Their versions are other ones than the
//! indexes name.

use std::sync::Arc;

use strongroom::store::{ObjectStore, counted::Counted, memory::MemoryStore};

use crate::{
    g17_elsewhere::{copied, explicit, spoiled},
    g17_repair::mended,
    store_support::{HandClock, keys},
    vault_support::{Made, make, noise, streams},
};

/// Restores all, and returns what that read.
async fn cost(made: &Made, store: Arc<dyn ObjectStore>, what: &str) -> u64 {
    let counted = Arc::new(Counted::new(store));
    let restored = made.through(counted.clone()).restore_all().await.unwrap_or_else(|e| panic!("{what}: {e}"));
    assert!(restored == made.restore_all().await.unwrap(), "{what}");
    counted.calls().bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn g17_a_copy_and_a_repaired_vault_restore_at_the_cost_of_the_first() {
    let clock = HandClock::new();
    let made = make(Arc::new(MemoryStore::new(clock.clone())), clock.clone(), explicit()).await;
    let state = tempfile::tempdir().unwrap();
    made.backup(state.path(), "orders", streams([("a", noise(1, 9_000_000))])).await.unwrap();
    let first = cost(&made, Arc::clone(&made.store), "the first").await;

    // In the copy no version is called what the index says: another object came first.
    let copy = MemoryStore::new(clock.clone());
    for _ in 0..50 {
        copy.hide("elsewhere/x");
    }
    let target: Arc<dyn ObjectStore> = Arc::new(copy.clone());
    copied(&made, &target).await;
    let there = cost(&made, target, "the copy").await;
    assert!(there < first + first / 10, "{there} bytes beside {first}");

    // All packs rotted, and were put anew as versions of their own.
    let rot = |key: &str, mut bytes: Vec<u8>| {
        if key.starts_with("packs/") {
            for byte in bytes.iter_mut().skip(300).step_by(100) {
                *byte ^= 1;
            }
        }
        Some(bytes)
    };
    let broken = spoiled(&*made.store, &clock, rot).await;
    mended(&broken, &made, true).await;
    let packs = keys(&broken, "packs/").await.len() as u64;
    let healed = cost(&made, Arc::new(broken), "the repaired vault").await;
    // What is rotten is read once to see that it is.
    assert!(healed < 4 * first, "{healed} bytes beside {first}, {packs} packs");
}
