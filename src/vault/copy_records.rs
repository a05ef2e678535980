//! Records of copies that say nothing any more: which they are, and what each said. The name of a record has its times and its
//! hash, and what else it says is little, so most can be made again bit by bit the same.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};

use super::{Result, Vault, copies::Copies, fetch};
use crate::{
    format::{
        copied::{Copied, CopyRecord, RECORD_LIMIT},
        layout::{self, CopyName, ObjectName},
    },
    model::{Finding, Findings, Key, Lock, LockBy, Severity, Span, Time, VaultId},
    store::{Mender, StoreErrorKind},
};

/// So many of the newest are read where not every byte is.
pub const NEWEST: usize = 16;
/// How many are read at once.
const AT_ONCE: usize = 4;
/// How far the clocks of a store's nodes may be apart.
const SLACK: Span = Span::seconds(300);

/// A record of which nothing, or not this vault, is to be believed.
#[derive(Debug)]
pub struct Silent {
    /// What its name tells.
    pub name: CopyName,
    /// Its name.
    pub key: Key,
    /// Why.
    why: Why,
}

#[derive(Debug)]
enum Why {
    /// Its bytes are not those that its name is of, or can't be read.
    Damaged(String),
    /// It is of another vault, or does not say what its name does.
    Foreign,
    /// It is of a time that is not yet.
    Future,
}

/// What was read of the records in one place.
#[derive(Debug, Default)]
pub struct Read {
    /// Those that count, newest first.
    pub good: Vec<CopyRecord>,
    /// Those that do not, newest first.
    pub silent: Vec<Silent>,
}

/// Reads the newest `most` records.
///
/// # Errors
/// If the store does not answer.
pub async fn read(copies: &Copies, vault: &Vault, most: usize, now: Time) -> Result<Read> {
    let mut names: Vec<(CopyName, Key)> = copies.names().to_vec();
    names.sort_by_key(|(name, key)| std::cmp::Reverse((name.begins, name.ends, key.clone())));
    names.truncate(most);
    let each = |(name, key): (CopyName, Key)| async move {
        let found = fetch::by_hash(&*vault.store, &key, None, &name.hash, RECORD_LIMIT).await;
        let record = match found {
            // Whatever it says, it is of no time that is.
            Err(error) if error.is_of_object() && name.begins > now + SLACK => Err(Why::Future),
            Err(error) if error.is_of_object() => Err(Why::Damaged(error.what)),
            other => CopyRecord::decode(&other?).map_err(|_| Why::Foreign).and_then(|record| {
                let says = (record.begins, record.ends, record.part) == (name.begins, name.ends, name.part);
                match (says && record.vault == vault.descriptor.vault, record.begins > now + SLACK) {
                    (false, _) => Err(Why::Foreign),
                    (true, true) => Err(Why::Future),
                    (true, false) => Ok(record),
                }
            }),
        };
        Ok::<_, super::VaultError>(record.map_err(|why| Silent { name, key, why }))
    };
    let all: Vec<_> = stream::iter(names).map(each).buffered(AT_ONCE).try_collect().await?;
    let mut read = Read::default();
    for one in all {
        match one {
            Ok(record) => read.good.push(record),
            Err(silent) => read.silent.push(silent),
        }
    }
    Ok(read)
}

/// Names those that count for nothing. No data is lost with one, so it is no damage of the vault.
pub fn report(read: &Read, findings: &mut Findings) {
    for silent in &read.silent {
        let what = match &silent.why {
            Why::Damaged(why) => {
                let rest = if read.good.is_empty() {
                    "No other record speaks for this place, so nothing says that it is a copy: `strongroom repair --vault HERE \
                     --from` the place that it was made from makes it again; if that can't, `replicate --adopt` says it anew"
                } else {
                    "Others speak for this place. `strongroom repair --from` another place makes it again"
                };
                format!("this record of a copy can't be read as it was written: {why}. {rest}")
            }
            Why::Foreign => "this is no record of a copy of this vault, and counts for nothing".to_owned(),
            Why::Future => "this record of a copy is of a time that is not yet, and counts for nothing".to_owned(),
        };
        findings.push(Finding::new(Severity::Warning, "copy.record", what).on(&silent.key));
    }
}

impl Read {
    /// The newest damaged record that said that this is a copy of `vault` made from `from`, which the hash in its name proves, if
    /// it is newer than all that count.
    #[must_use]
    pub fn proven(&self, vault: VaultId, from: &str) -> Option<CopyRecord> {
        let newest = self.good.first().map(|record| (record.begins, record.ends));
        let damaged = self.silent.iter().filter(|silent| matches!(silent.why, Why::Damaged(_)));
        let newer =
            damaged.filter(|silent| newest.is_none_or(|newest| (silent.name.begins, silent.name.ends) > newest));
        newer
            .filter_map(|silent| again((&silent.name, &silent.key), vault, &self.good, &[from]))
            .find(|one| one.from == from)
    }

    /// Adds records that are gone, as the records of their locks tell: their names say as much as those of damaged ones.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn with_lost(mut self, vault: &Vault, now: Time) -> Result<Self> {
        let gone = |(name, key)| Silent { name, key, why: Why::Damaged("it is gone".to_owned()) };
        self.silent.extend(lost(vault, now).await?.into_iter().map(gone));
        self.silent.sort_by_key(|silent| std::cmp::Reverse((silent.name.begins, silent.name.ends)));
        Ok(self)
    }

    /// The newest damaged record, if any is.
    #[must_use]
    pub fn damaged(&self) -> Option<&Key> {
        self.silent.iter().find(|silent| matches!(silent.why, Why::Damaged(_))).map(|silent| &silent.key)
    }
}

/// The record of this name: of all that it may have said, what has its hash.
fn again((name, key): (&CopyName, &Key), vault: VaultId, good: &[CopyRecord], from: &[&str]) -> Option<CopyRecord> {
    let from: BTreeSet<&str> = from.iter().copied().chain(good.iter().map(|record| record.from.as_str())).collect();
    let had: BTreeSet<_> = good.iter().map(|record| record.had.clone()).chain([BTreeMap::new()]).collect();
    for from in from {
        for (had, unhealed) in had.iter().flat_map(|had| [(had, false), (had, true)]) {
            let new = CopyRecord::new(vault, from.to_owned(), (name.begins, name.ends), name.part);
            let record = CopyRecord { unhealed, had: had.clone(), ..new };
            if record.encode().is_ok_and(|(made, _)| made == *key) {
                return Some(record);
            }
        }
    }
    None
}

/// Makes damaged and lost records again where the hashes in their names prove what they said: those of a copy made from `from`, or
/// from where other records say. Gives the names of those that were put back, or would be.
///
/// # Errors
/// If the store does not answer. What can't be made again is a finding.
pub async fn mend(vault: &Vault, mender: &dyn Mender, from: &str, dry_run: bool) -> Result<(Vec<Key>, u64, Findings)> {
    let (mut findings, mut bytes, mut put_back) = (Findings::default(), 0, Vec::new());
    let now = vault.store.server_time().await?;
    let read = read(&Copies::of(&*vault.store).await?, vault, usize::MAX, now).await?;
    let id = vault.descriptor.vault;
    let lost = lost(vault, now).await?;
    let damaged = read.silent.iter().filter(|silent| matches!(silent.why, Why::Damaged(_)));
    let gone = lost.iter().map(|(name, key)| (name, key, true));
    for (name, key, is_gone) in damaged.map(|silent| (&silent.name, &silent.key, false)).chain(gone) {
        let Some(record) = again((name, key), id, &read.good, &[from]) else {
            // That something is gone is told with all else that is.
            if !is_gone {
                let rest = if read.good.is_empty() {
                    "if this place is a copy, `strongroom replicate --adopt` writes a new one"
                } else {
                    "others speak for this place, so nothing depends on it"
                };
                let what =
                    format!("this record of a copy is damaged, and what it said can't be told from its name: {rest}");
                findings.push(Finding::new(Severity::Warning, "copy.record", what).on(key));
            }
            continue;
        };
        let encoded = record.encode()?.1.bytes().clone();
        let Some(copied) = Copied::of(key, encoded) else { continue };
        if !dry_run && let Err(error) = put(vault, mender, (key, &copied), now).await {
            if error.kind != StoreErrorKind::Corrupt {
                return Err(error.into());
            }
            let what = format!("what this record of a copy said is known, and it can't be put here: {error}");
            findings.push(Finding::new(Severity::Error, "repair.failed", what).on(key));
            continue;
        }
        let what = if dry_run {
            "this record of a copy is damaged or gone; the hash in its name proves what it said"
        } else {
            "this record of a copy was damaged or gone; the hash in its name proves what it said, and it was put back"
        };
        findings.push(Finding::new(Severity::Info, "repair.mended", what).on(key));
        bytes += copied.bytes().len() as u64;
        put_back.push(key.clone());
    }
    Ok((put_back, bytes, findings))
}

async fn put(
    vault: &Vault,
    mender: &dyn Mender,
    (key, copied): (&Key, &Copied),
    now: Time,
) -> std::result::Result<(), crate::store::StoreError> {
    let policy = &vault.descriptor.lock;
    let explicit = policy.by == LockBy::Explicit && vault.store.traits().versions;
    let lock: Option<Lock> = explicit.then(|| policy.lock_from(now));
    match mender.put_again(key, copied, lock).await {
        // As with any record of a copy: a place without locks keeps it without one.
        Err(error) if lock.is_some() && matches!(error.kind, StoreErrorKind::Unsupported | StoreErrorKind::Invalid) => {
            mender.put_again(key, copied, None).await.map(drop)
        }
        other => other.map(drop),
    }
}

/// Records that are gone, as the records of their locks tell.
async fn lost(vault: &Vault, now: Time) -> Result<Vec<(CopyName, Key)>> {
    let mut found = Vec::new();
    let mut each = |key: String, lock: Option<Lock>| {
        if lock.is_none_or(|lock| lock.until > now)
            && let Some(ObjectName::Copy(name)) = layout::parse(&key)
            && let Ok(key) = key.parse()
        {
            found.push((name, key));
        }
    };
    vault.store.list_lost(&mut each).await?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_record_said_is_told_by_the_hash_in_its_name() {
        let (vault, other) = (VaultId::from_bytes([1; 32]), VaultId::from_bytes([2; 32]));
        let at = Time::from_unix;
        let new = |from: &str, part| CopyRecord::new(vault, from.to_owned(), (at(10), at(7210)), part);
        let had = BTreeMap::from([("w1".parse().unwrap(), 7)]);
        let name = |record: &CopyRecord| {
            let key = record.encode().unwrap().0;
            let Some(ObjectName::Copy(name)) = layout::parse(key.as_str()) else { panic!("{key}") };
            (name, key)
        };
        let part = CopyRecord { had: had.clone(), unhealed: true, ..new("file:///a", true) };
        let good = CopyRecord { begins: at(5), had, ..new("file:///b", true) };
        for (record, good, from, told) in [
            (new("file:///a", false), vec![], "file:///a", true),
            (new("file:///a", false), vec![], "file:///b", false),
            (new("file:///b", false), vec![good.clone()], "file:///x", true),
            (CopyRecord { unhealed: true, ..new("file:///a", false) }, vec![], "file:///a", true),
            (part.clone(), vec![good.clone()], "file:///a", true),
            (part, vec![], "file:///a", false),
            (CopyRecord { vault: other, ..new("file:///a", false) }, vec![], "file:///a", false),
        ] {
            let (name, key) = name(&record);
            let found = again((&name, &key), vault, &good, &[from]);
            assert_eq!(found, told.then_some(record));
        }
    }
}
