//! `mcp`, tried by the protocol's own client for Python.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    lab::with_shop,
    request::{Server, uid},
    sandbox::Sandbox,
};

/// What Python's client gets for these calls.
fn client(sandbox: &Sandbox, args: &[&str], calls: &Value) -> Value {
    let job = json!({
        "command": assert_cmd::cargo::cargo_bin("strongroom"),
        "args": args,
        "env": { "HOME": sandbox.path("home"), "PATH": std::env::var("PATH").unwrap() },
        "calls": calls,
    });
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/operate/mcp_client.py");
    let mut child = Command::new("python3")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(job.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said} (scripts/test installs the package mcp)");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains("AGE-SECRET-KEY"), "a secret was shown");
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}{said}"))
}

#[test]
fn an_agent_asks_has_it_backed_up_and_asks_again() {
    let sandbox = with_shop("");
    let server = Server::start(&sandbox, &format!("[{}]", uid()), "1h");
    let (url, socket) = (sandbox.url(), server.socket.display().to_string());
    let args = ["--vault", &url, "mcp", "--socket", &socket];
    let ready = json!(["ready", { "sources": ["shop"], "max_age": "1h", "drilled": "30d" }]);
    let told = client(
        &sandbox,
        &args,
        &json!([
            ready,
            ["request", { "sources": ["shop"], "reason": "before dropping a column", "wait": true }],
            ["status", {}],
            ready,
            ["request", { "sources": ["nothing"], "reason": "x", "wait": true }],
        ]),
    );
    assert_eq!(told["server"]["serverInfo"]["name"], "strongroom", "{told}");
    let names: Vec<&str> =
        told["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["ready", "status", "request"]);
    let call = |no: usize| &told["calls"][no]["structuredContent"];
    assert_eq!((&call(0)["ready"], &call(0)["exit"]), (&json!(false), &json!(5)), "{told}");
    assert_eq!(call(1)["result"]["requests"][0]["state"], "done", "{told}");
    assert!(call(2)["result"].to_string().contains("shop"), "{told}");
    // It was never drilled, so it is still not ready, though the snapshot is there now.
    assert_eq!(call(3)["ready"], json!(false));
    assert_ne!(call(3)["result"], call(0)["result"], "{told}");
    assert_eq!(told["calls"][4]["isError"], json!(true));
    let kept = sandbox.reader(&["snapshots", "--json"]).ok().json();
    assert_eq!(kept["result"].as_array().unwrap().len(), 1);
}

#[test]
fn no_tool_does_anything_else() {
    let sandbox = with_shop("");
    sandbox.writer(&["backup", "shop"]).ok();
    let url = sandbox.url();
    let told = client(
        &sandbox,
        &["--vault", &url, "mcp", "--socket", "/nowhere.sock"],
        &json!([
            ["restore", { "sources": ["shop"] }],
            ["prune", { "yes": true }],
            ["ready", { "sources": ["--config=/etc/shadow"] }],
            ["ready", { "sources": ["shop"], "identity": "/x" }],
            ["ready", {}],
            ["request", { "sources": ["shop"], "reason": "x" }],
            ["ready", { "sources": ["shop"], "max_age": "1h" }],
        ]),
    );
    for no in 0..5 {
        let call = &told["calls"][no];
        assert!(call.get("refused").is_some() || call["isError"] == true, "{no}: {call}");
        assert!(!call.to_string().contains("root:"), "{call}");
    }
    // Nobody hears requests there, which is told and no end.
    assert_eq!(
        (&told["calls"][5]["isError"], &told["calls"][5]["structuredContent"]["exit"]),
        (&json!(true), &json!(75))
    );
    assert_eq!(told["calls"][6]["structuredContent"]["ready"], json!(false), "{told}");
    for other in told["others"].as_array().unwrap() {
        let none = other.get("refused").is_some() || other.to_string().contains("[]");
        assert!(none, "neither resources nor prompts: {other}");
    }
    let mut command = sandbox.command();
    sandbox.finish(command.args(["--json", "mcp"])).code(2);
}
