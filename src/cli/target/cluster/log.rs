//! The log of a recovery. It is gathered beside the data directory while the point is looked for, and gets its place in the
//! server's own directory of log when all else is there: so the server reads each segment where it lies, and neither begins a
//! process nor makes a copy of it.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::{
    super::{OpsError, Result, failed},
    places::directory,
    unpack::write_back,
};
use crate::{ops::recover::other_history, source::postgres::Base};

/// How long the name of a segment of the log is.
const SEGMENT_NAME: usize = 24;
/// Where a server has its log, and what it notes there of each file.
const WAL: &str = "pg_wal";
const STATUS: &str = "archive_status";
/// What may wait in memory before the disk is set to work.
const PENDING: u64 = 8 << 20;
/// What is copied at once.
const STEP: usize = 1 << 20;

/// The file of the log that is being written.
#[derive(Default)]
pub(super) struct Gathering {
    open: Option<Open>,
}

struct Open {
    name: String,
    file: File,
    /// From where on the disk was not set to work yet, and where that ends.
    pending: (u64, u64),
}

impl Gathering {
    /// Writes bytes of a file into `dir`, which is made if it is missing.
    pub(super) fn put(&mut self, dir: &Path, name: &str, at: u64, bytes: &[u8]) -> Result<()> {
        if self.open.as_ref().is_none_or(|open| open.name != name) {
            self.close();
            if !dir.is_dir() {
                directory(dir).map_err(|e| failed("can't make the directory", dir, e))?;
            }
            let path = dir.join(name);
            let opened = File::options().write(true).create(true).truncate(false).mode(0o600).open(&path);
            let file = opened.map_err(|e| failed("can't make", &path, e))?;
            self.open = Some(Open { name: name.to_owned(), file, pending: (at, at) });
        }
        let open = self.open.as_mut().ok_or(OpsError::Defect("the log of the recovery"))?;
        open.file.write_all_at(bytes, at).map_err(|e| failed("can't write the log", Path::new(name), e))?;
        let (from, to) = &mut open.pending;
        *to = at + bytes.len() as u64;
        if to.saturating_sub(*from) >= PENDING {
            write_back(&open.file, *from, *to);
            *from = *to;
        }
        Ok(())
    }

    /// Is done with the file that was written last.
    pub(super) fn close(&mut self) {
        if let Some(Open { file, pending: (from, to), .. }) = self.open.take() {
            write_back(&file, from, to);
        }
    }
}

/// Gives what was gathered in `from` its place in the data directory, each segment in its full length, as a server wants it:
/// what is not there is zeros. All of it is marked as archived, as a server marks what it fetched from an archive: it is of
/// the timelines before the one that begins here, and whoever archives that has these.
///
/// # Errors
/// If it is not the log that the base was taken in, of which it has some itself; if a file can't be written.
pub(super) fn settle(from: &Path, data: &Path, base: &Base) -> Result<()> {
    let segment = base.segment;
    let wal = data.join(WAL);
    let status = wal.join(STATUS);
    for dir in [&wal, &status] {
        if !dir.is_dir() {
            directory(dir).map_err(|e| failed("can't make the directory", dir, e))?;
        }
    }
    let entries = fs::read_dir(from).map_err(|e| failed("can't look into", from, e))?;
    for entry in entries {
        let name = entry.map_err(|e| failed("can't look into", from, e))?.file_name();
        let (here, there) = (from.join(&name), wal.join(&name));
        let is_segment = name.len() == SEGMENT_NAME;
        if is_segment && fs::symlink_metadata(&there).is_ok() {
            let same = is_same(&here, &there, of_base(&name.to_string_lossy(), base));
            if !same.map_err(|e| failed("can't read the log", &here, e))? {
                return Err(other_history(base));
            }
        }
        let whole = !is_segment || fs::metadata(&here).is_ok_and(|meta| meta.len() == segment);
        if whole || fs::symlink_metadata(&there).is_err() {
            moved(&here, &there).map_err(|e| failed("can't give its name to", &there, e))?;
        } else {
            // The base has this one, maybe further than the vault's log goes.
            over(&here, &there).map_err(|e| failed("can't write the log", &there, e))?;
        }
        if is_segment {
            let made = File::options().write(true).open(&there).and_then(|file| file.set_len(segment));
            made.map_err(|e| failed("can't write", &there, e))?;
        }
        let mark = marked(&status, &name.to_string_lossy());
        let made = File::options().write(true).create(true).truncate(true).mode(0o600).open(&mark);
        made.map_err(|e| failed("can't make", &mark, e))?;
    }
    fs::remove_dir_all(from).map_err(|e| failed("can't remove", from, e))
}

/// How much of a segment was there for certain when the base was done.
fn of_base(name: &str, base: &Base) -> u64 {
    let number = |range| name.get(range).and_then(|part| u64::from_str_radix(part, 16).ok());
    let (Some(high), Some(low)) = (number(8..16), number(16..24)) else { return 0 };
    base.end.0.saturating_sub((high << 32).saturating_add(low.saturating_mul(base.segment))).min(base.segment)
}

/// Whether two files begin with the same `most` bytes, as far as both go.
fn is_same(a: &Path, b: &Path, most: u64) -> io::Result<bool> {
    let (a, b) = (File::open(a)?, File::open(b)?);
    let most = most.min(a.metadata()?.len()).min(b.metadata()?.len());
    let (mut one, mut other) = (vec![0; STEP], vec![0; STEP]);
    let mut at = 0;
    while at < most {
        let n = usize::try_from(most - at).unwrap_or(STEP).min(STEP);
        let (Some(one), Some(other)) = (one.get_mut(..n), other.get_mut(..n)) else { break };
        a.read_exact_at(one, at)?;
        b.read_exact_at(other, at)?;
        if one != other {
            return Ok(false);
        }
        at += n as u64;
    }
    Ok(true)
}

/// Moves a file, into another file system too: `pg_wal` may be one.
fn moved(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            fs::copy(from, to)?;
            File::open(to)?.sync_all()?;
            fs::remove_file(from)
        }
        moved => moved,
    }
}

fn marked(status: &Path, name: &str) -> PathBuf {
    status.join(format!("{name}.done"))
}

/// Writes all of a file over the beginning of another.
fn over(from: &Path, to: &Path) -> io::Result<()> {
    let (from, to) = (File::open(from)?, File::options().write(true).open(to)?);
    let (mut at, mut some) = (0, vec![0; STEP]);
    loop {
        let n = from.read_at(&mut some, at)?;
        let Some(read) = some.get(..n).filter(|read| !read.is_empty()) else { return Ok(()) };
        to.write_all_at(read, at)?;
        at += n as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: u64 = 1 << 20;

    /// Whole segments replace what the base has; of the last one the base may have more.
    #[test]
    fn the_log_gets_its_place_and_takes_nothing_from_the_base() {
        let dir = tempfile::tempdir().unwrap();
        let (from, data) = (dir.path().join("from"), dir.path().join("data"));
        fs::create_dir_all(data.join("pg_wal")).unwrap();
        let names = ["000000010000000000000001", "000000010000000000000002", "000000010000000000000003"];
        let size = usize::try_from(SEGMENT).unwrap();
        for name in &names[..2] {
            fs::write(data.join("pg_wal").join(name), vec![7; size]).unwrap();
        }
        let mut gathering = Gathering::default();
        gathering.put(&from, names[0], 0, &vec![1; size / 2]).unwrap();
        gathering.put(&from, names[0], SEGMENT / 2, &vec![2; size / 2]).unwrap();
        gathering.put(&from, names[1], 0, &[3; 5000]).unwrap();
        gathering.put(&from, names[2], 0, &[4; 9]).unwrap();
        gathering.put(&from, "00000002.history", 0, b"1\t0/0\n").unwrap();
        gathering.close();
        // The log differs from what the base has where that was done.
        let base = |end: u64| -> Base {
            let line = crate::model::journal::Line::postgres(7, 1);
            serde_json::from_value(serde_json::json!({
                "line": line, "from": crate::model::journal::Position(SEGMENT), "end": crate::model::journal::Position(end),
                "end_timeline": 1, "segment": SEGMENT,
            }))
            .unwrap()
        };
        assert!(settle(&from, &data, &base(SEGMENT + 4096)).unwrap_err().to_string().contains("not the one"));
        settle(&from, &data, &base(SEGMENT)).unwrap();
        assert!(!from.exists());
        let read = |name: &str| fs::read(data.join("pg_wal").join(name)).unwrap();
        assert!(read(names[0]) == [vec![1; size / 2], vec![2; size / 2]].concat());
        assert!(read(names[1]) == [vec![3; 5000], vec![7; size - 5000]].concat());
        assert!(read(names[2]) == [vec![4; 9], vec![0; size - 9]].concat());
        assert_eq!(read("00000002.history"), b"1\t0/0\n");
        for name in names.iter().chain(&["00000002.history"]) {
            assert!(marked(&data.join("pg_wal/archive_status"), name).exists(), "{name}");
        }
    }
}
