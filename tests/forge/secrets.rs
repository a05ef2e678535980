//! G8 for forges: no token of any kind, and no key of an app, in what is said, in arguments and environments of children, in the
//! vault, or in what is restored.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, process::Command};

use serde_json::json;

use crate::{
    app::installed,
    fake::{Fake, TOKEN, holding, restored},
    round_trip::repository,
    sandbox::{Run, Sandbox},
};

/// Has git written down how it is called, and with which variables.
fn watch(sandbox: &Sandbox) -> (PathBuf, PathBuf) {
    let (bin, seen) = (sandbox.path("bin"), sandbox.path("seen"));
    fs::create_dir(&bin).unwrap();
    let real = Command::new("sh").args(["-c", "command -v git"]).output().unwrap();
    let real = String::from_utf8(real.stdout).unwrap();
    let script = format!("#!/bin/sh\n{{ echo \"$0 $*\"; env; }} >>{}\nexec {} \"$@\"\n", seen.display(), real.trim());
    fs::write(bin.join("git"), script).unwrap();
    fs::set_permissions(bin.join("git"), fs::Permissions::from_mode(0o755)).unwrap();
    (bin, seen)
}

#[test]
fn tokens_of_every_kind_are_shown_to_nobody() {
    let place = tempfile::tempdir().unwrap();
    for name in ["app-00", "app-01"] {
        repository(place.path(), name);
    }
    for (kind, by_app) in [("gitea", false), ("gitlab", false), ("github", false), ("github", true)] {
        let fake = Fake::small(Some(place.path()));
        let sandbox = if by_app { installed(&fake, 3600, "") } else { fake.vault(kind, "") };
        let (bin, seen) = watch(&sandbox);
        let run = |args: &[&str]| -> Run {
            let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
            let mut command = sandbox.command();
            command.env("PATH", path).env("RUST_LOG", "trace").env("RUST_BACKTRACE", "1");
            sandbox.finish(command.arg("--config").arg(sandbox.config()).args(args))
        };
        let mut said = String::new();
        let mut note = |run: Run| said.extend([run.out(), run.stderr]);
        note(run(&["-vv", "backup"]).ok());
        note(run(&["--json", "-vv", "backup"]).ok());
        note(run(&["-vv", "backup", "--dry-run"]));
        // A server that repeats the token in what it says of a failure.
        fake.tell("repeat", &json!({ "path": "/labels" }));
        note(run(&["--json", "-vv", "backup", "--full"]).code(3));
        restored(&sandbox, "out");
        said.push_str(&fs::read_to_string(&seen).unwrap());
        assert!(said.contains("/proc/"), "git was called through this program");
        let mut secrets: Vec<String> = serde_json::from_value(fake.ask("app_tokens")).unwrap();
        let own = if by_app {
            let pem = fs::read_to_string(sandbox.path("etc/app.pem")).unwrap();
            secrets.push(pem.lines().nth(3).unwrap().to_owned());
            "etc/app.pem"
        } else {
            secrets.push(TOKEN.to_owned());
            "etc/forge-token"
        };
        for secret in &secrets {
            assert!(!said.contains(secret.as_str()), "{kind} shows {secret}");
            let elsewhere: Vec<PathBuf> = holding(&sandbox.path(""), secret.as_bytes())
                .into_iter()
                .filter(|path| *path != sandbox.path(own))
                .collect();
            assert!(elsewhere.is_empty(), "{kind}: {secret} in {elsewhere:?}");
        }
        assert!(!said.contains("eyJhbGciOiJSUzI1NiI"), "a word that an app signed is shown");
    }
}
