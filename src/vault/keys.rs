//! The records below `keys/`: the root's signing key for its owners, and the epochs.

use std::collections::BTreeSet;

use super::{Result, Vault, VaultError, VaultErrorKind, fetch};
use crate::{
    codec::{CodecError, seal::Opener, sign::SigningKey},
    format::{
        FormatError,
        dsse::Envelope,
        epoch::{EpochKeys, EpochRecord},
        layout::{self, ObjectName},
        root,
    },
    model::{Hash, Key},
};

/// No record has more stored bytes.
const LARGEST: usize = 32 << 10;

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
        let sealed = match fetch::by_hash(&*vault.store, &key, None, hash, LARGEST).await {
            Ok(sealed) => sealed,
            Err(error) if matches!(error.kind, VaultErrorKind::Damaged | VaultErrorKind::Denied) => {
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

/// The record of the newest epoch that `people` open, the newest of these, with its envelope and its keys. Each record is sealed
/// to people of its own.
///
/// # Errors
/// `NoIdentity` if they open none of that epoch, `Damaged` if there is none; or the store's error.
pub async fn newest_epoch(vault: &Vault, people: &Opener) -> Result<(EpochRecord, Envelope, EpochKeys)> {
    let (mut newest, mut refused) = (None, None);
    for Record { record, envelope, .. } in records(vault).await? {
        if *newest.get_or_insert(record.epoch) != record.epoch {
            break;
        }
        match record.open(people) {
            Ok(keys) => return Ok((record, envelope, keys)),
            Err(error) => drop(refused.get_or_insert(error)),
        }
    }
    let what = "no epoch record is left that the root signed";
    Err(refused.map_or_else(|| VaultError::new(VaultErrorKind::Damaged, what).on(layout::KEYS), VaultError::from))
}

/// A record of an epoch.
#[derive(Debug, Clone)]
pub struct Record {
    /// Where it is.
    pub key: Key,
    /// What it says.
    pub record: EpochRecord,
    /// The same as it was signed.
    pub envelope: Envelope,
}

/// All records of epochs that the root signed, newest first.
///
/// # Errors
/// The store's.
pub async fn records(vault: &Vault) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    for name in epoch_names(vault).await?.into_iter().take(RECORDS) {
        if let Some((record, envelope)) = epoch_record(vault, name).await? {
            records.push(Record { key: layout::epoch_record(name.0, name.1, &name.2), record, envelope });
        }
    }
    Ok(records)
}

/// Opens the keys of the epoch of `embedded`, which a header has: by that record, or by another of the same epoch, since
/// people may have been added to it after the header was written.
///
/// # Errors
/// `NoIdentity` if no record of the epoch is sealed to `people`; or the store's error.
pub async fn epoch_keys(vault: &Vault, embedded: &EpochRecord, people: &Opener) -> Result<EpochKeys> {
    let refused = match embedded.open(people) {
        Err(error @ FormatError::Codec(CodecError::NoIdentity)) => error,
        other => return Ok(other?),
    };
    let names = match epoch_names(vault).await {
        Err(error) if error.kind == VaultErrorKind::Denied => Vec::new(),
        other => other?,
    };
    for name in names.into_iter().filter(|(epoch, ..)| *epoch == embedded.epoch) {
        let (record, _) = match epoch_record(vault, name).await {
            Ok(Some(found)) => found,
            Ok(None) => continue,
            // Who may not read the records, as a writer may not, is told that no identity opens the header's.
            Err(error) if error.kind == VaultErrorKind::Denied => continue,
            Err(error) => return Err(error),
        };
        // Packs are sealed to the one recipient of their epoch, so its keys are these or none.
        if record.recipient == embedded.recipient
            && let Ok(keys) = record.open(people)
        {
            return Ok(keys);
        }
    }
    Err(refused.into())
}

/// What opens the packs of each epoch that `people` can open, by the newest record of it. None need be.
///
/// # Errors
/// If the store does not answer, or these credentials may not read records.
pub(crate) async fn openers(vault: &Vault, people: &Opener) -> Result<Vec<Opener>> {
    let (mut openers, mut opened) = (Vec::new(), BTreeSet::new());
    for name in epoch_names(vault).await?.into_iter().take(RECORDS) {
        if opened.contains(&name.0) {
            continue;
        }
        match epoch_record(vault, name).await {
            Ok(Some((record, _))) => {
                if let Ok(keys) = record.open(people) {
                    opened.insert(name.0);
                    openers.push(keys.opener);
                }
            }
            Ok(None) => {}
            Err(error) if error.is_of_object() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(openers)
}

/// Everything of the vault that is sealed to people, as far as it can be read: root records and the records of all epochs.
pub async fn sealed_to_people(vault: &Vault) -> Vec<Vec<u8>> {
    let mut sealed = Vec::new();
    for hash in &vault.descriptor.root_records {
        sealed.extend(
            fetch::by_hash(&*vault.store, &layout::root_record(hash), None, hash, LARGEST)
                .await
                .map(|bytes| bytes.to_vec()),
        );
    }
    for name in epoch_names(vault).await.unwrap_or_default().into_iter().take(RECORDS) {
        if let Ok(Some((record, _))) = epoch_record(vault, name).await {
            sealed.extend(record.sealed());
        }
    }
    sealed
}

/// How many records of epochs are looked at to tell what opens the vault.
const RECORDS: usize = 100;

/// What the names of epoch records say: epoch, revision, hash. Newest first.
type EpochName = (u32, u32, Hash);

async fn epoch_names(vault: &Vault) -> Result<Vec<EpochName>> {
    let listed = fetch::listed(&*vault.store, layout::KEYS).await?;
    let mut names: Vec<_> = listed
        .keys
        .into_keys()
        .filter_map(|key| match layout::parse(&key) {
            Some(ObjectName::Epoch(epoch, rev, hash)) => Some((epoch, rev, hash)),
            _ => None,
        })
        .collect();
    names.sort_unstable();
    names.reverse();
    Ok(names)
}

/// The record of that name, if the root signed it and it is what its name says.
async fn epoch_record(vault: &Vault, (epoch, rev, hash): EpochName) -> Result<Option<(EpochRecord, Envelope)>> {
    let key = layout::epoch_record(epoch, rev, &hash);
    let bytes = match fetch::by_hash(&*vault.store, &key, None, &hash, LARGEST).await {
        Ok(bytes) => bytes,
        Err(error) if error.kind == VaultErrorKind::Damaged => return Ok(None),
        Err(error) => return Err(error),
    };
    let Ok(envelope) = Envelope::decode::<EpochRecord>(&bytes) else { return Ok(None) };
    let opened = envelope.open::<EpochRecord>(&vault.descriptor.root, vault.descriptor.vault);
    Ok(opened.ok().filter(|record| record.epoch == epoch && record.rev == rev).map(|record| (record, envelope)))
}
