//! `init`.

use std::{fs, os::unix::fs::PermissionsExt};

use serde_json::Value;

use crate::sandbox::Sandbox;

#[test]
fn it_leaves_private_files_and_a_proof() {
    let sandbox = Sandbox::new();
    let document = sandbox.init(&["--json"]).ok().json();
    let files: Vec<&str> = document["result"]["files"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(files.len(), 4);
    for file in files {
        let mode = fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let mut names: Vec<_> =
        fs::read_dir(sandbox.path("etc")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["recovery-kit.txt", "recovery.key", "strongroom.toml", "writer.key"]);

    let id = document["result"]["vault_id"].as_str().unwrap();
    let identity = fs::read_to_string(sandbox.path("etc/recovery.key")).unwrap();
    assert!(identity.contains(&format!("# strongroom-vault: {id}\n")), "the identity pins its vault");
    let kit = fs::read_to_string(sandbox.path("etc/recovery-kit.txt")).unwrap();
    assert!(kit.contains(id) && kit.contains(&sandbox.url()));
    assert!(!kit.contains("AGE-SECRET-KEY"), "the kit can be printed");

    let evidence = document["result"]["evidence"].as_str().unwrap();
    assert!(sandbox.path("vault").join(evidence).exists());
    let canary = document["result"]["lock_proof"]["canary"].as_str().unwrap();
    assert!(sandbox.path("vault").join(canary).exists());
    let checks = document["result"]["lock_proof"]["checks"].as_array().unwrap();
    assert!(checks.iter().all(|check| check["status"] == "ok") && checks.len() == 5);
}

#[test]
fn it_says_until_when_it_cannot_be_undone() {
    let sandbox = Sandbox::new();
    let run = sandbox.init(&["--keep", "10d"]).ok();
    let out = run.out();
    assert!(out.contains("can be deleted before 20") && out.contains("10d promised"), "{out}");
    assert!(out.contains("does not protect from root"), "{out}");
}

#[test]
fn a_vault_is_made_once() {
    let sandbox = Sandbox::with_vault();
    let before = fs::read(sandbox.path("vault/vault.json")).unwrap();
    let other = sandbox.path("other");
    let run = sandbox.run(&["init", "--vault", &sandbox.url(), "--out", other.to_str().unwrap(), "--json"]).code(2);
    assert_eq!(run.json()["error"]["kind"], "vault-exists");
    assert_eq!(fs::read(sandbox.path("vault/vault.json")).unwrap(), before);
    assert!(!other.join("recovery.key").exists());
}

#[test]
fn no_file_is_overwritten_and_then_there_is_no_vault() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("etc")).unwrap();
    fs::write(
        sandbox.path("etc/writer.key"),
        "{\"signing_key\":\"-1-\",\"catalog_identity\":\"-2-\",\"chunk_id_key\":\"-3-\"}",
    )
    .unwrap();
    sandbox.init(&[]).code(2).says("writer.key already exists");
    assert!(!sandbox.path("vault").exists());
    assert!(!sandbox.path("etc/recovery.key").exists());
}

#[test]
fn what_an_interrupted_init_left_is_no_vault_and_no_obstacle() {
    let sandbox = Sandbox::new();
    sandbox.init(&[]).ok();
    // Everything but the descriptor, as if it had stopped just before the end.
    for name in ["vault.json", "vault.json.lock"] {
        fs::remove_file(sandbox.path("vault").join(name)).unwrap();
    }
    fs::remove_dir_all(sandbox.path("etc")).unwrap();
    sandbox.run(&["snapshots", "--vault", &sandbox.url()]).code(10);
    sandbox.init(&[]).ok();
}

#[test]
fn a_directory_of_other_things_is_refused() {
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.path("vault")).unwrap();
    fs::write(sandbox.path("vault/letters.txt"), "mine").unwrap();
    sandbox.init(&[]).code(2).says("letters.txt");
    assert!(!sandbox.path("etc").exists());
    let inside = sandbox.path("fresh/etc");
    let url = format!("file://{}", sandbox.path("fresh").display());
    sandbox.run(&["init", "--vault", &url, "--out", inside.to_str().unwrap()]).code(2).says("within the vault");
}

#[test]
fn recipients_make_no_identity_and_can_open() {
    let sandbox = Sandbox::new();
    // An owner who has a key already: the one of another vault will do.
    let first = Sandbox::with_vault();
    let key = fs::read_to_string(first.identity()).unwrap();
    let recipient = key.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap();
    sandbox.init(&["--recipient", recipient]).ok();
    assert!(!sandbox.path("etc/recovery.key").exists());
    let secret = key.lines().filter(|line| !line.starts_with("# strongroom-vault")).collect::<Vec<_>>().join("\n");
    fs::write(sandbox.identity(), secret).unwrap();
    fs::set_permissions(sandbox.identity(), fs::Permissions::from_mode(0o600)).unwrap();
    sandbox.backup("x", b"some bytes");
    let run = sandbox.reader(&["restore", "latest", "--source", "x", "--to", "-"]).ok();
    assert_eq!(run.stdout, b"some bytes");
    assert!(run.stderr.contains("vault.unpinned"), "this identity pins no vault: {}", run.stderr);
}

#[test]
fn nonsense_is_refused_before_anything_is_made() {
    let sandbox = Sandbox::new();
    for args in [
        &["--keep", "0s"][..],
        &["--keep", "20w5"],
        &["--keep", "5000d"],
        &["--writer", "owner"],
        &["--writer", "Not A Name"],
        &["--recipient", "age1nonsense"],
        &["--mode", "lenient"],
        &["--config", "x.toml"],
    ] {
        let run = sandbox.init(args).code(2);
        assert!(run.stdout.is_empty());
        assert!(!sandbox.path("vault/vault.json").exists() && !sandbox.path("etc").exists(), "{args:?}");
    }
}

#[test]
fn an_identity_given_as_a_recipient_is_not_repeated() {
    let sandbox = Sandbox::new();
    let secret = format!("AGE-SECRET-KEY-1{}", "Q".repeat(58));
    sandbox.init(&["--recipient", &secret]).code(2).says("secret identity");
}
