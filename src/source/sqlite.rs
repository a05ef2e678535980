//! An SQLite database, copied while others write to it.

mod copy;
mod log;
pub mod print;

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{
    Facts, FileMeta, Incoming, Look, Reading, Result, Source, SourceError,
    files::{mtime_ns, single_name, utf8},
    read::{Seen, Watched},
    scratch::Scratch,
};
use crate::model::{Fingerprint, SourceKind, size};

/// How long another program's lock is waited for.
pub const LOCK_TIMEOUT: Duration = Duration::from_mins(1);

/// A database file. Its one stream is a whole database file of one instant.
///
/// SQLite's online backup makes a copy in a private temporary directory, where the copy is checked and described, and
/// from where it is read; its name there is gone before the first byte is. Nothing is written where the database is.
pub struct SqliteSource {
    path: PathBuf,
    lock_timeout: Duration,
}

impl SqliteSource {
    /// The database at `path`. A lock of another program is waited for as long as `lock_timeout`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, lock_timeout: Duration) -> Self {
        Self { path: path.into(), lock_timeout }
    }
}

impl Source for SqliteSource {
    fn kind(&self) -> SourceKind {
        SourceKind::Sqlite
    }

    fn open(&mut self) -> Result<Box<dyn Reading>> {
        let given = &self.path;
        let file_name = utf8(given.file_name().unwrap_or(given.as_os_str()), given)?;
        // SQLite looks for the log beside the file that a link leads to, and so does whoever writes it.
        let path = fs::canonicalize(given).map_err(|e| SourceError::at("can't find the database", given, e))?;
        copy::must_be_sqlite(&path)?;
        let scratch = Scratch::new()?;
        let todo = Some(Todo { path: path.clone(), file_name, lock_timeout: self.lock_timeout });
        Ok(Box::new(SqliteReading { todo, path, scratch, stop: Arc::default(), made: None }))
    }

    fn look(&mut self) -> Look {
        let (given, mut look) = (&self.path, Look::default());
        let found = fs::canonicalize(given).map_err(|e| SourceError::at("can't find the database", given, e));
        let Some(path) = look.step("reach", found) else { return look };
        // Opened by SQLite, it might get files beside it.
        let Some(()) = look.step("contents", copy::must_be_sqlite(&path)) else { return look };
        let Some(()) = look.step("contents", copy::log_must_be_whole(&path)) else { return look };
        let bytes = copy::bytes(&path);
        look.good("contents", format!("{} is a database of {}", path.display(), size::human(bytes)));
        if let Some(scratch) = look.step("scratch", Scratch::new())
            && look.step("scratch", scratch.must_hold(bytes)).is_some()
        {
            look.good("scratch", format!("there is room for its copy in {}", std::env::temp_dir().display()));
        }
        look
    }
}

/// What was not begun yet.
struct Todo {
    path: PathBuf,
    file_name: String,
    lock_timeout: Duration,
}

struct SqliteReading {
    todo: Option<Todo>,
    path: PathBuf,
    scratch: Scratch,
    stop: Arc<AtomicBool>,
    made: Option<(Fingerprint, Vec<String>, Arc<Seen>)>,
}

impl Reading for SqliteReading {
    fn next_stream(&mut self) -> Result<Option<Incoming>> {
        let Some(Todo { path, file_name, lock_timeout }) = self.todo.take() else { return Ok(None) };
        let meta = fs::metadata(&path).map_err(|e| SourceError::at("can't look at the database", &path, e))?;
        let (copied, mut warnings) = copy::copy(&path, &self.scratch, lock_timeout, &self.stop)?;
        let name = single_name(&file_name, &path)?;
        let mut fingerprint = describe(&copied, &path, &mut warnings)?;
        fingerprint.database.clone_from(&file_name);
        fingerprint.streams.push(name.clone());
        let failed = |e| SourceError::at("can't read the copy of the database", &copied, e);
        let file = File::open(&copied).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        // From here on the copy goes away with this process, however it ends.
        fs::remove_file(&copied).map_err(failed)?;
        let (reader, seen) = Watched::new(file, copied.display().to_string(), 0);
        self.made = Some((fingerprint, warnings, seen));
        let mode = Some(std::os::unix::fs::MetadataExt::mode(&meta) & 0o7777);
        Ok(Some(Incoming {
            name,
            path: Some(file_name),
            meta: FileMeta { mode, mtime_ns: mtime_ns(&meta), ..FileMeta::default() },
            expected: Some(bytes),
            reader: Box::new(reader),
        }))
    }

    fn stopper(&self) -> Option<Box<dyn FnOnce() + Send>> {
        let (stop, remover) = (Arc::clone(&self.stop), self.scratch.remover());
        Some(Box::new(move || {
            stop.store(true, Ordering::Release);
            // The thread that copies may be waiting for somebody's lock, and is not waited for.
            remover.remove();
        }))
    }

    fn finish(self: Box<Self>) -> Result<Facts> {
        let object = self.path.display().to_string();
        let Some((fingerprint, warnings, seen)) = self.made else {
            return Err(SourceError::new("was given up before it was read", object));
        };
        seen.must_have_ended(&object)?;
        Ok(Facts { fingerprints: vec![fingerprint], warnings, ..Facts::default() })
    }
}

/// Checks the copy at `copied` and tells what it holds; `source` is what it is a copy of, for messages.
fn describe(copied: &Path, source: &Path, warnings: &mut Vec<String>) -> Result<Fingerprint> {
    let shown = source.display().to_string();
    let failed = |what: &str, e: rusqlite::Error| SourceError::new(what, &shown).because(io::Error::other(e));
    let database = print::open(copied).map_err(|e| failed("its copy can't be opened", e))?;
    match print::integrity(&database) {
        print::Integrity::Whole => {}
        print::Integrity::Damaged(found) => {
            let what = format!(
                "the database is damaged: {}. Nothing was backed up; to keep the damaged file while you repair it, back it up with `--path`",
                found.join("; ")
            );
            return Err(SourceError::new(what, shown));
        }
        print::Integrity::Unknown(why) => warnings.push(format!(
            "{shown} could not be checked: {why}. It needs what only its application has; the copy was made all the same"
        )),
    }
    print::fingerprint(&database).map_err(|e| failed("what the database holds can't be read", e))
}

/// Reads the first bytes of a file, as many as there are.
fn head(path: &Path, len: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(len).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
