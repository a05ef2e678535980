//! The writer's key file: everything that a writer holds, and nothing that opens a pack.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{
    FORMAT, FormatError, Result,
    certificate::{Certificate, Role},
    descriptor::Descriptor,
    dsse::Envelope,
    epoch::EpochRecord,
    text,
};
use crate::{
    codec::{
        hash::ChunkIdKey,
        seal::{self, IdentityText, NoPrompt, Opener, Sealer},
        sign::SigningKey,
    },
    model::{Name, VaultId},
};

const WHAT: &str = "writer key";
const LIMIT: usize = 64 << 10;

#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
struct File {
    comment: String,
    format: String,
    #[zeroize(skip)]
    vault: VaultId,
    signing_key: String,
    catalog_identity: String,
    chunk_id_key: String,
    #[zeroize(skip)]
    descriptor: Envelope,
    #[zeroize(skip)]
    certificate: Envelope,
    #[zeroize(skip)]
    epoch: Envelope,
}

/// The signed documents that a writer puts into each header.
#[derive(Debug, Clone)]
pub struct Embedded {
    /// The vault's descriptor.
    pub descriptor: Envelope,
    /// The writer's certificate.
    pub certificate: Envelope,
    /// The epoch record.
    pub epoch: Envelope,
}

/// A writer: what it signs with, what it seals to, how it names chunks, and how it opens its own indexes.
pub struct Writer {
    /// Its name, which is the prefix of its objects.
    pub name: Name,
    /// The vault that it writes to.
    pub descriptor: Descriptor,
    /// Its certificate.
    pub certificate: Certificate,
    /// The epoch that it seals to.
    pub epoch: EpochRecord,
    /// The documents that headers embed.
    pub embedded: Embedded,
    /// What it signs with.
    pub signing_key: SigningKey,
    /// Opens its own indexes, and no pack.
    pub catalog: Opener,
    /// Seals packs, to the epoch.
    pub pack_sealer: Sealer,
    /// Seals indexes, to the epoch and to itself.
    pub index_sealer: Sealer,
    /// Names chunks, in its own dedup domain.
    pub chunk_id_key: ChunkIdKey,
}

/// The secrets of a new writer.
pub struct NewWriter<'a> {
    /// What it signs with.
    pub signing_key: &'a SigningKey,
    /// The identity that opens its indexes.
    pub catalog_identity: &'a IdentityText,
    /// Its own chunk-id key.
    pub chunk_id_key: &'a ChunkIdKey,
}

/// Encodes a writer's key file.
///
/// # Errors
/// If encoding fails.
pub fn encode(vault: VaultId, name: &Name, new: &NewWriter<'_>, embedded: &Embedded) -> Result<Zeroizing<Vec<u8>>> {
    let file = File {
        comment: format!(
            "Key of strongroom writer {name}. It can add backups and can't read, change or delete any. Keep it 0600."
        ),
        format: FORMAT.to_owned(),
        vault,
        signing_key: new.signing_key.to_hex().to_string(),
        catalog_identity: new.catalog_identity.expose().to_owned(),
        chunk_id_key: new.chunk_id_key.to_hex().to_string(),
        descriptor: embedded.descriptor.clone(),
        certificate: embedded.certificate.clone(),
        epoch: embedded.epoch.clone(),
    };
    let plain = serde_json::to_vec_pretty(&file).map_err(|e| FormatError::damaged(WHAT, e.to_string()))?;
    Ok(Zeroizing::new(plain))
}

/// Opens a writer's key file and checks that all of it belongs together.
///
/// # Errors
/// If it is no key file, was altered, or is of another format version.
pub fn open(bytes: &[u8]) -> Result<Writer> {
    let file: File = text::decode(WHAT, bytes, LIMIT)?;
    let descriptor = Descriptor::open(&file.descriptor)?;
    if descriptor.vault != file.vault {
        return Err(FormatError::untrusted(WHAT, "its descriptor is of another vault"));
    }
    let certificate: Certificate = file.certificate.open(&descriptor.root, file.vault)?;
    let epoch: EpochRecord = file.epoch.open(&descriptor.root, file.vault)?;
    let signing_key = SigningKey::from_hex(&file.signing_key)?;
    let own = seal::recipient_of(&file.catalog_identity)?;
    if certificate.role != Role::Writer
        || certificate.signing_key != signing_key.public()
        || certificate.catalog_recipient.as_deref() != Some(own.to_string().as_str())
    {
        return Err(FormatError::untrusted(WHAT, "its keys are not those of its certificate"));
    }
    let packs = epoch.recipient()?;
    Ok(Writer {
        name: certificate.name.clone(),
        descriptor,
        certificate,
        embedded: Embedded {
            descriptor: file.descriptor.clone(),
            certificate: file.certificate.clone(),
            epoch: file.epoch.clone(),
        },
        signing_key,
        catalog: Opener::from_identity_text(&file.catalog_identity, WHAT, Arc::new(NoPrompt))?,
        pack_sealer: Sealer::new(vec![packs.clone()]),
        index_sealer: Sealer::new(vec![packs, own]),
        chunk_id_key: ChunkIdKey::from_hex(&file.chunk_id_key)?,
        epoch,
    })
}
