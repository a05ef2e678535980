//! What goes wrong between a source, a vault and a target.

use super::input::SourceError;
use crate::{
    catalog::{CatalogError, CatalogErrorKind},
    codec::CodecError,
    format::FormatError,
    model::Finding,
    store::{StoreError, StoreErrorKind},
};

/// What kind of failure it is; decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VaultErrorKind {
    /// The store refuses these credentials.
    Denied,
    /// There is no vault at the URL.
    NoVault,
    /// It is not the vault that was meant, or nothing that root signed.
    Untrusted,
    /// Something signed is missing, damaged or false.
    Damaged,
    /// Locks don't reach what was promised.
    Unprotected,
    /// A newer format, or a feature that this build lacks.
    Newer,
    /// Written by a development build, before the format was frozen.
    Draft,
    /// None of the identities opens it.
    NoIdentity,
    /// The plugin of an identity failed.
    Plugin,
    /// Nothing in the vault fits what was asked for.
    NoSnapshot,
    /// A copy that was stopped before its first snapshot.
    Begun,
    /// A name that nothing in the vault has: mistyped, most likely.
    Unknown,
    /// The source failed.
    Source,
    /// This host's clock and the store's are too far apart.
    Clock,
    /// The request contradicts itself or the state of things.
    Invalid,
    /// A disk has no room left: the vault's, or that of the state directory.
    Full,
    /// The store does not answer, or another run is under way.
    TryAgain,
    /// Somebody asked to stop.
    Cancelled,
    /// Anything else.
    Failed,
}

/// A failed operation on a vault: what happened, to which object, and what lies beneath.
#[derive(Debug, thiserror::Error)]
#[error("{what}{}{}", .object.as_ref().map(|o| format!(" ({o})")).unwrap_or_default(), .source.as_ref().map(|s| format!(": {s}")).unwrap_or_default())]
pub struct VaultError {
    /// What kind of failure it is.
    pub kind: VaultErrorKind,
    /// What happened, in words.
    pub what: String,
    /// The object concerned.
    pub object: Option<String>,
    /// The error beneath; already part of the message.
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
    /// What was found before it failed.
    pub findings: Vec<Finding>,
    /// Whether it was a file system that did not allow it, and no store's credentials.
    pub by_file_system: bool,
}

impl VaultError {
    /// An error of this kind.
    #[must_use]
    pub fn new(kind: VaultErrorKind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), object: None, source: None, findings: Vec::new(), by_file_system: false }
    }

    /// The same error, about this object.
    #[must_use]
    #[allow(clippy::needless_pass_by_value, reason = "an id, a key or a text, as the caller has it")]
    pub fn on(mut self, object: impl ToString) -> Self {
        self.object = Some(object.to_string());
        self
    }

    /// The same error, with the error beneath.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Whether it is about one object that is missing, damaged, false, beyond this build, or not to be read, so that it
    /// says nothing of others.
    #[must_use]
    pub const fn is_of_object(&self) -> bool {
        use VaultErrorKind as K;
        matches!(self.kind, K::Damaged | K::Untrusted | K::Newer | K::Draft | K::Denied)
    }

    /// Somebody asked to stop.
    #[must_use]
    pub fn cancelled() -> Self {
        Self::new(VaultErrorKind::Cancelled, "interrupted")
    }

    /// A stage of the pipeline ended without saying why. Only a defect can cause it.
    #[must_use]
    pub fn stage_gone(stage: &str) -> Self {
        Self::new(VaultErrorKind::Failed, format!("the {stage} stage ended early; this is a defect in strongroom"))
    }
}

impl From<StoreError> for VaultError {
    fn from(error: StoreError) -> Self {
        let kind = match error.kind {
            StoreErrorKind::NoVault => VaultErrorKind::NoVault,
            StoreErrorKind::Unreachable => VaultErrorKind::TryAgain,
            StoreErrorKind::Cancelled => VaultErrorKind::Cancelled,
            StoreErrorKind::NotFound | StoreErrorKind::Corrupt => VaultErrorKind::Damaged,
            StoreErrorKind::Invalid => VaultErrorKind::Invalid,
            StoreErrorKind::Denied => VaultErrorKind::Denied,
            StoreErrorKind::Clock => VaultErrorKind::Clock,
            StoreErrorKind::Full => VaultErrorKind::Full,
            _ => VaultErrorKind::Failed,
        };
        Self { by_file_system: error.is_by_file_system(), ..Self::new(kind, error.to_string()) }
    }
}

impl From<FormatError> for VaultError {
    fn from(error: FormatError) -> Self {
        let kind = match &error {
            FormatError::Codec(CodecError::NoIdentity) => VaultErrorKind::NoIdentity,
            FormatError::Codec(CodecError::Plugin(_)) => VaultErrorKind::Plugin,
            FormatError::Untrusted { .. } => VaultErrorKind::Untrusted,
            FormatError::Version { .. } | FormatError::Features { .. } => VaultErrorKind::Newer,
            FormatError::Draft { .. } => VaultErrorKind::Draft,
            _ => VaultErrorKind::Damaged,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<CodecError> for VaultError {
    fn from(error: CodecError) -> Self {
        FormatError::from(error).into()
    }
}

impl From<CatalogError> for VaultError {
    fn from(error: CatalogError) -> Self {
        let full = error.kind == CatalogErrorKind::Full;
        Self::new(if full { VaultErrorKind::Full } else { VaultErrorKind::Failed }, error.to_string())
    }
}

impl From<SourceError> for VaultError {
    fn from(error: SourceError) -> Self {
        Self::new(VaultErrorKind::Source, error.to_string())
    }
}
