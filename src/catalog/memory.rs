//! What a source left for its next run: a note of its own, and the lists of its last snapshot's streams, so that the next
//! snapshot can lean on them without reading them again. The writer can't look them up in the vault, which it can't open.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params, types::Type};

use super::{Catalog, Result, error::Fault, signed, unsigned};
use crate::{
    codec::hash::Hasher,
    model::{Hash, Name, SnapshotId, Time},
};

/// A stream of a snapshot. Its chunks stay in the catalog: 36 bytes each are too much to hold of a large repository.
///
/// A long list stands in several rows: those before the stream's own have parts of it and no name.
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
    /// Where its chunks are.
    place: Place,
}

/// Where the chunks of a stream are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    /// Whether it is of a run that goes on.
    new: bool,
    /// The row of the stream itself, which has the end of its list.
    at: i64,
    /// How many rows before it have what comes before.
    parts: u32,
}

impl Kept {
    /// In how many parts its list is kept.
    #[must_use]
    pub const fn parts(&self) -> u32 {
        self.place.parts + 1
    }
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
    /// The snapshot's streams.
    pub streams: Vec<Kept>,
}

/// A hash of all of it: what a disk has changed must not be leaned on.
struct Sum(Hasher);

impl Sum {
    fn of(memory: &Memory) -> Self {
        let mut sum = Self(Hasher::new());
        sum.add(memory.snapshot.as_bytes());
        sum.add(&memory.floor.unix().to_le_bytes());
        sum.add(memory.note.as_bytes());
        sum
    }

    fn add(&mut self, bytes: &[u8]) {
        self.0.update(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes());
        self.0.update(bytes);
    }

    fn row(&mut self, stream: Option<&Kept>, chunks: &[u8]) {
        let Some(stream) = stream else { return self.add(chunks) };
        self.add(stream.name.as_str().as_bytes());
        self.add(stream.path.as_deref().unwrap_or_default().as_bytes());
        self.add(&stream.bytes.to_le_bytes());
        self.add(stream.blake3.as_bytes());
        self.add(chunks);
    }
}

impl Catalog {
    /// Keeps a part of the list of the stream of `source` that is [kept](Self::keep) next.
    ///
    /// # Errors
    /// See [`Catalog`].
    pub fn keep_part(&mut self, source: &Name, chunks: &[u8]) -> Result<()> {
        let result = insert(&self.conn, source, None, chunks);
        self.check("cannot keep a part of the list of a stream", result).map(drop)
    }

    /// Keeps a stream of a run of `source`: `chunks` is its encoded list, or the end of it if parts of it are kept already.
    /// It is gone with the next [`recall`](Self::recall) unless the run is [remembered](Self::remember).
    ///
    /// # Errors
    /// See [`Catalog`].
    pub fn keep(
        &mut self,
        source: &Name,
        (name, path): (Name, Option<String>),
        (bytes, blake3): (u64, Hash),
        chunks: &[u8],
    ) -> Result<Kept> {
        let mut stream = Kept { name, path, bytes, blake3, place: Place { new: true, at: 0, parts: 0 } };
        let result = keep(&self.conn, source, &stream, chunks);
        (stream.place.at, stream.place.parts) = self.check("cannot keep the list of a stream", result)?;
        Ok(stream)
    }

    /// A [part](Kept::parts) of the encoded list of a stream's chunks, which holds whole entries.
    ///
    /// # Errors
    /// See [`Catalog`].
    pub fn chunks_of(&mut self, source: &Name, stream: &Kept, part: u32) -> Result<Vec<u8>> {
        let Place { new, at, parts } = stream.place;
        let at = at - i64::from(parts) + i64::from(part);
        let result = self
            .conn
            .prepare_cached("SELECT chunks FROM kept WHERE source = ?1 AND at = ?2")
            .and_then(|mut s| s.query_row(params![key(source, new), at], |row| row.get(0)));
        self.check("cannot read the list of a stream", result.map_err(Fault::from))
    }

    /// Remembers what `source` left, in place of what it left before: of its streams some may have been recalled.
    ///
    /// # Errors
    /// See [`Catalog`].
    pub fn remember(&mut self, source: &Name, memory: &Memory) -> Result<()> {
        let result = remember(&mut self.conn, source, memory);
        self.check("cannot remember what a source left", result)
    }

    /// What `source` left; nothing if that is not known, or is not as it was stored. What a run kept that was not remembered
    /// is forgotten.
    ///
    /// # Errors
    /// See [`Catalog`].
    pub fn recall(&mut self, source: &Name) -> Result<Option<Memory>> {
        let result = recall(&self.conn, source);
        self.check("cannot recall what a source left", result)
    }
}

/// What the streams of a source stand under, or those of its run that goes on: no name has a colon.
fn key(source: &Name, new: bool) -> String {
    if new { format!(":{source}") } else { source.to_string() }
}

/// Keeps a stream; says where, and how many parts of its list stand before it.
fn keep(conn: &Connection, source: &Name, stream: &Kept, chunks: &[u8]) -> std::result::Result<(i64, u32), Fault> {
    let parts = conn
        .prepare_cached(
            "SELECT COUNT(*) FROM kept WHERE source = ?1 AND at > \
             COALESCE((SELECT MAX(at) FROM kept WHERE source = ?1 AND name <> ''), -1)",
        )?
        .query_row([key(source, true)], |row| row.get(0))?;
    Ok((insert(conn, source, Some(stream), chunks)?, parts))
}

/// Adds a row of a stream, or of a part of a list; says where.
fn insert(conn: &Connection, source: &Name, stream: Option<&Kept>, chunks: &[u8]) -> std::result::Result<i64, Fault> {
    let (old, new) = (key(source, false), key(source, true));
    let at: i64 = conn
        .prepare_cached("SELECT COALESCE(MAX(at), -1) + 1 FROM kept WHERE source IN (?1, ?2)")?
        .query_row([&old, &new], |row| row.get(0))?;
    conn.prepare_cached(
        "INSERT INTO kept(source, at, name, path, bytes, blake3, chunks) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        new,
        at,
        stream.map_or("", |stream| stream.name.as_str()),
        stream.and_then(|stream| stream.path.as_deref()),
        signed(stream.map_or(0, |stream| stream.bytes))?,
        stream.map_or(&[][..], |stream| stream.blake3.as_bytes().as_slice()),
        chunks,
    ])?;
    Ok(at)
}

fn remember(conn: &mut Connection, source: &Name, memory: &Memory) -> std::result::Result<(), Fault> {
    let (old, new) = (key(source, false), key(source, true));
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let rows = |new: bool| {
        let of = move |place: Place| place.at - i64::from(place.parts)..=place.at;
        memory.streams.iter().map(|stream| stream.place).filter(move |place| place.new == new).flat_map(of)
    };
    let stay: HashSet<i64> = rows(false).collect();
    let there = {
        let mut there = tx.prepare_cached("SELECT at FROM kept WHERE source = ?1")?;
        there.query_map([&old], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?
    };
    for at in there.into_iter().filter(|at| !stay.contains(at)) {
        tx.prepare_cached("DELETE FROM kept WHERE source = ?1 AND at = ?2")?.execute(params![old, at])?;
    }
    for at in rows(true) {
        let mut rename = tx.prepare_cached("UPDATE kept SET source = ?1 WHERE source = ?2 AND at = ?3")?;
        rename.execute(params![old, new, at])?;
    }
    forget(&tx, source)?;
    let mut sum = Sum::of(memory);
    streams(&tx, source, |stream, chunks| sum.row(stream.as_ref(), chunks))?;
    tx.execute(
        "INSERT OR REPLACE INTO memories(source, snapshot, floor, note, sum) VALUES(?1, ?2, ?3, ?4, ?5)",
        params![
            old,
            memory.snapshot.as_bytes().as_slice(),
            memory.floor.unix(),
            memory.note,
            sum.0.finish().as_bytes().as_slice(),
        ],
    )?;
    tx.commit()?;
    Ok(())
}

/// Forgets what a run kept that is not remembered.
fn forget(conn: &Connection, source: &Name) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM kept WHERE source = ?1")?.execute([key(source, true)]).map(drop)
}

fn recall(conn: &Connection, source: &Name) -> std::result::Result<Option<Memory>, Fault> {
    forget(conn, source)?;
    let mut statement = conn.prepare_cached("SELECT snapshot, floor, note, sum FROM memories WHERE source = ?1")?;
    let found = statement
        .query_row([source.as_str()], |row| {
            let snapshot = SnapshotId::from_bytes(row.get(0)?);
            let memory =
                Memory { snapshot, floor: Time::from_unix(row.get(1)?), note: row.get(2)?, streams: Vec::new() };
            Ok((memory, Hash::from_bytes(row.get(3)?)))
        })
        .optional()?;
    let Some((mut memory, was)) = found else { return Ok(None) };
    let mut sum = Sum::of(&memory);
    streams(conn, source, |stream, chunks| {
        sum.row(stream.as_ref(), chunks);
        memory.streams.extend(stream);
    })?;
    if sum.0.finish() != was {
        tracing::warn!(%source, "what the last run left is damaged and not used");
        return Ok(None);
    }
    Ok(Some(memory))
}

/// Gives the streams that a source left to `each`, in order, with their lists, one row of which is in memory at a time: those
/// that have no stream come before the one whose list they begin.
fn streams(
    conn: &Connection,
    source: &Name,
    mut each: impl FnMut(Option<Kept>, &[u8]),
) -> std::result::Result<(), Fault> {
    let mut statement =
        conn.prepare_cached("SELECT name, path, bytes, blake3, at, chunks FROM kept WHERE source = ?1 ORDER BY at")?;
    let mut rows = statement.query([source.as_str()])?;
    let mut parts = 0;
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        let chunks = row
            .get_ref(5)?
            .as_blob()
            .map_err(|e| rusqlite::Error::FromSqlConversionFailure(5, Type::Blob, Box::new(e)))?;
        if name.is_empty() {
            parts += 1;
            each(None, chunks);
            continue;
        }
        let name = name.parse().map_err(|e| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(e)))?;
        let (bytes, blake3) = (unsigned(row, 2)?, Hash::from_bytes(row.get(3)?));
        let place = Place { new: false, at: row.get(4)?, parts: std::mem::take(&mut parts) };
        each(Some(Kept { name, path: row.get(1)?, bytes, blake3, place }), chunks);
    }
    Ok(())
}
