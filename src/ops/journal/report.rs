//! What is told of a run of the journal.

use serde::Serialize;

use crate::model::{
    Finding, Name,
    journal::{Line, Position},
};

/// A gap that was told.
#[derive(Debug, Clone, Serialize)]
pub struct GapReport {
    /// The line.
    pub line: Line,
    /// The first position that is missing.
    pub from: Position,
    /// The first that is there again.
    pub to: Position,
}

/// What was shipped of a source.
#[derive(Debug, Serialize)]
pub struct SourceReport {
    /// The source.
    pub source: Name,
    /// How many pieces.
    pub pieces: u64,
    /// How many bytes of the log.
    pub bytes: u64,
    /// The line of the last one.
    pub line: Option<Line>,
    /// Up to where that line is in the vault.
    pub to: Option<Position>,
    /// What is missing.
    pub gaps: Vec<GapReport>,
}

/// What a run did.
#[derive(Debug, Serialize)]
pub struct RunReport {
    /// By source.
    pub sources: Vec<SourceReport>,
    /// What was found on the way.
    #[serde(skip)]
    pub findings: Vec<Finding>,
}
