//! What is gone from both places. Nothing has its name any more, so something that is left must tell of it: the record of its
//! lock in a directory, a header that names its predecessor, the descriptor with its root records, and headers, which embed
//! the records that they need.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::{
    CopyDone, Pass,
    choice::refused_headers,
    documents,
    object::{APPROVERS, HOLDS, RELEASES, Trouble},
};
use crate::{
    codec::hash,
    format::{copied::Copied, layout},
    model::{Finding, Hash, Key, Name, Severity, SnapshotId, Time},
    store::{ObjectStore, Payload, StoreErrorKind},
    vault::{
        Result, Vault,
        copies::Extent,
        fetch,
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

/// Names what the source of a copy had and lost: no copy made from it now has that.
pub(super) async fn of_source(source: &Vault, done: &mut CopyDone) -> Result<()> {
    let lost: BTreeSet<String> = records(&*source.store).await?.into_iter().collect();
    for key in lost {
        let what = "the record of its lock proves that the source had this; it is gone there, so it can't be copied: `strongroom repair \
                    --vault SOURCE --from` a copy that has it puts it back";
        done.findings.push(Finding::new(Severity::Error, "copy.damaged", what).on(key));
    }
    Ok(())
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

/// Names what stands under a header's name and is none in either place. Where the record of a lock says that one was put, its
/// snapshot is lost. Elsewhere whoever may add objects can put such a thing here, so it is no damage.
pub(super) async fn unread(repair: &Repair<'_>, done: &mut CopyDone) -> Result<()> {
    let all = || repair.theirs.snapshots.iter().chain(&repair.ours.snapshots);
    let readable: HashSet<SnapshotId> = all().map(|snapshot| snapshot.id).collect();
    let (others, mut told) = (others(repair), HashSet::new());
    for (vault, listing) in [(repair.vault, repair.ours), (repair.from, repair.theirs)] {
        let refused = if vault.store.traits().trusted_time { HashSet::new() } else { refused_headers(listing) };
        for unread in listing.unread.iter().filter(|unread| !readable.contains(&unread.named.1)) {
            let key = unread.key();
            if refused.contains(key.as_str()) && told.insert((key.clone(), true)) {
                let why = format!(
                    "{}: the other place has no header of this name that can be read either",
                    vault.store.url()
                );
                done.findings.push(Trouble::Unread(why).finding(&key, true));
            }
            if others.contains(key.as_str()) {
                continue;
            }
            let proven = is_locked(vault, &key).await?;
            if !proven && !std::ptr::eq(listing, repair.ours) || !told.insert((key.clone(), proven)) {
                continue;
            }
            done.findings.push(if proven {
                done.unnamed.insert(Name::clone(&unread.writer));
                let what = "the record of its lock proves that a header was put, and neither place has one that can be read: its \
                            snapshot is lost in both";
                Finding::new(Severity::Error, "repair.lost", what).on(key)
            } else {
                let what = "no header that can be read, and the copy has none of this name either: if it was a snapshot, it is \
                            lost in both";
                Finding::new(Severity::Warning, "header.foreign", what).on(key)
            });
        }
    }
    Ok(())
}

fn is_error(finding: &Finding) -> bool {
    finding.severity == Severity::Error
}

/// Headers that may be whole, and that this program or these credentials can't read.
fn others(repair: &Repair<'_>) -> HashSet<String> {
    let all = repair.ours.findings.iter().chain(&repair.theirs.findings);
    let other = |one: &&Finding| matches!(one.code.as_str(), "header.newer" | "header.unread");
    all.filter(other).filter_map(|one| one.object.clone()).collect()
}

/// Whether the record of a lock proves that something was put, as only a directory has one.
pub(super) async fn is_locked(vault: &Vault, key: &Key) -> Result<bool> {
    if vault.store.traits().trusted_time {
        return Ok(false);
    }
    let now = vault.store.server_time().await?;
    match vault.store.lock_of(key, None).await {
        Ok(lock) => Ok(lock.is_some_and(|lock| lock.until > now)),
        Err(error) if error.kind == StoreErrorKind::Corrupt => Ok(true),
        Err(error) if error.is_not_found() || fetch::is_unreadable(error.kind) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether either place has a document as its name says.
async fn is_whole(repair: &Repair<'_>, key: &Key, named: &Hash) -> Result<bool> {
    for vault in [repair.vault, repair.from] {
        match fetch::by_hash(&*vault.store, key, None, named, documents::LARGEST).await {
            Ok(_) => return Ok(true),
            Err(error) if error.is_of_object() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// Names what is gone from both places, as far as something tells of it.
pub(super) async fn name(pass: &Pass<'_>, repair: &Repair<'_>, done: &mut CopyDone) -> Result<()> {
    let (mover, place) = (pass.mover, pass.mover.place);
    let mended: HashSet<Key> = mover.mended().into_iter().collect();
    let named: HashSet<String> =
        done.findings.iter().filter(|one| is_error(one)).filter_map(|one| one.object.clone()).collect();
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
        if !named.contains(key.as_str()) && !is_whole(repair, &key, hash).await? {
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
    let named: HashSet<String> =
        done.findings.iter().filter(|one| is_error(one)).filter_map(|one| one.object.clone()).collect();
    let others = others(repair);
    let is_told = |key: &Key| named.contains(key.as_str()) || others.contains(key.as_str());
    let unread = repair.theirs.unread.iter().chain(&repair.ours.unread);
    let unread = unread.filter(|one| is_told(&one.key())).map(|one| one.named.1);
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
