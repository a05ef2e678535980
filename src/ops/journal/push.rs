//! `journal push`: a segment that the server hands over. Those that wait behind it another process pushes meanwhile (`behind`).

use std::{
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use serde::Serialize;
use tokio::runtime::Handle;

use super::{
    super::{OpsError, Pin, Result, backup},
    sink::{Ready, Sink, VaultSink},
    taken::{Sought, must_be_new},
};
use crate::{
    catalog::{JournalMemory, JournalNote, Taken},
    codec::hash::hash,
    format::{journal::Effort, writer_key::Writer},
    model::{
        Finding, Hash, Name, Span as Keep,
        journal::{Line, Position, Span},
    },
    source::{
        SourceError,
        postgres::{
            journal::{LogFile, file_of, hash_of, looks, read_file, system_of, waiting},
            wal::timeline,
        },
    },
    vault::{
        journal::{Log, Stretch},
        writer::Workplace,
    },
};

/// The most bytes of the log in one piece.
pub(super) const PIECE: usize = 16 << 20;
/// How often it is looked whether the process that pushes what waits has pushed this one, too.
const POLL: Duration = Duration::from_millis(3);
/// So long it is waited for that at most.
const LONGEST: Duration = Duration::from_mins(10);

/// What to push.
pub struct PushRequest {
    /// The file, as the server names it.
    pub path: PathBuf,
    /// The source whose log it is of.
    pub source: Name,
    /// How long to promise.
    pub keep: Option<Keep>,
    /// Where the memory is.
    pub state: PathBuf,
    /// Who else says which vault is meant, besides the writer's key.
    pub pins: Vec<Pin>,
    /// Whether it may be of another cluster than the journal was of.
    pub new_cluster: bool,
    /// Whether it is stored although the vault has it, or may have it, with other content.
    pub again: bool,
    /// How many of those that wait are pushed before the server asks for it, at most.
    pub ahead: usize,
}

impl PushRequest {
    pub(super) fn memory(&self, writer: &Writer) -> Result<JournalMemory> {
        Ok(JournalMemory::open(&self.state, writer.descriptor.vault, &writer.name, &self.source)?)
    }

    /// How many wait behind it, of those that may be pushed before their turn; none behind what is no segment.
    #[must_use]
    pub fn waiting(&self) -> usize {
        let name = self.path.file_name().and_then(|name| name.to_str());
        let segment = matches!(name.and_then(LogFile::read), Some(LogFile::Segment(_)));
        if segment { waiting(&self.path, self.ahead).len() } else { 0 }
    }
}

/// What was pushed.
#[derive(Debug, Serialize)]
pub struct PushReport {
    /// The source.
    pub source: Name,
    /// The file.
    pub file: String,
    /// Whether it was in the vault before.
    pub already: bool,
    /// Bytes that went into the vault for it.
    pub stored: u64,
    /// How many waited behind it, which another process pushes.
    pub ahead: usize,
    /// What was found on the way.
    #[serde(skip)]
    pub findings: Vec<Finding>,
}

/// A file that is to be pushed.
pub(super) struct File {
    pub(super) name: String,
    pub(super) hash: Hash,
    /// Its bytes.
    size: usize,
    /// What it looked like before it was read, if it can be told by that.
    looks: Option<String>,
    line: Line,
    pub(super) system: u64,
    what: What,
}

impl File {
    /// How much of the log it still holds.
    pub(super) fn bytes(&self) -> u64 {
        if let What::Log(_, bytes) = &self.what { bytes.len() as u64 } else { 0 }
    }

    /// What the vault has if it has the file; before any of it is taken out.
    pub(super) fn sought(&self) -> Sought {
        match &self.what {
            What::Log(from, bytes) if bytes.len() == self.size => Span::new(*from, Position(from.0 + self.size as u64))
                .map_or(Sought::Nothing, |span| Sought::Segment(self.line.clone(), span)),
            What::History(_) => Sought::History(self.line.clone()),
            What::Log(..) | What::Nothing => Sought::Nothing,
        }
    }

    /// Takes what becomes the next piece out of it.
    fn next(&mut self) -> Option<Stretch> {
        let What::Log(from, bytes) = &mut self.what else { return None };
        let log = bytes.split_to(bytes.len().min(PIECE));
        let span = Span::new(*from, Position(from.0 + log.len() as u64))?;
        *from = span.to;
        let hash = Some(self.hash).filter(|_| log.len() == self.size);
        // How old it is, only its own records tell.
        Some(Stretch { span, log, hash, covers: None })
    }
}

enum What {
    /// Where what is left of a segment begins, with its bytes.
    Log(Position, Log),
    History(Vec<u8>),
    /// Nothing that anybody needs.
    Nothing,
}

/// Whether the file was pushed already, before its turn or by a call of which the server did not hear; while another process
/// pushes what waits, it is waited for that. Needs no vault.
///
/// # Errors
/// If it can't be read, or its memory can't.
pub fn was_pushed(writer: &Writer, request: &PushRequest) -> Result<Option<PushReport>> {
    let memory = request.memory(writer)?;
    let file = file_of(&request.path)?;
    let name = file.to_string();
    // A note on a base backup needs no place: each base has its own.
    let nothing = matches!(file, LogFile::Backup(..));
    if nothing {
        read_file(&request.path)?;
    }
    // Nobody else pushes what is no segment.
    let alone = nothing || !matches!(file, LogFile::Segment(_));
    let (looks, mut hash) = (looks(&request.path), None);
    let since = Instant::now();
    loop {
        // Asked before its mark is: whoever ended has marked what it pushed.
        let at_work = !alone && memory.is_pushing();
        let there = match memory.marked(&name) {
            _ if nothing => true,
            None => false,
            Some(mark) if looks.as_ref().is_some_and(|looks| mark.looked(looks)) => true,
            Some(mark) => {
                let known = hash.take().map_or_else(|| hash_of(&request.path), Ok)?;
                mark.is_of(hash.insert(known))
            }
        };
        if there {
            return Ok(Some(PushReport { already: true, ..report(request, name, 0, 0) }));
        }
        if !at_work || since.elapsed() > LONGEST {
            return Ok(None);
        }
        thread::sleep(POLL);
    }
}

fn report(request: &PushRequest, file: String, stored: u64, ahead: usize) -> PushReport {
    PushReport { source: request.source.clone(), file, already: false, stored, ahead, findings: Vec::new() }
}

/// Pushes a file. When it returns, that is in the vault and locked. Blocks; to be called on a thread that may.
///
/// # Errors
/// If the file is none of this journal's log, or the vault does not take it.
pub fn push(place: &Workplace, runtime: &Handle, request: &PushRequest) -> Result<PushReport> {
    let writer = &place.writer;
    let memory = request.memory(writer)?;
    let io = |source| OpsError::Io { what: "can't use the journal's memory", path: request.state.clone(), source };
    let mut note = memory.note().map_err(io)?;
    let file = prepare(&request.path, &note)?;
    let (name, hash, system, sought) = (file.name.clone(), file.hash, file.system, file.sought());
    let another = note.system.is_some_and(|known| known != system);
    if another && !request.new_cluster {
        return Err(foreign(&request.source, &name, system, note.system));
    }
    // Files of another cluster have the same names.
    let taken = if another { Taken::Unknown } else { memory.taken(&name, &hash) };
    if !request.again {
        must_be_new(&request.source, &name, taken, false)?;
    }
    let ask = taken == Taken::Unknown && !request.again;
    let sink = match VaultSink::new(place, runtime, &request.source, request.keep) {
        Ok(sink) => sink,
        // What the vault says of this writer tells more.
        Err(error) => return runtime.block_on(open(place, request, None)).and(Err(error)),
    };
    // While the vault is opened, the segment is compressed.
    let ((opened, there), begun) = thread::scope(|scope| {
        let begun = scope.spawn(|| begin(&sink, file, Effort::Usual));
        let there = async { if ask { sought.is_there(&sink).await } else { Ok(false) } };
        let both = runtime.block_on(async { futures::join!(open(place, request, Some(&sink)), there) });
        (both, begun.join().unwrap_or(Err(OpsError::Defect("a thread that packs a segment"))))
    });
    let findings = opened?;
    if ask && there? {
        // Unless whoever pushes what waits put it just now.
        let taken = if another { Taken::Unknown } else { memory.taken(&name, &hash) };
        must_be_new(&request.source, &name, taken, true)?;
    }
    if note.system != Some(system) {
        if another {
            memory.forget_files().map_err(io)?;
        }
        note = JournalNote { system: Some(system), ..JournalNote::default() };
        memory.write(&note).map_err(io)?;
    }
    let stored = begun?.finish(&memory)?;
    Ok(PushReport { findings, ..report(request, name, stored, 0) })
}

/// Opens the vault to write, and asks for its time. Says what was found on the way.
pub(super) async fn open(place: &Workplace, request: &PushRequest, sink: Option<&VaultSink>) -> Result<Vec<Finding>> {
    let clock = async {
        if let Some(sink) = sink {
            sink.look_at_clock().await;
        }
    };
    let sources = [&request.source];
    let (opened, ()) = futures::join!(backup::open_to_write(place, request.pins.clone(), &sources), clock);
    Ok(opened?.1)
}

/// A file on its way, of which what can be done without the vault is done.
pub(super) struct Begun<'a> {
    sink: &'a dyn Sink,
    file: File,
    effort: Effort,
    first: Option<Ready<'a>>,
}

/// Compresses the first piece of a file.
///
/// # Errors
/// If it can't be.
pub(super) fn begin(sink: &dyn Sink, mut file: File, effort: Effort) -> Result<Begun<'_>> {
    let first = file.next().map(|stretch| sink.pack(&file.line, stretch, effort)).transpose()?;
    Ok(Begun { sink, file, effort, first })
}

impl Begun<'_> {
    /// How many bytes of memory it takes.
    pub(super) fn size(&self) -> u64 {
        self.file.bytes() + self.first.as_ref().map_or(0, |ready| ready.size as u64)
    }

    /// Puts all of it, and marks that it is there; says how many bytes it took.
    pub(super) fn finish(self, memory: &JournalMemory) -> Result<u64> {
        let Self { sink, mut file, effort, first } = self;
        let failed = |source| OpsError::Io { what: "can't use the journal's memory", path: memory.spool(), source };
        memory.begin(&file.name, &file.hash).map_err(failed)?;
        let mut stored = first.map_or(Ok(0), |ready| (ready.put)())?;
        while let Some(stretch) = file.next() {
            stored += sink.put(&file.line, stretch, effort)?;
        }
        if let What::History(bytes) = &file.what {
            sink.put_history(&file.line, bytes)?;
        }
        memory.mark(&file.name, &file.hash, file.looks.as_deref()).map_err(failed)?;
        Ok(stored)
    }
}

/// Reads a file, and says what it is.
pub(super) fn prepare(path: &Path, note: &JournalNote) -> Result<File> {
    let looks = looks(path);
    let read = read_file(path)?;
    let (name, hash, size) = (read.file.to_string(), hash(&read.bytes), read.bytes.len());
    let near = || system_of(path).or(note.system);
    match read.file {
        LogFile::Segment(segment) | LogFile::Partial(segment) => {
            let (geometry, start, end) = read.segment(path)?;
            let line = Line::postgres(geometry.system, segment.timeline);
            let mut bytes = read.bytes;
            bytes.truncate(usize::try_from(end - start).unwrap_or_default());
            let what = What::Log(Position(start), bytes.into());
            Ok(File { name, hash, size, looks, line, system: geometry.system, what })
        }
        LogFile::History(timeline) => {
            let system = near().ok_or_else(|| no_cluster(path))?;
            must_be_a_history(timeline, path, &read.bytes)?;
            let what = What::History(read.bytes);
            Ok(File { name, hash, size, looks, line: Line::postgres(system, timeline), system, what })
        }
        LogFile::Backup(segment, _) => {
            let system = near().ok_or_else(|| no_cluster(path))?;
            let line = Line::postgres(system, segment.timeline);
            Ok(File { name, hash, size, looks, line, system, what: What::Nothing })
        }
    }
}

fn must_be_a_history(timeline: u32, path: &Path, bytes: &[u8]) -> Result<()> {
    let why = match timeline::history(timeline, &String::from_utf8_lossy(bytes)) {
        Ok(legs) if legs.len() > 1 => return Ok(()),
        Ok(_) => "names no timeline that it grew out of",
        Err(why) => why,
    };
    Err(SourceError::new(format!("is no history of timeline {timeline}: it {why}"), path.display().to_string()).into())
}

fn no_cluster(path: &Path) -> OpsError {
    let what = format!("nobody knows which cluster {} is of: there is no global/pg_control beside it", path.display());
    let next = "archive_command runs in the data directory, which has it; run it there";
    OpsError::Request { what, next: next.to_owned() }
}

fn foreign(source: &Name, file: &str, system: u64, known: Option<u64>) -> OpsError {
    let what = format!(
        "{file} is of another cluster: its system identifier is {system}, and the journal of {source} is of {}; it was \
         not stored",
        known.unwrap_or_default()
    );
    let next = "if the server was recreated (initdb, pg_upgrade), give it a [[source]] of another name, or use --new-cluster once";
    OpsError::Request { what, next: next.to_owned() }
}
