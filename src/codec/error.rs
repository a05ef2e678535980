//! What goes wrong in a transformation.

/// A failed transformation.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The bytes can't be what they are said to be.
    #[error("{0}")]
    Damaged(&'static str),
    /// None of the identities opens it.
    #[error("no given identity opens it: it is encrypted to other recipients")]
    NoIdentity,
    /// A text is not a key, an identity or a recipient.
    #[error("{0}")]
    BadKey(String),
    /// A signature does not hold.
    #[error("the signature does not hold")]
    BadSignature,
    /// More bytes than the limit allows.
    #[error("larger than the limit of {0} bytes")]
    TooLarge(usize),
    /// A plugin of age failed, or could not be started. What it was to open is none the worse for it.
    #[error("the age plugin of an identity failed: {0}")]
    Plugin(String),
    /// A library refused.
    #[error("{what}: {source}")]
    Library {
        /// What was tried.
        what: &'static str,
        /// Its error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
