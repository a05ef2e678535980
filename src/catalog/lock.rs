//! One run at a time for each writer of a vault.

use std::{
    fs::File,
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use rustix::fs::{FlockOperation, flock};

use super::state;
use crate::model::{Name, Time, VaultId};

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum RunLockError {
    /// Another one of its kind is under way.
    #[error(
        "another {what} is under way{}{}; wait until it is done ({})",
        .pid.map(|pid| format!(", process {pid}")).unwrap_or_default(),
        .since.map(|since| format!(", since {since}")).unwrap_or_default(),
        .path.display()
    )]
    Held {
        /// What it is.
        what: &'static str,
        /// Its process, as far as it is known.
        pid: Option<u32>,
        /// When it began, by the clock of the file system, as far as it is known.
        since: Option<Time>,
        /// The lock file.
        path: PathBuf,
    },
    /// The lock file can't be used.
    #[error("{what} ({}): {source}; check that this user may write there", .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The lock file or its directory.
        path: PathBuf,
        /// The error beneath.
        source: io::Error,
    },
}

/// The right of one process to run as this writer of this vault, until it is dropped or the process ends, however that
/// may happen.
///
/// The operating system holds the lock on an open file, so a killed run leaves none. The file stays: were it removed,
/// two runs could each hold a lock on a file of that name. What it says is only for the message to the next in line.
#[derive(Debug)]
pub struct RunLock {
    file: File,
}

impl RunLock {
    /// Takes the lock, without waiting. Makes the state directory and the file if they are missing.
    ///
    /// # Errors
    /// `Held` while another run has it; `Io` if the file can't be made, locked or written.
    pub fn acquire(state: &Path, vault: VaultId, writer: &Name) -> Result<Self, RunLockError> {
        state::make_dir(state).map_err(fail("cannot make the state directory", state))?;
        Self::take(state::path(state, vault, writer, "lock"), "run of this writer")
    }

    /// Whether somebody has the lock that the file at `path` stands for. To look, it is taken for a moment.
    pub(super) fn is_held(path: &Path) -> bool {
        let Ok(file) = File::open(path) else { return false };
        flock(&file, FlockOperation::NonBlockingLockShared) == Err(rustix::io::Errno::WOULDBLOCK)
    }

    /// Takes the lock that the file at `path` stands for, without waiting; `what` says in messages what has it.
    pub(super) fn take(path: PathBuf, what: &'static str) -> Result<Self, RunLockError> {
        let mut file = state::open_private(&path).map_err(fail("cannot open the lock file", &path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(RunLockError::Held { what, pid: read_pid(&mut file), since: changed(&file), path });
            }
            Err(errno) => return Err(fail("cannot lock the lock file", &path)(errno.into())),
        }
        // Also overwrites what a killed run left.
        let mut lock = Self { file };
        lock.sign().map_err(fail("cannot write the lock file", &path))?;
        Ok(lock)
    }

    fn sign(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        writeln!(self.file, "pid {}", std::process::id())
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        // Unlocked by name and not only by closing: a child that was just forked may still share the open file.
        let _ = self.file.set_len(0);
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

fn fail(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RunLockError {
    let path = path.to_owned();
    move |source| RunLockError::Io { what, path, source }
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(64).read_to_string(&mut text).ok()?;
    text.lines().next()?.strip_prefix("pid ")?.parse().ok()
}

/// The holder writes the file once, when it begins.
fn changed(file: &File) -> Option<Time> {
    let since = file.metadata().ok()?.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(Time::from_unix(i64::try_from(since.as_secs()).ok()?))
}

#[cfg(test)]
mod tests {
    use std::{
        env,
        io::{BufRead, BufReader},
        process::{Command, Stdio},
    };

    use super::*;

    const STATE: &str = "STRONGROOM_TEST_LOCK_STATE";

    fn acquire(state: &Path) -> Result<RunLock, RunLockError> {
        RunLock::acquire(state, VaultId::from_bytes([7; 32]), &"db1".parse().unwrap())
    }

    fn text(state: &Path) -> String {
        std::fs::read_to_string(state.join("0707070707070707-db1.lock")).unwrap()
    }

    #[test]
    fn only_one_run_of_a_writer_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("deep/state");
        let first = acquire(&state).unwrap();
        let RunLockError::Held { pid, since, path, .. } = acquire(&state).unwrap_err() else { panic!("not held") };
        assert_eq!(pid, Some(std::process::id()));
        assert!(since.is_some());
        assert_eq!(path, state.join("0707070707070707-db1.lock"));

        let other = RunLock::acquire(&state, VaultId::from_bytes([7; 32]), &"db2".parse().unwrap());
        assert!(other.is_ok(), "another writer is free to run");
        drop(first);
        assert_eq!(text(&state), "");

        std::fs::write(&path, "pid 4294967295\nmore than we write").unwrap();
        let _again = acquire(&state).unwrap();
        assert_eq!(text(&state), format!("pid {}\n", std::process::id()), "nothing old stays");
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        std::fs::write(&state, "a file").unwrap();
        let error = acquire(&state).unwrap_err();
        assert!(matches!(error, RunLockError::Io { .. }));
        assert!(error.to_string().contains(state.to_str().unwrap()), "{error}");
    }

    /// Not a test by itself: the process that the test below starts and kills.
    #[test]
    #[ignore = "started by a_killed_run_leaves_no_lock"]
    fn hold_the_lock_until_killed() {
        let Some(state) = env::var_os(STATE) else { return };
        let _lock = acquire(Path::new(&state)).unwrap();
        println!("\nheld");
        let _ = io::stdin().read_line(&mut String::new());
    }

    #[test]
    fn a_killed_run_leaves_no_lock() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "catalog::lock::tests::hold_the_lock_until_killed", "--ignored", "--nocapture"])
            .env(STATE, dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "held"), "the child took the lock");

        let RunLockError::Held { pid, .. } = acquire(dir.path()).unwrap_err() else { panic!("not held") };
        assert_eq!(pid, Some(child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(text(dir.path()), format!("pid {}\n", child.id()), "nobody cleaned up");

        let _lock = acquire(dir.path()).unwrap();
        assert_eq!(text(dir.path()), format!("pid {}\n", std::process::id()));
    }
}
