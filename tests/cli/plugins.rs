//! Plugins of age that fail, wait, or never stop writing.

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, process::ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::sandbox::Sandbox;

/// A vault with a snapshot that the identity of a plugin opens, and the directory of that plugin.
fn vault() -> (Sandbox, PathBuf) {
    let sandbox = Sandbox::new();
    let dir = sandbox.path("bin");
    fs::create_dir_all(&dir).unwrap();
    plugin(&dir, include_str!("plugin.py"));
    let identity = sandbox.identity();
    fs::write(&identity, "AGE-PLUGIN-STUB-1WD682CSWJUACL\n").unwrap();
    fs::set_permissions(&identity, fs::Permissions::from_mode(0o600)).unwrap();
    let run = |args: &[&str], input: &[u8]| {
        let mut command = sandbox.command();
        command.env("PATH", format!("{}:/usr/bin:/bin", dir.display()));
        sandbox.finish(command.args(args).write_stdin(input)).ok();
    };
    let (url, etc, config) = (sandbox.url(), sandbox.path("etc"), sandbox.config());
    let etc = etc.to_str().unwrap();
    run(&["init", "--vault", &url, "--out", etc, "--recipient", "age1stub1wd682cs39fx9v"], b"");
    run(&["--config", config.to_str().unwrap(), "backup", "--name", "x", "--stdin"], b"some bytes");
    (sandbox, dir)
}

fn plugin(dir: &Path, script: &str) {
    let path = dir.join("age-plugin-stub");
    fs::write(&path, script).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_plugin_that_fails_is_no_wrong_identity() {
    let (sandbox, dir) = vault();
    let run = |args: &[&str]| {
        let mut command = sandbox.command();
        command.env("PATH", format!("{}:/usr/bin:/bin", dir.display())).args(["--vault", &sandbox.url()]);
        sandbox.finish(command.args(args).arg("-i").arg(sandbox.identity()))
    };
    run(&["key", "check"]).ok();
    for script in ["#!/bin/sh\nexit 3\n", "#!/bin/sh\necho nonsense\n"] {
        plugin(&dir, script);
        for args in [&["key", "check"][..], &["restore", "latest", "--source", "x", "--to", "-"]] {
            let run = run(args).code(1).says("plugin of an identity failed");
            assert!(!run.stderr.contains("2068") && !run.stderr.contains('\u{2068}'), "{}", run.stderr);
            assert!(!run.stderr.contains("does not open"), "{}", run.stderr);
        }
    }
}

#[test]
fn an_answer_without_end_is_cut() {
    let (sandbox, dir) = vault();
    // It goes on for as long as somebody reads, and leaves what it is asked in the pipe.
    plugin(&dir, "#!/bin/sh\nexec 3<&0\nexec tr '\\0' x </dev/zero\n");
    let mut command = sandbox.command();
    command.env("PATH", format!("{}:/usr/bin:/bin", dir.display())).args(["--vault", &sandbox.url(), "key", "check"]);
    sandbox.finish(command.arg("-i").arg(sandbox.identity())).code(1).says("longer than any answer");
}

/// Starts a restore, and waits until its plugin waits. Gives the processes of the plugin, and that between it and us.
fn waiting(sandbox: &Sandbox, dir: &Path) -> (Child, Vec<u32>) {
    let pids = dir.join("pids");
    let _ = fs::remove_file(&pids);
    // What it starts outlives it, and hears no polite signal.
    let script = format!(
        "#!/bin/sh\ntrap '' TERM INT HUP\nsleep 1000 &\necho $! $$ $PPID >{0}.part\nmv {0}.part {0}\nwait\n",
        pids.display()
    );
    plugin(dir, &script);
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("strongroom"));
    command.env("PATH", format!("{}:/usr/bin:/bin", dir.display())).args(["--vault", &sandbox.url(), "restore"]);
    command.args(["latest", "--source", "x", "--to", "-", "-i"]).arg(sandbox.identity());
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("the plugin waits", || pids.exists());
    let text = fs::read_to_string(pids).unwrap();
    (child, text.split_whitespace().map(|pid| pid.parse().unwrap()).collect())
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_mins(1), "{what}: not so");
        sleep(Duration::from_millis(20)); // What is waited for happens in another process.
    }
}

/// Whether a process is there and no zombie.
fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
}

fn kill(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

fn ended(mut child: Child) -> ExitStatus {
    child.wait().unwrap()
}

#[test]
fn a_command_that_waits_for_a_plugin_ends_when_it_is_asked_to_and_takes_the_plugin_along() {
    let (sandbox, dir) = vault();
    // One signal is enough: before its grace is over, nothing is left.
    let (child, pids) = waiting(&sandbox, &dir);
    assert!(pids.iter().all(|pid| runs(*pid)));
    kill(&child, Signal::TERM);
    assert_eq!(ended(child).code(), Some(130));
    assert!(!pids.iter().any(|pid| runs(*pid)), "{pids:?} outlived it");
    // Whatever ends it.
    let (child, pids) = waiting(&sandbox, &dir);
    kill(&child, Signal::KILL);
    assert_eq!(ended(child).signal(), Some(9));
    until("plugin and helper are gone", || !pids.iter().any(|pid| runs(*pid)));
}
