//! What a restore would fetch: the plans of its streams, made and not run.

use std::collections::HashSet;

use super::{Snapshot, plan::plan, small, walk::Walk};
use crate::{
    codec::seal,
    format::{body::StreamRecord, list::ChunkRef},
    model::Cancel,
    vault::Result,
};

/// So many bytes of small streams are planned together, as they are read together.
pub(super) const TOGETHER: u64 = 16 << 20;

/// What would be fetched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Fetching {
    /// Packs of which something is read.
    pub objects: u64,
    /// Calls that read a part of one.
    pub calls: u64,
    /// Bytes of these parts.
    pub bytes: u64,
}

impl Snapshot {
    /// What restoring `streams` would fetch of packs. The lists of long streams are read for it.
    ///
    /// # Errors
    /// If a list can't be read, a chunk is in no pack that the snapshot names, or somebody asked to stop.
    pub async fn fetching<'a>(
        &self,
        streams: impl IntoIterator<Item = &'a StreamRecord>,
        cancel: &Cancel,
    ) -> Result<Fetching> {
        let mut packs = HashSet::new();
        let mut all = Fetching::default();
        let mut add = |chunks: &[ChunkRef]| -> Result<()> {
            let plan = plan(&self.places, chunks, cancel)?;
            for fetch in &plan.fetches {
                packs.insert(fetch.pack);
                all.calls += 1;
                // What is sealed is read in whole segments.
                let lengths = self.places.lengths(fetch.pack);
                let sealed =
                    lengths.and_then(|(header, sealed)| seal::sealed_range(header, sealed, fetch.plain.clone()));
                let range = sealed.unwrap_or_else(|| fetch.plain.clone());
                all.bytes = all.bytes.saturating_add(range.end.saturating_sub(range.start));
            }
            Ok(())
        };
        let (mut batch, mut batched) = (Vec::new(), 0_u64);
        for stream in streams {
            if stream.depth == 0 && stream.bytes <= small::SMALL {
                batch.extend_from_slice(&stream.list);
                batched = batched.saturating_add(stream.bytes);
                if batched >= TOGETHER {
                    add(&std::mem::take(&mut batch))?;
                    batched = 0;
                }
                continue;
            }
            let mut walk = Walk::new(self, stream, cancel.clone());
            while let Some(chunks) = walk.next().await? {
                add(&chunks)?;
            }
        }
        add(&batch)?;
        all.objects = packs.len() as u64;
        Ok(all)
    }
}
