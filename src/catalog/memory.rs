//! What a source left for its next run: a note of its own, and the lists of its last snapshot's streams, so that the next
//! snapshot can lean on them without reading them again. The writer can't look them up in the vault, which it can't open.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params, types::Type};

use super::{Catalog, Result, error::Fault, signed, unsigned};
use crate::{
    codec::hash::Hasher,
    model::{Hash, Name, SnapshotId, Time},
};

/// A stream of a snapshot, with all of its chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its name.
    pub name: Name,
    /// The real relative path that it came from.
    pub path: Option<String>,
    /// Its length in bytes.
    pub bytes: u64,
    /// BLAKE3 of all of it.
    pub blake3: Hash,
    /// Its chunks, as an encoded list.
    pub chunks: Vec<u8>,
}

/// What one source left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    /// The snapshot that its last run made.
    pub snapshot: SnapshotId,
    /// Until when that is locked, at least.
    pub floor: Time,
    /// What the source noted, in JSON.
    pub note: String,
    /// The snapshot's streams, in order.
    pub streams: Vec<Kept>,
}

impl Memory {
    /// A hash of all of it: what a disk has changed must not be leaned on.
    fn sum(&self) -> Hash {
        let mut hasher = Hasher::new();
        let mut add = |bytes: &[u8]| {
            hasher.update(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes());
            hasher.update(bytes);
        };
        add(self.snapshot.as_bytes());
        add(&self.floor.unix().to_le_bytes());
        add(self.note.as_bytes());
        for stream in &self.streams {
            add(stream.name.as_str().as_bytes());
            add(stream.path.as_deref().unwrap_or_default().as_bytes());
            add(&stream.bytes.to_le_bytes());
            add(stream.blake3.as_bytes());
            add(&stream.chunks);
        }
        hasher.finish()
    }
}

impl Catalog {
    /// Remembers what `source` left, in place of what it left before.
    ///
    /// # Errors
    /// See [`Catalog`].
    pub fn remember(&mut self, source: &Name, memory: &Memory) -> Result<()> {
        let result = remember(&mut self.conn, source, memory);
        self.check("cannot remember what a source left", result)
    }

    /// What `source` left; nothing if that is not known, or is not as it was stored.
    ///
    /// # Errors
    /// See [`Catalog`].
    pub fn recall(&mut self, source: &Name) -> Result<Option<Memory>> {
        let result = recall(&self.conn, source);
        self.check("cannot recall what a source left", result)
    }
}

fn remember(conn: &mut Connection, source: &Name, memory: &Memory) -> std::result::Result<(), Fault> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute("DELETE FROM kept WHERE source = ?1", [source.as_str()])?;
    {
        let mut insert = tx.prepare_cached(
            "INSERT INTO kept(source, at, name, path, bytes, blake3, chunks) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?;
        for (at, stream) in (0_i64..).zip(&memory.streams) {
            insert.execute(params![
                source.as_str(),
                at,
                stream.name.as_str(),
                stream.path,
                signed(stream.bytes)?,
                stream.blake3.as_bytes().as_slice(),
                stream.chunks,
            ])?;
        }
    }
    tx.execute(
        "INSERT OR REPLACE INTO memories(source, snapshot, floor, note, sum) VALUES(?1, ?2, ?3, ?4, ?5)",
        params![
            source.as_str(),
            memory.snapshot.as_bytes().as_slice(),
            memory.floor.unix(),
            memory.note,
            memory.sum().as_bytes().as_slice(),
        ],
    )?;
    tx.commit()?;
    Ok(())
}

fn recall(conn: &Connection, source: &Name) -> std::result::Result<Option<Memory>, Fault> {
    let mut statement = conn.prepare_cached("SELECT snapshot, floor, note, sum FROM memories WHERE source = ?1")?;
    let found = statement
        .query_row([source.as_str()], |row| {
            let snapshot = SnapshotId::from_bytes(row.get(0)?);
            let memory =
                Memory { snapshot, floor: Time::from_unix(row.get(1)?), note: row.get(2)?, streams: Vec::new() };
            Ok((memory, Hash::from_bytes(row.get(3)?)))
        })
        .optional()?;
    let Some((mut memory, sum)) = found else { return Ok(None) };
    let mut statement =
        conn.prepare_cached("SELECT name, path, bytes, blake3, chunks FROM kept WHERE source = ?1 ORDER BY at")?;
    let rows = statement.query_map([source.as_str()], |row| {
        let name: String = row.get(0)?;
        let name = name.parse().map_err(|e| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(e)))?;
        let (bytes, blake3) = (unsigned(row, 2)?, Hash::from_bytes(row.get(3)?));
        Ok(Kept { name, path: row.get(1)?, bytes, blake3, chunks: row.get(4)? })
    })?;
    memory.streams = rows.collect::<rusqlite::Result<_>>()?;
    if memory.sum() != sum {
        tracing::warn!(%source, "what the last run left is damaged and not used");
        return Ok(None);
    }
    Ok(Some(memory))
}
