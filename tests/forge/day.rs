//! A day as forges have it: labels, milestones, titles and states change, pull requests are merged, issues are made, deleted and
//! moved. The next run has all of it, at little cost, and a pass through everything has it as the lists have it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde_json::{Value, json};

use crate::fake::{Fake, lines, manifest, restored, row};

const REPO: &str = "acme/app-00";

fn key(entry: &Value) -> String {
    let named = ["node_id", "id", "rule_name", "name"].into_iter().map(|field| &entry[field]);
    named.filter(|value| !value.is_null()).map(ToString::to_string).next().unwrap()
}

/// Whether each entry of a kind that the forge shows is there, and none besides; told by what lacks or is too many.
fn lacking(dir: &Path, shown: &Value, kinds: &[&str], exact: bool) -> Vec<String> {
    let mut found = Vec::new();
    for (repository, of) in shown.as_object().unwrap() {
        for kind in kinds {
            let path = dir.join("acme").join(repository).join(format!("{kind}.jsonl"));
            let got: BTreeMap<String, Value> = lines(&path).into_iter().map(|one| (key(&one), one)).collect();
            let want: BTreeMap<String, Value> =
                of[kind].as_array().unwrap().iter().map(|one| (key(one), one.clone())).collect();
            for (id, one) in &want {
                match got.get(id) {
                    None => found.push(format!("{repository} {kind} lacks {one}")),
                    Some(other) if exact && other != one => {
                        found.push(format!("{repository} {kind} has {other}, not {one}"));
                    }
                    Some(_) => {}
                }
            }
            let more = got.keys().filter(|id| exact && !want.contains_key(*id));
            found.extend(more.map(|id| format!("{repository} {kind} has {id} besides")));
        }
    }
    found
}

fn day_of(kind: &str, at_once: &[&str], all: &[&str], not_read: &[&str]) {
    let fake =
        Fake::start(&["--repos", "3", "--issues", "150", "--pulls", "60", "--comments", "300", "--releases", "3"]);
    let more = "code = false\nexclude = [\"files\"]\nfull_every = \"90d\"\nsettings_every = \"3650d\"";
    let sandbox = fake.vault(kind, more);
    sandbox.writer(&["backup"]).ok();
    fake.tell("skew", &json!({"seconds": 7200}));
    let told = fake.tell("day", &json!({"percent": 30}));
    for what in ["closed", "labelled", "milestone", "reopened", "renamed", "merged", "pushed", "deleted", "transferred"]
    {
        assert!(told[what].as_u64().unwrap_or_default() > 0, "{what}: {told}");
    }
    fake.ask("kinds");
    sandbox.writer(&["backup"]).ok();
    let kinds: BTreeSet<String> = fake.ask("kinds").as_object().unwrap().keys().cloned().collect();
    for list in not_read {
        assert!(!kinds.contains(*list), "{list} was read: {kinds:?}");
    }
    let shown = fake.tell("served", &json!({ "kind": kind }));
    let found = lacking(&restored(&sandbox, "one"), &shown, at_once, false);
    assert!(found.is_empty(), "{found:?}");
    sandbox.writer(&["backup", "--full"]).ok();
    let found = lacking(&restored(&sandbox, "two"), &shown, all, true);
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn a_day_of_gitea() {
    let often = ["issues", "comments", "pulls", "reviews", "review_comments", "timeline"];
    let all = [&often[..], &["labels", "milestones", "releases", "branch_protections", "hooks"]].concat();
    day_of("gitea", &often, &all, &["hooks", "labels"]);
}

#[test]
fn a_day_of_github() {
    let all = [
        "issues",
        "comments",
        "pulls",
        "reviews",
        "review_comments",
        "events",
        "labels",
        "milestones",
        "releases",
        "protected_branches",
    ];
    day_of("github", &all, &all, &["issues/events", "issues/comments", "pulls/comments", "pulls/N/reviews", "hooks"]);
}

#[test]
fn a_day_of_gitlab() {
    let often = ["issues", "issue_notes", "merge_requests", "discussions"];
    let all = [&often[..], &["labels", "milestones", "releases", "protected_branches", "hooks"]].concat();
    day_of("gitlab", &often, &all, &["issues", "merge_requests", "labels"]);
}

#[test]
fn events_of_other_kinds_are_read_from_the_list_and_none_is_there_twice() {
    let fake = Fake::small(None);
    let sandbox = fake.vault("github", "code = false\nexclude = [\"files\"]\nfull_every = \"90d\"");
    sandbox.writer(&["backup"]).ok();
    let events = |to: &str| -> Vec<String> {
        lines(&restored(&sandbox, to).join("acme").join(REPO).join("events.jsonl"))
            .iter()
            .map(|one| one["node_id"].to_string())
            .collect()
    };
    let shown = |fake: &Fake| fake.tell("served", &json!({"kind": "github"}))[REPO]["events"].as_array().unwrap().len();
    for (at, event, read) in
        [(1, "labeled", false), (2, "closed", false), (3, "issue_type_added", true), (4, "reopened", false)]
    {
        // A quiet run between, so that what was told before lies behind the seam of two runs.
        fake.tell("skew", &json!({"seconds": 3600 * at - 1800}));
        sandbox.writer(&["backup"]).ok();
        fake.tell("skew", &json!({"seconds": 3600 * at}));
        fake.tell(
            "event",
            &json!({"repo": REPO, "n": 3, "event": event, "more": {"label": {"name": "x", "color": "0"}}}),
        );
        fake.ask("kinds");
        sandbox.writer(&["backup"]).ok();
        assert_eq!(fake.ask("kinds")["issues/events"].is_u64(), read, "{event}");
        let got = events(&format!("at-{at}"));
        assert_eq!(got.len(), shown(&fake), "{event}: {got:?}");
        assert_eq!(got.iter().collect::<BTreeSet<_>>().len(), got.len(), "{event}: {got:?}");
    }
    sandbox.writer(&["backup", "--full"]).ok();
    let all = manifest(&restored(&sandbox, "full"));
    let events = row(&all, REPO, "events");
    assert!(events["gone"].is_null(), "what the list has in place of a query's is not gone: {events}");
}

#[test]
fn a_group_without_such_lists_is_read_project_by_project() {
    let fake = Fake::small(None);
    let sandbox = fake.vault("gitlab", "code = false\nfull_every = \"90d\"");
    sandbox.writer(&["backup"]).ok();
    fake.tell("skew", &json!({"seconds": 3600}));
    fake.tell("issue", &json!({"repo": REPO, "title": "found the next day"}));
    fake.tell("deny", &json!({"groups/acme/issues": 403}));
    fake.ask("kinds");
    sandbox.writer(&["backup"]).ok();
    let kinds = fake.ask("kinds");
    assert_eq!((&kinds["issues"], &kinds["merge_requests"]), (&json!(2), &Value::Null), "{kinds}");
    let text = std::fs::read_to_string(restored(&sandbox, "one").join("acme").join(REPO).join("issues.jsonl")).unwrap();
    assert!(text.contains("found the next day"));
    // What changed while a run was stopped, or since the last one, is asked for from then on.
    fake.tell("deny", &json!({}));
    fake.tell("issue", &json!({"repo": "acme/app-01", "title": "and one more"}));
    sandbox.writer(&["backup"]).ok();
    let text = std::fs::read_to_string(restored(&sandbox, "two").join("acme/acme/app-01/issues.jsonl")).unwrap();
    assert!(text.contains("and one more"));
}
