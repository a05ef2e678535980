//! The directory that a base is unpacked into. Each step goes from one open directory to the next and follows no link, so
//! nothing that is there, or is put there meanwhile, leads a write elsewhere.

use std::{
    collections::BTreeSet,
    fs::File,
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags},
    io::Errno,
};

use super::super::manner::open_dir;

const FLAGS: OFlags = OFlags::RDWR.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);
const FILE: Mode = Mode::from_raw_mode(0o600);
const DIRECTORY: Mode = Mode::from_raw_mode(0o700);
/// No cluster has directories as deep as this.
const DEEP: u32 = 64;

/// A directory, and what was made in it.
pub(super) struct Tree {
    root: OwnedFd,
    /// All paths, where something may have been there before.
    made: Option<BTreeSet<String>>,
    last: Option<(String, OwnedFd)>,
}

impl Tree {
    /// Of the directory at `root`. Something may be in it already if it is made `again`.
    pub(super) fn open(root: &Path, again: bool) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = rustix::fs::open(root, flags, Mode::empty())?;
        Ok(Self { root, made: again.then(BTreeSet::new), last: None })
    }

    /// Makes a directory, and those above it.
    pub(super) fn directory(&mut self, path: &str) -> io::Result<OwnedFd> {
        if let Some((known, dir)) = &self.last
            && known == path
        {
            return Ok(rustix::io::fcntl_dupfd_cloexec(dir, 0)?);
        }
        let mut dir = rustix::io::fcntl_dupfd_cloexec(&self.root, 0)?;
        let mut at = String::new();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            if !at.is_empty() {
                at.push('/');
            }
            at.push_str(part);
            dir = self.enter(&dir, part, &at)?;
        }
        self.last = Some((path.to_owned(), rustix::io::fcntl_dupfd_cloexec(&dir, 0)?));
        Ok(dir)
    }

    fn enter(&mut self, dir: &OwnedFd, part: &str, at: &str) -> io::Result<OwnedFd> {
        let known = self.made.as_ref().is_none_or(|made| made.contains(at));
        match open_dir(dir, part) {
            Ok(below) if known => return Ok(below),
            Ok(below) => rustix::fs::fchmod(below, DIRECTORY)?,
            Err(Errno::NOENT) => rustix::fs::mkdirat(dir, part, DIRECTORY)?,
            Err(Errno::LOOP | Errno::NOTDIR) if !known => {
                clear(dir, part, 0)?;
                rustix::fs::mkdirat(dir, part, DIRECTORY)?;
            }
            Err(e) => return Err(e.into()),
        }
        if let Some(made) = &mut self.made {
            made.insert(at.to_owned());
        }
        Ok(open_dir(dir, part)?)
    }

    /// Makes a file, or opens the one that is there from before; tells how long that is.
    pub(super) fn file(&mut self, path: &str) -> io::Result<(File, u64)> {
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        let dir = self.directory(above)?;
        if let Some(made) = &mut self.made {
            if !made.insert(path.to_owned()) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            if let Some((file, len)) = there(&dir, name)? {
                return Ok((file, len));
            }
            clear(&dir, name, 0)?;
        }
        let file = rustix::fs::openat(&dir, name, FLAGS | OFlags::CREATE | OFlags::EXCL, FILE)?;
        Ok((File::from(file), 0))
    }

    /// Removes whatever was not made, but what is called so at the top.
    pub(super) fn sweep(&self, kept: &[&str]) -> io::Result<()> {
        let Some(made) = &self.made else { return Ok(()) };
        sweep(&self.root, "", &|path| made.contains(path), kept, 0)
    }
}

/// A file that is there and may be written over: no link, pipe or device, and no other name of something elsewhere.
fn there(dir: &OwnedFd, name: &str) -> io::Result<Option<(File, u64)>> {
    let fits =
        |stat: &rustix::fs::Stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_nlink == 1;
    if !rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| fits(&stat)) {
        return Ok(None);
    }
    let file = rustix::fs::openat(dir, name, FLAGS, Mode::empty())?;
    let stat = rustix::fs::fstat(&file)?;
    if !fits(&stat) {
        return Ok(None);
    }
    rustix::fs::fchmod(&file, FILE)?;
    Ok(Some((File::from(file), u64::try_from(stat.st_size).unwrap_or(0))))
}

/// The names in a directory.
pub(super) fn names(dir: impl AsFd) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in Dir::read_from(dir)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            found.push(String::from_utf8(name).map_err(|_| io::Error::other("a name in it is not text"))?);
        }
    }
    Ok(found)
}

fn sweep(dir: &OwnedFd, above: &str, made: &dyn Fn(&str) -> bool, kept: &[&str], depth: u32) -> io::Result<()> {
    for name in names(dir)? {
        let path = if above.is_empty() { name.clone() } else { format!("{above}/{name}") };
        if above.is_empty() && kept.contains(&name.as_str()) {
            continue;
        }
        if !made(&path) {
            clear(dir, &name, depth)?;
        } else if let Ok(below) = open_dir(dir, &name) {
            sweep(&below, &path, made, kept, depth + 1)?;
        }
    }
    Ok(())
}

/// Removes whatever is called so, and of directories all that is in them.
fn clear(dir: &OwnedFd, name: &str, depth: u32) -> io::Result<()> {
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) if depth < DEEP => {}
        Err(e) => return Err(e.into()),
    }
    let below = open_dir(dir, name)?;
    for name in names(&below)? {
        clear(&below, &name, depth + 1)?;
    }
    Ok(rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR)?)
}
