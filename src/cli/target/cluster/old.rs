//! What is there of a cluster before it is unpacked: its files may have most of the chunks.

use std::{
    collections::VecDeque,
    fs::File,
    io,
    os::{fd::OwnedFd, unix::fs::FileExt},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use rustix::fs::{FileType, Mode, OFlags};

use super::{super::manner::open_dir, tree::names};
use crate::vault::reader::Seeds;

/// Shorter files hold no chunk for themselves.
const LEAST: u64 = 64 << 10;
/// So many files stay open.
const OPEN: usize = 8;
/// No cluster has directories as deep as this.
const DEEP: u32 = 64;

/// The files below a directory.
pub(super) struct Old {
    root: OwnedFd,
    files: Vec<String>,
    /// Bytes of all of them, small ones too.
    pub(super) bytes: u64,
    open: Mutex<VecDeque<(u32, Arc<File>)>>,
}

impl Old {
    /// Lists them. `None` where there is nothing that can be looked at.
    pub(super) fn look(root: &Path) -> Option<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = rustix::fs::open(root, flags, Mode::empty()).ok()?;
        let mut old = Self { root, files: Vec::new(), bytes: 0, open: Mutex::default() };
        let top = rustix::io::fcntl_dupfd_cloexec(&old.root, 0).ok()?;
        // What can't be looked at is replaced.
        let _ = old.list(&top, "", 0);
        old.files.sort_unstable();
        Some(old)
    }

    fn list(&mut self, dir: &OwnedFd, above: &str, depth: u32) -> io::Result<()> {
        for name in names(dir)? {
            let path = if above.is_empty() { name.clone() } else { format!("{above}/{name}") };
            let Ok(stat) = rustix::fs::statat(dir, &name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW) else { continue };
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => {
                    let size = u64::try_from(stat.st_size).unwrap_or(0);
                    self.bytes = self.bytes.saturating_add(size);
                    if size >= LEAST {
                        self.files.push(path);
                    }
                }
                FileType::Directory if depth < DEEP => {
                    let _ = open_dir(dir, &name).map(|below| self.list(&below, &path, depth + 1));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn file(&self, no: u32) -> io::Result<Arc<File>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, file)) = open.iter().find(|(known, _)| *known == no) {
            return Ok(Arc::clone(file));
        }
        let path = usize::try_from(no).ok().and_then(|no| self.files.get(no)).ok_or(io::ErrorKind::NotFound)?;
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut dir = rustix::io::fcntl_dupfd_cloexec(&self.root, 0)?;
        for part in above.split('/').filter(|part| !part.is_empty()) {
            dir = open_dir(&dir, part)?;
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = Arc::new(File::from(rustix::fs::openat(&dir, name, flags, Mode::empty())?));
        if open.len() == OPEN {
            open.pop_front();
        }
        open.push_back((no, Arc::clone(&file)));
        Ok(file)
    }
}

impl Seeds for Old {
    fn count(&self) -> u32 {
        u32::try_from(self.files.len()).unwrap_or(u32::MAX)
    }

    fn read_at(&self, file: u32, at: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.file(file)?.read_at(buf, at)
    }
}
