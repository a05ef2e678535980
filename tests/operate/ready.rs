//! `ready` says yes where everything holds, and in no other case.

use std::{fs, thread, time::Duration};

use rusqlite::Connection;
use serde_json::Value;

use crate::{
    lab::{codes, drill, drilled, ending, member, orders, with_shop},
    request::{Server, uid},
    sandbox::{Run, Sandbox},
};

fn ready(sandbox: &Sandbox, more: &[&str]) -> Run {
    let mut args = vec!["ready", "--json"];
    args.extend(more);
    sandbox.writer(&args)
}

/// It is not ready, and this is among the reasons.
fn refused(case: &str, run: &Run, code: &str) {
    assert_eq!(run.code, 5, "{case}: {}\n{}", run.out(), run.stderr);
    let document = run.json();
    assert_eq!(
        (&document["error"]["kind"], &document["result"]["ready"]),
        (&"not-ready".into(), &false.into()),
        "{case}"
    );
    let told = codes(&document, "reasons");
    assert!(told.iter().any(|one| one == code), "{case}: {told:?} has no {code}");
    assert!(document["error"]["hint"].as_str().is_some_and(|hint| hint.len() > 20), "{case}");
}

/// Times count in whole seconds: what comes next is of a later one.
fn seconds_pass(some: u64) {
    thread::sleep(Duration::from_millis(some * 1000 + 100)); // the next second is what is waited for
}

/// Writes every lock record anew that `wanted` picks.
fn relock(sandbox: &Sandbox, until: &str, wanted: &str) {
    let mut some = false;
    for path in ending(&sandbox.path("vault"), ".lock").into_iter().filter(|p| p.to_string_lossy().contains(wanted)) {
        fs::remove_file(&path).unwrap();
        fs::write(&path, format!(r#"{{"mode": "compliance", "until": "{until}"}}"#)).unwrap();
        some = true;
    }
    assert!(some);
}

#[test]
fn it_is_ready_where_everything_holds() {
    let sandbox = drilled();
    let run = ready(&sandbox, &["shop", "--max-age", "1h", "--drilled", "1h"]).ok();
    let document = run.json();
    let one = &document["result"]["sources"][0];
    assert_eq!(
        (&one["source"], &one["ready"], &one["reasons"]),
        (&"shop".into(), &true.into(), &serde_json::json!([]))
    );
    assert!(one["age_s"].as_u64().unwrap() < 600 && one["drill"]["passed"] == true, "{one}");
    assert!(one["locked_until"].as_str().unwrap() > "2026", "{one}");
    // Without options, for all that is configured, and with the name as an option.
    ready(&sandbox, &[]).ok();
    ready(&sandbox, &["--source", "shop"]).ok();
    let told = sandbox.writer(&["ready", "shop"]).ok().out();
    assert!(told.contains("shop (writer writer): ready") && told.contains("drill     passed"), "{told}");
    ready(&sandbox, &["shoop"]).code(2).json();
    // Where nothing says which vault is meant, another one would do.
    refused("unpinned", &sandbox.reader(&["ready", "shop", "--json"]), "unpinned");
}

#[test]
fn it_is_never_ready_where_something_does_not_hold() {
    let sandbox = with_shop("");
    refused("no snapshot", &ready(&sandbox, &["shop"]), "no-snapshot");
    sandbox.writer(&["backup", "shop"]).ok();
    refused("never drilled", &ready(&sandbox, &["shop"]), "drill-never");
    drill(&sandbox, &["shop"]).ok();
    ready(&sandbox, &["shop"]).ok();

    seconds_pass(2);
    refused("too old", &ready(&sandbox, &["shop", "--max-age", "1s"]), "too-old");
    refused("drilled too long ago", &ready(&sandbox, &["shop", "--drilled", "1s"]), "drill-old");

    // A check of one's own that fails, then one that can't be run, then none.
    let config = fs::read_to_string(sandbox.config()).unwrap();
    sandbox.configure("[[source.check]]\nname = \"many\"\nsql = \"select count(*) > 1000000 from orders\"\n");
    drill(&sandbox, &["shop"]).code(6);
    refused("drill failed", &ready(&sandbox, &["shop"]), "drill-failed");
    fs::write(
        sandbox.config(),
        format!("{config}[[source.check]]\nname = \"odd\"\nsql = \"select nothing from nowhere\"\n"),
    )
    .unwrap();
    seconds_pass(1);
    drill(&sandbox, &["shop"]).code(6);
    refused("drill could not run", &ready(&sandbox, &["shop"]), "drill-not-run");
    fs::write(sandbox.config(), &config).unwrap();
    seconds_pass(1);
    drill(&sandbox, &["shop"]).ok();
    ready(&sandbox, &["shop"]).ok();

    // A pack whose lock is over, and one that is gone.
    relock(&sandbox, "2020-01-01T00:00:00Z", "/packs/");
    refused("lock ended", &ready(&sandbox, &["shop"]), "lock");
    relock(&sandbox, "2090-01-01T00:00:00Z", "/packs/");
    ready(&sandbox, &["shop"]).ok();
    let packs = ending(&sandbox.path("vault/packs"), "");
    let pack = packs.iter().find(|path| path.extension().is_none()).unwrap();
    let away = sandbox.path("pack-away");
    fs::rename(pack, &away).unwrap();
    refused("pack gone", &ready(&sandbox, &["shop"]), "damaged");
    fs::rename(&away, pack).unwrap();
    ready(&sandbox, &["shop"]).ok();

    // The writer is revoked from a time before it.
    let mut revoke = sandbox.command();
    revoke.args(["--vault", &sandbox.url(), "writer", "revoke", "writer", "--from", "2026-01-01T00:00:00Z", "-i"]);
    sandbox.finish(revoke.arg(sandbox.identity())).ok();
    refused("suspect", &ready(&sandbox, &["shop"]), "no-snapshot");
    assert!(ready(&sandbox, &["shop"]).out().contains("suspect"));
}

#[test]
fn a_lock_that_is_owed_is_a_reason() {
    // The first of a month is kept for longer than its first lock.
    let sandbox = Sandbox::new();
    sandbox.init(&["--keep", "35d"]).ok();
    fs::rename(sandbox.path("etc/recovery.key"), sandbox.identity()).unwrap();
    let text = fs::read_to_string(sandbox.config()).unwrap();
    assert!(text.contains("[lock]"), "{text}");
    let tiers = text.replace("[lock]", "[lock]\ntiers = { monthly = \"400d\" }").replace("tiers = {}\n", "");
    fs::write(sandbox.config(), tiers).unwrap();
    sandbox.backup("x", b"some dump");
    drill(&sandbox, &["x"]).ok();
    ready(&sandbox, &["x"]).ok();
    // Renewal was due a while ago: three days are left of what is to be kept for a year.
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(72);
    relock(&sandbox, &soon.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(), "/packs/");
    let run = ready(&sandbox, &["x"]);
    refused("lock owed", &run, "lock");
}

/// Asks at the socket, as somebody who holds nothing.
fn via(sandbox: &Sandbox, server: &Server, more: &[&str]) -> Run {
    let mut command = sandbox.command();
    sandbox.finish(command.arg("ready").args(more).arg("--json").arg("--via").arg(&server.socket))
}

#[test]
fn who_holds_the_socket_alone_is_told_the_same() {
    let sandbox = drilled();
    let server = Server::start(&sandbox, &format!("[{}]", uid()), "1h");
    let yes = via(&sandbox, &server, &["shop", "--max-age", "1h"]).ok().json();
    assert_eq!((&yes["result"]["ready"], &yes["result"]["sources"][0]["source"]), (&true.into(), &"shop".into()));
    // Of the vault that is meant, however it is said which that is; and no option is passed over.
    let id = yes["result"]["vault"].as_str().unwrap().to_owned();
    via(&sandbox, &server, &["shop", "--vault-id", &id]).ok();
    let other = "0".repeat(64);
    via(&sandbox, &server, &["shop", "--vault-id", &other]).code(4).told("--vault-id");
    let mut elsewhere = sandbox.command();
    elsewhere.env("STRONGROOM_VAULT_ID", &other).args(["ready", "shop", "--via"]).arg(&server.socket);
    sandbox.finish(&mut elsewhere).code(4).says("STRONGROOM_VAULT_ID");
    let config = fs::read_to_string(sandbox.config()).unwrap();
    assert!(config.contains(&id), "{config}");
    let forged = sandbox.path("forged.toml");
    fs::write(&forged, config.replace(&id, &other)).unwrap();
    via(&sandbox, &server, &["shop", "--config", forged.to_str().unwrap()]).code(4).told("forged.toml");
    via(&sandbox, &server, &["shop", "--config", "/nope.toml"]).code(2).told("/nope.toml");
    via(&sandbox, &server, &["shop", "--vault", "file:///nope"]).code(2).told("--vault has no effect with --via");
    seconds_pass(2);
    refused("too old", &via(&sandbox, &server, &["shop", "--max-age", "1s"]), "too-old");
    refused("drilled too long ago", &via(&sandbox, &server, &["shop", "--drilled", "1s"]), "drill-old");
    refused("no copy", &via(&sandbox, &server, &["shop", "--copies", "1"]), "copies");
    // What is not in [request], and no source at all.
    via(&sandbox, &server, &["other"]).code(2).json();
    via(&sandbox, &server, &[]).code(2).json();
    let mut people = sandbox.command();
    people.args(["ready", "shop", "--via"]).arg(&server.socket);
    assert!(sandbox.finish(&mut people).ok().out().contains("shop (writer writer): ready"));
    // The vault is away, or another: what the server can't see is no yes.
    let (vault, away) = (sandbox.path("vault"), sandbox.path("away"));
    fs::rename(&vault, &away).unwrap();
    via(&sandbox, &server, &["shop"]).code(10).json();
    let other = drilled();
    fs::rename(other.path("vault"), &vault).unwrap();
    via(&sandbox, &server, &["shop"]).code(4).json();
    fs::remove_dir_all(&vault).unwrap();
    fs::rename(&away, &vault).unwrap();
    via(&sandbox, &server, &["shop"]).ok();
    assert!(server.said().contains("asks whether shop is ready"), "{}", server.said());
    let socket = server.socket.clone();
    drop(server);
    let mut nobody = sandbox.command();
    sandbox.finish(nobody.args(["ready", "shop", "--via"]).arg(&socket)).code(75);
}

#[test]
fn copies_count_that_were_brought_up_to_date_after_the_snapshot() {
    let sandbox = drilled();
    refused("no copy is configured", &ready(&sandbox, &["shop", "--copies", "1"]), "copies");
    let copy = format!("\n[[copy]]\nname = \"disk\"\nurl = \"file://{}\"\n", sandbox.path("copy").display());
    sandbox.configure(&copy);
    refused("never made", &ready(&sandbox, &["shop", "--copies", "1"]), "copies");
    let owed = sandbox.writer(&["status", "--json"]).code(5).json();
    assert_eq!(owed["result"]["owed"][0]["code"], "copy-never", "{owed}");
    seconds_pass(1);
    sandbox.writer(&["replicate"]).ok();
    let yes = ready(&sandbox, &["shop", "--copies", "1"]).ok().json();
    assert!(yes["result"]["not_checked"].to_string().contains("copies were not looked at"), "{yes}");
    refused("one is too few", &ready(&sandbox, &["shop", "--copies", "2"]), "copies");
    let shown = sandbox.writer(&["status", "--json"]).ok().json();
    assert_eq!(
        (&shown["result"]["copies"][0]["name"], &shown["result"]["copies"][0]["snapshots"]),
        (&"disk".into(), &1.into())
    );
    assert!(sandbox.writer(&["status"]).ok().out().contains("copy disk at file://"));
    // A snapshot that the copy has not yet.
    seconds_pass(1);
    sandbox.writer(&["backup", "shop"]).ok();
    refused("behind", &ready(&sandbox, &["shop", "--copies", "1"]), "copies");
    ready(&sandbox, &["shop"]).ok();
    seconds_pass(1);
    sandbox.writer(&["replicate"]).ok();
    ready(&sandbox, &["shop", "--copies", "1"]).ok();
}

#[test]
fn alarms_count_until_somebody_acknowledges_them() {
    let sandbox = with_shop("");
    let db = Connection::open(sandbox.path("shop.db")).unwrap();
    for _ in 0..6 {
        orders(&db, 20);
        sandbox.writer(&["backup", "shop"]).ok();
    }
    drill(&sandbox, &["shop"]).ok();
    ready(&sandbox, &["shop"]).ok();
    db.execute_batch("DELETE FROM orders; VACUUM").unwrap();
    sandbox.writer(&["backup", "shop"]).ok();
    let run = ready(&sandbox, &["shop"]);
    refused("flagged by its writer", &run, "flagged");
    let words = run.out();
    let cause = words.split("acknowledged: ").nth(1).unwrap().split(": ").next().unwrap().to_owned();
    assert!(cause.starts_with("writer/shop@") && cause.ends_with("-writer"), "{cause}");
    ready(&sandbox, &["shop", "--acknowledge", &cause]).ok();

    // A later, calm snapshot does not make the alarm go away.
    sandbox.writer(&["backup", "shop"]).ok();
    refused("flagged before", &ready(&sandbox, &["shop"]), "flagged");

    // A watch's checkpoint: not there, of a time before, open, acknowledged.
    let seen = sandbox.path("seen.json").display().to_string();
    ready(&sandbox, &["shop", "--checkpoint", &seen]).code(2).json();
    let identity = sandbox.identity().display().to_string();
    let run = sandbox.writer(&["watch", "--checkpoint", &seen, "-i", &identity, "--json"]).code(7);
    let open: Vec<String> = run.json()["result"]["open"]
        .as_array()
        .unwrap()
        .iter()
        .map(|signal| signal["cause"].as_str().unwrap().to_owned())
        .collect();
    refused("open in the watch", &ready(&sandbox, &["shop", "--checkpoint", &seen]), "flagged");
    let mut acknowledge = vec!["watch", "--checkpoint", &seen];
    for cause in &open {
        acknowledge.extend(["--acknowledge", cause]);
    }
    sandbox.writer(&acknowledge).ok();
    ready(&sandbox, &["shop", "--checkpoint", &seen]).ok();
    sandbox.writer(&["backup", "shop"]).ok();
    refused("not seen by the watch", &ready(&sandbox, &["shop", "--checkpoint", &seen]), "unwatched");
}

#[test]
fn a_vault_that_is_away_or_another_is_no_yes() {
    let sandbox = drilled();
    let (vault, away) = (sandbox.path("vault"), sandbox.path("away"));
    fs::rename(&vault, &away).unwrap();
    ready(&sandbox, &["shop"]).code(10).json();
    let other = drilled();
    fs::rename(other.path("vault"), &vault).unwrap();
    let run = ready(&sandbox, &["shop"]).code(4);
    assert_eq!(run.json()["error"]["kind"], "untrusted");
    fs::remove_dir_all(&vault).unwrap();
    fs::rename(&away, &vault).unwrap();
    ready(&sandbox, &["shop"]).ok();
    // A store that does not answer.
    let args = ["--vault", "s3://vault/x", "--endpoint", "http://127.0.0.1:1", "--path-style", "--region", "x"];
    let credentials = sandbox.path("s3.toml");
    fs::write(&credentials, "access_key_id = \"a\"\nsecret_access_key = \"b\"\n").unwrap();
    fs::set_permissions(&credentials, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let mut command = sandbox.command();
    command.args(args).args(["--credentials", &format!("file:{}", credentials.display()), "ready", "shop", "--json"]);
    sandbox.finish(&mut command).code(75).json();
}

#[test]
fn the_answer_is_signed_by_who_may_and_says_where_it_is_not() {
    let sandbox = drilled();
    let plain = ready(&sandbox, &["shop"]).ok().json();
    assert_eq!(plain["result"]["statement"], Value::Null);
    assert!(
        plain["result"]["unsigned"].as_str().unwrap().contains("may not sign"),
        "a writer vouches for nothing: {plain}"
    );
    let reader = sandbox.reader(&["ready", "shop", "--json"]).code(5).json();
    assert!(reader["result"]["unsigned"].as_str().unwrap().contains("neither"), "{reader}");

    let before = ending(&sandbox.path("vault/evidence"), ".json").len();
    let config = member(&sandbox, "auditor", "auditor");
    let signed = sandbox.run(&["--config", &config, "ready", "shop", "--json"]).ok().json();
    assert_eq!((&signed["result"]["signed_by"], &signed["result"]["unsigned"]), (&"auditor".into(), &Value::Null));
    assert_eq!(ending(&sandbox.path("vault/evidence"), ".json").len(), before, "it is not stored");
    let envelope = &signed["result"]["statement"];
    assert_eq!(envelope["payloadType"], "application/vnd.in-toto+json");
    assert_eq!(envelope["signatures"].as_array().unwrap().len(), 1);
    let payload = base64(envelope["payload"].as_str().unwrap());
    let statement: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(statement["predicateType"], "urn:strongroom:evidence:v1:readiness");
    assert_eq!(statement["predicate"]["result"]["ready"], true);
    assert_eq!(statement["predicate"]["result"]["sources"][0]["source"], "shop");
    // The key of another vault's member signs nothing here.
    let other = Sandbox::with_vault();
    let foreign = member(&other, "auditor", "auditor");
    let text = fs::read_to_string(&foreign).unwrap();
    assert!(text.contains(&other.url()), "{text}");
    let id = sandbox.writer(&["status", "--json"]).json()["result"]["vault"].as_str().unwrap().to_owned();
    sandbox.run(&["--config", &foreign, "--vault", &sandbox.url(), "--vault-id", &id, "ready", "shop"]).code(2);
}

/// Decodes base64.
fn base64(text: &str) -> Vec<u8> {
    let value = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let mut out = Vec::new();
    for four in text.trim_end_matches('=').as_bytes().chunks(4) {
        let bits = four.iter().fold(0_u32, |bits, c| bits << 6 | u32::from(value(*c))) << (6 * (4 - four.len()));
        out.extend(bits.to_be_bytes()[1..four.len()].iter());
    }
    out
}
