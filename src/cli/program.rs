//! Runs a program that the configuration names: without a shell, with a time limit, and with nothing in its environment that
//! opens the vault.

use std::{
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::model::{Span, visible};

/// How often a program that runs is looked at.
const POLL: Duration = Duration::from_millis(20);
/// The longest text that is handed over, in characters.
const WORDS: usize = 2000;

/// Runs `argv` and waits for it, so long at most. `told` is added to its environment.
///
/// # Errors
/// Why it did not end well, in words.
pub fn run(argv: &[String], timeout: Span, told: Vec<(&'static str, String)>) -> Result<(), String> {
    let Some((program, rest)) = argv.split_first() else { return Err("there is no program".to_owned()) };
    let mut command = Command::new(program);
    command.args(rest).stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
    for (name, _) in std::env::vars_os() {
        // What opens the vault is nobody else's.
        if ["STRONGROOM_", "AWS_"].iter().any(|ours| name.to_string_lossy().starts_with(ours)) {
            command.env_remove(name);
        }
    }
    command.envs(told);
    let mut child = command.spawn().map_err(|error| format!("{program} can't be started: {error}"))?;
    let deadline = Instant::now() + timeout.as_duration();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("{program} ended with {}", how(status))),
            Ok(None) if Instant::now() < deadline => thread::sleep(POLL),
            Ok(None) => {
                stop(&mut child);
                return Err(format!("{program} was ended after {timeout}"));
            }
            Err(error) => {
                stop(&mut child);
                return Err(format!("{program} can't be waited for: {error}"));
            }
        }
    }
}

/// Text as it is handed over. It may come out of the data, so nothing of it may be a control character.
#[must_use]
pub fn words(text: &str) -> String {
    visible(text).chars().take(WORDS).collect()
}

/// Ends a program and all that it started.
fn stop(child: &mut Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // It may have ended meanwhile.
        let _ = kill_process_group(group, Signal::KILL);
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
