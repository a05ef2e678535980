//! G3, cannot hide: overwrites and delete markers are seen through.

use std::sync::Arc;

use strongroom::{
    model::{Cancel, Severity, Silent},
    store::{ObjectStore, memory::MemoryStore},
    vault::{
        Vault, VaultErrorKind,
        audit::{self, Depth, VerifyReport, VerifyRequest},
    },
};

use crate::{
    store_support,
    vault_support::{Made, dump, make, noise, policy, streams},
};

async fn two_snapshots() -> (MemoryStore, Made) {
    let clock = store_support::HandClock::new();
    let store = MemoryStore::new(clock.clone());
    let made = make(Arc::new(store.clone()), clock, policy()).await;
    let state = tempfile::tempdir().unwrap();
    made.backup(state.path(), "orders", streams([("a", dump(1, 9 << 20))])).await.unwrap();
    made.backup(state.path(), "orders", streams([("a", noise(2, 9 << 20)), ("b", dump(1, 9 << 20))])).await.unwrap();
    (store, made)
}

async fn verify(made: &Made, depth: Depth) -> VerifyReport {
    let vault = Vault::open(Arc::clone(&made.store), Some(made.id)).await.unwrap();
    let request = VerifyRequest { opener: Some(made.owner.clone()), ..VerifyRequest::new(depth) };
    audit::verify(&vault, &request, Arc::new(Silent), &Cancel::default()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn g3_every_key_overwritten_and_hidden_still_restores() {
    let (store, made) = two_snapshots().await;
    let whole = made.restore_all().await.unwrap();
    for key in store_support::keys(&store, "").await {
        store.overwrite(&key, &b"junk"[..]);
        store.overwrite(&key, vec![0; 100_000]);
        store.hide(&key);
    }
    assert!(store_support::keys(&store, "").await.is_empty());
    assert!(made.restore_all().await.unwrap() == whole);
    for depth in [Depth::Locks, Depth::Read, Depth::Decrypt] {
        let report = verify(&made, depth).await;
        assert_eq!(report.snapshots, 2);
        assert!(report.findings.iter().all(|f| f.severity <= Severity::Warning), "{:?}", report.findings);
        for code in ["object.hidden", "object.overwritten"] {
            assert!(report.findings.iter().any(|f| f.code == code), "{code} is told at {depth:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g3_a_whole_vault_raises_no_alarm() {
    let (_, made) = two_snapshots().await;
    for depth in [Depth::Locks, Depth::Read, Depth::Decrypt] {
        assert_eq!(verify(&made, depth).await.findings, []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g3_a_forged_vault_over_the_real_one_is_refused_when_pinned_and_told_when_not() {
    let (store, made) = two_snapshots().await;
    let forged_store = MemoryStore::new(Arc::clone(&made.clock));
    let forged = make(Arc::new(forged_store.clone()), Arc::clone(&made.clock), policy()).await;
    let state = tempfile::tempdir().unwrap();
    forged.backup(state.path(), "orders", streams([("a", b"forged".to_vec())])).await.unwrap();

    // In a store that keeps versions, the pinned vault is found beneath.
    let planted =
        store.overwrite("vault.json", forged_store.get(&"vault.json".parse().unwrap(), None, None).await.unwrap());
    let vault = Vault::open(Arc::clone(&made.store), Some(made.id)).await.unwrap();
    assert_eq!(vault.descriptor.vault, made.id);
    let oldest = Vault::open(Arc::clone(&made.store), None).await.unwrap();
    assert_eq!(oldest.descriptor.vault, made.id, "unpinned, the oldest version {planted} counts");
    assert!(oldest.findings.iter().any(|f| f.code == "vault.unpinned" && f.message.contains(&made.id.to_string())));

    // Where nothing of the real vault is left, the forged one is refused by its id, and told of without one.
    let error = Vault::open(Arc::clone(&forged.store), Some(made.id)).await.err().unwrap();
    assert_eq!(error.kind, VaultErrorKind::Untrusted);
    let unpinned = Vault::open(Arc::clone(&forged.store), None).await.unwrap();
    assert!(unpinned.findings.iter().any(|f| f.code == "vault.unpinned"));
}

#[tokio::test(flavor = "multi_thread")]
async fn g3_a_pinned_vault_is_found_without_its_descriptor() {
    let (store, made) = two_snapshots().await;
    let whole = made.restore_all().await.unwrap();
    let bare = MemoryStore::new(Arc::clone(&made.clock));
    for key in store_support::keys(&store, "").await.into_iter().filter(|k| k != "vault.json") {
        bare.overwrite(&key, store.get(&key.parse().unwrap(), None, None).await.unwrap());
    }
    assert!(made.through(Arc::new(bare)).restore_all().await.unwrap() == whole);
}
