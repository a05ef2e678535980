//! The commands that hooks, pings and webhooks are about, and how long those may take.

use std::collections::BTreeSet;

use toml::Spanned;

use super::Fault;
use crate::model::Span;

/// What may have hooks, pings and webhooks.
pub(super) const RUNS: [&str; 6] = ["backup", "drill", "verify", "watch", "renew", "prune"];
/// How long a ping or a webhook may take, if nothing is said.
pub(super) const PING: Span = Span::seconds(10);
/// How long something around a run may take at most.
const LONGEST: Span = Span::seconds(3600);

/// The commands that are meant; `backup` alone, if none is named.
pub(super) fn commands(given: Option<&Spanned<Vec<String>>>, what: &str) -> Result<BTreeSet<String>, Fault> {
    let Some(given) = given else { return Ok(BTreeSet::from(["backup".to_owned()])) };
    match given.get_ref().iter().find(|one| !RUNS.contains(&one.as_str())) {
        Some(other) => Err(Fault::new(given, format!("{other:?} has no {what}; these have: {}", RUNS.join(", ")))),
        None => Ok(given.get_ref().iter().cloned().collect()),
    }
}

pub(super) fn bounded(timeout: Option<&Spanned<Span>>) -> Result<(), Fault> {
    match timeout.filter(|t| *t.get_ref() == Span::ZERO || *t.get_ref() > LONGEST) {
        Some(timeout) => Err(Fault::new(timeout, format!("give a time from 1s to {LONGEST}"))),
        None => Ok(()),
    }
}
