//! Holds: what is kept in one place whatever its expiry is kept in the other as well, and is locked there for as long. The
//! document of a hold comes last, so that nothing says that something is held before it is.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    CopyDone, Pass, documents,
    object::{HOLDS, Object, RELEASES, Where},
    place::Place,
};
use crate::{
    format::{header::HEADER_LIMIT, layout},
    model::{Finding, Hash, Key, Severity, SnapshotId, Time},
    vault::{
        Result, Vault, VaultErrorKind, fetch,
        holds::Holds,
        snapshots::{self, Summary},
        upkeep::renew,
    },
};

/// What is held.
#[derive(Default)]
pub(super) struct Kept {
    /// Until when all that each snapshot needs is to be locked now. What is held for longer than any lock lasts is kept by
    /// renewal from then on, as in any vault.
    until: BTreeMap<SnapshotId, Time>,
    /// The documents of holds and of what lifts them, and until when those are to be locked that hold something.
    documents: BTreeMap<String, (Object, Option<Time>)>,
    pub(super) findings: Vec<Finding>,
}

impl Kept {
    /// Reads the holds of a vault. What counts for nothing there is left there: a copy's time can't tell any more.
    pub(super) async fn of(vault: &Vault, place: &Place<'_>) -> Result<Self> {
        let holds = match Holds::of(vault).await {
            Ok(holds) => holds,
            Err(error) if error.kind == VaultErrorKind::Denied => return Self::unread(vault, &error.what).await,
            Err(error) => return Err(error),
        };
        let mut kept = Self { findings: holds.findings.clone(), ..Self::default() };
        let most = vault.descriptor.lock.max_lock;
        for held in holds.all.iter().filter(|held| !held.suspect) {
            let floor = held.hold.until.min(held.hold.at + most);
            kept.add(&held.key, held.hash, held.released.is_none().then_some(floor));
            if held.holds(place.now) {
                for id in &held.hold.snapshots {
                    let until = kept.until.entry(*id).or_insert(floor);
                    *until = floor.max(*until);
                }
            }
        }
        for (key, hash, _) in &holds.releases {
            kept.add(key, *hash, None);
        }
        for key in &holds.unread {
            kept.named(key);
        }
        Ok(kept)
    }

    /// Where these credentials can't read what tells who may hold, all documents come along.
    async fn unread(vault: &Vault, why: &str) -> Result<Self> {
        let mut kept = Self::default();
        for prefix in [HOLDS, RELEASES] {
            for text in fetch::listed(&*vault.store, prefix).await?.keys.into_keys() {
                if let Ok(key) = text.parse::<Key>() {
                    kept.named(&key);
                }
            }
        }
        let what = format!(
            "these credentials can't tell which holds count, so all of them come along and nothing is locked for them: {why}"
        );
        kept.findings.push(Finding::new(Severity::Weak, "copy.hold", what).on(HOLDS));
        Ok(kept)
    }

    fn named(&mut self, key: &Key) {
        if let Some(hash) = layout::named_hash(key.as_str()) {
            self.add(key, hash, None);
        }
    }

    fn add(&mut self, key: &Key, hash: Hash, until: Option<Time>) {
        self.documents.insert(key.to_string(), (documents::other(key, hash), until));
    }

    /// The same with what another place holds.
    pub(super) fn and(mut self, other: Self) -> Self {
        for (id, floor) in other.until {
            let until = self.until.entry(id).or_insert(floor);
            *until = floor.max(*until);
        }
        self.documents.extend(other.documents);
        self.findings.extend(other.findings);
        self
    }

    /// Whether a snapshot is held.
    pub(super) fn keeps(&self, snapshot: &SnapshotId) -> bool {
        self.until.contains_key(snapshot)
    }
}

/// Locks for as long as it is held what is held and is in the target, and brings the documents.
pub(super) async fn follow(pass: &Pass<'_>, kept: &Kept, done: &mut CopyDone) -> Result<()> {
    done.findings.extend(kept.findings.iter().cloned());
    if !kept.until.is_empty() {
        lock(pass, kept, done).await?;
    }
    let place = pass.mover.place;
    let is_new = kept.documents.values().any(|(object, _)| !place.there(&object.key()));
    if is_new && !pass.mover.mends() && !pass.request.dry_run {
        pass.lease.hold().await?;
    }
    for (object, until) in kept.documents.values() {
        documents::held(pass, object, *until, done).await?;
    }
    Ok(())
}

async fn lock(pass: &Pass<'_>, kept: &Kept, done: &mut CopyDone) -> Result<()> {
    let place = pass.mover.place;
    let known = |id: &SnapshotId| !kept.keeps(id);
    let mut all = snapshots::newer(pass.source, &known, kept.until.len(), false).await?.listing.snapshots;
    if let Some(also) = pass.also {
        let ids: BTreeSet<SnapshotId> = all.iter().map(|snapshot| snapshot.id).collect();
        let more = snapshots::newer(also, &known, kept.until.len(), false).await?.listing.snapshots;
        all.extend(more.into_iter().filter(|snapshot| !ids.contains(&snapshot.id)));
    }
    let mut due: Vec<(&Summary, Time)> = Vec::new();
    for snapshot in all.iter().filter(|snapshot| place.there(&snapshot.key())) {
        let Some(until) = kept.until.get(&snapshot.id).map(|until| (*until).min(place.cap())) else { continue };
        // The header's lock is the last that is extended, so it tells of all.
        if pass.mover.mends() || place.ends(&header(snapshot)).await? < until {
            due.push((snapshot, until));
        }
    }
    let Some(furthest) = due.iter().map(|(_, until)| *until).max() else { return Ok(()) };
    if pass.request.dry_run {
        return Ok(());
    }
    // Where this fails, nothing else has to be tried.
    let Some((first, _)) = due.first() else { return Ok(()) };
    let descriptor = Object { at: Where::Other(layout::descriptor()), ..header(first) };
    let why = match place.lock(&descriptor, furthest, furthest).await? {
        Ok(Some(until)) if until >= furthest => None,
        Ok(_) => Some("no lock can be had there".to_owned()),
        Err(trouble) => Some(trouble.why().to_owned()),
    };
    if let Some(why) = why {
        let what = format!(
            "{} snapshots are held until {furthest} at most, and what they need is not locked for as long here, since a lock \
             {why}. Run `strongroom renew` of this place as its keeper, whose role may extend locks",
            due.len()
        );
        // Where less was allowed, it is told and no more.
        let severity = if pass.request.as_possible { Severity::Warning } else { Severity::Weak };
        done.findings.push(Finding::new(severity, "copy.hold", what).on(place.store.url()));
        return Ok(());
    }
    let extended = renew::freeze(pass.target, &due, pass.mover.progress, pass.mover.cancel).await?;
    done.held += extended.updates;
    done.findings.extend(extended.findings.into_vec());
    Ok(())
}

fn header(snapshot: &Summary) -> Object {
    let hash = Hash::from_bytes(*snapshot.id.as_bytes());
    Object { at: Where::Other(snapshot.key()), hash, bytes: None, limit: HEADER_LIMIT, hint: None }
}
