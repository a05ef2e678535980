//! Which chunk was the last to have a super-feature: how a similar chunk is found for a new one.
//!
//! Only chunks whose plaintext the local cache has are worth finding, so the table is as bounded as the cache.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::{Catalog, PackNo, Result, error::Fault};
use crate::model::ChunkId;

/// A chunk that has super-features in common with another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Similar {
    /// The chunk.
    pub chunk: ChunkId,
    /// The pack that held it when its features were noted.
    pub pack: PackNo,
    /// How many it has in common.
    pub votes: usize,
}

impl Catalog {
    /// Notes the super-features of whole chunks of a pack, which later chunks may resemble. Newer ones take the place
    /// of older ones.
    ///
    /// # Errors
    /// See [`Catalog`].
    pub fn add_features<'a>(
        &mut self,
        pack: PackNo,
        sketches: impl IntoIterator<Item = (&'a ChunkId, &'a [u64])>,
    ) -> Result<()> {
        let result = add(&mut self.conn, pack, sketches);
        self.check("cannot note the features of chunks", result)
    }

    /// The chunk that has the most of these super-features; of several, the one noted in the newest pack.
    ///
    /// # Errors
    /// See [`Catalog`].
    pub fn similar(&mut self, sketch: &[u64]) -> Result<Option<Similar>> {
        let result = similar(&mut self.conn, sketch);
        self.check("cannot look up features", result)
    }

    /// Forgets the features of chunks of packs other than these, and returns how many there were. Reads the whole
    /// table, so it is for the end of a run that dropped something from the cache.
    ///
    /// # Errors
    /// See [`Catalog`].
    pub fn keep_features(&mut self, packs: &HashSet<PackNo>) -> Result<u64> {
        let result = keep(&mut self.conn, packs);
        self.check("cannot forget features", result)
    }
}

fn add<'a>(
    conn: &mut Connection,
    pack: PackNo,
    sketches: impl IntoIterator<Item = (&'a ChunkId, &'a [u64])>,
) -> std::result::Result<(), Fault> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    {
        let mut insert =
            tx.prepare_cached("INSERT OR REPLACE INTO features(feature, chunk, pack) VALUES(?1, ?2, ?3)")?;
        for (chunk, sketch) in sketches {
            for feature in sketch {
                insert.execute(params![feature.cast_signed(), chunk.as_bytes().as_slice(), pack.0])?;
            }
        }
    }
    tx.commit()?;
    Ok(())
}

fn similar(conn: &mut Connection, sketch: &[u64]) -> std::result::Result<Option<Similar>, Fault> {
    // Read only, so nothing is to be committed; without it each of them takes and gives back SQLite's locks.
    let tx = conn.transaction()?;
    let mut statement = tx.prepare_cached("SELECT chunk, pack FROM features WHERE feature = ?1")?;
    let mut found: Vec<Similar> = Vec::with_capacity(sketch.len());
    for feature in sketch {
        let row: Option<([u8; 32], i64)> =
            statement.query_row([feature.cast_signed()], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let Some((chunk, pack)) = row else { continue };
        let chunk = ChunkId::from_bytes(chunk);
        match found.iter_mut().find(|other| other.chunk == chunk) {
            Some(other) => {
                other.votes += 1;
                other.pack = other.pack.max(PackNo(pack));
            }
            None => found.push(Similar { chunk, pack: PackNo(pack), votes: 1 }),
        }
    }
    Ok(found.into_iter().max_by_key(|similar| (similar.votes, similar.pack)))
}

fn keep(conn: &mut Connection, packs: &HashSet<PackNo>) -> std::result::Result<u64, Fault> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute_batch("CREATE TEMP TABLE cached(pack INTEGER PRIMARY KEY)")?;
    {
        let mut insert = tx.prepare("INSERT INTO cached(pack) VALUES(?1)")?;
        for no in packs {
            insert.execute([no.0])?;
        }
    }
    let gone = tx.execute("DELETE FROM features WHERE pack NOT IN (SELECT pack FROM cached)", [])?;
    tx.execute_batch("DROP TABLE cached")?;
    tx.commit()?;
    Ok(u64::try_from(gone).unwrap_or(u64::MAX))
}
