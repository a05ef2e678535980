//! `restore --into` a forge that does not take everything, is killed at the worst moment, or is given what is odd: nothing is left out
//! without a word, and what is owed is owed still when the command is given again.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::{
    back::{back, by_number, list, repository, snapshot, text, token_file, typed},
    fake::Fake,
    sandbox::Sandbox,
};

/// A forge with one repository of `args`, which `change` changes before it is backed up.
fn source(kind: &str, args: &[&str], change: impl FnOnce(&Fake)) -> (Fake, Sandbox) {
    let fake = Fake::start(&[&["--repos", "1"], args].concat());
    change(&fake);
    let sandbox = fake.vault(kind, "code = false");
    sandbox.writer(&["backup"]).ok();
    token_file(&sandbox);
    (fake, sandbox)
}

/// An empty forge whose repository has its code.
fn target(lab: bool) -> Fake {
    let fake = Fake::start(&["--owner", "fresh"]);
    fake.tell("repo", &json!({"name": "app", "empty": true, "lab": lab}));
    fake.tell("refs", &json!({"repo": "fresh/app", "branches": ["main", "topic"], "tags": ["v0", "v1"]}));
    fake
}

fn into(kind: &str, fake: &Fake) -> String {
    format!("{kind}:{}/fresh", fake.url())
}

/// What a report says of a kind: whether it is open, and why.
fn told(report: &Value, kind: &str) -> Vec<(bool, String)> {
    let all = list(repository(report, "acme/app"), "lacking").iter().filter(|one| one["kind"] == kind);
    all.map(|one| (one["open"] == true, text(&one["why"]).to_owned())).collect()
}

/// Has a restore be killed right after the first request was carried out whose path ends so.
fn killed(sandbox: &Sandbox, (kind, lab): (&str, bool), end: &str) -> Fake {
    let clean = target(lab);
    back(sandbox, &into(kind, &clean), &[]);
    let writes = clean.ask("writes");
    let at = writes.as_array().unwrap().iter().position(|one| text(&one["path"]).ends_with(end)).unwrap();
    let other = target(lab);
    let token = format!("file:{}", sandbox.path("back-token").display());
    let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
    command.env("HOME", sandbox.path("home")).args(typed(sandbox, &into(kind, &other), &["--token", &token]));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut faults = vec![Value::Null; at];
    faults.push(json!({"kind": "killed", "pid": child.id()}));
    other.tell("write_faults", &json!({ "faults": faults }));
    assert!(!child.wait().unwrap().success());
    other
}

#[test]
fn files_of_one_name_are_all_sent_once_and_by_their_names() {
    let pairs = [("image.png", "the first"), ("image.png", "another one"), ("ä.png", "of a"), ("ö.png", "of o")];
    let (_fake, sandbox) = source("gitea", &["--issues", "1"], |fake| {
        for (name, data) in pairs {
            fake.tell("attach", &json!({"repo": "acme/app", "n": 1, "name": name, "data": data}));
        }
    });
    let other = target(false);
    // An answer that never came: what was sent is looked for among files of the same name.
    let lost = json!({"kind": "lost"});
    other.tell("write_faults", &json!({"faults": [null, null, null, null, null, lost, lost, lost]}));
    back(&sandbox, &into("gitea", &other), &[]).ok();
    let sent = || {
        let held = other.ask("held");
        let all = list(&held["fresh/app"]["issues"][0], "assets").iter();
        let bytes = |one: &Value| text(&other.tell("asset", &json!({"id": one["id"]}))).to_owned();
        let mut all: Vec<(String, String)> = all.map(|one| (text(&one["name"]).to_owned(), bytes(one))).collect();
        all.sort();
        all
    };
    let mut wanted: Vec<(String, String)> =
        pairs.iter().map(|(name, data)| ((*name).to_owned(), (*data).to_owned())).collect();
    wanted.sort();
    assert_eq!(sent(), wanted);
    let report = back(&sandbox, &into("gitea", &other), &["--json"]).ok().json();
    let one = repository(&report, "acme/app");
    assert_eq!((&one["made"], &one["there"]["files"]), (&json!({}), &json!(4)), "{report}");
    assert_eq!(sent(), wanted);
}

#[test]
fn what_is_not_taken_keeps_its_number_and_ends_nothing() {
    let args = ["--issues", "4", "--pulls", "1", "--comments", "12"];
    let long = "t".repeat(90);
    for (kind, lab) in [("gitea", false), ("github", false), ("gitlab", true)] {
        let (fake, sandbox) = source(if lab { "gitea" } else { kind }, &args, |fake| {
            fake.tell("field", &json!({"repo": "acme/app", "n": 2, "fields": {"title": long}}));
        });
        let other = target(lab);
        other.tell("longest", &json!({"is": 80}));
        // Twice: it is as it is, and that is said again.
        for _ in 0..2 {
            let report = back(&sandbox, &into(kind, &other), &["--json"]).code(3).json();
            let (open, why) = told(&report, "issues").remove(0);
            assert!(open && why.contains("title") && why.contains("comments"), "{kind}: {report}");
        }
        let held = || other.ask("held")["fresh/app"].clone();
        let numbers: Vec<i64> = if lab {
            list(&held()["lab"], "issues").iter().map(|one| one["iid"].as_i64().unwrap()).collect()
        } else {
            by_number(&held(), "issues").iter().map(|(number, _)| *number).collect()
        };
        assert_eq!(numbers, if lab { vec![1, 3, 4, 5] } else { vec![1, 2, 3, 4, 5] }, "{kind}");
        // It takes them now.
        other.tell("longest", &json!({"is": 200}));
        back(&sandbox, &into(kind, &other), &[]).ok();
        if !lab {
            let (was, is) = (fake.ask("held")["acme/app"].clone(), held());
            let of = |all: &Value| {
                list(all, "comments").iter().filter(|one| text(&one["issue_url"]).ends_with("/2")).count()
            };
            let said =
                list(&was, "comments").iter().filter(|one| one["n"] == 2 || text(&one["issue_url"]).ends_with("/2"));
            assert!(said.count() == of(&is) && of(&is) > 0, "{kind}: its comments are there: {is}");
            let of = |all: &Value| by_number(all, "issues").remove(1).1;
            let names =
                |one: &Value| list(one, "labels").iter().map(|one| text(&one["name"]).to_owned()).collect::<Vec<_>>();
            assert_eq!((text(&of(&is)["title"]), names(&of(&is))), (long.as_str(), names(&of(&was))), "{kind}");
        }
        back(&sandbox, &into(kind, &other), &[]).ok();
    }
}

#[test]
fn a_merge_request_that_is_not_taken_keeps_its_number() {
    let (fake, other) = (Fake::start(&["--repos", "0"]), target(true));
    fake.tell("repo", &json!({"name": "app", "empty": true}));
    fake.tell("lab", &json!({"repo": "acme/app"}));
    fake.tell(
        "lab_field",
        &json!({"repo": "acme/app", "kind": "merge_requests", "n": 2, "fields": {"title": "t".repeat(90)}}),
    );
    let fork = json!({"source_project_id": 999});
    fake.tell("lab_field", &json!({"repo": "acme/app", "kind": "merge_requests", "n": 5, "fields": fork}));
    let sandbox = fake.vault("gitlab", "code = false");
    sandbox.writer(&["backup"]).ok();
    token_file(&sandbox);
    other.tell("longest", &json!({"is": 80}));
    for _ in 0..2 {
        let report = back(&sandbox, &into("gitlab", &other), &["--json"]).code(3).json();
        let told = told(&report, "merge_requests");
        assert!(told.iter().any(|(open, why)| *open && why.contains("title")), "{report}");
        assert!(
            told.iter().any(|(open, why)| !open && why.contains("from another project")),
            "a fork can't be mended: {report}"
        );
    }
    let held = other.ask("held")["fresh/app"]["lab"].clone();
    let numbers: Vec<i64> = list(&held, "merges").iter().map(|one| one["iid"].as_i64().unwrap()).collect();
    assert_eq!(numbers, [1, 2, 4, 5], "{held}");
    assert!(held["threads"]["2"].to_string().contains("discussions/"), "its threads are there: {held}");
}

#[test]
fn a_run_that_was_killed_leaves_no_pull_request_without_labels_and_no_milestone_open() {
    let args = ["--issues", "2", "--pulls", "2"];
    let (fake, sandbox) = source("github", &args, |fake| {
        let milestone = fake.ask("held")["acme/app"]["milestones"][0].clone();
        fake.tell("field", &json!({"repo": "acme/app", "n": 3, "fields": {"milestone": milestone}}));
    });
    let other = killed(&sandbox, ("github", false), "/pulls");
    back(&sandbox, &into("github", &other), &[]).ok();
    let (was, is) = (fake.ask("held")["acme/app"].clone(), other.ask("held")["fresh/app"].clone());
    for ((number, was), (_, is)) in by_number(&was, "issues").iter().zip(by_number(&is, "issues")) {
        let names =
            |one: &Value| list(one, "labels").iter().map(|one| text(&one["name"]).to_owned()).collect::<Vec<_>>();
        assert_eq!(names(was), names(&is), "{number}");
        assert_eq!(was["milestone"]["title"], is["milestone"]["title"], "{number}");
    }
    let (_fake, sandbox) = source("gitea", &["--issues", "1"], |fake| {
        fake.tell("milestone", &json!({"repo": "acme/app", "fields": {"state": "closed"}}));
    });
    let other = killed(&sandbox, ("gitlab", true), "/milestones");
    back(&sandbox, &into("gitlab", &other), &[]).ok();
    assert_eq!(other.ask("held")["fresh/app"]["lab"]["milestones"][0]["state"], "closed");
}

#[test]
fn a_pull_request_of_a_fork_is_none_of_a_branch_that_is_called_alike() {
    let side =
        |name: &str, branch: &str, label: &str| json!({"ref": branch, "label": label, "repo": {"full_name": name}});
    for (kind, lab) in [("gitea", false), ("github", false), ("gitlab", true)] {
        let (_fake, sandbox) = source(if lab { "github" } else { kind }, &["--issues", "1", "--pulls", "2"], |fake| {
            let sides =
                json!({"head": side("evil/app", "topic", "evil:topic"), "base": side("acme/app", "main", "acme:main")});
            fake.tell("field", &json!({"repo": "acme/app", "n": 2, "fields": sides}));
        });
        let other = target(lab);
        let report = back(&sandbox, &into(kind, &other), &["--json"]).ok().json();
        assert!(
            told(&report, "pulls").iter().any(|(open, why)| !open && why.contains("another repository")),
            "{report}"
        );
        let held = other.ask("held")["fresh/app"].clone();
        let made = if lab { list(&held["lab"], "merges").len() } else { list(&held, "pulls").len() };
        assert_eq!(made, 1, "{kind}: the other one is one: {held}");
    }
}

#[test]
fn a_number_beyond_all_measure_is_not_counted_up_to() {
    let (_fake, sandbox) = source("gitea", &["--issues", "2"], |fake| {
        fake.tell("field", &json!({"repo": "acme/app", "n": 2, "fields": {"number": 3_000_000_000_i64}}));
    });
    let other = target(false);
    let report = back(&sandbox, &into("gitea", &other), &["--json"]).code(3).json();
    assert!(told(&report, "issues").iter().any(|(open, why)| *open && why.contains("over 50000 numbers")), "{report}");
    assert_eq!(list(&other.ask("held")["fresh/app"], "issues").len(), 1);
}

#[test]
fn what_only_queries_have_is_told_to_be_missing() {
    let (_fake, sandbox) = source("github", &["--issues", "2"], |fake| {
        fake.tell("discussion", &json!({"repo": "acme/app", "title": "what if"}));
        fake.tell("project", &json!({"title": "plan"}));
        fake.tell("item", &json!({"n": 1, "title": "a step"}));
    });
    let run = back(&sandbox, &into("github", &target(false)), &["--json"]);
    let report = run.json();
    assert!(!told(&report, "discussions").is_empty(), "{report}");
    let owner: Vec<&str> = list(&report["result"], "owner").iter().map(|one| text(&one["kind"])).collect();
    assert!(owner.contains(&"projects") && owner.contains(&"project_items"), "{report}");
    let text = back(&sandbox, &into("github", &target(false)), &[]).out();
    assert!(text.contains("of the owner:") && text.contains("project items"), "{text}");
}

#[test]
fn a_repository_that_its_code_made_gets_its_description_and_default_branch() {
    for (kind, lab) in [("gitea", false), ("github", false), ("gitlab", true)] {
        let (_fake, sandbox) = source(if lab { "gitea" } else { kind }, &["--issues", "1"], |fake| {
            let flags = json!({"description": "What it is for", "default_branch": "topic", "private": false});
            fake.tell("flags", &json!({"repo": "acme/app", "flags": flags}));
        });
        let other = target(lab);
        let report = back(&sandbox, &into(kind, &other), &["--json"]).ok().json();
        assert!(told(&report, "repository").iter().any(|(_, why)| why.contains("it was public")), "{report}");
        let writes = other.ask("writes");
        let set = |one: &&Value| {
            matches!(text(&one["method"]), "PATCH" | "PUT") && one["body"].to_string().contains("What it is for")
        };
        let set: Vec<&Value> = writes.as_array().unwrap().iter().filter(set).collect();
        assert!(set.len() == 1 && set[0]["body"].to_string().contains("topic"), "{kind}: {writes}");
        let report = back(&sandbox, &into(kind, &other), &["--json"]).ok().json();
        assert_eq!(repository(&report, "acme/app")["made"], json!({}), "{kind}: it is as it was: {report}");
    }
}

#[test]
fn what_is_owed_is_owed_when_the_command_is_given_again() {
    let (_fake, sandbox) = snapshot("gitea");
    let other = Fake::start(&["--owner", "fresh"]);
    let args = ["--json", "--repo", "acme/app-00"];
    for _ in 0..2 {
        let report = back(&sandbox, &into("gitea", &other), &args).code(3).json();
        let told = list(repository(&report, "acme/app-00"), "lacking")
            .iter()
            .find(|one| one["kind"] == "pulls" && one["open"] == true);
        assert!(text(&told.unwrap()["why"]).contains("delete the repository there"), "{report}");
    }
    other.tell("refs", &json!({"repo": "fresh/app-00", "branches": ["main", "topic"], "tags": ["v0", "v1"]}));
    let told = back(&sandbox, &into("gitea", &other), &args).code(3).out();
    assert!(told.contains("it is an issue, as it was made before"), "{told}");
    // As it says: away with it, its code, and again.
    other.tell("drop_repo", &json!({"repo": "fresh/app-00"}));
    other.tell("repo", &json!({"name": "app-00", "empty": true}));
    other.tell("refs", &json!({"repo": "fresh/app-00", "branches": ["main", "topic"], "tags": ["v0", "v1"]}));
    back(&sandbox, &into("gitea", &other), &args).ok();
}
