//! The file of a spool. It has no name, so it is gone with the process, however that ends; its blocks are sealed under a
//! key that is gone with it.

use std::{
    collections::VecDeque,
    fs::{DirBuilder, File},
    io,
    num::NonZeroU64,
    os::unix::fs::{DirBuilderExt, FileExt},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use rustix::fs::{Advice, FallocateFlags, StatVfs, fadvise};

use crate::{
    codec::passing::{PassingKey, TAG},
    model::size,
};

/// A place for one sealed block.
pub(super) const SLOT: usize = 1 << 20;
/// A tenth of a disk is left to others, and no more than this: a server that finds its disk full is worse than one that
/// waits.
const LEFT: u64 = 2 << 30;

/// So many slots later a slot is on the disk, if that is fast.
const RECENT: usize = 16;
/// Whoever waits for longer, for a slot to be begun with, waits for a slow disk.
const SLOW: Duration = Duration::from_millis(10);

/// The file, which is made when it is needed first.
pub(super) struct Disk {
    dir: PathBuf,
    open: Mutex<Option<std::sync::Arc<Open>>>,
}

struct Open {
    file: File,
    key: PassingKey,
    /// The slots that were written last; `None` once the disk turned out to be slow.
    recent: Mutex<Option<VecDeque<u64>>>,
}

impl Open {
    /// Has a slot written to the disk soon, and takes an earlier one, if it is there by now, out of the page cache: the next
    /// are written into the same memory again, where memory that was not used yet costs more than all else of writing. What a
    /// slow disk does not have by then stays in the cache, and so does all once it lets this wait.
    fn let_go(&self, slot: u64) {
        let advise =
            |slot: u64| fadvise(&self.file, slot * SLOT as u64, NonZeroU64::new(SLOT as u64), Advice::DontNeed);
        let mut all = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(recent) = &mut *all else { return };
        let began = Instant::now();
        // Advice that is not taken costs time, not data.
        let _ = advise(slot);
        recent.push_back(slot);
        if recent.len() > RECENT
            && let Some(earlier) = recent.pop_front()
        {
            let _ = advise(earlier);
        }
        if began.elapsed() > SLOW {
            *all = None;
        }
    }
}

/// How much of the disk of `dir`, or of what there is of it, a spool would take, and how much it leaves to others.
///
/// # Errors
/// If nobody can tell.
pub fn room(dir: &Path) -> io::Result<(u64, u64)> {
    let there = dir.ancestors().find(|path| path.exists()).unwrap_or(dir);
    let stat = rustix::fs::statvfs(there)?;
    let left = left(&stat);
    Ok((free(&stat).saturating_sub(left), left))
}

fn free(stat: &StatVfs) -> u64 {
    stat.f_bavail.saturating_mul(stat.f_frsize)
}

fn left(stat: &StatVfs) -> u64 {
    LEFT.min(stat.f_blocks.saturating_mul(stat.f_frsize) / 10)
}

impl Disk {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir, open: Mutex::new(None) }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    fn open(&self) -> Result<std::sync::Arc<Open>, String> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = &*open {
            return Ok(std::sync::Arc::clone(open));
        }
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.dir);
        let file =
            made.and_then(|()| tempfile::tempfile_in(&self.dir)).map_err(|e| format!("can't make a file: {e}"))?;
        let key = PassingKey::new().map_err(|e| e.to_string())?;
        let new = std::sync::Arc::new(Open { file, key, recent: Mutex::new(Some(VecDeque::new())) });
        Ok(std::sync::Arc::clone(open.insert(new)))
    }

    /// Writes a block into a slot and tells how long it is there. If it can't be written, it is as it was.
    pub(super) fn write(&self, slot: u64, number: u64, block: &mut Vec<u8>) -> Result<usize, String> {
        let open = self.open()?;
        let stat = rustix::fs::fstatvfs(&open.file).map_err(|e| format!("can't find out the free space: {e}"))?;
        if free(&stat) < left(&stat) + SLOT as u64 {
            let (free, left) = (size::human(free(&stat)), size::human(left(&stat)));
            return Err(format!("its disk has {free} free, and {left} are left to others"));
        }
        open.key.seal(number, block).map_err(|e| e.to_string())?;
        match open.file.write_all_at(block, slot * SLOT as u64) {
            Ok(()) => {
                open.let_go(slot);
                Ok(block.len())
            }
            Err(e) => {
                open.key.open(number, block).map_err(|e| e.to_string())?;
                Err(format!("can't write: {e}"))
            }
        }
    }

    /// Reads what was written there.
    pub(super) fn read(&self, (slot, number, len): (u64, u64, usize), into: &mut Vec<u8>) -> io::Result<()> {
        let damaged = |e: &dyn std::fmt::Display| {
            io::Error::other(format!("the spool in {} can't be read: {e}", self.dir.display()))
        };
        let open = self.open().map_err(|e| damaged(&e))?;
        into.clear();
        into.resize(len.min(SLOT), 0);
        open.file.read_exact_at(into, slot * SLOT as u64).map_err(|e| damaged(&e))?;
        open.key.open(number, into).map_err(|e| damaged(&e))?;
        debug_assert!(into.len() + TAG == len, "a block is as long as it was");
        Ok(())
    }

    /// Gives the room of a slot back. Where the file system can't, the slot is used again all the same.
    pub(super) fn punch(&self, slot: u64) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(open) = open {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            let _ = rustix::fs::fallocate(&open.file, flags, slot * SLOT as u64, SLOT as u64);
        }
    }
}

#[cfg(test)]
impl Disk {
    fn file(&self) -> File {
        self.open().unwrap().file.try_clone().unwrap()
    }

    /// All that the file holds.
    pub(super) fn peek(&self, into: &mut Vec<u8>) {
        let file = self.file();
        into.resize(usize::try_from(self.len()).unwrap(), 0);
        file.read_exact_at(into, 0).unwrap();
    }

    pub(super) fn len(&self) -> u64 {
        self.file().metadata().unwrap().len()
    }

    /// How many blocks of the disk the file has.
    pub(super) fn blocks(&self) -> u64 {
        std::os::unix::fs::MetadataExt::blocks(&self.file().metadata().unwrap())
    }

    /// Turns a bit of what was written first.
    pub(super) fn spoil(&self) {
        let (file, mut byte) = (self.file(), [0]);
        file.read_exact_at(&mut byte, 99).unwrap();
        file.write_all_at(&[byte[0] ^ 1], 99).unwrap();
    }
}
