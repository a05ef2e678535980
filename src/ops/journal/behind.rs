//! What waits to be archived behind a segment that is being pushed: a process of its own puts it, several at once, before the
//! server asks for it. The server asks for one after the other, and a bucket answers to each only after a while.
//!
//! To compress takes processors, and to put takes time: few are compressed at once, and many more are on their way. What is on its
//! way holds no log any more.
//!
//! It holds a lock while it works, by which a push knows that it need only wait for its mark. What fails here is left: the
//! push that is asked for it tries it itself, and tells why.

use std::{
    collections::{BTreeSet, VecDeque},
    num::NonZero,
    path::{Path, PathBuf},
    sync::{Condvar, Mutex, OnceLock, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tokio::runtime::Handle;

use super::{
    super::{OpsError, Result},
    push::{PIECE, PushRequest, begin, open, prepare},
    sink::{Sink, VaultSink},
    taken::Sought,
};
use crate::{
    catalog::{JournalMemory, JournalNote, RunLockError, Taken},
    format::journal::Effort,
    model::journal::{Line, Position, Reach, Span},
    source::postgres::journal::waiting,
    vault::writer::Workplace,
};

/// So many are compressed or on their way at once.
const AT_ONCE: usize = 12;
/// So many are compressed at once, where there are as many processors.
const PACKED: usize = 4;
/// Where so many more wait, they are compressed in less time.
const MANY: usize = 6;
/// So many bytes of segments may be in memory: segments of a gibibyte exist.
const TOGETHER: u64 = 96 << 20;
/// While so many bytes are on their way, no more are compressed: of what can't be compressed a few are enough.
const FLYING: u64 = 32 << 20;
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
    let (system, size, sought) = {
        let file = prepare(&request.path, &note)?;
        (file.system, file.bytes(), file.sought())
    };
    // The push that began this one writes it down, or refuses what is of another cluster.
    if *note.system.get_or_insert(system) != system {
        return Ok(Some(0));
    }
    let sink = VaultSink::new(place, runtime, &request.source, request.keep)?;
    let queue = Queue::new(&request.path, request.ahead, LINGER);
    let (gate, opened, there) = (Gate::of(size), OnceLock::new(), OnceLock::new());
    let again = request.again;
    let work = Work { queue, gate, opened, there, again, sink: &sink, memory: &memory, note: &note };
    let all = work.all(|| {
        if let Sought::Segment(line, first) = sought {
            // Once for all that may follow: what none of these names is, nobody pushed before this one began.
            let many = (request.ahead as u64 + 1).saturating_mul(2 * size);
            let span = Span { from: first.from, to: Position(first.from.0.saturating_add(many)) };
            let reach = runtime.block_on(sink.covered_within(&line, span))?;
            work.there.get_or_init(|| (line, reach));
        }
        runtime.block_on(open(place, request, Some(&sink))).map(drop)
    });
    all.map(Some)
}

/// Who waits for the vault waits no longer when this goes.
struct Otherwise<'a>(&'a OnceLock<bool>);

impl Drop for Otherwise<'_> {
    fn drop(&mut self) {
        self.0.get_or_init(|| false);
    }
}

/// What waits, and where it goes.
pub(super) struct Work<'a> {
    pub(super) queue: Queue,
    pub(super) gate: Gate,
    /// Whether the vault could be opened, once it is known.
    pub(super) opened: OnceLock<bool>,
    /// What the vault had of a line when this began.
    pub(super) there: OnceLock<(Line, Reach)>,
    /// Whether it does not matter what the vault had.
    pub(super) again: bool,
    pub(super) sink: &'a dyn Sink,
    pub(super) memory: &'a JournalMemory,
    pub(super) note: &'a JournalNote,
}

impl Work<'_> {
    /// Pushes what waits, several at once, and says how many; nothing is put before `open` has opened the vault.
    pub(super) fn all(&self, open: impl FnOnce() -> Result<()>) -> Result<usize> {
        thread::scope(|scope| {
            let lanes: Vec<_> = (0..self.gate.lanes).map(|_| scope.spawn(|| self.lane())).collect();
            let otherwise = Otherwise(&self.opened);
            let open = open();
            self.opened.get_or_init(|| open.is_ok());
            drop(otherwise);
            let pushed = lanes.into_iter().map(|lane| lane.join().unwrap_or_default()).sum();
            open.map(|()| pushed)
        })
    }

    /// Pushes one after the other; says how many.
    fn lane(&self) -> usize {
        let mut pushed = 0;
        loop {
            // What is taken is read at once.
            let room = self.gate.enter();
            let Some((path, effort)) = self.queue.next() else { break };
            match self.one(&path, effort, room) {
                Ok(n) => pushed += n,
                Err(_) => self.queue.end(),
            }
        }
        pushed
    }

    fn one(&self, path: &Path, effort: Effort, mut room: Room<'_>) -> Result<usize> {
        let own = |file: &super::push::File| self.note.system == Some(file.system);
        // It went, or is told when it is asked for.
        let gone = OpsError::Defect("a segment that waits");
        let file = prepare(path, self.note).ok().filter(own).ok_or(gone)?;
        if self.memory.has(&file.name, &file.hash) {
            return Ok(0);
        }
        let (name, hash, sought) = (file.name.clone(), file.hash, file.sought());
        let begun = begin(self.sink, file, effort)?;
        room.fly(begun.size());
        if !*self.opened.wait() {
            return Err(OpsError::Defect("a vault to push to"));
        }
        let there = self.there.get().is_some_and(|(line, reach)| sought.lies_within(line, reach));
        let taken = self.memory.taken(&name, &hash);
        if !self.again && (taken == Taken::Other || taken == Taken::Unknown && there) {
            // It is told when it is asked for.
            return Err(OpsError::Defect("a segment that nobody pushed"));
        }
        begun.finish(self.memory).map(|_| 1)
    }
}

/// Lets in so many at once who compress, and none while much is on its way.
pub(super) struct Gate {
    most: usize,
    lanes: usize,
    state: Mutex<(usize, u64)>,
    left: Condvar,
}

/// A place behind the gate.
struct Room<'a> {
    gate: &'a Gate,
    /// How many bytes are on their way, once they are.
    flying: Option<u64>,
}

impl Gate {
    /// For segments of so many bytes.
    pub(super) fn of(size: u64) -> Self {
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        let room = usize::try_from(TOGETHER / size.max(1)).unwrap_or(PACKED);
        let most = room.clamp(1, PACKED.min(processors + 1));
        // A segment of more than one piece stays in memory until the last of them is compressed.
        let lanes = if size > PIECE as u64 { most } else { AT_ONCE };
        Self { most, lanes, state: Mutex::default(), left: Condvar::new() }
    }

    fn is_full(&self, (packing, flying): (usize, u64)) -> bool {
        packing >= self.most || flying >= FLYING
    }

    /// Waits until there is room.
    fn enter(&self) -> Room<'_> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |state: &mut (usize, u64)| self.is_full(*state);
        let mut state = self.left.wait_while(state, full).unwrap_or_else(PoisonError::into_inner);
        state.0 += 1;
        Room { gate: self, flying: None }
    }

    fn change(&self, change: impl FnOnce(&mut (usize, u64))) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.left.notify_all();
    }
}

impl Room<'_> {
    /// What was compressed is on its way, and takes so much memory: another may compress.
    fn fly(&mut self, bytes: u64) {
        self.flying = Some(bytes);
        self.gate.change(|(packing, flying)| (*packing, *flying) = (*packing - 1, *flying + bytes));
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.gate.change(|(packing, flying)| match self.flying {
            Some(bytes) => *flying -= bytes,
            None => *packing -= 1,
        });
    }
}

/// What waits, for several lanes.
pub(super) struct Queue {
    /// What began this.
    first: PathBuf,
    most: usize,
    /// So long it is waited for more.
    linger: Duration,
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
    pub(super) fn new(first: &Path, most: usize, linger: Duration) -> Self {
        let now = Instant::now();
        let (waiting, taken) = (VecDeque::new(), BTreeSet::new());
        let state = Mutex::new(State { waiting, taken, found: now, listed: false, over: false });
        Self { first: first.to_owned(), most, linger, begun: now, state }
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
                    let behind = state.waiting.len() >= MANY;
                    return Some((path, if behind { Effort::Less } else { Effort::Usual }));
                }
                if state.found.elapsed() > self.linger {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_memory_has_a_bound() {
        let gate = Gate::of(16 << 20);
        assert_eq!(gate.lanes, AT_ONCE);
        let mut rooms: Vec<_> = (0..gate.most).map(|_| gate.enter()).collect();
        let is_full = || gate.is_full(*gate.state.lock().unwrap());
        assert!(is_full(), "enough are compressed");
        for room in &mut rooms {
            room.fly(1);
        }
        assert!(!is_full());
        rooms.push(gate.enter());
        rooms.last_mut().unwrap().fly(FLYING);
        assert!(is_full(), "enough are on their way");
        drop(rooms);
        assert_eq!(*gate.state.lock().unwrap(), (0, 0));
        // Segments that are held as a whole.
        let (large, huge) = (Gate::of(48 << 20), Gate::of(1 << 30));
        assert_eq!((large.most, large.lanes, huge.most, huge.lanes), (2, 2, 1, 1));
    }
}
