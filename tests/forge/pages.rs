//! Pages of each forge whose people are all hostile: nothing that they wrote is markup, runs, is fetched or leads elsewhere.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::{
    fake::{Fake, lines, restored},
    sandbox::Sandbox,
};

const REPO: &str = "acme/app-00";
/// A server that nobody may ask for anything.
const CANARY: &str = "http://127.0.0.1:1/canary";

/// All of it in one text, as it stands in each field that holds words.
fn hostile() -> String {
    let parts = [
        "MARK-7</title></style></textarea></pre></td></table></article></main></body></html>",
        "<script>fetch('CANARY');document.title='pwned'</script><script src=CANARY></script>",
        "<iframe src=CANARY></iframe><iframe srcdoc='<script>parent.document.title=1</script>'></iframe>",
        "<svg onload=alert(1)><image href=CANARY /><use href='CANARY#x'/></svg><math><mtext><img src=CANARY></mtext></math>",
        "<img src=CANARY onerror=alert(1)>![x](CANARY)[x](javascript:alert(1))[y](data:text/html;base64,PHNjcmlwdD4=)",
        "<meta http-equiv=refresh content='0;url=CANARY'><base href='CANARY/'><link rel=stylesheet href=CANARY>",
        "<form action=CANARY><input autofocus onfocus=alert(1)><button formaction=javascript:alert(1)>x</button></form>",
        "<style>@import url(CANARY);*{background:url(CANARY)}</style><object data=CANARY></object><embed src=CANARY>",
        "\" onmouseover=\"alert(1)\" x='' ' onmouseover='alert(1)` &#60;script&#62; &lt;script&gt; &amp;lt; &#x3c;b&#x3e;",
        "<!-- --> <![CDATA[ ]]> <?php ?> <plaintext> <noscript><p title=\"</noscript><img src=CANARY>\"> <a href=CANARY>x</a>",
        "\u{202e}\u{2066}\u{200f}\u{feff}\u{2028}\u{0}\u{8}\u{1b}[31m\u{7f}\u{9b}\r\n../../../../escape ..\\..\\x %2e%2e/ file:///etc/passwd",
    ];
    parts.join(" ").replace("CANARY", CANARY)
}

/// The tags of a page, without those of its style, which is always the same.
fn tags(page: &str) -> Vec<&str> {
    let (before, rest) = page.split_once("<style>").unwrap();
    let (style, after) = rest.split_once("</style>").unwrap();
    assert!(!style.contains("MARK-7") && !style.contains("url("), "{style}");
    let of = |text| str::split(text, '<').skip(1).map(|part: &str| part.split_once('>').expect("a tag ends").0);
    of(before).chain(of(after)).collect()
}

const PLAIN: &[&str] = &[
    "!doctype html",
    "html lang=\"en\"",
    "/html",
    "head",
    "/head",
    "title",
    "/title",
    "body",
    "/body",
    "main",
    "/main",
    "h1",
    "/h1",
    "h2",
    "/h2",
    "p",
    "/p",
    "pre",
    "pre class=\"hunk\"",
    "/pre",
    "table",
    "table class=\"list\"",
    "/table",
    "tr",
    "tr class=\"bad\"",
    "/tr",
    "th",
    "/th",
    "td",
    "/td",
    "ul",
    "/ul",
    "li",
    "/li",
    "section",
    "section class=\"bad\"",
    "/section",
    "article",
    "article class=\"event\"",
    "/article",
    "/a",
    "meta charset=\"utf-8\"",
    "meta name=\"referrer\" content=\"no-referrer\"",
    "meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"",
    "meta name=\"color-scheme\" content=\"light dark\"",
];

/// What of a page is none of ours, or leads out of the site at `root`.
fn strange(root: &Path, file: &Path) -> Vec<String> {
    let page = fs::read_to_string(file).unwrap();
    let mut found = Vec::new();
    for tag in tags(&page) {
        if PLAIN.contains(&tag) {
            continue;
        }
        let policy = "meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-";
        if tag.starts_with(policy) && tag.ends_with("base-uri 'none'; form-action 'none'\"") {
            continue;
        }
        let Some(link) = tag.strip_prefix("a href=\"").and_then(|rest| rest.strip_suffix('"')) else {
            found.push(format!("<{tag}>"));
            continue;
        };
        let target = file.parent().unwrap().join(link);
        let inside = fs::canonicalize(&target).is_ok_and(|target| target.starts_with(fs::canonicalize(root).unwrap()));
        if link.contains([':', '"', '\\']) || link.starts_with('/') || !inside {
            found.push(format!("a link to {link}"));
        }
    }
    let hidden = |c: &char| {
        (c.is_control() && *c != '\n')
            || matches!(*c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    found.extend(page.chars().filter(hidden).take(1).map(|c| format!("{c:?}")));
    found
}

/// The pages of a site.
fn pages(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(pages(&path));
        } else if path.extension().is_some_and(|end| end == "html") {
            found.push(path);
        }
    }
    found
}

fn populated(kind: &str) -> (Fake, Sandbox) {
    let fake = Fake::small(None);
    fake.tell("release", &json!({"repo": REPO, "tag": "../v", "data": "inner", "name": "../../../escape"}));
    for event in ["renamed", "milestoned", "assigned", "review_requested"] {
        let person = json!({"login": "x", "id": 9, "username": "x"});
        let more = match event {
            "renamed" => json!({"rename": {"from": "a", "to": "b"}}),
            "milestoned" => json!({"milestone": {"title": "v1"}}),
            "assigned" => json!({ "assignee": person }),
            _ => json!({ "requested_reviewer": person }),
        };
        fake.tell("event", &json!({"repo": REPO, "n": 8, "event": event, "more": more}));
    }
    fake.tell(
        "field",
        &json!({"repo": REPO, "n": 8, "fields": {
        "milestone": {"title": "v1"}, "assignees": [{"login": "x", "id": 9, "username": "x"}]}}),
    );
    let n = fake.tell("discussion", &json!({"repo": REPO, "title": "Which?"}));
    let first = fake.tell("discuss", &json!({"repo": REPO, "n": n, "body": "asked"}));
    fake.tell("discuss", &json!({"repo": REPO, "n": n, "body": "replied", "to": first}));
    fake.tell("project", &json!({"title": "Roadmap", "readme": "where to"}));
    fake.tell("item", &json!({"n": 1, "title": "Step"}));
    let sandbox = fake.vault(kind, "code = false");
    (fake, sandbox)
}

/// All texts of all entries, as JSON has them.
fn texts(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::String(text) => into.push(text.clone()),
        Value::Array(all) => all.iter().for_each(|one| texts(one, into)),
        Value::Object(fields) => fields.values().for_each(|one| texts(one, into)),
        _ => {}
    }
}

fn neutralised(kind: &str, least: usize, shown: &[&str]) {
    let (fake, sandbox) = populated(kind);
    fake.tell("poison", &json!({"repo": REPO, "text": hostile()}));
    sandbox.writer(&["backup"]).ok();
    let dir = restored(&sandbox, "one");
    let site = dir.join("acme.html");
    let all = pages(&site);
    assert!(all.len() >= least, "{all:?}");
    for page in &all {
        let found = strange(&site, page);
        assert!(found.is_empty(), "{}: {found:?}", page.display());
    }
    for name in shown {
        let page = fs::read_to_string(site.join(name)).unwrap();
        assert!(
            page.contains("MARK-7&lt;/title&gt;") && page.contains("&amp;#60;script&amp;#62;"),
            "{name} shows it as text"
        );
    }
    // The lines are as the API gave them, and nothing was put where a name led.
    let mut said = Vec::new();
    for entry in &lines(&dir.join("acme").join(REPO).join("issues.jsonl")) {
        texts(entry, &mut said);
    }
    assert!(said.contains(&hostile()));
    assert!(!sandbox.path("escape").exists() && !dir.join("escape").exists());
}

#[test]
fn hostile_words_on_gitea_stay_words() {
    neutralised("gitea", 12, &["acme/app-00/issues/8.html", "acme/app-00/index.html", "acme/app-00/releases.html"]);
}

#[test]
fn hostile_words_on_github_stay_words() {
    let shown = [
        "acme/app-00/issues/8.html",
        "acme/app-00/index.html",
        "acme/app-00/releases.html",
        "acme/app-00/discussions/9.html",
        "projects/1.html",
        "index.html",
    ];
    neutralised("github", 14, &shown);
}

#[test]
fn hostile_words_on_gitlab_stay_words() {
    let shown = ["acme/app-00/issues/1.html", "acme/app-00/merge_requests/7.html", "acme/app-00/releases.html"];
    neutralised("gitlab", 12, &shown);
}

#[test]
fn what_is_planted_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let page = |inner: &str| format!("<!doctype html><style>x</style><p>{inner}</p>");
    let file = dir.path().join("x.html");
    for bad in [
        "<script>",
        "<img src=x>",
        "<p onload=\"x\">",
        "<a href=\"http://x\">",
        "<a href=\"../../x\">",
        "<a href=\"gone\">",
        "\u{202e}",
        "\u{0}",
    ] {
        fs::write(&file, page(bad)).unwrap();
        assert!(!strange(dir.path(), &file).is_empty(), "{bad:?}");
    }
    fs::write(&file, page("<a href=\"x.html\">")).unwrap();
    assert_eq!(strange(dir.path(), &file), Vec::<String>::new());
}

#[test]
fn a_comment_of_ten_megabytes_is_there_on_each() {
    for (kind, n, stream, page) in
        [("github", 3, "comments", "issues/3.html"), ("gitlab", 3, "issue_notes", "issues/3.html")]
    {
        let fake = Fake::start(&["--repos", "1", "--issues", "4"]);
        let long = "x\n\\\"".repeat(2_600_000) + "\u{1}\u{0}";
        fake.tell("comment", &json!({"repo": "acme/app", "n": n, "body": long}));
        let sandbox = fake.vault(kind, "code = false");
        sandbox.writer(&["backup"]).ok();
        let dir = restored(&sandbox, "one");
        let all = lines(&dir.join(format!("acme/acme/app/{stream}.jsonl")));
        assert!(all.iter().any(|one| one["body"] == long.as_str()), "{kind}");
        assert!(fs::metadata(dir.join("acme.html/acme/app").join(page)).unwrap().len() > 10_000_000, "{kind}");
    }
}
