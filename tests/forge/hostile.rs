//! What others write into a forge leaves neither the directory nor the page that it is shown on.

use std::fs;

use serde_json::json;

use crate::fake::{Fake, holding, lines, manifest, restored};

#[test]
fn hostile_words_and_names_stay_words() {
    let fake = Fake::small(None);
    let repo = "acme/app-00";
    let body = "</pre><script>alert(1)</script><img src=x onerror=alert(1)>\u{202e}\u{1b}[31m\u{0}\" onload=\"x";
    let n = fake.tell("issue", &json!({"repo": repo, "title": "<script>t</script>", "body": body}));
    fake.tell("comment", &json!({"repo": repo, "n": n, "body": format!("{body}{}", "x\n\\\"".repeat(2_500_000))}));
    fake.tell(
        "field",
        &json!({"repo": repo, "n": n, "fields": {
            "number": n, "user": {"login": "<b>"}, "labels": [{"id": 1, "name": "<i>"}], "assets": [
                {"id": 1, "name": "../../../../escape", "size": 3, "browser_download_url": "http://127.0.0.1:1/x"},
                {"id": 2, "name": "a", "browser_download_url": "javascript:alert(1)"},
            ],
        }}),
    );
    fake.tell("release", &json!({"repo": repo, "tag": "../v", "data": "inner", "name": "../../../escape"}));
    fake.tell("repo", &json!({"name": "../../evil"}));
    let sandbox = fake.vault("gitea", "code = false");
    let run = sandbox.writer(&["backup"]).code(3).says("1 entries of the listing");
    let told = format!("{}{}", run.out(), run.stderr);
    assert!(told.contains("a name that no file can have"), "{told}");
    let dir = restored(&sandbox, "one");
    assert!(
        holding(&sandbox.path("one"), b"inner")
            .iter()
            .all(|path| path.starts_with(dir.join("acme")) || path.starts_with(dir.join("acme.html")))
    );
    assert!(!sandbox.path("escape").exists() && !sandbox.path("evil").exists());
    let page = fs::read_to_string(dir.join(format!("acme.html/{repo}/issues/{n}.html"))).unwrap();
    let markup = page.replace("<!doctype html>", "");
    for bad in ["<script", "<img", "onload=\"", "\u{202e}", "\u{1b}", "\0", "javascript:\""] {
        assert!(!markup.contains(bad), "{bad:?} is on the page");
    }
    assert!(page.len() > 10_000_000, "the long comment is there");
    let pages = holding(&dir.join("acme.html"), b"<script");
    assert!(pages.is_empty(), "{pages:?}");
    // The lines themselves are as the API gave them.
    let entry = lines(&dir.join(format!("acme/{repo}/issues.jsonl"))).into_iter().find(|e| e["number"] == n).unwrap();
    assert_eq!(entry["body"], body);
    assert_eq!(manifest(&dir)["repositories"].as_array().unwrap().len(), 2);
}

#[test]
fn a_configuration_says_what_is_wrong_with_it() {
    let fake = Fake::start(&["--repos", "1"]);
    let wrong = [
        ("kind = \"gitea\"\nurl = \"http://git.example\"\nowner = \"acme\"", "the token would be seen"),
        ("kind = \"gitea\"\nurl = \"https://me:tok123@git.example\"\nowner = \"acme\"", "does not belong into it"),
        ("kind = \"gitea\"\nowner = \"acme\"", "\"url\""),
        ("kind = \"github\"", "\"owner\" or \"repos\""),
        ("kind = \"github\"\nowner = \"acme\"\ntoken = \"ghp_abcdefgh\"", "file:PATH"),
        ("kind = \"github\"\nowner = \"acme\"\nexclude = [\"wishes\"]", "not a kind of this forge's"),
        ("kind = \"github\"\nowner = \"acme\"\napp = { id = 1, installation = 2, key = \"-----BEGIN\" }", "file:PATH"),
        (
            "kind = \"gitea\"\nurl = \"https://git.example\"\nowner = \"acme\"\napp = { id = 1, installation = 2, key = \"file:k\" }",
            "github",
        ),
        (
            "kind = \"github\"\nowner = \"acme\"\ntoken = \"file:t\"\napp = { id = 1, installation = 2, key = \"file:k\" }",
            "leave \"token\" out",
        ),
        ("kind = \"github\"\nrepos = [\"app\"]", "OWNER/NAME"),
        ("kind = \"path\"\npath = \"x\"\nowner = \"acme\"", "belongs to sources of kind"),
    ];
    for (text, why) in wrong {
        let sandbox = crate::sandbox::Sandbox::with_vault();
        sandbox.configure(&format!("[[source]]\nname = \"acme\"\n{text}\n"));
        let run = sandbox.writer(&["backup"]).code(2).says(why);
        assert!(!run.stderr.contains("tok123") && !run.stderr.contains("ghp_abcdefgh"), "{}", run.stderr);
    }
    drop(fake);
}
