//! Answers that no forge should give: entries of other shapes, lists without an end, and places that the token must not be sent to.

use serde_json::{Value, json};

use crate::fake::{Fake, TOKEN, lines, manifest, restored, row};

fn begun(kind: &str) -> (Fake, crate::sandbox::Sandbox) {
    let fake = Fake::start(&["--repos", "1", "--issues", "3", "--pulls", "2", "--comments", "4"]);
    let sandbox = fake.vault(kind, "code = false\npatience = \"1s\"");
    (fake, sandbox)
}

/// Entries with nothing where it belongs.
fn odd() -> String {
    let mut deep = json!(1);
    for _ in 0..90 {
        deep = json!({ "in": deep });
    }
    json!([
        {"id": "12", "iid": "7", "number": "7", "title": 5, "body": {"a": [1]}, "user": null, "author": null, "labels": null,
         "created_at": 9e99, "updated_at": null, "pull_request": "yes", "milestone": "v1", "assignees": {"login": 3}, "assets": "none"},
        {"id": -5, "iid": -3, "number": -3, "title": null, "user": [], "labels": [null, 5, "x", {"name": null}], "state": {"a": 1}},
        {"id": 9_007_199_254_740_993_i64, "iid": i64::MAX, "number": i64::MAX, "title": "large", "user": {"login": null, "id": "x"}},
        {"id": 1.5, "iid": 1e300, "number": 1e300, "title": "no whole number", "deep": deep},
        {"id": null, "notes": [null, 5, {"noteable_iid": "x"}], "issue_url": 7, "pull_request_url": "not/a/number"},
        {},
        {"id": 77, "iid": 77, "number": 77, "title": "a plain one", "user": {"login": "ghost"}, "created_at": "2026-01-01T00:00:00Z"},
    ])
    .to_string()
}

#[test]
fn entries_of_other_shapes_are_kept_and_shown_as_far_as_they_go() {
    for (kind, paths) in [
        ("gitea", &["/issues", "/comments", "/pulls", "/reviews", "/timeline", "/releases", "/labels"][..]),
        ("github", &["/issues", "/comments", "/pulls", "/reviews", "/events", "/releases", "/labels"]),
        ("gitlab", &["/issues", "/notes", "/merge_requests", "/discussions", "/releases", "/labels"]),
    ] {
        let (fake, sandbox) = begun(kind);
        let all: serde_json::Map<String, Value> = paths.iter().map(|path| ((*path).to_owned(), json!(odd()))).collect();
        fake.tell("raw", &Value::Object(all));
        for _ in 0..2 {
            let run = sandbox.writer(&["-vv", "backup"]);
            assert!(matches!(run.code, 0 | 3), "{kind}: {} {}", run.code, run.stderr);
        }
        let dir = restored(&sandbox, "one");
        let issues = lines(&dir.join("acme/acme/app/issues.jsonl"));
        assert_eq!(issues.len(), 7, "{kind}: {issues:?}");
        let page = std::fs::read_to_string(dir.join("acme.html/acme/app/issues/77.html")).unwrap();
        assert!(page.contains("a plain one") && page.contains("ghost"), "{kind}");
        assert!(dir.join("acme.html/acme/app/issues/-3.html").is_file(), "{kind}");
    }
}

#[test]
fn what_is_no_entry_makes_no_snapshot_and_says_so() {
    let nested = format!("[{}1{}]", "[".repeat(200_000), "]".repeat(200_000));
    let object = format!("[{}1{}]", "{\"a\":".repeat(50_000), "}".repeat(50_000));
    for (kind, path) in [("github", "/labels"), ("gitlab", "/labels")] {
        for bad in [
            "[null]",
            "[5]",
            "[\"x\"]",
            "[[]]",
            "{\"a\":1}",
            "[{\"id\":1}",
            "[{\"id\":1}]]",
            "\u{0}",
            "[{\"a\":\"\u{1}\"}]",
            &nested,
            &object,
        ] {
            let (fake, sandbox) = begun(kind);
            fake.tell("raw", &json!({ path: bad }));
            let run = sandbox.writer(&["backup"]);
            assert!(matches!(run.code, 1 | 3), "{kind} {:.20}: {} {}", bad, run.code, run.stderr);
            assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
        }
    }
}

#[test]
fn lists_without_an_end_are_cut_and_said_to_be() {
    for kind in ["gitea", "github", "gitlab"] {
        for how in ["circle", "empty"] {
            let (fake, sandbox) = begun(kind);
            fake.tell("endless", &json!({"/labels": how, "/reviews": how, "/notes": how}));
            let told = sandbox.writer(&["--json", "backup"]).code(3).json();
            assert!(told["findings"].to_string().contains("the forge gives no more of it"), "{kind} {how}: {told}");
            let all = manifest(&restored(&sandbox, "one"));
            assert_eq!(row(&all, "acme/app", "labels")["status"], "cut", "{kind} {how}");
            assert!(fake.calls() < 2000, "{kind} {how}");
        }
    }
    // That of repositories leaves nothing to back up.
    let (fake, sandbox) = begun("gitlab");
    fake.tell("endless", &json!({"/projects": "circle"}));
    sandbox.writer(&["backup"]).code(1).says("does not end");
}

#[test]
fn queries_whose_lists_have_no_end_are_cut() {
    for how in ["circle", "on"] {
        let fake = Fake::small(None);
        let n = fake.tell("discussion", &json!({"repo": "acme/app-00", "title": "long"}));
        let first = fake.tell("discuss", &json!({"repo": "acme/app-00", "n": n, "body": "said"}));
        fake.tell("discuss", &json!({"repo": "acme/app-00", "n": n, "body": "replied", "to": first}));
        fake.tell("project", &json!({"title": "plan"}));
        let sandbox = fake.vault("github", "code = false\npatience = \"1s\"\nexclude = [\"files\"]");
        fake.tell(
            "endless",
            &json!({"Discussions": how, "Projects": how, "DiscussionComments": how, "Replies": how, "Survey": how}),
        );
        sandbox.writer(&["backup"]).code(3).says("gives no more of it");
        let all = manifest(&restored(&sandbox, "one"));
        assert_eq!(row(&all, "acme/app-00", "discussions")["status"], "cut", "{how}");
        assert_eq!(row(&all, "acme/app-00", "issues")["status"], "read", "{how}");
        assert!(fake.calls() < 3000, "{how}");
    }
}

#[test]
fn on_no_forge_does_the_token_go_elsewhere() {
    for kind in ["github", "gitlab"] {
        let (fake, other) = (Fake::small(None), Fake::small(None));
        let sandbox = fake.vault(kind, "code = false\nexclude = [\"discussions\"]");
        let elsewhere = format!("{}/api/v4/x", other.url());
        fake.tell("faults", &json!({"faults": [{"kind": "link", "to": elsewhere}]}));
        sandbox.writer(&["backup"]).code(1).says("another server");
        fake.tell("faults", &json!({"faults": [null, null, {"kind": "redirect", "to": elsewhere}, {"kind": "redirect", "to": elsewhere}]}));
        sandbox.writer(&["backup"]);
        assert_eq!(other.calls(), 0, "{kind}");
    }
    // An asset that leads elsewhere, where by http nobody is asked, and files whose entries name other places of the forge.
    let (fake, other) = (Fake::small(None), Fake::small(None));
    fake.tell("raw", &json!({"assets": format!("{}/file", other.url())}));
    let sandbox = fake.vault("github", "code = false\nexclude = [\"discussions\", \"projects\"]");
    sandbox.writer(&["backup"]).code(3).says("another server");
    assert_eq!(other.calls(), 0);
    let fake = Fake::small(None);
    let assets = json!([{"id": 1, "name": "a", "browser_download_url": format!("{}/api/v1/user", fake.url())}]);
    fake.tell("field", &json!({"repo": "acme/app-00", "n": 1, "fields": {"assets": assets}}));
    let run = fake.vault("gitea", "code = false").writer(&["backup"]).ok();
    assert!(format!("{}{}", run.out(), run.stderr).contains("none of the forge's files"), "{}", run.stderr);
    assert!(!fake.ask("log").to_string().contains("/api/v1/user\""), "it was not asked for");
    assert!(!run.stderr.contains(TOKEN));
}
