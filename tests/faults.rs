//! The fault injector keeps its word: what it says was not done was not done, and the other way round.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/faults.rs"]
mod faults;
#[allow(dead_code)]
#[path = "support/store.rs"]
mod support;

use std::sync::Arc;

use faults::{Fault, FaultyStore, When};
use strongroom::store::{Deleter, ObjectStore, Put, StoreErrorKind, memory::MemoryStore};
use support::{HandClock, key, keys, sealed};

fn inner() -> Arc<MemoryStore> {
    Arc::new(MemoryStore::new(HandClock::new()))
}

#[tokio::test]
async fn each_fault_does_what_it_says_and_only_at_its_call() {
    let cases = [
        (Fault::Error, StoreErrorKind::Unreachable, false),
        (Fault::Timeout, StoreErrorKind::Unreachable, false),
        (Fault::AppliedButUnanswered, StoreErrorKind::Unreachable, true),
        (Fault::Denied, StoreErrorKind::Denied, false),
    ];
    for (fault, kind, applied) in cases {
        let inner = inner();
        let faulty = FaultyStore::new(inner.clone(), When::At(2), fault);
        assert!(matches!(faulty.put_new(&key("a"), &sealed(b"a"), None).await, Ok(Put::Created { .. })));
        let error = faulty.put_new(&key("b"), &sealed(b"b"), None).await.unwrap_err();
        assert_eq!(error.kind, kind, "{fault:?}");
        assert_eq!(error.object.as_deref(), Some("b"));
        assert_eq!(inner.head(&key("b"), None).await.is_ok(), applied, "{fault:?}");
        assert!(matches!(faulty.put_new(&key("c"), &sealed(b"c"), None).await, Ok(Put::Created { .. })));
        assert_eq!(faulty.calls(), 3);
    }
}

#[tokio::test]
async fn a_dead_store_stays_dead_for_readers_writers_and_the_deleter() {
    let inner = inner();
    let faulty = FaultyStore::with_deleter(inner.clone(), inner.clone(), When::From(2), Fault::Error);
    faulty.put_new(&key("a"), &sealed(b"a"), None).await.unwrap();
    assert!(faulty.get(&key("a"), None, None).await.is_err());
    assert!(faulty.list("", &mut |_| {}).await.is_err());
    assert!(faulty.server_time().await.is_err());
    assert!(faulty.delete_version(&key("a"), None).await.is_err());
    assert_eq!(faulty.calls(), 5);
    assert_eq!(keys(&*inner, "").await, ["a"]);
}

#[tokio::test]
async fn a_slow_store_takes_what_it_is_given() {
    let inner = inner();
    let slow = FaultyStore::slow(inner.clone(), When::At(2), Fault::Error, 1 << 20);
    slow.put_new(&key("a"), &sealed(b"a"), None).await.unwrap();
    assert!(slow.put_new(&key("b"), &sealed(b"b"), None).await.is_err());
    assert_eq!(keys(&*inner, "").await, ["a"]);
}

#[tokio::test]
async fn without_a_fault_calls_are_only_counted() {
    let faulty = FaultyStore::new(inner(), When::Never, Fault::Error);
    for name in ["a", "b"] {
        faulty.put_new(&key(name), &sealed(b"x"), None).await.unwrap();
    }
    assert_eq!(keys(&*faulty, "").await, ["a", "b"]);
    assert_eq!(faulty.calls(), 3);
}
