//! Journals: up to where each base can be recovered, and where the log has gaps.
//!
//! Names tell it, without a key: nobody signs for the number of pieces, so what is missing is a gap between two others. The
//! depth `read` leaves out what has not the bytes that its name says, `decrypt` also what its writer did not sign.

mod check;
mod reach;

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;

use super::{Depth, VerifyRequest, Weakest, objects::stop_if_asked};
use crate::{
    format::layout,
    model::{
        Cancel, Finding, Findings, Hash, Name, Progress, Severity, SnapshotId, Span as Duration, Time,
        journal::{Line, Position, Reach, Span},
    },
    vault::{
        Result, Vault,
        holds::{Held, Holds},
        journal::{Gathering, Listed, Reader, Windows},
        snapshots::Summary,
    },
};
use check::Checks;

/// So many stretches of one line are told apart: whoever may add objects can make a gap with each.
const STRETCHES: usize = 50_000;
/// So many lines of one source are looked at.
const LINES: usize = 256;
/// So many bad pieces of one line are held against its gaps.
const BAD: usize = 10_000;

/// Up to where a base can be recovered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Recovery {
    /// The base.
    pub snapshot: SnapshotId,
    /// Its source.
    pub source: Name,
    /// Its writer.
    pub writer: Name,
    /// The line that it was taken in.
    pub line: Line,
    /// From where on its log is needed.
    pub from: Position,
    /// Up to where the log is there without a gap, on this line; nothing if not even its beginning is.
    pub to: Option<Position>,
    /// The same positions as the server writes them.
    pub from_text: String,
    /// See `from_text`.
    pub to_text: Option<String>,
    /// Later lines on which it can be recovered further, each with where that ends.
    pub goes_on: Vec<Further>,
    /// The first gap after it, on its line.
    pub gap: Option<Span>,
    /// The gap's ends as the server writes them.
    pub gap_text: Option<(String, String)>,
    /// The end of the newest piece of its line.
    pub newest: Option<Position>,
    /// When the store got the newest piece of its line or of one that goes on from it.
    pub newest_at: Option<Time>,
    /// How long ago that was, in seconds.
    pub age_s: Option<u64>,
}

/// A line on which the log goes on after a server was promoted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Further {
    /// The line.
    pub line: Line,
    /// Up to where its log is there without a gap.
    pub to: Position,
    /// The same as the server writes it.
    pub to_text: String,
}

/// A base of a journal.
pub(super) struct Base<'a> {
    snapshot: &'a Summary,
    line: &'a Line,
    from: Position,
    held: Vec<Hold>,
}

/// What a hold promises of the journal of a base.
struct Hold {
    /// What was there then is held.
    since: Time,
    /// Until when everything was locked when the hold was made.
    floor: Time,
}

impl Base<'_> {
    /// Whether something of `line` that ends at `to` is needed to recover it.
    fn needs(&self, line: &Line, to: Position) -> bool {
        (self.line == line || self.line.may_become(line)) && self.from <= to
    }

    /// Until when a hold of it promises a piece of `line` that the store got at `stored` and that ends at `to`; of a timeline's
    /// history there is no end.
    fn held(&self, line: &Line, to: Option<Position>, stored: Time) -> Option<Time> {
        let needs = (self.line == line || self.line.may_become(line)) && to.is_none_or(|to| self.from < to);
        let held = self.held.iter().filter(|hold| needs && stored <= hold.since);
        held.map(|hold| hold.floor).max()
    }
}

/// What was found of one line.
#[derive(Default)]
struct Found {
    /// What good pieces cover.
    reach: Reach,
    /// When the store got the newest of them.
    newest_at: Option<Time>,
    /// What was opened last, with the hash of what is in it.
    last: Option<(Listed, Hash)>,
    /// Pieces that hold nothing good.
    bad: Vec<Bad>,
    /// Whether a history of its timeline is there.
    history: bool,
    /// Whether more stretches were named than are told apart.
    flooded: bool,
}

/// A piece that holds nothing good.
struct Bad {
    key: String,
    span: Span,
    /// Whether it was never the writer's, as far as can be known.
    forged: bool,
    why: String,
}

/// What was seen of all journals.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) recoveries: Vec<Recovery>,
    pub(super) objects: u64,
    pub(super) bytes: u64,
    pub(super) bytes_read: u64,
    pub(super) weakest: Option<Weakest>,
}

/// The bases of the journals of each writer's source.
pub(super) type Bases<'a> = BTreeMap<(&'a Name, &'a Name), Vec<Base<'a>>>;

/// The live ones of `chosen` that are bases of journals, and those that are held. `most` is the longest lock.
pub(super) fn bases<'a>(chosen: &[&'a Summary], (holds, most): (&Holds, Duration), now: Time) -> Bases<'a> {
    let mut bases = Bases::new();
    for snapshot in chosen.iter().copied() {
        let of_it = holds.active(now).filter(|held| held.hold.snapshots.contains(&snapshot.id));
        let lasting = |held: &Held| Hold { since: held.there, floor: held.hold.until.min(held.hold.at + most) };
        let held: Vec<Hold> = of_it.map(lasting).collect();
        if snapshot.header.expires_at <= now && held.is_empty() {
            continue;
        }
        if let Some(start) = &snapshot.header.journal {
            let base = Base { snapshot, line: &start.line, from: start.from, held };
            bases.entry((&snapshot.header.writer, &snapshot.header.source)).or_default().push(base);
        }
    }
    bases
}

/// Checks the journals of `bases`, of which `gathered` has what was listed.
pub(super) async fn check(
    vault: &Vault,
    request: &VerifyRequest,
    all: &[Summary],
    (bases, gathered): (&Bases<'_>, Gathering<'_>),
    now: Time,
    (progress, cancel): (&Arc<dyn Progress>, &Cancel),
    findings: &mut Findings,
) -> Result<Seen> {
    let mut seen = Seen::default();
    if request.snapshot.is_none() {
        baseless(&gathered, bases, findings);
        let known = |source: &Name| bases.keys().any(|(_, of)| *of == source);
        for (source, every) in request.journals.iter().filter(|(source, _)| !known(source)) {
            findings.push(without(source, *every));
        }
    }
    if bases.is_empty() {
        return Ok(seen);
    }
    let mut gathered = gathered.finish();
    progress.phase("reading journals", None);
    let reader = match (&request.opener, request.depth) {
        (Some(people), Depth::Decrypt) => Some(Reader::new(vault, people, all).await?),
        _ => None,
    };
    for ((writer, source), bases) in bases {
        let mut checks = Checks::new(vault, request, reader.as_ref(), bases, now, cancel);
        let of = ((*writer).clone(), (*source).clone());
        let first = gathered.remove(&of).unwrap_or_default();
        let mut windows = Windows::after(&*vault.store, writer, source, first);
        while let Some(window) = windows.next().await? {
            stop_if_asked(cancel)?;
            strays(writer, source, window.strays, &window.stray_names, findings);
            for line in &window.lines {
                checks.line(line, &mut seen, findings).await?;
            }
        }
        let found = checks.found;
        reach::told(bases, &found, findings);
        let recovered = bases.iter().map(|base| reach::recovery(base, &found, now));
        let first = seen.recoveries.len();
        seen.recoveries.extend(recovered);
        let told = seen.recoveries.get(first..).unwrap_or_default();
        findings.extend(stale(source, writer, told, request.journals.get(*source).copied(), now));
    }
    Ok(seen)
}

/// What lies among a journal's pieces and is none.
fn strays(writer: &Name, source: &Name, count: u64, names: &[String], findings: &mut Findings) {
    for name in names {
        let what = "this lies within a journal and is named as nothing of it: put there by somebody else";
        findings.note(Finding::new(Severity::Info, "journal.stray", what).on(name));
    }
    if count > names.len() as u64 {
        let what = format!("{count} objects within the journal of {writer}/{source} are named as nothing of it");
        findings.push(Finding::new(Severity::Info, "journal.stray", what).on(format!("{writer}/{source}")));
    }
}

/// Journals that no live base stands before: of what is in them nothing can be recovered.
fn baseless(gathered: &Gathering<'_>, bases: &Bases<'_>, findings: &mut Findings) {
    for (writer, source) in gathered.seen.iter().filter(|(writer, source)| !bases.contains_key(&(writer, source))) {
        let what = format!(
            "there is a journal of source {source} by writer {writer}, and no live base that it goes on from: nothing of \
             it can be recovered"
        );
        let on = format!("{}{source}/", layout::own(layout::JOURNALS, writer));
        findings.push(Finding::new(Severity::Warning, "journal.baseless", what).on(on));
    }
}

/// Told where somebody said how old the newest piece may be, and there is nothing that a journal goes on from.
fn without(source: &Name, every: Duration) -> Finding {
    let what = format!(
        "source {source} has no live base that a journal goes on from, and the newest piece of its journal is to be at most \
         {every} old: take a base, by `strongroom backup {source}`, and see whether it has a journal"
    );
    Finding::new(Severity::Weak, "journal.stale", what).on(source)
}

/// Told where the newest piece is older than somebody said that it may be.
fn stale(source: &Name, writer: &Name, told: &[Recovery], every: Option<Duration>, now: Time) -> Option<Finding> {
    let every = every?;
    let newest = told.iter().filter_map(|one| one.newest_at).max();
    if newest.is_some_and(|at| now <= at + every) {
        return None;
    }
    let age = newest.map_or_else(
        || "has no piece at all".to_owned(),
        |at| format!("has nothing newer than {}, from {at}", now.since(at)),
    );
    let what = format!(
        "the journal of source {source} by writer {writer} {age}, and its newest piece is to be at most {every} old: see \
         whether `journal run` runs and reaches its server and the vault"
    );
    Some(Finding::new(Severity::Weak, "journal.stale", what).on(source))
}
