//! Forges that answer otherwise than they should: nothing that was not read passes for read, and what one repository or forge
//! does costs no other.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    fake::{Fake, lines, manifest, restored, row},
    sandbox::Sandbox,
};

fn status(dir: &Path, repository: &str, kind: &str) -> String {
    row(&manifest(dir), repository, kind)["status"].as_str().unwrap().to_owned()
}

fn got(dir: &Path, repository: &str, kind: &str) -> u64 {
    row(&manifest(dir), repository, kind)["got"].as_u64().unwrap()
}

const LISTS: [(&str, &str, &str); 5] = [
    ("gitea", "timeline", "timeline"),
    ("gitea", "reviews", "reviews"),
    ("github", "reviews", "reviews"),
    ("gitlab", "notes", "issue_notes"),
    ("gitlab", "discussions", "discussions"),
];

#[test]
fn a_list_that_is_not_there_though_what_it_belongs_to_is_was_not_read() {
    for (kind, path, name) in LISTS {
        let fake = Fake::small(None);
        let more = if kind == "github" { "exclude = [\"discussions\", \"projects\"]" } else { "" };
        let sandbox = fake.vault(kind, &format!("code = false\n{more}"));
        sandbox.writer(&["backup"]).ok();
        let before = got(&restored(&sandbox, "one"), "acme/app-00", name);
        assert!(before > 0, "{kind} {name}");
        fake.tell("deny", &json!({ path: 404 }));
        sandbox.writer(&["backup", "--full"]).code(3).says("404");
        let dir = restored(&sandbox, "two");
        assert_eq!(status(&dir, "acme/app-00", name), "refused", "{kind}");
        assert_eq!(got(&dir, "acme/app-00", name), before, "what was held stays: {kind}");
        // Nor where what it belongs to is not shown either, though it is listed.
        fake.tell("deny", &json!({ path: 404, "acme.app-0./(issues|pulls|merge_requests)/[0-9]+.*$": 404 }));
        sandbox.writer(&["backup", "--full"]).code(3);
        assert_eq!(got(&restored(&sandbox, "three"), "acme/app-00", name), before, "{kind}");
    }
}

#[test]
fn what_went_while_it_was_read_is_no_failure() {
    let fake = Fake::small(None);
    let sandbox = fake.vault("gitea", "code = false");
    let gone =
        json!({"path": "/app-00/issues/comments?", "name": "delete_issue", "given": {"repo": "acme/app-00", "n": 3}});
    fake.tell("after", &gone);
    sandbox.writer(&["backup"]).ok();
}

#[test]
fn an_answer_without_what_was_asked_for_is_none() {
    for status in [204, 205, 304] {
        let fake = Fake::small(None);
        let sandbox = fake.vault("gitea", "code = false");
        fake.tell("deny", &json!({"/labels": status, "/app-01/issues/comments": status}));
        sandbox.writer(&["backup"]).code(3).says("answers without what was asked for");
        let all = manifest(&restored(&sandbox, "one"));
        for (repository, kind) in [("acme/app-00", "labels"), ("acme/app-01", "comments")] {
            let row = row(&all, repository, kind);
            assert_eq!((&row["status"], &row["http"]), (&json!("refused"), &json!(status)), "{row}");
        }
        assert_eq!(row(&all, "acme/app-00", "comments")["status"], "read");
    }
}

#[test]
fn one_broken_repository_costs_no_other() {
    let fake = Fake::small(None);
    let sandbox = fake.vault("gitea", "code = false\npatience = \"1s\"");
    fake.tell("deny", &json!({"acme/app-00/*": 500}));
    sandbox.writer(&["backup"]).code(3).says("and at nothing else");
    let dir = restored(&sandbox, "one");
    for (kind, _) in [("issues", 0), ("labels", 0), ("timeline", 0)] {
        assert_eq!(status(&dir, "acme/app-00", kind), "failed", "{kind}");
        assert_eq!(status(&dir, "acme/app-01", kind), "read", "{kind}");
    }
    // Where the forge itself fails there is no snapshot.
    fake.tell("deny", &json!({"acme/app-00/*": 500, "/version": 500}));
    sandbox.writer(&["backup", "--full"]).code(1).says("again and again");
    for answer in ["<html>log in</html>", "{}", "[null]", "[[1,2]]"] {
        let fake = Fake::small(None);
        let sandbox = fake.vault("gitea", "code = false\npatience = \"1s\"");
        fake.tell("raw", &json!({"acme/app-00/labels": answer}));
        sandbox.writer(&["backup"]).code(3);
        let dir = restored(&sandbox, "one");
        assert_eq!(status(&dir, "acme/app-00", "labels"), "failed", "{answer}");
        for (repository, kind) in [("acme/app-00", "milestones"), ("acme/app-01", "labels")] {
            assert_eq!(status(&dir, repository, kind), "read", "{answer} {repository} {kind}");
        }
    }
}

/// A vault of a forge that hangs, and of a directory.
fn beside(fake: &Fake, more: &str) -> Sandbox {
    let sandbox = fake.vault("gitea", &format!("code = false\npatience = \"2s\"\n{more}"));
    fs::create_dir(sandbox.path("tree")).unwrap();
    fs::write(sandbox.path("tree/file"), "kept").unwrap();
    let tree = sandbox.path("tree");
    sandbox.configure(&format!("[[source]]\nname = \"tree\"\nkind = \"path\"\npath = \"{}\"\n", tree.display()));
    sandbox
}

#[test]
fn a_forge_that_hangs_stops_no_other_source_and_hears_whoever_wants_it_to_stop() {
    let fake = Fake::small(None);
    fake.tell("hang", &json!({"path": "/orgs/acme/repos"}));
    let told = beside(&fake, "timeout = \"3s\"").writer(&["--json", "backup"]).code(3).json();
    assert_eq!(told["result"]["snapshots"][0]["source"], "tree", "{told}");
    assert!(told["findings"].to_string().contains("could not be listed within 3 s"), "{told}");
    // Without a time of its own it hears a signal.
    let sandbox = beside(&fake, "");
    let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
    command.env("HOME", sandbox.path("home")).arg("--config").arg(sandbox.config()).arg("backup");
    fake.ask("log");
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while fake.ask("log").as_array().unwrap().is_empty() {
        thread::sleep(Duration::from_millis(50)); // until it is asked, which nothing tells
    }
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn times_are_compared_whatever_zone_they_are_told_in() {
    let fake = Fake::start(&["--repos", "1", "--pulls", "130", "--zone", "-5"]);
    let sandbox = fake.vault("gitea", "code = false");
    sandbox.writer(&["backup"]).ok();
    fake.tell("skew", &json!({"seconds": 3600}));
    for n in 1..=130 {
        fake.tell("edit_issue", &json!({"repo": "acme/app", "n": n, "title": "the next hour"}));
        fake.tell("review", &json!({"repo": "acme/app", "n": n, "body": "seen"}));
    }
    sandbox.writer(&["backup"]).ok();
    let dir = restored(&sandbox, "one").join("acme/acme/app");
    assert!(lines(&dir.join("pulls.jsonl")).iter().all(|one| one["title"] == "the next hour"));
    assert_eq!(lines(&dir.join("reviews.jsonl")).iter().filter(|one| one["body"] == "seen").count(), 130);
}

#[test]
fn entries_that_nobody_can_read_are_kept_and_told() {
    let fake = Fake::small(None);
    let sandbox = fake.vault("gitea", "code = false\nexclude = [\"timeline\"]");
    let entry = |n: &str, more: &str| {
        format!(r#"{{"id":{n},"number":{n},"title":"t","updated_at":"2026-01-01T00:00:00Z","state":"open"{more}}}"#)
    };
    let odd = [entry("2", r#","score":1e400"#), entry("3", r#","x":"\ud800""#), entry("4.0", "")];
    let text = format!("[{},{}]", entry("1", ""), odd.join(","));
    fake.tell("raw", &json!({"acme/app-00/issues": text}));
    sandbox.writer(&["backup"]).code(3).says("3 of its entries are no JSON that can be read");
    let dir = restored(&sandbox, "one");
    let row = row(&manifest(&dir), "acme/app-00", "issues").clone();
    assert_eq!((&row["status"], &row["got"]), (&json!("failed"), &json!(4)), "{row}");
    let held = fs::read_to_string(dir.join("acme/acme/app-00/issues.jsonl")).unwrap();
    assert!(odd.iter().all(|line| held.contains(line)), "{held}");
    // And a run that need not ask again says so again.
    sandbox.writer(&["backup"]).code(3);
}

#[test]
fn repositories_that_can_not_be_used_are_told() {
    let fake = Fake::small(None);
    let sandbox = fake.vault("gitea", "code = false");
    let good = json!({"id": 2, "name": "app-00", "full_name": "acme/app-00", "has_issues": true});
    for bad in [
        json!(null),
        json!({"id": "2", "full_name": "acme/x"}),
        json!({"id": 9, "full_name": "acme/../x"}),
        json!({"id": 9, "full_name": "acme/x", "description": "x".repeat(300_000)}),
    ] {
        fake.tell("raw", &json!({"orgs/acme/repos": json!([good, bad]).to_string()}));
        sandbox.writer(&["backup"]).code(3).says("1 entries of the listing");
        restored(&sandbox, &format!("out-{}", bad.to_string().len()));
    }
    fake.tell("raw", &json!({"orgs/acme/repos": "[]"}));
    let sandbox = fake.vault("gitea", "code = false");
    sandbox.writer(&["backup"]).code(1).says("lists no repository to this token");
    sandbox.writer(&["backup", "--allow-empty"]).ok();
}

#[test]
fn a_repository_in_place_of_another_and_rules_that_went_are_told() {
    let fake = Fake::small(None);
    let sandbox = fake.vault("gitea", "code = false\nsettings_every = \"0s\"");
    sandbox.writer(&["backup"]).ok();
    fake.tell("unprotect", &json!({"repo": "acme/app-00"}));
    let told = sandbox.writer(&["--json", "backup"]).ok().json();
    let codes =
        |told: &Value| told["findings"].as_array().unwrap().iter().map(|one| one["code"].clone()).collect::<Vec<_>>();
    assert!(codes(&told).contains(&json!("forge.unprotected")), "{told}");
    let told = sandbox.writer(&["--json", "backup"]).ok().json();
    assert!(!codes(&told).contains(&json!("forge.unprotected")), "once: {told}");
    fake.tell("recreate", &json!({"repo": "acme/app-01"}));
    sandbox.writer(&["backup"]).code(3).says("acme/app-01 is another repository than before");
    sandbox.writer(&["backup"]).ok();
}

#[test]
fn patience_ends_whatever_a_server_asks_for() {
    let fake = Fake::small(None);
    let sandbox = fake.vault("gitea", "code = false\npatience = \"2s\"");
    let busy = json!({"kind": "status", "status": 503, "headers": {"Retry-After": "1"}});
    fake.tell("faults", &json!({"faults": vec![busy; 40]}));
    sandbox.writer(&["backup"]).code(1).says("503");
    assert!(fake.calls() < 10);
}

#[test]
fn a_forge_that_tells_no_time_is_asked_for_everything() {
    let fake = Fake::small(None);
    fake.tell("timeless", &json!({"is": true}));
    let sandbox = fake.vault("gitea", "code = false");
    for to in ["one", "two"] {
        fake.tell("comment", &json!({"repo": "acme/app-00", "n": 3, "body": "said meanwhile"}));
        sandbox.writer(&["backup"]).ok();
        assert_eq!(manifest(&restored(&sandbox, to))["full"], true);
    }
}
