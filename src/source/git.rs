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
mod lines;
mod login;
mod logs;
mod look;
mod mirror;
mod only;
mod packed;
mod packs;
mod prove;
mod push;
mod reach;
mod reading;
mod refs;
mod repo;
mod restore;
pub(crate) mod restored;
mod run;
mod salvage;
mod segments;
mod shape;
mod sick;
mod submodules;
mod walk;

use std::{
    collections::{BTreeSet, HashSet},
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use self::{
    lfs::Lfs,
    packs::Survey,
    reading::{GitReading, Rest},
    refs::Found,
    repo::Repo,
    segments::{Anchoring, Folding, Note},
    sick::Sick,
    walk::Walking,
};
use super::{Before, Look, Reading, Result, Source, SourceError, deadline::Deadline, read::Warnings, scratch::Scratch};
use crate::model::SourceKind;

pub use details::{Change, ChangeKind, GitDetails, Head, ObjectFormat, Oid, RefName, Since};
pub(crate) use lfs::check as check_lfs;
pub use lfs::{LfsClient, LfsServer, objects_of as lfs_objects};
pub use login::Login;
pub use mirror::{Remote, is_url};
pub use only::{Only, may_name};
pub use push::{Pushed, push};
pub use restore::{GitRestorer, is_restored, restore_from_files};

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
    timeout: Option<Duration>,
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
        Self { place: Place::Here(plain.unwrap_or(path)), reflogs: false, empty: false, timeout: None }
    }

    /// Reads the repository behind a URL.
    #[must_use]
    pub fn remote(remote: Remote) -> Self {
        Self { place: Place::There(remote), reflogs: false, empty: false, timeout: None }
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

    /// The same, which fails if it takes longer than that.
    #[must_use]
    pub fn with_timeout(self, timeout: Option<Duration>) -> Self {
        Self { timeout, ..self }
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
        let deadline = self.timeout.map(Deadline::start);
        let mut reading = match (self.read_after(before.as_ref()), &deadline) {
            (Err(error), Some(deadline)) => return Err(deadline.judge(error)),
            (other, _) => other?,
        };
        reading.deadline = deadline;
        Ok(Box::new(reading))
    }

    fn look(&mut self) -> Look {
        look::look(self)
    }
}

impl GitSource {
    fn read_after(&self, before: Option<&Before>) -> Result<GitReading> {
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
            match self.begin(&repo, found.clone(), before, warnings) {
                // A push took a ref away, and housekeeping its objects.
                Err(error) if tries < TRIES && refs::read_all(&repo, &mut Warnings::default())? != found => {
                    tracing::debug!(%error, "the repository changed while it was read; once more");
                    tries += 1;
                }
                other => return other,
            }
        }
    }

    fn begin(&self, repo: &Repo, found: Found, before: Option<&Before>, mut warnings: Warnings) -> Result<GitReading> {
        let scratch = scratch(ObjectFormat::Sha1)?;
        let survey = packs::survey(&repo.objects());
        let seen = whatever_is_a_file(repo, &survey, scratch.path(), &mut warnings)?;
        let repo = &seen;
        let settings = repo.settings(scratch.path())?;
        let format = repo.check(&settings)?;
        // Not before it is known, since the scratch repository must name objects as the source does.
        run::skeleton(scratch.path(), format)?;
        let (mut details, mut sick) =
            self.details(repo, found, (settings.clone(), format), scratch.path(), &mut warnings)?;
        let gone = sick::missing(scratch.path(), &repo.objects(), &details)?;
        sick.take_out(&mut details, &gone);
        if !sick.is_empty() && details.oids().next().is_none() {
            // If it is a pack that is not as it should be, that is the cause.
            packs::hold(repo, format)?;
            return Err(sick::nothing_whole(repo, &sick));
        }
        let told = (&mut warnings, &mut sick);
        let (note, rest) = plan((repo, self.empty, survey.bytes), scratch.path(), before, &mut details, told)?;
        let anchoring = Anchoring::start(scratch.path(), &repo.objects(), details.oids())?;
        let speaks_of_lfs = left_out::warn(repo, scratch.path(), &details, &settings, &mut warnings)?;
        let known = before.zip(note.as_ref()).map(|(before, note)| (before, &note.lfs));
        let server = match &self.place {
            Place::Here(_) => None,
            Place::There(remote) => remote.lfs(),
        };
        let lfs = Lfs::of(repo, speaks_of_lfs, known, server)?;
        let (given, current, repo) = (Vec::new(), None, repo.clone());
        let deadline = None;
        Ok(GitReading { scratch, repo, rest, note, details, warnings, lfs, given, current, anchoring, sick, deadline })
    }

    /// What is in it besides objects, and what of that could not be understood.
    fn details(
        &self,
        repo: &Repo,
        found: Found,
        (settings, format): (Vec<(String, String)>, ObjectFormat),
        scratch: &Path,
        warnings: &mut Warnings,
    ) -> Result<(GitDetails, Sick)> {
        let description = read_aside(repo, "description", warnings);
        let grafts = read_aside(repo, "info/grafts", warnings);
        if grafts.is_some() {
            warnings.push(format!(
                "{}: its `info/grafts` make git show another history there than is stored; what is stored is in this backup, \
                 and the grafts are restored as text",
                repo.shown
            ));
        }
        let mut details = GitDetails {
            format,
            head: found.head,
            refs: found.refs,
            symrefs: found.symrefs,
            stash: found.stash,
            worktrees: found.worktrees,
            description,
            grafts,
            config: repo::harmless(settings),
            reflogs: std::collections::BTreeMap::new(),
            since: None,
        };
        if self.reflogs {
            let logs::Logs { lines, ends } = logs::read(repo, scratch)?;
            details.reflogs = lines;
            for (key, oid) in ends {
                details.worktrees.entry(key).or_insert(oid);
            }
        }
        if !details.is_consistent() {
            return Err(repo.error("has refs that name objects in another format than the repository's"));
        }
        Ok((details, found.sick))
    }
}

/// Decides what this run has to read, and writes down what became of the refs since the last one.
fn plan(
    (repo, empty, bytes): (&Repo, bool, u64),
    scratch: &Path,
    before: Option<&Before>,
    details: &mut GitDetails,
    (warnings, sick): (&mut Warnings, &mut Sick),
) -> Result<(Option<Note>, Rest)> {
    let objects = repo.objects();
    let last = before.and_then(|before| Note::of(before).map(|note| (before, note)));
    let Some((before, mut note)) = last.filter(|(_, note)| note.format == details.format) else {
        return Ok((None, whole(repo, scratch, details)?));
    };
    let mut changes = changes::between(scratch, &objects, &note.details.refs, &details.refs)?;
    // What is left out is not gone.
    changes.retain(|change| !sick.has(&change.name.to_string()));
    // What is only left out is not gone either.
    if !empty && details.refs.is_empty() && !note.details.refs.is_empty() && sick.is_empty() {
        return Err(repo.error(format!(
            "has no ref any more, and had {} in the last snapshot, as if the repository was emptied or recreated. If that is intended, run the backup once with `--allow-empty`; the earlier snapshots hold what it had",
            note.details.refs.len()
        )));
    }
    changes::warn(repo, &changes, warnings);
    details.since = Some(Since { snapshot: before.snapshot, changes });
    let covered: HashSet<Oid> = note.covered().into_iter().cloned().collect();
    let there: HashSet<Oid> = segments::existing(scratch, &objects, covered.iter())?.into_iter().cloned().collect();
    let now: BTreeSet<Oid> = details.oids().collect();
    let none_left = there.is_empty().then_some("nothing of what was stored before is in it any more");
    let mut why = none_left.or(note.why_anew(before, bytes));
    let folding = if why.is_none() { note.fold(before, &there) } else { Folding::Not };
    if matches!(folding, Folding::Nothing) {
        why = Some("what was stored first is not in it any more");
    }
    if let Some(why) = why {
        if note.tips().any(|oid| !now.contains(oid)) {
            warnings.push(format!("{}: {why}, so it was stored again: {}", repo.shown, only_earlier(before)));
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
    let mut packing = segments::start_packing((scratch, &objects), details.format, &wanted, &held);
    if let Err(why) = &packing {
        let gone = sick::lacking((scratch, &objects), wanted.clone(), &held)?;
        sick.take_out(details, &gone);
        if gone.is_empty() || details.oids().next().is_none() {
            return Err(walk::incomplete(repo, why));
        }
        wanted.retain(|oid| !gone.contains_key(oid));
        packing = segments::start_packing((scratch, &objects), details.format, &wanted, &held);
    }
    let news = packing.map_err(|e| walk::incomplete(repo, &e))?;
    Ok((Some(note), Rest::New(Box::new(news))))
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
    lines::write_revisions(scratch, &details.oids().collect::<Vec<_>>(), &[])?;
    let loose = Arc::new(loose);
    let walking = Walking::start(repo, scratch, details, Arc::clone(&loose))?;
    let inflate = packs.iter().map(|pack| pack.size).sum::<u64>() <= prove::INFLATED;
    Ok(Rest::Whole { packs: packs.into_iter(), walking, loose, inflate })
}

/// The repository as git may look at it: without what is no file among its objects, which git would open and wait for.
fn whatever_is_a_file(repo: &Repo, survey: &Survey, scratch: &Path, warnings: &mut Warnings) -> Result<Repo> {
    if survey.odd.is_empty() {
        return Ok(repo.clone());
    }
    let view = scratch.join("view");
    packs::without(&repo.objects(), &survey.odd, &view)?;
    for odd in &survey.odd {
        warnings.push(format!(
            "{} is not a file, but a FIFO, socket or device: it was not opened; remove it",
            odd.display()
        ));
    }
    Ok(repo.seen_through(view))
}

/// A small text of the repository that nothing else depends on.
fn read_aside(repo: &Repo, name: &str, warnings: &mut Warnings) -> Option<String> {
    let text = repo::read_small(&repo.common.join(name)).unwrap_or_else(|why| {
        warnings.push(format!("its {name} is not in this backup: {why}"));
        None
    });
    text.map(|text| String::from_utf8_lossy(&text).into_owned())
}

/// A scratch repository, gone when dropped.
fn scratch(format: ObjectFormat) -> Result<Scratch> {
    let dir = Scratch::new()?;
    run::skeleton(dir.path(), format)?;
    Ok(dir)
}

fn open_own(path: &Path) -> Result<File> {
    File::open(path).map_err(|e| SourceError::at("can't open a temporary file", path, e))
}

#[cfg(test)]
mod tests;
