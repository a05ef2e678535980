//! The proof of what goes into the vault: a repository that rotted must not be stored as a good one.
//!
//! - A pack that is taken as it is: by the hash of all its bytes, with which it ends. Small ones are also inflated, object
//!   by object, and held against their index.
//! - A loose object: by its name, which is the hash of what it holds.
//! - A pack that git makes for us: by `index-pack`, which finds every object's name from its content, and by whether the
//!   names come out that were asked for. Git copies what is packed already without looking at it.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    process::{ChildStdin, Stdio},
};

use super::{
    ObjectFormat, Oid, Result, SourceError,
    details::{self, hex},
    lines::next_line,
    packs::{LargeObject, LooseFile, padded},
    repo::Repo,
    run,
};
use crate::{
    codec::{
        git_object::{GitHash, GitHasher, loose_name},
        git_pack::build::LoosePack,
    },
    source::child::Running,
};

/// A first run inflates every object of its packs if these have at most so many bytes together: what takes about a second.
pub(super) const INFLATED: u64 = 16 << 20;

impl ObjectFormat {
    /// How objects are hashed.
    pub(super) const fn hash(self) -> GitHash {
        match self {
            Self::Sha1 => GitHash::Sha1,
            Self::Sha256 => GitHash::Sha256,
        }
    }
}

/// The error of a repository of which `what` is damaged.
pub(super) fn rotten(repo: &Repo, what: &str) -> SourceError {
    repo.error(format!(
        "{what}, so nothing of it was backed up now; earlier snapshots are as they were. `git fsck --full` lists what is \
         damaged: bring it back from another clone (`git fetch`, or copy its objects), or clone the repository again, and repeat the backup"
    ))
}

/// A pack on its way, which fails at its end unless its last bytes are the hash of all others.
pub(super) struct Trailed<R> {
    inner: R,
    hasher: Option<GitHasher>,
    tail: Vec<u8>,
    len: usize,
}

impl<R> Trailed<R> {
    pub(super) fn new(inner: R, hash: GitHash) -> Self {
        Self { inner, hasher: Some(hash.begin()), tail: Vec::new(), len: hash.size() }
    }

    fn add(&mut self, new: &[u8]) {
        let Some(hasher) = &mut self.hasher else { return };
        // The last bytes so far may be the hash.
        let before = (self.tail.len() + new.len()).saturating_sub(self.len).min(self.tail.len());
        hasher.update(self.tail.get(..before).unwrap_or_default());
        self.tail.drain(..before);
        let sure = (self.tail.len() + new.len()).saturating_sub(self.len);
        hasher.update(new.get(..sure).unwrap_or_default());
        self.tail.extend_from_slice(new.get(sure..).unwrap_or_default());
    }
}

impl<R: Read> Read for Trailed<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.add(buf.get(..n).unwrap_or_default());
        if n == 0 && !buf.is_empty() && self.hasher.take().is_some_and(|hasher| hasher.finish() != self.tail) {
            let what = "is damaged: its bytes are not those that its last ones are the hash of, so nothing of the \
                        repository was backed up now. `git fsck --full` lists what is damaged; bring it back from another \
                        clone, or clone the repository again, and repeat the backup";
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        Ok(n)
    }
}

/// Begins to inflate every object of the pack at `path` and to hold it against its index.
pub(super) fn inflate(scratch: &Path, path: &Path) -> Result<Running> {
    // In a repository without objects: there is nothing that it compares them with.
    let mut command = run::git(scratch, None, &["index-pack", "--verify", "--no-rev-index", "--threads=1"]);
    run::start(command.arg(path), "git index-pack")
}

/// Fails unless the loose object `oid`, if it still is one, holds what its name says.
pub(super) fn loose(repo: &Repo, hash: GitHash, oid: &[u8]) -> Result<()> {
    let name = hex(oid);
    let (first, rest) = name.split_at_checked(2).unwrap_or_default();
    let path = repo.objects().join(first).join(rest);
    let found = match super::repo::open_through(&path).and_then(|file| loose_name(hash, file)) {
        Ok(found) => found,
        // It was packed meanwhile.
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) if matches!(e.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) => {
            return Err(rotten(repo, &format!("its loose object {name} is damaged ({e})")));
        }
        Err(e) => return Err(SourceError::at("can't read a loose object", &path, e)),
    };
    if found == oid {
        return Ok(());
    }
    Err(rotten(repo, &format!("its loose object {name} is damaged (it holds something else than its name says)")))
}

/// The large loose objects of a repository as a pack.
pub(super) struct Loose {
    repo: Repo,
    pack: LoosePack<LooseFile>,
}

impl Loose {
    pub(super) fn new(repo: &Repo, hash: GitHash, objects: Vec<LargeObject>) -> Self {
        Self { repo: repo.clone(), pack: LoosePack::new(hash, objects) }
    }
}

impl Read for Loose {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.pack.read(buf).map_err(|e| match e.kind() {
            io::ErrorKind::InvalidData => io::Error::new(e.kind(), rotten(&self.repo, &e.to_string()).what),
            _ => e,
        })
    }
}

/// A pack that git makes, on its way to the vault and into `index-pack`.
pub(super) struct Proving {
    index: Running,
    scratch: PathBuf,
    /// What was asked for, sorted.
    wanted: Vec<[u8; 32]>,
    hash: GitHash,
}

/// Gives what it reads to `index-pack` as well.
pub(super) struct Tee<R> {
    inner: R,
    to: Option<ChildStdin>,
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        let given = self.to.as_mut().map(|to| to.write_all(buf.get(..n).unwrap_or_default()));
        // If it ended early, its exit status tells.
        if n == 0 && !buf.is_empty() || given.is_some_and(|given| given.is_err()) {
            self.to = None;
        }
        Ok(n)
    }
}

impl Proving {
    /// Begins to prove the thin pack that `from` gives, which holds the objects that the lines of `listed` begin with.
    /// What its deltas build on is in `objects`.
    pub(super) fn start<R: Read>(
        scratch: &Path,
        objects: &Path,
        format: ObjectFormat,
        wanted: Vec<[u8; 32]>,
        from: R,
    ) -> Result<(Self, Tee<R>)> {
        let mut command = run::git(scratch, None, &["index-pack", "--stdin", "--fix-thin", "--no-rev-index"]);
        command.env("GIT_ALTERNATE_OBJECT_DIRECTORIES", quoted(objects)).stdin(Stdio::piped());
        let mut index = run::start(&mut command, "git index-pack")?;
        let to = Some(index.stdin()?);
        Ok((Self { index, scratch: scratch.to_owned(), wanted, hash: format.hash() }, Tee { inner: from, to }))
    }

    /// Fails unless every object that was asked for came out whole.
    pub(super) fn finish(mut self, repo: &Repo) -> Result<()> {
        let mut told = String::new();
        let failed = |e| SourceError::new("can't read what it says", "git index-pack").because(e);
        self.index.stdout()?.take(4096).read_to_string(&mut told).map_err(failed)?;
        self.index.finish().map_err(|e| rotten(repo, &format!("objects in its packs are damaged ({e})")))?;
        let name = told.split_whitespace().last().and_then(Oid::parse);
        let name = name.ok_or_else(|| SourceError::new("printed no checksum", "git index-pack"))?;
        let path = self.scratch.join("objects/pack").join(format!("pack-{}.idx", name.as_str()));
        let missing = lacks(&path, self.hash, &self.wanted).map_err(|e| SourceError::at("can't read", &path, e))?;
        // It is there twice now, and may be large.
        let _ = std::fs::remove_file(path.with_extension("pack"));
        let Some(oid) = missing else { return Ok(()) };
        let name = hex(oid.get(..self.hash.size()).unwrap_or_default());
        Err(rotten(repo, &format!("its object {name} is damaged (it holds something else than its name says)")))
    }
}

/// The first of `wanted`, which is sorted, that the pack's index does not list.
fn lacks(index: &Path, hash: GitHash, wanted: &[[u8; 32]]) -> io::Result<Option<[u8; 32]>> {
    let mut from = BufReader::with_capacity(1 << 18, File::open(index)?);
    let mut count = [0; 4];
    // Behind 8 bytes of signature and version, how many objects begin with each byte or a smaller one.
    from.seek(SeekFrom::Start(8 + 255 * 4))?;
    from.read_exact(&mut count)?;
    let mut left = u32::from_be_bytes(count);
    let mut name = vec![0; hash.size()];
    for oid in wanted {
        let sought = oid.get(..hash.size()).unwrap_or_default();
        while name.as_slice() < sought && left > 0 {
            from.read_exact(&mut name)?;
            left -= 1;
        }
        if name != sought {
            return Ok(Some(*oid));
        }
    }
    Ok(None)
}

/// The names of objects that the lines of a list begin with, sorted; lines that begin with `-` are only hints.
pub(super) fn names(listed: &Path, hex_len: usize) -> Result<Vec<[u8; 32]>> {
    let failed = |e| SourceError::at("can't list what is new", listed, e);
    let mut from = BufReader::with_capacity(1 << 16, File::open(listed).map_err(failed)?);
    let (mut names, mut line) = (Vec::new(), Vec::new());
    while next_line(&mut from, &mut line).map_err(failed)? {
        if line.first() != Some(&b'-') {
            let oid = line.get(..hex_len).and_then(details::unhex).and_then(|oid| padded(&oid));
            names.push(oid.ok_or_else(|| SourceError::new("listed something that is not an object", "git rev-list"))?);
        }
    }
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

/// A directory as git takes it in its list of alternates, in which `:` stands between two.
fn quoted(path: &Path) -> std::ffi::OsString {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let bytes = path.as_os_str().as_bytes();
    let mut out = vec![b'"'];
    for byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', *byte]),
            b'\n' => out.extend(b"\\n"),
            _ => out.push(*byte),
        }
    }
    out.push(b'"');
    std::ffi::OsString::from_vec(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pack_ends_with_the_hash_of_its_bytes_or_has_no_end() {
        let mut hasher = GitHash::Sha1.begin();
        hasher.update(&[7; 100]);
        let pack = [&[7; 100][..], &hasher.finish()].concat();
        let read = |bytes: &[u8], step: usize| {
            let mut from = Trailed::new(bytes, GitHash::Sha1);
            let mut buf = vec![0; step];
            loop {
                match from.read(&mut buf) {
                    Ok(0) => return true,
                    Ok(_) => {}
                    Err(_) => return false,
                }
            }
        };
        for step in [1, 19, 20, 21, 64, 500] {
            assert!(read(&pack, step), "{step}");
            for at in 0..pack.len() {
                let mut bad = pack.clone();
                bad[at] ^= 1;
                assert!(!read(&bad, step), "{step} {at}");
            }
            assert!(!read(&pack[..119], step) && !read(&[], step));
        }
    }
}
