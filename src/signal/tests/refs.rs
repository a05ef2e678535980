//! Branches and tags.

use super::{
    super::{Facts, Level, Refs, Verdict, rules, unit},
    days, run, said,
};

/// A repository that stands on `main`, with these branches and so many tags.
fn refs(units: &[(&str, u64)], tags: u64) -> Refs {
    let units = units.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
    Refs { default: Some("main".to_owned()), default_there: true, units, tags, ..Refs::default() }
}

fn facts(day: i64, refs: Refs) -> Facts {
    Facts { refs: Some(refs), ..run(day) }
}

fn told(runs: i64, before: &Refs, now: Refs, rule: &rules::Rule) -> Vec<(Level, Vec<String>)> {
    let all: Vec<Verdict> = said(&days(runs, |day| facts(day, before.clone())), &facts(runs, now), rule);
    all.into_iter().map(|verdict| (verdict.level, verdict.subjects)).collect()
}

fn one(level: Level, subject: &str) -> Vec<(Level, Vec<String>)> {
    vec![(level, vec![subject.to_owned()])]
}

#[test]
fn branches_that_begin_alike_are_one_thing() {
    assert_eq!(["main", "dependabot/npm/x", "a/"].map(unit), ["main", "dependabot/", "a/"]);
}

#[test]
fn the_branch_that_a_repository_stands_on_stays() {
    let before = refs(&[("main", 1), ("dev", 1)], 0);
    let default = |now: Refs| told(6, &before, now, &rules::REFS_DEFAULT);
    assert_eq!(default(before.clone()), []);
    let gone = Refs { default_there: false, ..refs(&[("dev", 1)], 0) };
    assert_eq!(default(gone.clone()), one(Level::Alarm, "main"));
    let on = |name: &str, units: &[(&str, u64)]| Refs { default: Some(name.to_owned()), ..refs(units, 0) };
    assert_eq!(default(on("dev", &[("main", 1), ("dev", 1)])), one(Level::Notice, "main"));
    assert_eq!(default(on("dev", &[("dev", 1)])), one(Level::Alarm, "main"));
    assert_eq!(default(on("trunk", &[("trunk", 1), ("dev", 1)])), one(Level::Notice, "main"), "it was renamed");
    let nowhere = Refs { default_there: false, ..on("trunk", &[("main", 1), ("dev", 1)]) };
    assert_eq!(default(nowhere), one(Level::Notice, "main"));
    let lost = Refs { default_there: false, ..on("trunk", &[("main", 0), ("dev", 1)]) };
    assert_eq!(default(lost), one(Level::Alarm, "main"));
    assert_eq!(told(6, &gone, gone.clone(), &rules::REFS_DEFAULT), [], "it was not there before");
    assert_eq!(default(Refs { unlogged: true, ..before.clone() }), one(Level::Notice, "log"));
}

#[test]
fn a_history_that_was_replaced_is_told_and_more_loudly_the_first_time() {
    let before = refs(&[("main", 1), ("dev", 1)], 0);
    let pushed = |branch: &str| Refs { rewritten: [branch.to_owned()].into(), ..before.clone() };
    assert_eq!(told(6, &before, pushed("main"), &rules::REFS_DEFAULT), one(Level::Alarm, "main"));
    assert_eq!(told(6, &before, pushed("dev"), &rules::REFS_DEFAULT), []);
    let mut past = days(6, |day| facts(day, before.clone()));
    let words = |past: &[Facts]| said(past, &facts(6, pushed("main")), &rules::REFS_DEFAULT)[0].clone();
    assert!(words(&past).words.contains("which never happened in the 6 runs before"));
    past[2] = facts(2, pushed("main"));
    assert!(words(&past).level == Level::Notice && words(&past).words.contains("as 1 times in the 6 runs before"));
}

#[test]
fn branches_that_were_there_for_long_are_missed_when_many_are_gone() {
    let gone = |before: &[(&str, u64)], now: &[(&str, u64)]| told(6, &refs(before, 0), refs(now, 0), &rules::REFS_GONE);
    let four = [("main", 1), ("a", 1), ("b", 1), ("c", 1)];
    let five = [("main", 1), ("a", 1), ("b", 1), ("c", 1), ("d", 1)];
    assert_eq!(gone(&four, &[]), one(Level::Alarm, "all branches"));
    assert_eq!(gone(&four, &four[..1]), one(Level::Alarm, "all branches"), "only the default one is left");
    assert_eq!(gone(&four[..3], &four[..1]), one(Level::Alarm, "branches"));
    assert_eq!((gone(&four, &four[..2]), gone(&five, &five[..3])), (one(Level::Alarm, "branches"), vec![]));
    assert_eq!(gone(&four[..2], &four[..1]), [], "one alone");
    assert_eq!(gone(&[], &[]), [], "there was none");
    // A group is gone where next to nothing is left of it.
    let groups = [("a/", 10), ("b/", 10), ("main", 1)];
    assert_eq!(gone(&groups, &[("a/", 2), ("b/", 2), ("main", 1)]), one(Level::Alarm, "branches"));
    assert_eq!(gone(&groups, &[("a/", 2), ("b/", 3), ("main", 1)]), []);
}

#[test]
fn a_robots_branches_are_told_quietly_where_nearly_all_are_gone() {
    let gone = |was: u64, is: u64| {
        told(6, &refs(&[("main", 1), ("bot/", was)], 0), refs(&[("main", 1), ("bot/", is)], 0), &rules::REFS_GONE)
    };
    assert_eq!((gone(59, 11), gone(59, 12)), (one(Level::Notice, "branches"), vec![]));
    assert_eq!((gone(11, 1), gone(10, 1)), (one(Level::Notice, "branches"), vec![]), "nine are not many");
}

#[test]
fn branches_that_come_and_go_are_not_missed() {
    let many = refs(&[("main", 1), ("a", 1), ("b", 1), ("c", 1)], 0);
    let few = refs(&[("main", 1), ("a", 1)], 0);
    let new: Vec<Facts> = days(6, |day| facts(day, if day < 2 { few.clone() } else { many.clone() }));
    assert_eq!(said(&new, &facts(6, few.clone()), &rules::REFS_GONE), [], "four runs are not long");
    let long: Vec<Facts> = days(7, |day| facts(day, if day < 2 { few.clone() } else { many.clone() }));
    assert_eq!(said(&long, &facts(7, few.clone()), &rules::REFS_GONE)[0].level, Level::Alarm);
    let often = days(9, |day| facts(day, if day % 2 == 0 { many.clone() } else { few.clone() }));
    assert_eq!(said(&often, &facts(9, few), &rules::REFS_GONE), []);
}

#[test]
fn tags_are_kept() {
    let gone = |was: u64, is: u64| told(6, &refs(&[("main", 1)], was), refs(&[("main", 1)], is), &rules::REFS_GONE);
    assert_eq!((gone(6, 3), gone(7, 4)), (one(Level::Alarm, "tags"), one(Level::Notice, "tags")));
    assert_eq!((gone(4, 2), gone(6, 7), gone(6, 6)), (one(Level::Notice, "tags"), vec![], vec![]));
    let mut past = days(6, |day| facts(day, refs(&[("main", 1)], 6)));
    past[2] = facts(2, refs(&[("main", 1)], 3));
    assert_eq!(said(&past, &facts(6, refs(&[("main", 1)], 3)), &rules::REFS_GONE), [], "as before");
}

#[test]
fn histories_replaced_by_the_dozen_are_told() {
    let with = |runs: i64, branches: u64, rewritten: u64| {
        let before = refs(&[("main", 1), ("x/", branches - 1)], 0);
        let rewritten = (0..rewritten).map(|no| format!("x/{no}")).collect();
        told(runs, &before, Refs { rewritten, ..before.clone() }, &rules::REFS_REWRITTEN)
    };
    assert_eq!((with(5, 10, 5), with(5, 11, 5), with(5, 8, 4)), (one(Level::Alarm, "branches"), vec![], vec![]));
    assert_eq!(with(4, 10, 5), []);
}

#[test]
fn tags_that_name_something_else_are_told() {
    let moved = |count: usize| (0..count).map(|no| format!("v{no}")).collect();
    let with = |runs: i64, tags: u64, count: usize| {
        let before = refs(&[("main", 1)], tags);
        told(runs, &before, Refs { moved_tags: moved(count), ..before.clone() }, &rules::REFS_REWRITTEN)
    };
    assert_eq!((with(5, 6, 3), with(5, 7, 3)), (one(Level::Alarm, "tags"), one(Level::Notice, "tags")));
    assert_eq!(
        (with(5, 4, 2), with(4, 6, 3), with(5, 6, 0)),
        (one(Level::Notice, "tags"), one(Level::Notice, "tags"), vec![])
    );
    let before = refs(&[("main", 1)], 8);
    let mut past = days(6, |day| facts(day, before.clone()));
    let now = facts(6, Refs { moved_tags: moved(4), ..before.clone() });
    past[1] = facts(1, Refs { moved_tags: moved(1), ..before.clone() });
    assert_eq!(said(&past, &now, &rules::REFS_REWRITTEN)[0].level, Level::Alarm);
    past[1] = facts(1, Refs { moved_tags: moved(3), ..before.clone() });
    let six = facts(6, Refs { moved_tags: moved(6), ..before.clone() });
    assert_eq!(said(&past, &six, &rules::REFS_REWRITTEN)[0].level, Level::Notice);
    past[1] = facts(1, Refs { moved_tags: moved(2), ..before });
    assert_eq!(said(&past, &now, &rules::REFS_REWRITTEN)[0].level, Level::Notice, "half as many moved before");
}
