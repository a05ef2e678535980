//! Reading an object by its hash: the hash is the authority, version ids are hints.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{VaultError, VaultErrorKind};
use crate::{
    codec::hash,
    format::{copied::Copied, layout},
    model::{Finding, Hash, Key, Severity, Time},
    store::{ObjectStore, StoreError, StoreErrorKind, Version},
};

/// Room for what is read to tell versions apart: many small objects at once, or two of the largest. Whoever may add objects can
/// put versions on top of any number of large ones.
pub(crate) struct Room(Semaphore);

/// So many KiB are read at once.
const ROOM: u32 = 64 << 10;

impl Room {
    pub(crate) fn new() -> Self {
        Self(Semaphore::new(ROOM as usize))
    }

    /// Waits for room for so many bytes, which lasts for as long as what is returned.
    pub(crate) async fn take(&self, bytes: u64) -> Option<SemaphorePermit<'_>> {
        let units = u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(ROOM).clamp(1, ROOM);
        // Never closed.
        self.0.acquire_many(units).await.ok()
    }
}

/// Whether an error is about one object, which cannot be read as it is there: somebody else's encryption or storage
/// class, an access rule of its own, or a disk that lost it. Whoever may add objects can make such ones, so no such error may stop the
/// reading of others. Trying again does not help, and with other credentials, or another object, it may work.
pub(crate) const fn is_unreadable(kind: StoreErrorKind) -> bool {
    use StoreErrorKind as K;
    matches!(kind, K::Denied | K::Invalid | K::Unsupported | K::BadRange | K::Locked | K::Corrupt | K::Other)
}

/// The error of an object that can't be read though it is there.
fn unreadable(key: &Key, error: &StoreError) -> VaultError {
    VaultError::new(VaultErrorKind::Denied, error.to_string()).on(key)
}

/// The bytes stored under `key` whose BLAKE3 hash is `wanted`: in the version hinted at, else in the current one, else
/// in the oldest that has them. Overwrites and delete markers are seen through (G3). What is looked for has `limit`
/// bytes at most, and no more is read of what was put in its place.
///
/// # Errors
/// `Damaged` if no version has these bytes; it says whether anything is there at all. `Denied` if one can't be read that
/// may have them.
pub(crate) async fn by_hash(
    store: &dyn ObjectStore,
    key: &Key,
    hint: Option<&str>,
    wanted: &Hash,
    limit: usize,
) -> Result<Bytes, VaultError> {
    version_by_hash(store, key, hint, wanted, limit).await.map(|(bytes, _)| bytes)
}

/// The same, with the version that has these bytes; `None` is the current one.
pub(crate) async fn version_by_hash(
    store: &dyn ObjectStore,
    key: &Key,
    hint: Option<&str>,
    wanted: &Hash,
    limit: usize,
) -> Result<(Bytes, Option<Version>), VaultError> {
    version_that(store, key, hint, limit, |bytes| (hash::hash(&bytes) == *wanted).then_some(bytes)).await
}

/// The same for an object that goes to another place: its bytes if they have the hash that its name says, which is computed
/// once.
///
/// # Errors
/// As for [`by_hash`].
pub(crate) async fn copied(
    store: &dyn ObjectStore,
    key: &Key,
    hint: Option<&str>,
    limit: usize,
) -> Result<Copied, VaultError> {
    version_that(store, key, hint, limit, |bytes| Copied::of(key, bytes)).await.map(|(copied, _)| copied)
}

/// The bytes of the first version that `take` takes, in the order of [`by_hash`].
async fn version_that<T: Send>(
    store: &dyn ObjectStore,
    key: &Key,
    hint: Option<&str>,
    limit: usize,
    take: impl Fn(Bytes) -> Option<T> + Send + Sync,
) -> Result<(T, Option<Version>), VaultError> {
    let range = 0..limit as u64 + 1;
    let (mut found_other, mut refused, mut lost) = (false, None, None);
    let hinted = hint.map(|h| Some(Version::new(h))).into_iter().chain([None]);
    let mut all = None;
    let mut tries: VecDeque<Option<Version>> = hinted.collect();
    loop {
        let Some(version) = tries.pop_front() else {
            if all.is_some() {
                break;
            }
            tries.extend(all.insert(versions(store, key).await?).iter().cloned().map(Some));
            continue;
        };
        match store.get(key, version.as_ref(), Some(range.clone())).await {
            Ok(bytes) => match take(bytes) {
                Some(taken) => return Ok((taken, version)),
                None => found_other = true,
            },
            // What is empty has no range.
            Err(error) if error.kind == StoreErrorKind::BadRange => found_other = true,
            Err(error) if error.is_not_found() => {}
            Err(error) if error.kind == StoreErrorKind::Corrupt => drop(lost.get_or_insert(error)),
            // Another version may be the one that was signed.
            Err(error) if is_unreadable(error.kind) => drop(refused.get_or_insert(error)),
            Err(error) => return Err(error.into()),
        }
    }
    if let Some(error) = refused {
        return Err(unreadable(key, &error));
    }
    let what = match lost {
        Some(error) => error.what,
        None if found_other => "no version of this object has the bytes that were signed".to_owned(),
        None => "this object is missing".to_owned(),
    };
    Err(VaultError::new(VaultErrorKind::Damaged, what).on(key))
}

/// The oldest version that has these bytes: the one whose lock counts, since whoever puts them again on top gives them
/// whatever lock there is then.
///
/// # Errors
/// As for [`by_hash`].
pub(crate) async fn oldest_version(
    store: &dyn ObjectStore,
    key: &Key,
    wanted: &Hash,
    limit: usize,
) -> Result<Version, VaultError> {
    let mut refused = None;
    for version in versions(store, key).await? {
        match store.get(key, Some(&version), Some(0..limit as u64 + 1)).await {
            Ok(bytes) if hash::hash(&bytes) == *wanted => return Ok(version),
            Ok(_) => {}
            Err(error) if error.kind == StoreErrorKind::BadRange => {}
            Err(error) if matches!(error.kind, StoreErrorKind::NotFound | StoreErrorKind::Corrupt) => {}
            Err(error) if is_unreadable(error.kind) => drop(refused.get_or_insert(error)),
            Err(error) => return Err(error.into()),
        }
    }
    Err(refused.map_or_else(
        || VaultError::new(VaultErrorKind::Damaged, "no version of this object has the bytes of its name").on(key),
        |error| unreadable(key, &error),
    ))
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

/// A version of an object, as a listing tells of it.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    /// `None` is the current one, where versions can't be listed.
    pub(crate) version: Option<Version>,
    pub(crate) bytes: u64,
    pub(crate) modified: Time,
}

/// Every key below a prefix, with its versions.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    /// The versions of each key that are no delete markers, oldest first. Where versions can't be listed, the current
    /// object alone, without its version.
    pub(crate) keys: BTreeMap<String, Vec<Stored>>,
    /// Whether there are versions that these credentials may not list.
    pub(crate) unlisted: bool,
}

impl Listed {
    /// What to say where versions can't be listed: what a delete marker hides is not seen.
    pub(crate) fn finding(&self) -> Option<Finding> {
        self.unlisted.then(unlisted)
    }
}

/// What is said where versions can't be listed.
pub(crate) fn unlisted() -> Finding {
    let what = "these credentials may not list versions, so overwrites and delete markers were not looked for: what is \
                hidden by one is missing here; s3:ListBucketVersions is needed";
    Finding::new(Severity::Warning, "versions.unlisted", what)
}

/// Lists what is below `prefix`: also what is hidden by delete markers or overwritten, where the store keeps versions
/// and this role may list them.
pub(crate) async fn listed(store: &dyn ObjectStore, prefix: &str) -> Result<Listed, VaultError> {
    let mut found = Listed::default();
    let mut add = |one: Option<(String, Stored)>| match one {
        Some((key, stored)) => {
            if layout::parse(&key).is_some() {
                found.keys.entry(key).or_default().push(stored);
            }
        }
        None => found.keys.clear(),
    };
    found.unlisted = each(store, prefix, &mut add).await?;
    Ok(found)
}

/// The same without keeping it: gives each version that is no delete marker, those of one key together and oldest first, or
/// nothing where it begins again. Returns whether there are versions that these credentials may not list.
pub(crate) async fn each(
    store: &dyn ObjectStore,
    prefix: &str,
    each: &mut (dyn FnMut(Option<(String, Stored)>) + Send),
) -> Result<bool, VaultError> {
    let mut unlisted = false;
    if store.traits().versions {
        let mut add = |entry: crate::store::VersionEntry| {
            if !entry.delete_marker {
                let stored = Stored { version: Some(entry.version), bytes: entry.bytes, modified: entry.modified };
                each(Some((entry.key, stored)));
            }
        };
        match store.list_versions(prefix, &mut add).await {
            Err(error) if error.kind == StoreErrorKind::Denied => {
                each(None);
                unlisted = true;
            }
            other => return other.map(|()| false).map_err(Into::into),
        }
    }
    let mut add = |entry: crate::store::Entry| {
        each(Some((entry.key, Stored { version: None, bytes: entry.bytes, modified: entry.modified })));
    };
    store.list(prefix, &mut add).await?;
    Ok(unlisted)
}

/// The bytes of an object whose hash is right, and when the store first had them: whoever puts them there again makes
/// them no newer. Versions of more than `limit` bytes are none of what is looked for, and are not read.
///
/// # Errors
/// `Damaged` if no version has these bytes; `Denied` if one can't be read that may have them.
pub(crate) async fn oldest(
    store: &dyn ObjectStore,
    key: &Key,
    versions: &[Stored],
    wanted: &Hash,
    limit: usize,
) -> Result<(Bytes, Time), VaultError> {
    let (mut refused, mut lost, mut small) = (None, None, false);
    let limit = limit as u64;
    for Stored { version, modified, .. } in versions.iter().filter(|stored| stored.bytes <= limit) {
        small = true;
        match store.get(key, version.as_ref(), Some(0..limit + 1)).await {
            Ok(bytes) if hash::hash(&bytes) == *wanted => return Ok((bytes, *modified)),
            Ok(_) => {}
            Err(error) if error.is_not_found() => {}
            Err(error) if error.kind == StoreErrorKind::Corrupt => drop(lost.get_or_insert(error)),
            // What is empty has no range.
            Err(error) if error.kind == StoreErrorKind::BadRange => {}
            Err(error) if is_unreadable(error.kind) => drop(refused.get_or_insert(error)),
            Err(error) => return Err(error.into()),
        }
    }
    if let Some(error) = refused {
        return Err(unreadable(key, &error));
    }
    let what = match versions.first() {
        _ if lost.is_some() => lost.map(|error| error.what).unwrap_or_default(),
        Some(first) if !small => {
            format!("this object has {} bytes, and none of its kind has more than {limit}", first.bytes)
        }
        _ => "no version of this object has the bytes that were signed".to_owned(),
    };
    Err(VaultError::new(VaultErrorKind::Damaged, what).on(key))
}

/// Whether what was refused is about single objects, and not about these credentials. In a bucket it is if `others` of the kind
/// could be read and the session has not ended meanwhile. In a directory each file has a mode of its own, so it is if the
/// descriptor can be read.
///
/// # Errors
/// If the store does not answer.
pub(crate) async fn is_of_one(store: &dyn ObjectStore, others: bool) -> Result<bool, VaultError> {
    if store.traits().trusted_time {
        return Ok(others && still_welcome(store).await?);
    }
    match store.get(&layout::descriptor(), None, Some(0..1)).await {
        Ok(_) => Ok(true),
        Err(error) if error.is_not_found() || error.kind == StoreErrorKind::Corrupt => Ok(true),
        Err(error) if is_unreadable(error.kind) => Ok(others),
        Err(error) => Err(error.into()),
    }
}

/// Whether these credentials still read the vault's descriptor. Where single objects were refused, this tells whether
/// it is about them, or about a session that has ended meanwhile.
///
/// # Errors
/// If the store does not answer.
pub(crate) async fn still_welcome(store: &dyn ObjectStore) -> Result<bool, VaultError> {
    match store.head(&layout::descriptor(), None).await {
        Ok(_) => Ok(true),
        Err(error) if error.is_not_found() => Ok(true),
        Err(error) if is_unreadable(error.kind) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
