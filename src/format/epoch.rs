//! `keys/epoch-0001/<rev>-<hash>.json`: the keys of an epoch, sealed to people and signed by the root.
//!
//! Packs are sealed to the epoch's recipient. The record seals the epoch's identity to owners and drillers, so that a
//! person is added by one small record, though the packs are locked.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{FORMAT, FormatError, Result, dsse::Document, text};
use crate::{
    codec::{
        CodecError,
        hash::ChunkIdKey,
        seal::{self, IdentityText, NoPrompt, Opener, Recipient, Sealer},
    },
    model::VaultId,
};

const WHAT: &str = "epoch record";
const SECRETS_LIMIT: usize = 4 << 10;

/// An epoch's public record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// The format version of this document.
    pub format: String,
    /// The vault that it belongs to.
    pub vault: VaultId,
    /// The number of the epoch, from 1.
    pub epoch: u32,
    /// Which revision this is; the highest counts.
    pub rev: u32,
    /// The recipient that packs are sealed to.
    pub recipient: String,
    /// An age file in base64 with the epoch's identity and its chunk-id key, sealed to owners and drillers.
    pub sealed: String,
}

#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
struct Secrets {
    format: String,
    #[zeroize(skip)]
    vault: VaultId,
    epoch: u32,
    identity: String,
    chunk_id_key: String,
}

/// The opened keys of an epoch: enough to read everything that was sealed to it.
#[derive(Clone)]
pub struct EpochKeys {
    /// Opens the epoch's packs and indexes.
    pub opener: Opener,
    /// The key from which each writer's chunk-id key is derived.
    pub chunk_id_key: ChunkIdKey,
}

impl Document for EpochRecord {
    const WHAT: &'static str = WHAT;
    const TYPE: &'static str = "application/vnd.strongroom.epoch+json";
    const LIMIT: usize = 16 << 10;

    fn vault(&self) -> VaultId {
        self.vault
    }
}

impl EpochRecord {
    /// Makes the record of an epoch with these keys, readable by `people`.
    ///
    /// # Errors
    /// If sealing fails.
    pub fn seal(
        vault: VaultId,
        epoch: u32,
        identity: &IdentityText,
        chunk_id_key: &ChunkIdKey,
        people: &Sealer,
    ) -> Result<Self> {
        let secrets = Secrets {
            format: FORMAT.to_owned(),
            vault,
            epoch,
            identity: identity.expose().to_owned(),
            chunk_id_key: chunk_id_key.to_hex().to_string(),
        };
        let plain = Zeroizing::new(text::encode(WHAT, &secrets)?);
        let sealed = STANDARD.encode(people.seal(&plain)?.bytes());
        let recipient = seal::recipient_of(identity.expose())?.to_string();
        Ok(Self { format: FORMAT.to_owned(), vault, epoch, rev: 1, recipient, sealed })
    }

    /// The same keys sealed to other people, by somebody who opens them.
    ///
    /// # Errors
    /// If no identity opens them, or what is inside does not belong to this record.
    pub fn reseal(&self, by: &Opener, people: &Sealer, rev: u32) -> Result<Self> {
        self.open(by)?;
        let plain = by.open(&self.sealed()?, SECRETS_LIMIT)?;
        Ok(Self { rev, sealed: STANDARD.encode(people.seal(&plain)?.bytes()), ..self.clone() })
    }

    /// The recipient that packs of this epoch are sealed to.
    ///
    /// # Errors
    /// If the record holds no valid recipient.
    pub fn recipient(&self) -> Result<Recipient> {
        Ok(self.recipient.parse()?)
    }

    /// The age file with its keys.
    ///
    /// # Errors
    /// If it is no base64.
    pub fn sealed(&self) -> Result<Vec<u8>> {
        STANDARD.decode(&self.sealed).map_err(|e| FormatError::damaged(WHAT, e.to_string()))
    }

    /// Whether an identity opens the epoch's keys.
    ///
    /// # Errors
    /// If the plugin of an identity failed: then nobody knows.
    pub fn is_opened_by(&self, people: &Opener) -> Result<bool> {
        match self.open(people) {
            Ok(_) => Ok(true),
            Err(error @ FormatError::Codec(CodecError::Plugin(_))) => Err(error),
            Err(_) => Ok(false),
        }
    }

    /// Opens the epoch's keys.
    ///
    /// # Errors
    /// If no identity opens them, or what is inside does not belong to this record.
    pub fn open(&self, people: &Opener) -> Result<EpochKeys> {
        let plain = people.open(&self.sealed()?, SECRETS_LIMIT)?;
        let secrets: Secrets = text::decode(WHAT, &plain, SECRETS_LIMIT)?;
        let recipient = seal::recipient_of(&secrets.identity)?.to_string();
        if secrets.vault != self.vault || secrets.epoch != self.epoch || recipient != self.recipient {
            return Err(FormatError::untrusted(WHAT, "its sealed keys belong to another epoch or vault"));
        }
        Ok(EpochKeys {
            opener: Opener::from_identity_text(&secrets.identity, WHAT, Arc::new(NoPrompt))?,
            chunk_id_key: ChunkIdKey::from_hex(&secrets.chunk_id_key)?,
        })
    }
}
