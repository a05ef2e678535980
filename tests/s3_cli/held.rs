//! `freeze`, `release` and approvals with the roles apart, under locks of seconds on a real server.

use std::{collections::BTreeMap, fs, thread, time::Duration};

use serde_json::Value;
use strongroom::{
    codec::sign::SigningKey,
    format::{approval, dsse::Envelope, layout},
    model::{Hash, Span, Time},
    store::{ObjectStore, Payload, StoreErrorKind},
};

use crate::{
    place::{Place, server},
    sandbox::{Run, noise},
    ssh::Key,
};

/// Runs the program with the keeper's key and credentials.
fn keeper(place: &Place<'_>, args: &[&str]) -> Run {
    let mut command = place.sandbox.command();
    command.arg("--config").arg(place.sandbox.path("keep/strongroom.toml")).args(args);
    place.finish(&mut command)
}

fn admin(place: &Place<'_>, args: &[&str]) -> Run {
    let mut command = place.command("admin");
    place.finish(command.args(args).arg("-i").arg(place.sandbox.identity()))
}

/// A vault with five snapshots and a keeper.
async fn made() -> (Place<'static>, Vec<Value>) {
    let place = Place::short_lived(server(), Span::seconds(4), Span::seconds(2)).await;
    let out = place.sandbox.path("keep").display().to_string();
    let args = ["member", "add", "keeper", "--role", "keeper", "--member-credentials", "file:s3.toml", "--out", &out];
    admin(&place, &args).ok();
    fs::copy(place.server.credentials("keeper"), place.sandbox.path("keep/s3.toml")).unwrap();
    let snapshots = (0..5).map(|seed| place.backup("orders", &noise(100_000, seed))).collect();
    (place, snapshots)
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap()
}

async fn wait(place: &Place<'_>, until: Time) {
    let reader = place.store("reader").await;
    while reader.server_time().await.unwrap() < until {
        thread::sleep(Duration::from_millis(200)); // the server's clock ends the locks
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_snapshot_outlives_its_expiry_a_prune_and_what_the_writer_tries() {
    let (place, snapshots) = made().await;
    let first = text(&snapshots[0], "id");
    let frozen = keeper(&place, &["freeze", first, "--for", "1h", "--reason", "incident", "--json"]).ok().json();
    let result = &frozen["result"];
    assert!(text(result, "locked_until") >= text(result, "until"), "{frozen}");

    // With all that the writer has: neither hold nor release, nor a list of approvers, nor a record of an approval.
    let (writer, nothing) = (place.store("w1-explicit").await, Hash::from_bytes([7; 32]));
    let at = writer.server_time().await.unwrap();
    let name = |text: &str| text.parse().unwrap();
    let list = approval::list("07".repeat(32).parse().unwrap(), 9, at, Vec::new(), BTreeMap::new());
    let public = Envelope::sign(&list, &SigningKey::generate().unwrap()).unwrap().encode().unwrap();
    for key in [
        layout::hold(&name("w1"), at, &nothing),
        layout::hold(&name("keeper"), at, &nothing),
        layout::release(&name("w1"), at, &nothing),
        layout::approvers(9, &nothing),
        layout::spent(&nothing),
    ] {
        let error = writer.put_new(&key, &Payload::Public(public.clone()), None).await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Denied, "{key}: {error}");
    }
    let key = text(result, "key").parse().unwrap();
    for who in ["w1-explicit", "pruner"] {
        let store = place.store(who).await;
        let version = place.store("reader").await.head(&key, None).await.unwrap().version;
        let gone = strongroom::store::Deleter::delete_version(&store, &key, version.as_ref()).await;
        assert!(gone.is_err() && strongroom::store::Deleter::hide(&store, &key).await.is_err(), "{who}");
    }

    wait(&place, text(&snapshots[4], "floor_until").parse::<Time>().unwrap() + Span::seconds(4)).await;
    let done = place.run_as("pruner", &["prune", "--grace", "0s", "--yes", "--json"]).ok().json();
    assert_eq!(done["result"]["held"], 1, "{done}");
    assert_eq!(done["result"]["deleted"]["snapshots"]["versions"], 1, "{done}");
    let left = place.run_as("reader", &["snapshots", "--json"]).ok().json();
    let ids: Vec<&str> = left["result"].as_array().unwrap().iter().map(|line| text(line, "id")).collect();
    // This server's times change when a lock is extended, so the order is not told here.
    assert!(ids.len() == 4 && ids.contains(&first), "{ids:?} {first} {done}");
    let mut restore = place.command("reader");
    restore.args(["restore", first, "--to", "-", "-i"]).arg(place.sandbox.identity());
    assert!(place.finish(&mut restore).ok().stdout == noise(100_000, 0));
    keeper(&place, &["renew"]).ok();
    let verified = place.run_as("auditor", &["verify", "--json"]);
    let findings = verified.json()["findings"].clone();
    let about = |finding: &&Value| finding["snapshot"] == first && finding["severity"] == "error";
    assert_eq!(findings.as_array().unwrap().iter().filter(about).count(), 0, "{findings}");
    keeper(&place, &["release", text(result, "hold")]).code(8);
    admin(&place, &["release", text(result, "hold")]).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pruner_prunes_with_approvals_alone_and_of_two_at_once_one_does() {
    let place = tokio::task::spawn_blocking(|| Place::with_vault(server())).await.unwrap();
    place.backup("orders", b"data");
    let dir = place.sandbox.path("keys");
    fs::create_dir(&dir).unwrap();
    let people = ["alice", "bob", "carol"].map(|name| Key::new(&dir, name, "ed25519"));
    let spec = |name: &str, key: &Key| format!("{name}={}", key.file().display());
    let (a, b, c) = (spec("alice", &people[0]), spec("bob", &people[1]), spec("carol", &people[2]));
    let list = ["approvers", "set", "--approver", &a, "--approver", &b, "--approver", &c, "--need", "prune=2"];
    admin(&place, &list).ok();
    place.run_as("pruner", &["prune", "--grace", "0s", "--yes"]).code(8);
    let asked = place.run_as("reader", &["approve", "new", "prune", "grace=0s", "--for", "1h"]).ok().stdout;
    let file = |name: &str, bytes: &[u8]| {
        let path = place.sandbox.path(name);
        fs::write(&path, bytes).unwrap();
        path.display().to_string()
    };
    let request = file("request.json", &asked);
    let signed: Vec<String> =
        people.iter().enumerate().map(|(n, key)| file(&format!("{n}.sig"), &key.sign(&asked))).collect();
    let papers = |n: usize, m: usize| {
        let args = [
            "prune",
            "--grace",
            "0s",
            "--yes",
            "--approved",
            &request,
            "--signature",
            &signed[n],
            "--signature",
            &signed[m],
        ];
        args.map(str::to_owned)
    };
    // A role that may not put the record gets nowhere, and leaves the approval to whoever may.
    let reader: Vec<String> = papers(0, 1).to_vec();
    place.run_as("reader", &reader.iter().map(String::as_str).collect::<Vec<_>>()).code(1);
    let codes: Vec<i32> = thread::scope(|scope| {
        let run = |args: [String; 10]| {
            let mut command = place.command("pruner");
            scope.spawn(move || command.args(args).output().unwrap().status.code().unwrap())
        };
        let both = [run(papers(0, 1)), run(papers(1, 2))];
        both.map(|thread| thread.join().unwrap()).to_vec()
    });
    let mut sorted = codes.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, [0, 8], "one of two runs with one approval goes on");
}
