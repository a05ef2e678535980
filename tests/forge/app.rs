//! Tokens of an app's installation: got by its key, renewed before they end, for calls and for git, and shown to nobody.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use serde_json::{Value, json};

use crate::{
    fake::{Fake, holding, lines, restored},
    round_trip::repository,
    sandbox::Sandbox,
};

const ID: &str = "Iv23.app-of-acme";

/// A new key in `path`, and its modulus.
fn key(path: &Path) -> String {
    let openssl = |args: &[&str]| {
        let done = Command::new("openssl").args(args).output().expect("openssl is there");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    let path_text = path.to_str().unwrap();
    openssl(&["genrsa", "-traditional", "-out", path_text, "2048"]);
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    let modulus = openssl(&["rsa", "-in", path_text, "-noout", "-modulus"]);
    modulus.trim().strip_prefix("Modulus=").unwrap().to_owned()
}

/// A source that logs in as an app whose tokens last for so many seconds.
pub fn installed(fake: &Fake, seconds: u64, more: &str) -> Sandbox {
    let sandbox = fake.vault("github", more);
    let modulus = key(&sandbox.path("etc/app.pem"));
    fs::remove_file(sandbox.path("etc/forge-token")).unwrap();
    fake.tell("app", &json!({"n": modulus, "id": ID, "installation": 77, "seconds": seconds}));
    let text = fs::read_to_string(sandbox.config()).unwrap();
    let app = format!("app = {{ id = \"{ID}\", installation = 77, key = \"file:app.pem\" }}");
    fs::write(sandbox.config(), text.replace("token = \"file:forge-token\"", &app)).unwrap();
    sandbox
}

/// That no token that was given, no part of the key and no word that was signed stands anywhere but in the key's own file.
fn shown_to_nobody(fake: &Fake, sandbox: &Sandbox, said: &str) -> usize {
    let tokens: Vec<String> = serde_json::from_value(fake.ask("app_tokens")).unwrap();
    let pem = fs::read_to_string(sandbox.path("etc/app.pem")).unwrap();
    let inner = pem.lines().nth(3).unwrap().to_owned();
    for secret in tokens.iter().chain([&inner]) {
        assert!(!said.contains(secret.as_str()), "{secret} in {said}");
        let found = holding(&sandbox.path(""), secret.as_bytes());
        let wanted = if *secret == inner { vec![sandbox.path("etc/app.pem")] } else { Vec::new() };
        assert_eq!(found, wanted, "{secret}");
    }
    // What a word that is signed begins with: the algorithm, in its coding.
    assert!(!said.contains("eyJhbGciOiJSUzI1NiI"), "{said}");
    tokens.len()
}

#[test]
fn tokens_are_renewed_while_a_run_lasts_and_when_they_are_taken_away() {
    let fake = Fake::small(None);
    let sandbox = installed(&fake, 4, "code = false");
    let slow = json!({"kind": "status", "status": 429, "headers": {"Retry-After": "2"}});
    let mut faults = vec![Value::Null; 8];
    for _ in 0..3 {
        faults.extend([slow.clone(), Value::Null, Value::Null]);
    }
    fake.tell("faults", &json!({ "faults": faults }));
    let run = sandbox.writer(&["--json", "-vv", "backup"]).ok();
    let first = shown_to_nobody(&fake, &sandbox, &format!("{}{}", run.out(), run.stderr));
    assert!(first >= 2, "{first} tokens for a run that outlasts one");
    let dir = restored(&sandbox, "one");
    assert_eq!(lines(&dir.join("acme/acme/app-00/issues.jsonl")).len(), 8);

    // One that is taken away within its time costs a refusal and no more.
    fake.tell("app", &json!({"n": modulus(&sandbox), "id": ID, "installation": 77, "seconds": 3600}));
    fake.tell("after", &json!({"path": "/orgs/acme/repos", "name": "revoke", "given": {}}));
    let run = sandbox.writer(&["--json", "-vv", "backup"]).ok();
    assert_eq!(shown_to_nobody(&fake, &sandbox, &format!("{}{}", run.out(), run.stderr)), first + 2);

    // A clock that is wrong by a day is put right by the forge's own.
    fake.tell("skew", &json!({"seconds": 86_400}));
    sandbox.writer(&["backup"]).ok();
    fake.tell("app", &json!({"n": modulus(&sandbox), "id": "another", "installation": 77, "seconds": 3600}));
    let run = sandbox.writer(&["-vv", "backup"]).code(1).says("belong together");
    shown_to_nobody(&fake, &sandbox, &run.stderr);
}

fn modulus(sandbox: &Sandbox) -> String {
    let path = sandbox.path("etc/app.pem");
    let done = Command::new("openssl").args(["rsa", "-noout", "-modulus", "-in"]).arg(path).output().unwrap();
    String::from_utf8(done.stdout).unwrap().trim().strip_prefix("Modulus=").unwrap().to_owned()
}

#[test]
fn git_logs_in_with_the_token_of_the_hour() {
    let place = tempfile::tempdir().unwrap();
    for name in ["app-00", "app-01"] {
        repository(place.path(), name);
    }
    let fake = Fake::small(Some(place.path()));
    let sandbox = installed(&fake, 8, "");
    // Each repository takes half a token's life.
    fake.tell("git_slow", &json!({"seconds": 1}));
    let run = sandbox.writer(&["--json", "-vv", "backup"]).ok();
    let tokens = shown_to_nobody(&fake, &sandbox, &format!("{}{}", run.out(), run.stderr));
    assert!(tokens >= 2, "{tokens} tokens");
    let told = run.json();
    assert_eq!(told["result"]["snapshots"].as_array().unwrap().len(), 3, "{told}");
}
