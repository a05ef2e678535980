//! `restore --recover-to`: the newest base before a point, with the log behind it up to that point, laid out so that a
//! stock server starts on it and goes there.

mod binlog;
mod gather;
mod layout;
pub(super) mod legs;
mod needs;
mod plain;
mod point;
mod replay;
mod report;
mod settled;
mod way;

use std::sync::Arc;

use super::{
    OpsError, Result,
    restore::{Carried, Part, Plan, RestoreReport, Target as Files, carry_out, planned, report_of},
    snapshots::{Wanted, choose, listed_for},
};
use crate::{
    codec::Opener,
    model::{Cancel, Finding, Fingerprint, Name, Progress, Severity, SourceKind, Time},
    source::postgres::Base,
    store::counted::Counted,
    vault::{
        Vault,
        journal::{self, Reader},
        reader::Snapshot,
        snapshots::Summary,
    },
};

use gather::{Ended, Gathered};
pub use layout::{Ending, Layout};
pub use plain::lay_out_base;
use point::{Fits, unreachable};
pub use point::{Point, Target};
pub use replay::{Guide, LOG, Replay};
pub use report::Recovery;
use settled::Settled;
use way::way_of;

/// What to recover.
#[derive(Debug, Clone)]
pub struct RecoverRequest {
    /// Of which source, or from which snapshot.
    pub wanted: Wanted,
    /// To where.
    pub target: Target,
    /// In which timeline; the newest that the base leads to, if none is said.
    pub timeline: Option<u32>,
    /// What fetches the log when the server asks for it. Nothing if all of it is to be laid out.
    pub fetch: Option<Fetch>,
}

/// A command that fetches a file of the log, as a server's settings have it.
#[derive(Debug, Clone)]
pub struct Fetch {
    /// The program and what stands before the source.
    pub program: String,
    /// What stands behind it: the file, and where it goes.
    pub file: &'static str,
}

impl Fetch {
    /// The command for a source of a writer. Names need no quotes.
    fn of(&self, source: &Name, writer: &Name) -> String {
        format!("{} --source {source} --writer {writer} {}", self.program, self.file)
    }
}

impl Recovery {
    /// Whether the vault has log that does not come back: behind the point, or behind a gap.
    #[must_use]
    pub fn leaves_some(&self) -> bool {
        self.point != Point::Latest.to_string() || self.gap.is_some()
    }
}

/// What was chosen and is ready to be laid out.
pub(super) struct Chosen {
    pub(super) snapshot: Snapshot,
    pub(super) base: Base,
    pub(super) recovery: Recovery,
    pub(super) settled: Settled,
    last_us: Option<i64>,
    pub(super) findings: Vec<Finding>,
}

/// Where a recovery goes: as what it is, only the snapshot tells.
pub struct Places<'a> {
    /// A copied cluster.
    pub cluster: &'a mut dyn Files,
    /// A dump, and the log behind it.
    pub replay: &'a mut dyn Files,
}

/// Recovers a source of `vault` into one of `places`.
///
/// # Errors
/// If the point can't be had, and how near one can get; or as a restore.
pub async fn recover(
    vault: &Vault,
    opener: &Opener,
    request: &RecoverRequest,
    places: Places<'_>,
    progress: &Arc<dyn Progress>,
    cancel: &Cancel,
) -> Result<(RestoreReport, Vec<Finding>)> {
    let counted = Arc::new(Counted::new(Arc::clone(&vault.store)));
    let vault = &vault.through(Arc::clone(&counted) as _);
    let listing = listed_for(vault, &request.wanted).await?;
    let seeking = Seeking { vault, opener, request, progress, cancel };
    let kind = choose(listing.snapshots.clone(), &request.wanted)?.snapshot.header.kind;
    let target = if kind == SourceKind::Mariadb { places.replay } else { places.cluster };
    let laid = Box::pin(lay_out(&seeking, listing.snapshots, target)).await?;
    let mut report = report_of(&laid.snapshot, laid.plan, laid.carried, laid.warnings);
    report.recovery = Some(laid.recovery);
    report.fetched_bytes = counted.calls().bytes;
    let mut findings = listing.findings;
    findings.extend(laid.findings);
    findings.extend(target.told());
    Ok((report, findings))
}

/// A cluster or a dump that was laid out.
pub(super) struct Laid {
    pub(super) snapshot: Snapshot,
    pub(super) plan: Plan,
    pub(super) carried: Carried,
    pub(super) recovery: Recovery,
    /// When the last transaction was committed that comes back, in microseconds since 1970.
    pub(super) last_us: Option<i64>,
    warnings: Vec<String>,
    pub(super) findings: Vec<Finding>,
    /// Of a dump of one database, that.
    pub(super) database: Option<String>,
    /// What the tables of a dump held.
    pub(super) fingerprints: Vec<Fingerprint>,
}

/// Chooses, gathers the log, and lays all of it out in `target`.
///
/// # Errors
/// As for [`recover`].
pub(super) async fn lay_out(seeking: &Seeking<'_>, all: Vec<Summary>, target: &mut dyn Files) -> Result<Laid> {
    if target.replay().is_some() {
        return seeking.lay_out_dump(all, target).await;
    }
    let chosen = {
        let layout = target.recovery().ok_or(OpsError::Defect("the target of the recovery"))?;
        Box::pin(seeking.choose(all, layout)).await?
    };
    let Chosen { mut snapshot, base, recovery, settled, last_us, findings } = chosen;
    seeking.progress.note(&settled.told(&snapshot.header.header.source, &recovery));
    let warnings = std::mem::take(&mut snapshot.body.warnings);
    let plan = planned(&mut snapshot, Part::default()).await?;
    if let Some(layout) = target.recovery() {
        layout.settle(Ending { base, settings: settled.settings, later: recovery.tablespaces.clone() });
    }
    let carried = carry_out(&snapshot, &plan, target, (seeking.progress, seeking.cancel), None).await?;
    Ok(Laid {
        snapshot,
        plan,
        carried,
        recovery,
        last_us,
        warnings,
        findings,
        database: None,
        fingerprints: Vec::new(),
    })
}

/// Where a base is looked for.
pub(super) struct Seeking<'a> {
    pub(super) vault: &'a Vault,
    pub(super) opener: &'a Opener,
    pub(super) request: &'a RecoverRequest,
    pub(super) progress: &'a Arc<dyn Progress>,
    pub(super) cancel: &'a Cancel,
}

/// Why a base was not taken.
enum Passed {
    /// It is no base that knows its place in the log.
    NoBase,
    /// It was not consistent before the point.
    Later(Box<Base>),
    /// The point is not in the log behind it.
    Without(Box<OpsError>),
    /// It does not lead to the timeline that was asked for.
    Elsewhere(Box<OpsError>),
}

impl Seeking<'_> {
    /// Takes the newest base before the point, and gathers the log behind it.
    pub(super) async fn choose(&self, all: Vec<Summary>, layout: &mut dyn Layout) -> Result<Chosen> {
        point::must_make_sense(&self.request.target)?;
        let newest = choose(all.clone(), &self.request.wanted)?.snapshot;
        let (source, writer) = (newest.header.source.clone(), newest.header.writer.clone());
        if newest.header.kind != SourceKind::Postgres {
            return Err(OpsError::Request {
                what: format!(
                    "{source} is of kind {}, which has no journal to recover from",
                    newest.header.kind.as_str()
                ),
                next: "leave --recover-to out to restore the snapshot itself".to_owned(),
            });
        }
        if let Point::File { .. } | Point::Gtid(_) = self.request.target.point {
            return Err(OpsError::Request {
                what: format!(
                    "{} means nothing to {source}, which is a server of PostgreSQL",
                    self.request.target.point
                ),
                next: "its points are times, lsn:16/B374D848, xid:4711, name:LABEL and latest".to_owned(),
            });
        }
        layout.open(&source)?;
        self.progress.phase("listing the log", None);
        let log = journal::list(self.vault, Some(&writer), &source).await?;
        let reader = Reader::new(self.vault, self.opener, &all).await?;
        let mut passed: Vec<(Time, Passed)> = Vec::new();
        for candidate in self.candidates(all, &newest) {
            let at = candidate.header.started_at;
            let looked = Box::pin(self.one(&candidate, (&log, &reader), layout)).await;
            if looked.is_err() && self.seconds().is_some_and(|point| at > point) {
                // It could only have told how near one can get.
                break;
            }
            match looked? {
                Ok(chosen) => {
                    let mut chosen = *chosen;
                    chosen.findings.extend(reader.findings.iter().cloned());
                    return Ok(chosen);
                }
                Err(why) => {
                    let over = matches!(&why, Passed::Without(_)) && !self.may_lie_before();
                    passed.push((at, why));
                    layout.forget()?;
                    if over {
                        break;
                    }
                }
            }
        }
        Err(self.none(&source, passed))
    }

    /// Whether the point may lie before a base that it is not behind.
    fn may_lie_before(&self) -> bool {
        matches!(self.request.target.point, Point::Named(_) | Point::Xid(_))
    }

    /// The point, if it is a time.
    fn seconds(&self) -> Option<Time> {
        match &self.request.target.point {
            Point::Time(us) => Some(Time::from_unix(us.div_euclid(1_000_000))),
            _ => None,
        }
    }

    /// The snapshots that may be a base, the newest first; last of all the first one after the point, which tells how near
    /// to it one can get.
    fn candidates(&self, all: Vec<Summary>, newest: &Summary) -> Vec<Summary> {
        if matches!(self.request.wanted, Wanted::Id(_)) {
            return vec![newest.clone()];
        }
        let point = self.seconds();
        let fits = |found: &Summary| {
            let (is, of) = (&found.header, &newest.header);
            (&is.source, &is.writer, is.kind) == (&of.source, &of.writer, of.kind)
                && is.started_at <= of.started_at
                && !found.standing.suspect
                && !found.standing.future
        };
        let before = |found: &Summary| point.is_none_or(|point| found.header.started_at <= point);
        let (mut all, after): (Vec<_>, Vec<_>) = all.into_iter().filter(fits).partition(before);
        all.reverse();
        all.extend(after.into_iter().min_by_key(|found| found.header.started_at));
        all
    }

    async fn one(
        &self,
        candidate: &Summary,
        (log, reader): (&journal::Listing, &Reader<'_>),
        layout: &mut dyn Layout,
    ) -> Result<std::result::Result<Box<Chosen>, Passed>> {
        let target = &self.request.target;
        let header = self.vault.whole(candidate).await?;
        let snapshot = Snapshot::open(self.vault, header, self.opener).await?;
        let Some(base) = Base::of(&snapshot.body.details) else { return Ok(Err(Passed::NoBase)) };
        let done = candidate.standing.stored_at.unwrap_or(candidate.header.claimed_at);
        if target.fits(&base, done) == Fits::After {
            return Ok(Err(Passed::Later(Box::new(base))));
        }
        let (way, mut findings) = match way_of(reader, log, &base, self.request.timeline).await? {
            Ok(found) => found,
            Err(error) => return Ok(Err(Passed::Elsewhere(Box::new(error)))),
        };
        let on = (&**self.progress, self.cancel);
        let here = self.request.fetch.is_none();
        let gathered = way.gather((&base, target), (&mut *layout, here), on).await?;
        if gathered.meets == Some(false) {
            return Ok(Err(Passed::Without(Box::new(other_history(&base)))));
        }
        for (file, bytes) in &way.histories {
            layout.log(file, 0, bytes)?;
        }
        let header = &candidate.header;
        let fetch = self.request.fetch.as_ref().map(|fetch| fetch.of(&header.source, &header.writer));
        let settled = match Settled::new((&base, target), &way, &gathered, fetch) {
            Ok(settled) => settled,
            Err(error) => return Ok(Err(Passed::Without(Box::new(error)))),
        };
        let recovery = recovery(&base, target, &way, &gathered, &settled);
        let last_us = gathered.commit.map(|commit| commit.at_us);
        findings.extend(gathered.findings);
        if let Some((from, to)) = recovery.gap.as_ref().filter(|_| target.point == Point::Latest) {
            findings.push(gap(from, to.as_deref()).on(candidate.header.source.as_str()));
        }
        Ok(Ok(Box::new(Chosen { snapshot, base, recovery, settled, last_us, findings })))
    }

    /// Why there is no base for the point.
    fn none(&self, source: &Name, passed: Vec<(Time, Passed)>) -> OpsError {
        let point = &self.request.target.point;
        let mut oldest: Option<Box<Base>> = None;
        let (mut without, mut elsewhere) = (None, None);
        let mut no_base = 0;
        for (_, why) in passed {
            match why {
                Passed::Without(error) => {
                    without.get_or_insert(error);
                }
                Passed::Elsewhere(error) => {
                    elsewhere.get_or_insert(error);
                }
                Passed::Later(base) if oldest.as_ref().is_none_or(|oldest| base.end < oldest.end) => {
                    oldest = Some(base);
                }
                Passed::Later(_) => {}
                Passed::NoBase => no_base += 1,
            }
        }
        if let Some(error) = without.or(elsewhere) {
            return *error;
        }
        if let Some(base) = oldest {
            let at = base.ended_us.map_or_else(String::new, |us| format!(" ({})", point::time(us)));
            let what = format!(
                "{point} lies before the oldest base of {source} can be recovered from: it is consistent from {}{at} on",
                point::lsn(base.end)
            );
            return unreachable(
                what,
                "nothing earlier can be had but from an older snapshot: `strongroom snapshots` lists them",
            );
        }
        let what = match no_base {
            0 => format!("{source} has no base before {point}"),
            n => format!(
                "none of the {n} snapshots of {source} that fit is a base that knows its place in the log: they are dumps, or \
                 were made by an earlier version"
            ),
        };
        let next = "a recovery needs a snapshot of `physical = true`, and a journal; `strongroom restore` brings a snapshot \
                    back as it is";
        unreachable(what, next)
    }
}

/// The log is of another server than the base: of one that was set back, or that began a timeline of the same number.
#[must_use]
pub fn other_history(base: &Base) -> OpsError {
    let what = format!(
        "the log in the vault is not the one that the base was taken in: they differ at its end, {}. A server that was set back to an \
         earlier state, or that took a timeline's number again, wrote another log of the same positions",
        point::lsn(base.end)
    );
    let next = "restore this base by itself (`restore ID --data-directory`), or recover from an older one by its ID (`strongroom snapshots` \
                lists them); then take a new base";
    unreachable(what, next)
}

/// The finding of a gap that a recovery stops before.
fn gap(from: &str, to: Option<&str>) -> Finding {
    let to = to.map_or_else(|| "the end".to_owned(), str::to_owned);
    let what = format!("the log is missing or damaged from {from} to {to}: the recovery stops before it");
    Finding::new(Severity::Error, "journal.gap", what)
}

fn recovery(base: &Base, target: &Target, way: &way::Found<'_>, gathered: &Gathered, settled: &Settled) -> Recovery {
    let lsn = point::lsn;
    let some = gathered.pieces > 0;
    let gap = match &gathered.ended {
        Ended::Gap { to, .. } => Some((lsn(gathered.until), to.map(lsn))),
        Ended::Found | Ended::Nothing => None,
    };
    Recovery {
        point: target.point.to_string(),
        inclusive: target.inclusive,
        timeline: settled.timeline,
        base_end: lsn(base.end),
        base_at: base.ended_us.map(point::time),
        log_from: some.then(|| lsn(gathered.from)),
        log_until: some.then(|| lsn(gathered.until)),
        log_bytes: gathered.bytes,
        pieces: gathered.pieces,
        stop: settled.stop.map(lsn),
        stop_at: gathered.stop.and_then(|stop| stop.at_us).map(point::time),
        last_commit_at: gathered.commit.map(|commit| point::time(commit.at_us)),
        last_commit_xid: gathered.commit.and_then(|commit| commit.xid),
        last_commit_gtid: None,
        newest: way.newest().map(lsn),
        newest_at: way.newest_at,
        gap,
        tablespaces: gathered.needs.tablespaces(),
        settings: settled.settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
    }
}
