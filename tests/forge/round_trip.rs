//! What a forge holds comes back as it was, from each API, and the next day only what changed is asked for.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use serde_json::{Value, json};

use crate::{
    fake::{Fake, TOKEN, holding, lines, manifest, restored, row},
    sandbox::Sandbox,
};

/// The ids of entries, in order.
fn ids(entries: &[Value]) -> Vec<i64> {
    let mut ids: Vec<i64> = entries.iter().map(|entry| entry["id"].as_i64().unwrap()).collect();
    ids.sort_unstable();
    ids
}

fn held(fake: &Fake, repository: &str, kind: &str) -> Vec<Value> {
    fake.ask("held")[repository][kind].as_array().unwrap().clone()
}

fn backup(sandbox: &Sandbox) -> Value {
    sandbox.writer(&["--json", "-vv", "backup"]).ok().json()
}

/// First run, restore, next day, restore, for what all APIs have.
fn lives(kind: &str, comments: &str) {
    let fake = Fake::small(None);
    let sandbox = fake.vault(kind, "code = false");
    let told = backup(&sandbox);
    assert_eq!(told["result"]["snapshots"][0]["kind"], kind, "{told}");
    let first = fake.calls();
    let dir = restored(&sandbox, "one");
    for repository in ["acme/app-00", "acme/app-01"] {
        let (at, known) = (dir.join("acme").join(repository), held(&fake, repository, "issues"));
        let mut got = lines(&at.join("issues.jsonl"));
        got.extend(lines(&at.join("merge_requests.jsonl")));
        assert_eq!(ids(&got), ids(&known));
        for release in held(&fake, repository, "releases") {
            let asset = &release["assets"][0];
            let path = at.join(format!("files/releases-{}-{}", asset["id"], asset["name"].as_str().unwrap()));
            assert!(path.is_file(), "{}", path.display());
        }
        let got = lines(&at.join(format!("{comments}.jsonl")));
        if kind == "gitlab" {
            assert!(!got.is_empty());
        } else {
            let shown = fake.tell("served", &json!({ "kind": kind }));
            assert_eq!(json!(got), shown[repository]["comments"]);
        }
        assert!(dir.join("acme.html").join(repository).join("issues/1.html").is_file());
    }
    let all = manifest(&dir);
    assert_eq!((&all["full"], &all["provider"]), (&json!(true), &json!(kind)));
    assert_eq!(all["calls"].as_u64().unwrap(), first, "the manifest tells how often was asked");

    // The next day one issue was talked about, and one is new.
    fake.tell("comment", &json!({"repo": "acme/app-00", "n": 3, "body": "said the next day"}));
    fake.tell("issue", &json!({"repo": "acme/app-00", "title": "found the next day"}));
    backup(&sandbox);
    let second = fake.calls();
    assert!(second < first, "{second} calls after {first}");
    let dir = restored(&sandbox, "two");
    let all = manifest(&dir);
    assert_eq!(all["full"], false);
    let text = |name: &str| fs::read_to_string(dir.join("acme/acme/app-00").join(name)).unwrap();
    assert!(text(&format!("{comments}.jsonl")).contains("said the next day"));
    assert!(text("issues.jsonl").contains("found the next day"));
    let issues = row(&all, "acme/app-00", "issues");
    assert!(issues["given"].as_u64() < issues["got"].as_u64(), "{issues}");
    let page = fs::read_to_string(dir.join("acme.html/acme/app-00/issues/3.html")).unwrap();
    assert!(page.contains("said the next day") && page.contains("Content-Security-Policy"));
    no_token(&sandbox);
}

/// The token is nowhere but where it was put.
fn no_token(sandbox: &Sandbox) {
    let found = holding(&sandbox.path(""), TOKEN.as_bytes());
    assert_eq!(found, [sandbox.path("etc/forge-token")]);
}

#[test]
fn gitea_comes_back_as_it_was() {
    lives("gitea", "comments");
}

#[test]
fn github_comes_back_as_it_was() {
    lives("github", "comments");
}

#[test]
fn gitlab_comes_back_as_it_was() {
    lives("gitlab", "issue_notes");
}

#[test]
fn what_was_deleted_is_told_by_a_pass_through_everything() {
    let fake = Fake::small(None);
    let sandbox = fake.vault("gitea", "code = false");
    backup(&sandbox);
    fake.tell("delete_issue", &json!({"repo": "acme/app-01", "n": 2}));
    backup(&sandbox);
    let dir = restored(&sandbox, "one");
    let row_of = |dir: &Path| row(&manifest(dir), "acme/app-01", "issues").clone();
    assert_eq!(row_of(&dir)["got"], 8, "what changed is asked for, and what is gone does not say so");
    sandbox.writer(&["backup", "--full"]).ok();
    let dir = restored(&sandbox, "two");
    let row = row_of(&dir);
    assert_eq!((&row["got"], &row["gone"], &row["gone_ids"]), (&json!(7), &json!(1), &json!(["2"])), "{row}");
    assert!(!dir.join("acme.html/acme/app-01/issues/2.html").exists());
}

/// The rows of a kind in the newest manifest, one for each repository: entries, and when they were asked for where not now.
fn settings(sandbox: &Sandbox, to: &str, kind: &str) -> Vec<(u64, bool)> {
    let all = manifest(&restored(sandbox, to));
    let of = |repository| row(&all, repository, kind).clone();
    let rows = ["acme/app-00", "acme/app-01"].map(of);
    rows.iter().map(|row| (row["got"].as_u64().unwrap(), row["as_of"].is_string())).collect()
}

#[test]
fn settings_are_asked_for_where_the_listing_tells_of_a_change_or_their_time_has_come() {
    let fake = Fake::small(None);
    let sandbox = fake.vault("gitea", "code = false\nsettings_every = \"5d\"\nfull_every = \"30d\"");
    backup(&sandbox);
    let first = fake.calls();
    assert_eq!(settings(&sandbox, "one", "branch_protections"), [(1, false), (1, false)]);
    // Nothing but what may have changed unseen: lists of issues and comments, and no pull requests, as no issue changed.
    fake.ask("log");
    backup(&sandbox);
    let log = fake.ask("log").to_string();
    for (path, asked) in [
        ("/hooks", false),
        ("/branch_protections", false),
        ("/pulls?", false),
        ("/issues?", false),
        ("/issues/search?", true),
    ] {
        assert_eq!(log.contains(path), asked, "{path} in {log}");
    }
    assert!(fake.calls() * 8 < first, "{log}");
    assert_eq!(
        settings(&sandbox, "two", "branch_protections"),
        [(1, true), (1, true)],
        "the manifest says of when it is"
    );

    // One whose listing tells of a change is looked at now, the other within five days.
    for repo in ["acme/app-00", "acme/app-01"] {
        fake.tell("unprotect", &json!({ "repo": repo }));
    }
    fake.tell("flags", &json!({"repo": "acme/app-00", "flags": {"archived": true, "open_issues_count": 7}}));
    backup(&sandbox);
    assert_eq!(settings(&sandbox, "three", "branch_protections"), [(0, false), (1, true)]);
    fake.tell("flags", &json!({"repo": "acme/app-00", "flags": {"open_issues_count": 8}}));
    backup(&sandbox);
    assert_eq!(settings(&sandbox, "four", "branch_protections"), [(0, true), (1, true)], "counts are not settings");
    fake.tell("skew", &json!({"seconds": 5 * 86_400 + 60}));
    backup(&sandbox);
    assert_eq!(settings(&sandbox, "five", "branch_protections"), [(0, false), (0, false)]);
}

/// A repository behind the forge, which only the token opens.
pub fn repository(dir: &Path, name: &str) {
    let git = |args: &[&str]| {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=x", "-c", "user.email=x@example.org"]).args(args);
        assert!(command.output().unwrap().status.success(), "{args:?}");
    };
    let (work, bare) = (dir.join(format!("work-{name}")), dir.join(format!("acme/{name}.git")));
    git(&["init", "-q", "-b", "main", work.to_str().unwrap()]);
    fs::write(work.join("README"), format!("this is {name}\n")).unwrap();
    git(&["-C", work.to_str().unwrap(), "add", "."]);
    git(&["-C", work.to_str().unwrap(), "commit", "-q", "-m", "first"]);
    git(&["clone", "-q", "--bare", work.to_str().unwrap(), bare.to_str().unwrap()]);
}

#[test]
fn code_and_wiki_come_by_git_which_shows_the_token_to_nobody() {
    let place = tempfile::tempdir().unwrap();
    for name in ["app-00", "app-01", "app-01.wiki"] {
        repository(place.path(), name);
    }
    let fake = Fake::small(Some(place.path()));
    let sandbox = fake.vault("gitea", "");
    // A git that writes down what it is given, as `ps` and `/proc` show it, and a helper that would store what it hears.
    let (bin, seen) = (sandbox.path("bin"), sandbox.path("seen"));
    fs::create_dir(&bin).unwrap();
    let real = Command::new("sh").args(["-c", "command -v git"]).output().unwrap();
    let real = String::from_utf8(real.stdout).unwrap();
    let script = format!("#!/bin/sh\n{{ echo \"$0 $*\"; env; }} >>{}\nexec {} \"$@\"\n", seen.display(), real.trim());
    fs::write(bin.join("git"), script).unwrap();
    fs::set_permissions(bin.join("git"), fs::Permissions::from_mode(0o755)).unwrap();
    let settings = "[credential]\n\thelper = store\n";
    fs::write(sandbox.path("home/.gitconfig"), settings).unwrap();
    let run = |args: &[&str]| {
        let mut command = sandbox.command();
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        sandbox.finish(command.env("PATH", path).arg("--config").arg(sandbox.config()).args(args))
    };
    let told = run(&["--json", "-vv", "backup"]).ok().json();
    let made: Vec<&str> =
        told["result"]["snapshots"].as_array().unwrap().iter().map(|one| one["source"].as_str().unwrap()).collect();
    let wiki = made.iter().find(|name| name.contains("wiki")).expect("there is a wiki");
    assert_eq!(made.len(), 4, "{made:?}");
    assert!(made.contains(&"acme") && made.contains(&"acme.acme.app-00") && made.contains(&"acme.acme.app-01"));
    let identity = sandbox.identity().display().to_string();
    let to = sandbox.path("code");
    for source in ["acme.acme.app-01", *wiki] {
        sandbox.reader(&["restore", "latest", "--source", source, "-i", &identity, "--to", to.to_str().unwrap()]).ok();
    }
    assert!(to.join("acme.acme.app-01.git/HEAD").is_file());
    let text = fs::read_to_string(&seen).unwrap();
    assert!(text.contains("fetch") && text.contains("/proc/"), "git was called through this program");
    assert!(!sandbox.path("home/.git-credentials").exists(), "a helper of the user was told the token");
    no_token(&sandbox);

    // One that can't be read costs the others nothing.
    fs::remove_dir_all(place.path().join("acme/app-00.git")).unwrap();
    let run = run(&["--json", "backup"]).code(3).json();
    let failed = run["findings"].as_array().unwrap().iter().find(|f| f["code"] == "source.failed").unwrap();
    assert_eq!(failed["object"], "acme.acme.app-00", "{failed}");
    assert_eq!(run["result"]["snapshots"].as_array().unwrap().len(), 3);
}

#[test]
fn a_drill_counts_entries_and_follows_links() {
    let fake = Fake::small(None);
    let sandbox = fake.vault("gitea", "code = false");
    backup(&sandbox);
    let tmp = sandbox.path("tmp");
    fs::create_dir(&tmp).unwrap();
    for open in [sandbox.path(""), tmp.clone()] {
        fs::set_permissions(open, fs::Permissions::from_mode(0o711)).unwrap();
    }
    let mut command = sandbox.command();
    command.env("TMPDIR", &tmp).arg("--config").arg(sandbox.config()).args(["--json", "drill", "acme", "-i"]);
    let told = sandbox.finish(command.arg(sandbox.identity())).ok().json();
    let text = told.to_string();
    assert!(
        text.contains("kinds with as many entries as were read") && text.contains("links of the static site"),
        "{text}"
    );
}
