//! Tables of databases.

use super::{
    super::{Facts, Level, Table, rules},
    days, level, rows, run, said, sample, tables,
};

/// What is said where a table of so many rows has others now.
fn rows_told(runs: i64, was: u64, is: u64, rule: &rules::Rule) -> Option<Level> {
    let of = |day: i64, count: u64| tables(day, [("t", rows(count)), ("kept", rows(5000))]);
    level(&days(runs, |day| of(day, was)), &of(runs, is), rule)
}

/// A table with a sample of its rows: so many of these numbers from `from` on.
fn sampled(from: u64, count: u64) -> Table {
    Table { sample: Some(sample(from..from + count)), ..rows(count) }
}

fn with_columns(count: u64, columns: &str) -> Table {
    Table { columns: Some(columns.to_owned()), ..rows(count) }
}

fn hashed(count: u64, hash: &str) -> Table {
    Table { hash: Some(hash.to_owned()), ..rows(count) }
}

/// How loud it is that `t` is gone and `new` is there.
fn renamed(was: Table, new: Table) -> Option<Level> {
    let past = [tables(0, [("t", was), ("kept", rows(5000))])];
    level(&past, &tables(1, [("new", new), ("kept", rows(5000))]), &rules::TABLES_GONE)
}

const MOVED: Option<Level> = Some(Level::Notice);
const GONE: Option<Level> = Some(Level::Alarm);

#[test]
fn a_table_is_known_under_another_name_by_its_rows() {
    assert_eq!(renamed(hashed(100, "a"), hashed(100, "a")), MOVED);
    assert_eq!((renamed(hashed(100, "a"), hashed(200, "a")), renamed(rows(100), rows(200))), (GONE, GONE));
    assert_eq!((renamed(sampled(0, 16), sampled(8, 900)), renamed(sampled(0, 16), sampled(9, 900))), (MOVED, GONE));
    assert_eq!(renamed(sampled(0, 15), sampled(0, 900)), GONE, "fifteen rows say little");
    let other = |hash: &str, columns: &str| Table { columns: Some(columns.to_owned()), ..hashed(100, hash) };
    let renamed_to = |hash: &str| renamed(other("a", "a int"), other(hash, "b int, c int"));
    assert_eq!((renamed_to("a"), renamed_to("b")), (MOVED, GONE));
    assert_eq!(renamed(rows(0), rows(0)), None, "an empty one");
    let past = [tables(0, [("t", hashed(100, "a")), ("kept", rows(5000))])];
    let now = tables(1, [("new", hashed(100, "a")), ("kept", rows(5000))]);
    assert_eq!(said(&past, &now, &rules::TABLES_GONE)[0].words, "table t is now called new, by its rows and columns");
}

#[test]
fn a_table_is_known_under_another_name_by_its_columns_and_size() {
    let of = |was: &str, count: u64, is: &str| renamed(with_columns(1000, was), with_columns(count, is));
    let same = |count: u64| of("a int, b text", count, "b text, a int");
    assert_eq!([899, 900, 1101, 1102].map(same), [GONE, MOVED, MOVED, GONE]);
    let half = |count: u64| of("a int, b text", count, "a int, c text");
    assert_eq!([949, 950, 1051, 1052].map(half), [GONE, MOVED, MOVED, GONE]);
    assert_eq!(of("a int, b text, d int", 1000, "a int, c text"), GONE, "fewer than half of its columns");
    // Where columns are known by a hash, or not at all.
    let hash = |count: u64| of("0123", count, "0123");
    assert_eq!([899, 900, 1101, 1102].map(hash), [GONE, MOVED, MOVED, GONE]);
    let other = |count: u64| of("0123", count, "4567");
    assert_eq!([979, 980, 1021, 1022].map(other), [GONE, MOVED, MOVED, GONE]);
    assert_eq!((renamed(rows(1000), rows(900)), renamed(rows(1000), rows(899))), (MOVED, GONE));
    let unknown = |count: u64| renamed(rows(1000), with_columns(count, "a int, b text"));
    assert_eq!([900, 979, 980].map(unknown), [GONE, GONE, MOVED]);
}

#[test]
fn tables_that_are_gone_are_told_unless_they_were_next_to_nothing() {
    let gone = |names: &[&str], count: u64| {
        let mut before = tables(0, [("kept", rows(5000))]);
        before.tables.as_mut().unwrap().extend(names.iter().map(|name| ((*name).to_owned(), rows(count))));
        level(&[before], &tables(1, [("kept", rows(5000))]), &rules::TABLES_GONE)
    };
    assert_eq!((gone(&["a"], 10), gone(&["a"], 9)), (Some(Level::Alarm), Some(Level::Notice)));
    assert_eq!((gone(&["a", "b"], 9), gone(&["a", "b", "c"], 9)), (Some(Level::Notice), Some(Level::Alarm)));
    assert_eq!(gone(&["a"], 0), None);
    let words =
        |before: &Facts, now: &Facts| said(std::slice::from_ref(before), now, &rules::TABLES_GONE)[0].words.clone();
    let two = tables(0, [("a", rows(3)), ("b", rows(4))]);
    assert_eq!(words(&two, &tables(1, [])), "no table is left of 2, which held 7 rows together");
    assert_eq!(words(&two, &tables(1, [("b", rows(4))])), "table a is gone, which held 3 rows");
    assert_eq!(said(&[tables(0, [("a", rows(0))])], &tables(1, []), &rules::TABLES_GONE), []);
    assert_eq!(said(&[tables(0, [])], &tables(1, []), &rules::TABLES_GONE), []);
}

#[test]
fn tables_that_rotate_are_not_missed() {
    let of = |day: i64, numbers: &[u64]| {
        let mut facts = tables(day, [("kept", rows(5000))]);
        facts.tables.as_mut().unwrap().extend(numbers.iter().map(|no| (format!("log_{no}"), rows(100 * no))));
        facts
    };
    let gone = |is: &[u64]| level(&[of(0, &[1, 20, 333, 4])], &of(1, is), &rules::TABLES_GONE);
    assert_eq!((gone(&[333, 4]), gone(&[4]), gone(&[333, 4, 70])), (None, Some(Level::Alarm), None));
    let six = [of(0, &[1, 2, 3, 4, 5, 6])];
    assert_eq!(level(&six, &of(1, &[4, 5, 6]), &rules::TABLES_GONE), None);
    let plain = [tables(0, [("a", rows(100)), ("kept", rows(5000))])];
    assert_eq!(level(&plain, &tables(1, [("kept", rows(5000))]), &rules::TABLES_GONE), Some(Level::Alarm));
}

#[test]
fn tables_that_went_before_in_this_measure_are_no_alarm() {
    let of = |day: i64, names: &[&str], count: u64| {
        let mut facts = tables(day, [("kept", rows(1000))]);
        facts.tables.as_mut().unwrap().extend(names.iter().map(|name| ((*name).to_owned(), rows(count))));
        facts
    };
    let told = |then: (&[&str], u64), names: &[&str], count: u64| {
        let past = [of(0, then.0, then.1), of(1, &[], 0), of(2, names, count)];
        level(&past, &of(3, &[], 0), &rules::TABLES_GONE)
    };
    assert_eq!(told((&["a"], 250), &["b"], 250), Some(Level::Notice));
    // 250 of 1250 are a fifth: two fifths are no more than twice as much, and 700 of 1700 are.
    assert_eq!(
        (told((&["a"], 250), &["b"], 666), told((&["a"], 250), &["b"], 700)),
        (Some(Level::Notice), Some(Level::Alarm))
    );
    let (two, three) = (["b", "c"], ["b", "c", "d"]);
    assert_eq!(
        (told((&["a"], 500), &two, 100), told((&["a"], 500), &three, 100)),
        (Some(Level::Notice), Some(Level::Alarm))
    );
}

#[test]
fn a_table_that_is_emptied_is_told() {
    let told = |runs: i64, was: u64, is: u64| rows_told(runs, was, is, &rules::ROWS_EMPTIED);
    assert_eq!((told(5, 1000, 10), told(5, 1000, 11)), (Some(Level::Alarm), None));
    assert_eq!((told(5, 10, 0), told(5, 9, 0)), (Some(Level::Alarm), None));
    assert_eq!((told(4, 1000, 0), told(1, 1000, 0)), (Some(Level::Notice), Some(Level::Notice)));
    let words = |is: u64| {
        let of = |day: i64, count: u64| tables(day, [("t", rows(count)), ("kept", rows(5000))]);
        said(&days(5, |day| of(day, 1000)), &of(5, is), &rules::ROWS_EMPTIED)[0].words.clone()
    };
    assert_eq!(
        words(0),
        "table t is empty and held 1000 rows in the run before; in the 5 runs before that never happened"
    );
    assert!(words(7).starts_with("table t holds 7 of the 1000 rows of the run before; in the 5 runs"));
}

#[test]
fn a_database_without_a_row_is_told_at_once() {
    let told = |a: u64, b: u64, is: u64| {
        let past = [tables(0, [("a", rows(a)), ("b", rows(b))])];
        let verdicts = said(&past, &tables(1, [("a", rows(0)), ("b", rows(is))]), &rules::ROWS_EMPTIED);
        verdicts.first().map(|verdict| verdict.level)
    };
    assert_eq!(
        (told(100, 1, 0), told(100, 0, 0), told(100, 100, 1)),
        (Some(Level::Alarm), Some(Level::Notice), Some(Level::Notice))
    );
    assert_eq!(
        (told(10, 1, 0), told(9, 1, 0)),
        (Some(Level::Alarm), None),
        "ten rows in all, of which one table had ten"
    );
}

#[test]
fn what_is_emptied_often_or_went_into_a_new_table_is_no_alarm() {
    let of = |day: i64, count: u64| tables(day, [("t", rows(count)), ("kept", rows(5000))]);
    let with = |share: u64| days(9, |day| of(day, if day == 3 { share } else { 1000 }));
    assert_eq!(level(&with(20), &of(9, 0), &rules::ROWS_EMPTIED), Some(Level::Notice));
    assert_eq!(level(&with(21), &of(9, 0), &rules::ROWS_EMPTIED), Some(Level::Alarm));
    let weekly = |weeks: i64| {
        let past = days(weeks * 7, |day| of(day, if day % 7 == 0 { 0 } else { 1000 }));
        level(&past, &of(weeks * 7, 0), &rules::ROWS_EMPTIED)
    };
    assert_eq!((weekly(3), weekly(4)), (Some(Level::Notice), None), "it is so on Mondays");
    let falling: Vec<Facts> =
        [1_000_000_000, 10_000_000, 100_000].iter().zip(0..).map(|(count, day)| of(day, *count)).collect();
    assert_eq!(level(&falling, &of(3, 1000), &rules::ROWS_EMPTIED), Some(Level::Notice), "little is known");
    let past = days(6, |day| tables(day, [("t", hashed(1000, "a")), ("kept", rows(5000))]));
    let moved = |hash: &str| tables(6, [("t", rows(0)), ("new", hashed(1000, hash)), ("kept", rows(5000))]);
    assert_eq!(level(&past, &moved("a"), &rules::ROWS_EMPTIED), Some(Level::Notice));
    assert!(!said(&past, &moved("a"), &rules::ROWS_EMPTIED)[0].words.contains("never happened"));
    let other = tables(6, [("t", rows(0)), ("new", hashed(9000, "b")), ("kept", rows(5000))]);
    assert_eq!(level(&past, &other, &rules::ROWS_EMPTIED), Some(Level::Alarm));
}

#[test]
fn a_table_that_lost_rows_is_told_by_their_share() {
    let told = |runs: i64, was: u64, is: u64| rows_told(runs, was, is, &rules::ROWS_LOST);
    assert_eq!((told(5, 1000, 500), told(5, 1000, 501)), (Some(Level::Alarm), Some(Level::Notice)));
    assert_eq!((told(5, 1000, 800), told(5, 1000, 801)), (Some(Level::Notice), None));
    assert_eq!((told(5, 100, 50), told(5, 99, 50)), (Some(Level::Alarm), None), "fifty rows");
    assert_eq!((told(4, 1000, 500), told(5, 1000, 10)), (None, None), "little is known; emptied is another rule's");
    let of = |day: i64, count: u64| tables(day, [("t", rows(count))]);
    let past = days(6, |day| of(day, if day == 2 { 900 } else { 1000 }));
    assert_eq!(
        said(&past, &of(6, 400), &rules::ROWS_LOST)[0].words,
        "table t lost 600 of 1000 rows (60%) since the run before; it never lost more than 10% at once"
    );
    let known = days(6, |day| of(day, if day == 2 { 500 } else { 1000 }));
    assert_eq!(level(&known, &of(6, 500), &rules::ROWS_LOST), None);
}

#[test]
fn a_table_in_which_nothing_lives_long_may_lose_half() {
    let told = |runs: i64, kept: u64| {
        // Each run has its own thousand rows, but for so many of the run before.
        let of = |day: i64, count: u64| tables(day, [("t", sampled(day.unsigned_abs() * (1000 - kept), count))]);
        level(&days(runs, |day| of(day, 1000)), &of(runs, 400), &rules::ROWS_LOST)
    };
    assert_eq!(
        (told(6, 0), told(6, 100), told(6, 101)),
        (Some(Level::Notice), Some(Level::Notice), Some(Level::Alarm))
    );
    assert_eq!(told(5, 0), Some(Level::Notice));
}

#[test]
fn rows_that_are_not_as_they_were_are_told_by_their_share() {
    let told = |runs: i64, count: u64, others: u64| {
        let past = days(runs, |day| tables(day, [("t", sampled(0, count))]));
        level(&past, &tables(runs, [("t", sampled(others, count))]), &rules::ROWS_REWRITTEN)
    };
    assert_eq!((told(5, 100, 50), told(5, 100, 49)), (Some(Level::Alarm), Some(Level::Notice)));
    assert_eq!((told(5, 100, 21), told(5, 100, 19), told(4, 100, 90)), (Some(Level::Notice), None, None));
    assert_eq!((told(5, 50, 50), told(5, 49, 49)), (Some(Level::Alarm), None));
    // Rows that were deleted are not altered.
    let past = days(6, |day| tables(day, [("t", sampled(0, 100))]));
    let left = |from: u64, count: u64| level(&past, &tables(6, [("t", sampled(from, count))]), &rules::ROWS_REWRITTEN);
    assert_eq!((left(0, 40), left(81, 90)), (None, Some(Level::Alarm)));
}

#[test]
fn a_migration_alters_rows_and_is_told_quietly() {
    let with = |from: u64, columns: &str| Table { columns: Some(columns.to_owned()), ..sampled(from, 100) };
    let past = days(6, |day| tables(day, [("t", with(0, "a int, b text"))]));
    let now = tables(6, [("t", with(100, "a int, c text"))]);
    let verdicts = said(&past, &now, &rules::ROWS_REWRITTEN);
    assert_eq!(verdicts[0].level, Level::Notice);
    assert_eq!(
        verdicts[0].words,
        "about 100% of the rows of table t (100 rows) are not as they were in the run before, and its columns changed with \
         that; usually 0% are altered"
    );
    // One in the past excuses nothing without another.
    let migrated = days(6, |day| {
        let (from, columns) = if day < 3 { (0, "a int, b text") } else { (100, "a int, c text") };
        tables(day, [("t", with(from, columns))])
    });
    let now = tables(6, [("t", with(200, "a int, c text"))]);
    assert_eq!(level(&migrated, &now, &rules::ROWS_REWRITTEN), Some(Level::Alarm));
}

#[test]
fn columns_that_are_raw_bytes_now_are_told() {
    let told = |was: (u64, &str), is: (u64, &str)| {
        let past = [tables(0, [("t", with_columns(was.0, was.1))])];
        let verdicts = said(&past, &tables(1, [("t", with_columns(is.0, is.1))]), &rules::COLUMNS_SEALED);
        verdicts.into_iter().map(|verdict| (verdict.level, verdict.words)).next()
    };
    let sealed = |was: &str, is: &str| told((10, was), (10, is)).is_some();
    let (level, words) = told((10, "a int, b text"), (10, "a int, b bytea")).unwrap();
    assert_eq!((level, words.as_str()), (Level::Alarm, "column b of table t held something else and is raw bytes now"));
    assert!(sealed("a int, b text", "a int, b varbinary(20)") && sealed("a int, b text", "a int, b LONGBLOB"));
    assert!(sealed("a int, b text", "a int, b_sealed bytea"), "it took the place of one that is gone");
    assert!(!sealed("a int, b text", "a int, b text, c bytea"), "it came besides");
    assert!(!sealed("a int, b bytea", "a int, c bytea") && !sealed("a int, b text", "a int, c text"));
    assert!(!sealed("a int, b text", "a int, b varchar, c bytea"), "another type for one, another column of bytes");
    assert!(sealed("a int, b text, c text", "a int, b varchar, c bytea"));
    assert!(!sealed("a int, bytea text", "a int, bytea varchar"), "a name is no type");
    assert!(told((9, "b text"), (10, "b bytea")).is_none() && told((10, "b text"), (9, "b bytea")).is_none());
}

#[test]
fn tables_that_never_changed_are_told_when_they_do() {
    let of = |day: i64, hashes: [&str; 6], count: u64| {
        let names = ["a", "b", "c", "d", "e", "f"];
        tables(day, std::array::from_fn::<_, 6, _>(|at| (names[at], hashed(count, hashes[at]))))
    };
    let told = |runs: i64, count: u64, changed: [&str; 6], is: u64| {
        let verdicts = said(&days(runs, |day| of(day, ["0"; 6], count)), &of(runs, changed, is), &rules::ROWS_CHANGED);
        verdicts.into_iter().map(|verdict| (verdict.level, verdict.subjects.len())).next()
    };
    let three = ["1", "1", "1", "0", "0", "0"];
    assert_eq!(told(5, 100, three, 100), Some((Level::Alarm, 3)));
    assert_eq!(told(5, 100, ["1", "1", "0", "0", "0", "0"], 100), Some((Level::Notice, 2)));
    assert_eq!((told(5, 100, ["0"; 6], 100), told(4, 100, three, 100)), (None, None));
    assert_eq!((told(5, 10, three, 10), told(5, 9, three, 9)), (Some((Level::Alarm, 3)), None));
    // With a fifth of the rows more or less it is another rule's.
    assert_eq!(
        (told(5, 100, three, 120), told(5, 100, three, 121), told(5, 100, three, 79)),
        (Some((Level::Alarm, 3)), None, None)
    );
    let mut past = days(6, |day| of(day, ["0"; 6], 100));
    past[1] = of(1, ["2", "2", "0", "0", "0", "0"], 100);
    let verdicts = said(&past, &of(6, three, 100), &rules::ROWS_CHANGED);
    assert_eq!((verdicts[0].level, verdicts[0].subjects.as_slice()), (Level::Notice, ["c".to_owned()].as_slice()));
    assert_eq!(verdicts[0].words, "table c changed, which it did not in 6 runs");
}

#[test]
fn tables_of_which_no_hash_was_known_or_a_sample_is_are_other_rules() {
    let told = |was: &Table, is: Table| {
        level(&days(6, |day| tables(day, [("t", was.clone())])), &tables(6, [("t", is)]), &rules::ROWS_CHANGED)
    };
    assert_eq!(told(&hashed(100, "0"), hashed(100, "1")), Some(Level::Notice));
    assert_eq!(told(&rows(100), hashed(100, "1")), None);
    let both = |hash: &str| Table { hash: Some(hash.to_owned()), ..sampled(0, 100) };
    assert_eq!(told(&both("0"), both("1")), None);
}

#[test]
fn of_seven_settled_tables_three_are_fewer_than_half() {
    let of = |day: i64, changed: usize| {
        let names = ["a", "b", "c", "d", "e", "f", "g"];
        tables(day, std::array::from_fn::<_, 7, _>(|at| (names[at], hashed(100, if at < changed { "1" } else { "0" }))))
    };
    let told = |changed: usize| level(&days(5, |day| of(day, 0)), &of(5, changed), &rules::ROWS_CHANGED);
    assert_eq!((told(3), told(4)), (Some(Level::Notice), Some(Level::Alarm)));
}

fn counted(day: i64, numbers: &[(&str, i64)]) -> Facts {
    let sequences = numbers.iter().map(|(name, at)| ((*name).to_owned(), *at)).collect();
    Facts { sequences, ..run(day) }
}

#[test]
fn a_sequence_that_went_back_is_told() {
    let told = |past: &[Facts], now: &[(&str, i64)]| {
        let verdicts = said(past, &counted(9, now), &rules::SEQUENCES_BACK);
        verdicts.into_iter().map(|verdict| (verdict.level, verdict.words)).next()
    };
    let past = days(3, |day| counted(day, &[("s", 100 + day), ("u", 5)]));
    let words = "s stood at 102 in the run before and is at 101: it went back".to_owned();
    assert_eq!(told(&past, &[("s", 101), ("u", 5)]), Some((Level::Alarm, words)));
    assert_eq!(
        (told(&past, &[("s", 102), ("u", 6)]), told(&past, &[("u", 5)]), told(&past[..1], &[("s", 1)])),
        (None, None, None)
    );
    assert!(told(&past[..2], &[("s", 1)]).is_some());
    // As many went back at once before, or half as many.
    let back = |count: i64| {
        let all = |at: i64, count: i64| (0..4).map(|no| if no < count { at } else { 9 }).collect::<Vec<i64>>();
        let of = |day: i64, at: Vec<i64>| counted(day, &["a", "b", "c", "d"].into_iter().zip(at).collect::<Vec<_>>());
        let past = [of(0, all(9, 4)), of(1, all(5, count)), of(2, all(9, 4))];
        level(&past, &of(3, all(5, 4)), &rules::SEQUENCES_BACK)
    };
    assert_eq!((back(2), back(1), back(0)), (Some(Level::Notice), Some(Level::Alarm), Some(Level::Alarm)));
}

#[test]
fn another_database_has_numbers_of_its_own() {
    let of = |day: i64, s: i64, first: [u64; 3], count: u64| Facts {
        sequences: [("s".to_owned(), s)].into(),
        ..tables(
            day,
            [("a", sampled(first[0], count)), ("b", sampled(first[1], count)), ("c", sampled(first[2], count))],
        )
    };
    let told = |first: [u64; 3], count: u64| {
        level(&days(3, |day| of(day, 9, [0; 3], count)), &of(3, 5, first, count), &rules::SEQUENCES_BACK)
    };
    assert_eq!(
        (told([0; 3], 100), told([90, 90, 0], 100), told([90, 0, 0], 100)),
        (Some(Level::Alarm), Some(Level::Notice), Some(Level::Alarm))
    );
    assert_eq!(
        (told([89, 90, 0], 100), told([50; 3], 50), told([49; 3], 49)),
        (Some(Level::Alarm), Some(Level::Notice), Some(Level::Alarm))
    );
    let two = |day: i64, s: i64, first: u64| Facts {
        sequences: [("s".to_owned(), s)].into(),
        ..tables(day, [("a", sampled(first, 100)), ("b", sampled(0, 100))])
    };
    let half = level(&days(3, |day| two(day, 9, 0)), &two(3, 5, 100), &rules::SEQUENCES_BACK);
    assert_eq!(half, Some(Level::Alarm), "half of the tables are not most");
}

#[test]
fn a_table_that_shrinks_a_little_at_a_time_is_told_if_it_is_no_small_one() {
    let told = |count: u64| {
        let of = |day: i64| {
            let gone = count * u64::try_from((day - 15).max(0)).unwrap() * 2 / 100;
            tables(day, [("t", rows(count - gone))])
        };
        said(&days(19, of), &of(19), &rules::ROWS_SHRINKING).into_iter().map(|v| (v.level, v.words)).next()
    };
    let (level, words) = told(1000).unwrap();
    assert_eq!((level, words.contains("and is at 920 now")), (Level::Alarm, true), "{words}");
    assert!(words.starts_with("table t lost 8.0% of its rows over 5 runs of 5 days"), "{words}");
    assert!(told(54).is_some() && told(52).is_none(), "fewer than fifty are left");
}
