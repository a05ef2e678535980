//! `verify`: what the vault holds is held against what was signed.

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;

use super::{
    OpsError, Result,
    evidence::{self, Draft, Left, Signed, Signer},
    freeze::{HoldLine, hold_line},
    snapshots,
};
use crate::{
    codec::seal::Opener,
    format::{evidence::EvidenceKind, member_key::Member},
    model::{Cancel, Finding, Name, Progress, Severity, Span, Time, VaultId},
    store::{
        Enforcement, ObjectStore,
        counted::{Calls, Counted},
    },
    vault::{
        Vault, VaultErrorKind,
        audit::{self, Freshness, Seen},
        parity::{self, ParitySeen},
    },
};

pub use crate::vault::audit::{Checkpoint, Depth, Recovery};

/// How many findings go into evidence; all go into reports.
const IN_EVIDENCE: usize = 1000;

/// A part of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sample {
    /// The first number's of the second number's parts.
    Part(u32, u32),
    /// Of so many parts the one after that which the checkpoint says was read last.
    Next(u32),
}

impl Sample {
    const fn of(self) -> u32 {
        match self {
            Self::Part(_, of) | Self::Next(of) => of,
        }
    }

    /// Which part of how many; `key` is where the checkpoint has its number.
    fn part(self, key: &str, checkpoint: Option<&Checkpoint>) -> (u32, u32) {
        match self {
            Self::Part(part, of) => (part, of),
            Self::Next(of) => {
                let last = checkpoint.and_then(|seen| seen.sampled.get(key)).copied().unwrap_or_default();
                // A file that somebody wrote by hand may say anything.
                (last % of.max(1) + 1, of)
            }
        }
    }
}

/// What to verify.
#[derive(Default)]
pub struct VerifyRequest {
    /// How deep; the least where nothing is said.
    pub depth: Option<Depth>,
    /// What opens the data, for [`Depth::Decrypt`], and the root key, for evidence.
    pub opener: Option<Opener>,
    /// The one snapshot that is wanted, if not all are.
    pub wanted: Option<snapshots::Wanted>,
    /// Read only a part of the data.
    pub sample: Option<Sample>,
    /// How often each source is expected to have a new snapshot.
    pub schedule: BTreeMap<Name, Span>,
    /// Whose sources that is about, if not everybody's.
    pub writer: Option<Name>,
    /// Names of sources that somebody typed: one of which there is no snapshot is a mistake.
    pub typed: Vec<Name>,
    /// How old the newest piece of a source's journal may be.
    pub journals: BTreeMap<Name, Span>,
    /// What was seen last time.
    pub checkpoint: Option<Checkpoint>,
    /// Whether forks and revocations are known from now on.
    pub acknowledge: bool,
    /// Whether to leave the result in the vault, signed.
    pub evidence: bool,
    /// Who signs it, if not the root.
    pub member: Option<Member>,
}

/// What reading a bucket costs at the list price of AWS S3 Standard in us-east-1 (<https://aws.amazon.com/s3/pricing/>), in
/// US dollars.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Cost {
    /// For the calls.
    pub requests_usd: f64,
    /// For the bytes, if they leave the region; nothing within it.
    pub transfer_usd: f64,
}

/// What was verified.
#[derive(Debug, Serialize)]
pub struct VerifyReport {
    /// How deep.
    pub depth: Depth,
    /// Snapshots looked at.
    pub snapshots: u64,
    /// Objects looked at.
    pub objects: u64,
    /// Bytes read from the store.
    pub bytes_read: u64,
    /// When the first lock ends that a snapshot needs.
    pub weakest_lock: Option<Time>,
    /// The object that has this lock.
    pub weakest_object: Option<String>,
    /// When it began, by the store's clock.
    pub at: Time,
    /// The vault.
    pub vault_id: VaultId,
    /// Where it is.
    pub url: String,
    /// Bytes of the objects looked at, as far as their sizes are signed.
    pub bytes: u64,
    /// Streams looked at.
    pub streams: u64,
    /// Bytes decoded.
    pub bytes_decoded: u64,
    /// Which part of the data was read.
    pub sample: Option<(u32, u32)>,
    /// Objects that nothing signed names.
    pub foreign: u64,
    /// Their bytes.
    pub foreign_bytes: u64,
    /// What was asked of the store.
    pub calls: Calls,
    /// What that costs in a bucket; nothing in a directory.
    pub cost: Option<Cost>,
    /// How each source stands with its schedule.
    pub sources: Vec<Freshness>,
    /// Up to where each base of a journal can be recovered.
    pub recoveries: Vec<Recovery>,
    /// What was not checked.
    pub not_checked: Vec<String>,
    /// The holds, oldest first.
    pub holds: Vec<HoldLine>,
    /// The parity beside the vault, if it is a directory that has some.
    pub parity: Option<ParitySeen>,
    /// Where the signed result is kept, if it is.
    pub evidence: Option<Left>,
    /// The snapshots, oldest first.
    #[serde(skip)]
    pub seen: Vec<Seen>,
    /// The evidence that was in the vault, oldest first.
    #[serde(skip)]
    pub history: Vec<Signed>,
    /// What to remember until next time.
    #[serde(skip)]
    pub checkpoint: Option<Checkpoint>,
}

/// Verifies `vault`.
///
/// # Errors
/// If the verification could not be carried out. What it finds wrong is no error but a finding.
pub async fn verify(
    vault: &Vault,
    request: VerifyRequest,
    progress: &Arc<dyn Progress>,
    cancel: &Cancel,
) -> Result<(VerifyReport, Vec<Finding>)> {
    let VerifyRequest { depth, opener, wanted, sample, schedule, writer, typed, .. } = request;
    let VerifyRequest { journals, checkpoint, acknowledge, evidence, member, .. } = request;
    if let Some(Err(why)) = checkpoint.as_ref().map(|checkpoint| checkpoint.belongs_to(vault.descriptor.vault)) {
        return Err(OpsError::Request {
            what: format!("the checkpoint does not belong here: {why}"),
            next: "give each vault a checkpoint file of its own. If the vault was replaced, trust neither".to_owned(),
        });
    }
    let counted = Arc::new(Counted::new(Arc::clone(&vault.store)));
    let seen = vault.through(Arc::clone(&counted) as _);
    let signer = signer(&seen, evidence, member, opener.as_ref()).await?;
    let snapshot = match &wanted {
        Some(wanted) => {
            let listing = snapshots::listed_for(&seen, wanted).await?;
            Some(snapshots::choose(listing.snapshots, wanted)?.snapshot.id)
        }
        None => None,
    };
    let depth = depth.unwrap_or(Depth::Locks);
    let asked_for = sample;
    let key = |of: u32| format!("{}/{of}", depth.as_str());
    let sample = asked_for.map(|asked| asked.part(&key(asked.of()), checkpoint.as_ref()));
    let asked = audit::VerifyRequest { depth, opener, snapshot, sample, schedule, writer, typed, journals, checkpoint };
    let found = audit::verify(&seen, &asked, Arc::clone(progress), cancel).await;
    let mut found = found.map_err(|error| match error.kind {
        VaultErrorKind::Cancelled => OpsError::Interrupted,
        _ => error.into(),
    })?;
    let mut findings = found.findings.clone();
    findings.extend(rules(&*vault.store).await);
    findings.extend(lockless(&*vault.store, &mut found.not_checked).await);
    let deep = depth != Depth::Locks && snapshot.is_none();
    let parity = parity::check(&*vault.store, deep, sample, cancel).await?.map(|(seen, found)| {
        findings.extend(found.into_vec());
        seen
    });
    let mut report = report(&seen, sample, found, counted.calls());
    report.parity = parity;
    if let (Some(Sample::Next(of)), Some((part, _)), Some(seen)) = (asked_for, sample, &mut report.checkpoint) {
        seen.sampled.insert(key(of), part);
    }
    if acknowledge && let Some(checkpoint) = &mut report.checkpoint {
        checkpoint.acknowledge(&findings);
    }
    if let Some((signer, unsigned)) = signer {
        findings.extend(unsigned);
        if let Some(signer) = signer {
            match leave(&seen, &signer, &report, &findings).await {
                Ok(left) => report.evidence = Some(left),
                Err(error) => findings.push(evidence::unstored(&error)),
            }
        }
    }
    Ok((report, findings))
}

type Asked = Option<(Option<Signer>, Option<Finding>)>;

/// Found before the work, so that nobody waits an hour to hear that his key is a stranger's.
async fn signer(vault: &Vault, asked: bool, member: Option<Member>, identity: Option<&Opener>) -> Result<Asked> {
    if !asked {
        return Ok(None);
    }
    Signer::find(vault, EvidenceKind::Verification, member, identity).await.map(Some)
}

fn report(vault: &Vault, sample: Option<(u32, u32)>, found: audit::VerifyReport, calls: Calls) -> VerifyReport {
    let url = vault.store.url();
    let cost = url.starts_with("s3:").then(|| cost(calls));
    VerifyReport {
        depth: found.depth,
        snapshots: found.snapshots,
        objects: found.objects,
        bytes_read: found.bytes_read,
        weakest_lock: found.weakest.as_ref().map(|weakest| weakest.until),
        weakest_object: found.weakest.map(|weakest| weakest.object),
        at: found.at,
        vault_id: vault.descriptor.vault,
        url,
        bytes: found.bytes,
        streams: found.streams,
        bytes_decoded: found.bytes_decoded,
        sample,
        foreign: found.foreign,
        foreign_bytes: found.foreign_bytes,
        calls,
        cost,
        sources: found.sources,
        recoveries: found.recoveries,
        not_checked: found.not_checked,
        holds: found.holds.iter().map(|held| hold_line(held, found.at)).collect(),
        parity: None,
        evidence: None,
        seen: found.seen,
        history: found.evidence,
        checkpoint: Some(found.checkpoint),
    }
}

#[allow(clippy::cast_precision_loss, reason = "an estimate in dollars")]
fn cost(calls: Calls) -> Cost {
    let requests_usd = (calls.get + calls.head) as f64 * 0.0004 / 1e3 + (calls.list + calls.put) as f64 * 0.005 / 1e3;
    Cost { requests_usd, transfer_usd: calls.bytes as f64 * 0.09 / f64::from(1 << 30) }
}

/// Says that no lock counts, whatever is told of each object, if the bucket has no object lock.
async fn lockless(store: &dyn ObjectStore, not_checked: &mut Vec<String>) -> Option<Finding> {
    let why = match store.enforcement().await {
        Ok(Enforcement::Enforced) => return None,
        Ok(Enforcement::Absent) => {
            let what = "the bucket has no object lock: what it answers about retention is not enforced, so no lock in it counts";
            return Some(Finding::new(Severity::Weak, "bucket.lockless", what).on(store.url()));
        }
        Ok(Enforcement::Unknown(why)) => why.into_string(),
        Err(error) => error.to_string(),
    };
    not_checked.push(format!("whether the bucket has object lock at all, without which no lock binds: {why}"));
    None
}

/// What the bucket does by itself, as far as this role may know it.
async fn rules(store: &dyn ObjectStore) -> Option<Finding> {
    let rules = store.harmful_rules().await.ok().filter(|rules| !rules.is_empty())?;
    let message = format!(
        "the bucket has rules of its own: {}. Remove them: `prune` deletes what nothing needs, and knows what is",
        rules.join("; ")
    );
    Some(Finding::new(Severity::Weak, "bucket.lifecycle", message))
}

/// Leaves the result in the vault.
async fn leave(vault: &Vault, signer: &Signer, report: &VerifyReport, findings: &[Finding]) -> Result<Left> {
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    // The worst first: what does not fit is counted.
    let mut shown: Vec<&Finding> = findings.iter().collect();
    shown.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    shown.truncate(IN_EVIDENCE);
    let result = serde_json::json!({
        "strongroom": env!("CARGO_PKG_VERSION"),
        "passed": worst(findings).is_none_or(|worst| worst < Severity::Weak),
        "verification": report,
        "findings": shown,
        "counts": {
            "error": count(Severity::Error),
            "weak": count(Severity::Weak),
            "warning": count(Severity::Warning),
            "info": count(Severity::Info),
        },
    });
    let snapshots = report.seen.iter().rev().take(IN_EVIDENCE).map(|seen| seen.id).collect();
    let at = vault.store.server_time().await?;
    signer.leave(vault, Draft { kind: EvidenceKind::Verification, snapshots, at, result }).await
}

/// How bad the worst finding is.
#[must_use]
pub fn worst(findings: &[Finding]) -> Option<Severity> {
    findings.iter().map(|finding| finding.severity).max()
}
