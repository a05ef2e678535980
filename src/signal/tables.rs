//! Tables that are gone, emptied, shrunk or rewritten, and sequences that went back.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    ENOUGH, Facts, Found, History, Level, Table, Verdict, percent, rules,
    slow::{self, Metric},
    stats::{Unusual, change, lost, median, real, steps, unusual},
    together,
};
use crate::model::Sample;

/// Tables of fewer rows are not worth an alarm.
const FEW: u64 = 10;
/// Shares of tables of fewer rows mean little.
const SMALL: u64 = 50;
/// Samples of fewer rows say nothing.
const SAMPLED: u64 = 16;
/// From this share on it is an alarm.
const HALF: f64 = 0.5;
/// A table of which so much is other rows at each run holds nothing for long.
const REPLACED: f64 = 0.9;
/// From this share on it is a notice.
const SOME: f64 = 0.2;

type Tables = BTreeMap<String, Table>;

/// What all rules of databases say.
pub(super) fn judge(history: &History, now: &Facts) -> Vec<Verdict> {
    let past = history.facts();
    let mut verdicts = sequences(&past, now);
    let Some(tables) = &now.tables else { return verdicts };
    let before = past.iter().rev().find_map(|facts| facts.tables.as_ref());
    let Some(before) = before else { return verdicts };
    verdicts.extend(gone(&past, before, tables));
    verdicts.extend(emptied(&past, now, before, tables));
    let (mut less, mut rewritten, mut sealed) = (Vec::new(), Vec::new(), Vec::new());
    let (mut shrinking, mut changing) = (Vec::new(), Vec::new());
    for (name, was) in before {
        let Some(is) = tables.get(name) else { continue };
        less.extend(fewer(&past, now, name, (was, is)));
        rewritten.extend(altered(&past, now, name, (was, is)));
        sealed.extend(columns_sealed(name, was, is));
        shrinking.extend(slowly(history, now, name, was));
        changing.extend(slowly_altered(history, now, name, was));
    }
    verdicts.extend(together(&rules::ROWS_LOST, less));
    verdicts.extend(together(&rules::ROWS_REWRITTEN, rewritten));
    verdicts.extend(together(&rules::COLUMNS_SEALED, sealed));
    verdicts.extend(together(&rules::ROWS_SHRINKING, shrinking));
    verdicts.extend(together(&rules::ROWS_CHANGING, changing));
    verdicts.extend(together(&rules::ROWS_CHANGED, static_ones(&past, before, tables)));
    verdicts
}

fn table<'a>(facts: &'a Facts, name: &str) -> Option<&'a Table> {
    facts.tables.as_ref()?.get(name)
}

/// A name without its numbers: `events_2026_01` and `events_2026_02` are of one kind.
pub(super) fn shape(name: &str) -> String {
    let mut shape = String::with_capacity(name.len());
    for letter in name.chars() {
        match letter {
            '0'..='9' if shape.ends_with('#') => {}
            '0'..='9' => shape.push('#'),
            other => shape.push(other),
        }
    }
    shape
}

/// Column definitions, without their order.
fn columns(table: &Table) -> BTreeSet<&str> {
    table.columns.as_deref().map(|columns| columns.split(", ").collect()).unwrap_or_default()
}

/// Whether the rows of one table are those of another, or as many in much the same columns.
fn is_moved(was: &Table, is: &Table) -> bool {
    if was.hash.is_some() && was.hash == is.hash && was.rows == is.rows {
        return true;
    }
    let near = |share: f64| {
        real(is.rows) >= real(was.rows) * (1.0 - share) && real(is.rows) <= real(was.rows) * (1.0 + share) + 1.0
    };
    if let (Some(was), Some(is)) = (&was.sample, &is.sample) {
        let (all, there) = was.still_in(is);
        if all >= SAMPLED && there * 2 >= all {
            return true;
        }
    }
    let (old, new) = (columns(was), columns(is));
    if old.is_empty() || new.is_empty() || was.columns.as_deref().is_some_and(|c| !c.contains(' ')) {
        return was.columns == is.columns && near(0.1) || near(0.02);
    }
    let common = old.intersection(&new).count();
    old == new && near(0.1) || common * 2 >= old.len() && near(0.05)
}

fn all_rows(tables: &Tables) -> u64 {
    tables.values().map(|table| table.rows).fold(0, u64::saturating_add)
}

/// The tables of `before` that are not in `after`, whose rows are in no new one and which do not rotate.
fn really_gone<'a>(before: &'a Tables, after: &Tables) -> (Vec<&'a String>, Vec<(&'a String, String)>) {
    let count = |tables: &Tables| {
        let mut shapes: BTreeMap<String, u64> = BTreeMap::new();
        for name in tables.keys() {
            *shapes.entry(shape(name)).or_default() += 1;
        }
        shapes
    };
    let (shapes_before, shapes_after) = (count(before), count(after));
    let new: Vec<(&String, &Table)> = after.iter().filter(|(name, _)| !before.contains_key(*name)).collect();
    let (mut gone, mut moved) = (Vec::new(), Vec::new());
    for (name, was) in before.iter().filter(|(name, _)| !after.contains_key(*name)) {
        let shape = shape(name);
        let (siblings, left) = (shapes_before.get(&shape).copied(), shapes_after.get(&shape).copied());
        let rotates = shape.contains('#') && left.unwrap_or_default() * 2 >= siblings.unwrap_or_default();
        match new.iter().find(|(_, is)| was.rows > 0 && is_moved(was, is)) {
            Some((to, _)) => moved.push((name, (*to).clone())),
            None if rotates || was.rows == 0 => {}
            None => gone.push(name),
        }
    }
    (gone, moved)
}

fn gone(past: &[&Facts], before: &Tables, after: &Tables) -> Vec<Verdict> {
    let (names, moved) = really_gone(before, after);
    let rows_of = |tables: &Tables, names: &[&String]| {
        names.iter().filter_map(|name| tables.get(*name)).map(|table| table.rows).fold(0, u64::saturating_add)
    };
    let (rows, all) = (rows_of(before, &names), all_rows(before));
    let share = real(rows) / real(all.max(1));
    let known = past.windows(2).any(|pair| {
        let [Some(a), Some(b)] = [pair.first(), pair.get(1)].map(|f| f.and_then(|f| f.tables.as_ref())) else {
            return false;
        };
        let (names_then, _) = really_gone(a, b);
        let share_then = real(rows_of(a, &names_then)) / real(all_rows(a).max(1));
        !names_then.is_empty() && share_then * 2.0 >= share && names_then.len() * 2 >= names.len()
    });
    let mut found: Vec<Found> = moved
        .into_iter()
        .map(|(from, to)| Found {
            level: Level::Notice,
            subject: from.clone(),
            words: format!("table {from} is now called {to}, by its rows and columns"),
        })
        .collect();
    if after.is_empty() && !before.is_empty() && all > 0 {
        let words = format!("no table is left of {}, which held {all} rows together", before.len());
        found.push(Found { level: Level::Alarm, subject: "all tables".to_owned(), words });
        return together(&rules::TABLES_GONE, found);
    }
    for name in &names {
        let rows = before.get(*name).map_or(0, |table| table.rows);
        let level = if rows < FEW && names.len() < 3 || known { Level::Notice } else { Level::Alarm };
        let words = format!("table {name} is gone, which held {rows} rows");
        found.push(Found { level, subject: (*name).clone(), words });
    }
    together(&rules::TABLES_GONE, found)
}

/// Whether next to nothing is left.
const fn is_emptied(was: u64, is: u64) -> bool {
    was >= FEW && is <= was / 100
}

fn emptied(past: &[&Facts], now: &Facts, before: &Tables, after: &Tables) -> Vec<Verdict> {
    let both = || before.iter().filter_map(|(name, was)| Some((name, was, after.get(name)?)));
    let held = both().filter(|(_, was, _)| was.rows > 0).count();
    let nothing = held >= 2 && all_rows(before) >= FEW && both().all(|(_, _, is)| is.rows == 0);
    let new: Vec<&Table> = after.iter().filter(|(name, _)| !before.contains_key(*name)).map(|(_, t)| t).collect();
    let mut found = Vec::new();
    for (name, was, is) in both().filter(|(_, was, is)| is_emptied(was.rows, is.rows)) {
        let rows = |a: &Facts, b: &Facts| Some(lost(table(a, name)?.rows, table(b, name)?.rows));
        let (all, same_day) = steps(past, now, rows);
        // Nothing but having been emptied before excuses it.
        let before = all.iter().any(|share| *share >= 0.98);
        let level = match unusual(lost(was.rows, is.rows), &all, &same_day) {
            _ if nothing => Level::Alarm,
            Unusual::No if past.len() >= ENOUGH => continue,
            Unusual::New | Unusual::Known
                if past.len() >= ENOUGH && !before && !new.iter().any(|new| is_moved(was, new)) =>
            {
                Level::Alarm
            }
            _ => Level::Notice,
        };
        let words = match is.rows {
            0 => format!("table {name} is empty and held {} rows in the run before", was.rows),
            left => format!("table {name} holds {left} of the {} rows of the run before", was.rows),
        };
        let never = format!("{words}; in the {} runs before that never happened", past.len());
        let words = if level == Level::Alarm && past.len() >= ENOUGH { never } else { words };
        found.push(Found { level, subject: name.clone(), words });
    }
    together(&rules::ROWS_EMPTIED, found)
}

fn fewer(past: &[&Facts], now: &Facts, name: &str, (was, is): (&Table, &Table)) -> Option<Found> {
    let share = lost(was.rows, is.rows);
    let rows = was.rows.saturating_sub(is.rows);
    if past.len() < ENOUGH || share < SOME || rows < SMALL || is_emptied(was.rows, is.rows) {
        return None;
    }
    let (all, same_day) = steps(past, now, |a, b| Some(lost(table(a, name)?.rows, table(b, name)?.rows)));
    let level = match unusual(share, &all, &same_day) {
        Unusual::New if share >= HALF && !is_replaced(past, now, name) => Level::Alarm,
        Unusual::New => Level::Notice,
        Unusual::Known | Unusual::No => return None,
    };
    let most = all.iter().copied().fold(0.0, f64::max);
    let words = format!(
        "table {name} lost {rows} of {} rows ({}) since the run before; it never lost more than {} at once",
        was.rows,
        percent(share),
        percent(most)
    );
    Some(Found { level, subject: name.to_owned(), words })
}

/// The share of the rows of `was` that are not in `is` as they were.
fn unlike(was: &Table, is: &Table) -> Option<f64> {
    let (all, there) = was.sample.as_ref()?.still_in(is.sample.as_ref()?);
    (all >= SAMPLED).then(|| 1.0 - real(there) / real(all))
}

/// Whether next to no row of a table lives until the next run: nothing in it is old.
fn is_replaced(past: &[&Facts], now: &Facts, name: &str) -> bool {
    let (all, _) = steps(past, now, |a, b| unlike(table(a, name)?, table(b, name)?));
    all.len() >= ENOUGH - 1 && median(&all).is_some_and(|usual| usual >= REPLACED)
}

/// The share that was altered, without those that were deleted.
fn altered_share(was: &Table, is: &Table) -> Option<f64> {
    unlike(was, is).map(|share| (share - lost(was.rows, is.rows)).max(0.0))
}

fn altered(past: &[&Facts], now: &Facts, name: &str, (was, is): (&Table, &Table)) -> Option<Found> {
    let share = altered_share(was, is)?;
    if past.len() < ENOUGH || was.rows < SMALL || share < SOME {
        return None;
    }
    // A migration of the past says nothing of an alteration without one.
    let (all, same_day) = steps(past, now, |a, b| {
        let (a, b) = (table(a, name)?, table(b, name)?);
        if a.columns == b.columns { altered_share(a, b) } else { None }
    });
    let migrated = was.columns != is.columns;
    let level = match unusual(share, &all, &same_day) {
        Unusual::New if share >= HALF && !migrated => Level::Alarm,
        Unusual::New => Level::Notice,
        Unusual::Known | Unusual::No => return None,
    };
    let usual = median(&all).unwrap_or_default();
    let with = if migrated { ", and its columns changed with that" } else { "" };
    let words = format!(
        "about {} of the rows of table {name} ({} rows) are not as they were in the run before{with}; usually {} are altered",
        percent(share),
        was.rows,
        percent(usual)
    );
    Some(Found { level, subject: name.to_owned(), words })
}

/// Whether a definition is of raw bytes.
fn is_bytes(definition: &str) -> bool {
    ["bytea", "blob", "binary", "varbinary", "tinyblob", "mediumblob", "longblob"]
        .iter()
        .any(|kind| definition.to_ascii_lowercase().split([' ', '(']).skip(1).any(|word| word == *kind))
}

fn columns_sealed(name: &str, was: &Table, is: &Table) -> Option<Found> {
    let (old, new) = (columns(was), columns(is));
    if was.rows < FEW || is.rows < FEW || old.is_empty() || was.columns == is.columns {
        return None;
    }
    let of = |definition: &str| definition.split(' ').next().unwrap_or_default().to_owned();
    let lost: Vec<String> = old.difference(&new).filter(|d| !is_bytes(d)).map(|d| of(d)).collect();
    let sealed: Vec<String> = new.difference(&old).filter(|d| is_bytes(d)).map(|d| of(d)).collect();
    if lost.is_empty() || sealed.is_empty() {
        return None;
    }
    // Columns that changed their type, or are gone where others of bytes came.
    let gone =
        lost.iter().all(|column| !new.iter().any(|d| of(d) == *column)) || lost.iter().any(|c| sealed.contains(c));
    let words = format!("column {} of table {name} held something else and is raw bytes now", sealed.join(", "));
    gone.then(|| Found { level: Level::Alarm, subject: name.to_owned(), words })
}

/// A table's sample, comparable to one of the same columns.
fn sample<'a>(facts: &'a Facts, name: &str) -> Option<(&'a Sample, Option<&'a str>)> {
    let table = table(facts, name)?;
    Some((table.sample.as_ref()?, table.columns.as_deref()))
}

fn slow_level(known: bool) -> Level {
    if known { Level::Notice } else { Level::Alarm }
}

fn slowly(history: &History, now: &Facts, name: &str, was: &Table) -> Option<Found> {
    let metric = |a: &Facts, b: &Facts| change(table(a, name)?.rows, table(b, name)?.rows);
    let what = (rules::ROWS_SHRINKING.name, name);
    let slow = slow::look(history, now, what, Metric::Counted(&metric)).filter(|_| was.rows >= SMALL)?;
    let words = format!(
        "table {name} lost {} of its rows over {}, a little each time, and is at {} now",
        percent(slow.lost),
        slow.over(),
        table(now, name)?.rows
    );
    Some(Found { level: slow_level(slow.known), subject: name.to_owned(), words })
}

fn slowly_altered(history: &History, now: &Facts, name: &str, was: &Table) -> Option<Found> {
    let what = (rules::ROWS_CHANGING.name, name);
    let metric = Metric::Sampled(&|facts| sample(facts, name), SAMPLED);
    let slow = slow::look(history, now, what, metric).filter(|_| was.rows >= SMALL)?;
    let words = format!(
        "{} of the rows of table {name} were altered or deleted over {}, a little each time and more than usual",
        percent(slow.lost),
        slow.over()
    );
    Some(Found { level: slow_level(slow.known), subject: name.to_owned(), words })
}

/// Tables that never changed and have now, where nothing is known of their rows.
fn static_ones(past: &[&Facts], before: &Tables, after: &Tables) -> Vec<Found> {
    let settled: Vec<(&String, &Table)> = before
        .iter()
        .filter(|(name, was)| {
            let same = |facts: &&Facts| table(facts, name).is_some_and(|t| t.hash == was.hash && t.rows == was.rows);
            was.hash.is_some() && was.sample.is_none() && was.rows >= FEW && past.iter().all(same)
        })
        .collect();
    if past.len() < ENOUGH {
        return Vec::new();
    }
    let is_changed = |name: &String, was: &Table| {
        after.get(name).is_some_and(|is| {
            is.hash != was.hash && is.columns == was.columns && is.rows.abs_diff(was.rows) * 5 <= was.rows
        })
    };
    let changed: Vec<&String> = settled.iter().filter(|(n, was)| is_changed(n, was)).map(|(name, _)| *name).collect();
    let level = if changed.len() >= 3 && changed.len() * 2 >= settled.len() { Level::Alarm } else { Level::Notice };
    let words = |name: &String| format!("table {name} changed, which it did not in {} runs", past.len());
    changed.into_iter().map(|name| Found { level, subject: name.clone(), words: words(name) }).collect()
}

/// Whether another database stands in the place of the one before: most tables hold other rows. Its numbers are its own, and what
/// became of the rows is another rule's. An older copy has most rows of the one that it replaced.
fn are_others(last: &Facts, now: &Facts) -> bool {
    let tables = last.tables.iter().flatten().filter(|(_, was)| was.rows >= SMALL);
    let shares: Vec<f64> = tables.filter_map(|(name, was)| unlike(was, table(now, name)?)).collect();
    !shares.is_empty() && shares.iter().filter(|share| **share >= REPLACED).count() * 2 > shares.len()
}

fn sequences(past: &[&Facts], now: &Facts) -> Vec<Verdict> {
    let Some(last) = past.last().filter(|_| past.len() >= 2) else { return Vec::new() };
    let back = |a: &Facts, b: &Facts| -> Vec<String> {
        let fell = |name: &String, is: &i64| a.sequences.get(name).is_some_and(|was| is < was);
        b.sequences.iter().filter(|(name, is)| fell(name, is)).map(|(name, _)| name.clone()).collect()
    };
    let names = back(last, now);
    let known = past.windows(2).any(|pair| match pair {
        [a, b] => back(a, b).len() * 2 >= names.len().max(1),
        _ => false,
    });
    let level = if known || are_others(last, now) { Level::Notice } else { Level::Alarm };
    let found = names.into_iter().filter_map(|name| {
        let (was, is) = (last.sequences.get(&name)?, now.sequences.get(&name)?);
        let words = format!("{name} stood at {was} in the run before and is at {is}: it went back");
        Some(Found { level, subject: name, words })
    });
    together(&rules::SEQUENCES_BACK, found.collect())
}
