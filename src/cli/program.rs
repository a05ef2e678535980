//! Runs programs of the configuration: without a shell, in a process group of their own, within a time limit.

use std::{
    io::Read,
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::{
    model::{Span, visible},
    source::redact::redact,
};

/// How often a program that runs is looked at.
const POLL: Duration = Duration::from_millis(20);
/// So much of what it says on standard error is told.
const KEPT: usize = 400;
/// The longest text that is handed over, in characters.
const WORDS: usize = 2000;

/// How a program ended.
#[derive(Debug)]
pub enum Ended {
    /// By itself.
    Status(ExitStatus, String),
    /// It did not within its time, and was ended.
    Late,
    /// It could not be started or waited for.
    Never(String),
}

impl Ended {
    /// In words, if it is no success.
    ///
    /// # Errors
    /// How it ended.
    pub fn success(self, program: &str, limit: impl std::fmt::Display) -> Result<(), String> {
        match self {
            Self::Status(status, _) if status.success() => Ok(()),
            Self::Status(status, said) => Err(format!("{program} ended with {}{}", how(status), quoted(&said))),
            Self::Late => Err(format!("{program} was ended after {limit}")),
            Self::Never(why) => Err(format!("{program} {why}")),
        }
    }
}

/// What a program said, behind how it ended.
pub fn quoted(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(": {said}") }
}

/// Runs `argv` within a time limit. `told` is added to its environment, which has nothing in it that opens the vault.
///
/// # Errors
/// Why it did not end well, in words.
pub fn run(argv: &[String], limit: Span, told: Vec<(&'static str, String)>) -> Result<(), String> {
    let Some((program, rest)) = argv.split_first() else { return Err("there is no program".to_owned()) };
    let mut command = Command::new(program);
    command.args(rest);
    for (name, _) in std::env::vars_os() {
        // What opens the vault is nobody else's.
        if ["STRONGROOM_", "AWS_"].iter().any(|ours| name.to_string_lossy().starts_with(ours)) {
            command.env_remove(name);
        }
    }
    command.envs(told);
    run_command(&mut command, limit.as_duration()).success(program, limit)
}

/// Text as it is handed over. It may come out of the data, so nothing of it may be a control character.
#[must_use]
pub fn words(text: &str) -> String {
    visible(text).chars().take(WORDS).collect()
}

/// Runs a command to its end, or to that of its time.
pub fn run_command(command: &mut Command, limit: Duration) -> Ended {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Ended::Never(format!("can't be started: {error}")),
    };
    let said = listen(&mut child);
    let deadline = Instant::now() + limit;
    loop {
        match child.try_wait() {
            // What it left behind may hold its standard error open for as long as it likes.
            Ok(Some(status)) => {
                return Ended::Status(status, said.recv_timeout(POLL * 10).unwrap_or_default());
            }
            Ok(None) if Instant::now() < deadline => thread::sleep(POLL),
            Ok(None) => {
                stop(&mut child);
                return Ended::Late;
            }
            Err(error) => {
                stop(&mut child);
                return Ended::Never(format!("can't be waited for: {error}"));
            }
        }
    }
}

/// Reads the beginning of what it says, and the rest so that it never blocks.
fn listen(child: &mut Child) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    let Some(mut pipe) = child.stderr.take() else { return receiver };
    thread::spawn(move || {
        let (mut kept, mut piece) = (Vec::new(), [0; 1024]);
        while let Ok(n @ 1..) = pipe.read(&mut piece) {
            let room = KEPT.saturating_sub(kept.len());
            kept.extend(piece.iter().take(n.min(room)));
        }
        let text = redact(String::from_utf8_lossy(&kept).trim());
        // Nobody may be waiting any more.
        let _ = sender.send(visible(&text));
    });
    receiver
}

/// Ends a program and all that it started.
pub fn stop(child: &mut Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // It may have ended meanwhile.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait();
}

/// How a program ended, in words.
pub fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "no status".to_owned(),
    }
}
