//! `watch`: one pass over what is new in a vault, made for a timer on the vault's side. It trusts no writer: what it says
//! comes from signed headers, and from bodies where an identity opens them.

mod chain;
mod checkpoint;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::Serialize;

use self::checkpoint::short;
pub use self::checkpoint::{Checkpoint, Head, Reaction, Remembered};
use super::{
    OpsError, Result,
    incident::Step,
    signals::{Expected, Gather, Signal, announce, claimed, loudest},
};
use crate::{
    codec::seal::Opener,
    model::{Cancel, Finding, Findings, Name, Progress, Severity, SnapshotId, Span, Time, nearest_texts},
    signal::{self, Level, Verdict},
    store::counted::{Calls, Counted},
    vault::{
        Vault,
        snapshots::{self, Summary},
    },
};

/// So many headers are read in one pass; what is beyond waits for the next.
const MOST: usize = 5000;
/// Of a source that was never looked at, so many snapshots are.
const FIRST: usize = 60;
/// So many sources are remembered.
const SOURCES: usize = 2000;

/// What to look for.
pub struct WatchRequest {
    /// Opens bodies, if there is one.
    pub opener: Option<Opener>,
    /// How often sources are expected.
    pub schedule: BTreeMap<Name, Span>,
    /// Changes that were announced.
    pub expected: Vec<Expected>,
    /// What was seen last time.
    pub checkpoint: Option<Checkpoint>,
    /// Causes that somebody knows of.
    pub acknowledge: Vec<String>,
}

/// What a pass saw.
#[derive(Debug, Serialize)]
pub struct WatchReport {
    /// When, by the store's clock.
    pub at: Time,
    /// Headers that were new.
    pub new: u64,
    /// Of these, snapshots that were opened.
    pub opened: u64,
    /// Headers that are there.
    pub snapshots: u64,
    /// What is said of what is new, and of sources that are quiet.
    pub signals: Vec<Signal>,
    /// Alarms that nobody acknowledged, those of earlier passes as well.
    pub open: Vec<Signal>,
    /// Reactions of this pass and how they ended.
    pub reactions: Vec<Reaction>,
    /// What to type to have back what the open alarms are about.
    pub commands: Vec<Step>,
    /// What was asked of the store.
    pub calls: Calls,
    /// What to remember until next time.
    #[serde(skip)]
    pub checkpoint: Checkpoint,
}

impl WatchReport {
    /// What may be reacted to: the signals that this watch found itself.
    #[must_use]
    pub fn own(&self) -> Vec<Signal> {
        let mut all: Vec<Signal> = self.open.iter().filter(|signal| signal.by == BY_WATCH).cloned().collect();
        let notices = self.signals.iter().filter(|signal| signal.by == BY_WATCH && signal.level == Level::Notice);
        all.extend(notices.cloned());
        all
    }
}

/// Said by this watch.
const BY_WATCH: &str = "watch";
/// Said by a writer, in its header.
const BY_WRITER: &str = "writer";

/// Looks once.
///
/// # Errors
/// If the vault can't be read. What looks wrong in it is no error.
pub async fn watch(
    vault: &Vault,
    request: WatchRequest,
    progress: &Arc<dyn Progress>,
    cancel: &Cancel,
) -> Result<(WatchReport, Vec<Finding>)> {
    let id = vault.descriptor.vault;
    if let Some(Err(why)) = request.checkpoint.as_ref().map(|checkpoint| checkpoint.belongs_to(id)) {
        return Err(OpsError::Request {
            what: format!("the checkpoint does not belong here: {why}"),
            next: "give each vault a checkpoint file of its own. If the vault was replaced, trust neither".to_owned(),
        });
    }
    let counted = Arc::new(Counted::new(Arc::clone(&vault.store)));
    let vault = vault.through(Arc::clone(&counted) as _);
    let now = vault.store.server_time().await?;
    let first = request.checkpoint.is_none();
    let checkpoint = request.checkpoint.clone().unwrap_or_else(|| Checkpoint::new(id, now));
    progress.phase("looking for what is new", None);
    let known = |id: &SnapshotId| checkpoint.known.contains_key(&short(id));
    let newer = snapshots::newer(&vault, &known, MOST, first).await?;
    let mut findings = Findings::default();
    findings.extend(newer.listing.findings);
    let there: BTreeSet<String> = newer.there.iter().map(short).collect();
    if newer.left > 0 {
        let what = format!("{} new headers were left for the next pass: many came at once", newer.left);
        findings.push(Finding::new(Severity::Warning, "watch.behind", what));
    }
    let heads = checkpoint.heads.values().map(|head| (head.id, head.seq)).collect();
    let mut checkpoint = checkpoint.clone();
    chain::gone(&checkpoint, &there, now, &mut findings);
    checkpoint.known.retain(|id, until| there.contains(id) || *until > now);
    chain::follow(&mut checkpoint, &newer.listing.snapshots, &mut findings);
    let gather = Gather::new(&vault, request.opener.as_ref(), heads);
    let mut pass = Pass { vault: &vault, request: &request, now, checkpoint, findings, signals: Vec::new(), gather };
    let new = newer.listing.snapshots.len() as u64;
    pass.take(&newer.listing.snapshots, cancel).await?;
    pass.quiet();
    let Pass { mut checkpoint, mut findings, signals, gather, .. } = pass;
    findings.extend(gather.findings);
    let opened = gather.opened;
    for signal in &signals {
        checkpoint.open(signal);
    }
    let open: Vec<String> = checkpoint.open.iter().map(|signal| signal.cause.clone()).collect();
    for cause in checkpoint.acknowledge(&request.acknowledge, now) {
        findings.push(Finding::new(Severity::Warning, "watch.cause", not_open(&cause, &open)));
    }
    checkpoint.at = now;
    let report = WatchReport {
        at: now,
        new,
        opened,
        snapshots: there.len() as u64,
        signals,
        open: checkpoint.open.clone(),
        reactions: Vec::new(),
        commands: Vec::new(),
        calls: counted.calls(),
        checkpoint,
    };
    Ok((report, findings.into_vec()))
}

/// That no alarm has this cause, and which was meant.
fn not_open(cause: &str, open: &[String]) -> String {
    let near = nearest_texts(cause, open.iter().map(String::as_str));
    match near.first() {
        Some(near) if open.len() == 1 => format!("no alarm is called {cause}; the one that is open is {near}"),
        Some(near) => format!("no alarm is called {cause}; of the {} that are open the nearest is {near}", open.len()),
        None if open.is_empty() => format!("no alarm is called {cause}, and none is open"),
        None => {
            format!("no alarm is called {cause}; `watch --json` has the causes of the {} that are open", open.len())
        }
    }
}

/// A pass under way.
struct Pass<'a> {
    vault: &'a Vault,
    request: &'a WatchRequest,
    now: Time,
    checkpoint: Checkpoint,
    findings: Findings,
    signals: Vec<Signal>,
    gather: Gather<'a>,
}

fn full_name(summary: &Summary) -> String {
    format!("{}/{}", summary.header.writer, summary.header.source)
}

impl Pass<'_> {
    /// Judges the new snapshots, oldest first.
    async fn take(&mut self, new: &[Summary], cancel: &Cancel) -> Result<()> {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        let honest = |s: &&Summary| !s.standing.suspect && !s.standing.future;
        for summary in new.iter().filter(honest) {
            *counts.entry(full_name(summary)).or_default() += 1;
        }
        for summary in new.iter().filter(honest) {
            if cancel.is_cancelled() {
                return Err(OpsError::Interrupted);
            }
            let name = full_name(summary);
            let left = counts.entry(name.clone()).or_default();
            *left -= 1;
            let known = self.checkpoint.sources.contains_key(&name);
            if *left >= FIRST {
                // More than are remembered anyway: a first look, or a flood. Each is counted.
                self.checkpoint.sources.entry(name).or_default().count(summary.since());
                continue;
            }
            if !known && self.checkpoint.sources.len() >= SOURCES {
                let what = format!("more than {SOURCES} sources: this one is not looked at");
                self.findings.push(Finding::new(Severity::Warning, "watch.behind", what).on(&name));
                continue;
            }
            self.one(&name, summary).await?;
        }
        Ok(())
    }

    async fn one(&mut self, name: &str, summary: &Summary) -> Result<()> {
        let whole = self.vault.whole(summary).await?;
        let flags = whole.header.signals.clone();
        let (facts, _) = self.gather.facts(summary, whole).await?;
        let source = &summary.header.source;
        let remembered = self.checkpoint.sources.entry(name.to_owned()).or_default();
        let mut verdicts = signal::judge(&remembered.history, &facts);
        let day = remembered.count(facts.at);
        if let Some(flood) = signal::flood(&remembered.days, day).filter(|_| remembered.flooded != Some(day)) {
            remembered.flooded = Some(day);
            verdicts.push(flood);
        }
        announce(&self.request.expected, source, facts.at, &mut verdicts);
        let last_good = remembered.history.last_calm().and_then(|facts| facts.snapshot);
        let at = facts.at;
        remembered.history.push(facts, &verdicts);
        let mut by_writer: Vec<Verdict> = claimed(flags).collect();
        announce(&self.request.expected, source, at, &mut by_writer);
        let id = summary.id;
        let signal = |by: &str, reasons: Vec<Verdict>, level| Signal {
            cause: format!("{name}@{}{}", id.short(), if by == BY_WRITER { "-writer" } else { "" }),
            level,
            writer: summary.header.writer.clone(),
            source: source.clone(),
            snapshot: Some(id),
            at,
            last_good,
            by: by.to_owned(),
            reasons,
        };
        let (own, theirs) = (loudest(&verdicts), loudest(&by_writer));
        // What the writer says too is no second signal.
        if let Some(level) = theirs.filter(|level| own.is_none_or(|own| own < *level)) {
            self.signals.push(signal(BY_WRITER, by_writer, level));
        }
        if let Some(level) = own {
            self.signals.push(signal(BY_WATCH, verdicts, level));
        }
        Ok(())
    }

    /// Sources that were expected and did not come.
    fn quiet(&mut self) {
        // Who came back is quiet no more.
        let last = |name: &str, checkpoint: &Checkpoint| {
            checkpoint.sources.get(name).and_then(|one| one.history.last()).and_then(|facts| facts.snapshot)
        };
        let over: Vec<String> = self
            .checkpoint
            .open
            .iter()
            .filter(|open| {
                let name = format!("{}/{}", open.writer, open.source);
                open.cause.ends_with(QUIET) && last(&name, &self.checkpoint) != open.snapshot
            })
            .map(|open| open.cause.clone())
            .collect();
        self.checkpoint.open.retain(|open| !over.contains(&open.cause));
        for (name, remembered) in &self.checkpoint.sources {
            let Some((writer, source)) = name.split_once('/') else { continue };
            let (Ok(writer), Ok(source)) = (writer.parse::<Name>(), source.parse::<Name>()) else { continue };
            let every = self.request.schedule.get(&source).copied();
            let Some(verdict) = signal::quiet(&remembered.history, self.now, every) else { continue };
            let mut verdicts = vec![verdict];
            announce(&self.request.expected, &source, self.now, &mut verdicts);
            let snapshot = remembered.history.last().and_then(|facts| facts.snapshot);
            if every.is_some() {
                let what = verdicts.iter().map(|v| v.words.clone()).collect::<String>();
                self.findings.push(Finding::new(Severity::Weak, "source.stale", what).on(&source));
            }
            let cause = format!("{name}@{}{QUIET}", snapshot.map(|id| id.short()).unwrap_or_default());
            self.signals.push(Signal {
                cause,
                level: loudest(&verdicts).unwrap_or(Level::Notice),
                writer,
                source,
                snapshot,
                at: self.now,
                last_good: remembered.history.last_calm().and_then(|facts| facts.snapshot),
                by: BY_WATCH.to_owned(),
                reasons: verdicts,
            });
        }
        for source in self.request.schedule.keys() {
            let end = format!("/{source}");
            if !self.checkpoint.sources.keys().any(|name| name.ends_with(&end)) {
                let what = format!("source {source} is expected here, and has no snapshot");
                self.findings.push(Finding::new(Severity::Weak, "source.absent", what).on(source));
            }
        }
    }
}

/// How the cause of a source that is quiet ends.
const QUIET: &str = "-quiet";
