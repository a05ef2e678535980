//! The real locks of packs, read ahead of where they are asked for.
//!
//! A stream lies in packs that follow each other. Where many locks are unknown (the catalog was rebuilt, or they were
//! too short when last seen), a run that read each where it finds the first chunk of a pack would wait for the store
//! once per pack. So when packs are asked for in their order, those that follow are read too, further ahead the longer
//! that goes on.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use tokio::{runtime::Handle, sync::Semaphore, task::JoinHandle};

use crate::{
    catalog::{PackNo, PackRow},
    format::layout,
    model::{Key, Lock, Name},
    store::{ObjectStore, StoreError, Version},
    vault::VaultError,
};

/// How many locks are read at once.
const AT_ONCE: usize = 16;
/// A pack whose number is so much higher than the last one's is taken to follow it.
const NEAR: i64 = 4;
/// How many locks are read ahead at first.
const FEWEST: usize = 4;
/// How many series of packs are followed at once: deltas are in other packs than their bases.
const SERIES: usize = 8;

/// What the store said when it was asked for a lock.
#[derive(Debug, Clone, Copy)]
pub(super) enum Told {
    /// There is no such object.
    Gone,
    /// Its lock, if it has one.
    Lock(Option<Lock>),
}

/// Asks for the lock of an object.
pub(super) async fn lock_of(store: &dyn ObjectStore, key: &Key, version: Option<&str>) -> Result<Told, StoreError> {
    let version = version.map(Version::new);
    match store.lock_of(key, version.as_ref()).await {
        Err(error) if error.is_not_found() => Ok(Told::Gone),
        other => other.map(Told::Lock),
    }
}

/// Packs that were asked for one after the other.
struct Series {
    last: i64,
    /// How many are read ahead.
    ahead: usize,
}

/// Reads locks, each once.
pub(super) struct Locks {
    store: Arc<dyn ObjectStore>,
    runtime: Handle,
    writer: Name,
    series: VecDeque<Series>,
    /// Those that were asked for and not taken yet. Few: each is of a pack near one that was needed.
    reads: HashMap<PackNo, JoinHandle<Result<Told, StoreError>>>,
    permits: Arc<Semaphore>,
}

impl Locks {
    pub(super) fn new(store: Arc<dyn ObjectStore>, runtime: Handle, writer: Name) -> Self {
        let (series, reads) = (VecDeque::new(), HashMap::new());
        Self { store, runtime, writer, series, reads, permits: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// How many packs that follow this one are to be [begun](Self::begin), too: none if it follows none itself.
    pub(super) fn ahead(&mut self, no: PackNo) -> usize {
        let no = no.get();
        let follows = |series: &Series| (1..=NEAR).contains(&(no - series.last));
        let ahead = match self.series.iter().position(follows).and_then(|at| self.series.remove(at)) {
            Some(series) => (series.ahead * 2).clamp(FEWEST, AT_ONCE),
            None => 0,
        };
        self.series.push_back(Series { last: no, ahead });
        if self.series.len() > SERIES {
            self.series.pop_front();
        }
        ahead
    }

    /// Begins to read the lock of a pack.
    pub(super) fn begin(&mut self, row: &PackRow) {
        if self.reads.contains_key(&row.no) {
            return;
        }
        let (store, permits) = (Arc::clone(&self.store), Arc::clone(&self.permits));
        let (key, version) = (layout::pack(&self.writer, &row.id), row.version.clone());
        let read = async move {
            // Never closed.
            let _permit = permits.acquire().await;
            lock_of(&*store, &key, version.as_deref()).await
        };
        self.reads.insert(row.no, self.runtime.spawn(read));
    }

    /// Waits for the lock of a pack.
    ///
    /// # Errors
    /// If the store does not tell.
    pub(super) fn take(&mut self, row: &PackRow) -> Result<Told, VaultError> {
        self.begin(row);
        let Some(read) = self.reads.remove(&row.no) else { return Ok(Told::Gone) };
        Ok(self.runtime.block_on(read).map_err(|_| VaultError::stage_gone("reading locks"))??)
    }
}

impl Drop for Locks {
    fn drop(&mut self) {
        self.reads.values().for_each(JoinHandle::abort);
    }
}
