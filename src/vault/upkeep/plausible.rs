//! What a header that the writer's key did sign may ask for, and whether it is one that an honest run would make.

use std::collections::HashMap;

use crate::{
    model::{SnapshotId, Span, Time},
    vault::{Vault, snapshots::Summary},
};

/// How far a header's own time may be off the store's, and how far the store's clock may be set back between two runs.
const SLACK: Span = Span::seconds(3600);

/// The headers of a vault by their ids.
pub(crate) type ById<'a> = HashMap<SnapshotId, &'a Summary>;

/// The longest that the root lets this snapshot be kept, whatever its header says.
pub(crate) fn longest(vault: &Vault, snapshot: &Summary) -> Time {
    snapshot.since() + vault.descriptor.lock.max_lock
}

/// What is wrong with a header that the writer's key did sign.
pub(crate) fn wrong(snapshot: &Summary, by_id: &ById<'_>) -> Option<String> {
    let header = &snapshot.header;
    if snapshot.standing.outside {
        return Some(format!("its writer's certificate does not let it write source {}", header.source));
    }
    if snapshot.standing.suspect {
        return Some("its writer was revoked from a time before it".to_owned());
    }
    if let Some(stored) = snapshot.standing.stored_at {
        let claimed = header.started_at.max(header.claimed_at);
        if claimed > stored + SLACK || stored > header.claimed_at + SLACK {
            return Some(format!("it claims to be of {}, and the store has it since {stored}", header.claimed_at));
        }
    }
    let (claimed, began) = (header.started_at.min(header.claimed_at), snapshot.certified_from);
    if claimed + SLACK < began {
        return Some(format!("it claims to be of {claimed}, and its writer is certified only since {began}"));
    }
    for before in header.prev.iter().filter_map(|id| by_id.get(id)) {
        // Where numbers are used up, the last one is everybody's.
        let after = before.header.seq < header.seq || header.seq == u64::MAX;
        if before.header.writer != header.writer || !after || before.since() > snapshot.since() + SLACK {
            return Some(format!("its chain is wrong: it names {} as coming before it", before.id));
        }
    }
    None
}
