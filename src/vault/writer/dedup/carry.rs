//! Streams of the last snapshot that this one leans on as they are: every chunk is looked up, none is read.

use super::{Begin, Current, Dedup, Hasher, ListMaker, VaultError};
use crate::{
    catalog::{Kept, Known},
    format::list::{self, ChunkRef},
    model::FileMeta,
    vault::VaultErrorKind,
};

/// How many chunks are looked up at once.
const BATCH: usize = 1024;

impl Dedup<'_> {
    /// Adds a stream whose chunks are all in the vault.
    ///
    /// # Errors
    /// If one of them can't be leaned on after all.
    pub(super) fn carry(&mut self, stream: Kept) -> Result<(), VaultError> {
        let Kept { name, path, bytes, blake3, chunks } = stream;
        let chunks = list::decode(&chunks)?;
        let begin = Begin { name, path, meta: FileMeta::default() };
        let (hasher, list) = (Hasher::new(), ListMaker::default());
        let mut current = Current { begin, hasher, list, bytes, kept: Some(Vec::new()) };
        let mut found = Vec::new();
        for batch in chunks.chunks(BATCH) {
            self.shared.check()?;
            let ids: Vec<_> = batch.iter().map(|chunk| chunk.id).collect();
            self.lookup(&ids, &mut found)?;
            for (chunk, hit) in batch.iter().zip(&found) {
                self.must_be_there(*chunk, *hit, &current)?;
                self.state.counts.chunks += 1;
                current.push(*chunk);
            }
            while let Some(part) = current.list.full_part()? {
                self.store_list_part(&part, &mut current)?;
            }
        }
        self.close(current, blake3)
    }

    fn must_be_there(&mut self, chunk: ChunkRef, hit: Option<Known>, current: &Current) -> Result<(), VaultError> {
        // A chunk of a list may be one of the stream's own, made a moment ago.
        if self.state.in_flight.contains(&chunk.id) {
            return Ok(());
        }
        if let Some(hit) = hit
            && self.can_lean_on(hit)?
        {
            return Ok(());
        }
        let what =
            "a stream of the last snapshot went away, or its lock ended, while this run began; run the backup again";
        Err(VaultError::new(VaultErrorKind::TryAgain, what).on(&current.begin.name))
    }
}
