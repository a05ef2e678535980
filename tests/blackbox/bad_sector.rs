//! A disk that has lost one file of the vault: what it holds is damage of that object, and nobody's else.

use std::{fs, process::Command};

use crate::lab::{Lab, Run, noise};

/// A library that makes the reads of one file fail.
fn shim(lab: &Lab) -> String {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/bad_sector.c");
    let library = lab.text("bad_sector.so");
    let made = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o", &library, source]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    library
}

#[test]
fn a_bad_sector_is_damage_of_one_object_and_is_repaired_from_a_copy() {
    let lab = Lab::new();
    let shim = shim(&lab);
    let (first, second) = (noise(1, 300_000), noise(2, 300_000));
    let ids = [&first, &second].map(|bytes| lab.backup("x", bytes)["id"].as_str().unwrap().to_owned());
    fs::create_dir(lab.path("copy")).unwrap();
    let copy = format!("file://{}", lab.text("copy"));
    lab.run(&mut lab.reader(["replicate", "--to", &copy])).ok();
    let (mut found, mut restored, mut repaired) = (0, [0, 0], 0);
    for object in lab.objects().into_iter().filter(|object| !object.ends_with(".lock")) {
        let path = lab.path("vault").join(&object).canonicalize().unwrap();
        let run = |command: &mut Command| -> Run { lab.run(command.env("LD_PRELOAD", &shim).env("BAD_SECTOR", &path)) };
        let kind = object.split('/').next().unwrap();
        // What nobody reads has no sectors; and who can't read a document can't tell whether the vault's root signed it.
        let least = match kind {
            "canaries" => continue,
            "evidence" => 0,
            _ => 4,
        };
        let seen = run(&mut lab.reader(["verify", "--depth", "read"])).code(least);
        assert!(seen.said().contains(&object), "{object}: {}", seen.said());
        found += u32::from(least == 4);
        // A snapshot that does not need it comes back, and none comes back wrong.
        for (n, bytes) in [&first, &second].into_iter().enumerate() {
            let back = run(&mut lab.reader(["restore", &ids[n], "--to", "-"]));
            assert!(back.code == Some(0) || [Some(1), Some(4)].contains(&back.code), "{object}: {}", back.said());
            if back.code == Some(0) {
                assert!(&back.stdout == bytes, "{object}");
                restored[n] += 1;
            } else {
                assert!(back.stderr.contains("hint: ") && !back.stderr.contains("credentials"), "{}", back.said());
            }
        }
        if matches!(kind, "packs" | "lists" | "indexes" | "snapshots") {
            run(&mut lab.reader(["repair", "--from", &copy, "--dry-run"]))
                .ok()
                .says_anywhere(&[&object, "repair.mended"]);
            repaired += 1;
        }
    }
    assert!(found >= 10 && repaired >= 7, "{found} {repaired}");
    assert!(restored.iter().all(|count| (3..found).contains(count)), "{restored:?} of {found}");
}

/// Headers behind a link are not gone: nobody may pass over them, and least of all who deletes.
#[test]
fn a_link_in_the_vault_is_damage_and_no_absence() {
    let lab = Lab::new();
    for (source, seed) in [("x", 1), ("y", 2)] {
        lab.backup(source, &noise(seed, 100_000));
    }
    let vault = lab.path("vault");
    let headers = vault.join("snapshots/writer");
    let away = lab.path("away");
    let prune = ["prune", "--yes", "--clock-is-right"];
    let objects = lab.objects();

    // All of them, behind a link to their directory.
    fs::rename(&headers, &away).unwrap();
    std::os::unix::fs::symlink(&away, &headers).unwrap();
    for command in [&["verify"][..], &["snapshots"], &prune] {
        lab.run(&mut lab.reader(command)).code(4).says_anywhere(&["snapshots/writer", "symbolic link"]);
    }
    fs::remove_file(&headers).unwrap();
    fs::rename(&away, &headers).unwrap();

    // One of them.
    let header = fs::read_dir(&headers)
        .unwrap()
        .map(|one| one.unwrap().path())
        .find(|path| path.extension().is_some_and(|e| e == "json"));
    let header = header.unwrap();
    fs::rename(&header, &away).unwrap();
    std::os::unix::fs::symlink(&away, &header).unwrap();
    let name = header.file_name().unwrap().to_str().unwrap();
    lab.run(&mut lab.reader(["verify", "--depth", "read"])).code(4).says_anywhere(&[name]);
    let pruned = lab.run(&mut lab.reader(prune));
    assert_ne!(pruned.code, Some(0), "{}", pruned.said());
    fs::remove_file(&header).unwrap();
    fs::rename(&away, &header).unwrap();
    assert_eq!(lab.objects(), objects);
    lab.run(&mut lab.reader(["verify", "--depth", "read"])).ok();
}
