//! Files of a tree that are gone, encrypted, emptied or overwritten.

use super::{
    ENOUGH, Facts, Files, Found, History, Level, Verdict, percent, rules,
    slow::{self, Metric},
    stats::{Unusual, lost, median, real, steps, unusual},
    together,
};
use crate::model::Sample;

/// Trees of fewer files are looked at by their bytes.
pub(super) const FEW: u64 = 10;

/// The share of a sample that is not in a later one.
fn unlike(was: &Sample, is: &Sample) -> Option<f64> {
    let (all, there) = was.still_in(is);
    (all >= FEW / 2).then(|| 1.0 - real(there) / real(all))
}

fn contents_lost(a: &Facts, b: &Facts) -> Option<f64> {
    unlike(&a.files.as_ref()?.contents, &b.files.as_ref()?.contents)
}

fn contents(facts: &Facts) -> Option<(&Sample, Option<&str>)> {
    Some((&facts.files.as_ref()?.contents, None))
}

pub(super) fn judge(history: &History, now: &Facts) -> Vec<Verdict> {
    let past = history.facts();
    let last = past.iter().rev().find(|facts| facts.files.is_some());
    let (Some(last), Some(files)) = (last, &now.files) else { return Vec::new() };
    let Some(before) = last.files.as_ref().filter(|files| files.count >= FEW) else { return Vec::new() };
    let mut verdicts = together(&rules::FILES_LOST, at_once(&past, now, before, files).into_iter().collect());
    let slow = slow::look(history, now, (rules::FILES_CHANGING.name, "files"), Metric::Sampled(&contents, FEW / 2))
        .map(|slow| {
            let words = format!(
                "over {1}, {0} of the files got other contents or went, a few each time and more than usual",
                percent(slow.lost),
                slow.over()
            );
            Found { level: if slow.known { Level::Notice } else { Level::Alarm }, subject: "files".to_owned(), words }
        });
    verdicts.extend(together(&rules::FILES_CHANGING, slow.into_iter().collect()));
    verdicts
}

fn at_once(past: &[&Facts], now: &Facts, before: &Files, files: &Files) -> Option<Found> {
    let share = unlike(&before.contents, &files.contents).or_else(|| (files.count == 0).then_some(1.0))?;
    let names = unlike(&before.names, &files.names).unwrap_or_default();
    let (all, same_day) = steps(past, now, contents_lost);
    let nearly_all = share >= 0.95;
    let level = match unusual(share, &all, &same_day) {
        _ if share < 0.2 => return None,
        _ if past.len() < ENOUGH && nearly_all => {
            if names >= 0.95 {
                Level::Alarm
            } else {
                Level::Notice
            }
        }
        _ if past.len() < ENOUGH => return None,
        Unusual::New if share >= 0.5 => Level::Alarm,
        Unusual::New => Level::Notice,
        Unusual::Known | Unusual::No => return None,
    };
    let emptied = files.empty.saturating_sub(before.empty) * 2 >= before.count;
    let how = if files.count == 0 {
        "no file is left".to_owned()
    } else if emptied {
        format!("{} of {} files are empty", files.empty, files.count)
    } else if lost(before.count, files.count) >= 0.5 {
        format!("{} files were there and {} are", before.count, files.count)
    } else if names >= 0.5 {
        format!("{} of the names are others too, as if the files had been encrypted and renamed", percent(names))
    } else {
        "under the same names, as if they had been encrypted or overwritten".to_owned()
    };
    let usual = median(&all).unwrap_or_default();
    let words = format!(
        "about {} of the contents of {} files are nowhere any more; {how}; usually {} change from run to run",
        percent(share),
        before.count,
        percent(usual)
    );
    Some(Found { level, subject: "files".to_owned(), words })
}
