//! Storing a body while it is written: of a tree of some hundred thousand files it has 96 MiB, of which a few are in memory.

use std::io;

use super::{ChunkRef, Chunker, Dedup, VaultError};

/// So much of it waits before it is cut: twice the longest chunk.
const WAITING: usize = 8 << 20;

/// A body that is being stored.
pub(super) struct StoringBody<'d, 'a> {
    pub(super) dedup: &'d mut Dedup<'a>,
    pub(super) chunker: Chunker,
    /// What no chunk has yet.
    pub(super) waiting: Vec<u8>,
    pub(super) chunks: Vec<ChunkRef>,
    pub(super) failed: Option<VaultError>,
}

impl StoringBody<'_, '_> {
    /// Stores the chunks of what waits; at the `end` all of it.
    ///
    /// # Errors
    /// As storing a chunk.
    pub(super) fn cut(&mut self, end: bool) -> Result<(), VaultError> {
        let mut lengths = Vec::new();
        self.chunker.cut(&self.waiting, end, &mut lengths);
        let mut at = 0;
        for length in lengths {
            let chunk = at..at + length as usize;
            at = chunk.end;
            let part = self.waiting.get(chunk).unwrap_or_default();
            self.chunks.push(self.dedup.store_meta(part)?);
        }
        self.waiting.drain(..at);
        Ok(())
    }
}

impl io::Write for StoringBody<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let now = bytes.len().min(WAITING - self.waiting.len());
        self.waiting.extend_from_slice(bytes.get(..now).unwrap_or_default());
        if self.waiting.len() == WAITING
            && let Err(error) = self.cut(false)
        {
            self.failed = Some(error);
            return Err(io::Error::other("a chunk can't be stored"));
        }
        Ok(now)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
