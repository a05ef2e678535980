//! Walking what can be reached: the proof that nothing is missing, and the list of what is in no pack yet.

use std::{
    fs::File,
    io::{BufReader, BufWriter, Write},
    path::Path,
    process::Stdio,
    sync::Arc,
    thread::{self, JoinHandle},
};

use super::{
    GitDetails, ObjectFormat, Oid, Result, SourceError, attributes, details,
    lines::next_line,
    open_own,
    packs::{self, LargeObject, Loose},
    prove,
    repo::Repo,
    run,
};
use crate::source::child::{Alive, Running};

/// A walk through everything that can be reached, which goes on while packs are read. It tells if anything is missing,
/// and lists in the scratch repository, as `wanted`, what has to be packed.
pub(super) struct Walking {
    thread: Option<JoinHandle<Result<Walked>>>,
    alive: Option<Alive>,
}

/// What was met on a walk.
#[derive(Default)]
pub(super) struct Walked {
    /// Whether anything has to be packed that is not large.
    pub(super) any: bool,
    /// The `.gitattributes`, at any level.
    pub(super) attributes: Vec<Oid>,
    /// What is to be packed and large.
    pub(super) large: Vec<LargeObject>,
    /// Why it came to no end, if something is missing.
    pub(super) lacking: Option<SourceError>,
}

impl Walking {
    /// Begins to walk.
    pub(super) fn start(repo: &Repo, scratch: &Path, details: &GitDetails, loose: Arc<Loose>) -> Result<Self> {
        let started = start_walk(scratch, Some(&repo.objects()), details, false)?;
        let Some(running) = started else { return Ok(Self { thread: None, alive: None }) };
        let alive = Some(running.alive());
        let (repo, path, format) = (repo.clone(), scratch.join("wanted"), details.format);
        let thread = thread::spawn(move || list(&repo, running, &path, format, &loose));
        Ok(Self { thread: Some(thread), alive })
    }

    /// Waits for its end, and tells what was met.
    pub(super) fn finish(mut self) -> Result<Walked> {
        let Some(thread) = self.thread.take() else { return Ok(Walked::default()) };
        thread
            .join()
            .unwrap_or_else(|_| Err(SourceError::new("ended early; this is a defect in strongroom", "git rev-list")))
    }
}

impl Drop for Walking {
    fn drop(&mut self) {
        if let (Some(_), Some(alive)) = (&self.thread, &self.alive) {
            alive.stop();
        }
    }
}

fn list(repo: &Repo, mut walking: Running, path: &Path, format: ObjectFormat, loose: &Loose) -> Result<Walked> {
    let (hex_len, hash, objects) = (format.hex_len(), format.hash(), repo.objects());
    let failed = |e| SourceError::at("can't list the objects to pack", path, e);
    let mut list = BufWriter::new(File::create(path).map_err(failed)?);
    let mut lines = BufReader::with_capacity(1 << 16, walking.stdout()?);
    let (mut walked, mut line) = (Walked::default(), Vec::new());
    while next_line(&mut lines, &mut line).map_err(failed)? {
        let oid = line.get(..hex_len).and_then(details::unhex).and_then(|oid| packs::padded(&oid));
        let oid = oid.ok_or_else(|| repo.error("git listed something that is not an object"))?;
        if loose.wants(&oid, hex_len / 2) {
            let name = oid.get(..hash.size()).unwrap_or_default();
            if !packs::add_large(&objects, name, &mut walked.large) {
                prove::loose(repo, hash, name)?;
                walked.any = true;
                list.write_all(&line).and_then(|()| list.write_all(b"\n")).map_err(failed)?;
            }
        }
        walked.attributes.extend(attributes::listed(&line, hex_len));
    }
    list.flush().map_err(failed)?;
    walked.lacking = walking.finish().err();
    Ok(walked)
}

/// The error of a repository that lacks objects.
pub(super) fn incomplete(repo: &Repo, why: &SourceError) -> SourceError {
    repo.error(format!(
        "objects are missing or damaged, so it can't be backed up whole ({why}). `git fsck --full` lists them; fetch them \
         from another clone, or delete the refs that need them"
    ))
}

/// Begins to list all objects that can be reached in a repository of ours; nothing if it has no refs.
pub(super) fn start_walk(
    git_dir: &Path,
    objects: Option<&Path>,
    details: &GitDetails,
    quiet: bool,
) -> Result<Option<Running>> {
    let path = git_dir.join("tips");
    let failed = |e| SourceError::at("can't list the refs", &path, e);
    let mut tips = BufWriter::new(File::create(&path).map_err(failed)?);
    let mut any = false;
    for tip in details.tips() {
        any = true;
        writeln!(tips, "{tip}").map_err(failed)?;
    }
    tips.flush().map_err(failed)?;
    if !any {
        return Ok(None);
    }
    let mut arguments = vec!["rev-list", "--objects", "--stdin"];
    arguments.extend(quiet.then_some("--quiet"));
    let mut command = run::git(git_dir, objects, &arguments);
    run::start(command.stdin(Stdio::from(open_own(&path)?)), "git rev-list").map(Some)
}
