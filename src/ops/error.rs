//! What goes wrong in a command.

use std::{io, path::PathBuf};

use crate::{
    catalog::{CatalogError, RunLockError},
    codec::CodecError,
    format::FormatError,
    guard::GuardError,
    model::{Name, Time, VaultId, size},
    source::SourceError,
    store::StoreError,
    vault::VaultError,
};

/// A command that failed. The command line alone gives it its hint and its exit code.
#[derive(Debug, thiserror::Error)]
pub enum OpsError {
    /// Something on the way between source, vault and target.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The catalog.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The lock that keeps two runs of a writer apart.
    #[error(transparent)]
    RunLock(#[from] RunLockError),
    /// Approvals and holds.
    #[error(transparent)]
    Guard(#[from] GuardError),
    /// A source, or a restored repository.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The bytes of a document.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A key or a seal.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// What was asked for can't be, whatever the vault holds.
    #[error("{what}")]
    Request {
        /// What is wrong with it.
        what: String,
        /// What to ask for instead.
        next: String,
    },
    /// A point in a log that can't be had.
    #[error("{what}")]
    Unrecoverable {
        /// Why, and how near one can get.
        what: String,
        /// How to get there.
        next: String,
    },
    /// The log can't be had without a gap.
    #[error("{what}")]
    JournalGap {
        /// What is missing.
        what: String,
        /// What to do.
        next: String,
    },
    /// The journal has a file of this name, and nobody can say that it is the same.
    #[error("{what}")]
    JournalTaken {
        /// Which one, and what is known of it.
        what: String,
        /// What to do.
        next: String,
    },
    /// The server or the file that a restore is to go into holds something already.
    #[error("{what}")]
    Occupied {
        /// What it holds.
        what: String,
        /// What to do instead.
        next: String,
    },
    /// A server that a restore goes into failed.
    #[error("{what} ({object})")]
    Server {
        /// What failed, and what is left of it.
        what: String,
        /// The server, program or database.
        object: String,
        /// What to do; empty where nothing more is known.
        next: String,
    },
    /// Somebody else is doing the same.
    #[error("{what}")]
    Busy {
        /// What they do.
        what: String,
    },
    /// The writer was revoked.
    #[error("writer {writer} was revoked: what it writes from {from} on is suspect, so nothing was backed up")]
    Revoked {
        /// The writer.
        writer: Name,
        /// From when on.
        from: Time,
    },
    /// There is a vault where one was to be made.
    #[error("there is already a vault at {url}")]
    VaultExists {
        /// The vault.
        url: String,
    },
    /// Two places name different vaults.
    #[error("{} names vault {}, but {} names vault {}", .first.0, .first.1, .second.0, .second.1)]
    PinConflict {
        /// Where a vault id was read, and the id.
        first: (String, VaultId),
        /// Where another one was read.
        second: (String, VaultId),
    },
    /// A bucket that can't keep what a vault promises, as it is set up.
    #[error("{url} can't hold this vault: {what}")]
    Bucket {
        /// The vault.
        url: String,
        /// What it lacks.
        what: String,
        /// The commands that mend it.
        mend: String,
    },
    /// The store was tried, and does not hold its locks.
    #[error("{url} does not enforce its locks: the check {check:?} failed: {detail}")]
    LockNotEnforced {
        /// The store.
        url: String,
        /// The check that failed.
        check: &'static str,
        /// What happened instead.
        detail: String,
    },
    /// The text fits more than one snapshot.
    #[error("{prefix:?} fits {} snapshots: {}", .matches.len(), .matches.join(", "))]
    Ambiguous {
        /// What was asked for.
        prefix: String,
        /// The ids that fit, at most ten.
        matches: Vec<String>,
    },
    /// No snapshot fits.
    #[error("{what}")]
    NoSnapshot {
        /// What was asked for, and what there is.
        what: String,
    },
    /// The vault has none yet.
    #[error("the vault holds no snapshot")]
    NoSnapshotYet,
    /// A snapshot has no such part.
    #[error("{what}")]
    NotInSnapshot {
        /// What was asked for, and what there is.
        what: String,
    },
    /// A source ended well and gave nothing.
    #[error("it produced no data, as it would if the producing program had failed")]
    Empty,
    /// Something is where a file is to be restored.
    #[error("{} already exists, and nothing is overwritten", .path.display())]
    TargetExists {
        /// What is there.
        path: PathBuf,
    },
    /// Something else is where a file is to be restored.
    #[error("{} already exists and differs from the snapshot, and nothing is overwritten", .path.display())]
    TargetDiffers {
        /// What is there.
        path: PathBuf,
    },
    /// A restore of another snapshot was not finished there.
    #[error("a restore of snapshot {snapshot} into {} was not finished, and this is another snapshot", .path.display())]
    Unfinished {
        /// The directory.
        path: PathBuf,
        /// The beginning of that snapshot's id.
        snapshot: String,
    },
    /// Files that can't have their names where they were to go. All others are there.
    #[error("{count} files or directories could not be restored there, the first is {}: {why}; all others were", .path.display())]
    Unplaced {
        /// The first of them.
        path: PathBuf,
        /// What is wrong with its name.
        why: &'static str,
        /// How many there are.
        count: u64,
    },
    /// A snapshot names a path that must not be written to.
    #[error("the snapshot holds the path {path:?}, which {why}; nothing was restored")]
    UnsafePath {
        /// The path as the snapshot has it.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Not enough room.
    #[error("{} has {} free, and {} are needed", .path.display(), size::human(*.free), size::human(*.needed))]
    NoSpace {
        /// Where it was to go.
        path: PathBuf,
        /// Bytes needed.
        needed: u64,
        /// Bytes free.
        free: u64,
    },
    /// A file operation of the command line.
    #[error("{what} ({}): {source}", .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// The error beneath.
        source: io::Error,
    },
    /// Whoever reads what is restored went away.
    #[error("the reader of standard output went away before the end")]
    ReaderGone,
    /// Somebody asked to stop.
    #[error("interrupted; every snapshot that was there before is safe")]
    Interrupted,
    /// A part of strongroom ended without saying why.
    #[error("{0} ended early; this is a defect in strongroom")]
    Defect(&'static str),
}
