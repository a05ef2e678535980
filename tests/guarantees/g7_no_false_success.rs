//! G7, no false success: a source that failed makes no snapshot.

use std::sync::Arc;

use strongroom::{
    store::{ObjectStore, memory::MemoryStore},
    vault::{
        VaultErrorKind,
        input::{Facts, Incoming, Reading, SourceError},
    },
};

use crate::{
    store_support,
    vault_support::{self, make, noise, policy, streams},
};

/// A source that fails at its end, once the store has one of its packs.
struct FailsLate(vault_support::Streams, Arc<dyn ObjectStore>, tokio::runtime::Handle);

impl Reading for FailsLate {
    fn next_stream(&mut self) -> strongroom::source::Result<Option<Incoming>> {
        self.0.next_stream()
    }

    fn finish(self: Box<Self>) -> strongroom::source::Result<Facts> {
        while self.2.block_on(store_support::keys(&*self.1, "packs/")).is_empty() {
            std::thread::yield_now();
        }
        Err(SourceError::new("the producer failed", "test"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g7_a_source_that_fails_at_its_end_makes_no_snapshot() {
    let clock = store_support::HandClock::new();
    let store: Arc<dyn ObjectStore> = Arc::new(MemoryStore::new(clock.clone()));
    let made = make(Arc::clone(&store), clock, policy()).await;
    let state = tempfile::tempdir().unwrap();
    let bad = FailsLate(streams([("a", noise(2, 20 << 20))]), store, tokio::runtime::Handle::current());
    let error = made.backup(state.path(), "orders", bad).await.unwrap_err();
    assert_eq!(error.kind, VaultErrorKind::Source);
    assert!(made.restore_all().await.unwrap().is_empty());
    let next = made.backup(state.path(), "orders", streams([("a", noise(2, 20 << 20))])).await.unwrap();
    assert!(next.bytes_new < 8 << 20, "the pack that was uploaded is used again");
}

#[tokio::test(flavor = "multi_thread")]
async fn g7_an_empty_source_makes_no_snapshot() {
    let clock = store_support::HandClock::new();
    let made = make(Arc::new(MemoryStore::new(clock.clone())), clock, policy()).await;
    let state = tempfile::tempdir().unwrap();
    let error = made.backup(state.path(), "orders", streams([("a", Vec::new())])).await.unwrap_err();
    assert_eq!(error.kind, VaultErrorKind::Source);
    assert!(made.restore_all().await.unwrap().is_empty());
}
