//! Where a restore writes: a directory, a git repository in it, or standard output.

mod cluster;
mod exposed;
mod folder;
mod manner;
mod marker;
mod noted;
mod partial;
mod plain;
mod replay;
#[cfg(test)]
mod tests;
mod there;

use std::{
    fs::{self, File},
    io,
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use crate::{
    model::{Finding, Severity, SourceKind},
    ops::{
        OpsError, Result,
        restore::{Begun, Entry, Lost, Plan, RefReport, Target},
    },
    source::{
        git::{self, GitRestorer},
        pipe,
    },
};
pub use cluster::Cluster;
pub use exposed::exposed;
use folder::{Folder, Manners};
use marker::Marker;
use noted::{Failure, Noted};
pub use replay::Replay;

fn failed(what: &'static str, path: &Path, source: io::Error) -> OpsError {
    OpsError::Io { what, path: path.to_owned(), source }
}

/// `--to DIR`: files go to DIR/<source>/, a git repository becomes DIR/<source>.git.
pub struct Directory {
    dir: PathBuf,
    inner: Option<Inner>,
    failure: Failure,
    /// The one ref of a repository that is wanted, and then what it was.
    wanted: Option<String>,
    only: Option<RefReport>,
    /// Whether what is there and right is kept, though no restore of ours is known to have made it.
    resume: bool,
    /// Whether a restore that is interrupted is to be gone on with.
    resumable: bool,
    marker: Option<Marker>,
    /// Whether something could not be had whole.
    gave_up: bool,
}

enum Inner {
    Files(Box<Folder>),
    // Finishing takes the restorer, so it may be gone.
    Git(Option<Box<GitRestorer>>),
    /// A repository that is there, whole.
    Whole,
}

impl Directory {
    /// Restores into `dir`, which is made if it is not there.
    #[must_use]
    pub fn new(dir: PathBuf) -> Self {
        Self::with(dir, false, true)
    }

    /// As [`Directory::new`], and keeps files that are there if they are as the snapshot has them.
    #[must_use]
    pub fn resuming(dir: PathBuf) -> Self {
        Self::with(dir, true, true)
    }

    /// As [`Directory::new`], for what is thrown away afterwards.
    #[must_use]
    pub fn scratch(dir: PathBuf) -> Self {
        Self::with(dir, false, false)
    }

    fn with(dir: PathBuf, resume: bool, resumable: bool) -> Self {
        let failure = Failure::default();
        let (inner, wanted, only, marker) = (None, None, None, None);
        Self { dir, inner, failure, wanted, only, resume, resumable, marker, gave_up: false }
    }

    /// What is said where a restore ended before its end and can be gone on with.
    #[must_use]
    pub fn unfinished(dir: &Path) -> Finding {
        let message = "what was restored so far stays, and is no whole: the same command goes on from there";
        Finding::new(Severity::Info, "restore.unfinished", message).on(dir.display())
    }

    /// Makes ready what the plan is written to.
    fn ready(&mut self, plan: &Plan) -> Result<Inner> {
        let same = self.marker.as_ref().is_some_and(|marker| marker.is_of(plan));
        let resume = self.resume || same;
        if plan.kind == SourceKind::Git {
            must_have_room(&self.dir, plan.bytes)?;
            return self.repository(plan, same);
        }
        let before = self.marker.as_ref().and_then(Marker::snapshot).filter(|_| !same);
        let prepared = Folder::prepare(&self.dir, plan, Manners { resume, resumable: self.resumable });
        let folder = prepared.map_err(|error| match (error, before) {
            (OpsError::TargetExists { .. }, Some(id)) => {
                OpsError::Unfinished { path: self.dir.clone(), snapshot: id.short() }
            }
            (error, _) => error,
        })?;
        let room = must_have_room(&self.dir, plan.room().saturating_sub(folder.there.bytes));
        if room.is_err() {
            // Only if it is still empty.
            let _ = fs::remove_dir(self.dir.join(plan.source.as_str()));
        }
        room.map(|()| Inner::Files(Box::new(folder)))
    }

    /// A repository is restored anew, unless it is there whole.
    fn repository(&self, plan: &Plan, same: bool) -> Result<Inner> {
        let target = self.dir.join(format!("{}.git", plan.source));
        let partial = self.dir.join(format!("{}.git.partial", plan.source));
        let begun = fs::symlink_metadata(&partial).is_ok_and(|meta| meta.is_dir());
        if fs::symlink_metadata(&target).is_ok_and(|meta| meta.is_dir())
            && (same || self.resume)
            && self.wanted.is_none()
        {
            return match git::is_restored(&target, &plan.details) {
                Ok(true) => Ok(Inner::Whole),
                _ => Err(OpsError::TargetDiffers { path: target }),
            };
        }
        if fs::symlink_metadata(&target).is_ok() {
            return Err(OpsError::TargetExists { path: target });
        }
        if begun && same {
            fs::remove_dir_all(&partial).map_err(|e| failed("can't remove what was begun", &partial, e))?;
        }
        let restorer = GitRestorer::begin(&target, &plan.details)?.with_only(self.wanted.clone());
        Ok(Inner::Git(Some(Box::new(restorer))))
    }

    /// The mark goes when the restore is whole.
    fn done(&self) -> Result<()> {
        match &self.marker {
            Some(marker) if !self.gave_up => marker.done().map_err(|e| failed("can't finish", &self.dir, e)),
            _ => Ok(()),
        }
    }

    fn inner(&mut self) -> Result<&mut Inner> {
        self.inner.as_mut().ok_or(OpsError::Defect("the target of the restore"))
    }
}

/// Fails unless `bytes` more fit on the disk of `dir`.
fn must_have_room(dir: &Path, bytes: u64) -> Result<()> {
    let stat = rustix::fs::statvfs(dir).map_err(|e| failed("can't find out the free space", dir, e.into()))?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    if bytes > free {
        return Err(OpsError::NoSpace { path: dir.to_owned(), needed: bytes, free });
    }
    Ok(())
}

impl Target for Directory {
    fn prepare(&mut self, plan: &Plan) -> Result<()> {
        let made = !self.dir.exists();
        fs::create_dir_all(&self.dir).map_err(|e| failed("can't make the directory", &self.dir, e))?;
        self.marker = if self.resumable { Marker::take(&self.dir, &plan.source)? } else { None };
        let mut ready = self.ready(plan);
        if let (Ok(_), Some(marker)) = (&ready, &mut self.marker)
            && let Err(error) = marker.write(plan)
        {
            ready = Err(error);
        }
        if let (Err(_), Some(marker)) = (&ready, &self.marker) {
            marker.refused();
        }
        if ready.is_err() && made {
            // Only if it is still empty.
            let _ = fs::remove_dir(&self.dir);
        }
        self.inner = Some(ready?);
        Ok(())
    }

    fn is_whole(&self) -> bool {
        matches!(self.inner, Some(Inner::Whole))
    }

    fn has(&self, entry: &Entry) -> bool {
        matches!(&self.inner, Some(Inner::Files(folder)) if folder.there.has_some(entry.path()))
    }

    fn differs(&self, entry: &Entry) -> OpsError {
        match &self.inner {
            Some(Inner::Files(folder)) => folder.differs(entry),
            _ => OpsError::TargetDiffers { path: self.dir.join(entry.path()) },
        }
    }

    fn link(&mut self, entry: &Entry, first: &str) -> Result<bool> {
        match self.inner()? {
            Inner::Files(folder) => folder.link(entry, first),
            Inner::Git(_) | Inner::Whole => Ok(false),
        }
    }

    fn begin(&mut self, entry: &Entry) -> Result<Begun> {
        let (file, path) = match self.inner()? {
            Inner::Files(folder) if folder.there.has(entry.path()) => {
                return Ok(Begun::There(Box::new(folder.reopen(entry)?)));
            }
            Inner::Files(folder) => match folder.begin(entry)? {
                Some(begun) => begun,
                None => return Ok(Begun::Skipped),
            },
            Inner::Whole => return Ok(Begun::Skipped),
            Inner::Git(git) => {
                let git = git.as_mut().ok_or(OpsError::Defect("the restorer of the repository"))?;
                git.stream(&entry.stream.name, entry.stream.path.as_deref())?
            }
        };
        Ok(Begun::File(Box::new(Noted::durable(file, path, &self.failure))))
    }

    fn end(&mut self, entry: &Entry) -> Result<()> {
        match self.inner()? {
            Inner::Files(folder) => folder.end(entry),
            Inner::Git(_) | Inner::Whole => Ok(()),
        }
    }

    fn finish(&mut self) -> Result<()> {
        match self.inner()? {
            Inner::Files(folder) => folder.finish()?,
            Inner::Git(git) => git.take().ok_or(OpsError::Defect("the restorer of the repository"))?.finish()?,
            Inner::Whole => {}
        }
        self.done()
    }

    fn want(&mut self, reference: &str) {
        self.wanted = Some(reference.to_owned());
    }

    fn reference(&mut self) -> Option<RefReport> {
        self.only.take()
    }

    fn give_up(&mut self, _entry: &Entry) {
        // Of a pack, what came is salvaged.
        if let Some(Inner::Files(folder)) = &mut self.inner {
            folder.give_up();
            self.gave_up = true;
        }
    }

    fn nothing(&mut self) {
        if let Some(marker) = &self.marker {
            marker.refused();
        }
    }

    fn salvage(&mut self) -> Result<Vec<Lost>> {
        let Inner::Git(git) = self.inner()? else { return self.finish().map(|()| Vec::new()) };
        let git = git.take().ok_or(OpsError::Defect("the restorer of the repository"))?;
        let (lost, only) = git.finish_salvaging()?;
        self.only = only.map(RefReport::from);
        self.done()?;
        Ok(lost.into_iter().map(|(object, message)| Lost { object, message }).collect())
    }

    fn failure(&mut self) -> Option<OpsError> {
        self.failure.take()
    }

    fn told(&self) -> Vec<Finding> {
        match &self.inner {
            Some(Inner::Files(folder)) => folder.plain.told(&self.dir).into_iter().collect(),
            _ => Vec::new(),
        }
    }
}

/// `--to -`: the bytes of one stream.
#[derive(Default)]
pub struct Pipe {
    failure: Failure,
}

impl Target for Pipe {
    fn prepare(&mut self, plan: &Plan) -> Result<()> {
        match plan.entries.as_slice() {
            [entry] if entry.is_file() => Ok(()),
            [_] => Err(OpsError::Request {
                what: "this stream is a link or an empty directory, and has no bytes".to_owned(),
                next: "give --to a directory".to_owned(),
            }),
            entries => {
                let names: Vec<&str> = entries.iter().take(20).map(|entry| entry.stream.name.as_str()).collect();
                let what = match names.as_slice() {
                    [] => "the snapshot has no stream".to_owned(),
                    names => format!("the snapshot has {} streams: {}", entries.len(), names.join(", ")),
                };
                Err(OpsError::Request {
                    what,
                    next: "choose one with --stream NAME, or give --to a directory".to_owned(),
                })
            }
        }
    }

    fn begin(&mut self, _entry: &Entry) -> Result<Begun> {
        let path = Path::new("standard output");
        // Not through the buffer of the standard library, which looks for line ends in every block.
        let fd = io::stdout().as_fd().try_clone_to_owned().map_err(|e| failed("can't write to", path, e))?;
        // With the usual 64 KiB, `restore --to - | psql` wakes one or the other 16,000 times for each GiB.
        let _ = pipe::enlarge(&fd);
        Ok(Begun::File(Box::new(Noted::new(File::from(fd), path.to_owned(), &self.failure))))
    }

    fn differs(&self, entry: &Entry) -> OpsError {
        OpsError::TargetDiffers { path: entry.path().into() }
    }

    fn end(&mut self, _entry: &Entry) -> Result<()> {
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }

    fn give_up(&mut self, _entry: &Entry) {}

    fn failure(&mut self) -> Option<OpsError> {
        self.failure.take()
    }
}
