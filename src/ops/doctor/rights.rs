//! What the role may do to objects that are not its canaries, kind by kind: its own, those of every other member, and
//! what the vault's trust rests on. No lock of theirs is in the way: what is tried names a version that they don't have,
//! a condition that never holds, or a document that is none.

use std::collections::BTreeSet;

use super::{Check, DoctorReport, Patient, Status};
use crate::{
    format::layout::{self, ObjectName},
    model::{
        Hash, Key, Name, PackId, SnapshotId, Time,
        journal::{Line, Piece, Position, Span},
    },
    store::{Entry, StoreError, StoreErrorKind as Kind, Target, Through, Version},
};

/// How many certificates are looked through for the names of members.
const LOOK: usize = 10_000;
/// How many other members' prefixes are tried.
const OTHERS: usize = 200;

/// The other members of the vault: every name in `members/`, and one that nobody has.
pub(super) async fn others(patient: &Patient<'_>, report: &mut DoctorReport) -> Vec<Name> {
    let (mut names, mut seen) = (BTreeSet::new(), 0_usize);
    let mut take = |entry: Entry| {
        seen += 1;
        if seen <= LOOK
            && let Some(ObjectName::Certificate(name, ..)) = layout::parse(&entry.key)
            && name != *patient.member
        {
            names.insert(name);
        }
    };
    if let Err(error) = patient.store.list(layout::MEMBERS, &mut take).await {
        let detail = format!("the vault's members can't be listed, so their prefixes were not tried: {error}");
        report.checks.push(Check::could_not_run("members", detail).must());
    } else if seen > LOOK || names.len() > OTHERS {
        let detail = format!("{seen} objects below members/ name {} others, and {OTHERS} were tried", names.len());
        report.checks.push(Check::could_not_run("members", detail).must());
    }
    // A role that may put under names that don't exist yet is caught with one.
    let mut others: Vec<Name> = names.into_iter().take(OTHERS).collect();
    others.extend("somebody-else".parse());
    others
}

/// An object to try things on.
struct Subject {
    kind: &'static str,
    key: Key,
    /// Whether there is such an object.
    there: bool,
    own: bool,
}

/// Tries everything.
pub(super) async fn check(patient: &Patient<'_>, canary: Option<&Version>, others: &[Name], report: &mut DoctorReport) {
    let version = match canary {
        Some(version) => version.clone(),
        None => Version::new("null"),
    };
    let absence = tells_absence(patient).await;
    for subject in subjects(patient).await {
        let mut checks = tried(patient, &subject, canary, &version).await;
        for check in &mut checks {
            unless_absent(check, subject.there, absence);
        }
        report.checks.extend(checks);
    }
    for kind in [layout::PACKS, layout::SNAPSHOTS] {
        let mut worst: Vec<Check> = Vec::new();
        for name in others {
            let subject = of_other(patient, kind, name).await;
            let mut checks = tried(patient, &subject, None, &version).await;
            for check in &mut checks {
                unless_absent(check, subject.there, absence);
                if check.status != Status::Refused {
                    check.detail = format!("{name}: {}", check.detail);
                }
            }
            worst = merged(worst, checks);
        }
        report.checks.extend(worst);
    }
}

/// Of two rounds of the same checks the worse of each.
pub(super) fn merged(before: Vec<Check>, now: Vec<Check>) -> Vec<Check> {
    if before.is_empty() {
        return now;
    }
    let rank = |check: &Check| match check.status {
        Status::Allowed | Status::Failed => 2,
        Status::CouldNotRun => 1,
        Status::Ok | Status::Refused => 0,
    };
    before.into_iter().zip(now).map(|(a, b)| if rank(&b) > rank(&a) { b } else { a }).collect()
}

/// Some servers say that an object is not there before they ask who wants to know: Ceph does, to whoever may list. There
/// an object that is not there tells nothing.
pub(super) async fn tells_absence(patient: &Patient<'_>) -> bool {
    let Ok(Some(real)) = patient.hostile.peek_list(layout::KEYS).await else { return false };
    let Ok(real) = real.parse::<Key>() else { return false };
    let absent = layout::root_record(&Hash::from_bytes([0; 32]));
    let refused = patient.hostile.spoil(Target::Hold(&real, None)).await;
    let missing = patient.hostile.spoil(Target::Hold(&absent, None)).await;
    matches!((refused, missing), (Err(StoreError { kind: Kind::Denied, .. }), Ok(Through::Stopped(error))) if error.is_not_found())
}

/// Every check must be able to run, but where such a server has nothing that it could be tried on.
pub(super) fn unless_absent(check: &mut Check, there: bool, absence: bool) {
    check.must = true;
    // Which versions there are, a role that may not list them can't know.
    let of_version = check.name.ends_with("-version") && check.name.starts_with("read-");
    if check.status == Status::Allowed && absence && (of_version || !there) {
        let detail = format!(
            "what was asked for is not there, and this server says so before it asks who wants to know ({})",
            check.detail
        );
        *check = Check::could_not_run(check.name.clone(), detail);
    }
}

/// What of the vault is tried, real objects where there are any.
async fn subjects(patient: &Patient<'_>) -> Vec<Subject> {
    let (own, nothing) = (patient.member, Hash::from_bytes([0; 32]));
    let at = Time::from_unix(0);
    let mut subjects = Vec::new();
    for (kind, prefix, else_key, own) in [
        ("pack", layout::own(layout::PACKS, own), layout::pack(own, &PackId::from_bytes([0; 32])), true),
        ("index", layout::own(layout::INDEXES, own), layout::index(own, &nothing), true),
        ("list", layout::own(layout::LISTS, own), layout::page(own, &nothing), true),
        ("snapshot", layout::own(layout::SNAPSHOTS, own), nowhere(own), true),
        ("journal", layout::own(layout::JOURNALS, own), piece(own), true),
        ("evidence", layout::EVIDENCE.to_owned(), layout::evidence(own, at, &nothing), false),
        ("hold", layout::HOLDS.to_owned(), layout::hold(own, at, &nothing), false),
        ("release", layout::RELEASES.to_owned(), layout::release(own, at, &nothing), false),
        ("approvers", layout::APPROVERS.to_owned(), layout::approvers(9999, &nothing), false),
        ("approval", layout::APPROVALS.to_owned(), layout::spent(&nothing), false),
        ("key", layout::KEYS.to_owned(), layout::root_record(&nothing), false),
        ("member", layout::MEMBERS.to_owned(), layout::certificate(own, 9999, &nothing), false),
        ("vault-json", layout::DESCRIPTOR.to_owned(), layout::descriptor(), false),
    ] {
        subjects.push(subject(patient, kind, &prefix, else_key, own).await);
    }
    subjects
}

fn nowhere(member: &Name) -> Key {
    layout::header(member, 9_999_999_999, &SnapshotId::from_bytes([0; 32]))
}

/// A piece of a journal that nobody has.
pub(super) fn piece(member: &Name) -> Key {
    let (from, to) = (Position(u64::MAX - 1), Position(u64::MAX));
    let (line, hash) = (Line::postgres(0, 0), Hash::from_bytes([0; 32]));
    layout::piece(&Piece { writer: member.clone(), source: member.clone(), line, span: Span { from, to }, hash })
}

async fn of_other(patient: &Patient<'_>, kind: &str, name: &Name) -> Subject {
    let (kind, else_key) = match kind {
        layout::PACKS => ("other-pack", layout::pack(name, &PackId::from_bytes([0; 32]))),
        _ => ("other-snapshot", nowhere(name)),
    };
    let prefix = layout::own(if kind == "other-pack" { layout::PACKS } else { layout::SNAPSHOTS }, name);
    subject(patient, kind, &prefix, else_key, false).await
}

async fn subject(patient: &Patient<'_>, kind: &'static str, prefix: &str, else_key: Key, own: bool) -> Subject {
    let first = patient.hostile.peek_list(prefix).await.ok().flatten().and_then(|key| key.parse().ok());
    let there = first.is_some();
    Subject { kind, key: first.unwrap_or(else_key), there, own }
}

/// Everything that may be tried on one object.
async fn tried(patient: &Patient<'_>, subject: &Subject, canary: Option<&Version>, version: &Version) -> Vec<Check> {
    let Subject { kind, key, own, .. } = subject;
    let (role, hostile) = (patient.role, patient.hostile);
    let mut checks = Vec::new();
    if !role.may_delete() {
        // The version is a canary's, or that of a bucket without versions: no object of the vault has it.
        let harmless = canary.is_some() || !subject.there;
        let absent = absent_like(kind, patient.member, key);
        let on = if harmless { key } else { &absent };
        let answer = hostile.destroy(on, version, false).await;
        checks.push(Check::attempt(format!("delete-{kind}"), "s3:DeleteObjectVersion", answer));
        if *kind != "vault-json" {
            checks.push(hidden(patient, kind, &absent).await);
        }
    }
    // Where nothing is locked by default, whoever leaves evidence locks it.
    let locks_own = patient.explicit
        && (*kind == "evidence" && role.leaves_evidence() || *kind == "approval" && role == super::Role::Pruner);
    let may_lock = role.may_lock(patient.explicit) && (*own || role != super::Role::Writer);
    if !may_lock && !locks_own {
        let answer = hostile.spoil(Target::Lock(key, None)).await;
        checks.push(Check::through(format!("lock-{kind}"), "s3:PutObjectRetention", answer));
    }
    if !role.may_everything() {
        let answer = hostile.spoil(Target::Hold(key, None)).await;
        checks.push(Check::through(format!("hold-{kind}"), "s3:PutObjectLegalHold", answer));
        let answer = hostile.spoil(Target::Acl(key)).await;
        checks.push(Check::through(format!("acl-{kind}"), "s3:PutObjectAcl", answer));
    }
    if !role.may_read() && matches!(*kind, "pack" | "key" | "journal" | "other-pack") {
        let answer = hostile.peek(key, Some(version)).await;
        checks.push(Check::attempt(format!("read-{kind}-version"), "s3:GetObjectVersion", answer));
    }
    checks
}

/// A name of the same kind that nothing has: a delete marker there hides nothing.
fn absent_like(kind: &str, own: &Name, key: &Key) -> Key {
    let nothing = Hash::from_bytes([0; 32]);
    let owner = layout::parse(key.as_str());
    match kind {
        "pack" => layout::pack(own, &PackId::from_bytes([0; 32])),
        "index" => layout::index(own, &nothing),
        "list" => layout::page(own, &nothing),
        "snapshot" => nowhere(own),
        "journal" => piece(own),
        "evidence" => layout::evidence(own, Time::from_unix(0), &nothing),
        "hold" => layout::hold(own, Time::from_unix(0), &nothing),
        "release" => layout::release(own, Time::from_unix(0), &nothing),
        "approvers" => layout::approvers(9999, &nothing),
        "approval" => layout::spent(&nothing),
        "member" => layout::certificate(own, 9999, &nothing),
        "other-pack" => match owner {
            Some(ObjectName::Pack(name, _)) => layout::pack(&name, &PackId::from_bytes([0; 32])),
            _ => key.clone(),
        },
        "other-snapshot" => match owner {
            Some(ObjectName::Header(name, ..)) => nowhere(&name),
            _ => key.clone(),
        },
        _ => layout::root_record(&nothing),
    }
}

/// A delete without a version, on a condition that never holds. A store that knows no such condition leaves a delete
/// marker on a name that nothing has, which is taken away again.
async fn hidden(patient: &Patient<'_>, kind: &str, key: &Key) -> Check {
    let name = format!("hide-{kind}");
    match patient.hostile.hide_never(key).await {
        Ok(None) => Check::allowed(
            name,
            "the role was let through, and only a condition stopped it; take s3:DeleteObject away from it",
        ),
        Ok(Some(marker)) => {
            let gone = patient.hostile.destroy(key, &marker, false).await.is_ok();
            let left = if gone { "" } else { ", which it can't take away again: it hides nothing" };
            Check::allowed(
                name,
                format!(
                    "a delete marker was made on {key}, where nothing is{left}; take s3:DeleteObject away from this role"
                ),
            )
        }
        Err(error) => Check::attempt::<()>(name, "s3:DeleteObject", Err(error)),
    }
}
