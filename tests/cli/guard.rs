//! `freeze`, `release`, `approvers`, `approve` and `key`, as they are typed.

use std::{fs, path::Path};

use serde_json::Value;

use crate::{
    sandbox::{Run, Sandbox},
    ssh::Key,
};

/// Runs the program as the owner.
fn owner(sandbox: &Sandbox, args: &[&str]) -> Run {
    let mut command = sandbox.command();
    sandbox.finish(command.args(["--vault", &sandbox.url()]).args(args).arg("-i").arg(sandbox.identity()))
}

/// Runs the program as the keeper.
fn keeper(sandbox: &Sandbox, args: &[&str]) -> Run {
    let mut command = sandbox.command();
    sandbox.finish(command.arg("--config").arg(sandbox.path("keep/strongroom.toml")).args(args))
}

/// A vault with five snapshots of one source and a keeper; and the first snapshot's id.
fn vault() -> (Sandbox, String) {
    let sandbox = Sandbox::with_vault();
    let out = sandbox.path("keep").display().to_string();
    owner(&sandbox, &["member", "add", "keep", "--role", "keeper", "--out", &out]).ok();
    let ids: Vec<String> = (0..5_u8).map(|n| sandbox.backup("orders", &[n; 1000])).collect();
    (sandbox, ids[0].clone())
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn what_a_keeper_freezes_is_shown_and_an_owner_lifts_it() {
    let (sandbox, first) = vault();
    let made = keeper(&sandbox, &["freeze", &first[..12], "--for", "200d", "--reason", "incident 7", "--json"]).ok();
    let result = made.json()["result"].clone();
    assert_eq!((&result["member"], &result["reason"]), (&"keep".into(), &"incident 7".into()));
    assert!(result["extended"].as_u64().unwrap() > 4 && result["locked_until"].as_str() >= result["until"].as_str());
    let hold = result["hold"].as_str().unwrap().to_owned();
    let lines = sandbox.reader(&["snapshots", "--json"]).ok().json()["result"].clone();
    assert_eq!(lines[0]["held_until"], result["until"]);
    assert!(lines[1].get("held_until").is_none());
    assert_eq!(sandbox.reader(&["snapshots"]).ok().out().matches("held until").count(), 1);
    let listed = sandbox.reader(&["snapshots", "--holds"]).ok().out();
    assert!(listed.contains(&hold[..12]) && listed.contains("incident 7"), "{listed}");
    let verified = sandbox.reader(&["verify"]).ok().out();
    assert!(verified.contains("of keep keeps 1 snapshot"), "{verified}");

    keeper(&sandbox, &["release", &hold[..8]]).code(8).says("a keeper alone lifts no hold");
    sandbox.writer(&["freeze", &first]).code(2).says("a writer, which holds nothing");
    sandbox.reader(&["freeze", &first]).code(2).says("no keeper's key and no identity");
    keeper(&sandbox, &["freeze", "latest"]).code(2).says("--source");
    keeper(&sandbox, &["freeze", "ffffffff"]).code(1);
    keeper(&sandbox, &["freeze", &first, "--until", "2020-01-01T00:00:00Z"]).code(2).says("is over");
    owner(&sandbox, &["release", "ffffffff"]).code(2).says("there is no hold");
    owner(&sandbox, &["release", &hold]).ok();
    owner(&sandbox, &["release", &hold]).code(2).says("was lifted");
    assert!(sandbox.reader(&["snapshots", "--holds"]).ok().out().contains("lifted at"));
    let all = keeper(&sandbox, &["freeze", "--all", "--source", "orders", "--json"]).ok().json();
    assert_eq!(all["result"]["snapshots"].as_array().unwrap().len(), 5);
}

#[test]
fn prune_and_release_want_the_people_that_the_root_names() {
    let (sandbox, first) = vault();
    let dir = sandbox.path("keys");
    fs::create_dir(&dir).unwrap();
    let keys =
        [("alice", "ed25519"), ("bob", "ecdsa"), ("carol", "rsa")].map(|(name, kind)| Key::new(&dir, name, kind));
    let spec = |name: &str, key: &Key| format!("{name}={}", text(&key.file()));
    let [alice, bob, carol] = &keys;
    let (a, b, c) = (spec("alice", alice), spec("bob", bob), spec("carol", carol));
    sandbox.reader(&["approve", "new", "prune"]).code(2).says("needs no approvals");
    let set = ["approvers", "set", "--approver", &a, "--approver", &b, "--approver", &c];
    owner(&sandbox, &[&set[..], &["--need", "prune=4"]].concat()).code(2).says("prune needs 4 people");
    owner(&sandbox, &[&set[..], &["--need", "dance=2"]].concat()).code(2).says("restore-into");
    owner(&sandbox, &[&set[..], &["--need", "prune=2", "--need", "release=2"]].concat()).ok();
    let listed = sandbox.reader(&["approvers", "list", "--json"]).ok().json()["result"].clone();
    assert_eq!((&listed["rev"], &listed["needs"]["prune"]), (&1.into(), &2.into()));
    assert_eq!(listed["people"].as_array().unwrap().len(), 3);

    let request = sandbox.path("request.json");
    let ask = |args: &[&str]| {
        let run = sandbox.reader(&[&["approve", "new"], args].concat()).ok();
        fs::write(&request, &run.stdout).unwrap();
        run.stdout
    };
    let bytes = ask(&["prune", "--reason", "monthly"]);
    let sign = |key: &Key, bytes: &[u8], name: &str| {
        let path = sandbox.path(name);
        fs::write(&path, key.sign(bytes)).unwrap();
        text(&path)
    };
    let signed = [sign(alice, &bytes, "a.sig"), sign(bob, &bytes, "b.sig")];
    let request = text(&request);
    let one = ["--approved", &request, "--signature", &signed[0]];
    let both = [&one[..], &["--signature", &signed[1]]].concat();
    sandbox.reader(&[&["approve", "check"], &one[..]].concat()).code(8).says("1 of 2");
    let checked: Value = sandbox.reader(&[&["approve", "check", "--json"], &both[..]].concat()).ok().json();
    assert_eq!(checked["result"]["signed_by"], serde_json::json!(["alice", "bob"]));
    sandbox.reader(&["prune"]).ok();
    let document = sandbox.reader(&["prune", "--yes", "--json"]).code(8).json();
    assert_eq!(document["error"]["kind"], "not-approved");
    assert!(document["error"]["hint"].as_str().unwrap().contains("approve new prune grace=7d"));
    sandbox.reader(&[&["prune", "--yes"], &one[..]].concat()).code(8);
    sandbox.reader(&[&["prune", "--yes", "--grace", "0s"], &both[..]].concat()).code(8).says("prune grace=0s");
    sandbox.reader(&["prune", "--yes", "--approved", &request]).code(2);
    let done = sandbox.reader(&[&["prune", "--yes", "--json"], &both[..]].concat()).ok().json();
    assert_eq!(done["result"]["approved_by"], serde_json::json!(["alice", "bob"]));
    sandbox.reader(&[&["prune", "--yes"], &both[..]].concat()).code(8).says("used already");

    let made = keeper(&sandbox, &["freeze", &first, "--json"]).ok().json();
    let hold = made["result"]["hold"].as_str().unwrap().to_owned();
    owner(&sandbox, &["release", &hold]).code(8).says("needs the approval of 2");
    let bytes = ask(&["release", &format!("hold={}", &hold[..8])]);
    let signed = [sign(carol, &bytes, "c.sig"), sign(bob, &bytes, "b.sig")];
    let papers = ["--approved", &request, "--signature", &signed[0], "--signature", &signed[1]];
    keeper(&sandbox, &[&["release", &hold[..8]], &papers[..]].concat()).ok();
    assert!(sandbox.reader(&["verify"]).ok().out().contains("checked"));
}

#[test]
fn two_of_three_shares_restore_on_a_clean_machine_and_one_or_a_false_one_say_so() {
    let sandbox = Sandbox::with_vault();
    sandbox.backup("orders", b"data");
    let (identity, out) = (text(&sandbox.identity()), text(&sandbox.path("shares")));
    let split = |out: &str, from: &str| {
        sandbox.run(&["key", "split", "-i", from, "--shares", "3", "--threshold", "2", "--out", out])
    };
    split(&out, &identity).ok();
    split(&out, &identity).code(2).says("nothing is overwritten");
    sandbox.run(&["key", "split", "-i", &identity, "--shares", "2", "--threshold", "3", "--out", &out]).code(2);
    split(&out, &text(&sandbox.path("etc/writer.key"))).code(2).says("one age identity");
    let share = |n: u8| text(&sandbox.path(&format!("shares/share-{n}-of-3.txt")));
    let clean = Sandbox::new();
    let back = text(&clean.path("home/back.key"));
    let combine = |shares: &[&str]| clean.run(&[&["key", "combine", "--out", &back], shares].concat());
    combine(&[&share(2)]).code(2).says("1 of 2 shares");
    combine(&[&share(2), &share(2)]).code(2).says("share 2 again");
    // One of another identity, one of another splitting, one with a digit that was mistyped, one that was made false.
    let other = Sandbox::with_vault();
    let strange = text(&sandbox.path("strange"));
    split(&strange, &text(&other.identity())).ok();
    combine(&[&share(1), &format!("{strange}/share-2-of-3.txt")]).code(2).says("another set");
    let again = text(&sandbox.path("again"));
    split(&again, &identity).ok();
    combine(&[&share(1), &format!("{again}/share-2-of-3.txt")]).code(2).says("another set");
    let mistyped = fs::read_to_string(share(3)).unwrap().replacen("data: 03", "data: 03 0", 1);
    sandbox_file(&sandbox, "mistyped", &mistyped);
    combine(&[&share(1), &text(&sandbox.path("mistyped"))]).code(2).says("not a usable share");
    assert!(!clean.path("home/back.key").exists());

    combine(&[&share(3), &share(1)]).ok();
    combine(&[&share(3), &share(1)]).code(2).says("nothing is overwritten");
    let run =
        clean.run(&["restore", "latest", "--source", "orders", "--to", "-", "--vault", &sandbox.url(), "-i", &back]);
    assert_eq!(run.ok().stdout, b"data");
    // Typed one by one.
    let typed: String = [2, 3].map(|n| fs::read_to_string(share(n)).unwrap()).concat();
    let mut command = clean.command();
    let out = clean.path("home/typed.key");
    clean.finish(command.args(["key", "combine", "--out"]).arg(&out).write_stdin(typed)).ok();
    assert_eq!(fs::read(&out).unwrap(), fs::read(&back).unwrap());
}

fn sandbox_file(sandbox: &Sandbox, name: &str, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(sandbox.path(name), text).unwrap();
    fs::set_permissions(sandbox.path(name), fs::Permissions::from_mode(0o600)).unwrap();
}
