//! Unpacks a base backup while it streams. The directory is new and nobody else's, and no link is made in it before all
//! its files are there, so that a hostile base can't lead a write elsewhere.

use std::{
    collections::BTreeSet,
    fs::{DirBuilder, File},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use super::super::{OpsError, noted::Failure};
use crate::{
    codec::tar::{Entry, Kind, Step, Walk},
    vault::reader::Sink,
};

/// Files of these names would make a server do something by itself when it starts, and no base holds them for a reason
/// that outlives its origin.
const LEFT_OUT: [&str; 4] = ["recovery.signal", "standby.signal", "postmaster.pid", "postmaster.opts"];

/// What was unpacked so far, of all tars of a base.
#[derive(Default)]
pub(super) struct Unpacked {
    /// Links of tablespaces that stood in a tar: their numbers.
    pub(super) links: BTreeSet<u32>,
    /// Whether this tar has its end.
    ended: bool,
}

/// Shared with the target, which has its sink no more when the stream is over.
pub(super) type Shared = Arc<Mutex<Unpacked>>;

/// Takes the bytes of a tar.
pub(super) struct Unpacker {
    root: PathBuf,
    walk: Walk,
    file: Option<(File, PathBuf)>,
    shared: Shared,
    failure: Failure,
}

/// Why an entry can't be unpacked.
enum Why {
    Tar(&'static str),
    Entry(String, &'static str),
    Io(&'static str, PathBuf, io::Error),
}

impl From<&'static str> for Why {
    fn from(why: &'static str) -> Self {
        Self::Tar(why)
    }
}

impl Unpacker {
    /// Unpacks into `root`, which is there.
    pub(super) fn new(root: PathBuf, shared: &Shared, failure: &Failure) -> Self {
        shared.lock().unwrap_or_else(PoisonError::into_inner).ended = false;
        Self { root, walk: Walk::default(), file: None, shared: Arc::clone(shared), failure: failure.clone() }
    }
}

/// Fails unless the tar that was unpacked last has its end.
pub(super) fn must_have_ended(shared: &Shared) -> Result<(), OpsError> {
    let ended = shared.lock().unwrap_or_else(PoisonError::into_inner).ended;
    if ended { Ok(()) } else { Err(refused("", "has no end: it was cut short before it was backed up")) }
}

fn refused(path: &str, why: &'static str) -> OpsError {
    OpsError::UnsafePath { path: path.chars().take(200).collect(), why }
}

/// A path below the data directory, if it is one.
fn judged(path: &str) -> Result<&Path, &'static str> {
    if path.starts_with('/') {
        return Err("is absolute");
    }
    match path.split('/').find(|part| matches!(*part, "" | "." | "..")) {
        Some(_) => Err("would lead out of its directory"),
        None => Ok(Path::new(path)),
    }
}

impl Sink for Unpacker {}

impl Write for Unpacker {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Self { root, walk, file, shared, .. } = self;
        let done = walk.feed(bytes, |step| match step {
            Step::Begin(entry) => {
                *file = begin(root, entry, shared)?;
                Ok(())
            }
            Step::Bytes(bytes) => match file {
                Some((file, path)) => file.write_all(bytes).map_err(|e| Why::Io("can't write", path.clone(), e)),
                None => Ok(()),
            },
            Step::End => {
                *file = None;
                Ok(())
            }
        });
        shared.lock().unwrap_or_else(PoisonError::into_inner).ended = walk.has_ended();
        match done {
            Ok(()) => Ok(bytes.len()),
            Err(why) => {
                self.failure.note(match why {
                    Why::Tar(why) => refused("", why),
                    Why::Entry(path, why) => refused(&path, why),
                    Why::Io(what, path, source) => OpsError::Io { what, path, source },
                });
                Err(io::Error::other("the base can't be unpacked"))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes what an entry stands for; gives the file that its bytes go to.
fn begin(root: &Path, entry: &Entry, shared: &Shared) -> Result<Option<(File, PathBuf)>, Why> {
    if entry.path.is_empty() && entry.kind == Kind::Directory {
        return Ok(None);
    }
    let below = judged(&entry.path).map_err(|why| Why::Entry(entry.path.clone(), why))?;
    let at = root.join(below);
    match &entry.kind {
        // What is to be done there is said anew.
        Kind::File if LEFT_OUT.contains(&entry.path.as_str()) => Ok(None),
        Kind::File => {
            above(&at)?;
            let made = File::options().write(true).create_new(true).mode(0o600).open(&at);
            match made {
                Ok(file) => Ok(Some((file, at))),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                    Err(Why::Entry(entry.path.clone(), "is there twice"))
                }
                Err(e) => Err(Why::Io("can't make", at, e)),
            }
        }
        Kind::Directory => {
            above(&at)?;
            match directory(&at) {
                Err(_) if at.is_dir() => Ok(None),
                made => made.map(|()| None).map_err(|e| Why::Io("can't make", at, e)),
            }
        }
        Kind::Link(_) => {
            let oid = entry.path.strip_prefix("pg_tblspc/").and_then(|oid| oid.parse().ok());
            let oid = oid.ok_or_else(|| Why::Entry(entry.path.clone(), "is a link that leads elsewhere"))?;
            shared.lock().unwrap_or_else(PoisonError::into_inner).links.insert(oid);
            Ok(None)
        }
    }
}

fn above(path: &Path) -> Result<(), Why> {
    let Some(dir) = path.parent() else { return Ok(()) };
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|e| Why::Io("can't make", dir.to_owned(), e))
}

/// Makes a directory for its owner alone.
pub(super) fn directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;
    use crate::codec::tar::tests::tar;

    fn unpacked(entries: &[(&'static str, u8, &'static str)]) -> Result<tempfile::TempDir, String> {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir(&root).unwrap();
        let (shared, failure) = (Shared::default(), Failure::default());
        let mut unpacker = Unpacker::new(root, &shared, &failure);
        let with_data = |(path, kind, link): &(&'static str, u8, &'static str)| {
            (*path, *kind, *link, if *kind == b'0' { b"data".as_slice() } else { b"" })
        };
        let entries: Vec<_> = entries.iter().map(with_data).collect();
        for some in tar(&entries, 2).chunks(77) {
            if unpacker.write_all(some).is_err() {
                assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is made beside it");
                return Err(failure.take().unwrap().to_string());
            }
        }
        must_have_ended(&shared).map_err(|e| e.to_string())?;
        Ok(dir)
    }

    #[test]
    fn a_base_becomes_files_of_their_owner_alone() {
        let dir = unpacked(&[
            ("PG_VERSION", b'0', ""),
            ("base/", b'5', ""),
            ("base/1/", b'5', ""),
            ("./base/1/2", b'0', ""),
            ("base/", b'5', ""),
            ("recovery.signal", b'0', ""),
            ("pg_tblspc/16384", b'2', "/etc"),
        ])
        .unwrap();
        let root = dir.path().join("root");
        assert_eq!(fs::read(root.join("base/1/2")).unwrap(), b"data");
        assert_eq!(fs::metadata(root.join("base/1/2")).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(root.join("base/1")).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(!root.join("recovery.signal").exists());
        assert!(fs::symlink_metadata(root.join("pg_tblspc/16384")).is_err(), "links come last, and lead elsewhere");
    }

    #[test]
    fn a_hostile_base_makes_nothing_outside_and_is_refused() {
        for (path, kind, link, told) in [
            ("/etc/passwd", b'0', "", "absolute"),
            ("../x", b'0', "", "lead out"),
            ("a/../../x", b'0', "", "lead out"),
            ("a//x", b'5', "", "lead out"),
            ("a/./x", b'5', "", "lead out"),
            ("l", b'2', "/etc", "leads elsewhere"),
            ("pg_tblspc/../l", b'2', "/etc", "lead out"),
            ("pg_tblspc/x", b'2', "/etc", "leads elsewhere"),
            ("hard", b'1', "PG_VERSION", "neither"),
            ("device", b'3', "", "neither"),
            ("pipe", b'6', "", "neither"),
            ("PG_VERSION", b'0', "", "twice"),
            ("PG_VERSION/x", b'0', "", "can't make"),
        ] {
            let error = unpacked(&[("PG_VERSION", b'0', ""), (path, kind, link)]).err();
            assert!(error.as_ref().is_some_and(|error| error.contains(told)), "{path}: {error:?}");
        }
    }
}
