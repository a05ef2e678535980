//! Looks back over the snapshots of a source and judges each anew, so that whoever restores need not believe what a writer
//! or an earlier watch said.
//!
//! Each is held against those before it that are good, and not against those that raised an alarm: a table that was emptied
//! yesterday and is as empty today is no better today. An alarm lasts until what it shows is undone, or somebody
//! acknowledges it.

mod changes;
mod good;

use std::collections::{BTreeMap, BTreeSet};

pub use changes::{Change, changes};
pub use good::{LastGood, find};

use super::{
    OpsError, Result,
    signals::{Expected, Gather, announce, claimed, loudest},
    snapshots::SnapshotLine,
};
use crate::{
    codec::seal::Opener,
    model::{Cancel, Finding, Name, Progress, SnapshotId, Time},
    signal::{self, Facts, History, Level, Verdict},
    vault::{Vault, snapshots::Summary},
};

/// So many of the newest snapshots are all looked at. Of those before, the last of each day.
const NEWEST: usize = 15;
/// So many are looked at in all, and so many more where the last good one is looked for between two of them.
const MOST: usize = 60;

/// What is known before looking.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Changes that were announced.
    pub expected: Vec<Expected>,
    /// Causes of alarms that somebody knows of, as a watch names them.
    pub acknowledged: BTreeSet<String>,
}

/// How a snapshot stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stand {
    /// No alarm.
    Good,
    /// An alarm that somebody acknowledged.
    Acknowledged,
    /// An alarm that nobody acknowledged.
    Alarm,
    /// It still shows what an alarm before it showed.
    Still,
    /// Its body can't be read.
    Unreadable,
}

/// A snapshot that was looked at.
#[derive(Debug, Clone)]
pub struct Judged {
    /// The snapshot.
    pub line: SnapshotLine,
    /// What is known of it, without its samples.
    pub facts: Facts,
    /// What is said of it, the loudest first.
    pub verdicts: Vec<Verdict>,
    /// How it stands.
    pub stand: Stand,
    /// The cause of the alarm: of one that lasts, that of the first snapshot that showed it.
    pub cause: Option<String>,
    /// How it differs from the one before it that was looked at.
    pub changes: Vec<Change>,
}

impl Judged {
    /// Whether it may be restored without a second thought.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        matches!(self.stand, Stand::Good | Stand::Acknowledged)
    }
}

/// What was seen of one source of one writer.
#[derive(Debug, Default)]
pub struct Past {
    /// Those that were looked at, oldest first.
    pub judged: Vec<Judged>,
    /// How many were not.
    pub left: usize,
    /// What is wrong with them.
    pub findings: Vec<Finding>,
}

impl Past {
    /// The newest good one.
    #[must_use]
    pub fn last_good(&self) -> Option<&Judged> {
        self.judged.iter().rev().find(|one| one.is_good())
    }

    /// Those behind the newest good one, oldest first.
    #[must_use]
    pub fn behind_good(&self) -> &[Judged] {
        let from = self.judged.iter().rposition(Judged::is_good).map_or(0, |at| at + 1);
        self.judged.get(from..).unwrap_or_default()
    }
}

/// Looks back over `all`, the snapshots of one source of one writer, oldest first. Those that are suspect or of a time that is
/// not yet are passed over. `numbers` are those of all headers of the writer.
///
/// # Errors
/// If the vault can't be read, or no identity opens it.
pub async fn look(
    vault: &Vault,
    opener: Option<&Opener>,
    all: &[Summary],
    (numbers, known): (BTreeMap<SnapshotId, u64>, &Known),
    (progress, cancel): (&dyn Progress, &Cancel),
) -> Result<Past> {
    let honest: Vec<&Summary> = all.iter().filter(|s| !s.standing.suspect && !s.standing.future).collect();
    let days: Vec<i64> = honest.iter().map(|one| one.since().unix().div_euclid(86_400)).collect();
    let chosen = thinned(&days);
    progress.phase("looking back", None);
    let gather = Gather::new(vault, opener, numbers);
    let mut walk = Walk::new(vault, known, gather);
    let (mut judged, mut before) = (Vec::new(), None);
    for at in chosen {
        let Some(summary) = honest.get(at) else { continue };
        let went_bad = walk.since.is_none();
        let mut one = walk.judge(summary, cancel).await?;
        let between = before.map_or(0..0, |before: usize| before + 1..at);
        if went_bad && !one.is_good() && !between.is_empty() {
            // The last good one may be among those that were left out.
            walk.since = None;
            for at in between.take(walk.left) {
                let Some(summary) = honest.get(at) else { continue };
                walk.left -= 1;
                judged.push(walk.judge(summary, cancel).await?);
            }
            one = walk.judge(summary, cancel).await?;
        }
        judged.push(one);
        before = Some(at);
    }
    let mut last: Option<&Facts> = None;
    let mut changed = Vec::new();
    for one in &judged {
        changed.push(last.map(|last| changes(last, &one.facts)).unwrap_or_default());
        last = Some(&one.facts);
    }
    for (one, changes) in judged.iter_mut().zip(changed) {
        one.changes = changes;
    }
    let left = honest.len().saturating_sub(judged.len());
    Ok(Past { judged, left, findings: walk.gather.findings })
}

/// Which of those of these days are looked at: the newest, and of those before the last of each day.
fn thinned(days: &[i64]) -> Vec<usize> {
    let old = days.len().saturating_sub(NEWEST);
    let mut chosen: Vec<usize> = (0..old).filter(|at| at + 1 == old || days.get(*at) != days.get(at + 1)).collect();
    chosen.extend(old..days.len());
    let over = chosen.len().saturating_sub(MOST);
    chosen.drain(..over);
    chosen
}

/// A look under way.
struct Walk<'a> {
    vault: &'a Vault,
    known: &'a Known,
    gather: Gather<'a>,
    /// The good ones so far.
    history: History,
    /// The cause of the alarm that lasts.
    since: Option<String>,
    /// Those that were judged: where one is judged again, what is wrong with it was said.
    seen: BTreeSet<SnapshotId>,
    /// So many may still be looked at between others.
    left: usize,
}

impl<'a> Walk<'a> {
    fn new(vault: &'a Vault, known: &'a Known, gather: Gather<'a>) -> Self {
        let (history, seen) = (History::default(), BTreeSet::new());
        Self { vault, known, gather, history, since: None, seen, left: MOST }
    }

    async fn judge(&mut self, summary: &Summary, cancel: &Cancel) -> Result<Judged> {
        if cancel.is_cancelled() {
            return Err(OpsError::Interrupted);
        }
        let whole = self.vault.whole(summary).await?;
        let flags = whole.header.signals.clone();
        let damaged = self.gather.findings.len();
        let (facts, opened) = self.gather.facts(summary, whole).await?;
        let unreadable = !opened && self.gather.findings.len() > damaged;
        if !self.seen.insert(summary.id) {
            self.gather.findings.truncate(damaged);
        }
        let (source, writer) = (&summary.header.source, &summary.header.writer);
        let mut verdicts = signal::judge(&self.history, &facts);
        announce(&self.known.expected, source, facts.at, &mut verdicts);
        let mut theirs: Vec<Verdict> =
            claimed(flags).filter(|flag| !verdicts.iter().any(|v| v.rule == flag.rule)).collect();
        announce(&self.known.expected, source, facts.at, &mut theirs);
        let own = loudest(&verdicts) == Some(Level::Alarm);
        let by_writer = loudest(&theirs) == Some(Level::Alarm);
        let cause = named(writer, source, &summary.id);
        let known = |cause: &str| self.known.acknowledged.contains(cause);
        let acknowledged = known(&cause) || (!own && known(&format!("{cause}-writer")));
        let stand = match (own || by_writer, &self.since) {
            _ if unreadable => Stand::Unreadable,
            (false, _) => Stand::Good,
            (true, _) if acknowledged => Stand::Acknowledged,
            (true, Some(_)) if own => Stand::Still,
            (true, _) => Stand::Alarm,
        };
        let cause = match stand {
            Stand::Alarm if own => Some(cause),
            Stand::Alarm => Some(format!("{cause}-writer")),
            Stand::Still => self.since.clone(),
            _ => None,
        };
        verdicts.extend(theirs);
        verdicts.sort_by_key(|verdict| std::cmp::Reverse(verdict.level));
        match stand {
            Stand::Good | Stand::Acknowledged => {
                self.since = None;
                self.history.push(facts.clone(), &verdicts);
            }
            // What one writer's flag says of one snapshot does not last.
            Stand::Alarm if own => self.since.clone_from(&cause),
            _ => {}
        }
        let line = SnapshotLine::from(summary);
        Ok(Judged { line, facts: slim(facts), verdicts, stand, cause, changes: Vec::new() })
    }
}

/// What a watch calls the alarm that a snapshot raises.
fn named(writer: &Name, source: &Name, id: &SnapshotId) -> String {
    format!("{writer}/{source}@{}", id.short())
}

/// The facts without what takes room and is not compared here.
fn slim(mut facts: Facts) -> Facts {
    for table in facts.tables.iter_mut().flat_map(|tables| tables.values_mut()) {
        table.sample = None;
    }
    facts.files =
        facts.files.map(|files| signal::Files { count: files.count, empty: files.empty, ..Default::default() });
    facts
}

/// A time at which nothing was looked at yet.
pub(super) fn first_seen(past: &Past) -> Option<Time> {
    past.judged.first().map(|one| one.facts.at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_looked_at_and_of_those_before_the_last_of_each_day() {
        assert_eq!(thinned(&[]), [0; 0]);
        assert_eq!(thinned(&[1, 1, 1]), [0, 1, 2]);
        // Two days of ten runs, and fifteen runs of the third.
        let days: Vec<i64> = (0..10).map(|_| 1).chain((0..10).map(|_| 2)).chain((0..15).map(|_| 3)).collect();
        let wanted: Vec<usize> = [9, 19].into_iter().chain(20..35).collect();
        assert_eq!(thinned(&days), wanted);
        let daily: Vec<i64> = (0..500).collect();
        assert_eq!(thinned(&daily), (440..500).collect::<Vec<_>>());
    }
}
