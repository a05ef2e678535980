//! A git repository there and back, as the program does it.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use crate::lab::{Lab, noise};

/// Runs git in `dir`, away from this machine's settings.
fn git(lab: &Lab, dir: &Path, args: &[&str]) -> String {
    let mut command: Command = lab.around("git");
    for (name, value) in [("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_SYSTEM", "/dev/null")] {
        command.env(name, value);
    }
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "A Person").env(format!("GIT_{who}_EMAIL"), "person@example.org");
    }
    let output = command.current_dir(dir).args(args).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Branches, a merge, tags of both kinds, notes, a stash, an odd branch name, a binary and a rename.
fn build(lab: &Lab) -> std::path::PathBuf {
    let repo = lab.path("repo");
    fs::create_dir(&repo).unwrap();
    let run = |args: &[&str]| git(lab, &repo, args);
    run(&["init", "-q", "-b", "main"]);
    for no in 0..5 {
        fs::write(repo.join("file.txt"), format!("line {no}\n").repeat(50)).unwrap();
        fs::write(repo.join("picture.bin"), noise(no, 20_000)).unwrap();
        run(&["add", "."]);
        run(&["commit", "-q", "-m", &format!("Change {no}")]);
    }
    run(&["tag", "light"]);
    run(&["tag", "-a", "v1.0", "-m", "The first"]);
    run(&["checkout", "-q", "-b", "topic/ünï"]);
    run(&["mv", "file.txt", "moved.txt"]);
    run(&["commit", "-q", "-m", "Move it"]);
    run(&["checkout", "-q", "main"]);
    fs::write(repo.join("other.txt"), "other\n").unwrap();
    run(&["add", "."]);
    run(&["commit", "-q", "-m", "Something else"]);
    run(&["merge", "-q", "--no-ff", "-m", "Bring both together", "topic/ünï"]);
    run(&["notes", "add", "-m", "A note"]);
    run(&["update-ref", "refs/pull/7/head", "HEAD~1"]);
    run(&["update-ref", "refs/tags/a-blob", "HEAD:other.txt"]);
    fs::write(repo.join("other.txt"), "not done yet\n").unwrap();
    run(&["stash", "-q"]);
    fs::write(repo.join("other.txt"), "nor this\n").unwrap();
    run(&["stash", "-q"]);
    run(&["checkout", "-q", "--orphan", "empty-root"]);
    run(&["commit", "-q", "--allow-empty", "-m", "Nothing in it"]);
    run(&["checkout", "-q", "main"]);
    repo
}

const REFS: &[&str] = &["for-each-ref", "--format=%(objectname) %(objecttype) %(refname) %(symref)"];
const OBJECTS: &[&str] = &["rev-list", "--objects", "--all", "--reflog", "--no-object-names"];

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn a_repository_comes_back_whole() {
    let lab = Lab::new();
    let repo = build(&lab);
    let backup = |name: &str| {
        let run = lab.run(&mut lab.writer(["backup", "--name", name, "--git", repo.to_str().unwrap(), "--json"])).ok();
        run.json()["result"]["snapshots"][0].clone()
    };
    let first = backup("code");
    assert_eq!(first["kind"], "git");
    let restore = |out: &str, source: &str| {
        lab.run(&mut lab.reader(["restore", "latest", "--source", source, "--to", &lab.text(out)])).ok();
        lab.path(out).join(format!("{source}.git"))
    };
    let back = restore("out", "code");
    assert_eq!(git(&lab, &back, REFS), git(&lab, &repo, REFS));
    let there = |dir: &Path| git(&lab, dir, &["rev-list", "--objects", "--all", "--no-object-names"]);
    assert_eq!(sorted(&there(&back)), sorted(&there(&repo)));
    // The older stash is in no ref, only in a log.
    let wanted = git(&lab, &repo, &["stash", "list", "--format=%H"]);
    assert_eq!(wanted.lines().count(), 2);
    let all = git(&lab, &back, OBJECTS);
    assert!(wanted.lines().all(|stash| all.contains(stash)), "a stash is missing");
    assert_eq!(git(&lab, &back, &["symbolic-ref", "HEAD"]), git(&lab, &repo, &["symbolic-ref", "HEAD"]));
    git(&lab, &back, &["fsck", "--full", "--strict"]);
    let clone = lab.text("clone");
    git(&lab, &lab.path(""), &["clone", "-q", back.to_str().unwrap(), &clone]);
    assert_eq!(fs::read(lab.path("clone/moved.txt")).unwrap(), fs::read(repo.join("moved.txt")).unwrap());

    let again = backup("code");
    assert!(again["bytes_stored"].as_u64().unwrap() < 32 << 10, "{again}");
    // History that a force-push takes away is still in the earlier snapshot.
    let lost = git(&lab, &repo, &["rev-parse", "main"]);
    git(&lab, &repo, &["reset", "-q", "--hard", "HEAD~2"]);
    git(&lab, &repo, &["stash", "clear"]);
    backup("code");
    let newest = restore("newest", "code");
    assert_eq!(git(&lab, &newest, REFS), git(&lab, &repo, REFS));
    let id = first["id"].as_str().unwrap();
    lab.run(&mut lab.reader(["restore", id, "--to", &lab.text("oldest")])).ok();
    assert_eq!(git(&lab, &lab.path("oldest/code.git"), &["rev-parse", "main"]), lost);
    lab.run(&mut lab.reader(["restore", id, "--to", &lab.text("oldest")])).fails(2, &["already exists"]);
    lab.run(&mut lab.reader(["verify", "--depth", "decrypt"])).ok();
}

#[test]
fn repositories_that_are_not_whole_are_refused() {
    let lab = Lab::new();
    let repo = build(&lab);
    let backup = |dir: &Path| lab.run(&mut lab.writer(["backup", "--name", "code", "--git", dir.to_str().unwrap()]));
    let url = format!("file://{}", repo.display());
    git(&lab, &lab.path(""), &["clone", "-q", "--depth", "1", &url, "shallow"]);
    backup(&lab.path("shallow")).fails(1, &["shallow"]);
    let tip = git(&lab, &repo, &["rev-parse", "HEAD~2^{tree}"]);
    let (first, rest) = tip.trim().split_at(2);
    let object = repo.join(".git/objects").join(first).join(rest);
    fs::remove_file(object).unwrap();
    // What does not need it is whole.
    backup(&repo).code(3).says(&["not all of it could be backed up", "refs/heads/main"]);
    fs::remove_dir_all(repo.join(".git/refs")).unwrap();
    backup(&repo).fails(1, &["no snapshot"]);
}

#[test]
fn damage_leaves_no_repository_that_looks_whole() {
    let lab = Lab::new();
    let repo = build(&lab);
    lab.run(&mut lab.writer(["backup", "--name", "code", "--git", repo.to_str().unwrap()])).ok();
    let pack = lab.objects().into_iter().find(|n| n.starts_with("packs/") && !n.ends_with(".lock")).unwrap();
    let path = lab.path("vault").join(pack);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    crate::lab::chmod(&path, 0o600);
    fs::write(&path, bytes).unwrap();
    let restore = || lab.run(&mut lab.reader(["restore", "latest", "--source", "code", "--to", &lab.text("out")]));
    restore().code(4);
    let out = lab.path("out/code.git");
    assert!(!out.exists() || out.join("INCOMPLETE.from-backup").exists());
    assert_eq!(lab.still_running(), [""; 0]);
}
