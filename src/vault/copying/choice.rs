//! Which snapshots a copy is to have: those that are not over, as `prune` counts, and that an honest run made.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::{CopyRequest, held::Kept, place::Place};
use crate::{
    format::layout::{self, ObjectName},
    model::{Finding, Findings, Name, Severity, SnapshotId},
    vault::{
        Result, Vault, VaultErrorKind,
        fetch::{self, Stored},
        snapshots::{self, Summary},
        upkeep::{KEEP_NEWEST, longest, wrong},
    },
};

/// What is to be done about snapshots.
pub(super) struct Chosen {
    /// Those that are to be copied, oldest first.
    pub(super) new: Vec<Summary>,
    /// All of the source, if all were read.
    pub(super) all: Option<Vec<Summary>>,
    /// What was found.
    pub(super) findings: Findings,
    /// How many are there already.
    pub(super) there: u64,
    /// Those that are not copied, since no honest run makes such.
    pub(super) refused: Vec<SnapshotId>,
    /// What is held.
    pub(super) kept: Kept,
    /// Whether the target will lack something that a copy of all would have.
    pub(super) part: bool,
    /// If so, up to which number of each writer all was there before.
    pub(super) had: BTreeMap<Name, u64>,
    /// Those that are there already and whose locks are to be looked at again, oldest first.
    pub(super) again: Vec<Summary>,
}

/// The headers that the source has by their names, and whether the target has each.
async fn known(source: &Vault, place: &Place<'_>) -> Result<(HashSet<SnapshotId>, usize)> {
    if place.fresh {
        return Ok((HashSet::new(), 0));
    }
    place.list(layout::SNAPSHOTS).await?;
    let (mut known, mut all, mut last) = (HashSet::new(), 0, String::new());
    let mut each = |one: Option<(String, Stored)>| {
        let Some((key, stored)) = one else {
            (known, all, last) = (HashSet::new(), 0, String::new());
            return;
        };
        let Some(ObjectName::Header(.., id)) = layout::parse(&key) else { return };
        if place.lists(&key, &[stored.bytes]) {
            known.insert(id);
        }
        all += usize::from(key != last);
        last = key;
    };
    fetch::each(&*source.store, layout::SNAPSHOTS, &mut each).await?;
    Ok((known, all))
}

/// Names of headers that the store does not let be read.
pub(super) fn refused_headers(listing: &snapshots::Listing) -> HashSet<String> {
    let refused = listing.findings.iter().filter(|finding| finding.code == "header.unread");
    refused.filter_map(|finding| finding.object.clone()).collect()
}

/// Chooses. Of a whole vault only those headers are read that the target has not.
pub(super) async fn choose(source: &Vault, place: &Place<'_>, request: &CopyRequest) -> Result<Chosen> {
    let ((known, names), kept) = tokio::try_join!(known(source, place), Kept::of(source, place))?;
    let mut findings = Findings::default();
    findings.extend(source.findings.iter().cloned());
    let again = request.looks_again();
    let mut whole = request.is_part() || known.is_empty() || again;
    let mut listing = snapshots::Listing::default();
    if !whole {
        match snapshots::newer(source, &|id| known.contains(id), names.saturating_add(1), false).await {
            // Whether one that is over is among the newest of its source is told by all of them.
            Ok(newer) => {
                listing = newer.listing;
                whole = listing.snapshots.iter().any(|snapshot| !lives((source, &kept), place, snapshot));
            }
            // Nothing that is new can be read: whether anything can be is told by all of them.
            Err(error) if error.kind == VaultErrorKind::Denied => whole = true,
            Err(error) => return Err(error),
        }
    }
    if whole {
        listing = snapshots::list(source).await?;
    }
    let refused = refused_headers(&listing);
    findings.extend(listing.findings);
    for key in listing.unread.iter().map(snapshots::Unread::key) {
        let what =
            "this is no header that can be read, so whether it is a snapshot is not known, and it was not copied";
        let code = if refused.contains(key.as_str()) { "copy.unread" } else { "copy.header" };
        findings.push(Finding::new(Severity::Error, code, what).on(key));
    }
    findings.extend(unknown(&request.sources, &listing.snapshots));
    let mut refused = Vec::new();
    let fitting = sound(&listing.snapshots, &mut refused, &mut findings);
    let wanted = self::wanted((source, &kept), place, request, &fitting);
    let is_wanted: HashSet<SnapshotId> = wanted.iter().map(|snapshot| snapshot.id).collect();
    let had = had(request, &fitting, &known);
    // Of a part that is all there is, nothing is missing; and what is gone that was there is damage, and no part.
    let lacks = |snapshot: &&Summary| {
        let header = &snapshot.header;
        !is_wanted.contains(&snapshot.id)
            && !known.contains(&snapshot.id)
            && had.get(&header.writer).is_none_or(|had| header.seq > *had)
    };
    let part =
        request.is_part() && self::wanted((source, &kept), place, &CopyRequest::default(), &fitting).iter().any(lacks);
    let there = if whole { wanted.iter().filter(|snapshot| known.contains(&snapshot.id)).count() } else { known.len() };
    let mut again =
        if again { self::wanted((source, &kept), place, &CopyRequest::default(), &fitting) } else { Vec::new() };
    again.retain(|snapshot| known.contains(&snapshot.id));
    let again = again.into_iter().cloned().collect();
    let new = wanted.into_iter().filter(|snapshot| !known.contains(&snapshot.id)).cloned().collect();
    let all = whole.then_some(listing.snapshots);
    Ok(Chosen { new, all, findings, there: there as u64, refused, kept, part, had, again })
}

/// Up to which number of each writer all was in the target before it was a part: whole passes put the oldest first, so that is
/// the newest that is there. Once it is a part, its record knows.
fn had(request: &CopyRequest, fitting: &[&Summary], known: &HashSet<SnapshotId>) -> BTreeMap<Name, u64> {
    let mut had = BTreeMap::new();
    let Some(last) = &request.last else { return had };
    if last.part {
        return last.had.clone();
    }
    for snapshot in fitting.iter().filter(|snapshot| known.contains(&snapshot.id)) {
        let most: &mut u64 = had.entry(snapshot.header.writer.clone()).or_default();
        *most = snapshot.header.seq.max(*most);
    }
    had
}

/// Those that an honest run makes. In the copy the store's time can't contradict a header any more, so what it contradicts in
/// the source stays there.
fn sound<'a>(all: &'a [Summary], refused: &mut Vec<SnapshotId>, findings: &mut Findings) -> Vec<&'a Summary> {
    let by_id: HashMap<SnapshotId, &Summary> = all.iter().map(|snapshot| (snapshot.id, snapshot)).collect();
    let mut fitting = Vec::new();
    for snapshot in all {
        let why = wrong(snapshot, &by_id)
            .or_else(|| snapshot.standing.future.then(|| "it claims to be of a time that is not yet".to_owned()));
        let Some(why) = why else {
            fitting.push(snapshot);
            continue;
        };
        refused.push(snapshot.id);
        let what = format!("this snapshot was not copied: {why}");
        findings.push(Finding::new(Severity::Warning, "copy.refused", what).of(snapshot.id));
    }
    fitting
}

/// Tells of names that no source has: of which nothing will ever be copied.
fn unknown(asked: &[Name], all: &[Summary]) -> Option<Finding> {
    let there: BTreeSet<&str> = all.iter().map(|snapshot| snapshot.header.source.as_str()).collect();
    let lacking: Vec<&str> = asked.iter().map(Name::as_str).filter(|name| !there.contains(name)).collect();
    if lacking.is_empty() {
        return None;
    }
    let there: Vec<&str> = there.into_iter().take(20).collect();
    let has = if there.is_empty() { "no snapshot at all".to_owned() } else { format!("those of {}", there.join(", ")) };
    let what =
        format!("the vault has no snapshot of {}, and so nothing of it was copied; it has {has}", lacking.join(", "));
    Some(Finding::new(Severity::Weak, "copy.unknown", what))
}

/// Whether a snapshot is not over, or is held.
fn lives((source, kept): (&Vault, &Kept), place: &Place<'_>, snapshot: &Summary) -> bool {
    let header = &snapshot.header;
    kept.keeps(&snapshot.id) || header.expires_at.max(header.floor_until).min(longest(source, snapshot)) > place.now
}

/// Those that are wanted: not over, or among the newest of their source; and as the request says. Oldest first.
pub(super) fn wanted<'a>(
    source: (&Vault, &Kept),
    place: &Place<'_>,
    request: &CopyRequest,
    fitting: &[&'a Summary],
) -> Vec<&'a Summary> {
    let mut places: BTreeMap<(&Name, &Name), usize> = BTreeMap::new();
    let mut wanted = Vec::new();
    for snapshot in fitting.iter().rev() {
        let header = &snapshot.header;
        let at = places.entry((&header.writer, &header.source)).or_default();
        *at += 1;
        let live = lives(source, place, snapshot) || *at <= KEEP_NEWEST;
        let named = request.sources.is_empty() || request.sources.contains(&header.source);
        let young = request.since.is_none_or(|since| snapshot.since() >= since);
        if live && named && young && request.newest.is_none_or(|newest| *at <= newest) {
            wanted.push(*snapshot);
        }
    }
    wanted.reverse();
    wanted
}
