//! How a finished file gets its name in the vault, replacing nothing: by a hard link, and where there are none (FAT,
//! exFAT) by a renaming.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::atomic::{AtomicU8, Ordering},
};

use rustix::{
    fs::{FlockOperation, Mode, OFlags, RenameFlags},
    io::Errno,
};

use super::dir::Unplaced;

/// A way to name a file, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    /// A second name, which is refused where the name is taken; then the first name goes.
    Link,
    /// One step that is refused where the name is taken.
    Rename,
    /// A look and a renaming, while the guard is held alone: what writes here and does not ask the guard could come between.
    Alone,
}

impl Way {
    const ALL: [Self; 3] = [Self::Link, Self::Rename, Self::Alone];

    /// How the guard is held meanwhile.
    pub(super) const fn guard(self) -> FlockOperation {
        match self {
            Self::Link | Self::Rename => FlockOperation::LockShared,
            Self::Alone => FlockOperation::LockExclusive,
        }
    }

    /// The next way, if the error says that this one does not work here.
    pub(super) fn after(self, error: &io::Error) -> Option<Self> {
        let errno = Errno::from_io_error(error)?;
        match self {
            // Of our own file in our own directory, "not permitted" is said by file systems without hard links.
            Self::Link if matches!(errno, Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS) => Some(Self::Rename),
            Self::Rename if matches!(errno, Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => Some(Self::Alone),
            _ => None,
        }
    }
}

/// The way that works in a directory, as far as it was tried.
#[derive(Debug, Default)]
pub(super) struct Known(AtomicU8);

impl Known {
    pub(super) fn way(&self) -> Way {
        Way::ALL.get(usize::from(self.0.load(Ordering::Relaxed))).copied().unwrap_or(Way::Alone)
    }

    pub(super) fn set(&self, way: Way) {
        self.0.fetch_max(way as u8, Ordering::Relaxed);
    }
}

impl Unplaced<'_> {
    /// Gives the file its name, unless something has it already; says whether it did.
    pub(super) fn name(&mut self, dir: &OwnedFd, name: &str, way: Way) -> io::Result<bool> {
        let named = match way {
            Way::Link => self.link(dir, name),
            Way::Rename => self.rename(dir, name, RenameFlags::NOREPLACE),
            Way::Alone => match super::dir::stat_in(dir, name) {
                Ok(_) => Err(Errno::EXIST),
                Err(e) if e.kind() == io::ErrorKind::NotFound => self.rename(dir, name, RenameFlags::empty()),
                Err(e) => return Err(e),
            },
        };
        match named {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }
}

/// Makes new names in `dir` durable, and that files of `tmp` have moved there.
pub(super) fn settle(tmp: &OwnedFd, dir: &OwnedFd) -> io::Result<()> {
    // Without a journal, the power may fail while a file has two names. Removing the old one would then free what the new one
    // holds, so that one goes first: in between the file may be lost, and nobody was told yet that it is there.
    if is_plain(tmp) {
        rustix::fs::fsync(tmp)?;
    }
    Ok(rustix::fs::fsync(dir)?)
}

/// Whether the file system of `file` is one that keeps no numbers of files, and has no journal as far as is known: FAT,
/// exFAT, and those that a program makes, as some systems do it for these.
#[cfg(target_os = "linux")]
pub(super) fn is_plain(file: impl AsFd) -> bool {
    const FAT: u64 = 0x4d44;
    const EXFAT: u64 = 0x2011_bab0;
    const FUSE: u64 = 0x6573_5546;
    rustix::fs::fstatfs(file)
        .is_ok_and(|stat| u64::try_from(stat.f_type).is_ok_and(|kind| [FAT, EXFAT, FUSE].contains(&kind)))
}

/// Whether the file system of `file` is one that keeps no numbers of files. Not asked here.
#[cfg(not(target_os = "linux"))]
pub(super) fn is_plain(_file: impl AsFd) -> bool {
    false
}

/// Whether a name in `tmp` stays as it was given, as names of objects must: FAT without long names cuts them.
pub(super) fn keeps_names(tmp: &OwnedFd) -> io::Result<bool> {
    let name = format!("{}.a-name-as-objects-have-them.json", super::dir::unfinished());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(tmp, &name, flags, Mode::from_raw_mode(0o644)) {
        Ok(file) => drop(file),
        Err(Errno::INVAL | Errno::NAMETOOLONG) => return Ok(false),
        Err(e) => return Err(e.into()),
    }
    let mut kept = false;
    for entry in rustix::fs::Dir::read_from(tmp)? {
        kept |= entry?.file_name().to_bytes() == name.as_bytes();
    }
    rustix::fs::unlinkat(tmp, &name, rustix::fs::AtFlags::empty())?;
    Ok(kept)
}

/// Whether such a file system keeps the name of an object as it is: it drops dots at the end of a name.
pub(super) fn fits(key: &str) -> bool {
    !key.split('/')
        .any(|segment| segment.ends_with(['.', ' ']) || segment.contains(['"', '*', ':', '<', '>', '?', '\\', '|']))
}
