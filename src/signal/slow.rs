//! What goes a little at a time: no step is worth a word, and after some days it is much.

use super::{
    ENOUGH, Facts, History, Level,
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
/// So many deviations are no chance.
const FAR: f64 = 4.0;
/// No more than so many times as long counts: whoever keeps runs back could hide much in one.
const LONGER: f64 = 3.0;
/// How much worse a median is known than a mean.
const MEDIAN: f64 = 1.25;
/// So many steps before them tell what is usual.
const BEFORE: usize = 4;

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

/// Looks for a slow loss over the last runs, and over the last days where there are several runs a day. What was told is not told
/// again, unless it is an alarm now and was none.
pub(super) fn look(history: &History, now: &Facts, (rule, subject): (&str, &str), lost: Metric<'_>) -> Option<Slow> {
    let past = history.facts();
    let told = history.lately((WINDOW, now.day()), rule, subject);
    if past.len() < ENOUGH || told == Some(Level::Alarm) {
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
        // What lies so far back is known by less.
        over(before, now, (lost.0 / 2.0, lost.1))
    };
    let slow = by_run.or_else(|| if daily.len() < past.len() { by_day() } else { None });
    slow.filter(|slow| told.is_none() || !slow.known)
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
    // Windows that share no step with this one.
    let ordinary: Vec<f64> = begin.checked_sub(WINDOW).map_or_else(Vec::new, |end| (0..=end).filter_map(far).collect());
    // What as many usual steps would come to: by the steps, or by what so many of them came to, since weeks have a rhythm.
    let by_steps = 1.0 - (1.0 - usual).powf(STEPS);
    let expected = median(&ordinary).filter(|_| ordinary.len() >= WINDOW).map_or(by_steps, |far| far.max(by_steps));
    let expected = if expected > 0.0 { 1.0 - (1.0 - expected).powf(stretched(&series, begin)) } else { expected };
    let chance = chance(sampled, (usual, whole), &before);
    let beyond = whole - expected;
    // What is lost at once is another rule's. Here no single step may be most of it.
    let largest = steps.get(begin..)?.iter().flatten().copied().fold(0.0, f64::max);
    if losing(begin) < LOSING || beyond < chance.max(BEYOND) || largest > whole * 0.7 {
        return None;
    }
    // It went in this way before, and that was no chance either.
    let known = ordinary.iter().any(|far| far - expected >= (beyond / 2.0).max(chance).max(BEYOND));
    let days = now.day() - series.get(begin)?.day();
    Some(Slow { lost: whole, days, steps: WINDOW, known })
}

/// How much longer these steps took than as many usually do: in a week without a run more is altered than in a day.
fn stretched(series: &[&Facts], begin: usize) -> f64 {
    let took = |from: usize| Some(series.get(from + WINDOW)?.at.unix() - series.get(from)?.at.unix());
    #[allow(clippy::cast_precision_loss, reason = "seconds of months")]
    let usual: Vec<f64> = (0..begin).filter_map(took).map(|seconds| seconds as f64).collect();
    #[allow(clippy::cast_precision_loss, reason = "seconds of months")]
    let now = took(begin).unwrap_or_default() as f64;
    median(&usual).filter(|usual| *usual > 0.0).map_or(1.0, |usual| (now / usual).clamp(1.0, LONGER))
}

/// How far chance may lead away from what is expected: the less is known of the usual, the further.
fn chance(sampled: f64, (usual, whole): (f64, f64), before: &[f64]) -> f64 {
    let count = real(before.len() as u64);
    if sampled <= 0.0 {
        return FAR * spread(before).max(COUNTED) * STEPS.sqrt() * (1.0 + 2.0 * STEPS / count);
    }
    // As if all were as usual: what is seen now tells as much of that as what was seen before. Of a small share a sample may
    // hold nothing.
    let share = (usual.max(0.0) * count + whole) / (count + STEPS);
    let by_sample = |share: f64| {
        let share = share.clamp(2.0 / sampled, 1.0);
        (share * (1.0 - share) / sampled).sqrt()
    };
    let step = spread(before).max(by_sample(share));
    // What the steps scatter beyond what a sample does.
    let by_days = (step.powi(2) - by_sample(share).powi(2)).max(0.0) * STEPS;
    let of_usual = MEDIAN * STEPS * step / count.sqrt();
    // Few runs are held against each other only a few times.
    let far = FAR - 2.0 * STEPS / count.max(2.0 * STEPS);
    far * (by_sample(share * STEPS).powi(2) + by_days + of_usual.powi(2)).sqrt()
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
