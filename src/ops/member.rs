//! `member add` and `member revoke`: who may sign what, decided by the root key, which only owners open.

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
        certificate::{Certificate, Role},
        dsse::Envelope,
        layout, member_key,
        writer_key::{self, Embedded, NewWriter},
    },
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
                let (epoch, envelope) = keys::newest_epoch(vault).await?;
                let master = epoch.open(owner)?.chunk_id_key;
                authority.writer(&name, sources.clone(), &master, &envelope)?
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

/// A member that was revoked.
#[derive(Debug, Serialize)]
pub struct RevokeReport {
    /// The member.
    pub name: Name,
    /// What it could sign.
    pub role: Role,
    /// From when on what it signed is suspect.
    pub revoked_from: Time,
    /// How many of the snapshots that are there are suspect now.
    pub suspect: u64,
    /// The certificate's place in the vault.
    pub certificate: String,
    /// Until when the certificate can't be deleted.
    pub locked_until: Time,
}

/// Makes everything suspect that a member signed `from` this time on, by the store's clock.
///
/// # Errors
/// If there is no such member, or `owner` does not open the root key.
pub async fn revoke(vault: &Vault, owner: &Opener, name: &Name, from: Time) -> Result<(RevokeReport, Vec<Finding>)> {
    let members = Members::of(vault).await?;
    let Some(now) = members.get(name) else {
        let known: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
        return Err(OpsError::Request {
            what: format!("this vault has no member {name}"),
            next: format!("its members are {}", known.join(", ")),
        });
    };
    let root = keys::root_key(vault, owner).await?;
    let at = vault.store.server_time().await?;
    let certificate = Certificate { rev: now.rev.saturating_add(1), revoked_from: Some(from), ..now.clone() };
    let envelope = Envelope::sign(&certificate, &root)?;
    let (place, locked_until) = publish(vault, &envelope, name, certificate.rev, at).await?;
    let listing = crate::vault::snapshots::list(vault).await?;
    let suspect = listing.snapshots.iter().filter(|s| s.header.writer == *name && s.standing.suspect).count();
    let report = RevokeReport {
        name: name.clone(),
        role: certificate.role,
        revoked_from: from,
        suspect: suspect as u64 + listing.left_out.get(name).copied().unwrap_or_default(),
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
            what: format!("{key} is already there"),
            next: "somebody else changed this member at the same moment: look, and run the command again".to_owned(),
        });
    };
    Ok((key.to_string(), lock.until))
}
