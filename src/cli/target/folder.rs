//! A directory of restored files. Every step on the way down is taken by a handle and never through a link, so that
//! neither a hostile snapshot nor a link that lies about leads a write elsewhere.

use std::{
    fs::{File, Permissions},
    os::{fd::OwnedFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags, RenameFlags, Timespec, Timestamps, UTIME_OMIT},
    io::Errno,
};

use super::{OpsError, Result, failed};
use crate::ops::restore::{Entry, Plan};

/// Directories are for their owner alone: what a backup held was not meant for everybody.
const DIR_MODE: Mode = Mode::from_raw_mode(0o700);
const FILE_MODE: Mode = Mode::from_raw_mode(0o600);

pub(super) struct Folder {
    /// DIR/<source>.
    root: OwnedFd,
    path: PathBuf,
    current: Option<Unfinished>,
    /// The last directory that was walked to, since neighbours follow one another.
    last: Option<(Vec<String>, OwnedFd)>,
    made: u64,
}

/// A file that has no name of its own yet. Dropped so, it is removed.
struct Unfinished {
    dir: OwnedFd,
    name: String,
    file: File,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let _ = rustix::fs::unlinkat(&self.dir, self.name.as_str(), AtFlags::empty());
    }
}

impl Folder {
    /// Makes `dir`/<source>, and fails if anything of the plan is there already.
    pub(super) fn prepare(dir: &Path, plan: &Plan) -> Result<Self> {
        let path = dir.join(plan.source.as_str());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        // The directory that the person named may be a link; what lies in it may not.
        let above =
            rustix::fs::openat(CWD, dir, flags, Mode::empty()).map_err(|e| failed("can't open", dir, e.into()))?;
        let root = enter(&above, plan.source.as_str()).map_err(|e| failed("can't make or enter", &path, e.into()))?;
        let mut folder = Self { root, path, current: None, last: None, made: 0 };
        for entry in &plan.entries {
            folder.must_be_free(entry)?;
        }
        Ok(folder)
    }

    fn full(&self, entry: &Entry) -> PathBuf {
        self.path.join(entry.path())
    }

    /// Looks without making anything.
    fn must_be_free(&mut self, entry: &Entry) -> Result<()> {
        let parts = entry.parts();
        let Some((name, above)) = parts.split_last() else { return Err(OpsError::Defect("a path")) };
        let mut dir = self.root.try_clone().map_err(|e| failed("can't open", &self.path, e))?;
        for part in above {
            dir = match open_dir(&dir, part) {
                Ok(below) => below,
                Err(Errno::NOENT) => return Ok(()),
                Err(Errno::LOOP | Errno::NOTDIR) => return Err(OpsError::TargetExists { path: self.full(entry) }),
                Err(e) => return Err(failed("can't open", &self.full(entry), e.into())),
            };
        }
        match rustix::fs::statat(&dir, *name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(()),
            Ok(_) => Err(OpsError::TargetExists { path: self.full(entry) }),
            Err(e) => Err(failed("can't look at", &self.full(entry), e.into())),
        }
    }

    /// The directory of an entry, made if need be, and the entry's name in it.
    fn place<'a>(&mut self, entry: &'a Entry) -> Result<(OwnedFd, &'a str)> {
        let parts = entry.parts();
        let Some((name, above)) = parts.split_last() else { return Err(OpsError::Defect("a path")) };
        let full = self.full(entry);
        let copy = |dir: &OwnedFd| dir.try_clone().map_err(|e| failed("can't open", &full, e));
        if let Some((path, dir)) = &self.last
            && path == above
        {
            return Ok((copy(dir)?, name));
        }
        let mut dir = copy(&self.root)?;
        for part in above {
            dir = enter(&dir, part).map_err(|e| failed("can't make or enter a directory of", &full, e.into()))?;
        }
        if let Some((_, left)) = self.last.replace((above.iter().map(|part| (*part).to_owned()).collect(), copy(&dir)?))
        {
            rustix::fs::fsync(&left).map_err(|e| failed("can't finish the directory before", &full, e.into()))?;
        }
        Ok((dir, name))
    }

    /// A new file without its name, and the path it will have.
    pub(super) fn begin(&mut self, entry: &Entry) -> Result<(File, PathBuf)> {
        let path = self.full(entry);
        let (dir, _) = self.place(entry)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let (name, file) = loop {
            self.made += 1;
            let name = format!(".strongroom-{}-{}.partial", std::process::id(), self.made);
            match rustix::fs::openat(&dir, name.as_str(), flags, FILE_MODE) {
                Ok(file) => break (name, File::from(file)),
                Err(Errno::EXIST) => {}
                Err(e) => return Err(failed("can't make a file for", &path, e.into())),
            }
        };
        let again = file.try_clone().map_err(|e| failed("can't open", &path, e))?;
        self.current = Some(Unfinished { dir, name, file });
        Ok((again, path))
    }

    /// Gives an entry its metadata and its name.
    pub(super) fn end(&mut self, entry: &Entry) -> Result<()> {
        let path = self.full(entry);
        let meta = entry.meta();
        if let Some(target) = &meta.link {
            let (dir, name) = self.place(entry)?;
            rustix::fs::symlinkat(target.as_str(), &dir, name)
                .map_err(|e| self.taken("can't make a link", entry, e))?;
            set_time(&dir, name, meta.mtime_ns);
            return Ok(());
        }
        if meta.dir {
            let (dir, name) = self.place(entry)?;
            let mode = Mode::from_raw_mode(meta.mode.unwrap_or(0o700) & 0o777);
            rustix::fs::mkdirat(&dir, name, mode).map_err(|e| self.taken("can't make a directory", entry, e))?;
            // What is made here is private otherwise; where modes mean nothing, none is lost.
            let _ = rustix::fs::chmodat(&dir, name, mode, AtFlags::empty());
            set_time(&dir, name, meta.mtime_ns);
            return Ok(());
        }
        let Some(current) = self.current.take() else { return Err(OpsError::Defect("the file of the restore")) };
        let Some(name) = entry.parts().pop() else { return Err(OpsError::Defect("a path")) };
        // Whose it will be is not whose it was, so it must not run with the rights of its owner.
        let mode = meta.mode.unwrap_or(0o600) & 0o777;
        let finish = || {
            current.file.set_permissions(Permissions::from_mode(mode))?;
            if let Some(ns) = meta.mtime_ns {
                rustix::fs::futimens(&current.file, &modified(ns))?;
            }
            current.file.sync_all()
        };
        finish().map_err(|e| failed("can't finish", &path, e))?;
        put_in_place(&current.dir, &current.name, name).map_err(|e| self.taken("can't give its name to", entry, e))
    }

    /// Forgets the file that was begun.
    pub(super) fn give_up(&mut self) {
        self.current = None;
    }

    fn taken(&self, what: &'static str, entry: &Entry, errno: Errno) -> OpsError {
        let path = self.full(entry);
        if errno == Errno::EXIST { OpsError::TargetExists { path } } else { failed(what, &path, errno.into()) }
    }

    /// Makes the names durable.
    pub(super) fn finish(&mut self) -> Result<()> {
        let synced = rustix::fs::fsync(&self.root).and_then(|()| match &self.last {
            Some((_, dir)) => rustix::fs::fsync(dir),
            None => Ok(()),
        });
        synced.map_err(|e| failed("can't finish", &self.path, e.into()))
    }
}

fn open_dir(above: &OwnedFd, name: &str) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(above, name, flags, Mode::empty())
}

/// Opens a directory, made if it is missing, that is no link.
fn enter(above: &OwnedFd, name: &str) -> rustix::io::Result<OwnedFd> {
    match open_dir(above, name) {
        Err(Errno::NOENT) => {}
        other => return other,
    }
    match rustix::fs::mkdirat(above, name, DIR_MODE) {
        Ok(()) | Err(Errno::EXIST) => open_dir(above, name),
        Err(e) => Err(e),
    }
}

/// Renames without replacing.
fn put_in_place(dir: &OwnedFd, from: &str, to: &str) -> rustix::io::Result<()> {
    match rustix::fs::renameat_with(dir, from, dir, to, RenameFlags::NOREPLACE) {
        // Some file systems know no such renaming; a second link never replaces either.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            rustix::fs::linkat(dir, from, dir, to, AtFlags::empty())?;
            rustix::fs::unlinkat(dir, from, AtFlags::empty())
        }
        other => other,
    }
}

/// Sets the time of a link or a directory; it is no loss worth failing for.
fn set_time(dir: &OwnedFd, name: &str, mtime_ns: Option<i64>) {
    let Some(ns) = mtime_ns else { return };
    let _ = rustix::fs::utimensat(dir, name, &modified(ns), AtFlags::SYMLINK_NOFOLLOW);
}

/// A modification time in nanoseconds since 1970, or before it.
fn modified(ns: i64) -> Timestamps {
    let last_modification = Timespec { tv_sec: ns.div_euclid(1_000_000_000), tv_nsec: ns.rem_euclid(1_000_000_000) };
    Timestamps { last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }, last_modification }
}
