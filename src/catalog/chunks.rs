//! Which chunk lives where.

use std::collections::HashSet;

use rusqlite::{CachedStatement, Connection, OptionalExtension, Transaction, params};

use super::{Catalog, PackNo, Result, error::Fault};
use crate::model::ChunkId;

/// Where a chunk lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// The newest pack that holds it.
    pub pack: PackNo,
    /// If it is stored as a delta, the pack of its base, which it needs as much. `None` for a whole chunk.
    pub base_pack: Option<PackNo>,
}

const FIND: &str = "SELECT pack, base FROM chunks WHERE id = ?1";
const INSERT_WHOLE: &str = "INSERT INTO chunks(id, pack, base) VALUES(?1, ?2, NULL) \
     ON CONFLICT(id) DO UPDATE SET pack = excluded.pack, base = NULL";
// A chunk that the same pack also holds whole stays whole.
const INSERT_DELTA: &str = "INSERT INTO chunks(id, pack, base) VALUES(?1, ?2, ?3) \
     ON CONFLICT(id) DO UPDATE SET pack = excluded.pack, base = excluded.base WHERE chunks.pack <> excluded.pack";

// A row that names a forgotten pack is as good as none.
const INSERT_MISSING: &str = "INSERT INTO chunks(id, pack, base) VALUES(?1, ?2, ?3) \
     ON CONFLICT(id) DO UPDATE SET pack = excluded.pack, base = excluded.base \
     WHERE chunks.pack IN (SELECT pack FROM forgotten) OR chunks.base IN (SELECT pack FROM forgotten)";

impl Catalog {
    /// Whether no pack is known, so that looking up chunks is no use.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.empty
    }

    /// Looks up chunks: replaces what is in `out` by one answer for each id, in the same order; `None` is unknown.
    ///
    /// # Errors
    /// See [`Catalog`]. `out` then holds only the answers that were found before.
    pub fn lookup(&mut self, ids: &[ChunkId], out: &mut Vec<Option<Known>>) -> Result<()> {
        out.clear();
        let result = lookup(&mut self.conn, &self.forgotten, ids, out);
        self.check("cannot look up chunks", result)
    }

    /// Removes the rows that [`forget_pack`](Self::forget_pack) left, and returns how many there were. Reads every
    /// chunk's row, so call it once after many packs, when a run is over. Answers are the same before and after.
    ///
    /// # Errors
    /// See [`Catalog`].
    pub fn sweep(&mut self) -> Result<u64> {
        if self.forgotten.is_empty() {
            return Ok(0);
        }
        let result = sweep(&mut self.conn);
        let swept = self.check("cannot sweep forgotten chunks", result)?;
        self.forgotten.clear();
        Ok(swept)
    }
}

fn lookup(
    conn: &mut Connection,
    forgotten: &HashSet<i64>,
    ids: &[ChunkId],
    out: &mut Vec<Option<Known>>,
) -> std::result::Result<(), Fault> {
    out.reserve(ids.len());
    // One read transaction for all of them: taking SQLite's locks costs more than finding a row.
    let tx = conn.transaction()?;
    {
        let mut statement = tx.prepare_cached(FIND)?;
        for id in ids {
            out.push(find(&mut statement, forgotten, id)?);
        }
    }
    tx.commit()?;
    Ok(())
}

fn find(
    statement: &mut CachedStatement<'_>,
    forgotten: &HashSet<i64>,
    id: &ChunkId,
) -> rusqlite::Result<Option<Known>> {
    let row: Option<(i64, Option<i64>)> =
        statement.query_row([id.as_bytes().as_slice()], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let gone = |no: &i64| forgotten.contains(no);
    Ok(row
        .filter(|(pack, base)| !gone(pack) && !base.as_ref().is_some_and(gone))
        .map(|(pack, base)| Known { pack: PackNo(pack), base_pack: base.map(PackNo) }))
}

/// What to do with a delta whose base is not known as a whole chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Orphans {
    /// It must not be: a snapshot that leaned on it could not be restored.
    Refuse,
    /// The base's pack may be gone from the vault, so the delta is as good as gone too.
    LeaveOut,
}

/// Points the chunks of a pack to it, and returns how many were left out.
pub(super) fn insert(
    tx: &Transaction<'_>,
    forgotten: &HashSet<i64>,
    pack: i64,
    chunks: &[(ChunkId, Option<ChunkId>)],
    orphans: Orphans,
) -> std::result::Result<u64, Fault> {
    let mut whole = tx.prepare_cached(INSERT_WHOLE)?;
    for (id, _) in chunks.iter().filter(|(_, base)| base.is_none()) {
        whole.execute(params![id.as_bytes().as_slice(), pack])?;
    }
    // All bases are found before any delta is written: a base may itself be stored again as a delta in this pack.
    let mut found = Vec::new();
    let mut left_out = 0;
    let mut statement = tx.prepare_cached(FIND)?;
    for (id, base) in chunks.iter().filter_map(|(id, base)| base.map(|base| (id, base))) {
        match find(&mut statement, forgotten, &base)? {
            Some(Known { pack, base_pack: None }) => found.push((id, pack.0)),
            other if orphans == Orphans::Refuse => {
                let why = if other.is_some() { "is itself a delta" } else { "is not known" };
                return Err(Fault::Refused(format!("the base {base} of chunk {id} {why}")));
            }
            _ => left_out += 1,
        }
    }
    let mut delta = tx.prepare_cached(INSERT_DELTA)?;
    for (id, base) in found {
        delta.execute(params![id.as_bytes().as_slice(), pack, base])?;
    }
    Ok(left_out)
}

/// Points deltas of a known pack to it that were left out because their bases were not known yet; returns how many are
/// still without one. What is known otherwise stays as it is.
pub(super) fn insert_missing(
    tx: &Transaction<'_>,
    forgotten: &HashSet<i64>,
    pack: i64,
    chunks: &[(ChunkId, Option<ChunkId>)],
) -> std::result::Result<u64, Fault> {
    let mut statement = tx.prepare_cached(FIND)?;
    let mut delta = tx.prepare_cached(INSERT_MISSING)?;
    let mut left_out = 0;
    for (id, base) in chunks.iter().filter_map(|(id, base)| base.map(|base| (id, base))) {
        match find(&mut statement, forgotten, &base)? {
            Some(Known { pack: home, base_pack: None }) => {
                delta.execute(params![id.as_bytes().as_slice(), pack, home.0])?;
            }
            _ => left_out += 1,
        }
    }
    Ok(left_out)
}

fn sweep(conn: &mut Connection) -> std::result::Result<u64, Fault> {
    let tx = conn.transaction()?;
    let rows = tx.execute(
        "DELETE FROM chunks WHERE pack IN (SELECT pack FROM forgotten) OR base IN (SELECT pack FROM forgotten)",
        [],
    )?;
    tx.execute("DELETE FROM forgotten", [])?;
    tx.commit()?;
    Ok(u64::try_from(rows).unwrap_or(u64::MAX))
}
