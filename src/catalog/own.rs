//! What the writer knows to be its own in the vault: the headers that it signed, and packs whose locks last.

use rusqlite::{Connection, params};

use super::{Catalog, ObjectRow, PackNo, Result, error::Fault, objects, packs::lock_at, unsigned};
use crate::model::{PackId, Time};

impl Catalog {
    /// Whether the writer's headers in the vault were held against this catalog before.
    ///
    /// # Errors
    /// See [`Catalog`].
    pub fn knows_own(&mut self) -> Result<bool> {
        let sql = "SELECT EXISTS(SELECT 1 FROM meta WHERE key = 'own')";
        let result = self.conn.query_row(sql, [], |row| row.get(0)).map_err(Fault::from);
        self.check("cannot read what is known of the writer's own headers", result)
    }

    /// Notes that from here on every header of the writer is known.
    ///
    /// # Errors
    /// See [`Catalog`].
    pub fn set_knows_own(&mut self) -> Result<()> {
        let sql = "INSERT OR REPLACE INTO meta(key, value) VALUES('own', 'known')";
        let result = self.conn.execute(sql, []).map(drop).map_err(Fault::from);
        self.check("cannot note that the writer's own headers are known", result)
    }

    /// The remembered objects whose keys begin so.
    ///
    /// # Errors
    /// See [`Catalog`].
    pub fn objects_below(&mut self, prefix: &str) -> Result<Vec<ObjectRow>> {
        let result = below(&self.conn, prefix);
        self.check("cannot list the remembered objects", result)
    }

    /// Remembers an object before it is put, durably: whoever finds it later knows that it was to come.
    ///
    /// # Errors
    /// See [`Catalog`].
    pub fn expect_object(&mut self, object: &ObjectRow) -> Result<()> {
        let result = self.conn.execute_batch("PRAGMA synchronous=FULL").map_err(Fault::from);
        let result = result.and_then(|()| objects::remember(&self.conn, object));
        let back = self.conn.execute_batch("PRAGMA synchronous=NORMAL").map_err(Fault::from);
        self.check("cannot note an object before it is put", result.and(back))
    }

    /// The packs that are locked beyond `now`, as far as the catalog knows.
    ///
    /// # Errors
    /// See [`Catalog`].
    pub fn locked_packs(&mut self, now: Time, each: impl FnMut(PackNo, PackId)) -> Result<()> {
        let result = locked(&self.conn, now, each);
        self.check("cannot list the packs", result)
    }
}

fn below(conn: &Connection, prefix: &str) -> std::result::Result<Vec<ObjectRow>, Fault> {
    let mut statement = conn.prepare_cached(
        "SELECT key, bytes, version, lock_mode, lock_until FROM objects WHERE substr(key, 1, length(?1)) = ?1",
    )?;
    let rows = statement.query_map([prefix], |row| {
        Ok(ObjectRow { key: row.get(0)?, bytes: unsigned(row, 1)?, version: row.get(2)?, lock: lock_at(row, 3)? })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn locked(conn: &Connection, now: Time, mut each: impl FnMut(PackNo, PackId)) -> std::result::Result<(), Fault> {
    let mut statement = conn
        .prepare_cached("SELECT no, id FROM packs WHERE lock_until > ?1 AND no NOT IN (SELECT pack FROM forgotten)")?;
    let mut rows = statement.query(params![now.unix()])?;
    while let Some(row) = rows.next()? {
        each(PackNo(row.get(0)?), PackId::from_bytes(row.get(1)?));
    }
    Ok(())
}
