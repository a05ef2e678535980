//! What is remembered, and what was told.

use super::{
    super::{Facts, Files, History, Level, Table, Verdict},
    DAY, at, run, sample,
};
use crate::model::Time;

fn verdict(level: Level) -> Verdict {
    Verdict { rule: "rule".to_owned(), level, subjects: vec!["a".to_owned(), "b".to_owned()], words: String::new() }
}

#[test]
fn what_was_told_is_remembered_by_rule_subject_and_level() {
    let mut history = History::default();
    assert!(history.is_empty() && history.last().is_none());
    history.push(run(0), &[verdict(Level::Notice)]);
    history.push(run(1), &[verdict(Level::Alarm)]);
    history.push(run(2), &[]);
    assert_eq!((history.len(), history.is_empty()), (3, false));
    assert_eq!(history.last().unwrap().at, at(2));
    assert_eq!(history.last_calm().unwrap().at, at(2));
    assert!(history.ever("rule", "b") && !history.ever("rule", "c") && !history.ever("other", "a"));
    let today = run(3).day();
    let lately = |runs: usize, day: i64, subject: &str| history.lately((runs, day), "rule", subject);
    assert_eq!(lately(2, today, "a"), Some(Level::Alarm));
    assert_eq!(lately(1, today, "a"), None, "a run ago, and two days");
    assert_eq!(lately(1, today - 1, "a"), None);
    assert_eq!(lately(1, today - 2, "a"), Some(Level::Alarm), "on that day");
    assert_eq!(lately(3, today, "c"), None);
    history.push(run(3), &[verdict(Level::Alarm)]);
    assert_eq!(history.last_calm().unwrap().at, at(2));
}

#[test]
fn a_notice_is_less_than_an_alarm_before_it() {
    let mut history = History::default();
    history.push(run(0), &[verdict(Level::Notice)]);
    assert_eq!(history.lately((9, run(1).day()), "rule", "a"), Some(Level::Notice));
    assert!(!history.ever("rule", "a"));
    history.push(run(1), &[verdict(Level::Alarm)]);
    history.push(run(2), &[verdict(Level::Notice)]);
    assert_eq!(history.lately((9, run(3).day()), "rule", "a"), Some(Level::Alarm));
}

#[test]
fn of_runs_further_back_the_last_of_each_day_stays() {
    let mut history = History::default();
    for hour in 0..24 * 4 {
        history.push(Facts::new(Time::from_unix(at(0).unix() - 7200 + hour * 3600), 1000, 1), &[]);
    }
    let hours: Vec<i64> = history.iter().map(|facts| (facts.at.unix() - (at(0).unix() - 7200)) / 3600).collect();
    let newest: Vec<i64> = (81..96).collect();
    // Three days that are over, and of the fourth what stood before the newest fifteen.
    assert_eq!(hours, [vec![23, 47, 71, 80], newest].concat());
}

#[test]
fn sixty_runs_stay_and_fourteen_of_them_whole() {
    let mut history = History::default();
    for day in 0..70 {
        let table = Table { rows: 1, sample: Some(sample(0..1024)), ..Table::default() };
        let (names, contents) = (sample(0..1024), sample(0..1024));
        let files = Some(Files { count: 1024, empty: 0, names, contents });
        let tables = Some([("t".to_owned(), table)].into());
        history.push(Facts { tables, files, ..run(day) }, &[]);
    }
    let runs: Vec<&Facts> = history.iter().collect();
    assert_eq!((runs.len(), runs[0].at, runs[59].at.unix() - runs[0].at.unix()), (60, at(10), 59 * DAY));
    let full = |facts: &Facts| {
        let files = facts.files.as_ref().unwrap();
        let table = facts.tables.as_ref().unwrap()["t"].sample.as_ref().unwrap();
        [table.len(), files.names.len(), files.contents.len()]
    };
    assert_eq!(full(runs[46]), [1024; 3]);
    assert!(full(runs[45]).iter().all(|count| (500..=512).contains(count)), "{:?}", full(runs[45]));
}
