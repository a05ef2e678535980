//! `--recover-to` of a dump: the dump, the log behind it cut at the point, and a script with the stock commands that bring
//! both back. It has another name until all of it is there and proved.

use std::{
    fs::{self, DirBuilder, File},
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, RenameFlags},
    io::Errno,
};

use super::{Directory, OpsError, Result, failed, marker::Marker};
use crate::{
    cli::shell,
    model::{Finding, Name},
    ops::{
        recover::{Guide, LOG, Replay as Layout},
        restore::{Begun, Entry, Plan, Target},
    },
    source::mariadb::GLOBALS,
};

/// The commands.
const SCRIPT: &str = "recover.sh";
const README: &str = "README";

/// Where a dump and its log come to be: DIR/<source>.
pub struct Replay {
    dir: PathBuf,
    place: Option<Place>,
    inner: Option<Directory>,
    /// The file of the log that is being written.
    open: Option<(String, File)>,
    guide: Option<Guide>,
    /// The dumps, and whether users and grants are among them.
    dumps: Vec<String>,
}

/// The directory, while it is filled and in the end.
struct Place {
    source: Name,
    now: PathBuf,
    then: PathBuf,
    marker: Option<Marker>,
    done: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(marker) = &self.marker {
            marker.refused();
        }
        if !self.done {
            // What is not whole must not be taken for it.
            let _ = fs::remove_dir_all(&self.now);
        }
    }
}

impl Replay {
    /// Lays out in `dir`.
    #[must_use]
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, place: None, inner: None, open: None, guide: None, dumps: Vec::new() }
    }

    fn place(&self) -> Result<&Place> {
        self.place.as_ref().ok_or(OpsError::Defect("the place of the recovery"))
    }

    fn inner(&mut self) -> Result<&mut Directory> {
        self.inner.as_mut().ok_or(OpsError::Defect("the target of the recovery"))
    }

    fn log_dir(&self) -> Result<PathBuf> {
        Ok(self.place()?.now.join(LOG))
    }

    /// The names of the files of the log, in their order.
    fn files(&self) -> Result<Vec<String>> {
        let dir = self.log_dir()?;
        let mut names = Vec::new();
        if dir.is_dir() {
            for entry in fs::read_dir(&dir).map_err(|e| failed("can't look into", &dir, e))? {
                let entry = entry.map_err(|e| failed("can't look into", &dir, e))?;
                names.extend(entry.file_name().into_string());
            }
        }
        // By their numbers, which may have grown longer.
        names.sort_unstable_by_key(|name| (name.len(), name.clone()));
        Ok(names)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let place = self.place()?;
        let path = place.now.join(place.source.as_str()).join(name);
        let made = File::options().write(true).create_new(true).mode(0o600).open(&path);
        let written = made.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
        written.map_err(|e| failed("can't write", &path, e))
    }
}

impl Layout for Replay {
    fn open(&mut self, source: &Name) -> Result<()> {
        fs::create_dir_all(&self.dir).map_err(|e| failed("can't make the directory", &self.dir, e))?;
        let marker = Marker::take(&self.dir, source)?;
        let (now, then) = (self.dir.join(format!(".strongroom-{source}.partial")), self.dir.join(source.as_str()));
        let place = Place { source: source.clone(), now, then, marker, done: false };
        if fs::symlink_metadata(&place.then).is_ok() {
            return Err(OpsError::TargetExists { path: place.then.clone() });
        }
        if fs::symlink_metadata(&place.now).is_ok() {
            fs::remove_dir_all(&place.now).map_err(|e| failed("can't remove what was begun", &place.now, e))?;
        }
        directory(&place.now)?;
        self.place = Some(place);
        Ok(())
    }

    fn log(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        if self.open.as_ref().is_none_or(|(open, _)| open != name) {
            let dir = self.log_dir()?;
            if !dir.is_dir() {
                directory(&dir)?;
            }
            let path = dir.join(name);
            let opened = File::options().append(true).create(true).mode(0o600).open(&path);
            self.open = Some((name.to_owned(), opened.map_err(|e| failed("can't make", &path, e))?));
        }
        let Some((_, file)) = &mut self.open else { return Err(OpsError::Defect("the log of the recovery")) };
        file.write_all(bytes).map_err(|e| failed("can't write the log", Path::new(name), e))
    }

    fn cut(&mut self, end: Option<(&str, u64)>) -> Result<()> {
        self.open = None;
        let dir = self.log_dir()?;
        let files = self.files()?;
        let last = end.and_then(|(name, _)| files.iter().position(|file| file == name));
        for (n, name) in files.iter().enumerate() {
            let path = dir.join(name);
            let cut = match (last, end) {
                (Some(last), _) if n < last => Ok(()),
                (Some(last), Some((_, length))) if n == last => {
                    File::options().write(true).open(&path).and_then(|file| file.set_len(length))
                }
                _ => fs::remove_file(&path),
            };
            cut.map_err(|e| failed("can't cut the log", &path, e))?;
        }
        Ok(())
    }

    fn guide(&mut self, guide: Guide) {
        self.guide = Some(guide);
    }
}

impl Target for Replay {
    fn replay(&mut self) -> Option<&mut dyn Layout> {
        Some(self)
    }

    fn prepare(&mut self, plan: &Plan) -> Result<()> {
        let mut inner = Directory::scratch(self.place()?.now.clone());
        inner.prepare(plan)?;
        self.dumps = plan.entries.iter().map(|entry| entry.path().to_owned()).collect();
        self.inner = Some(inner);
        Ok(())
    }

    fn begin(&mut self, entry: &Entry) -> Result<Begun> {
        self.inner()?.begin(entry)
    }

    fn differs(&self, entry: &Entry) -> OpsError {
        OpsError::TargetDiffers { path: self.dir.join(entry.path()) }
    }

    fn end(&mut self, entry: &Entry) -> Result<()> {
        self.inner()?.end(entry)
    }

    fn finish(&mut self) -> Result<()> {
        self.inner()?.finish()?;
        self.open = None;
        let guide = self.guide.take().ok_or(OpsError::Defect("how the recovery ends"))?;
        let files = self.files()?;
        let script = script(&guide, &self.dumps, &files);
        self.write(SCRIPT, &script)?;
        let place = self.place()?;
        self.write(README, &readme(&guide, &place.source, &files))?;
        let (log, whole) = (self.log_dir()?, place.now.join(place.source.as_str()));
        if !files.is_empty() {
            let into = whole.join(LOG);
            fs::rename(&log, &into).map_err(|e| failed("can't give its name to", &into, e))?;
            for name in &files {
                let path = into.join(name);
                File::open(&path).and_then(|file| file.sync_all()).map_err(|e| failed("can't finish", &path, e))?;
            }
        }
        named(&whole, &place.then)?;
        let _ = fs::remove_dir_all(&place.now);
        let synced = File::open(&self.dir).and_then(|dir| dir.sync_all());
        synced.map_err(|e| failed("can't finish", &self.dir, e))?;
        if let Some(place) = &mut self.place {
            place.done = true;
        }
        Ok(())
    }

    fn give_up(&mut self, entry: &Entry) {
        if let Some(inner) = &mut self.inner {
            inner.give_up(entry);
        }
    }

    fn failure(&mut self) -> Option<OpsError> {
        self.inner.as_mut().and_then(Target::failure)
    }

    fn told(&self) -> Vec<Finding> {
        self.inner.as_ref().map(Target::told).unwrap_or_default()
    }
}

fn directory(path: &Path) -> Result<()> {
    DirBuilder::new().mode(0o700).create(path).map_err(|e| failed("can't make the directory", path, e))
}

/// Gives a directory its name, replacing nothing.
fn named(now: &Path, then: &Path) -> Result<()> {
    let named = match rustix::fs::renameat_with(CWD, now, CWD, then, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) if fs::symlink_metadata(then).is_err() => {
            fs::rename(now, then)
        }
        other => other.map_err(Into::into),
    };
    named.map_err(|e| failed("can't give its name to", then, e))
}

/// The stock commands, in the order that brings all of it back.
fn script(guide: &Guide, dumps: &[String], files: &[String]) -> String {
    let mut lines = vec![
        "#!/bin/bash".to_owned(),
        format!("# From the dump at {} to {}, by MariaDB's own programs alone. Made by strongroom.", guide.from, guide.until),
        "# Give it what the client needs to reach an empty server as its root: bash recover.sh --socket=/run/mysqld/mysqld.sock"
            .to_owned(),
        "set -euo pipefail".to_owned(),
        "cd \"$(dirname \"$0\")\"".to_owned(),
    ];
    let packet = guide.packet.map_or_else(String::new, |bytes| format!(" --max-allowed-packet={bytes}"));
    // Grants are on what a dump makes.
    let (users, data): (Vec<&String>, Vec<&String>) = dumps.iter().partition(|name| *name == GLOBALS);
    for name in data.into_iter().chain(users) {
        lines.push(format!("mariadb \"$@\" --binary-mode{packet} < {}", shell::quoted(name)));
    }
    if !files.is_empty() {
        let only = guide
            .database
            .as_ref()
            .map_or_else(String::new, |name| format!(" {}", shell::quoted(&format!("--database={name}"))));
        let files: Vec<String> = files.iter().map(|name| shell::quoted(&format!("{LOG}/{name}"))).collect();
        lines.push(format!(
            "mariadb-binlog --no-defaults --loose-skip-gtid-strict-mode{only} {} | mariadb \"$@\" --binary-mode --max-allowed-packet=1G",
            files.join(" ")
        ));
    }
    lines.push("echo recovered".to_owned());
    lines.join("\n") + "\n"
}

/// What lies here.
fn readme(guide: &Guide, source: &Name, files: &[String]) -> String {
    let mut text = format!(
        "{source}, to come back to {}\n\n\
         Here lie a dump, taken at {} of the server's binary log, and the log from there to {}.\n\
         {SCRIPT} has the commands that bring them back into an empty server, one after the other; nothing of strongroom's is\n\
         needed for it. It stops at the first that fails.\n\n",
        guide.point, guide.from, guide.until
    );
    let log = if files.is_empty() {
        "No transaction of the log comes back, so there is no log here.\n".to_owned()
    } else {
        format!(
            "The files in {LOG}/ are the server's own, from the dump on and cut behind the last restored transaction:\n\
             mariadb-binlog reads them as they are, without any positions. To look at the end of it:\n\n  \
             mariadb-binlog --verbose {} | tail -50\n",
            shell::quoted(&format!("{LOG}/{}", files.last().map_or("", String::as_str)))
        )
    };
    text.push_str(&log);
    if guide.database.is_some() && !files.is_empty() {
        text.push_str(
            "\nThe dump is of one database, and of the log only what is about it is replayed. A change that was logged as a\n\
             statement counts as one of the database that was in use then, and not of the one that it names.\n",
        );
    }
    text
}
