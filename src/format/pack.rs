//! Packs: blocks of compressed chunks, then a directory, then the directory's length; all in one age file.
//!
//! ```text
//! pack (before sealing)   block*  directory  u32 length of the directory
//! directory               "SRD1"  u32 blocks  u32 chunks  block entry*  chunk entry*
//! block entry             u8 codec  u32 stored length  u32 plain length  u32 chunks  [32 bytes: base, codec 2 only]
//! chunk entry             32 bytes: id  u32 length
//! ```
//! Numbers are little-endian. Blocks and chunks stand in the order of their bytes, so offsets need not be written and
//! can't overlap: a block begins where the one before it ends, and so does a chunk within its block.

use super::{FormatError, Result, cursor::Cursor, list::ChunkRef};
use crate::{
    codec::compress::{BLOCK_LIMIT, Codec},
    model::ChunkId,
};

const WHAT: &str = "pack directory";
const MAGIC: &[u8; 4] = b"SRD1";
const BLOCK_ENTRY: usize = 13;
const CHUNK_ENTRY: usize = 36;

/// The largest sealed pack in bytes.
pub const PACK_LIMIT: usize = 32 << 20;

/// A run of neighbouring chunks, stored together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// How the run is stored.
    pub codec: Codec,
    /// Length in the pack, in bytes.
    pub stored: u32,
    /// Length when decoded, in bytes; at most [`BLOCK_LIMIT`].
    pub plain: u32,
    /// The whole chunk that a delta was made against.
    pub base: Option<ChunkId>,
    /// The chunks in order.
    pub chunks: Vec<ChunkRef>,
}

/// What a pack holds and where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Directory {
    /// The blocks in the order of their bytes.
    pub blocks: Vec<Block>,
}

impl Directory {
    /// The directory's encoding, without the length that follows it in a pack.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let chunks: usize = self.blocks.iter().map(|b| b.chunks.len()).sum();
        let mut out = Vec::with_capacity(12 + self.blocks.len() * (BLOCK_ENTRY + 32) + chunks * CHUNK_ENTRY);
        out.extend_from_slice(MAGIC);
        put_count(&mut out, self.blocks.len());
        put_count(&mut out, chunks);
        for block in &self.blocks {
            out.push(block.codec as u8);
            out.extend_from_slice(&block.stored.to_le_bytes());
            out.extend_from_slice(&block.plain.to_le_bytes());
            put_count(&mut out, block.chunks.len());
            if let Some(base) = &block.base {
                out.extend_from_slice(base.as_bytes());
            }
        }
        for chunk in self.blocks.iter().flat_map(|b| &b.chunks) {
            super::list::push(&mut out, *chunk);
        }
        out
    }

    /// Decodes a directory and checks every rule that it can break on its own.
    ///
    /// # Errors
    /// If a rule is broken.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut blocks = Vec::new();
        each_block(bytes, |block| blocks.push(block))?;
        Ok(Self { blocks })
    }

    /// The bytes that all blocks take in the pack; the directory begins there.
    #[must_use]
    pub fn blocks_len(&self) -> u64 {
        self.blocks.iter().map(|b| u64::from(b.stored)).sum()
    }
}

/// Gives each block of an encoded directory to `each`, in order, and checks every rule that a directory can break on its own:
/// what is in memory is one block. After an error some may have been given.
///
/// # Errors
/// If a rule is broken.
pub fn each_block(bytes: &[u8], mut each: impl FnMut(Block)) -> Result<()> {
    let mut cursor = Cursor::new(WHAT, bytes);
    if cursor.take(4)? != MAGIC {
        return Err(cursor.error("it does not begin with SRD1"));
    }
    let blocks = usize::try_from(cursor.u32()?).unwrap_or(usize::MAX);
    let chunks = usize::try_from(cursor.u32()?).unwrap_or(usize::MAX);
    // A block has a chunk at least.
    let least = blocks.saturating_mul(BLOCK_ENTRY).saturating_add(chunks.saturating_mul(CHUNK_ENTRY));
    if least > cursor.remaining() || blocks > chunks {
        return Err(cursor.error("its counts exceed its length"));
    }
    // The entries of the chunks stand behind those of all blocks.
    let (mut ahead, mut counted) = (cursor.clone(), 0_usize);
    for _ in 0..blocks {
        counted = counted.saturating_add(decode_block(&mut ahead)?.1);
    }
    if counted != chunks {
        return Err(cursor.error("its blocks do not hold the chunks that it counts"));
    }
    for _ in 0..blocks {
        let (mut block, count) = decode_block(&mut cursor)?;
        block.chunks = super::list::decode(ahead.take(count * CHUNK_ENTRY)?)?;
        check_block(&block)?;
        each(block);
    }
    ahead.finish()
}

fn put_count(out: &mut Vec<u8>, n: usize) {
    // A pack holds fewer than 2^32 of anything: its size is limited to 32 MiB.
    out.extend_from_slice(&u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes());
}

fn decode_block(cursor: &mut Cursor<'_>) -> Result<(Block, usize)> {
    let codec = Codec::try_from(cursor.u8()?)?;
    let stored = cursor.u32()?;
    let plain = cursor.u32()?;
    let count = usize::try_from(cursor.u32()?).unwrap_or(usize::MAX);
    let base = if codec == Codec::ZstdDelta { Some(ChunkId::from_bytes(cursor.array()?)) } else { None };
    if count.saturating_mul(CHUNK_ENTRY) > cursor.remaining() {
        return Err(cursor.error("a block counts more chunks than there are"));
    }
    Ok((Block { codec, stored, plain, base, chunks: Vec::new() }, count))
}

fn check_block(block: &Block) -> Result<()> {
    let bad = |why: &str| Err(FormatError::damaged(WHAT, why));
    let plain: u64 = block.chunks.iter().map(|c| u64::from(c.len)).sum();
    if plain != u64::from(block.plain) || block.chunks.is_empty() {
        return bad("a block's chunks do not add up to its length");
    }
    if usize::try_from(block.plain).is_ok_and(|n| n > BLOCK_LIMIT) || block.stored == 0 {
        return bad("a block's length is out of bounds");
    }
    match (block.codec, &block.base, block.chunks.as_slice()) {
        (Codec::Raw, None, _) if block.stored == block.plain => Ok(()),
        (Codec::Zstd, None, _) => Ok(()),
        (Codec::ZstdDelta, Some(base), [chunk]) if *base != chunk.id => Ok(()),
        _ => bad("a block's codec, base and lengths do not fit together"),
    }
}

/// Splits the plaintext of a whole pack into the bytes of its blocks and its directory.
///
/// # Errors
/// If the pack has no valid directory at its end, or its blocks do not fill the rest.
pub fn split(pack: &[u8]) -> Result<(&[u8], Directory)> {
    let (blocks, directory) = parts(pack)?;
    let blocks_len = u64::try_from(blocks.len()).unwrap_or(u64::MAX);
    let directory = Directory::decode(directory)?;
    if directory.blocks_len() != blocks_len {
        return Err(unfilled());
    }
    Ok((blocks, directory))
}

/// The bytes of a whole pack's blocks, and the encoding of its directory, which is checked.
///
/// # Errors
/// As for [`split`].
pub fn encoded(pack: &[u8]) -> Result<(&[u8], &[u8])> {
    let (blocks, directory) = parts(pack)?;
    check_directory(blocks.len() as u64, directory)?;
    Ok((blocks, directory))
}

/// Checks the directory that stands after `blocks` bytes of a pack's blocks, without more memory.
///
/// # Errors
/// If it is none, or not that of so many bytes.
pub fn check_directory(blocks: u64, directory: &[u8]) -> Result<()> {
    let mut bytes = 0;
    each_block(directory, |block| bytes += u64::from(block.stored))?;
    if bytes == blocks { Ok(()) } else { Err(unfilled()) }
}

fn parts(pack: &[u8]) -> Result<(&[u8], &[u8])> {
    let short = || FormatError::damaged("pack", "it is too short for its directory");
    let (rest, length) = pack.split_last_chunk::<4>().ok_or_else(short)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
    rest.len().checked_sub(length).and_then(|at| rest.split_at_checked(at)).ok_or_else(short)
}

fn unfilled() -> FormatError {
    FormatError::damaged("pack", "its blocks do not fill the space before its directory")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chunk(i: u8, len: u32) -> ChunkRef {
        ChunkRef { id: ChunkId::from_bytes([i; 32]), len }
    }

    fn example() -> Directory {
        Directory {
            blocks: vec![
                Block { codec: Codec::Raw, stored: 7, plain: 7, base: None, chunks: vec![chunk(1, 3), chunk(2, 4)] },
                Block { codec: Codec::Zstd, stored: 5, plain: 100, base: None, chunks: vec![chunk(3, 100)] },
                Block {
                    codec: Codec::ZstdDelta,
                    stored: 2,
                    plain: 90,
                    base: Some(ChunkId::from_bytes([3; 32])),
                    chunks: vec![chunk(4, 90)],
                },
            ],
        }
    }

    #[test]
    fn directories_round_trip() {
        let directory = example();
        assert_eq!(Directory::decode(&directory.encode()).unwrap(), directory);
        let mut pack = vec![0; 14];
        let encoded = directory.encode();
        pack.extend_from_slice(&encoded);
        pack.extend_from_slice(&u32::try_from(encoded.len()).unwrap().to_le_bytes());
        let (blocks, found) = split(&pack).unwrap();
        assert_eq!((blocks.len(), found), (14, directory));
        assert!(split(&pack[1..]).is_err());
    }

    #[test]
    fn broken_rules_are_refused() {
        let break_it = |change: fn(&mut Directory)| {
            let mut directory = example();
            change(&mut directory);
            Directory::decode(&directory.encode())
        };
        assert!(break_it(|d| d.blocks[0].plain = 8).is_err());
        assert!(break_it(|d| d.blocks[0].stored = 8).is_err());
        assert!(break_it(|d| d.blocks[1].chunks[0].len = 5 << 20).is_err());
        assert!(break_it(|d| d.blocks[2].base = Some(ChunkId::from_bytes([4; 32]))).is_err());
        assert!(break_it(|d| d.blocks[0].chunks.clear()).is_err());
        let mut huge = example().encode();
        huge[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(Directory::decode(&huge).is_err());
    }

    proptest! {
        #[test]
        fn hostile_bytes_make_errors_not_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Directory::decode(&bytes);
            let _ = split(&bytes);
        }

        #[test]
        fn a_changed_directory_is_never_misread_in_length(at in 0_usize..200, to in any::<u8>()) {
            let mut bytes = example().encode();
            let at = at % bytes.len();
            bytes[at] = to;
            if let Ok(directory) = Directory::decode(&bytes) {
                prop_assert_eq!(directory.encode(), bytes);
            }
        }
    }
}
