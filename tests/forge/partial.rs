//! A snapshot of a forge that lacks what its run could not read: whoever judges it says so, and none of them is green.

use serde_json::json;

use crate::{
    drills::drill,
    fake::{Fake, restored},
    sandbox::{Run, Sandbox},
};

/// Asks something of the vault, which is named by its id.
fn ask(sandbox: &Sandbox, words: &[&str]) -> Run {
    let mut command = sandbox.command();
    command.args(["--config"]).arg(sandbox.config()).arg("--json").args(words);
    sandbox.finish(&mut command)
}

#[test]
fn what_could_not_be_read_is_no_green_light() {
    let fake = Fake::start(&["--repos", "1", "--issues", "3", "--comments", "8"]);
    let sandbox = fake.vault("gitea", "code = false");
    fake.tell("deny", &json!({"issues/comments": 403}));
    sandbox.writer(&["backup"]).code(3);
    let run = drill(&sandbox).code(3);
    let told = run.json();
    let drilled = &told["result"]["drills"][0];
    assert!(drilled["lacking"].to_string().contains("comments of acme/app could not be read"), "{told}");
    assert_eq!((&drilled["passed"], &told["error"]["kind"]), (&json!(true), &json!("not-whole")), "{told}");
    let checkpoint = sandbox.path("checkpoint");
    let watched = ask(&sandbox, &["watch", "--checkpoint", checkpoint.to_str().unwrap()]).ok().json();
    assert!(watched["result"]["signals"].to_string().contains("source.not-whole"), "{watched}");
    for words in [&["ready", "acme", "--drilled", "1d"][..], &["status"]] {
        let told = ask(&sandbox, words).code(5).out();
        assert!(told.contains("not-whole") && told.contains("has not all of its source"), "{told}");
    }
    let shown = ask(&sandbox, &["snapshots"]).ok().json();
    assert!(shown["result"][0]["signal"].is_null(), "it is no signal: {shown}");
    let identity = sandbox.identity().display().to_string();
    let shown = ask(&sandbox, &["show", "latest", "--source", "acme", "-i", &identity]).ok().out();
    assert!(shown.contains("not in it: comments of acme/app could not be read"), "{shown}");
    let mut command = sandbox.command();
    command.args(["--vault", &sandbox.url(), "restore", "latest", "--source", "acme", "-i"]).arg(sandbox.identity());
    let told = sandbox.finish(command.arg("--to").arg(sandbox.path("gap"))).ok().out();
    assert!(told.contains("not in it: comments of acme/app could not be read"), "{told}");

    // What nobody wants is no gap, nor is what the forge has switched off.
    sandbox.configure("exclude = [\"comments\"]\n");
    fake.tell("flags", &json!({"repo": "acme/app", "flags": {"has_releases": false}}));
    sandbox.writer(&["backup"]).ok();
    let manifest = crate::fake::manifest(&restored(&sandbox, "whole"));
    assert_eq!(crate::fake::row(&manifest, "acme/app", "comments")["status"], "excluded");
    drill(&sandbox).ok();
    ask(&sandbox, &["ready", "acme", "--drilled", "1d"]).ok();
    let told = ask(&sandbox, &["status"]).out();
    assert!(!told.contains("not-whole"), "{told}");
}
