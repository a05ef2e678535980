//! How a file system makes files durable and gives them their names: not each can do it the best way.

use std::os::fd::{AsFd, OwnedFd};

use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, RenameFlags},
    io::Errno,
};

/// What FUSE calls itself. It tells its file systems nothing of a sync of all.
#[cfg(target_os = "linux")]
const FUSE: u64 = 0x6573_5546;
/// The same of 9P.
#[cfg(target_os = "linux")]
const NINE: u64 = 0x0102_1997;
/// The first Linux whose sync of all tells of what could not be written.
#[cfg(target_os = "linux")]
const TELLS: (u32, u32) = (5, 8);

/// How names are given here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Naming {
    /// By a renaming that replaces nothing.
    Rename,
    /// By a second link.
    Link,
    /// By making an empty file of that name, which replaces nothing either, and renaming over it.
    Claim,
}

/// What works on the file system of a target.
#[derive(Debug)]
pub(super) struct Manner {
    naming: Naming,
    /// Whether one sync serves many files.
    pub(super) together: bool,
}

impl Manner {
    /// Of the file system that holds `root`.
    pub(super) fn of(root: &OwnedFd) -> Self {
        Self { naming: Naming::Rename, together: syncs_together(root) }
    }

    /// Gives the file `from` the name `to`, replacing nothing.
    pub(super) fn name(&mut self, dir: &OwnedFd, from: &str, to: &str) -> rustix::io::Result<()> {
        if self.naming == Naming::Rename {
            match rustix::fs::renameat_with(dir, from, dir, to, RenameFlags::NOREPLACE) {
                Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
                other => return other,
            }
            match rustix::fs::linkat(dir, from, dir, to, AtFlags::empty()) {
                Ok(()) => {
                    self.naming = Naming::Link;
                    return rustix::fs::unlinkat(dir, from, AtFlags::empty());
                }
                Err(e) if has_no_links(e) => {}
                Err(e) => return Err(e),
            }
        }
        if self.naming == Naming::Link {
            rustix::fs::linkat(dir, from, dir, to, AtFlags::empty())?;
            return rustix::fs::unlinkat(dir, from, AtFlags::empty());
        }
        claim(dir, to)?;
        self.naming = Naming::Claim;
        rustix::fs::renameat(dir, from, dir, to).inspect_err(|_| {
            if is_claim(dir, to) {
                let _ = rustix::fs::unlinkat(dir, to, AtFlags::empty());
            }
        })
    }

    /// Makes durable all that was written to the file system of `root`.
    pub(super) fn sync(root: impl AsFd) -> rustix::io::Result<()> {
        #[cfg(target_os = "linux")]
        return rustix::fs::syncfs(root);
        #[cfg(not(target_os = "linux"))]
        rustix::fs::fsync(root)
    }
}

/// Whether an error says that there are no hard links here.
pub(super) const fn has_no_links(e: Errno) -> bool {
    matches!(e, Errno::PERM | Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL | Errno::MLINK)
}

/// Opens a directory that is no link.
pub(super) fn open_dir(above: &OwnedFd, name: &str) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(above, name, flags, Mode::empty())
}

/// Makes an empty file, which fails if anything is there.
fn claim(dir: &OwnedFd, name: &str) -> rustix::io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(0o600)).map(drop)
}

/// Whether what is there may be a claim: an empty file.
pub(super) fn is_claim(dir: &OwnedFd, name: &str) -> bool {
    let found = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW);
    found.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_size == 0)
}

#[cfg(target_os = "linux")]
fn syncs_together(root: &OwnedFd) -> bool {
    let Ok(stat) = rustix::fs::fstatfs(root) else { return false };
    let kind = u64::try_from(stat.f_type).unwrap_or(FUSE);
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    kind != FUSE && kind != NINE && version >= TELLS
}

#[cfg(not(target_os = "linux"))]
fn syncs_together(_root: &OwnedFd) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn each_way_to_give_a_name_replaces_nothing() {
        for naming in [Naming::Rename, Naming::Link, Naming::Claim] {
            let dir = tempfile::tempdir().unwrap();
            let handle = OwnedFd::from(fs::File::open(dir.path()).unwrap());
            let mut manner = Manner { naming, together: false };
            let at = |name: &str| dir.path().join(name);
            fs::write(at("part"), "new").unwrap();
            fs::write(at("taken"), "").unwrap();
            assert_eq!(manner.name(&handle, "part", "taken"), Err(Errno::EXIST), "{naming:?}");
            assert_eq!(fs::read(at("taken")).unwrap(), b"");
            manner.name(&handle, "part", "free").unwrap();
            assert_eq!(fs::read(at("free")).unwrap(), b"new");
            assert!(!at("part").exists() && manner.naming == naming);
            assert_eq!(manner.name(&handle, "gone", "other"), Err(Errno::NOENT));
            assert!(!at("other").exists(), "a claim that came to nothing is taken back");
        }
    }
}
