//! Which snapshot comes before which.

use std::collections::HashMap;

use super::Summary;
use crate::model::{Name, SnapshotId, Time};

/// Puts snapshots into the order in which they were made, oldest first.
pub(in crate::vault) fn sort(snapshots: &mut [Summary]) {
    let places = places(snapshots);
    snapshots.sort_by(|a, b| order(a, &places).cmp(&order(b, &places)));
}

/// The store's order of time is the authority; within one second the writer's chain decides.
fn order<'a>(
    snapshot: &'a Summary,
    places: &HashMap<SnapshotId, usize>,
) -> (Time, Time, &'a Name, u64, Option<usize>, SnapshotId) {
    let Summary { id, header, .. } = snapshot;
    (snapshot.since(), header.started_at, &header.writer, header.seq, places.get(id).copied(), *id)
}

/// The places in their chain of those headers that have the last number there is, which all that follow share: each
/// comes after those that it names. Whoever holds a writer's key can use its numbers up.
pub(super) fn places(snapshots: &[Summary]) -> HashMap<SnapshotId, usize> {
    let last: HashMap<SnapshotId, &[SnapshotId]> =
        snapshots.iter().filter(|s| s.header.seq == u64::MAX).map(|s| (s.id, s.header.prev.as_slice())).collect();
    let mut followers: HashMap<SnapshotId, Vec<SnapshotId>> = HashMap::new();
    let mut awaited: HashMap<SnapshotId, usize> = HashMap::new();
    let mut ready = Vec::new();
    for (id, prev) in &last {
        let before: Vec<_> = prev.iter().filter(|prev| last.contains_key(prev)).collect();
        for prev in &before {
            followers.entry(**prev).or_default().push(*id);
        }
        if before.is_empty() {
            ready.push(*id);
        } else {
            awaited.insert(*id, before.len());
        }
    }
    let mut places: HashMap<SnapshotId, usize> = HashMap::new();
    while let Some(id) = ready.pop() {
        let place = *places.entry(id).or_default();
        for follower in followers.remove(&id).unwrap_or_default() {
            let its = places.entry(follower).or_default();
            *its = (*its).max(place + 1);
            let Some(awaited) = awaited.get_mut(&follower) else { continue };
            *awaited -= 1;
            if *awaited == 0 {
                ready.push(follower);
            }
        }
    }
    places
}
