//! Records below `copies/` that are damaged, lost, or of something else: named, made again where the hash in their name proves what
//! they said, and in nobody's way.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    lab::Lab,
    mended::{at, below, names, record, repair, replicate, url, vault, verify},
};

fn records(lab: &Lab) -> Vec<PathBuf> {
    below(lab, "copy", "copies/")
}

fn spoil(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes[20] = b'#';
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_damaged_record_of_a_copy_is_named_and_made_again() {
    let lab = vault(2);
    let path = records(&lab).remove(0);
    let whole = fs::read(&path).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    let damages: [&dyn Fn(); 3] =
        [&|| spoil(&path), &|| fs::write(&path, b"").unwrap(), &|| fs::remove_file(&path).unwrap()];
    for (no, damage) in damages.iter().enumerate() {
        if no == 1 {
            fs::remove_file(&path).unwrap();
        }
        damage();
        let (code, gone) = (if no == 2 { 4 } else { 0 }, no == 2);
        for depth in ["locks", "read"] {
            let seen = verify(&lab, "copy", depth).code(code);
            assert!(gone || names(&seen, "copy.record", &name), "{}", seen.said());
        }
        let dry = lab.run(&mut at(&lab, "copy", &["repair", "--from", &lab.url(), "--dry-run", "--json"])).ok();
        assert!(names(&dry, "repair.mended", &name) && fs::read(&path).ok() != Some(whole.clone()), "{}", dry.said());
        let run = repair(&lab, "copy", "vault").ok();
        assert!(names(&run, "repair.mended", &name), "{}", run.said());
        assert_eq!(run.json()["result"]["mended"]["copies"]["objects"], 1);
        assert_eq!(fs::read(&path).unwrap(), whole);
        let seen = verify(&lab, "copy", "read").ok();
        assert!(!names(&seen, "copy.record", &name), "{}", seen.said());
    }
    // A copy goes on by itself, since the hash proves where it was made from; and says that anew.
    spoil(&path);
    let (before, to) = (records(&lab).len(), url(&lab, "copy"));
    replicate(&lab, "copy", &[]).ok();
    assert_eq!(records(&lab).len(), before + 1);
    replicate(&lab, "copy", &[]).ok();
    assert_eq!(records(&lab).len(), before + 1, "a good one is there");
    // One that is gone as well.
    for path in records(&lab) {
        fs::remove_file(path).unwrap();
    }
    replicate(&lab, "copy", &[]).code(0);
    assert_eq!(records(&lab).len(), 1);
    // Another source is as little its own as before.
    fs::rename(lab.path("vault"), lab.path("moved")).unwrap();
    let adopt = |more: &[&str]| lab.run(at(&lab, "moved", &["replicate", "--to", &to]).args(more));
    adopt(&[]).code(2).says(&["is a copy of"]);
    for path in &records(&lab) {
        spoil(path);
    }
    adopt(&[]).code(2).says(&["damaged or gone", "repair --vault", "--adopt"]);
    // Damaged in the second in which it was adopted.
    for _ in 0..3 {
        adopt(&["--adopt"]).ok();
        adopt(&[]).ok();
        for path in &records(&lab) {
            spoil(path);
        }
    }
    adopt(&["--adopt"]).ok();
    adopt(&[]).ok();
}

#[test]
fn what_a_damaged_record_said_is_not_guessed() {
    let lab = vault(3);
    // It was whole, and then a part: what it had is in the record of the part alone.
    lab.backup("y", b"another source");
    lab.backup("x", b"the newest");
    replicate(&lab, "copy", &["--source", "x", "--newest", "1"]).ok();
    let all = records(&lab);
    let part = all.iter().find(|path| path.to_str().unwrap().contains("-part-")).unwrap();
    let whole = fs::read(part).unwrap();
    let seen = verify(&lab, "copy", "locks").ok();
    assert!(!names(&seen, "copy.record", ""));
    spoil(part);
    let name = part.file_name().unwrap().to_str().unwrap().to_owned();
    let seen = verify(&lab, "copy", "locks");
    assert!(names(&seen, "copy.record", &name), "{}", seen.said());
    let run = repair(&lab, "copy", "vault");
    assert!(names(&run, "copy.record", &name) || fs::read(part).unwrap() == whole, "{}", run.said());
    // The next pass says it anew.
    replicate(&lab, "copy", &["--source", "x", "--newest", "1"]).ok();
    verify(&lab, "copy", "locks").ok();
}

#[test]
fn records_of_something_else_count_for_nothing_and_are_named() {
    let lab = vault(1);
    let other = vault(1);
    let foreign = below(&other, "copy", "copies/").remove(0);
    let name = foreign.file_name().unwrap().to_str().unwrap().to_owned();
    for place in ["vault", "copy"] {
        fs::create_dir_all(lab.path(place).join("copies")).unwrap();
        fs::copy(&foreign, lab.path(place).join("copies").join(&name)).unwrap();
        let seen = verify(&lab, place, "locks").ok();
        assert!(names(&seen, "copy.record", &name) && seen.said().contains("of this vault"), "{}", seen.said());
    }
    // It makes no copy of a vault that is none, and none less of one that is.
    replicate(&lab, "copy", &[]).ok();
    lab.backup("x", b"the writer goes on");
    let to = url(&lab, "vault");
    lab.run(&mut at(&lab, "copy", &["replicate", "--to", &to])).code(2).says(&["nothing says that they were copied"]);
    assert!(!record(&lab.path("vault/copies").join(&name)).exists());
}
