//! The runs of one source that are remembered.

use serde::{Deserialize, Serialize};

use super::{Facts, Level, Verdict};

/// The most runs that are remembered.
const RUNS: usize = 60;
/// So many of the newest are kept whatever their times. Of those before, one a day: so many runs of one hour, honest or not,
/// do not push out what was usual before.
const NEWEST: usize = 15;
/// So many of the newest keep their samples whole.
const FULL: usize = 14;
/// So many things stay in a sample of those before.
const THIN: usize = 512;

/// A run, and what was said of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// What is known of it.
    pub facts: Facts,
    /// Rules that spoke, each with what it spoke about, joined by a blank.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<String>,
    /// Whether any of them was an alarm.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub alarm: bool,
}

/// The runs of one source, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct History {
    runs: Vec<Run>,
}

impl History {
    /// Remembers a run, and forgets what there is no room for.
    pub fn push(&mut self, facts: Facts, verdicts: &[Verdict]) {
        let told = verdicts.iter().flat_map(|v| v.subjects.iter().map(move |s| told(&v.rule, s, v.level))).collect();
        let alarm = verdicts.iter().any(|verdict| verdict.level == Level::Alarm);
        self.runs.push(Run { facts, told, alarm });
        self.thin();
    }

    fn thin(&mut self) {
        let old = self.runs.len().saturating_sub(NEWEST);
        let mut day = None;
        let mut at = 0;
        // The last run of a day stands for it.
        let last_of_day: Vec<bool> = (0..old)
            .map(|at| {
                let of = |at: usize| self.runs.get(at).map(|run| run.facts.day());
                at + 1 == old || of(at) != of(at + 1)
            })
            .collect();
        self.runs.retain(|run| {
            let keep = at >= old || (last_of_day.get(at) == Some(&true) && day != Some(run.facts.day()));
            if keep {
                day = Some(run.facts.day());
            }
            at += 1;
            keep
        });
        let over = self.runs.len().saturating_sub(RUNS);
        self.runs.drain(..over);
        // What lies further back is compared by less.
        if let Some(run) = self.runs.len().checked_sub(FULL + 1).and_then(|at| self.runs.get_mut(at)) {
            for table in run.facts.tables.iter_mut().flat_map(|tables| tables.values_mut()) {
                table.sample = table.sample.as_ref().map(|sample| sample.thinned(THIN));
            }
            if let Some(files) = &mut run.facts.files {
                (files.names, files.contents) = (files.names.thinned(THIN), files.contents.thinned(THIN));
            }
        }
    }

    /// How many runs are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.runs.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The newest run.
    #[must_use]
    pub fn last(&self) -> Option<&Facts> {
        self.runs.last().map(|run| &run.facts)
    }

    /// The newest run without an alarm.
    #[must_use]
    pub fn last_calm(&self) -> Option<&Facts> {
        self.runs.iter().rev().find(|run| !run.alarm).map(|run| &run.facts)
    }

    /// All runs, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Facts> {
        self.runs.iter().map(|run| &run.facts)
    }

    pub(super) fn facts(&self) -> Vec<&Facts> {
        self.iter().collect()
    }

    /// Whether a rule raised an alarm about this in any run that is remembered.
    pub(super) fn ever(&self, rule: &str, subject: &str) -> bool {
        let alarm = told(rule, subject, Level::Alarm);
        self.runs.iter().any(|run| run.told.contains(&alarm))
    }

    /// How loudly a rule spoke of this lately: in one of the last `runs` runs, or in as many days before `day`.
    pub(super) fn lately(&self, (runs, day): (usize, i64), rule: &str, subject: &str) -> Option<Level> {
        let days = i64::try_from(runs).unwrap_or(i64::MAX);
        let lately = self.runs.iter().rev().enumerate();
        let lately = lately.filter(|(at, run)| *at < runs || run.facts.day() > day - days).map(|(_, run)| run);
        let (mut loudest, [alarm, notice]) =
            (None, [Level::Alarm, Level::Notice].map(|level| told(rule, subject, level)));
        for run in lately {
            if run.told.contains(&alarm) {
                return Some(Level::Alarm);
            }
            if run.told.contains(&notice) {
                loudest = Some(Level::Notice);
            }
        }
        loudest
    }
}

/// What is remembered of what was told.
fn told(rule: &str, subject: &str, level: Level) -> String {
    match level {
        Level::Alarm => format!("{rule} {subject}"),
        Level::Notice => format!("{rule} {subject} ({})", level.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Time;

    #[test]
    fn a_flood_of_runs_does_not_push_out_what_was_usual() {
        let mut history = History::default();
        for day in 0..40 {
            history.push(Facts::new(Time::from_unix(day * 86_400), 1000, 1), &[]);
        }
        for minute in 0..1000 {
            history.push(Facts::new(Time::from_unix(40 * 86_400 + minute * 60), 7, 1), &[]);
        }
        assert!(history.len() <= RUNS);
        assert!(history.iter().filter(|facts| facts.bytes == 1000).count() >= 39);
        for day in 41..200 {
            history.push(Facts::new(Time::from_unix(day * 86_400), 1000, 1), &[]);
        }
        assert_eq!(history.len(), RUNS);
        assert_eq!(history.last().unwrap().at, Time::from_unix(199 * 86_400));
    }
}
