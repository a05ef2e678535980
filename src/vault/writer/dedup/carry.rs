//! Streams of the last snapshot that this one leans on as they are: none is read, and every chunk was looked up when it
//! was decided that they can be.

use super::{Begin, Carried, Current, Dedup, Hasher, ListMaker, VaultError};
use crate::{format::list, model::FileMeta, vault::VaultErrorKind};

/// So many chunks are added between two looks whether somebody asked to stop.
const BATCH: usize = 1024;

impl Dedup<'_> {
    /// Adds a stream whose chunks are all in the vault.
    ///
    /// # Errors
    /// If one of its packs can't be leaned on after all.
    pub(super) fn carry(&mut self, carried: Carried) -> Result<(), VaultError> {
        let Carried { stream, packs } = carried;
        for pack in packs {
            if !self.known.usable(self.catalog, pack)? {
                let what = "a stream of the last snapshot went away, or its lock ended, while this run began; run the \
                            backup again";
                return Err(VaultError::new(VaultErrorKind::TryAgain, what).on(&stream.name));
            }
        }
        let (bytes, blake3) = (stream.bytes, stream.blake3);
        let begin = Begin { name: stream.name.clone(), path: stream.path.clone(), meta: FileMeta::default() };
        let (hasher, list) = (Hasher::new(), ListMaker::default());
        let mut current = Current { begin, hasher, list, bytes, kept: None };
        for part in 0..stream.parts() {
            let encoded = self.catalog.chunks_of(&self.source, &stream, part)?;
            for batch in encoded.chunks(BATCH * list::ENTRY) {
                self.shared.check()?;
                for chunk in list::decode(batch)? {
                    current.push(chunk);
                }
                while let Some(part) = current.list.full_part()? {
                    self.store_list_part(&part, &mut current)?;
                }
            }
        }
        self.state.counts.chunks += current.list.total();
        if let Some(kept) = &mut self.state.kept {
            kept.push(stream);
        }
        self.close(current, blake3)
    }
}
