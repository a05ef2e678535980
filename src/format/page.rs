//! Pages: clear lists of the packs that a snapshot needs, for auditors without a key and for locks.
//!
//! A page is named by its hash, which signed headers hold. Packs stand in the order in which the writer stored them,
//! [`PACKS_PER_PAGE`] at most, so that the pages of old packs stay the same from run to run.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{FORMAT, FormatError, Public, Result, bounded, text};
use crate::model::{Name, PackId, Time, VaultId};

const WHAT: &str = "page";
/// The largest page in bytes.
pub const PAGE_LIMIT: usize = 1 << 20;
/// The most packs on one page.
pub const PACKS_PER_PAGE: usize = 1024;

/// A pack as a page names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackRef {
    /// The pack's id, from which its key follows.
    pub id: PackId,
    /// Its size in bytes, sealed.
    pub bytes: u64,
    /// The store's version when it was written: a hint.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "bounded::version")]
    pub version: Option<String>,
}

/// A page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The format version of this document.
    pub format: String,
    /// The vault that it belongs to.
    pub vault: VaultId,
    /// The writer whose packs these are.
    pub writer: Name,
    /// The packs.
    pub packs: Vec<PackRef>,
    /// Set where the same page had to be stored again because the lock of the first could not be extended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewed_at: Option<Time>,
}

impl Page {
    /// A page of these packs.
    #[must_use]
    pub fn new(vault: VaultId, writer: Name, packs: Vec<PackRef>) -> Self {
        Self { format: FORMAT.to_owned(), vault, writer, packs, renewed_at: None }
    }

    /// The page as it is stored.
    ///
    /// # Errors
    /// If it is too large.
    pub fn encode(&self) -> Result<Public> {
        let bytes = text::encode(WHAT, self)?;
        if bytes.len() > PAGE_LIMIT || self.packs.len() > PACKS_PER_PAGE {
            return Err(FormatError::TooLarge { what: WHAT, limit: PAGE_LIMIT });
        }
        Ok(Public(Bytes::from(bytes)))
    }

    /// Decodes a page whose hash was already checked against a signed header.
    ///
    /// # Errors
    /// If it can't be decoded or belongs to another vault or writer.
    pub fn decode(bytes: &[u8], vault: VaultId, writer: &Name) -> Result<Self> {
        let page: Self = text::decode(WHAT, bytes, PAGE_LIMIT)?;
        if page.vault != vault || page.writer != *writer {
            return Err(FormatError::untrusted(WHAT, "it belongs to another vault or writer"));
        }
        if page.packs.len() > PACKS_PER_PAGE {
            return Err(FormatError::damaged(WHAT, "it names too many packs"));
        }
        Ok(page)
    }
}
