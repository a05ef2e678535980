//! The chunks of a stream, some at a time: a list of a few kilobytes can repeat itself until it names petabytes.

use super::{Snapshot, read_small};
use crate::{
    format::{
        body::StreamRecord,
        list::{self, ChunkRef},
    },
    model::{Cancel, ChunkerParams},
    vault::{Result, VaultError, VaultErrorKind},
};

/// So many bytes of an encoded list are read at once, which name about 15 GiB.
const STEP: u64 = ChunkerParams::LIMIT as u64;

/// Walks along the list of a stream.
pub(super) struct Walk<'a> {
    snapshot: &'a Snapshot,
    stream: &'a StreamRecord,
    cancel: Cancel,
    /// Chunks of the list that were read.
    at: usize,
    /// The beginning of an entry whose end is in the next chunk.
    carry: Vec<u8>,
    chunks: u64,
    bytes: u64,
    done: bool,
}

impl<'a> Walk<'a> {
    pub(super) const fn new(snapshot: &'a Snapshot, stream: &'a StreamRecord, cancel: Cancel) -> Self {
        Self { snapshot, stream, cancel, at: 0, carry: Vec::new(), chunks: 0, bytes: 0, done: false }
    }

    /// The next chunks; `None` after the last.
    ///
    /// # Errors
    /// If the list can't be read, does not add up to what the stream says of itself, or somebody asked to stop.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<ChunkRef>>> {
        if self.done {
            return Ok(None);
        }
        if self.stream.depth == 0 {
            self.done = true;
            return Ok(Some(self.stream.list.clone()));
        }
        let Some(rest) = self.stream.list.get(self.at..).filter(|rest| !rest.is_empty()) else {
            self.done = true;
            let whole = self.chunks == self.stream.chunks && self.bytes == self.stream.bytes && self.carry.is_empty();
            return if whole { Ok(None) } else { Err(self.false_list()) };
        };
        if self.cancel.is_cancelled() {
            return Err(VaultError::cancelled());
        }
        let mut size = 0;
        let fits = |chunk: &&ChunkRef| {
            size += u64::from(chunk.len);
            size <= STEP
        };
        let count = rest.iter().take_while(fits).count().max(1);
        let part = rest.get(..count).unwrap_or_default();
        self.at += count;
        let limit = usize::try_from(2 * STEP).unwrap_or(usize::MAX);
        let read = read_small(&self.snapshot.source, &self.snapshot.places, part, limit).await?;
        self.carry.extend_from_slice(&read);
        let left = self.carry.len() % list::ENTRY;
        let rest = self.carry.split_off(self.carry.len() - left);
        let whole = std::mem::replace(&mut self.carry, rest);
        let chunks = list::decode(&whole)?;
        self.chunks += chunks.len() as u64;
        let bytes = chunks.iter().map(|chunk| u64::from(chunk.len)).sum();
        self.bytes = self.bytes.saturating_add(bytes);
        if self.chunks > self.stream.chunks || self.bytes > self.stream.bytes {
            return Err(self.false_list());
        }
        Ok(Some(chunks))
    }

    fn false_list(&self) -> VaultError {
        let what = format!("the list of stream {} does not add up to its length", self.stream.name);
        VaultError::new(VaultErrorKind::Damaged, what)
    }
}
