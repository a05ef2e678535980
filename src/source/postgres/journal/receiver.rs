//! `pg_receivewal`, running.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal};

use super::{
    super::super::{Result, child, child::Running},
    server::{Identity, Server},
};

/// How long it may take to end when it is asked to.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often it is looked whether it has.
const POLL: Duration = Duration::from_millis(20);

/// A receiver. Ends when dropped.
pub struct Receiver {
    running: Running,
    since: Instant,
}

impl Receiver {
    /// Starts to receive through `slot` into `spool`.
    ///
    /// To be called on a thread that lasts as long as the receiver is to: where the system can, it ends with that thread,
    /// whatever ends this process.
    ///
    /// # Errors
    /// If the program is not there or too old.
    pub fn start(server: &Server, identity: &Identity, slot: &str, spool: &Path, status: u64) -> Result<Self> {
        let tool = server.receiver(&identity.version)?;
        let mut command = if ends_with_us() {
            let mut command = Command::new("setpriv");
            command.args(["--pdeathsig", "KILL", "--"]).arg(&tool.path);
            command
        } else {
            Command::new(&tool.path)
        };
        // Whether and when to try again is decided here, where it can be told. Nothing is compressed, since it is read while
        // it is written. It is written to the file as it comes, and synced when a segment is complete; only then the server
        // may forget it.
        command.args(["--no-loop", "-w", "-S", slot, "-s"]).arg(status.to_string()).arg("-D").arg(spool);
        command.arg("-d").arg(server.info().argument(None));
        server.info().equip(&mut command);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let running = Running::start(&mut command, &tool.path.to_string_lossy(), server.info().secrets())?;
        Ok(Self { running, since: Instant::now() })
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
        Some(format!("pg_receivewal {how}{}", self.running.said()))
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

/// Ends receivers of this user that write to `spool`: what a killed run left. To be called while nobody else may have one.
pub fn end_orphans(spool: &Path) {
    let own = rustix::process::geteuid().as_raw();
    let Ok(entries) = fs::read_dir("/proc") else { return };
    for entry in entries.flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        let (Some(pid), Ok(meta)) = (pid, entry.metadata()) else { continue };
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        let receives = words.first().is_some_and(|word| word.ends_with(b"pg_receivewal"));
        let here =
            words.windows(2).any(|pair| matches!(pair, [b"-D", dir] if *dir == spool.as_os_str().as_encoded_bytes()));
        if meta.uid() == own && receives && here {
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
