//! Packs: where they are, how they are locked, and which of them no index names yet.

use std::{collections::BTreeSet, collections::HashSet};

use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params, types::Type};

use super::{Catalog, PackNo, Result, chunks, error::Fault, signed, unsigned};
use crate::model::{ChunkId, Lock, LockMode, PackId, Time};

/// A pack that the store acknowledged.
#[derive(Debug, Clone, Copy)]
pub struct NewPack<'a> {
    /// Its id.
    pub id: PackId,
    /// Its size in bytes, sealed.
    pub bytes: u64,
    /// The store's name for its version, a hint.
    pub version: Option<&'a str>,
    /// Its lock, where that is known.
    pub lock: Option<Lock>,
    /// Its section of an index, encoded; kept until an index holds it.
    pub section: &'a [u8],
    /// The chunks in it, with the base of those that are deltas.
    pub chunks: &'a [(ChunkId, Option<ChunkId>)],
}

/// A pack as the catalog knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackRow {
    /// The catalog's number of it.
    pub no: PackNo,
    /// Its id.
    pub id: PackId,
    /// Its size in bytes, sealed.
    pub bytes: u64,
    /// The store's name for its version, a hint.
    pub version: Option<String>,
    /// Its lock when it was last read; `None` where that is not known.
    pub lock: Option<Lock>,
}

const COLUMNS: &str = "SELECT no, id, bytes, version, lock_mode, lock_until FROM packs";

impl Catalog {
    /// Remembers a pack that the store acknowledged. Its chunks live there from now on, also those that older packs
    /// hold. Its section is [`pending`](Self::pending) until an index holds it.
    ///
    /// # Errors
    /// `Invalid` if the base of a delta is not a whole chunk of this or a known pack, or if the pack is known already;
    /// nothing is recorded then.
    pub fn record_pack(&mut self, pack: &NewPack<'_>) -> Result<PackNo> {
        let result = record(&mut self.conn, &self.forgotten, pack);
        let no = self.check("cannot record a pack", result)?;
        self.empty = false;
        Ok(no)
    }

    /// The pack of this number.
    ///
    /// # Errors
    /// `Invalid` if there is none, for instance because it was forgotten.
    pub fn pack(&mut self, no: PackNo) -> Result<PackRow> {
        let result = by_number(&self.conn, no);
        self.check("cannot read a pack's row", result)
    }

    /// The packs of these numbers, each once, ascending.
    ///
    /// # Errors
    /// `Invalid` if there is none of one number.
    pub fn packs(&mut self, nos: impl IntoIterator<Item = PackNo>) -> Result<Vec<PackRow>> {
        let nos: BTreeSet<PackNo> = nos.into_iter().collect();
        let result = nos.into_iter().map(|no| by_number(&self.conn, no)).collect();
        self.check("cannot read packs' rows", result)
    }

    /// The packs that come after this number, at most `limit`, ascending.
    ///
    /// # Errors
    /// See [`Catalog`].
    pub fn packs_after(&mut self, no: PackNo, limit: usize) -> Result<Vec<PackRow>> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let result = after(&self.conn, no, limit);
        self.check("cannot read packs' rows", result)
    }

    /// The pack of this id, if it is known.
    ///
    /// # Errors
    /// See [`Catalog`].
    pub fn find_pack(&mut self, id: &PackId) -> Result<Option<PackRow>> {
        let result = by_id(&self.conn, id);
        self.check("cannot look up a pack", result)
    }

    /// Remembers the lock that a pack really has.
    ///
    /// # Errors
    /// `Invalid` if there is no pack of this number.
    pub fn set_lock(&mut self, no: PackNo, lock: Option<Lock>) -> Result<()> {
        let result = set_lock(&self.conn, no, lock);
        self.check("cannot remember a pack's lock", result)
    }

    /// Forgets a pack that the store no longer has: its chunks become unknown, and so do the deltas on them. Nothing
    /// happens if the pack is not known.
    ///
    /// # Errors
    /// See [`Catalog`].
    pub fn forget_pack(&mut self, no: PackNo) -> Result<()> {
        let result = forget(&mut self.conn, no);
        let (known, none_left) = self.check("cannot forget a pack", result)?;
        if known {
            self.forgotten.insert(no.0);
            self.empty = none_left;
        }
        Ok(())
    }

    /// The packs that the store acknowledged and no index holds yet, ascending, with their sections: what a crashed
    /// run leaves for the next one to index. At most so many, from the one `after` a pack on.
    ///
    /// # Errors
    /// See [`Catalog`].
    pub fn pending(&mut self, after: Option<PackNo>, most: usize) -> Result<Vec<(PackNo, Vec<u8>)>> {
        let result = pending(&self.conn, after, most);
        self.check("cannot read the sections of packs without an index", result)
    }

    /// How many bytes the sections of all these packs have.
    ///
    /// # Errors
    /// See [`Catalog`].
    pub fn pending_bytes(&mut self) -> Result<u64> {
        let result = pending_bytes(&self.conn);
        self.check("cannot read the sections of packs without an index", result)
    }

    /// Notes that an index in the vault holds these packs, and drops their sections.
    ///
    /// # Errors
    /// See [`Catalog`].
    pub fn mark_indexed(&mut self, nos: &[PackNo]) -> Result<()> {
        let result = mark_indexed(&mut self.conn, nos);
        self.check("cannot mark packs as indexed", result)
    }
}

/// Whether no pack is known.
pub(super) fn has_none(conn: &Connection) -> std::result::Result<bool, Fault> {
    Ok(conn.query_row("SELECT NOT EXISTS(SELECT 1 FROM packs)", [], |row| row.get(0))?)
}

/// A lock as two columns.
pub(super) fn lock_columns(lock: Option<Lock>) -> (Option<i64>, Option<i64>) {
    let mode = |mode| match mode {
        LockMode::Compliance => 1,
        LockMode::Governance => 2,
    };
    (lock.map(|l| mode(l.mode)), lock.map(|l| l.until.unix()))
}

/// The lock in two columns, the mode's first.
pub(super) fn lock_at(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Lock>> {
    let (mode, until): (Option<i64>, Option<i64>) = (row.get(column)?, row.get(column + 1)?);
    let mode = match (mode, until) {
        (None, None) => return Ok(None),
        (Some(1), Some(_)) => LockMode::Compliance,
        (Some(2), Some(_)) => LockMode::Governance,
        _ => return Err(rusqlite::Error::FromSqlConversionFailure(column, Type::Integer, "no such lock".into())),
    };
    Ok(until.map(|until| Lock { mode, until: Time::from_unix(until) }))
}

pub(super) fn insert_row(
    tx: &Transaction<'_>,
    id: &PackId,
    bytes: u64,
    version: Option<&str>,
    lock: Option<Lock>,
) -> std::result::Result<i64, Fault> {
    let (mode, until) = lock_columns(lock);
    tx.prepare_cached("INSERT INTO packs(id, bytes, version, lock_mode, lock_until) VALUES(?1, ?2, ?3, ?4, ?5)")?
        .execute(params![id.as_bytes().as_slice(), signed(bytes)?, version, mode, until])?;
    Ok(tx.last_insert_rowid())
}

fn record(conn: &mut Connection, forgotten: &HashSet<i64>, pack: &NewPack<'_>) -> std::result::Result<PackNo, Fault> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if by_id(&tx, &pack.id)?.is_some() {
        return Err(Fault::Refused(format!("pack {} is known already", pack.id)));
    }
    let no = insert_row(&tx, &pack.id, pack.bytes, pack.version, pack.lock)?;
    tx.prepare_cached("INSERT INTO pending(pack, section) VALUES(?1, ?2)")?.execute(params![no, pack.section])?;
    chunks::insert(&tx, forgotten, no, pack.chunks)?;
    tx.commit()?;
    Ok(PackNo(no))
}

fn row(row: &Row<'_>) -> rusqlite::Result<PackRow> {
    Ok(PackRow {
        no: PackNo(row.get(0)?),
        id: PackId::from_bytes(row.get(1)?),
        bytes: unsigned(row, 2)?,
        version: row.get(3)?,
        lock: lock_at(row, 4)?,
    })
}

fn no_such(no: PackNo) -> Fault {
    Fault::Refused(format!("there is no pack number {}", no.0))
}

fn by_number(conn: &Connection, no: PackNo) -> std::result::Result<PackRow, Fault> {
    let mut statement = conn.prepare_cached(&format!("{COLUMNS} WHERE no = ?1"))?;
    statement.query_row([no.0], row).optional()?.ok_or_else(|| no_such(no))
}

fn after(conn: &Connection, no: PackNo, limit: usize) -> std::result::Result<Vec<PackRow>, Fault> {
    let mut statement = conn.prepare_cached(&format!("{COLUMNS} WHERE no > ?1 ORDER BY no LIMIT ?2"))?;
    let rows = statement.query_map(params![no.0, i64::try_from(limit).unwrap_or(i64::MAX)], row)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn by_id(conn: &Connection, id: &PackId) -> std::result::Result<Option<PackRow>, Fault> {
    let mut statement = conn.prepare_cached(&format!("{COLUMNS} WHERE id = ?1"))?;
    Ok(statement.query_row([id.as_bytes().as_slice()], row).optional()?)
}

fn set_lock(conn: &Connection, no: PackNo, lock: Option<Lock>) -> std::result::Result<(), Fault> {
    let (mode, until) = lock_columns(lock);
    let changed = conn
        .prepare_cached("UPDATE packs SET lock_mode = ?2, lock_until = ?3 WHERE no = ?1")?
        .execute(params![no.0, mode, until])?;
    if changed == 0 { Err(no_such(no)) } else { Ok(()) }
}

/// Chunks have no index by pack, which would double their size, so their rows stay until a sweep and are passed over.
fn forget(conn: &mut Connection, no: PackNo) -> std::result::Result<(bool, bool), Fault> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let known = tx.prepare_cached("DELETE FROM packs WHERE no = ?1")?.execute([no.0])? > 0;
    if known {
        drop_section(&tx, no)?;
        tx.prepare_cached("INSERT INTO forgotten(pack) VALUES(?1)")?.execute([no.0])?;
    }
    let none_left = has_none(&tx)?;
    tx.commit()?;
    Ok((known, none_left))
}

pub(super) fn drop_section(conn: &Connection, no: PackNo) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM pending WHERE pack = ?1")?.execute([no.0]).map(drop)
}

fn pending(
    conn: &Connection,
    after: Option<PackNo>,
    most: usize,
) -> std::result::Result<Vec<(PackNo, Vec<u8>)>, Fault> {
    let mut statement =
        conn.prepare_cached("SELECT pack, section FROM pending WHERE pack > ?1 ORDER BY pack LIMIT ?2")?;
    let (after, most) = (after.map_or(i64::MIN, |no| no.0), i64::try_from(most).unwrap_or(i64::MAX));
    let rows = statement.query_map([after, most], |row| Ok((PackNo(row.get(0)?), row.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn pending_bytes(conn: &Connection) -> std::result::Result<u64, Fault> {
    let mut statement = conn.prepare_cached("SELECT COALESCE(SUM(LENGTH(section)), 0) FROM pending")?;
    Ok(statement.query_row([], |row| unsigned(row, 0))?)
}

fn mark_indexed(conn: &mut Connection, nos: &[PackNo]) -> std::result::Result<(), Fault> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for no in nos {
        drop_section(&tx, *no)?;
    }
    tx.commit()?;
    Ok(())
}
