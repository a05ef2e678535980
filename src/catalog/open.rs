//! Opening a catalog, and replacing one that can't be used.

use std::{
    collections::HashSet,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags};

use super::{Catalog, CatalogError, Result, error::Fault, schema, state};
use crate::model::{Name, VaultId};

/// What [`Catalog::open`] found.
#[derive(Debug)]
pub enum Opened {
    /// The catalog that earlier runs left.
    Existing(Catalog),
    /// There was none; this one is empty.
    New(Catalog),
    /// There was a file that can't be used; this catalog is empty and stands in its place.
    Replaced {
        /// The new, empty catalog.
        catalog: Catalog,
        /// What is wrong with the old file.
        reason: String,
        /// Where the old file is now.
        kept: PathBuf,
    },
}

impl Opened {
    /// The catalog, however it came to be.
    #[must_use]
    pub fn into_catalog(self) -> Catalog {
        match self {
            Self::Existing(catalog) | Self::New(catalog) | Self::Replaced { catalog, .. } => catalog,
        }
    }
}

impl Catalog {
    /// Opens the catalog of this vault and writer in the state directory, and makes both if they are missing (for
    /// their owner alone).
    ///
    /// A file that can't be used (damaged, of another version, of another vault or writer) is renamed to
    /// `….corrupt-<n>` and a new, empty catalog stands in its place. Hold the [`RunLock`](super::RunLock) meanwhile,
    /// or a running backup may lose its file.
    ///
    /// Version, tables and owner are always checked. The whole file is read only if the last run did not close it:
    /// that is when a disk may have lied about what it wrote, and a clean start should not wait for gigabytes to be
    /// read. Damage in a file that was closed shows when it is met, as an error of kind `Damaged`; the file is marked
    /// then, and replaced by the next call.
    ///
    /// # Errors
    /// The directory or the file can't be made, read or written. Such a file is left as it is.
    pub fn open(state: &Path, vault: VaultId, writer: &Name) -> Result<Opened> {
        state::make_dir(state).map_err(|e| CatalogError::io("cannot make the state directory", state, e))?;
        let path = state::path(state, vault, writer, "sqlite");
        let fault = match attempt(&path, vault, writer)? {
            Ok((catalog, true)) => return Ok(Opened::New(catalog)),
            Ok((catalog, false)) => return Ok(Opened::Existing(catalog)),
            Err(fault) => fault,
        };
        if !fault.is_damage() {
            return Err(CatalogError::from_fault("cannot open the catalog", &path, fault));
        }
        let reason = match fault {
            Fault::Sql(error) => error.to_string(),
            Fault::Damaged(reason) | Fault::Refused(reason) => reason,
        };
        let kept = set_aside(&path)?;
        match attempt(&path, vault, writer)? {
            Ok((catalog, _)) => Ok(Opened::Replaced { catalog, reason, kept }),
            Err(fault) => Err(CatalogError::from_fault("cannot make a new catalog", &path, fault)),
        }
    }
}

impl Catalog {
    /// Opens the catalog of this vault and writer if there is one, and leaves everything as it is; for looking only. A run
    /// may be under way.
    ///
    /// # Errors
    /// If it can't be read, or is none.
    pub fn peek(state: &Path, vault: VaultId, writer: &Name) -> Result<Option<Self>> {
        let path = state::path(state, vault, writer, "sqlite");
        match fs::metadata(&path) {
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(CatalogError::io("cannot open the catalog", &path, e)),
        }
        let opened = connect(&path, false, vault, writer);
        opened
            .map(|(catalog, _)| Some(catalog))
            .map_err(|e| CatalogError::from_fault("cannot read the catalog", &path, e))
    }
}

/// Opens or makes the file; true if it is new. The inner error is the database's, the outer one the file system's.
fn attempt(path: &Path, vault: VaultId, writer: &Name) -> Result<std::result::Result<(Catalog, bool), Fault>> {
    // SQLite takes its own files' permissions from this one.
    state::open_private(path).map_err(|e| CatalogError::io("cannot open the catalog", path, e))?;
    // A run that ends well folds the log into the file and removes it.
    let unclean = fs::metadata(beside(path, "-wal")).is_ok_and(|m| m.len() > 0);
    Ok(connect(path, unclean, vault, writer))
}

fn connect(path: &Path, unclean: bool, vault: VaultId, writer: &Name) -> std::result::Result<(Catalog, bool), Fault> {
    // Without the URI flag, a path is nothing but a path.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let mut conn = Connection::open_with_flags(path, flags)?;
    schema::prepare(&conn)?;
    let new = schema::is_blank(&conn)?;
    if new {
        schema::create(&mut conn, vault, writer)?;
    } else {
        schema::check(&conn, vault, writer)?;
        if unclean {
            schema::check_deeply(&conn)?;
        }
    }
    let mut forgotten = HashSet::new();
    {
        let mut statement = conn.prepare("SELECT pack FROM forgotten")?;
        for no in statement.query_map([], |row| row.get(0))? {
            forgotten.insert(no?);
        }
    }
    let (empty, partial) = (super::packs::has_none(&conn)?, schema::is_partial(&conn)?);
    Ok((Catalog { conn, path: path.to_owned(), forgotten, empty, partial, damaged: false }, new))
}

/// Renames the file, and the log beside it, to the first free `….corrupt-<n>`.
fn set_aside(path: &Path) -> Result<PathBuf> {
    let what = "cannot set the damaged catalog aside";
    for n in 1..1000 {
        let kept = beside(path, &format!(".corrupt-{n}"));
        match fs::symlink_metadata(&kept) {
            Ok(_) => continue,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(CatalogError::io(what, &kept, e)),
        }
        // The log goes first: if we are stopped halfway, no new file may meet an old log.
        for ending in ["-wal", "-shm"] {
            match fs::rename(beside(path, ending), beside(&kept, ending)) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(CatalogError::io(what, path, e)),
                _ => {}
            }
        }
        fs::rename(path, &kept).map_err(|e| CatalogError::io(what, path, e))?;
        return Ok(kept);
    }
    let full = io::Error::other("there are 999 such files already; remove the old ones");
    Err(CatalogError::io(what, path, full))
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    PathBuf::from(name)
}
