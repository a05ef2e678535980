//! Evidence, checked by other people's tools.

use std::{fs, process::Command};

use crate::sandbox::Sandbox;

/// The shell commands that `docs/audit.md` gives, run as they stand there for this document and key.
fn openssl(sandbox: &Sandbox, document: &str, key: &str) -> (bool, String) {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/audit.md")).unwrap();
    let script = page.split("```sh\nDOC=").nth(1).unwrap().split("```").next().unwrap();
    let envelope: serde_json::Value = serde_json::from_slice(&fs::read(document).unwrap()).unwrap();
    let kind = envelope["payloadType"].as_str().unwrap();
    let script = script.replacen("evidence.json", document, 1).replacen(&"0".repeat(64), key, 1);
    let script = format!("set -e\nDOC={}", script.replacen("application/vnd.in-toto+json", kind, 1));
    let dir = sandbox.path("openssl");
    fs::create_dir_all(&dir).unwrap();
    let run = Command::new("sh").arg("-c").arg(&script).current_dir(&dir).output().unwrap();
    let said = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
    (run.status.success() && said.contains("Verified Successfully"), said)
}

#[test]
fn openssl_alone_checks_a_signature() {
    let sandbox = Sandbox::with_vault();
    let dir = sandbox.path("vault/evidence/owner");
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "json"));
    let proof = files.pop().expect("init leaves its lock proof").display().to_string();
    openssl(&sandbox, &sandbox.path("vault/vault.json").display().to_string(), &"1".repeat(64));
    let descriptor: serde_json::Value =
        serde_json::from_slice(&fs::read(sandbox.path("openssl/payload")).unwrap()).unwrap();
    let root = descriptor["root"].as_str().unwrap();
    let (good, said) = openssl(&sandbox, &proof, root);
    assert!(good, "{said}");
    let statement: serde_json::Value =
        serde_json::from_slice(&fs::read(sandbox.path("openssl/payload")).unwrap()).unwrap();
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(statement["predicate"]["kind"], "lock-proof");

    let mut other = root.to_owned();
    other.replace_range(..2, if root.starts_with("00") { "11" } else { "00" });
    assert!(!openssl(&sandbox, &proof, &other).0, "another key must not do");
    let text = fs::read_to_string(&proof).unwrap();
    let at = text.find("\"payload\":\"").unwrap() + 40;
    let mut bytes = text.into_bytes();
    bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
    fs::write(sandbox.path("altered.json"), bytes).unwrap();
    let altered = sandbox.path("altered.json").display().to_string();
    assert!(!openssl(&sandbox, &altered, root).0, "an altered payload must not do");
}

/// What openssl said was signed.
fn payload(sandbox: &Sandbox) -> serde_json::Value {
    serde_json::from_slice(&fs::read(sandbox.path("openssl/payload")).unwrap()).unwrap()
}

#[test]
fn a_drillers_evidence_leads_to_the_root_by_openssl_alone() {
    let sandbox = Sandbox::with_vault();
    let id = sandbox.backup("x", b"some dump");
    let (out, identity) = (sandbox.path("ci").display().to_string(), sandbox.identity().display().to_string());
    let add = ["member", "add", "ci", "--role", "driller", "-i", &identity, "--out", &out];
    sandbox.finish(sandbox.command().args(["--vault", &sandbox.url()]).args(add)).ok();
    let of = |dir: &str, end: &str| {
        let all = fs::read_dir(sandbox.path(dir)).unwrap().map(|entry| entry.unwrap().path().display().to_string());
        all.filter(|path| path.ends_with(end)).collect::<Vec<_>>()
    };
    let config = of("ci", ".toml").remove(0);
    let run = sandbox.finish(sandbox.command().args(["--config", &config, "drill", "--json", "-i", &identity])).ok();
    let document = run.json();
    let key = document["result"]["drills"][0]["evidence"].as_str().unwrap();
    let evidence = sandbox.path("vault").join(key).display().to_string();

    let vault = sandbox.path("vault/vault.json").display().to_string();
    openssl(&sandbox, &vault, &"1".repeat(64));
    let root = payload(&sandbox)["root"].as_str().unwrap().to_owned();
    assert!(openssl(&sandbox, &vault, &root).0);
    let certificate = of("vault/members/ci", ".json").remove(0);
    let (good, said) = openssl(&sandbox, &certificate, &root);
    assert!(good, "{said}");
    let certified = payload(&sandbox);
    assert_eq!(certified["role"], "driller");
    let signer = certified["signing_key"].as_str().unwrap().to_owned();
    let (good, said) = openssl(&sandbox, &evidence, &signer);
    assert!(good, "{said}");
    let predicate = payload(&sandbox)["predicate"].clone();
    assert_eq!(predicate["kind"], "drill");
    assert!(predicate.to_string().contains(&id), "{predicate}");
    assert!(!openssl(&sandbox, &evidence, &root).0, "the root did not sign it itself");
}
