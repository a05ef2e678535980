//! `--recover-to` and `--data-directory`: a base becomes a data directory that a server starts on, with the log that it needs
//! and the settings that say how far. It has another name until all of it is there and proved; what an interrupted run left
//! under that name is gone on with, and so is, with `--delta`, a data directory that is there.

mod later;
mod log;
mod old;
mod places;
mod settings;
mod tree;
mod unpack;

use std::{
    fs::{self, File},
    os::unix::fs::{OpenOptionsExt, symlink},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError},
};

use super::{
    OpsError, Result, failed,
    manner::Manner,
    marker::Marker,
    noted::{Failure, Noted},
};
use crate::{
    model::{Finding, Name, Severity},
    ops::{
        recover::{Ending, Layout},
        restore::{Begun, Entry, Plan, Target},
    },
    source::postgres::{BASE, MANIFEST, Tablespace},
};
use log::Gathering;
use old::Old;
use places::{Place, Places, Taken, directory};
use unpack::{Shared, Unpacker};

/// Where a cluster comes to be: DIR/<source>, its tablespaces in DIR/<source>.tablespaces or where they are mapped to.
pub struct Cluster {
    dir: PathBuf,
    /// Where tablespaces go: the old place, and the new one.
    map: Vec<(PathBuf, PathBuf)>,
    /// Whether a data directory that is there is made into the new one.
    delta: bool,
    failure: Failure,
    shared: Shared,
    places: Option<Places>,
    ending: Option<Ending>,
    gathering: Gathering,
    /// Whether the server that is started on it sees nothing else of this machine.
    alone: bool,
    told: Vec<Finding>,
}

impl Cluster {
    /// Lays out a cluster in `dir`.
    #[must_use]
    pub fn new(dir: PathBuf, map: Vec<(PathBuf, PathBuf)>) -> Self {
        let (failure, shared, gathering) = (Failure::default(), Shared::default(), Gathering::default());
        let (alone, told) = (false, Vec::new());
        Self { dir, map, delta: false, failure, shared, places: None, ending: None, gathering, alone, told }
    }

    /// The same, and a data directory that is there is made into it if `delta` says so: what is right of it stays.
    #[must_use]
    pub fn delta(self, delta: bool) -> Self {
        Self { delta, ..self }
    }

    /// The same, for a server that sees nothing else of this machine, nor of its tablespaces.
    #[must_use]
    pub fn alone(self) -> Self {
        Self { alone: true, ..self }
    }

    /// Leaves what is there so far to the next run, and says so.
    pub fn leave(&mut self) -> Option<Finding> {
        let places = self.places.as_mut().filter(|places| places.begun)?;
        places.keep = true;
        let message = "what was laid out so far stays, and is not a cluster: the same command goes on from there";
        let at = places.data.now.display();
        Some(Finding::new(Severity::Info, "restore.unfinished", message).on(at))
    }

    fn places(&self) -> Result<&Places> {
        self.places.as_ref().ok_or(OpsError::Defect("the places of the recovery"))
    }

    /// Makes the directory of a tablespace.
    fn space(&mut self, space: &Tablespace) -> Result<()> {
        let mapped = self.map.iter().find(|(old, _)| *old == Path::new(&space.path)).map(|(_, new)| new.clone());
        let delta = self.delta;
        let places = self.places.as_mut().ok_or(OpsError::Defect("the places of the recovery"))?;
        let above = places.spaces_above().ok_or(OpsError::Defect("the places of the recovery"))?;
        let ours = mapped.is_none();
        let then = if let Some(new) = mapped {
            new
        } else {
            if !above.is_dir() {
                directory(&above).map_err(|e| failed("can't make the directory", &above, e))?;
            }
            above.join(space.oid.to_string())
        };
        let mut place = Place::of(then);
        // An empty directory that somebody made for it is as good as none.
        let _ = fs::remove_dir(&place.then);
        // One that was interrupted at its very end has given some of them their names.
        let may = delta || places.data.again;
        place.make(may && places.is_space(space.oid, &place.then, ours))?;
        places.spaces.push((space.oid, place));
        Ok(())
    }

    /// The directory that a stream is unpacked into, if it is a tar.
    fn root(&self, entry: &Entry) -> Result<Option<&Place>> {
        let (name, places) = (entry.stream.name.as_str(), self.places()?);
        if name == BASE {
            return Ok(Some(&places.data));
        }
        let spaces = self.ending.iter().flat_map(|ending| &ending.base.tablespaces);
        let of = spaces.into_iter().find(|space| space.stream.as_str() == name);
        let place = of.and_then(|of| places.spaces.iter().find(|(oid, _)| *oid == of.oid));
        Ok(place.map(|(_, place)| place))
    }
}

impl Layout for Cluster {
    fn open(&mut self, source: &Name) -> Result<()> {
        fs::create_dir_all(&self.dir).map_err(|e| failed("can't make the directory", &self.dir, e))?;
        // Links lead here from elsewhere, and a server is started from anywhere.
        self.dir = fs::canonicalize(&self.dir).map_err(|e| failed("can't find", &self.dir, e))?;
        let marker = Marker::take(&self.dir, source)?;
        let places = Places::new(source.clone(), Place::of(self.dir.join(source.as_str())), marker);
        let places = self.places.insert(places);
        places.forget_log()?;
        places.taken = Taken::look(&places.data.then, self.delta)?;
        Ok(())
    }

    fn log(&mut self, name: &str, at: u64, bytes: &[u8]) -> Result<()> {
        let wal = self.places()?.wal.clone();
        self.gathering.put(&wal, name, at, bytes)
    }

    fn forget(&mut self) -> Result<()> {
        self.gathering.close();
        self.places()?.forget_log()
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
        let base = self.ending.as_ref().map(|ending| ending.base.clone());
        let base = base.ok_or(OpsError::Defect("how the recovery ends"))?;
        if let Some(ending) = self.ending.as_ref().filter(|_| !self.alone) {
            self.told = later::look(&ending.later, &self.map)?;
        }
        let spaces = || base.tablespaces.iter().map(|space| space.path.as_str());
        if let Some((old, _)) = self.map.iter().find(|(old, _)| !spaces().any(|path| Path::new(path) == old)) {
            let what = format!("--tablespace-map: the base has no tablespace at {}", old.display());
            let all: Vec<&str> = spaces().collect();
            let next = if all.is_empty() {
                "it has none at all".to_owned()
            } else {
                format!("its tablespaces are at {}", all.join(", "))
            };
            return Err(OpsError::Request { what, next });
        }
        let places = self.places.as_mut().ok_or(OpsError::Defect("the places of the recovery"))?;
        if let Some(taken) = &places.taken {
            taken.must_be_of(&places.data.then, base.line.postgres_parts().map(|(system, _)| system))?;
        }
        // What is there is written over in its place.
        let there = if places.taken.is_some() { &places.data.then } else { &places.data.now };
        let there = Old::look(there).map_or(0, |old| old.bytes);
        super::must_have_room(&self.dir, plan.room().saturating_sub(there))?;
        places.data.make(places.taken.is_some())?;
        base.tablespaces.iter().try_for_each(|space| self.space(space))
    }

    fn begin(&mut self, entry: &Entry) -> Result<Begun> {
        if let Some(place) = self.root(entry)? {
            let (root, again) = (place.now.clone(), place.again);
            // What is there changes from now on.
            let old = if again { Old::look(&root).map(Arc::new) } else { None };
            let unpacker = Unpacker::new(root, old, (&self.shared, &self.failure))?;
            if let Some(places) = &mut self.places {
                places.begun = true;
            }
            return Ok(Begun::File(Box::new(unpacker)));
        }
        if entry.stream.name.as_str() != MANIFEST {
            return Ok(Begun::Skipped);
        }
        let path = self.places()?.data.now.join(MANIFEST);
        let _ = fs::remove_file(&path);
        let made = File::options().read(true).write(true).create_new(true).mode(0o600).open(&path);
        let file = made.map_err(|e| failed("can't make", &path, e))?;
        Ok(Begun::File(Box::new(Noted::durable(file, path, &self.failure))))
    }

    fn differs(&self, entry: &Entry) -> OpsError {
        OpsError::TargetDiffers { path: self.dir.join(entry.path()) }
    }

    fn end(&mut self, entry: &Entry) -> Result<()> {
        let Some(place) = self.root(entry)? else { return Ok(()) };
        unpack::must_have_ended(&self.shared, &place.now)
    }

    fn finish(&mut self) -> Result<()> {
        self.gathering.close();
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
        if places.wal.is_dir() {
            log::settle(&places.wal, data, &ending.base)?;
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
        self.told.clone()
    }
}

/// Makes all durable that lies on the file system of `dir`.
fn sync(dir: &Path) -> Result<()> {
    let synced = File::open(dir).and_then(|dir| Manner::sync(&dir).map_err(Into::into));
    synced.map_err(|e| failed("can't finish", dir, e))
}
