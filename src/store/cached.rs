//! A store that keeps small objects for a while whose name is their hash. A copy reads a header to choose it, again for what it needs,
//! and once more to put it, and a page twice.

use std::{
    collections::{HashMap, VecDeque},
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    Enforcement, Entry, Head, ObjectStore, Payload, Put, Result, Sidecars, Traits, Version, VersionEntry, rules::clip,
};
use crate::{
    codec::hash,
    format::layout,
    model::{Key, Lock, Time},
};

/// So many bytes are kept; of more, those that were read last.
const ROOM: usize = 8 << 20;
/// What is larger is not kept.
const LARGEST: usize = 256 << 10;
/// What is read more than once.
const KINDS: [&str; 4] = [layout::SNAPSHOTS, layout::LISTS, layout::MEMBERS, layout::KEYS];

/// Keeps what was read, if it has the hash of its name. Whichever version is asked for then, it gets these bytes.
pub struct Cached {
    store: Arc<dyn ObjectStore>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    bytes: usize,
    objects: HashMap<Key, Bytes>,
    /// In the order in which they were read.
    order: VecDeque<Key>,
}

impl Cached {
    /// Nothing is kept yet.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, held: Mutex::default() }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn keep(&mut self, key: &Key, bytes: &Bytes) {
        if self.objects.insert(key.clone(), bytes.clone()).is_some() {
            return;
        }
        self.bytes += bytes.len();
        self.order.push_back(key.clone());
        while self.bytes > ROOM
            && let Some(oldest) = self.order.pop_front()
        {
            self.bytes -= self.objects.remove(&oldest).map_or(0, |bytes| bytes.len());
        }
    }
}

#[async_trait]
impl ObjectStore for Cached {
    fn url(&self) -> String {
        self.store.url()
    }

    fn traits(&self) -> Traits {
        self.store.traits()
    }

    fn at_once(&self) -> usize {
        self.store.at_once()
    }

    async fn put_new(&self, key: &Key, payload: &Payload, lock: Option<Lock>) -> Result<Put> {
        self.store.put_new(key, payload, lock).await
    }

    async fn get(&self, key: &Key, version: Option<&Version>, range: Option<Range<u64>>) -> Result<Bytes> {
        let held = self.held().objects.get(key).cloned();
        if let Some(held) = held
            && let Some(part) = clip(range.clone(), held.len() as u64)
            && let (Ok(start), Ok(end)) = (usize::try_from(part.start), usize::try_from(part.end))
        {
            return Ok(held.slice(start..end));
        }
        let bytes = self.store.get(key, version, range).await?;
        let often = KINDS.iter().any(|kind| key.as_str().starts_with(kind));
        if often && bytes.len() <= LARGEST && layout::named_hash(key.as_str()) == Some(hash::hash(&bytes)) {
            self.held().keep(key, &bytes);
        }
        Ok(bytes)
    }

    async fn head(&self, key: &Key, version: Option<&Version>) -> Result<Head> {
        self.store.head(key, version).await
    }

    async fn list(&self, prefix: &str, each: &mut (dyn FnMut(Entry) + Send)) -> Result<()> {
        self.store.list(prefix, each).await
    }

    async fn list_versions(&self, prefix: &str, each: &mut (dyn FnMut(VersionEntry) + Send)) -> Result<()> {
        self.store.list_versions(prefix, each).await
    }

    async fn list_lost(&self, each: &mut (dyn FnMut(String, Option<Lock>) + Send)) -> Result<()> {
        self.store.list_lost(each).await
    }

    async fn lock_of(&self, key: &Key, version: Option<&Version>) -> Result<Option<Lock>> {
        self.store.lock_of(key, version).await
    }

    async fn enforcement(&self) -> Result<Enforcement> {
        self.store.enforcement().await
    }

    async fn extend_lock(&self, key: &Key, version: Option<&Version>, lock: Lock) -> Result<Lock> {
        self.store.extend_lock(key, version, lock).await
    }

    async fn server_time(&self) -> Result<Time> {
        self.store.server_time().await
    }

    async fn harmful_rules(&self) -> Result<Vec<String>> {
        self.store.harmful_rules().await
    }

    fn sidecars(&self) -> Option<&dyn Sidecars> {
        self.store.sidecars()
    }

    fn without_links(&self) -> bool {
        self.store.without_links()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        codec::seal::{Sealer, generate_identity},
        model::Clock,
        store::{counted::Counted, memory::MemoryStore},
    };

    struct Noon;

    impl Clock for Noon {
        fn now(&self) -> Time {
            Time::from_unix(1_800_000_000)
        }
    }

    #[tokio::test]
    async fn what_has_the_hash_of_its_name_is_read_once() {
        let memory = Arc::new(MemoryStore::new(Arc::new(Noon)));
        let counted = Arc::new(Counted::new(Arc::clone(&memory) as Arc<dyn ObjectStore>));
        let cached = Cached::new(Arc::clone(&counted) as Arc<dyn ObjectStore>);
        let sealer = Sealer::new(vec![generate_identity().1]);
        let page = |bytes: &[u8]| layout::page(&"w1".parse().unwrap(), &hash::hash(bytes));
        let payload = Payload::Sealed(sealer.seal(b"what was signed").unwrap());
        let (good, other) = (page(payload.bytes()), page(b"something else"));
        for key in [&good, &other] {
            assert!(matches!(memory.put_new(key, &payload, None).await.unwrap(), Put::Created { .. }));
        }
        let gets = || counted.calls().get;
        for _ in 0..3 {
            assert_eq!(cached.get(&good, None, Some(0..10_000)).await.unwrap(), payload.bytes());
        }
        assert_eq!((gets(), cached.get(&good, None, Some(1..3)).await.unwrap()), (1, payload.bytes().slice(1..3)));
        // A range beyond the end is answered by the store.
        assert!(cached.get(&good, None, Some(100_000..100_001)).await.is_err());
        assert_eq!(gets(), 2);
        for _ in 0..2 {
            assert_eq!(cached.get(&other, None, None).await.unwrap(), payload.bytes());
        }
        assert_eq!(gets(), 4);
    }

    #[test]
    fn no_more_is_kept_than_there_is_room_for() {
        let mut held = Held::default();
        let large = Bytes::from(vec![0; LARGEST]);
        let key = |n: usize| format!("lists/{n}").parse::<Key>().unwrap();
        for n in 0..ROOM / LARGEST + 5 {
            held.keep(&key(n), &large);
            held.keep(&key(n), &large);
        }
        assert_eq!((held.bytes, held.objects.len(), held.order.len()), (ROOM, ROOM / LARGEST, ROOM / LARGEST));
        assert!(!held.objects.contains_key(&key(4)) && held.objects.contains_key(&key(5)));
    }
}
