//! What is needed, held against what the store lists.

use std::collections::BTreeSet;

use super::{inventory::Inventory, needed::Kind};
use crate::{
    format::layout::{self, ObjectName},
    model::{Finding, Findings, Key, Lock, Severity, Time},
    store::{Entry, StoreErrorKind, Version, VersionEntry},
    vault::{
        Result, Vault, fetch,
        journal::Gathering,
        snapshots::Unread,
        stock::{Stock, Stocks, Stored, VERSIONS},
    },
};

/// How many foreign objects are named one by one.
pub(super) const SHOW_FOREIGN: u64 = 100;

/// What the listing told besides findings.
#[derive(Default)]
pub(super) struct Listed {
    /// Objects that no valid signature names.
    pub(super) foreign: u64,
    /// Their bytes.
    pub(super) foreign_bytes: u64,
    /// Canaries, which nothing signs.
    pub(super) canaries: u64,
    /// Records of approvals that were used.
    pub(super) approvals: u64,
    /// Whether every version could be listed.
    pub(super) versions: bool,
    /// Snapshots of which it is not known when their first lock ends.
    pub(super) untold: u64,
    shown: Vec<String>,
    /// Objects whose version was signed for, and those of them that have another.
    hinted: u64,
    others: u64,
    replaced: Findings,
}

impl Listed {
    /// An object that nothing signed names.
    fn other(&mut self, key: String, bytes: u64) {
        let is = layout::parse(&key);
        if matches!(is, Some(ObjectName::Spent(_))) {
            self.approvals += 1;
            return;
        }
        if matches!(is, Some(ObjectName::Canary(_))) {
            self.canaries += 1;
            return;
        }
        // Nothing signs for a journal's objects from outside; they are judged by themselves.
        if matches!(layout::parse(&key), Some(ObjectName::Piece(_) | ObjectName::History(..))) {
            return;
        }
        // Nothing signs these either, and who made the copy knows of them.
        if matches!(layout::parse(&key), Some(ObjectName::Copy(_))) {
            return;
        }
        self.foreign(1, bytes, || key);
    }

    /// Versions of an object that nothing signed names.
    fn foreign(&mut self, versions: u64, bytes: u64, key: impl FnOnce() -> String) {
        self.foreign += versions;
        self.foreign_bytes = self.foreign_bytes.saturating_add(bytes);
        if (self.shown.len() as u64) < SHOW_FOREIGN {
            self.shown.push(key());
        }
    }
}

impl Inventory {
    /// Lists the store, and gathers its journals. Returns the parts of what is named by its hash.
    pub(super) async fn compare(
        &mut self,
        vault: &Vault,
        journals: &mut Gathering<'_>,
        findings: &mut Findings,
    ) -> Result<(Listed, Stocks)> {
        let (mut listed, mut stock) = (Listed::default(), Stock::new(vault.room, false));
        if vault.store.traits().versions {
            let mut add = |entry: VersionEntry| {
                journals.version(&entry);
                let (key, stored) = version(entry);
                if let Err(stored) = stock.add(&key, stored) {
                    self.document(key, stored, &mut listed);
                }
            };
            match vault.store.list_versions("", &mut add).await {
                Err(error) if error.kind == StoreErrorKind::Denied => {
                    findings.note(fetch::unlisted());
                    journals.unlisted();
                    (listed, stock) = (Listed::default(), Stock::new(vault.room, false));
                }
                other => {
                    other?;
                    listed.versions = true;
                }
            }
        }
        if !listed.versions {
            let mut add = |entry: Entry| {
                journals.entry(&entry);
                let (key, stored) = current(entry);
                if let Err(stored) = stock.add(&key, stored) {
                    self.document(key, stored, &mut listed);
                }
            };
            vault.store.list("", &mut add).await?;
        }
        Ok((listed, Stocks::of(stock)))
    }

    /// Takes what was listed and is named by more than its hash.
    fn document(&mut self, key: String, stored: Stored, listed: &mut Listed) {
        if let Some(needed) = self.get_mut(&key) {
            needed.hidden = stored.marker;
            if !stored.marker {
                needed.version(stored, VERSIONS);
            }
            return;
        }
        let later = |is| matches!(is, ObjectName::Descriptor | ObjectName::Epoch(..) | ObjectName::Certificate(..));
        if layout::parse(&key).is_some_and(later) {
            // Headers embed such documents, and are read next.
            self.loose.entry(key).or_default().push(stored);
        } else if !stored.marker {
            listed.other(key, stored.bytes);
        }
    }

    /// Says of each needed object of the part in hand how it stands with what was listed.
    pub(super) fn judge(&self, listed: &mut Listed, findings: &mut Findings) {
        for needed in self.firm() {
            let kind = needed.kind.as_str();
            if needed.missing() {
                // Opening the vault has told of that already, since it had to look for another copy.
                let told = needed.kind == Kind::Descriptor && findings.iter().any(|f| f.code == "vault.descriptor");
                if !told {
                    findings.push(needed.gone());
                }
            } else if needed.hidden {
                let what = format!("a delete marker lies on this {kind}; its bytes are still there and are read");
                findings.push(needed.finding(Severity::Warning, "object.hidden", what));
            }
            if needed.versions > 1 {
                let what =
                    format!("this {kind} has {} versions: it was overwritten; the signed one is read", needed.versions);
                findings.push(needed.finding(Severity::Warning, "object.overwritten", what));
            }
            if listed.versions && needed.hint.is_some() && !needed.missing() {
                let first = needed.candidates.first().and_then(|c| c.version.as_ref()).map(Version::as_str);
                listed.hinted += 1;
                if first != needed.hint.as_deref() {
                    listed.others += 1;
                    let what = format!(
                        "the version of this {kind} that was signed is gone, though it was locked; another of the same \
                         size is there, whose bytes only --depth read can judge"
                    );
                    listed.replaced.push(needed.finding(Severity::Warning, "object.replaced", what));
                }
            }
        }
        for (at, versions, bytes) in self.unnamed() {
            listed.foreign(versions, bytes, || at.key().to_string());
        }
    }

    /// What was listed before anything named it, and nothing did.
    pub(super) fn left(&mut self, listed: &mut Listed) {
        for (key, stored) in std::mem::take(&mut self.loose) {
            let there = stored.iter().filter(|stored| !stored.marker);
            there.for_each(|stored| listed.other(key.clone(), stored.bytes));
        }
    }
}

/// Lists a part of what is named by its hash.
pub(super) async fn part(vault: &Vault, stock: &mut Stock, versions: bool) -> Result<()> {
    for prefix in [layout::INDEXES, layout::LISTS, layout::PACKS] {
        let mut add = |(key, stored): (String, Stored)| drop(stock.add(&key, stored));
        if versions {
            vault.store.list_versions(prefix, &mut |entry| add(version(entry))).await?;
        } else {
            vault.store.list(prefix, &mut |entry| add(current(entry))).await?;
        }
    }
    stock.sort();
    Ok(())
}

fn version(entry: VersionEntry) -> (String, Stored) {
    let VersionEntry { key, version, bytes, modified, delete_marker: marker, .. } = entry;
    (key, Stored { version: Some(version), bytes, modified, marker })
}

fn current(entry: Entry) -> (String, Stored) {
    let Entry { key, bytes, modified } = entry;
    (key, Stored { version: None, bytes, modified, marker: false })
}

/// Says how hints stand, once all parts were judged.
pub(super) fn hinted(listed: &mut Listed, findings: &mut Findings) {
    let replaced = std::mem::take(&mut listed.replaced);
    if listed.hinted > 0 && listed.hinted == listed.others {
        // A copy of a whole bucket has other versions throughout, and nothing was done to any single object.
        let what = "no object has the version that was signed, so this is a copy of the vault, or all of it was \
                    stored anew; its bytes decide";
        findings.push(Finding::new(Severity::Warning, "versions.others", what));
    } else {
        findings.extend(replaced.into_vec());
    }
}

/// Objects that no verified header names. No failure: locked junk would keep an alarm red until nobody listens.
pub(super) fn foreign(listed: &Listed, findings: &mut Findings) {
    for key in &listed.shown {
        let what = "nothing signed names this object: left by a run that was stopped, or put there by somebody else";
        findings.push(Finding::new(Severity::Info, "foreign", what).on(key));
    }
    if listed.foreign > SHOW_FOREIGN {
        let what =
            format!("nothing signed names {} objects in all; the first {SHOW_FOREIGN} are shown", listed.foreign);
        findings.push(Finding::new(Severity::Info, "foreign", what));
    }
}

/// Records of locks whose objects are gone, which only a directory has.
pub(super) async fn lost(vault: &Vault, now: Time, findings: &mut Findings) -> Result<()> {
    let mut all = Vec::new();
    vault.store.list_lost(&mut |key, lock: Option<Lock>| all.push((key, lock))).await?;
    for (key, lock) in all {
        let finding = match lock {
            Some(lock) if lock.until <= now => {
                let what = "the record of a lock that is over has no object; the object may have been removed rightly";
                Finding::new(Severity::Info, "object.expired", what)
            }
            lock => {
                let until =
                    lock.map_or_else(|| "whose end can't be read".to_owned(), |lock| format!("until {}", lock.until));
                let what =
                    format!("this object was locked ({until}) and is gone: somebody removed it from the directory");
                Finding::new(Severity::Error, "object.lost", what)
            }
        };
        findings.push(finding.on(key));
    }
    Ok(())
}

/// Headers that are not what was put. In a directory the record of a lock says that one was: what is in its place is no
/// junk, but damage. A bucket has no such record, and anybody who may write puts junk under such a name.
pub(super) async fn damaged(vault: &Vault, unread: &[Unread], now: Time, findings: &mut Findings) -> Result<()> {
    if vault.store.traits().trusted_time {
        return Ok(());
    }
    let other = |finding: &&Finding| matches!(finding.code.as_str(), "header.newer" | "header.unread");
    let others: BTreeSet<String> = findings.iter().filter(other).filter_map(|finding| finding.object.clone()).collect();
    for key in unread.iter().map(Unread::key).filter(|key| !others.contains(key.as_str())) {
        let locked = match vault.store.lock_of(&key, None).await {
            Ok(lock) => lock.is_some_and(|lock| lock.until > now),
            Err(error) if error.kind == StoreErrorKind::Corrupt => true,
            Err(error) if error.is_not_found() => false,
            Err(error) => return Err(error.into()),
        };
        if locked {
            let what = "the record of its lock proves that a header was put here, and what is here is not what was put: \
                        its snapshot can't be restored";
            findings.push(Finding::new(Severity::Error, "header.damaged", what).on(&key));
        }
    }
    Ok(())
}

/// Documents and headers that can't be read in a directory. The record of a lock says that each was put: it is no junk of
/// somebody's, and whether it is whole is not known.
pub(super) async fn unreadable(vault: &Vault, findings: &mut Findings) -> Result<()> {
    const CODES: [&str; 5] = ["header.unread", "documents.unread", "member.unread", "evidence.unread", "hold.unread"];
    if vault.store.traits().trusted_time {
        return Ok(());
    }
    let told: BTreeSet<&str> =
        findings.iter().filter(|finding| finding.is_unread()).filter_map(|finding| finding.object.as_deref()).collect();
    let other = findings.iter().filter(|finding| CODES.contains(&finding.code.as_str()));
    let named = other.filter_map(|finding| finding.object.as_deref()).filter(|object| !told.contains(object));
    let keys: BTreeSet<Key> = named.filter_map(|object| object.parse().ok()).collect();
    for key in keys {
        let refused = match vault.store.get(&key, None, Some(0..1)).await {
            Err(error) if error.kind != StoreErrorKind::Corrupt && fetch::is_unreadable(error.kind) => error,
            _ => continue,
        };
        let locked = match vault.store.lock_of(&key, None).await {
            Ok(lock) => lock.is_some(),
            Err(error) => error.kind == StoreErrorKind::Corrupt || fetch::is_unreadable(error.kind),
        };
        if locked {
            let what = format!(
                "the record of its lock proves that it was put; it can't be read, so whether it is whole is not known: {refused}"
            );
            findings.push(Finding::new(Severity::Error, "object.unread", what).on(&key));
        }
    }
    Ok(())
}
