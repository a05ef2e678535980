//! `--recover-to`: a base becomes a data directory that a server starts on, with the log that it needs and the settings
//! that say how far. It has another name until all of it is there and proved.

mod settings;
mod unpack;

use std::{
    fs::{self, File},
    io::{Seek, SeekFrom, Write},
    os::unix::fs::{OpenOptionsExt, symlink},
    path::{Path, PathBuf},
    sync::PoisonError,
};

use rustix::{
    fs::{CWD, RenameFlags},
    io::Errno,
};

use super::{
    OpsError, Result, failed,
    manner::Manner,
    marker::Marker,
    noted::{Failure, Noted},
};
use crate::{
    model::{Finding, Name},
    ops::{
        recover::{Ending, Layout, WAL},
        restore::{Begun, Entry, Plan, Target},
    },
    source::postgres::{BASE, MANIFEST, Tablespace},
};
use unpack::{Shared, Unpacker, directory};

/// How long the name of a segment of the log is.
const SEGMENT_NAME: usize = 24;

/// Where a cluster comes to be: DIR/<source>, its tablespaces in DIR/<source>.tablespaces or where they are mapped to.
pub struct Cluster {
    dir: PathBuf,
    /// Where tablespaces go: the old place, and the new one.
    map: Vec<(PathBuf, PathBuf)>,
    failure: Failure,
    shared: Shared,
    places: Option<Places>,
    ending: Option<Ending>,
    /// The file of the log that is being written.
    open: Option<(String, File)>,
}

/// The directories, while they are filled and in the end.
struct Places {
    source: Name,
    data: Place,
    spaces: Vec<(u32, Place)>,
    /// Keeps two restores apart. There is nothing that could be gone on with.
    marker: Option<Marker>,
    done: bool,
}

struct Place {
    now: PathBuf,
    then: PathBuf,
}

impl Place {
    fn of(then: PathBuf) -> Self {
        let name = then.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { now: then.with_file_name(format!(".strongroom-{name}.partial")), then }
    }

    /// Makes it anew. What a killed restore left is removed.
    fn make(&self) -> Result<()> {
        if fs::symlink_metadata(&self.then).is_ok() {
            return Err(OpsError::TargetExists { path: self.then.clone() });
        }
        if fs::symlink_metadata(&self.now).is_ok() {
            fs::remove_dir_all(&self.now).map_err(|e| failed("can't remove what was begun", &self.now, e))?;
        }
        directory(&self.now).map_err(|e| failed("can't make the directory", &self.now, e))
    }

    /// Gives it its name, replacing nothing.
    fn name(&self) -> Result<()> {
        let named = match rustix::fs::renameat_with(CWD, &self.now, CWD, &self.then, RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) if fs::symlink_metadata(&self.then).is_err() => {
                fs::rename(&self.now, &self.then)
            }
            other => other.map_err(Into::into),
        };
        named.map_err(|e| failed("can't give its name to", &self.then, e))
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        if let Some(marker) = &self.marker {
            marker.refused();
        }
        if self.done {
            return;
        }
        // What is not whole must not be taken for a cluster.
        for place in self.spaces.iter().map(|(_, place)| place).chain([&self.data]) {
            let _ = fs::remove_dir_all(&place.now);
        }
        let _ = self.spaces_above().map(fs::remove_dir);
    }
}

impl Places {
    fn spaces_above(&self) -> Option<PathBuf> {
        Some(self.data.then.parent()?.join(format!("{}.tablespaces", self.source)))
    }
}

impl Cluster {
    /// Lays out a cluster in `dir`.
    #[must_use]
    pub fn new(dir: PathBuf, map: Vec<(PathBuf, PathBuf)>) -> Self {
        let (failure, shared) = (Failure::default(), Shared::default());
        Self { dir, map, failure, shared, places: None, ending: None, open: None }
    }

    fn places(&self) -> Result<&Places> {
        self.places.as_ref().ok_or(OpsError::Defect("the places of the recovery"))
    }

    /// Makes the directory of a tablespace.
    fn space(&mut self, space: &Tablespace) -> Result<()> {
        let mapped = self.map.iter().find(|(old, _)| *old == Path::new(&space.path)).map(|(_, new)| new.clone());
        let then = if let Some(new) = mapped {
            new
        } else {
            let above = self.places()?.spaces_above().ok_or(OpsError::Defect("the places of the recovery"))?;
            if !above.is_dir() {
                directory(&above).map_err(|e| failed("can't make the directory", &above, e))?;
            }
            above.join(space.oid.to_string())
        };
        let place = Place::of(then);
        // An empty directory that somebody made for it is as good as none.
        let _ = fs::remove_dir(&place.then);
        place.make()?;
        if let Some(places) = &mut self.places {
            places.spaces.push((space.oid, place));
        }
        Ok(())
    }

    /// The directory that a stream is unpacked into, if it is a tar.
    fn root(&self, entry: &Entry) -> Result<Option<PathBuf>> {
        let (name, places) = (entry.stream.name.as_str(), self.places()?);
        if name == BASE {
            return Ok(Some(places.data.now.clone()));
        }
        let spaces = self.ending.iter().flat_map(|ending| &ending.base.tablespaces);
        let of = spaces.into_iter().find(|space| space.stream.as_str() == name);
        let place = of.and_then(|of| places.spaces.iter().find(|(oid, _)| *oid == of.oid));
        Ok(place.map(|(_, place)| place.now.clone()))
    }
}

impl Layout for Cluster {
    fn open(&mut self, source: &Name) -> Result<()> {
        fs::create_dir_all(&self.dir).map_err(|e| failed("can't make the directory", &self.dir, e))?;
        // Links lead here from elsewhere, and a server is started from anywhere.
        self.dir = fs::canonicalize(&self.dir).map_err(|e| failed("can't find", &self.dir, e))?;
        let marker = Marker::take(&self.dir, source)?;
        let data = Place::of(self.dir.join(source.as_str()));
        let made = data.make();
        if let (Err(_), Some(marker)) = (&made, &marker) {
            marker.refused();
        }
        made?;
        self.places = Some(Places { source: source.clone(), data, spaces: Vec::new(), marker, done: false });
        Ok(())
    }

    fn log(&mut self, name: &str, at: u64, bytes: &[u8]) -> Result<()> {
        if self.open.as_ref().is_none_or(|(open, _)| open != name) {
            let wal = self.places()?.data.now.join(WAL);
            if !wal.is_dir() {
                directory(&wal).map_err(|e| failed("can't make the directory", &wal, e))?;
            }
            let path = wal.join(name);
            let opened = File::options().write(true).create(true).truncate(false).mode(0o600).open(&path);
            self.open = Some((name.to_owned(), opened.map_err(|e| failed("can't make", &path, e))?));
        }
        let Some((_, file)) = &mut self.open else { return Err(OpsError::Defect("the log of the recovery")) };
        let written = file.seek(SeekFrom::Start(at)).and_then(|_| file.write_all(bytes));
        written.map_err(|e| failed("can't write the log", Path::new(name), e))
    }

    fn forget(&mut self) -> Result<()> {
        self.open = None;
        let wal = self.places()?.data.now.join(WAL);
        match fs::remove_dir_all(&wal) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(failed("can't remove", &wal, e)),
            _ => Ok(()),
        }
    }

    fn settle(&mut self, ending: Ending) {
        self.ending = Some(ending);
    }
}

impl Target for Cluster {
    fn recovery(&mut self) -> Option<&mut dyn Layout> {
        Some(self)
    }

    fn prepare(&mut self, plan: &Plan) -> Result<()> {
        super::must_have_room(&self.dir, plan.room())?;
        let spaces = self.ending.as_ref().map(|ending| ending.base.tablespaces.clone()).unwrap_or_default();
        spaces.iter().try_for_each(|space| self.space(space))
    }

    fn begin(&mut self, entry: &Entry) -> Result<Begun> {
        if let Some(root) = self.root(entry)? {
            return Ok(Begun::File(Box::new(Unpacker::new(root, &self.shared, &self.failure))));
        }
        if entry.stream.name.as_str() != MANIFEST {
            return Ok(Begun::Skipped);
        }
        let path = self.places()?.data.now.join(MANIFEST);
        let made = File::options().read(true).write(true).create_new(true).mode(0o600).open(&path);
        let file = made.map_err(|e| failed("can't make", &path, e))?;
        Ok(Begun::File(Box::new(Noted::durable(file, path, &self.failure))))
    }

    fn differs(&self, entry: &Entry) -> OpsError {
        OpsError::TargetDiffers { path: self.dir.join(entry.path()) }
    }

    fn end(&mut self, entry: &Entry) -> Result<()> {
        if self.root(entry)?.is_some() { unpack::must_have_ended(&self.shared) } else { Ok(()) }
    }

    fn finish(&mut self) -> Result<()> {
        self.open = None;
        let ending = self.ending.take().ok_or(OpsError::Defect("how the recovery ends"))?;
        let places = self.places()?;
        let data = &places.data.now;
        let links = std::mem::take(&mut self.shared.lock().unwrap_or_else(PoisonError::into_inner).links);
        if let Some(lost) = links.iter().find(|oid| !places.spaces.iter().any(|(known, _)| known == *oid)) {
            let what = format!("the base has a link to tablespace {lost}, and no stream holds that");
            return Err(OpsError::Request { what, next: "take an older snapshot".to_owned() });
        }
        let link = |(oid, place): &(u32, Place)| {
            let link = data.join("pg_tblspc").join(oid.to_string());
            symlink(&place.then, &link).map_err(|e| failed("can't make the link", &link, e))
        };
        places.spaces.iter().try_for_each(link)?;
        let wal = data.join(WAL);
        if wal.is_dir() {
            fill(&wal, ending.base.segment)?;
        }
        settings::write(data, &ending)?;
        for (_, place) in &places.spaces {
            sync(&place.now)?;
            place.name()?;
        }
        sync(data)?;
        places.data.name()?;
        // The names themselves.
        let synced = File::open(&self.dir).and_then(|dir| dir.sync_all());
        synced.map_err(|e| failed("can't finish", &self.dir, e))?;
        if let Some(places) = &mut self.places {
            places.done = true;
        }
        Ok(())
    }

    fn give_up(&mut self, _entry: &Entry) {}

    fn failure(&mut self) -> Option<OpsError> {
        self.failure.take()
    }

    fn told(&self) -> Vec<Finding> {
        Vec::new()
    }
}

/// Makes all durable that lies on the file system of `dir`.
fn sync(dir: &Path) -> Result<()> {
    let synced = File::open(dir).and_then(|dir| Manner::sync(&dir).map_err(Into::into));
    synced.map_err(|e| failed("can't finish", dir, e))
}

/// Each segment has its full length, as a server wants it: what is not there is zeros.
fn fill(wal: &Path, segment: u64) -> Result<()> {
    let entries = fs::read_dir(wal).map_err(|e| failed("can't look into", wal, e))?;
    for entry in entries {
        let entry = entry.map_err(|e| failed("can't look into", wal, e))?;
        if entry.file_name().len() == SEGMENT_NAME {
            let path = entry.path();
            let file = File::options().write(true).open(&path).map_err(|e| failed("can't open", &path, e))?;
            file.set_len(segment).map_err(|e| failed("can't write", &path, e))?;
        }
    }
    Ok(())
}
