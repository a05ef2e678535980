//! Whether packs can be read at all: where none can be, nothing is damaged, and the credentials are the wrong ones.

use std::sync::{Mutex, PoisonError};

use crate::{
    model::Key,
    store::ObjectStore,
    vault::{Result, VaultError, VaultErrorKind},
};

/// How reading packs in one place went.
#[derive(Debug, Default)]
pub(super) struct Reads(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    read: bool,
    refused: u64,
    first: Option<(Key, String)>,
}

impl Reads {
    /// Notes how it went. Of other objects than packs, a role may read some and not others.
    pub(super) fn note<T>(&self, kind: &str, key: &Key, outcome: &Result<T>) {
        if kind != "packs" {
            return;
        }
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Err(error) if error.kind == VaultErrorKind::Denied => {
                seen.refused += 1;
                seen.first.get_or_insert_with(|| (key.clone(), error.what.clone()));
            }
            // That something else was read, or that nothing is there, was allowed as well.
            _ => seen.read = true,
        }
    }

    /// Fails if every pack was refused. In a directory each file has a mode of its own, and is told by itself.
    pub(super) fn must_be_some(&self, store: &dyn ObjectStore) -> Result<()> {
        if !store.traits().trusted_time {
            return Ok(());
        }
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((key, why)) = seen.first.as_ref().filter(|_| !seen.read) else { return Ok(()) };
        let what = format!(
            "none of the {} packs in {} that were to be read can be with these credentials, so nothing is known of them: {why}",
            seen.refused,
            store.url()
        );
        Err(VaultError::new(VaultErrorKind::Denied, what).on(key))
    }
}
