//! `show`: one snapshot in full. Its header and pages need no identity; streams, tables and refs are in its body, which
//! does. What is listed is bounded: a body may name half a million files.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize as _, Serialize};
use serde_json::Value;

use super::{
    Result,
    request::Requested,
    snapshots::{Wanted, choose, listed_for},
};
use crate::{
    codec::seal::Opener,
    format::header::{Flag, Totals, VerifiedHeader},
    model::{Finding, Hash, Name, Progress, SnapshotId, SourceKind, Tier, Time, journal::Start},
    vault::{
        self, Vault,
        reader::{Snapshot, packs_with_bytes},
        snapshots::Summary,
    },
};

/// So many streams, tables and refs of each database or repository are listed.
pub const LISTED: usize = 10_000;

/// What a snapshot added to the vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Packs that its writer's snapshot before did not need.
    pub packs: u64,
    /// Their sealed bytes.
    pub bytes: u64,
}

/// One stream.
#[derive(Debug, Clone, Serialize)]
pub struct StreamLine {
    /// Its path, or else its name.
    pub name: String,
    /// Its bytes.
    pub bytes: u64,
    /// Its chunks.
    pub chunks: u64,
    /// BLAKE3 of all of it.
    pub blake3: Hash,
}

/// One table at the instant of the dump.
#[derive(Debug, Clone, Serialize)]
pub struct TableLine {
    /// Its name.
    pub name: String,
    /// Rows.
    pub rows: u64,
    /// A hash of all rows, where they were hashed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
}

/// One database at the instant of the dump.
#[derive(Debug, Clone, Serialize)]
pub struct DatabaseLine {
    /// Its name.
    pub name: String,
    /// Its server: version, encoding and the like.
    pub server: BTreeMap<String, String>,
    /// How many tables it has; the first [`LISTED`] are listed.
    pub table_count: u64,
    /// The tables.
    pub tables: Vec<TableLine>,
    /// How many other objects are compared after a restore.
    pub objects: u64,
}

/// What the body tells.
#[derive(Debug, Clone, Serialize)]
pub struct Opened {
    /// How many streams there are; the first [`LISTED`] are listed.
    pub stream_count: u64,
    /// The streams.
    pub streams: Vec<StreamLine>,
    /// The databases.
    pub databases: Vec<DatabaseLine>,
    /// How many refs there are; the first [`LISTED`] are listed.
    pub ref_count: u64,
    /// The refs of a repository, each with what it points to.
    pub refs: BTreeMap<String, String>,
    /// Who wanted it and why, where that was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested: Option<Requested>,
    /// What the source warned of.
    pub warnings: Vec<String>,
}

/// A snapshot.
#[derive(Debug, Clone, Serialize)]
pub struct ShowReport {
    /// Its id.
    pub id: SnapshotId,
    /// Its source.
    pub source: Name,
    /// What kind of source that is.
    pub kind: SourceKind,
    /// Who wrote it.
    pub writer: Name,
    /// Its place among its writer's snapshots.
    pub seq: u64,
    /// The writer's newest snapshots when this one was made.
    pub prev: Vec<SnapshotId>,
    /// Now, by the store's clock.
    pub at: Time,
    /// When its run started, by the store's clock.
    pub created_at: Time,
    /// When the header was made, by the writer's clock.
    pub claimed_at: Time,
    /// When the store first had it whole, where the store is a witness.
    pub stored_at: Option<Time>,
    /// Until when it was locked when it was written, at least.
    pub floor_until: Time,
    /// Until when it is to be kept.
    pub expires_at: Time,
    /// Why it is kept longer than others, if it is.
    pub tier: Option<Tier>,
    /// When its source was last stored in full.
    pub full_at: Option<Time>,
    /// Where in its source's log it stands, if it is a base of a journal.
    pub journal: Option<Start>,
    /// Whether its writer was revoked from a time before it, or may not write its source.
    pub suspect: bool,
    /// Whether it claims to be of a time that is not yet.
    pub future: bool,
    /// What its writer's rules said.
    pub signals: Vec<Flag>,
    /// What its writer warned of, without anything out of the data.
    pub warnings: Vec<String>,
    /// What it amounts to.
    pub totals: Totals,
    /// What it added to the vault; nothing where the snapshot before is not there any more.
    pub cost: Option<Cost>,
    /// What a reader must understand.
    pub features: Vec<String>,
    /// What the body tells; nothing without an identity.
    pub opened: Option<Opened>,
}

/// Shows a snapshot, and with `opener` what is in it.
///
/// # Errors
/// If there is no such snapshot, or it can't be opened.
pub async fn show(
    vault: &Vault,
    wanted: &Wanted,
    opener: Option<&Opener>,
    progress: &Arc<dyn Progress>,
) -> Result<(ShowReport, Vec<Finding>)> {
    progress.phase("reading headers", None);
    let listing = listed_for(vault, wanted).await?;
    let now = vault.store.server_time().await?;
    let chosen = choose(listing.snapshots, wanted)?.snapshot;
    let whole = vault.whole(&chosen).await?;
    let cost = cost(vault, &whole).await?;
    let header = &whole.header;
    let mut report = ShowReport {
        id: whole.id,
        source: header.source.clone(),
        kind: header.kind,
        writer: header.writer.clone(),
        seq: header.seq,
        prev: header.prev.clone(),
        at: now,
        created_at: header.started_at,
        claimed_at: header.claimed_at,
        stored_at: chosen.standing.stored_at,
        floor_until: header.floor_until,
        expires_at: header.expires_at,
        tier: header.tier,
        full_at: header.full_at,
        journal: header.journal.clone(),
        suspect: chosen.standing.suspect,
        future: chosen.standing.future,
        signals: header.signals.clone(),
        warnings: header.warnings.clone(),
        totals: header.totals,
        cost,
        features: header.features.clone(),
        opened: None,
    };
    if let Some(opener) = opener {
        progress.phase("opening the snapshot", None);
        let snapshot = Snapshot::open(vault, whole, opener).await?;
        report.opened = Some(opened(snapshot));
    }
    Ok((report, listing.findings))
}

/// What it added, by the pages of both.
async fn cost(vault: &Vault, whole: &VerifiedHeader) -> Result<Option<Cost>> {
    let before = match whole.header.prev.first() {
        None => BTreeMap::new(),
        Some(prev) => {
            let found = vault::snapshots::by_id(vault, &prev.to_string()).await?.snapshots;
            let own = |found: &&Summary| found.id == *prev && found.header.writer == whole.header.writer;
            let Some(found) = found.iter().find(own) else { return Ok(None) };
            match packs_with_bytes(vault, &vault.whole(found).await?).await? {
                Some(packs) => packs,
                None => return Ok(None),
            }
        }
    };
    let Some(own) = packs_with_bytes(vault, whole).await? else { return Ok(None) };
    let new = own.iter().filter(|(pack, _)| !before.contains_key(*pack));
    Ok(Some(new.fold(Cost { packs: 0, bytes: 0 }, |cost, (_, bytes)| Cost {
        packs: cost.packs + 1,
        bytes: cost.bytes.saturating_add(*bytes),
    })))
}

fn opened(snapshot: Snapshot) -> Opened {
    let body = snapshot.body;
    let streams = body.streams.iter().take(LISTED).map(|stream| StreamLine {
        name: stream.path.as_deref().unwrap_or(stream.name.as_str()).to_owned(),
        bytes: stream.bytes,
        chunks: stream.chunks,
        blake3: stream.blake3,
    });
    let databases = body.fingerprints.iter().map(|print| DatabaseLine {
        name: print.database.clone(),
        server: print.server.clone(),
        table_count: print.tables.len() as u64,
        tables: print
            .tables
            .iter()
            .take(LISTED)
            .map(|(name, table)| TableLine { name: name.clone(), rows: table.rows, hash: table.hash.clone() })
            .collect(),
        objects: print.objects.len() as u64,
    });
    let refs = body.details.get("refs").and_then(Value::as_object);
    let listed = refs.into_iter().flatten().take(LISTED);
    Opened {
        stream_count: body.streams.len() as u64,
        streams: streams.collect(),
        databases: databases.collect(),
        ref_count: refs.map_or(0, |refs| refs.len() as u64),
        refs: listed.map(|(name, to)| (name.clone(), pointed(to))).collect(),
        requested: body.details.get("requested").and_then(|value| Requested::deserialize(value).ok()),
        warnings: unread(&body.details).chain(body.warnings).collect(),
    }
}

/// What of a forge is not in a snapshot, since its run could not read it.
pub(super) fn unread(details: &Value) -> impl Iterator<Item = String> + use<> {
    let all = details.get("unread").and_then(Value::as_array).into_iter().flatten();
    all.filter_map(|one| Some(format!("not in it: {}", one.as_str()?))).collect::<Vec<_>>().into_iter()
}

/// What a ref points to, as text.
pub(super) fn pointed(to: &Value) -> String {
    to.as_str().map_or_else(|| to.to_string(), str::to_owned)
}
