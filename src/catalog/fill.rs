//! Filling an empty catalog from the vault's indexes: many packs in one transaction, their chunks in the order of the
//! table.
//!
//! Ids are hashes, so the chunks of one pack lie all over the table. Written pack by pack, each would change a page of
//! its own and the table would be written a hundred times over; sorted, the chunks of many packs change each page once.

use std::collections::HashSet;

use rusqlite::{Connection, TransactionBehavior, params};

use super::{Catalog, Result, chunks, chunks::Entry, error::Fault, packs, schema};
use crate::model::{ChunkId, PackId};

/// A pack that an index in the vault holds.
#[derive(Debug, Clone)]
pub struct IndexedPack {
    /// Its id.
    pub id: PackId,
    /// Its size in bytes, sealed.
    pub bytes: u64,
    /// The store's name for its version, a hint.
    pub version: Option<String>,
    /// The chunks in it, with the base of those that are deltas.
    pub chunks: Vec<(ChunkId, Option<ChunkId>)>,
}

impl Catalog {
    /// Forgets everything, as [`clear`](Self::clear) does, and notes that what follows is a rebuild: until
    /// [`end_rebuild`](Self::end_rebuild), the catalog [is partial](Self::is_partial), however the process ends.
    ///
    /// # Errors
    /// See [`Catalog`].
    pub fn begin_rebuild(&mut self) -> Result<()> {
        let result = super::clear_all(&mut self.conn, true);
        self.check("cannot clear the catalog", result)?;
        self.forgotten.clear();
        (self.empty, self.partial) = (true, true);
        Ok(())
    }

    /// Notes that all of the vault's indexes were fed.
    ///
    /// # Errors
    /// See [`Catalog`].
    pub fn end_rebuild(&mut self) -> Result<()> {
        let result = schema::set_partial(&self.conn, false).map_err(Fault::from);
        self.check("cannot note that the catalog is whole", result)?;
        self.partial = false;
        Ok(())
    }

    /// Whether a rebuild was begun and did not end, so that only some of what is stored is known. What is known is
    /// true.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.partial
    }

    /// Remembers packs that indexes in the vault hold, all or none: feed packs in the order in which they were stored,
    /// many at once. A pack that is known already stops being pending, and its deltas become known whose bases were not
    /// when it was first fed.
    ///
    /// A delta whose base is not known stays unknown, since the base's pack may have been pruned. Returns how many there
    /// are in each pack.
    ///
    /// # Errors
    /// See [`Catalog`].
    pub fn record_indexed_packs(&mut self, packs: &[IndexedPack]) -> Result<Vec<u64>> {
        let result = record(&mut self.conn, &self.forgotten, packs);
        let left_out = self.check("cannot record indexed packs", result)?;
        self.empty &= packs.is_empty();
        Ok(left_out)
    }
}

fn record(
    conn: &mut Connection,
    forgotten: &HashSet<i64>,
    new: &[IndexedPack],
) -> std::result::Result<Vec<u64>, Fault> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let (mut whole, mut deltas, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    for (at, pack) in new.iter().enumerate() {
        let (no, known) = match packs::by_id(&tx, &pack.id)? {
            Some(row) => {
                packs::drop_section(&tx, row.no)?;
                (row.no.0, true)
            }
            None => (packs::insert_row(&tx, &pack.id, pack.bytes, pack.version.as_deref(), None)?, false),
        };
        for (id, base) in &pack.chunks {
            match base {
                Some(base) if known => missing.push(Entry { id, base, pack: no, at }),
                Some(base) => deltas.push(Entry { id, base, pack: no, at }),
                None if known => {}
                None => whole.push((id, no)),
            }
        }
    }
    // Of several packs with the same chunk, the newest comes last.
    whole.sort_unstable();
    {
        let mut insert = tx.prepare_cached(chunks::INSERT_WHOLE)?;
        for (id, no) in whole {
            insert.execute(params![id.as_bytes().as_slice(), no])?;
        }
    }
    let mut left_out = vec![0; new.len()];
    chunks::insert_deltas(&tx, forgotten, chunks::INSERT_DELTA, deltas, &mut left_out)?;
    chunks::keep_missing(&tx, forgotten, &mut missing)?;
    chunks::insert_deltas(&tx, forgotten, chunks::INSERT_MISSING, missing, &mut left_out)?;
    tx.commit()?;
    Ok(left_out)
}
