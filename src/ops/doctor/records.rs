//! What signed evidence says of the past: when the locks were last proved, and when a restore was last drilled.

use super::{Check, DoctorReport, PROOF_AGE, Patient};
use crate::{
    codec::seal::Opener,
    format::{evidence::EvidenceKind, member_key::Member},
    model::{Finding, Severity, Span},
    ops::{
        OpsError, Result,
        evidence::{self, Draft, Signer},
    },
    vault::Vault,
};

/// Looks for the newest records.
pub(super) async fn check(patient: &Patient<'_>, report: &mut DoctorReport, findings: &mut Vec<Finding>) {
    const NAME: &str = "lock-proof";
    let (records, foreign) = match evidence::list(patient.vault, None).await {
        Ok(listed) => listed,
        Err(error) => {
            report.checks.push(Check::could_not_run(NAME, error.to_string()).must());
            return;
        }
    };
    // That a writer may not list versions is as it should be, and no warning.
    findings.extend(foreign.into_iter().filter(|finding| finding.code != "versions.unlisted"));
    // What a revoked member signed proves nothing.
    let good = records.iter().filter(|signed| !signed.suspect).map(|signed| &signed.evidence);
    let newest = |kind| good.clone().filter(|record| record.kind == kind).max_by_key(|record| record.at);
    report.checks.push(match newest(EvidenceKind::LockProof) {
        None => Check::failed(
            NAME,
            "no signed record says that this store enforces its locks: run doctor with the pruner's credentials",
        ),
        Some(proof) => {
            let age = Span::seconds(patient.now.unix().abs_diff(proof.at.unix()));
            report.lock_proved_at = Some(proof.at);
            if age > PROOF_AGE {
                let what = format!(
                    "the last proof that the store enforces its locks is {age} old: run doctor with the \
                                    pruner's credentials"
                );
                findings.push(Finding::new(Severity::Warning, "lock-proof.old", what));
            }
            let detail =
                format!("{} proved {age} ago, at {}, that the store enforces its locks", proof.member, proof.at);
            Check::ok(NAME, detail)
        }
    });
    let drilled = newest(EvidenceKind::Drill).map(|record| record.at);
    let third = Span::seconds(patient.vault.descriptor.lock.keep.as_seconds() / 3);
    let what = match drilled {
        None => {
            format!("no drill is on record: only a restore shows that a backup is good. Drill every {third} at most")
        }
        Some(at) if patient.now > at + third => {
            format!(
                "the last drill was at {at}: a third of keep is {third}, and a writer that was taken over should be \
                     found out before the good snapshots end"
            )
        }
        Some(_) => return,
    };
    let code = if drilled.is_none() { "drill.none" } else { "drill.overdue" };
    findings.push(Finding::new(Severity::Warning, code, what));
}

/// Signs the proof that was made now, and keeps it in the vault. Without a key that may sign it, says so.
///
/// # Errors
/// If the member's key is of another vault, or the vault can't be read.
pub async fn keep_proof(
    vault: &Vault,
    member: Option<Member>,
    identity: Option<&Opener>,
    report: &mut DoctorReport,
) -> Result<Option<Finding>> {
    let Some(proof) = &report.lock_proof else { return Ok(None) };
    let (signer, unsigned) = Signer::find(vault, EvidenceKind::LockProof, member, identity).await?;
    let Some(signer) = signer else { return Ok(unsigned) };
    let result = serde_json::to_value(proof).map_err(|_| OpsError::Defect("the encoding of the lock proof"))?;
    let draft = Draft { kind: EvidenceKind::LockProof, snapshots: Vec::new(), at: proof.at, result };
    match signer.leave(vault, draft).await {
        Ok(left) => {
            (report.lock_proved_at, report.evidence) = (Some(proof.at), Some(left.key));
            Ok(None)
        }
        Err(error) => Ok(Some(evidence::unstored(&error))),
    }
}
