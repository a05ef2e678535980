//! A snapshot's body: what only those who can open it may know. A chunked stream in packs, like the data.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

use super::{
    FORMAT, FormatError, Result, bounded,
    list::ChunkRef,
    text::{self, Versioned},
};
use crate::model::{ChunkerParams, FileMeta, Fingerprint, Hash, Name};

const WHAT: &str = "snapshot body";
/// The largest body in bytes. It holds about 30 TiB of one stream, or some hundred thousand small ones.
pub const BODY_LIMIT: usize = 96 << 20;
/// A stream of at most this many chunks lists them in the body; a longer one has a chunked list of its own.
pub const INLINE_CHUNKS: usize = 32;

/// One stream of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored")]
pub struct StreamRecord {
    /// Its name, unique within the snapshot.
    pub name: Name,
    /// The real relative path that it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<Box<str>>,
    /// What the file system knew of it.
    #[serde(default, flatten)]
    pub meta: FileMeta,
    /// Its length in bytes.
    pub bytes: u64,
    /// BLAKE3 of all of it.
    pub blake3: Hash,
    /// How many chunks it has.
    pub chunks: u64,
    /// 0: `list` names the stream's chunks. 1: `list` names the chunks of its encoded list.
    pub depth: u8,
    /// Chunks of the stream or of its list, by `depth`.
    pub list: Vec<ChunkRef>,
}

/// A stream as it is read. What is flattened would be read through a copy in memory of all fields that nobody knows.
#[derive(Deserialize)]
struct Stored {
    name: Name,
    path: Option<Box<str>>,
    mode: Option<u32>,
    mtime_ns: Option<i64>,
    link: Option<Box<str>>,
    #[serde(default)]
    dir: bool,
    bytes: u64,
    blake3: Hash,
    chunks: u64,
    depth: u8,
    list: Vec<ChunkRef>,
}

impl From<Stored> for StreamRecord {
    fn from(stored: Stored) -> Self {
        let Stored { name, path, mode, mtime_ns, link, dir, bytes, blake3, chunks, depth, mut list } = stored;
        // Most files have one chunk, and a list that grew has room for four.
        list.shrink_to_fit();
        Self { name, path, meta: FileMeta { mode, mtime_ns, link, dir }, bytes, blake3, chunks, depth, list }
    }
}

/// A snapshot's body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Body {
    /// The format version of this document.
    pub format: String,
    /// The streams in the order in which they were read.
    #[serde(deserialize_with = "bounded::streams")]
    pub streams: Vec<StreamRecord>,
    /// Facts of the source, such as a repository's refs.
    #[serde(default, deserialize_with = "bounded::value")]
    pub details: serde_json::Value,
    /// What databases held at the instant of their dumps.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "bounded::facts")]
    pub fingerprints: Vec<Fingerprint>,
    /// What the source warned of; of very much, the beginning.
    #[serde(default, deserialize_with = "bounded::warnings")]
    pub warnings: Vec<String>,
}

/// A body as it is read, and what it announces.
#[derive(Deserialize)]
struct Document {
    format: String,
    #[serde(default, deserialize_with = "bounded::features")]
    features: Vec<String>,
    #[serde(deserialize_with = "bounded::streams")]
    streams: Vec<StreamRecord>,
    #[serde(default, deserialize_with = "bounded::value")]
    details: serde_json::Value,
    #[serde(default, deserialize_with = "bounded::facts")]
    fingerprints: Vec<Fingerprint>,
    #[serde(default, deserialize_with = "bounded::warnings")]
    warnings: Vec<String>,
}

/// Records of streams, wherever they are.
pub trait Records {
    /// How many there are.
    fn count(&self) -> u64;

    /// Gives all of them to `each`, in their order.
    ///
    /// # Errors
    /// If they can't be read, or `each` fails.
    fn each(&self, each: &mut dyn FnMut(&StreamRecord) -> io::Result<()>) -> io::Result<()>;
}

impl Records for Vec<StreamRecord> {
    fn count(&self) -> u64 {
        self.len() as u64
    }

    fn each(&self, each: &mut dyn FnMut(&StreamRecord) -> io::Result<()>) -> io::Result<()> {
        self.iter().try_for_each(each)
    }
}

impl Body {
    /// A body of these streams and facts.
    #[must_use]
    pub fn new(streams: Vec<StreamRecord>, details: serde_json::Value, warnings: Vec<String>) -> Self {
        Self { format: FORMAT.to_owned(), streams, details, fingerprints: Vec::new(), warnings }
    }

    /// The body's bytes, before they are chunked and sealed.
    ///
    /// # Errors
    /// If it is larger than [`BODY_LIMIT`].
    pub fn encode(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.write(&mut bytes).map(|()| bytes)
    }

    /// Writes the body's bytes to `out`, none if it is too large.
    ///
    /// # Errors
    /// If it is larger than [`BODY_LIMIT`], or `out` fails.
    pub fn write(&self, out: &mut dyn Write) -> Result<()> {
        let mut size = Counter(0);
        let damaged = |e: serde_json::Error| FormatError::damaged(WHAT, e.to_string());
        serde_json::to_writer(&mut size, self).map_err(damaged)?;
        if size.0 > BODY_LIMIT {
            return Err(FormatError::TooLarge { what: WHAT, limit: BODY_LIMIT });
        }
        serde_json::to_writer(out, self).map_err(damaged)
    }

    /// As [`write`](Self::write), with `records` in the place of its own streams, of which it has none: `len` bytes, which are
    /// records as a body spells them, with commas between them.
    ///
    /// # Errors
    /// As [`write`](Self::write), and if `records` fails.
    pub fn write_around(
        &self,
        (len, records): (usize, impl FnOnce(&mut dyn Write) -> io::Result<()>),
        out: &mut dyn Write,
    ) -> Result<()> {
        let damaged = |e: serde_json::Error| FormatError::damaged(WHAT, e.to_string());
        let mut size = Counter(len);
        serde_json::to_writer(&mut size, self).map_err(damaged)?;
        if size.0 > BODY_LIMIT {
            return Err(FormatError::TooLarge { what: WHAT, limit: BODY_LIMIT });
        }
        let format = serde_json::to_string(&self.format).map_err(damaged)?;
        let before = r#"{"format":,"streams":["#.len() + format.len();
        serde_json::to_writer(Around { out, before, records: Some(records) }, self).map_err(damaged)
    }

    /// Decodes a body and checks what it says of its streams.
    ///
    /// # Errors
    /// If it can't be decoded or contradicts itself.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        text::decode(WHAT, bytes, BODY_LIMIT).and_then(Self::checked)
    }

    /// As [`decode`](Self::decode), of bytes that are read one by one, at most [`BODY_LIMIT`] of them: a large body is as large
    /// again once it is decoded. If it fails, [`why`](Self::why) says whether a later version made it.
    ///
    /// # Errors
    /// If it can't be decoded or contradicts itself.
    pub fn read(from: impl Read) -> Result<Self> {
        let Document { format, features, streams, details, fingerprints, warnings } = text::read(WHAT, from)?;
        let versioned = Versioned { format, features };
        text::understood(WHAT, &versioned)?;
        Self { format: versioned.format, streams, details, fingerprints, warnings }.checked()
    }

    /// Reads a body again that could not be decoded, for the version that it says it is of.
    ///
    /// # Errors
    /// If that is the reason.
    pub fn why(from: impl Read) -> Result<()> {
        text::read_version(WHAT, from)
    }

    fn checked(self) -> Result<Self> {
        let mut names: Vec<&Name> = self.streams.iter().map(|s| &s.name).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
            return Err(FormatError::damaged(WHAT, "two of its streams have one name"));
        }
        self.streams.iter().try_for_each(check_stream)?;
        Ok(self)
    }
}

/// Writes something else where so many bytes were written.
struct Around<'a, F> {
    out: &'a mut dyn Write,
    before: usize,
    records: Option<F>,
}

impl<F: FnOnce(&mut dyn Write) -> io::Result<()>> Write for Around<'_, F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.before == 0
            && let Some(records) = self.records.take()
        {
            records(self.out)?;
        }
        let now = if self.records.is_some() { bytes.len().min(self.before) } else { bytes.len() };
        let written = self.out.write(bytes.get(..now).unwrap_or_default())?;
        self.before = self.before.saturating_sub(written);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Counts what is written.
struct Counter(usize);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn check_stream(stream: &StreamRecord) -> Result<()> {
    let bad = |why: &str| Err(FormatError::damaged(WHAT, format!("stream {}: {why}", stream.name)));
    let FileMeta { mode, link, dir, .. } = &stream.meta;
    if mode.is_some_and(|mode| mode > 0o7777) {
        return bad("its mode is more than permission bits");
    }
    if (*dir || link.is_some()) && (stream.bytes > 0 || stream.chunks > 0) || *dir && link.is_some() {
        return bad("a link or a directory has contents, or it is both");
    }
    if stream.depth > 1 {
        return bad("its list has an unknown depth");
    }
    if stream.list.iter().any(|c| c.len == 0 || c.len > ChunkerParams::LIMIT) {
        return bad("a chunk's length is out of bounds");
    }
    let listed = stream.list.iter().map(|c| u64::from(c.len)).fold(0, u64::saturating_add);
    let expected =
        if stream.depth == 0 { stream.bytes } else { stream.chunks.saturating_mul(super::list::ENTRY as u64) };
    if listed != expected {
        return bad("its list does not add up to its length");
    }
    if stream.depth == 0 && stream.list.len() as u64 != stream.chunks {
        return bad("its list does not hold the chunks that it counts");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Hash;

    /// Gives a byte or two at a time.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
            let few = buf.len().min(2);
            self.0.read(&mut buf[..few])
        }
    }

    #[test]
    fn a_body_is_the_same_read_bit_by_bit_and_says_the_same_when_it_is_wrong() {
        let stream = |no: usize| StreamRecord {
            name: format!("s{no}").parse().unwrap(),
            path: Some(format!("d/{no:0>100}").into()),
            meta: FileMeta::default(),
            bytes: 0,
            blake3: Hash::from_bytes([7; 32]),
            chunks: 0,
            depth: 0,
            list: Vec::new(),
        };
        let same = |bytes: &[u8]| {
            let (whole, read) = (Body::decode(bytes), Body::read(Slow(bytes)));
            let read = read.map_err(|error| Body::why(Slow(bytes)).err().unwrap_or(error));
            // Where an error lies is told by line and column, which a reader counts differently.
            let told = |found: &Result<Body>| found.as_ref().err().map(std::mem::discriminant);
            assert_eq!(told(&whole), told(&read));
            assert_eq!(whole.as_ref().ok(), read.as_ref().ok());
            whole.is_ok()
        };
        let mut body = Body::new((0..400).map(stream).collect(), serde_json::json!({"a": [1]}), vec!["w".to_owned()]);
        let good = body.encode().unwrap();
        assert!(same(&good));
        assert!(!same(&good[..good.len() - 1]));
        assert!(!same(&[&good[..], b"x"].concat()));
        body.format = "2".to_owned();
        assert!(!same(&body.encode().unwrap()));
        for later in [
            r#"{"format":"1","features":["x"],"streams":[]}"#,
            r#"{"streams":7,"format":"2"}"#,
            r#"{"streams":7,"features":["x"],"format":"1"}"#,
            r#"{"streams":7,"format":"1"}"#,
        ] {
            assert!(!same(later.as_bytes()), "{later}");
        }
        body.format = FORMAT.to_owned();
        body.streams.push(stream(0));
        assert!(!same(&body.encode().unwrap()));
    }

    #[test]
    fn a_body_around_records_is_the_same() {
        let chunk = ChunkRef { id: crate::model::ChunkId::from_bytes([1; 32]), len: 9 };
        let stream = |no: usize| StreamRecord {
            name: format!("s{no}").parse().unwrap(),
            path: Some(format!("d/\"{no}").into()),
            meta: FileMeta { mode: Some(0o644), ..FileMeta::default() },
            bytes: 9,
            blake3: Hash::from_bytes([7; 32]),
            chunks: 1,
            depth: 0,
            list: vec![chunk],
        };
        for count in [0, 1, 30] {
            let streams: Vec<_> = (0..count).map(stream).collect();
            let spelled: Vec<String> = streams.iter().map(|one| serde_json::to_string(one).unwrap()).collect();
            let spelled = spelled.join(",");
            let mut body = Body::new(streams, serde_json::json!({"streams": []}), vec!["w".to_owned()]);
            let whole = body.encode().unwrap();
            body.streams.clear();
            let mut around = Vec::new();
            let records = |out: &mut dyn Write| spelled.as_bytes().chunks(7).try_for_each(|part| out.write_all(part));
            body.write_around((spelled.len(), records), &mut around).unwrap();
            assert_eq!(around, whole);
            // What is too large is told before anything is written.
            let mut none = Vec::new();
            let much = (BODY_LIMIT, |_: &mut dyn Write| -> io::Result<()> { panic!("it was written") });
            assert!(matches!(body.write_around(much, &mut none), Err(FormatError::TooLarge { .. })) && none.is_empty());
        }
    }
}
