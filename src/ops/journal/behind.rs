//! What waits to be archived behind a segment that is being pushed: a process of its own puts it, several at once, before the
//! server asks for it. The server asks for one after the other, and a bucket answers to each only after a while.
//!
//! It holds a lock while it works, by which a push knows that it need only wait for its mark. What fails here is left: the
//! push that is asked for it tries it itself, and tells why.

use std::{
    collections::{BTreeSet, VecDeque},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tokio::runtime::Handle;

use super::{
    super::{OpsError, Result, backup},
    push::{PushRequest, one, prepare},
    sink::{Sink, VaultSink},
};
use crate::{
    catalog::{JournalMemory, JournalNote, RunLockError},
    format::journal::Effort,
    source::postgres::journal::waiting,
    vault::writer::Workplace,
};

/// So many are put at once, and are in memory.
const AT_ONCE: u64 = 6;
/// So many bytes of segments may be in memory: segments of a gibibyte exist.
const TOGETHER: u64 = AT_ONCE * (16 << 20);
/// How often it is looked for more.
const POLL: Duration = Duration::from_millis(50);
/// So long it is waited for more: a busy server ends a segment each few seconds.
const LINGER: Duration = Duration::from_secs(2);
/// After so long another process begins, which asks the vault anew whether this writer was revoked.
const LONGEST: Duration = Duration::from_mins(10);

/// Pushes what waits behind a segment, until nothing does any more. Says how many it pushed; nothing if another process is at
/// work. Blocks; to be called on a thread that may.
///
/// # Errors
/// If the vault can't be opened, or the segment is none.
pub fn push_behind(place: &Workplace, runtime: &Handle, request: &PushRequest) -> Result<Option<usize>> {
    let memory = request.memory(&place.writer)?;
    let _lock = match memory.pushing() {
        Ok(lock) => lock,
        Err(RunLockError::Held { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let io = |source| OpsError::Io { what: "can't use the journal's memory", path: request.state.clone(), source };
    let mut note = memory.note().map_err(io)?;
    let (system, size) = {
        let file = prepare(&request.path, &note)?;
        (file.system, file.bytes())
    };
    // The push that began this one writes it down, or refuses what is of another cluster.
    if *note.system.get_or_insert(system) != system {
        return Ok(Some(0));
    }
    runtime.block_on(backup::open_to_write(place, request.pins.clone(), &[&request.source]))?;
    let sink = VaultSink::new(place, runtime, &request.source, request.keep)?;
    let queue = Queue::new(&request.path, request.ahead);
    let lanes = (TOGETHER / size.max(1)).clamp(1, AT_ONCE);
    let pushed = thread::scope(|scope| {
        let lanes: Vec<_> = (0..lanes).map(|_| scope.spawn(|| lane(&queue, &sink, &memory, &note))).collect();
        lanes.into_iter().map(|lane| lane.join().unwrap_or_default()).sum()
    });
    Ok(Some(pushed))
}

/// Pushes one after the other; says how many.
fn lane(queue: &Queue, sink: &dyn Sink, memory: &JournalMemory, note: &JournalNote) -> usize {
    let mut pushed = 0;
    while let Some((path, effort)) = queue.next() {
        let own = |file: &super::push::File| note.system == Some(file.system);
        let done = match prepare(&path, note).ok().filter(own) {
            Some(file) if memory.has(&file.name, &file.hash) => Ok(0),
            Some(file) => one(sink, memory, &file, effort).map(|_| 1),
            // It went, or is told when it is asked for.
            None => Err(OpsError::Defect("a segment that waits")),
        };
        match done {
            Ok(n) => pushed += n,
            Err(_) => queue.end(),
        }
    }
    pushed
}

/// What waits, for several lanes.
struct Queue {
    /// What began this.
    first: PathBuf,
    most: usize,
    begun: Instant,
    state: Mutex<State>,
}

struct State {
    waiting: VecDeque<PathBuf>,
    /// What was given to a lane.
    taken: BTreeSet<PathBuf>,
    /// When there was something last.
    found: Instant,
    listed: bool,
    over: bool,
}

impl Queue {
    fn new(first: &Path, most: usize) -> Self {
        let now = Instant::now();
        let (waiting, taken) = (VecDeque::new(), BTreeSet::new());
        let state = Mutex::new(State { waiting, taken, found: now, listed: false, over: false });
        Self { first: first.to_owned(), most, begun: now, state }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends all lanes when they are done with what they have.
    fn end(&self) {
        self.state().over = true;
    }

    /// The next that waits, and how hard it is to be compressed; nothing when it is time to end.
    fn next(&self) -> Option<(PathBuf, Effort)> {
        loop {
            {
                let mut state = self.state();
                if state.over || self.begun.elapsed() > LONGEST {
                    return None;
                }
                if state.waiting.is_empty() {
                    self.look(&mut state);
                }
                if let Some(path) = state.waiting.pop_front() {
                    state.taken.insert(path.clone());
                    let behind = state.waiting.len() as u64 >= AT_ONCE;
                    return Some((path, if behind { Effort::Less } else { Effort::Usual }));
                }
                if state.found.elapsed() > LINGER {
                    return None;
                }
            }
            thread::sleep(POLL);
        }
    }

    /// Looks what is new among the first that wait: marks are kept of so many only, and the server asks in this order.
    fn look(&self, state: &mut State) {
        // The one that began this is pushed by who was asked for it, unless that failed.
        let but = if state.listed { self.first.with_file_name("-") } else { self.first.clone() };
        state.listed = true;
        let all = waiting(&but, self.most);
        let new: Vec<PathBuf> = all.iter().filter(|path| !state.taken.contains(*path)).cloned().collect();
        // What the server has done with is forgotten.
        state.taken = all.into_iter().filter(|path| state.taken.contains(path)).collect();
        if !new.is_empty() {
            state.found = Instant::now();
        }
        state.waiting.extend(new);
    }
}
