//! What goes a little at a time: no step is worth a word, and after some days it is much.

use super::{
    ENOUGH, Facts, History,
    stats::{median, real, spread},
};

/// So many steps are looked at together.
const WINDOW: usize = 5;
/// So many of them must have lost something beyond the usual.
const LOSING: usize = 4;
/// The same as a number to reckon with.
const STEPS: f64 = 5.0;
/// The least share that is lost over them all.
const LEAST: f64 = 0.02;
/// The least share that is lost beyond what is usual.
const BEYOND: f64 = 0.03;
/// About so many things are in a sample.
pub(super) const SAMPLE: f64 = 512.0;
/// What a number that was counted scatters at least, as a share of it.
const COUNTED: f64 = 0.001;
/// So many runs are looked at for what is usual.
const RUNS: usize = 35;
/// So many steps before them tell what is usual.
const BEFORE: usize = 3;

/// A share lost between two runs, which is negative where something was gained; and how many things it was taken of, 0 where all were counted.
pub(super) type Metric<'a> = (f64, &'a dyn Fn(&Facts, &Facts) -> Option<f64>);

/// What was lost a little at a time.
pub(super) struct Slow {
    /// The share of what was there at first.
    pub(super) lost: f64,
    /// When that was, in days before.
    pub(super) days: i64,
    /// In how many runs.
    pub(super) steps: usize,
    /// Whether as much went in the same way before.
    pub(super) known: bool,
}

/// Looks for a slow loss over the last runs, and over the last days where there are several runs a day.
pub(super) fn look(history: &History, now: &Facts, (rule, subject): (&str, &str), lost: Metric<'_>) -> Option<Slow> {
    let past = history.facts();
    if past.len() < ENOUGH || history.told(WINDOW, rule, subject) {
        return None;
    }
    let mut daily: Vec<&Facts> = Vec::new();
    for run in &past {
        if daily.last().is_some_and(|last| last.day() == run.day()) {
            daily.pop();
        }
        daily.push(run);
    }
    let by_run = over(&past, now, lost);
    let by_day = || {
        let today = daily.last().is_some_and(|last| last.day() == now.day());
        let before = daily.get(..daily.len().saturating_sub(usize::from(today)))?;
        over(before, now, lost)
    };
    by_run.or_else(|| if daily.len() < past.len() { by_day() } else { None })
}

fn over(past: &[&Facts], now: &Facts, (sampled, lost): Metric<'_>) -> Option<Slow> {
    let mut series: Vec<&Facts> = past.iter().skip(past.len().saturating_sub(RUNS)).copied().collect();
    series.push(now);
    let begin = series.len().checked_sub(WINDOW + 1)?;
    let far = |from: usize| lost(series.get(from)?, series.get(from + WINDOW)?);
    let whole = far(begin).filter(|whole| *whole >= LEAST)?;
    let steps: Vec<Option<f64>> = series.windows(2).map(|pair| lost(pair.first()?, pair.get(1)?)).collect();
    let before: Vec<f64> = steps.get(..begin)?.iter().copied().flatten().collect();
    if before.len() < BEFORE {
        return None;
    }
    let usual = median(&before)?;
    let losing = |from: usize| {
        let window = steps.get(from..from + WINDOW).unwrap_or_default();
        window.iter().flatten().filter(|step| **step > usual.max(0.0)).count()
    };
    // What as many usual steps would come to, and how far chance may lead away from that: the less is known of the usual,
    // the further.
    let expected = 1.0 - (1.0 - usual).powf(STEPS);
    let least = if sampled > 0.0 { (usual.max(0.0) * (1.0 - usual.min(1.0)) / sampled).sqrt() } else { COUNTED };
    let little = 1.0 + STEPS / real(before.len() as u64);
    let chance = 3.0 * spread(&before).max(least) * STEPS.sqrt() * little;
    let beyond = whole - expected;
    // What is lost at once is another rule's. Here no single step may be most of it.
    let largest = steps.get(begin..)?.iter().flatten().copied().fold(0.0, f64::max);
    if losing(begin) < LOSING || beyond < chance.max(BEYOND) || largest > whole * 0.7 {
        return None;
    }
    // Windows that share no step with this one.
    let alike = |from: usize| losing(from) >= LOSING && far(from).is_some_and(|far| (far - expected) * 2.0 >= beyond);
    let known = begin.checked_sub(WINDOW).is_some_and(|ended| (0..=ended).any(alike));
    let days = now.day() - series.get(begin)?.day();
    Some(Slow { lost: whole, days, steps: WINDOW, known })
}

impl Slow {
    /// How long it took, for people.
    pub(super) fn over(&self) -> String {
        match self.days {
            0 => format!("{} runs", self.steps),
            1 => format!("{} runs of a day", self.steps),
            days => format!("{} runs of {days} days", self.steps),
        }
    }
}
