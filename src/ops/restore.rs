//! `restore`: a snapshot comes back whole, or the command fails.

mod carry;
pub mod forge;
pub mod into;
pub mod look;
mod plan;
mod target;

use std::{fmt::Write as _, path::PathBuf, sync::Arc};

use serde::Serialize;

use super::{
    OpsError, Result,
    backup::StreamReport,
    recover::Recovery,
    show::unread,
    snapshots::{Chosen, SnapshotLine, Wanted, choose, listed_for},
};
use crate::{
    codec::seal::Opener,
    format::body::Body,
    model::{Cancel, Finding, Name, Progress, SnapshotId, SourceKind, Span, Time, size},
    signal::NOT_WHOLE,
    source::git,
    store::counted::Counted,
    vault::{Vault, VaultErrorKind, reader::Snapshot},
};

pub(super) use carry::{Carried, carry_out};
pub use plan::{Entry, Part, Plan};
pub use target::{Begun, Target};

/// What to restore.
#[derive(Debug, Clone)]
pub struct RestoreRequest {
    /// Which snapshot.
    pub wanted: Wanted,
    /// The streams that are wanted.
    pub part: Part,
    /// The one ref of a repository that is wanted, if not all are.
    pub reference: Option<String>,
    /// Whether what comes back has to be of a forge, since pages are to be made of it.
    pub site: bool,
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

/// Something that did not come back.
#[derive(Debug, Clone, Serialize)]
pub struct Lost {
    /// The stream, file, ref or the like.
    pub object: String,
    /// How it is with it.
    pub message: String,
}

/// What was there already, and was not fetched.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Kept {
    /// Streams that were there whole.
    pub streams: u64,
    /// Bytes of these, and of those that were there in part.
    pub bytes: u64,
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
    /// What of them was there already, from a restore that was interrupted.
    pub kept: Kept,
    /// Bytes that were read from the vault.
    pub fetched_bytes: u64,
    /// What its source warned of when it was made.
    pub warnings: Vec<String>,
    /// What is damaged, and did not come back. All else did.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<Lost>,
    /// What became of each ref of a repository since the snapshot before, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<serde_json::Value>,
    /// Whether it was laid out as a server's data directory, to go on from as it is.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub data_directory: bool,
    /// Where in its log it comes back to, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Recovery>,
    /// The pages that were made of a forge, where that was asked for: where they begin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<PathBuf>,
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
    let counted = Arc::new(Counted::new(Arc::clone(&vault.store)));
    let vault = &vault.through(Arc::clone(&counted) as _);
    let listing = listed_for(vault, &request.wanted).await?;
    let chosen = choose(listing.snapshots, &request.wanted)?;
    noted(vault, &chosen, &request.wanted, progress).await?;
    let kind = chosen.snapshot.header.kind;
    if request.site && !kind.is_forge() {
        let what = format!("--as html: the snapshot is of a source of kind {}, which is not a forge", kind.as_str());
        return Err(OpsError::Request { what, next: "leave --as out, or name another source".to_owned() });
    }
    let header = vault.whole(&chosen.snapshot).await?;
    let named = |error: OpsError| named(error, chosen.snapshot.id, &chosen.snapshot.header.writer);
    let mut snapshot = Snapshot::open(vault, header, opener).await.map_err(|error| named(error.into()))?;
    let warnings = warnings(&mut snapshot);
    let mut plan = planned(&mut snapshot, request.part.clone()).await.map_err(named)?;
    plan.only = request.part.mark().or_else(|| request.reference.clone());
    request.reference.as_deref().map_or(Ok(()), |name| narrow(&plan, name, target))?;
    let mut lost = Vec::new();
    let carried = carry_out(&snapshot, &plan, target, (progress, cancel), Some(&mut lost)).await.map_err(named)?;
    let mut report = report_of(&snapshot, plan, carried, warnings);
    report.fetched_bytes = counted.calls().bytes;
    report.lost = lost;
    report.reference = target.reference();
    let mut findings = listing.findings;
    findings.extend(target.told());
    Ok((report, findings))
}

/// Says which snapshot was chosen, where it was left to us.
pub(super) async fn noted(vault: &Vault, chosen: &Chosen, wanted: &Wanted, progress: &Arc<dyn Progress>) -> Result<()> {
    if matches!(wanted, Wanted::Latest { .. }) {
        let now = vault.store.server_time().await?;
        progress.note(&describe(chosen, now));
    }
    progress.phase("opening the snapshot", None);
    Ok(())
}

/// What is told of a snapshot that was carried out.
pub(super) fn report_of(snapshot: &Snapshot, mut plan: Plan, carried: Carried, warnings: Vec<String>) -> RestoreReport {
    let (header, kept) = (&snapshot.header.header, carried.kept);
    let streams = carried.into_streams(std::mem::take(&mut plan.entries));
    RestoreReport {
        id: snapshot.header.id,
        since: plan.details.get("since").cloned(),
        source: plan.source,
        kind: plan.kind,
        writer: header.writer.clone(),
        created_at: header.started_at,
        bytes: streams.iter().map(|stream| stream.bytes).fold(0, u64::saturating_add),
        streams,
        kept,
        fetched_bytes: 0,
        warnings,
        lost: Vec::new(),
        data_directory: false,
        recovery: None,
        site: None,
        reference: None,
    }
}

/// What the source warned of when the snapshot was made, and what of it the snapshot has not.
pub(super) fn warnings(snapshot: &mut Snapshot) -> Vec<String> {
    let mut warnings = std::mem::take(&mut snapshot.body.warnings);
    let unread: Vec<String> = unread(&snapshot.body.details).collect();
    if unread.is_empty() && snapshot.header.header.signals.iter().any(|flag| flag.rule == NOT_WHOLE) {
        warnings.push("not all of its source is in it: the run could not read some of it, and ended with 3".to_owned());
    }
    warnings.splice(0..0, unread);
    warnings
}

/// The plan of a snapshot's streams, whose records it takes. Judging what somebody signed is work for a core of its own.
///
/// # Errors
/// As for [`Plan::of_part`].
pub(super) async fn planned(snapshot: &mut Snapshot, part: Part) -> Result<Plan> {
    let (id, source, kind) = (snapshot.header.id, snapshot.header.header.source.clone(), snapshot.header.header.kind);
    let empty = Body::new(Vec::new(), serde_json::Value::Null, Vec::new());
    let body = std::mem::replace(&mut snapshot.body, empty);
    let planning = tokio::task::spawn_blocking(move || Plan::of_part(source, kind, body, &part));
    let plan = planning.await.map_err(|_| OpsError::Defect("planning the restore"))??;
    Ok(plan.of(id))
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

/// Has `target` leave of a repository only what `name` stands for.
fn narrow(plan: &Plan, name: &str, target: &mut dyn Target) -> Result<()> {
    if plan.kind != SourceKind::Git {
        let what = format!("--ref {name}: the snapshot is of {}, which is not a git repository", plan.source);
        return Err(OpsError::Request { what, next: "leave --ref out, or name another source".to_owned() });
    }
    git::may_name(&plan.details, name)?;
    target.want(name);
    Ok(())
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
    if let Some(calm) = &chosen.calm {
        let _ = write!(
            text,
            "; its writer raised an ALARM on it, and the last one without is {} (`restore last-good` looks for itself)",
            calm.id.short()
        );
    }
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
