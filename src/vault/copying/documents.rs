//! The documents of a vault: its descriptor first, so that the target is known for a copy of this vault from then on; the
//! records of root and epochs, certificates, evidence, holds and their releases, and who approves.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, future::try_join_all, stream};

use super::{
    CopyDone, Pass,
    mover::Mover,
    object::{APPROVERS, HOLDS, Object, RELEASES, Trouble, Where},
    place::{Place, Standing},
};
use crate::{
    codec::hash,
    format::{
        copied::Copied,
        layout::{self, ObjectName},
    },
    model::{Finding, Key, Severity, Time},
    store::Payload,
    vault::{
        Result, Vault, VaultError, VaultErrorKind,
        fetch::{self, Stored},
        members::Members,
        open,
        upkeep::vouched,
    },
};

/// No document has more stored bytes.
pub(super) const LARGEST: usize = 6 << 20;

pub(super) fn other(key: &Key, named: crate::model::Hash) -> Object {
    Object { at: Where::Other(key.clone()), hash: named, bytes: None, limit: LARGEST, hint: None }
}

/// The documents of a vault, as they are listed.
pub(super) struct Documents {
    others: Vec<Object>,
    /// What only the place has that is repaired.
    own: Vec<Object>,
    pub(super) evidence: BTreeMap<String, Vec<Stored>>,
}

/// Lists the documents of both places, all at once. What only `also` has, which is repaired, is looked at as well.
pub(super) async fn list(source: &Vault, place: &Place<'_>, also: Option<&Vault>) -> Result<Documents> {
    let kinds = [layout::KEYS, layout::MEMBERS, APPROVERS];
    let there = [layout::DESCRIPTOR, layout::EVIDENCE, HOLDS, RELEASES].into_iter().chain(kinds);
    let (_, theirs, evidence) = tokio::try_join!(
        try_join_all(there.map(|prefix| place.list(prefix))),
        try_join_all(kinds.map(|prefix| fetch::listed(&*source.store, prefix))),
        fetch::listed(&*source.store, layout::EVIDENCE),
    )?;
    let theirs: BTreeSet<String> = theirs.into_iter().flat_map(|listed| listed.keys.into_keys()).collect();
    let (mut own, mut evidence) = (Vec::new(), evidence.keys);
    if let Some(also) = also {
        let ours = try_join_all(kinds.map(|prefix| fetch::listed(&*also.store, prefix))).await?;
        let ours = ours.into_iter().flat_map(|listed| listed.keys.into_keys()).filter(|key| !theirs.contains(key));
        own = ours.filter_map(|key| named(&key)).collect();
        for (key, stored) in fetch::listed(&*also.store, layout::EVIDENCE).await?.keys {
            evidence.entry(key).or_insert(stored);
        }
    }
    Ok(Documents { others: theirs.iter().filter_map(|key| named(key)).collect(), own, evidence })
}

fn named(text: &str) -> Option<Object> {
    let (named, key) = (layout::named_hash(text)?, text.parse::<Key>().ok()?);
    Some(other(&key, named))
}

/// The descriptor, if it can be read, and what came of it where it was put already.
pub(super) struct Begun {
    descriptor: Option<(Object, Payload)>,
    put: Option<Outcome>,
}

impl Begun {
    /// Whether the source has a descriptor of its own.
    pub(super) const fn has_descriptor(&self) -> bool {
        self.descriptor.is_some()
    }
}

/// Reads the descriptor, where that can't be read as a header embeds it. Where nothing is yet and the place itself locks what it is given, it is put at once: a server may take long
/// for the first object of a bucket, and what is to be copied is chosen meanwhile.
pub(super) async fn begin(source: &Vault, mover: &Mover<'_>) -> Result<Begun> {
    let place = mover.place;
    let mut descriptor = descriptor(source).await?;
    if descriptor.is_none() && !mover.mends() {
        // A place with objects and no descriptor would be taken for something else by the next pass.
        descriptor = embedded_descriptor(source).await?;
    }
    let Some((object, payload)) = descriptor.as_ref().filter(|_| mover.puts_first()) else {
        return Ok(Begun { descriptor, put: None });
    };
    let put = match mover.put_first(object, payload, place.usual()).await? {
        Err(trouble) => Outcome::Bad(trouble),
        Ok(()) => match place.lock(object, place.promised(), place.usual()).await? {
            Err(trouble) => Outcome::Short(trouble),
            Ok(_) => Outcome::Fine,
        },
    };
    Ok(Begun { descriptor, put: Some(put) })
}

/// What came of a document.
enum Outcome {
    Fine,
    /// It would be put.
    Missing(u64),
    Bad(Trouble),
    /// Its lock is too short.
    Short(Trouble),
}

/// Copies the descriptor, if it is missing: what is read meanwhile is put when that is there. Where snapshots are to be copied, the
/// locks of what is there are looked at, too.
pub(super) async fn descriptor_first(pass: &Pass<'_>, begun: Begun, look: bool, done: &mut CopyDone) -> Result<()> {
    if let Some((object, payload)) = &begun.descriptor {
        let outcome = match begun.put {
            Some(outcome) => outcome,
            None => document(pass, object, Some(payload), (look, None)).await?,
        };
        if let (Outcome::Bad(trouble), true) = (&outcome, pass.mover.place.fresh && !pass.request.dry_run) {
            let why = trouble.finding(&object.key(), false).message;
            let what = format!("the descriptor did not get into the target, so nothing else was put there: {why}");
            return Err(VaultError::new(VaultErrorKind::Failed, what).on(object.key()));
        }
        take(pass, object, outcome, done)?;
    } else if !pass.mover.mends() {
        let what = "no version of it can be read as the root signed it, so it was not copied; snapshots embed a copy";
        done.findings.push(Finding::new(Severity::Error, "copy.damaged", what).on(layout::DESCRIPTOR));
    }
    pass.mover.open();
    Ok(())
}

/// Copies the others that are missing. Headers are put when all are there.
pub(super) async fn copy(pass: &Pass<'_>, documents: &Documents, look: bool, done: &mut CopyDone) -> Result<()> {
    let mut brought = stream::iter(&documents.others)
        .map(|object| async move { (object, document(pass, object, None, (look, None)).await) })
        .buffered(pass.mover.jobs);
    while let Some((object, outcome)) = brought.next().await {
        take(pass, object, outcome?, done)?;
    }
    pass.ready.add_permits(1);
    for object in &documents.own {
        own(pass, object, done).await?;
    }
    Ok(())
}

/// Sees to the lock of a document that only the place has that is repaired, if its root vouches for it.
async fn own(pass: &Pass<'_>, object: &Object, done: &mut CopyDone) -> Result<()> {
    let (key, place) = (object.key(), pass.mover.place);
    let vouches = match (
        layout::parse(key.as_str()),
        fetch::by_hash(&*pass.target.store, &key, None, &object.hash, LARGEST).await,
    ) {
        (Some(name), Ok(bytes)) => vouched(pass.target, &name, &bytes),
        (_, Err(error)) if !error.is_of_object() => return Err(error),
        _ => false,
    };
    if vouches && let Err(trouble) = place.lock(object, pass.needed.min(place.cap()), pass.furthest).await? {
        done.findings.push(trouble.finding(&key, true));
    }
    Ok(())
}

/// Puts a document back that something else embeds, where it is not there as it should be.
pub(super) async fn put_back(pass: &Pass<'_>, key: &Key, payload: &Payload, done: &mut CopyDone) -> Result<()> {
    let object = other(key, hash::hash(payload.bytes()));
    let outcome = document(pass, &object, Some(payload), (true, None)).await?;
    take(pass, &object, outcome, done)
}

/// Brings a hold, which is to be locked until a time, or what lifts one.
pub(super) async fn held(pass: &Pass<'_>, object: &Object, until: Option<Time>, done: &mut CopyDone) -> Result<()> {
    let outcome = document(pass, object, None, (until.is_some(), until)).await?;
    take(pass, object, outcome, done)
}

/// Brings one, and sees to its lock: also of one that is there, if that is to be looked at, until a time.
async fn document(
    pass: &Pass<'_>,
    object: &Object,
    payload: Option<&Payload>,
    (look, until): (bool, Option<Time>),
) -> Result<Outcome> {
    let (place, mends) = (pass.mover.place, pass.mover.mends());
    let ask = pass.furthest.max(until.unwrap_or(pass.furthest));
    let there = place.there(&object.key()) && !mends;
    // Of the descriptor it is told before, for all.
    let again = pass.relocks.filter(|_| there && object.key() != layout::descriptor());
    if !there && pass.request.dry_run && !mends {
        return Ok(Outcome::Missing(payload.map_or(0, |payload| payload.bytes().len() as u64)));
    }
    if !there && let Err(trouble) = one(pass, object, payload, ask).await? {
        return Ok(Outcome::Bad(trouble));
    }
    if pass.request.dry_run {
        return Ok(Outcome::Fine);
    }
    if !there || again.is_some() {
        let least = again.unwrap_or(if mends { pass.needed } else { place.promised() });
        let required = least.max(until.unwrap_or(least)).min(place.cap());
        if let Err(trouble) = place.lock(object, required, ask).await? {
            return Ok(Outcome::Short(trouble));
        }
    } else if look && place.sets_locks() {
        // What lives longer now needs them for longer. Where that can't be done, the keeper of the copy does it.
        drop(place.lock(object, until.unwrap_or(ask).min(place.cap()), ask).await?);
    }
    Ok(Outcome::Fine)
}

fn take(pass: &Pass<'_>, object: &Object, outcome: Outcome, done: &mut CopyDone) -> Result<()> {
    match outcome {
        Outcome::Fine => {}
        Outcome::Missing(bytes) => count(done, object, bytes),
        Outcome::Bad(trouble) => done.findings.push(trouble.finding(&object.key(), pass.mover.mends())),
        Outcome::Short(trouble) => told(pass, object, &trouble, done)?,
    }
    Ok(())
}

/// A document whose lock is too short. The descriptor is the first object of a copy: what can't lock it can't hold the copy.
fn told(pass: &Pass<'_>, object: &Object, trouble: &Trouble, done: &mut CopyDone) -> Result<()> {
    let key = object.key();
    if key == layout::descriptor() && !pass.request.as_possible && !pass.mover.mends() {
        let Trouble::Short(why) = trouble else { return Ok(()) };
        let what = format!(
            "the target can't hold what the source promises: the lock of the first object {why}. Give the bucket Object Lock \
             with a default retention that is long enough, or the credentials the right to set locks; with --locks \
             as-possible it is copied anyway"
        );
        return Err(VaultError::new(VaultErrorKind::Unprotected, what).on(key));
    }
    done.findings.push(trouble.finding(&key, pass.mover.mends()));
    Ok(())
}

fn count(done: &mut CopyDone, object: &Object, bytes: u64) {
    let count = done.moved.entry(object.kind()).or_default();
    count.objects += 1;
    count.bytes += bytes;
}

/// Brings a document, if somebody vouches for it. What nobody does is left where it is.
async fn one(
    pass: &Pass<'_>,
    object: &Object,
    payload: Option<&Payload>,
    ask: Time,
) -> Result<std::result::Result<(), Trouble>> {
    let key = object.key();
    if let Some(payload) = payload {
        if pass.mover.mends() && matches!(pass.mover.place.standing(object, false).await?, Ok(Standing::Here)) {
            return Ok(Ok(()));
        }
        return pass.mover.put_first(object, payload, ask).await;
    }
    let Some(name) = layout::parse(key.as_str()) else { return Ok(Ok(())) };
    if matches!(name, ObjectName::Root(_) | ObjectName::Epoch(..) | ObjectName::Certificate(..)) {
        let bytes = match fetch::by_hash(&*pass.source.store, &key, None, &object.hash, LARGEST).await {
            Ok(bytes) => bytes,
            Err(error) if error.kind == VaultErrorKind::Damaged => return Ok(Err(Trouble::Damaged(error.what))),
            Err(error) if error.is_of_object() => return Ok(Err(Trouble::Unread(error.what))),
            Err(error) => return Err(error),
        };
        if !vouched(pass.source, &name, &bytes) {
            let what = "this vault's root does not vouch for it".to_owned();
            return Ok(Err(Trouble::Damaged(what)));
        }
    }
    pass.mover.bring(object, false, ask).await
}

/// The vault's descriptor as it stands in the source: the version that certifies itself.
async fn descriptor(source: &Vault) -> Result<Option<(Object, Payload)>> {
    let key = layout::descriptor();
    let versions = fetch::versions(&*source.store, &key).await?.into_iter().map(Some).chain([None]);
    for version in versions {
        let bytes = match source.store.get(&key, version.as_ref(), Some(0..LARGEST as u64)).await {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() || fetch::is_unreadable(error.kind) => continue,
            Err(error) => return Err(error.into()),
        };
        let named = hash::hash(&bytes);
        if let Some(copied) = Copied::descriptor(source.descriptor.vault, bytes) {
            return Ok(Some((other(&key, named), Payload::Copied(copied))));
        }
    }
    Ok(None)
}

/// The same as a header of the source embeds it.
async fn embedded_descriptor(source: &Vault) -> Result<Option<(Object, Payload)>> {
    let Some((_, bytes)) = open::embedded(&*source.store, source.descriptor.vault).await? else { return Ok(None) };
    let named = hash::hash(&bytes);
    let copied = Copied::descriptor(source.descriptor.vault, bytes);
    Ok(copied.map(|copied| (other(&layout::descriptor(), named), Payload::Copied(copied))))
}

/// Who may sign what in the source. Where nothing that tells is readable, that is said of what `needs` it, which is left out.
pub(super) async fn known_members(pass: &Pass<'_>, needs: &str, done: &mut CopyDone) -> Result<Option<Members>> {
    match Members::of(pass.source).await {
        Ok(members) => Ok(Some(members)),
        Err(error) if error.kind == VaultErrorKind::Denied => {
            let why = format!("who may sign it is not known, since the certificates of members can't be read: {error}");
            let key = needs.trim_end_matches('/').parse::<Key>().unwrap_or_else(|_| layout::descriptor());
            done.findings.push(Trouble::Unread(why).finding(&key, pass.mover.mends()));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
