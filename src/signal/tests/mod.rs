//! Each rule at its thresholds: the least that it speaks of, and what is just less. Lives and attacks as a whole are
//! `tests/signals.rs`.

mod files;
mod history;
mod refs;
mod sizes;
mod slow;
mod stats;
mod tables;
mod when;

use std::collections::BTreeMap;

use super::{Facts, History, Level, Table, Verdict, judge, rules::Rule};
use crate::model::{Sample, Time};

const DAY: i64 = 86_400;

/// A day at two in the morning; day 0 is a Monday.
fn at(day: i64) -> Time {
    Time::from_unix(1_767_578_400 + day * DAY)
}

fn run(day: i64) -> Facts {
    Facts::new(at(day), 1000, 1)
}

fn history(runs: &[Facts]) -> History {
    let mut history = History::default();
    for facts in runs {
        history.push(facts.clone(), &[]);
    }
    history
}

/// What a rule says of the run after these, the loudest first.
fn said(runs: &[Facts], now: &Facts, rule: &Rule) -> Vec<Verdict> {
    judge(&history(runs), now).into_iter().filter(|verdict| verdict.rule == rule.name).collect()
}

/// How loud it is, if it says anything.
fn level(runs: &[Facts], now: &Facts, rule: &Rule) -> Option<Level> {
    said(runs, now, rule).first().map(|verdict| verdict.level)
}

/// So many runs, a day apart, made by `make` out of the day.
fn days(count: i64, make: impl Fn(i64) -> Facts) -> Vec<Facts> {
    (0..count).map(make).collect()
}

/// A sample of things that have these numbers.
fn sample(things: impl IntoIterator<Item = u64>) -> Sample {
    Sample::of(things.into_iter().map(|thing| thing.wrapping_mul(0x9e37_79b9_7f4a_7c15)), u64::MAX, 1024)
}

/// A run of these tables.
fn tables<const N: usize>(day: i64, tables: [(&str, Table); N]) -> Facts {
    let tables: BTreeMap<String, Table> = tables.into_iter().map(|(name, table)| (name.to_owned(), table)).collect();
    Facts { tables: Some(tables), ..run(day) }
}

fn rows(rows: u64) -> Table {
    Table { rows, ..Table::default() }
}
