//! `journal run`: the logs of servers, received and shipped until somebody asks to stop.

use std::{
    path::PathBuf,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use serde::Serialize;
use tokio::runtime::Handle;

use super::{
    super::{OpsError, Pin, Result, backup},
    board::Board,
    event::{Event, Observer},
    keeper::{Keeper, State},
    ship::{Pace, Shipper},
    sink::VaultSink,
};
use crate::{
    catalog::{JournalMemory, JournalNote, RunLock},
    model::{
        Cancel, Clock, Finding, Name, Severity, Span,
        journal::{Line, Position},
    },
    source::postgres::{
        PostgresOptions, Tools,
        journal::{JournalOptions, Server, Spool},
    },
    vault::writer::Workplace,
};

/// How often it is looked whether somebody asked to stop.
const POLL: Duration = Duration::from_millis(200);

/// A source whose log is received.
pub struct RunJob {
    /// Its name.
    pub name: Name,
    /// The server.
    pub server: PostgresOptions,
    /// How its log becomes a journal.
    pub journal: JournalOptions,
}

/// What to receive.
pub struct RunRequest {
    /// The sources.
    pub jobs: Vec<RunJob>,
    /// How long to promise; at most what the vault's policy says.
    pub keep: Option<Span>,
    /// Where the memory and the spool are.
    pub state: PathBuf,
    /// Who else says which vault is meant, besides the writer's key.
    pub pins: Vec<Pin>,
    /// Whether to end once all that the servers have now is shipped.
    pub until_idle: bool,
    /// Whether a server may be another cluster than the journal was of.
    pub new_cluster: bool,
    /// Who is told.
    pub observer: Arc<dyn Observer>,
}

/// A gap that was told.
#[derive(Debug, Clone, Serialize)]
pub struct GapReport {
    /// The line.
    pub line: Line,
    /// The first position that is missing.
    pub from: Position,
    /// The first that is there again.
    pub to: Position,
}

/// What was shipped of a source.
#[derive(Debug, Serialize)]
pub struct SourceReport {
    /// The source.
    pub source: Name,
    /// How many pieces.
    pub pieces: u64,
    /// How many bytes of the log.
    pub bytes: u64,
    /// The line of the last one.
    pub line: Option<Line>,
    /// Up to where that line is in the vault.
    pub to: Option<Position>,
    /// What is missing.
    pub gaps: Vec<GapReport>,
}

/// What a run did.
#[derive(Debug, Serialize)]
pub struct RunReport {
    /// By source.
    pub sources: Vec<SourceReport>,
    /// What was found on the way.
    #[serde(skip)]
    pub findings: Vec<Finding>,
}

/// Receives and ships until it is asked to stop. Blocks; to be called on a thread that may.
///
/// # Errors
/// If nothing can be received at all, or a source can't go on; the others then end in good order.
pub fn run(place: &Workplace, runtime: &Handle, request: &RunRequest) -> Result<RunReport> {
    let names: Vec<&Name> = request.jobs.iter().map(|job| &job.name).collect();
    let (_, findings) = runtime.block_on(backup::open_to_write(place, request.pins.clone(), &names))?;
    // What is left is shipped after it was asked to stop, so nothing else may end the puts.
    let quiet = Workplace { cancel: Cancel::default(), ..place.clone() };
    let mut running = Vec::new();
    for job in &request.jobs {
        running.push(Prepared::new(&quiet, runtime, request, job)?);
    }
    let boards: Vec<Arc<Board>> = running.iter().map(|one| Arc::clone(&one.board)).collect();
    let (observer, clock) = (Arc::clone(&request.observer), Arc::clone(&place.clock));
    let mut results = Vec::new();
    thread::scope(|scope| {
        let threads: Vec<_> = running.into_iter().map(|one| scope.spawn(move || one.run())).collect();
        let ended = |how_many: usize| threads.iter().filter(|thread| thread.is_finished()).count() >= how_many;
        // One of several that can't go on ends all: whoever runs it sees that, and starts it again.
        let one_ended = || !request.until_idle && ended(1);
        watch(place, &boards, &*observer, (&|| ended(threads.len()), &one_ended));
        results.extend(
            threads.into_iter().map(|thread| {
                thread.join().unwrap_or_else(|_| Err(OpsError::Defect("a thread that receives a journal")))
            }),
        );
    });
    let (mut sources, mut failed) = (Vec::new(), None);
    for (job, result) in request.jobs.iter().zip(results) {
        match result {
            Ok(report) => sources.push(report),
            Err(error) => {
                let message = error.to_string();
                observer.event(&Event::new(clock.now(), &job.name, "failed", Severity::Error, message));
                failed.get_or_insert(error);
            }
        }
    }
    failed.map_or(Ok(RunReport { sources, findings }), Err)
}

/// Passes on who asks to stop, and tells when it is going.
fn watch(
    place: &Workplace,
    boards: &[Arc<Board>],
    observer: &dyn Observer,
    (over, one_ended): (&dyn Fn() -> bool, &dyn Fn() -> bool),
) {
    let (mut ready, mut stopping) = (false, false);
    let mut alive = Instant::now();
    while !over() {
        if !ready && boards.iter().all(|board| board.notes().tried) {
            ready = true;
            observer.ready();
        }
        let failed = boards.iter().any(|board| board.has_failed()) || one_ended();
        if !stopping && (place.cancel.is_cancelled() || failed) {
            stopping = true;
            observer.stopping();
            for board in boards {
                board.stop();
            }
        }
        if alive.elapsed() > Duration::from_secs(1) {
            alive = Instant::now();
            observer.alive();
        }
        thread::sleep(POLL);
    }
}

/// A source that is about to be received.
struct Prepared {
    keeper: Keeper,
    shipper: Shipper,
    board: Arc<Board>,
    _lock: RunLock,
}

impl Prepared {
    fn new(place: &Workplace, runtime: &Handle, request: &RunRequest, job: &RunJob) -> Result<Self> {
        let writer = &place.writer;
        let memory = JournalMemory::open(&request.state, writer.descriptor.vault, &writer.name, &job.name)?;
        let lock = memory.lock()?;
        let spool = Spool::open(memory.spool())?;
        let failed = |source| OpsError::Io { what: "can't read the journal's memory", path: memory.spool(), source };
        let mut note = memory.note().map_err(failed)?;
        let server = Server::new(job.server.info.clone(), Tools::new(job.server.bin.clone()))?;
        let sink = VaultSink::new(place, runtime, &job.name, request.keep)?;
        if request.new_cluster {
            note = anew(&server, note, &spool)?;
        }
        let board = Arc::new(Board::default());
        let (observer, clock) = (Arc::clone(&request.observer), Arc::clone(&place.clock) as Arc<dyn Clock>);
        let keeper = Keeper {
            name: job.name.clone(),
            options: job.journal.clone(),
            until_idle: request.until_idle,
            server,
            spool: spool.clone(),
            board: Arc::clone(&board),
            observer: Arc::clone(&observer),
            clock: Arc::clone(&clock),
            system: note.system,
            state: State::default(),
        };
        let report =
            SourceReport { source: job.name.clone(), pieces: 0, bytes: 0, line: None, to: None, gaps: Vec::new() };
        let shipper = Shipper {
            name: job.name.clone(),
            options: job.journal.clone(),
            until_idle: request.until_idle,
            sink: Box::new(sink),
            memory,
            note,
            spool,
            board: Arc::clone(&board),
            observer,
            clock,
            report,
            pace: Pace::new(),
            damaged: None,
        };
        Ok(Self { keeper, shipper, board, _lock: lock })
    }

    /// Both threads, until both have ended.
    fn run(self) -> Result<SourceReport> {
        let Self { keeper, shipper, board, _lock } = self;
        let shipped = thread::scope(|scope| {
            let keeping = scope.spawn(|| keeper.run());
            let shipped = shipper.run();
            board.stop();
            keeping.join().map_err(|_| OpsError::Defect("the thread that receives a journal"))?;
            shipped
        });
        match (board.failure(), shipped) {
            (Some(error), _) => Err(error),
            (None, shipped) => shipped,
        }
    }
}

/// The memory of a journal that another cluster goes on with, if it is another one.
fn anew(server: &Server, note: JournalNote, spool: &Spool) -> Result<JournalNote> {
    let identity = server.identify()?;
    if note.system.is_none_or(|system| system == identity.system) {
        return Ok(note);
    }
    if spool.geometry()?.is_some_and(|geometry| Some(geometry.system) == note.system) {
        let what = "there is still something of the old cluster in the spool".to_owned();
        let next =
            "look that it is in the vault (journal list), and remove what is in the directory that the state has \
                    for the spool"
                .to_owned();
        return Err(OpsError::Request { what: format!("{what}: {}", spool.dir().display()), next });
    }
    Ok(JournalNote { system: Some(identity.system), ..JournalNote::default() })
}
