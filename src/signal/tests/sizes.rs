//! Bytes, states and roles.

use super::{
    super::{Facts, Files, Fresh, Level, Refs, rules},
    DAY, at, days, level, run, said,
};
use crate::model::Time;

const MIB: u64 = 1 << 20;

fn sized(day: i64, bytes: u64) -> Facts {
    Facts { bytes, ..run(day) }
}

#[test]
fn a_stream_that_collapsed_is_told_by_how_much_is_gone() {
    let told = |runs: i64, was: u64, is: u64| {
        level(&days(runs, |day| sized(day, was)), &sized(runs, is), &rules::DATA_COLLAPSED)
    };
    assert_eq!(told(5, 100_000, 50_000), Some(Level::Alarm));
    assert_eq!(told(5, 100_000, 50_001), Some(Level::Notice));
    assert_eq!(told(5, 100_000, 80_000), Some(Level::Notice));
    assert_eq!(told(5, 100_000, 80_001), None);
    // At once from 95% on.
    assert_eq!((told(4, 100_000, 5000), told(1, 100_000, 0)), (Some(Level::Alarm), Some(Level::Alarm)));
    assert_eq!((told(4, 100_000, 5001), told(5, 100_000, 5001)), (None, Some(Level::Alarm)));
    assert_eq!((told(9, 4096, 0), told(9, 4095, 0)), (Some(Level::Alarm), None), "small streams say little");
}

#[test]
fn a_collapse_is_excused_by_one_before_and_says_how_much_was_ever_lost() {
    let sizes = |all: &[u64]| all.iter().zip(0..).map(|(bytes, day)| sized(day, *bytes)).collect::<Vec<_>>();
    let half = sizes(&[100_000, 100_000, 50_000, 100_000, 100_000, 100_000]);
    assert_eq!(level(&half, &sized(6, 50_000), &rules::DATA_COLLAPSED), None);
    let all = sizes(&[100_000, 2000, 100_000, 100_000, 100_000]);
    assert_eq!(level(&all, &sized(5, 2000), &rules::DATA_COLLAPSED), None);
    assert_eq!(level(&all[1..], &sized(5, 2000), &rules::DATA_COLLAPSED), Some(Level::Alarm), "little is known");
    let tenth = sizes(&[100_000, 90_000, 100_000, 100_000, 100_000, 100_000]);
    let verdicts = said(&tenth, &sized(6, 40_000), &rules::DATA_COLLAPSED);
    assert_eq!(verdicts[0].subjects, ["all"]);
    assert!(verdicts[0].words.contains("has 40000 bytes and had 100000") && verdicts[0].words.contains("60% are gone"));
    assert!(verdicts[0].words.contains("never lost more than 10% at once"), "{}", verdicts[0].words);
}

#[test]
fn streams_are_known_by_their_names_without_numbers() {
    let parts = |day: i64, parts: &[(&str, u64)]| {
        let parts = parts.iter().map(|(name, bytes)| ((*name).to_owned(), *bytes)).collect();
        Facts { parts, ..sized(day, 100_000) }
    };
    let past = days(5, |day| parts(day, &[("dump-1.sql", 3000), ("dump-22.sql", 3000), ("log", 9000)]));
    let told =
        |now: &Facts| said(&past, now, &rules::DATA_COLLAPSED).into_iter().flat_map(|v| v.subjects).collect::<Vec<_>>();
    assert_eq!(told(&parts(5, &[("dump-9.sql", 6000), ("log", 9000)])), [""; 0]);
    assert_eq!(told(&parts(5, &[("dump-9.sql", 2000), ("log", 9000)])), ["dump-#.sql"]);
    assert_eq!(told(&parts(5, &[("dump-9.sql", 6000)])), ["log"], "a stream that is not there has no bytes");
    assert_eq!(told(&sized(5, 100_000)), [""; 0], "of which nothing is known");
}

#[test]
fn what_is_understood_is_not_judged_by_its_bytes() {
    let told = |with: &dyn Fn(Facts) -> Facts| {
        let past = days(6, |day| sized(day, 100_000));
        level(&past, &with(sized(6, 0)), &rules::DATA_COLLAPSED)
    };
    let files = |count: u64| move |facts| Facts { files: Some(Files { count, ..Files::default() }), ..facts };
    assert_eq!(told(&|facts| facts), Some(Level::Alarm));
    assert_eq!(told(&|facts| Facts { tables: Some([].into()), ..facts }), None);
    assert_eq!(told(&|facts| Facts { refs: Some(Refs::default()), ..facts }), None);
    assert_eq!((told(&files(10)), told(&files(9))), (None, Some(Level::Alarm)));
    let past = days(6, |day| files(10)(sized(day, 100_000)));
    assert_eq!(level(&past, &sized(6, 0), &rules::DATA_COLLAPSED), None);
}

#[test]
fn growth_is_told_where_it_is_much_and_new() {
    let told =
        |runs: i64, was: u64, is: u64| level(&days(runs, |day| sized(day, was)), &sized(runs, is), &rules::DATA_GROWN);
    assert_eq!((told(5, 4 * MIB, 12 * MIB), told(5, 4 * MIB, 12 * MIB - 1)), (Some(Level::Notice), None));
    assert_eq!((told(5, 2 * MIB, 10 * MIB), told(5, 2 * MIB, 10 * MIB - 1)), (Some(Level::Notice), None));
    assert_eq!(told(4, 4 * MIB, 12 * MIB), None);
    let mut past = days(7, |day| sized(day, 4 * MIB));
    past[6].bytes = 12 * MIB;
    assert_eq!(level(&past, &sized(7, 12 * MIB), &rules::DATA_GROWN), None, "it was told before");
    past[6].bytes = 12 * MIB - 1;
    let verdicts = said(&past, &sized(7, 12 * MIB), &rules::DATA_GROWN);
    assert!(verdicts[0].words.contains("3.0 times as many"), "{}", verdicts[0].words);
}

fn fresh(day: i64, all: u64, bytes: u64, share: f64) -> Facts {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    let stored = (bytes as f64 * share).round() as u64;
    Facts { fresh: Some(Fresh { bytes, stored }), ..sized(day, all) }
}

#[test]
fn new_data_that_does_not_shrink_is_told() {
    let past = |runs: i64, bytes: u64| days(runs, |day| fresh(day, 2 * MIB, bytes, 0.3));
    let told = |now: Facts| level(&past(5, 65_536), &now, &rules::DATA_OPAQUE);
    assert_eq!(told(fresh(5, 2 * MIB, MIB, 0.56)), Some(Level::Alarm));
    assert_eq!(told(fresh(5, 2 * MIB, MIB, 0.54)), None);
    assert_eq!(told(fresh(5, 2 * MIB, MIB - 1, 0.9)), None, "little");
    assert_eq!(told(fresh(5, 2 * MIB + 8, MIB, 0.9)), Some(Level::Notice), "less than half of all");
    assert_eq!(told(fresh(5, 5 * MIB, MIB, 0.9)), Some(Level::Notice));
    assert_eq!(told(fresh(5, 5 * MIB + 8, MIB, 0.9)), None, "less than a fifth of all");
    // Added to what was there, not put in its place.
    assert_eq!(told(fresh(5, 5 * MIB / 2, 2 * MIB, 0.9)), Some(Level::Alarm));
    assert_eq!(told(fresh(5, 5 * MIB / 2 + 1, 2 * MIB, 0.9)), Some(Level::Notice));
    let after = |past: &[Facts]| level(past, &fresh(9, 2 * MIB, MIB, 0.9), &rules::DATA_OPAQUE);
    assert_eq!((after(&past(4, MIB)), after(&past(5, 65_535))), (None, None));
    let words = &said(&past(5, MIB), &fresh(5, 2 * MIB, MIB, 0.9), &rules::DATA_OPAQUE)[0].words;
    assert!(words.contains("1048576 bytes are new, 50% of all, and they shrink to 90%") && words.contains("to 30%"));
}

#[test]
fn new_data_that_scatters_must_be_further_off() {
    let past: Vec<Facts> =
        [0.2, 0.25, 0.3, 0.35, 0.4].iter().zip(0..).map(|(r, day)| fresh(day, MIB, MIB, *r)).collect();
    let told = |share: f64| level(&past, &fresh(5, MIB, MIB, share), &rules::DATA_OPAQUE);
    assert_eq!((told(0.74), told(0.75)), (None, Some(Level::Alarm)));
}

fn states(all: &str) -> Vec<Facts> {
    all.chars().zip(0..).map(|(c, day)| Facts { state: (c != '-').then(|| c.to_string()), ..run(day) }).collect()
}

fn with_state(all: &str, day: i64, now: char, rule: &rules::Rule) -> Option<Level> {
    level(&states(all), &Facts { state: Some(now.to_string()), ..run(day) }, rule)
}

#[test]
fn an_older_state_that_is_back_is_told() {
    let back = |all: &str, now: char| with_state(all, 30, now, &rules::STATE_BACK);
    assert_eq!(back("abcd", 'a'), Some(Level::Alarm));
    assert_eq!((back("abc", 'a'), back("abccc", 'a'), back("ab-c-", 'a')), (None, None, None), "two between");
    assert_eq!((back("abcde", 'f'), back("abcdeaf", 'a')), (None, None));
    assert_eq!(back("abcdab", 'c'), Some(Level::Notice), "it happened before");
    let words = &said(&states("abcd"), &Facts { state: Some("a".to_owned()), ..run(9) }, &rules::STATE_BACK)[0].words;
    assert!(words.contains(&at(0).to_string()), "{words}");
}

#[test]
fn a_state_that_no_longer_changes_is_told_where_it_always_did() {
    let frozen = |all: &str, day: i64, now: char| with_state(all, day, now, &rules::STATE_FROZEN);
    // Six days that all changed something, then nothing from day six on.
    assert_eq!((frozen("abcdefg", 8, 'g'), frozen("abcdefg", 9, 'g')), (None, Some(Level::Notice)));
    assert_eq!((frozen("abcdefggg", 10, 'g'), frozen("abcdefggg", 10, 'h')), (Some(Level::Alarm), None));
    assert_eq!(frozen("bcdefgg", 15, 'g'), None, "five days tell little");
    assert_eq!((frozen("abbcdeg", 15, 'g'), frozen("abbcceg", 15, 'g')), (Some(Level::Alarm), None));
    // Two days without a change were usual: five are not.
    let slow = "abbbcdefghijkl";
    assert_eq!([17, 18, 19].map(|day| frozen(slow, day, 'l')), [None, Some(Level::Notice), Some(Level::Alarm)]);
    let slower = "abbbbcdefghijklmnop";
    assert_eq!([24, 25, 26].map(|day| frozen(slower, day, 'p')), [None, Some(Level::Notice), Some(Level::Alarm)]);
    let words = &said(&states(slow), &Facts { state: Some("l".to_owned()), ..run(19) }, &rules::STATE_FROZEN)[0].words;
    assert!(words.contains("for 6 days; before, 10 of 12 days changed") && words.contains("spell was 2"), "{words}");
}

#[test]
fn several_runs_of_a_day_count_as_one() {
    let mut all = states("abcdef");
    for hour in 1..5 {
        let at = Time::from_unix(at(0).unix() + hour * 3600);
        all.insert(usize::try_from(hour).unwrap(), Facts { at, ..all[0].clone() });
    }
    let now = |day: i64| Facts { state: Some("f".to_owned()), ..run(day) };
    assert_eq!(level(&all, &now(20), &rules::STATE_FROZEN), None, "five days before it stood still");
    let more = states("abcdefg").into_iter().flat_map(|facts| {
        let later = Facts { at: Time::from_unix(facts.at.unix() + DAY / 2), ..facts.clone() };
        [facts, later]
    });
    let now = Facts { state: Some("g".to_owned()), ..run(20) };
    assert_eq!(level(&more.collect::<Vec<_>>(), &now, &rules::STATE_FROZEN), Some(Level::Alarm));
}

#[test]
fn roles_that_may_do_more_are_told_and_great_rights_loudly() {
    let roles = |day: i64, roles: &[(&str, &[&str])]| {
        let of = |rights: &[&str]| rights.iter().map(|right| (*right).to_owned()).collect();
        Facts { roles: Some(roles.iter().map(|(role, rights)| ((*role).to_owned(), of(rights))).collect()), ..run(day) }
    };
    let past = [roles(0, &[("admin", &["superuser"]), ("shop", &["login"]), ("mid", &["login"])])];
    let told = |shop: &[&str], more: &[(&str, &[&str])]| {
        let all = [&[("admin", &["superuser"] as &[&str]), ("mid", &["login"]), ("shop", shop)], more].concat();
        said(&past, &roles(1, &all), &rules::ROLES_GREW).into_iter().map(|v| (v.level, v.words)).collect::<Vec<_>>()
    };
    assert_eq!(told(&["login"], &[]), []);
    assert_eq!(told(&[], &[]), [], "less is no matter");
    assert_eq!(told(&["login", "createdb"], &[]), [(Level::Notice, "role shop got: createdb".to_owned())]);
    assert_eq!(told(&["login", "bypassrls"], &[]), [(Level::Alarm, "role shop got: bypassrls".to_owned())]);
    assert_eq!(told(&["member of admin"], &[]), [(Level::Alarm, "role shop got: member of admin".to_owned())]);
    assert_eq!(told(&["member of mid"], &[])[0].0, Level::Notice);
    let new = told(&["login"], &[("svc", &[])]);
    assert_eq!(new, [(Level::Notice, "role svc is new and has: nothing beyond others".to_owned())]);
}
