//! G9, cold restore: the vault and an identity are enough; and what is damaged is told, never restored wrong.

use std::sync::Arc;

use strongroom::{
    model::{Cancel, Severity, Silent},
    store::{ObjectStore, memory::MemoryStore},
    vault::{
        Vault, VaultErrorKind,
        audit::{self, Depth, VerifyRequest},
        reader::Snapshot,
        snapshots,
    },
};

use crate::{
    store_support,
    vault_support::{Made, Shared, dump, make, policy, streams},
};

async fn one_snapshot() -> (MemoryStore, Made, Vec<u8>) {
    let clock = store_support::HandClock::new();
    let store = MemoryStore::new(clock.clone());
    let made = make(Arc::new(store.clone()), clock, policy()).await;
    let state = tempfile::tempdir().unwrap();
    let data = dump(1, 9 << 20);
    made.backup(state.path(), "orders", streams([("a", data.clone())])).await.unwrap();
    (store, made, data)
}

/// The same vault with one object changed, in a store that keeps no other version of it.
async fn changed(store: &MemoryStore, made: &Made, key: &str, change: impl FnOnce(&mut Vec<u8>)) -> Made {
    let copy = MemoryStore::new(Arc::clone(&made.clock));
    let mut change = Some(change);
    for other in store_support::keys(store, "").await {
        let mut bytes = store.get(&other.parse().unwrap(), None, None).await.unwrap().to_vec();
        if let Some(change) = change.take_if(|_| other == key) {
            change(&mut bytes);
        }
        if !bytes.is_empty() {
            copy.overwrite(&other, bytes);
        }
    }
    made.through(Arc::new(copy))
}

#[tokio::test(flavor = "multi_thread")]
async fn g9_indexes_and_catalog_are_not_needed() {
    let (store, made, data) = one_snapshot().await;
    let index = store_support::keys(&store, "indexes/").await.remove(0);
    let without = changed(&store, &made, &index, Vec::clear).await;
    assert!(without.restore_all().await.unwrap()[0][0].1 == data);
    let broken = changed(&store, &made, &index, |bytes| bytes[300] ^= 1).await;
    assert!(broken.restore_all().await.unwrap()[0][0].1 == data);
}

#[tokio::test(flavor = "multi_thread")]
async fn g9_a_damaged_pack_is_told_and_never_gives_wrong_bytes() {
    let (store, made, data) = one_snapshot().await;
    let pack = store_support::keys(&store, "packs/").await.remove(0);
    let len = usize::try_from(store.head(&pack.parse().unwrap(), None).await.unwrap().bytes).unwrap();
    for at in [0, 100, 250, len / 3, len / 2, len - 40, len - 1] {
        let broken = changed(&store, &made, &pack, |bytes| bytes[at] ^= 1).await;
        let vault = Vault::open(Arc::clone(&broken.store), Some(broken.id)).await.unwrap();
        let listed = snapshots::list(&vault).await.unwrap().snapshots.remove(0);
        let header = vault.whole(&listed).await.unwrap();
        let sink = Shared::default();
        let restored = match Snapshot::open(&vault, header, &broken.owner).await {
            Ok(snapshot) => {
                let stream = &snapshot.body.streams[0];
                let out = Box::new(sink.clone());
                snapshot.restore_stream(stream, out, Arc::new(Silent), Cancel::default()).await.map(drop)
            }
            Err(error) => Err(error),
        };
        let written = std::mem::take(&mut *sink.0.lock().unwrap());
        assert!(data.starts_with(&written), "byte {at}: what was written is a true beginning");
        match restored {
            Ok(()) => assert_eq!(written.len(), data.len(), "byte {at}: whole, or not a success"),
            Err(error) => assert_eq!(error.kind, VaultErrorKind::Damaged, "byte {at}: {error}"),
        }
        let request = VerifyRequest::new(Depth::Read);
        let report = audit::verify(&vault, &request, Arc::new(Silent), &Cancel::default()).await.unwrap();
        let told = report.findings.iter().find(|f| f.code == "pack.damaged").unwrap();
        assert_eq!((told.severity, told.object.as_deref()), (Severity::Error, Some(pack.as_str())), "byte {at}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g9_a_missing_or_short_object_is_told_at_the_shallowest_depth() {
    let (store, made, _) = one_snapshot().await;
    for (prefix, kind) in [("packs/", "pack"), ("indexes/", "index"), ("lists/", "page")] {
        let key = store_support::keys(&store, prefix).await.remove(0);
        for (change, code) in [(0, "missing"), (1, "size")] {
            let broken = changed(&store, &made, &key, |bytes| bytes.truncate(change * 20)).await;
            let vault = Vault::open(Arc::clone(&broken.store), Some(broken.id)).await.unwrap();
            let request = VerifyRequest::new(Depth::Locks);
            let report = audit::verify(&vault, &request, Arc::new(Silent), &Cancel::default()).await.unwrap();
            let wanted = [format!("{kind}.{code}"), format!("{kind}.damaged")];
            let found = report.findings.iter().any(|f| f.severity == Severity::Error && wanted.contains(&f.code));
            assert!(found, "{kind} {code}: {:?}", report.findings);
        }
    }
}
