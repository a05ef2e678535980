//! Streams of the last snapshot that this one leans on as they are: none is read, and every chunk was looked up when it
//! was decided that they can be.

use super::{Begin, Carried, Current, Dedup, Hasher, ListMaker, VaultError};
use crate::{catalog::Kept, format::list, model::FileMeta, vault::VaultErrorKind};

/// So many chunks are added between two looks whether somebody asked to stop.
const BATCH: usize = 1024;

impl Dedup<'_> {
    /// Adds a stream whose chunks are all in the vault.
    ///
    /// # Errors
    /// If one of its packs can't be leaned on after all.
    pub(super) fn carry(&mut self, carried: Carried) -> Result<(), VaultError> {
        let Carried { stream: Kept { name, path, bytes, blake3, chunks: encoded }, packs } = carried;
        for pack in packs {
            if !self.known.usable(self.catalog, pack)? {
                let what = "a stream of the last snapshot went away, or its lock ended, while this run began; run the \
                            backup again";
                return Err(VaultError::new(VaultErrorKind::TryAgain, what).on(&name));
            }
        }
        let chunks = list::decode(&encoded)?;
        let begin = Begin { name, path, meta: FileMeta::default() };
        let (hasher, list) = (Hasher::new(), ListMaker::default());
        let mut current = Current { begin, hasher, list, bytes, kept: None };
        for batch in chunks.chunks(BATCH) {
            self.shared.check()?;
            for chunk in batch {
                current.push(*chunk);
            }
            while let Some(part) = current.list.full_part()? {
                self.store_list_part(&part, &mut current)?;
            }
        }
        self.state.counts.chunks += chunks.len() as u64;
        // What was kept is kept as it is: for a large repository this is the most that a run has in memory.
        current.kept = Some(encoded);
        self.close(current, blake3)
    }
}
