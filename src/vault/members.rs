//! Who may sign what: the certificates below `members/`, and who was revoked since.
//!
//! A header embeds the certificate of its time, so only these tell of a revocation.

use std::collections::BTreeMap;

use futures::{StreamExt, stream};

use super::{Result, Vault, VaultErrorKind, fetch};
use crate::{
    format::{
        certificate::Certificate,
        dsse::Envelope,
        header::{Claim, Standing},
        layout::{self, ObjectName},
    },
    model::{Finding, Hash, Key, Name, Severity, Time},
};

/// How many certificates are fetched at once.
const AT_ONCE: usize = 16;
/// The most stored bytes that one has.
const LARGEST: usize = 16 << 10;

/// The members of a vault, by the newest certificate of each that its root signed.
#[derive(Debug, Clone, Default)]
pub struct Members {
    newest: BTreeMap<Name, Certificate>,
    /// What stands under a certificate's name and is none.
    pub findings: Vec<Finding>,
}

impl Members {
    /// Reads all certificates, hidden ones included. What this vault's root did not sign is passed over, with a finding.
    ///
    /// # Errors
    /// If the store can't be listed or read.
    pub async fn of(vault: &Vault) -> Result<Self> {
        let listed = fetch::listed(&*vault.store, layout::MEMBERS).await?;
        let names = listed.keys.into_keys().filter_map(|key| match layout::parse(&key) {
            Some(ObjectName::Certificate(name, rev, hash)) => Some((name, rev, hash)),
            _ => None,
        });
        let fetched: Vec<_> = stream::iter(names)
            .map(|(name, rev, hash)| async move {
                let key = layout::certificate(&name, rev, &hash);
                let found = one(vault, &key, &hash).await;
                (key, name, rev, found)
            })
            .buffered(AT_ONCE)
            .collect()
            .await;
        let (mut members, mut refused) = (Self::default(), None);
        for (key, name, rev, found) in fetched {
            match found {
                Ok(certificate) if certificate.name == name && certificate.rev == rev => members.add(certificate),
                Ok(_) => members.foreign(&key, "its name is not what it says of itself"),
                Err(error) if matches!(error.kind, VaultErrorKind::Damaged | VaultErrorKind::Untrusted) => {
                    members.foreign(&key, &error.what);
                }
                Err(error) if matches!(error.kind, VaultErrorKind::Newer | VaultErrorKind::Draft) => {
                    members.foreign(&key, &error.what);
                }
                Err(error) if error.kind == VaultErrorKind::Denied => {
                    let what = format!(
                        "this certificate can't be read, so whether it revokes member {name} is not known: {}",
                        error.what
                    );
                    members.findings.push(Finding::new(Severity::Warning, "member.unread", what).on(&key));
                    refused.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        // Where none can be read, it is these credentials that read none.
        match refused {
            Some(error) if members.newest.is_empty() => Err(error),
            _ => Ok(members),
        }
    }

    /// The highest revision counts; of two that the root signed under one number, the stricter.
    fn add(&mut self, new: Certificate) {
        let strictness = |c: &Certificate| (c.rev, c.revoked_from.map(std::cmp::Reverse));
        match self.newest.get(&new.name) {
            Some(known) if strictness(known) >= strictness(&new) => {}
            _ => drop(self.newest.insert(new.name.clone(), new)),
        }
    }

    fn foreign(&mut self, key: &Key, why: &str) {
        let what = format!("not a certificate that this vault's root vouches for, so it is passed over: {why}");
        self.findings.push(Finding::new(Severity::Warning, "member.foreign", what).on(key));
    }

    /// The newest certificate of a member.
    #[must_use]
    pub fn get(&self, name: &Name) -> Option<&Certificate> {
        self.newest.get(name)
    }

    /// From when on what this member signed is suspect, if it was revoked.
    #[must_use]
    pub fn revoked_from(&self, name: &Name) -> Option<Time> {
        self.newest.get(name).and_then(|certificate| certificate.revoked_from)
    }

    /// The newest certificate of every member, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Certificate> {
        self.newest.values()
    }
}

impl FromIterator<Certificate> for Members {
    fn from_iter<T: IntoIterator<Item = Certificate>>(certificates: T) -> Self {
        let mut members = Self::default();
        certificates.into_iter().for_each(|certificate| members.add(certificate));
        members
    }
}

async fn one(vault: &Vault, key: &Key, hash: &Hash) -> Result<Certificate> {
    let bytes = fetch::by_hash(&*vault.store, key, None, hash, LARGEST).await?;
    let descriptor = &vault.descriptor;
    Ok(Envelope::decode::<Certificate>(&bytes)?.open(&descriptor.root, descriptor.vault)?)
}

/// How a snapshot of `source` stands with a certificate of its writer.
pub(super) fn certified(certificate: &Certificate, source: &Name, standing: Standing) -> Standing {
    let named = certificate.sources.iter().any(|pattern| pattern.fits(source));
    let claim = if named { Claim::Named } else { Claim::Open };
    Standing { claim, outside: !certificate.may_write(source), ..standing }
}
