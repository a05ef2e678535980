//! What goes from one place of a vault to another: objects as they are, and `copies/…`, the record that a place holds a copy.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{FORMAT, Public, Result, descriptor::Descriptor, dsse::Envelope, layout, text};
use crate::{
    codec::hash,
    model::{Key, Name, Time, VaultId},
};

const WHAT: &str = "record of a copy";
/// No record has more bytes.
pub const RECORD_LIMIT: usize = 8 << 10;

/// The bytes of an object of a vault, whose name vouches for them. Nothing else has this type, so what goes from one place
/// to another is what was stored, and no plaintext.
#[derive(Debug, Clone)]
pub struct Copied(Bytes);

impl Copied {
    /// These bytes, if the hash in the name of `key` is theirs.
    #[must_use]
    pub fn of(key: &Key, bytes: Bytes) -> Option<Self> {
        (layout::named_hash(key.as_str()) == Some(hash::hash(&bytes))).then_some(Self(bytes))
    }

    /// The descriptor of `vault`, which certifies itself.
    #[must_use]
    pub fn descriptor(vault: VaultId, bytes: Bytes) -> Option<Self> {
        let opened = Envelope::decode::<Descriptor>(&bytes).and_then(|envelope| Descriptor::open(&envelope));
        opened.is_ok_and(|descriptor| descriptor.vault == vault).then_some(Self(bytes))
    }

    /// The bytes as they are stored.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }
}

/// Says that this place holds a copy, of what, and when headers were put into it. Nobody signs it: a copier has no key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyRecord {
    /// The format version of this document.
    pub format: String,
    /// The vault that it belongs to.
    pub vault: VaultId,
    /// Where the copy was made from, for people: a URL, and the server if it is not AWS.
    pub from: String,
    /// From when on headers were put here, by the clock of the place that holds the copy.
    pub begins: Time,
    /// Until when at most.
    pub ends: Time,
    /// Whether not all of the vault was to be copied.
    pub part: bool,
    /// Whether a repair left something here that is not what was signed: then no page says of its packs that they are whole.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unhealed: bool,
    /// Whether something here may be locked for less than the source promises, as was allowed when it was copied.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub less_locked: bool,
    /// Where a whole copy became one of a part: of each writer the number of the newest header that was here by then. What is
    /// missing up to there was here, and is damage.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub had: BTreeMap<Name, u64>,
}

impl CopyRecord {
    /// A record of headers that are put between `begins` and `ends`.
    #[must_use]
    pub fn new(vault: VaultId, from: String, (begins, ends): (Time, Time), part: bool) -> Self {
        let (format, had) = (FORMAT.to_owned(), BTreeMap::new());
        Self { format, vault, from, begins, ends, part, unhealed: false, less_locked: false, had }
    }

    /// Its key, and the record as it is stored.
    ///
    /// # Errors
    /// If it is too large.
    pub fn encode(&self) -> Result<(Key, Public)> {
        let bytes = text::encode(WHAT, self)?;
        if bytes.len() > RECORD_LIMIT {
            return Err(super::FormatError::TooLarge { what: WHAT, limit: RECORD_LIMIT });
        }
        let key = layout::copy(self.begins, self.ends, self.part, &hash::hash(&bytes));
        Ok((key, Public(Bytes::from(bytes))))
    }

    /// Decodes a record.
    ///
    /// # Errors
    /// If it can't be decoded.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        text::decode(WHAT, bytes, RECORD_LIMIT)
    }
}
