//! The writer: a source goes in, a snapshot comes out, or nothing.
//!
//! ```text
//! intake ──► workers: hash ──► dedup ──► workers: compress ──► packer ──► workers: seal ──► upload
//!  (thread)                   (catalog's thread)              (thread)                     (tasks)
//!                                 ▲───────────────────────────────────── acknowledged ◄──────┘
//! ```
//! Then, on the catalog's thread: indexes, pages, the locks of all that the snapshot needs read back, and the header.

mod bases;
mod blocks;
mod buffers;
mod commit;
mod dedup;
mod index;
mod intake;
mod known;
mod lists;
mod locks;
mod lost;
mod memory;
mod packer;
mod pages;
mod pressure;
pub mod records;
mod retention;
mod shared;
mod similar;
mod sketching;
mod stages;
mod tokens;
pub(crate) mod upload;
mod workers;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
    thread,
};

use crossbeam_channel::{Sender, bounded, unbounded};
use tokio::{runtime::Handle, sync::mpsc};

use super::{
    VaultError, VaultErrorKind,
    haste::Haste,
    heads::Heads,
    input::{Before, Reading},
};
use crate::{
    catalog::{Bases, Catalog},
    codec::Chunker,
    format::{
        header::{Flag, Header},
        layout::{self, ObjectName},
        writer_key::Writer,
    },
    model::{
        Cancel, Clock, Finding, Fingerprint, LockBy, Name, PackId, Progress, SnapshotId, SourceKind, Span, Tiers, Time,
    },
    store::{Entry, ObjectStore},
};
use bases::BaseCache;
use blocks::{BlockMaker, BlockNumbers};
use buffers::Pool;
use dedup::{Dedup, Outcome, Ports};
use intake::{Finished, Intake, Opener};
use lost::Lost;
use pressure::Pressure;
pub use records::Recorded;
use retention::Retention;
use shared::Shared;
use similar::Similar;
pub use similar::refill_features;
use sketching::Sketching;
use tokens::Tokens;
use upload::{Locking, Target};
pub use workers::begin_with as begin_workers_with;

/// Buffers between the source and the compressors: 4 MiB each with the default chunk sizes.
const BUFFERS: usize = 5;
/// Works being compressed, or compressed and not yet packed: 4 MiB each at most before and after.
const BLOCKS: usize = 5;
/// Packs being sealed or put. A store far away takes as long to answer as to receive one, so it gets several at once.
const PACKS: usize = 4;
/// Packs being filled or sealed: what is sealed is held as sealed bytes alone.
const ROOMS: usize = 2;
/// How far the host's clock may be off the store's.
const MAX_SKEW: Span = Span::seconds(300);

/// Where a writer works: its vault, its keys and its memory.
#[derive(Clone)]
pub struct Workplace {
    /// The vault's store.
    pub store: Arc<dyn ObjectStore>,
    /// The writer's keys.
    pub writer: Arc<Writer>,
    /// The writer's own clock, for what it claims.
    pub clock: Arc<dyn Clock>,
    /// Told of the progress.
    pub progress: Arc<dyn Progress>,
    /// Asks the run to stop.
    pub cancel: Cancel,
}

/// What to back up, and how.
pub struct Request {
    /// The source's name.
    pub source: Name,
    /// What kind of source it is.
    pub kind: SourceKind,
    /// How long to promise; at most what the vault's policy says.
    pub keep: Option<Span>,
    /// What the first snapshots of weeks, months and years are kept for.
    pub tiers: Tiers,
    /// How often everything is stored anew, without trusting what the catalog knows; never where there is none.
    pub full_every: Option<Span>,
    /// Whether a source that gives nothing is right.
    pub allow_empty: bool,
    /// The zstd level.
    pub level: i32,
    /// Whether blocks are compressed harder while the store is what the run waits for.
    pub adapts: bool,
    /// The cache of what chunks may be stored as deltas of; without one there are none.
    pub bases: Option<Arc<Bases>>,
    /// What the header is to warn of.
    pub warnings: Vec<String>,
    /// Judges the run once all of it was read, for the header.
    pub judge: Option<Judge>,
}

/// What judges a run by what it read.
pub type Judge = Box<dyn Fn(&Observed<'_>) -> Result<Vec<Flag>, VaultError> + Send + Sync>;

/// A run, once all of it was read.
pub struct Observed<'a> {
    /// When it started.
    pub at: Time,
    /// Its streams.
    pub streams: &'a Recorded,
    /// What its source told of it.
    pub details: &'a serde_json::Value,
    /// What its databases held.
    pub fingerprints: &'a [Fingerprint],
    /// Bytes of chunks that were not known.
    pub bytes_new: u64,
    /// What the run put into the vault for them.
    pub bytes_stored: u64,
}

/// A snapshot that was committed.
#[derive(Debug)]
pub struct Committed {
    /// The snapshot's id.
    pub id: SnapshotId,
    /// Its header.
    pub header: Header,
    /// Its streams.
    pub streams: Recorded,
    /// What the source warned of.
    pub warnings: Vec<String>,
    /// What became of its parts since its last snapshot, as its details say it: of a repository, its refs.
    pub since: Option<serde_json::Value>,
    /// Told where packs are gone that are locked.
    pub lost: Option<Finding>,
    /// Bytes of chunks that were not known.
    pub bytes_new: u64,
    /// All bytes that the run put into the vault.
    pub bytes_stored: u64,
    /// Chunks that were not known.
    pub chunks_new: u64,
    /// Chunks stored as deltas.
    pub chunks_delta: u64,
    /// The zstd levels of its blocks, about, and how many of their bytes were compressed so; `None` where all are as usual.
    pub levels: Option<BTreeMap<i32, u64>>,
}

/// Backs one source up. Blocks; to be called on a thread that may, with the runtime that the store's calls run on.
///
/// # Errors
/// If anything fails there is no snapshot, every earlier one is as it was, and what was uploaded is found again by the
/// next run.
pub fn backup(
    place: &Workplace,
    runtime: &Handle,
    catalog: &mut Catalog,
    request: Request,
    reading: Box<dyn Reading>,
) -> Result<Committed, VaultError> {
    backup_from(place, runtime, catalog, request, |_| Ok(reading))
}

/// As [`backup`], with a source that is opened once it is known what its last run left.
///
/// # Errors
/// As [`backup`], and if `open` fails.
pub fn backup_from<E: From<VaultError>>(
    place: &Workplace,
    runtime: &Handle,
    catalog: &mut Catalog,
    request: Request,
    open: impl FnOnce(Option<Before>) -> Result<Box<dyn Reading>, E>,
) -> Result<Committed, E> {
    let run = Run::begin(place, runtime, catalog, request)?;
    let (before, kept) = run.before(catalog)?.unzip();
    let reading = open(before)?;
    Ok(run.make(catalog, reading, kept.unwrap_or_default())?)
}

/// One run of one source.
struct Run<'a> {
    place: &'a Workplace,
    runtime: &'a Handle,
    request: Request,
    heads: Heads,
    started_at: Time,
    locking: Locking,
    listed: HashMap<PackId, u64>,
    lost: Lost,
    retention: Retention,
    cache: Option<Arc<BaseCache>>,
}

impl<'a> Run<'a> {
    fn begin(
        place: &'a Workplace,
        runtime: &'a Handle,
        catalog: &mut Catalog,
        request: Request,
    ) -> Result<Self, VaultError> {
        let store = &place.store;
        let last = catalog.runs(None, 1)?.pop().map(|run| (run.seq, run.snapshot));
        let mut listed = HashMap::new();
        let mut each = |entry: Entry| {
            if let Some(ObjectName::Pack(_, id)) = layout::parse(&entry.key) {
                listed.insert(id, entry.bytes);
            }
        };
        let own = layout::own(layout::PACKS, &place.writer.name);
        // At once: each takes a while where the store is far away.
        let (started_at, heads, ()) = runtime.block_on(async {
            tokio::try_join!(
                async { store.server_time().await.map_err(VaultError::from) },
                Heads::of(&**store, &place.writer, last),
                async { store.list(&own, &mut each).await.map_err(VaultError::from) },
            )
        })?;
        refuse_skew(store.traits().trusted_time, place.clock.now(), started_at)?;
        let policy = &place.writer.descriptor.lock;
        let keep = request.keep.unwrap_or(policy.keep);
        if keep > policy.keep {
            let what = format!("keep = {keep} is more than the vault's policy promises ({})", policy.keep);
            return Err(VaultError::new(VaultErrorKind::Invalid, what));
        }
        let explicit = policy.by == LockBy::Explicit || store.traits().explicit_locks;
        let lock = explicit.then(|| policy.lock_from(started_at));
        let locking = Locking { on_put: lock, floor: started_at + keep, mode: policy.mode, extend_to: lock };
        let retention = Retention::decide(place, runtime, catalog, &request, (started_at, locking.floor))?;
        let gone = Lost::of(catalog, &listed, started_at)?;
        if retention.full {
            // What is not listed is not built upon.
            listed.clear();
        }
        let key = &place.writer.chunk_id_key;
        let cache = request.bases.as_ref().map(|files| BaseCache::new(Arc::clone(files), key)).transpose()?;
        let cache = cache.map(Arc::new);
        Ok(Self { place, runtime, request, heads, started_at, locking, listed, lost: gone, retention, cache })
    }

    /// Reads the source, of whose last snapshot the streams in `kept` may be carried, and commits.
    fn make(
        &self,
        catalog: &mut Catalog,
        reading: Box<dyn Reading>,
        kept: Vec<memory::Carried>,
    ) -> Result<Committed, VaultError> {
        // More threads than blocks at a time compress none.
        let pressure = Pressure::new(self.request.adapts, PACKS, workers::count().min(BLOCKS));
        let progress = Arc::clone(&self.place.progress);
        let shared = Arc::new(Shared::new(progress, self.place.cancel.clone(), pressure));
        let outcome = self.pipeline(catalog, reading, kept, &shared);
        // The first failure is the cause; what the catalog's thread saw is often only its echo.
        let outcome = match (shared.verdict(), outcome) {
            (Err(cause), _) if cause.kind != VaultErrorKind::Cancelled || self.place.cancel.is_cancelled() => {
                return Err(cause);
            }
            (_, outcome) => outcome?,
        };
        let committed = self.commit(catalog, outcome)?;
        Ok(Committed { levels: shared.pressure.levels(), ..committed })
    }

    /// Runs all stages until the packs of the snapshot are acknowledged.
    fn pipeline(
        &self,
        catalog: &mut Catalog,
        mut reading: Box<dyn Reading>,
        kept: Vec<memory::Carried>,
        shared: &Arc<Shared>,
    ) -> Result<Outcome, VaultError> {
        let Workplace { store, writer, .. } = self.place;
        let (segments_in, segments) = unbounded();
        let (hashed_in, hashed) = unbounded();
        let (work_in, work) = unbounded();
        let (packer_in, to_packer) = unbounded();
        let (plans_in, plans) = unbounded();
        let (sealed_in, sealed) = mpsc::unbounded_channel();
        let (acknowledged_in, acknowledged) = unbounded();
        let (finished_in, finished) = bounded(1);
        let (stop_in, stop) = bounded(0);
        let late = acknowledged.clone();
        let sketching = Arc::new(Sketching::new(self.cache.is_some(), catalog.is_empty()));
        let params = writer.descriptor.chunker;
        let similar = Similar::new(self.cache.clone(), Arc::clone(&sketching), Chunker::new(params)?);
        let (name, to_epoch) = (writer.name.clone(), writer.pack_sealer.clone());
        let target = Target { store: Arc::clone(store), writer: name, sealer: to_epoch, locking: self.locking };
        let upload = self.runtime.spawn(upload::run(target, sealed, acknowledged_in, Arc::clone(shared)));
        let bench = workers::Bench {
            stop,
            segments,
            hashed: hashed_in,
            work,
            packer: packer_in.clone(),
            plans,
            sealed: sealed_in,
            key: writer.chunk_id_key.clone(),
            sealer: writer.pack_sealer.clone(),
            level: self.request.level,
            trials: Arc::default(),
            harder: Arc::default(),
            pressure: Arc::clone(&shared.pressure),
            cache: self.cache.clone(),
            sketching: Arc::clone(&sketching),
            turn: None,
        };
        let (stopper, haste) = (reading.stopper(), reading.haste());
        let carried = reading.carried().map(|n| memory::named(&n, kept)).transpose()?;
        let means = (Pool::new(BUFFERS), Arc::clone(&sketching));
        let intake = Intake::new(reading, params, means, segments_in, Arc::clone(shared))?;
        read(intake, haste.as_ref(), &finished_in, shared)?;
        drop(finished_in);
        let result = thread::scope(|scope| {
            for bench in bench.each(workers::count(), haste.as_ref()) {
                scope.spawn(|| workers::run(bench, shared).unwrap_or_else(|error| shared.fail(error)));
            }
            let (permits, rooms) = (Tokens::new(PACKS), Pool::new(ROOMS));
            scope.spawn(move || {
                packer::run(&to_packer, (&permits, &rooms), &plans_in, shared)
                    .unwrap_or_else(|error| shared.fail(error));
            });
            let ports = Ports { hashed, finished, packer: packer_in, acknowledged };
            let result = self.dedup(catalog, shared, work_in, similar, carried).run(&ports);
            if let Err(error) = &result {
                shared.stop();
                tracing::debug!(%error, "the run stops");
            }
            haste.iter().for_each(Haste::over);
            drop((stop_in, ports));
            result
        });
        if let (Err(_), Some(stop)) = (&result, stopper) {
            stop();
        }
        self.runtime.block_on(upload).map_err(|_| VaultError::stage_gone("uploading"))?;
        // Packs that were on their way when the run failed: the next run uses them.
        while let Ok(ack) = late.try_recv() {
            dedup::record(catalog, &mut dedup::State::default(), ack)?;
        }
        result
    }

    fn dedup<'b>(
        &self,
        catalog: &'b mut Catalog,
        shared: &'b Arc<Shared>,
        work: crossbeam_channel::Sender<stages::Work>,
        similar: Similar,
        carried: Option<Vec<memory::Carried>>,
    ) -> Dedup<'b> {
        let writer = &self.place.writer;
        let known = self.known(catalog);
        let (rooms, numbers) = (Arc::new(Pool::new(BLOCKS)), BlockNumbers::default());
        let maker = |out| BlockMaker::new(out, Arc::clone(&rooms), Arc::clone(&numbers), Arc::clone(shared));
        Dedup {
            catalog,
            source: self.request.source.clone(),
            known,
            blocks: maker(work.clone()),
            meta: maker(work),
            key: writer.chunk_id_key.clone(),
            params: writer.descriptor.chunker,
            allow_empty: self.request.allow_empty,
            carried,
            shared,
            similar,
            state: dedup::State::default(),
        }
    }
}

/// Refuses a host whose clock is off by more than [`MAX_SKEW`], where the store's clock is a witness (G5).
pub(crate) fn refuse_skew(witness: bool, here: Time, there: Time) -> Result<(), VaultError> {
    let skew = here.since(there).max(there.since(here));
    if !witness || skew <= MAX_SKEW {
        return Ok(());
    }
    let what = format!("this host's clock says {here}, the store's {there}: they differ by {skew}");
    Err(VaultError::new(VaultErrorKind::Clock, what))
}

/// Begins the threads of the intake. Not joined: a source may wait for data for ever, and the run must be able to end without
/// it.
fn read(
    mut stage: Intake,
    haste: Option<&Haste>,
    finished: &Sender<Finished>,
    shared: &Arc<Shared>,
) -> Result<(), VaultError> {
    if haste.is_some() {
        let (opener, work) = Opener::new();
        stage.open_by(opener);
        spawn("opener", work)?;
    }
    let stage = Arc::new(Mutex::new(stage));
    let turns = haste.map_or_else(|| vec![None], |haste| [false, true].map(|way| Some((haste.clone(), way))).into());
    for turn in turns {
        let (stage, finished, failing) = (Arc::clone(&stage), finished.clone(), Arc::clone(shared));
        spawn("intake", move || {
            let _whole = intake::Whole(&failing, turn.as_ref());
            match intake::run(&stage, turn.as_ref()) {
                Ok(Some(end)) => drop(finished.send(end)),
                // The other goes on, or came to the end.
                Ok(None) => return,
                Err(error) => failing.fail(error),
            }
            if let Some((haste, _)) = &turn {
                haste.over();
            }
        })?;
    }
    Ok(())
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), VaultError> {
    let spawned = thread::Builder::new().name(name.to_owned()).spawn(body);
    spawned.map(drop).map_err(|e| VaultError::new(VaultErrorKind::Failed, "cannot start a thread").because(e))
}
