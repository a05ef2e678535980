//! A cluster with tablespaces: `pg_basebackup` writes one file for each, and what it takes for files are pipes. So nothing
//! lies on this disk, and it waits while the vault is slow.

use std::{
    fs::{self, File},
    io::ErrorKind,
    os::fd::OwnedFd,
    path::PathBuf,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{CWD, FileType, Mode, OFlags},
    io::{Errno, ioctl_fionread},
};

use super::super::super::{Result, SourceError, child::Running, redact::Known, scratch::Scratch};

/// How long it may take until it has made its directory: until it has connected.
const PATIENCE: Duration = Duration::from_mins(2);
/// How often the directory is looked for, and then whether anything is written.
const LOOK: Duration = Duration::from_micros(200);
const WAIT: Duration = Duration::from_millis(5);
/// How often it is started again where it was quicker than we.
const TRIES: u32 = 5;

/// The pipes of one run.
pub(super) struct Spaces {
    /// Removed with all that is in it.
    _scratch: Scratch,
    dir: PathBuf,
    /// Those that nothing came through so far.
    waiting: Vec<(String, OwnedFd)>,
    names: Vec<String>,
}

impl Spaces {
    /// Starts `pg_basebackup`, which is `command` but for its directory, and lays pipes where it will make the files `names`.
    ///
    /// It wants an empty directory and looks once, before it asks the server for anything. The pipes are laid between that
    /// and the first byte, which a checkpoint comes before. Where it was quicker, a file is there already: then it is
    /// stopped, and started again.
    pub(super) fn start(
        command: impl Fn() -> Command,
        program: &str,
        known: &Known,
        names: Vec<String>,
    ) -> Result<(Running, Self)> {
        let scratch = Scratch::new()?;
        for run in 0..TRIES {
            let dir = scratch.path().join(format!("base-{run}"));
            let mut command = command();
            command.arg("-D").arg(&dir);
            let running = Running::start(&mut command, program, known.clone())?;
            let end = Instant::now() + PATIENCE;
            while !dir.is_dir() {
                if running.has_ended() || Instant::now() > end {
                    // Either it failed, and says why, or it is stopped.
                    if running.has_ended() {
                        running.finish()?;
                    }
                    return Err(SourceError::new("has not begun to write after two minutes", program));
                }
                thread::sleep(LOOK);
            }
            match lay(&dir, &names) {
                Ok(waiting) => return Ok((running, Self { _scratch: scratch, dir, waiting, names })),
                Err(Errno::EXIST) => {
                    tracing::info!("pg_basebackup began before its pipes were laid; starting it again");
                }
                Err(e) => return Err(SourceError::at("can't make a pipe in", &dir, e.into())),
            }
        }
        Err(SourceError::new(
            "began each time before its pipes were laid: this host is too busy; run it again",
            program,
        ))
    }

    /// The next file that is written to, when it is; `None` when there is no more.
    pub(super) fn next(&mut self, running: &Running) -> Result<Option<(String, File)>> {
        while !self.waiting.is_empty() {
            // Asked before, so that what it wrote at last is seen.
            let ended = running.has_ended();
            let written = |(_, pipe): &(String, OwnedFd)| ioctl_fionread(pipe).is_ok_and(|held| held > 0);
            if let Some(at) = self.waiting.iter().position(written) {
                let (name, pipe) = self.waiting.swap_remove(at);
                let blocking = rustix::fs::fcntl_getfl(&pipe)
                    .and_then(|flags| rustix::fs::fcntl_setfl(&pipe, flags.difference(OFlags::NONBLOCK)));
                blocking.map_err(|e| SourceError::at("can't read a pipe in", &self.dir, e.into()))?;
                return Ok(Some((name, File::from(pipe))));
            }
            if ended {
                return Ok(None);
            }
            thread::sleep(WAIT);
        }
        Ok(None)
    }

    /// Called when it has ended: fails if it wrote to other files than those that were known.
    pub(super) fn check(&self, manifest: &str) -> Result<()> {
        if let Some((name, _)) = self.waiting.first() {
            let what = "nothing was written of it: a tablespace was dropped when the backup began; run it again";
            return Err(SourceError::new(what, name));
        }
        let entries = fs::read_dir(&self.dir).map_err(|e| SourceError::at("can't look into", &self.dir, e))?;
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name != manifest && !self.names.contains(&name) {
                let what = "was written, and not read: a tablespace was made when the backup began; run it again";
                return Err(SourceError::new(what, name));
            }
        }
        Ok(())
    }

    /// A file that it wrote.
    pub(super) fn file(&self, name: &str) -> Result<File> {
        let path = self.dir.join(name);
        File::open(&path).map_err(|e| match e.kind() {
            ErrorKind::NotFound => SourceError::new("was not written", name),
            _ => SourceError::at("can't open", &path, e),
        })
    }
}

/// Makes the pipes, and opens them so that whoever writes to them neither waits nor fails.
fn lay(dir: &std::path::Path, names: &[String]) -> rustix::io::Result<Vec<(String, OwnedFd)>> {
    let lay = |name: &String| {
        let path = dir.join(name);
        rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0)?;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::open(&path, flags, Mode::empty()).map(|pipe| (name.clone(), pipe))
    };
    names.iter().map(lay).collect()
}
