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
mod there;

use std::collections::BTreeMap;

pub(crate) use documents::vouched;
pub(crate) use journals::Bases;
pub(crate) use plausible::{longest, wrong};
pub(crate) use there::KEEP_NEWEST;

use super::{
    Result,
    stock::{Stock, Stored},
};
use crate::{format::layout, model::Key, store::ObjectStore, vault::journal::Gathering};

/// Versions of some keys, oldest first.
type Everything = BTreeMap<Key, Vec<Stored>>;

/// Lists what begins with `prefix`, hidden versions included where the store has them: what is hidden counts. Journals, which
/// are many and stand by themselves, are gathered as far as they are wanted; all else is given to `each`.
async fn list(
    store: &dyn ObjectStore,
    prefix: &str,
    journals: &mut Gathering<'_>,
    each: &mut (dyn FnMut(&str, Stored) + Send),
) -> Result<()> {
    if store.traits().versions {
        let mut add = |e: crate::store::VersionEntry| {
            journals.version(&e);
            let version = Some(e.version);
            if !e.key.starts_with(layout::JOURNALS) {
                each(&e.key, Stored { version, bytes: e.bytes, modified: e.modified, marker: e.delete_marker });
            }
        };
        store.list_versions(prefix, &mut add).await?;
    } else {
        let mut add = |e: crate::store::Entry| {
            journals.entry(&e);
            if !e.key.starts_with(layout::JOURNALS) {
                each(&e.key, Stored { version: None, bytes: e.bytes, modified: e.modified, marker: false });
            }
        };
        store.list(prefix, &mut add).await?;
    }
    Ok(())
}

/// Lists a part of what lies below these prefixes.
async fn list_part(store: &dyn ObjectStore, stock: &mut Stock, prefixes: &[&str]) -> Result<()> {
    for prefix in prefixes {
        let mut none = Gathering::of(Box::new(|_, _| false));
        list(store, prefix, &mut none, &mut |key, stored| drop(stock.add(key, stored))).await?;
    }
    stock.sort();
    Ok(())
}
