//! `drill`: a snapshot is restored into a throwaway engine, from the vault and an identity alone, and asked whether it is
//! what was backed up. What was found is signed and left in the vault.

mod history;
mod one;
mod recovered;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    OpsError, Result,
    backup::StreamReport,
    evidence::{self, Draft, Signer},
    recover,
    restore::Target,
    snapshots::{Wanted, choose, listed_for, not_alone},
};
use crate::{
    codec::seal::Opener,
    engine::{
        Check, Servers, Status,
        jail::{Allowed, Warden},
    },
    format::{evidence::EvidenceKind, member_key::Member},
    model::{Cancel, Finding, Name, Progress, SnapshotId, SourceKind, Span, Time, lasting},
    vault::{
        self, Vault, VaultErrorKind,
        snapshots::Summary,
        standing::{must_be_known, owners},
    },
};

pub use history::{HistoryLine, history};

/// So many checks and streams of a drill are kept in its evidence; of more checks, those that failed and the number of the others.
const KEPT: usize = 2000;
/// So many bytes of a drill fit into its evidence, which is text in signed text.
const ROOM: usize = 2 << 20;

/// A check that the configuration asks for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// What it is called.
    pub name: String,
    /// What is done.
    pub what: What,
    /// After this time it is stopped.
    pub timeout: Duration,
    /// What must come out; without it, the answer to a query must be true, and a command must succeed.
    pub expected: Option<String>,
}

/// What a configured check does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Asks the engine, in this database if there are several.
    Sql {
        /// The database.
        database: Option<String>,
        /// The query.
        sql: String,
    },
    /// Runs a command that is told where the engine is.
    Command {
        /// The program and its arguments.
        argv: Vec<String>,
    },
}

/// What to drill.
pub struct DrillRequest {
    /// The sources; all that have a snapshot if none is given.
    pub sources: Vec<Name>,
    /// Whose, if that is said.
    pub writer: Option<Name>,
    /// Sources of the configuration, which may have no snapshot yet.
    pub configured: Vec<Name>,
    /// The one snapshot, if one is given.
    pub snapshot: Option<Wanted>,
    /// The configured checks of each source.
    pub checks: BTreeMap<Name, Vec<Asked>>,
    /// Servers that are lent for it.
    pub servers: Servers,
    /// What confines what is loaded.
    pub warden: Warden,
    /// What commands of checks may be shown.
    pub allowed: Allowed,
    /// A recovery that takes longer fails.
    pub max_rto: Option<Span>,
    /// Data that is older fails.
    pub max_rpo: Option<Span>,
    /// Who signs.
    pub member: Option<Member>,
    /// To which point of its log a source that has one is recovered; to its end, if none is said.
    pub recover_to: Option<recover::Target>,
    /// Where streams go that are to be restored into this directory.
    pub target: Box<dyn Fn(PathBuf) -> Box<dyn Target> + Send + Sync>,
    /// Where a cluster is laid out for a recovery.
    pub cluster: Box<dyn Fn(PathBuf) -> Box<dyn Target> + Send + Sync>,
    /// Where a dump and its log are laid out for a recovery.
    pub replay: Box<dyn Fn(PathBuf) -> Box<dyn Target> + Send + Sync>,
    /// How long ago the command began, by a clock that only goes forward.
    pub elapsed: Arc<dyn Fn() -> Duration + Send + Sync>,
}

/// How long the parts of a recovery took, in seconds.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Parts {
    /// Finding and choosing the snapshot.
    pub list_s: f64,
    /// Fetching and opening it.
    pub fetch_s: f64,
    /// Starting the engine and loading it.
    pub load_s: f64,
    /// The checks.
    pub check_s: f64,
}

/// One drill.
#[derive(Debug, Clone, Serialize)]
pub struct Drill {
    /// The source.
    pub source: Name,
    /// The snapshot; none if there was none to be had.
    pub snapshot: Option<SnapshotId>,
    /// What kind of source it is.
    pub kind: Option<SourceKind>,
    /// Who wrote it.
    pub writer: Option<Name>,
    /// The instant of the data, by the store's clock.
    pub created_at: Option<Time>,
    /// What it was loaded into.
    pub engine: String,
    /// How what handled it was confined.
    pub confinement: String,
    /// How long the recovery took, in seconds.
    pub rto_s: f64,
    /// The parts of that.
    pub parts: Parts,
    /// Where in its log the data came back to, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery: Option<recover::Recovery>,
    /// How old the data was, in seconds, by the last transaction that came back where there is a log; nothing where its time
    /// is not yet.
    pub rpo_s: Option<u64>,
    /// Bytes restored.
    pub bytes: u64,
    /// Streams restored.
    pub streams: Vec<StreamReport>,
    /// Whether every check passed.
    pub passed: bool,
    /// Whether what was stored is not what it should be, so that nothing new must lean on it.
    pub damaged: bool,
    /// The checks.
    pub checks: Vec<Check>,
    /// What the drill does not say anything about.
    pub not_tested: Vec<String>,
    /// What of its source the snapshot has not, since its run could not read it.
    pub lacking: Vec<String>,
    /// Where its evidence is kept; none if it was not stored.
    pub evidence: Option<String>,
}

/// All drills of a run.
#[derive(Debug, Serialize)]
pub struct DrillReport {
    /// The vault's id.
    pub vault: crate::model::VaultId,
    /// Where it is.
    pub url: String,
    /// When, by the store's clock.
    pub at: Time,
    /// The drills, in the order in which they were run.
    pub drills: Vec<Drill>,
}

impl DrillReport {
    /// The sources whose drill failed.
    #[must_use]
    pub fn failed(&self) -> Vec<&Name> {
        self.drills.iter().filter(|drill| !drill.passed).map(|drill| &drill.source).collect()
    }
}

impl Drill {
    /// A drill in which nothing was done yet.
    fn new(source: Name) -> Self {
        Self {
            source,
            snapshot: None,
            kind: None,
            writer: None,
            created_at: None,
            engine: String::new(),
            confinement: "nothing was started".to_owned(),
            rto_s: 0.0,
            parts: Parts::default(),
            rpo_s: None,
            recovery: None,
            bytes: 0,
            streams: Vec::new(),
            passed: false,
            damaged: false,
            checks: Vec::new(),
            not_tested: Vec::new(),
            lacking: Vec::new(),
            evidence: None,
        }
    }

    fn judge(&mut self, request: &DrillRequest) {
        let Parts { list_s, fetch_s, load_s, check_s } = self.parts;
        self.rto_s = list_s + fetch_s + load_s + check_s;
        let whole = self.checks.iter().all(|check| check.status != Status::Error);
        if let Some(max) = request.max_rto {
            let told = lasting(self.rto_s);
            // What broke off early was not quick.
            let fits = whole && self.rto_s <= max.as_duration().as_secs_f64();
            self.checks.push(within("rto", format!("at most {max}"), told, fits));
        }
        if let Some(max) = request.max_rpo {
            let without = match self.created_at {
                Some(at) => format!("of {at}, which is not yet"),
                None => "no data".to_owned(),
            };
            #[allow(clippy::cast_precision_loss, reason = "an age for people")]
            let told = self.rpo_s.map_or(without, |rpo| lasting(rpo as f64));
            let fits = self.rpo_s.is_some_and(|rpo| rpo <= max.as_seconds());
            self.checks.push(within("rpo", format!("at most {max}"), told, fits));
        }
        self.damaged |= self.checks.iter().any(|check| check.status == Status::Fail && is_of_bytes(&check.name));
        // No check at all is no proof of anything.
        self.passed = !self.checks.is_empty() && self.checks.iter().all(Check::passed);
    }
}

/// Whether a check is about the bytes that came back, and not about what they mean.
fn is_of_bytes(name: &str) -> bool {
    name == "LFS objects" || ["fsck ", "stream ", "integrity_check"].iter().any(|begin| name.starts_with(begin))
}

fn within(name: &str, expected: String, actual: String, fits: bool) -> Check {
    let status = if fits { Status::Pass } else { Status::Fail };
    Check { name: name.to_owned(), expected: Some(expected), actual: Some(actual), status }
}

/// Drills snapshots of `vault`, one source after the other; one that fails does not stop the others.
///
/// # Errors
/// If no drill can be made at all: the vault can't be read, no identity opens it, somebody asked to stop.
pub async fn drill(
    vault: &Vault,
    opener: &Opener,
    request: DrillRequest,
    progress: &Arc<dyn Progress>,
    cancel: &Cancel,
) -> Result<(DrillReport, Vec<Finding>)> {
    let at = vault.store.server_time().await?;
    let began = (request.elapsed)();
    let listing = match &request.snapshot {
        Some(wanted) => listed_for(vault, wanted).await?,
        None => vault::snapshots::list(vault).await?,
    };
    let list_s = (request.elapsed)().saturating_sub(began).as_secs_f64();
    let mut findings = listing.findings;
    let wanted = wanted(&listing.snapshots, &request)?;
    let mut report = DrillReport { vault: vault.descriptor.vault, url: vault.store.url(), at, drills: Vec::new() };
    let mut request = request;
    let (signer, unsigned) = Signer::find(vault, EvidenceKind::Drill, request.member.take(), Some(opener)).await?;
    findings.extend(unsigned);
    for (source, wanted) in wanted {
        if cancel.is_cancelled() {
            return Err(OpsError::Interrupted);
        }
        let never = !listing.snapshots.iter().any(|found| found.header.source == source);
        let mut drill = Drill::new(source);
        drill.parts.list_s = list_s;
        let place = Place { vault, opener, request: &request, progress, cancel };
        match choose(listing.snapshots.clone(), &wanted) {
            Ok(chosen) => one::run(&place, (&listing.snapshots, &chosen.snapshot), at, &mut drill).await?,
            Err(error) => drill.checks.push(Check::error("a snapshot to restore", error.to_string())),
        }
        drill.judge(&request);
        // What never was leaves no evidence of having failed.
        if let Some(signer) = signer.as_ref().filter(|_| !never) {
            match leave(vault, signer, &drill).await {
                Ok(key) => drill.evidence = Some(key),
                Err(error) => findings.push(evidence::unstored(&error).on(&drill.source)),
            }
        }
        report.drills.push(drill);
    }
    Ok((report, findings))
}

/// The sources to drill, and which snapshot of each.
fn wanted(all: &[Summary], request: &DrillRequest) -> Result<Vec<(Name, Wanted)>> {
    if let Some(wanted) = &request.snapshot {
        let chosen = choose(all.to_vec(), wanted)?;
        return Ok(vec![(chosen.snapshot.header.source, wanted.clone())]);
    }
    let whose = |source: &Name| {
        let mine = |found: &&Summary| {
            let header = &found.header;
            header.source == *source && request.writer.as_ref().is_none_or(|writer| header.writer == *writer)
        };
        let claims = all.iter().filter(mine).filter(|found| !found.standing.suspect);
        owners(claims.map(|found| (&found.header.writer, found.standing.claim)))
    };
    if let Some(writer) = &request.writer {
        must_be_known("writer", writer, all.iter().map(|found| &found.header.writer))?;
    }
    let latest = |source: &Name, writer: Option<&Name>| {
        (source.clone(), Wanted::Latest { source: source.clone(), writer: writer.cloned(), at: None })
    };
    let mut wanted = Vec::new();
    for source in &request.sources {
        if !request.configured.contains(source) {
            must_be_known("source", source, all.iter().map(|found| &found.header.source))?;
        }
        let writers = whose(source);
        if writers.len() > 1 {
            return Err(not_alone(source, &writers));
        }
        wanted.push(latest(source, request.writer.as_ref()));
    }
    if request.sources.is_empty() {
        // Each of those to whom a source belongs has its own.
        let known: BTreeSet<&Name> = all.iter().map(|found| &found.header.source).collect();
        for source in known {
            let writers = whose(source);
            wanted.extend(writers.iter().map(|writer| latest(source, Some(writer))));
            if writers.is_empty() && request.writer.is_none() {
                wanted.push(latest(source, None));
            }
        }
    }
    if wanted.is_empty() {
        return Err(OpsError::NoSnapshotYet);
    }
    Ok(wanted)
}

/// Signs and stores what a drill found.
async fn leave(vault: &Vault, signer: &Signer, drill: &Drill) -> Result<String> {
    let at = vault.store.server_time().await?;
    let snapshots = drill.snapshot.into_iter().collect();
    let result = kept(drill).ok_or(OpsError::Defect("the evidence of the drill"))?;
    let draft = Draft { kind: EvidenceKind::Drill, snapshots, at, result };
    Ok(signer.leave(vault, draft).await?.key)
}

/// What is kept of a drill: all of it, or of very much what failed, the beginning of the rest, and how much was left out.
fn kept(drill: &Drill) -> Option<Value> {
    [KEPT, KEPT / 10, KEPT / 100].into_iter().map(|most| told(drill, most)).find(|result| {
        // Text within text: quotes cost once more, and signed bytes a third.
        serde_json::to_vec(result).is_ok_and(|bytes| bytes.len() <= ROOM)
    })
}

fn told(drill: &Drill, most: usize) -> Value {
    let (checks, streams) = (drill.checks.len(), drill.streams.len());
    let mut failed: Vec<&Check> = drill.checks.iter().filter(|check| !check.passed()).collect();
    let passed = drill.checks.iter().filter(|check| check.passed()).take(most.saturating_sub(failed.len()));
    // Of what failed as much as there is room for, whatever is left out of the rest.
    failed.truncate(most.max(KEPT / 10));
    let failures = drill.checks.iter().filter(|check| !check.passed()).count();
    let failures_left_out = failures - failed.len();
    let all: Vec<&Check> = failed.into_iter().chain(passed).collect();
    let checks_left_out = checks - all.len();
    let mut result = json!(Drill { checks: Vec::new(), streams: Vec::new(), ..drill.clone() });
    if let Value::Object(fields) = &mut result {
        let streams_kept = drill.streams.iter().take(most).collect::<Vec<_>>();
        fields.insert("streams_left_out".to_owned(), json!(streams - streams_kept.len()));
        fields.insert("streams".to_owned(), json!(streams_kept));
        fields.insert("checks".to_owned(), json!(all));
        fields.insert("strongroom".to_owned(), json!(env!("CARGO_PKG_VERSION")));
        fields.insert("checks_left_out".to_owned(), json!(checks_left_out));
        fields.insert("failures_left_out".to_owned(), json!(failures_left_out));
    }
    result
}

/// Errors that concern every source alike, and end the run.
fn is_everybodys(error: &OpsError) -> bool {
    match error {
        OpsError::Interrupted => true,
        OpsError::Vault(error) => {
            matches!(error.kind, VaultErrorKind::NoIdentity | VaultErrorKind::Cancelled | VaultErrorKind::TryAgain)
        }
        _ => false,
    }
}

/// What a drill works with.
pub(super) struct Place<'a> {
    pub(super) vault: &'a Vault,
    pub(super) opener: &'a Opener,
    pub(super) request: &'a DrillRequest,
    pub(super) progress: &'a Arc<dyn Progress>,
    pub(super) cancel: &'a Cancel,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_holds_what_failed_and_the_number_of_the_rest() {
        let mut drill = Drill::new("tree".parse().unwrap());
        let name = |no: usize| format!("stream {no:0>60}");
        let blake3 = crate::model::Hash::from_bytes([7; 32]);
        let stream = |no: usize| StreamReport { name: format!("s{no:0>60}").parse().unwrap(), bytes: 1, blake3 };
        drill.streams = (0..60_000).map(stream).collect();
        drill.checks = (0..60_000).map(|no| Check::compare(name(no), "1 byte", "1 byte")).collect();
        drill.checks.extend((0..150).map(|no| Check::error(format!("bad {no}"), "x".repeat(500))));
        let kept = kept(&drill).unwrap();
        assert!(kept.to_string().len() <= ROOM);
        let checks = kept["checks"].as_array().unwrap();
        assert_eq!(checks.iter().filter(|check| check["status"] == "error").count(), 150);
        assert_eq!(kept["failures_left_out"], 0);
        let counted =
            |left: &str, there: &str| kept[left].as_u64().unwrap() + kept[there].as_array().unwrap().len() as u64;
        assert_eq!(counted("streams_left_out", "streams"), 60_000);
        assert_eq!(counted("checks_left_out", "checks"), 60_150);
        // Of failures that no evidence could hold, as many as fit and their number.
        drill.checks = (0..60_000).map(|no| Check::error(name(no), "x".repeat(5000))).collect();
        let kept = super::kept(&drill).unwrap();
        assert!(kept.to_string().len() <= ROOM && kept["failures_left_out"].as_u64().unwrap() > 50_000);
    }
}
