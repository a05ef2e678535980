//! When runs come: too late, or by the hundred.

use std::collections::BTreeMap;

use super::{ENOUGH, Facts, History, Level, Verdict, rules, stats::median};
use crate::model::{Span, Time, lasting};

/// So many of the last intervals are looked at.
const INTERVALS: usize = 30;
/// So many times the usual interval is an outage, which makes no later one usual.
const OUTAGE: u64 = 3;
/// Nobody is alarmed earlier where nothing is configured.
const PATIENCE: u64 = 2 * 3600;
/// Seconds of a day.
const DAY: i64 = 86_400;
/// From so many runs on a day may be a flood.
const MANY: u64 = 10;

/// Whether a source has been quiet for too long. `every` is what is configured for it.
#[must_use]
pub fn quiet(history: &History, now: Time, every: Option<Span>) -> Option<Verdict> {
    let last = history.last()?;
    let whole = now.since(last.at).as_seconds();
    // Where no run was ever made on a weekend, none is missed there.
    let works = every.is_some() || history.iter().any(|facts| is_weekend(facts.day()));
    let idle = (last.day() + 1..now.unix().div_euclid(DAY)).filter(|day| !works && is_weekend(*day)).take(366).count();
    let age = whole.saturating_sub(86_400 * idle as u64);
    let facts: Vec<&Facts> = history.iter().rev().take(INTERVALS + 1).collect();
    let intervals: Vec<u64> =
        facts.windows(2).filter_map(|p| Some(p.first()?.at.since(p.get(1)?.at).as_seconds())).collect();
    let (limit, why) = match every {
        Some(every) => (every.as_seconds() + every.as_seconds() / 2, format!("one is expected every {every}")),
        None if history.len() < ENOUGH => return None,
        None => {
            #[allow(clippy::cast_precision_loss, reason = "intervals of seconds")]
            let real: Vec<f64> = intervals.iter().map(|seconds| *seconds as f64).collect();
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "intervals of seconds")]
            let usual = median(&real)? as u64;
            let longest = intervals.iter().copied().filter(|one| *one <= usual * OUTAGE).max().unwrap_or(usual);
            let limit = (usual * 9 / 4).max(longest + longest / 4).max(PATIENCE);
            let why = format!(
                "they usually come {} after each other and hardly ever more than {}",
                told(usual),
                told(longest)
            );
            (limit, why)
        }
    };
    let said = format!("the newest snapshot is of {}, {} ago, and {why}", last.at, told(whole));
    (age > limit).then(|| Verdict::new(&rules::RUNS_QUIET, Level::Alarm, vec!["all".to_owned()], said))
}

/// Saturdays and Sundays; day 0 was a Thursday.
const fn is_weekend(day: i64) -> bool {
    matches!(day.rem_euclid(7), 2 | 3)
}

#[allow(clippy::cast_precision_loss, reason = "told to people")]
fn told(seconds: u64) -> String {
    lasting(seconds as f64)
}

/// Whether there are many more runs on the day `today` than on any before; `days` are runs by day.
#[must_use]
pub fn flood(days: &BTreeMap<i64, u64>, today: i64) -> Option<Verdict> {
    let count = days.get(&today).copied()?;
    let before = days.range(..today).map(|(_, count)| *count);
    let most = before.clone().max()?;
    let words = format!("{count} snapshots were made in one day, and never more than {most} in a day before");
    let flood = before.count() >= ENOUGH && count >= MANY && count >= most * 5;
    flood.then(|| Verdict::new(&rules::RUNS_FLOOD, Level::Alarm, vec!["all".to_owned()], words))
}
