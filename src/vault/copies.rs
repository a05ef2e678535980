//! Whether a place holds a copy of a vault, and which headers were put there by copying: then the store's time says when
//! they were copied, and not when they were made.

use std::collections::BTreeMap;

use futures::{StreamExt, stream};

use super::{Result, Vault, fetch};
use crate::{
    format::{
        copied::{CopyRecord, RECORD_LIMIT},
        layout::{self, CopyName, ObjectName},
    },
    model::{Key, Name, Span, Time},
    store::{ObjectStore, StoreErrorKind},
};

/// How far the clocks of a store's nodes may be apart, and how long a put may take.
const SLACK: Span = Span::seconds(300);
/// So many records are read to find the newest that can be.
const LOOK_BACK: usize = 16;
/// So many are read to find out which headers were copied.
const PROOFS: usize = 4096;
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

    /// Their names, as they are listed.
    #[must_use]
    pub fn names(&self) -> &[(CopyName, Key)] {
        &self.names
    }

    /// What of `vault` this place is to hold. What stands below `copies/` and is no record of a copy says nothing.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn extent(&self, vault: &Vault, now: Time) -> Result<Extent> {
        if !self.names.iter().any(|(name, _)| name.part) {
            return Ok(Extent::default());
        }
        Ok(Extent::of(self.last(vault, now).await?.as_ref()))
    }

    /// Those of these records that count, as far as any tells of one of `times`, if some are given: they can be read, have the
    /// hash in their names, are of `vault` and of no time that is not yet. Each time is looked up once, and of very many records
    /// some are not read.
    ///
    /// # Errors
    /// If the store does not answer.
    pub(super) async fn proven(self, vault: &Vault, times: Option<Vec<Time>>) -> Result<Self> {
        if self.names.is_empty() {
            return Ok(self);
        }
        let now = vault.store.server_time().await?;
        let mut left = times;
        if let Some(left) = &mut left {
            left.sort_unstable();
            left.dedup();
        }
        let asked = |left: &Option<Vec<Time>>, name: &CopyName| {
            left.as_ref().is_none_or(|left| left.iter().any(|time| covers(name, *time)))
        };
        let (mut proven, mut tries) = (Self::default(), 0);
        // Those that speak of the longest time first, so that few are read.
        let mut names = self.names;
        names.retain(|(name, _)| name.begins <= now + SLACK);
        names.sort_by_key(|(name, key)| (std::cmp::Reverse(name.ends.since(name.begins)), name.begins, key.clone()));
        for chunk in names.chunks(AT_ONCE) {
            let some: Vec<_> = chunk.iter().filter(|(name, _)| asked(&left, name)).collect();
            let mut read = stream::iter(some)
                .map(|one| async move { (one, record(vault, &one.0, &one.1).await) })
                .buffered(AT_ONCE);
            while let Some((one, record)) = read.next().await {
                tries += 1;
                if record?.is_some() {
                    if let Some(left) = &mut left {
                        left.retain(|time| !covers(&one.0, *time));
                    }
                    proven.names.push(one.clone());
                }
            }
            if left.as_ref().is_some_and(Vec::is_empty) || tries >= PROOFS {
                break;
            }
        }
        Ok(proven)
    }

    /// Whether headers were copied at this time of the store.
    #[must_use]
    pub fn cover(&self, stored: Time) -> bool {
        self.names.iter().any(|(name, _)| covers(name, stored))
    }

    /// When headers were copied last, at most.
    #[must_use]
    pub fn newest(&self) -> Option<Time> {
        self.names.iter().map(|(name, _)| name.begins).max()
    }

    /// What the newest record says that can be read, is of `vault` and of no time that is not yet.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn last(&self, vault: &Vault, now: Time) -> Result<Option<CopyRecord>> {
        let mut names: Vec<_> = self.names.iter().filter(|(name, _)| name.begins <= now + SLACK).collect();
        names.sort_by_key(|(name, key)| std::cmp::Reverse((name.begins, name.ends, key.clone())));
        names.truncate(LOOK_BACK);
        let mut read = stream::iter(names).map(|(name, key)| record(vault, name, key)).buffered(AT_ONCE);
        while let Some(record) = read.next().await {
            if let Some(record) = record? {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }
}

/// Whether a record says by its name that headers were copied at this time.
fn covers(name: &CopyName, stored: Time) -> bool {
    name.begins <= stored + SLACK && stored <= name.ends + SLACK
}

/// The record of this name, if it can be read, has its hash and is of `vault`.
async fn record(vault: &Vault, name: &CopyName, key: &Key) -> Result<Option<CopyRecord>> {
    let bytes = match fetch::by_hash(&*vault.store, key, None, &name.hash, RECORD_LIMIT).await {
        Err(error) if error.is_of_object() => return Ok(None),
        other => other?,
    };
    let says = |record: &CopyRecord| {
        record.vault == vault.descriptor.vault
            && (record.begins, record.ends, record.part) == (name.begins, name.ends, name.part)
    };
    Ok(CopyRecord::decode(&bytes).ok().filter(says))
}

/// What of a vault a place is to hold.
#[derive(Debug, Default, Clone)]
pub struct Extent {
    part: bool,
    /// Of each writer the number up to which all was here before that.
    had: BTreeMap<Name, u64>,
}

impl Extent {
    /// What the last record says; where there is none, all is to be here.
    #[must_use]
    pub fn of(last: Option<&CopyRecord>) -> Self {
        last.filter(|last| last.part).map_or_else(Self::default, |last| Self { part: true, had: last.had.clone() })
    }

    /// Whether only a part of the vault was to be copied, when that was done last.
    #[must_use]
    pub const fn is_part(&self) -> bool {
        self.part
    }

    /// Whether the header of this number may be missing, since it was not to be copied.
    #[must_use]
    pub fn may_lack(&self, writer: &Name, seq: u64) -> bool {
        self.part && self.had.get(writer).is_none_or(|had| seq > *had)
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
        assert!(!Copies::default().cover(at(12_000)));
    }

    #[test]
    fn what_was_whole_answers_for_what_it_had() {
        let (x, y): (Name, Name) = ("x".parse().unwrap(), "y".parse().unwrap());
        let extent = Extent { part: true, had: BTreeMap::from([(x.clone(), 3)]) };
        assert!(!extent.may_lack(&x, 3) && extent.may_lack(&x, 4) && extent.may_lack(&y, 1));
        assert!(!Extent::default().may_lack(&x, 4));
    }
}
