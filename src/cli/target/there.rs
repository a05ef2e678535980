//! What of a plan is in its target already.

use std::{collections::HashMap, os::fd::OwnedFd, path::Path};

use rustix::{
    fs::{AtFlags, FileType, Stat},
    io::Errno,
};

use super::{
    OpsError, Result, failed,
    manner::{is_claim, open_dir},
    partial,
};
use crate::ops::restore::{Entry, Plan};

/// What is there of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// Something of its kind and size, under its name.
    Whole,
    /// Something under the name that it has while it is written.
    Begun,
}

/// What is there of a plan.
#[derive(Debug, Default)]
pub(super) struct There {
    found: HashMap<String, Found>,
    /// Bytes of it, before any of them was looked at.
    pub(super) bytes: u64,
    resumes: bool,
}

impl There {
    /// Looks without making anything. What is there is refused, unless it is to be kept and may be what the plan says.
    pub(super) fn look(root: &OwnedFd, path: &Path, plan: &Plan, tag: &str, resume: bool) -> Result<Self> {
        let mut there = Self { resumes: resume, ..Self::default() };
        let mut last: Option<(&str, Option<OwnedFd>)> = None;
        for entry in &plan.entries {
            let (above, name) = entry.path().rsplit_once('/').unwrap_or(("", entry.path()));
            let refused = |e: Errno| match e {
                Errno::LOOP | Errno::NOTDIR => OpsError::TargetExists { path: path.join(entry.path()) },
                e => failed("can't open", &path.join(entry.path()), e.into()),
            };
            if last.as_ref().is_none_or(|(known, _)| *known != above) {
                last = Some((above, walk(root, above).map_err(refused)?));
            }
            let Some((_, Some(dir))) = &last else { continue };
            there.entry(dir, entry, (path, name), (tag, resume))?;
        }
        Ok(there)
    }

    fn entry(
        &mut self,
        dir: &OwnedFd,
        entry: &Entry,
        (path, name): (&Path, &str),
        (tag, resume): (&str, bool),
    ) -> Result<()> {
        let at = path.join(entry.path());
        let stat = |name: &str| match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            // A name that this file system does not know is told when it is to be given.
            Err(Errno::NOENT | Errno::INVAL | Errno::ILSEQ | Errno::NAMETOOLONG) => Ok(None),
            Err(e) => Err(failed("can't look at", &at, e.into())),
        };
        let begun = if resume && entry.is_file() { stat(&partial::name(tag, entry.path()))? } else { None };
        let (found, bytes) = match (stat(name)?, begun) {
            (Some(_), _) if !resume => return Err(OpsError::TargetExists { path: at }),
            // An empty file beside one that was begun is what that one's name was claimed with.
            (Some(_), Some(begun)) if entry.stream.bytes > 0 && is_claim(dir, name) => {
                let removed = rustix::fs::unlinkat(dir, name, AtFlags::empty());
                removed.map_err(|e| failed("can't remove", &at, e.into()))?;
                (Found::Begun, size(&begun).min(entry.stream.bytes))
            }
            (Some(stat), _) if may_be(dir, name, &stat, entry) => (Found::Whole, entry.stream.bytes),
            (Some(_), _) => return Err(OpsError::TargetDiffers { path: at }),
            (None, Some(begun)) => (Found::Begun, size(&begun).min(entry.stream.bytes)),
            (None, None) => return Ok(()),
        };
        self.found.insert(entry.path().to_owned(), found);
        self.bytes = self.bytes.saturating_add(bytes);
        Ok(())
    }

    /// Whether something under this name may be what it should be.
    pub(super) fn has(&self, path: &str) -> bool {
        self.found.get(path) == Some(&Found::Whole)
    }

    /// Whether it, or a beginning of it, may be there.
    pub(super) fn has_some(&self, path: &str) -> bool {
        self.found.contains_key(path)
    }

    /// Whether an earlier restore is gone on with.
    pub(super) const fn resumes(&self) -> bool {
        self.resumes
    }
}

fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

/// Whether what is there is of the entry's kind and size.
fn may_be(dir: &OwnedFd, name: &str, stat: &Stat, entry: &Entry) -> bool {
    let kind = FileType::from_raw_mode(stat.st_mode);
    match &entry.meta().link {
        Some(link) => {
            let target = rustix::fs::readlinkat(dir, name, Vec::new());
            kind == FileType::Symlink && target.is_ok_and(|target| target.as_bytes() == link.as_bytes())
        }
        None if entry.meta().dir => kind == FileType::Directory,
        None => kind == FileType::RegularFile && size(stat) == entry.stream.bytes,
    }
}

/// The directory at `path`, if it is there.
fn walk(root: &OwnedFd, path: &str) -> rustix::io::Result<Option<OwnedFd>> {
    let mut dir = rustix::io::fcntl_dupfd_cloexec(root, 0)?;
    for part in path.split('/').filter(|part| !part.is_empty()) {
        dir = match open_dir(&dir, part) {
            Ok(below) => below,
            Err(Errno::NOENT) => return Ok(None),
            Err(e) => return Err(e),
        };
    }
    Ok(Some(dir))
}
