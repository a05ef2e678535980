//! Who is told of runs: the log, for people, for machines and in the journal; and webhooks.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
};

use serde_json::Value;
use strongroom::codec::mac;

use crate::{
    http::{Backend, Request, Response, Server},
    lab::with_shop,
    sandbox::{Run, Sandbox},
};

const SECRET: &[u8] = b"0123456789abcdef-of-a-webhook";

/// Somebody who is told: what came in, and what is answered.
struct Receiver(Arc<Mutex<Vec<Request>>>, u16);

impl Backend for Receiver {
    fn answer(&self, request: &Request) -> io::Result<Response> {
        self.0.lock().unwrap().push(request.clone());
        Ok(Response::new(self.1, "OK"))
    }
}

/// The document of a letter whose signature is right.
fn read(request: &Request) -> Value {
    let header = |name: &str| request.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).unwrap().1.clone();
    let tag = hex::decode(header("x-strongroom-signature")).unwrap();
    assert!(mac::verifies(SECRET, &[header("x-strongroom-timestamp").as_bytes(), b".", &request.body], &tag));
    serde_json::from_slice(&request.body).unwrap()
}

fn hidden(sandbox: &Sandbox, name: &str, bytes: &[u8]) {
    let path = sandbox.path(&format!("etc/{name}"));
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn webhook(name: &str, url: &str, more: &str) -> String {
    format!("[[webhook]]\nname = \"{name}\"\nurl = \"{url}\"\nsecret = \"{name}.secret\"\n{more}")
}

fn moved(sandbox: &Sandbox, from: &str, to: &str) {
    fs::rename(sandbox.path(from), sandbox.path(to)).unwrap();
}

#[test]
fn a_webhook_is_told_of_runs_in_signed_letters_that_say_no_words() {
    let sandbox = with_shop("");
    let calls = Arc::new(Mutex::new(Vec::new()));
    let server = Server::start(Receiver(Arc::clone(&calls), 200));
    hidden(&sandbox, "ops", b"unused");
    hidden(&sandbox, "ops.secret", SECRET);
    let on = "on = [\"start\", \"success\", \"failure\"]\n";
    let plain = fs::read_to_string(sandbox.config()).unwrap();
    sandbox.configure(&webhook("ops", &format!("{}/path-that-is-a-secret", server.endpoint()), on));
    sandbox.writer(&["backup", "shop"]).ok();
    sandbox.writer(&["verify"]).ok();
    let told: Vec<Value> = std::mem::take(&mut *calls.lock().unwrap()).iter().map(read).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!((&told[0]["phase"], &told[0]["command"]), (&"start".into(), &"backup".into()));
    let end = &told[1];
    assert_eq!((&end["phase"], &end["exit_code"], &end["error"]), (&"success".into(), &0.into(), &Value::Null));
    assert_eq!(end["snapshots"][0]["source"], "shop");
    assert!(end["snapshots"][0]["id"].as_str().is_some_and(|id| id.len() == 64), "{end}");
    assert_eq!(end["vault_id"].as_str().map(str::len), Some(64), "{end}");

    // A failure: its kind, and nothing of its words, which name paths.
    moved(&sandbox, "shop.db", "away.db");
    sandbox.writer(&["backup", "shop"]).code(1);
    moved(&sandbox, "away.db", "shop.db");
    let told: Vec<Value> = std::mem::take(&mut *calls.lock().unwrap()).iter().map(read).collect();
    assert_eq!((&told[1]["phase"], &told[1]["error"]), (&"failure".into(), &"source".into()));
    assert_eq!(told[1]["failed"], serde_json::json!(["shop"]));
    assert!(!told[1].to_string().contains("shop.db"), "{}", told[1]);

    // Only failures are told, if nothing is said.
    fs::write(sandbox.config(), format!("{plain}{}", webhook("ops", &server.endpoint(), ""))).unwrap();
    sandbox.writer(&["backup", "shop"]).ok();
    assert!(calls.lock().unwrap().is_empty());
    drop(server);

    // Whoever refuses, is away, or has no secret that is one: a warning without the URL, and the backup is made.
    let refusing = Server::start(Receiver(Arc::clone(&calls), 500));
    hidden(&sandbox, "short.secret", b"short");
    for (name, url, why) in [
        ("ops", format!("{}/path-that-is-a-secret", refusing.endpoint()), "it answered 500"),
        ("short", refusing.endpoint(), "shorter than 16 bytes"),
        ("none", refusing.endpoint(), "can't read the secret"),
    ] {
        let text = webhook(name, &url, "on = [\"success\"]\ntimeout = \"1s\"\n");
        fs::write(sandbox.config(), format!("{plain}{text}")).unwrap();
        let run = sandbox.writer(&["backup", "shop", "--json"]).ok();
        let document = run.json();
        let found = document["findings"].as_array().unwrap().iter().find(|one| one["code"] == "webhook.failed");
        assert!(found.unwrap()["message"].as_str().unwrap().contains(why), "{}", run.out());
        assert!(!format!("{}{}", run.out(), run.stderr).contains("path-that-is-a-secret"));
    }
    assert_eq!(calls.lock().unwrap().len(), 3, "it is tried three times");

    for (text, part) in [
        (webhook("ops", "alerts.example.org", ""), "a webhook is a URL"),
        ("[[webhook]]\nname = \"a\"\nurl = \"https://a.example\"\n".to_owned(), "name the file of the secret"),
        (webhook("ops", "https://a.example", "on = []\n"), "at least one"),
        (webhook("ops", "https://a.example", "on = [\"end\"]\n"), "end"),
        (webhook("ops", "https://a.example", "commands = [\"restore\"]\n"), "has no webhooks"),
        (webhook("a", "https://a.example", "") + &webhook("a", "https://b.example", ""), "two webhooks called a"),
    ] {
        fs::write(sandbox.config(), format!("{plain}{text}")).unwrap();
        sandbox.writer(&["backup", "shop"]).code(2).says(part);
    }
}

#[test]
fn the_log_is_an_event_a_line_for_machines() {
    let sandbox = with_shop("");
    sandbox.configure("[[hook]]\nname = \"bad\"\non = \"pre\"\ncommand = [\"/bin/false\"]\n");
    let events = |run: &Run| -> Vec<Value> {
        run.stderr.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    };
    let run = sandbox.writer(&["backup", "shop", "--log-format", "json"]).ok();
    assert!(run.out().starts_with("shop: snapshot "), "the result is for people: {}", run.out());
    let told = events(&run);
    let hook = told.iter().find(|event| event["code"] == "hook.failed").unwrap();
    assert_eq!(
        (&hook["level"], &hook["command"], &hook["severity"]),
        (&"warning".into(), &"backup".into(), &"warning".into())
    );
    assert!(
        hook["timestamp"].as_str().unwrap().ends_with('Z') && hook["message"].as_str().unwrap().contains("/bin/false")
    );

    // By the environment too, and in detail with fields of their own.
    moved(&sandbox, "shop.db", "away.db");
    let mut command = sandbox.command();
    command.env("STRONGROOM_LOG_FORMAT", "json").arg("--config").arg(sandbox.config());
    let run = sandbox.finish(command.args(["backup", "shop", "-v"])).code(1);
    let told = events(&run);
    let failed = told.last().unwrap();
    assert_eq!(
        (&failed["level"], &failed["kind"], &failed["exit_code"]),
        (&"error".into(), &"source".into(), &1.into())
    );
    assert!(failed["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{failed}");
    assert!(told.iter().any(|event| event["level"] == "info" && event.get("phase").is_some()), "{told:?}");
    // An option beats it.
    let mut command = sandbox.command();
    command.env("STRONGROOM_LOG_FORMAT", "json").arg("--config").arg(sandbox.config());
    let run = sandbox.finish(command.args(["backup", "shop", "--log-format", "text"])).code(1);
    assert!(run.stderr.contains("\nerror: "), "{}", run.stderr);
    sandbox.writer(&["backup", "--log-format", "xml"]).code(2).says("xml");
}

/// Runs a backup whose standard error is a file, which the environment says is the journal's.
fn in_the_journal(sandbox: &Sandbox, is: bool) -> String {
    let path = sandbox.path("journal");
    let file = fs::File::create(&path).unwrap();
    let meta = file.metadata().unwrap();
    let inode = if is { meta.ino() } else { meta.ino() + 1 };
    let config = sandbox.config();
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("strongroom"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", sandbox.path("home"));
    command.env("JOURNAL_STREAM", format!("{}:{inode}", meta.dev()));
    command.arg("--config").arg::<&Path>(config.as_ref()).args(["backup", "shop", "-v"]);
    assert!(!command.stdout(Stdio::null()).stderr(file).status().unwrap().success());
    fs::read_to_string(path).unwrap()
}

#[test]
fn the_journal_gets_priorities() {
    let sandbox = with_shop("");
    sandbox.configure("[[hook]]\nname = \"bad\"\non = \"pre\"\ncommand = [\"/bin/false\"]\n");
    moved(&sandbox, "shop.db", "away.db");
    let text = in_the_journal(&sandbox, true);
    assert!(text.lines().all(|line| line.starts_with('<')), "{text}");
    for start in ["<3>error: ", "<3>hint: ", "<4>warning: hook bad (pre) failed: ", "<6>"] {
        assert!(text.lines().any(|line| line.starts_with(start)), "no {start} in:\n{text}");
    }
    // Another file than the one that is named there is none of the journal's.
    let text = in_the_journal(&sandbox, false);
    assert!(!text.contains('<') && text.contains("error: "), "{text}");
}
