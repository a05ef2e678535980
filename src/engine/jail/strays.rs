//! What a confined program leaves running. In a process namespace nothing outlives it; elsewhere whatever it started falls to
//! strongroom, which ends it.

use std::{
    fs,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, getpid, kill_process, set_child_subreaper, waitid};

use super::Warden;

/// How long processes are ended that start others as quickly.
const PATIENCE: Duration = Duration::from_secs(10);

impl Warden {
    /// From now on, processes whose parents are gone fall to this one.
    pub(super) fn adopt() {
        // A kernel that refuses leaves them to the first process, as ever.
        let _ = set_child_subreaper(Some(getpid()));
    }

    /// Ends what was left running by programs that are gone.
    pub fn end_strays(&self) {
        if self.program.is_none() || self.apart {
            return;
        }
        let end = Instant::now() + PATIENCE;
        loop {
            let found = strays();
            for pid in &found {
                // It fails only for what has ended.
                let _ = kill_process(*pid, Signal::KILL);
                let _ = waitid(WaitId::Pid(*pid), WaitIdOptions::EXITED);
            }
            if found.is_empty() || Instant::now() > end {
                return;
            }
        }
    }
}

/// Children of this process that are held by more filters of system calls than it is: nothing else that it starts is.
fn strays() -> Vec<Pid> {
    let field = |status: &str, name: &str| -> Option<u64> {
        status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?.trim().parse().ok()
    };
    let filters = |status: &str| field(status, "Seccomp_filters");
    let own = fs::read_to_string("/proc/self/status").ok();
    let Some(own) = own.and_then(|status| Some((field(&status, "Pid")?, filters(&status)?))) else { return Vec::new() };
    let stray = |entry: fs::DirEntry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let status = fs::read_to_string(entry.path().join("status")).ok()?;
        let held = filters(&status)? > own.1 && field(&status, "PPid")? == own.0;
        Pid::from_raw(pid).filter(|_| held)
    };
    fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(stray).collect()
}
