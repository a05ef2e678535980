//! `journal push`: a segment that the server hands over, and those that wait behind it.

use std::{
    path::{Path, PathBuf},
    thread,
};

use serde::Serialize;
use tokio::runtime::Handle;

use super::{
    super::{OpsError, Pin, Result, backup},
    sink::{Sink, VaultSink},
};
use crate::{
    catalog::{JournalMemory, JournalNote},
    codec::hash::hash,
    format::writer_key::Writer,
    model::{
        Finding, Hash, Name, Span as Duration,
        journal::{Line, Position, Span},
    },
    source::postgres::journal::{LogFile, read_file, system_of, waiting},
    vault::writer::Workplace,
};

/// The most bytes of the log in one piece.
const PIECE: usize = 16 << 20;
/// So many segments are put at once.
const AT_ONCE: usize = 4;

/// What to push.
pub struct PushRequest {
    /// The file, as the server names it.
    pub path: PathBuf,
    /// The source whose log it is of.
    pub source: Name,
    /// How long to promise.
    pub keep: Option<Duration>,
    /// Where the memory is.
    pub state: PathBuf,
    /// Who else says which vault is meant, besides the writer's key.
    pub pins: Vec<Pin>,
    /// Whether it may be of another cluster than the journal was of.
    pub new_cluster: bool,
    /// How many of those that wait are pushed with it, at most.
    pub ahead: usize,
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
    /// How many that wait went with it.
    pub ahead: usize,
    /// What was found on the way.
    #[serde(skip)]
    pub findings: Vec<Finding>,
}

/// A file that is to be pushed.
struct File {
    name: String,
    hash: Hash,
    line: Line,
    system: u64,
    what: What,
}

enum What {
    /// The stretch of a segment, with its bytes.
    Log(Span, Vec<u8>),
    History(Vec<u8>),
    /// Nothing that anybody needs.
    Nothing,
}

/// Whether the file was pushed already, ahead of its turn or by a call of which the server did not hear. Needs no vault.
///
/// # Errors
/// If it can't be read, or its memory can't.
pub fn was_pushed(writer: &Writer, request: &PushRequest) -> Result<Option<PushReport>> {
    let memory = JournalMemory::open(&request.state, writer.descriptor.vault, &writer.name, &request.source)?;
    let file = read_file(&request.path)?;
    let name = file.file.to_string();
    // A note on a base backup needs no place: each base has its own.
    let nothing = matches!(file.file, LogFile::Backup(_));
    let known = nothing || memory.has(&name, &hash(&file.bytes));
    Ok(known.then(|| report(request, name, 0, 0)).map(|report| PushReport { already: true, ..report }))
}

fn report(request: &PushRequest, file: String, stored: u64, ahead: usize) -> PushReport {
    PushReport { source: request.source.clone(), file, already: false, stored, ahead, findings: Vec::new() }
}

/// Pushes a file. When it returns, that is in the vault and locked. Blocks; to be called on a thread that may.
///
/// # Errors
/// If the file is none of this journal's log, or the vault does not take it. What waits behind it and fails is tried again
/// when it is asked for.
pub fn push(place: &Workplace, runtime: &Handle, request: &PushRequest) -> Result<PushReport> {
    let writer = &place.writer;
    let memory = JournalMemory::open(&request.state, writer.descriptor.vault, &writer.name, &request.source)?;
    let io = |source| OpsError::Io { what: "can't use the journal's memory", path: request.state.clone(), source };
    let mut note = memory.note().map_err(io)?;
    let file = prepare(&request.path, &note)?;
    let (_, findings) = runtime.block_on(backup::open_to_write(place, request.pins.clone(), &[&request.source]))?;
    if note.system != Some(file.system) {
        if note.system.is_some() && !request.new_cluster {
            return Err(foreign(&request.source, &file, note.system));
        }
        note = JournalNote { system: Some(file.system), ..JournalNote::default() };
        memory.write(&note).map_err(io)?;
    }
    let sink = VaultSink::new(place, runtime, &request.source, request.keep)?;
    let paths = if matches!(file.what, What::Log(..)) { waiting(&request.path, request.ahead) } else { Vec::new() };
    let (stored, ahead) = together(&sink, &memory, &file, &paths, &note);
    let stored = stored?;
    Ok(PushReport { findings, ..report(request, file.name, stored, ahead) })
}

/// Pushes the file and those at `paths`, several at once; says what the first took, and how many others were pushed.
fn together(
    sink: &dyn Sink,
    memory: &JournalMemory,
    file: &File,
    paths: &[PathBuf],
    note: &JournalNote,
) -> (Result<u64>, usize) {
    thread::scope(|scope| {
        let first = scope.spawn(|| one(sink, memory, file));
        let share = paths.len().div_ceil(AT_ONCE - 1).max(1);
        let others: Vec<_> = (0..AT_ONCE - 1)
            .map(|lane| {
                // In turns, so that what is asked for next is there first.
                let mine = paths.iter().skip(lane).step_by(AT_ONCE - 1).take(share);
                scope.spawn(move || mine.map_while(|path| another(sink, memory, path, note)).count())
            })
            .collect();
        let ahead = others.into_iter().map(|lane| lane.join().unwrap_or_default()).sum();
        let first = first.join().unwrap_or(Err(OpsError::Defect("the thread that pushes a segment")));
        (first, ahead)
    })
}

/// One that waits; nothing if it can't be pushed, or is of another cluster: that is told when it is asked for.
fn another(sink: &dyn Sink, memory: &JournalMemory, path: &Path, note: &JournalNote) -> Option<()> {
    let file = prepare(path, note).ok().filter(|file| note.system == Some(file.system))?;
    if memory.has(&file.name, &file.hash) {
        return Some(());
    }
    one(sink, memory, &file).ok().map(drop)
}

fn one(sink: &dyn Sink, memory: &JournalMemory, file: &File) -> Result<u64> {
    let mut stored = 0;
    match &file.what {
        What::Nothing => {}
        What::History(bytes) => sink.put_history(&file.line, bytes)?,
        What::Log(span, bytes) => {
            let mut from = span.from.0;
            for part in bytes.chunks(PIECE) {
                let to = from + part.len() as u64;
                stored += sink.put(&file.line, Span { from: Position(from), to: Position(to) }, part)?;
                from = to;
            }
        }
    }
    let failed = |source| OpsError::Io { what: "can't use the journal's memory", path: memory.spool(), source };
    memory.mark(&file.name, &file.hash).map_err(failed)?;
    Ok(stored)
}

fn prepare(path: &Path, note: &JournalNote) -> Result<File> {
    let read = read_file(path)?;
    let (name, hash) = (read.file.to_string(), hash(&read.bytes));
    let near = || system_of(path).or(note.system);
    match read.file {
        LogFile::Segment(segment) | LogFile::Partial(segment) => {
            let (geometry, start, end) = read.segment(path)?;
            let line = Line::postgres(geometry.system, segment.timeline);
            let mut bytes = read.bytes;
            bytes.truncate(usize::try_from(end - start).unwrap_or_default());
            let what = Span::new(Position(start), Position(end)).map_or(What::Nothing, |span| What::Log(span, bytes));
            Ok(File { name, hash, line, system: geometry.system, what })
        }
        LogFile::History(timeline) => {
            let system = near().ok_or_else(|| no_cluster(path))?;
            let what = What::History(read.bytes);
            Ok(File { name, hash, line: Line::postgres(system, timeline), system, what })
        }
        LogFile::Backup(segment) => {
            let system = near().ok_or_else(|| no_cluster(path))?;
            Ok(File { name, hash, line: Line::postgres(system, segment.timeline), system, what: What::Nothing })
        }
    }
}

fn no_cluster(path: &Path) -> OpsError {
    let what = format!("nobody knows which cluster {} is of: there is no global/pg_control beside it", path.display());
    let next = "archive_command runs in the data directory, which has it; run it there";
    OpsError::Request { what, next: next.to_owned() }
}

fn foreign(source: &Name, file: &File, known: Option<u64>) -> OpsError {
    let what = format!(
        "{} is of another cluster: its system identifier is {}, and the journal of {source} is of {}; it was not stored",
        file.name,
        file.system,
        known.unwrap_or_default()
    );
    let next = "if the server was set up anew (initdb, pg_upgrade), give it a [[source]] of another name, or say \
                --new-cluster once";
    OpsError::Request { what, next: next.to_owned() }
}
