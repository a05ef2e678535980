//! What goes wrong while a vault's bytes are decoded.

use crate::codec::CodecError;

/// Bytes that are not what they should be.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The bytes break the format.
    #[error("damaged {what}: {why}")]
    Damaged {
        /// The kind of object.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// Written by another version of the format.
    #[error("this {what} has format version {found:?}; this build reads {known:?}: use a newer strongroom")]
    Version {
        /// The kind of object.
        what: &'static str,
        /// The version found.
        found: String,
        /// The version that this build knows.
        known: &'static str,
    },
    /// Written before the format was frozen.
    #[error(
        "this {what} is of the draft {found:?}, which only development builds wrote; this build reads {known:?}: what \
         the vault holds is restored by the build that wrote it, and a new vault by `strongroom init` takes its place"
    )]
    Draft {
        /// The kind of object.
        what: &'static str,
        /// The version found.
        found: &'static str,
        /// The version that this build knows.
        known: &'static str,
    },
    /// Needs features that this build lacks.
    #[error("this {what} needs features that this build lacks: {named}: use a newer strongroom")]
    Features {
        /// The kind of object.
        what: &'static str,
        /// The features, by name.
        named: String,
    },
    /// A signature or a binding does not hold.
    #[error("{what} is not to be trusted: {why}")]
    Untrusted {
        /// The kind of object.
        what: &'static str,
        /// Why.
        why: String,
    },
    /// Larger than the format allows.
    #[error("{what} is larger than {limit} bytes")]
    TooLarge {
        /// The kind of object.
        what: &'static str,
        /// The limit in bytes.
        limit: usize,
    },
    /// A key, a seal or a signature failed.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

impl FormatError {
    /// Whether another version of the format, or a feature of one, is what is wrong.
    #[must_use]
    pub const fn is_of_another_version(&self) -> bool {
        matches!(self, Self::Version { .. } | Self::Draft { .. } | Self::Features { .. })
    }

    pub(super) fn damaged(what: &'static str, why: impl Into<String>) -> Self {
        Self::Damaged { what, why: why.into() }
    }

    pub(super) fn untrusted(what: &'static str, why: impl Into<String>) -> Self {
        Self::Untrusted { what, why: why.into() }
    }
}
