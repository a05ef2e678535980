//! G1 to G5 at once: somebody with the writer's credentials and key tries everything for as long as it is let. What was
//! there before is there as it was, what others do is not touched, and what the writer does later is right.
//!
//! `STRONGROOM_ATTACK_SECONDS` says for how long; ten if nothing does.

use std::{collections::BTreeMap, fs, time::Duration};

use serde_json::Value;
use strongroom::{
    model::{Span, Time},
    store::ObjectStore,
};

use crate::{
    attacker::Attacker,
    place::{Place, server},
    sandbox::{Run, noise},
};

fn seconds() -> u64 {
    std::env::var("STRONGROOM_ATTACK_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10)
}

fn id(snapshot: &Value) -> String {
    snapshot["id"].as_str().unwrap().to_owned()
}

/// A dump whose rows move a little from day to day.
fn dump(day: u64) -> Vec<u8> {
    let mut bytes = noise(3 << 20, 7);
    bytes.extend(noise(200_000, 100 + day));
    bytes
}

/// Restores a snapshot by its id, as a responder.
fn restore(place: &Place<'_>, id: &str) -> Vec<u8> {
    let identity = place.sandbox.identity();
    place.run_as("reader", &["restore", id, "--to", "-", "-i", identity.to_str().unwrap()]).ok().stdout
}

fn codes(run: &Run) -> BTreeMap<String, usize> {
    let mut codes = BTreeMap::new();
    for finding in run.json()["findings"].as_array().unwrap() {
        *codes.entry(finding["code"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    codes
}

/// What is worse than a warning and concerns this snapshot.
fn worse(run: &Run, id: &str) -> Vec<Value> {
    let findings = run.json()["findings"].as_array().unwrap().clone();
    let bad = |finding: &Value| matches!(finding["severity"].as_str(), Some("weak" | "error"));
    findings.into_iter().filter(|finding| bad(finding) && finding["snapshot"] == id).collect()
}

/// A second writer, with its own credentials, key and folder.
fn second_writer(place: &Place<'_>) -> std::path::PathBuf {
    let out = place.sandbox.path("w2");
    let spec = format!("file:{}", place.server.credentials("w2").display());
    let mut add = place.command("admin");
    add.args(["writer", "add", "w2", "--member-credentials", &spec, "--out"]).arg(&out);
    place.finish(add.arg("-i").arg(place.sandbox.identity())).ok();
    out.join("strongroom.toml")
}

fn backup(place: &Place<'_>, config: &std::path::Path, source: &str, bytes: &[u8], code: i32) -> Value {
    let mut command = place.sandbox.command();
    command.arg("--config").arg(config).args(["backup", "--name", source, "--stdin", "--json"]).write_stdin(bytes);
    place.finish(&mut command).code(code).json()["result"]["snapshots"][0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn g1_to_g5_an_attacker_with_the_writers_credentials_and_key_changes_nothing_that_was_there() {
    let place = tokio::task::spawn_blocking(|| Place::with_vault(server())).await.unwrap();
    let mut before: Vec<(String, Vec<u8>)> = Vec::new();
    for day in 0..3 {
        before.push((id(&place.backup("orders", &dump(day))), dump(day)));
    }
    before.push((id(&place.backup("notes", b"to be remembered")), b"to be remembered".to_vec()));
    let other = second_writer(&place);
    before.push((id(&backup(&place, &other, "billing", &dump(50), 0)), dump(50)));
    let calm = place.run_as("auditor", &["verify", "--depth", "read", "--json"]).ok();
    assert_eq!(calm.json()["result"]["snapshots"], 5);
    let start = next_second(&place).await;

    // The credentials of the writer, and those of one that may set locks itself.
    let key = fs::read(place.sandbox.path("etc/writer.key")).unwrap();
    let clients = vec![place.raw("w1").client().clone(), place.raw("w1-explicit").client().clone()];
    let mut attacker = Attacker::new(clients, &place.bucket, "prod", &key, 11).await;
    attacker.rage(Duration::from_secs(seconds())).await;
    println!("{} calls in {} s: {:#?}", attacker.calls(), seconds(), attacker.tally);
    for never in ["delete", "shorten", "hold", "list versions", "elsewhere", "overwrite others"] {
        let tally = attacker.of(never);
        assert!(tally.done == 0 && tally.refused > 0, "{never}: {tally:?}");
    }
    for tried in [
        "overwrite",
        "store again",
        "junk",
        "forged header",
        "foreign header",
        "forged index",
        "forged page",
        "replay",
        "huge",
    ] {
        assert!(attacker.of(tried).done > 0, "{tried}: {:?}", attacker.of(tried));
    }
    assert!(attacker.of("lock junk").done > 0, "locks of a century were tried");

    unchanged(&place, &before);
    let told = place.run_as("auditor", &["verify", "--json"]);
    println!("verify --depth locks: exit {}, {:?}", told.code, codes(&told));
    assert_eq!(told.code, 4, "what the writer's key signed is false, and is told as such");
    let told = codes(&told);
    for code in ["header.foreign", "object.overwritten", "chain.fork"] {
        assert!(told.contains_key(code), "{code}: {told:?}");
    }
    for (id, _) in &before {
        let run = place.run_as("auditor", &["verify", "--depth", "read", "--snapshot", id, "--json"]);
        let worse = worse(&run, id);
        assert!(worse.is_empty(), "{id}: {worse:?}");
    }

    // Later honest runs, with their memory, which knows the forged headers for another's, and without it.
    let mut later = vec![(id(&backup(&place, &place.sandbox.config(), "orders", &dump(4), 5)), dump(4))];
    fs::remove_dir_all(place.sandbox.path("etc/state")).unwrap();
    let mut rebuild = place.sandbox.command();
    let run = place.finish(rebuild.arg("--config").arg(place.sandbox.config()).args(["catalog", "rebuild"]));
    println!("catalog rebuild: exit {}: {}{}", run.code, run.out(), run.stderr);
    later.push((id(&place.backup("orders", &dump(5))), dump(5)));
    later.push((id(&backup(&place, &other, "billing", &dump(51), 0)), dump(51)));
    unchanged(&place, &later);
    assert_eq!(latest(&place), Some(5), "the newest by the store's time is the honest one: {}", listed(&place));

    renewed_and_pruned(&place, &[&before[..], &later[..]].concat(), false).await;
    revoked(&place, start, &before);
    renewed_and_pruned(&place, &before, true).await;
}

/// What the keeper and the pruner make of it: nothing is extended for headers that lie, once is enough, no lock goes
/// beyond what the root allows, and nothing that these snapshots need goes. `known` says whether the writer was revoked.
async fn renewed_and_pruned(place: &Place<'_>, snapshots: &[(String, Vec<u8>)], known: bool) {
    let json = |identity: &str, args: &[&str]| place.run_as(identity, &[args, &["--json"]].concat());
    let renewed = json("keeper", &["renew"]);
    let result = &renewed.json()["result"];
    println!("renew: exit {}, {:?}, {result}", renewed.code, codes(&renewed));
    assert!(result["refused"].as_u64() > Some(0), "{result}");
    assert!(codes(&renewed).contains_key("header.refused"), "{:?}", codes(&renewed));
    let most = place.store("reader").await.server_time().await.unwrap() + Span::days(3650);
    let until = result["extended_until"].as_str().map(|until| until.parse::<Time>().unwrap());
    assert!(until.is_none_or(|until| until <= most), "{until:?}, {most}");
    assert_eq!(json("keeper", &["renew"]).json()["result"]["updates"], 0, "twice is once");

    let dry = json("pruner", &["prune", "--grace", "0s"]);
    let done = json("pruner", &["prune", "--grace", "0s", "--yes"]);
    println!("prune: exit {}, {}", done.code, done.json()["result"]);
    // Junk that may be a damaged header stops it, until it is known from when on nothing there was the writer's.
    assert_eq!((dry.code, done.code), if known { (0, 0) } else { (5, 5) }, "{}", done.stderr);
    assert_eq!(done.json()["result"]["deleted"], dry.json()["result"]["deleted"], "what was said is what is done");
    unchanged(place, snapshots);
}

/// Each of these snapshots is listed, and restores to what it was.
fn unchanged(place: &Place<'_>, snapshots: &[(String, Vec<u8>)]) {
    let listed = place.run_as("reader", &["snapshots", "--json"]).ok();
    let ids: Vec<String> = listed.json()["result"].as_array().unwrap().iter().map(id).collect();
    println!("snapshots: {} listed, {:?}", ids.len(), codes(&listed));
    for (id, bytes) in snapshots {
        assert!(ids.contains(id), "{id} is listed");
        assert!(restore(place, id) == *bytes, "{id} restores to what it was");
    }
}

/// Waits for the store's next second, and says which it is. Times are whole seconds: whoever says that a writer was not
/// itself from one on means all of it, also what came before the attack.
async fn next_second(place: &Place<'_>) -> Time {
    let store = place.store("reader").await;
    let began = store.server_time().await.unwrap();
    loop {
        let now = store.server_time().await.unwrap();
        if now > began {
            return now;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The day that a responder gets who asks for the latest.
fn latest(place: &Place<'_>) -> Option<u64> {
    let bytes = place.restore("orders");
    (0..6).find(|day| bytes == dump(*day))
}

/// The snapshots as a reader is told of them.
fn listed(place: &Place<'_>) -> String {
    let run = place.run_as("reader", &["snapshots", "--json"]).ok();
    format!("{:#}", run.json()["result"])
}

/// Once it is known from when the writer was not itself, what it signed since is suspect.
fn revoked(place: &Place<'_>, from: Time, before: &[(String, Vec<u8>)]) {
    let mut revoke = place.command("admin");
    revoke.args(["writer", "revoke", "w1", "--from", &from.to_string()]);
    place.finish(revoke.arg("-i").arg(place.sandbox.identity())).ok();
    assert_eq!(
        latest(place),
        Some(2),
        "latest is the last before the attack, which began at {from}: {}",
        listed(place)
    );
    for (id, bytes) in before {
        assert!(restore(place, id) == *bytes, "{id}");
    }
    // What only suspect headers name is no alarm any more; what is not suspect is looked at as before.
    let run = place.run_as("auditor", &["verify", "--depth", "read", "--json"]).ok();
    println!("verify --depth read, after the revocation: {:?}", codes(&run));
    let not_suspect = before.len() as u64 + 1;
    assert_eq!(run.json()["result"]["snapshots"], not_suspect, "{:?}", run.json()["result"]);
    for code in ["suspect.hollow", "writer.revoked", "object.overwritten", "header.foreign"] {
        assert!(codes(&run).contains_key(code), "{code}: {:?}", codes(&run));
    }
}
