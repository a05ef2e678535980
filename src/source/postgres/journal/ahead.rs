//! Segments that were read ahead for a server that recovers: plaintext, for this user alone, and no more than a few.

use std::{
    fs::{self, DirBuilder},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use super::{
    super::super::{Result, SourceError},
    files::LogFile,
    segment::write_file,
};

/// A directory of segments.
#[derive(Debug, Clone)]
pub struct Ahead {
    dir: PathBuf,
}

impl Ahead {
    /// Opens the part of a directory that belongs to one `journal`, and makes it if it is missing: segments of two journals have the
    /// same names.
    ///
    /// # Errors
    /// If it can't be made, or is not this user's alone.
    pub fn of_journal(dir: PathBuf, journal: &str) -> Result<Self> {
        let part = dir.join(journal);
        Self::open(dir)?;
        Self::open(part)
    }

    /// Opens a directory, and makes it if it is missing.
    ///
    /// # Errors
    /// If it can't be made, or is not this user's alone.
    pub fn open(dir: PathBuf) -> Result<Self> {
        let failed = |e| SourceError::at("can't use the directory for what is read ahead", &dir, e);
        DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(failed)?;
        let meta = fs::symlink_metadata(&dir).map_err(failed)?;
        if !meta.is_dir() || meta.uid() != rustix::process::geteuid().as_raw() || meta.mode() & 0o077 != 0 {
            let what = "is not a directory of this user alone, and what is read ahead is the database: name another with --ahead";
            return Err(SourceError::new(what, dir.display().to_string()));
        }
        Ok(Self { dir })
    }

    /// The usual one for the server whose directory this process works in.
    #[must_use]
    pub fn usual(system: u64) -> PathBuf {
        let user = rustix::process::geteuid().as_raw();
        std::env::temp_dir().join(format!("strongroom-ahead-{user}-{system:016x}"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Takes a segment out of it.
    #[must_use]
    pub fn take(&self, name: &str) -> Option<Vec<u8>> {
        let path = self.path(name);
        let bytes = fs::read(&path).ok()?;
        let _ = fs::remove_file(&path);
        Some(bytes)
    }

    /// Removes all segments: nobody will ask for them any more.
    pub fn forget(&self) {
        self.keep_from(0, u64::MAX, 1);
    }

    /// Whether a segment is in it.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// Puts a segment into it. That it can't costs time only.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let _ = write_file(&self.path(name), bytes);
    }

    /// Removes all but what is of `timeline` and begins at `at` or beyond.
    pub fn keep_from(&self, timeline: u32, at: u64, size: u64) {
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let kept = match name.to_str().and_then(LogFile::read) {
                Some(LogFile::Segment(name)) => {
                    name.timeline == timeline && name.start(size).is_some_and(|start| start >= at)
                }
                _ => Path::new(&name).extension().is_none_or(|ending| ending != "strongroom"),
            };
            if !kept {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// The size of the segments of a line, if it is known.
    #[must_use]
    pub fn size(&self, line: &str) -> Option<u64> {
        fs::read_to_string(self.path(line)).ok()?.trim().parse().ok().filter(|size: &u64| size.is_power_of_two())
    }

    /// Notes the size of the segments of a line.
    pub fn note_size(&self, line: &str, size: u64) {
        let _ = write_file(&self.path(line), format!("{size}\n").as_bytes());
    }

    /// Whether something is known that needs no other look at the vault.
    #[must_use]
    pub fn is_known(&self, what: &str) -> bool {
        self.path(what).exists()
    }

    /// Notes that it is.
    pub fn know(&self, what: &str) {
        let _ = write_file(&self.path(what), b"");
    }
}
