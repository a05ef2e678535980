//! Runs what a watch reacts with: a program without a shell, a time limit, and what was seen in its environment; or a server
//! that is told, in a letter that a secret signs.

use serde_json::json;

use super::{
    config::{
        watch::{Deed, React},
        webhook::Webhook,
    },
    post::deliver_signed,
    program,
};
use crate::{
    model::{SnapshotId, Span, Time, VaultId},
    ops::signals::Signal,
};

/// Runs a reaction to `signal` that is a program.
///
/// # Errors
/// Why it did not end well, in words.
pub fn run(reaction: &React, signal: &Signal) -> Result<(), String> {
    let Deed::Command(words) = &reaction.deed else { return Err("it is not a program".to_owned()) };
    program::run(words, reaction.timeout, told(signal))
}

/// The reasons of a signal in one line.
#[must_use]
pub fn words(signal: &Signal) -> String {
    let words: Vec<String> = signal.reasons.iter().map(|v| format!("{}: {}", v.rule, v.words)).collect();
    program::words(&words.join("; "))
}

/// What was seen, for the program. Names in it come from the data, so nothing of it may be a control character.
fn told(signal: &Signal) -> Vec<(&'static str, String)> {
    let id = |id: Option<SnapshotId>| id.map(|id| id.to_string()).unwrap_or_default();
    vec![
        ("WATCH_CAUSE", signal.cause.clone()),
        ("WATCH_LEVEL", signal.level.as_str().to_owned()),
        ("WATCH_WRITER", signal.writer.to_string()),
        ("WATCH_SOURCE", signal.source.to_string()),
        ("WATCH_SNAPSHOT", id(signal.snapshot)),
        ("WATCH_LAST_GOOD", id(signal.last_good)),
        ("WATCH_WORDS", words(signal)),
    ]
}

/// Tells a server of `signal`: which rules spoke of which snapshot, and nothing that comes out of the data.
///
/// # Errors
/// Why it could not be told, in words, without the URL.
pub async fn tell(webhook: &Webhook, signal: &Signal, (vault, at): (VaultId, Time), limit: Span) -> Result<(), String> {
    let rules: Vec<_> = signal.reasons.iter().map(|v| json!({ "rule": v.rule, "level": v.level })).collect();
    let body = json!({
        "event": "strongroom.signal",
        // `airgap listen` notes it, if this is who is told.
        "reason": signal.cause,
        "vault_id": vault,
        "cause": signal.cause,
        "level": signal.level,
        "writer": signal.writer,
        "source": signal.source,
        "snapshot": signal.snapshot,
        "last_good": signal.last_good,
        "seen_at": signal.at,
        "rules": rules,
    });
    deliver_signed(webhook, &body, at, limit).await
}
