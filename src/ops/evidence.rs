//! Evidence: signed results of lock proofs, verifications and drills, left in the vault for whoever asks later.
//!
//! A member signs what its role may say. Without a member's key the root signs as `owner`, if an identity opens it. With
//! neither, nothing is stored, and the result says so: an unsigned record would prove nothing.

use serde::Serialize;

use super::{OpsError, Result, publish::Publisher};
use crate::{
    codec::{hash, seal::Opener, sign::SigningKey},
    format::{
        dsse::Envelope,
        evidence::{Evidence, EvidenceKind},
        layout,
        member_key::Member,
    },
    model::{Finding, Name, Severity, SnapshotId, Time},
    store::Payload,
    vault::{Vault, VaultErrorKind, evidence::OWNER, keys},
};

pub use crate::vault::evidence::{Signed, list};

/// Who signs a piece of evidence.
pub struct Signer {
    /// The name under which it is kept.
    pub name: Name,
    key: SigningKey,
}

/// What is to be signed.
#[derive(Debug, Clone)]
pub struct Draft {
    /// What it is about.
    pub kind: EvidenceKind,
    /// The snapshots that it is about; none for the vault as a whole.
    pub snapshots: Vec<SnapshotId>,
    /// When, by the store's clock.
    pub at: Time,
    /// The result itself, of less than 4 MiB.
    pub result: serde_json::Value,
}

/// Evidence that was left in a vault.
#[derive(Debug, Clone, Serialize)]
pub struct Left {
    /// Where it is kept.
    pub key: String,
    /// Who signed it.
    pub member: Name,
    /// Until when it can't be deleted.
    pub locked_until: Time,
}

impl Signer {
    /// The signer of evidence of `kind`: the member if its role may, else the root if `identity` opens it, else nobody,
    /// with a finding that says why.
    ///
    /// # Errors
    /// If the member's key is of another vault or was revoked, or the vault can't be read.
    pub async fn find(
        vault: &Vault,
        kind: EvidenceKind,
        member: Option<Member>,
        identity: Option<&Opener>,
    ) -> Result<(Option<Self>, Option<Finding>)> {
        let mut reason = "there is neither a member's key nor an owner's identity here".to_owned();
        if let Some(member) = member {
            if member.descriptor.vault != vault.descriptor.vault {
                return Err(OpsError::Request {
                    what: format!("the key of {} {} is of another vault", member.role, member.name),
                    next: "give the key of a member of this vault in [member]".to_owned(),
                });
            }
            if kind.may_sign(member.role) {
                return Ok((Some(Self { name: member.name, key: member.signing_key }), None));
            }
            reason =
                format!("{} is a {}, which may not sign evidence of a {}", member.name, member.role, kind.as_str());
        }
        if let Some(identity) = identity {
            match keys::root_key(vault, identity).await {
                Ok(key) => return Ok((Some(Self { name: owner()?, key }), None)),
                Err(error) if error.kind == VaultErrorKind::NoIdentity => {}
                // Not to be read, or gone: what was to be proved stands without a signature.
                Err(error) if matches!(error.kind, VaultErrorKind::Denied | VaultErrorKind::Damaged) => {
                    reason = format!("{reason}, and the root key can't be had: {error}");
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok((None, Some(unsigned(&reason))))
    }

    /// Signs a draft: the envelope, and where it belongs.
    ///
    /// # Errors
    /// If it is larger than evidence may be.
    fn sign(&self, vault: &Vault, draft: Draft) -> Result<(crate::model::Key, crate::format::Public)> {
        let Draft { kind, snapshots, at, result } = draft;
        let vault = vault.descriptor.vault;
        let evidence = Evidence { vault, member: self.name.clone(), kind, at, snapshots, result };
        let document = Envelope::sign(&evidence, &self.key)?.encode()?;
        Ok((layout::evidence(&self.name, at, &hash::hash(document.bytes())), document))
    }

    /// Signs a draft for whoever asked for it: the envelope, which is not stored.
    ///
    /// # Errors
    /// If it is larger than evidence may be.
    pub fn statement(&self, vault: &Vault, draft: Draft) -> Result<serde_json::Value> {
        let (_, document) = self.sign(vault, draft)?;
        serde_json::from_slice(document.bytes()).map_err(|_| OpsError::Defect("the encoding of a statement"))
    }

    /// Signs a draft and stores it, locked as the vault's policy says and read back.
    ///
    /// # Errors
    /// The store's, or `LockNotEnforced`, or if it is larger than evidence may be.
    pub async fn leave(&self, vault: &Vault, draft: Draft) -> Result<Left> {
        let at = draft.at;
        let (key, document) = self.sign(vault, draft)?;
        let publisher = Publisher::new(&*vault.store, &vault.descriptor.lock, at);
        let lock = publisher.put(&key, &Payload::Public(document)).await?;
        // The name holds the hash, so what is there under it already is the same.
        let locked_until = lock.map_or(at, |lock| lock.until);
        Ok(Left { key: key.to_string(), member: self.name.clone(), locked_until })
    }
}

/// The name under which the root signs.
///
/// # Errors
/// Never in practice; names are fallible by type.
pub fn owner() -> Result<Name> {
    OWNER.parse().map_err(|_| OpsError::Defect("the owner's name"))
}

/// What is said when evidence could not be signed.
fn unsigned(reason: &str) -> Finding {
    let what = format!(
        "the result was not stored as evidence: {reason}. `strongroom member add NAME --role driller` (or auditor) makes a \
         key for [member]"
    );
    Finding::new(Severity::Warning, "evidence.unsigned", what)
}

/// The code of that.
pub const UNSTORED: &str = "evidence.unstored";

/// What is said when evidence could not be stored.
#[must_use]
pub fn unstored(error: &OpsError) -> Finding {
    let what = format!("the result was signed, and could not be stored as evidence: {error}");
    Finding::new(Severity::Weak, UNSTORED, what)
}

#[cfg(test)]
#[path = "evidence/tests.rs"]
mod tests;
