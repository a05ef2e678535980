//! Directories by descriptor: every step of a path is opened on its own and never through a symbolic link.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, Stat},
    io::Errno,
};

use crate::model::Time;

/// The directory of unfinished files, in the root of the vault and so on the same file system.
pub(super) const TMP: &str = ".tmp";
/// The directory of the files of parity, in the root of the vault, too.
pub(super) const PARITY: &str = ".parity";
/// The file in [`TMP`] whose advisory lock keeps deletes and extensions apart from everything else.
const GUARD: &str = "guard";
/// How old an unfinished file must be until nobody can still be writing it.
const STALE_SECONDS: i64 = 86_400;

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

static NEXT: AtomicU64 = AtomicU64::new(0);

/// Whether this name in the root of the vault is no object's.
pub(super) fn is_apart(name: &[u8]) -> bool {
    name == TMP.as_bytes() || name == PARITY.as_bytes()
}

/// Opens one directory in another. A symbolic link in its place is [`Errno::LOOP`].
pub(super) fn open_in(parent: impl AsFd, name: &str) -> io::Result<OwnedFd> {
    match rustix::fs::openat(parent.as_fd(), name, DIRECTORY, Mode::empty()) {
        // Linux says "not a directory" of a link, which would read as "no such object".
        Err(Errno::NOTDIR) if is_link(parent.as_fd(), name) => Err(Errno::LOOP.into()),
        other => Ok(other?),
    }
}

fn is_link(parent: impl AsFd, name: &str) -> bool {
    stat_in(parent, name).is_ok_and(|stat| kind_of(&stat) == FileType::Symlink)
}

/// What kind of file `stat` describes.
pub(super) fn kind_of(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// Describes `name` itself, not what a link there points to.
pub(super) fn stat_in(parent: impl AsFd, name: impl rustix::path::Arg) -> io::Result<Stat> {
    Ok(rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Whether the link `name` leads to a directory, of whose objects a listing knows nothing then.
pub(super) fn leads_to_directory(parent: impl AsFd, name: impl rustix::path::Arg) -> bool {
    rustix::fs::statat(parent, name, AtFlags::empty()).is_ok_and(|stat| kind_of(&stat) == FileType::Directory)
}

/// Describes the object `name`; what is no regular file is absent, and a link is [`Errno::LOOP`].
pub(super) fn stat_object(parent: impl AsFd, name: &str) -> io::Result<Stat> {
    let stat = stat_in(parent, name)?;
    match kind_of(&stat) {
        FileType::RegularFile => Ok(stat),
        FileType::Symlink => Err(Errno::LOOP.into()),
        _ => Err(Errno::NOENT.into()),
    }
}

/// Opens the object `name` for reading; what is no regular file is absent, and a link is [`Errno::LOOP`].
pub(super) fn open_object(parent: impl AsFd, name: &str) -> io::Result<File> {
    // Without NONBLOCK, a pipe in the place of an object would hold us up for ever.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = match rustix::fs::openat(parent, name, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        // A socket can't even be opened.
        Err(Errno::NXIO) => return Err(Errno::NOENT.into()),
        Err(e) => return Err(e.into()),
    };
    if file.metadata()?.is_file() { Ok(file) } else { Err(Errno::NOENT.into()) }
}

/// Opens the directory at `path` below `root`.
pub(super) fn walk<'a>(root: impl AsFd, path: impl Iterator<Item = &'a str>) -> io::Result<OwnedFd> {
    let mut dir = root.as_fd().try_clone_to_owned()?;
    for name in path {
        dir = open_in(&dir, name)?;
    }
    Ok(dir)
}

/// Opens the directory at `path` below `root`, and makes what is missing on the way. With `sync`, or if
/// anything was made, every directory above it is made durable, so that a later crash can't lose the way to it.
pub(super) fn ensure<'a>(root: impl AsFd, path: impl Iterator<Item = &'a str>, sync: bool) -> io::Result<OwnedFd> {
    let mut dir = root.as_fd().try_clone_to_owned()?;
    let mut above = Vec::new();
    let mut made = sync;
    for name in path {
        let next = match open_in(&dir, name) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                made = true;
                match rustix::fs::mkdirat(&dir, name, Mode::from_raw_mode(0o755)) {
                    Ok(()) | Err(Errno::EXIST) => open_in(&dir, name)?,
                    Err(e) => return Err(e.into()),
                }
            }
            other => other?,
        };
        above.push(std::mem::replace(&mut dir, next));
    }
    if made {
        above.iter().rev().try_for_each(rustix::fs::fsync)?;
    }
    Ok(dir)
}

/// A name for an unfinished file that no other thread of this process uses.
pub(super) fn unfinished() -> String {
    format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A complete, durable file that has no place in the vault yet. Dropping it removes its temporary name.
pub(super) struct Unplaced<'a> {
    tmp: &'a OwnedFd,
    name: String,
    file: File,
    /// Whether the temporary name is gone, and may be another's by now, or is to stay.
    renamed: bool,
}

/// Files from this size on do not stay in the page cache once they are on the disk.
const LARGE: usize = 1 << 20;

impl<'a> Unplaced<'a> {
    /// Writes `bytes` to a new read-only file in `tmp`, dated `modified`, and waits until they are on the disk.
    pub(super) fn write(tmp: &'a OwnedFd, bytes: &[u8], modified: Time) -> io::Result<Self> {
        Self::write_for(tmp, "", bytes, modified)
    }

    /// The same, with `what` at the end of its temporary name, for whoever finds it there.
    pub(super) fn write_for(tmp: &'a OwnedFd, what: &str, bytes: &[u8], modified: Time) -> io::Result<Self> {
        let mut unplaced = Self::create(tmp, what)?;
        unplaced.file.write_all(bytes)?;
        let since = Duration::from_secs(u64::try_from(modified.unix()).unwrap_or(0));
        match unplaced.file.set_modified(SystemTime::UNIX_EPOCH + since) {
            // Where files belong to whoever mounted the disk, nobody else may set their times. This one is of now anyway.
            Err(e) if Errno::from_io_error(&e) == Some(Errno::PERM) => {}
            other => other?,
        }
        unplaced.file.sync_all()?;
        #[cfg(target_os = "linux")]
        if bytes.len() >= LARGE {
            let _ = rustix::fs::fadvise(&unplaced.file, 0, None, rustix::fs::Advice::DontNeed);
        }
        Ok(unplaced)
    }

    /// Leaves the temporary name where it is, for whoever opens the vault next.
    pub(super) fn leave(&mut self) {
        self.renamed = true;
    }

    fn create(tmp: &'a OwnedFd, what: &str) -> io::Result<Self> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        loop {
            let name = unfinished() + what;
            match rustix::fs::openat(tmp, &name, flags, Mode::from_raw_mode(0o444)) {
                Ok(fd) => return Ok(Self { tmp, name, file: fd.into(), renamed: false }),
                // Left by a dead process of our number, or used by a live one on another host.
                Err(Errno::EXIST) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Gives the file a second name, which must be free.
    pub(super) fn link(&self, dir: &OwnedFd, name: &str) -> rustix::io::Result<()> {
        rustix::fs::linkat(self.tmp, &self.name, dir, name, AtFlags::empty())
    }

    /// Gives the file another name instead of its temporary one.
    pub(super) fn rename(&mut self, dir: &OwnedFd, name: &str, flags: RenameFlags) -> rustix::io::Result<()> {
        rustix::fs::renameat_with(self.tmp, &self.name, dir, name, flags)?;
        self.renamed = true;
        Ok(())
    }

    /// Puts the file in the place of what is there.
    pub(super) fn replace(mut self, dir: &OwnedFd, name: &str) -> io::Result<()> {
        rustix::fs::renameat(self.tmp, &self.name, dir, name)?;
        self.renamed = true;
        Ok(())
    }
}

impl AsFd for Unplaced<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for Unplaced<'_> {
    fn drop(&mut self) {
        if !self.renamed {
            // What can't be removed now is swept later; that is not worth failing for.
            let _ = rustix::fs::unlinkat(self.tmp, &self.name, AtFlags::empty());
        }
    }
}

/// Opens the guard and waits for it. It is held until the file is closed, by death too.
pub(super) fn guard(tmp: &OwnedFd, operation: rustix::fs::FlockOperation) -> io::Result<OwnedFd> {
    let open = |access| {
        let flags = access | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(tmp, GUARD, flags, Mode::from_raw_mode(0o644))
    };
    // NFS wants it open for writing; another user's guard can only be read, which is enough elsewhere.
    let file = open(OFlags::RDWR).or_else(|e| if e == Errno::ACCESS { open(OFlags::RDONLY) } else { Err(e) })?;
    rustix::io::retry_on_intr(|| rustix::fs::flock(&file, operation))?;
    Ok(file)
}

/// The names of files in `tmp` of which `wanted` makes something, with that.
pub(super) fn find<T>(tmp: &OwnedFd, wanted: impl Fn(&str) -> Option<T>) -> Vec<(String, T)> {
    let Ok(entries) = rustix::fs::Dir::read_from(tmp) else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| Some(entry.file_name().to_str().ok()?.to_owned()));
    names.filter_map(|name| wanted(&name).map(|found| (name, found))).collect()
}

/// Removes unfinished files that nobody can still be writing. Does what it can and tells nothing: they cost space only.
pub(super) fn sweep(tmp: &OwnedFd, now: Time) {
    let Ok(entries) = rustix::fs::Dir::read_from(tmp) else { return };
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().to_str() else { continue };
        let Ok(stat) = stat_object(tmp, name) else { continue };
        if name != GUARD && now.unix().saturating_sub(modified(&stat).unix()) > STALE_SECONDS {
            let _ = rustix::fs::unlinkat(tmp, name, AtFlags::empty());
        }
    }
}

/// When the file was last written.
pub(super) fn modified(stat: &Stat) -> Time {
    Time::from_unix(stat.st_mtime)
}

/// The size of the file in bytes.
pub(super) fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}
