//! How packs, blocks and chunks are kept.

use super::{BlockPlace, Hint};
use crate::{
    codec::compress::{BLOCK_LIMIT, Codec},
    format::list::ChunkRef,
    model::{ChunkId, PackId},
};

/// What is kept in memory of a pack.
pub(super) struct PackRow {
    pub(super) id: PackId,
    pub(super) sealed_len: u64,
    /// Where its age header and nonce are kept.
    pub(super) header: u64,
    pub(super) header_len: u16,
    pub(super) hint: Hint,
}

/// The bytes of a block's row: four numbers, its codec, and its base or zeros.
pub(super) const BLOCK: usize = 4 * 4 + 1 + 32;

pub(super) struct BlockRow {
    pub(super) pack: u32,
    pub(super) offset: u32,
    pub(super) stored: u32,
    pub(super) plain: u32,
    pub(super) base: Option<ChunkId>,
}

impl BlockRow {
    pub(super) fn encode(&self, codec: Codec) -> [u8; BLOCK] {
        let mut out = [0; BLOCK];
        let numbers = [self.pack, self.offset, self.stored, self.plain].map(u32::to_le_bytes);
        let base = self.base.map_or([0; 32], |base| *base.as_bytes());
        let bytes = numbers.into_iter().flatten().chain([codec as u8]).chain(base);
        out.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        out
    }

    /// A block, and the number of its pack.
    pub(super) fn decode(row: &[u8; BLOCK]) -> Option<(u32, BlockPlace)> {
        let number = |no: usize| row.get(no * 4..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
        let codec = Codec::try_from(*row.get(16)?).ok()?;
        let base = row.last_chunk().filter(|_| codec == Codec::ZstdDelta).map(|base| ChunkId::from_bytes(*base));
        let (offset, stored, plain) = (number(1)?.into(), number(2)?, number(3)?);
        Some((number(0)?, BlockPlace { offset, stored, plain, codec, base }))
    }
}

/// The bytes of a chunk's row.
pub(super) const CHUNK: usize = 16;

/// How many bits say where a chunk begins in its block; the others are the beginning of its id.
const OFFSET_BITS: u32 = BLOCK_LIMIT.trailing_zeros();
const _: () = assert!(BLOCK_LIMIT.is_power_of_two());

/// How many bits of an id are kept.
pub(super) const ID_BITS: u32 = u64::BITS - OFFSET_BITS;

/// A chunk as it is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct ChunkRow {
    /// The beginning of its id, and its offset.
    head: u64,
    pub(super) block: u32,
    pub(super) len: u32,
}

impl ChunkRow {
    pub(super) fn new(chunk: &ChunkRef, offset: u32, block: u32) -> Self {
        Self { head: beginning(&chunk.id) << OFFSET_BITS | u64::from(offset), block, len: chunk.len }
    }

    pub(super) fn encode(&self) -> [u8; CHUNK] {
        let (mut out, numbers) = ([0; CHUNK], u64::from(self.len) << 32 | u64::from(self.block));
        let bytes = [self.head.to_le_bytes(), numbers.to_le_bytes()];
        out.copy_from_slice(bytes.as_flattened());
        out
    }

    #[allow(clippy::cast_possible_truncation, reason = "its halves are meant")]
    pub(super) fn decode(row: &[u8; CHUNK]) -> Self {
        let both = u128::from_le_bytes(*row);
        Self { head: both as u64, block: (both >> 64) as u32, len: (both >> 96) as u32 }
    }

    pub(super) const fn beginning(self) -> u64 {
        self.head >> OFFSET_BITS
    }

    #[allow(clippy::cast_possible_truncation, reason = "its bits are fewer")]
    pub(super) const fn offset(self) -> u32 {
        (self.head & (BLOCK_LIMIT as u64 - 1)) as u32
    }
}

/// The beginning of an id, of [`ID_BITS`].
pub(super) fn beginning(id: &ChunkId) -> u64 {
    id.as_bytes().first_chunk().map_or(0, |first| u64::from_be_bytes(*first) >> OFFSET_BITS)
}
