//! JSON documents: strict about size and version, deaf to unknown fields.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{FORMAT, FormatError, Result};

#[derive(Deserialize)]
struct Versioned {
    format: String,
}

/// Decodes `bytes` as a `what` of at most `limit` bytes, after checking its format version.
pub(super) fn decode<T: DeserializeOwned>(what: &'static str, bytes: &[u8], limit: usize) -> Result<T> {
    if bytes.len() > limit {
        return Err(FormatError::TooLarge { what, limit });
    }
    let damaged = |e: serde_json::Error| FormatError::damaged(what, e.to_string());
    let version: Versioned = serde_json::from_slice(bytes).map_err(damaged)?;
    if version.format != FORMAT {
        let found = version.format.chars().take(40).collect();
        return Err(FormatError::Version { what, found, known: FORMAT });
    }
    serde_json::from_slice(bytes).map_err(damaged)
}

/// Encodes a document compactly.
pub(super) fn encode<T: Serialize>(what: &'static str, value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|e| FormatError::damaged(what, e.to_string()))
}
