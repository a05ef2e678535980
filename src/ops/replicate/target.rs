//! Whether a place may hold the copy: it is empty, or holds this vault, and one source feeds it.

use std::sync::Arc;

use super::{ReplicateRequest, Result};
use crate::{
    format::layout,
    model::VaultId,
    ops::OpsError,
    store::{ObjectStore, StoreErrorKind},
    vault::{Vault, VaultErrorKind, copies::Copies},
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

/// Fails if the copy must not go there. Whether it is seen to hold nothing at all, not even what is hidden or overwritten.
pub(super) async fn must_fit(
    source: &Vault,
    target: &Arc<dyn ObjectStore>,
    request: &ReplicateRequest,
) -> Result<bool> {
    let (url, id) = (target.url(), source.descriptor.vault);
    if request.copy.from == request.to {
        let what = format!("{url} is the vault itself");
        return Err(refused(what, "give --to another bucket, another prefix or another directory"));
    }
    let held = match Vault::open(Arc::clone(target), Some(id)).await {
        Ok(held) => held,
        Err(error) if error.kind == VaultErrorKind::Untrusted => {
            let what = format!("{url} holds another vault: {}", error.what);
            return Err(refused(what, "give --to a place that is empty, or that holds a copy of this vault"));
        }
        Err(error) if error.kind == VaultErrorKind::NoVault => {
            let (empty, nothing) = tokio::join!(must_be_empty(&**target), holds_nothing(&**target));
            return empty.and(nothing);
        }
        Err(error) if error.kind == VaultErrorKind::Damaged => {
            let what =
                format!("the descriptor of {url} is damaged, so whose vault it holds is not known: {}", error.what);
            return Err(refused(what, "`strongroom repair --vault TARGET --from SOURCE` puts it right"));
        }
        Err(error) => return Err(error.into()),
    };
    if !request.adopt {
        must_be_ours(&held, request).await?;
    }
    Ok(false)
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
async fn must_be_ours(held: &Vault, request: &ReplicateRequest) -> Result<()> {
    let copies = Copies::of(&*held.store).await?;
    let url = held.store.url();
    if let Some(record) = copies.last(held).await? {
        if record.from == request.copy.from {
            return Ok(());
        }
        let what = format!("{url} is a copy of {}, and not of {}", record.from, request.copy.from);
        let next = "copy from there, or give --to another place. If the first is gone or has moved, say --adopt once";
        return Err(refused(what, next));
    }
    let mut snapshots = false;
    held.store.list(layout::SNAPSHOTS, &mut |_| snapshots = true).await?;
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
