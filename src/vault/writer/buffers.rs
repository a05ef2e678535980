//! Fixed sets of buffers that travel through the pipeline and come back.
//!
//! A set bounds the memory of what lies between two stages, and slows the first down to the speed of the second: who
//! finds no free buffer waits for one. That all of them are used again and again keeps large pieces of memory from
//! being asked for and given back hundreds of times in a second, of which an allocator keeps many at hand.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};

/// A pool of buffers of one capacity.
pub(super) struct Pool {
    free: Receiver<Vec<u8>>,
    back: Sender<Vec<u8>>,
}

/// A buffer of a pool. Goes back there when it is dropped, or the last of those who share it drops it.
pub(super) struct Buffer {
    bytes: Vec<u8>,
    back: Sender<Vec<u8>>,
}

impl Pool {
    /// A pool of `count` buffers; each is allocated when it is first used.
    pub(super) fn new(count: usize) -> Self {
        let (back, free) = bounded(count);
        for _ in 0..count {
            // Cannot fail: the channel has room for all of them.
            let _ = back.try_send(Vec::new());
        }
        Self { free, back }
    }

    /// Waits for a free buffer and makes it `len` bytes long. Its contents are whatever was there.
    pub(super) fn take(&self, len: usize) -> Option<Vec<u8>> {
        let mut bytes = self.free.recv().ok()?;
        bytes.resize(len, 0);
        Some(bytes)
    }

    /// Waits for a free buffer, empties it and gives it room for `capacity` bytes: one that grew as it is filled would
    /// leave its smaller selves behind.
    pub(super) fn lend(&self, capacity: usize) -> Buffer {
        // Cannot fail: this end holds a sender too.
        let mut bytes = self.free.recv().unwrap_or_default();
        bytes.clear();
        bytes.reserve(capacity);
        Buffer { bytes, back: self.back.clone() }
    }

    /// Gives a buffer to the stages.
    pub(super) fn share(&self, bytes: Vec<u8>) -> Arc<Buffer> {
        Arc::new(Buffer { bytes, back: self.back.clone() })
    }
}

impl Buffer {
    /// The buffer's bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The buffer's bytes, to be added to.
    pub(super) fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let _ = self.back.try_send(std::mem::take(&mut self.bytes));
    }
}
