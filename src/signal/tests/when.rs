//! When runs come.

use std::collections::BTreeMap;

use super::{
    super::{Facts, History, Level, flood, quiet, rules},
    DAY, at, history, run,
};
use crate::model::{Span, Time};

/// After how many seconds without a run somebody is told, looked for second by second around where that is expected.
fn told_after(history: &History, seconds: i64) -> bool {
    let last = history.last().unwrap().at.unix();
    let speaks = |after: i64| quiet(history, Time::from_unix(last + after), None);
    let verdict = speaks(seconds + 1);
    assert!(verdict.as_ref().is_none_or(|v| v.rule == rules::RUNS_QUIET.name && v.level == Level::Alarm));
    speaks(seconds).is_none() && verdict.is_some()
}

fn runs(every: i64, count: i64) -> Vec<Facts> {
    (0..count).map(|no| Facts::new(Time::from_unix(at(0).unix() + no * every), 1000, 1)).collect()
}

#[test]
fn what_is_configured_may_be_late_by_half() {
    let one = history(&runs(3600, 1));
    let after = |seconds: i64| {
        let now = Time::from_unix(at(0).unix() + seconds);
        quiet(&one, now, Some(Span::days(1))).map(|verdict| verdict.words)
    };
    assert_eq!(after(DAY * 3 / 2), None);
    assert!(after(DAY * 3 / 2 + 1).unwrap().contains("one is expected every 1d"));
    assert_eq!(quiet(&History::default(), at(9), Some(Span::days(1))), None);
}

#[test]
fn what_is_not_configured_may_be_late_by_what_is_usual() {
    // Every day of the week: twice and a quarter as long as usual.
    assert!(told_after(&history(&runs(DAY, 10)), DAY * 9 / 4));
    assert!(told_after(&history(&runs(DAY, 9)), DAY * 9 / 4));
    assert!(told_after(&history(&runs(3600, 200)), 8100));
    assert!(told_after(&history(&runs(600, 200)), 7200), "two hours are no matter");
    // Where next to nothing is known nothing is said.
    assert_eq!(quiet(&history(&runs(DAY, 4)), at(400), None), None);
    assert!(quiet(&history(&runs(DAY, 5)), at(400), None).is_some());
    let words = quiet(&history(&runs(DAY, 10)), at(12), None).unwrap().words;
    assert!(
        words.contains("3 d ago, and they usually come 24 h 0 min after each other and hardly ever more than 24 h"),
        "{words}"
    );
}

#[test]
fn an_interval_that_was_seen_may_come_again_unless_it_was_an_outage() {
    let with = |gap: i64, after: i64| {
        let mut all = runs(DAY, 3);
        let from = all.last().unwrap().at.unix() + gap;
        all.extend((0..after).map(|no| Facts::new(Time::from_unix(from + no * DAY), 1000, 1)));
        history(&all)
    };
    assert!(told_after(&with(3 * DAY, 8), 3 * DAY * 5 / 4));
    assert!(told_after(&with(3 * DAY + 1, 8), DAY * 9 / 4), "an outage");
    // Thirty intervals are looked at.
    assert!(told_after(&with(3 * DAY, 30), 3 * DAY * 5 / 4));
    assert!(told_after(&with(3 * DAY, 31), DAY * 9 / 4));
}

#[test]
fn no_run_is_missed_on_a_weekend_where_none_was_ever_made() {
    let weekdays = |last: i64| history(&(0..=last).filter(|day| day % 7 < 5).map(run).collect::<Vec<_>>());
    // From Friday on: Saturday and Sunday do not count, and three days between two runs are usual.
    assert!(told_after(&weekdays(11), 2 * DAY + 3 * DAY * 5 / 4));
    // From Monday on there is no weekend before Friday.
    assert!(told_after(&weekdays(14), 3 * DAY * 5 / 4));
    let all = history(&(0..14).map(run).collect::<Vec<_>>());
    assert!(told_after(&all, DAY * 9 / 4));
}

#[test]
fn a_flood_is_many_runs_and_many_more_than_on_any_day_before() {
    let told = |before: u64, days: i64, today: u64| {
        let mut all: BTreeMap<i64, u64> = (0..days).map(|day| (day, before)).collect();
        all.insert(100, today);
        // What comes later says nothing of it.
        all.insert(101, 1000);
        flood(&all, 100).map(|verdict| (verdict.rule, verdict.level, verdict.words))
    };
    let (rule, level, words) = told(2, 5, 10).unwrap();
    assert_eq!((rule.as_str(), level), (rules::RUNS_FLOOD.name, Level::Alarm));
    assert!(words.contains("10 snapshots") && words.contains("more than 2 in a day"), "{words}");
    assert_eq!(told(1, 5, 9), None, "not many");
    assert!(told(3, 5, 15).is_some() && told(3, 5, 14).is_none());
    assert_eq!(told(2, 4, 10), None, "little is known");
    assert_eq!(flood(&[(1, 5)].into(), 2), None);
}
