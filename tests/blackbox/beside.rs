//! What stands where the files of parity belong and is none: named, and everything else is looked at all the same.

use std::{fs, os::unix::fs::symlink};

use crate::mended::{at, below, names, replicate, vault, verify};

#[test]
fn what_is_no_file_of_parity_is_named_and_hides_nothing() {
    let lab = vault(2);
    let repair = |more: &[&str]| lab.run(at(&lab, "copy", &["repair", "--json"]).args(more));
    repair(&["--parity", "5%"]).ok();
    let file = below(&lab, "copy", ".parity/").remove(0);
    let name = file.file_name().unwrap().to_str().unwrap().to_owned();
    let whole = fs::read(&file).unwrap();
    let elsewhere = lab.path("elsewhere.parity");
    fs::write(&elsewhere, &whole).unwrap();
    let fifo = || assert!(lab.around("mkfifo").arg(&file).status().unwrap().success());
    let kinds: [(&str, &dyn Fn()); 3] = [
        ("a directory", &|| fs::create_dir(&file).unwrap()),
        ("a pipe", &fifo),
        ("a link", &|| symlink(&elsewhere, &file).unwrap()),
    ];
    for (kind, make) in kinds {
        fs::remove_file(&file).unwrap();
        make();
        for depth in ["locks", "read"] {
            let seen = verify(&lab, "copy", depth).code(5);
            assert!(names(&seen, "parity.damaged", &name), "{kind}: {}", seen.said());
        }
        let run = repair(&["--dry-run"]).code(5);
        assert!(names(&run, "parity.damaged", &name), "{kind}: {}", run.said());
        let run = repair(&[]).code(5);
        assert!(names(&run, "parity.damaged", &name), "{kind}: {}", run.said());
        let run = replicate(&lab, "copy", &[]);
        assert!(matches!(run.code, Some(0 | 5)), "{kind}: {}", run.said());
        // Moved away, it is as if there were none, and parity can be made again.
        if fs::symlink_metadata(&file).unwrap().is_dir() {
            fs::remove_dir(&file).unwrap();
        } else {
            fs::remove_file(&file).unwrap();
        }
        repair(&["--parity", "5%"]).ok();
        verify(&lab, "copy", "read").ok();
        assert_eq!(fs::read(&file).unwrap(), whole, "{kind}");
    }
    assert_eq!(fs::read(&elsewhere).unwrap(), whole);
}

#[test]
fn what_stands_in_the_place_of_all_parity_keeps_nothing_from_being_looked_at() {
    let lab = vault(2);
    lab.run(&mut at(&lab, "copy", &["repair", "--parity", "5%"])).ok();
    let parity = lab.path("copy/.parity");
    fs::rename(&parity, lab.path("moved")).unwrap();
    let file = || fs::write(&parity, b"x").unwrap();
    let kinds: [(&str, &dyn Fn()); 2] =
        [("a link", &|| symlink(lab.path("moved"), &parity).unwrap()), ("a file", &file)];
    for (kind, make) in kinds {
        make();
        let seen = verify(&lab, "copy", "read").code(5);
        assert!(names(&seen, "parity.damaged", ".parity"), "{kind}: {}", seen.said());
        for more in [&["--json"][..], &["--json", "--dry-run"], &["--json", "--parity", "5%"]] {
            let run = lab.run(at(&lab, "copy", &["repair"]).args(more)).code(5);
            assert!(names(&run, "parity.damaged", ".parity"), "{kind}: {}", run.said());
        }
        // Damage beside it is found and named.
        let pack = below(&lab, "copy", "packs/").remove(0);
        let bytes = fs::read(&pack).unwrap();
        fs::remove_file(&pack).unwrap();
        let seen = verify(&lab, "copy", "locks").code(4);
        assert!(names(&seen, "parity.damaged", ".parity") && seen.said().contains("packs/"), "{}", seen.said());
        fs::write(&pack, bytes).unwrap();
        lab.backup("x", kind.as_bytes());
        let run = replicate(&lab, "copy", &[]).code(5);
        assert_eq!(run.json()["result"]["copies"][0]["report"]["copied"].as_array().unwrap().len(), 1);
        fs::remove_file(&parity).unwrap();
    }
    fs::rename(lab.path("moved"), &parity).unwrap();
    replicate(&lab, "copy", &[]).ok();
    verify(&lab, "copy", "read").ok();
}
