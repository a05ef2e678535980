//! The newest headers of a writer.

use std::collections::HashSet;

use futures::{StreamExt, stream};

use crate::{
    format::{
        header::{HEADER_LIMIT, MAX_INDEXES, MAX_PREV, ObjectRef, VerifiedHeader},
        layout::{self, ObjectName},
        writer_key::Writer,
    },
    model::{Hash, SnapshotId},
    store::ObjectStore,
};

use super::{VaultError, VaultErrorKind, fetch};

/// How many headers are fetched at once.
const AT_ONCE: usize = 16;
/// How many headers are looked at besides the writer's own last.
const MAX_OTHERS: usize = 256;

/// Where a writer's chain ends, as its own store has it.
#[derive(Debug, Default)]
pub(crate) struct Heads {
    /// The ids of the newest valid headers; more than one after a fork.
    pub(crate) ids: Vec<SnapshotId>,
    /// The sequence number of the next header.
    pub(crate) next_seq: u64,
    /// The indexes that are live after these headers.
    pub(crate) indexes: Vec<ObjectRef>,
}

impl Heads {
    /// Finds the newest headers that the writer signed. Whatever else lies under its prefix is passed over. `last` is
    /// the one that the writer itself was acknowledged last, as far as it remembers: with it, only so many others are
    /// looked at, and it counts though others have higher numbers. Whoever holds the writer's key can sign as many
    /// headers as it likes, with any numbers, and nobody can tell which are its own but the writer.
    ///
    /// # Errors
    /// If the store can't be listed or read.
    pub(crate) async fn of(
        store: &dyn ObjectStore,
        writer: &Writer,
        last: Option<(u64, SnapshotId)>,
    ) -> Result<Self, VaultError> {
        let (mut names, mut refused) = (Vec::new(), None);
        store
            .list(&layout::own(layout::SNAPSHOTS, &writer.name), &mut |entry| {
                if let Some(ObjectName::Header(_, seq, id)) = layout::parse(&entry.key) {
                    names.push((seq, id));
                }
            })
            .await?;
        names.sort_unstable_by(|a, b| b.cmp(a));
        let mut heads = Self { next_seq: 1, ..Self::default() };
        let mut followed = HashSet::new();
        let mut others = usize::MAX;
        let mut gone = None;
        if let Some((seq, id)) = last {
            match read(store, writer, seq, id, &mut refused).await? {
                Some(own) => {
                    heads.take(own, &mut followed, usize::MAX);
                    others = MAX_OTHERS;
                }
                None if refused.is_none() => gone = Some((seq, id)),
                None => {}
            }
        }
        let most = if others == MAX_OTHERS { 2 * MAX_INDEXES } else { usize::MAX };
        let rest = names.into_iter().filter(|name| Some(*name) != last).take(others);
        let mut found = stream::iter(rest)
            .map(|(seq, id)| async move {
                let mut refused = None;
                (seq, read(store, writer, seq, id, &mut refused).await, refused)
            })
            .buffered(AT_ONCE);
        while let Some((seq, header, denied)) = found.next().await {
            refused = refused.or(denied);
            // At the end of all numbers, later headers share the last one.
            if !heads.ids.is_empty() && seq.saturating_add(1) < heads.next_seq {
                break;
            }
            if let Some(header) = header? {
                heads.take(header, &mut followed, most);
            }
        }
        drop(found);
        if let Some(error) = refused.filter(|_| heads.ids.is_empty()) {
            return Err(error);
        }
        // Some follow others: those that share the last number, and what came after the writer's own.
        heads.ids.retain(|id| !followed.contains(id));
        // The newest is never pruned. Named all the same, it is missed by whoever verifies.
        if let Some((seq, id)) = gone {
            heads.next_seq = heads.next_seq.max(seq.saturating_add(1));
            heads.ids.insert(0, id);
        }
        heads.ids.truncate(MAX_PREV);
        Ok(heads)
    }

    /// Adds a header, and indexes of it while there are fewer than `most`.
    fn take(&mut self, header: VerifiedHeader, followed: &mut HashSet<SnapshotId>, most: usize) {
        self.next_seq = self.next_seq.max(header.header.seq.saturating_add(1));
        self.ids.push(header.id);
        followed.extend(header.header.prev);
        for index in header.header.indexes {
            if self.indexes.len() < most && !self.indexes.iter().any(|known| known.hash == index.hash) {
                self.indexes.push(index);
            }
        }
    }
}

/// A header of this name that the writer signed. Junk under such a name is none, nor is what can't be read.
async fn read(
    store: &dyn ObjectStore,
    writer: &Writer,
    seq: u64,
    id: SnapshotId,
    refused: &mut Option<VaultError>,
) -> Result<Option<VerifiedHeader>, VaultError> {
    let key = layout::header(&writer.name, seq, &id);
    let bytes = match fetch::by_hash(store, &key, None, &Hash::from_bytes(*id.as_bytes()), HEADER_LIMIT).await {
        Ok(bytes) => bytes,
        Err(error) if error.kind == VaultErrorKind::Damaged => return Ok(None),
        Err(error) if error.kind == VaultErrorKind::Denied => {
            refused.get_or_insert(error);
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let found = VerifiedHeader::open(&bytes, writer.descriptor.vault).ok();
    Ok(found.filter(|found| found.header.writer == writer.name && found.header.seq == seq))
}
