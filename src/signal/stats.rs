//! Statistics that a few wild values don't move.

use super::Facts;

/// How many spreads beyond the usual something is unusual. For values that scatter as most do, that is once in a lifetime.
const FAR: f64 = 6.0;
/// No scatter is taken for smaller than this share: what never moved may move a little.
const SPREAD: f64 = 0.005;
/// From so many values of one weekday on, that weekday has a usual value of its own.
const WEEKDAYS: usize = 3;

/// A number of things as a number to reckon with.
#[allow(clippy::cast_precision_loss, reason = "shares and ratios, which need three digits")]
pub(super) const fn real(count: u64) -> f64 {
    count as f64
}

/// The middle one.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.get(sorted.len() / 2).copied()?;
    let below = sorted.get(sorted.len().saturating_sub(1) / 2).copied()?;
    Some(f64::midpoint(middle, below))
}

/// The value that so great a share of them is below or at.
pub(super) fn quantile(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place among few values")]
    let at = (real(sorted.len().saturating_sub(1) as u64) * share).round() as usize;
    sorted.get(at).copied()
}

/// The middle distance from the middle one, as a standard deviation would be.
pub(super) fn spread(values: &[f64]) -> f64 {
    let Some(middle) = median(values) else { return 0.0 };
    let distances: Vec<f64> = values.iter().map(|v| (v - middle).abs()).collect();
    1.4826 * median(&distances).unwrap_or_default()
}

/// The share of `was` that is gone.
pub(super) fn lost(was: u64, is: u64) -> f64 {
    if was == 0 { 0.0 } else { real(was.saturating_sub(is)) / real(was) }
}

/// The share of `was` that is gone, negative where there is more now.
pub(super) fn change(was: u64, is: u64) -> Option<f64> {
    (was > 0).then(|| 1.0 - real(is) / real(was))
}

/// A loss on a scale on which half is to three quarters as three quarters to seven eighths.
fn depth(lost: f64) -> f64 {
    -(1.0 - lost + 1e-3).min(1.0).ln()
}

/// How a loss stands with those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unusual {
    /// It is as usual.
    No,
    /// It is rare, and about as much was lost at once before.
    Known,
    /// It is as never before.
    New,
}

/// Whether `step`, a share lost, is more than what `past` says is usual.
pub(super) fn is_beyond(step: f64, past: &[f64]) -> bool {
    median(past).is_none_or(|usual| step > usual + FAR * spread(past).max(SPREAD))
}

/// How `step`, a share lost, stands with those before it; `same_day` are those of its day of the week.
pub(super) fn unusual(step: f64, past: &[f64], same_day: &[f64]) -> Unusual {
    if !is_beyond(step, past) || same_day.len() >= WEEKDAYS && !is_beyond(step, same_day) {
        return Unusual::No;
    }
    let known = past.iter().any(|before| *before > 0.05 && depth(*before) * 2.5 >= depth(step));
    if known { Unusual::Known } else { Unusual::New }
}

/// The losses from each run to the next, and those that ended on the weekday of `now`.
pub(super) fn steps(
    past: &[&Facts],
    now: &Facts,
    lost: impl Fn(&Facts, &Facts) -> Option<f64>,
) -> (Vec<f64>, Vec<f64>) {
    let (mut all, mut same_day) = (Vec::new(), Vec::new());
    for pair in past.windows(2) {
        let [before, after] = pair else { continue };
        if let Some(share) = lost(before, after) {
            all.push(share);
            same_day.extend((after.weekday() == now.weekday()).then_some(share));
        }
    }
    (all, same_day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wild_values_move_nothing() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 1000.0]), Some(3.0));
        assert_eq!(median(&[1.0, 2.0]), Some(1.5));
        assert!(spread(&[1.0, 1.0, 1.0, 1.0, 900.0]) < 1e-9);
    }

    #[test]
    fn what_happened_before_is_known() {
        let quiet = vec![0.0; 20];
        assert_eq!(unusual(0.6, &quiet, &[]), Unusual::New);
        assert_eq!(unusual(0.02, &quiet, &[]), Unusual::No);
        let purged = [quiet.clone(), vec![0.4]].concat();
        assert_eq!(unusual(0.5, &purged, &[]), Unusual::Known);
        assert_eq!(unusual(1.0, &purged, &[]), Unusual::New, "a purge does not excuse a table that is empty");
        assert_eq!(unusual(0.5, &purged, &[0.5, 0.5, 0.45]), Unusual::No, "it is so every week");
    }
}
