//! Ctrl-C and SIGTERM.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::sandbox::Sandbox;

/// Starts a backup of standard input, which this test holds open, and waits until it has begun.
fn begun(sandbox: &Sandbox) -> (Child, BufReader<std::process::ChildStderr>) {
    let mut child = Command::new(assert_cmd::cargo::cargo_bin("strongroom"))
        .arg("--config")
        .arg(sandbox.config())
        .args(["-v", "backup", "--name", "x", "--stdin"])
        .current_dir(sandbox.path("home"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("backing up x") {
        line.clear();
        assert!(errors.read_line(&mut line).unwrap() > 0, "it ended before it began");
    }
    (child, errors)
}

#[test]
fn an_interrupted_backup_leaves_no_snapshot_and_no_lock() {
    let sandbox = Sandbox::with_vault();
    sandbox.backup("x", b"earlier");
    for signal in [Signal::INT, Signal::TERM] {
        let (mut child, mut errors) = begun(&sandbox);
        // Nothing more ever comes: the source blocks in its read.
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(b"the beginning of a dump").unwrap();
        kill_process(Pid::from_child(&child), signal).unwrap();
        let status = child.wait().unwrap();
        let mut text = String::new();
        errors.read_to_string(&mut text).unwrap();
        assert_eq!(status.code(), Some(130), "{text}");
        assert!(text.contains("nothing was committed") && text.contains("earlier snapshots are safe"), "{text}");
        drop(stdin);
    }
    let listed = sandbox.reader(&["snapshots", "--json"]).ok().json();
    assert_eq!(listed["result"].as_array().unwrap().len(), 1);
    sandbox.backup("x", b"later");
}
