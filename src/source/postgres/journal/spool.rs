//! The directory that `pg_receivewal` writes to.

use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder, File, Permissions},
    io::{self, Read},
    ops::RangeBounds,
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::SystemTime,
};

use rustix::fs::{FallocateFlags, fallocate};

use super::{
    super::{
        super::{Result, SourceError},
        wal::page::Geometry,
    },
    files::{LogFile, SegmentName},
};
use crate::{codec::hash::Hasher, model::Hash};

/// How much of a segment is hashed at a time.
const STEP: usize = 1 << 20;
/// So much of a segment says what it is.
const HEAD: u64 = 64;

/// What a segment that is being made in advance is called until it is. A receiver passes over such names.
const MAKING: &str = "made";

/// A segment in the spool.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Held {
    /// The timeline.
    pub timeline: u32,
    /// Where the segment begins.
    pub start: u64,
    /// Whether it is not complete.
    pub partial: bool,
    /// Its name.
    pub name: SegmentName,
}

/// What is in the spool of a log.
struct Files {
    /// Segments, and whether each is not complete.
    segments: Vec<(SegmentName, bool)>,
    /// Those that were made in advance.
    made: Vec<SegmentName>,
}

/// The directory. For this user alone: what is in it is the database.
#[derive(Debug, Clone)]
pub struct Spool {
    dir: PathBuf,
}

impl Spool {
    /// Opens the directory, and makes it if it is missing.
    ///
    /// # Errors
    /// If it can't be made or is not ours alone.
    pub fn open(dir: PathBuf) -> Result<Self> {
        let failed = |e| SourceError::at("can't make the directory of the spool", &dir, e);
        DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(failed)?;
        fs::set_permissions(&dir, Permissions::from_mode(0o700)).map_err(failed)?;
        Ok(Self { dir })
    }

    /// Where it is.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn names(&self) -> Result<Vec<LogFile>> {
        let failed = |e| SourceError::at("can't list the spool", &self.dir, e);
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            found.extend(name.to_str().and_then(LogFile::read));
        }
        found.sort_unstable();
        Ok(found)
    }

    /// The segments in it, and the names of those that were made in advance. A receiver completes a segment before it begins
    /// the next, so whatever is not complete behind one of the same timeline that is not either was made in advance.
    fn all(&self) -> Result<Files> {
        let mut found = Vec::new();
        for file in self.names()? {
            match file {
                LogFile::Segment(name) => found.push((name, false)),
                LogFile::Partial(name) => found.push((name, true)),
                LogFile::History(_) | LogFile::Backup(..) => {}
            }
        }
        found.sort_unstable();
        // One that was just renamed may be seen under both names.
        found.dedup_by(|(later, _), (earlier, _)| later == earlier);
        let (mut segments, mut made): (Vec<(SegmentName, bool)>, _) = (Vec::new(), Vec::new());
        for (name, partial) in found {
            match segments.last() {
                Some((last, true)) if partial && last.timeline == name.timeline => made.push(name),
                _ => segments.push((name, partial)),
            }
        }
        Ok(Files { segments, made })
    }

    /// The segments in it, by timeline and position, where segments are of `size`; without those that were made in advance.
    ///
    /// # Errors
    /// If it can't be listed.
    pub fn segments(&self, size: u64) -> Result<Vec<Held>> {
        let held = |(name, partial): (SegmentName, bool)| {
            name.start(size).map(|start| Held { timeline: name.timeline, start, partial, name })
        };
        Ok(self.all()?.segments.into_iter().filter_map(held).collect())
    }

    /// The segment behind the newest one: the next that a receiver wants, or the one after it.
    pub(super) fn next(&self, size: u64) -> Result<Option<(u32, u64)>> {
        Ok(self.segments(size)?.last().map(|held| (held.timeline, held.start + size)))
    }

    /// How many segments there are, with those that were made in advance.
    pub(super) fn files(&self) -> Result<u64> {
        let Files { segments, made } = self.all()?;
        Ok((segments.len() + made.len()) as u64)
    }

    /// The timelines whose histories are in it.
    ///
    /// # Errors
    /// If it can't be listed.
    pub fn histories(&self) -> Result<BTreeSet<u32>> {
        let timeline = |file| if let LogFile::History(timeline) = file { Some(timeline) } else { None };
        Ok(self.names()?.into_iter().filter_map(timeline).collect())
    }

    /// The history of a timeline; nothing if it is not here.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn history(&self, timeline: u32) -> Result<Option<Vec<u8>>> {
        let path = self.dir.join(LogFile::History(timeline).to_string());
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(SourceError::at("can't read the history of a timeline", &path, e)),
        }
    }

    /// What the log in it is like, as far as anything is in it.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn geometry(&self) -> Result<Option<Geometry>> {
        for file in self.names()? {
            let (LogFile::Segment(_) | LogFile::Partial(_)) = file else { continue };
            let path = self.dir.join(file.to_string());
            let mut head = Vec::new();
            let read = File::open(&path).and_then(|file| file.take(HEAD).read_to_end(&mut head));
            read.map_err(|e| SourceError::at("can't read a segment of the spool", &path, e))?;
            if let Ok(Some(geometry)) = Geometry::read(&head) {
                return Ok(Some(geometry));
            }
        }
        Ok(None)
    }

    /// When a segment in it was written to last.
    #[must_use]
    pub fn touched(&self) -> Option<SystemTime> {
        let log = |entry: &fs::DirEntry| entry.file_name().to_str().and_then(LogFile::read).is_some();
        let all = fs::read_dir(&self.dir).ok()?.flatten().filter(log);
        all.filter_map(|entry| entry.metadata().ok()?.modified().ok()).max()
    }

    fn path(&self, held: &Held) -> PathBuf {
        let file = if held.partial { LogFile::Partial(held.name) } else { LogFile::Segment(held.name) };
        self.dir.join(file.to_string())
    }

    /// Fills `buffer` from `offset` on; says how much there was. Nothing if the file is not there any more: it was renamed
    /// since it was seen.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn read(&self, held: &Held, offset: u64, buffer: &mut [u8]) -> Result<Option<usize>> {
        let path = self.path(held);
        let failed = |e| SourceError::at("can't read a segment of the spool", &path, e);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(failed(e)),
        };
        let mut have = 0;
        while let Some(rest) = buffer.get_mut(have..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, offset + have as u64) {
                Ok(0) => break,
                Ok(n) => have += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(failed(e)),
            }
        }
        Ok(Some(have))
    }

    /// The hash of a stretch of a segment; nothing if all of it is not there.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn hash(&self, held: &Held, from: u64, to: u64) -> Result<Option<Hash>> {
        Ok(self.hasher(held, from, to)?.map(|hasher| hasher.finish()))
    }

    /// The same, to be gone on with.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn hasher(&self, held: &Held, from: u64, to: u64) -> Result<Option<Hasher>> {
        let (mut hasher, mut at) = (Hasher::new(), from);
        let mut buffer = vec![0; STEP];
        while at < to {
            let want = usize::try_from(to - at).unwrap_or(STEP).min(STEP);
            let room = buffer.get_mut(..want).unwrap_or_default();
            match self.read(held, at - held.start, room)? {
                Some(n) if n == want => hasher.update(room),
                _ => return Ok(None),
            }
            at += want as u64;
        }
        Ok(Some(hasher))
    }

    /// Removes a segment that nobody needs any more.
    ///
    /// # Errors
    /// If it can't be removed.
    pub fn remove(&self, held: &Held) -> Result<()> {
        let path = self.path(held);
        gone(&path).map_err(|e| SourceError::at("can't remove a segment of the spool that was stored", &path, e))
    }

    /// Makes segments empty again that were not made to their full length: a receiver that was killed while it made one leaves
    /// zeros, and one that starts does not know what to do with them. To be called while none runs.
    ///
    /// # Errors
    /// If one can't be changed.
    pub fn mend(&self, size: u64) -> Result<()> {
        self.unmake(..)?;
        for held in self.segments(size)?.iter().filter(|held| held.partial) {
            let path = self.path(held);
            let failed = |e| SourceError::at("can't repair a segment of the spool", &path, e);
            let file = File::options().write(true).open(&path).map_err(failed)?;
            if (1..size).contains(&file.metadata().map_err(failed)?.len()) {
                file.set_len(0).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Makes a segment in advance, in its full length and empty, unless there is one. Says whether the file system can.
    pub(super) fn make(&self, timeline: u32, start: u64, size: u64) -> Result<bool> {
        let path = self.dir.join(LogFile::Partial(SegmentName::of(timeline, start, size)).to_string());
        if path.exists() {
            return Ok(true);
        }
        // The receiver may look for it at any moment, and takes one that is empty or whole.
        let making = self.dir.join(MAKING);
        let failed = |e| SourceError::at("can't make a segment of the spool", &making, e);
        gone(&making).map_err(failed)?;
        let file = File::options().write(true).create_new(true).mode(0o600).open(&making).map_err(failed)?;
        let made = fallocate(&file, FallocateFlags::empty(), 0, size).map_err(io::Error::from);
        let made = made.and_then(|()| match fs::hard_link(&making, &path) {
            // The receiver was faster.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        });
        gone(&making).map_err(failed)?;
        Ok(made.is_ok())
    }

    /// Removes what was made in advance for these timelines. To be called while no receiver writes to them: one that starts
    /// goes on at the newest file.
    ///
    /// # Errors
    /// If something can't be removed.
    pub fn unmake(&self, timelines: impl RangeBounds<u32>) -> Result<()> {
        let made = self.all()?.made.into_iter().filter(|name| timelines.contains(&name.timeline));
        let paths = made.map(|name| self.dir.join(LogFile::Partial(name).to_string()));
        for path in paths {
            gone(&path).map_err(|e| SourceError::at("can't remove a segment that was made in advance", &path, e))?;
        }
        Ok(())
    }

    /// Removes all that is of a log. To be called while no receiver runs.
    ///
    /// # Errors
    /// If something can't be removed.
    pub fn clear_out(&self) -> Result<()> {
        for file in self.names()? {
            let path = self.dir.join(file.to_string());
            gone(&path).map_err(|e| SourceError::at("can't remove a file of the spool that was stored", &path, e))?;
        }
        Ok(())
    }

    /// Lets the receiver begin at the segment of `timeline` that begins at `start`: it goes on where its newest file is.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn seed(&self, timeline: u32, start: u64, size: u64) -> Result<()> {
        let name = SegmentName::of(timeline, start, size);
        let path = self.dir.join(LogFile::Partial(name).to_string());
        let made = File::options().write(true).create(true).truncate(true).mode(0o600).open(&path);
        made.map(drop).map_err(|e| SourceError::at("can't write the first segment of the spool", &path, e))
    }
}

/// Removes a file that may not be there.
fn gone(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}
