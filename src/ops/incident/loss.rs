//! What restoring an earlier snapshot loses, and how far a journal goes beyond it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::super::{Result, lookback::Judged};
use crate::{
    codec::seal::Opener,
    model::{Finding, Findings, Severity, SourceKind, Time},
    vault::{Vault, VaultErrorKind, journal, reader::Snapshot, snapshots::Summary},
};

/// So many tables and refs are told one by one.
const TOLD: usize = 100;

/// A table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RowLoss {
    /// Its name.
    pub table: String,
    /// Rows in the last good snapshot; nothing where it was not there.
    pub good: Option<u64>,
    /// Rows in the newest one; nothing where it is gone.
    pub newest: Option<u64>,
    /// Rows that come back, at least.
    pub comes_back: u64,
    /// Rows that were added since and go, at least.
    pub goes: u64,
    /// Whether it holds as many rows and they are not all the same.
    pub altered: bool,
}

/// A ref of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefLoss {
    /// Its full name.
    #[serde(rename = "ref")]
    pub name: String,
    /// What it names in the last good snapshot; nothing where it was not there.
    pub good: Option<String>,
    /// What it names in the newest one; nothing where it is gone.
    pub newest: Option<String>,
}

/// What restoring the last good snapshot loses.
#[derive(Debug, Clone, Serialize)]
pub struct Loss {
    /// The time between the two snapshots, in seconds: what was made in it is lost where nothing below says otherwise.
    pub seconds: u64,
    /// From when on things are lost.
    pub from: Time,
    /// Tables whose rows are not the same.
    pub rows: Vec<RowLoss>,
    /// How many more there are.
    pub more_rows: usize,
    /// Refs that name something else.
    pub refs: Vec<RefLoss>,
    /// How many more there are.
    pub more_refs: usize,
    /// Files in the last good snapshot and in the newest one.
    pub files: Option<(u64, u64)>,
    /// Bytes in the last good snapshot and in the newest one.
    pub bytes: (u64, u64),
}

/// Between two snapshots of a source.
pub(super) async fn of(
    vault: &Vault,
    opener: Option<&Opener>,
    (good, good_header): (&Judged, &Summary),
    (newest, newest_header): (&Judged, &Summary),
) -> Result<Loss> {
    let mut rows = rows(good, newest);
    let more_rows = rows.len().saturating_sub(TOLD);
    rows.truncate(TOLD);
    let mut changed = Vec::new();
    if let (SourceKind::Git, Some(opener)) = (good.line.kind, opener) {
        let (then, now) = (refs(vault, opener, good_header).await?, refs(vault, opener, newest_header).await?);
        let names: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
        changed = names
            .into_iter()
            .filter(|name| then.get(*name) != now.get(*name))
            .map(|name| RefLoss { name: name.clone(), good: then.get(name).cloned(), newest: now.get(name).cloned() })
            .collect();
    }
    let more_refs = changed.len().saturating_sub(TOLD);
    changed.truncate(TOLD);
    Ok(Loss {
        seconds: newest.line.created_at.since(good.line.created_at).as_seconds(),
        from: good.line.created_at,
        rows,
        more_rows,
        refs: changed,
        more_refs,
        files: good.facts.files.as_ref().zip(newest.facts.files.as_ref()).map(|(a, b)| (a.count, b.count)),
        bytes: (good.line.bytes, newest.line.bytes),
    })
}

/// The tables that are not the same, those first of which most comes back.
fn rows(good: &Judged, newest: &Judged) -> Vec<RowLoss> {
    let (Some(then), Some(now)) = (&good.facts.tables, &newest.facts.tables) else { return Vec::new() };
    let names: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
    let mut found = Vec::new();
    for name in names {
        let (was, is) = (then.get(name), now.get(name));
        let (good, newest) = (was.map(|table| table.rows), is.map(|table| table.rows));
        let (a, b) = (good.unwrap_or_default(), newest.unwrap_or_default());
        let hashes = was.and_then(|table| table.hash.as_ref()).zip(is.and_then(|table| table.hash.as_ref()));
        let altered = good == newest && hashes.is_some_and(|(a, b)| a != b);
        if good != newest || altered {
            let (comes_back, goes) = (a.saturating_sub(b), b.saturating_sub(a));
            found.push(RowLoss { table: name.clone(), good, newest, comes_back, goes, altered });
        }
    }
    found.sort_by_key(|one| std::cmp::Reverse((one.comes_back, one.goes)));
    found
}

/// The refs of a snapshot of a repository; none where it can't be read, which was told.
async fn refs(vault: &Vault, opener: &Opener, summary: &Summary) -> Result<BTreeMap<String, String>> {
    let whole = vault.whole(summary).await?;
    let snapshot = match Snapshot::open(vault, whole, opener).await {
        Ok(snapshot) => snapshot,
        Err(error) if error.kind == VaultErrorKind::Damaged => return Ok(BTreeMap::new()),
        Err(error) => return Err(error.into()),
    };
    let refs = snapshot.body.details.get("refs").and_then(serde_json::Value::as_object);
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    Ok(refs.into_iter().flatten().filter_map(|(name, oid)| Some((name.clone(), text(oid)?))).collect())
}

/// How far a journal goes beyond a snapshot.
#[derive(Debug, Clone, Serialize)]
pub struct Beyond {
    /// Its line.
    pub line: String,
    /// From where on, as the server writes it.
    pub from: String,
    /// When the snapshot was whole: to no earlier time can it be gone on from it.
    pub from_at: Time,
    /// Up to where without a gap, as the server writes it.
    pub to: Option<String>,
    /// When that was stored, by the store's clock.
    pub to_at: Option<Time>,
    /// How much later than the snapshot that is, in seconds.
    pub seconds: u64,
    /// Whether there is more behind a gap.
    pub gap: bool,
}

/// How far the journal goes that `summary` is a base of; nothing where it is none.
pub(super) async fn beyond(vault: &Vault, summary: &Summary, findings: &mut Findings) -> Result<Option<Beyond>> {
    let Some(start) = &summary.header.journal else { return Ok(None) };
    let (writer, source) = (&summary.header.writer, &summary.header.source);
    let listing = match journal::list(vault, Some(writer), source).await {
        Ok(listing) => listing,
        Err(error) if error.kind == VaultErrorKind::Denied => {
            let what = format!("its journal can't be listed, so nobody knows how far it goes: {error}");
            findings.push(Finding::new(Severity::Warning, "journal.unread", what).on(source));
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    let line = listing.lines.iter().find(|line| line.line == start.line);
    let reach = line.map(journal::LineListing::reach).unwrap_or_default();
    let stretch = reach.stretches.iter().find(|span| span.from <= start.from && start.from < span.to);
    let to = stretch.map(|span| span.to);
    let to_at = line
        .zip(to)
        .and_then(|(line, to)| line.pieces().filter(|(_, span)| span.to == to).map(|(one, _)| one.stored_at).min());
    let header = &summary.header;
    let from_at = summary.standing.stored_at.map_or(header.claimed_at, |stored| stored.max(header.claimed_at));
    Ok(Some(Beyond {
        line: start.line.to_string(),
        from: start.line.say(start.from),
        from_at,
        to: to.map(|to| start.line.say(to)),
        to_at,
        seconds: to_at.map_or(0, |at| at.since(from_at).as_seconds()),
        gap: reach.stretches.iter().any(|span| to.map_or(span.from > start.from, |to| span.from > to)),
    }))
}
