//! What a restore brings back of a snapshot whose data is damaged: all that is whole, and a word on what is not.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use strongroom::{model::SourceKind, source::Facts};

use crate::{
    lab::{Made, back_up},
    sandbox::{Sandbox, noise},
};

fn git(dir: &Path, args: &[&str]) -> Vec<u8> {
    let mut git = Command::new("git");
    git.args(["-c", "init.defaultBranch=main", "-c", "user.name=A", "-c", "user.email=a@b"]).args(args);
    let out = git.current_dir(dir).stdin(Stdio::null()).output().unwrap();
    assert!(out.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    out.stdout
}

fn lines(dir: &Path, args: &[&str]) -> Vec<String> {
    let mut lines: Vec<String> = String::from_utf8(git(dir, args)).unwrap().lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

/// Restores the newest snapshot of `source`, which is not whole, and gives where to and what was told.
fn restore(sandbox: &Sandbox, source: &str) -> (PathBuf, Value) {
    let to = sandbox.path("back");
    let _ = fs::remove_dir_all(&to);
    let run =
        sandbox.reader(&["restore", "latest", "--source", source, "--to", to.to_str().unwrap(), "--json"]).code(4);
    assert_eq!(run.json()["error"]["kind"], "damaged");
    (to, run.json()["result"].clone())
}

#[test]
fn of_a_repository_that_was_stored_rotten_all_that_is_whole_comes_back() {
    let sandbox = Sandbox::with_vault();
    let repo = sandbox.path("repo");
    fs::create_dir(&repo).unwrap();
    git(&repo, &["init", "-q"]);
    for no in 0..12 {
        fs::write(repo.join(format!("f{no}")), noise(400, no)).unwrap();
        fs::write(repo.join("grows"), "a line that stays\n".repeat(20 + usize::try_from(no).unwrap())).unwrap();
        git(&repo, &["add", "-A"]);
        git(&repo, &["commit", "-q", "-m", &format!("{no}")]);
    }
    git(&repo, &["tag", "first", "HEAD~11"]);
    git(&repo, &["repack", "-q", "-a", "-d", "-f"]);
    let mut packs = fs::read_dir(repo.join(".git/objects/pack")).unwrap().map(|entry| entry.unwrap().path());
    let pack = packs.find(|path| path.extension().unwrap() == "pack").unwrap();
    let good = fs::read(&pack).unwrap();
    // Where each object lies: name, type, length, packed length, offset, and what it builds on.
    let told = lines(&repo, &["verify-pack", "-v", pack.to_str().unwrap()]);
    let words: Vec<Vec<&str>> = told.iter().map(|line| line.split_whitespace().collect()).collect();
    let objects: Vec<&Vec<&str>> = words.iter().filter(|words| words.len() > 4 && words[0].len() == 40).collect();
    let all = lines(&repo, &["cat-file", "--batch-all-objects", "--batch-check=%(objectname)"]);
    let oid = |name: &str| lines(&repo, &["rev-parse", name]).remove(0);
    let details = json!({
        "format": "sha1", "head": {"symbolic": "refs/heads/main"},
        "refs": {"refs/heads/main": oid("main"), "refs/tags/first": oid("first")},
    });
    let blob = oid("main:f5");
    for (hit, refs) in [(blob, vec!["refs/heads/main", "refs/tags/first"]), (oid("main"), vec!["refs/tags/first"])] {
        let at = objects.iter().find(|words| words[0] == hit).unwrap();
        let (offset, packed): (usize, usize) = (at[4].parse().unwrap(), at[3].parse().unwrap());
        let mut bytes = good.clone();
        bytes[offset + packed / 2] ^= 16;
        let facts = Facts { details: details.clone(), ..Facts::default() };
        back_up(&sandbox, "code", Made { kind: SourceKind::Git, stream: "old.pack", bytes, facts });
        let (to, told) = restore(&sandbox, "code");
        let back = to.join("code.git");
        let there = lines(&back, &["cat-file", "--batch-all-objects", "--batch-check=%(objectname)"]);
        // What builds on the damaged one is lost with it; what builds on that was packed shallowly enough.
        let lost: Vec<&String> = all.iter().filter(|oid| !there.contains(oid)).collect();
        let builds = |oid: &&String| objects.iter().any(|words| words[0] == oid.as_str() && words.len() > 6);
        assert!(lost.contains(&&hit) && lost.iter().filter(|oid| ***oid != hit).all(builds), "{lost:?}");
        assert_eq!(lines(&back, &["for-each-ref", "--format=%(refname)"]), refs);
        git(&back, &["rev-list", "--objects", "first"]);
        let note = fs::read_to_string(back.join("INCOMPLETE.from-backup")).unwrap();
        let lost = told["lost"].to_string();
        for text in ["old.pack", "refs/heads/main", &format!("{} of {} objects are whole", all.len() - 1, all.len())] {
            assert!(note.contains(text) && lost.contains(text), "{text}: {note}");
        }
        assert!(!fs::exists(to.join("code.git.partial")).unwrap());
    }
    // A drill says that it is damaged, and keeps nothing.
    let run = sandbox.reader(&["drill", "code", "--json"]).code(6);
    assert_eq!(run.json()["result"]["drills"][0]["passed"], false);
}

#[test]
fn the_files_beside_a_damaged_one_come_back() {
    let sandbox = Sandbox::with_vault();
    let files = sandbox.path("files");
    fs::create_dir(&files).unwrap();
    for (no, name) in ["a", "b", "c"].iter().enumerate() {
        // More than what goes into one pack.
        fs::write(files.join(name), noise(20 << 20, no as u64)).unwrap();
    }
    sandbox.writer(&["backup", "--name", "files", "--path", files.to_str().unwrap()]).ok();
    let mut packs = Vec::new();
    let mut todo = vec![sandbox.path("vault/packs")];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                todo.push(entry.path());
            } else if entry.metadata().unwrap().len() > 4 << 20 {
                packs.push(entry.path());
            }
        }
    }
    // A full one: the snapshot's body is in the last, which is not.
    packs.sort_by_key(|path| std::cmp::Reverse(fs::metadata(path).unwrap().len()));
    fs::remove_file(&packs[0]).unwrap();
    let (to, told) = restore(&sandbox, "files");
    let names: Vec<&str> = told["lost"].as_array().unwrap().iter().map(|l| l["object"].as_str().unwrap()).collect();
    assert!(!names.is_empty() && names.len() < 3, "{told}");
    for name in ["a", "b", "c"] {
        let back = fs::read(to.join("files").join(name)).ok();
        let whole = back.is_some_and(|back| back == fs::read(files.join(name)).unwrap());
        assert_eq!(whole, !names.contains(&name), "{name}: {told}");
    }
    assert_eq!(fs::read_dir(to.join("files")).unwrap().count(), 3 - names.len());
    // Where nothing is whole, nothing is said to be restored.
    let run =
        sandbox.reader(&["restore", "latest", "--source", "files", "--stream", names[0], "--to", to.to_str().unwrap()]);
    run.code(4).says("chunk");
}

#[test]
fn what_a_drill_or_a_verification_found_damaged_is_not_leaned_on_again() {
    let sandbox = Sandbox::with_vault();
    let files = sandbox.path("files");
    fs::create_dir(&files).unwrap();
    fs::write(files.join("a"), noise(300_000, 1)).unwrap();
    let backup = |more: &[&str]| {
        let command = ["backup", "--name", "files", "--json", "--path", files.to_str().unwrap()];
        let run = sandbox.writer(&[&command, more].concat()).ok().json();
        let made = &run["result"]["snapshots"][0];
        let anew = run["findings"].as_array().unwrap().iter().filter(|f| f["code"] == "source.anew").count();
        (made["bytes_new"].as_u64().unwrap(), anew)
    };
    // Each pack once: the same bit twice would heal it.
    let mut damaged = BTreeSet::new();
    let mut damage = || {
        let dirs = fs::read_dir(sandbox.path("vault/packs/writer")).unwrap().map(|entry| entry.unwrap().path());
        let packs = dirs.flat_map(|dir| fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()));
        let before = damaged.len();
        for path in packs.filter(|path| fs::metadata(path).unwrap().len() > 200_000) {
            if damaged.insert(path.clone()) {
                let mut bytes = fs::read(&path).unwrap();
                let half = bytes.len() / 2;
                bytes[half] ^= 16;
                fs::remove_file(&path).unwrap();
                fs::write(path, bytes).unwrap();
            }
        }
        assert_eq!(damaged.len(), before + 1);
    };
    assert_eq!(backup(&[]), (300_000, 0));
    assert_eq!(backup(&[]), (0, 0));
    damage();
    // Nobody knows yet.
    assert_eq!(backup(&[]), (0, 0));
    for find in [&["drill", "files"][..], &["verify", "--depth", "read", "--evidence"]] {
        let run = sandbox.reader(find);
        assert!(matches!(run.code, 4 | 6), "{}", run.out());
        assert_eq!(backup(&[]), (300_000, 1), "{find:?}");
        assert_eq!(backup(&[]), (0, 0));
        sandbox.reader(&["drill", "files"]).ok();
        damage();
    }
    // And whoever knows can say so.
    assert_eq!(backup(&["--full"]), (300_000, 0));
    sandbox.reader(&["drill", "files"]).ok();
}
