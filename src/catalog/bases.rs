//! The cache of bases: recent blocks, kept on the writer's own disk so that later chunks can be stored as deltas of what
//! is in them. One file for each pack, sealed by whoever puts it.
//!
//! Nothing depends on it. A file that is missing, torn or of another time costs space in the vault: whoever reads one
//! checks what is in it. So nothing is synced here, and any failure is an answer.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use super::{CatalogError, Result, state};
use crate::model::{Name, PackId, VaultId};

/// The ending of files that are not whole yet.
const UNFINISHED: &str = "tmp";
/// A run leaves a tenth of the limit free for what the next one adds.
const LEAVE_FREE: u64 = 10;
/// A twentieth of the file system stays free, or so many bytes of a large one: the cache must not fill the disk of the
/// database that it serves.
const RESERVE: (u64, u64) = (20, 5 << 30);

/// The cache of one writer of one vault. May be used by several threads; hold the [`RunLock`](super::RunLock).
#[derive(Debug)]
pub struct Bases {
    dir: PathBuf,
    limit: u64,
    files: Mutex<Files>,
}

#[derive(Debug, Default)]
struct Files {
    known: HashMap<PackId, Entry>,
    total: u64,
}

#[derive(Debug)]
struct Entry {
    bytes: u64,
    used: SystemTime,
    /// Whether this run read it.
    now: bool,
}

impl Bases {
    /// Opens the cache in the state directory, and makes it if it is missing (for its owner alone). `limit` is the
    /// most bytes that it holds.
    ///
    /// # Errors
    /// The directory can't be made or read.
    pub fn open(state: &Path, vault: VaultId, writer: &Name, limit: u64) -> Result<Self> {
        let dir = state::path(state, vault, writer, "bases");
        state::make_dir(&dir).map_err(|e| CatalogError::io("cannot make the cache of bases", &dir, e))?;
        let files = scan(&dir).map_err(|e| CatalogError::io("cannot read the cache of bases", &dir, e))?;
        Ok(Self { dir, limit, files: Mutex::new(files) })
    }

    /// Whether the cache has a file for this pack.
    pub fn has(&self, pack: &PackId) -> bool {
        self.with(|files| files.known.contains_key(pack))
    }

    /// The packs that the cache has files for.
    pub fn packs(&self) -> Vec<PackId> {
        self.with(|files| files.known.keys().copied().collect())
    }

    /// Stores what `write` writes, `len` bytes, as the file of this pack; false if there is no room for it.
    ///
    /// # Errors
    /// The file can't be written, or `write` failed.
    pub fn put(&self, pack: &PackId, len: u64, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<bool> {
        if self.with(|files| files.total + len > self.limit) || !self.disk_has_room(len) {
            return Ok(false);
        }
        let path = self.path(pack);
        let unfinished = path.with_extension(UNFINISHED);
        let written = state::open_private(&unfinished).and_then(|mut file| {
            file.set_len(0)?;
            write(&mut file)?;
            fs::rename(&unfinished, &path)
        });
        if let Err(error) = written {
            let _ = fs::remove_file(&unfinished);
            return Err(CatalogError::io("cannot write to the cache of bases", &path, error));
        }
        self.with(|files| files.add(*pack, Entry { bytes: len, used: SystemTime::now(), now: true }));
        Ok(true)
    }

    /// Reads `len` bytes at `at` of the file of this pack; `None` if there are none, for whatever reason.
    pub fn read(&self, pack: &PackId, at: u64, len: usize) -> Option<Vec<u8>> {
        let file = self.open_file(pack)?;
        if at.checked_add(len as u64)? > file.metadata().ok()?.len() {
            return None;
        }
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, at).ok()?;
        Some(bytes)
    }

    fn open_file(&self, pack: &PackId) -> Option<File> {
        let first = self.with(|files| {
            let entry = files.known.get_mut(pack)?;
            Some(!std::mem::replace(&mut entry.now, true))
        })?;
        let file = File::open(self.path(pack)).ok()?;
        if first {
            // What this run leans on is dropped last. If the time can't be set, it is only dropped sooner.
            let now = SystemTime::now();
            let _ = file.set_modified(now);
            self.with(|files| files.known.get_mut(pack).map(|entry| entry.used = now));
        }
        Some(file)
    }

    /// Drops the file of a pack, which was damaged or is of no use.
    pub fn forget(&self, pack: &PackId) {
        let _ = fs::remove_file(self.path(pack));
        self.with(|files| files.drop(pack));
    }

    /// Drops what was not used for longest, if the cache is nearly full; returns how many files. At the end of a run:
    /// during one, what comes later in the stream may still be wanted.
    pub fn trim(&self) -> usize {
        let goal = self.limit - self.limit / LEAVE_FREE;
        let mut dropped = 0;
        while let Some(oldest) = self.with(|files| files.oldest_beyond(goal)) {
            self.forget(&oldest);
            dropped += 1;
        }
        dropped
    }

    fn disk_has_room(&self, len: u64) -> bool {
        rustix::fs::statvfs(&self.dir).is_ok_and(|disk| {
            let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
            bytes(disk.f_bavail).saturating_sub(len) > (bytes(disk.f_blocks) / RESERVE.0).min(RESERVE.1)
        })
    }

    fn path(&self, pack: &PackId) -> PathBuf {
        self.dir.join(pack.to_string())
    }

    fn with<T>(&self, act: impl FnOnce(&mut Files) -> T) -> T {
        act(&mut self.files.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Files {
    fn add(&mut self, pack: PackId, entry: Entry) {
        self.total += entry.bytes;
        if let Some(old) = self.known.insert(pack, entry) {
            self.total -= old.bytes;
        }
    }

    fn drop(&mut self, pack: &PackId) {
        if let Some(old) = self.known.remove(pack) {
            self.total -= old.bytes;
        }
    }

    fn oldest_beyond(&self, goal: u64) -> Option<PackId> {
        if self.total <= goal {
            return None;
        }
        self.known.iter().min_by_key(|(id, entry)| (entry.used, **id)).map(|(id, _)| *id)
    }
}

/// What lies in the directory. Unfinished files of a run that was stopped are removed.
fn scan(dir: &Path) -> io::Result<Files> {
    let mut files = Files::default();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        let name = entry.file_name();
        match name.to_str().and_then(|name| name.parse::<PackId>().ok()) {
            Some(pack) if meta.is_file() => {
                let used = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                files.add(pack, Entry { bytes: meta.len(), used, now: false });
            }
            _ if Path::new(&name).extension().is_some_and(|e| e == UNFINISHED) => fs::remove_file(entry.path())?,
            _ => {}
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn id(n: u8) -> PackId {
        PackId::from_bytes([n; 32])
    }

    fn open(dir: &Path, limit: u64) -> Bases {
        let vault = VaultId::from_bytes([7; 32]);
        Bases::open(dir, vault, &"db1".parse().unwrap(), limit).unwrap()
    }

    #[test]
    fn it_keeps_to_its_limit_and_drops_what_was_not_used_for_longest() {
        let dir = tempfile::tempdir().unwrap();
        let bases = open(dir.path(), 100);
        for n in 1..=3 {
            assert!(bases.put(&id(n), 32, |file| file.write_all(&[n; 32])).unwrap());
        }
        assert!(!bases.put(&id(4), 32, |_| Ok(())).unwrap(), "it is full");
        assert_eq!(bases.read(&id(2), 30, 2), Some(vec![2; 2]));
        assert_eq!(bases.read(&id(2), 30, 3), None);
        for n in 1..=3 {
            let old = SystemTime::now() - Duration::from_secs(1000 - u64::from(n));
            File::open(bases.path(&id(n))).unwrap().set_modified(old).unwrap();
        }
        fs::write(bases.dir.join("half.tmp"), "x").unwrap();
        let next = open(dir.path(), 100);
        assert!(!bases.dir.join("half.tmp").exists());
        assert!(next.read(&id(1), 0, 1).is_some(), "so 2 is the oldest now");
        assert_eq!(next.trim(), 1);
        assert!(next.has(&id(1)) && !next.has(&id(2)) && next.has(&id(3)));
        assert_eq!(next.trim(), 0);
        next.forget(&id(1));
        assert!(next.put(&id(4), 32, |file| file.write_all(&[4; 32])).unwrap());
        assert_eq!(open(dir.path(), 0).trim(), 2);
    }

    #[test]
    fn a_file_that_went_away_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        let bases = open(dir.path(), 100);
        assert!(bases.put(&id(1), 10, |file| file.write_all(&[1; 10])).unwrap());
        fs::remove_file(bases.path(&id(1))).unwrap();
        assert!(bases.has(&id(1)));
        assert_eq!(bases.read(&id(1), 0, 1), None);
    }
}
