//! What a run says of its streams, as it will stand in the body: of a tree of some hundred thousand files nearly 96 MiB, and
//! three times as much were it kept as values in memory.

use std::io::{self, BufReader, Read, Write};

use crate::{
    catalog::scratch::{self, Scratch},
    format::body::{Records, StreamRecord},
    model::Name,
    vault::{VaultError, VaultErrorKind},
};

/// So many bytes are kept in memory; more in a file without a name.
const IN_MEMORY: usize = 4 << 20;

/// The records of a run's streams. Each is kept as the body spells it, after its length.
pub struct Recorded {
    spelled: Scratch,
    count: u64,
    /// The bytes of the records in the body, with commas between them.
    len: usize,
    /// Whether one of them has contents, or is a link.
    something: bool,
}

impl Default for Recorded {
    fn default() -> Self {
        Self { spelled: Scratch::new(IN_MEMORY), count: 0, len: 0, something: false }
    }
}

/// The error of records that can't be kept or read.
#[must_use]
pub fn failed(error: io::Error) -> VaultError {
    let full = error.kind() == io::ErrorKind::StorageFull;
    let what = format!(
        "what the snapshot is to say of its streams can't be kept in a file in {}; set TMPDIR to a directory with more room: \
         {error}",
        scratch::place().display()
    );
    VaultError::new(if full { VaultErrorKind::Full } else { VaultErrorKind::Failed }, what).because(error)
}

impl Recorded {
    /// Adds the record of the next stream.
    ///
    /// # Errors
    /// If the file can't be written.
    pub(super) fn push(&mut self, record: &StreamRecord) -> io::Result<()> {
        let spelled = serde_json::to_vec(record)?;
        let len = u32::try_from(spelled.len()).map_err(io::Error::other)?;
        self.spelled.append(&len.to_le_bytes())?;
        self.spelled.append(&spelled)?;
        self.len = self.len.saturating_add(spelled.len()).saturating_add(usize::from(self.count > 0));
        self.count += 1;
        self.something |= record.bytes > 0 || record.meta.link.is_some();
        Ok(())
    }

    /// The bytes of the records in the body.
    pub(super) const fn bytes(&self) -> usize {
        self.len
    }

    /// Whether any of the streams has contents, or is a link.
    pub(super) const fn has_something(&self) -> bool {
        self.something
    }

    /// The same without the streams of these names.
    ///
    /// # Errors
    /// If the file can't be read or written.
    pub(super) fn without(self, names: &[Name]) -> io::Result<Self> {
        if names.is_empty() {
            return Ok(self);
        }
        let mut left = Self::default();
        self.each(&mut |record| if names.contains(&record.name) { Ok(()) } else { left.push(record) })?;
        Ok(left)
    }

    /// Writes the records as they stand in a body.
    ///
    /// # Errors
    /// If the file can't be read, or `out` fails.
    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut first = true;
        self.each_spelled(&mut |spelled| {
            if !std::mem::take(&mut first) {
                out.write_all(b",")?;
            }
            out.write_all(spelled)
        })
    }

    fn each_spelled(&self, each: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut from = BufReader::with_capacity(256 << 10, self.spelled.reader());
        let mut spelled = Vec::new();
        for _ in 0..self.count {
            let mut len = [0; 4];
            from.read_exact(&mut len)?;
            spelled.resize(usize::try_from(u32::from_le_bytes(len)).map_err(io::Error::other)?, 0);
            from.read_exact(&mut spelled)?;
            each(&spelled)?;
        }
        Ok(())
    }
}

impl Records for Recorded {
    fn count(&self) -> u64 {
        self.count
    }

    fn each(&self, each: &mut dyn FnMut(&StreamRecord) -> io::Result<()>) -> io::Result<()> {
        self.each_spelled(&mut |spelled| each(&serde_json::from_slice(spelled)?))
    }
}

impl std::fmt::Debug for Recorded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorded").field("count", &self.count).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{format::body::Body, model::FileMeta, model::Hash};

    fn record(no: usize) -> StreamRecord {
        StreamRecord {
            name: format!("s{no}").parse().unwrap(),
            path: Some(format!("d/{no:0>200}").into()),
            meta: FileMeta { mode: Some(0o600), ..FileMeta::default() },
            bytes: 0,
            blake3: Hash::from_bytes([7; 32]),
            chunks: 0,
            depth: 0,
            list: Vec::new(),
        }
    }

    #[test]
    fn records_are_the_same_in_memory_and_in_a_file() {
        for count in [0, 3, 20_000] {
            let (mut kept, all) = (Recorded::default(), (0..count).map(record).collect::<Vec<_>>());
            for record in &all {
                kept.push(record).unwrap();
            }
            assert_eq!(kept.spelled.is_in_memory(), count < 20_000);
            assert!(!kept.has_something());
            let mut read = Vec::new();
            kept.each(&mut |record| {
                read.push(record.clone());
                Ok(())
            })
            .unwrap();
            assert_eq!(read, all);
            let mut body = Body::new(Vec::new(), serde_json::Value::Null, Vec::new());
            let mut written = Vec::new();
            body.write_around((kept.bytes(), |out: &mut dyn Write| kept.write(out)), &mut written).unwrap();
            body.streams = all;
            assert_eq!(written, body.encode().unwrap());
            let less = kept.without(&["s1".parse().unwrap()]).unwrap();
            assert_eq!(less.count(), (count as u64).saturating_sub(1));
        }
    }
}
