//! `airgap open`: only as the approvers decide, for one trip, once. And what `watch` does beside cutting.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    sandbox::Run,
    steps::{Ways, good},
};

/// A person's key.
fn person(ways: &Ways, name: &str) -> PathBuf {
    let path = ways.sandbox.path(name);
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(&path).output();
    assert!(made.unwrap().status.success());
    path
}

/// The signature of a request by a person.
fn signed(ways: &Ways, request: &Path, key: &Path) -> String {
    let name = key.file_name().unwrap().to_str().unwrap();
    let copy = ways.sandbox.path(&format!("{name}-request"));
    fs::copy(request, &copy).unwrap();
    let mut sign = Command::new("ssh-keygen");
    sign.args(["-q", "-Y", "sign", "-n", "strongroom-approval", "-f"]).arg(key).arg(&copy);
    assert!(sign.output().unwrap().status.success());
    format!("{}.sig", copy.display())
}

fn owner(ways: &Ways, args: &[&str]) -> Run {
    let mut command = ways.sandbox.command();
    command.args(args).args(["--vault", &ways.sandbox.url(), "-i"]).arg(ways.sandbox.identity());
    ways.sandbox.finish(&mut command)
}

fn request(ways: &Ways, trip: &str) -> PathBuf {
    let run = ways.run(&["--quiet", "approve", "new", "open", &format!("trip={trip}")]).ok();
    let path = ways.sandbox.path("request.json");
    fs::write(&path, run.stdout).unwrap();
    path
}

fn trip_of(ways: &Ways) -> String {
    let told = ways.run(&["airgap", "status", "--json"]).json();
    told["result"]["trip"].as_str().unwrap().to_owned()
}

#[test]
fn one_of_two_approvals_is_not_enough_and_two_open_this_trip_once() {
    let ways = Ways::new("", &[good("a"), good("b")]);
    for name in ["a", "b"] {
        ways.open(name);
    }
    ways.run(&["airgap", "open"]).code(2).says("nothing is tripped");
    ways.run(&["airgap", "status"]).ok();
    let [alice, bob] = ["alice", "bob"].map(|name| person(&ways, name));
    let approver = |name: &str, key: &Path| format!("{name}={}.pub", key.display());
    let (a, b) = (approver("alice", &alice), approver("bob", &bob));
    owner(&ways, &["approvers", "set", "--approver", &a, "--approver", &b, "--need", "open=2"]).ok();
    ways.trip().ok();
    let trip = trip_of(&ways);
    ways.run(&["airgap", "open"]).code(8);
    ways.run(&["airgap", "open", "--unapproved"]).code(8);
    let file = request(&ways, &trip);
    let paper = file.display().to_string();
    let (by_alice, by_bob) = (signed(&ways, &file, &alice), signed(&ways, &file, &bob));
    let open = |signatures: &[&String]| {
        let mut args = vec!["airgap", "open", "--json", "--approved", paper.as_str()];
        for signature in signatures {
            args.extend(["--signature", signature.as_str()]);
        }
        ways.run(&args)
    };
    let one = open(&[&by_alice]).code(8).json();
    assert!(one["error"]["message"].as_str().unwrap().contains("1 of 2"), "{one}");
    open(&[&by_alice, &by_alice]).code(8);
    assert!(!ways.is_open("a"), "nothing was connected");

    let done = open(&[&by_alice, &by_bob]).ok().json();
    assert_eq!(done["result"]["by"], "alice, bob");
    assert!(ways.is_open("a") && ways.is_open("b"));
    let told = ways.run(&["airgap", "status", "--json"]).ok().json();
    assert!(told["result"]["trip"].is_null(), "{told}");
    // The next trip is another one: what was approved is not good for it, nor twice.
    ways.trip().ok();
    assert_ne!(trip_of(&ways), trip);
    open(&[&by_alice, &by_bob]).code(8);
    assert!(!ways.is_open("a"));
}

#[test]
fn where_the_root_asks_for_nobody_that_has_to_be_said() {
    let ways = Ways::new("", &[good("a")]);
    ways.open("a");
    ways.run(&["airgap", "status"]).ok();
    ways.trip().ok();
    ways.run(&["airgap", "open"]).code(8).says("asks for no approvals");
    assert!(!ways.is_open("a"));
    ways.run(&["airgap", "open", "--unapproved"]).ok();
    assert!(ways.is_open("a"));
}

#[test]
fn watch_holds_the_last_good_snapshot_and_cuts() {
    let ways = Ways::new("", &[good("a")]);
    ways.open("a");
    let out = ways.sandbox.path("keeper").display().to_string();
    owner(&ways, &["member", "add", "kim", "--role", "keeper", "--out", &out]).ok();
    let mut key = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().path());
    let key = key.find(|path| path.extension().is_some_and(|extension| extension == "key")).unwrap();
    let dump = |bytes: usize| ways.sandbox.backup("dump", "INSERT INTO t VALUES(1);\n".repeat(bytes / 25).as_bytes());
    (0..5).for_each(|n| drop(dump(200_000 + n * 1000)));
    let good = dump(206_000);
    ways.sandbox.configure(&format!(
        "\n[member]\nkey = \"{}\"\n[[watch.react]]\nname = \"hold\"\nbuiltin = \"freeze\"\n[[watch.react]]\nname = \"cut\"\n\
         builtin = \"airgap-trip\"\n",
        key.display()
    ));
    let seen = ways.sandbox.path("seen.json").display().to_string();
    let identity = ways.sandbox.identity().display().to_string();
    let watch = || ways.run(&["watch", "--react", "--json", "--checkpoint", &seen, "-i", &identity]);
    watch().ok();
    dump(500);
    let run = watch().code(7).json();
    let ended: Vec<_> = run["result"]["reactions"].as_array().unwrap().iter().map(|r| r["ended"].clone()).collect();
    assert_eq!(ended, ["done", "done"], "{run}");
    assert!(!ways.is_open("a"));
    let holds = ways.run(&["snapshots", "--holds", "--json"]).ok().json().to_string();
    assert!(holds.contains(&good) && holds.contains("kim"), "{holds}");
}
