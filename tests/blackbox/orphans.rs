//! What nothing names any more, and what nothing but a lock protects: repairs that go by names and by records of locks.

use std::{fs, path::Path};

use crate::{
    lab::{Lab, noise},
    mended::{at, below, names, record, repair, replicate, vault, verify},
};

fn twin(lab: &Lab, path: &Path) -> std::path::PathBuf {
    lab.path("copy").join(path.strip_prefix(lab.path("vault")).unwrap())
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes[30] ^= 1;
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn packs_heal_although_the_page_that_names_them_is_lost_in_both() {
    let lab = vault(2);
    let (packs, pages) = (below(&lab, "vault", "packs/"), below(&lab, "vault", "lists/"));
    for page in &pages {
        fs::remove_file(page).unwrap();
        fs::remove_file(twin(&lab, page)).unwrap();
    }
    let whole: Vec<Vec<u8>> = packs.iter().map(|pack| fs::read(pack).unwrap()).collect();
    flip(&packs[0]);
    fs::remove_file(&packs[1]).unwrap();
    let run = repair(&lab, "vault", "copy").code(4);
    for (pack, bytes) in packs.iter().zip(&whole).take(2) {
        assert!(names(&run, "repair.mended", &name(pack)), "{}: {}", pack.display(), run.said());
        assert_eq!(&fs::read(pack).unwrap(), bytes);
        assert!(!names(&run, "repair.lost", &name(pack)), "{}", run.said());
    }
    for page in &pages {
        assert!(names(&run, "repair.lost", &name(page)), "{}", run.said());
    }
    // What both have damaged is named.
    flip(&packs[0]);
    flip(&twin(&lab, &packs[0]));
    let run = repair(&lab, "vault", "copy").code(4);
    assert!(names(&run, "repair.lost", &name(&packs[0])), "{}", run.said());
}

#[test]
fn what_a_part_had_and_lost_comes_back_from_its_source() {
    let lab = vault(1);
    for no in 0..3 {
        lab.backup("x", &noise(60 + no, 100_000));
    }
    replicate(&lab, "part", &["--newest", "2"]).ok();
    // Later parts need nothing of the first; the record of its lock is left.
    replicate(&lab, "part", &["--newest", "1"]).ok();
    let header = below(&lab, "part", "snapshots/").remove(0);
    let pack = below(&lab, "part", "packs/").remove(0);
    fs::remove_file(&header).unwrap();
    fs::remove_file(&pack).unwrap();
    let run = repair(&lab, "part", "vault").ok();
    assert!(header.is_file() && pack.is_file(), "{}", run.said());
    verify(&lab, "part", "read").ok();
}

#[test]
fn records_of_locks_of_evidence_are_put_back() {
    let lab = vault(1);
    let evidence = below(&lab, "vault", "evidence/").remove(0);
    // The copy lacks the newest evidence, which a verification left here.
    let run = lab.run(at(&lab, "vault", &["verify", "--evidence", "-i"]).arg(lab.identity()));
    let own = below(&lab, "vault", "evidence/").into_iter().find(|path| !twin(&lab, path).exists());
    let own = own.unwrap_or_else(|| panic!("no evidence was left: {}", run.said()));
    let member = below(&lab, "vault", "members/").remove(0);
    for victim in [&evidence, &own, &member] {
        let whole = fs::read(record(victim)).unwrap();
        for left in [None, Some(&br#"{"mode":"compliance","until":"2000-01-01T00:00:00Z"}"#[..])] {
            fs::remove_file(record(victim)).unwrap();
            if let Some(left) = left {
                fs::write(record(victim), left).unwrap();
            }
            verify(&lab, "vault", "locks").code(5);
            let run = repair(&lab, "vault", "copy").ok();
            assert!(run.json()["result"]["extended"].as_u64().unwrap() > 0, "{}: {}", victim.display(), run.said());
            verify(&lab, "vault", "locks").ok();
        }
        assert!(!whole.is_empty());
    }
}

#[test]
fn damaged_evidence_of_the_source_is_damage() {
    let lab = vault(1);
    let evidence = below(&lab, "vault", "evidence/").remove(0);
    flip(&evidence);
    let run = replicate(&lab, "other", &[]).code(4);
    assert!(names(&run, "copy.damaged", &name(&evidence)), "{}", run.said());
    // The copy that has it heals it; without one that has it, it is named.
    let run = repair(&lab, "vault", "other").code(4);
    assert!(names(&run, "repair.lost", &name(&evidence)), "{}", run.said());
    let run = repair(&lab, "vault", "copy").ok();
    assert!(names(&run, "repair.mended", &name(&evidence)), "{}", run.said());
    replicate(&lab, "other", &[]).ok();
}
