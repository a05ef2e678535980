//! Lists of many pages, whether a forge names the next page, tells how long a list is, or neither.

use serde_json::json;

use crate::fake::{Fake, lines, manifest, restored, row};

/// The last snapshot has all that the forge shows.
fn has_all(fake: &Fake, kind: &str, dir: &std::path::Path) {
    let served = fake.tell("served", &json!({ "kind": kind }));
    for (repository, kinds) in served.as_object().unwrap() {
        for (name, want) in kinds.as_object().unwrap() {
            let got = lines(&dir.join("acme").join(repository).join(format!("{name}.jsonl")));
            assert_eq!(got.len(), want.as_array().unwrap().len(), "{kind}: {name} of {repository}");
        }
    }
}

#[test]
fn lists_are_read_to_their_end_whoever_tells_of_it() {
    for kind in ["gitea", "github", "gitlab"] {
        for links in [true, false] {
            // So many that pages end with the lists, too.
            let counts = ["--repos", "2", "--issues", "390", "--pulls", "10", "--comments", "620", "--releases", "120"];
            let fake = Fake::start(&counts);
            let pull = fake.ask("held")["acme/app-00"]["pulls"][0]["number"].clone();
            for n in 0..130 {
                fake.tell("label", &json!({"repo": "acme/app-00", "name": format!("label {n}")}));
                fake.tell("event", &json!({"repo": "acme/app-00", "n": 1}));
            }
            // Of a timeline of Gitea a page of these shows nothing, and it goes on behind them.
            fake.tell("review", &json!({"repo": "acme/app-00", "n": pull, "comments": 120}));
            fake.tell("event", &json!({"repo": "acme/app-00", "n": pull}));
            if !links {
                fake.tell("raw", &json!({"links": ""}));
            }
            let exclude = if kind == "github" { "\"discussions\", \"projects\", " } else { "" };
            let sandbox = fake.vault(kind, &format!("code = false\nexclude = [{exclude}\"files\"]"));
            sandbox.writer(&["backup"]).ok();
            has_all(&fake, kind, &restored(&sandbox, "one"));
            if kind == "gitea" {
                // And what changed since, with more than a page of it.
                for n in 1..=120 {
                    fake.tell("comment", &json!({"repo": "acme/app-00", "n": n, "body": "the next day"}));
                }
                sandbox.writer(&["backup"]).ok();
                has_all(&fake, kind, &restored(&sandbox, "two"));
            }
        }
    }
}

#[test]
fn repositories_are_listed_to_their_end_whoever_tells_of_it() {
    for kind in ["gitea", "github"] {
        let fake = Fake::start(&["--repos", "100"]);
        fake.tell("repo", &json!({"name": "last"}));
        fake.tell("raw", &json!({"links": ""}));
        let all = "\"hooks\", \"keys\", \"labels\", \"milestones\", \"releases\", \"collaborators\", \"comments\", \"reviews\", \"pulls\"";
        let more = if kind == "github" {
            "\"discussions\", \"projects\", \"events\", \"review_comments\", \"protected_branches\", \"rulesets\""
        } else {
            "\"timeline\", \"branch_protections\""
        };
        let sandbox = fake.vault(kind, &format!("code = false\nexclude = [{all}, {more}, \"files\"]"));
        sandbox.writer(&["backup"]).ok();
        let all = manifest(&restored(&sandbox, "one"));
        assert_eq!(all["repositories"].as_array().unwrap().len(), 101);
    }
}

#[test]
fn a_list_that_is_shorter_than_it_is_told_to_be_is_not_whole() {
    for kind in ["gitea", "gitlab"] {
        // One that goes on the first of two pages moves another past the reader: the first time, and each time.
        for times in [1, 40] {
            let fake = Fake::start(&["--repos", "1", "--issues", "250"]);
            for n in 0..times {
                let given = json!({"repo": "acme/app", "n": n + 1});
                fake.tell("after", &json!({"path": "/issues?", "name": "delete_issue", "given": given, "alone": true}));
            }
            let sandbox = fake.vault(kind, "code = false\nexclude = [\"files\"]");
            let run = sandbox.writer(&["backup"]).code(if times == 1 { 0 } else { 3 });
            let status = row(&manifest(&restored(&sandbox, "one")), "acme/app", "issues")["status"].clone();
            assert_eq!(status, if times == 1 { "read" } else { "changed" }, "{kind} {}", run.stderr);
        }
        // Trouble in the midst of a page, which then comes whole: none of it counts twice.
        let fake = Fake::start(&["--repos", "1", "--comments", "120", "--issues", "1"]);
        let sandbox = fake.vault(kind, "code = false\nexclude = [\"files\"]");
        fake.tell("broken_pages", &json!({"paths": ["/issues/comments", "/issues/1/notes"]}));
        sandbox.writer(&["backup"]).ok();
        has_all(&fake, kind, &restored(&sandbox, "one"));
        // Fewer entries than the server says that there are, on the one page that it gives.
        let fake = Fake::start(&["--repos", "1", "--issues", "30"]);
        fake.tell("short", &json!({"/issues": 7}));
        let sandbox = fake.vault(kind, "code = false\nexclude = [\"files\"]");
        sandbox.writer(&["backup"]).code(3).says("issues of acme/app could not be read: it changed while it was read");
    }
}
