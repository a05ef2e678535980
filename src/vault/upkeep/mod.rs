//! What becomes of a vault with time: locks are extended while snapshots need them, and what none needs goes when its
//! lock has ended. Locks are the reference counts, signed headers say what needs what, and no identity is needed.

mod documents;
mod due;
mod journals;
mod needs;
mod plausible;
pub mod prune;
pub mod renew;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub(crate) use documents::vouched;
pub(crate) use journals::Bases;
pub(crate) use plausible::{longest, wrong};
pub(crate) use prune::KEEP_NEWEST;

use super::Result;
use crate::{
    format::layout,
    model::{Key, Time},
    store::{ObjectStore, Version},
    vault::journal::Gathering,
};

/// One version of an object, or a delete marker.
#[derive(Debug, Clone)]
struct Stored {
    /// `None` where the store has no versions.
    version: Option<Version>,
    bytes: u64,
    modified: Time,
    marker: bool,
}

/// Every version of every key, oldest first, those of names that can't be keys left out.
type Everything = BTreeMap<Key, Vec<Stored>>;

/// Lists the whole vault but for its journals, which are many and stand by themselves: those that are wanted are gathered. Where
/// the store has versions they must be listed: what is hidden counts.
async fn everything(store: &dyn ObjectStore, journals: &mut Gathering<'_>) -> Result<Everything> {
    let mut found = Everything::new();
    let mut add = |key: &str, stored: Stored| {
        if !key.starts_with(layout::JOURNALS)
            && let Ok(key) = key.parse()
        {
            found.entry(key).or_default().push(stored);
        }
    };
    if store.traits().versions {
        store
            .list_versions("", &mut |e| {
                journals.version(&e);
                let version = Some(e.version);
                add(&e.key, Stored { version, bytes: e.bytes, modified: e.modified, marker: e.delete_marker });
            })
            .await?;
    } else {
        store
            .list("", &mut |e| {
                journals.entry(&e);
                add(&e.key, Stored { version: None, bytes: e.bytes, modified: e.modified, marker: false });
            })
            .await?;
    }
    Ok(found)
}
