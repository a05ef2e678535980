//! Whether a place may hold the copy: it is empty, or holds this vault, and one source feeds it.

use std::{collections::HashSet, sync::Arc};

use super::{ReplicateRequest, Result};
use crate::{
    format::{copied::CopyRecord, layout},
    model::{Finding, Time, VaultId},
    ops::OpsError,
    store::{ObjectStore, StoreErrorKind},
    vault::{
        Vault, VaultErrorKind,
        copies::Copies,
        copy_records::{self, Read},
    },
};

fn refused(what: String, next: &str) -> OpsError {
    OpsError::Request { what, next: next.to_owned() }
}

/// The vault whose copy `target` holds by its own word, if it holds one. It pins the source, where nothing else does.
///
/// # Errors
/// If the store does not answer.
pub async fn vault_of(target: &Arc<dyn ObjectStore>) -> Result<Option<VaultId>> {
    match Vault::open(Arc::clone(target), None).await {
        Ok(vault) => Ok(Some(vault.descriptor.vault)),
        Err(error) if matches!(error.kind, VaultErrorKind::TryAgain | VaultErrorKind::Cancelled) => Err(error.into()),
        Err(_) => Ok(None),
    }
}

/// What was seen of the place that a copy goes to.
#[derive(Debug, Default)]
pub(super) struct Fit {
    /// Whether it is seen to hold nothing at all, not even what is hidden or overwritten.
    pub(super) fresh: bool,
    /// What its last record says, if it is a copy.
    pub(super) last: Option<CopyRecord>,
    /// Whether that is known by the name of the record alone, which is damaged: then it is said anew.
    pub(super) renew: bool,
    /// What is wrong with its descriptor, so that a header had to say whose vault it holds.
    pub(super) findings: Vec<Finding>,
}

/// Fails if the copy must not go there.
pub(super) async fn must_fit(
    source: &Vault,
    target: &Arc<dyn ObjectStore>,
    request: &ReplicateRequest,
    now: Time,
) -> Result<Fit> {
    let (url, id) = (target.url(), source.descriptor.vault);
    if request.copy.from == request.to {
        let what = format!("{url} is the vault itself");
        return Err(refused(what, "give --to another bucket, another prefix or another directory"));
    }
    must_be_another(source, &**target).await?;
    let held = match Vault::open(Arc::clone(target), Some(id)).await {
        Ok(held) => held,
        Err(error) if error.kind == VaultErrorKind::Untrusted => {
            let what = format!("{url} holds another vault: {}", error.what);
            return Err(refused(what, "give --to a place that is empty, or that holds a copy of this vault"));
        }
        Err(error) if error.kind == VaultErrorKind::NoVault => {
            let (empty, nothing) = tokio::join!(must_be_empty(&**target), holds_nothing(&**target));
            return empty.and(nothing).map(|fresh| Fit { fresh, ..Fit::default() });
        }
        Err(error) if error.kind == VaultErrorKind::Damaged => {
            let what =
                format!("the descriptor of {url} is damaged, so whose vault it holds is not known: {}", error.what);
            return Err(refused(what, "`strongroom repair --vault TARGET --from SOURCE` puts it right"));
        }
        Err(error) => return Err(error.into()),
    };
    let findings = held.findings.iter().filter(|finding| finding.code == "vault.descriptor").cloned().collect();
    let copies = Copies::of(&*held.store).await?;
    let last = copies.last(&held, now).await?;
    if request.adopt || last.as_ref().is_some_and(|last| last.from == request.copy.from) {
        return Ok(Fit { last, findings, ..Fit::default() });
    }
    let read = copy_records::read(&copies, &held, copy_records::NEWEST, now).await?.with_lost(&held, now).await?;
    if let Some(proven) = read.proven(id, &request.copy.from) {
        return Ok(Fit { last: Some(proven), renew: true, findings, ..Fit::default() });
    }
    let ahead = copies.newest().filter(|newest| *newest > now);
    must_be_ours(&held, last.as_ref(), &read, request, (ahead, now)).await?;
    Ok(Fit { last, findings, ..Fit::default() })
}

/// Fails if the two are one bucket by different names of its server: then both have the same version of the descriptor. A
/// bucket that the provider replicates has it as well, and another name.
async fn must_be_another(source: &Vault, target: &dyn ObjectStore) -> Result<()> {
    let both = target.traits().versions && target.url().starts_with("s3://");
    if !both || source.store.url() != target.url() {
        return Ok(());
    }
    let (ours, theirs) = tokio::try_join!(versions(&*source.store), versions(target))?;
    if ours.is_disjoint(&theirs) {
        return Ok(());
    }
    let what = format!("{} is the vault itself, by another name of its server", target.url());
    Err(refused(what, "give --to another bucket, another prefix or another directory"))
}

async fn versions(store: &dyn ObjectStore) -> Result<HashSet<(String, Time)>> {
    let mut all = HashSet::new();
    let mut each = |entry: crate::store::VersionEntry| {
        if entry.key == layout::DESCRIPTOR && entry.version.as_str() != "null" {
            all.insert((entry.version.as_str().to_owned(), entry.modified));
        }
    };
    match store.list_versions(layout::DESCRIPTOR, &mut each).await {
        Err(error) if matches!(error.kind, StoreErrorKind::Denied | StoreErrorKind::NotFound) => Ok(HashSet::new()),
        other => Ok(other.map(|()| all)?),
    }
}

/// How a place is called in the record of a copy: its URL, and its server if it is not AWS.
#[must_use]
pub fn place_of(url: &str, endpoint: Option<&str>) -> String {
    match endpoint.filter(|_| url.starts_with("s3://")) {
        Some(endpoint) => format!("{url} at {}", endpoint.trim_end_matches('/')),
        None => url.to_owned(),
    }
}

async fn must_be_empty(target: &dyn ObjectStore) -> Result<()> {
    let mut first = None;
    let mut each = |entry: crate::store::Entry| {
        first.get_or_insert(entry.key);
    };
    match target.list("", &mut each).await {
        Err(error) if error.kind == StoreErrorKind::NotFound => {}
        other => other?,
    }
    first.map_or(Ok(()), |key| {
        if key == layout::DESCRIPTOR {
            let what = format!("{} in {} is empty, or no vault's descriptor: a disk that was full or pulled out leaves that", key, target.url());
            let next = "`strongroom repair --vault TARGET --from SOURCE` puts the true one there, with all that is missing. If \
                        nothing of a vault is there, remove the file";
            return Err(refused(what, next));
        }
        let what = format!("{} holds something else than a vault, such as {key}", target.url());
        Err(refused(what, "give --to a place that is empty, or that holds a copy of this vault"))
    })
}

/// Whether there is no version of anything either, and no delete marker.
async fn holds_nothing(target: &dyn ObjectStore) -> Result<bool> {
    if !target.traits().versions {
        return Ok(true);
    }
    let mut any = false;
    match target.list_versions("", &mut |_| any = true).await {
        Err(error) if matches!(error.kind, StoreErrorKind::Denied | StoreErrorKind::NotFound) => Ok(false),
        other => Ok(other.map(|()| !any)?),
    }
}

/// A copy is fed by one place, which its records name; and what writers write into is no copy.
async fn must_be_ours(
    held: &Vault,
    last: Option<&CopyRecord>,
    read: &Read,
    request: &ReplicateRequest,
    (ahead, now): (Option<Time>, Time),
) -> Result<()> {
    let url = held.store.url();
    if let Some(record) = last {
        let what = format!("{url} is a copy of {}, and not of {}", record.from, request.copy.from);
        let next = "copy from there, or give --to another place. If the first is gone or has moved, say --adopt once";
        return Err(refused(what, next));
    }
    let mut snapshots = false;
    held.store.list(layout::SNAPSHOTS, &mut |_| snapshots = true).await?;
    if let Some(key) = read.damaged().filter(|_| snapshots) {
        let what = format!(
            "{url} holds snapshots of this vault, and the record {key} of where they were copied from is damaged or gone, so that is not \
             known"
        );
        let next = "`strongroom repair --vault TARGET --from SOURCE` makes it again if it was made from there. If not, and it is \
                    a copy and no vault that writers write into, say --adopt once";
        return Err(refused(what, next));
    }
    if let Some(newest) = ahead.filter(|_| snapshots) {
        let what =
            format!("{url} says that it was copied at {newest}, and it is {now} here: a clock was wrong, then or now");
        return Err(refused(what, "set this host's clock. If it is right now, say --adopt once"));
    }
    if snapshots {
        let what = format!(
            "{url} holds snapshots of this vault, and nothing says that they were copied there: writers may write into it"
        );
        let next = "look whether --vault and --to are the right way round. If it is a copy that was made by other means, \
                    say --adopt once";
        return Err(refused(what, next));
    }
    Ok(())
}
