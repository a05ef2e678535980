//! `doctor`: what the credentials at hand can do to a vault, found out by trying (G1, G2), and whether the bucket is
//! what the vault's promises rest on.
//!
//! Everything is tried in its most harmless form: on a canary of one's own, on versions that are not there, by documents
//! that are none, and with puts that this store was just seen to refuse for what is wrong with them, on a canary. Without
//! that control nothing is put anywhere else. A refusal by the role and one by a lock look alike. So that a store enforces
//! its locks is proved apart, by who may delete: a locked canary must stay where a control goes.

mod agent;
mod bucket;
mod canary;
mod check;
pub mod hunt;
mod reach;
mod records;
mod rights;
mod role;

use std::sync::Arc;

use serde::Serialize;

use super::{
    Result,
    lock_proof::{LockProof, Prover},
};
use crate::{
    codec::seal::{Sealer, generate_identity},
    model::{Clock, Finding, LockBy, Name, Span, Time, VaultId},
    store::{Attempts, Deleter, ObjectStore, StoreErrorKind, s3::S3Store},
    vault::Vault,
};

pub use agent::check as check_agent;
pub use check::{Check, Status};
pub use records::keep_proof;
pub use role::Role;

/// How old a proof of the locks may be before it is worth a word.
const PROOF_AGE: Span = Span::days(90);
/// How far this host's clock and the store's may be apart.
const SKEW: Span = Span::seconds(300);

/// What is to be examined, and as whom.
pub struct DoctorRequest<'a> {
    /// The vault.
    pub vault: &'a Vault,
    /// Its bucket; `None` for a directory.
    pub bucket: Option<&'a S3Store>,
    /// The right to delete, tried where the role is to have it.
    pub deleter: &'a dyn Deleter,
    /// Whose credentials these are.
    pub role: Role,
    /// Under which name the role may put.
    pub member: Name,
    /// How long the configuration promises to keep, if it says so.
    pub keep: Option<Span>,
    /// This host's clock.
    pub clock: Arc<dyn Clock>,
    /// Whether a source of this configuration has a journal.
    pub journals: bool,
}

/// What was found.
#[derive(Debug, Serialize)]
pub struct DoctorReport {
    /// Whose credentials were tried.
    pub role: Role,
    /// The vault, as far as it was found.
    pub vault_id: Option<VaultId>,
    /// Where it is.
    pub url: Option<String>,
    /// What was tried, in order.
    pub checks: Vec<Check>,
    /// The proof of the locks that was made now, if the role may delete.
    pub lock_proof: Option<LockProof>,
    /// When the store was last proved to enforce its locks, by signed evidence.
    pub lock_proved_at: Option<Time>,
    /// What nobody can delete before, if it is stored now.
    pub locked_until: Option<Time>,
    /// How many full copies of unchanging data the locks imply.
    pub implied_copies: Option<f64>,
    /// Where the signed result was kept; nowhere without a key to sign with.
    pub evidence: Option<String>,
    /// What a hunt for keys found, if there was one.
    pub hunt: Option<hunt::HuntReport>,
}

impl DoctorReport {
    /// A report that holds nothing yet.
    #[must_use]
    pub fn new(role: Role, checks: Vec<Check>) -> Self {
        Self {
            role,
            vault_id: None,
            url: None,
            checks,
            lock_proof: None,
            lock_proved_at: None,
            locked_until: None,
            implied_copies: None,
            evidence: None,
            hunt: None,
        }
    }
}

/// What all parts of an examination work with.
struct Patient<'a> {
    vault: &'a Vault,
    store: &'a dyn ObjectStore,
    hostile: &'a dyn Attempts,
    role: Role,
    member: &'a Name,
    /// Now, by the store's clock.
    now: Time,
    /// Whether each put of a writer of this vault asks for its lock.
    explicit: bool,
    /// Whether the role is to put journals.
    journals: bool,
}

/// Examines a vault, and adds what it finds to `report`.
///
/// # Errors
/// If the store gives no time: then nothing can be judged. Everything else is a check.
pub async fn check(request: &DoctorRequest<'_>, report: &mut DoctorReport) -> Result<Vec<Finding>> {
    let (vault, store) = (request.vault, &*request.vault.store);
    let descriptor = &vault.descriptor;
    report.vault_id = Some(descriptor.vault);
    report.url = Some(store.url());
    report.checks.push(Check::ok("vault", format!("{} holds vault {}", store.url(), descriptor.vault)));
    let now = store.server_time().await?;
    report.checks.push(clock(now, request.clock.now(), store.traits().trusted_time));
    let mut findings = Vec::new();
    let explicit = descriptor.lock.by == LockBy::Explicit || store.traits().explicit_locks;
    let Some(bucket) = request.bucket else {
        directory(request, now, report).await;
        return Ok(findings);
    };
    let hostile = bucket.hostile();
    let patient = Patient {
        vault,
        store,
        hostile: &hostile,
        role: request.role,
        member: &request.member,
        now,
        explicit,
        journals: request.journals,
    };
    let default = bucket::check(&patient, bucket, request.keep, report).await;
    let version = canary::check(&patient, default, report).await;
    let others = rights::others(&patient, report).await;
    rights::check(&patient, version.as_ref(), &others, report).await;
    reach::check(&patient, &others, report, &mut findings).await;
    if request.role.may_delete() {
        let member = &request.member;
        let default =
            default.map(|lock| lock.until_at_least(now)).filter(|_| !(explicit && request.role == Role::Owner));
        prove(request, member, default, now, report).await;
    }
    records::check(&patient, report, &mut findings).await;
    Ok(findings)
}

/// Whether this host and the store agree about the time.
fn clock(store: Time, host: Time, trusted: bool) -> Check {
    let apart = Span::seconds(store.unix().abs_diff(host.unix()));
    let detail = format!("this host's clock and the store's are {apart} apart");
    if !trusted {
        Check::ok("clock", "a directory uses this host's clock, so times can't be checked (G5)")
    } else if apart > SKEW {
        Check::failed("clock", format!("{detail}; backups are refused beyond {SKEW}: set the clock"))
    } else {
        Check::ok("clock", detail)
    }
}

/// What there is to say of a vault that no store protects.
async fn directory(request: &DoctorRequest<'_>, now: Time, report: &mut DoctorReport) {
    report.locked_until = Some(request.vault.descriptor.lock.lock_from(now).until);
    report.implied_copies = Some(1.0);
    let detail = "a directory does not protect from root, or from users who may write to it; only strongroom itself keeps to its locks. Put it where production can't write";
    report.checks.push(Check::ok("directory", detail));
    prove(request, &request.member, None, now, report).await;
}

/// Proves that the store enforces its locks, by a role that may delete.
async fn prove(
    request: &DoctorRequest<'_>,
    member: &Name,
    default: Option<crate::model::Lock>,
    now: Time,
    report: &mut DoctorReport,
) {
    // Nobody needs to open a canary, so nobody can.
    let sealer = Sealer::new(vec![generate_identity().1]);
    let prover = Prover {
        store: &*request.vault.store,
        deleter: request.deleter,
        member,
        sealer: &sealer,
        mode: request.vault.descriptor.lock.mode,
        default,
        at: now,
    };
    match prover.prove().await {
        Ok(proof) => {
            let passed = proof.checks.iter().map(|check| Check::ok(check.name, check.detail.clone()));
            report.checks.extend(passed);
            report.lock_proof = Some(proof);
        }
        Err(super::OpsError::LockNotEnforced { check, detail, .. }) => {
            report.checks.push(Check::failed(check, format!("the store does not enforce its locks: {detail}")));
        }
        Err(super::OpsError::Store(error)) if error.kind == StoreErrorKind::Denied => {
            let detail = format!("the proof of the locks needs a right that this role lacks: {error}");
            report.checks.push(Check::could_not_run("lock-enforced", detail).must());
        }
        Err(error) => report.checks.push(Check::could_not_run("lock-enforced", error.to_string()).must()),
    }
}
