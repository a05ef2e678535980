//! `journal run`: the logs of servers, received and shipped until somebody asks to stop.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tokio::runtime::Handle;

use super::{
    super::{OpsError, Pin, Result, backup},
    board::Board,
    event::{Event, Observer},
    keeper::{Keeper, State},
    log::{Binlog, Log, PIECE, Wal},
    replica::{self, Replica},
    report::{RunReport, SourceReport},
    ship::{Pace, Shipper},
    sink::VaultSink,
};
use crate::{
    catalog::{JournalMemory, JournalNote, RunLock},
    codec::hash::hash,
    model::{Cancel, Clock, Name, Severity, Span, VaultId},
    source::{
        journal::{JournalOptions, Shipped},
        mariadb::{Login, binlog},
        postgres::{
            PostgresOptions, Tools,
            journal::{Follower, Server, Spool, end_orphans},
        },
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
    pub server: JobServer,
    /// How its log becomes a journal.
    pub journal: JournalOptions,
}

/// A server whose log is received.
pub enum JobServer {
    /// Of `PostgreSQL`.
    Postgres(Box<PostgresOptions>),
    /// Of `MariaDB`.
    Mariadb(Login),
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

/// What receives a source, and what ships what it received.
type Work = (Box<dyn FnOnce() + Send>, Box<dyn FnOnce() -> Result<SourceReport> + Send>);

/// A source that is about to be received.
struct Prepared {
    work: Work,
    board: Arc<Board>,
    _lock: RunLock,
}

/// What both threads of a source are made with.
struct Making<'a> {
    request: &'a RunRequest,
    job: &'a RunJob,
    sink: VaultSink,
    memory: JournalMemory,
    note: JournalNote,
    board: Arc<Board>,
    clock: Arc<dyn Clock>,
}

impl Prepared {
    fn new(place: &Workplace, runtime: &Handle, request: &RunRequest, job: &RunJob) -> Result<Self> {
        let writer = &place.writer;
        let memory = JournalMemory::open(&request.state, writer.descriptor.vault, &writer.name, &job.name)?;
        let lock = memory.lock()?;
        // It makes the directory, for this user alone.
        let spool = Spool::open(memory.spool())?;
        let failed = |source| OpsError::Io { what: "can't read the journal's memory", path: memory.spool(), source };
        let note = memory.note().map_err(failed)?;
        let sink = VaultSink::new(place, runtime, &job.name, request.keep)?;
        let (board, clock) = (Arc::new(Board::default()), Arc::clone(&place.clock) as Arc<dyn Clock>);
        let making = Making { request, job, sink, memory, note, board: Arc::clone(&board), clock };
        let work = match &job.server {
            JobServer::Postgres(options) => making.postgres(options, spool)?,
            JobServer::Mariadb(login) => making.mariadb(login, &writer.descriptor.vault)?,
        };
        Ok(Self { work, board, _lock: lock })
    }

    /// Both threads, until both have ended.
    fn run(self) -> Result<SourceReport> {
        let Self { work: (keep, ship), board, _lock } = self;
        let shipped = thread::scope(|scope| {
            let keeping = scope.spawn(keep);
            let shipped = ship();
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

impl Making<'_> {
    fn postgres(mut self, options: &PostgresOptions, spool: Spool) -> Result<Work> {
        let server = Server::new(options.info.clone(), Tools::connecting(options.bin.clone(), &options.info))?;
        if self.request.new_cluster {
            self.note = anew(&server, self.note, &spool)?;
        }
        let keeper = Keeper {
            name: self.job.name.clone(),
            options: self.job.journal.clone(),
            until_idle: self.request.until_idle,
            server,
            spool: spool.clone(),
            board: Arc::clone(&self.board),
            observer: Arc::clone(&self.request.observer),
            clock: Arc::clone(&self.clock),
            system: self.note.system,
            state: State::default(),
        };
        Ok((Box::new(move || keeper.run()), self.shipper(Wal::new(spool))))
    }

    fn mariadb(mut self, login: &Login, vault: &VaultId) -> Result<Work> {
        let (server, spool) = (binlog::Server::new(login)?, binlog::Spool::new(self.memory.spool()));
        if self.request.new_cluster {
            self.note = another(&server, self.note, &spool)?;
        }
        // What a run before this one refused: perhaps another server answers now.
        binlog::end_orphans(spool.dir());
        let tail = self.note.tail.filter(|tail| self.note.shipped.is_some_and(|(_, to)| to == tail.to));
        let place = tail.map(|tail| (tail.from.0, tail.made));
        let is = |event: &[u8]| tail.is_some_and(|tail| hash(event) == tail.hash);
        binlog::Follower::new(spool.clone(), PIECE).reject(place, &is)?;
        let replica = Replica {
            name: self.job.name.clone(),
            options: self.job.journal.clone(),
            number: self.job.journal.server_id.unwrap_or_else(|| number(vault, &self.job.name)),
            until_idle: self.request.until_idle,
            server,
            spool: spool.clone(),
            board: Arc::clone(&self.board),
            observer: Arc::clone(&self.request.observer),
            clock: Arc::clone(&self.clock),
            line: self.note.line.clone(),
            state: replica::State::default(),
        };
        Ok((Box::new(move || replica.run()), self.shipper(Binlog::new(spool))))
    }

    fn shipper<L: Log + 'static>(self, log: L) -> Box<dyn FnOnce() -> Result<SourceReport> + Send> {
        let name = self.job.name.clone();
        let report = SourceReport { source: name.clone(), pieces: 0, bytes: 0, line: None, to: None, gaps: Vec::new() };
        let shipper = Shipper {
            name,
            options: self.job.journal.clone(),
            until_idle: self.request.until_idle,
            sink: Arc::new(self.sink),
            memory: self.memory,
            note: self.note,
            log,
            board: self.board,
            observer: Arc::clone(&self.request.observer),
            clock: self.clock,
            report,
            pace: Pace::new(),
            damaged: None,
        };
        Box::new(move || shipper.run())
    }
}

/// What a replica is known by where nothing else is said: the same each time, and hardly that of another one, which the server
/// would cut off for it.
fn number(vault: &VaultId, source: &Name) -> u32 {
    let told = hash(format!("{vault} {source}").as_bytes());
    let [a, b, c, d, ..] = *told.as_bytes();
    u32::from_le_bytes([a, b, c, d]) >> 2 | 1 << 30
}

/// The memory of a journal that another server goes on with, if it is another one.
fn another(server: &binlog::Server, note: JournalNote, spool: &binlog::Spool) -> Result<JournalNote> {
    let line = server.log()?.map(|log| log.line);
    if note.line.is_none() || note.line == line {
        return Ok(note);
    }
    let mut follower = binlog::Follower::new(spool.clone(), PIECE);
    if !follower.look(shipped_of(&note), true)?.ready.is_empty() {
        return Err(left_over(spool.dir()));
    }
    // All of it is in the vault.
    follower.empty()?;
    Ok(JournalNote { line, ..JournalNote::default() })
}

/// Something of another server is still here, and not in the vault.
fn left_over(spool: &Path) -> OpsError {
    let next = "run it once without --new-cluster: that stores what is left, and then refuses the other server; then give \
                --new-cluster again";
    let what = format!("something of the old cluster's log is not in the vault yet: it lies in {}", spool.display());
    OpsError::Request { what, next: next.to_owned() }
}

/// How far it was shipped.
fn shipped_of(note: &JournalNote) -> Option<Shipped> {
    note.shipped.map(|(timeline, to)| Shipped { timeline, to: to.0 })
}

/// The memory of a journal that another cluster goes on with, if it is another one.
fn anew(server: &Server, note: JournalNote, spool: &Spool) -> Result<JournalNote> {
    let identity = server.identify()?;
    if note.system.is_none_or(|system| system == identity.system) {
        return Ok(note);
    }
    if let Some(geometry) = spool.geometry()?.filter(|geometry| Some(geometry.system) == note.system) {
        let mut follower = Follower::new(spool.clone(), geometry.segment);
        if !follower.look(shipped_of(&note), true)?.ready.is_empty() {
            return Err(left_over(spool.dir()));
        }
    }
    end_orphans(spool.dir());
    // All of it is in the vault. The receiver keeps the newest segment, and histories are of the old cluster, too.
    spool.clear_out()?;
    Ok(JournalNote { system: Some(identity.system), ..JournalNote::default() })
}
