//! `restore --into`: the dumps of a snapshot go straight into a server, or into a database file, without a copy in between.
//!
//! What is loaded is SQL and archives that the snapshot's writer made: it runs with the rights of whoever the server is
//! reached as. Nothing is begun before the server was looked at, and where the root puts this under several people, before
//! they approved it.

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;

use super::{
    super::{
        OpsError, Result,
        snapshots::{Wanted, choose, listed_for},
    },
    named, noted,
};
use crate::{
    codec::seal::Opener,
    engine::into::{Held, HeldStream, LoadError, Loader},
    format::{approval::Action, body::StreamRecord},
    guard::approvals::{self, Deed, Papers, Passed},
    model::{Cancel, Finding, Name, Progress, SnapshotId, SourceKind, Time},
    vault::{Vault, VaultErrorKind, reader::Snapshot},
};

/// What was loaded.
#[derive(Debug, Serialize)]
pub struct IntoReport {
    /// The snapshot.
    pub id: SnapshotId,
    /// Its source.
    pub source: Name,
    /// What kind of source it is.
    pub kind: SourceKind,
    /// Who wrote it.
    pub writer: Name,
    /// When its run started, by the store's clock.
    pub created_at: Time,
    /// The server or the file, without a password.
    pub into: String,
    /// The databases, or the table, that were loaded.
    pub loaded: Vec<String>,
    /// Bytes that were loaded.
    pub bytes: u64,
    /// What is worth knowing: what was left out, and what was there already.
    pub notes: Vec<String>,
    /// Who approved it, where that was needed.
    pub approved_by: Vec<Name>,
    /// What its source warned of when it was made.
    pub warnings: Vec<String>,
}

/// What people approve who approve it.
#[must_use]
pub fn deed(snapshot: SnapshotId, words: &BTreeMap<&'static str, String>) -> Deed {
    let words = words.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    Deed::new(Action::RestoreInto, words.chain([("snapshot".to_owned(), snapshot.to_string())]))
}

/// Loads a snapshot of `vault` by `loader`.
///
/// # Errors
/// If the server refuses it, is not empty, something is damaged, or it was not approved.
pub async fn into(
    vault: &Vault,
    opener: &Opener,
    (wanted, loader): (&Wanted, &mut dyn Loader),
    papers: Option<Papers<'_>>,
    (progress, cancel): (&Arc<dyn Progress>, &Cancel),
) -> Result<(IntoReport, Vec<Finding>)> {
    let listing = listed_for(vault, wanted).await?;
    let chosen = choose(listing.snapshots, wanted)?;
    noted(vault, &chosen, wanted, progress).await?;
    let header = vault.whole(&chosen.snapshot).await?;
    let named = |error| named(error, chosen.snapshot.id, &chosen.snapshot.header.writer);
    let mut snapshot = Snapshot::open(vault, header, opener).await.map_err(|error| named(error.into()))?;
    let kind = snapshot.header.header.kind;
    let steps = loader.prepare(&held(&mut snapshot))?;
    let deed = deed(snapshot.header.id, &loader.words());
    let approved_by = match approvals::spend(vault, &deed, papers).await? {
        Passed::Spent { people, .. } => people,
        Passed::NotNeeded => Vec::new(),
    };
    let mut bytes = 0_u64;
    for (no, step) in steps.iter().enumerate() {
        let stream = snapshot.body.streams.iter().find(|stream| stream.name == step.stream);
        let stream = stream.ok_or(OpsError::Defect("the steps of loading"))?;
        progress.phase(&format!("loading {}", step.label), Some(stream.bytes));
        if let Err(error) = load(&snapshot, (no, stream), loader, (progress, cancel)).await {
            let left = loader.abandon();
            let told = match (left, error) {
                (Some(left), OpsError::Server { what, object, next }) => {
                    OpsError::Server { what: format!("{what}; {left}"), object, next }
                }
                (Some(left), error) => {
                    progress.note(&left);
                    error
                }
                (None, error) => error,
            };
            return Err(named(told));
        }
        bytes = bytes.saturating_add(stream.bytes);
    }
    progress.phase("finishing", None);
    let done = loader.finish(cancel)?;
    let header = &snapshot.header.header;
    let report = IntoReport {
        id: snapshot.header.id,
        source: header.source.clone(),
        kind,
        writer: header.writer.clone(),
        created_at: header.started_at,
        into: loader.place(),
        loaded: done.loaded,
        bytes,
        notes: done.notes,
        approved_by,
        warnings: std::mem::take(&mut snapshot.body.warnings),
    };
    Ok((report, listing.findings))
}

/// What a loader is told of a snapshot.
fn held(snapshot: &mut Snapshot) -> Held {
    let header = &snapshot.header.header;
    let body = &mut snapshot.body;
    let stream = |stream: &StreamRecord| HeldStream {
        name: stream.name.clone(),
        path: stream.path.as_deref().map(str::to_owned),
        bytes: stream.bytes,
    };
    Held {
        source: header.source.clone(),
        kind: header.kind,
        details: std::mem::take(&mut body.details),
        fingerprints: std::mem::take(&mut body.fingerprints),
        streams: body.streams.iter().map(stream).collect(),
    }
}

/// Feeds one stream to what loads it. What loads it may have enough before its end.
async fn load(
    snapshot: &Snapshot,
    (no, stream): (usize, &StreamRecord),
    loader: &mut dyn Loader,
    (progress, cancel): (&Arc<dyn Progress>, &Cancel),
) -> Result<()> {
    if cancel.is_cancelled() {
        return Err(OpsError::Interrupted);
    }
    let out = loader.begin(no, cancel)?;
    let written = snapshot.restore_stream(stream, out, Arc::clone(progress), cancel.clone()).await;
    match written {
        Ok(out) => {
            drop(out);
            let ended = loader.end(no);
            if cancel.is_cancelled() { Err(OpsError::Interrupted) } else { Ok(ended?) }
        }
        Err(_) if cancel.is_cancelled() => Err(OpsError::Interrupted),
        // It does not take any more: why, it knows itself.
        Err(error) if error.kind == VaultErrorKind::Failed => match loader.cut_off(no) {
            Some(ended) => Ok(ended?),
            None => Err(error.into()),
        },
        Err(error) => Err(error.into()),
    }
}

impl From<LoadError> for OpsError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Occupied { what, next } => Self::Occupied { what, next },
            LoadError::Wrong { what, next } => Self::Request { what, next },
            LoadError::Lacking { what, object, next } => Self::Server { what, object, next },
            LoadError::Engine(error) => {
                let source = error.source.as_ref().map(|e| format!(": {e}")).unwrap_or_default();
                Self::Server { what: format!("{}{source}", error.what), object: error.object, next: String::new() }
            }
        }
    }
}
