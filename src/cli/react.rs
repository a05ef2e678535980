//! Runs what a watch reacts with: a program, and what was seen in its environment.

use super::{config::watch::React, program};
use crate::{model::SnapshotId, ops::signals::Signal};

/// Runs a reaction to `signal`.
///
/// # Errors
/// Why it did not end well, in words.
pub fn run(reaction: &React, signal: &Signal) -> Result<(), String> {
    program::run(&reaction.command, reaction.timeout, told(signal))
}

/// What was seen, for the program.
fn told(signal: &Signal) -> Vec<(&'static str, String)> {
    let id = |id: Option<SnapshotId>| id.map(|id| id.to_string()).unwrap_or_default();
    let words: Vec<String> = signal.reasons.iter().map(|v| format!("{}: {}", v.rule, v.words)).collect();
    vec![
        ("WATCH_CAUSE", signal.cause.clone()),
        ("WATCH_LEVEL", signal.level.as_str().to_owned()),
        ("WATCH_WRITER", signal.writer.to_string()),
        ("WATCH_SOURCE", signal.source.to_string()),
        ("WATCH_SNAPSHOT", id(signal.snapshot)),
        ("WATCH_LAST_GOOD", id(signal.last_good)),
        ("WATCH_WORDS", program::words(&words.join("; "))),
    ]
}
