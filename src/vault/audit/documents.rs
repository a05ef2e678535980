//! The documents that a vault lives by besides its snapshots: descriptor, root and epoch records, certificates, evidence.

use super::{
    inventory::Inventory,
    needed::{Kind, Promise},
};
use crate::{
    codec::hash,
    format::{
        certificate::Certificate,
        descriptor::Descriptor,
        dsse::Envelope,
        epoch::EpochRecord,
        header::VerifiedHeader,
        layout::{self, ObjectName},
    },
    model::{Finding, Findings, Hash, Key, LockPolicy, Severity, Time},
    vault::{
        Result, Vault, VaultErrorKind,
        evidence::{self, Signed},
        fetch,
    },
};

/// No record and no certificate is larger, in bytes, and no descriptor.
const DOCUMENT: usize = 64 << 10;
const DESCRIPTOR: u64 = 64 << 10;

/// What documents are promised: each was locked when it was stored, for as long as a snapshot of that day. What is needed
/// after that is owed, until some snapshot may need it last.
pub(super) struct Documents {
    policy: LockPolicy,
    furthest: Time,
    created_at: Time,
    /// The hash of the descriptor, as a header embeds it.
    descriptor: Option<Hash>,
}

impl Documents {
    /// Of `vault`, whose snapshots need them until `furthest`.
    pub(super) fn of(vault: &Vault, furthest: Time) -> Self {
        let (policy, created_at) = (vault.descriptor.lock, vault.descriptor.created_at);
        Self { policy, furthest, created_at, descriptor: None }
    }

    fn since(&self, at: Time) -> Promise {
        let floor = at + self.policy.keep;
        let expires = self.furthest.max(floor);
        Promise { mode: self.policy.mode, floor, expires, snapshot: None, suspect: false }
    }

    /// Adds the documents that a header embeds.
    pub(super) fn embedded(&self, inventory: &mut Inventory, snapshot: &VerifiedHeader) -> Result<()> {
        let VerifiedHeader { header, epoch, certificate, .. } = snapshot;
        let hash = hash::hash(header.epoch.encode()?.bytes());
        let key = layout::epoch_record(epoch.epoch, epoch.rev, &hash);
        inventory.need(key, Kind::Epoch, (hash, None, None), &self.since(self.created_at));
        let hash = hash::hash(header.certificate.encode()?.bytes());
        let key = layout::certificate(&certificate.name, certificate.rev, &hash);
        inventory.need(key, Kind::Certificate, (hash, None, None), &self.since(certificate.valid_from));
        Ok(())
    }

    /// Learns the descriptor from a header that embeds it.
    pub(super) fn learn(&mut self, snapshot: &VerifiedHeader) -> Result<()> {
        self.descriptor = Some(hash::hash(snapshot.header.descriptor.encode()?.bytes()));
        Ok(())
    }
}

/// Adds the other documents to the inventory: those that the descriptor names, and those that lie in the vault and that
/// the root vouches for.
pub(super) async fn add(
    inventory: &mut Inventory,
    vault: &Vault,
    documents: &Documents,
    findings: &mut Findings,
) -> Result<Vec<Signed>> {
    let policy = documents.policy;
    let since = |at: Time| documents.since(at);
    let created = since(documents.created_at);
    let descriptor = match documents.descriptor {
        Some(hash) => Some(hash),
        None => descriptor(vault).await?,
    };
    if let Some(hash) = descriptor {
        inventory.need(layout::descriptor(), Kind::Descriptor, (hash, None, None), &created);
    }
    for hash in &vault.descriptor.root_records {
        inventory.need(layout::root_record(hash), Kind::Root, (*hash, None, None), &created);
    }
    for prefix in [layout::KEYS, layout::MEMBERS] {
        if let Err(error) = stored(inventory, vault, prefix, &since, findings).await {
            unread(error, prefix, findings)?;
        }
    }
    let (evidence, foreign) = match evidence::list(vault, None).await {
        Ok(found) => found,
        Err(error) => {
            unread(error, layout::EVIDENCE, findings)?;
            return Ok(Vec::new());
        }
    };
    for finding in foreign {
        findings.note(finding);
    }
    for signed in &evidence {
        let Some(ObjectName::Evidence(_, hash)) = layout::parse(signed.key.as_str()) else { continue };
        let floor = signed.evidence.at + policy.keep;
        let promise = Promise { mode: policy.mode, floor, expires: floor, snapshot: None, suspect: false };
        inventory.need(signed.key.clone(), Kind::Evidence, (hash, None, None), &promise);
    }
    Ok(evidence)
}

/// What these credentials may not read is said; anything else ends the verification.
fn unread(error: crate::vault::VaultError, prefix: &str, findings: &mut Findings) -> Result<()> {
    if error.kind != VaultErrorKind::Denied {
        return Err(error);
    }
    let what = "these credentials may not read this, so it was not checked";
    findings.note(Finding::new(Severity::Warning, "documents.unread", what).on(prefix));
    Ok(())
}

/// The hash of the descriptor as the vault's own copy is.
async fn descriptor(vault: &Vault) -> Result<Option<Hash>> {
    let key = layout::descriptor();
    let versions = fetch::versions(&*vault.store, &key).await?.into_iter().map(Some).chain([None]);
    for version in versions {
        let bytes = match vault.store.get(&key, version.as_ref(), Some(0..DESCRIPTOR)).await {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() || fetch::is_unreadable(error.kind) => continue,
            Err(error) => return Err(error.into()),
        };
        let opened = Envelope::decode::<Descriptor>(&bytes).and_then(|envelope| Descriptor::open(&envelope));
        if opened.is_ok_and(|descriptor| descriptor.vault == vault.descriptor.vault) {
            return Ok(Some(hash::hash(&bytes)));
        }
    }
    Ok(None)
}

/// Documents below `prefix` that the root signed. Others are foreign.
async fn stored(
    inventory: &mut Inventory,
    vault: &Vault,
    prefix: &str,
    since: &impl Fn(Time) -> Promise,
    findings: &mut Findings,
) -> Result<()> {
    let (root, id) = (&vault.descriptor.root, vault.descriptor.vault);
    for text in fetch::listed(&*vault.store, prefix).await?.keys.into_keys() {
        let Ok(key) = text.parse::<Key>() else { continue };
        // What is in the inventory was signed for already, whatever its bytes are now.
        if inventory.find(&text).is_some() {
            continue;
        }
        let (hash, kind) = match layout::parse(&text) {
            Some(ObjectName::Epoch(_, _, hash)) => (hash, Kind::Epoch),
            Some(ObjectName::Certificate(_, _, hash)) => (hash, Kind::Certificate),
            _ => continue,
        };
        let bytes = match fetch::by_hash(&*vault.store, &key, None, &hash, DOCUMENT).await {
            Ok(bytes) => bytes,
            Err(error) if error.kind == VaultErrorKind::Denied => {
                findings.note(Finding::new(Severity::Warning, "documents.unread", error.what).on(&key));
                continue;
            }
            Err(error) if error.kind == VaultErrorKind::Damaged => {
                let what = format!("not what its name says, so it counts for nothing: {}", error.what);
                findings.note(Finding::new(Severity::Warning, foreign(kind), what).on(&key));
                continue;
            }
            Err(error) => return Err(error),
        };
        let promise = match kind {
            Kind::Epoch => Envelope::decode::<EpochRecord>(&bytes)
                .and_then(|envelope| envelope.open::<EpochRecord>(root, id))
                .map(|record| {
                    (layout::epoch_record(record.epoch, record.rev, &hash), since(vault.descriptor.created_at))
                }),
            _ => Envelope::decode::<Certificate>(&bytes)
                .and_then(|envelope| envelope.open::<Certificate>(root, id))
                .map(|certificate| {
                    let key = layout::certificate(&certificate.name, certificate.rev, &hash);
                    (key, since(certificate.valid_from))
                }),
        };
        match promise {
            Ok((spelled, promise)) if spelled == key => {
                inventory.need(key, kind, (hash, Some(bytes.len() as u64), None), &promise);
            }
            Ok(_) => {
                let what = "its name is not what it says of itself, so it counts for nothing";
                findings.note(Finding::new(Severity::Warning, foreign(kind), what).on(&key));
            }
            Err(error) => {
                let what = format!("this vault's root did not sign it, so it counts for nothing: {error}");
                findings.note(Finding::new(Severity::Warning, foreign(kind), what).on(&key));
            }
        }
    }
    Ok(())
}

const fn foreign(kind: Kind) -> &'static str {
    if matches!(kind, Kind::Certificate) { "member.foreign" } else { "key.foreign" }
}
