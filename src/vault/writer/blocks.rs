//! Gathers new chunks into blocks. A long run within one buffer becomes a block as it lies there, without a copy;
//! shorter runs are gathered, so that scattered new chunks don't hold whole buffers.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crossbeam_channel::Sender;

use super::{
    buffers::{Buffer, Pool},
    shared::Shared,
    stages::{NewChunk, Plain, Resembling, Work, WorkKind},
};
use crate::{codec::compress::BLOCK_LIMIT, vault::VaultError};

/// A run of at least this many bytes in one buffer is a block of its own.
const LONG_RUN: usize = 1 << 20;
/// A stream that ends with less than this in hand lets the next stream's chunks join: a tree of small files would
/// otherwise be a block for each.
const JOIN: usize = 256 << 10;

/// A block of so many chunks is full. They are of 256 bytes and less, which are described by more than they compress to.
const CHUNKS: usize = 16 << 10;

/// Numbers the work of several makers in one order.
pub(super) type BlockNumbers = Arc<AtomicU64>;

/// Makes blocks and sends them to the compressors.
pub(super) struct BlockMaker {
    out: Sender<Work>,
    /// Where the compressors put what they make.
    rooms: Arc<Pool>,
    numbers: BlockNumbers,
    shared: Arc<Shared>,
    run: Range<usize>,
    run_chunks: Vec<NewChunk>,
    gathered: Vec<u8>,
    gathered_chunks: Vec<NewChunk>,
}

impl BlockMaker {
    pub(super) fn new(out: Sender<Work>, rooms: Arc<Pool>, numbers: BlockNumbers, shared: Arc<Shared>) -> Self {
        let (run_chunks, gathered, gathered_chunks) = (Vec::new(), Vec::new(), Vec::new());
        Self { out, rooms, numbers, shared, run: 0..0, run_chunks, gathered, gathered_chunks }
    }

    /// Adds a new chunk that lies in `buffer` at `range`. Chunks of one buffer come in order, and
    /// [`end_segment`](Self::end_segment) comes before those of the next.
    ///
    /// # Errors
    /// If another stage failed.
    pub(super) fn add(&mut self, buffer: &Arc<Buffer>, range: Range<usize>, chunk: NewChunk) -> Result<(), VaultError> {
        let joins = self.run.end == range.start && range.end - self.run.start <= BLOCK_LIMIT;
        if !self.run_chunks.is_empty() && !joins {
            self.end_segment(buffer)?;
        }
        if self.run_chunks.is_empty() {
            self.run.start = range.start;
        }
        self.run.end = range.end;
        self.run_chunks.push(chunk);
        Ok(())
    }

    /// Closes the run in hand, which lies in `buffer`.
    ///
    /// # Errors
    /// If another stage failed.
    pub(super) fn end_segment(&mut self, buffer: &Arc<Buffer>) -> Result<(), VaultError> {
        let chunks = std::mem::take(&mut self.run_chunks);
        let run = std::mem::replace(&mut self.run, 0..0);
        if chunks.is_empty() {
            return Ok(());
        }
        if run.len() >= LONG_RUN {
            self.flush()?;
            return self.send(Plain::Shared(Arc::clone(buffer), run), chunks);
        }
        let bytes = buffer.bytes().get(run).unwrap_or_default();
        self.make_room(bytes.len())?;
        self.gathered.extend_from_slice(bytes);
        self.gathered_chunks.extend(chunks);
        Ok(())
    }

    /// Adds a new chunk that lies anywhere.
    ///
    /// # Errors
    /// If another stage failed.
    pub(super) fn gather(&mut self, bytes: &[u8], chunk: NewChunk) -> Result<(), VaultError> {
        self.make_room(bytes.len())?;
        self.gathered.extend_from_slice(bytes);
        self.gathered_chunks.push(chunk);
        Ok(())
    }

    /// A stream ended: what is in hand becomes a block, unless it is so little that the next stream may join it.
    ///
    /// # Errors
    /// If another stage failed.
    pub(super) fn end_stream(&mut self) -> Result<(), VaultError> {
        if self.gathered.len() >= JOIN { self.flush() } else { Ok(()) }
    }

    /// Sends what is gathered.
    ///
    /// # Errors
    /// If another stage failed.
    pub(super) fn flush(&mut self) -> Result<(), VaultError> {
        if self.gathered_chunks.is_empty() {
            return Ok(());
        }
        let plain = Plain::Gathered(std::mem::take(&mut self.gathered));
        let chunks = std::mem::take(&mut self.gathered_chunks);
        self.send(plain, chunks)
    }

    /// How much work all makers that share these numbers have given.
    pub(super) fn made(&self) -> u64 {
        self.numbers.load(Ordering::Relaxed)
    }

    fn make_room(&mut self, len: usize) -> Result<(), VaultError> {
        let full = self.gathered.len() + len > BLOCK_LIMIT || self.gathered_chunks.len() >= CHUNKS;
        if full { self.flush() } else { Ok(()) }
    }

    /// Sends chunks of one buffer that resemble others.
    ///
    /// # Errors
    /// If another stage failed.
    pub(super) fn deltas(&self, buffer: &Arc<Buffer>, chunks: Vec<Resembling>) -> Result<(), VaultError> {
        if chunks.is_empty() {
            return Ok(());
        }
        self.give(WorkKind::Deltas(Arc::clone(buffer), chunks))
    }

    fn send(&self, plain: Plain, chunks: Vec<NewChunk>) -> Result<(), VaultError> {
        self.give(WorkKind::Block(plain, chunks))
    }

    fn give(&self, kind: WorkKind) -> Result<(), VaultError> {
        let out = self.rooms.lend(0);
        self.shared.check()?;
        let seq = self.numbers.fetch_add(1, Ordering::Relaxed);
        self.out.send(Work { seq, out, kind }).map_err(|_| self.shared.why("compressing"))
    }
}
