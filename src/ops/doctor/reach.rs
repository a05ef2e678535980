//! What the credentials reach beyond their own part of the vault.

use super::{Check, DoctorReport, Patient};
use crate::{
    format::layout::{self, ObjectName},
    model::{Hash, Key, Name, PackId, SnapshotId, Time},
    store::{Entry, Setting, StoreErrorKind as Kind},
};

/// How much of a prefix is looked through for something to try.
const LOOK: usize = 10_000;

/// Tries to read, to list, to put elsewhere, and to set what belongs to the bucket.
pub(super) async fn examine(patient: &Patient<'_>, report: &mut DoctorReport) {
    if !patient.role.may_read() {
        read(patient, report).await;
        let answer = patient.intruder.peek_versions("").await;
        report.checks.push(Check::attempt("list-versions", "s3:ListBucketVersions", answer).must());
    }
    if patient.role.may_everything() {
        return;
    }
    if patient.role.has_canaries() {
        report.checks.push(control(patient).await.must());
    }
    elsewhere(patient, report).await;
    for setting in Setting::ALL {
        let name = match setting {
            Setting::Versioning => "set-versioning",
            Setting::ObjectLock => "set-object-lock",
            Setting::Policy => "set-policy",
            Setting::Lifecycle => "set-lifecycle",
        };
        let check = Check::attempt(name, setting.permission(), patient.intruder.rewrite(setting).await);
        // What can't be read or is not there can't be set to what it is.
        let must = matches!(setting, Setting::Versioning | Setting::ObjectLock);
        report.checks.push(if must { check.must() } else { check });
    }
}

/// Packs and keys, real ones where the vault has them.
async fn read(patient: &Patient<'_>, report: &mut DoctorReport) {
    let own = layout::own(layout::PACKS, patient.member);
    let nothing = Hash::from_bytes([0; 32]);
    let other = other(patient).await;
    for (name, prefix, else_try) in [
        ("read-pack", own.clone(), layout::pack(patient.member, &PackId::from_bytes([0; 32]))),
        ("read-other-pack", layout::own(layout::PACKS, &other), layout::pack(&other, &PackId::from_bytes([0; 32]))),
        ("read-key", layout::KEYS.to_owned(), layout::root_record(&nothing)),
    ] {
        let (key, real) = match first(patient, &prefix).await {
            Some(key) => (key, true),
            None => (else_try, false),
        };
        let answer = patient.intruder.peek(&key).await;
        let mut check = Check::attempt(name, "s3:GetObject", answer);
        if !real {
            check.detail =
                format!("{} (nothing is stored there yet, so a name was tried that is not there)", check.detail);
        }
        report.checks.push(check.must());
    }
}

/// The first object below `prefix`, if the role may list.
async fn first(patient: &Patient<'_>, prefix: &str) -> Option<Key> {
    let mut found = None;
    let mut take = |entry: Entry| {
        if found.is_none() {
            found = entry.key.parse::<Key>().ok();
        }
    };
    let _ = patient.store.list(prefix, &mut take).await;
    found
}

/// Another member's name: a real one where there is one.
async fn other(patient: &Patient<'_>) -> Name {
    let (mut found, mut seen) = (None, 0_usize);
    let mut take = |entry: Entry| {
        seen += 1;
        if seen < LOOK
            && found.is_none()
            && let Some(ObjectName::Certificate(name, ..)) = layout::parse(&entry.key)
            && name != *patient.member
        {
            found = Some(name);
        }
    };
    let _ = patient.store.list(layout::MEMBERS, &mut take).await;
    found.or_else(|| "somebody-else".parse().ok()).unwrap_or_else(|| patient.member.clone())
}

/// The same put where the role may put. Unless it is let through there, and comes to nothing, being refused elsewhere
/// says nothing.
async fn control(patient: &Patient<'_>) -> Check {
    const NAME: &str = "wrong-checksum";
    let key = layout::canary(patient.member, patient.now, "never");
    match patient.intruder.put_broken(&key, None).await {
        Ok(()) => match first(patient, key.as_str()).await {
            None => Check::ok(NAME, "a put with a wrong checksum came to nothing, so the same elsewhere harms nothing"),
            Some(_) => Check::failed(
                NAME,
                format!(
                    "the store took {key} with a wrong checksum: damage on the way is not \
                                                    noticed"
                ),
            ),
        },
        Err(error) => {
            let detail = format!(
                "where this role may put, a put with a wrong checksum is not told as one, so what is \
                                  refused elsewhere proves nothing: {error}"
            );
            Check::could_not_run(NAME, detail)
        }
    }
}

/// Puts that nothing can come of, wherever this role has no business.
async fn elsewhere(patient: &Patient<'_>, report: &mut DoctorReport) {
    let nothing = Hash::from_bytes([0; 32]);
    let other = other(patient).await;
    let at = Time::from_unix(0);
    let mut targets = vec![
        ("put-vault-json", layout::descriptor()),
        ("put-key", layout::root_record(&nothing)),
        ("put-member", layout::certificate(&other, 9999, &nothing)),
        ("put-other-evidence", layout::evidence(&other, at, &nothing)),
        ("put-other-pack", layout::pack(&other, &PackId::from_bytes([0; 32]))),
        ("put-other-index", layout::index(&other, &nothing)),
        ("put-other-list", layout::page(&other, &nothing)),
        ("put-other-snapshot", layout::header(&other, 9_999_999_999, &SnapshotId::from_bytes([0; 32]))),
        ("put-other-canary", layout::canary(&other, at, "doctor")),
    ];
    if patient.role != super::Role::Writer {
        let own = patient.member;
        targets.push(("put-pack", layout::pack(own, &PackId::from_bytes([0; 32]))));
        targets.push(("put-snapshot", layout::header(own, 9_999_999_999, &SnapshotId::from_bytes([0; 32]))));
    }
    for (name, key) in targets {
        let answer = patient.intruder.put_broken(&key, None).await;
        let check = match answer {
            // The store looked for the bytes' checksum before it asked who sends them.
            Err(error) if error.kind == Kind::Invalid => Check::could_not_run(name, error.to_string()),
            answer => Check::attempt(name, &format!("s3:PutObject on {key}"), answer),
        };
        report.checks.push(check.must());
    }
}
