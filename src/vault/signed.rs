//! Small signed documents below a prefix, read in the version that the store had first.

use bytes::Bytes;
use futures::{StreamExt, stream};

use super::{Result, Vault, VaultError, VaultErrorKind, fetch};
use crate::{
    format::layout::{self, ObjectName},
    model::{Finding, Hash, Key, Time},
};

/// How many are fetched at once.
const AT_ONCE: usize = 8;

/// What stands under a name of the format.
pub(super) struct Named {
    pub(super) key: Key,
    pub(super) object: ObjectName,
    /// The hash of its bytes, as its name has it.
    pub(super) hash: Hash,
    /// The bytes that its name tells of, and since when the store has them.
    pub(super) read: std::result::Result<(Bytes, Time), VaultError>,
}

/// Everything below a prefix whose name `hash` takes for one of its own; with what is worth saying of the listing.
///
/// # Errors
/// If the store can't be listed, or does not answer.
pub(super) async fn below(
    vault: &Vault,
    prefix: &str,
    limit: usize,
    hash: impl Fn(&ObjectName) -> Option<Hash>,
) -> Result<(Vec<Named>, Option<Finding>)> {
    let listed = fetch::listed(&*vault.store, prefix).await?;
    let finding = listed.finding();
    let names = listed.keys.into_iter().filter_map(|(text, versions)| {
        let object = layout::parse(&text)?;
        let hash = hash(&object)?;
        Some((text.parse::<Key>().ok()?, object, hash, versions))
    });
    let store = &*vault.store;
    let mut reads = stream::iter(names)
        .map(|(key, object, hash, versions)| async move {
            let read = fetch::oldest(store, &key, &versions, &hash, limit).await;
            Named { key, object, hash, read }
        })
        .buffered(AT_ONCE);
    let mut all = Vec::new();
    while let Some(named) = reads.next().await {
        match named.read {
            Err(error) if !error.is_of_object() => return Err(error),
            _ => all.push(named),
        }
    }
    Ok((all, finding))
}

/// Since when a document counts: the store's time where that is a witness, else its own.
pub(super) fn since(vault: &Vault, stored: Time, claimed: Time) -> Time {
    if vault.store.traits().trusted_time { stored } else { claimed }
}

/// The error of a document whose name is not what it says of itself.
pub(super) fn misnamed(key: &Key) -> VaultError {
    VaultError::new(VaultErrorKind::Untrusted, "its name is not what it says of itself").on(key)
}
