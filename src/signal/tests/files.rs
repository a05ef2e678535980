//! Files of a tree.

use super::{
    super::{Facts, Files, Level, Verdict, rules},
    days, level, run, said, sample,
};

/// A tree of so many files: names from `names` on, contents from `contents` on.
fn tree(day: i64, count: u64, names: u64, contents: u64) -> Facts {
    let (names, contents) = (sample(names..names + count), sample(contents..contents + count));
    Facts { files: Some(Files { count, empty: 0, names, contents }), ..run(day) }
}

fn lost(runs: i64, now: &Facts) -> Option<Level> {
    level(&days(runs, |day| tree(day, 100, 0, 0)), now, &rules::FILES_LOST)
}

fn words(now: &Facts) -> String {
    let all: Vec<Verdict> = said(&days(6, |day| tree(day, 100, 0, 0)), now, &rules::FILES_LOST);
    all.into_iter().map(|verdict| verdict.words).collect()
}

#[test]
fn contents_that_are_nowhere_any_more_are_told_by_their_share() {
    assert_eq!(
        (lost(5, &tree(5, 100, 0, 50)), lost(5, &tree(5, 100, 0, 49))),
        (Some(Level::Alarm), Some(Level::Notice))
    );
    assert_eq!((lost(5, &tree(5, 100, 0, 21)), lost(5, &tree(5, 100, 0, 19))), (Some(Level::Notice), None));
    // At once from 95% on; loud where the names are others too.
    assert_eq!((lost(4, &tree(5, 100, 0, 95)), lost(4, &tree(5, 100, 0, 94))), (Some(Level::Notice), None));
    assert_eq!(
        (lost(4, &tree(5, 100, 95, 95)), lost(4, &tree(5, 100, 94, 95))),
        (Some(Level::Alarm), Some(Level::Notice))
    );
}

#[test]
fn small_trees_are_looked_at_by_their_bytes() {
    let told = |count: u64| {
        let past = days(6, |day| tree(day, count, 0, 0));
        level(&past, &tree(6, count, 0, 1000), &rules::FILES_LOST)
    };
    assert_eq!((told(10), told(9)), (Some(Level::Alarm), None));
    // Of many files a few that were sampled say little.
    let few = |sampled: u64| {
        let of = |day: i64, from: u64| {
            let contents = sample(from..from + sampled);
            Facts { files: Some(Files { count: 100, empty: 0, names: sample(0..100), contents }), ..run(day) }
        };
        level(&days(6, |day| of(day, 0)), &of(6, 1000), &rules::FILES_LOST)
    };
    assert_eq!((few(5), few(4)), (Some(Level::Alarm), None));
}

#[test]
fn it_is_said_what_became_of_them() {
    let empty = |empty: u64| {
        let mut facts = tree(6, 100, 0, 1000);
        facts.files.as_mut().unwrap().empty = empty;
        words(&facts)
    };
    assert!(empty(50).contains("50 of 100 files are empty") && empty(49).contains("under the same names"));
    assert!(words(&tree(6, 50, 0, 1000)).contains("100 files were there and 50 are"));
    assert!(words(&tree(6, 51, 0, 1000)).contains("under the same names"));
    assert!(words(&tree(6, 100, 50, 1000)).contains("50% of the names are others too"));
    assert!(words(&tree(6, 100, 49, 1000)).contains("under the same names"));
    assert!(words(&Facts { files: Some(Files::default()), ..run(6) }).contains("no file is left"));
    assert!(
        words(&tree(6, 100, 0, 60)).contains("60% of the contents of 100 files")
            && words(&tree(6, 100, 0, 60)).contains("usually 0%")
    );
}

#[test]
fn a_tree_that_is_rewritten_each_time_is_as_usual() {
    let past = days(8, |day| tree(day, 100, 0, 1000 * day.unsigned_abs()));
    assert_eq!(level(&past, &tree(8, 100, 0, 90_000), &rules::FILES_LOST), None);
    assert_eq!(level(&past[..5], &tree(5, 100, 0, 90_000), &rules::FILES_LOST), None);
    assert_eq!(level(&past[..4], &tree(4, 100, 0, 90_000), &rules::FILES_LOST), Some(Level::Notice), "little is known");
}

#[test]
fn a_few_files_each_run_are_told_once_they_are_many() {
    let slowly = |runs: i64, each: u64| {
        let past = days(runs, |day| tree(day, 200, 0, each * day.saturating_sub(20).max(0).unsigned_abs()));
        said(&past, &tree(runs, 200, 0, each * (runs - 20).unsigned_abs()), &rules::FILES_CHANGING)
    };
    assert_eq!(slowly(30, 0), []);
    let told = slowly(25, 4);
    assert_eq!((told[0].level, told[0].subjects.as_slice()), (Level::Alarm, ["files".to_owned()].as_slice()));
    assert!(told[0].words.starts_with("over 5 runs of 5 days, 10% of the files"), "{}", told[0].words);
}

#[test]
fn a_few_files_that_go_one_by_one_are_told_unless_they_are_too_few() {
    let one_by_one = |sampled: u64| {
        let of = |day: i64| {
            let from = (day - 25).clamp(0, 4).unsigned_abs();
            let files = Files { count: 100, empty: 0, names: sample(0..100), contents: sample(from..from + sampled) };
            Facts { files: Some(files), ..run(day) }
        };
        level(&days(30, of), &of(30), &rules::FILES_CHANGING)
    };
    assert_eq!((one_by_one(4), one_by_one(12)), (None, Some(Level::Alarm)));
}
