//! `incident`: the page for the worst night. Per source what changed and when, which snapshot is the last before it, what
//! restoring that one loses, how far a journal goes beyond it, and what to type.

mod html;
mod loss;
mod markdown;
mod words;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::Serialize;

pub use loss::{Beyond, Loss, RefLoss, RowLoss};
pub use words::{said, say_beyond, say_stand, say_state};

use super::{
    OpsError, Result,
    lookback::{self, Change, Judged, Known, Past, Stand},
    signals::announce,
    snapshots::SnapshotLine,
};
use crate::{
    codec::seal::Opener,
    model::{Cancel, Finding, Findings, Name, Progress, SnapshotId, SourceKind, Span, Time, VaultId, lasting},
    signal::{self, History, Verdict},
    vault::{
        Vault,
        snapshots::{self, Summary},
        standing::must_be_known,
    },
};

/// So many snapshots of a source are on the page, unless it is said since when.
const SHOWN: usize = 20;
/// So many sources are looked at.
const SOURCES: usize = 500;

/// What to look at.
pub struct IncidentRequest {
    /// Opens bodies, if there is one.
    pub opener: Option<Opener>,
    /// These sources; all where none is named.
    pub sources: Vec<Name>,
    /// What happened since then.
    pub since: Option<Time>,
    /// How often sources are expected.
    pub schedule: BTreeMap<Name, Span>,
    /// What is known of alarms.
    pub known: Known,
}

/// A command to type.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// What it does.
    pub what: String,
    /// The command, for a shell.
    pub command: String,
}

/// A snapshot, in short.
#[derive(Debug, Clone, Serialize)]
pub struct Point {
    /// Its id.
    pub id: SnapshotId,
    /// When its run started, by the store's clock.
    pub at: Time,
    /// Bytes of all its streams.
    pub bytes: u64,
    /// How old it is, in seconds.
    pub age_s: u64,
}

/// A snapshot of the timeline.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Its id.
    pub id: SnapshotId,
    /// Since when it is there.
    pub at: Time,
    /// Bytes of all its streams.
    pub bytes: u64,
    /// How it stands.
    pub stand: Stand,
    /// The cause of its alarm, as `watch` names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// What is said of it.
    pub reasons: Vec<Verdict>,
    /// How it differs from the one before it.
    pub changes: Vec<Change>,
}

/// How it is with a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Nothing to say.
    Calm,
    /// No snapshot came for too long.
    Quiet,
    /// The newest snapshot is good again, and others since are not.
    Over,
    /// The newest snapshot shows an alarm that nobody acknowledged.
    Alarm,
}

/// What is known of one source of one writer.
#[derive(Debug, Serialize)]
pub struct SourcePage {
    /// The source.
    pub source: Name,
    /// Whose.
    pub writer: Name,
    /// What kind of source it is.
    pub kind: SourceKind,
    /// How it is with it.
    pub state: State,
    /// The same in a sentence.
    pub headline: String,
    /// The newest snapshot.
    pub newest: Point,
    /// The last good one.
    pub last_good: Option<Point>,
    /// The first one behind it that shows an alarm: what happened lies between the two.
    pub first_bad: Option<Point>,
    /// The alarms that nobody acknowledged, as `watch` names them.
    pub causes: Vec<String>,
    /// What restoring the last good one loses.
    pub loses: Option<Loss>,
    /// How far a journal goes beyond it.
    pub journal: Option<Beyond>,
    /// What to type.
    pub commands: Vec<Step>,
    /// What happened, the oldest first.
    pub timeline: Vec<Row>,
    /// How many snapshots before these were left out or not looked at.
    pub earlier: u64,
}

/// What is known of a vault.
#[derive(Debug, Serialize)]
pub struct IncidentReport {
    /// The vault.
    pub vault: VaultId,
    /// Where it is.
    pub url: String,
    /// When this was found out, by the store's clock.
    pub at: Time,
    /// From what: `bodies`, or `headers` where no identity was given.
    pub judged_by: &'static str,
    /// Its sources, the worst first.
    pub sources: Vec<SourcePage>,
    /// What else to type.
    pub commands: Vec<Step>,
}

impl IncidentReport {
    /// As one HTML page.
    #[must_use]
    pub fn html(&self) -> String {
        html::page(self)
    }

    /// As Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        markdown::page(self)
    }

    /// The sources that show an alarm which nobody acknowledged, or are quiet.
    pub fn troubled(&self) -> impl Iterator<Item = &SourcePage> {
        self.sources.iter().filter(|page| page.state >= State::Quiet)
    }

    /// What is to be read first.
    #[must_use]
    pub fn headline(&self) -> String {
        let alarms = self.sources.iter().filter(|page| page.state >= State::Over).count();
        let quiet = self.sources.iter().filter(|page| page.state == State::Quiet).count();
        let all = self.sources.len();
        match (alarms, quiet) {
            (0, 0) if all == 0 => "there is no snapshot".to_owned(),
            (0, 0) => format!("nothing stands out in {}", plural(all, "source")),
            (0, quiet) => format!("{quiet} of {} made no snapshot for too long", plural(all, "source")),
            (alarms, 0) => format!("{alarms} of {} with an alarm", plural(all, "source")),
            (alarms, quiet) => {
                format!(
                    "{alarms} of {} with an alarm, and {quiet} without a snapshot for too long",
                    plural(all, "source")
                )
            }
        }
    }
}

fn plural(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// Looks at what happened.
///
/// # Errors
/// If the vault can't be read, knows no such source, or no identity given opens it.
pub async fn incident(
    vault: &Vault,
    request: &IncidentRequest,
    progress: &Arc<dyn Progress>,
    cancel: &Cancel,
) -> Result<(IncidentReport, Vec<Finding>)> {
    let now = vault.store.server_time().await?;
    let listing = snapshots::list(vault).await?;
    let mut findings = Findings::default();
    findings.extend(listing.findings.iter().cloned());
    for source in &request.sources {
        must_be_known("source", source, listing.snapshots.iter().map(|one| &one.header.source))?;
    }
    let wanted = |one: &Summary| request.sources.is_empty() || request.sources.contains(&one.header.source);
    let mut names: BTreeSet<(Name, Name)> = BTreeSet::new();
    for one in listing.snapshots.iter().filter(|one| wanted(one)) {
        names.insert((one.header.source.clone(), one.header.writer.clone()));
    }
    if names.len() > SOURCES {
        return Err(OpsError::Request {
            what: format!("the vault has {} sources, more than one page holds", names.len()),
            next: "name those that matter with --source".to_owned(),
        });
    }
    let look = Look { vault, request, now, all: &listing.snapshots, progress, cancel };
    let mut sources = Vec::new();
    for (source, writer) in names {
        sources.extend(look.source(&source, &writer, &mut findings).await?);
    }
    sources.sort_by(|a, b| b.state.cmp(&a.state).then_with(|| (&a.source, &a.writer).cmp(&(&b.source, &b.writer))));
    let report = IncidentReport {
        vault: vault.descriptor.vault,
        url: vault.store.url(),
        at: now,
        judged_by: if request.opener.is_some() { "bodies" } else { "headers" },
        sources,
        commands: Vec::new(),
    };
    Ok((report, findings.into_vec()))
}

struct Look<'a> {
    vault: &'a Vault,
    request: &'a IncidentRequest,
    now: Time,
    all: &'a [Summary],
    progress: &'a Arc<dyn Progress>,
    cancel: &'a Cancel,
}

impl Look<'_> {
    async fn source(&self, source: &Name, writer: &Name, findings: &mut Findings) -> Result<Option<SourcePage>> {
        let theirs = || self.all.iter().filter(|one| one.header.writer == *writer);
        let numbers = theirs().map(|one| (one.id, one.header.seq)).collect();
        let mine: Vec<Summary> = theirs().filter(|one| one.header.source == *source).cloned().collect();
        let opener = self.request.opener.as_ref();
        let on = (&**self.progress, self.cancel);
        let past = lookback::look(self.vault, opener, &mine, (numbers, &self.request.known), on).await?;
        findings.extend(past.findings.iter().cloned());
        let Some(newest) = past.judged.last() else { return Ok(None) };
        let find = |one: &Judged| mine.iter().find(|summary| summary.id == one.line.id);
        let good = past.last_good();
        let quiet = self.quiet(&past, source);
        let state = state(&past, quiet.as_ref());
        let (mut loses, mut journal) = (None, None);
        if let Some((good, summary)) = good.and_then(|good| Some((good, find(good)?))) {
            let there = find(newest).filter(|_| good.line.id != newest.line.id);
            if state >= State::Over
                && let Some(there) = there
            {
                loses = Some(loss::of(self.vault, opener, (good, summary), (newest, there)).await?);
            }
            journal = loss::beyond(self.vault, summary, findings).await?;
        }
        let bad = past.behind_good().first().filter(|_| state == State::Alarm);
        let bad = bad.or_else(|| past.judged.iter().rev().find(|one| !one.is_good()).filter(|_| state == State::Over));
        let (timeline, earlier) = self.timeline(&past);
        let causes: BTreeSet<String> = past.judged.iter().filter_map(|one| one.cause.clone()).collect();
        let headline = headline(state, newest, good, bad, quiet.as_ref());
        let point = |one: &Judged| self.point(&one.line);
        Ok(Some(SourcePage {
            source: source.clone(),
            writer: writer.clone(),
            kind: newest.line.kind,
            state,
            headline,
            newest: point(newest),
            last_good: good.map(point),
            first_bad: bad.map(point),
            causes: causes.into_iter().collect(),
            loses,
            journal,
            commands: Vec::new(),
            timeline,
            earlier,
        }))
    }

    /// Whether no snapshot came for too long.
    fn quiet(&self, past: &Past, source: &Name) -> Option<Verdict> {
        let mut history = History::default();
        past.judged.iter().for_each(|one| history.push(one.facts.clone(), &[]));
        let verdict = signal::quiet(&history, self.now, self.request.schedule.get(source).copied())?;
        let mut verdicts = [verdict];
        announce(&self.request.known.expected, source, self.now, &mut verdicts);
        let [verdict] = verdicts;
        (verdict.level == signal::Level::Alarm).then_some(verdict)
    }

    fn point(&self, line: &SnapshotLine) -> Point {
        Point {
            id: line.id,
            at: line.created_at,
            bytes: line.bytes,
            age_s: self.now.since(line.created_at).as_seconds(),
        }
    }

    /// What is shown of it, and how much is not.
    fn timeline(&self, past: &Past) -> (Vec<Row>, u64) {
        let all = past.judged.len();
        let from = if let Some(since) = self.request.since {
            past.judged.iter().position(|one| one.facts.at >= since).unwrap_or(all)
        } else {
            // What happened is on the page, with what was before.
            let good = past.judged.iter().position(|one| !one.is_good()).map_or(all, |at| at.saturating_sub(2));
            good.min(all.saturating_sub(SHOWN)).max(all.saturating_sub(SHOWN * 3))
        };
        let rows = past.judged.iter().skip(from).map(|one| Row {
            id: one.line.id,
            at: one.facts.at,
            bytes: one.line.bytes,
            stand: one.stand,
            cause: one.cause.clone(),
            reasons: one.verdicts.clone(),
            changes: one.changes.clone(),
        });
        (rows.collect(), (from + past.left) as u64)
    }
}

fn state(past: &Past, quiet: Option<&Verdict>) -> State {
    let newest_good = past.judged.last().is_some_and(Judged::is_good);
    let unknown = past.judged.iter().any(|one| !one.is_good());
    match (newest_good, unknown, quiet) {
        (false, ..) => State::Alarm,
        (true, true, _) => State::Over,
        (true, false, Some(_)) => State::Quiet,
        (true, false, None) => State::Calm,
    }
}

fn headline(
    state: State,
    newest: &Judged,
    good: Option<&Judged>,
    bad: Option<&Judged>,
    quiet: Option<&Verdict>,
) -> String {
    let reason = |one: &Judged| match one.stand {
        Stand::Unreadable => "its body can't be read".to_owned(),
        _ => one.verdicts.first().map(|verdict| verdict.words.clone()).unwrap_or_default(),
    };
    let quiet = quiet.map(|verdict| verdict.words.clone());
    match (state, good, bad) {
        (State::Calm, ..) => format!("nothing stands out; the newest snapshot is of {}", newest.line.created_at),
        (State::Quiet, ..) => quiet.unwrap_or_default(),
        (State::Over, _, Some(bad)) => {
            format!(
                "the newest snapshot is good again; that of {} was not, and nobody acknowledged it: {}",
                bad.line.created_at,
                reason(bad)
            )
        }
        (_, Some(good), Some(bad)) => {
            let apart = bad.facts.at.since(good.line.created_at).as_seconds();
            #[allow(clippy::cast_precision_loss, reason = "told to people")]
            let apart = lasting(apart as f64);
            format!(
                "it happened between {} and {}, within {apart}: {}",
                good.line.created_at,
                bad.line.created_at,
                reason(bad)
            )
        }
        _ => format!("no snapshot that was looked at is good: {}", reason(newest)),
    }
}
