//! `vault.json`: what a vault is, signed by its root.

use serde::{Deserialize, Serialize};

use super::{
    FORMAT, FormatError, Result,
    dsse::{Document, Envelope},
};
use crate::{
    codec::{hash, sign::PublicKey},
    model::{ChunkerParams, Hash, LockPolicy, Span, Time, VaultId},
};

/// The descriptor of a vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// The format version of this document and of the vault.
    pub format: String,
    /// The vault's id: BLAKE3(root public key ‖ nonce).
    pub vault: VaultId,
    /// The root public key.
    pub root: PublicKey,
    /// What makes two vaults of one root different.
    pub nonce: Hash,
    /// When the vault was made, by the store's clock.
    pub created_at: Time,
    /// The hashes that name the root records under `keys/`.
    pub root_records: Vec<Hash>,
    /// How data is cut into chunks.
    pub chunker: ChunkerParams,
    /// How long things are kept and locked.
    pub lock: LockPolicy,
}

impl Document for Descriptor {
    const WHAT: &'static str = "vault descriptor";
    const TYPE: &'static str = "application/vnd.strongroom.descriptor+json";
    const LIMIT: usize = 16 << 10;

    fn vault(&self) -> VaultId {
        self.vault
    }
}

impl Descriptor {
    /// The id of the vault with this root key and nonce.
    #[must_use]
    pub fn vault_id(root: &PublicKey, nonce: &Hash) -> VaultId {
        let mut bytes = Vec::with_capacity(64);
        bytes.extend_from_slice(root.as_bytes());
        bytes.extend_from_slice(nonce.as_bytes());
        VaultId::from_bytes(*hash::hash(&bytes).as_bytes())
    }

    /// A descriptor of a new vault.
    #[must_use]
    pub fn new(root: PublicKey, nonce: Hash, created_at: Time, root_records: Vec<Hash>, lock: LockPolicy) -> Self {
        let vault = Self::vault_id(&root, &nonce);
        let format = FORMAT.to_owned();
        Self { format, vault, root, nonce, created_at, root_records, chunker: ChunkerParams::DATA, lock }
    }

    /// Opens a descriptor that certifies itself: its id follows from its root key, which signed it. Whether it is the
    /// vault that was meant, only the caller knows, by its id.
    ///
    /// # Errors
    /// If the id, the signature or a value does not hold.
    pub fn open(envelope: &Envelope) -> Result<Self> {
        let claimed: Self = envelope.claims()?;
        if Self::vault_id(&claimed.root, &claimed.nonce) != claimed.vault {
            return Err(FormatError::untrusted(Self::WHAT, "its vault id does not follow from its root key"));
        }
        let descriptor: Self = envelope.open(&claimed.root, claimed.vault)?;
        let lock = &descriptor.lock;
        if !descriptor.chunker.is_valid() || lock.keep == Span::ZERO || lock.max_lock < lock.keep {
            return Err(FormatError::damaged(Self::WHAT, "its chunker or lock settings are out of bounds"));
        }
        Ok(descriptor)
    }
}
