//! Drills of forges find what is planted: entries that went on the way, and a file that is damaged in the vault.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    fake::Fake,
    sandbox::{Run, Sandbox},
};

pub fn drill(sandbox: &Sandbox) -> Run {
    let tmp = sandbox.path("tmp");
    fs::create_dir_all(&tmp).unwrap();
    for open in [sandbox.path(""), tmp.clone()] {
        fs::set_permissions(open, fs::Permissions::from_mode(0o711)).unwrap();
    }
    let mut command = sandbox.command();
    command.env("TMPDIR", &tmp).arg("--config").arg(sandbox.config()).args(["--json", "drill", "acme", "-i"]);
    sandbox.finish(command.arg(sandbox.identity()))
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn entries_that_went_between_the_count_and_the_stream_are_found() {
    let fake = Fake::small(None);
    let sandbox = fake.vault("gitlab", "code = false");
    // It is held up while the second repository is read: the first one is counted by then.
    let mut faults = vec![Value::Null; 23];
    faults.push(json!({"kind": "status", "status": 429, "headers": {"Retry-After": "4"}}));
    fake.tell("faults", &json!({ "faults": faults }));
    let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
    command.env("HOME", sandbox.path("home")).arg("--config").arg(sandbox.config()).arg("backup");
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let (until, mut calls) = (Instant::now() + Duration::from_mins(1), 0);
    while calls < 24 {
        assert!(Instant::now() < until && child.try_wait().unwrap().is_none(), "it is held up after {calls} calls");
        std::thread::sleep(Duration::from_millis(50)); // until the forge was asked so often
        calls += fake.calls();
    }
    let memory = files(&sandbox.path("")).into_iter().find(|path| {
        path.to_string_lossy().contains("/forge/acme-") && path.extension().is_some_and(|end| end == "sqlite")
    });
    let db = rusqlite::Connection::open(memory.expect("the memory is there")).unwrap();
    db.busy_timeout(Duration::from_secs(5)).unwrap();
    let gone = "DELETE FROM entry WHERE rowid = (SELECT max(rowid) FROM entry WHERE kind = 'labels' AND repo = (SELECT min(repo) FROM entry WHERE repo > 0))";
    assert_eq!(db.execute(gone, []).unwrap(), 1);
    drop(db);
    assert!(child.wait().unwrap().success());
    let run = drill(&sandbox).code(6);
    let told = run.json().to_string();
    assert!(told.contains("entries of acme/app-00/labels.jsonl"), "{told}");
}

#[test]
fn a_damaged_attachment_is_found() {
    let fake = Fake::start(&["--repos", "1", "--issues", "2"]);
    let mut word = 88_172_645_463_325_252_u64;
    let data: String = (0..400_000)
        .map(|_| {
            word ^= word << 13;
            word ^= word >> 7;
            word ^= word << 17;
            char::from(b'!' + u8::try_from(word % 90).unwrap())
        })
        .collect();
    fake.tell("release", &json!({"repo": "acme/app", "tag": "v1", "data": data}));
    let sandbox = fake.vault("gitea", "code = false");
    sandbox.writer(&["backup"]).ok();
    drill(&sandbox).ok();
    let largest =
        files(&sandbox.path("vault")).into_iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    let mut bytes = fs::read(&largest).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::set_permissions(&largest, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&largest, bytes).unwrap();
    let run = drill(&sandbox);
    assert_eq!(run.code, 6, "{} {}", run.out(), run.stderr);
    assert!(run.out().contains("damaged") || run.stderr.contains("damaged"), "{} {}", run.out(), run.stderr);
}
