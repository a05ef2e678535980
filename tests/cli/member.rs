//! `member` and `writer`.

use std::{fs, os::unix::fs::PermissionsExt};

use serde_json::Value;

use crate::sandbox::{Run, Sandbox};

/// Adds a member with the owner's identity; its files go to a directory of its name.
fn add(sandbox: &Sandbox, name: &str, role: &str) -> Run {
    let out = sandbox.path(name);
    let mut command = sandbox.command();
    command.args(["--vault", &sandbox.url(), "--json", "member", "add", name, "--role", role, "--out"]).arg(out);
    sandbox.finish(command.arg("-i").arg(sandbox.identity()))
}

/// Runs the program as a member that was added.
fn run_as(sandbox: &Sandbox, name: &str, args: &[&str], input: &[u8]) -> Run {
    let mut command = sandbox.command();
    command.arg("--config").arg(sandbox.path(name).join("strongroom.toml")).args(args);
    sandbox.finish(command.write_stdin(input))
}

fn revoke(sandbox: &Sandbox, name: &str, from: &str) -> Value {
    let mut command = sandbox.command();
    command.args(["--vault", &sandbox.url(), "--json", "writer", "revoke", name, "--from", from, "-i"]);
    sandbox.finish(command.arg(sandbox.identity())).ok().json()["result"].clone()
}

fn snapshots(sandbox: &Sandbox) -> (Vec<Value>, Vec<Value>) {
    let document = sandbox.reader(&["snapshots", "--json"]).ok().json();
    (document["result"].as_array().unwrap().clone(), document["findings"].as_array().unwrap().clone())
}

const LATEST: [&str; 6] = ["restore", "latest", "--source", "orders", "--to", "-"];

#[test]
fn a_second_writer_has_its_own_prefix_and_shares_no_chunk() {
    let sandbox = Sandbox::with_vault();
    let document = add(&sandbox, "db2", "writer").ok().json();
    assert_eq!(document["command"], "member add");
    assert_eq!(document["result"]["role"], "writer");
    for file in ["db2.key", "strongroom.toml"] {
        assert_eq!(fs::metadata(sandbox.path("db2").join(file)).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let bytes = vec![7; 300_000];
    sandbox.backup("orders", &bytes);
    let run = run_as(&sandbox, "db2", &["backup", "--name", "copies", "--stdin", "--json"], &bytes).ok();
    let made = &run.json()["result"]["snapshots"][0];
    assert_eq!(made["bytes_new"], made["bytes_read"], "nothing of another writer's is known");
    assert!(sandbox.path("vault/packs/db2").is_dir());
    let args = ["restore", "latest", "--source", "copies", "--to", "-"];
    assert!(sandbox.reader(&args).ok().stdout == bytes);
    assert!(sandbox.reader(&LATEST).ok().stdout == bytes);
}

#[test]
fn a_name_is_given_once() {
    let sandbox = Sandbox::with_vault();
    add(&sandbox, "ci", "driller").ok();
    fs::remove_dir_all(sandbox.path("ci")).unwrap();
    let again = add(&sandbox, "ci", "auditor").code(2).json();
    assert!(again["error"]["message"].as_str().unwrap().contains("driller ci"), "{again}");
    assert!(!sandbox.path("ci").exists(), "a key without a certificate is of no use");
    add(&sandbox, "owner", "auditor").code(2);
    add(&sandbox, "writer", "writer").code(2);
}

#[test]
fn only_an_owner_enrols_anybody() {
    let sandbox = Sandbox::new();
    let other = Sandbox::with_vault();
    // The identity of another vault will do as a driller's: its pin is taken out.
    let identity = fs::read_to_string(other.identity()).unwrap();
    let recipient = identity.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap();
    sandbox.init(&["--drill-recipient", recipient]).ok();
    fs::rename(sandbox.path("etc/recovery.key"), sandbox.path("safe/owner.key")).unwrap();
    let unpinned: String =
        identity.lines().filter(|line| !line.contains("strongroom-vault")).collect::<Vec<_>>().join("\n");
    fs::write(sandbox.identity(), unpinned + "\n").unwrap();
    fs::set_permissions(sandbox.identity(), fs::Permissions::from_mode(0o600)).unwrap();
    sandbox.backup("orders", b"data");
    assert_eq!(sandbox.reader(&LATEST).ok().stdout, b"data", "a driller opens backups");
    let refused = add(&sandbox, "evil", "writer").code(12).json();
    assert!(refused["error"]["message"].as_str().unwrap().contains("only an owner's"), "{refused}");
    assert!(!sandbox.path("vault/members/evil").exists());
    assert!(!sandbox.path("evil").exists());
}

#[test]
fn what_a_revoked_writer_wrote_later_is_suspect() {
    let sandbox = Sandbox::with_vault();
    let first = sandbox.backup("orders", b"good");
    let before = snapshots(&sandbox).0[0]["created_at"].as_str().unwrap().to_owned();
    // Times are whole seconds: the next snapshot is to be of a later one.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let second = sandbox.backup("orders", b"hollow");
    let from = snapshots(&sandbox).0[1]["created_at"].as_str().unwrap().to_owned();
    assert!(before < from);
    let report = revoke(&sandbox, "writer", &from);
    assert_eq!(report["suspect"], 1, "{report}");

    let (lines, findings) = snapshots(&sandbox);
    assert_eq!(lines.iter().map(|line| line["suspect"].as_bool().unwrap()).collect::<Vec<_>>(), [false, true]);
    assert!(findings.iter().any(|finding| finding["code"] == "writer.revoked"), "{findings:?}");
    let told = sandbox.reader(&["snapshots"]).ok().out();
    assert_eq!(told.matches("suspect").count(), 1, "{told}");
    assert_eq!(sandbox.reader(&LATEST).ok().stdout, b"good", "never the latest");
    assert_eq!(sandbox.reader(&["restore", &second, "--to", "-"]).ok().stdout, b"hollow", "still there by its id");
    assert_eq!(sandbox.reader(&["restore", &first, "--to", "-"]).ok().stdout, b"good");
    let refused = sandbox.writer_with(&["backup", "--name", "orders", "--stdin"], b"more").code(1);
    refused.says("was revoked").says("writer add");

    // Revoked from the beginning, nothing of it is left to be the latest; and a mistake can be taken back.
    revoke(&sandbox, "writer", &before);
    sandbox.reader(&LATEST).code(1).says("suspect");
    revoke(&sandbox, "writer", "2100-01-01T00:00:00Z");
    assert_eq!(sandbox.reader(&LATEST).ok().stdout, b"hollow");
}

#[test]
fn a_certificate_that_the_root_did_not_sign_changes_nothing() {
    let sandbox = Sandbox::with_vault();
    sandbox.backup("orders", b"good");
    // Another vault's owner revokes its own writer of the same name, and somebody carries that over.
    let other = Sandbox::with_vault();
    let report = revoke(&other, "writer", "2020-01-01T00:00:00Z");
    let certificate = report["certificate"].as_str().unwrap();
    fs::copy(other.path("vault").join(certificate), sandbox.path("vault").join(certificate)).unwrap();
    let (lines, findings) = snapshots(&sandbox);
    assert_eq!(lines[0]["suspect"], false);
    assert!(findings.iter().any(|finding| finding["code"] == "member.foreign"), "{findings:?}");
    assert_eq!(sandbox.reader(&LATEST).ok().stdout, b"good");
    sandbox.backup("orders", b"more");
}

/// Adds a writer of these sources.
fn add_writer(sandbox: &Sandbox, name: &str, sources: &str) -> Run {
    let mut command = sandbox.command();
    command.args(["--vault", &sandbox.url(), "--json", "member", "add", name, "--role", "writer", "--out"]);
    command.arg(sandbox.path(name)).args(["--sources", sources, "-i"]).arg(sandbox.identity());
    sandbox.finish(&mut command)
}

/// How each source stands, by its writer.
fn stale(document: &Value) -> Vec<(String, bool)> {
    let text = |line: &Value| (line["writer"].as_str().unwrap_or("nobody").to_owned(), line["stale"] == true);
    document["result"]["sources"].as_array().unwrap().iter().map(text).collect()
}

#[test]
fn a_source_of_two_writers_is_nobodys_unless_it_is_said_whose() {
    let sandbox = Sandbox::with_vault();
    add(&sandbox, "db2", "writer").ok();
    let first = sandbox.backup("orders", b"of the first");
    let other = run_as(&sandbox, "db2", &["backup", "--name", "orders", "--stdin", "--json"], b"of the second").ok();
    let other = other.json()["result"]["snapshots"][0]["id"].as_str().unwrap().to_owned();

    sandbox.reader(&LATEST).code(2).says("db2 and writer").says("--writer db2 or --writer writer");
    let of = |writer: &str| sandbox.reader(&[&LATEST[..], &["--writer", writer]].concat());
    assert_eq!(of("writer").ok().stdout, b"of the first");
    assert_eq!(of("db2").ok().says("first of this source").stdout, b"of the second", "another's is not a predecessor");
    of("db3").code(2).says("there is db2, writer");
    let listed = |args: &[&str]| sandbox.reader(&[&["snapshots", "--json"], args].concat()).ok().json();
    assert_eq!(listed(&["--writer", "db2"])["result"][0]["id"], other.as_str());
    assert_eq!(listed(&["--source", "orders"])["result"].as_array().unwrap().len(), 2);

    // Each is judged by itself, and each is drilled.
    let verify = |args: &[&str]| sandbox.reader(&[&["verify", "--json", "--expect", "orders=24h"], args].concat());
    assert_eq!(stale(&verify(&[]).ok().json()), [("db2".into(), false), ("writer".into(), false)]);
    assert_eq!(stale(&verify(&["--writer", "db2"]).ok().json()), [("db2".into(), false)]);
    sandbox.reader(&["drill", "orders"]).code(2).says("db2 and writer");
    let drilled = |args: &[&str]| {
        let document = sandbox.reader(&[&["drill", "--json"], args].concat()).ok().json();
        let drills = document["result"]["drills"].as_array().unwrap().clone();
        drills.iter().map(|drill| drill["snapshot"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(drilled(&[]), [other.clone(), first.clone()]);
    assert_eq!(drilled(&["orders", "--writer", "writer"]), [first]);
    let history = sandbox.reader(&["drill", "--history", "--json", "--writer", "db2"]).ok().json();
    assert_eq!(history["result"]["history"].as_array().unwrap().len(), 1, "{history}");

    // Whoever was revoked has no claim any more, and what it wrote is still there by its id.
    revoke(&sandbox, "db2", "2020-01-01T00:00:00Z");
    assert_eq!(sandbox.reader(&LATEST).ok().stdout, b"of the first");
    assert_eq!(sandbox.reader(&["restore", &other, "--to", "-"]).ok().stdout, b"of the second");
}

#[test]
fn a_writer_writes_what_its_certificate_names() {
    let sandbox = Sandbox::with_vault();
    sandbox.backup("crm", b"of the first");
    let document = add_writer(&sandbox, "crm1", "crm,code.*").ok().json();
    assert_eq!(document["result"]["sources"], serde_json::json!(["crm", "code.*"]));
    let backup = |source: &str| run_as(&sandbox, "crm1", &["backup", "--name", source, "--stdin"], b"of the second");
    backup("orders").code(2).says("may not make snapshots of orders").says("crm, code.*");
    assert!(!sandbox.path("vault/snapshots/crm1").exists() && !sandbox.path("vault/packs/crm1").exists());
    backup("code.a").ok();
    // Whom the root gave it to goes before who happened to write it.
    backup("crm").ok();
    let latest = ["restore", "latest", "--source", "crm", "--to", "-"];
    assert_eq!(sandbox.reader(&latest).ok().stdout, b"of the second");
    add_writer(&sandbox, "bad", "Not A Name").code(2);
    let mut driller = sandbox.command();
    driller.args(["--vault", &sandbox.url(), "member", "add", "ci", "--role", "driller", "--sources", "crm", "-i"]);
    sandbox.finish(driller.arg(sandbox.identity()).arg("--out").arg(sandbox.path("ci"))).code(2).says("--sources");
}

#[test]
fn a_source_that_never_was_is_a_mistake_and_no_failed_drill() {
    let sandbox = Sandbox::with_vault();
    sandbox.reader(&["snapshots", "--source", "orders"]).ok();
    sandbox.backup("orders", b"x");
    let evidence = || fs::read_dir(sandbox.path("vault/evidence/owner")).map_or(0, Iterator::count);
    let before = evidence();
    for args in [
        &["drill", "ordres"][..],
        &["snapshots", "--source", "ordres"],
        &["restore", "latest", "--source", "ordres", "--to", "-"],
        &["verify", "--expect", "ordres=1h"],
        &["verify", "--writer", "ordres"],
        &["drill", "--writer", "ordres"],
    ] {
        sandbox.reader(args).code(2).says("ordres").says("there is ");
    }
    assert_eq!(evidence(), before);
    // What is configured may have no snapshot yet: then it is missed, and not mistyped.
    sandbox.configure("[[source]]\nname = \"wiki\"\nkind = \"path\"\npath = \"/nowhere\"\n");
    sandbox.writer(&["snapshots", "--source", "wiki"]).ok();
    sandbox.writer(&["verify", "--expect", "wiki=1h"]).code(5);
}
