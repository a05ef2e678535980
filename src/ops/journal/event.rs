//! What happens while a journal is received.

use serde::Serialize;

use crate::model::{
    Name, Severity, Time,
    journal::{Line, Position, Span},
};

/// Something that happened.
#[derive(Debug, Clone, Serialize)]
pub struct Event {
    /// When, by this host's clock.
    pub at: Time,
    /// The source.
    pub source: Name,
    /// A stable word for what happened.
    pub event: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// The same in words.
    pub message: String,
    /// The line that it happened in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<Line>,
    /// Where it begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Position>,
    /// Where it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Position>,
    /// How much it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

impl Event {
    /// An event of a source.
    #[must_use]
    pub fn new(at: Time, source: &Name, event: &'static str, severity: Severity, message: impl Into<String>) -> Self {
        let (source, message) = (source.clone(), message.into());
        Self { at, source, event, severity, message, line: None, from: None, to: None, bytes: None }
    }

    /// The same about a stretch of a line.
    #[must_use]
    pub fn about(mut self, line: &Line, span: Span) -> Self {
        (self.line, self.from, self.to) = (Some(line.clone()), Some(span.from), Some(span.to));
        self
    }

    /// The same about so many bytes.
    #[must_use]
    pub fn of(mut self, bytes: u64) -> Self {
        self.bytes = Some(bytes);
        self
    }
}

/// Who is told while it happens. Called from several threads.
pub trait Observer: Send + Sync {
    /// Something happened.
    fn event(&self, event: &Event);
    /// Every source is being received, or it was told why not yet.
    fn ready(&self);
    /// Everything goes its way. Called every second or so.
    fn alive(&self);
    /// It was asked to stop, and ships what is left.
    fn stopping(&self);
}
