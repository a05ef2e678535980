//! `journals/<writer>/<source>/<line>/<from>-<to>-<hash>.age`: a stretch of a database's log, and
//! `…/history-<hash>.age`: what a timeline grew out of. Signed inside and sealed outside, each its own commit point.
//!
//! ```text
//! object (before sealing)  u32 length, record  one zstd frame
//! record                   a DSSE envelope, signed by the writer
//! ```
//! The name says what it holds, so that order, gaps and age can be seen without a key; the record inside says the same,
//! and binds it to the vault, the writer, the source and the line.

use serde::{Deserialize, Serialize};

use super::{
    FORMAT, FormatError, Result, bounded,
    cursor::Cursor,
    dsse::{Document, Envelope},
};
use crate::{
    codec::{
        compress::{open_frame, whole_frame},
        hash,
        seal::{Sealed, Sealer},
        sign::{PublicKey, SigningKey},
    },
    model::{
        Hash, Name, Time, VaultId,
        journal::{Line, Piece, Position, Span},
    },
};

/// The most bytes of log in one piece.
pub const LOG_LIMIT: usize = 16 << 20;
/// The most bytes of a timeline's history. Each switch takes a line of text.
pub const HISTORY_LIMIT: usize = 1 << 20;
/// The largest object of a journal as it is stored, in bytes.
pub const SEALED_LIMIT: usize = 32 << 20;
/// The largest record, in bytes of its envelope.
const ENVELOPE_LIMIT: usize = 16 << 10;
/// How hard a piece's log is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Effort {
    /// zstd's usual level.
    #[default]
    Usual,
    /// Half the time for a fifth more bytes, while much waits.
    Less,
}

impl Effort {
    const fn level(self) -> i32 {
        match self {
            Self::Usual => 3,
            Self::Less => 1,
        }
    }
}

/// Whether a piece of this line can have these ends, as far as its kind of log tells. What can't be one is none, whatever
/// its name says.
#[must_use]
pub fn plausible(line: &Line, span: Span) -> bool {
    let file = |at: Position| at.0 >> 32;
    if line.postgres_parts().is_some() {
        return span.distance() <= LOG_LIMIT as u64;
    }
    let next = u64::MAX >> 32;
    !line.as_str().starts_with("my-")
        || file(span.from) == file(span.to)
        || (file(span.from) < next && span.to.0 == (file(span.from) + 1) << 32)
}

/// Whose log an object is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The vault.
    pub vault: VaultId,
    /// The writer.
    pub writer: Name,
    /// The source.
    pub source: Name,
    /// The line.
    pub line: Line,
}

/// What the writer signs of a piece.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The format version of this document.
    pub format: String,
    /// The vault that it belongs to.
    pub vault: VaultId,
    /// The writer that signed it.
    pub writer: Name,
    /// The source whose log it is.
    pub source: Name,
    /// The line.
    pub line: Line,
    /// Where the piece begins.
    pub from: Position,
    /// Where it ends, exclusive.
    pub to: Position,
    /// The object that holds what comes right before it, as far as its writer knows one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Hash>,
    /// When it was made, which says nothing of how old its log is.
    pub at: Time,
    /// All that was committed before this time is in this piece and those before it, by the clock of the server whose log it
    /// is. Nothing where nobody knows: then only what the log holds itself tells how far it reaches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub covers: Option<Time>,
    /// The bytes of log in it.
    pub bytes: u64,
    /// BLAKE3 of these bytes.
    pub plain: Hash,
    /// What a reader must understand to use it.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "bounded::features")]
    pub features: Vec<String>,
}

/// What the writer signs of a timeline's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryRecord {
    /// The format version of this document.
    pub format: String,
    /// The vault that it belongs to.
    pub vault: VaultId,
    /// The writer that signed it.
    pub writer: Name,
    /// The source whose log it is about.
    pub source: Name,
    /// The line whose timeline's history it is.
    pub line: Line,
    /// When it was made.
    pub at: Time,
    /// The bytes of the history.
    pub bytes: u64,
    /// BLAKE3 of these bytes.
    pub plain: Hash,
    /// What a reader must understand to use it.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "bounded::features")]
    pub features: Vec<String>,
}

impl Document for Record {
    const WHAT: &'static str = "journal piece";
    const TYPE: &'static str = "application/vnd.strongroom.journal+json";
    const LIMIT: usize = 4 << 10;

    fn vault(&self) -> VaultId {
        self.vault
    }
}

impl Document for HistoryRecord {
    const WHAT: &'static str = "timeline history";
    const TYPE: &'static str = "application/vnd.strongroom.journal-history+json";
    const LIMIT: usize = 4 << 10;

    fn vault(&self) -> VaultId {
        self.vault
    }
}

/// A sealed object of a journal.
#[derive(Debug, Clone)]
pub struct SealedObject {
    /// BLAKE3 of the sealed bytes, which stands in its name.
    pub hash: Hash,
    /// The bytes.
    pub sealed: Sealed,
}

impl Record {
    /// The record of `log`, the stretch `span` of a line.
    #[must_use]
    pub fn new(origin: &Origin, span: Span, log: &[u8], previous: Option<Hash>, at: Time) -> Self {
        Self::of(origin, span, (log.len() as u64, hash::hash(log)), previous, at)
    }

    /// The same where the hash of the log is known.
    #[must_use]
    pub fn of(origin: &Origin, span: Span, log: (u64, Hash), previous: Option<Hash>, at: Time) -> Self {
        let Origin { vault, writer, source, line } = origin.clone();
        let (bytes, plain) = log;
        let Span { from, to } = span;
        let (format, features) = (FORMAT.to_owned(), Vec::new());
        Self { format, vault, writer, source, line, from, to, previous, at, covers: None, bytes, plain, features }
    }

    /// Signs and seals the piece of which this is the record.
    ///
    /// # Errors
    /// If the log is longer than [`LOG_LIMIT`], or is not what the record says, or sealing fails.
    pub fn seal(&self, log: &[u8], key: &SigningKey, sealer: &Sealer) -> Result<SealedObject> {
        if hash::hash(log) != self.plain {
            return Err(other_bytes::<Self>());
        }
        self.clone().pack(log, Effort::Usual)?.seal(key, sealer)
    }

    /// Compresses the log of which this is the record: its hash must be of this log.
    ///
    /// # Errors
    /// If the log is longer than [`LOG_LIMIT`], or not as long as the record says, or can't be compressed.
    pub fn pack(self, log: &[u8], effort: Effort) -> Result<Packed> {
        self.check()?;
        let frame = packed::<Self>(self.bytes, log, LOG_LIMIT, effort)?;
        Ok(Packed { record: self, frame })
    }

    /// What the record says of its own extent.
    fn check(&self) -> Result<()> {
        let bad = |why: &str| Err(FormatError::damaged(Self::WHAT, why));
        let Some(span) = Span::new(self.from, self.to) else { return bad("it ends before it begins") };
        if self.bytes == 0 {
            return bad("it holds nothing");
        }
        if !plausible(&self.line, span) {
            return bad("no piece of its line can have its ends");
        }
        if self.line.postgres_parts().is_some() && span.distance() != self.bytes {
            return bad("it holds another number of bytes than lie between its ends");
        }
        Ok(())
    }
}

impl HistoryRecord {
    /// The record of a timeline's history.
    #[must_use]
    pub fn new(origin: &Origin, history: &[u8], at: Time) -> Self {
        let Origin { vault, writer, source, line } = origin.clone();
        let (bytes, plain) = (history.len() as u64, hash::hash(history));
        Self { format: FORMAT.to_owned(), vault, writer, source, line, at, bytes, plain, features: Vec::new() }
    }

    /// Signs and seals the history of which this is the record.
    ///
    /// # Errors
    /// If it is longer than [`HISTORY_LIMIT`], or is not what the record says, or sealing fails.
    pub fn seal(&self, history: &[u8], key: &SigningKey, sealer: &Sealer) -> Result<SealedObject> {
        if hash::hash(history) != self.plain {
            return Err(other_bytes::<Self>());
        }
        seal(self, &packed::<Self>(self.bytes, history, HISTORY_LIMIT, Effort::Usual)?, key, sealer)
    }
}

/// A piece whose log is compressed, and needed no more. It can be sealed as often as must be.
#[derive(Debug)]
pub struct Packed {
    record: Record,
    frame: Vec<u8>,
}

impl Packed {
    /// How many bytes of memory it takes.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.frame.len()
    }

    /// Signs and seals the piece.
    ///
    /// # Errors
    /// If sealing fails.
    pub fn seal(&self, key: &SigningKey, sealer: &Sealer) -> Result<SealedObject> {
        seal(&self.record, &self.frame, key, sealer)
    }
}

fn other_bytes<T: Document>() -> FormatError {
    FormatError::damaged(T::WHAT, "its record is of other bytes")
}

fn packed<T: Document>(bytes: u64, plain: &[u8], limit: usize, effort: Effort) -> Result<Vec<u8>> {
    if plain.len() > limit {
        return Err(FormatError::TooLarge { what: T::WHAT, limit });
    }
    if plain.len() as u64 != bytes {
        return Err(other_bytes::<T>());
    }
    let mut frame = whole_frame(effort.level(), plain, limit)?;
    // There was room for what can't be compressed, and this is kept for longer.
    frame.shrink_to_fit();
    Ok(frame)
}

fn seal<T: Document>(record: &T, frame: &[u8], key: &SigningKey, sealer: &Sealer) -> Result<SealedObject> {
    let envelope = Envelope::sign(record, key)?.encode()?;
    let length = u32::try_from(envelope.bytes().len()).unwrap_or(u32::MAX);
    let mut stream = sealer.stream(4 + envelope.bytes().len() + frame.len())?;
    stream.write(&length.to_le_bytes())?;
    stream.write(envelope.bytes())?;
    stream.write(frame)?;
    let file = stream.finish()?;
    if file.sealed.bytes().len() > SEALED_LIMIT {
        return Err(FormatError::TooLarge { what: T::WHAT, limit: SEALED_LIMIT });
    }
    Ok(SealedObject { hash: file.hash, sealed: file.sealed })
}

/// Splits an opened object into its record's envelope, of which nothing is to be believed yet, and its frame.
fn split<T: Document>(plain: &[u8]) -> Result<(Envelope, &[u8])> {
    let mut cursor = Cursor::new(T::WHAT, plain);
    let length = usize::try_from(cursor.u32()?).unwrap_or(usize::MAX);
    if length > ENVELOPE_LIMIT {
        return Err(FormatError::TooLarge { what: T::WHAT, limit: ENVELOPE_LIMIT });
    }
    let envelope = Envelope::decode::<T>(cursor.take(length)?)?;
    let frame = cursor.take(cursor.remaining())?;
    Ok((envelope, frame))
}

/// The bytes that a frame holds, if they are those that were signed.
fn unpacked<T: Document>(frame: &[u8], bytes: u64, wanted: &Hash, limit: usize) -> Result<Vec<u8>> {
    let length = usize::try_from(bytes).unwrap_or(usize::MAX);
    let plain = open_frame(frame, length, limit)?;
    if hash::hash(&plain) != *wanted {
        return Err(FormatError::damaged(T::WHAT, "its bytes are not those that its record is of"));
    }
    Ok(plain)
}

fn foreign<T: Document>() -> FormatError {
    FormatError::untrusted(T::WHAT, "its record is of another stretch, line, source or writer than its name")
}

/// Opens an unsealed piece that lies under the name of `piece`: follows trust from the writer's key to every byte of log.
///
/// # Errors
/// If the signature or the binding does not hold, or the bytes break the format.
pub fn open(plain: &[u8], vault: VaultId, piece: &Piece, key: &PublicKey) -> Result<(Record, Vec<u8>)> {
    let (envelope, frame) = split::<Record>(plain)?;
    let record: Record = envelope.open(key, vault)?;
    let named = (&piece.writer, &piece.source, &piece.line, piece.span.from, piece.span.to);
    if (&record.writer, &record.source, &record.line, record.from, record.to) != named {
        return Err(foreign::<Record>());
    }
    record.check()?;
    let log = unpacked::<Record>(frame, record.bytes, &record.plain, LOG_LIMIT)?;
    Ok((record, log))
}

/// Opens the unsealed history of a line's timeline.
///
/// # Errors
/// As for [`open`].
pub fn open_history(plain: &[u8], origin: &Origin, key: &PublicKey) -> Result<(HistoryRecord, Vec<u8>)> {
    let (envelope, frame) = split::<HistoryRecord>(plain)?;
    let record: HistoryRecord = envelope.open(key, origin.vault)?;
    let named = (&origin.writer, &origin.source, &origin.line);
    if (&record.writer, &record.source, &record.line) != named {
        return Err(foreign::<HistoryRecord>());
    }
    let history = unpacked::<HistoryRecord>(frame, record.bytes, &record.plain, HISTORY_LIMIT)?;
    Ok((record, history))
}

#[cfg(test)]
mod tests;
