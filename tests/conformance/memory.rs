//! The memory model under the suite, and what only it does.

use std::sync::Arc;

use async_trait::async_trait;
use strongroom::{
    model::{Clock, Lock, LockMode, Span},
    store::{Deleter, ObjectStore, StoreErrorKind as Kind, Version, memory::MemoryStore},
};

use crate::{
    suite::{Bucket, Subject},
    support::{HandClock, key, sealed},
};

suite!(contract, crate::memory::fresh);

pub struct Memory {
    store: MemoryStore,
    clock: Arc<HandClock>,
}

#[allow(clippy::unused_async, reason = "a real server takes a while to be ready")]
pub async fn fresh() -> Memory {
    let clock = HandClock::new();
    Memory { store: MemoryStore::new(clock.clone()), clock }
}

#[async_trait]
impl Subject for Memory {
    fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::new(self.store.clone())
    }

    fn deleter(&self) -> Arc<dyn Deleter> {
        Arc::new(self.store.clone())
    }

    async fn pass(&self, span: Span) {
        self.clock.pass(span);
    }

    async fn plant(&self, key: &str, bytes: &[u8]) {
        self.store.overwrite(key, bytes.to_vec());
    }

    fn bucket(&self) -> Option<&dyn Bucket> {
        Some(self)
    }
}

#[async_trait]
impl Bucket for Memory {
    async fn overwrite(&self, key: &str, bytes: &[u8]) -> Version {
        self.store.overwrite(key, bytes.to_vec())
    }

    async fn hide(&self, key: &str) -> Version {
        self.store.hide(key)
    }
}

#[tokio::test]
async fn the_default_lock_holds_unless_another_is_asked_for() {
    let clock = HandClock::new();
    let store = MemoryStore::new(clock.clone()).with_default_lock(LockMode::Compliance, Span::days(65));
    let default = Lock { mode: LockMode::Compliance, until: clock.now() + Span::days(65) };
    let asked = Lock { mode: LockMode::Governance, until: clock.now() + Span::days(1) };
    store.put_new(&key("a"), &sealed(b"a"), None).await.unwrap();
    store.put_new(&key("b"), &sealed(b"b"), Some(asked)).await.unwrap();
    let top = store.overwrite("b", &b"c"[..]);
    assert_eq!(store.lock_of(&key("a"), None).await.unwrap(), Some(default));
    assert_eq!(store.lock_of(&key("b"), Some(&top)).await.unwrap(), Some(default));
    let marker = store.hide("a");
    store.delete_version(&key("a"), Some(&marker)).await.unwrap();
    assert_eq!(store.delete_version(&key("a"), None).await.unwrap_err().kind, Kind::Locked);
}

#[tokio::test]
async fn a_lock_ends_at_its_instant_and_not_a_second_before() {
    let clock = HandClock::new();
    let store = MemoryStore::new(clock.clone());
    let lock = Lock { mode: LockMode::Compliance, until: clock.now() + Span::seconds(3) };
    store.put_new(&key("a"), &sealed(b"a"), Some(lock)).await.unwrap();
    clock.pass(Span::seconds(2));
    assert_eq!(store.delete_version(&key("a"), None).await.unwrap_err().kind, Kind::Locked);
    clock.pass(Span::seconds(1));
    store.delete_version(&key("a"), None).await.unwrap();
    assert!(store.delete_version(&key("a"), None).await.unwrap_err().is_not_found());
}
