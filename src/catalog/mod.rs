//! The writer's local memory of what it stored: which chunk lies in which pack, until when packs are locked, and which
//! packs no index names yet.
//!
//! It is a cache. Nothing in it is the only copy of anything, restores never read it, and a catalog that is lost or
//! damaged is replaced by an empty one that a rebuild fills from the vault. It lives in one database file per vault and
//! writer. All calls are synchronous; one thread owns the catalog and makes them.

mod bases;
mod chunks;
mod error;
mod features;
mod fill;
mod journal;
mod lock;
mod memory;
mod notes;
mod objects;
mod open;
mod own;
mod pack_no;
mod packs;
mod schema;
pub(crate) mod scratch;
mod state;
#[cfg(test)]
mod tests;

use std::{collections::HashSet, path::PathBuf};

use rusqlite::Connection;

pub use bases::Bases;
pub use chunks::Known;
pub use error::{CatalogError, CatalogErrorKind};
pub use features::Similar;
pub use fill::IndexedPack;
pub use journal::{JournalMemory, JournalNote, Tail, Taken};
pub use lock::{RunLock, RunLockError};
pub use memory::{Kept, Memory};
pub use objects::{ObjectRow, RunRow};
pub use open::Opened;
pub use pack_no::PackNo;
pub use packs::{NewPack, PackRow};

use error::Fault;

/// The result of a catalog call.
pub type Result<T> = std::result::Result<T, CatalogError>;

/// The memory of one writer about one vault. See [`Catalog::open`].
///
/// Each method that changes something does so in one transaction: after a crash it happened whole or not at all.
/// Besides what each method names, every call may fail with `Damaged`, `Full`, `Busy` or `Io`.
#[derive(Debug)]
pub struct Catalog {
    conn: Connection,
    path: PathBuf,
    /// Packs that the store lost, whose chunks still have rows here. See [`Catalog::sweep`].
    forgotten: HashSet<i64>,
    empty: bool,
    /// A rebuild was begun and did not end.
    partial: bool,
    damaged: bool,
}

impl Catalog {
    /// How many chunks, packs and runs are known. Counts row by row: a second or so at millions of chunks.
    ///
    /// # Errors
    /// See [`Catalog`].
    pub fn counts(&mut self) -> Result<(u64, u64, u64)> {
        let result = count_all(&self.conn, !self.forgotten.is_empty());
        self.check("cannot count what the catalog holds", result)
    }

    /// Forgets everything: chunks, packs, objects, runs, what sources left for their next run, and the sections of packs
    /// that are in no index yet. Take those with [`pending`](Self::pending) first if they are still wanted.
    ///
    /// # Errors
    /// See [`Catalog`].
    pub fn clear(&mut self) -> Result<()> {
        let result = clear_all(&mut self.conn, false);
        self.check("cannot clear the catalog", result)?;
        self.forgotten.clear();
        (self.empty, self.partial) = (true, false);
        Ok(())
    }

    /// Gives an inner result its words, and remembers damage so that the file is not used again.
    fn check<T>(&mut self, what: &str, result: std::result::Result<T, Fault>) -> Result<T> {
        result.map_err(|fault| {
            self.damaged |= fault.is_damage();
            CatalogError::from_fault(what, &self.path, fault)
        })
    }
}

impl Drop for Catalog {
    fn drop(&mut self) {
        if self.damaged {
            // If even this fails, damage is met again and reported again.
            let _ = self.conn.pragma_update(None, "user_version", schema::SUSPECT);
        }
    }
}

fn count_all(conn: &Connection, some_forgotten: bool) -> std::result::Result<(u64, u64, u64), Fault> {
    let chunks = if some_forgotten {
        "SELECT count(*) FROM chunks WHERE pack NOT IN (SELECT pack FROM forgotten) \
         AND (base IS NULL OR base NOT IN (SELECT pack FROM forgotten))"
    } else {
        "SELECT count(*) FROM chunks"
    };
    let count = |sql| conn.query_row(sql, [], |row| unsigned(row, 0));
    Ok((count(chunks)?, count("SELECT count(*) FROM packs")?, count("SELECT count(*) FROM runs")?))
}

fn clear_all(conn: &mut Connection, partial: bool) -> std::result::Result<(), Fault> {
    let tx = conn.transaction()?;
    tx.execute_batch(
        "DELETE FROM chunks; DELETE FROM pending; DELETE FROM packs; DELETE FROM forgotten; DELETE FROM objects; \
         DELETE FROM runs; DELETE FROM memories; DELETE FROM kept; DELETE FROM features; \
         DELETE FROM meta WHERE key IN ('own', 'note evidence');",
    )?;
    schema::set_partial(&tx, partial)?;
    tx.commit()?;
    Ok(())
}

/// A number that the database keeps signed and that never is negative.
fn unsigned(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

/// The same number on its way in.
fn signed(value: u64) -> std::result::Result<i64, Fault> {
    i64::try_from(value).map_err(|_| Fault::Refused(format!("{value} is too large a number for the catalog")))
}
