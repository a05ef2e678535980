//! Everything else that reads what strangers wrote, given anything, valid things with a few changes, and what fuzzing kept.

#[path = "../fuzz/outside.rs"]
#[allow(clippy::cast_possible_truncation, clippy::precedence)]
mod checks;
#[path = "made.rs"]
mod made;

use std::path::Path;

use proptest::{collection::vec, prelude::*, sample::Index};

use super::{change, changed, config};

fn every_check(data: &[u8]) {
    checks::config(data);
    checks::binlog(data);
    checks::git(data);
    checks::archive(data);
    checks::wal(data);
    checks::plan(data);
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn anything_makes_errors_and_no_panic(data in vec(any::<u8>(), 0..2000), text in "\\PC{0,300}") {
        every_check(&data);
        every_check(text.as_bytes());
    }

    #[test]
    fn changed_configurations_and_packs_of_git_make_errors(changes in vec(change(), 0..4)) {
        checks::config(&changed(made::CONFIG.into(), &changes));
        checks::git(&changed(made::git_pack(), &changes));
    }

    #[test]
    fn paths_of_a_restore(lines in vec("[fd>=/]([abc.]{1,2}/){0,2}[abc.]{0,2}", 0..12)) {
        checks::plan(lines.join("\n").as_bytes());
    }
}

proptest! {
    // Each goes over a socket, and a forge's into a database besides.
    #![proptest_config(ProptestConfig { cases: 48, ..config() })]

    #[test]
    fn changed_answers_make_errors(which in any::<Index>(), changes in vec(change(), 1..5)) {
        let (s3, forge) = (kept("s3"), kept("forge"));
        checks::s3(&changed(which.get(&s3).clone(), &changes));
        checks::forge(&changed(which.get(&forge).clone(), &changes));
    }
}

/// What is kept of one target.
fn kept(target: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/kept")).join(target);
    let mut paths: Vec<_> = std::fs::read_dir(dir).unwrap().map(|one| one.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// What fuzzing came upon that is worth keeping: `tests/fuzz/kept/TARGET/…`, each of which every build bears.
#[test]
fn what_fuzzing_kept() {
    let dir = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/kept"));
    for target in std::fs::read_dir(dir).unwrap().flatten() {
        let name = target.file_name().into_string().unwrap();
        let Some((_, check)) = CHECKS.iter().find(|(one, _)| *one == name) else { panic!("no check is called {name}") };
        for one in kept(&name) {
            check(&one);
        }
    }
}

type Check = fn(&[u8]);

/// Each target of `tests/fuzz` by its name.
const CHECKS: &[(&str, Check)] = &[
    ("approval", super::checks::approval),
    ("archive", checks::archive),
    ("binlog", checks::binlog),
    ("block", super::checks::block),
    ("body", super::checks::body),
    ("config", checks::config),
    ("directory", super::checks::directory),
    ("envelope", super::checks::envelope),
    ("forge", checks::forge),
    ("git", checks::git),
    ("header", super::checks::header),
    ("index", super::checks::index),
    ("journal", super::checks::journal),
    ("key_file", super::checks::key_file),
    ("list", super::checks::list),
    ("name", super::checks::name),
    ("page", super::checks::page),
    ("parity", super::checks::parity),
    ("plan", checks::plan),
    ("s3", checks::s3),
    ("sealed", super::checks::sealed),
    ("split", super::checks::split),
    ("tar", super::checks::tar),
    ("wal", checks::wal),
];

#[test]
fn every_target_is_among_them() {
    let targets = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/targets"));
    let mut names: Vec<String> = std::fs::read_dir(targets)
        .unwrap()
        .flatten()
        .map(|one| one.path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    assert_eq!(names, CHECKS.iter().map(|(name, _)| *name).collect::<Vec<_>>());
}
