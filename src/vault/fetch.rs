//! Reading an object by its hash: the hash is the authority, version ids are hints.

use std::{collections::BTreeMap, ops::Range};

use bytes::Bytes;

use super::{VaultError, VaultErrorKind};
use crate::{
    codec::hash,
    model::{Hash, Key, Time},
    store::{ObjectStore, StoreErrorKind, Version},
};

/// The bytes stored under `key` whose BLAKE3 hash is `wanted`: in the version hinted at, else in the current one, else
/// in the oldest that has them. Overwrites and delete markers are seen through (G3).
///
/// # Errors
/// `Damaged` if no version has these bytes; it says whether anything is there at all.
pub(crate) async fn by_hash(
    store: &dyn ObjectStore,
    key: &Key,
    hint: Option<&str>,
    wanted: &Hash,
) -> Result<Bytes, VaultError> {
    version_by_hash(store, key, hint, wanted).await.map(|(bytes, _)| bytes)
}

/// The same of an object that has `limit` bytes at most: no more is read of one that was put in its place, so that many
/// can be asked for at once.
pub(crate) async fn small_by_hash(
    store: &dyn ObjectStore,
    key: &Key,
    hint: Option<&str>,
    wanted: &Hash,
    limit: usize,
) -> Result<Bytes, VaultError> {
    let range = 0..limit as u64 + 1;
    found_by_hash(store, key, hint, wanted, Some(range)).await.map(|(bytes, _)| bytes)
}

/// The same, with the version that has these bytes; `None` is the current one.
pub(crate) async fn version_by_hash(
    store: &dyn ObjectStore,
    key: &Key,
    hint: Option<&str>,
    wanted: &Hash,
) -> Result<(Bytes, Option<Version>), VaultError> {
    found_by_hash(store, key, hint, wanted, None).await
}

async fn found_by_hash(
    store: &dyn ObjectStore,
    key: &Key,
    hint: Option<&str>,
    wanted: &Hash,
    range: Option<Range<u64>>,
) -> Result<(Bytes, Option<Version>), VaultError> {
    let mut found_other = false;
    let tries = hint.map(|h| Some(Version::new(h))).into_iter().chain([None]);
    for version in tries {
        match store.get(key, version.as_ref(), range.clone()).await {
            Ok(bytes) if hash::hash(&bytes) == *wanted => return Ok((bytes, version)),
            Ok(_) => found_other = true,
            // What is empty has no range.
            Err(error) if error.kind == StoreErrorKind::BadRange => found_other = true,
            Err(error) if matches!(error.kind, StoreErrorKind::NotFound | StoreErrorKind::Corrupt) => {}
            Err(error) => return Err(error.into()),
        }
    }
    for version in versions(store, key).await? {
        match store.get(key, Some(&version), range.clone()).await {
            Ok(bytes) if hash::hash(&bytes) == *wanted => return Ok((bytes, Some(version))),
            Ok(_) => found_other = true,
            // What is empty has no range.
            Err(error) if error.kind == StoreErrorKind::BadRange => found_other = true,
            Err(error) if matches!(error.kind, StoreErrorKind::NotFound | StoreErrorKind::Corrupt) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let what =
        if found_other { "no version of this object has the bytes that were signed" } else { "this object is missing" };
    Err(VaultError::new(VaultErrorKind::Damaged, what).on(key))
}

/// The versions of exactly this key, oldest first, delete markers left out. Empty where the store keeps none or
/// this role may not list them.
pub(crate) async fn versions(store: &dyn ObjectStore, key: &Key) -> Result<Vec<Version>, VaultError> {
    if !store.traits().versions {
        return Ok(Vec::new());
    }
    let mut versions = Vec::new();
    let listed = store
        .list_versions(key.as_str(), &mut |entry| {
            if entry.key == key.as_str() && !entry.delete_marker {
                versions.push(entry.version);
            }
        })
        .await;
    match listed {
        Err(error) if error.kind == StoreErrorKind::Denied => Ok(versions),
        other => other.map(|()| versions).map_err(Into::into),
    }
}

/// Every key below a prefix, with the store's times of its versions.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    /// The versions of each key that are no delete markers, oldest first. Where versions can't be listed, the current
    /// object alone, without its version.
    pub(crate) keys: BTreeMap<String, Vec<(Option<Version>, Time)>>,
}

/// Lists what is below `prefix`: also what is hidden by delete markers or overwritten, where the store keeps versions
/// and this role may list them.
pub(crate) async fn listed(store: &dyn ObjectStore, prefix: &str) -> Result<Listed, VaultError> {
    let mut found = Listed::default();
    if store.traits().versions {
        let listed = store
            .list_versions(prefix, &mut |entry| {
                if !entry.delete_marker {
                    found.keys.entry(entry.key).or_default().push((Some(entry.version), entry.modified));
                }
            })
            .await;
        match listed {
            Err(error) if error.kind == StoreErrorKind::Denied => {}
            other => return other.map(|()| found).map_err(Into::into),
        }
    }
    store.list(prefix, &mut |entry| drop(found.keys.insert(entry.key, vec![(None, entry.modified)]))).await?;
    Ok(found)
}
