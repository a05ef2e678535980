//! How programs are started that handle what is not trusted: with nothing of this environment, and within a jail.

use std::{
    ffi::OsString,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What of this environment a program gets that handles what is not trusted.
const KEPT: [&str; 2] = ["PATH", "LD_LIBRARY_PATH"];

/// A place for programs that handle what is not trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// What stands before the program and its arguments: what confines it. Nothing, if it is to run unconfined.
    pub(crate) before: Vec<OsString>,
    /// The user and the group to run as, where nothing stands before it that sees to that.
    pub(crate) user: Option<(u32, u32)>,
    /// Its home, and where it begins.
    pub(crate) home: PathBuf,
}

impl Cell {
    /// The program, to be given its arguments. Its standard input is empty.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut words = self.before.iter().map(OsString::as_os_str).chain([program.as_os_str()]);
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).env_clear().current_dir(&self.home).stdin(Stdio::null());
        command.env("HOME", &self.home).env("TMPDIR", &self.home).env("LC_ALL", "C");
        for name in KEPT {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
    }
}
