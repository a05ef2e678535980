//! What the writer knows of its own: headers that it did not make, and what vanished.

use std::{fs, path::Path};

use serde_json::Value;

use crate::sandbox::{Run, Sandbox, noise};

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Puts `from` in the place of `to`.
fn replace(from: &Path, to: &Path) {
    fs::remove_dir_all(to).unwrap();
    copy(from, to);
}

fn backup(sandbox: &Sandbox, seed: u64, more: &[&str]) -> Run {
    let args = [&["backup", "--name", "x", "--stdin", "--json"], more].concat();
    sandbox.writer_with(&args, &noise(100_000, seed))
}

/// Fails unless a snapshot was made, and what is said besides has these codes.
fn told(run: Run, codes: &[&str]) -> Value {
    let document = run.code(if codes.is_empty() { 0 } else { 5 }).json();
    assert_eq!(document["result"]["snapshots"].as_array().unwrap().len(), 1);
    let found: Vec<&str> =
        document["findings"].as_array().unwrap().iter().map(|f| f["code"].as_str().unwrap()).collect();
    assert_eq!(found, codes, "{document}");
    document
}

#[test]
fn headers_that_the_writer_did_not_make_are_told_until_somebody_knows_of_them() {
    let sandbox = Sandbox::with_vault();
    let (state, aside) = (sandbox.path("etc/state"), sandbox.path("aside"));
    told(backup(&sandbox, 1, &[]), &[]);
    copy(&state, &aside);
    // Somebody with the same key and another memory, as far as the host can tell.
    told(backup(&sandbox, 2, &[]), &[]);
    replace(&aside, &state);
    let document = told(backup(&sandbox, 3, &[]), &["writer.stranger"]);
    assert_eq!(document["error"]["kind"], "tampered");
    assert!(
        document["findings"][0]["object"].as_str().unwrap().starts_with("snapshots/writer/0000000002-"),
        "{document}"
    );
    told(backup(&sandbox, 4, &[]), &["writer.stranger"]);
    let known = backup(&sandbox, 5, &["--acknowledge"]).ok().json();
    assert_eq!(known["findings"][0]["severity"], "info");
    told(backup(&sandbox, 6, &[]), &[]);

    // A new catalog takes what is there, and says so once.
    fs::remove_dir_all(&state).unwrap();
    let document = backup(&sandbox, 7, &[]).ok().json();
    let codes: Vec<&str> =
        document["findings"].as_array().unwrap().iter().map(|f| f["code"].as_str().unwrap()).collect();
    assert!(codes.contains(&"writer.adopted"), "{document}");
    told(backup(&sandbox, 8, &[]), &[]);
    sandbox.writer(&["catalog", "rebuild"]).ok();
    assert_eq!(backup(&sandbox, 9, &[]).ok().json()["findings"][0]["code"], "writer.adopted");
    told(backup(&sandbox, 10, &[]), &[]);
}

#[test]
fn what_the_writer_made_and_is_gone_is_told() {
    let sandbox = Sandbox::with_vault();
    let vault = sandbox.path("vault");
    told(backup(&sandbox, 1, &[]), &[]);
    fs::remove_dir_all(vault.join("packs")).unwrap();
    told(backup(&sandbox, 1, &[]), &["writer.vanished"]);
    let latest = ["restore", "latest", "--source", "x", "--to", "-"];
    assert_eq!(sandbox.reader(&latest).ok().stdout, noise(100_000, 1), "stored again");
    told(backup(&sandbox, 1, &[]), &[]);
    // The vault is set back to what it was.
    copy(&vault, &sandbox.path("aside"));
    told(backup(&sandbox, 2, &[]), &[]);
    replace(&sandbox.path("aside"), &vault);
    told(backup(&sandbox, 3, &[]), &["writer.vanished", "writer.vanished"]);
    // The next header names what is gone, so an auditor who remembers nothing misses it as well.
    let verified = sandbox.reader(&["verify", "--json"]).code(4).json();
    assert!(verified["findings"].to_string().contains("header.missing"), "{verified}");
    // All of its headers, with the records of their locks.
    fs::remove_dir_all(vault.join("snapshots")).unwrap();
    told(backup(&sandbox, 4, &[]), &["writer.vanished"]);
    assert_eq!(backup(&sandbox, 5, &["--acknowledge"]).ok().json()["findings"][0]["severity"], "info");
    for seed in 6..9 {
        told(backup(&sandbox, seed, &[]), &[]);
    }
}

#[test]
fn a_damaged_newest_header_in_a_directory_is_damage() {
    let sandbox = Sandbox::with_vault();
    sandbox.backup("x", b"one");
    sandbox.backup("x", b"two");
    let headers = fs::read_dir(sandbox.path("vault/snapshots/writer")).unwrap().map(|e| e.unwrap().path());
    let newest = headers.filter(|path| path.extension().is_some_and(|e| e == "json")).max().unwrap();
    let whole = fs::read(&newest).unwrap();
    let put = |bytes: &[u8]| {
        fs::remove_file(&newest).unwrap();
        fs::write(&newest, bytes).unwrap();
    };
    let flipped: Vec<u8> = whole.iter().enumerate().map(|(at, byte)| byte ^ u8::from(at == 100)).collect();
    for damaged in [&flipped[..], &whole[..whole.len() / 2], b""] {
        put(damaged);
        let document = sandbox.reader(&["verify", "--json"]).code(4).json();
        assert!(document["findings"].to_string().contains("header.damaged"), "{document}");
    }
    // Junk that nobody locked proves nothing.
    put(&whole);
    let junk = newest.with_file_name(format!("0000000003-{}.json", "ab".repeat(32)));
    fs::write(junk, b"junk").unwrap();
    let document = sandbox.reader(&["verify", "--json"]).ok().json();
    assert!(document["findings"].to_string().contains("header.foreign"), "{document}");
}
