//! Copies as somebody meets them who gives one place two names, stops them early, loses what is beside them, or asks for what
//! can't be.

use std::{fs, os::unix::fs::symlink, thread, time::Duration};

use crate::{
    lab::tree,
    mended::{at, below, names, repair, replicate, url, vault, verify},
};

#[test]
fn one_place_by_two_names_is_no_copy() {
    let lab = vault(1);
    symlink(lab.path("vault"), lab.path("alias")).unwrap();
    fs::create_dir(lab.path("other")).unwrap();
    for name in ["alias", "other/../vault", "vault/", "other/../alias/."] {
        for more in [&["--adopt"][..], &[]] {
            replicate(&lab, name, more).code(2).says_anywhere(&["is the vault itself"]);
        }
        repair(&lab, "vault", name).code(2).says_anywhere(&["is the vault itself"]);
    }
    for name in ["vault/inner", "alias/inner/deeper"] {
        replicate(&lab, name, &[]).code(2).says_anywhere(&["lies within"]);
    }
    assert!(!lab.path("vault/inner").exists() && !lab.path("vault/copies").exists());
    fs::create_dir(lab.path("vault/inner")).unwrap();
    let outer = url(&lab, "vault");
    lab.run(&mut at(&lab, "vault/inner", &["replicate", "--to", &outer])).code(2).says_anywhere(&["contains"]);
    // One that only looks alike is another.
    replicate(&lab, "vault-b", &[]).ok();
    let localhost = format!("file://localhost{}", lab.text("vault-b"));
    lab.run(&mut at(&lab, "vault", &["replicate", "--to", &localhost])).ok();
}

#[test]
fn parity_of_which_no_table_can_be_read_is_made_again() {
    let lab = vault(2);
    lab.run(&mut at(&lab, "copy", &["repair", "--parity", "5%"])).ok();
    let file = below(&lab, "copy", ".parity/").remove(0);
    let len = fs::metadata(&file).unwrap().len();
    let spoil = || {
        fs::remove_file(&file).unwrap();
        fs::write(&file, vec![7; usize::try_from(len).unwrap()]).unwrap();
    };
    spoil();
    verify(&lab, "copy", "read").code(5).says_anywhere(&["parity.damaged"]);
    lab.run(&mut at(&lab, "copy", &["repair", "--dry-run"])).code(5).says_anywhere(&["parity.damaged"]);
    let run = lab.run(&mut at(&lab, "copy", &["repair", "--json"])).ok();
    assert!(names(&run, "parity.rate", ".parity") && names(&run, "repair.mended", ".parity/"), "{}", run.said());
    verify(&lab, "copy", "read").ok();
    // It heals again.
    let pack = below(&lab, "copy", "packs/").remove(0);
    let whole = fs::read(&pack).unwrap();
    let mut bytes = whole.clone();
    bytes[5000] ^= 1;
    fs::remove_file(&pack).unwrap();
    fs::write(&pack, bytes).unwrap();
    lab.run(&mut at(&lab, "copy", &["repair"])).ok();
    assert_eq!(fs::read(&pack).unwrap(), whole);
    // A pass makes it again as well.
    spoil();
    replicate(&lab, "copy", &[]).ok().says_anywhere(&["parity.rate"]);
    verify(&lab, "copy", "read").ok();
}

#[test]
fn smaller_things_that_somebody_may_do_to_copies() {
    let lab = vault(2);
    // What says how a bucket is reached says nothing of a directory.
    for option in ["--to-region", "--to-endpoint", "--to-credentials", "--to-checksum"] {
        let value = if option == "--to-checksum" { "md5" } else { "ambient" };
        replicate(&lab, "copy", &[option, value]).code(2).says_anywhere(&[option, "is a directory"]);
    }
    let from = url(&lab, "vault");
    lab.run(&mut at(&lab, "copy", &["repair", "--from", &from, "--from-region", "x"]))
        .code(2)
        .says_anywhere(&["--from-region"]);
    // A repair with nothing to do does nothing, also a second later.
    for _ in 0..2 {
        let run = repair(&lab, "copy", "vault").ok();
        assert_eq!((&run.json()["result"]["extended"], &run.json()["result"]["objects"]), (&0.into(), &0.into()));
        thread::sleep(Duration::from_millis(1100)); // locks are in whole seconds
    }
    // An empty descriptor.
    fs::create_dir(lab.path("empty")).unwrap();
    fs::write(lab.path("empty/vault.json"), b"").unwrap();
    replicate(&lab, "empty", &[]).code(2).says_anywhere(&["repair --vault", "full or pulled out"]);
    repair(&lab, "empty", "vault").ok();
    verify(&lab, "empty", "read").ok();
    // A copy that was stopped before its first snapshot.
    for path in tree(&lab.path("copy")).into_iter().filter(|name| !name.ends_with('/')) {
        if ["snapshots/", "keys/", "members/"].iter().any(|prefix| path.starts_with(prefix)) {
            fs::remove_file(lab.path("copy").join(path)).unwrap();
        }
    }
    verify(&lab, "copy", "locks").code(1).says_anywhere(&["has no snapshot yet", "replicate"]);
    replicate(&lab, "copy", &[]).ok();
    verify(&lab, "copy", "locks").ok();
    fs::create_dir(lab.path("bare")).unwrap();
    fs::copy(lab.path("vault/vault.json"), lab.path("bare/vault.json")).unwrap();
    verify(&lab, "bare", "locks").code(1).says_anywhere(&["has no snapshot yet"]);
    // Two that adopt it in one second: the last one has it.
    fs::rename(lab.path("vault"), lab.path("moved")).unwrap();
    let to = url(&lab, "copy");
    let adopt = |place: &str, more: &[&str]| lab.run(at(&lab, place, &["replicate", "--to", &to]).args(more));
    adopt("moved", &["--adopt"]).ok();
    symlink(lab.path("moved"), lab.path("vault")).unwrap();
    adopt("vault", &["--adopt"]).ok();
    adopt("vault", &[]).ok();
    adopt("moved", &[]).code(2).says_anywhere(&["is a copy of"]);
    adopt("moved", &["--adopt"]).ok();
    adopt("moved", &[]).ok();
}

#[test]
fn what_is_remembered_of_copies_may_be_lost_and_two_are_not_one() {
    let lab = vault(1);
    let copy = |name: &str, url: &str| format!("[[copy]]\nname = \"{name}\"\nurl = \"{url}\"\n");
    lab.configure(&copy("a", &url(&lab, "copy")));
    lab.run(&mut lab.writer(["replicate"])).ok();
    let memory = lab.path("etc/strongroom.copies.json");
    for damaged in ["", "{", "[]"] {
        fs::write(&memory, damaged).unwrap();
        lab.run(&mut lab.writer(["status"])).says_anywhere(&["copy.memory", "copy-never"]);
        lab.run(&mut lab.writer(["replicate"])).ok().says_anywhere(&["copy.memory"]);
        assert!(fs::read_to_string(&memory).unwrap().contains("\"a\""));
        assert!(!lab.run(&mut lab.writer(["replicate"])).ok().said().contains("copy.memory"));
    }
    // A unit of systemd is handed its configuration where nothing can be written, and remembers in its state.
    fs::remove_file(&memory).unwrap();
    fs::create_dir(lab.path("state")).unwrap();
    for args in [&["replicate", "a"][..], &["status"]] {
        let mut command = lab.writer(args);
        command.env("CREDENTIALS_DIRECTORY", lab.path("etc")).env("STATE_DIRECTORY", lab.path("state"));
        assert!(!lab.run(&mut command).said().contains("copy-never"));
    }
    assert!(lab.path("state/strongroom.copies.json").is_file() && !memory.exists());
    symlink(lab.path("copy"), lab.path("same")).unwrap();
    lab.configure(&copy("c", &url(&lab, "same")));
    lab.run(&mut lab.writer(["replicate"])).code(2).says_anywhere(&["a and c are in one place"]);
    lab.configure(&copy("b", &url(&lab, "copy/")));
    lab.run(&mut lab.writer(["replicate"])).code(2).says_anywhere(&["in one place"]);
}

#[test]
fn a_first_copy_of_a_vault_without_its_descriptor_has_one_and_goes_on() {
    let lab = vault(2);
    let id = verify(&lab, "copy", "locks").ok().json()["result"]["vault_id"].as_str().unwrap().to_owned();
    for spoiled in [false, true] {
        let path = lab.path("vault/vault.json");
        let whole = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        if spoiled {
            fs::write(&path, b"{").unwrap();
        }
        let copy = format!("fresh-{spoiled}");
        for _ in 0..2 {
            replicate(&lab, &copy, &["--vault-id", &id]).code(4).says_anywhere(&["vault.descriptor"]);
        }
        verify(&lab, &copy, "read").ok();
        assert_eq!(fs::read(lab.path(&copy).join("vault.json")).unwrap(), whole);
        fs::write(&path, whole).unwrap();
    }
}
