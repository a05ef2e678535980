//! A vault in memory, and a catalog beside it.

use std::{path::Path, sync::Arc};

use strongroom::{
    catalog::Catalog,
    model::{Cancel, Silent},
    store::{ObjectStore, memory::MemoryStore},
    vault::{
        VaultError,
        rebuild::{self, Rebuild},
        writer::Workplace,
    },
};

use crate::{
    store_support::HandClock,
    vault_support::{Made, make, policy},
};

/// An empty vault.
pub async fn fresh() -> (MemoryStore, Made, tempfile::TempDir) {
    let clock = HandClock::new();
    let store = MemoryStore::new(clock.clone());
    let made = make(Arc::new(store.clone()), clock, policy()).await;
    (store, made, tempfile::tempdir().unwrap())
}

/// The writer's catalog.
pub fn catalog(made: &Made, state: &Path) -> Catalog {
    Catalog::open(state, made.id, &made.writer.name).unwrap().into_catalog()
}

/// Rebuilds the catalog in `state` through `store`.
pub async fn rebuild_through(made: &Made, state: &Path, store: Arc<dyn ObjectStore>) -> Result<Rebuild, VaultError> {
    let place = Workplace {
        store,
        writer: Arc::clone(&made.writer),
        clock: Arc::clone(&made.clock),
        progress: Arc::new(Silent),
        cancel: Cancel::default(),
    };
    let mut catalog = catalog(made, state);
    let runtime = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || rebuild::rebuild(&place, &runtime, &mut catalog)).await.unwrap()
}
