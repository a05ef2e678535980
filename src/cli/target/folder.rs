//! A directory of restored files. Every step on the way down is taken by a handle and never through a link, so that
//! neither a hostile snapshot nor a link that lies about leads a write elsewhere.

use std::{
    collections::HashSet,
    fs::{File, Permissions},
    os::{fd::OwnedFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT},
    io::Errno,
};

use super::{
    OpsError, Result, failed,
    manner::{Manner, has_no_links, open_dir},
    partial::{self, Unfinished},
    plain::{Plain, What},
    there::There,
};
use crate::ops::restore::{Entry, Plan};

/// Directories are for their owner alone: what a backup held was not meant for everybody.
const DIR_MODE: Mode = Mode::from_raw_mode(0o700);
/// A file of this size is made durable by itself.
const LARGE: u64 = 1 << 20;
/// So many small files, and bytes of them, are made durable together.
const COUNT: usize = 4096;
const BYTES: u64 = 64 << 20;

pub(super) struct Folder {
    /// DIR/<source>.
    pub(super) root: OwnedFd,
    path: PathBuf,
    current: Option<Unfinished>,
    /// The last directory that was walked to, since neighbours follow one another.
    last: Option<(Vec<String>, OwnedFd)>,
    /// What was there before.
    pub(super) there: There,
    /// Files that are whole and wait for the sync that goes before their names.
    waiting: Vec<(String, String)>,
    waiting_bytes: u64,
    manner: Manner,
    /// What is not kept here.
    pub(super) plain: Plain,
    /// What can't have its name here, and why: the first, and how many.
    unplaced: Option<(PathBuf, &'static str, u64)>,
    /// Directories that were made; all, where an earlier run made some.
    made: HashSet<String>,
    /// Modes and times of directories, which they get in the end.
    dirs: Vec<(String, Option<u32>, Option<i64>)>,
    tag: String,
    resumable: bool,
}

/// How a restore treats what is there.
#[derive(Clone, Copy)]
pub(super) struct Manners {
    /// Keeps what is right.
    pub(super) resume: bool,
    /// Leaves what was begun behind, to be gone on with.
    pub(super) resumable: bool,
}

impl Folder {
    /// Makes `dir`/<source>, and fails if anything of the plan is there already that is not to be kept.
    pub(super) fn prepare(dir: &Path, plan: &Plan, manners: Manners) -> Result<Self> {
        let path = dir.join(plan.source.as_str());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        // The directory that the person named may be a link; what lies in it may not.
        let above =
            rustix::fs::openat(CWD, dir, flags, Mode::empty()).map_err(|e| failed("can't open", dir, e.into()))?;
        let entered = enter(&above, plan.source.as_str());
        let (root, new) = entered.map_err(|e| failed("can't make or enter", &path, e.into()))?;
        let tag = plan.snapshot.map_or_else(|| std::process::id().to_string(), |id| id.to_string());
        let there = if new { There::default() } else { There::look(&root, &path, plan, &tag, manners.resume)? };
        Ok(Self {
            manner: Manner::of(&root),
            root,
            path,
            current: None,
            last: None,
            there,
            waiting: Vec::new(),
            waiting_bytes: 0,
            plain: Plain::default(),
            unplaced: None,
            made: HashSet::new(),
            dirs: plan.directories.clone(),
            tag,
            resumable: manners.resumable,
        })
    }

    fn full(&self, path: &str) -> PathBuf {
        self.path.join(path)
    }

    /// The directory of a path, made if need be, and the name in it.
    fn place<'a>(&mut self, path: &'a str) -> Result<(OwnedFd, &'a str)> {
        let parts: Vec<&str> = path.split('/').collect();
        let Some((name, above)) = parts.split_last() else { return Err(OpsError::Defect("a path")) };
        let full = self.full(path);
        let copy = |dir: &OwnedFd| dir.try_clone().map_err(|e| failed("can't open", &full, e));
        if let Some((known, dir)) = &self.last
            && known == above
        {
            return Ok((copy(dir)?, name));
        }
        let mut dir = copy(&self.root)?;
        let mut walked = String::new();
        for part in above {
            if !walked.is_empty() {
                walked.push('/');
            }
            walked.push_str(part);
            let (below, new) = enter(&dir, part).map_err(|e| {
                let what = "can't make or enter a directory of";
                if has_no_name(e) {
                    OpsError::Unplaced { path: full.clone(), why: NAME, count: 1 }
                } else {
                    failed(what, &full, e.into())
                }
            })?;
            if new {
                self.made.insert(walked.clone());
            }
            dir = below;
        }
        let parts = above.iter().map(|part| (*part).to_owned()).collect();
        if let Some((_, left)) = self.last.replace((parts, copy(&dir)?))
            && !self.manner.together
        {
            sync_dir(&left).map_err(|e| failed("can't finish the directory before", &full, e.into()))?;
        }
        Ok((dir, name))
    }

    /// The file of an entry without its name, with what is there of it, and the path it will have; `None` if it can't have
    /// one here.
    pub(super) fn begin(&mut self, entry: &Entry) -> Result<Option<(File, PathBuf)>> {
        let path = self.full(entry.path());
        let dir = match self.place(entry.path()) {
            Ok((dir, _)) => dir,
            Err(OpsError::Unplaced { why, .. }) => {
                self.unplace(entry.path(), why);
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let begun = partial::open(dir, partial::name(&self.tag, entry.path()), self.resumable, &self.root);
        let begun = begun.map_err(|e| failed("can't make a file for", &path, e))?;
        let again = begun.file.try_clone().map_err(|e| failed("can't open", &path, e))?;
        self.current = Some(begun);
        Ok(Some((again, path)))
    }

    /// Opens a file that was there before.
    pub(super) fn reopen(&mut self, entry: &Entry) -> Result<File> {
        let path = self.full(entry.path());
        let (dir, name) = self.place(entry.path())?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&dir, name, flags, Mode::empty());
        opened.map(File::from).map_err(|e| failed("can't open", &path, e.into()))
    }

    /// The error of a file that was there and is not as the snapshot has it.
    pub(super) fn differs(&self, entry: &Entry) -> OpsError {
        OpsError::TargetDiffers { path: self.full(entry.path()) }
    }

    /// Makes an entry a second name of `first`; tells whether that can be.
    pub(super) fn link(&mut self, entry: &Entry, first: &str) -> Result<bool> {
        if self.there.has(entry.path()) {
            return Ok(false);
        }
        self.settle()?;
        let (from, from_name) = self.place(first)?;
        let (dir, name) = self.place(entry.path())?;
        match rustix::fs::linkat(&from, from_name, &dir, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(e) if has_no_links(e) => {
                self.plain.add(What::HardLink, entry.path());
                Ok(false)
            }
            Err(e) => Err(failed("can't make a hard link", &self.full(entry.path()), e.into())),
        }
    }

    /// Gives an entry its metadata and its name.
    pub(super) fn end(&mut self, entry: &Entry) -> Result<()> {
        if !entry.is_file() {
            return if self.there.has(entry.path()) { Ok(()) } else { self.end_other(entry) };
        }
        let Some(current) = self.current.take() else { return Err(OpsError::Defect("the file of the restore")) };
        let path = self.full(entry.path());
        self.dress(&current.file, entry).map_err(|e| failed("can't finish", &path, e))?;
        let temporary = current.name.clone();
        if self.manner.together && entry.stream.bytes < LARGE {
            current.leave();
            self.waiting.push((entry.path().to_owned(), temporary));
            self.waiting_bytes += entry.stream.bytes;
            let full = self.waiting.len() >= COUNT || self.waiting_bytes >= BYTES;
            return if full { self.settle() } else { Ok(()) };
        }
        current.file.sync_all().map_err(|e| failed("can't finish", &path, e))?;
        current.leave();
        self.name(entry.path(), &temporary)
    }

    /// A link or an empty directory.
    fn end_other(&mut self, entry: &Entry) -> Result<()> {
        let meta = entry.meta();
        let (dir, name) = match self.place(entry.path()) {
            Err(OpsError::Unplaced { why, .. }) => {
                self.unplace(entry.path(), why);
                return Ok(());
            }
            placed => placed?,
        };
        if let Some(target) = &meta.link {
            match rustix::fs::symlinkat(&**target, &dir, name) {
                Ok(()) => set_time(&dir, name, meta.mtime_ns),
                Err(Errno::PERM | Errno::NOSYS | Errno::OPNOTSUPP) => self.plain.add(What::Link, entry.path()),
                Err(e) => return self.taken("can't make a link", entry.path(), e),
            }
            return Ok(());
        }
        match make_dir(&dir, name) {
            Ok(()) => {
                self.made.insert(entry.path().to_owned());
                self.dirs.push((entry.path().to_owned(), meta.mode, meta.mtime_ns));
                Ok(())
            }
            Err(e) => self.taken("can't make a directory", entry.path(), e),
        }
    }

    /// The mode and the time of a file. What can't be kept here is told, and no reason to lose its bytes.
    fn dress(&mut self, file: &File, entry: &Entry) -> std::io::Result<()> {
        let meta = entry.meta();
        // Whose it will be is not whose it was, so it must not run with the rights of its owner.
        let mode = meta.mode.unwrap_or(0o600) & 0o777;
        match file.set_permissions(Permissions::from_mode(mode)) {
            Ok(()) if file.metadata()?.permissions().mode() & 0o777 != mode => self.plain.add(What::Mode, entry.path()),
            Ok(()) => {}
            Err(e) if is_unknown_here(&e) => self.plain.add(What::Mode, entry.path()),
            Err(e) => return Err(e),
        }
        if let Some(ns) = meta.mtime_ns
            && rustix::fs::futimens(file, &modified(ns)).is_err()
        {
            self.plain.add(What::Time, entry.path());
        }
        Ok(())
    }

    /// Makes durable what waits for it, and gives it its names.
    fn settle(&mut self) -> Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        Manner::sync(&self.root).map_err(|e| failed("can't finish", &self.path, e.into()))?;
        self.waiting_bytes = 0;
        for (path, temporary) in std::mem::take(&mut self.waiting) {
            self.name(&path, &temporary)?;
        }
        Ok(())
    }

    fn name(&mut self, path: &str, temporary: &str) -> Result<()> {
        let (dir, name) = self.place(path)?;
        let named = self.manner.name(&dir, temporary, name);
        let there = |name: &str| rustix::fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW).is_ok();
        named.or_else(|e| {
            // Some say so of a name that they don't know, though the file is there.
            let e = if e == Errno::NOENT && there(temporary) { Errno::INVAL } else { e };
            if e == Errno::EXIST || has_no_name(e) {
                let _ = rustix::fs::unlinkat(&dir, temporary, AtFlags::empty());
            }
            self.taken("can't give its name to", path, e)
        })
    }

    /// Forgets the file that was begun.
    pub(super) fn give_up(&mut self) {
        if let Some(current) = &mut self.current {
            current.keep = false;
        }
        self.current = None;
    }

    /// What an error of a name means: the plan found it free, so some other file has it here, or none can.
    fn taken(&mut self, what: &'static str, path: &str, errno: Errno) -> Result<()> {
        match errno {
            Errno::EXIST => self.unplace(path, "something has its name already, or one that is the same here"),
            e if has_no_name(e) => self.unplace(path, NAME),
            e => return Err(failed(what, &self.full(path), e.into())),
        }
        Ok(())
    }

    fn unplace(&mut self, path: &str, why: &'static str) {
        let full = self.full(path);
        self.unplaced.get_or_insert((full, why, 0)).2 += 1;
    }

    /// Gives directories what was known of them, and makes the names durable.
    pub(super) fn finish(&mut self) -> Result<()> {
        self.settle()?;
        self.dress_directories();
        let synced = if self.manner.together {
            Manner::sync(&self.root)
        } else {
            let last = self.last.as_ref().map_or(Ok(()), |(_, dir)| sync_dir(dir));
            last.and_then(|()| sync_dir(&self.root))
        };
        synced.map_err(|e| failed("can't finish", &self.path, e.into()))?;
        match self.unplaced.take() {
            Some((path, why, count)) => Err(OpsError::Unplaced { path, why, count }),
            None => Ok(()),
        }
    }

    /// From the deepest up, since one that can't be written to could not be filled.
    fn dress_directories(&mut self) {
        let mut dirs = std::mem::take(&mut self.dirs);
        dirs.sort_by(|a, b| b.0.cmp(&a.0));
        for (path, mode, mtime_ns) in dirs {
            if !self.made.contains(&path) && !self.there.resumes() {
                continue;
            }
            let Some(dir) = self.find(&path) else { continue };
            // What sets the group of new files is kept; whose they are is not whose they were.
            let mode = Mode::from_raw_mode(mode.unwrap_or(0o700) & 0o3777);
            let set = rustix::fs::fchmod(&dir, mode).is_ok();
            let is = rustix::fs::fstat(&dir).map_or(mode, |stat| Mode::from_raw_mode(stat.st_mode & 0o3777));
            if !set || is != mode {
                self.plain.add(What::Mode, &path);
            }
            if let Some(ns) = mtime_ns {
                let _ = rustix::fs::futimens(&dir, &modified(ns));
            }
        }
    }

    /// A directory that is there.
    fn find(&self, path: &str) -> Option<OwnedFd> {
        let mut parts = path.split('/');
        let first = open_dir(&self.root, parts.next()?).ok()?;
        parts.try_fold(first, |dir, part| open_dir(&dir, part).ok())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is whole is kept, however the restore ends.
        let _ = self.settle();
    }
}

/// Why something has no name here.
const NAME: &str = "the file system takes no such name";

/// Whether an error says that a file system knows no such name.
const fn has_no_name(e: Errno) -> bool {
    matches!(e, Errno::INVAL | Errno::NAMETOOLONG | Errno::ILSEQ)
}

/// Whether an error says that a file system does not keep this.
fn is_unknown_here(e: &std::io::Error) -> bool {
    matches!(Errno::from_io_error(e), Some(Errno::PERM | Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL))
}

/// Not every file system knows how to sync a directory.
fn sync_dir(dir: &OwnedFd) -> rustix::io::Result<()> {
    match rustix::fs::fsync(dir) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(()),
        other => other,
    }
}

/// Makes a directory. Where the one above is there, one that is not says that its name is not known here.
fn make_dir(above: &OwnedFd, name: &str) -> rustix::io::Result<()> {
    rustix::fs::mkdirat(above, name, DIR_MODE).map_err(|e| if e == Errno::NOENT { Errno::INVAL } else { e })
}

/// Opens a directory that is no link, and whether it was made since it was missing.
fn enter(above: &OwnedFd, name: &str) -> rustix::io::Result<(OwnedFd, bool)> {
    match open_dir(above, name) {
        Err(Errno::NOENT) => {}
        other => return other.map(|dir| (dir, false)),
    }
    match make_dir(above, name) {
        Ok(()) => open_dir(above, name).map(|dir| (dir, true)),
        Err(Errno::EXIST) => open_dir(above, name).map(|dir| (dir, false)),
        Err(e) => Err(e),
    }
}

/// Sets the time of a link; it is no loss worth failing for.
fn set_time(dir: &OwnedFd, name: &str, mtime_ns: Option<i64>) {
    let Some(ns) = mtime_ns else { return };
    let _ = rustix::fs::utimensat(dir, name, &modified(ns), AtFlags::SYMLINK_NOFOLLOW);
}

/// A modification time in nanoseconds since 1970, or before it.
fn modified(ns: i64) -> Timestamps {
    let last_modification = Timespec { tv_sec: ns.div_euclid(1_000_000_000), tv_nsec: ns.rem_euclid(1_000_000_000) };
    Timestamps { last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }, last_modification }
}
