//! The contents as a whole: an older state that is back, or one that no longer changes.

use std::collections::BTreeSet;

use super::{Facts, Found, History, Level, Verdict, rules, together};

/// So many other states lie between a state and its return.
const BETWEEN: usize = 3;
/// So many days tell whether a source changes from day to day.
const DAYS: usize = 6;

pub(super) fn judge(history: &History, now: &Facts) -> Vec<Verdict> {
    let past = history.facts();
    let mut verdicts = together(&rules::STATE_BACK, back(&past, now).into_iter().collect());
    verdicts.extend(together(&rules::STATE_FROZEN, frozen(&past, now).into_iter().collect()));
    verdicts
}

/// The run whose state is back with `now`, if enough others lie between.
fn returned<'a>(past: &[&'a Facts], now: &Facts) -> Option<&'a Facts> {
    let state = now.state.as_ref()?;
    let at = past.iter().rposition(|facts| facts.state.as_ref() == Some(state))?;
    let between: BTreeSet<&String> = past.get(at + 1..)?.iter().filter_map(|facts| facts.state.as_ref()).collect();
    (between.len() >= BETWEEN).then(|| past.get(at).copied()).flatten()
}

fn back(past: &[&Facts], now: &Facts) -> Option<Found> {
    let then = returned(past, now)?;
    let before = (0..past.len())
        .any(|at| past.get(at).zip(past.get(..at)).is_some_and(|(facts, before)| returned(before, facts).is_some()));
    let words = format!(
        "all contents are those of {} again, and there were others since: an older copy took their place",
        then.at
    );
    Some(Found { level: if before { Level::Notice } else { Level::Alarm }, subject: "all".to_owned(), words })
}

fn frozen(past: &[&Facts], now: &Facts) -> Option<Found> {
    let state = now.state.as_ref()?;
    // The last run of each day.
    let mut days: Vec<&Facts> = Vec::new();
    for facts in past {
        if days.last().is_some_and(|last| last.day() == facts.day()) {
            days.pop();
        }
        days.push(facts);
    }
    let same = past.iter().rev().take_while(|facts| facts.state.as_ref() == Some(state)).last()?;
    let spell = now.day() - same.day();
    let earlier: Vec<&Facts> = days.into_iter().filter(|facts| facts.day() < same.day()).collect();
    let (mut changed, mut longest, mut began) = (0_usize, 0, earlier.first()?.day());
    for pair in earlier.windows(2) {
        let [a, b] = pair else { continue };
        if a.state == b.state {
            longest = longest.max(b.day() - began);
        } else {
            changed += 1;
            began = b.day();
        }
    }
    if earlier.len() < DAYS || changed * 10 < (earlier.len() - 1) * 8 {
        return None;
    }
    let limit = (longest * 2 + 1).max(3);
    let level = if spell > limit { Level::Alarm } else { Level::Notice };
    let words = format!(
        "nothing changed for {spell} days; before, {changed} of {} days changed something, and the longest spell was {longest} \
         days: is it what is there now that is backed up?",
        earlier.len() - 1
    );
    (spell >= limit).then(|| Found { level, subject: "all".to_owned(), words })
}
