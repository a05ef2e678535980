//! A git repository: every ref, and every object that can be reached from one.
//!
//! Git works on objects only, in a scratch repository of ours that borrows the source's object directory. The source's
//! settings, hooks and refs are read as data, so a repository that belongs to somebody else can be backed up and can't
//! make us run anything. Nothing is written to it.
//!
//! What is in no commit is not backed up: changed files, the index, untracked files, hooks, and, unless asked for, logs of
//! refs other than the stash's. A warning names what of this is there.

mod attributes;
mod changes;
mod details;
mod left_out;
mod lfs;
mod look;
mod mirror;
mod packs;
mod prove;
mod reading;
mod refs;
mod repo;
mod restore;
pub(crate) mod restored;
mod run;
mod salvage;
mod segments;
mod shape;
mod walk;

use std::{
    collections::{BTreeSet, HashSet},
    fs::File,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use self::{
    lfs::Lfs,
    reading::{GitReading, Rest},
    refs::Found,
    repo::Repo,
    segments::{Anchoring, Folding, Note},
    walk::Walking,
};
use super::{Before, Look, Reading, Result, Source, SourceError, read::Warnings};
use crate::model::SourceKind;

pub use details::{Change, ChangeKind, GitDetails, Head, ObjectFormat, Oid, RefName, Since, only_ref};
pub(crate) use lfs::check as check_lfs;
pub use mirror::{Remote, is_url};
pub use restore::{GitRestorer, restore_from_files};

/// How often a repository is read anew because it changed meanwhile.
const TRIES: usize = 3;

/// A repository: bare, or a worktree with a `.git` directory or file; or one behind a URL.
///
/// On the first run its streams are its packs as they are, and `loose.pack` with the reachable objects that are in none
/// of them; the whole history is walked once, so that a missing object is found then and not on the day of the restore.
/// Later runs lean on these streams and add `segment-0001.pack` and so on, thin packs of what is new. LFS objects are
/// streams too.
pub struct GitSource {
    place: Place,
    reflogs: bool,
    empty: bool,
}

enum Place {
    Here(PathBuf),
    There(Remote),
}

impl GitSource {
    /// Reads the repository at `path`, which may be written `file://…`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path: PathBuf = path.into();
        let plain = path.to_str().and_then(|p| p.strip_prefix("file://")).map(PathBuf::from);
        Self { place: Place::Here(plain.unwrap_or(path)), reflogs: false, empty: false }
    }

    /// Reads the repository behind a URL.
    #[must_use]
    pub fn remote(remote: Remote) -> Self {
        Self { place: Place::There(remote), reflogs: false, empty: false }
    }

    /// The same, with the logs of all refs and what only they name.
    #[must_use]
    pub fn with_reflogs(self, reflogs: bool) -> Self {
        Self { reflogs, ..self }
    }

    /// The same; with `empty`, that all refs are gone which the last snapshot had is no reason to fail.
    #[must_use]
    pub fn with_empty(self, empty: bool) -> Self {
        Self { empty, ..self }
    }
}

impl Source for GitSource {
    fn kind(&self) -> SourceKind {
        SourceKind::Git
    }

    fn open(&mut self) -> Result<Box<dyn Reading>> {
        self.open_after(None)
    }

    fn open_after(&mut self, before: Option<Before>) -> Result<Box<dyn Reading>> {
        let path = match &self.place {
            Place::Here(path) => path,
            Place::There(remote) => remote.refresh()?,
        };
        let repo = Repo::locate(path)?;
        // Before its refs are read, which may be kept in a way that is not known here.
        repo.check(&repo.settings(scratch(ObjectFormat::Sha1)?.path())?)?;
        let mut tries = 1;
        loop {
            let mut warnings = Warnings::default();
            // Refs first: whatever they name exists by now, so it is in what is held next.
            let found = refs::read_settled(&repo, &mut warnings)?;
            match self.begin(&repo, found.clone(), before.as_ref(), warnings) {
                // A push took a ref away, and housekeeping its objects.
                Err(error) if tries < TRIES && refs::read_all(&repo, &mut Warnings::default())? != found => {
                    tracing::debug!(%error, "the repository changed while it was read; once more");
                    tries += 1;
                }
                other => return other,
            }
        }
    }

    fn look(&mut self) -> Look {
        look::look(self)
    }
}

impl GitSource {
    fn begin(
        &self,
        repo: &Repo,
        found: Found,
        before: Option<&Before>,
        mut warnings: Warnings,
    ) -> Result<Box<dyn Reading>> {
        let scratch = scratch(ObjectFormat::Sha1)?;
        let settings = repo.settings(scratch.path())?;
        let format = repo.check(&settings)?;
        // Not before it is known, since the scratch repository must name objects as the source does.
        run::skeleton(scratch.path(), format)?;
        let mut details = self.details(repo, found, (settings.clone(), format), scratch.path())?;
        let anchoring = Anchoring::start(scratch.path(), &repo.objects(), details.oids())?;
        let (note, rest) = plan((repo, self.empty), scratch.path(), before, &mut details, &mut warnings)?;
        let speaks_of_lfs = left_out::warn(repo, scratch.path(), &details, &settings, &mut warnings)?;
        let known = before.zip(note.as_ref()).map(|(before, note)| (before, &note.lfs));
        let lfs = Lfs::of(repo, speaks_of_lfs, known)?;
        let (given, current, repo) = (Vec::new(), None, repo.clone());
        Ok(Box::new(GitReading { scratch, repo, rest, note, details, warnings, lfs, given, current, anchoring }))
    }

    /// What is in it besides objects.
    fn details(
        &self,
        repo: &Repo,
        found: Found,
        (settings, format): (Vec<(String, String)>, ObjectFormat),
        scratch: &Path,
    ) -> Result<GitDetails> {
        let description = repo::read_small(&repo.common.join("description"))?;
        let mut details = GitDetails {
            format,
            head: found.head,
            refs: found.refs,
            symrefs: found.symrefs,
            stash: found.stash,
            worktrees: found.worktrees,
            description: description.map(|d| String::from_utf8_lossy(&d).into_owned()),
            config: repo::harmless(settings),
            reflogs: std::collections::BTreeMap::new(),
            since: None,
        };
        if self.reflogs {
            details.reflogs = refs::read_logs(repo, scratch)?;
        }
        if !details.is_consistent() {
            return Err(repo.error("has refs that name objects in another format than the repository's"));
        }
        Ok(details)
    }
}

/// Decides what this run has to read, and writes down what became of the refs since the last one.
fn plan(
    (repo, empty): (&Repo, bool),
    scratch: &Path,
    before: Option<&Before>,
    details: &mut GitDetails,
    warnings: &mut Warnings,
) -> Result<(Option<Note>, Rest)> {
    let objects = repo.objects();
    let last = before.and_then(|before| Note::of(before).map(|note| (before, note)));
    let Some((before, mut note)) = last.filter(|(_, note)| note.format == details.format) else {
        return Ok((None, whole(repo, scratch, details)?));
    };
    let changes = changes::between(scratch, &objects, &note.details.refs, &details.refs)?;
    if !empty && details.refs.is_empty() && !note.details.refs.is_empty() {
        return Err(repo.error(format!(
            "has no ref any more, and had {} in the last snapshot, which looks like a repository that was emptied or made \
             anew. If that is meant, run the backup once with `--allow-empty`; the earlier snapshots hold what it had",
            note.details.refs.len()
        )));
    }
    changes::warn(repo, &changes, warnings);
    details.since = Some(Since { snapshot: before.snapshot, changes });
    let covered: HashSet<Oid> = note.covered().into_iter().cloned().collect();
    let there: HashSet<Oid> = segments::existing(scratch, &objects, covered.iter())?.into_iter().cloned().collect();
    let now: BTreeSet<Oid> = details.oids().collect();
    if let Some(lost) = now.iter().find(|oid| covered.contains(*oid) && !there.contains(*oid)) {
        return Err(walk::incomplete(repo, &SourceError::new("is not there", lost.as_str())));
    }
    let none_left = there.is_empty().then_some("nothing of what was stored before is in it any more");
    let mut why = none_left.or(note.why_anew(before, packs::size(repo)));
    let folding = if why.is_none() { note.fold(before, &there) } else { Folding::Not };
    if matches!(folding, Folding::Nothing) {
        why = Some("what was stored first is not in it any more");
    }
    if let Some(why) = why {
        if note.tips().any(|oid| !now.contains(oid)) {
            warnings.push(format!("{}: {why}, so it was stored anew: {}", repo.shown, only_earlier(before)));
        }
        return Ok((None, whole(repo, scratch, details)?));
    }
    let mut held: Vec<Oid> = there.iter().cloned().collect();
    let mut wanted: Vec<Oid> = now.iter().filter(|oid| !covered.contains(oid)).cloned().collect();
    if let Folding::Last { tips, held: below } = folding {
        if segments::any_dropped((scratch, &objects), &tips, &now, &there)? {
            warnings.push(format!("{}: {}", repo.shown, only_earlier(before)));
        }
        wanted = now.into_iter().filter(|oid| !below.contains(oid)).collect();
        held = below.into_iter().collect();
    }
    segments::write_revisions(scratch, &wanted, &held)?;
    let packing = if wanted.is_empty() {
        None
    } else {
        segments::start_packing(scratch, &objects, details.format).map_err(|e| walk::incomplete(repo, &e))?
    };
    Ok((Some(note), packing.map_or(Rest::Pointers(Vec::new()), |packing| Rest::New(Box::new(packing)))))
}

/// Where to find what is not carried any longer.
fn only_earlier(before: &Before) -> String {
    format!(
        "commits that were dropped from it by rewriting or deleting refs are in earlier snapshots only, which are locked \
         until {} at least",
        before.locked_until
    )
}

/// All of the repository.
fn whole(repo: &Repo, scratch: &Path, details: &GitDetails) -> Result<Rest> {
    let (packs, loose) = packs::hold(repo, details.format)?.split();
    segments::write_revisions(scratch, &details.oids().collect::<Vec<_>>(), &[])?;
    let walking = Walking::start(repo, scratch, details, loose)?;
    let inflate = packs.iter().map(|pack| pack.size).sum::<u64>() <= prove::INFLATED;
    Ok(Rest::Whole { packs: packs.into_iter(), walking, inflate })
}

/// A scratch repository, gone when dropped.
fn scratch(format: ObjectFormat) -> Result<TempDir> {
    let dir = TempDir::with_prefix("strongroom-git-")
        .map_err(|e| SourceError::at("can't make a temporary directory", &std::env::temp_dir(), e))?;
    run::skeleton(dir.path(), format)?;
    Ok(dir)
}

fn open_own(path: &Path) -> Result<File> {
    File::open(path).map_err(|e| SourceError::at("can't open a temporary file", path, e))
}

#[cfg(test)]
mod tests;
