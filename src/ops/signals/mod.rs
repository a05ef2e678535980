//! Signals of what is backed up: facts out of snapshots, and what the rules say of them. The writer asks at each run, out
//! of its own memory; [`watch`](super::watch) asks out of the vault, and trusts no writer.

mod facts;
mod gather;
mod own;

use serde::{Deserialize, Serialize};

pub use facts::{Taken, facts};
pub(super) use gather::Gather;
pub(super) use own::Own;

use crate::{
    format::header::Flag,
    model::{Name, SnapshotId, Time},
    signal::{Level, NOT_WHOLE, Verdict, rules},
};

/// A change that somebody announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Whose.
    pub source: Name,
    /// Rules that may speak, by name; `rows.*` stands for all that begin so.
    pub rules: Vec<String>,
    /// Until when.
    pub until: Time,
    /// Why, for whoever reads it later.
    pub reason: String,
}

impl Expected {
    fn covers(&self, source: &Name, at: Time, verdict: &Verdict) -> bool {
        let named = |rule: &String| match rule.strip_suffix('*') {
            Some(start) => verdict.rule.starts_with(start),
            None => *rule == verdict.rule,
        };
        self.source == *source && at <= self.until && self.rules.iter().any(named)
    }
}

/// Makes notices of what was announced, and says so.
pub fn announce(expected: &[Expected], source: &Name, at: Time, verdicts: &mut [Verdict]) {
    for verdict in verdicts.iter_mut().filter(|verdict| verdict.level == Level::Alarm) {
        if let Some(one) = expected.iter().find(|one| one.covers(source, at, verdict)) {
            verdict.level = Level::Notice;
            verdict.words = format!("{} (announced until {}: {})", verdict.words, one.until, one.reason);
        }
    }
}

/// What was said of one snapshot, or of its absence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signal {
    /// What to call it when it is acknowledged.
    pub cause: String,
    /// The loudest of its reasons.
    pub level: Level,
    /// Whose snapshot.
    pub writer: Name,
    /// Of which source.
    pub source: Name,
    /// The snapshot that shows it; of a source that is quiet, its last one.
    pub snapshot: Option<SnapshotId>,
    /// Since when it is there.
    pub at: Time,
    /// The last snapshot of the source of which nothing of the kind was said.
    pub last_good: Option<SnapshotId>,
    /// Who says so: `watch`, or the `writer` in its header.
    pub by: String,
    /// Each rule that spoke, the loudest first.
    pub reasons: Vec<Verdict>,
}

/// What a writer's flags say, in words.
pub(super) fn claimed(flags: Vec<Flag>) -> impl Iterator<Item = Verdict> {
    flags.into_iter().take(rules::ALL.len() + 1).map(|Flag { rule, level }| {
        let words = if rule == NOT_WHOLE {
            "the snapshot has not all of its source: the run could not read some of it".to_owned()
        } else {
            format!("the writer's own memory says so (rule {rule})")
        };
        Verdict { rule, level, subjects: Vec::new(), words }
    })
}

/// The loudest level.
#[must_use]
pub fn loudest(verdicts: &[Verdict]) -> Option<Level> {
    verdicts.iter().map(|verdict| verdict.level).max()
}
