//! `restore --into` GitLab: what a GitLab, a Gitea or a GitHub held is made anew there, held against it field by field.

use std::{
    fs,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    back::{back, by_number, list, repository, snapshot, text, token_file, typed},
    fake::{Fake, TOKEN, restored},
    sandbox::Sandbox,
};

/// A vault with a snapshot of a GitLab with some of everything.
fn gitlab() -> (Fake, Sandbox) {
    let fake = Fake::start(&[]);
    fake.tell("repo", &json!({"name": "app", "empty": true}));
    fake.tell("lab", &json!({"repo": "acme/app"}));
    let sandbox = fake.vault("gitlab", "code = false");
    sandbox.writer(&["backup"]).ok();
    token_file(&sandbox);
    (fake, sandbox)
}

/// An empty GitLab of another owner, to which the code of one project was pushed.
fn target(name: &str) -> Fake {
    let fake = Fake::start(&["--owner", "fresh"]);
    fake.tell("repo", &json!({"name": name, "empty": true, "lab": true}));
    let refs = json!({"repo": format!("fresh/{name}"), "branches": ["main", "topic"], "tags": ["v0", "v1"]});
    fake.tell("refs", &refs);
    fake
}

fn held(fake: &Fake, name: &str) -> Value {
    fake.ask("held")[name]["lab"].clone()
}

/// `of` with these fields alone, in order.
fn fields(of: &[Value], names: &[&str]) -> Vec<String> {
    let mut all: Vec<String> =
        of.iter().map(|one| names.iter().map(|name| one[*name].to_string()).collect::<Vec<_>>().join(" ")).collect();
    all.sort();
    all
}

/// A text as it has to come back: what would be a command is none, and uploads are linked where they are now.
fn is_told(was: &str, is: &str, uploads: (&Value, &Value)) {
    let mut rest = is;
    for line in was.lines() {
        let parts: Vec<&str> = line.split("/uploads/").collect();
        let begin = if line.starts_with('/') { format!("\\{line}") } else { parts[0].to_owned() };
        let Some((_, after)) = rest.split_once(&begin) else { panic!("{line:?} is not in {is:?}") };
        rest = after;
        if let [_, old] = parts.as_slice() {
            let link = |text: &str| format!("/uploads/{}", text.split(')').next().unwrap());
            let new = rest.strip_prefix("/uploads/").unwrap_or_else(|| panic!("no link in {is:?}"));
            assert!(!uploads.1[link(new)].is_null() && link(new) != link(old), "{is:?}");
            assert_eq!(uploads.0[link(old)], uploads.1[link(new)]);
        }
    }
}

/// Holds what came back against what was there, field by field. What can't be equal: ids and times of change; who wrote something, and
/// when a merge request was made (which the text says); that one was merged, or from which branch that is gone (the text, too); where on
/// lines a comment stood (the text); approvals (the text); what GitLab itself wrote; secrets of uploads; lines that would be commands.
fn compare(was: &Value, is: &Value) {
    let same = |kind: &str, names: &[&str]| {
        assert_eq!(fields(list(was, kind), names), fields(list(is, kind), names), "{kind}");
    };
    same("labels", &["name", "color", "description", "priority"]);
    same("milestones", &["title", "description", "state", "due_date", "start_date"]);
    same("issues", &["iid", "title", "state", "labels", "created_at", "confidential", "issue_type", "due_date"]);
    same("merges", &["iid", "title", "labels"]);
    same("releases", &["tag_name", "name", "released_at"]);
    let uploads = (&was["uploads"], &is["uploads"]);
    for (was, is) in list(was, "issues").iter().zip(list(is, "issues")) {
        assert_eq!(was["milestone"]["title"], is["milestone"]["title"]);
        is_told(text(&was["description"]), text(&is["description"]), uploads);
        for said in
            [&was["created_at"], &was["author"]["username"], &was["assignees"][0]["username"], &was["closed_at"]]
        {
            assert!(text(&is["description"]).contains(text(said)), "{said} in {is}");
        }
    }
    for (n, was) in was["notes"].as_object().unwrap() {
        notes(was, &is["notes"][n], uploads);
    }
    for was in list(was, "merges") {
        let is = list(is, "merges").iter().find(|one| one["iid"] == was["iid"]).unwrap();
        let body = text(&is["description"]);
        is_told(text(&was["description"]), body, uploads);
        for field in ["created_at", "source_branch", "target_branch", "merged_at", "merge_commit_sha", "sha"] {
            assert!(body.contains(text(&was[field])), "{field} in {body}");
        }
        assert!(body.contains("Approved by `ada` at") && body.contains("To be reviewed by `ada`"), "{body}");
        assert!(!body.contains("eve"), "who took it back did not approve: {body}");
        let own = was["state"] == "opened" && was["source_branch"] == "topic";
        assert_eq!(text(&is["state"]), if own { "opened" } else { "closed" }, "{is}");
        assert_eq!(own, is["source_branch"] == was["source_branch"], "{is}");
    }
    for (n, was) in was["threads"].as_object().unwrap() {
        let people = |thread: &&Value| thread["notes"][0]["system"] == false;
        let (was, is) = (was.as_array().unwrap().iter().filter(people), is["threads"][n].as_array().unwrap());
        for (was, is) in was.zip(is) {
            assert_eq!(was["individual_note"], is["individual_note"]);
            notes(&was["notes"], &is["notes"], uploads);
            let place = &was["notes"][0]["position"];
            assert!(text(&is["notes"][0]["body"]).contains(text(&place["new_path"])), "{is}");
            for (was, is) in list(was, "notes").iter().zip(list(is, "notes")) {
                assert_eq!(was["resolved"] == true, is["resolved"] == true, "{is}");
            }
        }
    }
    assert_eq!(is["commands"], json!([]), "a text was taken for a command");
}

/// The same comments of people in the same order, in a thread.
fn notes(was: &Value, is: &Value, uploads: (&Value, &Value)) {
    let was: Vec<&Value> = was.as_array().unwrap().iter().filter(|one| one["system"] == false).collect();
    assert_eq!(was.len(), is.as_array().unwrap().len(), "{is}");
    for (was, is) in was.into_iter().zip(is.as_array().unwrap()) {
        assert_eq!((&was["created_at"], &was["internal"]), (&is["created_at"], &is["internal"]));
        is_told(text(&was["body"]), text(&is["body"]), uploads);
        assert!(text(&is["body"]).contains(text(&was["author"]["username"])), "{is}");
    }
}

/// The links of the release and what they lead to.
fn release(was: &Value, is: &Value, url: &str) {
    let links = |of: &Value| of["releases"][0]["assets"]["links"].as_array().unwrap().clone();
    assert_eq!(fields(&links(was), &["name", "link_type"]), fields(&links(is), &["name", "link_type"]));
    let of = |name: &str| links(is).into_iter().find(|link| link["name"] == name).unwrap();
    assert_eq!(of("docs")["url"], "https://docs.example/v1");
    assert!(text(&of("tool")["url"]).starts_with(url) && of("tool")["direct_asset_path"] == "/bin/tool.tgz", "{is}");
    let packages: Vec<&Value> = is["packages"].as_object().unwrap().values().collect();
    assert_eq!(packages, ["a package"]);
}

fn lacking(report: &Value, name: &str, open: bool) -> Vec<String> {
    let all = list(repository(report, name), "lacking").iter().filter(|one| one["open"] == open);
    all.map(|one| one["kind"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn gitlab_gets_what_gitlab_had_once() {
    let ((fake, sandbox), other) = (gitlab(), target("app"));
    // Uploads and packages are in the snapshot.
    let dir = restored(&sandbox, "out").join("acme/acme/app/files");
    let mut names: Vec<String> =
        fs::read_dir(&dir).unwrap().map(|one| one.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert!(names.len() == 2 && names[0].ends_with("-tool") && names[1].ends_with("-log.txt"), "{names:?}");
    let into = format!("gitlab:{}/fresh", other.url());
    let run = back(&sandbox, &into, &["--json", "-vv"]).code(3);
    assert!(!format!("{}{}", run.out(), run.stderr).contains(TOKEN), "{}", run.stderr);
    let report = run.json();
    let (was, is) = (held(&fake, "acme/app"), held(&other, "fresh/app"));
    compare(&was, &is);
    release(&was, &is, &other.url());
    assert_eq!(is["uploads"].as_object().unwrap().len(), 1, "one file is sent once");
    // The open one without its branch may be mended, the rest is in the nature of the API.
    assert_eq!(lacking(&report, "acme/app", true), ["merge_requests"], "{report}");
    for kind in ["merge_requests", "discussions", "events", "files", "members"] {
        assert!(lacking(&report, "acme/app", false).contains(&kind.to_owned()), "{kind}: {report}");
    }
    let all = other.ask("held");
    assert_eq!(all["fresh/app"]["branches"], json!(["main", "topic"]), "the branch that stood in is gone");

    // Killed before it closed a milestone.
    let open = json!({"repo": "fresh/app", "kind": "milestones", "n": 1, "fields": {"state": "active"}});
    other.tell("lab_field", &open);
    back(&sandbox, &into, &["--json"]).code(3);
    assert_eq!(other.ask("held"), all);

    other.ask("log");
    // What is closed since its branches were not there stays owed, however often the command is given.
    let report = back(&sandbox, &into, &["--json"]).code(3).json();
    assert_eq!(repository(&report, "acme/app")["made"], json!({}), "{report}");
    let log = other.ask("log").to_string();
    for word in ["POST", "PUT", "DELETE"] {
        assert!(!log.contains(word), "{log}");
    }
    assert_eq!(other.ask("held"), all);
}

#[test]
fn gitlab_gets_it_once_whatever_happens_on_the_way() {
    let ((fake, sandbox), other) = (gitlab(), target("app"));
    let into = format!("gitlab:{}/fresh", other.url());
    let token = format!("file:{}", sandbox.path("back-token").display());
    for round in 0..16_u64 {
        let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
        command.env("HOME", sandbox.path("home")).args(typed(&sandbox, &into, &["--token", &token]));
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let kill = json!({"kind": if round % 2 == 0 { "kill" } else { "killed" }, "pid": child.id()});
        let mut faults = vec![Value::Null; usize::try_from(round % 7).unwrap()];
        faults.push(kill);
        other.tell("write_faults", &json!({ "faults": faults }));
        assert!(!child.wait().unwrap().success(), "round {round} was not killed");
    }
    let lost = json!({"kind": "lost"});
    let slow = json!({"kind": "status", "status": 429, "headers": {"Retry-After": "1"}});
    other.tell(
        "write_faults",
        &json!({"faults": [lost, null, lost, slow, lost, lost, null, lost, null, null, lost, lost]}),
    );
    back(&sandbox, &into, &[]);
    back(&sandbox, &into, &[]).code(3);
    let (was, is) = (held(&fake, "acme/app"), held(&other, "fresh/app"));
    compare(&was, &is);
    release(&was, &is, &other.url());
    assert_eq!(other.ask("held")["fresh/app"]["branches"], json!(["main", "topic"]));
}

/// Holds what came of a Gitea or a GitHub against what it held. What can't be equal, besides what `compare` names: pull requests are issues, and
/// the open ones merge requests besides; reviews are comments; drafts are none.
fn compare_others(fakes: (&Fake, &Fake), repository: &str, with_code: bool) {
    let (was, is) = (fakes.0.ask("held"), held(fakes.1, &format!("fresh/{repository}")));
    let was = &was[format!("acme/{repository}")];
    let name = |of: &Value, field: &str| fields(of.as_array().unwrap(), &[field]);
    assert_eq!(name(&was["labels"], "name"), name(&is["labels"], "name"));
    assert_eq!(name(&was["milestones"], "title"), name(&is["milestones"], "title"));
    let made: Vec<&Value> = list(&is, "issues").iter().collect();
    let issues = by_number(was, "issues");
    assert_eq!(issues.len(), made.len());
    let mut open = Vec::new();
    for ((number, was_one), one) in issues.iter().zip(made) {
        assert_eq!(one["iid"], *number, "each has its own number");
        let state = if was_one["state"] == "open" { "opened" } else { "closed" };
        assert_eq!((text(&one["state"]), &one["created_at"]), (state, &was_one["created_at"]), "{number}");
        let title = if text(&was_one["title"]).is_empty() { "(without a title)" } else { text(&was_one["title"]) };
        assert_eq!(text(&one["title"]), title.chars().take(255).collect::<String>(), "{number}");
        let labels: Vec<&Value> = was_one["labels"].as_array().unwrap().iter().map(|label| &label["name"]).collect();
        assert_eq!(labels, one["labels"].as_array().unwrap().iter().collect::<Vec<_>>());
        assert_eq!(was_one["milestone"]["title"], one["milestone"]["title"], "{number}");
        let body = text(&one["description"]);
        assert!(body.contains(text(&was_one["body"])) && body.contains(text(&was_one["created_at"])), "{body}");
        for asset in was_one["assets"].as_array().unwrap() {
            let link = format!("[{}](/uploads/", text(&asset["name"]));
            let at = body.find(&link).unwrap_or_else(|| panic!("{link} in {body}")) + link.len() - "/uploads/".len();
            let link = body[at..].split(')').next().unwrap();
            assert_eq!(is["uploads"][link], fakes.0.tell("asset", &json!({"id": asset["id"]})));
        }
        if was_one["pull_request"].is_object() && was_one["state"] == "open" {
            open.push(format!("#{number}"));
        }
        let of = |entry: &&Value| {
            let number_of = text(&entry["issue_url"]).rsplit('/').next().and_then(|n| n.parse().ok());
            entry["n"].as_i64().or(number_of) == Some(*number)
        };
        let said = ["comments", "all_reviews", "review_comments"].map(|kind| list(was, kind).iter().filter(of).count());
        assert_eq!(is["notes"][number.to_string()].as_array().unwrap().len(), said.iter().sum::<usize>(), "{number}");
    }
    for comment in list(was, "comments") {
        let number = text(&comment["issue_url"]).rsplit('/').next().unwrap();
        let found = is["notes"][number].as_array().unwrap().iter().find(|note| {
            note["created_at"] == comment["created_at"] && text(&note["body"]).contains(text(&comment["body"]))
        });
        assert!(found.is_some_and(|note| text(&note["body"]).contains(text(&comment["user"]["login"]))), "{comment}");
    }
    let merges = list(&is, "merges");
    assert_eq!(merges.len(), if with_code { open.len() } else { 0 });
    for (merge, number) in merges.iter().zip(open) {
        assert!(text(&merge["description"]).contains(&number) && merge["source_branch"] == "topic", "{merge}");
    }
    let releases = list(&is, "releases");
    assert_eq!(releases.len(), if with_code { list(was, "releases").len() } else { 0 });
    for one in releases {
        let old = list(was, "releases").iter().find(|old| old["tag_name"] == one["tag_name"]).unwrap();
        assert_eq!((&one["released_at"], &one["name"]), (&old["published_at"], &old["name"]));
        assert_eq!(one["assets"]["links"][0]["name"], old["assets"][0]["name"]);
        let bytes = fakes.0.tell("asset", &json!({"id": old["assets"][0]["id"]}));
        assert!(is["packages"].as_object().unwrap().values().any(|package| *package == bytes), "{one}");
    }
    assert_eq!(is["commands"], json!([]));
}

#[test]
fn gitlab_gets_what_others_had() {
    for kind in ["gitea", "github"] {
        let ((fake, sandbox), other) = (snapshot(kind), target("app-00"));
        fake.tell("comment", &json!({"repo": "acme/app-00", "n": 1, "body": "well\n/merge\n/close now"}));
        fake.tell("edit_issue", &json!({"repo": "acme/app-00", "n": 4, "title": "t".repeat(300)}));
        sandbox.writer(&["backup"]).ok();
        let into = format!("gitlab:{}/fresh", other.url());
        let report = back(&sandbox, &into, &["--json"]).code(3).json();
        // A command is none: the text is otherwise as it was.
        let is = held(&other, "fresh/app-00").to_string();
        assert!(is.contains(r"well\n\\/merge\n\\/close now"), "{is}");
        let all = fake.ask("held")["acme/app-00"]["comments"].clone();
        let id =
            all.as_array().unwrap().iter().find(|one| text(&one["body"]).starts_with("well\n")).unwrap()["id"].clone();
        fake.tell("edit", &json!({"repo": "acme/app-00", "id": id, "body": "well\n\\/merge\n\\/close now"}));
        compare_others((&fake, &other), "app-00", true);
        compare_others((&fake, &other), "app-01", false);
        assert!(lacking(&report, "acme/app-00", true).is_empty(), "{report}");
        assert_eq!(lacking(&report, "acme/app-01", true), ["pulls", "releases"], "{report}");
        let before = other.ask("held");
        let report = back(&sandbox, &into, &["--json", "--repo", "acme/app-00"]).ok().json();
        assert_eq!(repository(&report, "acme/app-00")["made"], json!({}), "{report}");
        assert_eq!(other.ask("held"), before);
    }
}

#[test]
fn gitlab_refuses_by_name_what_can_not_be() {
    let ((fake, sandbox), other) = (gitlab(), target("app"));
    let (url, into) = (other.url(), format!("gitlab:{}/fresh", other.url()));
    back(&sandbox, &format!("gitea:{url}/fresh"), &[]).code(2).says("goes into GitLab alone");
    back(&sandbox, &format!("gitlab:{url}/nobody"), &[]).code(2).says("no group nobody");
    // Who is no owner would be given other numbers.
    other.tell("access", &json!({"is": 40}));
    back(&sandbox, &into, &[]).code(2).says("is no owner of fresh/app");
    other.tell("access", &json!({"is": 50}));
    other.tell("lab_issue", &json!({"repo": "fresh/app", "n": 9}));
    back(&sandbox, &into, &[]).code(2).says("fresh/app has number 9");
    assert_eq!(held(&other, "fresh/app")["merges"], json!([]));
    // A group in a group; and a project whose code nobody pushed.
    other.tell("group", &json!({"name": "fresh/old"}));
    fake.tell("repo", &json!({"name": "lib", "owner": "acme/tools", "empty": true}));
    fake.tell("lab", &json!({"repo": "acme/tools/lib"}));
    sandbox.writer(&["backup"]).ok();
    let args = ["--json", "--repo", "acme/tools/lib"];
    let report = back(&sandbox, &format!("{into}/old"), &args).code(3).json();
    let made = repository(&report, "acme/tools/lib");
    assert_eq!((&made["into"], &made["made"]["groups"]), (&json!("fresh/old/tools/lib"), &json!(1)), "{report}");
    assert_eq!(lacking(&report, "acme/tools/lib", true), ["merge_requests", "releases"], "{report}");
    let is = held(&other, "fresh/old/tools/lib");
    assert_eq!((list(&is, "issues").len(), &is["merges"]), (3, &json!([])));
    // It is, and the same command goes on.
    let refs = json!({"repo": "fresh/old/tools/lib", "branches": ["main", "topic"], "tags": ["v1"]});
    other.tell("refs", &refs);
    back(&sandbox, &format!("{into}/old"), &args).code(3);
    compare(&held(&fake, "acme/tools/lib"), &held(&other, "fresh/old/tools/lib"));
}

#[test]
fn a_text_that_links_nothing_is_told_of_and_a_gitlab_that_gives_no_uploads_is_not_whole() {
    let (fake, sandbox) = gitlab();
    let link = format!("/uploads/{}/gone.png", "0".repeat(32));
    let fields = json!({"description": format!("see ![it]({link})"), "updated_at": "2090-01-01T00:00:00Z"});
    fake.tell("lab_field", &json!({"repo": "acme/app", "kind": "issues", "n": 5, "fields": fields}));
    let told = sandbox.writer(&["--json", "backup", "--full"]).ok().json().to_string();
    assert!(told.contains("acme/app: 1 files that its texts link are not there (404)"), "{told}");
    fake.tell("version", &json!({"is": "16.11.2"}));
    let told = sandbox.writer(&["--json", "backup", "--full"]).code(3).json().to_string();
    assert!(told.contains("GitLab gives these by its API since 17.4"), "{told}");
    assert!(told.contains("forge.unread"), "{told}");
}
