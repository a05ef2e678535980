//! Unpacks a base backup while it streams. No link is made in its directory before all its files are there, and none that is
//! there is followed, so that a hostile base can't lead a write elsewhere. What is there already and is right is left.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Write},
    num::NonZeroU64,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use rustix::fs::{Advice, fadvise};

use super::{
    super::{OpsError, failed, noted::Failure},
    old::Old,
    tree::Tree,
};
use crate::{
    codec::tar::{Entry, Kind, Step, Walk},
    source::postgres::MANIFEST,
    vault::reader::{Seeds, Sink},
};

/// Files of these names would make a server do something by itself when it starts, and no base holds them for a reason
/// that outlives its origin.
const LEFT_OUT: [&str; 4] = ["recovery.signal", "standby.signal", "postmaster.pid", "postmaster.opts"];

/// What is compared and, where it differs, written.
const PAGE: usize = 8 << 10;
/// What is read back at once.
const STEP: usize = 1 << 20;
/// What may wait in memory before the disk is set to work.
const PENDING: u64 = 8 << 20;

/// What was unpacked so far, of all tars of a base.
#[derive(Default)]
pub(super) struct Unpacked {
    /// Links of tablespaces that stood in a tar: their numbers.
    pub(super) links: BTreeSet<u32>,
    /// Whether this tar has its end.
    ended: bool,
    /// Where it was unpacked, when all of it was.
    tree: Option<Tree>,
}

/// Shared with the target, which has its sink no more when the stream is over.
pub(super) type Shared = Arc<Mutex<Unpacked>>;

/// Takes the bytes of a tar.
pub(super) struct Unpacker {
    root: PathBuf,
    tree: Option<Tree>,
    old: Option<Arc<Old>>,
    walk: Walk,
    file: Option<Slot>,
    shared: Shared,
    failure: Failure,
}

/// A file that is being written.
struct Slot {
    file: File,
    path: PathBuf,
    at: u64,
    /// How long it was before.
    was: u64,
    /// From where on the disk was not set to work yet, and how much of that was written.
    pending: (u64, u64),
    page: Vec<u8>,
}

impl Slot {
    /// Writes what follows, but for what is there already.
    fn put(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while self.at < self.was && !bytes.is_empty() {
            let len = usize::try_from(self.was - self.at).unwrap_or(STEP).min(STEP).min(bytes.len());
            let (now, rest) = bytes.split_at(len);
            self.page.resize(len, 0);
            // What can't be read is not right.
            let read = self.file.read_exact_at(&mut self.page, self.at).is_ok();
            let mut at = self.at;
            for (new, old) in now.chunks(PAGE).zip(self.page.chunks(PAGE)) {
                if !read || new != old {
                    self.file.write_all_at(new, at)?;
                    self.pending.1 += new.len() as u64;
                }
                at += new.len() as u64;
            }
            self.at = at;
            bytes = rest;
        }
        self.file.write_all_at(bytes, self.at)?;
        self.at += bytes.len() as u64;
        self.pending.1 += bytes.len() as u64;
        if self.pending.1 >= PENDING {
            self.set_to_work();
        }
        Ok(())
    }

    fn set_to_work(&mut self) {
        write_back(&self.file, self.pending.0, self.at);
        self.pending = (self.at, 0);
    }

    fn end(mut self) -> io::Result<()> {
        if self.was > self.at {
            self.file.set_len(self.at)?;
        }
        if self.pending.1 >= PENDING / 8 {
            self.set_to_work();
        }
        Ok(())
    }
}

/// Linux starts to write what is dirty of a range that is said not to be needed, and waits for none of it: so there is
/// little left to wait for in the end.
pub(super) fn write_back(file: &File, from: u64, to: u64) {
    let _ = fadvise(file, from, NonZeroU64::new(to.saturating_sub(from)), Advice::DontNeed);
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
    /// Unpacks into `root`, which is there. With what was there before, if anything was.
    pub(super) fn new(
        root: PathBuf,
        old: Option<Arc<Old>>,
        (shared, failure): (&Shared, &Failure),
    ) -> Result<Self, OpsError> {
        let tree = Tree::open(&root, old.is_some()).map_err(|e| failed("can't open", &root, e))?;
        let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
        (state.ended, state.tree) = (false, None);
        let (shared, failure) = (Arc::clone(shared), failure.clone());
        Ok(Self { root, tree: Some(tree), old, walk: Walk::default(), file: None, shared, failure })
    }
}

impl Drop for Unpacker {
    fn drop(&mut self) {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).tree = self.tree.take();
    }
}

/// Fails unless the tar that was unpacked last has its end. Then what was in its directory before and is not in it goes.
pub(super) fn must_have_ended(shared: &Shared, root: &Path) -> Result<(), OpsError> {
    let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
    if !state.ended {
        return Err(refused("", "has no end: it was cut short before it was backed up"));
    }
    let swept = state.tree.take().map_or(Ok(()), |tree| tree.sweep(&[MANIFEST]));
    swept.map_err(|e| failed("can't remove what does not belong in", root, e))
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

impl Sink for Unpacker {
    fn seeds(&self) -> Option<Arc<dyn Seeds>> {
        self.old.clone().map(|old| old as Arc<dyn Seeds>)
    }
}

impl Write for Unpacker {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Self { root, tree, walk, file, shared, .. } = self;
        let done = walk.feed(bytes, |step| match step {
            Step::Begin(entry) => {
                *file = match tree {
                    Some(tree) => begin((root, tree), entry, shared)?,
                    None => None,
                };
                Ok(())
            }
            Step::Bytes(bytes) => match file {
                Some(slot) => slot.put(bytes).map_err(|e| Why::Io("can't write", slot.path.clone(), e)),
                None => Ok(()),
            },
            Step::End => file.take().map_or(Ok(()), |slot| {
                let path = slot.path.clone();
                slot.end().map_err(|e| Why::Io("can't write", path, e))
            }),
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
fn begin((root, tree): (&Path, &mut Tree), entry: &Entry, shared: &Shared) -> Result<Option<Slot>, Why> {
    if entry.path.is_empty() && entry.kind == Kind::Directory {
        return Ok(None);
    }
    let below = judged(&entry.path).map_err(|why| Why::Entry(entry.path.clone(), why))?;
    let path = root.join(below);
    match &entry.kind {
        // What is to be done there is said anew.
        Kind::File if LEFT_OUT.contains(&entry.path.as_str()) => Ok(None),
        Kind::File => match tree.file(&entry.path) {
            Ok((file, was)) => Ok(Some(Slot { file, path, at: 0, was, pending: (0, 0), page: Vec::new() })),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Err(Why::Entry(entry.path.clone(), "is there twice")),
            Err(e) => Err(Why::Io("can't make", path, e)),
        },
        Kind::Directory => tree.directory(&entry.path).map(|_| None).map_err(|e| Why::Io("can't make", path, e)),
        Kind::Link(_) => {
            let oid = entry.path.strip_prefix("pg_tblspc/").and_then(|oid| oid.parse().ok());
            let oid = oid.ok_or_else(|| Why::Entry(entry.path.clone(), "is a link that leads elsewhere"))?;
            shared.lock().unwrap_or_else(PoisonError::into_inner).links.insert(oid);
            Ok(None)
        }
    }
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
        let mut unpacker = Unpacker::new(root.clone(), None, (&shared, &failure)).unwrap();
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
        must_have_ended(&shared, &root).map_err(|e| e.to_string())?;
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

    /// What is right stays as it is, what is not is written over, and neither links nor other names of files lead out.
    #[test]
    fn what_was_there_before_is_made_into_the_base_and_leads_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let (root, outside) = (dir.path().join("root"), dir.path().join("outside"));
        for path in ["root/base/1", "root/stranger/deep", "outside/1"] {
            fs::create_dir_all(dir.path().join(path)).unwrap();
        }
        let long: Vec<u8> = (0..40_000_u32).flat_map(u32::to_le_bytes).collect();
        let mut wrong = long.clone();
        wrong[100_000] ^= 1;
        wrong.extend_from_slice(b"longer than it should be");
        fs::write(root.join("base/1/right"), &long).unwrap();
        fs::write(root.join("base/1/wrong"), &wrong).unwrap();
        fs::write(root.join("postmaster.pid"), "1").unwrap();
        fs::write(root.join("stranger/deep/er"), "x").unwrap();
        fs::write(root.join("is_directory"), "x").unwrap();
        fs::create_dir(root.join("is_file")).unwrap();
        for (file, name) in [("a", "hard"), ("b", "link"), ("1/c", "unused")] {
            fs::write(outside.join(file), "of others").unwrap();
            let (from, to) = (outside.join(file), root.join(name));
            if name == "hard" { fs::hard_link(from, to) } else { std::os::unix::fs::symlink(from, to) }.unwrap();
        }
        std::os::unix::fs::symlink(&outside, root.join("linked")).unwrap();
        let before = fs::metadata(root.join("base/1/right")).unwrap();

        let (shared, failure) = (Shared::default(), Failure::default());
        let old = Arc::new(Old::look(&root).unwrap());
        assert_eq!(old.count(), 2);
        let mut unpacker = Unpacker::new(root.clone(), Some(old), (&shared, &failure)).unwrap();
        let files: Vec<(&str, u8, &str, &[u8])> = vec![
            ("base/1/right", b'0', "", &long),
            ("base/1/wrong", b'0', "", &long),
            ("hard", b'0', "", b"ours"),
            ("link", b'0', "", b"ours"),
            ("linked/1/c", b'0', "", b"ours"),
            ("is_directory", b'5', "", b""),
            ("is_file", b'0', "", b"ours"),
        ];
        tar(&files, 2).chunks(70_001).for_each(|some| unpacker.write_all(some).unwrap());
        drop(unpacker);
        must_have_ended(&shared, &root).unwrap();
        for (path, _, _, bytes) in files.iter().filter(|file| file.1 == b'0') {
            assert!(fs::read(root.join(path)).unwrap() == *bytes, "{path}");
        }
        let after = fs::metadata(root.join("base/1/right")).unwrap();
        assert_eq!(before.modified().unwrap(), after.modified().unwrap(), "it was not written to");
        let mut names: Vec<_> = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["base", "hard", "is_directory", "is_file", "link", "linked"]);
        for file in ["a", "b", "1/c"] {
            assert_eq!(fs::read(outside.join(file)).unwrap(), b"of others", "{file}");
        }
        // Twice in one tar is as wrong here.
        let old = Some(Arc::new(Old::look(&root).unwrap()));
        let mut unpacker = Unpacker::new(root, old, (&shared, &failure)).unwrap();
        unpacker.write_all(&tar(&[("link", b'0', "", b"x"), ("link", b'0', "", b"y")], 2)).unwrap_err();
        assert!(failure.take().unwrap().to_string().contains("twice"));
    }
}
