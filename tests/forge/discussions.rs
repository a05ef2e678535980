//! Discussions and projects of GitHub, which only queries have.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::{
    fake::{Fake, lines, manifest, restored, row},
    sandbox::Sandbox,
};

const REPO: &str = "acme/app-00";

/// A forge with a long discussion, many short ones, and a project.
fn talkative() -> Fake {
    let fake = Fake::small(None);
    fake.tell("skew", &json!({"seconds": -3600}));
    let long =
        fake.tell("discussion", &json!({"repo": REPO, "title": "Which way?", "body": "<script>alert(1)</script>"}));
    for n in 0..70 {
        fake.tell("discuss", &json!({"repo": REPO, "n": long, "body": format!("said {n}")}));
    }
    let first = fake.tell("discuss", &json!({"repo": REPO, "n": long, "body": "asked"}));
    for n in 0..120 {
        fake.tell("discuss", &json!({"repo": REPO, "n": long, "body": format!("replied {n}"), "to": first}));
    }
    for n in 0..25 {
        let n = fake.tell("discussion", &json!({"repo": REPO, "title": format!("Short {n}")}));
        fake.tell("discuss", &json!({"repo": REPO, "n": n, "body": "yes", "by": "ada"}));
    }
    fake.tell("project", &json!({"title": "Roadmap", "readme": "<img src=x>where to"}));
    for n in 0..60 {
        fake.tell("item", &json!({"n": 1, "title": format!("Step {n}")}));
    }
    fake.tell("skew", &json!({"seconds": 0}));
    fake
}

fn of(dir: &Path, kind: &str) -> Vec<Value> {
    lines(&dir.join("acme").join(kind))
}

/// That all that is held of discussions is there.
fn compare(fake: &Fake, dir: &Path) {
    let held = &fake.ask("held")[REPO]["discussions"];
    let (got, said) =
        (of(dir, &format!("{REPO}/discussions.jsonl")), of(dir, &format!("{REPO}/discussion_comments.jsonl")));
    let held = held.as_array().unwrap();
    assert_eq!(got.len(), held.len());
    for one in held {
        let known = got.iter().find(|got| got["number"] == one["number"]).expect("the discussion is there");
        assert_eq!((&known["title"], &known["body"]), (&one["title"], &one["body"]));
        assert_eq!((&known["category"]["name"], &known["updatedAt"]), (&one["category"], &one["updated_at"]));
        let mut comments: Vec<(i64, &str, Option<&str>)> = Vec::new();
        for got in said.iter().filter(|said| said["of"]["number"] == one["number"]) {
            comments.push((
                got["databaseId"].as_i64().unwrap(),
                got["body"].as_str().unwrap(),
                got["replyTo"]["id"].as_str(),
            ));
        }
        let ids: Vec<Option<String>> =
            one["comments"].as_array().unwrap().iter().map(|c| c["to"].as_i64().map(|to| format!("DC:{to}"))).collect();
        let wanted = one["comments"].as_array().unwrap().iter().zip(&ids);
        let mut wanted: Vec<(i64, &str, Option<&str>)> =
            wanted.map(|(c, to)| (c["id"].as_i64().unwrap(), c["body"].as_str().unwrap(), to.as_deref())).collect();
        wanted.sort_unstable();
        comments.sort_unstable();
        assert_eq!(comments, wanted, "{}", one["title"]);
    }
}

fn github(fake: &Fake, more: &str) -> Sandbox {
    fake.vault("github", &format!("code = false\nfull_every = \"90d\"\npatience = \"1s\"\n{more}"))
}

#[test]
fn discussions_and_projects_come_back_and_the_next_day_only_what_changed() {
    let fake = talkative();
    let sandbox = github(&fake, "exclude = [\"files\"]");
    sandbox.writer(&["backup"]).ok();
    let dir = restored(&sandbox, "one");
    compare(&fake, &dir);
    let (projects, items) = (of(&dir, "projects.jsonl"), of(&dir, "project_items.jsonl"));
    assert_eq!((projects.len(), items.len()), (1, 60));
    assert_eq!(items[59]["content"]["title"], "Step 59");
    let site = dir.join("acme.html");
    let page = fs::read_to_string(site.join(REPO).join("discussions/9.html")).unwrap();
    assert!(
        page.contains("replied 119") && page.contains("category: Ideas") && page.contains("&lt;script&gt;"),
        "{page}"
    );
    let page = fs::read_to_string(site.join("projects/1.html")).unwrap();
    assert!(page.contains("Step 59") && page.contains("Status: Todo") && !page.contains("<img"), "{page}");
    assert!(fs::read_to_string(site.join("index.html")).unwrap().contains("projects/1.html"));

    // Nothing changed: neither is a discussion read nor an item.
    fake.ask("log");
    let calls = fake.calls();
    assert!(calls > 0);
    sandbox.writer(&["backup"]).ok();
    assert!(fake.calls() < 9, "{}", fake.ask("log"));
    fake.tell("skew", &json!({"seconds": 3600}));
    fake.tell("discuss", &json!({"repo": REPO, "n": 12, "body": "the next day"}));
    fake.tell("discussion", &json!({"repo": REPO, "title": "A new one"}));
    fake.tell("item", &json!({"n": 1, "title": "One more step"}));
    sandbox.writer(&["backup"]).ok();
    let dir = restored(&sandbox, "two");
    compare(&fake, &dir);
    assert_eq!(of(&dir, "project_items.jsonl").len(), 61);
    let all = manifest(&dir);
    assert!(row(&all, REPO, "discussions")["given"].as_u64().unwrap() < 25, "{}", row(&all, REPO, "discussions"));

    // What changes without a change of the project is told at the owner's turn.
    fake.tell("move", &json!({"n": 1, "at": 3, "status": "Done"}));
    fake.tell("skew", &json!({"seconds": 5 * 86_400 + 7200}));
    sandbox.writer(&["backup"]).ok();
    let dir = restored(&sandbox, "three");
    assert_eq!(of(&dir, "project_items.jsonl")[3]["fieldValues"]["nodes"][0]["name"], "Done");
}

#[test]
fn what_the_token_may_not_see_is_refused_and_not_empty() {
    let fake = talkative();
    fake.tell("deny", &json!({"discussions": 403, "read:project": 403}));
    let sandbox = github(&fake, "exclude = [\"files\"]");
    let run = sandbox.writer(&["--json", "backup"]).code(3).json();
    let text = run["findings"].to_string();
    assert!(text.contains("discussions of acme/app-00 and 1 more could not be read"), "{text}");
    assert!(text.contains("projects of acme") && text.contains("INSUFFICIENT_SCOPES"), "{text}");
    let dir = restored(&sandbox, "one");
    let all = manifest(&dir);
    assert_eq!(row(&all, REPO, "discussions")["status"], "refused");
    assert_eq!(row(&all, REPO, "discussion_comments")["status"], "refused");
    assert_eq!(row(&all, REPO, "issues")["status"], "read", "and nothing else is");
    let sandbox = github(&fake, "exclude = [\"files\", \"discussions\", \"projects\"]");
    sandbox.writer(&["backup"]).ok();
    // A repository that has them switched off has none.
    for repo in [REPO, "acme/app-01"] {
        fake.tell("flags", &json!({"repo": repo, "flags": {"has_discussions": false}}));
    }
    let sandbox = github(&fake, "exclude = [\"files\", \"projects\"]");
    sandbox.writer(&["backup"]).ok();
    assert_eq!(row(&manifest(&restored(&sandbox, "one")), REPO, "discussions")["status"], "off");
}
