//! Signals: what changed in what is backed up that should not have. Facts of the last runs go in, verdicts come out.
//!
//! Everything here is arithmetic. [`rules`] has the table of what is looked at and why; `docs/signals.md` is the same
//! for people. A verdict never blocks, hides or ends a snapshot: it is there to be told.

mod cadence;
mod data;
mod facts;
mod files;
mod history;
mod refs;
mod rights;
pub mod rules;
mod slow;
mod state;
mod stats;
mod tables;
#[cfg(test)]
mod tests;

pub use cadence::{flood, quiet};
pub use facts::{Facts, Files, Fresh, Refs, Table, unit};
pub use history::{History, Run};
use rules::Rule;
use serde::{Deserialize, Serialize};

/// So many runs come before the first verdict that compares with what is usual.
pub const ENOUGH: usize = 5;
/// What a writer's flag is called that says of a snapshot that it has not all of its source. No rule: it is known, not judged.
pub const NOT_WHOLE: &str = "source.not-whole";
/// How many names a verdict tells.
const NAMED: usize = 5;

/// How loud a verdict is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Worth a look when there is time.
    Notice,
    /// Somebody should look now.
    Alarm,
}

impl Level {
    /// The level as JSON spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Notice => "notice",
            Self::Alarm => "alarm",
        }
    }
}

/// What one rule says of one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The rule's stable name, such as `rows.emptied`.
    pub rule: String,
    /// How loud.
    pub level: Level,
    /// What it is about: tables, refs, roles. The first few of many.
    pub subjects: Vec<String>,
    /// What was seen, in words and numbers.
    pub words: String,
}

impl Verdict {
    fn new(rule: &Rule, level: Level, subjects: Vec<String>, words: String) -> Self {
        Self { rule: rule.name.to_owned(), level, subjects, words }
    }
}

/// One thing that a rule found, before those of a kind are put together.
struct Found {
    level: Level,
    subject: String,
    words: String,
}

/// One verdict of each level, however many things a rule found.
fn together(rule: &Rule, found: Vec<Found>) -> Vec<Verdict> {
    let (alarms, notices): (Vec<Found>, Vec<Found>) = found.into_iter().partition(|one| one.level == Level::Alarm);
    let verdict = |level, these: Vec<Found>| {
        let mut words: Vec<&str> = these.iter().take(NAMED).map(|one| one.words.as_str()).collect();
        let more = these.len().saturating_sub(NAMED);
        let rest = format!("and {more} more");
        if more > 0 {
            words.push(&rest);
        }
        let words = words.join("; ");
        // What was told is looked up by name later, so more names are kept than are said.
        let subjects = these.into_iter().take(NAMED * 20).map(|one| one.subject).collect();
        Verdict::new(rule, level, subjects, words)
    };
    let levels = [(Level::Alarm, alarms), (Level::Notice, notices)].into_iter();
    levels.filter(|(_, these)| !these.is_empty()).map(|(level, these)| verdict(level, these)).collect()
}

/// What is to be said of a run, by those before it. The loudest first.
#[must_use]
pub fn judge(history: &History, now: &Facts) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    if !history.is_empty() {
        verdicts.extend(tables::judge(history, now));
        verdicts.extend(rights::judge(history, now));
        verdicts.extend(refs::judge(history, now));
        verdicts.extend(files::judge(history, now));
        verdicts.extend(data::judge(history, now));
        verdicts.extend(state::judge(history, now));
    }
    verdicts.sort_by(|a, b| b.level.cmp(&a.level).then_with(|| a.rule.cmp(&b.rule)));
    verdicts
}

/// A share for people.
fn percent(share: f64) -> String {
    let share = share * 100.0;
    if share > 0.0 && share < 9.95 { format!("{share:.1}%") } else { format!("{share:.0}%") }
}
