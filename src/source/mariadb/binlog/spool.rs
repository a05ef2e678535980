//! The directory that `mariadb-binlog` writes to: for each time that it was started one of its own, with files called as the
//! server calls them. So nothing that waits is ever written over.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::{DirBuilderExt, FileExt},
    path::{Path, PathBuf},
};

use super::super::super::{Result, SourceError};

/// Where it is noted which file the server wrote to at each start.
const LIVE: &str = "live";

/// A file of the spool.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Held {
    /// The number of the server's file.
    pub number: u32,
    /// Which start of the receiver wrote it.
    pub run: u32,
    /// Its name.
    pub name: String,
}

/// The directory. For this user alone: what is in it is the database.
#[derive(Debug, Clone)]
pub struct Spool {
    dir: PathBuf,
}

/// The number of a file of a log, as its name has it.
#[must_use]
pub fn number_of(name: &str) -> Option<u32> {
    let (_, digits) = name.rsplit_once('.')?;
    let plain = (6..=10).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten().filter(|number| *number > 0)
}

/// What the file of that number is called.
#[must_use]
pub fn file_of(base: &str, number: u32) -> String {
    format!("{base}.{number:06}")
}

impl Spool {
    /// The spool in `dir`.
    #[must_use]
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Where it is.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn run(&self, run: u32) -> PathBuf {
        self.dir.join(format!("{run:010}"))
    }

    /// Which starts of the receiver left something, the oldest first.
    pub(super) fn runs(&self) -> Result<Vec<u32>> {
        let mut runs: Vec<u32> = names(&self.dir)?.iter().filter_map(|name| name.parse().ok()).collect();
        runs.sort_unstable();
        Ok(runs)
    }

    /// The file that the server wrote to at each start whose files are still here.
    pub(super) fn live(&self) -> Result<BTreeMap<u32, u32>> {
        let path = self.dir.join(LIVE);
        let text = match fs::read_to_string(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            text => text.map_err(|e| SourceError::at("can't read a file of the spool", &path, e))?,
        };
        let line = |line: &str| {
            let (run, number) = line.split_once(' ')?;
            Some((run.parse().ok()?, number.parse().ok()?))
        };
        Ok(text.lines().filter_map(line).collect())
    }

    /// A directory for another start, at which the server writes to the file of that number.
    pub(super) fn another(&self, number: u32) -> Result<PathBuf> {
        let runs = self.runs()?;
        let run = runs.last().map_or(1, |last| last.saturating_add(1));
        let mut live = self.live()?;
        live.retain(|run, _| runs.contains(run));
        live.insert(run, number);
        let lines: Vec<String> = live.iter().map(|(run, number)| format!("{run} {number}\n")).collect();
        let (path, new) = (self.dir.join(LIVE), self.dir.join("live.new"));
        let noted = fs::write(&new, lines.concat()).and_then(|()| fs::rename(&new, &path));
        noted.map_err(|e| SourceError::at("can't write a file of the spool", &path, e))?;
        let dir = self.run(run);
        let made = DirBuilder::new().mode(0o700).create(&dir);
        made.map_err(|e| SourceError::at("can't make a directory of the spool", &dir, e))?;
        Ok(dir)
    }

    /// What is in it, by the numbers of the server's files.
    ///
    /// # Errors
    /// If it can't be listed.
    pub fn files(&self) -> Result<Vec<Held>> {
        let mut found = Vec::new();
        for run in self.runs()? {
            let names = names(&self.run(run))?;
            found.extend(names.into_iter().filter_map(|name| Some(Held { number: number_of(&name)?, run, name })));
        }
        found.sort_unstable();
        Ok(found)
    }

    pub(super) fn path(&self, held: &Held) -> PathBuf {
        self.run(held.run).join(&held.name)
    }

    /// Fills `buffer` from `offset` on; says how much there was.
    pub(super) fn read(&self, held: &Held, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let path = self.path(held);
        let failed = |e| SourceError::at("can't read a file of the spool", &path, e);
        let file = File::open(&path).map_err(failed)?;
        let mut have = 0;
        while let Some(rest) = buffer.get_mut(have..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, offset + have as u64) {
                Ok(0) => break,
                Ok(n) => have += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(failed(e)),
            }
        }
        Ok(have)
    }

    /// Removes a file that nobody needs any more, and its directory if that is empty then and not the last.
    pub(super) fn remove(&self, held: &Held) -> Result<()> {
        let path = self.path(held);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(SourceError::at("can't remove a file of the spool that was stored", &path, e))
            }
            _ => Ok(()),
        }
    }

    /// Removes directories of earlier starts that are empty.
    pub(super) fn sweep(&self) -> Result<()> {
        let runs = self.runs()?;
        for run in runs.iter().rev().skip(1) {
            // It fails where something is left in it.
            let _ = fs::remove_dir(self.run(*run));
        }
        Ok(())
    }

    /// How many bytes the newest start of the receiver has written that are still here.
    ///
    /// # Errors
    /// If it can't be listed.
    pub fn newest_bytes(&self) -> Result<u64> {
        let Some(run) = self.runs()?.pop() else { return Ok(0) };
        let of = |held: &Held| fs::metadata(self.path(held)).map_or(0, |meta| meta.len());
        Ok(self.files()?.iter().filter(|held| held.run == run).map(of).sum())
    }
}

/// The names in a directory; none if it is not there any more.
fn names(dir: &Path) -> Result<Vec<String>> {
    let failed = |e| SourceError::at("can't list the spool", dir, e);
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        found.extend(entry.map_err(failed)?.file_name().into_string());
    }
    Ok(found)
}
