//! What the headers of one writer say of each other, and when the store got them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::{
    model::{Finding, Findings, Key, LockPolicy, Name, Severity, SnapshotId, Span, Time},
    vault::{
        copies::Extent,
        snapshots::{Listing, Summary},
    },
};

/// How far the store's clock may be set back between two runs before that is told.
const SET_BACK: Span = Span::seconds(300);

/// Headers that the store does not let be read, and their names.
pub(super) type Refused = BTreeMap<SnapshotId, Key>;

/// Those of a listing.
pub(super) fn refused(listing: &Listing) -> Refused {
    let told = listing.findings.iter().filter(|finding| finding.code == "header.unread");
    let told: BTreeSet<&str> = told.filter_map(|finding| finding.object.as_deref()).collect();
    let named = listing.unread.iter().map(|unread| (unread.named.1, unread.key()));
    named.filter(|(_, key)| told.contains(key.as_str())).collect()
}

/// Checks the chain of every writer. `all` are headers that trust reaches; `extent` tells where this place holds a copy of a
/// part of the vault, in which headers are missing that were never copied. One that can't be read is not missing.
pub(super) fn check<'a>(
    all: impl Iterator<Item = &'a Summary>,
    policy: &LockPolicy,
    (now, extent, refused): (Time, &Extent, &Refused),
) -> Findings {
    let mut writers: BTreeMap<&Name, Vec<&Summary>> = BTreeMap::new();
    for snapshot in all {
        writers.entry(&snapshot.header.writer).or_default().push(snapshot);
    }
    let mut findings = Findings::default();
    for (writer, mut chain) in writers {
        chain.sort_by_key(|s| (s.header.seq, s.id));
        links(&chain, policy, (now, extent, refused), &mut findings);
        forks(writer, &chain, &mut findings);
        order(writer, &chain, &mut findings);
    }
    findings
}

/// The newest headers of each writer: those that no other names as its predecessor.
pub(super) fn heads<'a>(all: impl Iterator<Item = &'a Summary> + Clone) -> Vec<&'a Summary> {
    let named: BTreeSet<SnapshotId> = all.clone().flat_map(|s| s.header.prev.iter().copied()).collect();
    all.filter(|s| !named.contains(&s.id)).collect()
}

/// Predecessors that are named and gone, and numbers that were left out.
fn links(
    chain: &[&Summary],
    policy: &LockPolicy,
    (now, extent, refused): (Time, &Extent, &Refused),
    findings: &mut Findings,
) {
    let known: HashMap<SnapshotId, u64> = chain.iter().map(|s| (s.id, s.header.seq)).collect();
    for one in chain {
        let header = &one.header;
        let over = one.predecessors_are_over(policy, now);
        let gone = || header.prev.iter().filter(|prev| !known.contains_key(prev) && !refused.contains_key(prev));
        if let Some(key) = header.prev.iter().find_map(|prev| refused.get(prev)).filter(|_| !over) {
            let what =
                "another header names it as its predecessor; it can't be read, so whether it is whole is not known";
            findings.note(Finding::new(Severity::Error, "object.unread", what).on(key));
        }
        if let Some(prev) = gone().next().filter(|_| !over) {
            // A header can name many that never were.
            let more = match gone().count() {
                1 => String::new(),
                n => format!(" (and {} more)", n - 1),
            };
            let finding = if extent.may_lack(&header.writer, header.seq.saturating_sub(1)) {
                let what = format!(
                    "snapshot {prev}{more}, which this one names as its predecessor, is not here: this is a copy of a part \
                     of the vault"
                );
                Finding::new(Severity::Info, "chain.part", what)
            } else {
                let what = format!(
                    "snapshot {prev}{more}, which this one names as its predecessor, is gone, though what it promised is \
                     not over"
                );
                Finding::new(Severity::Error, "header.missing", what)
            };
            findings.push(finding.of(one.id));
        }
        // Where numbers are used up, the last one is everybody's.
        let after = |seq: &&u64| **seq >= header.seq && header.seq != u64::MAX;
        for seq in header.prev.iter().filter_map(|prev| known.get(prev)).filter(after) {
            let what = format!("this header has number {} and follows one that has {seq}", header.seq);
            findings.push(Finding::new(Severity::Warning, "chain.order", what).of(one.id));
        }
        let newest = header.prev.iter().filter_map(|prev| known.get(prev)).max();
        let expected = newest.map(|seq| seq.saturating_add(1)).or_else(|| header.prev.is_empty().then_some(1));
        if let Some(expected) = expected.filter(|expected| *expected < header.seq) {
            let what = format!(
                "this header has number {}, and by its predecessors it should have {expected}: those between were never \
                 seen by it, or are kept from you",
                header.seq
            );
            findings.push(Finding::new(Severity::Warning, "chain.gap", what).of(one.id));
        }
    }
}

/// Headers that stand beside each other instead of after each other.
fn forks(writer: &Name, chain: &[&Summary], findings: &mut Findings) {
    let mut numbers: BTreeMap<u64, SnapshotId> = BTreeMap::new();
    let mut children: HashMap<SnapshotId, SnapshotId> = HashMap::new();
    for one in chain {
        let twin = numbers.insert(one.header.seq, one.id);
        let siblings: Vec<SnapshotId> =
            one.header.prev.iter().filter_map(|prev| children.insert(*prev, one.id)).collect();
        if let Some(other) = twin.or_else(|| siblings.first().copied()) {
            let what = format!(
                "the chain of writer {writer} forks: this snapshot and {other} both follow the same one. Two hosts use one \
                 key, or a host was set back to an earlier state; both sides restore"
            );
            findings.push(Finding::new(Severity::Warning, "chain.fork", what).of(one.id));
        }
    }
}

/// Headers whose numbers and times of arrival contradict each other.
fn order(writer: &Name, chain: &[&Summary], findings: &mut Findings) {
    let mut latest: Option<(u64, Time)> = None;
    for one in chain {
        let Some(stored) = one.standing.stored_at else { continue };
        if let Some((seq, before)) = latest.filter(|(seq, before)| *seq < one.header.seq && stored + SET_BACK < *before)
        {
            let what = format!(
                "the store has number {} of writer {writer} since {stored}, but number {seq} only since {before}: an \
                 earlier header came later",
                one.header.seq
            );
            findings.push(Finding::new(Severity::Warning, "chain.order", what).of(one.id));
        }
        if latest.is_none_or(|(_, before)| stored > before) {
            latest = Some((one.header.seq, stored));
        }
    }
}
