//! `member add` and `member revoke`: who may sign what, decided by the root key, which only owners open.

use std::collections::BTreeMap;

use serde::Serialize;
use zeroize::Zeroizing;

use super::{OpsError, Result, init::OWNER, publish::Publisher};
use crate::{
    codec::{
        hash::{self, ChunkIdKey},
        seal::{self, Opener},
        sign::SigningKey,
    },
    format::{
        FORMAT,
        approval::Action,
        certificate::{Certificate, Role},
        dsse::Envelope,
        layout, member_key,
        writer_key::{self, Embedded, NewWriter},
    },
    guard::approvals::{self, Deed, Papers, Passed},
    model::{Finding, Name, NamePattern, Time, VaultId},
    store::Payload,
    vault::{Vault, keys, members::Members},
};

/// A certificate and the key file that goes with it.
pub(super) struct Enrolled {
    /// The certificate, signed by the root.
    pub(super) certificate: Envelope,
    /// The key file, to be kept where the member works.
    pub(super) key_file: Zeroizing<Vec<u8>>,
}

/// What a new member's certificate needs besides its name.
pub(super) struct Authority<'a> {
    pub(super) vault: VaultId,
    pub(super) root: &'a SigningKey,
    pub(super) descriptor: &'a Envelope,
    pub(super) at: Time,
}

impl Authority<'_> {
    fn certificate(&self, name: &Name, role: Role, key: &SigningKey, catalog: Option<String>) -> Certificate {
        Certificate {
            format: FORMAT.to_owned(),
            vault: self.vault,
            name: name.clone(),
            rev: 1,
            role,
            signing_key: key.public(),
            catalog_recipient: catalog,
            valid_from: self.at,
            revoked_from: None,
            sources: Vec::new(),
        }
    }

    /// Makes the keys of a writer of these sources (any where there is none), with a dedup domain of its own.
    pub(super) fn writer(
        &self,
        name: &Name,
        sources: Vec<NamePattern>,
        master: &ChunkIdKey,
        epoch: &Envelope,
    ) -> Result<Enrolled> {
        let signing_key = SigningKey::generate()?;
        let (catalog_identity, catalog_recipient) = seal::generate_identity();
        let certificate = self.certificate(name, Role::Writer, &signing_key, Some(catalog_recipient.to_string()));
        let certificate = Envelope::sign(&Certificate { sources, ..certificate }, self.root)?;
        let chunk_id_key = master.for_writer(name);
        let new =
            NewWriter { signing_key: &signing_key, catalog_identity: &catalog_identity, chunk_id_key: &chunk_id_key };
        let embedded =
            Embedded { descriptor: self.descriptor.clone(), certificate: certificate.clone(), epoch: epoch.clone() };
        Ok(Enrolled { key_file: writer_key::encode(self.vault, name, &new, &embedded)?, certificate })
    }

    /// Makes the key of a member that signs evidence.
    fn witness(&self, name: &Name, role: Role) -> Result<Enrolled> {
        let key = SigningKey::generate()?;
        let certificate = self.certificate(name, role, &key, None);
        let signed = Envelope::sign(&certificate, self.root)?;
        Ok(Enrolled {
            key_file: member_key::encode(&certificate, &key, self.descriptor, &signed)?,
            certificate: signed,
        })
    }
}

/// A new member whose certificate is not in the vault yet, so that its key can be saved first.
pub struct NewMember<'a> {
    vault: &'a Vault,
    at: Time,
    name: Name,
    role: Role,
    sources: Vec<NamePattern>,
    enrolled: Enrolled,
    /// What was found among the certificates that are there.
    pub findings: Vec<Finding>,
}

/// A member that was added.
#[derive(Debug, Serialize)]
pub struct MemberReport {
    /// The vault.
    pub vault_id: VaultId,
    /// The member's name, which is the prefix of what it may write.
    pub name: Name,
    /// What it may sign.
    pub role: Role,
    /// The sources that a writer may make snapshots of; any where there is none.
    pub sources: Vec<NamePattern>,
    /// The certificate's place in the vault.
    pub certificate: String,
    /// Until when the certificate can't be deleted.
    pub locked_until: Time,
}

impl<'a> NewMember<'a> {
    /// Makes the keys and the certificate of a new member, for a writer of these sources alone. Writes nothing.
    ///
    /// # Errors
    /// If there is or was a member of that name, or `owner` does not open the root key.
    pub async fn new(
        vault: &'a Vault,
        owner: &Opener,
        name: Name,
        role: Role,
        sources: Vec<NamePattern>,
    ) -> Result<Self> {
        if role != Role::Writer && !sources.is_empty() {
            return Err(OpsError::Request {
                what: format!("a {role} makes no snapshots, so it has no sources"),
                next: "leave --sources out, or add a writer".to_owned(),
            });
        }
        if name.as_str() == OWNER {
            return Err(OpsError::Request {
                what: format!("{OWNER:?} is the name under which the root signs"),
                next: "give the member another name".to_owned(),
            });
        }
        let members = Members::of(vault).await?;
        if let Some(there) = members.get(&name) {
            let state = there.revoked_from.map_or_else(String::new, |from| format!(", revoked from {from} on"));
            return Err(OpsError::Request {
                what: format!("there is already a {} {name} in this vault{state}", there.role),
                next: "give another name: a new name has a prefix and, for a writer, a dedup domain of its own, which \
                       nobody else ever wrote to"
                    .to_owned(),
            });
        }
        let root = keys::root_key(vault, owner).await?;
        let at = vault.store.server_time().await?;
        let descriptor = Envelope::sign(&vault.descriptor, &root)?;
        let authority = Authority { vault: vault.descriptor.vault, root: &root, descriptor: &descriptor, at };
        let enrolled = match role {
            Role::Writer => {
                let (_, envelope, epoch) = keys::newest_epoch(vault, owner).await?;
                authority.writer(&name, sources.clone(), &epoch.chunk_id_key, &envelope)?
            }
            Role::Driller | Role::Auditor | Role::Pruner | Role::Keeper => authority.witness(&name, role)?,
        };
        Ok(Self { vault, at, name, role, sources, enrolled, findings: members.findings })
    }

    /// The member's name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// What it may sign.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// The member's key file.
    #[must_use]
    pub fn key_file(&self) -> &Zeroizing<Vec<u8>> {
        &self.enrolled.key_file
    }

    /// Stores the certificate. From here on what the member signs counts.
    ///
    /// # Errors
    /// The store's, or if the certificate is not locked as it should be.
    pub async fn store(&self) -> Result<MemberReport> {
        let (certificate, locked_until) =
            publish(self.vault, &self.enrolled.certificate, &self.name, 1, self.at).await?;
        Ok(MemberReport {
            vault_id: self.vault.descriptor.vault,
            name: self.name.clone(),
            role: self.role,
            sources: self.sources.clone(),
            certificate,
            locked_until,
        })
    }
}

/// A member that was revoked, or whose revocation was taken back.
#[derive(Debug, Serialize)]
pub struct RevokeReport {
    /// The member.
    pub name: Name,
    /// What it could sign.
    pub role: Role,
    /// From when on what it signed is suspect; nothing if it no longer is.
    pub revoked_from: Option<Time>,
    /// How many of the snapshots that are there are suspect now.
    pub suspect: u64,
    /// Who approved, where that was needed.
    pub approved_by: Vec<Name>,
    /// The certificate's place in the vault.
    pub certificate: String,
    /// Until when the certificate can't be deleted.
    pub locked_until: Time,
}

/// The spelling of no time at all, where a revocation is taken back.
const NEVER: &str = "never";

/// What taking a revocation back is, as approvers read it, in part if it begins later from now on.
#[must_use]
pub fn undoing(name: &Name, from: Option<Time>) -> Deed {
    let from = from.map_or_else(|| NEVER.to_owned(), |from| from.to_string());
    Deed::new(Action::RevokeUndo, [("from", from), ("member", name.to_string())])
}

/// The same from what was typed.
///
/// # Errors
/// If no member is named, or something else is.
pub fn undoing_typed(mut typed: BTreeMap<String, String>) -> Result<Deed> {
    let refuse = |what: String| OpsError::Request {
        what,
        next: "give member=NAME, and from=TIME if the revocation is to begin later instead of never".to_owned(),
    };
    let name = typed.remove("member").ok_or_else(|| refuse("whose revocation is to be taken back?".to_owned()))?;
    let name: Name = name.parse().map_err(|error| refuse(format!("member: {error}")))?;
    let from = match typed.remove("from").filter(|from| from != NEVER) {
        Some(from) => Some(from.parse().map_err(|error| refuse(format!("from: {error}")))?),
        None => None,
    };
    if let Some(other) = typed.keys().next() {
        return Err(refuse(format!("revoke-undo has no parameter {other:?}")));
    }
    Ok(undoing(&name, from))
}

/// Makes everything suspect that a member signed `from` this time on, by the store's clock, on nobody's approval.
///
/// # Errors
/// As [`revise`].
pub async fn revoke(vault: &Vault, owner: &Opener, name: &Name, from: Time) -> Result<(RevokeReport, Vec<Finding>)> {
    revise(vault, owner, (name, Some(from)), None).await
}

/// Makes everything suspect that a member signed `from` this time on, by the store's clock; nothing where it is `None`. To make
/// less suspect than is now needs the approvals that the root asks of `revoke-undo`.
///
/// # Errors
/// If there is no such member, or none to take back, `owner` does not open the root key, or `NotApproved`.
pub async fn revise(
    vault: &Vault,
    owner: &Opener,
    (name, from): (&Name, Option<Time>),
    papers: Option<Papers<'_>>,
) -> Result<(RevokeReport, Vec<Finding>)> {
    let members = Members::of(vault).await?;
    let Some(now) = members.get(name) else {
        let known: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
        return Err(OpsError::Request {
            what: format!("this vault has no member {name}"),
            next: format!("its members are {}", known.join(", ")),
        });
    };
    if from.is_none() && now.revoked_from.is_none() {
        return Err(OpsError::Request {
            what: format!("{} {name} is not revoked", now.role),
            next: "nothing needs to be undone".to_owned(),
        });
    }
    let root = keys::root_key(vault, owner).await?;
    let less = now.revoked_from.is_some_and(|was| from.is_none_or(|from| from > was));
    let approved_by = match (less, &papers) {
        (true, _) => match approvals::spend(vault, &undoing(name, from), papers).await? {
            Passed::NotNeeded => Vec::new(),
            Passed::Spent { people, .. } => people,
        },
        (false, None) => Vec::new(),
        (false, Some(_)) => {
            return Err(OpsError::Request {
                what: "this makes more suspect and not less, which needs no approval".to_owned(),
                next: "leave --approved out, and the approval is not used up".to_owned(),
            });
        }
    };
    let at = vault.store.server_time().await?;
    let certificate = Certificate { rev: now.rev.saturating_add(1), revoked_from: from, ..now.clone() };
    let envelope = Envelope::sign(&certificate, &root)?;
    let (place, locked_until) = publish(vault, &envelope, name, certificate.rev, at).await?;
    let listing = crate::vault::snapshots::list(vault).await?;
    let suspect = listing.snapshots.iter().filter(|s| s.header.writer == *name && s.standing.suspect).count();
    let report = RevokeReport {
        name: name.clone(),
        role: certificate.role,
        revoked_from: from,
        suspect: suspect as u64 + listing.left_out.get(name).copied().unwrap_or_default(),
        approved_by,
        certificate: place,
        locked_until,
    };
    Ok((report, members.findings))
}

/// Stores a certificate, locked and read back.
async fn publish(vault: &Vault, signed: &Envelope, name: &Name, rev: u32, at: Time) -> Result<(String, Time)> {
    let document = signed.encode()?;
    let key = layout::certificate(name, rev, &hash::hash(document.bytes()));
    let publisher = Publisher::new(&*vault.store, &vault.descriptor.lock, at);
    let put = publisher.put(&key, &Payload::Public(document)).await?;
    let Some(lock) = put else {
        return Err(OpsError::Request {
            what: format!("{key} already exists"),
            next: "somebody else changed this member at the same moment: look, and run the command again".to_owned(),
        });
    };
    Ok((key.to_string(), lock.until))
}
