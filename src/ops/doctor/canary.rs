//! What is tried on a canary of one's own.

use super::{Check, DoctorReport, Patient, Role, bucket::Default};
use crate::{
    codec::{
        hash,
        seal::{Sealer, generate_identity},
    },
    format::layout,
    model::{Key, Lock, LockMode, Span},
    store::{Payload, Put, StoreErrorKind as Kind, Target, Version},
};

/// How long a canary is locked, where that can be chosen.
const CANARY: Span = Span::days(1);

/// A canary that was put, locked, and is watched.
struct Canary {
    key: Key,
    version: Version,
    lock: Lock,
}

/// Tries everything that needs an object; returns the version of the canary, which no other object has.
pub(super) async fn check(
    patient: &Patient<'_>,
    default: Option<Default>,
    report: &mut DoctorReport,
) -> Option<Version> {
    let canary = if patient.role.has_canaries() { put(patient, default, report).await } else { None };
    if let Some(canary) = &canary {
        locks(patient, canary, report).await;
        destroy(patient, canary, report).await;
        survives(patient, canary, report).await;
    }
    canary.map(|canary| canary.version)
}

async fn put(patient: &Patient<'_>, default: Option<Default>, report: &mut DoctorReport) -> Option<Canary> {
    // Nobody needs to open a canary, so nobody can.
    let sealed = match Sealer::new(vec![generate_identity().1]).seal(b"strongroom canary") {
        Ok(sealed) => sealed,
        Err(error) => {
            report.checks.push(Check::could_not_run("canary", error.to_string()).must());
            return None;
        }
    };
    let random = hash::hash(sealed.bytes()).to_string();
    let key = layout::canary(patient.member, patient.now, &random);
    let mode = patient.vault.descriptor.lock.mode;
    let lock = Lock { mode, until: patient.now + CANARY };
    let locks = patient.role.may_lock(true) || (patient.role == Role::Pruner && default.is_none());
    let asked = (patient.explicit && locks).then_some(lock);
    let could_not = |detail: String| Some(Check::could_not_run("canary", detail).must());
    let mut version = None;
    let failure = match patient.store.put_new(&key, &Payload::Sealed(sealed), asked).await {
        Ok(Put::Created { version: Some(created) }) => {
            version = Some(created);
            None
        }
        Ok(Put::Created { version: None }) => {
            Some(Check::failed("canary", "the store gave the canary no version, so what is there can be replaced"))
        }
        Ok(Put::AlreadyThere) => could_not(format!("the store says that the random name {key} is taken")),
        Err(error) if error.kind == Kind::Unsupported => Some(Check::failed("canary-locked", error.to_string())),
        Err(error) => could_not(error.to_string()),
    };
    if let Some(check) = failure {
        report.checks.push(check);
        return None;
    }
    let version = version?;
    report.checks.push(Check::ok("canary", format!("{key} was put")));
    let wanted = match (asked, default) {
        (Some(lock), _) => lock,
        (None, Some(default)) => default.until_at_least(patient.now),
        // A role that may set no locks, in a bucket that sets none, has nothing to try on.
        (None, None) => Lock { mode, until: patient.now + Span::seconds(1) },
    };
    match patient.store.lock_of(&key, Some(&version)).await {
        Ok(Some(lock)) if lock.mode.covers(wanted.mode) && lock.until >= wanted.until => {
            let detail = format!("it has a {} lock until {}", lock.mode.as_str(), lock.until);
            report.checks.push(Check::ok("canary-locked", detail));
            return Some(Canary { key, version, lock });
        }
        Ok(None) if patient.explicit && asked.is_none() => {
            let detail = "in a vault whose writers set their locks, this role gets none for its canary";
            report.checks.push(Check::could_not_run("canary-locked", detail));
        }
        Ok(has) => {
            let has =
                has.map_or_else(|| "no lock".to_owned(), |l| format!("a {} lock until {}", l.mode.as_str(), l.until));
            let detail = format!("it has {has}, not {} until {} at least", wanted.mode.as_str(), wanted.until);
            report.checks.push(Check::failed("canary-locked", detail));
        }
        Err(error) => report.checks.push(Check::could_not_run("canary-locked", error.to_string()).must()),
    }
    None
}

/// Lesser locks, which must not apply whatever the store answers.
async fn locks(patient: &Patient<'_>, canary: &Canary, report: &mut DoctorReport) {
    let Canary { key, version, lock } = canary;
    let soon = Lock { until: patient.now + Span::seconds(60), ..*lock };
    let weaker = Lock { mode: LockMode::Governance, ..*lock };
    let mut tries = vec![("shorten", soon, false), ("bypass-retention", soon, true)];
    if lock.mode == LockMode::Compliance {
        tries.push(("downgrade", weaker, false));
    }
    for (name, asked, bypass) in tries {
        let permission = if bypass { "s3:BypassGovernanceRetention" } else { "s3:PutObjectRetention" };
        let answer = patient.hostile.set_lock(key, version, asked, bypass).await;
        let check = match (patient.store.lock_of(key, Some(version)).await, answer) {
            (Ok(Some(has)), answer) if has.mode.covers(lock.mode) && has.until >= lock.until => match answer {
                Ok(()) => Check::refused(name, "the store said that it is done, and the lock is as it was"),
                // Stores say in many ways that a lock is one.
                Err(error) if matches!(error.kind, Kind::Denied | Kind::Locked | Kind::Invalid) => {
                    Check::refused(name, format!("by the role or by the lock: {}", error.what))
                }
                Err(error) => Check::could_not_run(name, error.to_string()),
            },
            (Ok(has), _) => {
                let has = has.map_or_else(|| "none".to_owned(), |l| format!("{} until {}", l.mode.as_str(), l.until));
                let detail = format!("the canary's lock is {has} now; take {permission} away from this role");
                Check::allowed(name, detail)
            }
            (Err(error), _) => Check::could_not_run(name, format!("the lock could not be read back: {error}")),
        };
        report.checks.push(check.must());
    }
    if !patient.role.may_everything() {
        let answer = patient.hostile.spoil(Target::Hold(key, Some(version))).await;
        report.checks.push(Check::through("legal-hold", "s3:PutObjectLegalHold", answer).must());
    }
}

/// What would take the canary away.
async fn destroy(patient: &Patient<'_>, canary: &Canary, report: &mut DoctorReport) {
    let Canary { key, version, .. } = canary;
    report.checks.push(overwrite(patient, canary).await.must());
    if !patient.role.may_delete() {
        let answer = patient.hostile.hide(key).await;
        if let Ok(marker) = &answer {
            // Who may hide may mostly also uncover; if not, a canary stays hidden.
            let _ = patient.hostile.destroy(key, marker, false).await;
        }
        report.checks.push(Check::attempt("delete-marker", "s3:DeleteObject", answer).must());
    }
    for (name, bypass) in [("delete-version", false), ("bypass-delete", true)] {
        let permission = if bypass { "s3:BypassGovernanceRetention" } else { "s3:DeleteObjectVersion" };
        let answer = patient.hostile.destroy(key, version, bypass).await;
        let there = patient.store.lock_of(key, Some(version)).await;
        let check = match (answer, there) {
            (Ok(()), Ok(Some(_))) => {
                Check::refused(name, "the store said that it is done, and the canary is still there")
            }
            (Ok(()), _) => {
                Check::allowed(name, format!("the locked canary was deleted; take {permission} away from this role"))
            }
            (Err(error), Ok(Some(_))) if matches!(error.kind, Kind::Denied | Kind::Locked | Kind::Invalid) => {
                Check::refused(name, format!("by the role or by the lock: {}", error.what))
            }
            (Err(error), _) => Check::could_not_run(name, error.to_string()),
        };
        report.checks.push(check.must());
    }
}

/// A newer version on top is no harm while the locked one stays; only a store can be told to take none.
async fn overwrite(patient: &Patient<'_>, canary: &Canary) -> Check {
    const NAME: &str = "overwrite";
    let answer = patient.hostile.overwrite(&canary.key, b"strongroom doctor\n".as_slice().into()).await;
    let there = patient.store.lock_of(&canary.key, Some(&canary.version)).await;
    match (answer, there) {
        (Ok(version), Ok(Some(lock))) if version != canary.version && lock.until >= canary.lock.until => Check::ok(
            NAME,
            "a newer version was put on top, and the locked one is still there with its lock. A bucket policy that wants \
             s3:if-none-match would refuse it",
        ),
        (Ok(_), _) => Check::allowed(NAME, "the canary was replaced: the bucket must keep versions"),
        (Err(error), _) if error.kind == Kind::Unsupported => Check::allowed(NAME, error.to_string()),
        (Err(error), _) => Check::attempt::<()>(NAME, "s3:PutObject", Err(error)),
    }
}

/// The canary must be there at the end as it was at the start. It also shows that the credentials were good throughout.
async fn survives(patient: &Patient<'_>, canary: &Canary, report: &mut DoctorReport) {
    const NAME: &str = "canary-survives";
    let check = match patient.store.lock_of(&canary.key, Some(&canary.version)).await {
        Ok(Some(lock)) if lock.mode.covers(canary.lock.mode) && lock.until >= canary.lock.until => {
            Check::ok(NAME, format!("{} is locked as it was", canary.key))
        }
        Ok(_) => Check::failed(NAME, format!("{} is not locked any more as it was", canary.key)),
        Err(error) if error.is_not_found() => Check::failed(NAME, format!("{} is gone", canary.key)),
        Err(error) => Check::could_not_run(NAME, error.to_string()).must(),
    };
    report.checks.push(check);
}
