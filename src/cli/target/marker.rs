//! The mark that a restore leaves until it is finished: which snapshot it is of, so that the same command goes on with it.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rustix::{fs::FlockOperation, io::Errno};
use serde::{Deserialize, Serialize};

use super::{OpsError, Result, failed};
use crate::{
    model::{Name, SnapshotId},
    ops::restore::Plan,
    vault::{VaultError, VaultErrorKind},
};

/// The longest mark in bytes.
const LIMIT: u64 = 4096;

/// What it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Text {
    /// Of which snapshot.
    snapshot: SnapshotId,
    /// The one stream or ref that was asked for, if not all was.
    #[serde(default)]
    only: Option<String>,
    /// What it is, for who finds it.
    #[serde(default)]
    about: String,
}

/// The mark, locked: two restores of one source into one directory would write into each other's files.
pub(super) struct Marker {
    file: File,
    path: PathBuf,
    before: Option<Text>,
    made: bool,
    /// Whether it is a wider restore's, and stays when this one is done.
    of_others: bool,
}

impl Marker {
    /// Takes the mark of a restore of `source` into `dir`, made if there is none. `None` where none can be made.
    ///
    /// # Errors
    /// If another restore has it.
    pub(super) fn take(dir: &Path, source: &Name) -> Result<Option<Self>> {
        let path = dir.join(format!(".strongroom-restore-{source}.json"));
        let made = fs::symlink_metadata(&path).is_err();
        let flags = i32::try_from((rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits()).unwrap_or(0);
        let mut options = File::options();
        let opened =
            options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(flags).open(&path);
        let Ok(mut file) = opened else { return Ok(None) };
        if !file.metadata().is_ok_and(|meta| meta.is_file()) {
            return Ok(None);
        }
        // Where there are no locks, the mark is still of use.
        if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
            let what = format!("another restore of {source} into {} is running", dir.display());
            return Err(VaultError::new(VaultErrorKind::TryAgain, what).into());
        }
        let mut text = Vec::new();
        let read = (&mut file).take(LIMIT).read_to_end(&mut text);
        read.map_err(|e| failed("can't read", &path, e))?;
        let before = serde_json::from_slice(&text).ok();
        Ok(Some(Self { file, path, before, made, of_others: false }))
    }

    /// The snapshot that an earlier restore was of, if it was not finished.
    pub(super) fn snapshot(&self) -> Option<SnapshotId> {
        self.before.as_ref().map(|text| text.snapshot)
    }

    /// Whether an earlier restore of the same snapshot was not finished.
    pub(super) fn is_of(&self, plan: &Plan) -> bool {
        plan.snapshot.is_some() && self.snapshot() == plan.snapshot
    }

    /// Says what is being restored from now on.
    pub(super) fn write(&mut self, plan: &Plan) -> Result<()> {
        let Some(snapshot) = plan.snapshot else { return Ok(()) };
        if self.is_of(plan) {
            self.of_others = self.before.as_ref().is_some_and(|before| before.only != plan.only);
            return Ok(());
        }
        let about =
            "A restore that is not finished. The same command goes on with it, and removes this file in the end.";
        let text = Text { snapshot, only: plan.only.clone(), about: about.to_owned() };
        let bytes = serde_json::to_vec(&text).map_err(|_| OpsError::Defect("the mark of the restore"))?;
        let mut write = || {
            self.file.seek(SeekFrom::Start(0))?;
            self.file.set_len(0)?;
            self.file.write_all(&bytes)?;
            self.file.sync_all()
        };
        write().map_err(|e| failed("can't write", &self.path, e))
    }

    /// The restore is done, or nothing of it was begun.
    pub(super) fn done(&self) -> io::Result<()> {
        if self.of_others { Ok(()) } else { fs::remove_file(&self.path) }
    }

    /// Takes back what was made for a restore that was refused.
    pub(super) fn refused(&self) {
        if self.made {
            let _ = fs::remove_file(&self.path);
        }
    }
}
