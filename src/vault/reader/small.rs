//! Small streams: of a tree of many files, thousands lie in one block. Blocks are kept from one stream to the next, and
//! nothing has a thread of its own.
//!
//! What can't be had this way is left to the way that tries every place of a chunk, and says what is wrong.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    PackSource, decode,
    places::{Found, Places},
};
use crate::{codec::compress::Decompressor, format::list::ChunkRef};

/// Streams of at most so many bytes are small.
pub(super) const SMALL: u64 = 1 << 20;
/// So many blocks are decoded for one stream. Whoever signs a list can make a small stream go to and fro between many.
const MOST: usize = 8;
/// So many decoded blocks are kept, of 4 MiB at most: those of a tree's files, and of the bases of some.
const KEPT: usize = 4;

/// A block by its pack and its place there, decoded.
type Kept = ((u32, u32), Arc<Vec<u8>>);

/// Blocks that were decoded last, newest last.
#[derive(Default)]
pub(super) struct Blocks(Mutex<VecDeque<Kept>>);

impl Blocks {
    /// The bytes of `chunks`, which are few, if each is where it should be.
    pub(super) async fn read(&self, source: &PackSource, places: &Places, chunks: &[ChunkRef]) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(usize::try_from(SMALL).unwrap_or_default().min(4 << 10));
        let mut left = MOST;
        for chunk in chunks {
            let (place, at) = places.find_of(*chunk).ok()??;
            let block = self.block(source, places, (place, at), &mut left).await?;
            if !decode::is_chunk(source, &block, place.offset, *chunk) {
                return None;
            }
            bytes.extend_from_slice(decode::slice(&block, place.offset, chunk.len)?);
        }
        Some(bytes)
    }

    async fn block(&self, source: &PackSource, places: &Places, at: Found, left: &mut usize) -> Option<Arc<Vec<u8>>> {
        let base = match at.1.base {
            Some(id) => {
                // A base is never a delta itself.
                let base = places.find_base(&id).ok()??;
                Some((self.decoded(source, places, (base, None), left).await?, base.0))
            }
            None => None,
        };
        let base = match &base {
            Some((block, place)) => Some(decode::slice(block, place.offset, place.len)?),
            None => None,
        };
        self.decoded(source, places, (at, base), left).await
    }

    async fn decoded(
        &self,
        source: &PackSource,
        places: &Places,
        ((at, place), base): (Found, Option<&[u8]>),
        left: &mut usize,
    ) -> Option<Arc<Vec<u8>>> {
        let key = (at.pack, at.block);
        if let Some(block) = self.kept(key) {
            return Some(block);
        }
        *left = left.checked_sub(1)?;
        let pack = places.pack(at.pack).ok()?;
        let range = place.offset..place.offset + u64::from(place.stored);
        let (offset, part) = decode::part(source, &pack, range.clone()).await.ok()?;
        let mut stored = Vec::new();
        let mut reader = source.opener.reader(&pack.header, pack.sealed_len).ok()?;
        reader.read_at((offset, &part), range, &mut stored).ok()?;
        let mut block = Vec::new();
        decode::block(&mut Decompressor::new().ok()?, place, &stored, base, &mut block).ok()?;
        let block = Arc::new(block);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back((key, Arc::clone(&block)));
        Some(block)
    }

    fn kept(&self, key: (u32, u32)) -> Option<Arc<Vec<u8>>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|(known, _)| *known == key)?;
        let found = kept.remove(at)?;
        let block = Arc::clone(&found.1);
        kept.push_back(found);
        Some(block)
    }
}
