//! A catalog that is rebuilt.

use std::sync::Arc;

use strongroom::store::ObjectStore;

use crate::{
    faults::{Fault, FaultyStore, When},
    lab::{catalog, fresh, rebuild_through},
    vault_support::{noise, streams},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_is_stopped_anywhere_is_remembered_and_made_good_by_the_next() {
    let (_, made, state) = fresh().await;
    let days = |day: u64| streams([("a", noise(day, 3 << 20)), ("b", noise(9, 1 << 20))]);
    for day in 0..4 {
        made.backup(state.path(), "orders", days(day)).await.unwrap();
    }
    let counting = FaultyStore::new(Arc::clone(&made.store), When::Never, Fault::Error);
    let whole = rebuild_through(&made, state.path(), Arc::clone(&counting) as Arc<dyn ObjectStore>).await.unwrap();
    assert!(whole.packs > 0 && whole.chunks > 0 && !catalog(&made, state.path()).is_partial());
    let mut begun = 0;
    for call in 1..=counting.calls() {
        let dying = FaultyStore::new(Arc::clone(&made.store), When::From(call), Fault::Error);
        rebuild_through(&made, state.path(), dying).await.unwrap_err();
        // Before anything was read, nothing was cleared.
        let partial = catalog(&made, state.path()).is_partial();
        begun += u64::from(partial);
        assert!(partial || call < counting.calls(), "the last call reads an index");
        let again = rebuild_through(&made, state.path(), Arc::clone(&made.store)).await.unwrap();
        assert_eq!((again.packs, again.chunks), (whole.packs, whole.chunks));
        assert!(!catalog(&made, state.path()).is_partial());
    }
    assert!(begun > 0);
    let next = made.backup(state.path(), "orders", days(3)).await.unwrap();
    assert_eq!(next.bytes_new, 0);
}
