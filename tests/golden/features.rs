//! Whatever the format can spell is in some golden vault. A codec, a role, a kind of source or of object that is new makes
//! these tests fail, or not compile, until `scripts/make-golden` has made a vault that has it.

use std::collections::BTreeSet;

use strongroom::{
    codec::Codec,
    format::{FORMAT, body::StreamRecord, certificate::Role, evidence::EvidenceKind},
    model::{LockBy, LockMode, SourceKind, Tier},
};

use crate::{
    met::{Met, lock_by, tier},
    vaults::{GOLDEN, Golden},
};

/// Every kind of object; `met::object` tells which one a name is.
const OBJECTS: [&str; 17] = [
    "canary",
    "certificate",
    "descriptor",
    "epoch record",
    "evidence",
    "header",
    "history of a timeline",
    "hold",
    "index",
    "list of approvers",
    "pack",
    "page",
    "piece of a journal",
    "record of a copy",
    "release of a hold",
    "root record",
    "used approval",
];

/// What else a reader must be able to read.
const OTHERS: [&str; 28] = [
    "base of a journal",
    "certificate of a later revision",
    "changes of refs",
    "details",
    "empty directory",
    "empty stream",
    "evidence about snapshots",
    "fingerprint with columns",
    "fingerprint with hashes",
    "fingerprint with samples",
    "first snapshot",
    "kept longer than the floor",
    "member's key file",
    "merged index",
    "mode",
    "path",
    "piece that names the one before it",
    "revoked writer",
    "segments of a repository",
    "several indexes",
    "snapshot that follows another",
    "suspect snapshot",
    "symbolic link",
    "time of change",
    "version of a pack in a page",
    "version of a pack in an index",
    "version of an object in a header",
    "writer's key file",
];

/// All values of a type, by a match that gives the one after each: without a new one it does not compile.
fn all<T: Copy>(after: impl Fn(Option<T>) -> Option<T>) -> Vec<T> {
    std::iter::successors(after(None), |one| after(Some(*one))).collect()
}

fn roles() -> Vec<Role> {
    all(|one| match one {
        None => Some(Role::Writer),
        Some(Role::Writer) => Some(Role::Driller),
        Some(Role::Driller) => Some(Role::Auditor),
        Some(Role::Auditor) => Some(Role::Pruner),
        Some(Role::Pruner) => Some(Role::Keeper),
        Some(Role::Keeper) => None,
    })
}

fn evidence() -> Vec<EvidenceKind> {
    all(|one| match one {
        None => Some(EvidenceKind::LockProof),
        Some(EvidenceKind::LockProof) => Some(EvidenceKind::Verification),
        Some(EvidenceKind::Verification) => Some(EvidenceKind::Drill),
        Some(EvidenceKind::Drill) => Some(EvidenceKind::Airgap),
        // An answer of `ready` is handed to whoever asks and never stored, so no vault holds one.
        Some(EvidenceKind::Airgap | EvidenceKind::Readiness) => None,
    })
}

fn tiers() -> Vec<Tier> {
    all(|one| match one {
        None => Some(Tier::Weekly),
        Some(Tier::Weekly) => Some(Tier::Monthly),
        Some(Tier::Monthly) => Some(Tier::Yearly),
        Some(Tier::Yearly) => None,
    })
}

fn kinds() -> Vec<SourceKind> {
    use SourceKind as K;
    all(|one| match one {
        None => Some(K::Stdin),
        Some(K::Stdin) => Some(K::Path),
        Some(K::Path) => Some(K::Command),
        Some(K::Command) => Some(K::Git),
        Some(K::Git) => Some(K::Postgres),
        Some(K::Postgres) => Some(K::Mariadb),
        Some(K::Mariadb) => Some(K::Mysql),
        Some(K::Mysql) => Some(K::Sqlite),
        Some(K::Sqlite) => Some(K::Gitea),
        Some(K::Gitea) => Some(K::Github),
        Some(K::Github) => Some(K::Gitlab),
        Some(K::Gitlab) => None,
    })
}

fn modes() -> Vec<LockMode> {
    all(|one| match one {
        None => Some(LockMode::Compliance),
        Some(LockMode::Compliance) => Some(LockMode::Governance),
        Some(LockMode::Governance) => None,
    })
}

fn lock_bys() -> Vec<LockBy> {
    all(|one| match one {
        None => Some(LockBy::BucketDefault),
        Some(LockBy::BucketDefault) => Some(LockBy::Explicit),
        Some(LockBy::Explicit) => None,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_format_can_spell_is_in_a_golden_vault() {
    let mut met = Met::default();
    for (name, _) in GOLDEN {
        met.read(&Golden::copy(name)).await;
    }
    let set = |names: Vec<&'static str>| names.into_iter().collect::<BTreeSet<_>>();
    assert!(met.formats.contains(FORMAT), "no golden vault has format {FORMAT}");
    assert_eq!(met.formats, BTreeSet::from(["1".to_owned()]), "each vault is of a version that is listed here");
    assert_eq!(met.objects, set(OBJECTS.to_vec()));
    // Whatever numbers the decoder takes.
    assert_eq!(met.codecs, (0..=u8::MAX).filter(|number| Codec::try_from(*number).is_ok()).collect());
    assert_eq!(met.roles, set(roles().into_iter().map(Role::as_str).collect()));
    assert_eq!(met.evidence, set(evidence().into_iter().map(EvidenceKind::as_str).collect()));
    let mut every: BTreeSet<_> = tiers().into_iter().map(|one| Some(tier(one))).collect();
    every.insert(None);
    assert_eq!(met.tiers, every);
    assert_eq!(met.kinds, set(kinds().into_iter().map(SourceKind::as_str).collect()));
    assert_eq!(met.modes, set(modes().into_iter().map(LockMode::as_str).collect()));
    assert_eq!(met.lock_by, set(lock_bys().into_iter().map(lock_by).collect()));
    assert_eq!(met.depths, (0..=u8::MAX).filter(|depth| decodes(*depth)).collect());
    assert_eq!(met.others, set(OTHERS.to_vec()));
}

/// Whether the decoder takes a stream whose list has this depth.
fn decodes(depth: u8) -> bool {
    use strongroom::{format::body::Body, model::Hash};
    let (name, blake3) = ("s".parse().unwrap(), Hash::from_bytes([0; 32]));
    let meta = strongroom::model::FileMeta::default();
    let stream = StreamRecord { name, path: None, meta, bytes: 0, blake3, chunks: 0, depth, list: Vec::new() };
    Body::decode(&Body::new(vec![stream], serde_json::Value::Null, Vec::new()).encode().unwrap()).is_ok()
}
