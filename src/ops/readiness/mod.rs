//! `ready`: could each source be restored now, as it was at most so long ago, from a snapshot whose locks hold, of which a
//! drill passed lately? It reads the vault and needs no identity. A check that could not be made is a reason, never a pass.

mod copies;
mod drills;
mod judge;

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    OpsError, Result,
    evidence::{Draft, Signer},
    snapshots::{Wanted, choose},
    watch::Checkpoint,
};
use crate::{
    format::{evidence::EvidenceKind, member_key::Member},
    model::{Cancel, Finding, Name, Progress, Severity, SnapshotId, Span, Time, VaultId},
    vault::{
        self, Vault, VaultErrorKind,
        audit::{self, Depth},
        snapshots::{Listing, Summary},
        standing::must_be_known,
    },
};

pub use copies::KnownCopy;
pub use drills::{LastDrill, last};
pub use judge::{Alarms, Open, Reason, aged, alarmed, clock, drilled, found, locked, partial, unread};

/// How old a snapshot may be if nothing is said and the source has no `every`: a day, and two hours for the run.
pub const USUAL_AGE: Span = Span::seconds(26 * 3600);

/// What is asked.
pub struct ReadyRequest {
    /// The sources; all that are configured, or else all that the vault has, if none is given.
    pub sources: Vec<Name>,
    /// Whose, if that is said.
    pub writer: Option<Name>,
    /// Sources of the configuration.
    pub configured: Vec<Name>,
    /// How often they are backed up.
    pub every: BTreeMap<Name, Span>,
    /// A snapshot that is older will not do.
    pub max_age: Option<Span>,
    /// Nor does a source whose last drill is older.
    pub drilled: Option<Span>,
    /// What a watch saw last.
    pub seen: Option<Checkpoint>,
    /// Causes of alarms that somebody knows of.
    pub acknowledge: Vec<String>,
    /// How many copies must have the snapshot, if that is asked.
    pub copies: Option<u32>,
    /// The configured copies.
    pub known_copies: Vec<KnownCopy>,
    /// The time by the clock of this host.
    pub host: Time,
    /// Who signs the answer, if anybody.
    pub member: Option<Member>,
}

/// The answer for one source.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SourceReady {
    /// The source.
    pub source: Name,
    /// Whose snapshot it is.
    pub writer: Option<Name>,
    /// Whether it could be restored as asked.
    pub ready: bool,
    /// The snapshot that would be restored.
    pub snapshot: Option<SnapshotId>,
    /// The instant of its data, by the store's clock.
    pub taken_at: Option<Time>,
    /// How old that is, in seconds.
    pub age_s: Option<u64>,
    /// How old it may be, in seconds.
    pub max_age_s: u64,
    /// Bytes of its streams.
    pub bytes: Option<u64>,
    /// When the first lock ends that it needs.
    pub locked_until: Option<Time>,
    /// The last drill of the source.
    pub drill: Option<LastDrill>,
    /// How old that may be, in seconds.
    pub drilled_s: u64,
    /// Why not, if not.
    pub reasons: Vec<Reason>,
}

/// The answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReadyReport {
    /// The vault.
    pub vault: VaultId,
    /// Where it is.
    pub url: String,
    /// When, by the store's clock.
    pub at: Time,
    /// Whether all of them are ready.
    pub ready: bool,
    /// Each source.
    pub sources: Vec<SourceReady>,
    /// What was not looked at, in words.
    pub not_checked: Vec<String>,
    /// Who signed it.
    pub signed_by: Option<Name>,
    /// Why nobody did.
    pub unsigned: Option<String>,
    /// The answer as signed evidence: an in-toto statement in a DSSE envelope.
    pub statement: Option<Value>,
}

impl ReadyReport {
    /// The sources that are not ready.
    pub fn not_ready(&self) -> impl Iterator<Item = &SourceReady> {
        self.sources.iter().filter(|source| !source.ready)
    }
}

/// Answers.
///
/// # Errors
/// If the vault can't be read, or is another one, or there is no such source. All of that is no yes.
pub async fn ready(
    vault: &Vault,
    mut request: ReadyRequest,
    progress: &Arc<dyn Progress>,
    cancel: &Cancel,
) -> Result<(ReadyReport, Vec<Finding>)> {
    let id = vault.descriptor.vault;
    if let Some(Err(why)) = request.seen.as_ref().map(|seen| seen.belongs_to(id)) {
        return Err(OpsError::Request {
            what: format!("the checkpoint does not belong here: {why}"),
            next: "give the checkpoint that `watch` keeps for this vault".to_owned(),
        });
    }
    let member = request.member.take();
    let (signer, unsigned) = Signer::find(vault, EvidenceKind::Readiness, member, None).await?;
    let now = vault.store.server_time().await?;
    progress.phase("reading headers", None);
    let listing = vault::snapshots::list(vault).await?;
    let mut findings: Vec<Finding> = vault.findings.iter().chain(&listing.findings).cloned().collect();
    let mut sources = Vec::new();
    for source in wanted(&request, &listing)? {
        sources.push(one(vault, &request, &listing, source, now, (progress, cancel)).await?);
    }
    if sources.is_empty() {
        return Err(OpsError::NoSnapshot {
            what: "the vault holds no snapshot, and no source is configured".to_owned(),
        });
    }
    let mut not_checked = Vec::new();
    if request.seen.is_none() {
        not_checked.push(
            "no --checkpoint of `watch` was given: of alarms, only those are known that writers put into headers"
                .to_owned(),
        );
    }
    if request.copies.is_some() {
        not_checked.push("copies were not looked at: what `replicate` remembers of them counts".to_owned());
    }
    not_checked.push("no data was read: `drill` and `verify --depth read` do".to_owned());
    let ready = sources.iter().all(|source| source.ready);
    let mut report = ReadyReport {
        vault: id,
        url: vault.store.url(),
        at: now,
        ready,
        sources,
        not_checked,
        signed_by: None,
        unsigned: None,
        statement: None,
    };
    match signer {
        Some(signer) => {
            let result = serde_json::to_value(&report).map_err(|_| OpsError::Defect("the encoding of the answer"))?;
            let snapshots = report.sources.iter().filter_map(|source| source.snapshot).collect();
            let draft = Draft { kind: EvidenceKind::Readiness, snapshots, at: now, result };
            report.statement = Some(signer.statement(vault, draft)?);
            report.signed_by = Some(signer.name);
        }
        None => report.unsigned = unsigned.map(|finding| finding.message),
    }
    findings.retain(|finding| finding.severity >= Severity::Warning);
    Ok((report, findings))
}

/// The sources that are asked about.
fn wanted(request: &ReadyRequest, listing: &Listing) -> Result<Vec<Name>> {
    let there = || listing.snapshots.iter().map(|found| &found.header.source);
    for source in request.sources.iter().filter(|source| !request.configured.contains(source)) {
        must_be_known("source", source, there())?;
    }
    if let Some(writer) = &request.writer {
        must_be_known("writer", writer, listing.snapshots.iter().map(|found| &found.header.writer))?;
    }
    let mut all = match (request.sources.is_empty(), request.configured.is_empty()) {
        (false, _) => request.sources.clone(),
        (true, false) => request.configured.clone(),
        (true, true) => there().cloned().collect(),
    };
    all.sort();
    all.dedup();
    Ok(all)
}

async fn one(
    vault: &Vault,
    request: &ReadyRequest,
    listing: &Listing,
    source: Name,
    now: Time,
    (progress, cancel): (&Arc<dyn Progress>, &Cancel),
) -> Result<SourceReady> {
    let general = unread(&vault.findings).into_iter().chain(unread(&listing.findings));
    let policy = &vault.descriptor.lock;
    let max_age = request.max_age.or_else(|| request.every.get(&source).map(|every| late(*every))).unwrap_or(USUAL_AGE);
    let within = request.drilled.unwrap_or_else(|| drill_interval(policy.keep));
    let mut answer = SourceReady {
        source: source.clone(),
        writer: request.writer.clone(),
        ready: false,
        snapshot: None,
        taken_at: None,
        age_s: None,
        max_age_s: max_age.as_seconds(),
        bytes: None,
        locked_until: None,
        drill: None,
        drilled_s: within.as_seconds(),
        reasons: clock(request.host, now).into_iter().chain(general).collect(),
    };
    let own: Vec<Summary> = listing.snapshots.iter().filter(|found| found.header.source == source).cloned().collect();
    let meant = Wanted::Latest { source: source.clone(), writer: request.writer.clone(), at: None };
    let chosen = match choose(own.clone(), &meant) {
        Ok(chosen) => chosen.snapshot,
        Err(OpsError::NoSnapshotYet) => {
            answer.reasons.push(Reason::new("no-snapshot", format!("{source} has no snapshot")));
            return Ok(answer);
        }
        Err(OpsError::NoSnapshot { what }) => {
            answer.reasons.push(Reason::new("no-snapshot", what));
            return Ok(answer);
        }
        Err(OpsError::Vault(error)) if error.kind == VaultErrorKind::Unknown => {
            answer.reasons.push(Reason::new("no-snapshot", error.what));
            return Ok(answer);
        }
        Err(error) => return Err(error),
    };
    let header = &chosen.header;
    let taken = header.started_at.min(chosen.since());
    answer.writer = Some(header.writer.clone());
    answer.snapshot = Some(chosen.id);
    answer.taken_at = Some(taken);
    answer.age_s = Some(now.since(taken).as_seconds());
    answer.bytes = Some(header.totals.bytes);
    answer.reasons.extend(aged(taken, now, max_age));
    answer.reasons.extend(partial(&chosen.id, header.whole));
    answer.reasons.extend(judge::doubted(&own, &chosen));
    answer.reasons.extend(
        request.copies.and_then(|wanted| copies::copied(&request.known_copies, &source, chosen.since(), wanted)),
    );
    let flagged = own.iter().filter(|found| found.header.expires_at > now);
    let alarms = Alarms { seen: request.seen.as_ref(), acknowledge: &request.acknowledge };
    answer.reasons.extend(alarmed(flagged, &chosen, &alarms));
    progress.phase(&format!("reading the locks of {source}"), None);
    let asked = audit::VerifyRequest { snapshot: Some(chosen.id), ..audit::VerifyRequest::new(Depth::Locks) };
    let audit = audit::verify_listed(vault, &asked, listing.clone(), Arc::clone(progress), cancel).await;
    let audit = audit.map_err(|error| match error.kind {
        VaultErrorKind::Cancelled => OpsError::Interrupted,
        _ => error.into(),
    })?;
    answer.locked_until = audit.seen.first().and_then(|seen| seen.locked_until);
    answer.reasons.extend(locked(answer.locked_until, header.expires_at, now));
    answer.reasons.extend(found(&audit.findings));
    let told = |reason: &Reason| answer.reasons.iter().any(|known| known.code == reason.code);
    let more: Vec<Reason> = unread(&audit.findings).into_iter().filter(|reason| !told(reason)).collect();
    answer.reasons.extend(more);
    answer.drill = last(&audit.evidence, &source, &header.writer);
    answer.reasons.extend(drilled(answer.drill.as_ref(), within, now));
    answer.ready = answer.reasons.is_empty();
    Ok(answer)
}

/// From which age on a source is late that is backed up so often: as `verify` has it.
#[must_use]
pub fn late(every: Span) -> Span {
    Span::seconds(every.as_seconds().saturating_add(every.as_seconds() / 2))
}

/// How often a source is to be drilled at least: three times while a snapshot is kept.
#[must_use]
pub fn drill_interval(keep: Span) -> Span {
    Span::seconds((keep.as_seconds() / 3).max(1))
}
