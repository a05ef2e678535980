//! A private directory that is gone afterwards, whatever happens: when it is dropped, when it is told to from another
//! thread, and after a kill by the next one that is made.

mod clear;

use std::{
    fs::{self, File, Permissions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use rustix::{
    fs::{FlockOperation, OFlags},
    process::{Pid, Signal},
};

use super::{Result, SourceError};
use crate::model::size;

/// How the directories are called.
const PREFIX: &str = "strongroom-scratch-";
/// The file in each that its owner keeps locked. The kernel lets go of it when the process dies.
const LOCK: &str = ".lock";
/// What that file is called until it is locked.
const MAKING_LOCK: &str = ".lock.new";
/// A directory without that file may be in the making for this long.
const MAKING: Duration = Duration::from_mins(1);

/// Those of this process. Threads that are left behind at its end can't remove theirs.
static MADE: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Removes every scratch directory of this process.
pub fn remove_all() {
    let made = std::mem::take(&mut *MADE.lock().unwrap_or_else(PoisonError::into_inner));
    for path in &made {
        remove(path);
    }
}

/// A directory below the system's temporary directory (`TMPDIR`), for this user alone.
pub struct Scratch {
    path: PathBuf,
    lock: File,
}

/// What removes a scratch directory from another thread.
#[derive(Clone)]
pub struct Remover(PathBuf);

impl Remover {
    /// Removes the directory with all that is in it, as far as that can be.
    pub fn remove(&self) {
        remove(&self.0);
    }
}

impl Scratch {
    /// Makes one, after clearing away what dead runs of this user left.
    ///
    /// # Errors
    /// If there is no temporary directory that can be written to.
    pub fn new() -> Result<Self> {
        Self::below(&std::env::temp_dir())
    }

    fn below(base: &Path) -> Result<Self> {
        sweep(base);
        let failed = |path: &Path, e| SourceError::at("can't make a private temporary directory", path, e);
        // Absolute, since children get it as their home and as an argument.
        let base = fs::canonicalize(base).map_err(|e| failed(base, e))?;
        let private = Permissions::from_mode(0o700);
        let made = tempfile::Builder::new().prefix(PREFIX).rand_bytes(12).permissions(private).tempdir_in(&base);
        // What removes it is in this file, and knows of processes that may still write there.
        let path = made.map_err(|e| failed(&base, e))?.keep();
        // It has its name once it is locked: whoever finds it unlocked takes its owner for dead.
        let making = path.join(MAKING_LOCK);
        let lock = File::options().write(true).create_new(true).mode(0o600).open(&making);
        let lock = lock.and_then(|file| {
            rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
            fs::rename(&making, path.join(LOCK))?;
            Ok(file)
        });
        match lock {
            Ok(lock) => {
                MADE.lock().unwrap_or_else(PoisonError::into_inner).push(path.clone());
                Ok(Self { path, lock })
            }
            Err(e) => {
                remove(&path);
                Err(failed(&path, e))
            }
        }
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What removes it from another thread.
    #[must_use]
    pub fn remover(&self) -> Remover {
        Remover(self.path.clone())
    }

    /// Writes a new file that only this user can read, and returns its path.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<PathBuf> {
        write(&self.path, name, bytes)
    }

    /// How many bytes fit in it.
    ///
    /// # Errors
    /// If nobody can tell.
    pub fn free(&self) -> Result<u64> {
        free(&self.path).map_err(|e| SourceError::at("can't find out the free space", &self.path, e))
    }

    /// Fails unless `bytes` more fit in it.
    ///
    /// # Errors
    /// If they don't, or nobody can tell.
    pub fn must_hold(&self, bytes: u64) -> Result<()> {
        let free = self.free()?;
        if free >= bytes {
            return Ok(());
        }
        let what = format!(
            "the temporary directory has {} free and {} are needed; let TMPDIR name one with more room",
            size::human(free),
            size::human(bytes)
        );
        Err(SourceError::new(what, self.path.display().to_string()))
    }
}

/// How many bytes are free where `path` is.
///
/// # Errors
/// If nobody can tell.
pub fn free(path: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Writes a new file into `dir` that only this user can read, and returns its path.
///
/// # Errors
/// If it can't be written.
pub fn write(dir: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf> {
    let path = dir.join(name);
    let file = File::options().write(true).create_new(true).mode(0o600).open(&path);
    let written = file.and_then(|mut file| file.write_all(bytes));
    written.map_err(|e| SourceError::at("can't write a private temporary file", &path, e))?;
    Ok(path)
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove(&self.path);
        MADE.lock().unwrap_or_else(PoisonError::into_inner).retain(|path| *path != self.path);
        let _ = rustix::fs::flock(&self.lock, FlockOperation::Unlock);
    }
}

/// Removes a directory, after ending what still runs in it: an engine that outlived its run would go on writing.
fn remove(path: &Path) {
    for pid in running_in(path) {
        // It fails only if it has ended already.
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
    for _ in 0..20 {
        match clear::clear(path) {
            Ok(()) => return,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return,
            // A process that is just being killed may have made one more file.
            Err(_) => {}
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The processes whose command line names `path`, or that work in it. Empty where there is no `/proc`.
fn running_in(path: &Path) -> Vec<Pid> {
    let needle = path.as_os_str().as_encoded_bytes();
    let own = std::process::id().to_string();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let named = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok().filter(|name| *name != own)?;
        let pid = Pid::from_raw(name.parse().ok()?)?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let named = line.windows(needle.len()).any(|part| part == needle);
        let within = || fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(path));
        (named || within()).then_some(pid)
    };
    entries.flatten().filter_map(named).collect()
}

/// Clears away what dead runs of this user left. Whatever fails here is left for the next time.
fn sweep(base: &Path) {
    let own = rustix::process::geteuid().as_raw();
    let Ok(entries) = fs::read_dir(base) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if !entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
            continue;
        }
        // Not through a link, and nobody else's: what others put there is theirs to remove.
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        if meta.is_dir() && meta.uid() == own && is_dead(&path, &meta) {
            tracing::info!(path = %path.display(), "removing what a dead run left");
            remove(&path);
        }
    }
}

fn is_dead(path: &Path, meta: &fs::Metadata) -> bool {
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or_default();
    if let Ok(file) = File::options().write(true).custom_flags(flags).open(path.join(LOCK)) {
        return rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
    }
    let age = meta.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
    age.is_some_and(|age| age > MAKING)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_private_and_gone_when_dropped() {
        let base = tempfile::tempdir().unwrap();
        let scratch = Scratch::below(base.path()).unwrap();
        let path = scratch.path().to_owned();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o700);
        let file = scratch.write("secret", b"x").unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
        assert!(scratch.write("secret", b"x").is_err(), "nothing is written over");
        fs::create_dir(path.join("locked")).unwrap();
        fs::write(path.join("locked/file"), "x").unwrap();
        fs::set_permissions(path.join("locked"), Permissions::from_mode(0o0)).unwrap();
        drop(scratch);
        assert!(!path.exists());
    }

    #[test]
    fn what_a_dead_run_left_goes_and_what_lives_stays() {
        let base = tempfile::tempdir().unwrap();
        let living = Scratch::below(base.path()).unwrap();
        let dead = Scratch::below(base.path()).unwrap();
        let left = dead.path().to_owned();
        // A dead process holds no lock.
        rustix::fs::flock(&dead.lock, FlockOperation::Unlock).unwrap();
        fs::write(left.join("plaintext"), "x").unwrap();
        let others = base.path().join("strongroom-scratch-file");
        fs::write(&others, "no directory").unwrap();
        let linked = base.path().join("strongroom-scratch-link");
        std::os::unix::fs::symlink("/", &linked).unwrap();
        let new = Scratch::below(base.path()).unwrap();
        assert!(!left.exists() && living.path().exists() && new.path().exists() && others.exists());
        assert!(fs::symlink_metadata(&linked).is_ok());
        std::mem::forget(dead);
    }

    #[test]
    fn what_runs_in_it_ends_with_it() {
        let base = tempfile::tempdir().unwrap();
        let scratch = Scratch::below(base.path()).unwrap();
        let mut child = std::process::Command::new("tail").arg("-f").arg(scratch.path().join(LOCK)).spawn().unwrap();
        while running_in(scratch.path()).is_empty() {
            std::thread::sleep(Duration::from_millis(5));
        }
        drop(scratch);
        assert!(!child.wait().unwrap().success());
    }
}
