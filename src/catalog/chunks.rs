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
pub(super) const INSERT_WHOLE: &str = "INSERT INTO chunks(id, pack, base) VALUES(?1, ?2, NULL) \
     ON CONFLICT(id) DO UPDATE SET pack = excluded.pack, base = NULL";
// A chunk that the same pack also holds whole stays whole, and so does one that a newer pack holds.
pub(super) const INSERT_DELTA: &str = "INSERT INTO chunks(id, pack, base) VALUES(?1, ?2, ?3) \
     ON CONFLICT(id) DO UPDATE SET pack = excluded.pack, base = excluded.base WHERE chunks.pack < excluded.pack";

// A row that names a forgotten pack is as good as none.
pub(super) const INSERT_MISSING: &str = "INSERT INTO chunks(id, pack, base) VALUES(?1, ?2, ?3) \
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

/// Points the chunks of a new pack to it. The base of each delta must be known as a whole chunk: a snapshot that leaned
/// on the delta could not be restored otherwise.
pub(super) fn insert(
    tx: &Transaction<'_>,
    forgotten: &HashSet<i64>,
    pack: i64,
    chunks: &[(ChunkId, Option<ChunkId>)],
) -> std::result::Result<(), Fault> {
    let mut whole = tx.prepare_cached(INSERT_WHOLE)?;
    for (id, _) in chunks.iter().filter(|(_, base)| base.is_none()) {
        whole.execute(params![id.as_bytes().as_slice(), pack])?;
    }
    // All bases are found before any delta is written: a base may itself be stored again as a delta in this pack.
    let mut found = Vec::new();
    let mut statement = tx.prepare_cached(FIND)?;
    for (id, base) in chunks.iter().filter_map(|(id, base)| base.map(|base| (id, base))) {
        match find(&mut statement, forgotten, &base)? {
            Some(Known { pack, base_pack: None }) => found.push((id, pack.0)),
            other => {
                let why = if other.is_some() { "is itself a delta" } else { "is not known" };
                return Err(Fault::Refused(format!("the base {base} of chunk {id} {why}")));
            }
        }
    }
    let mut delta = tx.prepare_cached(INSERT_DELTA)?;
    for (id, base) in found {
        delta.execute(params![id.as_bytes().as_slice(), pack, base])?;
    }
    Ok(())
}

/// A delta of a pack that an index holds.
pub(super) struct Entry<'a> {
    pub(super) id: &'a ChunkId,
    pub(super) base: &'a ChunkId,
    pub(super) pack: i64,
    /// Where those are counted that have no base.
    pub(super) at: usize,
}

/// Leaves out what is known already.
pub(super) fn keep_missing(
    tx: &Transaction<'_>,
    forgotten: &HashSet<i64>,
    deltas: &mut Vec<Entry<'_>>,
) -> std::result::Result<(), Fault> {
    deltas.sort_unstable_by_key(|delta| delta.id);
    let mut statement = tx.prepare_cached(FIND)?;
    let mut missing = Vec::new();
    for delta in deltas.drain(..) {
        if find(&mut statement, forgotten, delta.id)?.is_none() {
            missing.push(delta);
        }
    }
    *deltas = missing;
    Ok(())
}

/// Points deltas to their packs by `insert`. Those whose base is not known as a whole chunk are left out and counted,
/// since the base's pack may be gone from the vault, and then they are as good as gone too.
pub(super) fn insert_deltas(
    tx: &Transaction<'_>,
    forgotten: &HashSet<i64>,
    insert: &str,
    mut deltas: Vec<Entry<'_>>,
    left_out: &mut [u64],
) -> std::result::Result<(), Fault> {
    // In the order of the table, whose pages are then each read and written once.
    deltas.sort_unstable_by_key(|delta| delta.base);
    let mut found = Vec::with_capacity(deltas.len());
    let mut statement = tx.prepare_cached(FIND)?;
    for delta in deltas {
        match find(&mut statement, forgotten, delta.base)? {
            Some(Known { pack: home, base_pack: None }) => found.push((delta.id, delta.pack, home.0)),
            _ => left_out.iter_mut().skip(delta.at).take(1).for_each(|count| *count += 1),
        }
    }
    found.sort_unstable();
    let mut statement = tx.prepare_cached(insert)?;
    for (id, pack, home) in found {
        statement.execute(params![id.as_bytes().as_slice(), pack, home])?;
    }
    Ok(())
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
