//! What checks report.

use serde::{Deserialize, Serialize};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; nothing is wrong with what was promised.
    Info,
    /// Something to look at; every snapshot is still whole and protected.
    Warning,
    /// A snapshot is protected less than was promised (exit code 5).
    Weak,
    /// Something signed is missing, damaged or false (exit code 4).
    Error,
}

impl Severity {
    /// The severity as JSON spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Weak => "weak",
            Self::Error => "error",
        }
    }
}

/// One thing that a check found. The code is stable; the message is for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// A stable dotted code, such as `pack.missing`.
    pub code: String,
    /// The key of the object concerned.
    pub object: Option<String>,
    /// The id of the snapshot concerned.
    pub snapshot: Option<String>,
    /// What was found, what it means and what to do.
    pub message: String,
}

impl Finding {
    /// A finding that concerns no object yet.
    #[must_use]
    pub fn new(severity: Severity, code: &str, message: impl Into<String>) -> Self {
        Self { severity, code: code.to_owned(), object: None, snapshot: None, message: message.into() }
    }

    /// The same finding, about this object.
    #[must_use]
    #[allow(clippy::needless_pass_by_value, reason = "an id, a key or a text, as the caller has it")]
    pub fn on(mut self, object: impl ToString) -> Self {
        self.object = Some(object.to_string());
        self
    }

    /// The same finding, about this snapshot.
    #[must_use]
    #[allow(clippy::needless_pass_by_value, reason = "an id, a key or a text, as the caller has it")]
    pub fn of(mut self, snapshot: impl ToString) -> Self {
        self.snapshot = Some(snapshot.to_string());
        self
    }
}
