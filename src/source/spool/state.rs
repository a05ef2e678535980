//! What waits in a spool, and where the next block goes.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    time::Instant,
};

use super::{AGAIN, disk::SLOT};

/// So many blocks of the stream that is being read may wait in memory whatever others hold there, so that it goes on.
const OWN: usize = 2;

/// A block that waits.
pub(super) enum Entry {
    Memory(Vec<u8>),
    Disk {
        slot: u64,
        /// Of the block, for its key.
        number: u64,
        /// As it is written.
        len: usize,
    },
}

/// Where a block goes.
pub(super) enum Next {
    Memory,
    Disk {
        slot: u64,
        number: u64,
    },
    /// Nowhere yet.
    Full,
    /// Nobody wants it any more.
    Gone,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Entry>,
    in_memory: usize,
    being_read: bool,
    ended: Option<io::Result<()>>,
}

/// All that waits.
pub(super) struct State {
    queues: BTreeMap<u64, Queue>,
    in_memory: usize,
    most_in_memory: usize,
    /// Slots that were used and are free.
    free: Vec<u64>,
    /// So many were ever used.
    slots: u64,
    on_disk: u64,
    most_on_disk: u64,
    peak: u64,
    sealed: u64,
    /// Why the disk took no more, and when it is asked again.
    trouble: Option<(String, Instant)>,
    /// Whether a program had to wait, and why if it was not the bound.
    #[allow(clippy::option_option)] // Two questions: whether, and why.
    slowed: Option<Option<String>>,
}

impl State {
    pub(super) fn new(most_in_memory: usize, most_on_disk: u64) -> Self {
        Self {
            queues: BTreeMap::new(),
            in_memory: 0,
            most_in_memory,
            free: Vec::new(),
            slots: 0,
            on_disk: 0,
            most_on_disk,
            peak: 0,
            sealed: 0,
            trouble: None,
            slowed: None,
        }
    }

    /// A new stream.
    pub(super) fn begin(&mut self, id: u64) {
        self.queues.insert(id, Queue::default());
    }

    /// Where the next block of a stream goes. A slot that is told is taken.
    pub(super) fn place(&mut self, id: u64) -> Next {
        let Some(queue) = self.queues.get(&id) else { return Next::Gone };
        if self.in_memory < self.most_in_memory || (queue.being_read && queue.in_memory < OWN) {
            return Next::Memory;
        }
        if self.most_on_disk == 0 {
            return Next::Full;
        }
        let why = match &self.trouble {
            Some((why, at)) if at.elapsed() < AGAIN => Some(why.clone()),
            _ if self.on_disk < self.most_on_disk => {
                let slot = self.free.pop().unwrap_or_else(|| {
                    self.slots += 1;
                    self.slots - 1
                });
                self.on_disk += 1;
                self.sealed += 1;
                return Next::Disk { slot, number: self.sealed };
            }
            _ => None,
        };
        if self.slowed.is_none() {
            tracing::warn!(reason = why.as_deref().unwrap_or("its bound"), "the spool takes no more for now");
            self.slowed = Some(why);
        }
        Next::Full
    }

    /// Puts a block behind the others; false, without it, if nobody wants it any more.
    pub(super) fn push(&mut self, id: u64, entry: Entry) -> bool {
        let Some(queue) = self.queues.get_mut(&id) else { return false };
        match &entry {
            Entry::Memory(_) => {
                queue.in_memory += 1;
                self.in_memory += 1;
            }
            Entry::Disk { .. } => {
                self.trouble = None;
                self.peak = self.peak.max(self.on_disk);
            }
        }
        queue.waiting.push_back(entry);
        true
    }

    /// The next block of a stream, if one waits; `Some(None)` at its end.
    #[allow(clippy::option_option)] // Not yet is not the end.
    pub(super) fn next(&mut self, id: u64) -> io::Result<Option<Option<Entry>>> {
        let Some(queue) = self.queues.get_mut(&id) else { return Ok(Some(None)) };
        queue.being_read = true;
        match queue.waiting.pop_front() {
            Some(entry) => {
                if matches!(entry, Entry::Memory(_)) {
                    queue.in_memory -= 1;
                    self.in_memory -= 1;
                }
                Ok(Some(Some(entry)))
            }
            None => match queue.ended.take() {
                Some(Ok(())) => {
                    queue.ended = Some(Ok(()));
                    Ok(Some(None))
                }
                Some(Err(error)) => {
                    queue.ended = Some(Err(io::Error::new(error.kind(), error.to_string())));
                    Err(error)
                }
                None => Ok(None),
            },
        }
    }

    /// A slot is free again.
    pub(super) fn free(&mut self, slot: u64) {
        self.free.push(slot);
        self.on_disk = self.on_disk.saturating_sub(1);
    }

    /// The disk did not take what was to be in a slot.
    pub(super) fn refused(&mut self, slot: u64, why: String) {
        self.free(slot);
        self.trouble = Some((why, Instant::now()));
    }

    /// How a stream ended.
    pub(super) fn end(&mut self, id: u64, how: io::Result<()>) {
        if let Some(queue) = self.queues.get_mut(&id) {
            queue.ended = Some(how);
        }
    }

    /// Nobody wants a stream any more: tells the slots that it has, which are to be freed.
    pub(super) fn forget(&mut self, id: u64) -> Vec<u64> {
        let Some(queue) = self.queues.remove(&id) else { return Vec::new() };
        self.in_memory = self.in_memory.saturating_sub(queue.in_memory);
        let slot = |entry| if let Entry::Disk { slot, .. } = entry { Some(slot) } else { None };
        queue.waiting.into_iter().filter_map(slot).collect()
    }

    /// How many bytes waited on the disk at most.
    pub(super) fn peak(&self) -> u64 {
        self.peak * SLOT as u64
    }

    /// How many may.
    pub(super) fn most(&self) -> u64 {
        self.most_on_disk * SLOT as u64
    }

    /// Whether a program had to wait for its reader, and why if it was not the bound.
    #[allow(clippy::option_option)] // Two questions: whether, and why.
    pub(super) fn slowed(&self) -> Option<Option<&str>> {
        self.slowed.as_ref().map(Option::as_deref)
    }
}

#[cfg(test)]
impl State {
    /// Lets so many blocks wait in memory.
    pub(super) fn most_in_memory(&mut self, blocks: usize) {
        self.most_in_memory = blocks;
    }

    /// How many blocks wait in memory and on the disk.
    pub(super) fn in_use(&self) -> (usize, u64) {
        (self.in_memory, self.on_disk)
    }
}
