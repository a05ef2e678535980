//! The packs and loose objects of a repository, held so that housekeeping can't take them away.

use std::{
    collections::{BTreeSet, HashSet},
    ffi::{OsStr, OsString},
    fs::{self, File},
    io,
    os::unix::{ffi::OsStrExt, fs::FileExt},
    path::{Path, PathBuf},
};

use super::{
    ObjectFormat, Result, SourceError,
    details::{Oid, hex, unhex},
    repo::{Repo, open_through},
};
use crate::{codec::hash::hash, model::Name};

/// How often the listing is begun anew because packs came or went meanwhile.
const TRIES: usize = 10;

/// What a repository held at one moment: every object that existed then is in one of these.
pub(super) struct Held {
    packs: Vec<(Pack, Index)>,
    /// Object names in binary, padded with zeros.
    loose: HashSet<[u8; 32]>,
}

/// What was loose, and the indexes that tell what of it is in a pack too.
pub(super) struct Loose {
    loose: HashSet<[u8; 32]>,
    indexes: Vec<Index>,
}

/// A pack, open: it stays readable when git removes it.
pub(super) struct Pack {
    pub(super) name: Name,
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) size: u64,
}

/// A pack's index, open like it.
struct Index(File);

/// Lists the loose objects between two listings of the packs, and begins anew until these agree: then no object can have
/// moved from a place not looked at yet to one looked at before.
pub(super) fn hold(repo: &Repo, format: ObjectFormat) -> Result<Held> {
    let objects = repo.objects();
    let dir = objects.join("pack");
    'anew: for _ in 0..TRIES {
        let before = list_packs(repo, &dir)?;
        let loose = list_loose(&objects, format)?;
        if list_packs(repo, &dir)? != before {
            continue;
        }
        let (mut packs, mut names) = (Vec::new(), BTreeSet::new());
        for stem in &before {
            match open_pack(&dir, stem, format) {
                Ok(pack) if names.insert(pack.0.name.clone()) => packs.push(pack),
                Ok((pack, _)) => {
                    return Err(repo.error(format!("has two packs that would both be called {}", pack.name)));
                }
                Err(e) if e.source.as_ref().is_some_and(|e| e.kind() == io::ErrorKind::NotFound) => continue 'anew,
                Err(e) => return Err(e),
            }
        }
        return Ok(Held { packs, loose });
    }
    Err(repo.error("is being repacked over and over; run the backup again when that is done"))
}

/// The directories that objects are in.
fn directories() -> impl Iterator<Item = String> {
    (0..=u8::MAX).map(|first| format!("{first:02x}")).chain(["pack".to_owned()])
}

/// What is in the object directory, by a look at names and kinds.
#[derive(Default)]
pub(super) struct Survey {
    /// How many bytes the packs and loose objects have, about: what comes or goes meanwhile may count or not.
    pub(super) bytes: u64,
    /// What is no file: git would open a FIFO and wait for ever.
    pub(super) odd: Vec<PathBuf>,
}

/// Looks at what is in the object directory, and opens nothing.
pub(super) fn survey(objects: &Path) -> Survey {
    let mut found = Survey::default();
    for entry in directories().filter_map(|dir| fs::read_dir(objects.join(dir)).ok()).flatten().flatten() {
        // Through a link, as git opens it. What is gone by now is none of ours.
        let Ok(meta) = fs::metadata(entry.path()) else { continue };
        if meta.is_file() {
            found.bytes = found.bytes.saturating_add(meta.len());
        } else if !meta.is_dir() {
            found.odd.push(entry.path());
        }
    }
    found
}

/// Loose objects whose files have so many bytes are packed here: git would hold all of such a file in memory, and look for
/// deltas of it, which seldom pay.
const LARGE: u64 = 1 << 20;
/// So many of their files are held open.
const HELD: usize = 256;

/// A large loose object: its name, and its file.
pub(super) type LargeObject = (Vec<u8>, LooseFile);

/// The file of a loose object. Held open, it stays readable when git packs it; of very many, some are opened when it is
/// their turn.
pub(super) struct LooseFile {
    path: PathBuf,
    file: Option<File>,
}

impl io::Read for LooseFile {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let file = match self.file.take() {
            Some(file) => file,
            None => open_through(&self.path).map_err(|e| match e.kind() {
                io::ErrorKind::NotFound => io::Error::new(e.kind(), "was packed meanwhile; run the backup again"),
                _ => e,
            })?,
        };
        self.file.insert(file).read(buf)
    }
}

/// Adds the object `name` to `all` if it is loose and large; tells whether it is.
pub(super) fn add_large(objects: &Path, name: &[u8], all: &mut Vec<LargeObject>) -> bool {
    let Some(path) = large(objects, name) else { return false };
    // What can't be opened is left to git.
    let held = all.len() < HELD;
    let file = held.then(|| open_through(&path)).transpose();
    file.is_ok_and(|file| {
        all.push((name.to_vec(), LooseFile { path, file }));
        true
    })
}

/// The file of the object `name`, if it is loose and large.
fn large(objects: &Path, name: &[u8]) -> Option<PathBuf> {
    let (first, rest) = name.split_first()?;
    let path = objects.join(format!("{first:02x}")).join(hex(rest));
    fs::metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() >= LARGE).then_some(path)
}

/// Makes `at` a directory of objects like `objects`, of links to it, without the files in `odd`.
pub(super) fn without(objects: &Path, odd: &[PathBuf], at: &Path) -> Result<()> {
    let stems: HashSet<(Option<&Path>, Option<&OsStr>)> =
        odd.iter().map(|odd| (odd.parent(), odd.file_stem())).collect();
    fs::create_dir(at).map_err(|e| SourceError::at("can't make a temporary directory", at, e))?;
    for name in directories() {
        let (from, to) = (objects.join(&name), at.join(&name));
        let failed = |e| SourceError::at("can't make a temporary directory", &to, e);
        if !odd.iter().any(|odd| odd.starts_with(&from)) {
            if from.is_dir() {
                std::os::unix::fs::symlink(&from, &to).map_err(failed)?;
            }
            continue;
        }
        fs::create_dir(&to).map_err(failed)?;
        for file in list(&from)? {
            let path = from.join(&file);
            // A pack without its index is none.
            if !stems.contains(&(path.parent(), path.file_stem())) {
                std::os::unix::fs::symlink(&path, to.join(&file)).map_err(failed)?;
            }
        }
    }
    Ok(())
}

/// The packs that git would use, without their extension.
fn list_packs(repo: &Repo, dir: &Path) -> Result<BTreeSet<OsString>> {
    let (mut packs, mut indexes) = (BTreeSet::new(), BTreeSet::new());
    for name in list(dir)? {
        let (Some(stem), Some(extension)) = (Path::new(&name).file_stem(), Path::new(&name).extension()) else {
            continue;
        };
        match extension.as_bytes() {
            // Git writes them under a name with a dot first.
            _ if stem.as_bytes().starts_with(b".") => {}
            b"pack" => drop(packs.insert(stem.to_owned())),
            b"idx" => drop(indexes.insert(stem.to_owned())),
            b"promisor" => return Err(repo.partial()),
            _ => {}
        }
    }
    Ok(packs.intersection(&indexes).cloned().collect())
}

fn list_loose(objects: &Path, format: ObjectFormat) -> Result<HashSet<[u8; 32]>> {
    let mut loose = HashSet::new();
    for first in 0..=u8::MAX {
        for rest in list(&objects.join(format!("{first:02x}")))? {
            let name = rest.as_bytes();
            if name.len() + 2 == format.hex_len() {
                loose.extend(unhex(name).and_then(|rest| padded(&[&[first], &rest[..]].concat())));
            }
        }
    }
    Ok(loose)
}

/// The names in a directory, none if it is not there.
fn list(dir: &Path) -> Result<Vec<OsString>> {
    let failed = |e| SourceError::at("can't list objects", dir, e);
    match fs::read_dir(dir) {
        Ok(entries) => entries.map(|e| Ok(e.map_err(failed)?.file_name())).collect(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(failed(e)),
    }
}

/// The binary name of an object, padded.
pub(super) fn padded(bytes: &[u8]) -> Option<[u8; 32]> {
    let mut out = [0; 32];
    out.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(out)
}

/// Opens a pack and its index, and checks that they belong together: both end with the pack's checksum.
fn open_pack(dir: &Path, stem: &OsStr, format: ObjectFormat) -> Result<(Pack, Index)> {
    let with = |extension: &str| {
        let mut name = stem.to_owned();
        name.push(extension);
        dir.join(name)
    };
    let (path, index_path) = (with(".pack"), with(".idx"));
    let failed = |e: io::Error| {
        let what = if e.raw_os_error() == Some(24) {
            "can't open all packs at once; run `git gc` in the repository, or raise the hard limit of open files (`ulimit \
             -Hn`)"
        } else {
            "can't open a pack"
        };
        SourceError::at(what, &path, e)
    };
    // Through links, as git does: what is at their end is proved to be a pack.
    let (file, index) = (open_through(&path).map_err(failed)?, open_through(&index_path).map_err(failed)?);
    let size = file.metadata().map_err(failed)?.len();
    let index_size = index.metadata().map_err(failed)?.len();
    let (hash_len, hash_size) = (format.hex_len() / 2, u64::try_from(format.hex_len() / 2).unwrap_or(u64::MAX));
    let mut head = [0; 8];
    let (mut end, mut told) = (vec![0; hash_len], vec![0; hash_len]);
    let whole = file.read_exact_at(&mut head, 0).is_ok()
        && head.starts_with(b"PACK\0\0\0")
        && size.checked_sub(hash_size).is_some_and(|at| file.read_exact_at(&mut end, at).is_ok())
        && index_size.checked_sub(2 * hash_size).is_some_and(|at| index.read_exact_at(&mut told, at).is_ok())
        && end == told;
    if !whole {
        let what = "is damaged or cut short: it does not end as its index says. Look with `git fsck --full`";
        return Err(SourceError::new(what, path.display().to_string()));
    }
    let name = stream_name(stem).map_err(|e| SourceError::new(e.to_string(), path.display().to_string()))?;
    Ok((Pack { name, path, file, size }, Index(index)))
}

/// A pack's stream is called as its file is, but 64 hex digits are too long for a name and cut to 40, and where a file
/// is not called `pack-HEX`, a hash of its name takes the place of the digits.
fn stream_name(stem: &OsStr) -> std::result::Result<Name, crate::model::NameError> {
    let usual = stem.to_str().and_then(|s| s.strip_prefix("pack-")).and_then(Oid::parse);
    let digits = usual.map_or_else(|| hash(stem.as_bytes()).to_string(), |oid| oid.as_str().to_owned());
    format!("pack-{}.pack", digits.get(..40).unwrap_or(&digits)).parse()
}

impl Held {
    /// The packs to read, and what of the loose objects has to be packed.
    pub(super) fn split(self) -> (Vec<Pack>, Loose) {
        let Self { packs, loose } = self;
        let (packs, indexes) = packs.into_iter().unzip();
        (packs, Loose { loose, indexes })
    }
}

impl Loose {
    /// Whether the object `oid` must be packed: it is loose and in none of the packs.
    pub(super) fn wants(&self, oid: &[u8; 32], hash_len: usize) -> bool {
        self.loose.contains(oid)
            && !oid.get(..hash_len).is_some_and(|oid| self.indexes.iter().any(|i| i.holds(oid) == Some(true)))
    }
}

impl Index {
    /// Whether its index lists `oid`; nothing if the index can't be understood, and then the object is stored twice.
    fn holds(&self, oid: &[u8]) -> Option<bool> {
        const MAGIC: [u8; 8] = [0xff, b't', b'O', b'c', 0, 0, 0, 2];
        let read = |at: u64, buf: &mut [u8]| self.0.read_exact_at(buf, at).ok();
        let count = |slot: u64| {
            let mut buf = [0; 4];
            read(8 + 4 * slot, &mut buf)?;
            Some(u64::from(u32::from_be_bytes(buf)))
        };
        let mut magic = [0; 8];
        read(0, &mut magic)?;
        if magic != MAGIC {
            return None;
        }
        let first = u64::from(*oid.first()?);
        let mut low = if first == 0 { 0 } else { count(first - 1)? };
        let mut high = count(first)?;
        let width = u64::try_from(oid.len()).ok()?;
        let mut found = vec![0; oid.len()];
        while low < high {
            let middle = low + (high - low) / 2;
            read(8 + 1024 + middle * width, &mut found)?;
            match found.as_slice().cmp(oid) {
                std::cmp::Ordering::Equal => return Some(true),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Some(false)
    }
}
