//! JSON documents: strict about size, version and features, deaf to unknown fields.

use std::io::Read;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{DRAFT, FEATURES, FORMAT, FormatError, Result, bounded};

/// What a document says of itself.
#[derive(Deserialize)]
pub(super) struct Versioned {
    pub(super) format: String,
    #[serde(default, deserialize_with = "bounded::features")]
    pub(super) features: Vec<String>,
}

/// Decodes `bytes` as a `what` of at most `limit` bytes, after checking its format version and features: what these
/// announce may stand anywhere in the rest, which then need make no sense to this build.
pub(super) fn decode<T: DeserializeOwned>(what: &'static str, bytes: &[u8], limit: usize) -> Result<T> {
    if bytes.len() > limit {
        return Err(FormatError::TooLarge { what, limit });
    }
    let damaged = |e: serde_json::Error| FormatError::damaged(what, e.to_string());
    understood(what, &serde_json::from_slice(bytes).map_err(damaged)?)?;
    serde_json::from_slice(bytes).map_err(damaged)
}

/// Decodes what is read, which somebody else bounds, as a `what` that says itself which version it is of.
pub(super) fn read<T: DeserializeOwned>(what: &'static str, from: impl Read) -> Result<T> {
    serde_json::from_reader(from).map_err(|e| FormatError::damaged(what, e.to_string()))
}

/// Fails if what is read is of another version, or announces what this build does not know: why it could not be decoded.
pub(super) fn read_version(what: &'static str, from: impl Read) -> Result<()> {
    understood(what, &read(what, from)?)
}

/// Fails if a document is of another version, or announces what this build does not know.
pub(super) fn understood(what: &'static str, version: &Versioned) -> Result<()> {
    if version.format == DRAFT {
        return Err(FormatError::Draft { what, found: DRAFT, known: FORMAT });
    }
    if version.format != FORMAT {
        let found = version.format.chars().take(40).collect();
        return Err(FormatError::Version { what, found, known: FORMAT });
    }
    let unknown = version.features.iter().filter(|feature| !FEATURES.contains(&feature.as_str()));
    let unknown: Vec<String> = unknown.take(8).map(|feature| feature.chars().take(40).collect()).collect();
    if !unknown.is_empty() {
        return Err(FormatError::Features { what, named: unknown.join(", ") });
    }
    Ok(())
}

/// Encodes a document compactly.
pub(super) fn encode<T: Serialize>(what: &'static str, value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|e| FormatError::damaged(what, e.to_string()))
}
