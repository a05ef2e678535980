//! What is needed, held against what the store lists.

use std::collections::BTreeSet;

use super::inventory::{Candidate, Inventory, Kind, Needed};
use crate::{
    format::layout::{self, ObjectName},
    model::{Finding, Findings, Lock, Severity, Time},
    store::{Entry, StoreErrorKind, Version, VersionEntry},
    vault::{Result, Vault, fetch, journal::Gathering, snapshots::Unread},
};

/// How many foreign objects are named one by one.
pub(super) const SHOW_FOREIGN: u64 = 100;
/// The most versions of one object that are looked at.
const MAX_VERSIONS: usize = 64;

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
    shown: Vec<String>,
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
        self.foreign += 1;
        self.foreign_bytes = self.foreign_bytes.saturating_add(bytes);
        if self.foreign <= SHOW_FOREIGN {
            self.shown.push(key);
        }
    }
}

impl Inventory {
    /// Lists the store, and gathers its journals. With `whole`, everything that is in no place of the inventory is foreign.
    pub(super) async fn compare(
        &mut self,
        vault: &Vault,
        whole: bool,
        journals: &mut Gathering<'_>,
        findings: &mut Findings,
    ) -> Result<Listed> {
        let mut listed = Listed::default();
        if vault.store.traits().versions {
            let mut add = |entry: VersionEntry| {
                journals.version(&entry);
                self.version(entry, &mut listed);
            };
            match vault.store.list_versions("", &mut add).await {
                Err(error) if error.kind == StoreErrorKind::Denied => {
                    findings.note(fetch::unlisted());
                    journals.unlisted();
                }
                other => {
                    other?;
                    listed.versions = true;
                }
            }
        }
        if !listed.versions {
            let mut add = |entry: Entry| {
                let Some(needed) = self.get_mut(&entry.key) else {
                    journals.entry(&entry);
                    return listed.other(entry.key, entry.bytes);
                };
                needed.versions = 1;
                let bytes = entry.bytes;
                if needed.fits(bytes) {
                    needed.candidates = vec![Candidate { version: None, bytes }];
                }
            };
            vault.store.list("", &mut add).await?;
        }
        self.judge(listed.versions, findings);
        if whole {
            foreign(&listed, findings);
        }
        Ok(listed)
    }

    fn version(&mut self, entry: VersionEntry, listed: &mut Listed) {
        let Some(needed) = self.get_mut(&entry.key) else {
            if entry.delete_marker {
                return;
            }
            return listed.other(entry.key, entry.bytes);
        };
        if entry.delete_marker {
            needed.hidden |= entry.latest;
            return;
        }
        needed.versions = needed.versions.saturating_add(1);
        if !needed.fits(entry.bytes) || needed.candidates.len() >= MAX_VERSIONS {
            return;
        }
        let hinted = needed.hint.as_deref() == Some(entry.version.as_str());
        let candidate = Candidate { version: Some(entry.version), bytes: entry.bytes };
        let at = if hinted { 0 } else { needed.candidates.len() };
        needed.candidates.insert(at, candidate);
    }

    /// Says of each needed object how it stands with what was listed.
    fn judge(&self, versions: bool, findings: &mut Findings) {
        let hinted = |needed: &&Needed| versions && needed.hint.is_some() && !needed.missing();
        let replaced = |needed: &Needed| {
            let first = needed.candidates.first().and_then(|c| c.version.as_ref()).map(Version::as_str);
            first != needed.hint.as_deref()
        };
        // A copy of a whole bucket has other versions throughout, and nothing was done to any single object.
        let copied = {
            let mut all = self.firm().filter(hinted).peekable();
            all.peek().is_some() && all.all(replaced)
        };
        if copied {
            let what = "no object has the version that was signed, so this is a copy of the vault, or all of it was stored again; its bytes decide";
            findings.push(Finding::new(Severity::Warning, "versions.others", what));
        }
        for needed in self.firm() {
            let kind = needed.kind.as_str();
            if needed.missing() {
                // Opening the vault has told of that already, since it had to look for another copy.
                let told = needed.kind == Kind::Descriptor && findings.iter().any(|f| f.code == "vault.descriptor");
                if !told {
                    findings.push(gone(needed));
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
            if !copied && Some(needed).filter(hinted).is_some_and(replaced) {
                let what = format!(
                    "the version of this {kind} that was signed is gone, though it was locked; another of the same size \
                     is there, whose bytes only --depth read can judge"
                );
                findings.push(needed.finding(Severity::Warning, "object.replaced", what));
            }
        }
    }
}

fn gone(needed: &Needed) -> Finding {
    let (kind, meaning) = (needed.kind.as_str(), needed.kind.meaning());
    if needed.versions > 0 {
        let what = format!("this {kind} is there in another size than was signed, cut short or replaced: {meaning}");
        return needed.finding(Severity::Error, &format!("{kind}.size"), what);
    }
    needed.finding(Severity::Error, &format!("{kind}.missing"), format!("this {kind} is missing: {meaning}"))
}

/// Objects that no verified header names. No failure: locked junk would keep an alarm red until nobody listens.
fn foreign(listed: &Listed, findings: &mut Findings) {
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
    for one in unread.iter().filter(|one| !others.contains(one.key.as_str())) {
        let locked = match vault.store.lock_of(&one.key, None).await {
            Ok(lock) => lock.is_some_and(|lock| lock.until > now),
            Err(error) if error.kind == StoreErrorKind::Corrupt => true,
            Err(error) if error.is_not_found() => false,
            Err(error) => return Err(error.into()),
        };
        if locked {
            let what = "the record of its lock proves that a header was put here, and what is here is not what was put: \
                        its snapshot can't be restored";
            findings.push(Finding::new(Severity::Error, "header.damaged", what).on(&one.key));
        }
    }
    Ok(())
}
