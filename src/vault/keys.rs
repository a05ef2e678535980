//! The records below `keys/`: the root's signing key for its owners, and the newest epoch.

use super::{Result, Vault, VaultError, VaultErrorKind, fetch};
use crate::{
    codec::{CodecError, seal::Opener, sign::SigningKey},
    format::{
        FormatError,
        dsse::Envelope,
        epoch::EpochRecord,
        layout::{self, ObjectName},
        root,
    },
};

/// Opens the root's signing key with an owner's identity.
///
/// # Errors
/// `NoIdentity` if none of the identities is an owner's: those of drillers open backups and not this. `Damaged` if no
/// root record is left as it was signed.
pub async fn root_key(vault: &Vault, owner: &Opener) -> Result<SigningKey> {
    let descriptor = &vault.descriptor;
    let mut failure = VaultError::new(VaultErrorKind::Damaged, "the vault's descriptor names no root record");
    for hash in &descriptor.root_records {
        let key = layout::root_record(hash);
        let sealed = match fetch::by_hash(&*vault.store, &key, None, hash).await {
            Ok(sealed) => sealed,
            Err(error) if error.kind == VaultErrorKind::Damaged => {
                failure = error;
                continue;
            }
            Err(error) => return Err(error),
        };
        match root::open(descriptor.vault, &sealed, owner) {
            Ok(root) if root.public() == descriptor.root => return Ok(root),
            Ok(_) => {
                failure = VaultError::new(VaultErrorKind::Untrusted, "it holds another key than the root's").on(key);
            }
            Err(FormatError::Codec(CodecError::NoIdentity)) => {
                let what = "no identity given opens the root key: only an owner's does, and a driller's does not";
                failure = VaultError::new(VaultErrorKind::NoIdentity, what).on(key);
            }
            Err(error) => failure = VaultError::from(error).on(key),
        }
    }
    Err(failure)
}

/// The newest revision of the newest epoch that the root signed, and its envelope.
///
/// # Errors
/// `Damaged` if there is none; or the store's error.
pub async fn newest_epoch(vault: &Vault) -> Result<(EpochRecord, Envelope)> {
    let listed = fetch::listed(&*vault.store, layout::KEYS).await?;
    let mut records: Vec<_> = listed
        .keys
        .into_keys()
        .filter_map(|key| match layout::parse(&key) {
            Some(ObjectName::Epoch(epoch, rev, hash)) => Some((epoch, rev, hash)),
            _ => None,
        })
        .collect();
    records.sort_unstable();
    for (epoch, rev, hash) in records.into_iter().rev() {
        let key = layout::epoch_record(epoch, rev, &hash);
        let bytes = match fetch::by_hash(&*vault.store, &key, None, &hash).await {
            Ok(bytes) => bytes,
            Err(error) if error.kind == VaultErrorKind::Damaged => continue,
            Err(error) => return Err(error),
        };
        let Ok(envelope) = Envelope::decode::<EpochRecord>(&bytes) else { continue };
        let Ok(record) = envelope.open::<EpochRecord>(&vault.descriptor.root, vault.descriptor.vault) else { continue };
        if record.epoch == epoch && record.rev == rev {
            return Ok((record, envelope));
        }
    }
    let what = "no epoch record is left that the root signed";
    Err(VaultError::new(VaultErrorKind::Damaged, what).on(layout::KEYS))
}
