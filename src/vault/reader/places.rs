//! Where the chunks of a snapshot are, in little memory: a restore must know of each chunk of a writer's indexes, and a vault
//! of a tebibyte has eight million.
//!
//! A chunk takes 8 bytes: the beginning of its id and where it begins in its block. They stand in the order of the packs, so
//! that pack, block and length follow from a chunk's number. 4 more bytes are its number in the order of ids, and 1 the buckets
//! of that order. Ids of other chunks that begin alike are possible: whoever reads a chunk holds its bytes against its id, and
//! tries the chunk's other places where they are not right.

use bytes::Bytes;

use crate::{
    codec::compress::{BLOCK_LIMIT, Codec},
    format::{
        index::Section,
        layout,
        list::ChunkRef,
        pack::{Block, PACK_LIMIT},
        page::PackRef,
    },
    model::{ChunkId, Key, Name, PackId},
};

/// A pack as a snapshot may use it.
pub(crate) struct PackPlace {
    pub(crate) key: Key,
    pub(crate) id: PackId,
    pub(crate) sealed_len: u64,
    pub(crate) version: Option<Box<str>>,
    /// The pack's age header and nonce.
    pub(crate) header: Bytes,
    blocks: Box<[BlockRow]>,
    /// Where the last block ends.
    end: u32,
    /// The number of the first chunk.
    first: u32,
}

/// A block as it is kept.
#[derive(Clone, Copy)]
struct BlockRow {
    offset: u32,
    plain: u32,
    /// The place of its first chunk in the pack.
    first: u32,
    /// One more than the place of its base among all bases, or 0.
    base: u32,
    codec: Codec,
}

/// A block within a pack.
#[derive(Clone, Copy)]
pub(crate) struct BlockPlace {
    /// Where its bytes begin in the opened pack.
    pub(crate) offset: u64,
    pub(crate) stored: u32,
    pub(crate) plain: u32,
    pub(crate) codec: Codec,
    pub(crate) base: Option<ChunkId>,
}

/// One place of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Located {
    pub(crate) pack: u32,
    pub(crate) block: u32,
    /// Where the chunk begins in the decoded block.
    pub(crate) offset: u32,
    pub(crate) len: u32,
}

/// How many bits of an entry say where its chunk begins in its block.
const OFFSET_BITS: u32 = BLOCK_LIMIT.trailing_zeros();
const _: () = assert!(BLOCK_LIMIT.is_power_of_two());

/// A chunk as it is kept: the first bits of its id, then its offset.
#[derive(Clone, Copy)]
struct Entry(u64);

impl Entry {
    const fn new(id: &ChunkId, offset: u32) -> Self {
        Self(beginning(id) << OFFSET_BITS | offset as u64)
    }

    const fn beginning(self) -> u64 {
        self.0 >> OFFSET_BITS
    }

    #[allow(clippy::cast_possible_truncation, reason = "its bits are fewer")]
    const fn offset(self) -> u32 {
        (self.0 & (BLOCK_LIMIT as u64 - 1)) as u32
    }
}

const fn beginning(id: &ChunkId) -> u64 {
    match id.as_bytes().first_chunk() {
        Some(first) => u64::from_be_bytes(*first) >> OFFSET_BITS,
        None => 0,
    }
}

/// So many places of a chunk are tried. A run stores a chunk again only where it can't lean on what is there, so few have more
/// than two; whoever signs an index can name millions.
const TRIED: usize = 256;

/// Entries in pieces of one size, so that growing copies none of them.
#[derive(Default)]
struct Entries(Vec<Vec<Entry>>);

const PIECE: usize = 1 << 16;

impl Entries {
    fn push(&mut self, entry: Entry) {
        match self.0.last_mut() {
            Some(piece) if piece.len() < PIECE => piece.push(entry),
            // The first grows: most snapshots have few chunks.
            None => self.0.push(vec![entry]),
            Some(_) => {
                let mut piece = Vec::with_capacity(PIECE);
                piece.push(entry);
                self.0.push(piece);
            }
        }
    }

    fn get(&self, no: u32) -> Option<Entry> {
        let no = usize::try_from(no).ok()?;
        self.0.get(no / PIECE)?.get(no % PIECE).copied()
    }

    fn iter(&self) -> impl Iterator<Item = Entry> {
        self.0.iter().flatten().copied()
    }
}

/// All places that a snapshot's chunks may have.
#[derive(Default)]
pub(crate) struct Places {
    packs: Vec<PackPlace>,
    bases: Vec<ChunkId>,
    entries: Entries,
    count: u32,
    /// The numbers of the chunks in the order of their buckets, and of themselves within one.
    order: Vec<u32>,
    /// Where each bucket ends in it.
    ends: Vec<u32>,
    /// How far the beginning of an id is shifted to be the number of its bucket.
    shift: u32,
}

impl Places {
    /// Adds what an index or the pack itself says of a pack; false if no pack can be so. Nothing is found before all are
    /// [sorted](Self::sort).
    pub(crate) fn add(&mut self, writer: &Name, section: Section, pack: &PackRef) -> bool {
        let chunks: usize = section.directory.blocks.iter().map(|block| block.chunks.len()).sum();
        let room = u32::try_from(chunks).ok().and_then(|chunks| self.count.checked_add(chunks));
        let bytes = section.directory.blocks_len();
        let (Some(count), Ok(end), Ok(_)) =
            (room, u32::try_from(bytes.min(PACK_LIMIT as u64 + 1)), u32::try_from(self.packs.len()))
        else {
            return false;
        };
        if bytes > PACK_LIMIT as u64 {
            return false;
        }
        let (mut offset, mut first) = (0, 0);
        let blocks = section.directory.blocks.iter().map(|block| {
            let row = BlockRow { offset, plain: block.plain, first, base: self.base(block), codec: block.codec };
            offset += block.stored;
            let mut at = 0;
            for chunk in &block.chunks {
                self.entries.push(Entry::new(&chunk.id, at));
                at += chunk.len;
                first += 1;
            }
            row
        });
        let blocks = blocks.collect();
        self.packs.push(PackPlace {
            key: layout::pack(writer, &pack.id),
            id: pack.id,
            sealed_len: section.sealed_len,
            version: pack.version.as_deref().map(Into::into),
            header: section.header,
            blocks,
            end,
            first: self.count,
        });
        self.count = count;
        true
    }

    fn base(&mut self, block: &Block) -> u32 {
        let Some(base) = block.base else { return 0 };
        self.bases.push(base);
        u32::try_from(self.bases.len()).unwrap_or(0)
    }

    /// Puts the chunks into the order in which they are found.
    pub(crate) fn sort(&mut self) {
        // Two to four in a bucket.
        let bits = (self.count / 4).checked_ilog2().map_or(0, |bits| bits + 1);
        self.shift = u64::BITS - OFFSET_BITS - bits;
        self.ends = vec![0; 1 << bits];
        for entry in self.entries.iter() {
            if let Some(bucket) = self.ends.get_mut(bucket(entry.beginning(), self.shift)) {
                *bucket += 1;
            }
        }
        let mut at = 0;
        for end in &mut self.ends {
            at += std::mem::replace(end, at);
        }
        self.order = vec![0; usize::try_from(self.count).unwrap_or(0)];
        for (no, entry) in (0..).zip(self.entries.iter()) {
            // Where the next of the bucket goes; after the last, where the bucket ends.
            let Some(next) = self.ends.get_mut(bucket(entry.beginning(), self.shift)) else { continue };
            if let Some(place) = usize::try_from(*next).ok().and_then(|at| self.order.get_mut(at)) {
                *place = no;
            }
            *next += 1;
        }
    }

    /// Every place of a chunk, and rarely one of another whose id begins as its does; in the order of the packs.
    fn all<'a>(&'a self, id: &ChunkId) -> impl Iterator<Item = Located> + 'a {
        let wanted = beginning(id);
        let bucket = bucket(wanted, self.shift);
        let end = self.ends.get(bucket).copied().unwrap_or(0);
        let start = bucket.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        let range = usize::try_from(start).unwrap_or(usize::MAX)..usize::try_from(end).unwrap_or(0);
        let numbers = self.order.get(range).unwrap_or_default().iter().copied();
        let alike = numbers.filter(move |no| self.entries.get(*no).is_some_and(|entry| entry.beginning() == wanted));
        alike.filter_map(|no| self.locate(no))
    }

    fn locate(&self, no: u32) -> Option<Located> {
        let at = self.packs.partition_point(|pack| pack.first <= no).checked_sub(1)?;
        let pack = self.packs.get(at)?;
        let within = no - pack.first;
        let block_no = pack.blocks.partition_point(|block| block.first <= within).checked_sub(1)?;
        let block = pack.blocks.get(block_no)?;
        let offset = self.entries.get(no)?.offset();
        // Up to the next chunk of the block, or the block's end.
        let is_last = match pack.blocks.get(block_no + 1) {
            Some(next) => next.first == within + 1,
            None => self.packs.get(at + 1).map_or(self.count, |next| next.first) == no + 1,
        };
        let end = if is_last { block.plain } else { self.entries.get(no + 1)?.offset() };
        let (pack, block) = (u32::try_from(at).ok()?, u32::try_from(block_no).ok()?);
        Some(Located { pack, block, offset, len: end.checked_sub(offset)? })
    }

    /// Where a chunk is, first. A delta counts only if its base is there: a pack that the snapshot names for other
    /// chunks may hold an old delta of this one whose base it does not need any more.
    pub(crate) fn find_of(&self, chunk: ChunkRef) -> Option<Located> {
        let fits = |place: &Located| place.len == chunk.len;
        let opened = self.all(&chunk.id).filter(fits).take(TRIED).find(|place| self.can_be_opened(*place));
        opened.or_else(|| self.all(&chunk.id).find(fits))
    }

    /// Where a chunk is that is a base, which is never a delta itself, though another pack may hold it as one.
    pub(crate) fn find_base(&self, id: &ChunkId) -> Option<Located> {
        self.all(id).find(|place| self.block(*place).is_some_and(|(_, block)| block.base.is_none()))
    }

    fn can_be_opened(&self, place: Located) -> bool {
        let base = self.block(place).and_then(|(_, block)| block.base);
        base.is_none_or(|base| self.find_base(&base).is_some())
    }

    /// The places of a chunk, of very many the first.
    pub(crate) fn candidates(&self, id: &ChunkId) -> Vec<Located> {
        self.all(id).take(TRIED).collect()
    }

    pub(crate) fn pack(&self, no: u32) -> Option<&PackPlace> {
        self.packs.get(usize::try_from(no).ok()?)
    }

    pub(crate) fn block(&self, place: Located) -> Option<(&PackPlace, BlockPlace)> {
        let pack = self.pack(place.pack)?;
        Some((pack, self.row(pack, usize::try_from(place.block).ok()?)?))
    }

    /// All packs.
    pub(crate) fn packs(&self) -> impl Iterator<Item = &PackPlace> {
        self.packs.iter()
    }

    /// The blocks of a pack.
    pub(crate) fn blocks<'a>(&'a self, pack: &'a PackPlace) -> impl Iterator<Item = BlockPlace> + 'a {
        (0..pack.blocks.len()).filter_map(|no| self.row(pack, no))
    }

    fn row(&self, pack: &PackPlace, no: usize) -> Option<BlockPlace> {
        let row = pack.blocks.get(no)?;
        let end = pack.blocks.get(no + 1).map_or(pack.end, |next| next.offset);
        let base = row.base.checked_sub(1).and_then(|at| self.bases.get(usize::try_from(at).ok()?)).copied();
        let (offset, stored) = (u64::from(row.offset), end.checked_sub(row.offset)?);
        Some(BlockPlace { offset, stored, plain: row.plain, codec: row.codec, base })
    }
}

fn bucket(beginning: u64, shift: u32) -> usize {
    usize::try_from(beginning.checked_shr(shift).unwrap_or(0)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
