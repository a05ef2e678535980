//! Sealing and opening with age (C2SP age v1, <https://c2sp.org/age>). The only room that sees secrets of encryption.
//!
//! An age file is a header, a nonce of 16 bytes, and the plaintext in segments of 64 KiB, each sealed with a tag of
//! 16 bytes. So whole segments can be fetched and opened alone ([`sealed_range`], [`PartReader`]). The age crate makes and opens
//! headers, `payload` the segments.

mod identity;
mod local;
mod opener;
mod part;
mod payload;
mod plugin;
mod prompt;
mod recipient;
mod stanza;
#[cfg(test)]
#[allow(clippy::cast_possible_truncation, clippy::similar_names, reason = "small sizes; sealer and sealed")]
mod tests;
mod writer;

pub use identity::{IdentityText, generate_identity, is_encrypted, pin_comments, recipient_of, unlocked};
pub use local::{LOCAL_OVERHEAD, LocalSealer};
pub use opener::Opener;
pub use part::{PartReader, header_len, sealed_range};
pub use payload::plain_len;
pub use plugin::{Runner, plugin_failure, plugin_step, run_plugins_by};
pub use prompt::{NoPrompt, Prompt};
pub use recipient::Recipient;
pub use stanza::{sha256, ssh_tags};
pub use writer::{SealStream, Sealed, SealedFile, Sealer};

use super::CodecError;

/// Plaintext bytes in every segment of an age file but the last, which holds 1 to this many (0 only if it is alone).
pub const SEGMENT: u64 = 64 << 10;

/// Bytes that sealing adds to each segment.
pub const TAG: u64 = 16;

/// The longest age header that is looked at, nonce included. One of an epoch has about 200 bytes.
pub const HEADER_LIMIT: usize = 64 << 10;

fn library(what: &'static str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> CodecError {
    CodecError::Library { what, source: source.into() }
}
