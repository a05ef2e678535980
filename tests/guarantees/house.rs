//! A vault, everybody who works on it, and the test's own way of finding out what is locked.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use strongroom::{
    format::{certificate::Role, header::VerifiedHeader, layout, page::Page, writer_key},
    model::{Cancel, Clock, Hash, Key, LockPolicy, Silent, Span, Time},
    ops::member::NewMember,
    store::{Deleter, ObjectStore, Version, memory::MemoryStore},
    vault::{
        Vault, snapshots,
        upkeep::{
            prune::{PruneRequest, Pruned, prune},
            renew::{Renewed, renew},
        },
    },
};

use crate::{
    g11_locked::DefaultOnly,
    store_support::{HandClock, versions},
    vault_support::{Made, make, policy, streams},
};

/// A vault in a bucket, and everybody who works on it.
pub struct House {
    pub bucket: MemoryStore,
    pub clock: Arc<HandClock>,
    pub made: Made,
    /// How often it was opened.
    opened: AtomicUsize,
}

impl House {
    /// A bucket whose default locks, or whose writer does, with a vault of this policy.
    pub async fn new(policy: LockPolicy, by_default: bool) -> Self {
        let clock = HandClock::new();
        let mut bucket = MemoryStore::new(clock.clone());
        let store: Arc<dyn ObjectStore> = if by_default {
            bucket = bucket.with_default_lock(policy.mode, policy.keep + policy.window);
            Arc::new(DefaultOnly(bucket.clone()))
        } else {
            Arc::new(bucket.clone())
        };
        let made = make(store, clock.clone(), policy).await;
        Self::of(bucket, clock, made)
    }

    /// Of a vault that is there.
    pub fn of(bucket: MemoryStore, clock: Arc<HandClock>, made: Made) -> Self {
        Self { bucket, clock, made, opened: AtomicUsize::new(0) }
    }

    /// The vault as keeper and pruner see it.
    pub async fn vault(&self) -> Vault {
        let mut vault = Vault::open(Arc::new(self.bucket.clone()), Some(self.made.id)).await.unwrap();
        // In turn at once and a few objects at a time.
        vault.room = [vault.room, 3, 20][self.opened.fetch_add(1, Ordering::Relaxed) % 3];
        vault
    }

    pub async fn renew(&self) -> Renewed {
        renew(&self.vault().await, false, &Silent, &Cancel::default()).await.unwrap()
    }

    pub async fn prune(&self, grace: Span) -> Pruned {
        self.prune_by(&self.bucket, grace).await
    }

    pub async fn prune_by(&self, deleter: &dyn Deleter, grace: Span) -> Pruned {
        let vault = self.vault().await;
        prune(&vault, Some(deleter), PruneRequest { grace, clock_is_right: false }, &Silent, &Cancel::default())
            .await
            .unwrap()
    }

    pub async fn headers(&self) -> Vec<VerifiedHeader> {
        let vault = self.vault().await;
        let mut headers = Vec::new();
        for listed in snapshots::list(&vault).await.unwrap().snapshots {
            headers.push(vault.whole(&listed).await.unwrap());
        }
        headers
    }

    pub async fn backup(&self, state: &Path, data: &[u8]) -> VerifiedHeader {
        let id = self.made.backup(state, "orders", streams([("a", data.to_vec())])).await.unwrap().id;
        self.headers().await.into_iter().find(|s| s.id == id).unwrap()
    }

    /// A second writer, that an owner added.
    pub async fn second_writer(&self) -> Made {
        self.writer_of(&[]).await
    }

    /// The same, of these sources alone.
    pub async fn writer_of(&self, sources: &[&str]) -> Made {
        let sources = sources.iter().map(|source| source.parse().unwrap()).collect();
        let vault = Vault::open(Arc::clone(&self.made.store), Some(self.made.id)).await.unwrap();
        let new = NewMember::new(&vault, &self.made.owner, "w2".parse().unwrap(), Role::Writer, sources).await.unwrap();
        let writer = Arc::new(writer_key::open(new.key_file()).unwrap());
        new.store().await.unwrap();
        Made { writer, ..self.made.through(Arc::clone(&self.made.store)) }
    }

    /// The lock of the version of `key` that has these bytes; the test's own way of finding it.
    async fn lock_of(&self, key: &Key, hash: &Hash) -> Time {
        for entry in versions(&self.bucket, key.as_str()).await.into_iter().filter(|e| !e.delete_marker) {
            let bytes = self.bucket.get(key, Some(&entry.version), None).await.unwrap();
            if strongroom::codec::hash::hash(&bytes) == *hash {
                let lock = self.bucket.lock_of(key, Some(&entry.version)).await.unwrap();
                return lock.map_or(Time::from_unix(0), |lock| lock.until);
            }
        }
        panic!("{key} is gone, and a snapshot needs it")
    }

    /// Everything that a snapshot needs, and until when each of it is locked.
    pub async fn locks(&self, snapshot: &VerifiedHeader) -> BTreeMap<Key, Time> {
        let header = &snapshot.header;
        let mut needed =
            vec![(layout::header(&header.writer, header.seq, &snapshot.id), Hash::from_bytes(*snapshot.id.as_bytes()))];
        needed.extend(header.indexes.iter().map(|i| (layout::index(&header.writer, &i.hash), i.hash)));
        for page in &header.pages {
            let key = layout::page(&header.writer, &page.hash);
            let bytes = self.bucket.get(&key, page.version.as_deref().map(Version::new).as_ref(), None).await.unwrap();
            let packs = Page::decode(&bytes, header.vault, &header.writer).unwrap().packs;
            needed.extend(
                packs.iter().map(|p| (layout::pack(&header.writer, &p.id), Hash::from_bytes(*p.id.as_bytes()))),
            );
            needed.push((key, page.hash));
        }
        let mut locks = BTreeMap::new();
        for (key, hash) in needed {
            let until = self.lock_of(&key, &hash).await;
            locks.insert(key, until);
        }
        locks
    }

    /// Fails if anything that a snapshot needs is gone, or locked for less than was promised.
    pub async fn assert_promises(&self) {
        for snapshot in self.headers().await {
            for (key, until) in self.locks(&snapshot).await {
                assert!(until >= snapshot.header.floor_until, "{key} until {until}, {}", snapshot.header.floor_until);
            }
        }
    }

    /// Fails if what lives is not locked until it expires, or for a week at least, and the vault itself beyond that.
    pub async fn assert_renewed(&self) {
        let now = self.clock.now();
        let mut furthest = now;
        let mut newest = BTreeMap::new();
        for snapshot in self.headers().await {
            let header = &snapshot.header;
            newest.insert((header.writer.clone(), header.source.clone()), snapshot.clone());
            if header.expires_at > now {
                furthest = furthest.max(header.expires_at);
                let least = header.expires_at.min(now + Span::days(7));
                for (key, until) in self.locks(&snapshot).await {
                    assert!(until >= least, "{key} is locked until {until}, not {least}");
                }
            }
        }
        for snapshot in newest.values() {
            assert!(self.locks(snapshot).await.values().all(|until| *until >= now + Span::days(7)), "{}", snapshot.id);
        }
        for prefix in [layout::DESCRIPTOR, layout::KEYS, layout::MEMBERS] {
            for entry in versions(&self.bucket, prefix).await {
                let lock = self.bucket.lock_of(&entry.key.parse().unwrap(), Some(&entry.version)).await.unwrap();
                assert!(lock.is_some_and(|lock| lock.until >= furthest), "{}: {lock:?}, {furthest}", entry.key);
            }
        }
    }
}

pub fn short() -> LockPolicy {
    LockPolicy { keep: Span::days(5), window: Span::days(2), ..policy() }
}
