//! What goes wrong in a throwaway engine.

use std::{io, path::Path};

use crate::source::SourceError;

/// An engine that could not be started, loaded or asked.
#[derive(Debug, thiserror::Error)]
#[error("{what} ({object}){}", .source.as_ref().map(|s| format!(": {s}")).unwrap_or_default())]
pub struct EngineError {
    /// What failed, in words, with what to do next where that is known.
    pub what: String,
    /// The program, file or statement concerned; never a secret.
    pub object: String,
    /// The error beneath.
    #[source]
    pub source: Option<io::Error>,
}

impl EngineError {
    /// An error about `object`.
    #[must_use]
    pub fn new(what: impl Into<String>, object: impl Into<String>) -> Self {
        Self { what: what.into(), object: object.into(), source: None }
    }

    /// An error about the file or directory at `path`, with the error beneath.
    #[must_use]
    pub fn at(what: impl Into<String>, path: &Path, source: io::Error) -> Self {
        Self { what: what.into(), object: path.display().to_string(), source: Some(source) }
    }
}

impl From<SourceError> for EngineError {
    fn from(e: SourceError) -> Self {
        Self { what: e.what, object: e.object, source: e.source }
    }
}
