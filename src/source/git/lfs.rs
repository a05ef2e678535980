//! LFS objects: large files that a repository keeps beside its history, which holds pointers to them.

mod pointer;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read, Seek},
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use self::pointer::{LfsId, pointers};
use super::{
    ObjectFormat, Oid, Result, SourceError, attributes, lines,
    repo::{Repo, open},
    run,
};
use crate::{
    codec::Sha256,
    model::Name,
    source::{Before, read::Warnings},
};

/// Where the LFS object of this name belongs in a repository.
pub(super) fn path_of(id: &str) -> String {
    LfsId(id.to_owned()).path()
}

/// Whether `path` is where an LFS object of a repository belongs.
pub(super) fn is_object_path(path: &str) -> bool {
    path.rsplit('/').next().and_then(LfsId::parse).is_some_and(|id| id.path() == path)
}

/// What the next run is to know.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct LfsNote {
    /// The objects that the snapshot holds, with their sizes.
    held: BTreeMap<LfsId, u64>,
    /// Objects that pointers name and the repository does not have, with their sizes.
    missing: BTreeMap<LfsId, u64>,
    /// Whether the repository speaks of LFS, so that its history was looked through for pointers.
    #[serde(default)]
    used: bool,
}

/// A server that has the LFS objects of a repository, which a mirror has none of.
pub trait LfsServer: Send + Sync {
    /// Somebody who asks it. What it holds to do so goes with it.
    ///
    /// # Errors
    /// If nobody can.
    fn client(&self) -> Result<Box<dyn LfsClient>>;
}

/// Who asks a server for LFS objects.
pub trait LfsClient: Send {
    /// Writes the object of this SHA-256 and size into a file. Tells why not, where the server does not give it.
    ///
    /// # Errors
    /// If somebody asks to stop, or it can't be written.
    fn fetch(&mut self, id: &str, size: u64, into: &mut File) -> Result<std::result::Result<(), String>>;
}

/// The LFS objects of a repository on their way.
pub(super) struct Lfs {
    /// Those that earlier snapshots hold.
    carried: Vec<Name>,
    held: BTreeMap<LfsId, u64>,
    to_read: std::vec::IntoIter<(LfsId, PathBuf)>,
    /// Those that pointers name, with their sizes; what is not held is missing.
    wanted: BTreeMap<LfsId, u64>,
    /// Those that are not what their names say, with the hash that they have.
    damaged: Vec<(LfsId, String)>,
    /// Whether the repository speaks of LFS.
    used: bool,
    /// Whether it did so in the last run, which then looked through its history.
    looked: bool,
    /// Who has what is not here.
    server: Option<Arc<dyn LfsServer>>,
    client: Option<Box<dyn LfsClient>>,
    /// Where there is room for what comes from there.
    room: PathBuf,
    /// What is to be had from there.
    to_fetch: std::vec::IntoIter<(LfsId, u64)>,
    /// Why it was not.
    refused: Option<String>,
}

/// One of them.
pub(super) struct LfsObject {
    pub(super) name: Name,
    pub(super) path: String,
    pub(super) content: Checked<File>,
    pub(super) size: u64,
}

/// A reader that fails at its end unless what it gave is the object of that name.
pub(super) struct Checked<R> {
    inner: R,
    id: LfsId,
    sha: Option<Sha256>,
}

impl<R> Checked<R> {
    fn new(inner: R, id: LfsId) -> Self {
        Self { inner, id, sha: Some(Sha256::default()) }
    }
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        if let Some(sha) = &mut self.sha {
            sha.update(buf.get(..n).unwrap_or_default());
        }
        if n == 0 && !buf.is_empty() && self.sha.take().is_some_and(|sha| sha.finish() != self.id.0) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "was changed while it was read"));
        }
        Ok(n)
    }
}

impl Lfs {
    /// Lists what is there, and carries what is stored already. `used` says that the repository's settings speak of LFS.
    /// What is not here is asked of `server`.
    pub(super) fn of(
        repo: &Repo,
        used: bool,
        before: Option<(&Before, &LfsNote)>,
        server: Option<Arc<dyn LfsServer>>,
    ) -> Result<Self> {
        let files = files(&repo.common.join("lfs/objects"))?;
        let (mut carried, mut held, mut wanted) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        if let Some((before, note)) = before {
            wanted.clone_from(&note.missing);
            for (id, size) in &note.held {
                let name = id.stream()?;
                if before.streams.contains_key(&name) {
                    held.insert(id.clone(), *size);
                    carried.push(name);
                } else {
                    wanted.insert(id.clone(), *size);
                }
            }
        }
        let looked = before.is_some_and(|(_, note)| note.used);
        let used = used || looked || !files.is_empty();
        let mut to_read = Vec::new();
        for (id, (path, size)) in files {
            if !held.contains_key(&id) {
                held.insert(id.clone(), size);
                to_read.push((id, path));
            }
        }
        let room = repo.common.clone();
        let (to_read, to_fetch, damaged) = (to_read.into_iter(), Vec::new().into_iter(), Vec::new());
        Ok(Self {
            carried,
            held,
            to_read,
            wanted,
            damaged,
            used,
            looked,
            server,
            client: None,
            room,
            to_fetch,
            refused: None,
        })
    }

    /// Looks for pointers among the revisions that were written down, if the repository speaks of LFS; among all of `tips`,
    /// if it did not do so before. `attributes` are the `.gitattributes`, at any level, that are new.
    pub(super) fn seek(
        &mut self,
        repo: &Repo,
        scratch: &Path,
        tips: impl Iterator<Item = Oid>,
        attributes: &[Oid],
    ) -> Result<()> {
        let objects = repo.objects();
        let git = |arguments: &[&str]| run::git(scratch, Some(&objects), arguments);
        self.used = self.used || attributes::speak_of_lfs(git, &scratch.join("attributes"), attributes)?;
        let tips: Vec<Oid> = tips.collect();
        if self.used && !tips.is_empty() {
            if !self.looked {
                lines::write_revisions(scratch, &tips, &[])?;
            }
            self.wanted.extend(pointers(git, &scratch.join("small"), &["--stdin"], lines::revisions(scratch)?)?);
        }
        if self.server.is_some() {
            let lacking = self.wanted.iter().filter(|(id, _)| !self.held.contains_key(id));
            self.to_fetch = lacking.map(|(id, size)| (id.clone(), *size)).collect::<Vec<_>>().into_iter();
        }
        Ok(())
    }

    /// The next object that the server gives, in a file without a name.
    fn fetched(&mut self) -> Result<Option<LfsObject>> {
        for (id, size) in self.to_fetch.by_ref() {
            let Some(server) = &self.server else { break };
            let client = match &mut self.client {
                Some(client) => client,
                none => none.insert(server.client()?),
            };
            let failed = |e| SourceError::new("can't be put down", format!("the LFS object {}", id.0)).because(e);
            let mut file = tempfile::tempfile_in(&self.room).map_err(failed)?;
            if let Err(why) = client.fetch(&id.0, size, &mut file)? {
                self.refused.get_or_insert(why);
                continue;
            }
            file.rewind().map_err(failed)?;
            let sha = sha256(&mut file).map_err(failed)?;
            if sha != id.0 {
                self.damaged.push((id, sha));
                continue;
            }
            file.rewind().map_err(failed)?;
            let size = file.metadata().map_err(failed)?.len();
            self.held.insert(id.clone(), size);
            return Ok(Some(LfsObject { name: id.stream()?, path: id.path(), content: Checked::new(file, id), size }));
        }
        Ok(None)
    }

    /// The streams of earlier snapshots.
    pub(super) fn carried(&self) -> &[Name] {
        &self.carried
    }

    /// The next object to read. Each is read once before and left out if it is not what its name says: a damaged one
    /// would be carried from snapshot to snapshot, long after the repository has a good one again.
    pub(super) fn next(&mut self) -> Option<Result<LfsObject>> {
        loop {
            let Some((id, path)) = self.to_read.next() else { return self.fetched().transpose() };
            match self.look(&id, &path) {
                Ok(None) => {}
                Ok(Some(object)) => return Some(Ok(object)),
                Err(error) => return Some(Err(error)),
            }
        }
    }

    fn look(&mut self, id: &LfsId, path: &Path) -> Result<Option<LfsObject>> {
        let failed = |e| SourceError::at("can't read an LFS object", path, e);
        let mut file = open(path).map_err(failed)?;
        let sha = sha256(&mut file).map_err(failed)?;
        if sha != id.0 {
            self.held.remove(id);
            self.damaged.push((id.clone(), sha));
            return Ok(None);
        }
        file.rewind().map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        Ok(Some(LfsObject { name: id.stream()?, path: id.path(), content: Checked::new(file, id.clone()), size }))
    }

    /// Warns of every object that is damaged or missing, and tells what the next run is to know.
    pub(super) fn finish(mut self, repo: &Repo, warnings: &mut Warnings) -> LfsNote {
        let remedy = match (&self.server, &self.refused) {
            (None, _) => "`git lfs fetch --all` brings what the server still has".to_owned(),
            (Some(_), Some(why)) => format!("its server does not give it ({why})"),
            (Some(_), None) => "its server is asked again in the next run".to_owned(),
        };
        for (id, sha) in &self.damaged {
            let moved = if self.server.is_some() { "" } else { "`git lfs fsck` moves it away, and " };
            warnings.push(format!(
                "{}: the LFS object {} is damaged, its content has the SHA-256 {sha}, so it is not in this backup; \
                 {moved}{remedy}",
                repo.shown, id.0
            ));
        }
        self.wanted.retain(|id, _| !self.held.contains_key(id));
        for (id, size) in self.wanted.iter().filter(|(id, _)| !self.damaged.iter().any(|(known, _)| known == *id)) {
            warnings.push(format!(
                "{}: the LFS object {} ({size} bytes) is named in its history and is not here, so it is not in this \
                 backup; {remedy}",
                repo.shown, id.0
            ));
        }
        LfsNote { held: self.held, missing: self.wanted, used: self.used }
    }
}

/// The SHA-256 of what is left of `file`.
fn sha256(file: &mut File) -> io::Result<String> {
    let mut sha = Sha256::default();
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(sha.finish()),
            n => sha.update(buffer.get(..n).unwrap_or_default()),
        }
    }
}

/// The trees of all refs and of `HEAD`, and no other.
const TIPS: [&str; 2] = ["--no-walk=unsorted", "--all"];

/// The LFS objects that the trees of the restored repository's refs name and it lacks, with their sizes; nothing if no
/// `.gitattributes` there, at any level, speaks of LFS. `scratch` is a directory to work in.
pub(super) fn lacking(dir: &Path, format: ObjectFormat, scratch: &Path) -> Result<Vec<String>> {
    let git = |arguments: &[&str]| run::git(dir, None, arguments);
    let listed = scratch.join("listed");
    let failed = |e| SourceError::at("can't list what the refs hold", &listed, e);
    let mut command = git(&[&["rev-list", "--objects"], &TIPS[..]].concat());
    let mut listing = run::start(&mut command, "git rev-list")?;
    io::copy(&mut listing.stdout()?, &mut File::create(&listed).map_err(failed)?).map_err(failed)?;
    listing.finish()?;
    let attributes = attributes::in_list(&listed, format.hex_len())?;
    if !attributes::speak_of_lfs(git, &listed, &attributes)? {
        return Ok(Vec::new());
    }
    let wanted = pointers(git, &listed, &TIPS, Stdio::null())?;
    let held = files(&dir.join("lfs/objects"))?;
    Ok(wanted
        .into_iter()
        .filter(|(id, _)| !held.contains_key(id))
        .map(|(id, size)| format!("{} ({size} bytes)", id.0))
        .collect())
}

/// How many LFS objects the repository at `dir` has, and the names of those that are not what their names say.
pub(crate) fn check(dir: &Path) -> Result<(usize, Vec<String>)> {
    let files = files(&dir.join("lfs/objects"))?;
    let mut damaged = Vec::new();
    for (id, (path, _)) in &files {
        let failed = |e| SourceError::at("can't read an LFS object", path, e);
        if sha256(&mut open(path).map_err(failed)?).map_err(failed)? != id.0 {
            damaged.push(id.0.clone());
        }
    }
    Ok((files.len(), damaged))
}

/// The LFS objects of the restored repository at `dir`: their names, places and sizes.
///
/// # Errors
/// If they can't be listed.
pub fn objects_of(dir: &Path) -> Result<Vec<(String, PathBuf, u64)>> {
    let files = files(&dir.join("lfs/objects"))?;
    Ok(files.into_iter().map(|(id, (path, size))| (id.0, path, size)).collect())
}

/// The objects below `dir`, by their names.
fn files(dir: &Path) -> Result<BTreeMap<LfsId, (PathBuf, u64)>> {
    let mut found = BTreeMap::new();
    let mut todo = vec![(dir.to_owned(), 0)];
    while let Some((dir, depth)) = todo.pop() {
        let failed = |e| SourceError::at("can't list LFS objects", &dir, e);
        let entries = match fs::read_dir(&dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            other => other.map_err(failed)?,
        };
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let kind = entry.file_type().map_err(failed)?;
            let name = entry.file_name();
            if kind.is_dir() && depth < 2 {
                todo.push((entry.path(), depth + 1));
            } else if let Some(id) = name.to_str().and_then(LfsId::parse).filter(|_| kind.is_file() && depth == 2) {
                found.insert(id, (entry.path(), entry.metadata().map_err(failed)?.len()));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_that_is_not_what_its_name_says_has_no_end() {
        // What `printf content | sha256sum` gives.
        let id = LfsId::parse("ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73").unwrap();
        let mut out = Vec::new();
        Checked::new(&b"content"[..], id.clone()).read_to_end(&mut out).unwrap();
        assert_eq!(out, b"content");
        let error = Checked::new(&b"c0ntent"[..], id).read_to_end(&mut out).unwrap_err().to_string();
        assert!(error.contains("changed while it was read"), "{error}");
    }

    #[test]
    fn damaged_objects_of_a_repository_are_found() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(check(dir.path()).unwrap(), (0, vec![]));
        let good = LfsId::parse("ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73").unwrap();
        let bad = LfsId::parse(&good.0.replace("ed70", "ed71")).unwrap();
        for id in [&good, &bad] {
            let path = dir.path().join(id.path());
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "content").unwrap();
        }
        assert_eq!(check(dir.path()).unwrap(), (2, vec![bad.0]));
    }

    #[test]
    fn objects_have_one_place() {
        let digits = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393";
        assert!(is_object_path(&format!("lfs/objects/4d/7a/{digits}")));
        for bad in [format!("lfs/objects/4d/7b/{digits}"), format!("/lfs/objects/4d/7a/{digits}"), digits.to_owned()] {
            assert!(!is_object_path(&bad), "{bad}");
        }
        assert!(!is_object_path("lfs/objects/../../config"));
    }
}
