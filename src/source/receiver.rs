//! A program of a server's that receives its log, running until it is stopped.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal};

use super::child::{self, Running};

/// How long it may take to end when it is asked to.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often it is looked whether it has.
const POLL: Duration = Duration::from_millis(20);

/// A receiver. Ends when dropped.
pub struct Receiver {
    running: Running,
    program: &'static str,
    since: Instant,
}

impl Receiver {
    /// One that was started by [`tied`], as `program`.
    pub(super) fn new(running: Running, program: &'static str) -> Self {
        Self { running, program, since: Instant::now() }
    }

    /// How long it has been running.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// What it said, if it has ended.
    pub fn ended(&mut self) -> Option<String> {
        if !self.running.has_ended() {
            return None;
        }
        let how = self.running.reap().map_or_else(|e| e.what, child::ended);
        Some(format!("{} {how}{}", self.program, self.running.said()))
    }

    /// Asks it to end in good order, and sees to it that it does.
    pub fn stop(self) {
        if self.running.has_ended() {
            return;
        }
        let _ = rustix::process::kill_process(self.running.group(), Signal::TERM);
        let end = Instant::now() + PATIENCE;
        while !self.running.has_ended() && Instant::now() < end {
            thread::sleep(POLL);
        }
    }
}

/// A command for `program`, which ends with the thread that starts it where the system can, whatever ends this process.
pub(super) fn tied(program: &std::path::Path) -> Command {
    if !ends_with_us() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// Whether there is a program that makes another end with its parent.
fn ends_with_us() -> bool {
    let mut command = Command::new("setpriv");
    child::without_ours(&mut command);
    command
        .args(["--pdeathsig", "KILL", "--", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Ends receivers of this user that a killed run left: programs called `program` whose arguments `mean` this one. To be
/// called while nobody else may have one.
pub(super) fn end_left(program: &str, mean: impl Fn(&[&[u8]]) -> bool) {
    let own = rustix::process::geteuid().as_raw();
    let Ok(entries) = fs::read_dir("/proc") else { return };
    for entry in entries.flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        let (Some(pid), Ok(meta)) = (pid, entry.metadata()) else { continue };
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        let receives = words.first().is_some_and(|word| word.ends_with(program.as_bytes()));
        if meta.uid() == own && receives && mean(&words) {
            tracing::info!(pid = pid.as_raw_nonzero().get(), "ending a receiver that a dead run left");
            // It fails only if it has ended already.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
            let end = Instant::now() + PATIENCE;
            while entry.path().exists() && Instant::now() < end {
                thread::sleep(POLL);
            }
        }
    }
}
