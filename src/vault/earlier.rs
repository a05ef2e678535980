//! Which sources a writer had, as its own headers in the vault say: what a writer whose memory is lost still can know.

use std::collections::BTreeMap;

use futures::{StreamExt, stream};
use tokio::runtime::Handle;

use super::{Result, VaultErrorKind, fetch, writer::Workplace};
use crate::{
    format::{
        header::{HEADER_LIMIT, Header, VerifiedHeader},
        layout::{self, ObjectName},
    },
    model::{Hash, Name, SnapshotId},
};

/// How many headers are read at most.
const LOOK_BACK: usize = 1024;
/// How many are read at once.
const AT_ONCE: usize = 8;

/// The members of the group `below` of which the vault promises a snapshot still, with the newest of each.
///
/// # Errors
/// If the store can't be listed or read.
pub fn members(place: &Workplace, runtime: &Handle, below: &Name) -> Result<BTreeMap<Name, SnapshotId>> {
    let now = runtime.block_on(place.store.server_time())?;
    let mut names: Vec<(u64, SnapshotId)> = Vec::new();
    runtime.block_on(place.store.list(&layout::own(layout::SNAPSHOTS, &place.writer.name), &mut |entry| {
        if let Some(ObjectName::Header(_, seq, id)) = layout::parse(&entry.key) {
            names.push((seq, id));
        }
    }))?;
    names.sort_unstable_by(|a, b| b.cmp(a));
    names.truncate(LOOK_BACK);
    let mut members = BTreeMap::new();
    for some in names.chunks(AT_ONCE) {
        let read = stream::iter(some).map(|(seq, id)| header(place, *seq, *id)).buffered(AT_ONCE).collect::<Vec<_>>();
        for header in runtime.block_on(read) {
            let Some((id, header)) = header? else { continue };
            if is_member(below, &header.source) && header.expires_at > now {
                members.entry(header.source).or_insert(id);
            }
        }
    }
    Ok(members)
}

/// Whether the source `name` is one of the group `group`.
#[must_use]
pub fn is_member(group: &Name, name: &Name) -> bool {
    name.as_str().strip_prefix(group.as_str()).is_some_and(|rest| rest.starts_with('.'))
}

async fn header(place: &Workplace, seq: u64, id: SnapshotId) -> Result<Option<(SnapshotId, Header)>> {
    let (store, writer) = (&*place.store, &place.writer);
    let key = layout::header(&writer.name, seq, &id);
    let bytes = match fetch::by_hash(store, &key, None, &Hash::from_bytes(*id.as_bytes()), HEADER_LIMIT).await {
        Ok(bytes) => bytes,
        Err(error) if matches!(error.kind, VaultErrorKind::Damaged | VaultErrorKind::Denied) => return Ok(None),
        Err(error) => return Err(error),
    };
    let found = VerifiedHeader::open(&bytes, writer.descriptor.vault).ok();
    Ok(found.filter(|found| found.header.writer == writer.name).map(|found| (id, found.header)))
}
