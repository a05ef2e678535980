//! What goes wrong in a store.

use std::fmt;

/// What kind of thing went wrong; decides the exit code and whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoreErrorKind {
    /// There is no such object, or no such version.
    NotFound,
    /// There is no vault or bucket at the URL.
    NoVault,
    /// The credentials don't allow it.
    Denied,
    /// A lock forbids it.
    Locked,
    /// The store did not answer, or said that it can't now. May be tried again; a put may have landed.
    Unreachable,
    /// No room left.
    Full,
    /// The range lies beyond the object.
    BadRange,
    /// The store can't do this.
    Unsupported,
    /// The store answered what can't be true, such as a wrong checksum.
    Corrupt,
    /// The request or the settings are wrong.
    Invalid,
    /// This host's clock and the store's are too far apart.
    Clock,
    /// Somebody asked to stop.
    Cancelled,
    /// Anything else.
    Other,
}

/// A failed store call: what was tried, on which object, and why it failed.
#[derive(Debug)]
pub struct StoreError {
    /// What kind of failure it is.
    pub kind: StoreErrorKind,
    /// What was tried, such as `put` or `list`, with the reason in words.
    pub what: String,
    /// The key or prefix concerned.
    pub object: Option<String>,
    /// The error beneath.
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl StoreError {
    /// An error of this kind, without object or source yet.
    #[must_use]
    pub fn new(kind: StoreErrorKind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), object: None, source: None }
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

    /// Whether a file system gave it, and no server.
    #[must_use]
    pub fn is_by_file_system(&self) -> bool {
        self.source.as_ref().is_some_and(|source| source.is::<std::io::Error>())
    }

    /// Whether the object is simply not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.kind == StoreErrorKind::NotFound
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if let Some(object) = &self.object {
            write!(f, " ({object})")?;
        }
        if let Some(source) = &self.source {
            write!(f, ": {source}")?;
        }
        Ok(())
    }
}

// The source is part of the message above, so that every line that prints the error tells the whole of it.
impl std::error::Error for StoreError {}
