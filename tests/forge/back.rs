//! `restore --into` a forge: what one held is made anew in another, once, whatever happens on the way.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    fake::{Fake, TOKEN, holding},
    sandbox::{Run, Sandbox},
};

/// What belongs to threads is made as comments.
const THREADS: [&str; 3] = ["comments", "all_reviews", "review_comments"];

/// A vault with a snapshot of a forge with some of everything.
pub fn snapshot(kind: &str) -> (Fake, Sandbox) {
    let fake = Fake::small(None);
    let repo = "acme/app-00";
    let held = fake.ask("held");
    let milestone = held[repo]["milestones"][0].clone();
    let field = |n: i64, fields: Value| fake.tell("field", &json!({"repo": repo, "n": n, "fields": fields}));
    field(1, json!({"state": "closed", "closed_at": "2026-02-01T00:00:00Z", "milestone": milestone}));
    field(3, json!({"title": "", "body": "", "user": {"login": "@mia`x"}, "assignees": [{"login": "ben"}]}));
    let pulls: Vec<i64> =
        held[repo]["pulls"].as_array().unwrap().iter().map(|p| p["number"].as_i64().unwrap()).collect();
    field(pulls[0], json!({"state": "closed", "merged_at": "2026-02-02T00:00:00Z", "merge_commit_sha": "abc123"}));
    // A number that is gone, and a text that looks like one of ours.
    fake.tell("delete_issue", &json!({"repo": repo, "n": 2}));
    fake.tell("comment", &json!({"repo": repo, "n": 1, "body": "fooled <!-- strongroom: comments/1 -->"}));
    let id = fake.tell("comment", &json!({"repo": repo, "n": 1, "body": "x".repeat(70_000)}));
    if kind == "gitea" {
        fake.tell("attach", &json!({"repo": repo, "n": 1, "name": "log.txt", "data": "of an issue"}));
        fake.tell("attach", &json!({"repo": repo, "id": id, "name": "trace.txt", "data": "of a comment"}));
    }
    let sandbox = fake.vault(kind, "code = false");
    sandbox.writer(&["backup"]).ok();
    token_file(&sandbox);
    (fake, sandbox)
}

/// The token that restores go by.
pub fn token_file(sandbox: &Sandbox) {
    let token = sandbox.path("back-token");
    fs::write(&token, TOKEN).unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
}

/// An empty forge of another owner, to which the code of one repository was pushed.
fn target() -> Fake {
    let fake = Fake::start(&["--owner", "fresh"]);
    fake.tell("repo", &json!({"name": "app-00", "empty": true}));
    fake.tell("refs", &json!({"repo": "fresh/app-00", "branches": ["main", "topic"], "tags": ["v0", "v1"]}));
    fake
}

/// What is typed to restore into a forge.
pub fn typed(sandbox: &Sandbox, into: &str, more: &[&str]) -> Vec<String> {
    let (url, identity) = (sandbox.url(), sandbox.identity().display().to_string());
    let args = ["--vault", &url, "restore", "latest", "--source", "acme", "-i", &identity, "--into", into];
    args.iter().chain(more).map(|word| (*word).to_owned()).collect()
}

pub fn back(sandbox: &Sandbox, into: &str, more: &[&str]) -> Run {
    let token = format!("file:{}", sandbox.path("back-token").display());
    let args = typed(sandbox, into, &[&["--token", &token], more].concat());
    sandbox.finish(sandbox.command().args(args))
}

pub fn list<'a>(of: &'a Value, kind: &str) -> &'a Vec<Value> {
    of[kind].as_array().unwrap()
}

pub fn by_number(of: &Value, kind: &str) -> Vec<(i64, Value)> {
    let mut all: Vec<(i64, Value)> =
        list(of, kind).iter().map(|one| (one["number"].as_i64().unwrap(), one.clone())).collect();
    all.sort_by_key(|(number, _)| *number);
    all
}

fn names(of: &Value, field: &str) -> Vec<String> {
    let mut names: Vec<String> =
        of.as_array().into_iter().flatten().map(|one| one[field].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

pub fn text(of: &Value) -> &str {
    of.as_str().unwrap_or_default()
}

/// Holds what came back against what was there, field by field. What can't be equal: who wrote it and when (which the text
/// says), ids, times of change, what merged pull requests and reviews are (which the text says, too), and links.
fn compare(fakes: (&Fake, &Fake), repository: &str, with_code: bool) {
    let (was, is) = (fakes.0.ask("held"), fakes.1.ask("held"));
    let (was, is) = (&was[format!("acme/{repository}")], &is[format!("fresh/{repository}")]);
    for (kind, fields) in [("labels", vec!["name", "color"]), ("milestones", vec!["title", "state"])] {
        for field in fields {
            assert_eq!(names(&was[kind], field), names(&is[kind], field), "{kind} {field}");
        }
    }
    let (issues, made) = (by_number(was, "issues"), by_number(is, "issues"));
    let numbers = |all: &[(i64, Value)]| all.iter().map(|(number, _)| *number).collect::<Vec<_>>();
    assert_eq!(numbers(&issues), numbers(&made), "numbers");
    let pulls = numbers(&by_number(is, "pulls"));
    for ((number, was_one), (_, one)) in issues.iter().zip(&made) {
        let title = if text(&was_one["title"]).is_empty() { "(without a title)" } else { text(&was_one["title"]) };
        assert_eq!((title, &was_one["state"]), (text(&one["title"]), &one["state"]), "{number}");
        assert_eq!(names(&was_one["labels"], "name"), names(&one["labels"], "name"), "{number}");
        assert_eq!(was_one["milestone"]["title"], one["milestone"]["title"], "{number}");
        let body = text(&one["body"]);
        for part in [text(&was_one["body"]), text(&was_one["created_at"])] {
            assert!(body.contains(part), "{number}: {part:?} in {body:?}");
        }
        let open = was_one["pull_request"].is_object() && was_one["merged_at"].is_null();
        assert_eq!(pulls.contains(number), open && with_code, "{number} is a pull request");
        thread(fakes, (was, is), *number);
        files(fakes, (&was_one["assets"], &one["assets"]));
    }
    let releases = |of: &Value| names(&of["releases"], "tag_name");
    assert_eq!(releases(is), if with_code { releases(was) } else { Vec::new() });
    for release in list(is, "releases") {
        let old = list(was, "releases").iter().find(|one| one["tag_name"] == release["tag_name"]).unwrap();
        assert_eq!(old["name"], release["name"]);
        assert!(text(&release["body"]).contains(text(&old["body"])));
        files(fakes, (&old["assets"], &release["assets"]));
    }
}

/// What was said of one number, in order.
fn thread(fakes: (&Fake, &Fake), (was, is): (&Value, &Value), number: i64) {
    let mut said: Vec<(String, Value)> = Vec::new();
    for kind in THREADS {
        for one in list(was, kind) {
            let of = one["n"].as_i64().or_else(|| text(&one["issue_url"]).rsplit('/').next()?.parse().ok());
            if of == Some(number) {
                let time = if one["created_at"].is_string() { &one["created_at"] } else { &one["submitted_at"] };
                said.push((text(time).to_owned(), one.clone()));
            }
        }
    }
    said.sort_by(|a, b| a.0.cmp(&b.0));
    let of = |one: &Value| text(&one["issue_url"]).rsplit('/').next().unwrap().parse::<i64>().unwrap();
    let mut made: Vec<Value> = list(is, "comments").iter().filter(|one| of(one) == number).cloned().collect();
    made.sort_by_key(|one| one["id"].as_i64());
    // What was too long for one is in more.
    let joined: Vec<&Value> = made.iter().filter(|one| !text(&one["body"]).starts_with("(part ")).collect();
    assert_eq!(said.len(), joined.len(), "comments of {number}");
    for ((time, old), one) in said.iter().zip(joined) {
        let (body, was) = (text(&one["body"]), text(&old["body"]));
        assert!(body.contains(time.as_str()) && body.contains(text(&old["user"]["login"])), "{number}: {body}");
        assert!(was.len() > 60_000 || body.contains(was), "{number}: {was:?} in {body:?}");
        assert!(body.contains(text(&old["path"])) && body.contains(text(&old["diff_hunk"])), "{number}: {body}");
        if !old["assets"].is_null() {
            files(fakes, (&old["assets"], &one["assets"]));
        }
    }
}

/// The same files with the same bytes.
fn files((old, new): (&Fake, &Fake), (was, is): (&Value, &Value)) {
    assert_eq!(names(was, "name"), names(is, "name"));
    for one in was.as_array().into_iter().flatten() {
        let other = is.as_array().unwrap().iter().find(|other| other["name"] == one["name"]).unwrap();
        let bytes = |fake: &Fake, asset: &Value| fake.tell("asset", &json!({"id": asset["id"]}));
        assert_eq!(bytes(old, one), bytes(new, other), "{one}");
    }
}

pub fn repository<'a>(report: &'a Value, name: &str) -> &'a Value {
    list(&report["result"], "repositories").iter().find(|one| one["name"] == name).unwrap()
}

fn lacking(report: &Value, name: &str, open: bool) -> Vec<String> {
    let all = list(repository(report, name), "lacking").iter().filter(|one| one["open"] == open);
    all.map(|one| one["kind"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn an_empty_forge_gets_all_of_it_once() {
    let ((fake, sandbox), other) = (snapshot("gitea"), target());
    let into = format!("gitea:{}/fresh", other.url());
    let run = back(&sandbox, &into, &["--json", "-vv"]).code(3);
    assert!(!format!("{}{}", run.out(), run.stderr).contains(TOKEN), "{}", run.stderr);
    let report = run.json();
    compare((&fake, &other), "app-00", true);
    compare((&fake, &other), "app-01", false);
    // What could not be brought back is named: what may be mended, and what no API can do.
    assert!(lacking(&report, "acme/app-00", true).is_empty(), "{report}");
    for kind in ["pulls", "reviews", "review_comments", "timeline", "hooks", "branch_protections", "collaborators"] {
        assert!(lacking(&report, "acme/app-00", false).contains(&kind.to_owned()), "{kind}: {report}");
    }
    assert_eq!(lacking(&report, "acme/app-01", true), ["pulls", "releases"], "{report}");
    assert_eq!(report["error"]["kind"], "not-whole");

    // Again: nothing is made twice, and what had no tag has one now.
    let before = other.ask("held");
    other.ask("log");
    let report = back(&sandbox, &into, &["--json", "--repo", "acme/app-00"]).ok().json();
    assert_eq!(repository(&report, "acme/app-00")["made"], json!({}), "{report}");
    let log = other.ask("log").to_string();
    assert!(!log.contains("POST") && !log.contains("PATCH") && !log.contains("DELETE"), "{log}");
    assert_eq!(other.ask("held"), before);
    other.tell("refs", &json!({"repo": "fresh/app-01", "branches": ["main"], "tags": ["v0", "v1"]}));
    // What is an issue since its branches were not there stays one, and that is said each time.
    let text = back(&sandbox, &into, &["--repo", "acme/app-01"]).code(3).out();
    assert!(text.contains("1 files, 1 releases; there already:"), "{text}");
    assert!(text.contains("did not come back: 2 pulls") && text.contains("delete the repository there"), "{text}");
    let mut found = holding(&sandbox.path(""), TOKEN.as_bytes());
    found.sort_unstable();
    assert_eq!(found, [sandbox.path("back-token"), sandbox.path("etc/forge-token")]);
    assert!(holding(&sandbox.path(""), b"of an issue").is_empty(), "what was restored on the way is gone");
}

#[test]
fn github_gets_what_its_api_takes() {
    let ((fake, sandbox), other) = (snapshot("github"), target());
    other.tell("refs", &json!({"repo": "fresh/app-00", "branches": ["main", "topic"], "tags": ["v0", "v1"]}));
    let into = format!("github:{}/fresh", other.url());
    let report = back(&sandbox, &into, &["--json", "--repo", "acme/app-00"]).ok().json();
    // It deletes no issue, so what keeps a number stays, closed.
    assert!(lacking(&report, "acme/app-00", false).contains(&"numbers".to_owned()), "{report}");
    let held = other.ask("held");
    let gap = by_number(&held["fresh/app-00"], "issues").into_iter().find(|(number, _)| *number == 2).unwrap().1;
    assert_eq!(gap["state"], "closed");
    other.ask("writes");
    back(&sandbox, &into, &["--repo", "acme/app-00"]).ok();
    assert_eq!(other.ask("writes"), json!([]), "it is closed already");
    // Killed before labels and the milestone came, which are a call of their own.
    let open = list(&held["fresh/app-00"], "pulls")[0]["number"].clone();
    let none = json!({"labels": [], "milestone": null});
    other.tell("field", &json!({"repo": "fresh/app-00", "n": open, "fields": none}));
    back(&sandbox, &into, &["--repo", "acme/app-00"]).ok();
    other.tell("delete_issue", &json!({"repo": "fresh/app-00", "n": 2}));
    compare((&fake, &other), "app-00", true);
    let long = list(&held["fresh/app-00"], "comments").iter().map(|one| text(&one["body"]));
    assert_eq!(long.map(|body| body.matches("xxxxxxxxxx").count()).sum::<usize>(), 7_000);
    let report = back(&sandbox, &into, &["--json", "--repo", "acme/app-00"]).ok().json();
    assert_eq!(repository(&report, "acme/app-00")["made"], json!({}), "{report}");

    // And from the one into the other.
    let third = target();
    back(&sandbox, &format!("gitea:{}/fresh", third.url()), &["--repo", "acme/app-00"]).ok();
    compare((&fake, &third), "app-00", true);
}

#[test]
fn nothing_is_made_twice_whatever_happens_on_the_way() {
    let ((fake, sandbox), other) = (snapshot("gitea"), target());
    let into = format!("gitea:{}/fresh", other.url());
    let token = format!("file:{}", sandbox.path("back-token").display());
    // Killed at one place after another: before a request is carried out, and after.
    for round in 0..12_u64 {
        let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
        command.env("HOME", sandbox.path("home"));
        command.args(typed(&sandbox, &into, &["--token", &token, "--repo", "acme/app-00"]));
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let kill = json!({"kind": if round % 2 == 0 { "kill" } else { "killed" }, "pid": child.id()});
        let mut faults = vec![Value::Null; usize::try_from(round).unwrap()];
        faults.push(kill);
        other.tell("write_faults", &json!({ "faults": faults }));
        assert!(!child.wait().unwrap().success(), "round {round} was not killed");
    }
    // Then answers that never came, failures, limits.
    let lost = json!({"kind": "lost"});
    let status = |status: u16, headers: Value| json!({"kind": "status", "status": status, "headers": headers});
    let slow = status(429, json!({"Retry-After": "1"}));
    let faults = json!({"faults": [lost, null, lost, status(502, json!({})), null, slow, lost, lost, null, lost]});
    other.tell("write_faults", &faults);
    back(&sandbox, &into, &["--repo", "acme/app-00"]).ok();
    compare((&fake, &other), "app-00", true);
    assert_eq!(other.ask("held").as_object().unwrap().len(), 1);
}

#[test]
fn what_can_not_be_is_refused_by_name_before_anything_is_made() {
    let ((_fake, sandbox), other) = (snapshot("gitea"), target());
    let url = other.url();
    let into = format!("gitea:{url}/fresh");
    back(&sandbox, &format!("gitea:{url}/nobody"), &[]).code(2).says("no organisation nobody");
    back(&sandbox, &format!("gitlab:{url}/nobody"), &[]).code(2).says("no group nobody");
    back(&sandbox, &format!("gitea:{url}"), &[]).code(2).says("names no owner");
    back(&sandbox, "gitea:http://git.example/fresh", &[]).code(2).says("the token would be seen");
    back(&sandbox, "gitea:https://me:tok123@git.example/fresh", &[]).code(2).says("does not belong into it");
    back(&sandbox, &into, &["--clean"]).code(2).says("--repo chooses");
    back(&sandbox, &into, &["--repo", "acme/wish"]).code(2).says("acme/wish");
    sandbox.finish(sandbox.command().args(typed(&sandbox, &into, &[]))).code(2).says("--token");
    back(&sandbox, "sqlite:x.db", &[]).code(2).says("go with --into a forge");
    let token = sandbox.path("back-token");
    fs::write(&token, "another-word-of-16").unwrap();
    let run = back(&sandbox, &into, &[]).code(1).says("401");
    assert!(!run.stderr.contains("another-word-of-16"), "{}", run.stderr);
    fs::write(&token, TOKEN).unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o644)).unwrap();
    back(&sandbox, &into, &[]).code(1).says("644");
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    // Where people use it already, numbers would be others.
    other.tell("issue", &json!({"repo": "fresh/app-00", "title": "ours"}));
    back(&sandbox, &into, &["--repo", "acme/app-00"]).code(2).says("fresh/app-00 has number 1");
    // A token that may not write.
    other.tell("deny", &json!({"/fresh/repos": 403}));
    back(&sandbox, &into, &["--repo", "acme/app-01"]).code(1).says("needs to write");
    assert_eq!(other.ask("held")["fresh/app-00"]["issues"].as_array().unwrap().len(), 1);
    assert_eq!(other.ask("held").as_object().unwrap().len(), 1, "nothing else was made");
}
