//! `backup`: each source becomes one snapshot, or none.

mod job;
mod limit;
mod report;
mod requested;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, OnceLock},
    thread,
    time::Duration,
};

use crossbeam_channel::{RecvTimeoutError, bounded};
use tokio::runtime::Handle;

use self::limit::Limit;
pub use self::{
    job::Job,
    report::{BackupReport, FailedSource, SnapshotReport, StreamReport},
};
use super::{
    OpsError, Pin, Result, catalog, distrust, groups,
    look::{self, Looked, Past},
    open_vault,
    request::Requested,
    signals::{Expected, Own},
    watching::{Noticed, Watching},
};
use crate::{
    catalog::{Bases, Catalog, RunLock},
    format::{certificate::Certificate, header::Flag, layout, writer_key::Writer},
    model::{Cancel, Finding, Name, Severity, SnapshotId, SourceKind, Span, Tiers, VaultId},
    signal::{self, Level},
    source::{Before, Reading, Source},
    vault::{
        Vault, VaultErrorKind, members, own, past, standing,
        writer::{self, Committed, Judge, Request, Workplace},
    },
};

/// The zstd level of new blocks. On blocks of 4 MiB of a dump level 3 stored 17% less than level 2 for a third more
/// CPU time, level 4 nothing less for half as much again.
const DEFAULT_LEVEL: i32 = 3;
/// How often a source is stored anew without trusting what was stored before: what a writer that was taken over stored
/// falsely is leaned on no longer than this.
pub const FULL_EVERY: Span = Span::days(90);
/// The code of the finding that a source failed.
pub const SOURCE_FAILED: &str = "source.failed";
/// The codes of findings that something of a source is not in its snapshot, though all else is.
pub const NOT_WHOLE: &[&str] =
    &["database.failed", "database.pages", "forge.unread", "git.ref.broken", "git.ref.lacking", "table.failed"];
/// How often a source that is slow to open is asked to stop.
const POLL: Duration = Duration::from_millis(50);

/// What to back up.
#[allow(clippy::struct_excessive_bools, reason = "each says something of its own")]
pub struct BackupRequest {
    /// The sources, in this order.
    pub jobs: Vec<Job>,
    /// How long to promise; at most what the vault's policy says.
    pub keep: Option<Span>,
    /// What the first snapshots of weeks, months and years are kept for.
    pub tiers: Tiers,
    /// How often everything is stored anew, if not every [`FULL_EVERY`].
    pub full_every: Option<Span>,
    /// Where the catalog lives.
    pub state: PathBuf,
    /// How many bytes of recent data are kept in `state` to make deltas of; `None` for no deltas.
    pub delta_cache: Option<u64>,
    /// Whether blocks are compressed harder while the store is what a run waits for.
    pub adapts: bool,
    /// Who else says which vault is meant, besides the writer's key.
    pub pins: Vec<Pin>,
    /// Whether somebody says that the clock of a vault's directory is right, whatever its past tells.
    pub clock_is_right: bool,
    /// Whether what is told of the writer's own headers, and of members of groups that are gone, is known from now on.
    pub acknowledge: bool,
    /// Changes that were announced.
    pub expected: Vec<Expected>,
    /// Whether a memory that was lost stays lost, and all is stored again.
    pub no_rebuild: bool,
    /// Who wanted it and why, where that was said.
    pub requested: Option<Requested>,
    /// How long ago the command began, by a clock that only goes forward.
    pub elapsed: Box<dyn Fn() -> Duration + Send>,
}

/// Backs every source up, one after the other. Blocks; to be called on a thread that may.
///
/// # Errors
/// If nothing can be backed up at all. A source that fails by itself is in the report.
pub fn backup(place: &Workplace, runtime: &Handle, request: BackupRequest) -> Result<BackupReport> {
    let writer = Arc::clone(&place.writer);
    let vault = writer.descriptor.vault;
    let (opened, mut findings) = runtime.block_on(open_to_write(place, request.pins, &names(&request.jobs)))?;
    let _lock = RunLock::acquire(&request.state, vault, &writer.name)?;
    let mut catalog = catalog::open(place, runtime, &request.state, request.no_rebuild, &mut findings)?;
    if !request.clock_is_right {
        past::refuse(place, runtime, &mut catalog)?;
    }
    findings.extend(own::compare(place, runtime, &mut catalog, request.acknowledge)?);
    let bases =
        request.delta_cache.and_then(|limit| open_cache(&request.state, vault, &writer.name, limit, &mut findings));
    let mut report = BackupReport { snapshots: Vec::new(), failed: Vec::new(), findings, interrupted: false };
    let full_every = Some(request.full_every.unwrap_or(FULL_EVERY));
    let wishes = Wishes { keep: request.keep, tiers: request.tiers, full_every, adapts: request.adapts };
    let (told, anew) = distrust::look(place, runtime, &opened, &mut catalog)?;
    report.findings.extend(told);
    let mut groups = groups::before(place, runtime, &mut catalog, &request.jobs)?;
    let mut grouped: BTreeMap<Name, BTreeMap<Name, Option<SnapshotId>>> = BTreeMap::new();
    for job in request.jobs {
        let began = (request.elapsed)();
        let name = job.name.clone();
        let group = job.group.clone();
        let forgotten = job.source.kind() == SourceKind::Git && catalog.runs(Some(&name), 1)?.is_empty();
        let full_every = if anew.contains(&name) { Some(Span::ZERO) } else { wishes.full_every };
        let own = Own::of(&mut catalog, &name)?;
        let judge = own.judge(name.clone(), job.source.kind(), request.expected.clone());
        let wanted = (Wishes { full_every, ..wishes }, judge, request.requested.clone());
        let made = one(place, runtime, &mut catalog, job, wanted, bases.clone());
        if let Some(group) = group {
            let snapshot = made.as_ref().ok().map(|(made, _)| made.id);
            grouped.entry(group).or_default().insert(name.clone(), snapshot);
        }
        if place.cancel.is_cancelled() && made.is_err() {
            report.interrupted = true;
            return Ok(report);
        }
        match made {
            Ok((mut made, noticed)) => {
                report.findings.extend(noticed.findings());
                if let Some(members) = noticed.members() {
                    let told = groups::of_source(&mut catalog, &name, &members, made.id, request.acknowledge)?;
                    report.findings.extend(told);
                }
                report.findings.extend(made.lost.take());
                distrust::done(&mut catalog, &name)?;
                if forgotten && !made.header.prev.is_empty() {
                    let what = "the catalog knows no earlier run of this repository, so all of it was read, and a new set \
                                of segments begins";
                    report.findings.push(Finding::new(Severity::Info, "git.whole", what).on(&name));
                }
                let took = (request.elapsed)().saturating_sub(began);
                look::note_run(&mut catalog, &name, took)?;
                let signals = own.keep(&mut catalog, made.id)?;
                let held_s = noticed.held().map(|held| held.as_secs_f64());
                report.snapshots.push(SnapshotReport { held_s, signals, ..report::describe(name, made, took) });
            }
            Err(error) => {
                report.findings.push(Finding::new(Severity::Error, SOURCE_FAILED, error.to_string()).on(&name));
                report.failed.push(FailedSource { source: name, error });
            }
        }
    }
    for (group, now) in grouped {
        let held = groups.remove(&group).unwrap_or_default();
        report.findings.extend(groups::of_repositories(&mut catalog, (&group, held), &now, request.acknowledge)?);
    }
    Ok(report)
}

/// Does what a backup does before it reads, and looks at each source instead of reading it. Nothing is put into the vault.
/// Blocks; to be called on a thread that may.
///
/// # Errors
/// If nothing could be backed up at all.
pub fn rehearse(place: &Workplace, runtime: &Handle, request: BackupRequest) -> Result<Looked> {
    let writer = (place.writer.descriptor.vault, place.writer.name.clone());
    let (_, mut findings) = runtime.block_on(open_to_write(place, request.pins, &names(&request.jobs)))?;
    let past = Past { state: &request.state, writer: Some(writer) };
    let mut looked = look::look(request.jobs, &past, &*place.progress, &place.cancel)?;
    findings.append(&mut looked.findings);
    Ok(Looked { findings, ..looked })
}

fn names(jobs: &[Job]) -> Vec<&Name> {
    jobs.iter().map(|job| &job.name).collect()
}

/// The vault, for a writer who may write these sources, and what was found on the way.
pub(super) async fn open_to_write(
    place: &Workplace,
    pins: Vec<Pin>,
    sources: &[&Name],
) -> Result<(Vault, Vec<Finding>)> {
    let own = Pin::one(place.writer.descriptor.vault, "the writer's key");
    let pins: Vec<Pin> = std::iter::once(own).chain(pins).collect();
    // Its id says which root signed the members, whatever is found of it: both are asked for at once.
    let known = Vault::known(Arc::clone(&place.store), place.writer.descriptor.clone());
    let (vault, allowed) = futures::join!(open_vault(&place.store, &pins), may_write(&known, &place.writer, sources));
    let vault = vault?;
    let mut findings = allowed?;
    findings.extend(vault.findings.iter().cloned());
    Ok((vault, findings))
}

/// Fails if the writer was revoked, or may not write one of the sources: its snapshots would be suspect, and nobody would
/// take them for backups.
async fn may_write(vault: &Vault, writer: &Writer, sources: &[&Name]) -> Result<Vec<Finding>> {
    let members = match members::Members::of(vault).await {
        Ok(members) => members,
        Err(error) if error.kind == VaultErrorKind::Denied => {
            let what = "these credentials may not read members/, so nobody knows whether this writer was revoked";
            let found = vec![Finding::new(Severity::Warning, "members.unread", what).on(layout::MEMBERS)];
            return its_own(&writer.certificate, sources).map(|()| found);
        }
        Err(error) => return Err(error.into()),
    };
    let certificate = members.get(&writer.name).unwrap_or(&writer.certificate);
    match certificate.revoked_from {
        Some(from) if from <= vault.store.server_time().await? => {
            return Err(OpsError::Revoked { writer: writer.name.clone(), from });
        }
        _ => its_own(certificate, sources)?,
    }
    Ok(members.findings)
}

/// Fails if a writer may not make snapshots of one of the sources.
fn its_own(certificate: &Certificate, sources: &[&Name]) -> Result<()> {
    let Some(other) = sources.iter().find(|source| !certificate.may_write(source)) else { return Ok(()) };
    Err(OpsError::Request {
        what: format!("writer {} may not make snapshots of {}: nothing was backed up", certificate.name, other),
        next: format!(
            "its certificate allows {}; correct the source's name, or have an owner make a writer for it: strongroom \
             writer add NAME --sources LIST -i IDENTITY",
            standing::names(&certificate.sources)
        ),
    })
}

/// The cache of bases. Without one there are no deltas, and that is all.
fn open_cache(
    state: &std::path::Path,
    vault: VaultId,
    writer: &Name,
    limit: u64,
    findings: &mut Vec<Finding>,
) -> Option<Arc<Bases>> {
    match Bases::open(state, vault, writer, limit) {
        Ok(bases) => Some(Arc::new(bases)),
        Err(error) => {
            let message = format!("{error}: chunks that resemble earlier ones are stored whole");
            findings.push(Finding::new(Severity::Warning, "delta.cache", message));
            None
        }
    }
}

/// How long snapshots are to be kept, as the configuration has it.
#[derive(Clone, Copy)]
struct Wishes {
    keep: Option<Span>,
    tiers: Tiers,
    full_every: Option<Span>,
    adapts: bool,
}

fn one(
    place: &Workplace,
    runtime: &Handle,
    catalog: &mut Catalog,
    job: Job,
    (wishes, judge, requested): (Wishes, Judge, Option<Requested>),
    bases: Option<Arc<Bases>>,
) -> Result<(Committed, Noticed)> {
    let Job { name, source, allow_empty, timeout, .. } = job;
    let limit = timeout.map(|after| Limit::start(after, &place.cancel));
    let read = limit.as_ref().map(Limit::read).unwrap_or_default();
    let cancel = limit.as_ref().map_or_else(|| place.cancel.clone(), Limit::cancel);
    let place = &Workplace { cancel, ..place.clone() };
    let kind = source.kind();
    // A repository without a commit is one all the same; one that was emptied is refused where that is known.
    let allow_empty = allow_empty || kind == SourceKind::Git;
    let mut noticed = Noticed::default();
    let seen = Arc::<OnceLock<Noticed>>::default();
    let known: Vec<String> = groups::known(catalog, &name)?.into_keys().collect();
    let Wishes { keep, tiers, full_every, adapts } = wishes;
    let (level, warnings) = (DEFAULT_LEVEL, Vec::new());
    let (source_name, judge) = (name.clone(), Some(with_gaps(judge, Arc::clone(&seen))));
    let request = Request {
        source: source_name,
        kind,
        keep,
        tiers,
        full_every,
        allow_empty,
        level,
        adapts,
        bases,
        warnings,
        judge,
    };
    let made = writer::backup_from(place, runtime, catalog, request, |before| {
        place.progress.phase(&format!("opening {name}"), None);
        let reading = requested::over(open(source, before, &place.cancel)?, requested);
        let (reading, watched) = Watching::over(reading, &name, known, Arc::clone(&place.progress), read);
        drop(seen.set(watched.clone()));
        noticed = watched;
        Ok(reading)
    });
    let made = made.map_err(|error| match error {
        OpsError::Vault(error) if error.kind == VaultErrorKind::Cancelled => OpsError::Interrupted,
        OpsError::Vault(error) if error.kind == VaultErrorKind::Source && !allow_empty && noticed.empty() => {
            OpsError::Empty
        }
        other => other,
    });
    let judge = |error| match &limit {
        Some(limit) => limit.judge(error, &name),
        None => error,
    };
    Ok((made.map_err(judge)?, noticed))
}

/// Whether a finding says that something of the source is not in its snapshot.
#[must_use]
pub fn lacks(finding: &Finding) -> bool {
    finding.severity == Severity::Error && NOT_WHOLE.contains(&&*finding.code)
}

/// Has the header say so where the snapshot has not all of its source: who asks it has no identity.
fn with_gaps(judge: Judge, noticed: Arc<OnceLock<Noticed>>) -> Judge {
    Box::new(move |seen| {
        let mut flags = judge(seen)?;
        if noticed.get().is_some_and(|noticed| noticed.lacks(&lacks)) {
            flags.insert(0, Flag { rule: signal::NOT_WHOLE.to_owned(), level: Level::Notice });
        }
        Ok(flags)
    })
}

/// Opens the source on a thread of its own, so that one that hangs can be left behind.
fn open(mut source: Box<dyn Source>, before: Option<Before>, cancel: &Cancel) -> Result<Box<dyn Reading>> {
    let (sender, receiver) = bounded(1);
    let opening = move || drop(sender.send(source.open_after(before)));
    let spawned = thread::Builder::new().name("source".to_owned()).spawn(opening);
    spawned.map_err(|_| OpsError::Defect("the thread that opens the source"))?;
    loop {
        match receiver.recv_timeout(POLL) {
            Ok(opened) => return Ok(opened?),
            Err(RecvTimeoutError::Timeout) if cancel.is_cancelled() => return Err(OpsError::Interrupted),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(OpsError::Defect("opening the source")),
        }
    }
}
