//! What goes a little at a time.

use super::{
    super::{Facts, History, Level, Table, Verdict, judge, rules},
    DAY, at, days, level, rows, run, said, sample, tables,
};
use crate::model::Time;

/// A table of a thousand rows that loses so many on each day from `begin` on, after nothing changed.
fn shrinking(begin: usize, lost: &[u64]) -> Vec<Facts> {
    let mut left = 1000;
    let mut all: Vec<Facts> = (0..begin).zip(0..).map(|(_, day)| tables(day, [("t", rows(left))])).collect();
    for (lost, day) in lost.iter().zip(i64::try_from(begin).unwrap()..) {
        left -= lost;
        all.push(tables(day, [("t", rows(left))]));
    }
    all
}

fn told(begin: usize, lost: &[u64]) -> Option<Level> {
    let mut all = shrinking(begin, lost);
    let now = all.pop().unwrap();
    level(&all, &now, &rules::ROWS_SHRINKING)
}

#[test]
fn three_in_a_hundred_in_five_steps_are_told() {
    assert_eq!((told(31, &[6; 5]), told(31, &[6, 6, 6, 6, 5])), (Some(Level::Alarm), None));
    // The less is known of what is usual, the more it takes, and of less than four steps nothing is usual.
    assert_eq!((told(5, &[7, 7, 6, 6, 6]), told(5, &[7, 6, 6, 6, 6])), (Some(Level::Alarm), None));
    assert_eq!((told(4, &[20; 5]), told(5, &[20; 5])), (None, Some(Level::Alarm)));
}

#[test]
fn four_steps_of_five_must_lose_and_none_be_most_of_it() {
    assert_eq!((told(31, &[20, 20, 20, 20, 0]), told(31, &[27, 27, 26, 0, 0])), (Some(Level::Alarm), None));
    assert_eq!(
        (told(31, &[33, 33, 30, 4, 0]), told(31, &[33, 33, 30, 2, 0])),
        (Some(Level::Alarm), None),
        "next to nothing"
    );
    assert_eq!((told(31, &[23, 5, 4, 4, 4]), told(31, &[25, 4, 4, 4, 3])), (Some(Level::Alarm), None), "at once");
}

#[test]
fn what_went_so_before_is_no_alarm_unless_it_was_much_less() {
    let twice = |first: u64, second: u64| {
        let quiet = [0; 15];
        told(10, &[[first; 5].as_slice(), &quiet, &[second; 5]].concat())
    };
    assert_eq!(
        (twice(20, 20), twice(20, 28), twice(20, 30)),
        (Some(Level::Notice), Some(Level::Notice), Some(Level::Alarm))
    );
    // What is lost in every week is usual.
    assert_eq!(told(6, &[10; 30]), None);
    let weekly: Vec<u64> = (0..30).map(|day| if day % 7 < 4 { 8 } else { 0 }).collect();
    assert_eq!(told(2, &weekly), None);
}

#[test]
fn it_is_told_once() {
    let (mut history, mut alarms) = (History::default(), Vec::new());
    for (facts, day) in shrinking(20, &[10; 9]).into_iter().zip(0..) {
        let verdicts: Vec<Verdict> = judge(&history, &facts);
        if verdicts.iter().any(|v| v.rule == rules::ROWS_SHRINKING.name && v.level == Level::Alarm) {
            alarms.push(day);
        }
        history.push(facts, &verdicts);
    }
    assert_eq!(alarms.len(), 1, "{alarms:?}");
}

/// Runs a quarter of a day apart; each day loses so much.
fn by_quarters(lost: u64, days: i64) -> Vec<Facts> {
    (0..(days + 20) * 4)
        .map(|quarter| {
            let gone = u64::try_from((quarter / 4 - 19).max(0)).unwrap() * lost;
            let at = Time::from_unix(at(0).unix() - 7200 + quarter * DAY / 4);
            Facts { at, ..tables(0, [("t", rows(1000 - gone))]) }
        })
        .collect()
}

#[test]
fn several_runs_a_day_are_looked_at_by_the_day_as_well() {
    let mut all = by_quarters(20, 5);
    let now = all.pop().unwrap();
    let verdicts = said(&all, &now, &rules::ROWS_SHRINKING);
    assert_eq!(verdicts[0].level, Level::Alarm);
    assert!(verdicts[0].words.contains("lost 10% of its rows over 5 runs of 5 days"), "{}", verdicts[0].words);
    let mut few = by_quarters(5, 5);
    let now = few.pop().unwrap();
    assert_eq!(said(&few, &now, &rules::ROWS_SHRINKING), []);
    // Within a day.
    let minutes =
        |no: i64, count: u64| Facts { at: Time::from_unix(at(0).unix() + no * 60), ..tables(0, [("t", rows(count))]) };
    let past: Vec<Facts> =
        (0..24).map(|no| minutes(no, if no < 20 { 1000 } else { 1000 - 20 * (no - 19).unsigned_abs() })).collect();
    let words = &said(&past, &minutes(24, 900), &rules::ROWS_SHRINKING)[0].words;
    assert!(words.contains("over 5 runs, a little"), "{words}");
}

/// A table of so many rows, with a sample of a thousand: those from `from` on.
fn altered(day: i64, count: u64, from: u64, columns: &str) -> Facts {
    let sample = Some(sample(from..from + 1000));
    tables(day, [("t", Table { sample, columns: Some(columns.to_owned()), ..rows(count) })])
}

#[test]
fn rows_that_are_altered_a_few_each_day_are_told() {
    let from = |day: i64| (day - 20).max(0).unsigned_abs() * 20;
    let of = |count: u64| {
        let past = days(25, |day| altered(day, count, from(day), "a int"));
        said(&past, &altered(25, count, from(25), "a int"), &rules::ROWS_CHANGING)
    };
    let verdicts = of(1000);
    assert_eq!((verdicts[0].level, verdicts[0].subjects.as_slice()), (Level::Alarm, ["t".to_owned()].as_slice()));
    assert!(verdicts[0].words.starts_with("10% of the rows of table t were altered or deleted over 5 runs of 5 days"));
    assert_eq!((of(50).len(), of(49).len()), (1, 0), "a small table");
    // Samples of other columns are of other things.
    let past = days(25, |day| altered(day, 1000, from(day), if day < 23 { "a int" } else { "a int, b int" }));
    assert_eq!(said(&past, &altered(25, 1000, from(25), "a int, b int"), &rules::ROWS_CHANGING), []);
    let back = days(25, |day| altered(day, 1000, from(day), if day == 9 { "a int, b int" } else { "a int" }));
    assert_eq!(said(&back, &altered(25, 1000, from(25), "a int"), &rules::ROWS_CHANGING).len(), 1);
}

#[test]
fn what_is_altered_as_ever_is_not_told() {
    let past = days(25, |day| altered(day, 1000, day.unsigned_abs() * 20, "a int"));
    assert_eq!(said(&past, &altered(25, 1000, 500, "a int"), &rules::ROWS_CHANGING), []);
    assert_eq!(said(&past, &run(25), &rules::ROWS_CHANGING), []);
}

/// What a busy week does: `orders` gain so many rows a day, and so many of a thousand old rows are altered.
#[test]
fn whoever_has_thrice_the_orders_alters_thrice_the_rows() {
    let told = |busy: u64| {
        let of = |day: i64, orders: u64| {
            let late = (day - 29).max(0).unsigned_abs();
            let mut facts = altered(day, 1000, day.unsigned_abs() * 6 + late * 12, "a int");
            facts.tables.as_mut().unwrap().insert("orders".to_owned(), rows(orders));
            facts
        };
        let past =
            days(34, |day| of(day, 100 * (day.min(29) + 1).unsigned_abs() + busy * (day - 29).max(0).unsigned_abs()));
        level(&past, &of(34, 3000 + busy * 5), &rules::ROWS_CHANGING)
    };
    assert_eq!((told(100), told(400)), (Some(Level::Alarm), None));
}

#[test]
fn what_was_told_before_is_known_up_to_thrice_as_much() {
    let replayed = |second: u64| {
        let (mut history, mut told) = (History::default(), Vec::new());
        for facts in shrinking(10, &[[20; 5].as_slice(), &[0; 15], &[second; 5]].concat()) {
            let verdicts: Vec<Verdict> = judge(&history, &facts);
            told.extend(verdicts.iter().filter(|v| v.rule == rules::ROWS_SHRINKING.name).map(|v| v.level));
            history.push(facts, &verdicts);
        }
        told
    };
    let (again, louder) = (vec![Level::Alarm, Level::Notice], vec![Level::Alarm, Level::Alarm]);
    assert_eq!((replayed(20), replayed(30), replayed(60)), (again.clone(), again, louder));
}
