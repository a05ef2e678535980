//! GitHub is asked by a query what changed in all repositories, and only lists with something new are read; nothing is missed.

use std::path::Path;

use serde_json::{Value, json};

use crate::{
    fake::{Fake, lines, manifest, restored, row},
    sandbox::Sandbox,
};

const CHANGED: &str = "acme/app-00";
const QUIET: &str = "acme/app-01";

fn begun(more: &str) -> (Fake, Sandbox) {
    let fake = Fake::small(None);
    let sandbox = fake.vault(
        "github",
        &format!("code = false\nexclude = [\"files\", \"discussions\", \"projects\"]\nfull_every = \"90d\"\n{more}"),
    );
    sandbox.writer(&["backup"]).ok();
    fake.ask("log");
    (fake, sandbox)
}

/// What was asked for since the last time, one path a line.
fn log(fake: &Fake) -> Vec<String> {
    fake.ask("log").as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned()).collect()
}

fn next_day(sandbox: &Sandbox, to: &str) -> std::path::PathBuf {
    sandbox.writer(&["backup"]).ok();
    restored(sandbox, to)
}

fn texts(dir: &Path, repository: &str, kind: &str, field: &str) -> Vec<String> {
    let all = lines(&dir.join("acme").join(repository).join(format!("{kind}.jsonl")));
    all.iter().map(|one| one[field].as_str().unwrap_or_default().to_owned()).collect()
}

/// A day on which something of each kind changes in one repository.
fn day(fake: &Fake) {
    let tell = |name: &str, mut given: Value| {
        given["repo"] = json!(CHANGED);
        fake.tell(name, &given)
    };
    fake.tell("skew", &json!({"seconds": 3600}));
    tell("comment", json!({"n": 3, "body": "said the next day"}));
    tell("edit_issue", json!({"n": 4, "title": "called so the next day"}));
    tell("issue", json!({"title": "found the next day"}));
    tell("issue", json!({"title": "proposed the next day", "pull": true}));
    tell("review", json!({"n": 8}));
    tell("event", json!({"n": 5}));
    tell("label", json!({"name": "of the next day"}));
}

/// That all of [`day`] is there, whichever way it came.
fn has_all(dir: &Path) {
    let has = |kind: &str, field: &str, text: &str| {
        let all = texts(dir, CHANGED, kind, field);
        assert!(all.iter().any(|one| one == text), "{kind} has no {text}: {all:?}");
    };
    has("comments", "body", "said the next day");
    has("issues", "title", "called so the next day");
    has("issues", "title", "found the next day");
    has("pulls", "title", "proposed the next day");
    has("events", "event", "closed");
    let of = |kind: &str| lines(&dir.join("acme").join(CHANGED).join(format!("{kind}.jsonl")));
    // Each pull request had one with one comment, and one has two.
    let pulls = of("pulls").len();
    assert_eq!((of("reviews").len(), of("review_comments").len()), (pulls, pulls), "one is new and has none");
    for line in of("review_comments").iter().chain(&of("comments")) {
        assert!(line["id"].is_i64() && line["user"]["login"].is_string() && line["created_at"].is_string(), "{line}");
    }
    let page = std::fs::read_to_string(dir.join("acme.html").join(CHANGED).join("issues/8.html")).unwrap();
    assert_eq!(page.matches("look here 0").count(), 2, "{page}");
}

#[test]
fn only_lists_with_something_new_are_read() {
    let (fake, sandbox) = begun("");
    day(&fake);
    let dir = next_day(&sandbox, "one");
    let log = log(&fake);
    has_all(&dir);
    assert!(texts(&dir, CHANGED, "labels", "name").contains(&"of the next day".to_owned()));
    let of_quiet: Vec<_> = log.iter().filter(|path| path.contains("app-01") && !path.contains("/hooks")).collect();
    let turn = of_quiet.iter().all(|path| path.contains("comments"));
    assert!(turn, "nothing changed there: {of_quiet:?}");
    assert!(!log.iter().any(|path| path.contains("/reviews")), "reviews came by a query: {log:?}");
    assert_eq!(log.iter().filter(|path| path.contains("app-00/labels")).count(), 1, "{log:?}");
    assert!(!log.iter().any(|path| path.contains("/milestones") || path.contains("/releases")), "{log:?}");
    let all = manifest(&dir);
    assert_eq!(row(&all, CHANGED, "comments")["given"], 1);
    assert_eq!(row(&all, CHANGED, "milestones")["status"], "read");
    assert!(row(&all, CHANGED, "milestones")["as_of"].is_string() && row(&all, CHANGED, "labels")["as_of"].is_null());

    // A rule that vanished is noticed at once.
    fake.tell("unprotect", &json!({ "repo": QUIET }));
    let all = manifest(&next_day(&sandbox, "two"));
    let rules = row(&all, QUIET, "protected_branches");
    assert_eq!((&rules["got"], &rules["gone"]), (&json!(0), &json!(1)), "{rules}");
}

#[test]
fn a_change_that_the_forge_does_not_count_is_found_at_its_turn() {
    let (fake, sandbox) = begun("settings_every = \"5d\"");
    let comment = fake.ask("held")[QUIET]["comments"][0]["id"].clone();
    fake.tell("skew", &json!({"seconds": 60}));
    fake.tell("edit", &json!({"repo": QUIET, "id": comment, "body": "put in other words"}));
    fake.tell("skew", &json!({"seconds": 5 * 86_400 + 120}));
    let dir = next_day(&sandbox, "one");
    assert!(texts(&dir, QUIET, "comments", "body").contains(&"put in other words".to_owned()));
    // Where each run is to ask for everything, no query stands in for a list.
    let (fake, sandbox) = begun("settings_every = \"0s\"");
    next_day(&sandbox, "one");
    let log = log(&fake);
    assert!(log.iter().any(|path| path.contains("app-01/issues/comments")), "{log:?}");
    assert!(!log.iter().any(|path| path.contains("graphql") && path.contains("survey")));
}

#[test]
fn without_answers_to_queries_lists_are_read() {
    let errors = |errors: Value, headers: Value| json!({"kind": "errors", "errors": errors, "headers": headers});
    let wrong = errors(json!([{"message": "Something went wrong"}]), json!({}));
    for (given, name) in
        [(json!({"deny": {"graphql": 404}}), "no queries"), (json!({"faults": [null, null, wrong]}), "a failure")]
    {
        let (fake, sandbox) = begun("patience = \"1s\"");
        day(&fake);
        if given["deny"].is_object() {
            fake.tell("deny", &given["deny"]);
        } else {
            fake.tell("faults", &given);
        }
        let dir = next_day(&sandbox, "one");
        has_all(&dir);
        assert!(!log(&fake).is_empty(), "{name}");
    }
    // The limit of queries is told within an answer that looks well, and is waited for.
    let (fake, sandbox) = begun("");
    day(&fake);
    let limited = errors(
        json!([{"type": "RATE_LIMITED", "message": "API rate limit exceeded"}]),
        json!({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1"}),
    );
    fake.tell("faults", &json!({"faults": [null, limited]}));
    let dir = next_day(&sandbox, "one");
    has_all(&dir);
    assert!(manifest(&dir)["waited_s"].as_u64().unwrap() >= 1);
    assert!(!log(&fake).iter().any(|path| path.contains("/reviews")), "and then the query was answered");
}

#[test]
fn more_changes_than_a_query_tells_of_are_read_from_lists() {
    let (fake, sandbox) = begun("");
    fake.tell("skew", &json!({"seconds": 3600}));
    for n in 0..55 {
        fake.tell("issue", &json!({"repo": CHANGED, "title": format!("of many {n}")}));
    }
    for n in 0..60 {
        fake.tell("comment", &json!({"repo": QUIET, "n": 2, "body": format!("said often {n}")}));
    }
    let dir = next_day(&sandbox, "one");
    let many = texts(&dir, CHANGED, "issues", "title").iter().filter(|title| title.starts_with("of many")).count();
    let often = texts(&dir, QUIET, "comments", "body").iter().filter(|body| body.starts_with("said often")).count();
    assert_eq!((many, often), (55, 60));
}
