//! Copies of SQLite databases that belong to one instant.

use std::{
    fs::{self, File, Metadata},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use rusqlite::{
    Connection, ErrorCode, OpenFlags,
    backup::{Backup, StepResult},
    config::DbConfig,
    ffi,
};

use super::{
    super::{Result, SourceError, scratch::Scratch},
    head, log,
};

/// What every database begins with.
const MAGIC: &[u8] = b"SQLite format 3\0";
/// Where the header says how it is written to: 2 is a write-ahead log.
const READ_VERSION: usize = 19;
/// Pages between two looks at whether somebody wants to stop, or to write.
const STEP: i32 = 4096;
/// So often a copy begins again because somebody wrote. Then writers have to wait until it is done.
const RESTARTS: u32 = 3;
/// And no longer than this is spent on copies that are overtaken.
const PATIENCE: Duration = Duration::from_secs(30);

/// Fails unless the file at `path` begins like a database.
pub(super) fn must_be_sqlite(path: &Path) -> Result<()> {
    header(path).map(drop)
}

/// Fails if the write-ahead log of the database at `path` lost what was committed; one that is written to never does.
///
/// Before SQLite opens it: a file that is closed here takes the locks of this process with it.
pub(super) fn log_must_be_whole(path: &Path) -> Result<()> {
    let head = header(path)?;
    if head.get(READ_VERSION) != Some(&2) {
        return Ok(());
    }
    let wal = beside(path, "-wal");
    let damage = log::live(&wal, &beside(path, "-shm"), page_size(&head));
    whole(path, damage.map_err(|e| SourceError::at("can't read the write-ahead log", &wal, e))?)
}

/// How many bytes a page has, by the header of a database.
fn page_size(head: &[u8]) -> u32 {
    match head.get(16..18) {
        Some([0, 1]) | None => 65_536,
        Some(size) => size.iter().fold(0, |size, byte| size << 8 | u32::from(*byte)),
    }
}

fn whole(path: &Path, damage: Option<String>) -> Result<()> {
    let Some(what) = damage else { return Ok(()) };
    let what = format!(
        "{what}. Nothing was backed up. Before anything opens it, keep the database and what lies beside it with `--path` of \
         its directory; then restore an earlier snapshot, or open it with `sqlite3` and look at what is left"
    );
    Err(SourceError::new(what, path.display().to_string()))
}

/// What a copy of the database takes, with what is in files beside it.
pub(super) fn bytes(path: &Path) -> u64 {
    ["", "-wal", "-journal"].iter().filter_map(|ending| fs::metadata(beside(path, ending)).ok()).map(|m| m.len()).sum()
}

fn header(path: &Path) -> Result<Vec<u8>> {
    let head = head(path, 100).map_err(|e| SourceError::at("can't read the database", path, e))?;
    if head.starts_with(MAGIC) && head.len() == 100 {
        return Ok(head);
    }
    let what = match head.len() {
        0 => "is empty: nothing was written to this database yet",
        _ => "is not an SQLite database, or is encrypted; back it up with `--path` while nobody writes to it",
    };
    Err(SourceError::new(what, path.display().to_string()))
}

/// Copies the database at `path` into `scratch`, waiting for locks as long as `timeout`. Gives the copy, and warnings.
pub(super) fn copy(
    path: &Path,
    scratch: &Scratch,
    timeout: Duration,
    stop: &AtomicBool,
) -> Result<(PathBuf, Vec<String>)> {
    let failed = |e| SourceError::at("can't look at the database", path, e);
    scratch.must_hold(fs::metadata(path).map_err(failed)?.len())?;
    let copied = scratch.path().join("copy.db");
    let log = header(path)?.get(READ_VERSION) == Some(&2);
    // Whoever has a database with a write-ahead log open has this file beside it. Without it, SQLite would make one.
    let idle = || log && !beside(path, "-shm").exists();
    if idle() {
        if copy_idle(path, scratch, &copied, &idle)? {
            return Ok((copied, Vec::new()));
        }
        clear(&copied);
    }
    log_must_be_whole(path)?;
    match copy_online(path, &copied, log, timeout, stop) {
        Ok(warnings) => Ok((copied, warnings)),
        Err(Trouble::Unfinished(error)) => {
            // A dead program's transaction. Its end is played in the copy, not in the file.
            clear(&copied);
            let alone = || true;
            if copy_idle(path, scratch, &copied, &alone)? { Ok((copied, Vec::new())) } else { Err(error) }
        }
        Err(Trouble::Failed(error)) => Err(error),
    }
}

/// The file that SQLite keeps beside `path` under this ending.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn clear(copied: &Path) {
    for ending in ["", "-wal", "-journal", "-shm"] {
        // Most of them are not there.
        let _ = fs::remove_file(beside(copied, ending));
    }
}

/// What changes when a file is written to.
fn stamp(path: &Path) -> Option<(u64, u64, i64, i64, i64, i64)> {
    let told = |m: Metadata| (m.ino(), m.size(), m.mtime(), m.mtime_nsec(), m.ctime(), m.ctime_nsec());
    fs::metadata(path).ok().map(told)
}

/// Copies a database that nobody has open, with what a dead program left beside it, and lets SQLite finish that in the
/// copy. False if somebody came meanwhile.
fn copy_idle(path: &Path, scratch: &Scratch, copied: &Path, idle: &dyn Fn() -> bool) -> Result<bool> {
    const PARTS: [&str; 3] = ["", "-wal", "-journal"];
    let stamps = || PARTS.map(|ending| stamp(&beside(path, ending)));
    let before = stamps();
    for (ending, stamp) in PARTS.iter().zip(&before) {
        let Some((_, size, ..)) = stamp else { continue };
        scratch.must_hold(*size)?;
        let (from, to) = (beside(path, ending), beside(copied, ending));
        let copy = || {
            let mut to = File::options().write(true).create_new(true).mode(0o600).open(&to)?;
            io::copy(&mut File::open(&from)?, &mut to)
        };
        match copy() {
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(e) => return Err(SourceError::at("can't copy the database", &from, e)),
        }
    }
    if stamps() != before || !idle() {
        return Ok(false);
    }
    let failed = |e| SourceError::at("can't read what lies beside the database", path, e);
    let page = page_size(&head(copied, 100).map_err(failed)?);
    whole(path, log::dead(&beside(copied, "-wal"), page).map_err(failed)?)?;
    whole(path, log::journal(&beside(copied, "-journal")).map_err(failed)?)?;
    let settle = || -> rusqlite::Result<()> {
        let copy = Connection::open_with_flags(copied, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        // Otherwise, what is in the log would have to come along as a second file.
        copy.execute_batch("PRAGMA locking_mode = EXCLUSIVE; SELECT count(*) FROM sqlite_schema")?;
        copy.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        copy.close().map_err(|(_, e)| e)
    };
    settle().map_err(|e| explain(path, &e, Duration::ZERO))?;
    Ok(true)
}

/// Why an online copy failed.
enum Trouble {
    /// A dead program left a transaction that only a writer could end.
    Unfinished(SourceError),
    /// Anything else.
    Failed(SourceError),
}

/// SQLite's online backup into the new file `copied`.
fn copy_online(
    path: &Path,
    copied: &Path,
    log: bool,
    timeout: Duration,
    stop: &AtomicBool,
) -> std::result::Result<Vec<String>, Trouble> {
    let made = File::options().write(true).create_new(true).mode(0o600).open(copied);
    made.map_err(|e| Trouble::Failed(SourceError::at("can't make the copy of the database", copied, e)))?;
    online(path, copied, log, timeout, PATIENCE, stop).map_err(|e| {
        let unfinished = matches!(
            e.sqlite_error().map(|e| e.extended_code),
            Some(ffi::SQLITE_READONLY_ROLLBACK | ffi::SQLITE_READONLY_RECOVERY | ffi::SQLITE_READONLY_CANTINIT)
        );
        let told = explain(path, &e, timeout);
        if unfinished { Trouble::Unfinished(told) } else { Trouble::Failed(told) }
    })
}

/// Waits `patience` for writers to leave time for a copy, before they have to wait for it.
pub(super) fn online(
    path: &Path,
    copied: &Path,
    log: bool,
    timeout: Duration,
    patience: Duration,
    stop: &AtomicBool,
) -> rusqlite::Result<Vec<String>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let source = Connection::open_with_flags(path, flags)?;
    source.busy_timeout(timeout)?;
    source.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    let mut copy = empty(copied)?;
    let hold = || source.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema");
    if log {
        // Readers don't stand in the way of writers, and a reader sees one instant.
        hold()?;
        return run(&source, &mut copy, None, stop).map(|_| Vec::new());
    }
    if run(&source, &mut copy, Some((RESTARTS, Instant::now(), patience)), stop)? {
        return Ok(Vec::new());
    }
    // Without a journal nothing of it can be rolled back, and half a copy is no database that SQLite would write to.
    drop(copy);
    let mut copy = empty(copied)?;
    hold()?;
    let began = Instant::now();
    run(&source, &mut copy, None, stop)?;
    let took = began.elapsed().as_secs_f64();
    Ok(vec![format!(
        "{} was written to faster than it could be copied, so writers had to wait for {took:.1} s. With \
         `PRAGMA journal_mode = WAL` nobody would have to wait",
        path.display()
    )])
}

/// Opens the copy for writing, with nothing in it.
fn empty(copied: &Path) -> rusqlite::Result<Connection> {
    let emptied = File::options().write(true).truncate(true).open(copied);
    emptied.map_err(|_| failure(ffi::SQLITE_CANTOPEN))?;
    let copy = Connection::open_with_flags(copied, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    copy.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE")?;
    Ok(copy)
}

/// Copies all pages. With a limit, false if somebody wrote so often that it had to begin again too many times.
fn run(
    source: &Connection,
    copy: &mut Connection,
    limit: Option<(u32, Instant, Duration)>,
    stop: &AtomicBool,
) -> rusqlite::Result<bool> {
    let backup = Backup::new(source, copy)?;
    let (mut left, mut restarts) = (i32::MAX, 0);
    loop {
        if stop.load(Ordering::Acquire) {
            return Err(failure(ffi::SQLITE_INTERRUPT));
        }
        match backup.step(STEP)? {
            StepResult::Done => return Ok(true),
            StepResult::More => {}
            // It was waited for already.
            StepResult::Busy => return Err(failure(ffi::SQLITE_BUSY)),
            StepResult::Locked => return Err(failure(ffi::SQLITE_LOCKED)),
            _ => return Err(failure(ffi::SQLITE_ERROR)),
        }
        let Some((allowed, began, patience)) = limit else { continue };
        let now = backup.progress().remaining;
        restarts += u32::from(now > left.saturating_sub(STEP).max(0) && left != i32::MAX);
        left = now;
        if restarts > allowed || began.elapsed() >= patience {
            return Ok(false);
        }
        // Whoever waits to write gets in here.
        thread::sleep(Duration::from_millis(2));
    }
}

fn failure(code: i32) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)
}

/// An error about the database at `path` in words.
fn explain(path: &Path, error: &rusqlite::Error, timeout: Duration) -> SourceError {
    let shown = path.display().to_string();
    let cause = io::Error::other(error.to_string());
    let extended = error.sqlite_error().map(|e| e.extended_code);
    let what = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            format!("is locked by another program, and still was after {} s", timeout.as_secs_f64())
        }
        Some(ErrorCode::NotADatabase) => "is not an SQLite database, or is encrypted".to_owned(),
        Some(ErrorCode::DatabaseCorrupt) => "the database is damaged".to_owned(),
        Some(ErrorCode::OperationInterrupted) => "was stopped".to_owned(),
        Some(ErrorCode::DiskFull) => "there is no room for its copy; let TMPDIR name another directory".to_owned(),
        Some(ErrorCode::PermissionDenied | ErrorCode::CannotOpen | ErrorCode::ReadOnly) => format!(
            "can't be opened for reading; with a write-ahead log, {shown}-wal and {shown}-shm must be readable too"
        ),
        _ if extended == Some(ffi::SQLITE_IOERR_SHORT_READ) => "is cut short".to_owned(),
        _ => "the database can't be copied".to_owned(),
    };
    SourceError::new(what, shown).because(cause)
}
