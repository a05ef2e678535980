//! Looks at streams on their way in: tells the progress how long they are, and notices what is compressed already. Such
//! input can be neither deduplicated nor compressed, and the fix is one option of the program that made it.

use std::{
    collections::BTreeSet,
    io::{self, Read},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    model::{Finding, Name, Progress, size::human},
    source::{Facts, Incoming, Members, Reading, Result},
    vault::haste::Haste,
};

/// How many bytes at a stream's beginning tell what it is.
const LOOK: usize = 16;
/// Streams of at least this many bytes are a phase of their own for the progress.
const LARGE: u64 = 16 << 20;
/// How many streams are named before the rest is only counted.
const NAMED: usize = 5;

/// A kind of compressed data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kind {
    what: &'static str,
    /// How its producers write it uncompressed.
    instead: &'static str,
}

/// A stream of compressed data.
struct Packed {
    name: Name,
    kind: Kind,
    /// How much of it was read, which goes on after it was found.
    bytes: Arc<AtomicU64>,
}

/// What was found so far.
#[derive(Default)]
struct Found(Vec<Packed>);

impl Found {
    /// What it costs, and which option changes it.
    fn warnings(&self) -> impl Iterator<Item = String> {
        let size = |packed: &Packed| packed.bytes.load(Ordering::Acquire);
        let named = self.0.iter().take(NAMED).map(move |packed| {
            let Packed { name, kind: Kind { what, instead }, .. } = packed;
            format!(
                "{name} is {what}: it can't be deduplicated, so after any change all of its {} are stored again. {instead}; strongroom compresses it itself",
                human(size(packed))
            )
        });
        let more = self.0.get(NAMED..).filter(|more| !more.is_empty()).map(move |more| {
            let bytes = human(more.iter().map(size).sum());
            format!("{} more streams, {bytes}, are compressed already and can't be deduplicated", more.len())
        });
        named.chain(more)
    }
}

/// A reading that warns of compressed streams when it ends.
pub(super) struct Watching {
    inner: Box<dyn Reading>,
    /// What the source is known to have had.
    known: Vec<String>,
    phase: String,
    /// Whether the progress is told of one large stream.
    large: bool,
    progress: Arc<dyn Progress>,
    found: Arc<Mutex<Found>>,
    /// Whether any stream gave any byte.
    some: Arc<AtomicBool>,
    noticed: Noticed,
    /// Set once it was read.
    read: Arc<AtomicBool>,
}

/// What is noticed of a reading.
#[derive(Debug, Clone, Default)]
pub(super) struct Noticed {
    /// Whether it ended well without having given a byte.
    empty: Arc<AtomicBool>,
    members: Arc<Mutex<Option<Members>>>,
    findings: Arc<Mutex<Vec<Finding>>>,
    held: Arc<Mutex<Option<Duration>>>,
}

impl Noticed {
    /// The longest that a program held the locks of its dump, where one did.
    pub(super) fn held(&self) -> Option<Duration> {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it ended well without having given a byte.
    pub(super) fn empty(&self) -> bool {
        self.empty.load(Ordering::Acquire)
    }

    /// What of it is not in the snapshot.
    pub(super) fn findings(&self) -> Vec<Finding> {
        std::mem::take(&mut *self.findings.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether anything of it that fits is not in the snapshot.
    pub(super) fn lacks(&self, fits: &dyn Fn(&Finding) -> bool) -> bool {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner).iter().any(fits)
    }

    /// What it consists of, if it told.
    pub(super) fn members(&self) -> Option<Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Watching {
    /// Watches the reading of the source `name`, which is known to have had `known`.
    pub(super) fn over(
        inner: Box<dyn Reading>,
        name: &Name,
        known: Vec<String>,
        progress: Arc<dyn Progress>,
        read: Arc<AtomicBool>,
    ) -> (Box<dyn Reading>, Noticed) {
        let phase = format!("backing up {name}");
        progress.phase(&phase, None);
        let (some, noticed) = (Arc::default(), Noticed::default());
        let found = Arc::default();
        let watching =
            Self { inner, known, phase, large: false, progress, found, some, noticed: noticed.clone(), read };
        (Box::new(watching), noticed)
    }

    fn tell(&mut self, stream: &Incoming) {
        let total = stream.expected.filter(|bytes| *bytes >= LARGE);
        if total.is_some() {
            self.progress.phase(&format!("{}: {}", self.phase, stream.name), total);
        } else if self.large {
            self.progress.phase(&self.phase, None);
        }
        self.large = total.is_some();
    }
}

impl Reading for Watching {
    fn next_stream(&mut self) -> Result<Option<Incoming>> {
        let Some(mut stream) = self.inner.next_stream()? else { return Ok(None) };
        self.tell(&stream);
        let head = Head { bytes: [0; LOOK], len: 0, name: stream.name.clone(), found: Arc::clone(&self.found) };
        let (some, bytes) = (Arc::clone(&self.some), Arc::default());
        stream.reader = Box::new(Looking { inner: stream.reader, head: Some(head), some, bytes });
        Ok(Some(stream))
    }

    fn carried(&mut self) -> Option<Vec<Name>> {
        let carried = self.inner.carried()?;
        if !carried.is_empty() {
            self.some.store(true, Ordering::Release);
        }
        Some(carried)
    }

    fn stopper(&self) -> Option<Box<dyn FnOnce() + Send>> {
        self.inner.stopper()
    }

    fn haste(&self) -> Option<Haste> {
        self.inner.haste()
    }

    fn finish(self: Box<Self>) -> Result<Facts> {
        let mut facts = self.inner.finish()?;
        *self.noticed.held.lock().unwrap_or_else(PoisonError::into_inner) = facts.held;
        self.read.store(true, Ordering::Release);
        self.noticed.empty.store(!self.some.load(Ordering::Acquire), Ordering::Release);
        if let Some(members) = &facts.members {
            let there: BTreeSet<&String> = members.taken.iter().chain(&members.left_out).collect();
            let gone = self.known.iter().filter(|name| !there.contains(name)).take(NAMED);
            facts.warnings.extend(gone.map(|name| format!("{} {name:?}, which it had before, is gone", members.what)));
        }
        self.noticed.findings.lock().unwrap_or_else(PoisonError::into_inner).append(&mut facts.findings);
        self.noticed.members.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&facts.members);
        facts.warnings.extend(self.found.lock().unwrap_or_else(PoisonError::into_inner).warnings());
        Ok(facts)
    }
}

struct Head {
    bytes: [u8; LOOK],
    len: usize,
    name: Name,
    found: Arc<Mutex<Found>>,
}

impl Head {
    /// Takes what it still needs of `new`; true when it has seen enough.
    fn take(&mut self, new: &[u8]) -> bool {
        for (free, byte) in self.bytes.iter_mut().skip(self.len).zip(new) {
            *free = *byte;
            self.len += 1;
        }
        self.len == LOOK || new.is_empty()
    }

    fn judge(self, bytes: &Arc<AtomicU64>) {
        let Some(kind) = self.bytes.get(..self.len).and_then(compressed) else { return };
        let packed = Packed { name: self.name, kind, bytes: Arc::clone(bytes) };
        self.found.lock().unwrap_or_else(PoisonError::into_inner).0.push(packed);
    }
}

struct Looking {
    inner: Box<dyn Read + Send>,
    head: Option<Head>,
    some: Arc<AtomicBool>,
    bytes: Arc<AtomicU64>,
}

impl Read for Looking {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.bytes.fetch_add(u64::try_from(n).unwrap_or(u64::MAX), Ordering::AcqRel);
        if self.head.as_mut().is_some_and(|head| head.take(buf.get(..n).unwrap_or_default()))
            && let Some(head) = self.head.take()
        {
            if head.len > 0 {
                self.some.store(true, Ordering::Release);
            }
            head.judge(&self.bytes);
        }
        Ok(n)
    }
}

/// What kind of compressed data begins like this.
fn compressed(head: &[u8]) -> Option<Kind> {
    const GZIP: &str = "Let its producer leave gzip out: no `| gzip`, no `mongodump --gzip`, `tar` without `-z`, \
                        `pg_dump -Fd` with `-Z0`";
    const KINDS: &[(&[u8], &str, &str)] = &[
        (b"\x1f\x8b", "gzip data", GZIP),
        (b"\x28\xb5\x2f\xfd", "zstd data", "Let its producer leave zstd out: no `| zstd`, `tar` without `--zstd`"),
        (b"\xfd7zXZ\0", "xz data", "Let its producer leave xz out: no `| xz`, `tar` without `-J`"),
        (b"BZh", "bzip2 data", "Let its producer leave bzip2 out: no `| bzip2`, `tar` without `-j`"),
        (b"\x04\x22\x4d\x18", "lz4 data", "Let its producer leave lz4 out"),
        (b"PK\x03\x04", "a zip archive", "Let its producer use `zip -0` or `tar`"),
    ];
    if head.starts_with(b"PGDMP") {
        let instead = "Add `-Z0` to `pg_dump`, or let a source of the kind `postgres` call it";
        return dump(head).then_some(Kind { what: "a compressed dump of PostgreSQL", instead });
    }
    let found = KINDS.iter().find(|(magic, ..)| head.starts_with(magic));
    found.map(|&(_, what, instead)| Kind { what, instead })
}

/// Whether a dump in the custom format says that its data is compressed. After the magic stand three bytes of version,
/// the sizes of integers and offsets, the format, and then the method; before version 1.15 the level as an integer.
fn dump(head: &[u8]) -> bool {
    match head {
        [_, _, _, _, _, 1, minor, _, _, _, _, method, ..] if *minor >= 15 => *method != 0,
        [_, _, _, _, _, 1, _, _, _, _, _, sign, level, ..] => *sign != 0 || *level != 0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Silent;

    /// One stream of these bytes, whatever they are.
    struct Given(Option<&'static [u8]>);

    impl Reading for Given {
        fn next_stream(&mut self) -> Result<Option<Incoming>> {
            Ok(self.0.take().map(|bytes| Incoming {
                name: "dump".parse().unwrap(),
                path: None,
                meta: crate::model::FileMeta::default(),
                expected: None,
                reader: Box::new(bytes),
            }))
        }

        fn finish(self: Box<Self>) -> Result<Facts> {
            Ok(Facts::default())
        }
    }

    fn warnings(bytes: &'static [u8]) -> Vec<String> {
        let name = "orders".parse().unwrap();
        let given = Box::new(Given(Some(bytes)));
        let (mut reading, noticed) = Watching::over(given, &name, Vec::new(), Arc::new(Silent), Arc::default());
        while let Some(mut stream) = reading.next_stream().unwrap() {
            // One byte at a time: the magic may come in pieces.
            let mut byte = [0];
            while stream.reader.read(&mut byte).unwrap() > 0 {}
        }
        let warnings = reading.finish().unwrap().warnings;
        assert_eq!(noticed.empty(), bytes.is_empty());
        warnings
    }

    #[test]
    fn compressed_streams_are_named_and_others_are_not() {
        for (bytes, what, instead) in [
            (&b"\x1f\x8b\x08\0\0\0\0\0rest of it"[..], "gzip data", "no `| gzip`"),
            (b"\x28\xb5\x2f\xfd", "zstd data", "no `| zstd`"),
            (b"\xfd7zXZ\0", "xz data", "no `| xz`"),
            (b"BZh91AY", "bzip2 data", "no `| bzip2`"),
            (b"\x04\x22\x4d\x18", "lz4 data", "lz4 out"),
            (b"PK\x03\x04\x14", "a zip archive", "`zip -0`"),
            (b"PGDMP\x01\x10\0\x04\x08\x01\x01\0\0\0\0\0", "a compressed dump of PostgreSQL", "`-Z0`"),
            (b"PGDMP\x01\x0e\0\x04\x08\x01\x01\x01\0\0\0\0", "a compressed dump of PostgreSQL", "`-Z0`"),
        ] {
            let warnings = warnings(bytes);
            let [one] = &warnings[..] else { panic!("{warnings:?}") };
            assert!(one.starts_with(&format!("dump is {what}: it can't be deduplicated")), "{one}");
            assert!(one.contains(instead) && one.contains(&format!("all of its {} B ", bytes.len())), "{one}");
        }
        for bytes in [
            &b""[..],
            b"--\n-- PostgreSQL database dump\n",
            b"PGDMP\x01\x10\0\x04\x08\x01\0\0\0\0\0\0",
            b"PGDMP\x01\x0e\0\x04\x08\x01\0\0\0\0\0\0",
            b"PGDMP",
        ] {
            assert_eq!(warnings(bytes), Vec::<String>::new());
        }
    }

    #[test]
    fn of_many_compressed_streams_the_first_are_named_and_the_rest_added_up() {
        let packed = |no: u64| Packed {
            name: format!("file-{no}").parse().unwrap(),
            kind: compressed(b"BZh91").unwrap(),
            bytes: Arc::new(AtomicU64::new(no << 20)),
        };
        let warnings: Vec<_> = Found((0..8).map(packed).collect()).warnings().collect();
        assert_eq!(warnings.len(), 6);
        assert!(warnings[4].starts_with("file-4 is bzip2 data") && warnings[4].contains("4.00 MiB"), "{warnings:?}");
        assert!(warnings[5].starts_with("3 more streams, 18.0 MiB, are compressed"), "{warnings:?}");
    }
}
