//! Locks of packs that are not known are read ahead, so that a store far away does not make a run wait for each.

use std::{
    collections::VecDeque,
    ops::Range,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use strongroom::{
    model::{Cancel, Key, Lock, Silent, Time},
    store::{Entry, Head, ObjectStore, Payload, Put, Result, Traits, Version, VersionEntry, counted::Counted},
    vault::{
        Vault,
        audit::{self, Depth, VerifyRequest},
    },
};
use tokio::sync::oneshot;

use crate::{
    lab::{catalog, fresh, rebuild_through},
    vault_support::{Made, many, noise, streams},
};

/// A store that answers no question for a lock, or for a page, until so many wait for an answer, once for each of its
/// gates.
struct Patient {
    inner: Arc<dyn ObjectStore>,
    at_once: usize,
    pages: bool,
    state: Mutex<State>,
}

struct State {
    gates: VecDeque<usize>,
    waiting: Vec<oneshot::Sender<()>>,
}

fn release(state: &mut State) {
    for waiting in state.waiting.drain(..) {
        let _ = waiting.send(());
    }
}

impl Patient {
    fn new(inner: Arc<dyn ObjectStore>, gates: &[usize]) -> Arc<Self> {
        Self::far(inner, gates, (16, false))
    }

    /// One that says how many calls are to be under way at once, and whose gates may be for pages.
    fn far(inner: Arc<dyn ObjectStore>, gates: &[usize], (at_once, pages): (usize, bool)) -> Arc<Self> {
        let state = State { gates: gates.iter().copied().collect(), waiting: Vec::new() };
        Arc::new(Self { inner, at_once, pages, state: Mutex::new(state) })
    }

    /// Opens all gates; returns how many were closed.
    fn open(&self) -> usize {
        let mut state = self.state.lock().unwrap();
        let closed = state.gates.len();
        state.gates.clear();
        release(&mut state);
        closed
    }

    fn arrive(&self) -> Option<oneshot::Receiver<()>> {
        let mut state = self.state.lock().unwrap();
        let gate = state.gates.front().copied()?;
        if state.waiting.len() + 1 >= gate {
            state.gates.pop_front();
            release(&mut state);
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        state.waiting.push(sender);
        Some(receiver)
    }
}

#[async_trait]
impl ObjectStore for Patient {
    fn url(&self) -> String {
        self.inner.url()
    }

    fn traits(&self) -> Traits {
        self.inner.traits()
    }

    fn at_once(&self) -> usize {
        self.at_once
    }

    async fn put_new(&self, key: &Key, payload: &Payload, lock: Option<Lock>) -> Result<Put> {
        self.inner.put_new(key, payload, lock).await
    }

    async fn get(&self, key: &Key, version: Option<&Version>, range: Option<Range<u64>>) -> Result<Bytes> {
        if self.pages
            && key.as_str().starts_with("lists/")
            && let Some(gate) = self.arrive()
        {
            gate.await.unwrap();
        }
        self.inner.get(key, version, range).await
    }

    async fn head(&self, key: &Key, version: Option<&Version>) -> Result<Head> {
        self.inner.head(key, version).await
    }

    async fn list(&self, prefix: &str, each: &mut (dyn FnMut(Entry) + Send)) -> Result<()> {
        self.inner.list(prefix, each).await
    }

    async fn list_versions(&self, prefix: &str, each: &mut (dyn FnMut(VersionEntry) + Send)) -> Result<()> {
        self.inner.list_versions(prefix, each).await
    }

    async fn lock_of(&self, key: &Key, version: Option<&Version>) -> Result<Option<Lock>> {
        if !self.pages
            && let Some(gate) = self.arrive()
        {
            gate.await.unwrap();
        }
        self.inner.lock_of(key, version).await
    }

    async fn extend_lock(&self, key: &Key, version: Option<&Version>, lock: Lock) -> Result<Lock> {
        self.inner.extend_lock(key, version, lock).await
    }

    async fn server_time(&self) -> Result<Time> {
        self.inner.server_time().await
    }
}

const PACKS: u64 = 24;

fn part(no: u64) -> Vec<u8> {
    noise(no, 200_000)
}

/// A vault whose packs hold a part each, and a catalog that was rebuilt and knows no locks.
async fn rebuilt() -> (Made, tempfile::TempDir) {
    let (_, made, state) = fresh().await;
    for no in 0..PACKS {
        made.backup(state.path(), "days", streams([("part", part(no))])).await.unwrap();
    }
    rebuild_through(&made, state.path(), Arc::clone(&made.store)).await.unwrap();
    assert_eq!(catalog(&made, state.path()).counts().unwrap().1, PACKS);
    (made, state)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_far_away_is_asked_for_more_locks_at_once() {
    let (_, made, state) = fresh().await;
    for no in 0..PACKS {
        made.backup(state.path(), "days", streams([("part", part(no))])).await.unwrap();
    }
    // Those of the new pack, index and page one by one; then everything that the snapshot needs.
    let patient = Patient::far(Arc::clone(&made.store), &[1, 1, 1, 24], (40, false));
    let through = made.through(Arc::new(Counted::new(Arc::clone(&patient) as Arc<dyn ObjectStore>)));
    all_gates_open(&patient, &through, state.path()).await;
}

/// Backs all parts up, which are known, and sees that every gate was opened by those who waited.
async fn all_gates_open(patient: &Patient, through: &Made, state: &Path) {
    let run = many((0..PACKS).map(|no| (format!("part-{no:02}"), part(no))));
    let backup = through.backup(state, "all", run);
    tokio::pin!(backup);
    let Ok(made) = tokio::time::timeout(Duration::from_mins(2), &mut backup).await else {
        let closed = patient.open();
        backup.await.unwrap();
        panic!("{closed} gates stayed closed: too few locks are read at once");
    };
    assert_eq!((made.unwrap().bytes_new, patient.open()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_of_snapshots_are_read_ahead() {
    let (_, made, state) = fresh().await;
    for no in 0..PACKS {
        made.backup(state.path(), "days", streams([("part", part(no))])).await.unwrap();
    }
    let patient = Patient::far(Arc::clone(&made.store), &[24], (40, true));
    let far = made.through(Arc::new(Counted::new(Arc::clone(&patient) as Arc<dyn ObjectStore>)));
    let vault = Vault::open(Arc::clone(&far.store), Some(far.id)).await.unwrap();
    let request = VerifyRequest::new(Depth::Locks);
    let cancel = Cancel::default();
    let verify = audit::verify(&vault, &request, Arc::new(Silent), &cancel);
    tokio::pin!(verify);
    let Ok(report) = tokio::time::timeout(Duration::from_mins(2), &mut verify).await else {
        patient.open();
        verify.await.unwrap();
        panic!("pages are read one after the other");
    };
    assert_eq!((report.unwrap().snapshots, patient.open()), (PACKS, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_locks_of_packs_that_follow_each_other_are_read_together() {
    let (made, state) = rebuilt().await;
    // The first pack alone; the second with four that follow; while their answers are used, all up to the twentieth.
    let patient = Patient::new(Arc::clone(&made.store), &[1, 5, 14]);
    let through = made.through(Arc::clone(&patient) as Arc<dyn ObjectStore>);
    all_gates_open(&patient, &through, state.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_needs_one_pack_reads_the_locks_of_no_others() {
    let (made, state) = rebuilt().await;
    let counted = Arc::new(Counted::new(Arc::clone(&made.store)));
    let through = made.through(Arc::clone(&counted) as Arc<dyn ObjectStore>);
    let run = through.backup(state.path(), "one", streams([("part", part(7))])).await.unwrap();
    assert_eq!(run.bytes_new, 0);
    // The time; the lock of that pack; of the new pack, the page, the header and each index as it is put; and once more
    // that of all but the header.
    let indexes = run.header.indexes.len() as u64;
    let most = 1 + 1 + 1 + 1 + 1 + indexes + (2 + 1 + indexes);
    assert!(counted.calls().head <= most, "{:?}, {most} at most", counted.calls());
}
