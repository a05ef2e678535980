//! Where a restore writes: a directory, a git repository in it, or standard output.

mod exposed;
mod folder;
mod noted;
#[cfg(test)]
mod tests;

use std::{
    fs::{self, File},
    io::{self, Write},
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use crate::{
    model::SourceKind,
    ops::{
        OpsError, Result,
        restore::{Entry, Lost, Plan, RefReport, Target},
    },
    source::{git::GitRestorer, pipe},
};
pub use exposed::exposed;
use folder::Folder;
use noted::{Failure, Noted};

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
}

enum Inner {
    Files(Folder),
    // Finishing takes the restorer, so it may be gone.
    Git(Option<Box<GitRestorer>>),
}

impl Directory {
    /// Restores into `dir`, which is made if it is not there.
    #[must_use]
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, inner: None, failure: Failure::default(), wanted: None, only: None }
    }

    fn inner(&mut self) -> Result<&mut Inner> {
        self.inner.as_mut().ok_or(OpsError::Defect("the target of the restore"))
    }

    /// Fails unless `bytes` more fit on the disk.
    fn must_have_room(&self, bytes: u64) -> Result<()> {
        let stat =
            rustix::fs::statvfs(&self.dir).map_err(|e| failed("can't find out the free space", &self.dir, e.into()))?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        if bytes > free {
            return Err(OpsError::NoSpace { path: self.dir.clone(), needed: bytes, free });
        }
        Ok(())
    }
}

impl Target for Directory {
    fn prepare(&mut self, plan: &Plan) -> Result<()> {
        let made = !self.dir.exists();
        fs::create_dir_all(&self.dir).map_err(|e| failed("can't make the directory", &self.dir, e))?;
        let ready = self.must_have_room(plan.bytes).and_then(|()| {
            if plan.kind != SourceKind::Git {
                return Ok(Inner::Files(Folder::prepare(&self.dir, plan)?));
            }
            let target = self.dir.join(format!("{}.git", plan.source));
            if fs::symlink_metadata(&target).is_ok() {
                return Err(OpsError::TargetExists { path: target });
            }
            let restorer = GitRestorer::begin(&target, &plan.details)?.with_only(self.wanted.clone());
            Ok(Inner::Git(Some(Box::new(restorer))))
        });
        if ready.is_err() && made {
            // Only if it is still empty.
            let _ = fs::remove_dir(&self.dir);
        }
        self.inner = Some(ready?);
        Ok(())
    }

    fn begin(&mut self, entry: &Entry) -> Result<Box<dyn Write + Send>> {
        let (file, path) = match self.inner()? {
            Inner::Files(folder) => folder.begin(entry)?,
            Inner::Git(git) => {
                let git = git.as_mut().ok_or(OpsError::Defect("the restorer of the repository"))?;
                git.stream(&entry.stream.name, entry.stream.path.as_deref())?
            }
        };
        Ok(Box::new(Noted::durable(file, path, &self.failure)))
    }

    fn end(&mut self, entry: &Entry) -> Result<()> {
        match self.inner()? {
            Inner::Files(folder) => folder.end(entry),
            Inner::Git(_) => Ok(()),
        }
    }

    fn finish(&mut self) -> Result<()> {
        match self.inner()? {
            Inner::Files(folder) => folder.finish(),
            Inner::Git(git) => {
                let git = git.take().ok_or(OpsError::Defect("the restorer of the repository"))?;
                Ok(git.finish()?)
            }
        }
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
        }
    }

    fn salvage(&mut self) -> Result<Vec<Lost>> {
        let Inner::Git(git) = self.inner()? else { return self.finish().map(|()| Vec::new()) };
        let git = git.take().ok_or(OpsError::Defect("the restorer of the repository"))?;
        let (lost, only) = git.finish_salvaging()?;
        self.only = only.map(RefReport::from);
        Ok(lost.into_iter().map(|(object, message)| Lost { object, message }).collect())
    }

    fn failure(&mut self) -> Option<OpsError> {
        self.failure.take()
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

    fn begin(&mut self, _entry: &Entry) -> Result<Box<dyn Write + Send>> {
        let path = Path::new("standard output");
        // Not through the buffer of the standard library, which looks for line ends in every block.
        let fd = io::stdout().as_fd().try_clone_to_owned().map_err(|e| failed("can't write to", path, e))?;
        // With the usual 64 KiB, `restore --to - | psql` wakes one or the other 16,000 times for each GiB.
        let _ = pipe::enlarge(&fd);
        Ok(Box::new(Noted::new(File::from(fd), path.to_owned(), &self.failure)))
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
