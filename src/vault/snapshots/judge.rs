//! How headers stand with the store's time (G5) and with what became of their writers since (G4).

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
};

use super::{Summary, Unread};
use crate::{
    format::layout,
    model::{Finding, Findings, Name, Severity, SnapshotId, Span, Time},
    vault::{Vault, copies::Copies, members::Members},
};

/// How far a header's own time may be off the store's: clocks, and puts that were tried again for a while.
const SLACK: Span = Span::seconds(3600);

/// What headers are held against.
pub(in crate::vault) struct Seen<'a> {
    /// Who was revoked, as far as anybody may know.
    pub(in crate::vault) members: Option<&'a Members>,
    /// When headers were copied here.
    pub(in crate::vault) copies: &'a Copies,
    /// Whether others were not looked at, which may say as much.
    pub(in crate::vault) alone: bool,
    /// Whether the vault was made where it is, and is no copy that left no record.
    pub(in crate::vault) made_here: bool,
}

/// Whether a header was stored so long after it was made that no clock explains it.
fn late(snapshot: &Summary) -> bool {
    snapshot.standing.stored_at.is_some_and(|at| at > snapshot.header.claimed_at + SLACK)
}

/// Whether every one was, which is how a copy without records looks; and so does a vault in which nothing honest is.
pub(in crate::vault) fn all_late(snapshots: &[Summary], copies: &Copies) -> bool {
    let came_by_copying = |s: &Summary| s.standing.stored_at.is_some_and(|stored| copies.cover(stored));
    !snapshots.is_empty() && snapshots.iter().all(|snapshot| late(snapshot) && !came_by_copying(snapshot))
}

/// Whether the store has the vault's descriptor since about when it was made.
pub(in crate::vault) fn is_of_its_time(since: Time, vault: &Vault) -> bool {
    since <= vault.descriptor.created_at + SLACK
}

/// Finds out since when each snapshot is there, and which are suspect since their writer was revoked.
pub(in crate::vault) fn judge(
    &Seen { members, copies, alone, made_here }: &Seen<'_>,
    snapshots: &mut [Summary],
    unread: &mut Vec<Unread>,
    findings: &mut Findings,
) {
    unwitnessed(copies, snapshots, unread, findings);
    // Copied, each was stored long after it was made, and the copy's order says nothing.
    let copied = !alone && !made_here && !snapshots.is_empty() && snapshots.iter().all(late);
    if copied {
        let what = "every snapshot was stored here long after it was made, so this vault is a copy: times and order \
                    are what its writers claim";
        findings.push(Finding::new(Severity::Warning, "vault.copied", what));
        for one in unread.iter_mut() {
            one.since = None;
        }
    }
    for snapshot in snapshots.iter_mut() {
        if copied {
            snapshot.standing.stored_at = None;
        }
        let witness = snapshot.standing.stored_at;
        snapshot.standing.since = witness.or(Some(snapshot.header.started_at));
        findings.extend(early(snapshot));
        let Some(stored) = witness else { continue };
        if late(snapshot) {
            let unless = if alone { " (unless this vault is a copy)" } else { "" };
            let what = format!(
                "this header claims to be of {}, but the store has it only since {stored}, which is what counts{unless}",
                snapshot.header.claimed_at
            );
            findings.push(Finding::new(Severity::Warning, "header.backdated", what).of(snapshot.id));
        } else if snapshot.header.started_at.max(snapshot.header.claimed_at) > stored + SLACK {
            let what = format!(
                "this header claims to be of {}, but the store has it since {stored} already, which is what counts",
                snapshot.header.claimed_at
            );
            findings.push(Finding::new(Severity::Warning, "header.postdated", what).of(snapshot.id));
        }
    }
    follow(snapshots);
    if let Some(members) = members {
        suspects(members, snapshots, unread, findings);
    }
}

/// Orders each header before those of its writer that name it: whoever names a hash has seen what has it. A store may say a
/// later time than that of the put: some give an object the time at which its lock was extended.
fn follow(snapshots: &mut [Summary]) {
    let places: HashMap<SnapshotId, usize> = snapshots.iter().enumerate().map(|(at, one)| (one.id, at)).collect();
    let mut newest_first: Vec<usize> = (0..snapshots.len()).collect();
    newest_first.sort_unstable_by_key(|at| snapshots.get(*at).map(|one| Reverse(one.header.seq)));
    for at in newest_first {
        let Some(next) = snapshots.get(at) else { continue };
        let (Some(since), writer) = (next.standing.since, next.header.writer.clone()) else { continue };
        let named: Vec<usize> = next.header.prev.iter().filter_map(|id| places.get(id)).copied().collect();
        for before in named {
            if let Some(before) = snapshots.get_mut(before).filter(|one| one.header.writer == writer) {
                let of_it = &mut before.standing.since;
                *of_it = of_it.map(|of_it| of_it.min(since));
            }
        }
    }
}

/// Takes the store's word from what was put here by copying: it says when that was, and nothing of when it was made.
fn unwitnessed(copies: &Copies, snapshots: &mut [Summary], unread: &mut [Unread], findings: &mut Findings) {
    let mut count = 0_u64;
    for snapshot in snapshots {
        let stored = &mut snapshot.standing.stored_at;
        count += u64::from(stored.take_if(|stored| copies.cover(*stored)).is_some());
    }
    for one in unread {
        one.since.take_if(|since| copies.cover(*since));
    }
    if count > 0 {
        let what = format!(
            "{count} snapshots were copied to this place, as its records below {} say: their times and order are what \
             their writers claim",
            layout::COPIES
        );
        findings.push(Finding::new(Severity::Warning, "vault.copied", what));
    }
}

/// Told where a header claims to be older than its writer is, which no clock and no copy explains.
fn early(snapshot: &Summary) -> Option<Finding> {
    let claimed = snapshot.header.started_at.min(snapshot.header.claimed_at);
    let began = snapshot.certified_from;
    let what = format!(
        "this header claims to be of {claimed}, and its writer is certified only since {began}: whoever signed it lies \
         about its time"
    );
    (claimed + SLACK < began).then(|| Finding::new(Severity::Warning, "header.early", what).of(snapshot.id))
}

fn suspects(members: &Members, snapshots: &mut [Summary], unread: &mut Vec<Unread>, findings: &mut Findings) {
    // A damaged header of an honest run was there before.
    unread.retain(|one| members.revoked_from(&one.writer).zip(one.since).is_none_or(|(from, since)| since < from));
    let mut counts: BTreeMap<Name, (Time, u64)> = BTreeMap::new();
    for snapshot in snapshots {
        let Some(from) = members.revoked_from(&snapshot.header.writer) else { continue };
        // Where the store is no witness, the latest time that the header admits.
        let claimed = snapshot.header.started_at.max(snapshot.header.claimed_at);
        let since = snapshot.standing.stored_at.unwrap_or(claimed);
        snapshot.standing.suspect = since >= from;
        let count = counts.entry(snapshot.header.writer.clone()).or_insert((from, 0));
        count.1 += u64::from(snapshot.standing.suspect);
    }
    for (writer, (from, suspect)) in counts {
        let what = format!(
            "writer {writer} was revoked: its snapshots from {from} on are suspect ({suspect} here), and none of them \
             is ever taken as the latest"
        );
        findings.push(Finding::new(Severity::Warning, "writer.revoked", what).on(writer));
    }
}
