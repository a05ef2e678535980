//! A repository of more than ten thousand commits, with everything that real ones have, goes in and comes back.
//! Needs git and python3.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "support/sandbox.rs"]
mod sandbox;

use std::{path::Path, process::Command};

use sandbox::Sandbox;

const COMMITS: u64 = 10_000;

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?} can't be run: {e}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn git(repo: &Path, args: &[&str]) -> String {
    let mut command = Command::new("git");
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    run(command.arg("--git-dir").arg(repo).args(args))
}

/// Every ref with what it names, and `HEAD`.
fn refs(repo: &Path) -> String {
    let all = git(repo, &["for-each-ref", "--format=%(refname) %(objectname) %(objecttype) %(symref)"]);
    all + &git(repo, &["symbolic-ref", "HEAD"])
}

/// Every object that can be reached, sorted.
fn objects(repo: &Path) -> Vec<String> {
    let mut objects: Vec<_> =
        git(repo, &["rev-list", "--objects", "--no-object-names", "--all"]).lines().map(str::to_owned).collect();
    objects.sort_unstable();
    objects
}

#[test]
fn ten_thousand_commits_come_back() {
    let sandbox = Sandbox::with_vault();
    let repo = sandbox.path("code.git");
    let make = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/make-repo");
    run(Command::new(make).arg(&repo).arg(COMMITS.to_string()));
    let commits: u64 = git(&repo, &["rev-list", "--all", "--count"]).trim().parse().unwrap();
    assert!(commits > COMMITS, "{commits} commits");

    let backup = || {
        let run = sandbox.writer(&["backup", "--name", "code", "--json", "--git", repo.to_str().unwrap()]).ok();
        run.json()["result"]["snapshots"][0].clone()
    };
    let first = backup();
    let again = backup();
    let [read, stored] = ["bytes_read", "bytes_stored"].map(|field| again[field].as_u64().unwrap());
    assert_eq!(again["chunks_new"], 0);
    assert_eq!(first["bytes_read"].as_u64().unwrap(), read);
    // A header, and a body that names a hundred refs, cost what they cost whatever the repository's size.
    assert!(stored < (32 << 10) + read / 1000, "{stored} bytes stored for {read} that were known");

    let to = sandbox.path("back");
    sandbox.reader(&["restore", "latest", "--source", "code", "--to", to.to_str().unwrap()]).ok();
    let back = to.join("code.git");
    assert_eq!(refs(&back), refs(&repo));
    let (found, wanted) = (objects(&back), objects(&repo));
    assert!(wanted.len() as u64 > 4 * COMMITS, "{} objects", wanted.len());
    assert!(found == wanted, "{} objects came back of {}", found.len(), wanted.len());
    git(&back, &["fsck", "--full", "--strict"]);
}
