//! LFS objects of a forge's repositories: git brings pointers to them, and the forge gives them by a protocol of their own.

use std::{fs, path::Path, process::Command};

use serde_json::json;

use crate::{
    back::{repository as report_of, token_file},
    fake::{Fake, TOKEN, holding},
};

/// What a pointer to an object says.
pub fn pointer(id: &str, size: usize) -> String {
    format!("version https://git-lfs.github.com/spec/v1\noid sha256:{id}\nsize {size}\n")
}

/// A repository behind the forge with these pointers.
pub fn repository(dir: &Path, name: &str, pointers: &[String]) {
    let git = |args: &[&str]| {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=x", "-c", "user.email=x@example.org"]).args(args);
        assert!(command.output().unwrap().status.success(), "{args:?}");
    };
    let (work, bare) = (dir.join(format!("work-{name}")), dir.join(format!("acme/{name}.git")));
    git(&["init", "-q", "-b", "main", work.to_str().unwrap()]);
    fs::write(work.join(".gitattributes"), "*.bin filter=lfs diff=lfs merge=lfs -text\n").unwrap();
    for (at, text) in pointers.iter().enumerate() {
        fs::write(work.join(format!("{at}.bin")), text).unwrap();
    }
    // Whether a git has filters of LFS or not: these files are pointers.
    let plain = ["-c", "filter.lfs.clean=cat", "-c", "filter.lfs.smudge=cat", "-c", "filter.lfs.process=", "-c"];
    git(&[&plain[..], &["filter.lfs.required=false", "-C", work.to_str().unwrap(), "add", "."]].concat());
    git(&["-C", work.to_str().unwrap(), "commit", "-q", "-m", "first"]);
    git(&["clone", "-q", "--bare", work.to_str().unwrap(), bare.to_str().unwrap()]);
}

#[test]
fn lfs_objects_come_with_the_code_once() {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("acme")).unwrap();
    let fake = Fake::start(&["--repos", "1", "--git", place.path().to_str().unwrap()]);
    let data = "large ".repeat(1000);
    let object = |given| fake.tell("lfs", &given).as_str().unwrap().to_owned();
    let id = object(json!({"repo": "acme/app", "data": data}));
    // One that the server has not, and one of which it gives something else.
    let (gone, other) = ("0".repeat(64), object(json!({"repo": "acme/app", "data": "right", "is": "wrong"})));
    let pointers = [pointer(&id, data.len()), pointer(&gone, 3), pointer(&other, 5)];
    repository(place.path(), "app", &pointers);
    for kind in ["gitea", "github", "gitlab"] {
        let sandbox = fake.vault(kind, "");
        fake.ask("log");
        let told = sandbox.writer(&["--json", "-vv", "backup", "acme.acme.app"]).ok();
        let text = format!("{}{}", told.out(), told.stderr);
        assert!(text.contains(&format!("the LFS object {gone} (3 bytes)")), "{text}");
        assert!(text.contains("its server does not give it (404 Object does not exist)"), "{text}");
        assert!(text.contains(&format!("the LFS object {other} is damaged")), "{text}");
        assert!(!text.contains(TOKEN));
        let got = |log: &str| log.matches(&format!("objects/{id}")).count();
        assert_eq!(got(&fake.ask("log").to_string()), 1);
        let (to, identity) = (sandbox.path("code"), sandbox.identity().display().to_string());
        let args = ["restore", "latest", "--source", "acme.acme.app", "-i", &identity, "--to", to.to_str().unwrap()];
        sandbox.reader(&args).ok();
        let path = format!("acme.acme.app.git/lfs/objects/{}/{}/{id}", &id[..2], &id[2..4]);
        assert_eq!(fs::read_to_string(to.join(path)).unwrap(), data);
        // The next run has it from the last, and asks for the others again.
        sandbox.writer(&["backup", "acme.acme.app"]).ok();
        let log = fake.ask("log").to_string();
        assert!(got(&log) == 0 && log.contains("objects/batch"), "{log}");
        assert_eq!(holding(&sandbox.path(""), TOKEN.as_bytes()), [sandbox.path("etc/forge-token")]);
    }
}

/// What git says that the refs of a repository are.
fn refs(dir: &Path) -> String {
    let told = Command::new("git").arg("--git-dir").arg(dir).args(["for-each-ref"]).output().unwrap();
    String::from_utf8(told.stdout).unwrap()
}

#[test]
fn code_and_lfs_objects_go_back_into_a_forge() {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("acme")).unwrap();
    let fake = Fake::start(&["--repos", "1", "--git", place.path().to_str().unwrap()]);
    let data = "large ".repeat(1000);
    let id = fake.tell("lfs", &json!({"repo": "acme/app", "data": data})).as_str().unwrap().to_owned();
    repository(place.path(), "app", &[pointer(&id, data.len())]);
    let sandbox = fake.vault("gitea", "");
    sandbox.writer(&["backup", "acme.acme.app"]).ok();
    token_file(&sandbox);
    let (token, identity) =
        (format!("file:{}", sandbox.path("back-token").display()), sandbox.identity().display().to_string());
    let back = |into: &str| {
        let args =
            ["restore", "latest", "--source", "acme.acme.app", "-i", &identity, "--into", into, "--token", &token];
        sandbox.reader(&[&args[..], &["--json", "-vv"]].concat())
    };
    for kind in ["gitea", "github", "gitlab"] {
        let there = tempfile::tempdir().unwrap();
        let other = Fake::start(&["--owner", "fresh", "--git", there.path().to_str().unwrap()]);
        let into = format!("{kind}:{}/fresh/app", other.url());
        let run = back(&into).ok();
        assert!(!format!("{}{}", run.out(), run.stderr).contains(TOKEN), "{}", run.stderr);
        let made = json!({"lfs_objects": 1, "refs": 1, "repository": 1});
        assert_eq!(report_of(&run.json(), "acme.acme.app")["made"], made);
        let bare = there.path().join("fresh/app.git");
        assert_eq!(refs(&bare), refs(&place.path().join("acme/app.git")));
        assert_eq!(other.ask("lfs_held"), json!({format!("fresh/app {id}"): data}));
        let report = back(&into).ok().json();
        assert_eq!(report_of(&report, "acme.acme.app")["made"], json!({}), "{report}");
        // What somebody pushed there meanwhile stays.
        fs::create_dir_all(there.path().join("acme")).unwrap();
        repository(there.path(), "other", &[]);
        let main = fs::read(there.path().join("work-other/.git/refs/heads/main")).unwrap();
        let fetched = Command::new("git")
            .arg("--git-dir")
            .arg(&bare)
            .args(["fetch", "-q", there.path().join("work-other").to_str().unwrap(), "+main:main"])
            .status()
            .unwrap();
        assert!(fetched.success());
        let report = back(&into).code(3).json();
        assert_eq!(report_of(&report, "acme.acme.app")["lacking"][0]["first"], json!(["refs/heads/main"]), "{report}");
        assert!(refs(&bare).as_bytes().starts_with(&main[..40]), "it was overwritten");
    }
    back(&format!("{}/fresh/app", fake.url())).code(2).says("which forge's API");
    back(&format!("gitlab:{}/app", fake.url())).code(2).says("names no repository with its owner");
}
