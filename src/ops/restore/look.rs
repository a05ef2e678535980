//! What a restore would do: `restore --list` and `restore --dry-run`. Nothing is written.

use std::sync::Arc;

use serde::Serialize;

use super::{
    super::{
        Result,
        snapshots::{Wanted, choose, listed_for},
    },
    Entry, Part, Plan, named, noted, planned,
};
use crate::{
    codec::seal::Opener,
    model::{Cancel, Finding, Fingerprint, Name, Progress, SnapshotId, SourceKind, Time},
    store::counted::{Calls, Counted},
    vault::{
        Vault,
        reader::{Fetching, Snapshot},
    },
};

/// What a store takes for 1000 calls that read, in dollars: AWS, S3 Standard, by its list of prices.
const READS: f64 = 0.0004;
/// What AWS takes for a GiB that leaves it; nothing within the bucket's region.
const OUT: f64 = 0.09;
/// So many bytes a second are assumed, where nothing is known of the line.
const SPEED: u64 = 50 << 20;

/// A snapshot's streams.
#[derive(Debug, Serialize)]
pub struct ListReport {
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
    /// Bytes of what is listed.
    pub bytes: u64,
    /// The streams: files, and for a tree its links and empty directories.
    pub streams: Vec<ListLine>,
    /// The tables of databases, by what was counted when it was made.
    pub databases: Vec<Tables>,
}

/// A stream.
#[derive(Debug, Serialize)]
pub struct ListLine {
    /// Its name.
    pub name: Name,
    /// The path that it came from, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// `file`, `link` or `directory`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Its bytes.
    pub bytes: u64,
}

/// A database and its tables.
#[derive(Debug, Serialize)]
pub struct Tables {
    /// The database.
    pub database: String,
    /// Each table and its rows.
    pub tables: Vec<(String, u64)>,
}

/// What a restore would fetch.
#[derive(Debug, Serialize)]
pub struct RehearsalReport {
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
    /// Streams that would come back.
    pub streams: u64,
    /// Bytes that would be written.
    pub bytes: u64,
    /// What of packs would be read.
    pub fetch: Fetching,
    /// What finding that out asked of the store, which the restore asks again.
    pub opening: Calls,
    /// What the calls of both cost in a bucket, in dollars, by AWS's list of prices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls_usd: Option<f64>,
    /// What the bytes cost that leave AWS; nothing within the bucket's region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transfer_usd: Option<f64>,
    /// How long it takes at 50 MiB a second.
    pub seconds: u64,
}

/// A snapshot that was opened to be looked at.
struct Opened {
    snapshot: Snapshot,
    plan: Plan,
    fingerprints: Vec<Fingerprint>,
    findings: Vec<Finding>,
}

async fn opened(
    vault: &Vault,
    opener: &Opener,
    (wanted, part): (&Wanted, Part),
    progress: &Arc<dyn Progress>,
) -> Result<Opened> {
    let listing = listed_for(vault, wanted).await?;
    let chosen = choose(listing.snapshots, wanted)?;
    noted(vault, &chosen, wanted, progress).await?;
    let header = vault.whole(&chosen.snapshot).await?;
    let named = |error| named(error, chosen.snapshot.id, &chosen.snapshot.header.writer);
    let mut snapshot = Snapshot::open(vault, header, opener).await.map_err(|error| named(error.into()))?;
    let fingerprints = std::mem::take(&mut snapshot.body.fingerprints);
    let plan = planned(&mut snapshot, part).await.map_err(named)?;
    Ok(Opened { snapshot, plan, fingerprints, findings: listing.findings })
}

/// Lists what a snapshot holds.
///
/// # Errors
/// If it is not there or can't be opened.
pub async fn list(
    vault: &Vault,
    opener: &Opener,
    (wanted, part): (&Wanted, Part),
    progress: &Arc<dyn Progress>,
) -> Result<(ListReport, Vec<Finding>)> {
    let Opened { snapshot, plan, fingerprints, findings } = opened(vault, opener, (wanted, part), progress).await?;
    let header = &snapshot.header.header;
    let tables = |print: Fingerprint| Tables {
        database: print.database,
        tables: print.tables.into_iter().map(|(name, table)| (name, table.rows)).collect(),
    };
    let (id, writer, created_at) = (snapshot.header.id, header.writer.clone(), header.started_at);
    let Plan { source, kind, bytes, entries, .. } = plan;
    let mut streams: Vec<ListLine> = entries.into_iter().map(line).collect();
    streams
        .sort_by(|a, b| a.path.as_deref().unwrap_or(a.name.as_str()).cmp(b.path.as_deref().unwrap_or(b.name.as_str())));
    let databases = fingerprints.into_iter().map(tables).collect();
    Ok((ListReport { id, source, kind, writer, created_at, bytes, streams, databases }, findings))
}

fn line(entry: Entry) -> ListLine {
    let kind = match (&entry.stream.meta.link, entry.stream.meta.dir) {
        (Some(_), _) => "link",
        (None, true) => "directory",
        (None, false) => "file",
    };
    let stream = entry.stream;
    ListLine { name: stream.name, path: stream.path.map(Into::into), kind, bytes: stream.bytes }
}

/// Says what a restore would fetch: its plan is made and not run.
///
/// # Errors
/// If the snapshot is not there, can't be opened, or its lists can't be read.
pub async fn rehearse(
    vault: &Vault,
    opener: &Opener,
    (wanted, part): (&Wanted, Part),
    (progress, cancel): (&Arc<dyn Progress>, &Cancel),
) -> Result<(RehearsalReport, Vec<Finding>)> {
    let counted = Arc::new(Counted::new(Arc::clone(&vault.store)));
    let vault = &vault.through(Arc::clone(&counted) as _);
    let Opened { snapshot, plan, findings, .. } = opened(vault, opener, (wanted, part), progress).await?;
    let streams = plan.entries.iter().filter(|entry| plan.linked_to(entry).is_none()).map(|entry| &entry.stream);
    let fetch = snapshot.fetching(streams, cancel).await?;
    let (header, opening) = (&snapshot.header.header, counted.calls());
    let bucket = vault.store.url().starts_with("s3://");
    let all_bytes = fetch.bytes.saturating_add(opening.bytes);
    let all_calls = fetch.calls + opening.get + opening.head + opening.list;
    #[allow(clippy::cast_precision_loss, reason = "prices are rough")]
    let (calls, gib) = (all_calls as f64, all_bytes as f64 / f64::from(1 << 30));
    let report = RehearsalReport {
        id: snapshot.header.id,
        source: plan.source.clone(),
        kind: plan.kind,
        writer: header.writer.clone(),
        created_at: header.started_at,
        streams: plan.entries.len() as u64,
        bytes: plan.bytes,
        fetch,
        opening,
        calls_usd: bucket.then_some(calls / 1000.0 * READS),
        transfer_usd: bucket.then_some(gib * OUT),
        seconds: (all_bytes / SPEED).max(plan.bytes / (4 * SPEED)),
    };
    Ok((report, findings))
}
