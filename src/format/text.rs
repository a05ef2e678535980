//! JSON documents: strict about size, version and features, deaf to unknown fields.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{DRAFT, FEATURES, FORMAT, FormatError, Result, bounded, pieces::Pieces};

#[derive(Deserialize)]
struct Versioned {
    format: String,
    #[serde(default, deserialize_with = "bounded::features")]
    features: Vec<String>,
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

/// As [`decode`], of bytes that come in pieces and are freed while they are read.
pub(super) fn decode_pieces<T: DeserializeOwned>(what: &'static str, pieces: Pieces, limit: usize) -> Result<T> {
    if pieces.len() > limit {
        return Err(FormatError::TooLarge { what, limit });
    }
    let damaged = |e: serde_json::Error| FormatError::damaged(what, e.to_string());
    understood(what, &serde_json::from_reader(pieces.reader()).map_err(damaged)?)?;
    serde_json::from_reader(pieces.into_reader()).map_err(damaged)
}

/// Fails if a document is of another version, or announces what this build does not know.
fn understood(what: &'static str, version: &Versioned) -> Result<()> {
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
