//! What goes wrong with a forge: limits, storms, refusals, changes under the hand, kills.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::fake::{Fake, TOKEN, lines, manifest, restored, row};

fn status(status: u16, headers: &Value) -> Value {
    json!({"kind": "status", "status": status, "headers": headers})
}

#[test]
fn limits_and_storms_are_outlasted() {
    let fake = Fake::small(None);
    let sandbox = fake.vault("github", "code = false");
    let reset = json!({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1"});
    fake.tell("faults", &json!({"faults": [
        status(502, &json!({})), null, status(429, &json!({"Retry-After": "1"})), null, null,
        status(403, &reset), {"kind": "cut"}, null, {"kind": "short"}, status(403, &json!({"Retry-After": "1"})), null,
    ]}));
    sandbox.writer(&["backup"]).ok();
    let dir = restored(&sandbox, "one");
    let all = manifest(&dir);
    assert!(all["waited_s"].as_u64().unwrap() >= 2, "{}", all["waited_s"]);
    for repository in ["acme/app-00", "acme/app-01"] {
        let known = fake.ask("held")[repository]["issues"].as_array().unwrap().len();
        assert_eq!(lines(&dir.join("acme").join(repository).join("issues.jsonl")).len(), known);
    }
}

#[test]
fn what_is_refused_is_said_and_never_passes_for_empty() {
    let fake = Fake::small(None);
    let sandbox = fake.vault("gitea", "code = false\npatience = \"1s\"");
    fake.tell("deny", &json!({"/hooks": 403, "app-01/labels": 500}));
    let told = sandbox.writer(&["--json", "backup"]).code(3).json();
    let findings = told["findings"].as_array().unwrap();
    let unread: Vec<&Value> = findings.iter().filter(|finding| finding["code"] == "forge.unread").collect();
    // Of the owner, of both repositories, and the labels of one.
    assert_eq!(unread.len(), 3, "{findings:?}");
    let said = unread.iter().find(|finding| finding["message"].as_str().unwrap().contains("hooks")).unwrap();
    assert!(said["message"].as_str().unwrap().contains("refused it with 403: needs a scope"), "{said}");
    let dir = restored(&sandbox, "one");
    let all = manifest(&dir);
    let hooks = row(&all, "acme/app-00", "hooks");
    assert_eq!((&hooks["status"], &hooks["http"], &hooks["got"]), (&json!("refused"), &json!(403), &json!(0)));
    assert_eq!(row(&all, "acme/app-01", "labels")["status"], "failed");
    assert_eq!(row(&all, "acme/app-00", "labels")["status"], "read");
    let page = std::fs::read_to_string(dir.join("acme.html/index.html")).unwrap();
    assert!(page.contains("Not all of it could be read") && page.contains("&lt;b&gt;"));

    // What is left out on purpose is no reason to fail.
    fake.tell("deny", &json!({"/hooks": 403}));
    let token = "token = \"file:forge-token\"";
    let text = std::fs::read_to_string(sandbox.config()).unwrap();
    std::fs::write(sandbox.config(), text.replace(token, &format!("{token}\nexclude = [\"hooks\", \"org_hooks\"]")))
        .unwrap();
    sandbox.writer(&["backup"]).ok();
    let all = manifest(&restored(&sandbox, "two"));
    assert_eq!(row(&all, "acme/app-00", "hooks")["status"], "excluded");
}

#[test]
fn a_forge_that_is_down_or_refuses_the_token_makes_no_snapshot() {
    let fake = Fake::small(None);
    let sandbox = fake.vault("gitea", "code = false\npatience = \"1s\"");
    fake.tell("deny", &json!({"": 500}));
    sandbox.writer(&["backup"]).code(1).says("500");
    fake.tell("deny", &json!({}));
    std::fs::write(sandbox.path("etc/forge-token"), "another-word-of-16").unwrap();
    let run = sandbox.writer(&["backup"]).code(1).says("refuses the token");
    assert!(!run.stderr.contains("another-word-of-16"), "{}", run.stderr);
    let run = sandbox.writer(&["backup", "--dry-run"]);
    assert!(run.code != 0 && format!("{}{}", run.out(), run.stderr).contains("refuses the token"), "{}", run.out());
    drop(fake);
    sandbox.writer(&["backup"]).code(1);
}

#[test]
fn nobody_else_is_asked_and_nobody_else_hears_the_token() {
    let (fake, other) = (Fake::small(None), Fake::small(None));
    let elsewhere = format!("{}/api/v1/x", other.url());
    let sandbox = fake.vault("gitea", "code = false");
    fake.tell("faults", &json!({"faults": [{"kind": "link", "to": elsewhere}]}));
    sandbox.writer(&["backup"]).code(1).says("another server");
    fake.tell("faults", &json!({"faults": [null, null, {"kind": "redirect", "to": elsewhere}]}));
    sandbox.writer(&["backup"]).code(3).says("another server");
    assert_eq!(other.calls(), 0);
}

#[test]
fn entries_that_go_while_they_are_read_hide_no_others() {
    let fake = Fake::start(&["--repos", "1", "--issues", "230"]);
    let sandbox = fake.vault("gitea", "code = false\nexclude = [\"timeline\"]");
    // The newest come first, so that each that goes from the first page moves the others up.
    for n in [230, 229, 228] {
        let given = json!({"repo": "acme/app", "n": n});
        fake.tell("after", &json!({"path": "/issues?state=all&limit=50", "name": "delete_issue", "given": given}));
    }
    sandbox.writer(&["backup"]).ok();
    let dir = restored(&sandbox, "one");
    let numbers: Vec<i64> =
        lines(&dir.join("acme/acme/app/issues.jsonl")).iter().map(|issue| issue["number"].as_i64().unwrap()).collect();
    assert_eq!(numbers, (1..=227).collect::<Vec<_>>());
}

#[test]
fn a_pass_that_was_killed_goes_on() {
    let fake = Fake::start(&["--repos", "1", "--issues", "120", "--pulls", "10", "--comments", "60"]);
    let sandbox = fake.vault("gitea", "code = false");
    // It is held up at its 60th call, and killed there.
    let mut faults = vec![Value::Null; 60];
    faults.push(status(429, &json!({"Retry-After": "3000"})));
    fake.tell("faults", &json!({ "faults": faults }));
    let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
    command.env("HOME", sandbox.path("home")).arg("--config").arg(sandbox.config()).arg("backup");
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let until = Instant::now() + Duration::from_mins(2);
    let mut before = 0;
    while before < 61 {
        assert!(Instant::now() < until && child.try_wait().unwrap().is_none(), "it is held up after {before} calls");
        std::thread::sleep(Duration::from_millis(100));
        before += fake.calls();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    sandbox.writer(&["backup"]).ok();
    let after = fake.calls();
    let dir = restored(&sandbox, "one");
    assert_eq!(lines(&dir.join("acme/acme/app/issues.jsonl")).len(), 130);
    assert_eq!(lines(&dir.join("acme/acme/app/timeline.jsonl")).len(), 130);
    sandbox.writer(&["backup", "--full"]).ok();
    let whole = fake.calls();
    assert!(after + 40 < whole, "{after} calls to go on, {whole} for all");
    assert!(!std::fs::read(sandbox.config()).unwrap().windows(TOKEN.len()).any(|part| part == TOKEN.as_bytes()));
}
