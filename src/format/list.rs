//! Chunk lists: what a stream is made of, in order.

use serde::{Deserialize, Serialize};

use super::{Result, cursor::Cursor};
use crate::model::{ChunkId, ChunkerParams};

/// One chunk of a stream. In JSON a pair of id and length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(ChunkId, u32)", into = "(ChunkId, u32)")]
pub struct ChunkRef {
    /// The chunk's id.
    pub id: ChunkId,
    /// Its length in bytes.
    pub len: u32,
}

impl From<(ChunkId, u32)> for ChunkRef {
    fn from((id, len): (ChunkId, u32)) -> Self {
        Self { id, len }
    }
}

impl From<ChunkRef> for (ChunkId, u32) {
    fn from(chunk: ChunkRef) -> Self {
        (chunk.id, chunk.len)
    }
}

/// The bytes of one entry of an encoded list.
pub const ENTRY: usize = 36;

/// Appends an entry to an encoded list.
pub fn push(list: &mut Vec<u8>, chunk: ChunkRef) {
    list.extend_from_slice(chunk.id.as_bytes());
    list.extend_from_slice(&chunk.len.to_le_bytes());
}

/// Decodes a list, or a part of one that holds whole entries.
///
/// # Errors
/// If the bytes end within an entry or a length is out of bounds.
pub fn decode(bytes: &[u8]) -> Result<Vec<ChunkRef>> {
    let mut cursor = Cursor::new("chunk list", bytes);
    let mut chunks = Vec::with_capacity(bytes.len() / ENTRY);
    while cursor.remaining() > 0 {
        let id = ChunkId::from_bytes(cursor.array()?);
        let len = cursor.u32()?;
        if len == 0 || len > ChunkerParams::LIMIT {
            return Err(cursor.error("a chunk's length is out of bounds"));
        }
        chunks.push(ChunkRef { id, len });
    }
    Ok(chunks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_round_trip_and_refuse_junk() {
        let chunks: Vec<ChunkRef> =
            (1..5_u8).map(|i| ChunkRef { id: ChunkId::from_bytes([i; 32]), len: u32::from(i) }).collect();
        let mut bytes = Vec::new();
        for chunk in &chunks {
            push(&mut bytes, *chunk);
        }
        assert_eq!(decode(&bytes).unwrap(), chunks);
        assert!(decode(&bytes[1..]).is_err());
        assert!(decode(&[0; ENTRY]).is_err());
        assert!(decode(&[0xff; ENTRY]).is_err());
    }
}
