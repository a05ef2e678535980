//! What is usual.

use super::super::{
    percent,
    stats::{Unusual, change, is_beyond, lost, median, quantile, spread, steps, unusual},
};
use super::{Level, at, run, said};

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-9
}

#[test]
fn shares_are_of_what_was() {
    assert!(near(lost(100, 40), 0.6) && near(lost(0, 5), 0.0) && near(lost(5, 9), 0.0));
    assert!(near(change(100, 40).unwrap(), 0.6) && near(change(100, 150).unwrap(), -0.5));
    assert_eq!(change(0, 1), None);
    assert_eq!([0.0, 0.001, 0.0994, 0.0996, 0.5].map(percent), ["0%", "0.1%", "9.9%", "10%", "50%"]);
}

#[test]
fn the_middle_the_scatter_and_the_quantiles() {
    let five = [5.0, 1.0, 3.0, 2.0, 4.0, f64::NAN];
    assert!(near(median(&five).unwrap(), 3.0) && near(median(&five[..4]).unwrap(), 2.5));
    assert!(near(spread(&five[..5]), 1.4826) && near(spread(&[]), 0.0));
    let at = |share: f64| quantile(&five, share).unwrap();
    assert!(near(at(0.0), 1.0) && near(at(0.75), 4.0) && near(at(1.0), 5.0) && near(at(0.6), 3.0));
    assert_eq!(quantile(&[], 0.5), None);
}

#[test]
fn unusual_is_what_lies_far_beyond_what_is_usual() {
    let quiet = [0.0; 9];
    assert!(!is_beyond(0.03, &quiet) && is_beyond(0.0301, &quiet) && is_beyond(0.0, &[]));
    let busy = [0.0, 0.01, 0.02, 0.03, 0.04];
    assert!(!is_beyond(0.108, &busy) && is_beyond(0.11, &busy));
}

#[test]
fn what_a_weekday_does_excuses_it_on_that_day_alone() {
    let quiet = [0.0; 20];
    assert_eq!(unusual(0.5, &quiet, &[0.5, 0.5, 0.5]), Unusual::No);
    assert_eq!(unusual(0.5, &quiet, &[0.5, 0.5]), Unusual::New, "twice is no habit");
    assert_eq!(unusual(0.5, &quiet, &[0.0, 0.0, 0.0]), Unusual::New);
    assert_eq!(unusual(0.01, &quiet, &[0.0, 0.0, 0.0]), Unusual::No);
}

#[test]
fn a_loss_excuses_one_that_goes_not_much_deeper() {
    let after = |before: f64, step: f64| unusual(step, &[vec![0.0; 20], vec![before]].concat(), &[]);
    assert_eq!((after(0.4, 0.72), after(0.4, 0.725)), (Unusual::Known, Unusual::New));
    assert_eq!((after(0.95, 1.0), after(0.9, 1.0)), (Unusual::Known, Unusual::New));
    assert_eq!(
        (after(0.05, 0.1), after(0.0501, 0.1)),
        (Unusual::New, Unusual::Known),
        "next to nothing excuses nothing"
    );
}

#[test]
fn steps_are_told_by_the_day_on_which_they_ended() {
    let runs: Vec<_> = (0..15).map(run).collect();
    let past: Vec<_> = runs.iter().collect();
    let number = |no: i64| f64::from(i32::try_from(no).unwrap());
    let (all, same_day) = steps(&past, &run(15), |a, b| (b.at > at(2)).then(|| number(2 * b.day() - a.day())));
    let day = |no: i64| number(run(no).day() + 1);
    assert_eq!((all.len(), all[0], same_day), (12, day(3), vec![day(8)]));
}

#[test]
fn many_findings_of_a_rule_are_one_verdict_of_each_level() {
    let rule = &super::super::rules::TABLES_GONE;
    let name = |no: u64| format!("t{}", ["a", "b", "c", "d", "e", "f", "g"][usize::try_from(no).unwrap()]);
    let mut before = super::tables(0, [("kept", super::rows(10_000))]);
    before.tables.as_mut().unwrap().extend((0..7).map(|no| (name(no), super::rows(100 + no * 100))));
    let now = super::tables(1, [("kept", super::rows(10_000))]);
    let verdicts = said(std::slice::from_ref(&before), &now, rule);
    assert_eq!((verdicts.len(), verdicts[0].level, verdicts[0].subjects.len()), (1, Level::Alarm, 7));
    assert!(verdicts[0].words.ends_with("; and 2 more") && verdicts[0].words.matches("is gone").count() == 5);
    before.tables.as_mut().unwrap().retain(|name, _| name == "kept" || name < &"tf".to_owned());
    let verdicts = said(&[before], &now, rule);
    assert_eq!((verdicts[0].subjects.len(), verdicts[0].words.contains("more")), (5, false));
}

#[test]
fn of_very_many_findings_a_hundred_are_remembered() {
    let mut before = super::tables(0, [("kept", super::rows(10_000))]);
    let name = |no: u8| format!("t{}{}", char::from(b'a' + no / 26), char::from(b'a' + no % 26));
    before.tables.as_mut().unwrap().extend((0..101).map(|no| (name(no), super::rows(300 + 50 * u64::from(no)))));
    let now = super::tables(1, [("kept", super::rows(10_000))]);
    let verdicts = said(&[before], &now, &super::super::rules::TABLES_GONE);
    assert_eq!(verdicts[0].subjects.len(), 100);
    assert!(verdicts[0].words.ends_with("and 96 more"));
}

#[test]
fn levels_are_spelled_as_in_json() {
    for level in [Level::Notice, Level::Alarm] {
        assert_eq!(serde_json::to_value(level).unwrap(), level.as_str());
    }
}
