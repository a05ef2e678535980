//! Whether a place holds a copy of a vault, and which headers were put there by copying: then the store's time says when
//! they were copied, and not when they were made.

use futures::{StreamExt, stream};

use super::{Result, Vault, VaultErrorKind, fetch};
use crate::{
    format::{
        copied::{CopyRecord, RECORD_LIMIT},
        layout::{self, CopyName, ObjectName},
    },
    model::{Key, Span, Time},
    store::{ObjectStore, StoreErrorKind},
};

/// How far the clocks of a store's nodes may be apart, and how long a put may take.
const SLACK: Span = Span::seconds(300);
/// So many records are read to find the newest that can be.
const LOOK_BACK: usize = 16;
/// How many are read at once.
const AT_ONCE: usize = 4;

/// The records of copying in one place, by their names. Nobody signs them: whoever may put there may put one.
#[derive(Debug, Default, Clone)]
pub struct Copies {
    names: Vec<(CopyName, Key)>,
}

impl Copies {
    /// The records in `store`, none where these credentials may not list them.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn of(store: &dyn ObjectStore) -> Result<Self> {
        let mut names = Vec::new();
        let mut each = |entry: crate::store::Entry| {
            if let Some(ObjectName::Copy(name)) = layout::parse(&entry.key)
                && let Ok(key) = entry.key.parse()
            {
                names.push((name, key));
            }
        };
        match store.list(layout::COPIES, &mut each).await {
            Err(error) if error.kind == StoreErrorKind::Denied => return Ok(Self::default()),
            other => other?,
        }
        Ok(Self { names })
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Whether only a part of the vault was to be copied, when that was done last.
    #[must_use]
    pub fn are_of_a_part(&self) -> bool {
        self.names.iter().max_by_key(|(name, _)| (name.begins, name.ends)).is_some_and(|(name, _)| name.part)
    }

    /// Whether headers were copied at this time of the store.
    #[must_use]
    pub fn cover(&self, stored: Time) -> bool {
        self.names.iter().any(|(name, _)| name.begins <= stored + SLACK && stored <= name.ends + SLACK)
    }

    /// When headers were copied last, at most.
    #[must_use]
    pub fn newest(&self) -> Option<Time> {
        self.names.iter().map(|(name, _)| name.begins).max()
    }

    /// What the newest record says that can be read and is of `vault`.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn last(&self, vault: &Vault) -> Result<Option<CopyRecord>> {
        let mut names: Vec<_> = self.names.iter().collect();
        names.sort_by_key(|(name, key)| std::cmp::Reverse((name.begins, key.clone())));
        names.truncate(LOOK_BACK);
        let mut read = stream::iter(names)
            .map(|(name, key)| fetch::by_hash(&*vault.store, key, None, &name.hash, RECORD_LIMIT))
            .buffered(AT_ONCE);
        while let Some(bytes) = read.next().await {
            let bytes = match bytes {
                Err(error) if matches!(error.kind, VaultErrorKind::Damaged | VaultErrorKind::Denied) => continue,
                other => other?,
            };
            if let Ok(record) = CopyRecord::decode(&bytes)
                && record.vault == vault.descriptor.vault
            {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Hash;

    #[test]
    fn what_was_put_while_copying_is_copied() {
        let at = Time::from_unix;
        let name = CopyName { begins: at(10_000), ends: at(17_200), part: false, hash: Hash::from_bytes([1; 32]) };
        let key = layout::copy(name.begins, name.ends, name.part, &name.hash);
        let copies = Copies { names: vec![(name, key)] };
        for (stored, copied) in [(9_000, false), (9_800, true), (12_000, true), (17_400, true), (17_600, false)] {
            assert_eq!(copies.cover(at(stored)), copied, "{stored}");
        }
        assert!(!Copies::default().cover(at(12_000)) && !copies.are_of_a_part());
    }
}
