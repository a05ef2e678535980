//! Branches and tags that are gone or rewritten.

use super::{
    ENOUGH, Facts, Found, History, Level, Refs, Verdict, percent, rules,
    stats::{Unusual, lost, real, steps, unusual},
    together, unit,
};

pub(super) fn judge(history: &History, now: &Facts) -> Vec<Verdict> {
    let past = history.facts();
    let last = past.iter().rev().find_map(|facts| facts.refs.as_ref());
    let (Some(last), Some(refs)) = (last, &now.refs) else { return Vec::new() };
    let mut verdicts = together(&rules::REFS_DEFAULT, default(&past, last, refs));
    let gone: Vec<Found> = branches(&past, now, last, refs).into_iter().chain(tags(&past, now, last, refs)).collect();
    verdicts.extend(together(&rules::REFS_GONE, gone));
    verdicts.extend(together(&rules::REFS_REWRITTEN, rewritten(&past, now, last, refs)));
    verdicts
}

fn is_there(refs: &Refs, branch: &str) -> bool {
    refs.units.get(unit(branch)).is_some_and(|count| *count > 0)
}

fn default(past: &[&Facts], last: &Refs, refs: &Refs) -> Vec<Found> {
    let mut found = Vec::new();
    let mut add = |level, subject: &str, words| found.push(Found { level, subject: subject.to_owned(), words });
    if let Some(was) = last.default.as_deref().filter(|_| last.default_there) {
        let same = refs.default.as_deref() == Some(was);
        if !refs.default_there && (same || !is_there(refs, was)) {
            add(Level::Alarm, was, format!("branch {was}, on which the repository stood, is gone"));
        } else if let (false, Some(is)) = (same, refs.default.as_deref()) {
            // A branch that was renamed is gone under its old name and new under the new one.
            let level = if !is_there(refs, was) && is_there(last, is) { Level::Alarm } else { Level::Notice };
            add(level, was, format!("the repository stood on branch {was} and stands on {is} now"));
        }
    }
    if refs.unlogged {
        let words =
            "it is not known how the branches came from where they were to where they are: the writer lost its memory";
        add(Level::Notice, "log", words.to_owned());
    }
    if let Some(is) = refs.default.as_deref().filter(|is| refs.rewritten.contains(*is)) {
        let before = past.iter().filter(|f| f.refs.as_ref().is_some_and(|refs| refs.rewritten.contains(is))).count();
        let level = if before > 0 { Level::Notice } else { Level::Alarm };
        let often = match before {
            0 => format!("which never happened in the {} runs before", past.len()),
            times => format!("as {times} times in the {} runs before", past.len()),
        };
        add(
            level,
            is,
            format!("the history of branch {is}, on which the repository stands, was replaced (force-push), {often}"),
        );
    }
    found
}

/// Whether next to nothing of a group of branches is left.
fn is_gone(was: u64, is: u64) -> bool {
    was > 0 && is * 5 <= was
}

/// The share of groups of branches that were there for long and are gone.
fn groups_lost(long: &[&String], last: &Refs, refs: &Refs) -> (usize, f64) {
    let count = |refs: &Refs, unit: &String| refs.units.get(unit).copied().unwrap_or_default();
    let gone = long.iter().filter(|unit| is_gone(count(last, unit), count(refs, unit))).count();
    (gone, real(gone as u64) / real(long.len().max(1) as u64))
}

fn branches(past: &[&Facts], now: &Facts, last: &Refs, refs: &Refs) -> Vec<Found> {
    let (was, is) = (last.branches(), refs.branches());
    let mut found = Vec::new();
    let mut add = |level, subject: &str, words| found.push(Found { level, subject: subject.to_owned(), words });
    if was > 0 && is == 0 {
        add(Level::Alarm, "all branches", format!("no branch is left of {was}"));
        return found;
    }
    let seen = |unit: &String| {
        past.iter().rev().take(ENOUGH).all(|f| f.refs.as_ref().is_none_or(|r| r.units.contains_key(unit)))
    };
    let long: Vec<&String> = last.units.keys().filter(|unit| seen(unit)).collect();
    let (gone, share) = groups_lost(&long, last, refs);
    let (all, same_day) = steps(past, now, |a, b| Some(groups_lost(&long, a.refs.as_ref()?, b.refs.as_ref()?).1));
    let (left, left_day) =
        steps(past, now, |a, b| Some(lost(a.refs.as_ref()?.branches(), b.refs.as_ref()?.branches())));
    let only = is == 1 && refs.default_there && was >= 4;
    if only && unusual(lost(was, is), &left, &left_day) == Unusual::New {
        add(Level::Alarm, "all branches", format!("of {was} branches only the default one is left"));
    } else if gone >= 2 && share >= 0.5 && unusual(share, &all, &same_day) == Unusual::New {
        let words = format!(
            "{gone} of {} branches or groups of branches that were there for long are gone ({was} branches before, {is} now)",
            long.len()
        );
        add(Level::Alarm, "branches", words);
    } else if was.saturating_sub(is) >= 10
        && is_gone(was, is)
        && unusual(lost(was, is), &left, &left_day) == Unusual::New
    {
        add(Level::Notice, "branches", format!("{} of {was} branches are gone", was - is));
    }
    found
}

fn tags(past: &[&Facts], now: &Facts, last: &Refs, refs: &Refs) -> Vec<Found> {
    let share = lost(last.tags, refs.tags);
    let gone = last.tags.saturating_sub(refs.tags);
    let (all, same_day) = steps(past, now, |a, b| Some(lost(a.refs.as_ref()?.tags, b.refs.as_ref()?.tags)));
    if gone == 0 || unusual(share, &all, &same_day) != Unusual::New {
        return Vec::new();
    }
    let level = if share >= 0.5 && gone >= 3 { Level::Alarm } else { Level::Notice };
    let words = format!("{gone} of {} tags are gone", last.tags);
    vec![Found { level, subject: "tags".to_owned(), words }]
}

fn rewritten(past: &[&Facts], now: &Facts, last: &Refs, refs: &Refs) -> Vec<Found> {
    let mut found = Vec::new();
    let share_of = |refs: &Refs| real(refs.rewritten.len() as u64) / real(refs.branches().max(1));
    let (count, share) = (refs.rewritten.len(), share_of(refs));
    let (all, same_day) = steps(past, now, |_, b| b.refs.as_ref().map(share_of));
    if past.len() >= ENOUGH && count >= 5 && share >= 0.5 && unusual(share, &all, &same_day) == Unusual::New {
        let words = format!(
            "the history of {count} of {} branches ({}) was replaced since the run before",
            refs.branches(),
            percent(share)
        );
        found.push(Found { level: Level::Alarm, subject: "branches".to_owned(), words });
    }
    let moved = refs.moved_tags.len() as u64;
    if moved > 0 {
        let before = past.iter().any(|f| f.refs.as_ref().is_some_and(|r| r.moved_tags.len() as u64 * 2 >= moved));
        let many = moved >= 3 && moved * 2 >= last.tags && !before && past.len() >= ENOUGH;
        let names: Vec<&str> = refs.moved_tags.iter().take(super::NAMED).map(String::as_str).collect();
        let words = format!("{moved} of {} tags name something else than before: {}", last.tags, names.join(", "));
        let level = if many { Level::Alarm } else { Level::Notice };
        found.push(Found { level, subject: "tags".to_owned(), words });
    }
    found
}
