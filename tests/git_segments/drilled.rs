//! What a drill of a repository passes, fails and does not try.

use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::lab::Lab;

/// Writes an object as it is, whatever git thinks of it.
fn object(lab: &Lab, kind: &str, bytes: &[u8]) -> String {
    let mut git = Command::new("git");
    git.args(["hash-object", "-t", kind, "--literally", "-w", "--stdin"]).current_dir(lab.repo());
    let mut child = git.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success());
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

fn tree(lab: &Lab, entries: &[(&str, &str, &str)]) -> String {
    let hex =
        |oid: &str| (0..oid.len()).step_by(2).map(|at| u8::from_str_radix(&oid[at..at + 2], 16).unwrap()).collect();
    let entry = |(mode, name, oid): &(&str, &str, &str)| [format!("{mode} {name}\0").into_bytes(), hex(oid)].concat();
    object(lab, "tree", &entries.iter().flat_map(entry).collect::<Vec<u8>>())
}

fn commit(lab: &Lab, tree: &str, who: &str) -> String {
    object(lab, "commit", format!("tree {tree}\nauthor {who}\ncommitter {who}\n\nm\n").as_bytes())
}

/// Backs the repository up and drills it: whether that passed, the checks that did not, and all that was told.
fn drilled(lab: &Lab, options: &[&str]) -> (bool, Vec<String>, Value) {
    let repo = lab.repo();
    let backup = ["backup", "--name", "code", "--git", repo.to_str().unwrap()];
    lab.sandbox.writer(&[&backup, options].concat()).ok();
    let run = lab.sandbox.reader(&["drill", "code", "--json"]);
    let drill = run.json()["result"]["drills"][0].clone();
    let passed = drill["passed"] == true;
    assert_eq!(run.code, if passed { 0 } else { 6 }, "{drill}");
    let failed = drill["checks"].as_array().unwrap().iter().filter(|check| check["status"] != "pass");
    (passed, failed.map(|check| check["name"].as_str().unwrap().to_owned()).collect(), drill)
}

#[test]
fn what_git_accepts_passes_as_it_was() {
    let mut lab = Lab::new();
    lab.commit(1, 100);
    let blob = object(&lab, "blob", b"hello\n");
    let sub = tree(&lab, &[("100644", "f", &blob)]);
    let odd = [
        commit(&lab, &tree(&lab, &[("100644", "a", &blob), ("040000", "d", &sub)]), "A <a@x> 1200000000 +0000"),
        commit(&lab, &sub, "A 1200000000 +0000"),
        commit(&lab, &sub, "A <a@x> 1200000000 +051800"),
        commit(&lab, &tree(&lab, &[("100644", "a", &blob), ("100644", "a", &blob)]), "A <a@x> 1 +0000"),
    ];
    for (no, oid) in odd.iter().enumerate() {
        lab.git(&["update-ref", &format!("refs/pull/{no}/head"), oid]);
    }
    lab.git(&["symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/gone"]);
    fs::write(lab.repo().join(".git/HEAD"), "ref: refs/pull/0/head\n").unwrap();
    let heads = lab.repo().join(".git/refs/heads");
    let latin = std::os::unix::ffi::OsStrExt::from_bytes(b"caf\xe9");
    fs::copy(heads.join("main"), heads.join::<&std::ffi::OsStr>(latin)).unwrap();
    let (passed, failed, drill) = drilled(&lab, &[]);
    assert!(passed, "{failed:?}: {drill}");
    let checks = drill["checks"].to_string();
    let told = ["badTimezone (1)", "duplicateEntries (1)", "missingEmail (1)", "zeroPaddedFilemode (1)"];
    assert!(told.iter().all(|told| checks.contains(told)) && checks.contains("2 files of"), "{checks}");

    // What can't be checked out is told, and not tried: a name that git refuses, one that no file system takes, a hundred
    // thousand files out of some hundred bytes, and ever so many.
    let long = "n".repeat(300);
    let mut bomb = tree(&lab, &[("100644", "f", &blob)]);
    let mut bombs = Vec::new();
    for _ in 0..24 {
        let names: Vec<String> = (0..10).map(|no| no.to_string()).collect();
        let entries: Vec<_> = names.iter().map(|name| ("40000", name.as_str(), bomb.as_str())).collect();
        bomb = tree(&lab, &entries);
        bombs.push(bomb.clone());
    }
    for (tree, told) in [
        (tree(&lab, &[("40000", ".Git", &sub)]), "git refuses what was committed there"),
        (tree(&lab, &[("100644", &long, &blob)]), "its longest name has 300 bytes"),
        (bombs[4].clone(), "it would unfold to 211110 files"),
        (bombs[23].clone(), "it would unfold to 18446744073709551615 files"),
    ] {
        lab.git(&["update-ref", "refs/pull/0/head", &commit(&lab, &tree, "A <a@x> 1 +0000")]);
        let (passed, failed, drill) = drilled(&lab, &[]);
        assert!(passed && drill["not_tested"].to_string().contains(told), "{told}: {failed:?}: {drill}");
    }
}

#[test]
fn lfs_objects_that_are_not_there_are_told_at_any_level_and_fail() {
    let mut lab = Lab::new();
    lab.commit(1, 100);
    assert_eq!(drilled(&lab, &[]).1, [""; 0]);
    // On another branch, two levels down, and after the first run.
    let id = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73";
    lab.git(&["checkout", "-q", "-b", "side"]);
    let below = lab.repo().join("a/b");
    fs::create_dir_all(&below).unwrap();
    fs::write(below.join(".gitattributes"), "*.bin filter=lfs diff=lfs merge=lfs -text\n").unwrap();
    let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{id}\nsize 7\n");
    fs::write(below.join("x.bin"), pointer).unwrap();
    lab.commit(2, 100);
    lab.git(&["checkout", "-q", "main"]);
    for _ in 0..2 {
        let (_, failed, drill) = drilled(&lab, &[]);
        assert_eq!(failed, ["LFS objects that the refs name"]);
        assert!(drill["checks"].to_string().contains(id), "{drill}");
        let told = lab.backup()["warnings"].to_string();
        assert!(told.contains(id) && told.contains("is not here"), "{told}");
    }
    let place = lab.repo().join(format!(".git/lfs/objects/ed/70/{id}"));
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    fs::write(place, "content").unwrap();
    assert_eq!(drilled(&lab, &[]).1, [""; 0]);
    assert_eq!(lab.backup()["warnings"].to_string(), "[]");
    // One that was emptied is no plain pass, though it was said that it may be.
    lab.git(&["checkout", "-q", "--detach"]);
    for branch in ["main", "side"] {
        lab.git(&["update-ref", "-d", &format!("refs/heads/{branch}")]);
    }
    fs::write(lab.repo().join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
    assert_eq!(drilled(&lab, &["--allow-empty"]).1, ["refs since the snapshot before"]);
    let (passed, _, drill) = drilled(&lab, &[]);
    assert!(passed && drill["not_tested"].to_string().contains("has no ref"), "{drill}");
}
