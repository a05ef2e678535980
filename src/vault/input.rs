//! What the writer reads: the shape that every source takes for it. The sources themselves live in `source`.

use std::{collections::BTreeMap, io::Read, time::Duration};

use super::haste::Haste;
use crate::model::{FileMeta, Finding, Fingerprint, Name, SnapshotId, Time, journal};

/// A source that could not be read whole: what was tried, on what, and why it failed.
#[derive(Debug, thiserror::Error)]
#[error("{what} ({object}){}", .source.as_ref().map(|s| format!(": {s}")).unwrap_or_default())]
pub struct SourceError {
    /// What failed, in words, with what to do next where that is known.
    pub what: String,
    /// The path, command or stream concerned; never a secret.
    pub object: String,
    /// The error beneath.
    #[source]
    pub source: Option<std::io::Error>,
}

impl SourceError {
    /// An error about `object`.
    #[must_use]
    pub fn new(what: impl Into<String>, object: impl Into<String>) -> Self {
        Self { what: what.into(), object: object.into(), source: None }
    }

    /// An error about the file or directory at `path`, with the error beneath.
    #[must_use]
    pub fn at(what: impl Into<String>, path: &std::path::Path, source: std::io::Error) -> Self {
        Self::new(what, path.display().to_string()).because(source)
    }

    /// The same error, with the error beneath.
    #[must_use]
    pub fn because(mut self, source: std::io::Error) -> Self {
        self.source = Some(source);
        self
    }
}

/// The result of reading a source.
pub type Result<T> = std::result::Result<T, SourceError>;

/// A source being read: its streams one after the other, then its facts.
pub trait Reading: Send {
    /// The next stream, or `None` after the last. Each is read to its end before the next is asked for.
    ///
    /// # Errors
    /// If the next stream can't be opened.
    fn next_stream(&mut self) -> Result<Option<Incoming>>;

    /// The streams of the last snapshot that this one leans on as they are, which [`Before::streams`] named: they come
    /// first, in this order, without being read. Asked for once, before the first stream. `None` where the source keeps
    /// nothing for its next run.
    fn carried(&mut self) -> Option<Vec<Name>> {
        None
    }

    /// What ends a reading that waits for data, from another thread, such as killing the command that it reads from.
    /// `None` where nothing need be ended.
    fn stopper(&self) -> Option<Box<dyn FnOnce() + Send>> {
        None
    }

    /// What tells while programs are at work that hold locks until all is written: the run's own work gives way meanwhile.
    /// Asked for once, before the first stream. `None` where there are none.
    fn haste(&self) -> Option<Haste> {
        None
    }

    /// Called after the last stream was read to its end: checks that the source really was whole (exit status,
    /// trailer, nothing changed meanwhile) and tells the facts. Not called when something failed before; dropping
    /// the reading then stops whatever runs.
    ///
    /// # Errors
    /// If the source failed after all; then there will be no snapshot (G7).
    fn finish(self: Box<Self>) -> Result<Facts>;
}

/// One stream on its way in.
pub struct Incoming {
    /// Its name within the snapshot, unique there.
    pub name: Name,
    /// The real relative path it came from, with `/` between segments, if it came from a file.
    pub path: Option<String>,
    /// What the file system knew of it.
    pub meta: FileMeta,
    /// How many bytes to expect, for progress only.
    pub expected: Option<u64>,
    /// The bytes.
    pub reader: Box<dyn Read + Send>,
}

/// What the last run of a source left for this one, in this writer's own memory. It may be gone at any time, which must
/// cost no more than space.
#[derive(Debug, Clone)]
pub struct Before {
    /// The snapshot that it made.
    pub snapshot: SnapshotId,
    /// Until when that is locked, at least.
    pub locked_until: Time,
    /// What the source noted, as [`Facts::note`].
    pub note: serde_json::Value,
    /// Its streams that are in the vault whole, and locked for long enough to be leaned on, with their lengths.
    pub streams: BTreeMap<Name, u64>,
}

/// What a source tells besides its bytes.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Facts that the snapshot's sealed body keeps, such as a repository's refs. Never a secret.
    pub details: serde_json::Value,
    /// What databases held at the instant of their dumps.
    pub fingerprints: Vec<Fingerprint>,
    /// What a person should know, such as a file that changed while it was read.
    pub warnings: Vec<String>,
    /// What of it is not in the snapshot, though all else is: for a person to mend. A run that tells any has not succeeded.
    pub findings: Vec<Finding>,
    /// Streams that were read and turned out to be no part of it; the findings say why.
    pub given_up: Vec<Name>,
    /// What the source's next run is to know, as [`Before::note`]. Kept only where [`Reading::carried`] said something.
    pub note: Option<serde_json::Value>,
    /// From where on its log goes on from this copy, where it is a base for that: stands in the header, in the clear.
    pub journal: Option<journal::Start>,
    /// What it consists of, where it was told to take whatever is there.
    pub members: Option<Members>,
    /// The longest that a program held the locks of its dump, where one did.
    pub held: Option<Duration>,
}

/// What was found where all is wanted that is there, such as the databases of a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Members {
    /// What each of them is.
    pub what: &'static str,
    /// Those that were backed up.
    pub taken: Vec<String>,
    /// Those that are there and were left out as asked.
    pub left_out: Vec<String>,
}
