//! Hooks, pings and metrics: each says what happened, and none of them makes a backup fail unless that was asked for.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::PermissionsExt,
    sync::{Arc, Mutex},
    time::Instant,
};

use serde_json::Value;

use crate::{
    http::{Backend, Request, Response, Server},
    lab::{drill, with_shop},
    sandbox::{Run, Sandbox},
};

/// Somebody who is pinged.
/// Calls as they came in: method and target, and body.
type Calls = Arc<Mutex<Vec<(String, String)>>>;

struct Switch(Calls, u16);

impl Backend for Switch {
    fn answer(&self, request: &Request) -> io::Result<Response> {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        self.0.lock().unwrap().push((format!("{} {}", request.method, request.target), body));
        Ok(Response::new(self.1, "OK"))
    }
}

fn switch(status: u16) -> (Server, Calls) {
    let calls = Calls::default();
    (Server::start(Switch(Arc::clone(&calls), status)), calls)
}

/// A program that notes its environment in a file of the sandbox.
fn noting(sandbox: &Sandbox, name: &str, more: &str) -> String {
    let path = sandbox.path(name);
    let out = sandbox.path(&format!("{name}.out"));
    fs::write(&path, format!("#!/bin/sh\nenv | grep -E '^(HOOK|STRONGROOM|AWS)_' >> {}\n{more}\n", out.display()))
        .unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

fn codes(run: &Run) -> Vec<String> {
    let document = run.json();
    let findings = document["findings"].as_array().unwrap();
    findings.iter().map(|finding| finding["code"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn hooks_are_told_what_happened_and_are_fatal_only_where_that_is_asked() {
    let sandbox = with_shop("");
    let (pre, post, bad) =
        (noting(&sandbox, "pre", ""), noting(&sandbox, "post", ""), noting(&sandbox, "bad", "exit 3"));
    let plain = fs::read_to_string(sandbox.config()).unwrap();
    let hook = |name: &str, on: &str, program: &str, more: &str| {
        format!("[[hook]]\nname = \"{name}\"\non = \"{on}\"\ncommand = [{program:?}]\n{more}")
    };
    let with = |hooks: &str| fs::write(sandbox.config(), format!("{plain}{hooks}")).unwrap();
    with(&format!(
        "{}{}{}",
        hook("before", "pre", &pre, ""),
        hook("after", "post", &post, ""),
        hook("page", "on_failure", &bad, "")
    ));
    let mut command = sandbox.command();
    command.env("STRONGROOM_IDENTITY", sandbox.identity()).env("AWS_SECRET_ACCESS_KEY", "hidden");
    command.arg("--config").arg(sandbox.config()).args(["backup", "shop", "--json"]);
    let run = sandbox.finish(&mut command).ok();
    assert!(codes(&run).iter().all(|code| code != "hook.failed"), "{}", run.out());
    let told = fs::read_to_string(sandbox.path("pre.out")).unwrap();
    assert!(told.contains("HOOK_ON=pre") && told.contains("HOOK_COMMAND=backup"), "{told}");
    assert!(!told.contains("STRONGROOM_") && !told.contains("AWS_"), "what opens the vault is nobody's: {told}");
    let told = fs::read_to_string(sandbox.path("post.out")).unwrap();
    let id = run.json()["result"]["snapshots"][0]["id"].as_str().unwrap().to_owned();
    assert!(told.contains("HOOK_EXIT_CODE=0") && told.contains(&format!("HOOK_SNAPSHOTS={id}")), "{told}");
    assert!(!sandbox.path("bad.out").exists(), "nothing failed");
    // What only says what it would do, and another command, are no runs of these hooks.
    sandbox.writer(&["backup", "shop", "--dry-run"]).ok();
    sandbox.writer(&["verify"]).ok();
    assert_eq!(fs::read_to_string(sandbox.path("pre.out")).unwrap().matches("HOOK_ON").count(), 1);

    // The source fails: post and on_failure are told, and that on_failure fails changes nothing.
    fs::rename(sandbox.path("shop.db"), sandbox.path("away.db")).unwrap();
    let run = sandbox.writer(&["backup", "shop", "--json"]).code(1);
    assert!(codes(&run).contains(&"hook.failed".to_owned()), "{}", run.out());
    let told = fs::read_to_string(sandbox.path("bad.out")).unwrap();
    assert!(
        told.contains("HOOK_EXIT_CODE=1") && told.contains("HOOK_ERROR=source") && told.contains("HOOK_MESSAGE="),
        "{told}"
    );
    fs::rename(sandbox.path("away.db"), sandbox.path("shop.db")).unwrap();

    // A hook that fails, one that hangs, one that is not there: told, and the snapshot is made.
    let slow = noting(&sandbox, "slow", "sleep 60");
    with(&format!(
        "{}{}{}",
        hook("a", "pre", &bad, ""),
        hook("b", "pre", &slow, "timeout = \"1s\"\n"),
        hook("c", "post", "/nonexistent/program", "")
    ));
    let began = Instant::now();
    let run = sandbox.writer(&["backup", "shop", "--json"]).ok();
    assert!(began.elapsed().as_secs() < 20);
    assert_eq!(codes(&run).iter().filter(|code| *code == "hook.failed").count(), 3, "{}", run.out());
    let words = run.out();
    for part in ["ended with exit code 3", "was ended after 1s", "can't be started"] {
        assert!(words.contains(part), "{words}");
    }

    // Asked for, it is fatal: before, nothing is backed up; after, the snapshot is there.
    let count = || sandbox.reader(&["snapshots", "--json"]).ok().json()["result"].as_array().unwrap().len();
    let before = count();
    with(&hook("a", "pre", &bad, "required = true\n"));
    let run = sandbox.writer(&["backup", "shop", "--json"]).code(1);
    assert_eq!((run.json()["error"]["kind"].clone(), count()), ("hook".into(), before));
    with(&hook("a", "post", &bad, "required = true\n"));
    let run = sandbox.writer(&["backup", "shop", "--json"]).code(1);
    assert_eq!((run.json()["error"]["kind"].clone(), count()), ("hook".into(), before + 1));
    assert_eq!(run.json()["result"]["snapshots"].as_array().unwrap().len(), 1);
    // After a run that failed it is no second failure, and not passed over.
    with(&hook("a", "on_failure", &bad, "required = true\n"));
    let run = sandbox.writer(&["backup", "nosuch", "--json"]).code(2);
    assert_ne!(run.json()["error"]["kind"], "hook");
    assert_eq!(codes(&run), ["hook.failed"]);
}

#[test]
fn what_is_misspelt_around_a_run_is_told_with_its_place() {
    let sandbox = with_shop("");
    let pre = noting(&sandbox, "pre", "");
    let plain = fs::read_to_string(sandbox.config()).unwrap();
    let hook = |name: &str, on: &str, program: &str, more: &str| {
        format!("[[hook]]\nname = \"{name}\"\non = \"{on}\"\ncommand = [{program:?}]\n{more}")
    };
    let with = |hooks: &str| fs::write(sandbox.config(), format!("{plain}{hooks}")).unwrap();
    for (text, part) in [
        (hook("a", "pree", &pre, ""), "pree"),
        (hook("a", "pre", "", ""), "a program and its arguments"),
        (hook("a", "pre", &pre, "commands = [\"restore\"]\n"), "has no hooks"),
        (hook("a", "pre", &pre, "") + &hook("a", "post", &pre, ""), "two hooks called a"),
        ("[ping]\nbackup = \"hc-ping.com/x\"\n".to_owned(), "a ping is a URL"),
        ("[metrics]\nfile = \"x.txt\"\n".to_owned(), "must end in .prom"),
    ] {
        with(&text);
        sandbox.writer(&["backup", "shop"]).code(2).says(part);
    }
}

#[test]
fn a_dead_mans_switch_is_told_start_and_exit_code() {
    let sandbox = with_shop("");
    let (server, calls) = switch(200);
    let secret = "8f1d6c1e-ping-secret";
    sandbox.configure(&format!("[ping]\nbackup = \"{}/{secret}\"\n", server.endpoint()));
    sandbox.writer(&["backup", "shop"]).ok();
    let told = std::mem::take(&mut *calls.lock().unwrap());
    let targets: Vec<&str> = told.iter().map(|(target, _)| target.as_str()).collect();
    assert_eq!(targets, [format!("POST /{secret}/start"), format!("POST /{secret}/0")]);
    assert_eq!(told[1].1, "backup: done");

    fs::rename(sandbox.path("shop.db"), sandbox.path("away.db")).unwrap();
    sandbox.writer(&["backup", "shop"]).code(1);
    fs::rename(sandbox.path("away.db"), sandbox.path("shop.db")).unwrap();
    let told = std::mem::take(&mut *calls.lock().unwrap());
    assert_eq!(
        (told[1].0.clone(), told[1].1.clone()),
        (format!("POST /{secret}/1"), "backup: source, exit code 1".to_owned())
    );
    // Neither a look nor another command says that a backup was made.
    sandbox.writer(&["backup", "shop", "--dry-run"]).ok();
    sandbox.writer(&["verify"]).ok();
    assert!(calls.lock().unwrap().is_empty());

    // A server that refuses, and one that is away: told without the URL, and the backup is made.
    drop(server);
    let (refusing, _) = switch(404);
    let plain = fs::read_to_string(sandbox.config()).unwrap();
    let (head, _) = plain.split_once("[ping]").unwrap();
    for (url, why) in
        [(refusing.endpoint(), "it answered 404"), ("http://127.0.0.1:1".to_owned(), "it can't be reached")]
    {
        fs::write(sandbox.config(), format!("{head}[ping]\ntimeout = \"1s\"\nbackup = \"{url}/{secret}\"\n")).unwrap();
        let run = sandbox.writer(&["backup", "shop", "--json"]).ok();
        assert!(codes(&run).contains(&"ping.failed".to_owned()), "{}", run.out());
        assert!(run.out().contains(why), "{}", run.out());
        assert!(!format!("{}{}", run.out(), run.stderr).contains(secret), "whoever knows the URL can silence it");
    }
}

/// The samples of a textfile.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pair = |line: &str| line.rsplit_once(' ').map(|(name, value)| (name.to_owned(), value.parse().unwrap()));
    lines.map(|line| pair(line).unwrap()).collect()
}

#[test]
fn metrics_are_written_whole_after_each_run() {
    let sandbox = with_shop("every = \"24h\"\n");
    let dir = sandbox.path("node");
    fs::create_dir(&dir).unwrap();
    let file = dir.join("strongroom.prom");
    sandbox.configure(&format!("[metrics]\nfile = {:?}\n", file.to_str().unwrap()));
    sandbox.writer(&["backup", "shop"]).ok();
    let read = || samples(&fs::read_to_string(&file).unwrap());
    let json = || serde_json::from_slice::<Value>(&fs::read(dir.join("strongroom.json")).unwrap()).unwrap();
    let of = "{writer=\"writer\",source=\"shop\"}";
    let first = read();
    let now = jiff::Timestamp::now().as_second();
    let at = first["strongroom_run_success_timestamp_seconds{command=\"backup\"}"];
    assert!((at - now as f64).abs() < 60.0, "{first:?}");
    assert_eq!(first["strongroom_run_exit_code{command=\"backup\"}"], 0.0);
    assert!(first[&format!("strongroom_snapshot_bytes{of}")] > 10_000.0, "{first:?}");
    assert!(
        first[&format!("strongroom_snapshot_chunks{of}")] >= 1.0
            && first[&format!("strongroom_signal_level{of}")] == 0.0
    );
    assert!(first[&format!("strongroom_locked_until_timestamp_seconds{of}")] > now as f64 + 30.0 * 86_400.0);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644, "somebody else collects it");

    // A failure keeps when it last went well.
    fs::rename(sandbox.path("shop.db"), sandbox.path("away.db")).unwrap();
    sandbox.writer(&["backup", "shop"]).code(1);
    fs::rename(sandbox.path("away.db"), sandbox.path("shop.db")).unwrap();
    let failed = read();
    assert_eq!(failed["strongroom_run_exit_code{command=\"backup\"}"], 1.0);
    assert_eq!(failed["strongroom_run_success_timestamp_seconds{command=\"backup\"}"], at);
    assert_eq!(failed[&format!("strongroom_snapshot_bytes{of}")], first[&format!("strongroom_snapshot_bytes{of}")]);

    drill(&sandbox, &["shop"]).ok();
    sandbox.writer(&["status"]).ok();
    let all = read();
    assert_eq!(all[&format!("strongroom_drill_passed{of}")], 1.0);
    assert!(all[&format!("strongroom_drill_rto_seconds{of}")] > 0.0, "{all:?}");
    assert_eq!(
        (all[&format!("strongroom_snapshot_every_seconds{of}")], all[&format!("strongroom_owed{of}")]),
        (86_400.0, 0.0)
    );
    assert!(all["strongroom_weakest_lock_timestamp_seconds"] > now as f64);
    let document = json();
    assert_eq!((&document["format"], &document["sources"]["writer/shop"]["drill_passed"]), (&"1".into(), &true.into()));
    assert!(document["sources"]["writer/shop"]["age_s"].as_u64().unwrap() < 600, "{document}");
    let left: Vec<_> =
        fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(left.len(), 3, "no half of a file is left: {left:?}");

    // What was there and is no JSON, and a directory that can't be written: told, and no backup fails.
    fs::write(dir.join("strongroom.json"), "{\"sources\": {\"a/b\\\"} 1\\nx\": 7}}").unwrap();
    sandbox.writer(&["backup", "shop"]).ok();
    assert!(read().contains_key(&format!("strongroom_snapshot_bytes{of}")));
    fs::remove_dir_all(&dir).unwrap();
    let run = sandbox.writer(&["backup", "shop", "--json"]).ok();
    assert!(codes(&run).contains(&"metrics.unwritten".to_owned()), "{}", run.out());
}
