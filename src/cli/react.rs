//! Runs what a watch reacts with: a program without a shell, a time limit, and what was seen in its environment.

use std::{
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal as Kill, kill_process_group};

use super::config::watch::React;
use crate::{
    model::{SnapshotId, visible},
    ops::signals::Signal,
};

/// How often a program that runs is looked at.
const POLL: Duration = Duration::from_millis(20);
/// The longest text that is handed over, in characters.
const WORDS: usize = 2000;

/// Runs a reaction to `signal`.
///
/// # Errors
/// Why it did not end well, in words.
pub fn run(reaction: &React, signal: &Signal) -> Result<(), String> {
    let Some((program, args)) = reaction.command.split_first() else { return Err("there is no program".to_owned()) };
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
    for (name, _) in std::env::vars_os() {
        // What opens the vault is nobody else's.
        if ["STRONGROOM_", "AWS_"].iter().any(|ours| name.to_string_lossy().starts_with(ours)) {
            command.env_remove(name);
        }
    }
    command.envs(told(signal));
    let mut child = command.spawn().map_err(|error| format!("{program} can't be started: {error}"))?;
    let deadline = Instant::now() + reaction.timeout.as_duration();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("{program} ended with {}", how(status))),
            Ok(None) if Instant::now() < deadline => thread::sleep(POLL),
            Ok(None) => {
                stop(&mut child);
                return Err(format!("{program} was ended after {}", reaction.timeout));
            }
            Err(error) => {
                stop(&mut child);
                return Err(format!("{program} can't be waited for: {error}"));
            }
        }
    }
}

/// Ends a program and all that it started.
fn stop(child: &mut Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // It may have ended meanwhile.
        let _ = kill_process_group(group, Kill::KILL);
    }
    let _ = child.wait();
}

fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "no status".to_owned(),
    }
}

/// What was seen, for the program. Names in it come from the data, so nothing of it may be a control character.
fn told(signal: &Signal) -> Vec<(&'static str, String)> {
    let id = |id: Option<SnapshotId>| id.map(|id| id.to_string()).unwrap_or_default();
    let words: Vec<String> = signal.reasons.iter().map(|v| format!("{}: {}", v.rule, v.words)).collect();
    let words: String = visible(&words.join("; ")).chars().take(WORDS).collect();
    vec![
        ("WATCH_CAUSE", signal.cause.clone()),
        ("WATCH_LEVEL", signal.level.as_str().to_owned()),
        ("WATCH_WRITER", signal.writer.to_string()),
        ("WATCH_SOURCE", signal.source.to_string()),
        ("WATCH_SNAPSHOT", id(signal.snapshot)),
        ("WATCH_LAST_GOOD", id(signal.last_good)),
        ("WATCH_WORDS", words),
    ]
}
