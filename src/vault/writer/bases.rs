//! The bases of deltas: what is kept of new packs in the local cache, and how a base is found and read there.
//!
//! A file of the cache is, for one pack: 4 bytes of length, the sealed head, the sealed blocks. The head has a pack
//! directory of the blocks that were kept, and the sketches of their chunks. Each piece is sealed under the pack's id and
//! its own number, so none can stand in for another.

use std::{
    collections::VecDeque,
    io, iter,
    ops::Range,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use super::stages::{BaseRef, PackPlan};
use crate::{
    catalog::Bases,
    codec::{
        compress::{Codec, Decompressor},
        hash::ChunkIdKey,
        seal::{LOCAL_OVERHEAD, LocalSealer},
        sketch::{SUPER_FEATURES, Sketch},
    },
    format::{
        cursor::Cursor,
        pack::{Block, Directory},
    },
    model::{ChunkId, PackId},
    vault::VaultError,
};

/// Decoded blocks that are kept for the next chunks: 4 MiB each at most.
const BLOCKS: usize = 4;
/// Heads that are kept: a few tens of KiB each.
const HEADS: usize = 16;
/// The largest head that is read.
const HEAD_LIMIT: usize = 8 << 20;

/// The cache as one run uses it. Shared by the workers.
pub(super) struct BaseCache {
    files: Arc<Bases>,
    sealer: LocalSealer,
    recent: Mutex<Recent>,
    /// The first failure to write; nothing more is written after it.
    failure: Mutex<Option<String>>,
    full: AtomicBool,
}

#[derive(Default)]
struct Recent {
    heads: VecDeque<(PackId, Option<Arc<Head>>)>,
    blocks: VecDeque<(PackId, usize, Slot)>,
}

/// Filled by the first who wants it, while others wait.
type Slot = Arc<OnceLock<Option<Arc<Home>>>>;

/// What a file holds.
struct Head {
    directory: Directory,
    /// Where the blocks begin in the file.
    blocks_at: u64,
}

/// A decoded block of bases.
pub(super) struct Home {
    pack: PackId,
    plain: Vec<u8>,
    stored: u64,
    chunks: Vec<(ChunkId, Range<usize>)>,
}

impl Home {
    /// The bytes of a base that is in this block.
    pub(super) fn chunk(&self, base: &BaseRef) -> Option<&[u8]> {
        let (_, range) = self.chunks.iter().find(|(id, _)| *id == base.chunk && base.pack == self.pack)?;
        self.plain.get(range.clone())
    }

    /// About how many bytes `len` bytes would add to a block of what resembles this one.
    pub(super) fn would_store(&self, len: usize) -> u64 {
        (len as u64).saturating_mul(self.stored) / (self.plain.len() as u64).max(1)
    }
}

impl BaseCache {
    pub(super) fn new(files: Arc<Bases>, key: &ChunkIdKey) -> Result<Self, VaultError> {
        let (recent, failure) = (Mutex::default(), Mutex::default());
        Ok(Self { files, sealer: key.local_sealer()?, recent, failure, full: AtomicBool::new(false) })
    }

    /// The files.
    pub(super) fn files(&self) -> &Bases {
        &self.files
    }

    /// Why the cache stopped being written, if it did.
    pub(super) fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps the blocks of a pack whose chunks were sketched. Returns those chunks, if they were kept.
    /// A disk that can't be written is noted and costs space only. `sealed` is room that is used again.
    pub(super) fn keep(&self, id: &PackId, plan: &PackPlan, sealed: &mut Vec<u8>) -> Vec<(ChunkId, Sketch)> {
        if self.full.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let mut kept = Directory::default();
        let (mut chunks, mut sketches, mut pieces) = (Vec::new(), Vec::new(), Vec::new());
        let mut rest = plan.blocks.bytes();
        for (block, sketched) in plan.directory.blocks.iter().zip(&plan.sketches) {
            let (bytes, after) = rest.split_at_checked(block.stored as usize).unwrap_or((rest, &[]));
            rest = after;
            if sketched.is_empty() {
                continue;
            }
            let both = block.chunks.iter().zip(sketched);
            chunks.extend(both.filter_map(|(chunk, sketch)| sketch.map(|sketch| (chunk.id, sketch))));
            sketches.extend(sketched.iter().flat_map(|sketch| sketch.unwrap_or_default()).flat_map(u64::to_le_bytes));
            kept.blocks.push(block.clone());
            pieces.push(bytes);
        }
        if chunks.is_empty() {
            return Vec::new();
        }
        let mut head = kept.encode();
        let directory_len = u32::try_from(head.len()).unwrap_or(u32::MAX);
        head.splice(..0, directory_len.to_le_bytes());
        head.extend_from_slice(&sketches);
        let head_len = u32::try_from(head.len() + LOCAL_OVERHEAD).unwrap_or(u32::MAX);
        let len = 4 + u64::from(head_len) + pieces.iter().map(|p| (p.len() + LOCAL_OVERHEAD) as u64).sum::<u64>();
        let put = self.files.put(id, len, |file| {
            file.write_all(&head_len.to_le_bytes())?;
            for (at, piece) in iter::once(head.as_slice()).chain(pieces).enumerate() {
                sealed.clear();
                self.sealer.seal(&context(id, at), piece, sealed).map_err(io::Error::other)?;
                file.write_all(sealed)?;
            }
            Ok(())
        });
        match put {
            Ok(true) => chunks,
            Ok(false) => {
                self.full.store(true, Ordering::Relaxed);
                Vec::new()
            }
            Err(error) => {
                self.full.store(true, Ordering::Relaxed);
                let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
                failure.get_or_insert(error.to_string());
                Vec::new()
            }
        }
    }

    /// The block that a base is in; `None` if the cache does not have it any more, or has something else.
    pub(super) fn home(&self, base: &BaseRef) -> Option<Arc<Home>> {
        let head = self.head(&base.pack)?;
        let at = head.directory.blocks.iter().position(|block| block.chunks.iter().any(|c| c.id == base.chunk))?;
        let slot = self.with(|recent| {
            let known = recent.blocks.iter().position(|(pack, n, _)| *pack == base.pack && *n == at);
            let entry = known.and_then(|known| recent.blocks.remove(known));
            let entry = entry.unwrap_or_else(|| (base.pack, at, Slot::default()));
            let slot = Arc::clone(&entry.2);
            recent.blocks.push_back(entry);
            if recent.blocks.len() > BLOCKS {
                recent.blocks.pop_front();
            }
            slot
        });
        slot.get_or_init(|| self.decode(&base.pack, &head, at).map(Arc::new)).clone()
    }

    fn decode(&self, pack: &PackId, head: &Head, at: usize) -> Option<Home> {
        let lengths = head.directory.blocks.iter().map(|b| u64::from(b.stored) + LOCAL_OVERHEAD as u64);
        let from = head.blocks_at + lengths.take(at).sum::<u64>();
        let block = head.directory.blocks.get(at)?;
        let sealed = self.files.read(pack, from, block.stored as usize + LOCAL_OVERHEAD)?;
        let Some(home) = self.open_block(pack, block, at, sealed) else {
            self.files.forget(pack);
            return None;
        };
        Some(home)
    }

    fn open_block(&self, pack: &PackId, block: &Block, at: usize, sealed: Vec<u8>) -> Option<Home> {
        let stored = self.sealer.open(&context(pack, at + 1), sealed).ok()?;
        let mut plain = Vec::new();
        match block.codec {
            Codec::ZstdDelta => return None,
            codec => Decompressor::new().ok()?.decompress(codec, &stored, block.plain as usize, &mut plain).ok()?,
        }
        let mut end = 0;
        let place = |chunk: &crate::format::list::ChunkRef| {
            let start = end;
            end += chunk.len as usize;
            (chunk.id, start..end)
        };
        let chunks = block.chunks.iter().map(place).collect();
        Some(Home { pack: *pack, plain, stored: u64::from(block.stored), chunks })
    }

    fn head(&self, pack: &PackId) -> Option<Arc<Head>> {
        let known = self.with(|recent| recent.heads.iter().find(|(id, _)| id == pack).map(|(_, head)| head.clone()));
        if let Some(known) = known {
            return known;
        }
        let head = self.read_head(pack).map(|(directory, blocks_at, _)| Arc::new(Head { directory, blocks_at }));
        if head.is_none() {
            self.files.forget(pack);
        }
        self.with(|recent| {
            recent.heads.push_back((*pack, head.clone()));
            if recent.heads.len() > HEADS {
                recent.heads.pop_front();
            }
        });
        head
    }

    /// The chunks that a file holds and their sketches; none if it can't be used.
    pub(super) fn sketches(&self, pack: &PackId) -> Option<Vec<(ChunkId, Sketch)>> {
        let (directory, _, sketches) = self.read_head(pack)?;
        let chunks = directory.blocks.iter().flat_map(|block| &block.chunks).map(|chunk| chunk.id);
        let none = Sketch::default();
        Some(chunks.zip(sketches).filter(|(_, sketch)| *sketch != none).collect())
    }

    /// The directory in a file's head, where its blocks begin, and the sketches of its chunks.
    fn read_head(&self, pack: &PackId) -> Option<(Directory, u64, Vec<Sketch>)> {
        let len = self.files.read(pack, 0, 4)?;
        let len = usize::try_from(u32::from_le_bytes(*len.first_chunk()?)).ok().filter(|len| *len <= HEAD_LIMIT)?;
        let sealed = self.files.read(pack, 4, len)?;
        let head = self.sealer.open(&context(pack, 0), sealed).ok()?;
        let mut cursor = Cursor::new("head of a cached pack", &head);
        let directory_len = usize::try_from(cursor.u32().ok()?).ok()?;
        let directory = Directory::decode(cursor.take(directory_len).ok()?).ok()?;
        let chunks: usize = directory.blocks.iter().map(|b| b.chunks.len()).sum();
        let mut sketches = Vec::with_capacity(chunks);
        for _ in 0..chunks {
            let mut sketch = [0; SUPER_FEATURES];
            for feature in &mut sketch {
                *feature = cursor.u64().ok()?;
            }
            sketches.push(sketch);
        }
        cursor.finish().ok()?;
        Some((directory, 4 + len as u64, sketches))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Recent) -> T) -> T {
        act(&mut self.recent.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What a piece is sealed under.
fn context(pack: &PackId, piece: usize) -> Vec<u8> {
    let mut context = pack.as_bytes().to_vec();
    context.extend_from_slice(&(piece as u64).to_le_bytes());
    context
}
