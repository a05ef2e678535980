//! `status`: how each source stands. One audit at the depth `locks` tells all of it; this says what of it is owed.

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;

use super::{
    OpsError, Result,
    readiness::{self, Alarms, KnownCopy, LastDrill, Open, Reason},
    watch::Checkpoint,
};
use crate::{
    model::{Cancel, Finding, Name, Progress, SnapshotId, SourceKind, Span, Time, VaultId},
    store::counted::{Calls, Counted},
    vault::{
        Vault, VaultErrorKind,
        audit::{self, Depth, Freshness, Recovery, Seen},
    },
};

/// Growth is told over so long.
const MONTH: Span = Span::days(30);

/// What is asked.
pub struct StatusRequest {
    /// The sources; all, if none is given.
    pub sources: Vec<Name>,
    /// Sources of the configuration.
    pub configured: Vec<Name>,
    /// How often sources are expected.
    pub every: BTreeMap<Name, Span>,
    /// How old the newest piece of a source's journal may be.
    pub journals: BTreeMap<Name, Span>,
    /// A snapshot that is older is owed.
    pub max_age: Option<Span>,
    /// A drill is owed if the last is older.
    pub drilled: Option<Span>,
    /// What a watch saw last.
    pub seen: Option<Checkpoint>,
    /// The configured copies.
    pub copies: Vec<KnownCopy>,
    /// The time by the clock of this host.
    pub host: Time,
}

/// How far a source's journal reaches.
#[derive(Debug, Clone, Serialize)]
pub struct JournalReach {
    /// The base that it goes on from.
    pub base: SnapshotId,
    /// Up to which position of the log there is no gap, as the server writes it.
    pub to: Option<String>,
    /// The ends of the first gap.
    pub gap: Option<(String, String)>,
    /// When the store got the newest piece.
    pub newest_at: Option<Time>,
    /// How long ago that was, in seconds.
    pub lag_s: Option<u64>,
}

/// How one source stands.
#[derive(Debug, Clone, Serialize)]
pub struct SourceStatus {
    /// The source.
    pub source: Name,
    /// Whose it is.
    pub writer: Option<Name>,
    /// What kind it is.
    pub kind: Option<SourceKind>,
    /// Its newest snapshot that is neither suspect nor of a time that is not yet.
    pub snapshot: Option<SnapshotId>,
    /// The instant of its data, by the store's clock.
    pub taken_at: Option<Time>,
    /// How old that is, in seconds.
    pub age_s: Option<u64>,
    /// How often a snapshot is expected, in seconds, and whether that was told and not learned.
    pub every_s: Option<u64>,
    /// See `every_s`.
    pub told: bool,
    /// When the next is due.
    pub due_at: Option<Time>,
    /// Snapshots that are kept.
    pub snapshots: u64,
    /// Bytes of the newest one's streams.
    pub bytes: u64,
    /// By how much that differs from the newest one that is a month older, or from the oldest.
    pub grown: i64,
    /// Over how many seconds it grew so.
    pub grown_s: u64,
    /// Sealed bytes that no earlier snapshot needed, of all that are kept.
    pub stored: u64,
    /// The first lock that ends among all that its newest snapshot needs.
    pub locked_until: Option<Time>,
    /// Until when it is to be kept.
    pub expires_at: Option<Time>,
    /// Its last drill.
    pub drill: Option<LastDrill>,
    /// Alarms that nobody acknowledged.
    pub alarms: u64,
    /// How far its journal reaches, if it has one.
    pub journal: Option<JournalReach>,
    /// What is owed.
    pub owed: Vec<Reason>,
}

/// How the vault stands.
#[derive(Debug, Clone, Serialize)]
pub struct StatusReport {
    /// The vault.
    pub vault: VaultId,
    /// Where it is.
    pub url: String,
    /// When, by the store's clock.
    pub at: Time,
    /// Each source.
    pub sources: Vec<SourceStatus>,
    /// The first lock that ends among all that live snapshots need.
    pub weakest_lock: Option<Time>,
    /// Snapshots that are kept.
    pub snapshots: u64,
    /// Bytes of what they need.
    pub bytes: u64,
    /// What was asked of the store.
    pub calls: Calls,
    /// Whether alarms that a watch found count.
    pub watched: bool,
    /// The configured copies, as `replicate` remembers them.
    pub copies: Vec<KnownCopy>,
    /// What is owed by the vault as a whole.
    pub owed: Vec<Reason>,
}

impl StatusReport {
    /// Everything that is owed, with its source.
    pub fn all_owed(&self) -> impl Iterator<Item = (Option<&Name>, &Reason)> {
        let own = self.owed.iter().map(|reason| (None, reason));
        let theirs = self.sources.iter().flat_map(|one| one.owed.iter().map(move |reason| (Some(&one.source), reason)));
        own.chain(theirs)
    }
}

/// Looks how each source stands.
///
/// # Errors
/// If the vault can't be read, or there is no such source.
pub async fn status(
    vault: &Vault,
    request: StatusRequest,
    progress: &Arc<dyn Progress>,
    cancel: &Cancel,
) -> Result<(StatusReport, Vec<Finding>)> {
    let id = vault.descriptor.vault;
    if let Some(Err(why)) = request.seen.as_ref().map(|seen| seen.belongs_to(id)) {
        return Err(OpsError::Request {
            what: format!("the checkpoint does not belong here: {why}"),
            next: "give the checkpoint that `watch` keeps for this vault".to_owned(),
        });
    }
    let counted = Arc::new(Counted::new(Arc::clone(&vault.store)));
    let seen = vault.through(Arc::clone(&counted) as _);
    let typed = request.sources.iter().filter(|name| !request.configured.contains(name)).cloned().collect();
    let asked = audit::VerifyRequest {
        schedule: request.every.clone(),
        journals: request.journals.clone(),
        typed,
        ..audit::VerifyRequest::new(Depth::Locks)
    };
    let audit = audit::verify(&seen, &asked, Arc::clone(progress), cancel).await;
    let audit = audit.map_err(|error| match error.kind {
        VaultErrorKind::Cancelled => OpsError::Interrupted,
        _ => error.into(),
    })?;
    let place = Place {
        request: &request,
        audit: &audit,
        within: request.drilled.unwrap_or_else(|| readiness::drill_interval(vault.descriptor.lock.keep)),
    };
    let wanted = |one: &&Freshness| request.sources.is_empty() || request.sources.contains(&one.source);
    let mut sources: Vec<SourceStatus> = audit.sources.iter().filter(wanted).map(|one| place.source(one)).collect();
    for name in &request.configured {
        let is_wanted = request.sources.is_empty() || request.sources.contains(name);
        if is_wanted && !sources.iter().any(|one| one.source == *name) {
            sources.push(place.source(&Freshness {
                source: name.clone(),
                writer: None,
                newest: None,
                every: None,
                told: false,
                stale: false,
            }));
        }
    }
    sources.sort_by(|a, b| (&a.source, &a.writer).cmp(&(&b.source, &b.writer)));
    let newest: Vec<SnapshotId> = sources.iter().filter_map(|one| one.snapshot).collect();
    let all = request.sources.is_empty();
    let of_others = |finding: &&Finding| match &finding.snapshot {
        Some(id) => all && !newest.iter().any(|newest| newest.to_string() == *id),
        None => true,
    };
    let others: Vec<Finding> =
        audit.findings.iter().filter(of_others).filter(|finding| not_told(finding)).cloned().collect();
    let owed = readiness::clock(request.host, audit.at).into_iter().chain(readiness::found(&others));
    let unread = readiness::unread(&audit.findings).into_iter().filter(|reason| reason.code == "unread");
    let copies: Vec<KnownCopy> = request.copies.iter().cloned().map(|copy| copy.aged(audit.at)).collect();
    let owed = owed.chain(unread).chain(copies.iter().filter_map(|copy| copy.owed(audit.at))).collect();
    let report = StatusReport {
        vault: id,
        url: vault.store.url(),
        at: audit.at,
        sources,
        weakest_lock: audit.weakest.as_ref().map(|weakest| weakest.until),
        snapshots: audit.snapshots,
        bytes: audit.bytes,
        calls: counted.calls(),
        watched: request.seen.is_some(),
        copies,
        owed,
    };
    Ok((report, audit.findings))
}

/// What the sources' own lines tell already.
fn not_told(finding: &Finding) -> bool {
    !matches!(finding.code.as_str(), "source.stale" | "source.absent")
}

struct Place<'a> {
    request: &'a StatusRequest,
    audit: &'a audit::VerifyReport,
    within: Span,
}

impl Place<'_> {
    fn source(&self, fresh: &Freshness) -> SourceStatus {
        let now = self.audit.at;
        let own: Vec<&Seen> = self
            .audit
            .seen
            .iter()
            .filter(|seen| seen.source == fresh.source && fresh.writer.as_ref().is_none_or(|name| seen.writer == *name))
            .collect();
        let newest = own.iter().rfind(|seen| !seen.suspect && !seen.future).copied();
        let every = fresh.every;
        let taken = fresh.newest.or_else(|| newest.map(|seen| seen.started_at));
        let drill =
            fresh.writer.as_ref().and_then(|writer| readiness::last(&self.audit.evidence, &fresh.source, writer));
        let (grown, over) = newest.map_or((0, Span::ZERO), |newest| growth(&own, newest));
        let alarms = self.alarms(&own);
        let journal = newest.and_then(|_| self.journal(fresh));
        let mut owed = self.owed(fresh, newest, taken, drill.as_ref());
        owed.extend(Open::reason(&alarms));
        owed.extend(newest.filter(|newest| alarms_unseen(self.request.seen.as_ref(), newest)).map(|newest| {
            Reason::new("unwatched", format!("`watch` has not looked at snapshot {} yet", newest.id.short()))
        }));
        let kept = |seen: &&&Seen| seen.expires_at > now;
        SourceStatus {
            source: fresh.source.clone(),
            writer: fresh.writer.clone(),
            kind: newest.map(|seen| seen.kind),
            snapshot: newest.map(|seen| seen.id),
            taken_at: taken,
            age_s: taken.map(|at| now.since(at).as_seconds()),
            every_s: every.map(Span::as_seconds),
            told: fresh.told,
            due_at: taken.zip(every).map(|(at, every)| at + every),
            snapshots: own.iter().filter(kept).count() as u64,
            bytes: newest.map_or(0, |seen| seen.bytes),
            grown,
            grown_s: over.as_seconds(),
            stored: own.iter().map(|seen| seen.stored).fold(0, u64::saturating_add),
            locked_until: newest.and_then(|seen| seen.locked_until),
            expires_at: newest.map(|seen| seen.expires_at),
            drill,
            alarms: alarms.len() as u64,
            journal,
            owed,
        }
    }

    fn owed(
        &self,
        fresh: &Freshness,
        newest: Option<&Seen>,
        taken: Option<Time>,
        drill: Option<&LastDrill>,
    ) -> Vec<Reason> {
        let now = self.audit.at;
        let (Some(newest), Some(taken)) = (newest, taken) else {
            return vec![Reason::new("no-snapshot", format!("{} has no snapshot that counts", fresh.source))];
        };
        let mut owed: Vec<Reason> = Vec::new();
        let most = self.request.max_age.or_else(|| fresh.every.filter(|_| fresh.told).map(readiness::late));
        owed.extend(most.and_then(|most| readiness::aged(taken, now, most)));
        owed.extend(readiness::partial(&newest.id, newest.whole));
        owed.extend(readiness::locked(newest.locked_until, newest.expires_at, now));
        let id = newest.id.to_string();
        let own: Vec<Finding> =
            self.audit.findings.iter().filter(|f| f.snapshot.as_deref() == Some(id.as_str())).cloned().collect();
        owed.extend(readiness::found(&own));
        owed.extend(readiness::drilled(drill, self.within, now));
        owed
    }

    fn alarms(&self, own: &[&Seen]) -> Vec<Open> {
        let Some(first) = own.first() else { return Vec::new() };
        let alarms = Alarms { seen: self.request.seen.as_ref(), acknowledge: &[] };
        let flagged = |seen: &&&Seen| seen.signal.is_some() && !seen.suspect && seen.expires_at > self.audit.at;
        let flagged = own.iter().filter(flagged).filter_map(|seen| Some((seen.id, seen.signal?)));
        alarms.open(&first.writer, &first.source, flagged)
    }

    /// Of the newest base that has one.
    fn journal(&self, fresh: &Freshness) -> Option<JournalReach> {
        let own = |one: &&Recovery| {
            one.source == fresh.source && fresh.writer.as_ref().is_none_or(|writer| one.writer == *writer)
        };
        let one = self.audit.recoveries.iter().filter(own).max_by_key(|one| (one.newest_at, one.from))?;
        Some(JournalReach {
            base: one.snapshot,
            to: one.goes_on.last().map(|further| further.to_text.clone()).or_else(|| one.to_text.clone()),
            gap: one.gap_text.clone(),
            newest_at: one.newest_at,
            lag_s: one.age_s,
        })
    }
}

fn alarms_unseen(seen: Option<&Checkpoint>, newest: &Seen) -> bool {
    seen.is_some_and(|seen| !seen.knows(&newest.id))
}

/// By how much the newest snapshot's data grew, and over how long: since the newest one that is a month older, or else
/// since the oldest.
fn growth(own: &[&Seen], newest: &Seen) -> (i64, Span) {
    let good = || own.iter().filter(|seen| !seen.suspect && !seen.future && seen.started_at < newest.started_at);
    let before = good().rfind(|seen| newest.started_at.since(seen.started_at) >= MONTH).or_else(|| good().next());
    let Some(before) = before else { return (0, Span::ZERO) };
    let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    (signed(newest.bytes).saturating_sub(signed(before.bytes)), newest.started_at.since(before.started_at))
}
