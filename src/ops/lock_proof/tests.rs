use std::sync::Arc;

use async_trait::async_trait;

use super::*;
use crate::{
    codec::seal,
    model::Clock,
    store::{self, memory::MemoryStore},
};

struct Still;

impl Clock for Still {
    fn now(&self) -> Time {
        Time::from_unix(1_795_384_260)
    }
}

/// Somebody who may not delete at all.
struct Forbidden;

#[async_trait]
impl Deleter for Forbidden {
    async fn delete_version(&self, key: &Key, _version: Option<&Version>) -> store::Result<()> {
        Err(StoreError::new(StoreErrorKind::Denied, "delete: access denied").on(key))
    }
}

/// A store that accepts locks and forgets them.
struct Forgetful(MemoryStore);

#[async_trait]
impl Deleter for Forgetful {
    async fn delete_version(&self, _key: &Key, _version: Option<&Version>) -> store::Result<()> {
        Ok(())
    }
}

async fn prove(store: &MemoryStore, deleter: &dyn Deleter) -> Result<LockProof> {
    let (member, sealer) = ("owner".parse().unwrap(), Sealer::new(vec![seal::generate_identity().1]));
    let mode = LockMode::Compliance;
    Prover { store, deleter, member: &member, sealer: &sealer, mode, default: None, at: Still.now() }.prove().await
}

#[tokio::test]
async fn a_store_that_holds_locks_passes_and_keeps_its_canary() {
    let store = MemoryStore::new(Arc::new(Still));
    let proof = prove(&store, &store).await.unwrap();
    let names: Vec<_> = proof.checks.iter().map(|c| c.name).collect();
    assert_eq!(
        names,
        ["canary-locked", "taken-name-refused", "canary-delete-refused", "canary-survives", "control-deleted"]
    );
    let mut left = Vec::new();
    store.list("", &mut |entry| left.push(entry.key)).await.unwrap();
    assert_eq!(left, [proof.canary]);
}

#[tokio::test]
async fn a_store_that_forgets_locks_is_refused_by_name() {
    let store = Forgetful(MemoryStore::new(Arc::new(Still)));
    let error = prove(&store.0, &store).await.unwrap_err();
    assert!(matches!(error, OpsError::LockNotEnforced { check: "canary-delete-refused", .. }), "{error}");
}

#[tokio::test]
async fn a_refusal_by_somebody_who_may_delete_nothing_proves_nothing() {
    let store = MemoryStore::new(Arc::new(Still));
    let error = prove(&store, &Forbidden).await.unwrap_err();
    assert!(matches!(error, OpsError::LockNotEnforced { check: "control-deleted", .. }), "{error}");
}
