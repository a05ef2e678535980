//! `journal list`: how far journals reach, by names alone.

use serde::Serialize;

use super::super::Result;
use crate::{
    model::{
        Name, Time,
        journal::{Line, Position, Span},
    },
    vault::{Vault, journal},
};

/// A stretch without a gap.
#[derive(Debug, Clone, Serialize)]
pub struct Stretch {
    /// Where it begins.
    pub from: Position,
    /// Where it ends.
    pub to: Position,
    /// The same as the server writes it.
    pub from_lsn: String,
    /// The same.
    pub to_lsn: String,
}

/// What is missing between two stretches.
pub type GapLine = Stretch;

/// One line of a source.
#[derive(Debug, Clone, Serialize)]
pub struct JournalLine {
    /// Who put it there.
    pub writer: Name,
    /// The source.
    pub source: Name,
    /// The line.
    pub line: Line,
    /// How many pieces there are.
    pub pieces: u64,
    /// Their sealed bytes.
    pub bytes: u64,
    /// What they cover.
    pub stretches: Vec<Stretch>,
    /// What is missing in between.
    pub gaps: Vec<GapLine>,
    /// When the newest piece was stored.
    pub newest_at: Option<Time>,
    /// How many seconds ago that was.
    pub age_s: Option<u64>,
    /// Whether there is more than is listed at once, and this is the beginning.
    pub more: bool,
}

/// Lists the journals of `source`, or of all. Nothing is opened: what is listed are names, which say what a piece should hold.
///
/// # Errors
/// If the store can't be listed.
pub async fn list(vault: &Vault, source: Option<&Name>, writer: Option<&Name>) -> Result<Vec<JournalLine>> {
    let now = vault.store.server_time().await?;
    let all = journal::list_all(vault, writer, source).await?;
    let lines = |listing: &journal::Listing| -> Vec<JournalLine> {
        listing.lines.iter().map(|line| of_line(line, now, listing.more)).collect()
    };
    Ok(all.values().flat_map(lines).collect())
}

fn of_line(listed: &journal::LineListing, now: Time, more: bool) -> JournalLine {
    let line = &listed.line;
    let stretch = |span: &Span| Stretch {
        from: span.from,
        to: span.to,
        from_lsn: line.say(span.from),
        to_lsn: line.say(span.to),
    };
    let reach = listed.reach();
    let newest = listed.pieces().max_by_key(|(one, span)| (span.to, one.stored_at)).map(|(one, _)| one.stored_at);
    JournalLine {
        writer: listed.writer.clone(),
        source: listed.source.clone(),
        line: line.clone(),
        pieces: listed.pieces().count() as u64,
        bytes: listed.pieces().map(|(one, _)| one.bytes).sum(),
        stretches: reach.stretches.iter().map(stretch).collect(),
        gaps: reach.gaps().iter().map(stretch).collect(),
        newest_at: newest,
        age_s: newest.map(|at| now.since(at).as_seconds()),
        more,
    }
}
