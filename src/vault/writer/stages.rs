//! What travels between the stages, and the tokens that bound how much of it there is.
//!
//! Every channel is unbounded, so that no stage can block another in a circle; memory is bounded by what must be taken
//! before something large comes into being and is given back when it is gone: buffers (see `buffers`) of what was read,
//! of compressed blocks not yet in a pack, and of packs; and tokens (see `tokens`) of packs not yet acknowledged by the store.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;

use super::{buffers::Buffer, intake::Segment, pressure::Slot};
use crate::{
    codec::{seal::SealedFile, sketch::Sketch},
    format::{list::ChunkRef, pack::Block, pack::Directory},
    model::{ChunkId, Lock, PackId},
    store::Version,
};

/// A segment whose chunks have been named.
pub(super) struct Hashed {
    pub(super) segment: Segment,
    pub(super) ids: Vec<ChunkId>,
    /// Their sketches, if most of what came before was new; empty otherwise.
    pub(super) sketches: Vec<Option<Sketch>>,
}

/// A chunk that must be stored.
#[derive(Clone, Copy)]
pub(super) struct NewChunk {
    pub(super) chunk: ChunkRef,
    /// What later chunks may be found to resemble it by.
    pub(super) sketch: Option<Sketch>,
}

/// The bytes of a block before compression.
pub(super) enum Plain {
    /// Part of a buffer, as it was read.
    Shared(Arc<Buffer>, Range<usize>),
    /// Gathered from several places.
    Gathered(Vec<u8>),
}

impl Plain {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Shared(buffer, range) => buffer.bytes().get(range.clone()).unwrap_or_default(),
            Self::Gathered(bytes) => bytes,
        }
    }
}

/// What the compressors are given.
pub(super) struct Work {
    /// Its place among all work of the run.
    pub(super) seq: u64,
    /// Where what comes of it is put.
    pub(super) out: Buffer,
    pub(super) kind: WorkKind,
}

pub(super) enum WorkKind {
    /// New chunks to compress together.
    Block(Plain, Vec<NewChunk>),
    /// New chunks of one buffer to store as deltas, each of a chunk that it resembles.
    Deltas(Arc<Buffer>, Vec<Resembling>),
}

/// A new chunk and what it resembles.
pub(super) struct Resembling {
    pub(super) new: NewChunk,
    pub(super) range: Range<usize>,
    pub(super) base: BaseRef,
}

/// A whole chunk that may serve as a base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BaseRef {
    pub(super) chunk: ChunkId,
    /// The pack that it is in, which names its file in the cache.
    pub(super) pack: PackId,
}

/// What came of it: one block or more.
pub(super) struct Done {
    pub(super) seq: u64,
    pub(super) blocks: Vec<DoneBlock>,
    /// The bytes of these blocks, one after the other.
    pub(super) bytes: Buffer,
}

/// A compressed block.
pub(super) struct DoneBlock {
    pub(super) entry: Block,
    /// Of each chunk, or of none.
    pub(super) sketches: Vec<Option<Sketch>>,
}

/// What the packer is told.
pub(super) enum ToPacker {
    Done(Done),
    /// There will be so much work in all.
    End {
        works: u64,
    },
}

/// A pack to be sealed.
pub(super) struct PackPlan {
    pub(super) directory: Directory,
    /// The bytes of the blocks, one after the other.
    pub(super) blocks: Buffer,
    /// For each block, the sketches of its chunks, if it has any.
    pub(super) sketches: Vec<Vec<Option<Sketch>>>,
    pub(super) permit: Slot,
}

/// A pack ready to be put, kept until the store has acknowledged it: one whose put stayed unanswered is sealed again
/// under a new name.
pub(super) struct SealedPack {
    pub(super) file: SealedFile,
    pub(super) directory: Directory,
    /// The sketches of chunks that the cache of bases has now.
    pub(super) kept: Vec<(ChunkId, Sketch)>,
    pub(super) permit: Slot,
}

impl SealedPack {
    pub(super) fn id(&self) -> PackId {
        PackId::from_bytes(*self.file.hash.as_bytes())
    }
}

/// A pack that the store acknowledged, with the lock that it really has.
pub(super) struct Acknowledged {
    pub(super) id: PackId,
    pub(super) bytes: u64,
    pub(super) version: Option<Version>,
    pub(super) lock: Option<Lock>,
    pub(super) header: Bytes,
    pub(super) directory: Directory,
    /// The sketches of chunks that the cache of bases has now.
    pub(super) sketches: Vec<(ChunkId, Sketch)>,
}
