//! Evidence: what is there and signed comes along, and a repair sees to it that it stays for as long as it was to.

use std::collections::BTreeMap;

use super::{
    CopyDone, Pass,
    documents::{Documents, known_members, other},
    lost::is_locked,
    object::Trouble,
};
use crate::{
    format::{
        evidence::Evidence,
        layout::{self, ObjectName},
    },
    model::{Finding, Hash, Key, Name, Severity, Time},
    vault::{Result, VaultError, VaultErrorKind, evidence, fetch::Stored, members::Members, upkeep::KEEP_NEWEST},
};

/// Copies evidence that is not there and that `prune` would leave there.
pub(super) async fn copy(pass: &Pass<'_>, documents: &Documents, done: &mut CopyDone) -> Result<()> {
    let (place, mends) = (pass.mover.place, pass.mover.mends());
    let missing = missing(pass, &documents.evidence);
    if missing.is_empty() {
        return Ok(());
    }
    let Some(members) = known_members(pass, layout::EVIDENCE, done).await? else { return Ok(()) };
    for (key, member, named) in missing {
        pass.mover.go_on()?;
        let object = other(&key, named);
        if pass.request.dry_run && !mends {
            if !place.there(&key) {
                done.moved.entry(object.kind()).or_default().objects += 1;
            }
            continue;
        }
        let signed = match signed(pass, &members, (&key, &member, &named)).await? {
            Ok(signed) => signed,
            Err(error) => {
                done.findings.push(none(pass, &key, error).await?);
                continue;
            }
        };
        if let Err(trouble) = pass.mover.bring(&object, false, place.usual()).await? {
            done.findings.push(trouble.finding(&key, mends));
            continue;
        }
        if pass.request.dry_run && !place.holds(&object) {
            continue;
        }
        // Of what was there before as much as it was promised when it was left.
        let promised = if mends || pass.relocks.is_some() {
            signed.at + pass.source.descriptor.lock.keep
        } else {
            place.promised()
        };
        if let Err(trouble) = place.lock(&object, promised.min(place.cap()), place.usual()).await? {
            done.findings.push(trouble.finding(&key, mends));
        }
    }
    Ok(())
}

/// The evidence, if somebody signed it who may: as the source has it, or else the place that is repaired.
async fn signed(
    pass: &Pass<'_>,
    members: &Members,
    (key, member, named): (&Key, &Name, &Hash),
) -> Result<std::result::Result<Evidence, VaultError>> {
    let first = match evidence::one(pass.source, members, key, member, named).await {
        Err(error) if error.is_of_object() => error,
        other => return other.map(Ok),
    };
    if pass.mover.mends() {
        match evidence::one(pass.target, members, key, member, named).await {
            Err(error) if error.is_of_object() => {}
            other => return other.map(Ok),
        }
    }
    Ok(Err(first))
}

/// What is said of something that has the name of evidence and is none. Where the record of a lock proves that it was put, as in
/// a directory, it is damaged, or can't be read; elsewhere whoever may leave evidence can put such a thing.
async fn none(pass: &Pass<'_>, key: &Key, error: VaultError) -> Result<Finding> {
    let bytes = matches!(error.kind, VaultErrorKind::Damaged | VaultErrorKind::Denied) && error.object.is_some();
    if bytes {
        let vaults = [Some(pass.source), pass.mover.mends().then_some(pass.target)];
        for vault in vaults.into_iter().flatten() {
            if is_locked(vault, key).await? {
                return Ok(Trouble::of(error).finding(key, pass.mover.mends()));
            }
        }
    }
    let what = format!("nobody who may signed it, or it can't be read, so it was not copied: {error}");
    Ok(Finding::new(Severity::Warning, "evidence.foreign", what).on(key))
}

/// The evidence that the target lacks, or whose lock is looked at: of each member's the newest, and what is young.
fn missing(pass: &Pass<'_>, listed: &BTreeMap<String, Vec<Stored>>) -> Vec<(Key, Name, Hash)> {
    let place = pass.mover.place;
    let mut of: BTreeMap<Name, Vec<(Time, Key, Hash)>> = BTreeMap::new();
    for (text, stored) in listed {
        let (Some(ObjectName::Evidence(member, named)), Ok(key)) = (layout::parse(text), text.parse::<Key>()) else {
            continue;
        };
        let since = stored.first().map_or(place.now, |first| first.modified);
        of.entry(member).or_default().push((since, key, named));
    }
    let policy = pass.source.descriptor.lock;
    let looks = pass.mover.mends() || pass.relocks.is_some();
    let mut missing = Vec::new();
    for (member, mut all) in of {
        all.sort_unstable_by(|a, b| b.cmp(a));
        for (at, (since, key, named)) in all.into_iter().enumerate() {
            let young = policy.lock_from(since).until > place.now;
            if (young || at < KEEP_NEWEST) && (looks || !place.there(&key)) {
                missing.push((key, member.clone(), named));
            }
        }
    }
    missing
}
