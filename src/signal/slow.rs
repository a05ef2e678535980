//! What goes a little at a time: no step is worth a word, and after some days it is much.

use super::{
    ENOUGH, Facts, History, Level,
    stats::{median, quantile, real, spread},
};
use crate::model::Sample;

/// So many steps are looked at together.
const WINDOW: usize = 5;
/// So many of them must have lost something beyond the usual.
const LOSING: usize = 4;
/// The same as a number to reckon with.
const STEPS: f64 = 5.0;
/// Which share of what is lost beyond the usual in a step of average size makes a step that lost something.
const SOME: f64 = 0.15;
/// The least share that is lost over them all.
const LEAST: f64 = 0.02;
/// The least share that is lost beyond what is usual.
const BEYOND: f64 = 0.03;
/// The greatest part of it that one step may be.
const MOST: f64 = 0.6;
/// What was told counts as known where it is no more than so many times as much.
const TOLD: f64 = 3.0;
/// What a number that was counted scatters at least, as a share of it.
const COUNTED: f64 = 0.001;
/// So many runs are looked at for what is usual.
const RUNS: usize = 35;
/// So many deviations are no chance.
const FAR: f64 = 4.0;
/// So much further where the usual is known by one step alone, and half of that where it is known by two.
const UNKNOWN: f64 = 6.0;
/// No more than so many times as long or as busy counts: whoever keeps runs back could hide much in one.
const LONGER: f64 = 3.0;
/// A source that grew so much is no busier.
const BUSY: f64 = 1.25;
/// How many steps it takes to believe that they scatter more than chance.
const TAME: f64 = 6.0;
/// No steps are taken to scatter less than so much of what chance alone would.
const TAMEST: f64 = 0.5;
/// So many steps before them tell what is usual.
const BEFORE: usize = 4;
/// What was there so many runs before is old. What is new changes in every life, and is looked at only where little is old.
const AGES: [usize; 6] = [14, 7, 4, 2, 1, 0];
/// Runs that follow each other faster say nothing by the time between them.
const MINUTES: f64 = 600.0;

/// What is looked at.
#[derive(Clone, Copy)]
pub(super) enum Metric<'a> {
    /// A share lost between two runs, which is negative where something was gained.
    Counted(&'a dyn Fn(&Facts, &Facts) -> Option<f64>),
    /// A sample of things, and what is equal in two that can be compared; and how many things say something.
    Sampled(&'a Samples<'a>, u64),
}

/// A sample, and what is equal in two that can be compared.
type Samples<'a> = dyn for<'f> Fn(&'f Facts) -> Option<(&'f Sample, Option<&'f str>)> + 'a;

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
pub(super) fn look(history: &History, now: &Facts, (rule, subject): (&str, &str), metric: Metric<'_>) -> Option<Slow> {
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
    let before = history.ever(rule, subject);
    let by_run = Series::new(&past, now, metric).over(before);
    let by_day = || {
        let today = daily.last().is_some_and(|last| last.day() == now.day());
        let days = daily.get(..daily.len().saturating_sub(usize::from(today)))?;
        Series::new(days, now, metric).over(before)
    };
    let slow = by_run.or_else(|| if daily.len() < past.len() { by_day() } else { None });
    slow.filter(|slow| told.is_none() || !slow.known)
}

/// A share that was lost, and of how many things it was taken.
#[derive(Clone, Copy)]
struct Loss {
    share: f64,
    of: f64,
}

/// What is usual of a step of usual length.
struct Usual {
    share: f64,
    /// Of how many things that is known: those of a step, counted again for each step.
    of: f64,
    /// How many times more it scatters than chance alone would.
    wild: f64,
    /// How far the shares scatter.
    spread: f64,
    steps: f64,
}

/// What is known of things of one age.
struct Before {
    /// All steps, those of the window as well.
    steps: Vec<Option<Loss>>,
    usual: Usual,
    /// How long the window took, in usual steps.
    took: f64,
    /// What earlier windows lost in which it went slowly as well.
    ordinary: Vec<f64>,
    /// What the window should come to.
    expected: f64,
}

impl Before {
    /// Whether an earlier window lost so much beyond what is usual.
    fn has(&self, beyond: f64) -> bool {
        self.ordinary.iter().any(|far| far - self.expected >= beyond)
    }
}

struct Series<'a> {
    runs: Vec<&'a Facts>,
    metric: Metric<'a>,
    /// How long each step took, in usual ones.
    units: Vec<f64>,
}

impl<'a> Series<'a> {
    fn new(past: &[&'a Facts], now: &'a Facts, metric: Metric<'a>) -> Self {
        let mut runs: Vec<&Facts> = past.iter().skip(past.len().saturating_sub(RUNS)).copied().collect();
        runs.push(now);
        #[allow(clippy::cast_precision_loss, reason = "seconds of months")]
        let took: Vec<f64> = pairs(&runs).map(|(a, b)| (b.at.unix() - a.at.unix()) as f64).collect();
        let usual = median(&took).filter(|usual| *usual >= MINUTES);
        let units = took.iter().map(|took| usual.map_or(1.0, |usual| (took / usual).clamp(1.0, LONGER))).collect();
        Self { runs, metric, units }
    }

    /// What was lost between two runs of what is as old as that.
    fn loss(&self, from: usize, to: usize, age: usize) -> Option<Loss> {
        let (a, b) = (*self.runs.get(from)?, *self.runs.get(to)?);
        match self.metric {
            Metric::Counted(_) if age > 0 => None,
            Metric::Counted(lost) => lost(a, b).map(|share| Loss { share, of: 0.0 }),
            Metric::Sampled(sample, least) => {
                let ((was, like), (is, now_like)) = (sample(a)?, sample(b)?);
                let (earlier, then_like) = sample(self.runs.get(from.checked_sub(age)?)?)?;
                if like != now_like || like != then_like {
                    return None;
                }
                let [all, old, still] = was.old_still_in(earlier, is);
                // Where little is old it does not stand for the whole.
                (old >= least && old * 2 >= all).then(|| Loss { share: 1.0 - real(still) / real(old), of: real(old) })
            }
        }
    }

    /// The oldest first: what is old changes least.
    fn over(&self, told: bool) -> Option<Slow> {
        AGES.iter().find_map(|age| self.over_of(*age, told))
    }

    fn over_of(&self, age: usize, told: bool) -> Option<Slow> {
        let last = self.runs.len().checked_sub(1)?;
        let begin = last.checked_sub(WINDOW)?;
        let whole = self.loss(begin, last, age).filter(|whole| whole.share >= LEAST)?;
        let before = self.before(age)?;
        let (usual, window) = (&before.usual, before.steps.get(begin..)?);
        let chance = usual.chance(before.expected, whole.of, before.took);
        let beyond = whole.share - before.expected;
        // What is lost at once is another rule's: no single step may be most of it.
        if beyond < chance.max(BEYOND) || largest(window) - usual.share > MOST * beyond {
            return None;
        }
        let losing = |step: &&Loss| step.share > usual.share.max(0.0) + SOME * beyond / STEPS;
        if window.iter().flatten().filter(losing).count() < LOSING {
            return None;
        }
        // It went in this way before, and that was no chance either; or somebody was told of it, whatever the age that showed it.
        let known = if told {
            AGES.iter().filter_map(|age| self.before(*age)).any(|before| before.has(beyond / TOLD))
        } else {
            before.has(chance.max(BEYOND).max(beyond / 2.0))
        };
        let days = self.runs.get(last)?.day() - self.runs.get(begin)?.day();
        Some(Slow { lost: whole.share, days, steps: WINDOW, known })
    }

    /// What is known of what is as old as that before the window.
    fn before(&self, age: usize) -> Option<Before> {
        let last = self.runs.len().checked_sub(1)?;
        let begin = last.checked_sub(WINDOW)?;
        let steps: Vec<Option<Loss>> = (0..last).map(|at| self.loss(at, at + 1, age)).collect();
        let usual = self.usual(steps.get(..begin)?)?;
        let took: f64 = self.units.get(begin..)?.iter().sum();
        let took = took.min(STEPS * LONGER) * self.busier(begin);
        // Windows that share no step with this one, and in which it went slowly as well.
        let slow = |from: usize| {
            let all = self.loss(from, from + WINDOW, age)?;
            (largest(steps.get(from..from + WINDOW)?) <= MOST * all.share).then_some(all.share)
        };
        let ordinary: Vec<f64> =
            begin.checked_sub(WINDOW).map_or_else(Vec::new, |end| (age..=end).filter_map(slow).collect());
        // What as many usual steps would come to: by the steps, or by what so many of them came to, since weeks have a rhythm.
        let by_steps = if usual.share > 0.0 { 1.0 - (1.0 - usual.share).powf(took) } else { usual.share * STEPS };
        let rhythm = quantile(&ordinary, 0.75).filter(|_| ordinary.len() >= WINDOW);
        let expected = rhythm.map_or(by_steps, |far| by_steps.max(far));
        Some(Before { steps, usual, took, ordinary, expected })
    }

    /// What the steps before the window say.
    fn usual(&self, steps: &[Option<Loss>]) -> Option<Usual> {
        let before: Vec<(Loss, f64)> =
            steps.iter().zip(&self.units).filter_map(|(loss, units)| Some(((*loss)?, *units))).collect();
        if before.len() < BEFORE {
            return None;
        }
        let rates: Vec<f64> = before.iter().map(|(loss, units)| loss.share / units).collect();
        let (middle, spread, steps) = (median(&rates)?, spread(&rates), real(before.len() as u64));
        if matches!(self.metric, Metric::Counted(_)) {
            return Some(Usual { share: middle, of: 0.0, wild: 1.0, spread, steps });
        }
        // One wild step makes no rule: it counts for no more than what might be chance.
        let tame = |loss: &Loss, rate: f64| {
            let by_sample = (middle.max(0.0) * loss.of + 1.0).sqrt() / loss.of;
            rate.min(middle + FAR * spread.max(by_sample))
        };
        let parts = || before.iter().zip(&rates).map(|((loss, units), rate)| (tame(loss, *rate), loss.of * units));
        let of: f64 = parts().map(|(_, of)| of).sum();
        let share = parts().map(|(rate, of)| rate * of).sum::<f64>() / of.max(1.0);
        let scatter = parts().map(|(rate, of)| (rate - share).powi(2) * of).sum::<f64>();
        // Of next to nothing a single thing more would be wild. Few steps tell little of that.
        let wild = scatter / share.max(steps / of.max(1.0));
        let wild = ((wild + TAME) / (steps - 1.0 + TAME)).max(TAMEST);
        Some(Usual { share, of, wild, spread, steps })
    }

    /// How much busier the window is than what was before it, by what came new in a middling step to tables that grow and do
    /// not shrink: whoever has thrice the orders alters thrice the rows.
    fn busier(&self, begin: usize) -> f64 {
        let mut gains = vec![0.0; self.units.len()];
        let last = self.runs.last().and_then(|run| run.tables.as_ref());
        for name in last.into_iter().flatten().map(|(name, _)| name) {
            let rows = |facts: &Facts| Some(facts.tables.as_ref()?.get(name)?.rows);
            let steps: Option<Vec<f64>> =
                pairs(&self.runs).map(|(a, b)| rows(b)?.checked_sub(rows(a)?).map(real)).collect();
            gains.iter_mut().zip(steps.unwrap_or_default()).for_each(|(gain, step)| *gain += step);
        }
        gains.iter_mut().zip(&self.units).for_each(|(gain, units)| *gain /= units);
        match (gains.get(..begin).and_then(median), gains.get(begin..).and_then(median)) {
            (Some(before), Some(now)) if before >= 1.0 => (now / before / BUSY).clamp(1.0, LONGER),
            _ => 1.0,
        }
    }
}

/// The largest share that one of these steps lost.
fn largest(steps: &[Option<Loss>]) -> f64 {
    steps.iter().flatten().map(|step| step.share).fold(0.0, f64::max)
}

fn pairs<'a>(runs: &[&'a Facts]) -> impl Iterator<Item = (&'a Facts, &'a Facts)> {
    runs.windows(2).filter_map(|pair| Some((*pair.first()?, *pair.get(1)?)))
}

impl Usual {
    /// How far chance may lead away from what is `expected` of so many things in steps that `took` so long: the less is known of
    /// the usual, the further.
    fn chance(&self, expected: f64, of: f64, took: f64) -> f64 {
        if self.of <= 0.0 {
            return FAR * self.spread.max(COUNTED) * STEPS.sqrt() * (1.0 + 2.0 * STEPS / self.steps);
        }
        let expected = expected.clamp(0.0, 1.0) * of;
        let scatter = self.wild * (expected + 1.0) * (1.0 + of * took / self.of);
        (FAR + UNKNOWN / self.steps) * scatter.sqrt() / of.max(1.0)
    }
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
