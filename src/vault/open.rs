//! Opening a vault: from its id, or from nothing but what it says of itself.

use std::sync::Arc;

use bytes::Bytes;

use super::{Result, VaultError, VaultErrorKind, fetch, stock::ROOM};
use crate::{
    format::{
        descriptor::Descriptor,
        dsse::Envelope,
        layout::{self, ObjectName},
    },
    model::{Finding, Key, Severity, VaultId},
    store::{ObjectStore, StoreError, StoreErrorKind},
};

/// A vault whose descriptor was found and certifies itself.
pub struct Vault {
    /// Where it is.
    pub store: Arc<dyn ObjectStore>,
    /// What it is.
    pub descriptor: Descriptor,
    /// What is worth saying about how it was found.
    pub findings: Vec<Finding>,
    /// How many versions of packs, pages and indexes are looked at together; of more, so many after so many.
    pub room: usize,
}

impl Vault {
    /// The vault of a descriptor that is known already, of which nothing was looked at.
    #[must_use]
    pub fn known(store: Arc<dyn ObjectStore>, descriptor: Descriptor) -> Self {
        Self { store, descriptor, findings: Vec::new(), room: ROOM }
    }

    /// The same vault through another store, such as one that counts what is asked of it.
    #[must_use]
    pub fn through(&self, store: Arc<dyn ObjectStore>) -> Self {
        Self { store, descriptor: self.descriptor.clone(), findings: self.findings.clone(), room: self.room }
    }

    /// Opens the vault in `store`. With `pin`, only the vault of that id: versions of `vault.json` that are another's
    /// are passed over, and if none is left the descriptor comes out of a header that embeds it. Without, the oldest
    /// version is taken, with a finding that says which vault it is.
    ///
    /// # Errors
    /// `NoVault` if there is none, `Untrusted` if what is there is not the vault that `pin` names.
    pub async fn open(store: Arc<dyn ObjectStore>, pin: Option<VaultId>) -> Result<Self> {
        let mut findings = Vec::new();
        let mut other = None;
        let mut broken = None;
        let (found, lost) = descriptors(&*store).await?;
        for bytes in found {
            match Envelope::decode::<Descriptor>(&bytes).and_then(|envelope| Descriptor::open(&envelope)) {
                Ok(descriptor) if pin.is_none_or(|pin| pin == descriptor.vault) => {
                    if other.is_some() || broken.is_some() {
                        findings.push(overwritten());
                    }
                    if pin.is_none() {
                        findings.push(unpinned(descriptor.vault));
                    }
                    return Ok(Self { store, descriptor, findings, room: ROOM });
                }
                Ok(descriptor) => other = Some(descriptor.vault),
                Err(error) => broken = Some(error),
            }
        }
        if let Some(pin) = pin
            && let Some((descriptor, _)) = embedded(&*store, pin).await?
        {
            let what = "vault.json is missing or replaced; the descriptor came out of a signed header";
            findings.push(Finding::new(Severity::Error, "vault.descriptor", what).on(layout::DESCRIPTOR));
            return Ok(Self { store, descriptor, findings, room: ROOM });
        }
        if let Some(error) = lost.filter(|_| other.is_none() && broken.is_none()) {
            return Err(error.into());
        }
        let url = store.url();
        Err(match (other, broken, pin) {
            (Some(other), _, Some(pin)) => {
                let what = format!("the vault here is {other}, not {pin}: it is a different vault, or it was replaced");
                VaultError::new(VaultErrorKind::Untrusted, what).on(url)
            }
            (_, Some(error), _) => VaultError { object: Some(url), ..error.into() },
            _ => VaultError::new(VaultErrorKind::NoVault, "there is no vault here: no vault.json").on(url),
        })
    }
}

/// No descriptor has more stored bytes.
const LARGEST: u64 = 64 << 10;

/// Every version of `vault.json` that can be read, oldest first, and why one is lost that a disk no longer gives.
async fn descriptors(store: &dyn ObjectStore) -> Result<(Vec<Bytes>, Option<StoreError>)> {
    let key = layout::descriptor();
    let (mut found, mut refused, mut lost) = (Vec::new(), None, None);
    let versions = fetch::versions(store, &key).await?.into_iter().map(Some);
    for version in versions.chain([None]) {
        if version.is_none() && !found.is_empty() {
            break;
        }
        match store.get(&key, version.as_ref(), Some(0..LARGEST)).await {
            Ok(bytes) => found.push(bytes),
            Err(error) if error.is_not_found() || error.kind == StoreErrorKind::BadRange => {}
            Err(error) if error.kind == StoreErrorKind::Corrupt => drop(lost.get_or_insert(error)),
            // Another version may be the vault's.
            Err(error) if fetch::is_unreadable(error.kind) => drop(refused.get_or_insert(error)),
            Err(error) => return Err(error.into()),
        }
    }
    match refused {
        Some(error) if found.is_empty() => Err(error.into()),
        _ => Ok((found, lost)),
    }
}

/// The descriptor of vault `pin` as some header embeds it, and its bytes. A descriptor certifies itself, so the header need
/// not be believed for it.
pub(super) async fn embedded(store: &dyn ObjectStore, pin: VaultId) -> Result<Option<(Descriptor, Bytes)>> {
    let mut keys = Vec::new();
    store
        .list(layout::SNAPSHOTS, &mut |entry| {
            if let Some(ObjectName::Header(writer, seq, id)) = layout::parse(&entry.key) {
                keys.push(layout::header(&writer, seq, &id));
            }
        })
        .await?;
    for key in keys.iter().rev() {
        if let Some(found) = embedded_in(store, key, pin).await? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

async fn embedded_in(store: &dyn ObjectStore, key: &Key, pin: VaultId) -> Result<Option<(Descriptor, Bytes)>> {
    use crate::format::header::{HEADER_LIMIT, Header};
    let bytes = match store.get(key, None, Some(0..HEADER_LIMIT as u64 + 1)).await {
        Ok(bytes) => bytes,
        Err(error) if error.is_not_found() || fetch::is_unreadable(error.kind) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let claimed = Envelope::decode::<Header>(&bytes).and_then(|envelope| envelope.claims::<Header>());
    let found = claimed.and_then(|header| {
        let descriptor = Descriptor::open(&header.descriptor)?;
        Ok((descriptor, header.descriptor.encode()?.bytes().clone()))
    });
    Ok(found.ok().filter(|(descriptor, _)| descriptor.vault == pin))
}

fn unpinned(vault: VaultId) -> Finding {
    let what = format!(
        "the vault's id is not pinned, so this vault is not verified to be yours: {vault}; compare it with the recovery kit, \
         or pass --vault-id"
    );
    Finding::new(Severity::Warning, "vault.unpinned", what).on(layout::DESCRIPTOR)
}

fn overwritten() -> Finding {
    let what = "vault.json has versions that are not this vault's; they were passed over";
    Finding::new(Severity::Warning, "vault.overwritten", what).on(layout::DESCRIPTOR)
}
