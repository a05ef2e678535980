//! What a backup says of what it did.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use crate::{
    format::body::{Records, StreamRecord},
    model::{Finding, Hash, Name, SnapshotId, SourceKind, Time},
    ops::OpsError,
    signal::Verdict,
    vault::writer::{Committed, records},
};

/// A stream of a snapshot.
#[derive(Debug, Clone, Serialize)]
pub struct StreamReport {
    /// Its name.
    pub name: Name,
    /// Its length.
    pub bytes: u64,
    /// BLAKE3 of it.
    pub blake3: Hash,
}

/// A snapshot that was made.
#[derive(Debug, Serialize)]
pub struct SnapshotReport {
    /// Its id.
    pub id: SnapshotId,
    /// Its source.
    pub source: Name,
    /// What kind of source it is.
    pub kind: SourceKind,
    /// Bytes of all streams.
    pub bytes_read: u64,
    /// Of these, bytes in chunks that were not known.
    pub bytes_new: u64,
    /// All bytes that the run put into the vault for it.
    pub bytes_stored: u64,
    /// Chunks of all streams.
    pub chunks: u64,
    /// Of these, chunks that were not known.
    pub chunks_new: u64,
    /// Of these, chunks stored as deltas.
    pub chunks_delta: u64,
    /// Until when it is locked, at least.
    pub floor_until: Time,
    /// Until when it is to be kept.
    pub expires_at: Time,
    /// How long it took.
    pub duration_s: f64,
    /// Of that, the longest that a dump's program held the locks of its database, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_s: Option<f64>,
    /// Where blocks are compressed as hard as the store leaves time for: the zstd levels, about, and how many bytes were
    /// compressed with each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub levels: Option<BTreeMap<i32, u64>>,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// What became of each ref of a repository since its last snapshot, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<serde_json::Value>,
    /// What looks odd about what was backed up, by the runs before.
    pub signals: Vec<Verdict>,
    /// Its streams.
    pub streams: Vec<StreamReport>,
}

/// A source of which no snapshot was made.
#[derive(Debug)]
pub struct FailedSource {
    /// Its name.
    pub source: Name,
    /// Why.
    pub error: OpsError,
}

/// What a backup did.
#[derive(Debug)]
pub struct BackupReport {
    /// What was made.
    pub snapshots: Vec<SnapshotReport>,
    /// What failed.
    pub failed: Vec<FailedSource>,
    /// What was found on the way.
    pub findings: Vec<Finding>,
    /// Whether somebody asked to stop before all was done.
    pub interrupted: bool,
}

/// What is said of a snapshot that was made.
pub(super) fn describe(source: Name, made: Committed, took: Duration) -> SnapshotReport {
    let Committed { id, header, streams: records, mut warnings, since, .. } = made;
    let mut streams = Vec::new();
    streams.reserve_exact(usize::try_from(records.count()).unwrap_or_default());
    let kept = records.each(&mut |StreamRecord { name, bytes, blake3, .. }| {
        streams.push(StreamReport { name: name.clone(), bytes: *bytes, blake3: *blake3 });
        Ok(())
    });
    // The snapshot is there all the same.
    if let Err(error) = kept {
        warnings.push(format!("not all streams of the snapshot are reported: {}", records::failed(error).what));
    }
    SnapshotReport {
        id,
        source,
        kind: header.kind,
        bytes_read: header.totals.bytes,
        bytes_new: made.bytes_new,
        bytes_stored: made.bytes_stored,
        chunks: header.totals.chunks,
        chunks_new: made.chunks_new,
        chunks_delta: made.chunks_delta,
        floor_until: header.floor_until,
        expires_at: header.expires_at,
        duration_s: took.as_secs_f64(),
        held_s: None,
        levels: made.levels,
        warnings,
        since,
        signals: Vec::new(),
        streams,
    }
}
