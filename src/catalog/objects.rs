//! Other objects that the writer stored, and its runs.

use rusqlite::{Connection, OptionalExtension, Row, params, types::Type};

use super::{
    Catalog, Result,
    error::Fault,
    packs::{lock_at, lock_columns},
    signed, unsigned,
};
use crate::model::{Name, SnapshotId, Time};

/// An object that is no pack: a page or an index. Remembered so that an unchanged one is used again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectRow {
    /// Its key.
    pub key: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// The store's name for its version, a hint.
    pub version: Option<String>,
    /// Its lock when it was last read; `None` where that is not known.
    pub lock: Option<crate::model::Lock>,
}

/// A run that made a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRow {
    /// The snapshot's place in the writer's chain.
    pub seq: u64,
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// What it is a snapshot of.
    pub source: Name,
    /// When the run was over.
    pub finished: Time,
    /// How many bytes the source gave.
    pub bytes_read: u64,
    /// How many bytes went into the vault.
    pub bytes_stored: u64,
}

impl Catalog {
    /// Remembers an object, in place of what was known of its key.
    ///
    /// # Errors
    /// See [`Catalog`].
    pub fn remember_object(&mut self, object: &ObjectRow) -> Result<()> {
        let result = remember(&self.conn, object);
        self.check("cannot remember an object", result)
    }

    /// What is known of the object with this key.
    ///
    /// # Errors
    /// See [`Catalog`].
    pub fn object(&mut self, key: &str) -> Result<Option<ObjectRow>> {
        let result = object(&self.conn, key);
        self.check("cannot look up an object", result)
    }

    /// Forgets an object that the store no longer has.
    ///
    /// # Errors
    /// See [`Catalog`].
    pub fn forget_object(&mut self, key: &str) -> Result<()> {
        let result = self.conn.execute("DELETE FROM objects WHERE key = ?1", [key]).map(drop).map_err(Fault::from);
        self.check("cannot forget an object", result)
    }

    /// Remembers a run, in place of what was known of its snapshot.
    ///
    /// # Errors
    /// See [`Catalog`].
    pub fn record_run(&mut self, run: &RunRow) -> Result<()> {
        let result = record_run(&self.conn, run);
        self.check("cannot record a run", result)
    }

    /// The last runs, of one source or of all, newest first, at most `limit`.
    ///
    /// # Errors
    /// See [`Catalog`].
    pub fn runs(&mut self, source: Option<&Name>, limit: usize) -> Result<Vec<RunRow>> {
        let result = runs(&self.conn, source, limit);
        self.check("cannot read the runs", result)
    }
}

pub(super) fn remember(conn: &Connection, object: &ObjectRow) -> std::result::Result<(), Fault> {
    let (mode, until) = lock_columns(object.lock);
    conn.prepare_cached(
        "INSERT OR REPLACE INTO objects(key, bytes, version, lock_mode, lock_until) VALUES(?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![object.key, signed(object.bytes)?, object.version, mode, until])?;
    Ok(())
}

fn object(conn: &Connection, key: &str) -> std::result::Result<Option<ObjectRow>, Fault> {
    let mut statement =
        conn.prepare_cached("SELECT key, bytes, version, lock_mode, lock_until FROM objects WHERE key = ?1")?;
    let row = |row: &Row<'_>| {
        Ok(ObjectRow { key: row.get(0)?, bytes: unsigned(row, 1)?, version: row.get(2)?, lock: lock_at(row, 3)? })
    };
    Ok(statement.query_row([key], row).optional()?)
}

fn record_run(conn: &Connection, run: &RunRow) -> std::result::Result<(), Fault> {
    conn.prepare_cached(
        "INSERT OR REPLACE INTO runs(snapshot, seq, source, finished, bytes_read, bytes_stored) \
         VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        run.snapshot.as_bytes().as_slice(),
        // Whoever holds the writer's key can use all numbers up, and the largest wrap around.
        run.seq.cast_signed(),
        run.source.as_str(),
        run.finished.unix(),
        signed(run.bytes_read)?,
        signed(run.bytes_stored)?,
    ])?;
    Ok(())
}

fn runs(conn: &Connection, source: Option<&Name>, limit: usize) -> std::result::Result<Vec<RunRow>, Fault> {
    let mut statement = conn.prepare_cached(
        "SELECT seq, snapshot, source, finished, bytes_read, bytes_stored FROM runs \
         WHERE ?1 IS NULL OR source = ?1 ORDER BY seq < 0 DESC, seq DESC, finished DESC, snapshot LIMIT ?2",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![source.map(Name::as_str), limit], |row| {
        let source: String = row.get(2)?;
        let source =
            source.parse().map_err(|e| rusqlite::Error::FromSqlConversionFailure(2, Type::Text, Box::new(e)))?;
        Ok(RunRow {
            seq: row.get::<_, i64>(0)?.cast_unsigned(),
            snapshot: SnapshotId::from_bytes(row.get(1)?),
            source,
            finished: Time::from_unix(row.get(3)?),
            bytes_read: unsigned(row, 4)?,
            bytes_stored: unsigned(row, 5)?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
