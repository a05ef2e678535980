//! What is gone from both places. Nothing has its name any more, so something that is left must tell of it: the record of its
//! lock in a directory, a header that names its predecessor, the descriptor with its root records, and headers, which embed
//! the records that they need.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::{
    CopyDone, Pass, documents,
    object::{APPROVERS, HOLDS, RELEASES},
};
use crate::{
    codec::hash,
    format::{copied::Copied, layout},
    model::{Finding, Key, Name, Severity, SnapshotId, Time},
    store::{ObjectStore, Payload},
    vault::{
        Result, Vault,
        copies::Extent,
        snapshots::{Listing, Summary},
    },
};

/// The two places of a repair, and what was seen of them.
pub(super) struct Repair<'a> {
    pub(super) vault: &'a Vault,
    pub(super) from: &'a Vault,
    /// The headers of both, as they were before.
    pub(super) ours: &'a Listing,
    pub(super) theirs: &'a Listing,
    /// Snapshots of the copy that belong here, and those that only this place has.
    pub(super) known: &'a [Summary],
    pub(super) own: &'a [Summary],
    /// What of the vault each is to hold.
    pub(super) extents: &'a (Extent, Extent),
    pub(super) now: Time,
}

/// What nothing needs that is not under its own name.
const OWN_NAMES: [&str; 8] =
    [layout::SNAPSHOTS, layout::JOURNALS, layout::KEYS, layout::MEMBERS, layout::EVIDENCE, HOLDS, RELEASES, APPROVERS];

/// The names that have the record of a lock that is not over, or can't be read, and no object.
pub(super) async fn records(store: &dyn ObjectStore) -> Result<HashSet<String>> {
    let (mut lost, now) = (HashSet::new(), store.server_time().await?);
    let mut each = |key: String, lock: Option<crate::model::Lock>| {
        if lock.is_none_or(|lock| lock.until > now) {
            lost.insert(key);
        }
    };
    store.list_lost(&mut each).await?;
    Ok(lost)
}

/// Puts back the records that headers embed, and that neither place may have any more: of each writer, those of its newest
/// header.
pub(super) async fn embedded(
    pass: &Pass<'_>,
    repair: &Repair<'_>,
    has_descriptor: bool,
    done: &mut CopyDone,
) -> Result<()> {
    let mut newest: BTreeMap<&Name, &Summary> = BTreeMap::new();
    for snapshot in repair.known.iter().chain(repair.own) {
        newest.insert(&snapshot.header.writer, snapshot);
    }
    let own: HashSet<SnapshotId> = repair.own.iter().map(|snapshot| snapshot.id).collect();
    for snapshot in newest.into_values() {
        let vault = if own.contains(&snapshot.id) { repair.vault } else { repair.from };
        let whole = match vault.whole(snapshot).await {
            Ok(whole) => whole,
            Err(error) if error.is_of_object() => continue,
            Err(error) => return Err(error),
        };
        let (epoch, certificate) = (whole.header.epoch.encode()?, whole.header.certificate.encode()?);
        let (epoch, certificate) = (epoch.bytes().clone(), certificate.bytes().clone());
        let descriptor = whole.header.descriptor.encode()?.bytes().clone();
        if let Some(copied) = Copied::descriptor(repair.from.descriptor.vault, descriptor).filter(|_| !has_descriptor) {
            documents::put_back(pass, &layout::descriptor(), &Payload::Copied(copied), done).await?;
        }
        let keys = [
            (layout::epoch_record(whole.epoch.epoch, whole.epoch.rev, &hash::hash(&epoch)), epoch),
            (
                layout::certificate(&whole.certificate.name, whole.certificate.rev, &hash::hash(&certificate)),
                certificate,
            ),
        ];
        for (key, bytes) in keys {
            if let Some(copied) = Copied::of(&key, bytes) {
                documents::put_back(pass, &key, &Payload::Copied(copied), done).await?;
            }
        }
    }
    Ok(())
}

/// Names what is gone from both places, as far as something tells of it.
pub(super) async fn name(pass: &Pass<'_>, repair: &Repair<'_>, done: &mut CopyDone) -> Result<()> {
    let (mover, place) = (pass.mover, pass.mover.place);
    let mended: HashSet<Key> = mover.mended().into_iter().collect();
    let named: HashSet<String> = done.findings.iter().filter_map(|finding| finding.object.clone()).collect();
    let is_there = |key: &Key| place.there(key) || mended.contains(key);
    let mut gone: BTreeSet<String> = BTreeSet::new();
    gone.extend(records(&*repair.vault.store).await?);
    // What the other place lost counts where only its own name tells of it, and where this one does not have it.
    let own = |key: &String| OWN_NAMES.iter().any(|prefix| key.starts_with(prefix));
    for key in records(&*repair.from.store).await?.into_iter().filter(own) {
        if key.parse::<Key>().is_ok_and(|key| !is_there(&key)) && !key.starts_with(layout::JOURNALS) {
            gone.insert(key);
        }
    }
    for text in gone.into_iter().filter(|key| !named.contains(key)) {
        if text.parse::<Key>().is_ok_and(|key| mended.contains(&key)) {
            continue;
        }
        let what = "the record of its lock proves that it was put; it is gone, and the copy has no such object that is needed \
                    here: if it was needed, it is lost in both";
        done.findings.push(Finding::new(Severity::Error, "repair.lost", what).on(text));
    }
    for hash in &repair.from.descriptor.root_records {
        let key = layout::root_record(hash);
        if !is_there(&key) && !named.contains(key.as_str()) {
            let what = "the descriptor names this record of the root, and neither place has it: nobody can add or revoke members";
            done.findings.push(Finding::new(Severity::Error, "repair.lost", what).on(key));
        }
    }
    predecessors(repair, done);
    Ok(())
}

/// Names snapshots that a header follows and that neither place has, though what they promised is not over. Of two parts of
/// a vault nobody knows what they should have.
fn predecessors(repair: &Repair<'_>, done: &mut CopyDone) {
    let all = || repair.theirs.snapshots.iter().chain(&repair.ours.snapshots);
    let unread = repair.theirs.unread.iter().chain(&repair.ours.unread).map(|unread| unread.named.1);
    let known: HashSet<SnapshotId> = all().map(|snapshot| snapshot.id).chain(unread).collect();
    let policy = &repair.from.descriptor.lock;
    let mut told = HashSet::new();
    let (ours, theirs) = repair.extents;
    let is_due = |one: &&Summary| {
        let (writer, before) = (&one.header.writer, one.header.seq.saturating_sub(1));
        let known_to = !ours.may_lack(writer, before) || !theirs.may_lack(writer, before);
        known_to && !one.standing.suspect && !one.predecessors_are_over(policy, repair.now)
    };
    for one in all().filter(is_due) {
        for prev in one.header.prev.iter().filter(|prev| !known.contains(prev)) {
            if told.insert(*prev) {
                let what = format!(
                    "this snapshot is gone from both places, though what it promised is not over: snapshot {} names it as its \
                     predecessor",
                    one.id
                );
                done.findings.push(Finding::new(Severity::Error, "repair.lost", what).of(prev));
            }
        }
    }
}
