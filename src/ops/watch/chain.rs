//! Whether new headers go on where the last ones ended, and whether those are still there.

use std::collections::BTreeSet;

use super::checkpoint::{Checkpoint, Head, short};
use crate::{
    model::{Finding, Findings, Severity, SnapshotId, Time},
    vault::snapshots::Summary,
};

/// Headers that were there and are gone before their promise ended.
pub(super) fn gone(before: &Checkpoint, there: &BTreeSet<String>, now: Time, findings: &mut Findings) {
    for (id, _) in before.known.iter().filter(|(id, until)| **until > now && !there.contains(*id)) {
        let what =
            format!("this snapshot was in the vault on {}, and is gone though what it promised is not over", before.at);
        findings.push(Finding::new(Severity::Error, "header.missing", what).of(id));
    }
}

/// Takes the new headers, oldest first, into the chains of their writers.
pub(super) fn follow(checkpoint: &mut Checkpoint, new: &[Summary], findings: &mut Findings) {
    let mut chain: Vec<&Summary> = new.iter().collect();
    chain.sort_by_key(|s| (s.header.writer.clone(), s.header.seq, s.id));
    let known = |checkpoint: &Checkpoint, id: &SnapshotId| checkpoint.known.contains_key(&short(id));
    let first = checkpoint.heads.is_empty();
    for one in chain {
        let header = &one.header;
        let head = checkpoint.heads.get(&header.writer).cloned();
        let follows = head.as_ref().is_none_or(|head| header.prev.contains(&head.id));
        if let Some(head) = head.as_ref().filter(|_| !follows) {
            let what = format!(
                "this snapshot of writer {} does not follow {}, its newest one before: two hosts use one key, a host was set \
                 back, or somebody else signs",
                header.writer,
                head.id.short()
            );
            findings.push(Finding::new(Severity::Warning, "chain.fork", what).of(one.id));
        }
        let unseen = header.prev.iter().any(|prev| !known(checkpoint, prev));
        let jumps = head.as_ref().is_some_and(|head| follows && header.seq > head.seq.saturating_add(1));
        // Of a vault that is looked at for the first time, what was pruned is not known.
        if !first && (jumps || unseen && follows) {
            let what = format!(
                "snapshot number {} of writer {} leaves numbers out or follows one that was never seen: those between are \
                 kept from you, or were removed",
                header.seq, header.writer
            );
            findings.push(Finding::new(Severity::Warning, "chain.gap", what).of(one.id));
        }
        checkpoint.known.insert(short(&one.id), header.floor_until);
        if !one.standing.suspect && head.is_none_or(|head| header.seq >= head.seq) {
            checkpoint.heads.insert(header.writer.clone(), Head { seq: header.seq, id: one.id });
        }
    }
}
