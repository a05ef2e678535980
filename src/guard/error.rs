//! What goes wrong at a guard.

use crate::{codec::CodecError, format::FormatError, store::StoreError, vault::VaultError};

/// An action that was not let through, or could not be judged.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// Too few people agreed to exactly this, or not any more.
    #[error("{what}")]
    NotApproved {
        /// What is missing or wrong.
        what: String,
        /// What to do.
        next: String,
    },
    /// What was asked for can't be, whatever the vault holds.
    #[error("{what}")]
    Request {
        /// What is wrong with it.
        what: String,
        /// What to ask for instead.
        next: String,
    },
    /// The store does not hold the lock of a document.
    #[error("{what}")]
    Unlocked {
        /// Which, and what lock it has.
        what: String,
    },
    /// The vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The bytes of a document.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A key.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

impl GuardError {
    pub(super) fn not_approved(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self::NotApproved { what: what.into(), next: next.into() }
    }

    pub(super) fn request(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self::Request { what: what.into(), next: next.into() }
    }
}
