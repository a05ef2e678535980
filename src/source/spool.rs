//! A bounded spool between programs that dump and what stores their dumps. A program holds its locks for as long as it has
//! something left to write, so it writes at its own speed: first into memory, then into a file that has no name, sealed
//! under a key that is nowhere but in memory. Where neither has room, the program waits for the reader, as it would without.
//!
//! What was read is free again at once: its place in the file is punched out and used anew.

mod disk;
mod load;
mod state;
mod writing;

use std::{
    io::{self, Read},
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use self::{
    disk::{Disk, SLOT},
    state::{Entry, Next, State},
};
use crate::{
    codec::passing::TAG,
    model::size,
    vault::haste::{Haste, Machine},
};

pub use disk::room;
pub(super) use writing::Writing;

/// How much waits on the disk at most, if nothing else is said.
pub const SPOOL: u64 = 16 << 30;
/// The least that can be asked for.
pub const LEAST: u64 = 64 << 20;

/// What is read at once, and is a slot of the file when it is sealed.
const BLOCK: usize = SLOT - TAG;
/// How many blocks wait in memory, of all streams: 32 MiB for each program that may run at once.
const BLOCKS: usize = 32;
/// How many are kept to be filled again.
const SPARE: usize = 4;
/// How soon a disk that had no room is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Where what waits is written, and how much of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolPlace {
    /// A directory, which is made if it is not there.
    pub dir: PathBuf,
    /// How many bytes wait there at most.
    pub most: u64,
}

/// A spool for all streams of one source.
#[derive(Clone)]
pub(super) struct Spool(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    disk: Option<Disk>,
    next: AtomicU64,
    haste: Haste,
    /// Blocks to be filled again: fresh memory costs as much as what is read into it.
    spare: Mutex<Vec<Vec<u8>>>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A block to fill.
    fn buffer(&self) -> Vec<u8> {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        spare.unwrap_or_else(|| Vec::with_capacity(SLOT))
    }

    fn give_back(&self, block: Vec<u8>) {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE && block.capacity() >= SLOT {
            spare.push(block);
        }
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`wait`](Self::wait), and no longer than until a disk is tried again.
    fn wait_a_while<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait_timeout(state, AGAIN).unwrap_or_else(PoisonError::into_inner).0
    }

    /// Puts a block behind the others of a stream, once there is room for it; false if nobody reads that any more.
    fn put(&self, id: u64, mut block: Vec<u8>) -> bool {
        let mut state = self.lock();
        loop {
            match state.place(id) {
                Next::Gone => return false,
                Next::Memory => {
                    let there = state.push(id, Entry::Memory(block));
                    self.changed.notify_all();
                    return there;
                }
                Next::Disk { slot, number } => {
                    drop(state);
                    // There is no place on a disk where there is no disk.
                    let Some(disk) = &self.disk else { return false };
                    let written = disk.write(slot, number, &mut block);
                    state = self.lock();
                    match written {
                        Ok(len) if state.push(id, Entry::Disk { slot, number, len }) => {
                            self.changed.notify_all();
                            drop(state);
                            self.give_back(block);
                            return true;
                        }
                        Ok(_) => {
                            disk.punch(slot);
                            state.free(slot);
                            return false;
                        }
                        Err(why) => {
                            disk.punch(slot);
                            state.refused(slot, why);
                        }
                    }
                }
                Next::Full => {
                    self.haste.is_full();
                    state = self.wait_a_while(state);
                }
            }
        }
    }

    /// The next block of a stream, or `None` at its end.
    fn take(&self, id: u64, into: &mut Vec<u8>) -> io::Result<bool> {
        let mut state = self.lock();
        let (slot, number, len) = loop {
            match state.next(id)? {
                Some(Some(Entry::Memory(block))) => {
                    self.changed.notify_all();
                    drop(state);
                    self.give_back(std::mem::replace(into, block));
                    return Ok(true);
                }
                Some(Some(Entry::Disk { slot, number, len })) => break (slot, number, len),
                Some(None) => return Ok(false),
                None => state = self.wait(state),
            }
        };
        drop(state);
        let disk = self.disk.as_ref().ok_or_else(|| io::Error::other("the spool has no file"))?;
        let read = disk.read((slot, number, len), into);
        disk.punch(slot);
        self.lock().free(slot);
        self.changed.notify_all();
        read.map(|()| true)
    }
}

impl Spool {
    /// A spool for the streams of as many programs at once as there are `jobs`. Without a place there is memory alone. `haste`
    /// hears when there is no room.
    pub(super) fn new(place: Option<&SpoolPlace>, jobs: usize, haste: &Haste) -> Self {
        let place = place.filter(|place| place.most > 0);
        let slots = place.map_or(0, |place| place.most / SLOT as u64);
        let state = Mutex::new(State::new(BLOCKS.saturating_mul(jobs.max(1)), slots));
        let disk = place.map(|place| Disk::new(place.dir.clone()));
        let (changed, next) = (Condvar::new(), AtomicU64::new(0));
        Self(Arc::new(Shared { state, changed, disk, next, haste: haste.clone(), spare: Mutex::default() }))
    }

    /// Begins to read `from`, on a thread of its own. `while_it_writes` is dropped at its end, or with the next block after
    /// what is given back was dropped.
    pub(super) fn start(
        &self,
        from: impl Read + Send + 'static,
        while_it_writes: impl Send + 'static,
    ) -> io::Result<Spooled> {
        let shared = Arc::clone(&self.0);
        let id = shared.next.fetch_add(1, Ordering::Relaxed);
        shared.lock().begin(id);
        let spooled = Spooled { shared: Arc::clone(&shared), id, block: Vec::new(), at: 0, ended: false };
        let aside = shared.haste.put_aside();
        let fill = move || {
            // Whatever happens to this thread, who reads learns that there is no more.
            let mut end = End { shared, id, how: Some(Err(io::Error::other("its reader stopped before the end"))) };
            end.how = fill(&end.shared, id, from);
            drop((while_it_writes, aside, end));
        };
        thread::Builder::new().name("spool".to_owned()).spawn(fill)?;
        Ok(spooled)
    }

    /// What to tell people once all was read: that a program had to wait for the reader, since there was no room.
    pub(super) fn told(&self) -> Option<String> {
        let state = self.0.lock();
        let dir = self.0.disk.as_ref()?.dir().display();
        let (peak, most) = (size::human(state.peak()), size::human(state.most()));
        let why = match state.slowed()? {
            Some(why) => format!("the spool in {dir} took no more than {peak}: {why}"),
            None => format!("the spool in {dir} was full: `spool` allows {most}"),
        };
        Some(format!(
            "{why}. From there on the dump went at the speed of the backup, and whoever waited for its locks waited longer"
        ))
    }
}

/// Who goes first where programs write into a spool: they do, and those who give way wait for them while somebody waits for
/// their locks and no core is idle.
pub(super) fn haste() -> Haste {
    Haste::new(give_way).pausing(Machine::this(load::idle))
}

/// Makes this thread give way to all others.
fn give_way() {
    // Where it can't be, nothing but time is lost.
    let _ = rustix::process::setpriority_process(None, 19);
}

/// Reads to the end; `None` if nobody wants it any more.
fn fill(shared: &Shared, id: u64, mut from: impl Read) -> Option<io::Result<()>> {
    loop {
        let mut block = shared.buffer();
        let read = fill_block(&mut from, &mut block);
        let whole = block.len() == BLOCK;
        shared.haste.wrote(block.len() as u64);
        if !block.is_empty() && !shared.put(id, block) {
            return None;
        }
        if read.is_err() || !whole {
            return Some(read);
        }
    }
}

/// Reads a whole block, or up to the end. Each time as much as there is: a program that finds little room in its pipe is woken
/// for little, and sleeps again.
fn fill_block(from: &mut impl Read, block: &mut Vec<u8>) -> io::Result<()> {
    block.resize(BLOCK, 0);
    let mut filled = 0;
    let mut read = Ok(());
    // Never without room: an empty read says nothing of the end.
    while let Some(free) = block.get_mut(filled..).filter(|free| !free.is_empty()) {
        match from.read(free) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => {
                read = Err(e);
                break;
            }
        }
    }
    block.truncate(filled);
    read
}

/// Tells the end of a stream when it is dropped.
struct End {
    shared: Arc<Shared>,
    id: u64,
    how: Option<io::Result<()>>,
}

impl Drop for End {
    fn drop(&mut self) {
        if let Some(how) = self.how.take() {
            self.shared.lock().end(self.id, how);
        }
        self.shared.changed.notify_all();
    }
}

/// A stream that comes out of the spool as it went in.
pub(super) struct Spooled {
    shared: Arc<Shared>,
    id: u64,
    block: Vec<u8>,
    at: usize,
    ended: bool,
}

impl Read for Spooled {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.at == self.block.len() && !self.ended {
            self.at = 0;
            self.block.clear();
            self.ended = !self.shared.take(self.id, &mut self.block)?;
        }
        let mut rest = self.block.get(self.at..).unwrap_or_default();
        let n = rest.read(buf)?;
        self.at += n;
        Ok(n)
    }
}

impl Drop for Spooled {
    fn drop(&mut self) {
        let slots = self.shared.lock().forget(self.id);
        for slot in slots {
            if let Some(disk) = &self.shared.disk {
                disk.punch(slot);
            }
            self.shared.lock().free(slot);
        }
        self.shared.changed.notify_all();
    }
}

#[cfg(test)]
mod tests;
