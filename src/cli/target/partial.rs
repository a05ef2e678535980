//! A file that is being written and has no name of its own yet. What is left of one by a restore that did not end is found
//! by the next of the same snapshot, and by no other.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags},
    io::Errno,
};

use crate::codec::hash;

const FILE_MODE: Mode = Mode::from_raw_mode(0o600);
/// Less than this is not worth leaving behind.
const WORTH: u64 = 1 << 20;

/// A file without its name. Dropped so, it is removed, unless there is enough of it to go on with.
pub(super) struct Unfinished {
    dir: OwnedFd,
    pub(super) name: String,
    pub(super) file: File,
    /// Whether what is there of it may stay.
    pub(super) keep: bool,
    left: bool,
}

impl Unfinished {
    /// Leaves it to whoever gives it its name.
    pub(super) fn leave(mut self) {
        self.left = true;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let worth = self.keep && self.file.metadata().is_ok_and(|meta| meta.len() >= WORTH);
        if !self.left && !worth {
            let _ = rustix::fs::unlinkat(&self.dir, self.name.as_str(), AtFlags::empty());
        }
    }
}

/// How the file for `path` is called until it is whole, in a restore of what `tag` names.
pub(super) fn name(tag: &str, path: &str) -> String {
    let hash = hash::hash(format!("{tag}\0{path}").as_bytes()).to_string();
    format!(".strongroom-{}.partial", hash.get(..16).unwrap_or(&hash))
}

/// Opens the file called `name`, made if it is not there. One that somebody else made is refused.
pub(super) fn open(dir: OwnedFd, name: String, keep: bool, root: impl AsFd) -> io::Result<Unfinished> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let made = rustix::fs::openat(&dir, name.as_str(), flags | OFlags::CREATE | OFlags::EXCL, FILE_MODE);
    let file = match made {
        Err(Errno::EXIST) => {
            let file = rustix::fs::openat(&dir, name.as_str(), flags, Mode::empty())?;
            let (stat, above) = (rustix::fs::fstat(&file)?, rustix::fs::fstat(root)?);
            let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
            if !regular || stat.st_nlink != 1 || stat.st_uid != above.st_uid {
                return Err(io::Error::other(format!("{name} is there, and no restore of yours made it: remove it")));
            }
            file
        }
        other => other?,
    };
    Ok(Unfinished { dir, name, file: File::from(file), keep, left: false })
}
