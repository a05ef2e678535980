//! `restore`: a snapshot comes back whole, or the command fails.

mod plan;

use std::{fmt::Write as _, io::Write, sync::Arc};

use serde::Serialize;

use super::{
    OpsError, Result,
    backup::StreamReport,
    snapshots::{Chosen, SnapshotLine, Wanted, choose, listed_for},
};
use crate::{
    codec::seal::Opener,
    format::body::Body,
    model::{Cancel, Finding, Name, Progress, SnapshotId, SourceKind, Span, Time, size},
    source::git,
    vault::{Vault, VaultErrorKind, reader::Snapshot},
};

pub use plan::{Entry, Plan};

/// What to restore.
#[derive(Debug, Clone)]
pub struct RestoreRequest {
    /// Which snapshot.
    pub wanted: Wanted,
    /// The one stream that is wanted, by name or path, if not all are.
    pub stream: Option<String>,
    /// The one ref of a repository that is wanted, if not all are.
    pub reference: Option<String>,
}

/// The ref that was restored, where only one was wanted.
#[derive(Debug, Serialize)]
pub struct RefReport {
    /// Its full name.
    pub name: String,
    /// What it names.
    pub object: String,
    /// What that is: `commit`, `tag`, `tree` or `blob`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The commit that it stands for, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
}

impl From<git::Only> for RefReport {
    fn from(only: git::Only) -> Self {
        Self {
            name: only.name.to_string(),
            object: only.object.as_str().to_owned(),
            kind: only.kind,
            commit: only.commit.map(|commit| commit.as_str().to_owned()),
        }
    }
}

/// Where restored streams go. Implemented where files may be touched.
pub trait Target: Send {
    /// Checks that nothing is in the way and that there is room, and prepares. Called once, before any stream is
    /// fetched.
    ///
    /// # Errors
    /// If the plan can't be carried out here.
    fn prepare(&mut self, plan: &Plan) -> Result<()>;

    /// Where the bytes of an entry go, which is a file.
    ///
    /// # Errors
    /// If it can't be made.
    fn begin(&mut self, entry: &Entry) -> Result<Box<dyn Write + Send>>;

    /// Called when all bytes of an entry were written and checked, and for links and directories: gives it its name.
    ///
    /// # Errors
    /// If it can't be finished.
    fn end(&mut self, entry: &Entry) -> Result<()>;

    /// Called after the last entry.
    ///
    /// # Errors
    /// If the whole can't be finished.
    fn finish(&mut self) -> Result<()>;

    /// Called before [`prepare`](Self::prepare) where of a repository only this is wanted.
    fn want(&mut self, _reference: &str) {}

    /// What that was, once all is finished.
    fn reference(&mut self) -> Option<RefReport> {
        None
    }

    /// Called where an entry that was begun can't be had whole.
    fn give_up(&mut self, entry: &Entry);

    /// As [`finish`](Self::finish), where what is damaged is to be left out: tells what that is.
    ///
    /// # Errors
    /// If the whole can't be finished.
    fn salvage(&mut self) -> Result<Vec<Lost>> {
        self.finish().map(|()| Vec::new())
    }

    /// Why the last write failed, if it did: a full disk should not look like a damaged vault.
    fn failure(&mut self) -> Option<OpsError>;
}

/// Something that did not come back.
#[derive(Debug, Clone, Serialize)]
pub struct Lost {
    /// The stream, file, ref or the like.
    pub object: String,
    /// How it is with it.
    pub message: String,
}

/// A snapshot that was restored.
#[derive(Debug, Serialize)]
pub struct RestoreReport {
    /// Its id.
    pub id: SnapshotId,
    /// Its source.
    pub source: Name,
    /// What kind of source it is.
    pub kind: SourceKind,
    /// Who wrote it.
    pub writer: Name,
    /// When its run started, by the store's clock.
    pub created_at: Time,
    /// Bytes restored.
    pub bytes: u64,
    /// The streams restored.
    pub streams: Vec<StreamReport>,
    /// What its source warned of when it was made.
    pub warnings: Vec<String>,
    /// What is damaged, and did not come back. All else did.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<Lost>,
    /// What became of each ref of a repository since the snapshot before, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<serde_json::Value>,
    /// The ref, if only one was wanted.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<RefReport>,
}

/// Restores a snapshot of `vault` into `target`.
///
/// # Errors
/// If it is not there, can't be opened, is damaged, or `target` fails. What `target` had finished before stays.
pub async fn restore(
    vault: &Vault,
    opener: &Opener,
    request: &RestoreRequest,
    target: &mut dyn Target,
    progress: &Arc<dyn Progress>,
    cancel: &Cancel,
) -> Result<(RestoreReport, Vec<Finding>)> {
    let listing = listed_for(vault, &request.wanted).await?;
    let chosen = choose(listing.snapshots, &request.wanted)?;
    if matches!(request.wanted, Wanted::Latest { .. }) {
        let now = vault.store.server_time().await?;
        progress.note(&describe(&chosen, now));
    }
    progress.phase("opening the snapshot", None);
    let header = vault.whole(&chosen.snapshot).await?;
    let named = |error: OpsError| named(error, chosen.snapshot.id, &chosen.snapshot.header.writer);
    let mut snapshot = Snapshot::open(vault, header, opener).await.map_err(|error| named(error.into()))?;
    let warnings = std::mem::take(&mut snapshot.body.warnings);
    let plan = planned(&mut snapshot, request.stream.clone()).await.map_err(named)?;
    let header = &snapshot.header.header;
    let since = plan.details.get("since").cloned();
    request.reference.as_deref().map_or(Ok(()), |name| narrow(&plan, name, target))?;
    let mut lost = Vec::new();
    let streams = carry_out(&snapshot, &plan, target, (progress, cancel), Some(&mut lost)).await.map_err(named)?;
    let report = RestoreReport {
        id: snapshot.header.id,
        source: plan.source,
        kind: plan.kind,
        writer: header.writer.clone(),
        created_at: header.started_at,
        bytes: streams.iter().map(|stream| stream.bytes).fold(0, u64::saturating_add),
        streams,
        warnings,
        lost,
        since,
        reference: target.reference(),
    };
    Ok((report, listing.findings))
}

/// The plan of a snapshot's streams, whose records it takes. Judging what somebody signed is work for a core of its own.
///
/// # Errors
/// As for [`Plan::new`].
pub(super) async fn planned(snapshot: &mut Snapshot, only: Option<String>) -> Result<Plan> {
    let (source, kind) = (snapshot.header.header.source.clone(), snapshot.header.header.kind);
    let empty = Body::new(Vec::new(), serde_json::Value::Null, Vec::new());
    let body = std::mem::replace(&mut snapshot.body, empty);
    let planning = tokio::task::spawn_blocking(move || Plan::new(source, kind, body, only.as_deref()));
    planning.await.map_err(|_| OpsError::Defect("planning the restore"))?
}

/// An error about what a snapshot holds, with who signed it.
fn named(error: OpsError, id: SnapshotId, writer: &Name) -> OpsError {
    match error {
        OpsError::Vault(mut error)
            if matches!(error.kind, VaultErrorKind::Damaged | VaultErrorKind::Untrusted | VaultErrorKind::Newer) =>
        {
            error.what = format!("snapshot {} of writer {writer}: {}", id.short(), error.what);
            OpsError::Vault(error)
        }
        other => other,
    }
}

/// Carries a plan out. What `target` had finished before an error stays. With `lost`, what is damaged is told there, and all
/// else is restored.
///
/// # Errors
/// If a stream is damaged, or `target` fails. With `lost`, if nothing is whole.
pub(super) async fn carry_out(
    snapshot: &Snapshot,
    plan: &Plan,
    target: &mut dyn Target,
    (progress, cancel): (&Arc<dyn Progress>, &Cancel),
    mut lost: Option<&mut Vec<Lost>>,
) -> Result<Vec<StreamReport>> {
    target.prepare(plan)?;
    progress.phase(&format!("restoring {}", plan.source), Some(plan.bytes));
    let (mut streams, mut first) = (Vec::with_capacity(plan.entries.len()), None);
    for entry in &plan.entries {
        if cancel.is_cancelled() {
            return Err(OpsError::Interrupted);
        }
        if let Err(error) = one(snapshot, entry, target, progress, cancel).await {
            let Some(lost) = lost.as_deref_mut().filter(|_| is_damage(&error)) else { return Err(error) };
            target.give_up(entry);
            lost.push(Lost { object: entry.path().to_owned(), message: error.to_string() });
            first.get_or_insert(error);
            continue;
        }
        let stream = &entry.stream;
        streams.push(StreamReport { name: stream.name.clone(), bytes: stream.bytes, blake3: stream.blake3 });
    }
    progress.phase("finishing", None);
    let Some(lost) = lost else { return target.finish().map(|()| streams) };
    // Of a repository's streams, parts may be whole.
    if let Some(error) = first.filter(|_| streams.is_empty() && plan.kind != SourceKind::Git) {
        return Err(error);
    }
    lost.extend(target.salvage()?);
    Ok(streams)
}

/// Whether an error says that what was stored is not as it was.
fn is_damage(error: &OpsError) -> bool {
    matches!(error, OpsError::Vault(error) if error.kind == VaultErrorKind::Damaged)
}

/// Has `target` leave of a repository only what `name` stands for.
fn narrow(plan: &Plan, name: &str, target: &mut dyn Target) -> Result<()> {
    if plan.kind != SourceKind::Git {
        let what = format!("--ref {name}: the snapshot is of {}, which is no git repository", plan.source);
        return Err(OpsError::Request { what, next: "leave --ref out, or name another source".to_owned() });
    }
    git::may_name(&plan.details, name)?;
    target.want(name);
    Ok(())
}

async fn one(
    snapshot: &Snapshot,
    entry: &Entry,
    target: &mut dyn Target,
    progress: &Arc<dyn Progress>,
    cancel: &Cancel,
) -> Result<()> {
    if entry.is_file() {
        let out = target.begin(entry)?;
        let written = snapshot.restore_stream(&entry.stream, out, Arc::clone(progress), cancel.clone()).await;
        // The writer is dropped, and with it flushed or closed, before the entry gets its name.
        if let Err(error) = written.map(drop) {
            let interrupted = error.kind == VaultErrorKind::Cancelled;
            let cause = if interrupted { Some(OpsError::Interrupted) } else { target.failure() };
            return Err(cause.unwrap_or_else(|| error.into()));
        }
    }
    target.end(entry)
}

/// What a person checks before trusting the newest snapshot: its age, its writer, and how it differs from the one before.
fn describe(chosen: &Chosen, now: Time) -> String {
    let line = SnapshotLine::from(&chosen.snapshot);
    let mut text = format!(
        "latest snapshot of {}: {}, taken {} ago ({}) by writer {}, {}",
        line.source,
        line.id.short(),
        ago(now.since(line.created_at)),
        line.created_at,
        line.writer,
        size::human(line.bytes)
    );
    match &chosen.previous {
        None => text.push_str("; it is the first of this source"),
        Some(previous) => {
            let (sign, change) = match line.bytes.checked_sub(previous.bytes) {
                Some(more) => ('+', more),
                None => ('-', previous.bytes - line.bytes),
            };
            let earlier = ago(line.created_at.since(previous.created_at));
            let change = size::human(change);
            let _ = write!(text, "; the one before ({}) is {earlier} older: {sign}{change}", previous.id.short());
        }
    }
    text
}

/// A span in its largest whole unit.
fn ago(span: Span) -> String {
    let seconds = span.as_seconds();
    let units = [(86_400, "d"), (3_600, "h"), (60, "min")];
    let found = units.into_iter().find(|(unit, _)| seconds >= 2 * unit);
    found.map_or_else(|| format!("{seconds} s"), |(unit, name)| format!("{} {name}", seconds / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_told_in_their_largest_unit() {
        let cases = [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7_199, "119 min"), (7_200, "2 h"), (172_800, "2 d")];
        for (seconds, text) in cases {
            assert_eq!(ago(Span::seconds(seconds)), text);
        }
    }
}
