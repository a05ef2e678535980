//! The directories of a cluster: what they are called until they are whole, and what may be there before.

use std::{
    fs::{self, DirBuilder, File},
    io,
    io::Read,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, lchown},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, RenameFlags},
    io::Errno,
    process::{Pid, test_kill_process},
};

use super::super::{OpsError, Result, failed, marker::Marker};
use crate::model::Name;

/// The directories, while they are filled and in the end.
pub(super) struct Places {
    pub(super) source: Name,
    pub(super) data: Place,
    pub(super) spaces: Vec<(u32, Place)>,
    /// Where the log is gathered.
    pub(super) wal: PathBuf,
    /// The data directory that is made into the new one.
    pub(super) taken: Option<Taken>,
    /// Keeps two restores apart.
    marker: Option<Marker>,
    /// Whether anything was unpacked.
    pub(super) begun: bool,
    /// Whether what is there so far may be gone on with.
    pub(super) keep: bool,
    pub(super) done: bool,
}

/// One of them.
pub(super) struct Place {
    pub(super) now: PathBuf,
    pub(super) then: PathBuf,
    /// Whether something was there before.
    pub(super) again: bool,
    /// Whether that had its name.
    taken: bool,
    made: bool,
}

impl Place {
    pub(super) fn of(then: PathBuf) -> Self {
        let name = then.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let now = then.with_file_name(format!(".strongroom-{name}.partial"));
        Self { now, then, again: false, taken: false, made: false }
    }

    /// Makes it ready: what an interrupted run left is gone on with, and so is what is there, if it may be taken.
    pub(super) fn make(&mut self, taken: bool) -> Result<()> {
        let me = rustix::process::geteuid().as_raw();
        if fs::symlink_metadata(&self.then).is_ok_and(|meta| !taken || !meta.is_dir()) {
            return Err(OpsError::TargetExists { path: self.then.clone() });
        }
        let ours = |meta: &fs::Metadata| meta.is_dir() && meta.uid() == me && !self.then.exists();
        match fs::symlink_metadata(&self.now) {
            Ok(meta) if ours(&meta) => self.again = true,
            Ok(meta) => {
                let removed = if meta.is_dir() { fs::remove_dir_all(&self.now) } else { fs::remove_file(&self.now) };
                removed.map_err(|e| failed("can't remove what was begun", &self.now, e))?;
            }
            Err(_) => {}
        }
        if self.then.exists() {
            fs::rename(&self.then, &self.now).map_err(|e| failed("can't rename", &self.then, e))?;
            (self.again, self.taken) = (true, true);
            // Whoever ran a server there has no business in it meanwhile.
            let owned = fs::symlink_metadata(&self.now).is_ok_and(|meta| meta.uid() == me);
            let taken = if owned { Ok(()) } else { lchown(&self.now, Some(me), None) };
            taken.map_err(|e| failed("can't take", &self.now, e))?;
        }
        self.made = true;
        if self.again {
            let private = fs::set_permissions(&self.now, fs::Permissions::from_mode(0o700));
            return private.map_err(|e| failed("can't change", &self.now, e));
        }
        directory(&self.now).map_err(|e| failed("can't make the directory", &self.now, e))
    }

    /// Gives it its name, replacing nothing.
    pub(super) fn name(&self) -> Result<()> {
        let named = match rustix::fs::renameat_with(CWD, &self.now, CWD, &self.then, RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) if fs::symlink_metadata(&self.then).is_err() => {
                fs::rename(&self.now, &self.then)
            }
            other => other.map_err(Into::into),
        };
        named.map_err(|e| failed("can't give its name to", &self.then, e))
    }

    /// Takes back what was made, where nothing was written.
    fn undo(&self) {
        if self.taken {
            let _ = self.name();
        } else if self.made && !self.again {
            let _ = fs::remove_dir(&self.now);
        }
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        if self.done {
            // One that was killed may have left it.
            let _ = self.marker.as_ref().map(Marker::done);
            return;
        }
        if let Some(marker) = &self.marker {
            marker.refused();
        }
        let _ = self.forget_log();
        let all = || self.spaces.iter().map(|(_, place)| place).chain([&self.data]);
        if !self.begun {
            all().for_each(Place::undo);
        } else if !self.keep && !all().any(|place| place.again) {
            // What is not whole must not be taken for a cluster.
            for place in all() {
                let _ = fs::remove_dir_all(&place.now);
            }
        }
        let _ = self.spaces_above().map(fs::remove_dir);
    }
}

impl Places {
    pub(super) fn new(source: Name, data: Place, marker: Option<Marker>) -> Self {
        let wal = data.then.with_file_name(format!(".strongroom-{source}.wal.partial"));
        let (spaces, taken) = (Vec::new(), None);
        Self { source, data, spaces, wal, taken, marker, begun: false, keep: false, done: false }
    }

    pub(super) fn spaces_above(&self) -> Option<PathBuf> {
        Some(self.data.then.parent()?.join(format!("{}.tablespaces", self.source)))
    }

    /// Removes what was gathered of the log.
    pub(super) fn forget_log(&self) -> Result<()> {
        match fs::remove_dir_all(&self.wal) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("can't remove", &self.wal, e)),
            _ => Ok(()),
        }
    }

    /// Whether a directory is a tablespace of the cluster that is taken: one of ours, or where its own link leads.
    pub(super) fn is_space(&self, oid: u32, path: &Path, ours: bool) -> bool {
        let link = fs::read_link(self.data.now.join("pg_tblspc").join(oid.to_string()));
        let leads = link.is_ok_and(|link| link == path);
        let mut names = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.file_name());
        (ours || leads) && names.all(|name| name.to_string_lossy().starts_with("PG_"))
    }
}

/// A data directory that is made into another one of the same server.
pub(super) struct Taken {
    system: u64,
}

impl Taken {
    /// Looks whether there is one, and whether it may be taken.
    pub(super) fn look(data: &Path, delta: bool) -> Result<Option<Self>> {
        let meta = match fs::symlink_metadata(data) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            meta => meta.map_err(|e| failed("can't look at", data, e))?,
        };
        if !delta {
            return Err(OpsError::TargetExists { path: data.to_owned() });
        }
        let refused = |why: &str, next: &str| OpsError::Request {
            what: format!("{} {why}, so nothing was changed", data.display()),
            next: next.to_owned(),
        };
        let other = "give another directory, or move what is there away";
        if !meta.is_dir() {
            return Err(refused("is not a directory", other));
        }
        let mut control = [0; 8];
        let read = plain(&data.join("global/pg_control")).and_then(|mut file| file.read_exact(&mut control));
        if read.is_err() || plain(&data.join("PG_VERSION")).is_err() {
            return Err(refused("is not a data directory of PostgreSQL", other));
        }
        let mut pid = String::new();
        let read = plain(&data.join("postmaster.pid")).and_then(|file| file.take(4096).read_to_string(&mut pid));
        let pid = read.ok().and_then(|_| pid.lines().next()?.trim().parse().ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid.filter(|pid| test_kill_process(*pid) != Err(Errno::SRCH)) {
            let why = format!("has a server that runs (process {})", pid.as_raw_nonzero());
            return Err(refused(&why, "stop it: `pg_ctl stop`; if that process is another, remove postmaster.pid"));
        }
        Ok(Some(Self { system: u64::from_le_bytes(control) }))
    }

    /// Fails unless it is of the server of this identifier.
    pub(super) fn must_be_of(&self, data: &Path, system: Option<u64>) -> Result<()> {
        if Some(self.system) == system {
            return Ok(());
        }
        let what = format!(
            "{} is of another server: its system identifier is {}, and that of the base {}; nothing was changed",
            data.display(),
            self.system,
            system.unwrap_or_default()
        );
        Err(OpsError::Request { what, next: "give another directory, or move what is there away".to_owned() })
    }
}

/// Opens a file that is one, and no link or pipe.
fn plain(path: &Path) -> io::Result<File> {
    if fs::symlink_metadata(path)?.is_file() { File::open(path) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

/// Makes a directory for its owner alone.
pub(super) fn directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}
