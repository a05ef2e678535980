//! A segment that the server hands over, or that is handed to it: `archive_command` and `restore_command`.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use super::{
    super::{
        super::{Result, SourceError},
        wal::page::{Geometry, u64_at},
    },
    files::LogFile,
    walk::{Stop, Walk},
};
use crate::{codec::hash::Hasher, model::Hash};

/// The largest file that is taken: the largest segment.
const LARGEST: u64 = 1 << 30;

/// What is read at once where it is only hashed.
const READ: usize = 256 << 10;
/// So many seconds ago is only just now: some file systems count in seconds.
const JUST_NOW: u64 = 2;

/// A file of a log, as it lies in a server's directory.
#[derive(Debug)]
pub struct LogBytes {
    /// What it is called.
    pub file: LogFile,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// Which file of a log is called like this.
///
/// # Errors
/// If none is.
pub fn file_of(path: &Path) -> Result<LogFile> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.and_then(LogFile::read).ok_or_else(|| {
        SourceError::new(
            "is called like no file of a write-ahead log; archive_command hands over %p",
            path.display().to_string(),
        )
    })
}

/// Reads a file of a log.
///
/// # Errors
/// If it is none, or can't be read.
pub fn read_file(path: &Path) -> Result<LogBytes> {
    let file = file_of(path)?;
    let failed = |e| SourceError::at("can't read a file of the write-ahead log", path, e);
    let opened = File::open(path).map_err(failed)?;
    let size = opened.metadata().map_err(failed)?.len();
    if size > LARGEST {
        return Err(SourceError::new("is larger than any segment of a write-ahead log", path.display().to_string()));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    opened.take(LARGEST).read_to_end(&mut bytes).map_err(failed)?;
    Ok(LogBytes { file, bytes })
}

/// What tells a file from every other, and from itself before it was changed, without reading it: where it lies, how large it
/// is, and when it was changed. Nothing if that was only just now: another change in the same moment would not be seen.
#[must_use]
pub fn looks(path: &Path) -> Option<String> {
    let meta = fs::metadata(path).ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    let changed = u64::try_from(meta.ctime().max(meta.mtime())).ok()?;
    let times = [meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()].map(|time| time.to_string());
    let place = [meta.dev(), meta.ino(), meta.size()].map(|number| number.to_string());
    (now > changed + JUST_NOW).then(|| [place.as_slice(), &times].concat().join(" "))
}

/// The hash of a file's bytes, of which few are in memory at once.
///
/// # Errors
/// If it can't be read.
pub fn hash_of(path: &Path) -> Result<Hash> {
    let failed = |e| SourceError::at("can't read a file of the write-ahead log", path, e);
    let mut file = File::open(path).map_err(failed)?.take(LARGEST);
    let (mut hasher, mut some) = (Hasher::new(), vec![0; READ]);
    loop {
        let n = file.read(&mut some).map_err(failed)?;
        match some.get(..n).filter(|read| !read.is_empty()) {
            Some(read) => hasher.update(read),
            None => return Ok(hasher.finish()),
        }
    }
}

impl LogBytes {
    /// What a segment's header says, held against its name and its size; where it begins, and how far it is whole.
    ///
    /// # Errors
    /// If it is no segment of that name.
    pub fn segment(&self, path: &Path) -> Result<(Geometry, u64, u64)> {
        let refuse = |what: String| SourceError::new(what, path.display().to_string());
        let (LogFile::Segment(name) | LogFile::Partial(name)) = self.file else {
            return Err(refuse("is not a segment".into()));
        };
        let geometry = Geometry::read(&self.bytes)
            .map_err(|broken| refuse(format!("is not a write-ahead log: {}", broken.what)))?;
        let geometry = geometry.ok_or_else(|| refuse("is empty".into()))?;
        if self.bytes.len() as u64 != geometry.segment {
            return Err(refuse(format!("has {} bytes, and its header says {}", self.bytes.len(), geometry.segment)));
        }
        let start = name.start(geometry.segment).filter(|start| *start == Geometry::address(&self.bytes));
        let start = start.ok_or_else(|| refuse("holds another segment than its name says".into()))?;
        if matches!(self.file, LogFile::Segment(_)) {
            return Ok((geometry, start, start + geometry.segment));
        }
        let mut walk = Walk::new(geometry, name.timeline, start);
        while let Ok(Stop::More) = walk.feed(self.rest(start, walk.at())) {
            if walk.at() >= start + geometry.segment {
                break;
            }
        }
        Ok((geometry, start, walk.whole()))
    }

    /// The bytes of a segment that begins at `start` from `at` on.
    fn rest(&self, start: u64, at: u64) -> &[u8] {
        self.bytes.get(usize::try_from(at - start).unwrap_or(usize::MAX)..).unwrap_or_default()
    }
}

/// The other segments in the directory of `path` that wait to be archived, in the order of the log, at most `most`.
#[must_use]
pub fn waiting(path: &Path, most: usize) -> Vec<PathBuf> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(entries) = fs::read_dir(dir.join("archive_status")) else { return Vec::new() };
    let ready = |entry: fs::DirEntry| {
        let name = entry.file_name();
        let name = name.to_str()?.strip_suffix(".ready")?;
        matches!(LogFile::read(name), Some(LogFile::Segment(_))).then(|| dir.join(name))
    };
    let mut found: Vec<PathBuf> = entries.flatten().filter_map(ready).filter(|other| other != path).collect();
    found.sort_unstable();
    found.truncate(most);
    found
}

/// The system identifier of the cluster whose directory `path` lies in: `pg_wal/…` of the directory that this process
/// works in, or of that which is two above.
#[must_use]
pub fn system_of(path: &Path) -> Option<u64> {
    let above = path.parent().and_then(Path::parent).map(|dir| dir.join("global/pg_control"));
    let places = [above, Some(PathBuf::from("global/pg_control"))];
    places.into_iter().flatten().find_map(|control| {
        let mut head = [0; 8];
        File::open(control).ok()?.read_exact(&mut head).ok()?;
        Some(u64_at(&head, 0)).filter(|system| *system > 0)
    })
}

/// Whether the directory of `path` has the segment `name` itself, as a base brings it: its header says that it is that one, and
/// no older one under a new name.
#[must_use]
pub fn lies_beside(path: &Path, name: &str) -> bool {
    let beside = path.with_file_name(name);
    read_file(&beside).is_ok_and(|read| read.segment(&beside).is_ok())
}

/// Writes a file for the server, whole or not at all.
///
/// # Errors
/// If it can't be written.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = |e| SourceError::at("can't write what the server asked for", path, e);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".strongroom");
    let beside = path.with_file_name(name);
    let written = || -> io::Result<()> {
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    written().map_err(|e| {
        let _ = fs::remove_file(&beside);
        failed(e)
    })
}

#[cfg(test)]
mod tests {
    use std::{thread, time::Duration};

    use super::*;
    use crate::codec::hash;

    #[test]
    fn a_file_is_told_by_how_it_looks_only_where_every_change_of_it_shows() {
        let dir = tempfile::tempdir().unwrap();
        let (path, bytes) = (dir.path().join("000000010000000000000001"), vec![7; 600_000]);
        fs::write(&path, &bytes).unwrap();
        assert_eq!(looks(&path), None, "it was changed only just now");
        assert_eq!(hash_of(&path).unwrap(), hash::hash(&bytes));
        thread::sleep(Duration::from_secs(JUST_NOW) + Duration::from_millis(1100)); // nothing but time makes it old enough
        let (before, time) = (looks(&path), fs::metadata(&path).unwrap().modified().unwrap());
        assert!(before.is_some() && looks(&path) == before);
        // A byte of it, with the size and the time as they were.
        let file = File::options().write(true).open(&path).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, b"x", 5000).unwrap();
        file.set_modified(time).unwrap();
        assert_ne!(looks(&path), before);
        assert_ne!(hash_of(&path).unwrap(), hash::hash(&bytes));
    }
}
