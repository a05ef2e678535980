//! Who has to agree to what: the lists of approvers below `approvers/`, signed by the root.

use super::{Result, Vault, VaultError, VaultErrorKind, signed};
use crate::{
    format::{
        approval::Approvers,
        dsse::{Document, Envelope},
        layout::{self, ObjectName},
    },
    model::{Finding, Key, Severity, Time},
};

/// One list, and since when it counts.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Where it is kept.
    pub key: Key,
    /// The list.
    pub list: Approvers,
    /// Since when the store has it, or it says so where the store's time is no witness.
    pub since: Time,
}

/// All lists that the root signed.
#[derive(Debug, Default)]
pub struct Lists {
    all: Vec<Listed>,
    /// What stands under the name of a list and is none.
    pub findings: Vec<Finding>,
}

impl Lists {
    /// Reads all, hidden ones included. What the root did not sign is passed over, with a finding.
    ///
    /// # Errors
    /// If one can't be read or needs a newer build: then nobody knows what needs approvals.
    pub async fn of(vault: &Vault) -> Result<Self> {
        let hash = |object: &ObjectName| match object {
            ObjectName::Approvers(_, hash) => Some(*hash),
            _ => None,
        };
        let limit = Approvers::LIMIT * 4 / 3 + 4096;
        let (named, unlisted) = signed::below(vault, layout::APPROVERS, limit, hash).await?;
        if unlisted.is_some() {
            let what = "these credentials may not list versions, so a list of approvers that somebody hid would not be seen: \
                        s3:ListBucketVersions is needed";
            return Err(VaultError::new(VaultErrorKind::Denied, what).on(layout::APPROVERS));
        }
        let mut lists = Self::default();
        for one in named {
            let opened = one.read.and_then(|(bytes, stored)| {
                let envelope = Envelope::decode::<Approvers>(&bytes)?;
                let list: Approvers = envelope.open(&vault.descriptor.root, vault.descriptor.vault)?;
                if layout::approvers(list.rev, &one.hash) != one.key {
                    return Err(signed::misnamed(&one.key));
                }
                list.check()?;
                let since = signed::since(vault, stored, list.at);
                Ok(Listed { key: one.key.clone(), list, since })
            });
            match opened {
                Ok(listed) => lists.all.push(listed),
                Err(error) if matches!(error.kind, VaultErrorKind::Damaged | VaultErrorKind::Untrusted) => {
                    let what = format!(
                        "no list of approvers that this vault's root vouches for, so it is passed over: {error}"
                    );
                    lists.findings.push(Finding::new(Severity::Warning, "approvers.foreign", what).on(&one.key));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(lists)
    }

    /// The list that counts now: the one of the highest revision.
    ///
    /// # Errors
    /// In words, if the root signed two of that revision: then nobody knows which counts.
    pub fn newest(&self) -> std::result::Result<Option<&Listed>, String> {
        self.at(Time::MAX)
    }

    /// The list that counted at a time.
    ///
    /// # Errors
    /// As for [`newest`](Self::newest).
    pub fn at(&self, time: Time) -> std::result::Result<Option<&Listed>, String> {
        let known = || self.all.iter().filter(|listed| listed.since <= time);
        let Some(newest) = known().max_by_key(|listed| listed.list.rev) else { return Ok(None) };
        match known().filter(|listed| listed.list.rev == newest.list.rev).count() {
            1 => Ok(Some(newest)),
            n => {
                Err(format!("the root signed {n} lists of approvers of revision {}: sign a newer one", newest.list.rev))
            }
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Listed> {
        self.all.iter()
    }
}
