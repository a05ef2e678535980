//! A directory vault, damaged and verified through the program.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::sandbox::{Run, Sandbox, noise};

/// Codes of at least this severity that a run told.
fn codes(run: &Run) -> Vec<String> {
    let document: Value = run.json();
    let findings = document["findings"].as_array().unwrap();
    findings.iter().map(|f| f["code"].as_str().unwrap().to_owned()).collect()
}

/// The first file of the vault below `prefix` that is no record of a lock.
fn object(sandbox: &Sandbox, prefix: &str) -> PathBuf {
    let mut pending = vec![sandbox.path("vault")];
    let mut found = Vec::new();
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            pending.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_none_or(|e| e != "lock") {
            let relative = path.strip_prefix(sandbox.path("vault")).unwrap().to_str().unwrap();
            if relative.starts_with(prefix) {
                found.push(path);
            }
        }
    }
    found.sort();
    found.into_iter().next().unwrap_or_else(|| panic!("nothing below {prefix}"))
}

fn lock_of(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}.lock", path.display()))
}

fn write(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o444)).unwrap();
}

/// Puts the vault back as it was saved.
fn put_back(sandbox: &Sandbox) {
    let copy = |from: &str, to: &str| {
        let _ = Command::new("rm").arg("-rf").arg(sandbox.path(to)).status().unwrap();
        assert!(Command::new("cp").arg("-a").arg(sandbox.path(from)).arg(sandbox.path(to)).status().unwrap().success());
    };
    if sandbox.path("saved").exists() { copy("saved", "vault") } else { copy("vault", "saved") }
}

#[test]
fn every_damage_to_a_directory_is_found() {
    let sandbox = Sandbox::with_vault();
    sandbox.backup("x", &noise(300_000, 1));
    sandbox.backup("y", &noise(100_000, 2));
    sandbox.backup("x", &noise(310_000, 1));
    put_back(&sandbox);
    let verify = |depth: &str| sandbox.reader(&["verify", "--depth", depth, "--json"]);
    for depth in ["locks", "read", "decrypt"] {
        assert!(codes(&verify(depth).ok()).is_empty());
    }
    let kinds = [
        "vault.json",
        "keys/root-",
        "keys/epoch-",
        "members/",
        "evidence/",
        "snapshots/",
        "lists/",
        "indexes/",
        "packs/",
    ];
    for prefix in kinds {
        let data = matches!(prefix, "indexes/" | "packs/");
        for damage in ["deleted", "truncated", "flipped", "unlocked", "short", "junk"] {
            put_back(&sandbox);
            let path = object(&sandbox, prefix);
            let bytes = fs::read(&path).unwrap();
            let (exit, depth) = match damage {
                "deleted" => {
                    fs::remove_file(&path).unwrap();
                    (4, "locks")
                }
                "truncated" => {
                    write(&path, &bytes[..bytes.len() - 1]);
                    // Nobody signed the length of a document, and a document that says nothing any more is nobody's.
                    (if prefix == "evidence/" { 0 } else { 4 }, "locks")
                }
                "flipped" => {
                    let mut other = bytes.clone();
                    other[bytes.len() / 2] ^= 1;
                    write(&path, &other);
                    (if prefix == "evidence/" { 0 } else { 4 }, if data { "read" } else { "locks" })
                }
                "unlocked" => {
                    fs::remove_file(lock_of(&path)).unwrap();
                    (5, "locks")
                }
                "short" => {
                    let soon = br#"{"mode":"compliance","until":"2000-01-01T00:00:00Z"}"#;
                    write(&lock_of(&path), soon);
                    (5, "locks")
                }
                _ => {
                    let junk = path.parent().unwrap().join("junk");
                    fs::write(junk, b"junk").unwrap();
                    (0, "locks")
                }
            };
            let run = verify(depth);
            assert_eq!(run.code, exit, "{prefix} {damage}: {}{}", run.out(), run.stderr);
            assert!(!codes(&run).is_empty(), "{prefix} {damage}: {}", run.out());
            if damage == "deleted" && prefix != "vault.json" {
                assert!(codes(&run).contains(&"object.lost".to_owned()), "{prefix}: the record of its lock is there");
            }
            // What one depth finds, a deeper one does not forget.
            if depth == "locks" && matches!(damage, "deleted" | "unlocked") {
                assert_eq!(verify("read").code, exit, "{prefix} {damage}");
            }
        }
    }
}

#[test]
fn a_checkpoint_finds_a_vault_that_was_set_back() {
    let sandbox = Sandbox::with_vault();
    sandbox.backup("x", &noise(50_000, 1));
    put_back(&sandbox);
    sandbox.backup("x", &noise(50_000, 2));
    let file = sandbox.path("seen.json").display().to_string();
    let verify = |more: &[&str]| {
        let args = [&["verify", "--json", "--checkpoint", &file][..], more].concat();
        sandbox.reader(&args)
    };
    verify(&[]).ok();
    let seen: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(seen["heads"].as_array().unwrap().len(), 1);
    verify(&[]).ok();
    put_back(&sandbox);
    // Without a memory it is in good order.
    assert!(codes(&sandbox.reader(&["verify", "--json"]).ok()).is_empty());
    assert!(codes(&verify(&[]).code(4)).contains(&"checkpoint.lost".to_owned()));
    // A new snapshot does not make it well again, nor does looking twice.
    sandbox.backup("x", &noise(50_000, 3));
    assert!(codes(&verify(&["--acknowledge"]).code(4)).contains(&"checkpoint.lost".to_owned()));
    assert!(codes(&verify(&[]).code(4)).contains(&"checkpoint.lost".to_owned()));

    let other = Sandbox::with_vault();
    let run = other.reader(&["verify", "--checkpoint", &file]).code(2);
    assert!(run.stderr.contains("checkpoint") && run.stderr.contains("of vault"), "{}", run.stderr);
    fs::write(&file, "{}").unwrap();
    verify(&[]).code(2);
    assert_eq!(fs::read(&file).unwrap(), b"{}", "what is not a checkpoint is not overwritten");
    verify(&["--snapshot", "00000000"]).code(2);
}

#[test]
fn schedules_reports_and_evidence() {
    let sandbox = Sandbox::with_vault();
    sandbox.configure("[[source]]\nname = \"absent\"\nkind = \"path\"\npath = \"/nowhere\"\nevery = \"24h\"\n");
    sandbox.backup("x", &noise(50_000, 1));
    let run = sandbox.writer(&["verify", "--json"]).code(5);
    assert_eq!(codes(&run), ["source.absent"]);
    let fine = sandbox.reader(&["verify", "--json", "--expect", "x=24h"]).ok();
    let document = fine.json();
    assert_eq!(document["result"]["sources"][0]["every"], "1d");
    assert!(document["result"]["calls"]["list"].as_u64().unwrap() > 0);
    assert!(document["result"]["cost"].is_null() && !document["result"]["not_checked"].as_array().unwrap().is_empty());

    let path = |name: &str| sandbox.path(name).display().to_string();
    let (html, md, xml, json) = (path("a.html"), path("a.md"), path("a.xml"), path("a.json"));
    let reports = ["--report", &html, "--report", &md, "--report", &xml, "--report", &json];
    fs::remove_dir_all(sandbox.path("vault/packs")).unwrap();
    sandbox.reader(&[&["verify"][..], &reports].concat()).code(4);
    for (file, holds) in [(&html, "pack.missing"), (&md, "| error |"), (&xml, "<failure "), (&json, "\"pack.missing\"")]
    {
        let text = fs::read_to_string(file).unwrap();
        assert!(text.contains(holds), "{file}: {text}");
    }
    for wrong in [path("a.pdf"), path("nowhere/a.html")] {
        sandbox.reader(&["verify", "--report", &wrong]).code(2);
    }

    // A writer's key signs nothing; an owner's identity does, as the root.
    let run = sandbox.writer(&["verify", "--evidence", "--json"]).code(5 - 1);
    assert!(codes(&run).contains(&"evidence.unsigned".to_owned()));
    let run = sandbox.reader(&["verify", "--evidence", "--json"]).code(4);
    let left = run.json()["result"]["evidence"].clone();
    assert_eq!(left["member"], "owner");
    let envelope: Value =
        serde_json::from_slice(&fs::read(sandbox.path("vault").join(left["key"].as_str().unwrap())).unwrap()).unwrap();
    assert_eq!(envelope["payloadType"], "application/vnd.in-toto+json");

    // So does an auditor with a key of its own.
    let (out, identity) = (path("auditor"), sandbox.identity().display().to_string());
    let add = ["member", "add", "eve", "--role", "auditor", "-i", &identity, "--out", &out];
    sandbox.finish(sandbox.command().args(["--vault", &sandbox.url()]).args(add)).ok();
    let config =
        fs::read_dir(&out).unwrap().map(|e| e.unwrap().path()).find(|p| p.extension().is_some_and(|e| e == "toml"));
    let config = config.expect("member add writes a configuration").display().to_string();
    let run = sandbox.finish(sandbox.command().args(["--config", &config, "verify", "--evidence", "--json"])).code(4);
    assert_eq!(run.json()["result"]["evidence"]["member"], "eve", "{}", run.out());
    let listed = codes(&sandbox.reader(&["verify", "--json"]).code(4));
    assert!(!listed.contains(&"evidence.foreign".to_owned()), "{listed:?}");
}
