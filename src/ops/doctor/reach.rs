//! What the credentials reach beyond their own part of the vault.

use super::{
    Check, DoctorReport, Patient, Role, Status,
    rights::{merged, piece, tells_absence, unless_absent},
};
use crate::{
    format::layout,
    model::{Finding, Hash, Key, Lock, Name, PackId, Severity, SnapshotId, Span, Time},
    store::{Checksum, Setting, StoreError, StoreErrorKind as Kind, Target, Through},
};

/// How far beyond the policy's longest lock is tried.
const BEYOND: Span = Span::days(2);

/// How puts elsewhere can be tried without anything coming of them.
#[derive(Debug, Clone, Copy)]
enum Harmless {
    /// Damaged in a way that this server was just seen to refuse.
    Damaged(Checksum),
    /// As parts of uploads that nobody began, by a role that may put no canary to find out more.
    Part,
    /// Not at all.
    No,
}

/// Tries to read, to list, to put elsewhere, and to set what belongs to the bucket.
pub(super) async fn check(
    patient: &Patient<'_>,
    others: &[Name],
    report: &mut DoctorReport,
    findings: &mut Vec<Finding>,
) {
    if !patient.role.may_read() {
        read(patient, others, report).await;
        let answer = patient.hostile.peek_versions("").await;
        report.checks.push(Check::attempt("list-versions", "s3:ListBucketVersions", answer).must());
    }
    if patient.role.may_everything() {
        return;
    }
    let harmless = control(patient, report).await;
    elsewhere(patient, others, harmless, report).await;
    if patient.role == Role::Writer {
        report.checks.push(own_journal(patient, harmless).await);
    }
    beyond_cap(patient, harmless, report, findings).await;
    for setting in Setting::ALL {
        let check = set(patient, setting).await;
        // Few servers but AWS have all of them, and some take what they don't know for something else.
        report.checks.push(if setting.is_common() { check.must() } else { check });
    }
}

/// Whether the role may set something of the bucket.
async fn set(patient: &Patient<'_>, setting: Setting) -> Check {
    let name = match setting {
        Setting::Versioning => "set-versioning",
        Setting::ObjectLock => "set-object-lock",
        Setting::Policy => "set-policy",
        Setting::Lifecycle => "set-lifecycle",
        Setting::Acl => "set-acl",
        Setting::Ownership => "set-ownership",
        Setting::PublicAccess => "set-public-access",
        Setting::Replication => "set-replication",
        Setting::Encryption => "set-encryption",
    };
    let answer = patient.hostile.spoil(Target::Bucket(setting)).await;
    // Where the server reads the document before it asks who sends it, what can be read can be put back as it is.
    if answer.as_ref().is_err_and(|error| error.kind == Kind::Invalid) {
        match patient.hostile.rewrite(setting).await {
            Err(error) if error.kind == Kind::Unsupported => {}
            rewritten => return Check::attempt(name, setting.permission(), rewritten),
        }
    }
    Check::through(name, setting.permission(), answer)
}

/// Packs and keys, real ones where the vault has them.
async fn read(patient: &Patient<'_>, others: &[Name], report: &mut DoctorReport) {
    let nothing = PackId::from_bytes([0; 32]);
    let own = (layout::own(layout::PACKS, patient.member), layout::pack(patient.member, &nothing));
    let absence = tells_absence(patient).await;
    report.checks.push(reads(patient, "read-pack", own, absence).await);
    let mut worst = Vec::new();
    for name in others {
        let other = (layout::own(layout::PACKS, name), layout::pack(name, &nothing));
        worst = merged(worst, vec![reads(patient, "read-other-pack", other, absence).await]);
    }
    report.checks.extend(worst);
    let key = (layout::KEYS.to_owned(), layout::root_record(&Hash::from_bytes([0; 32])));
    report.checks.push(reads(patient, "read-key", key, absence).await);
}

async fn reads(patient: &Patient<'_>, name: &'static str, (prefix, else_try): (String, Key), absence: bool) -> Check {
    let first = patient.hostile.peek_list(&prefix).await.ok().flatten().and_then(|key| key.parse::<Key>().ok());
    let real = first.is_some();
    let key = first.unwrap_or(else_try);
    let mut check = Check::attempt(name, "s3:GetObject", patient.hostile.peek(&key, None).await);
    if !real {
        check.detail = format!("{} (nothing is stored there yet, so a name was tried that is not there)", check.detail);
    }
    unless_absent(&mut check, real, absence);
    check
}

/// A damaged put where the role may put. Unless the server notices the damage there, the same elsewhere is no trial but
/// an attack.
async fn control(patient: &Patient<'_>, report: &mut DoctorReport) -> Harmless {
    const NAME: &str = "wrong-checksum";
    let own = patient.role.has_canaries();
    let configured = patient.hostile.verified_by();
    let ways = std::iter::once(configured).chain(Checksum::ALL.into_iter().filter(|way| *way != configured));
    let mut taken = Vec::new();
    for way in ways {
        let key = layout::canary(patient.member, patient.now, &format!("never-{way}"));
        match damaged(patient, &key, way).await {
            Ok(true) => {
                let check = if taken.is_empty() {
                    let detail = format!(
                        "a put with a wrong checksum ({way}) came to nothing, so the same elsewhere harms nothing"
                    );
                    Check::ok(NAME, detail)
                } else {
                    let detail = format!(
                        "the store took {} with a wrong checksum ({configured}): damage on the way is not noticed. It does \
                         verify {way}: set checksum = \"{way}\" in [vault]",
                        taken.join(", ")
                    );
                    Check::failed(NAME, detail)
                };
                report.checks.push(check.must());
                if !own {
                    let detail = "this role may put canaries, and needs none; take s3:PutObject away from it";
                    report.checks.push(Check::allowed("put-canary", detail));
                }
                return Harmless::Damaged(way);
            }
            Ok(false) => taken.push(key.to_string()),
            // A role that has no canaries is refused one, and that is as it should be.
            Err(error) if error.kind == Kind::Denied && !own => {
                report.checks.push(Check::refused("put-canary", error.what));
                return Harmless::Part;
            }
            Err(error)
                if matches!(error.kind, Kind::Invalid | Kind::Unsupported | Kind::Other) && way != configured => {}
            Err(error) => {
                let detail = format!(
                    "where this role may put, a put with a wrong checksum is not told as one, so nothing of the kind was \
                     tried elsewhere: {error}"
                );
                report.checks.push(Check::could_not_run(NAME, detail).must());
                return Harmless::No;
            }
        }
    }
    let detail = format!(
        "the store took {} with a wrong checksum, whatever it was sent along: damage on the way is not noticed, and \
         nothing of the kind was tried elsewhere",
        taken.join(", ")
    );
    report.checks.push(Check::failed(NAME, detail).must());
    Harmless::No
}

/// Whether a damaged put comes to nothing.
async fn damaged(patient: &Patient<'_>, key: &Key, way: Checksum) -> Result<bool, StoreError> {
    match patient.hostile.put_broken(key, None, way).await? {
        Through::Stopped(error) if error.kind == Kind::Corrupt => {
            Ok(patient.hostile.peek_list(key.as_str()).await?.is_none())
        }
        _ => Ok(false),
    }
}

/// Puts that nothing can come of, wherever this role has no business.
async fn elsewhere(patient: &Patient<'_>, others: &[Name], harmless: Harmless, report: &mut DoctorReport) {
    let nothing = Hash::from_bytes([0; 32]);
    let mut targets = vec![("put-vault-json", layout::descriptor()), ("put-key", layout::root_record(&nothing))];
    if patient.role != Role::Writer {
        let own = patient.member;
        targets.push(("put-pack", layout::pack(own, &PackId::from_bytes([0; 32]))));
        targets.push(("put-snapshot", layout::header(own, 9_999_999_999, &SnapshotId::from_bytes([0; 32]))));
    }
    targets.push(("put-approvers", layout::approvers(9999, &nothing)));
    if patient.role != Role::Keeper {
        targets.push(("put-hold", layout::hold(patient.member, Time::from_unix(0), &nothing)));
        targets.push(("put-release", layout::release(patient.member, Time::from_unix(0), &nothing)));
    }
    if !matches!(patient.role, Role::Keeper | Role::Pruner) {
        targets.push(("put-approval", layout::spent(&nothing)));
    }
    for (name, key) in targets {
        report.checks.push(put(patient, name, &key, harmless).await.must());
    }
    // Its own certificate is a member's as well.
    let mut worst = Vec::new();
    for name in others.iter().chain([patient.member]) {
        let key = layout::certificate(name, 9999, &nothing);
        worst = merged(worst, vec![put(patient, "put-member", &key, harmless).await]);
    }
    report.checks.extend(worst.into_iter().map(Check::must));
    let mut worst = Vec::new();
    for other in others {
        let mut checks = Vec::new();
        let at = Time::from_unix(0);
        for (name, key) in [
            ("put-other-evidence", layout::evidence(other, at, &nothing)),
            ("put-other-pack", layout::pack(other, &PackId::from_bytes([0; 32]))),
            ("put-other-index", layout::index(other, &nothing)),
            ("put-other-list", layout::page(other, &nothing)),
            ("put-other-journal", piece(other)),
            ("put-other-snapshot", layout::header(other, 9_999_999_999, &SnapshotId::from_bytes([0; 32]))),
            ("put-other-canary", layout::canary(other, at, "doctor")),
        ] {
            checks.push(put(patient, name, &key, harmless).await);
        }
        worst = merged(worst, checks);
    }
    report.checks.extend(worst.into_iter().map(Check::must));
}

async fn put(patient: &Patient<'_>, name: &'static str, key: &Key, harmless: Harmless) -> Check {
    let answer = match harmless {
        Harmless::Damaged(way) => patient.hostile.put_broken(key, None, way).await,
        Harmless::Part => patient.hostile.spoil(Target::Part(key)).await,
        Harmless::No => {
            let detail = "not tried: no form of it is known to be harmless on this server (see wrong-checksum)";
            return Check::could_not_run(name, detail);
        }
    };
    match answer {
        // The store looked for the bytes' checksum before it asked who sends them.
        Err(error) if matches!(error.kind, Kind::Invalid | Kind::Unsupported) => {
            Check::could_not_run(name, error.to_string())
        }
        answer => Check::through(name, &format!("s3:PutObject on {key}"), answer),
    }
}

/// Whether a writer may put pieces of journals, which a policy of before there were any does not say.
async fn own_journal(patient: &Patient<'_>, harmless: Harmless) -> Check {
    const NAME: &str = "put-journal";
    let key = piece(patient.member);
    let below = layout::own(layout::JOURNALS, patient.member);
    let check = match put(patient, NAME, &key, harmless).await {
        check if check.status == Status::Allowed => {
            Check::ok(NAME, format!("this role may put pieces of journals below {below}"))
        }
        check if check.status == Status::Refused => {
            let need = format!(
                "s3:PutObject and s3:GetObjectRetention on {below}* are missing, without which no journal can be written:                  `policy writer` prints the whole policy"
            );
            let told = format!("{} ({})", need, check.detail);
            // Whoever keeps no journal needs no right to.
            if patient.journals {
                Check::failed(NAME, told)
            } else {
                Check::could_not_run(NAME, format!("no source here has a journal; if one is to: {told}"))
            }
        }
        check => check,
    };
    if patient.journals { check.must() } else { check }
}

/// Whether a lock can be longer than the policy allows: nobody could take it back.
async fn beyond_cap(patient: &Patient<'_>, harmless: Harmless, report: &mut DoctorReport, findings: &mut Vec<Finding>) {
    const NAME: &str = "lock-beyond-cap";
    if patient.role != Role::Writer {
        return;
    }
    let policy = patient.vault.descriptor.lock;
    let lock = Lock { mode: policy.mode, until: patient.now + policy.max_lock + BEYOND };
    let key = layout::pack(patient.member, &PackId::from_bytes([0; 32]));
    // A lock beyond the cap that is taken after all stays for years.
    let Harmless::Damaged(way) = harmless else {
        let detail = "not tried: no form of it is known to be harmless on this server (see wrong-checksum)";
        report.checks.push(Check::could_not_run(NAME, detail).must());
        return;
    };
    let answer = patient.hostile.put_broken(&key, Some(lock), way).await;
    let mut check = Check::through(NAME, "s3:PutObjectRetention", answer).must();
    if check.status == Status::Allowed {
        let what = if patient.explicit {
            "the store lets the writer lock longer than the vault's policy allows: whoever has its credentials can store \
             what nobody can delete for decades, and what it costs. Where the store knows the condition \
             s3:object-lock-remaining-retention-days, cap it; else let the bucket's default retention lock (init \
             --lock-by bucket-default)"
        } else {
            "the writer may set locks, and in this vault it does not need to: take s3:PutObjectRetention away from it"
        };
        what.clone_into(&mut check.detail);
        findings.push(Finding::new(Severity::Weak, "cap.unenforced", what));
    }
    report.checks.push(check);
}
