//! The bytes of the vault format, and the names of its objects. Pure: no IO, no time, no threads.
//!
//! `docs/format.md` describes the same in tables, for readers without this code.

pub mod approval;
pub mod body;
mod bounded;
pub mod certificate;
pub mod copied;
pub mod cursor;
pub mod descriptor;
pub mod dsse;
pub mod epoch;
mod error;
pub mod evidence;
pub mod header;
pub mod hold;
pub mod index;
pub mod journal;
pub mod layout;
pub mod list;
pub mod member_key;
pub mod pack;
pub mod page;
pub mod parity;
pub mod root;
pub mod share;
#[cfg(test)]
mod tests;
mod text;
pub mod writer_key;

use bytes::Bytes;

pub use error::FormatError;

/// The version of the format that this build writes, and the only one that it reads. Every later build reads it too.
pub const FORMAT: &str = "1";

/// What the format was called until it was frozen as version 1. Only development builds wrote it.
const DRAFT: &str = "1-draft";

/// The features that this build understands, of those that a document may announce.
const FEATURES: [&str; 0] = [];

/// The result of encoding or decoding.
pub type Result<T> = std::result::Result<T, FormatError>;

/// A document that is public by design: signed, or named by its own hash, and without secrets.
///
/// Only the encoders of this room make one.
#[derive(Debug, Clone)]
pub struct Public(Bytes);

impl Public {
    /// The bytes as they are stored.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }
}
