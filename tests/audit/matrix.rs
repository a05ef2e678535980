//! The damage matrix: each kind of object, each way to damage it, each depth; what is found.
//!
//! The table of `docs/audit.md` is what this test finds, so nobody can promise more there.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

use strongroom::{
    format::evidence::EvidenceKind,
    guard::holds,
    model::{
        Cancel, Clock, Key, Lock, LockMode, Severity, Silent, Span as Duration, Time,
        journal::{Line, Position, Span, Start},
    },
    ops::{
        approve,
        evidence::{Draft, Signer},
    },
    store::{Deleter, ObjectStore, Version, memory::MemoryStore},
    vault::{
        Vault,
        audit::{self, Checkpoint, Depth, VerifyReport, VerifyRequest},
        journal::JournalWriter,
        snapshots,
    },
};

use crate::{
    craft::{Craft, stream},
    store_support::HandClock,
    vault_support::{Based, Made, dump, make, noise, policy, streams},
};

pub const DEPTHS: [Depth; 3] = [Depth::Locks, Depth::Read, Depth::Decrypt];

/// One version as it was stored.
#[derive(Clone)]
struct Stored {
    key: String,
    bytes: Vec<u8>,
    lock: Option<Lock>,
}

/// A way to damage a vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    Deleted,
    Marker,
    Truncated,
    Flipped,
    Unreadable,
    Swapped,
    Older,
    Unlocked,
    Short,
    Newer,
    Junk,
}

const DAMAGES: [(Damage, &str); 11] = [
    (Damage::Deleted, "deleted"),
    (Damage::Marker, "delete marker"),
    (Damage::Truncated, "truncated"),
    (Damage::Flipped, "one bit flipped"),
    (Damage::Unreadable, "on a bad sector"),
    (Damage::Swapped, "swapped with another"),
    (Damage::Older, "older version restored"),
    (Damage::Unlocked, "lock missing"),
    (Damage::Short, "lock short"),
    (Damage::Newer, "junk under a newer version"),
    (Damage::Junk, "junk added"),
];

/// Of headers also the last one, which no later one names.
const NEWEST: &str = "newest header";

/// Of journals a piece between two others.
const JOURNAL: &str = "journal";

/// A kind of object: what its keys begin with, and the key that junk of this kind would have.
const KINDS: [(&str, &str, &str); 14] = [
    ("descriptor", "vault.json", "vault.json.bak"),
    ("root", "keys/root-", "keys/root-{hash}.age"),
    ("epoch", "keys/epoch-", "keys/epoch-0001/0002-{hash}.json"),
    ("certificate", "members/w1/", "members/w1/0002-{hash}.json"),
    ("evidence", "evidence/", "evidence/owner/20261122T215100Z-{hash}.json"),
    ("approvers", "approvers/", "approvers/0002-{hash}.json"),
    ("hold", "holds/", "holds/owner/20261122T215100Z-{hash}.json"),
    ("release", "releases/", "releases/owner/20261122T215100Z-{hash}.json"),
    ("header", "snapshots/", "snapshots/w1/0000000099-{hash}.json"),
    (NEWEST, "snapshots/", "snapshots/w1/0000000099-{hash}.json"),
    ("page", "lists/", "lists/w1/{hash}"),
    ("index", "indexes/", "indexes/w1/{hash}.age"),
    ("pack", "packs/", "packs/w1/00/00{hash}"),
    (JOURNAL, "journals/", "journals/w1/orders/pg-0000000000000007-00000001/{hash}"),
];

/// A vault with two sources, deltas, merged indexes and evidence, all stored at one instant.
async fn vault() -> (Made, Arc<HandClock>, MemoryStore) {
    let clock = HandClock::new();
    let store = MemoryStore::new(clock.clone()).with_default_lock(LockMode::Compliance, Duration::days(65));
    let made = make(Arc::new(store.clone()), clock.clone(), policy()).await;
    let state = tempfile::tempdir().unwrap();
    let mut data = dump(1, 150_000);
    for day in 0..6 {
        data.extend_from_slice(&dump(50 + day, 20_000));
        made.backup(state.path(), "orders", streams([("a", data.clone())])).await.unwrap();
    }
    made.backup(state.path(), "files", streams([("b", noise(2, 90_000)), ("c", b"small".to_vec())])).await.unwrap();
    let (base, mut next) = (noise(3, 40_000), noise(3, 40_000));
    next[100] ^= 1;
    let mut craft = Craft::new(&made);
    craft.pack(vec![craft.plain(&base), craft.delta(&base, craft.chunk(&base).id, &next)]).await;
    let chunks = vec![craft.chunk(&base), craft.chunk(&next)];
    let whole = [base.as_slice(), &next].concat();
    craft.commit(vec![stream("d", None, &whole, chunks)], true).await;
    let line = Line::postgres(7, 1);
    let base = Based(streams([("a", data)]), Start { line: line.clone(), from: Position(0) });
    made.backup(state.path(), "orders", base).await.unwrap();
    let journal = JournalWriter::new(made.place(), "orders".parse().unwrap(), None).unwrap();
    for (from, to) in [(0_u32, 3000_u32), (3000, 3500), (3500, 9000)] {
        let (log, span) = (noise(from.into(), (to - from) as usize), Span { from: at(from), to: at(to) });
        journal.put(&line, span, &log, clock.now()).await.unwrap();
    }
    let opened = open(&made, Arc::new(store.clone())).await;
    let (signer, _) = Signer::find(&opened, EvidenceKind::Drill, None, Some(&made.owner)).await.unwrap();
    let at = opened.store.server_time().await.unwrap();
    let draft = Draft { kind: EvidenceKind::Drill, snapshots: Vec::new(), at, result: serde_json::json!({}) };
    signer.unwrap().leave(&opened, draft).await.unwrap();
    // Two holds, one of which is lifted again; and nobody has to agree to anything.
    let root = holds::Signer::root(&opened, &made.owner).await.unwrap();
    let listing = snapshots::list(&opened).await.unwrap();
    let mut held = Vec::new();
    for days in [30, 40] {
        let (until, chosen) = (clock.now() + Duration::days(days), [&listing.snapshots[0]]);
        let cancel = Cancel::default();
        let made = holds::freeze(&opened, &root, &chosen, (until, None), &Silent, &cancel).await.unwrap();
        held.push(made.hash.to_string());
    }
    holds::release(&opened, &root, &held[1], None).await.unwrap();
    approve::set(&opened, &made.owner, Vec::new(), BTreeMap::new()).await.unwrap();
    (made, clock, store)
}

fn at(position: u32) -> Position {
    Position(position.into())
}

async fn open(made: &Made, store: Arc<dyn ObjectStore>) -> Vault {
    Vault::open(store, Some(made.id)).await.unwrap()
}

pub async fn verify(made: &Made, store: &MemoryStore, depth: Depth, before: Option<Checkpoint>) -> VerifyReport {
    let mut vault = open(made, Arc::new(store.clone())).await;
    let mut reports = Vec::new();
    // At once, and a few objects at a time.
    for room in [vault.room, 3] {
        vault.room = room;
        let (opener, checkpoint) = (Some(made.owner.clone()), before.clone());
        let request = VerifyRequest { opener, checkpoint, ..VerifyRequest::new(depth) };
        reports.push(audit::verify(&vault, &request, Arc::new(Silent), &Cancel::default()).await.unwrap());
    }
    assert_eq!(said(&reports[0]), said(&reports[1]), "in parts something else is found");
    reports.swap_remove(0)
}

/// What a verification says, in no order.
fn said(report: &VerifyReport) -> (Vec<String>, String) {
    let finding = |one: &strongroom::model::Finding| {
        // Of several that end at one time, any may be named.
        let object = one.object.as_ref().filter(|_| one.code != "lock.owed");
        format!("{} {} {object:?} {:?} {}", one.severity.as_str(), one.code, one.snapshot, one.message)
    };
    let mut findings: Vec<String> = report.findings.iter().map(finding).collect();
    findings.sort();
    let counts = [report.snapshots, report.objects, report.bytes, report.bytes_read, report.streams];
    let foreign = (report.foreign, report.foreign_bytes, report.bytes_decoded);
    let (weakest, seen) = (report.weakest.as_ref().map(|weakest| weakest.until), &report.seen);
    (findings, format!("{counts:?} {foreign:?} {weakest:?} {seen:?} {:?} {:?}", report.not_checked, report.checkpoint))
}

/// All versions in the order in which they were made.
async fn stored(store: &MemoryStore) -> Vec<Stored> {
    let mut versions: Vec<(Version, String)> = Vec::new();
    store.list_versions("", &mut |entry| versions.push((entry.version, entry.key))).await.unwrap();
    versions.sort();
    let mut all = Vec::new();
    for (version, key) in versions {
        let parsed: Key = key.parse().unwrap();
        let bytes = store.get(&parsed, Some(&version), None).await.unwrap().to_vec();
        all.push(Stored { key, bytes, lock: store.lock_of(&parsed, Some(&version)).await.unwrap() });
    }
    all
}

/// The same vault in a new store, with the same version ids, and one object damaged.
async fn damaged(
    all: &[Stored],
    clock: &Arc<HandClock>,
    now: Time,
    target: usize,
    damage: Damage,
    junk: &str,
) -> MemoryStore {
    let store = MemoryStore::new(clock.clone());
    let mut all = all.to_vec();
    let (key, whole) = (all[target].key.clone(), all[target].bytes.clone());
    match damage {
        Damage::Truncated => drop(all[target].bytes.pop()),
        Damage::Flipped => {
            let middle = whole.len() / 2;
            all[target].bytes[middle] ^= 1;
        }
        Damage::Swapped => {
            // With one of its kind if there is another, else with whatever is there.
            let kind = key.split('/').next().unwrap();
            // Of another size, or what `locks` sees would hang on the length of random stanzas.
            let like = |n: &usize| all[*n].key.starts_with(kind) && all[*n].bytes.len() != whole.len();
            let other = (0..all.len()).find(like).unwrap_or((target + 1) % all.len());
            let bytes = std::mem::replace(&mut all[other].bytes, whole.clone());
            all[target].bytes = bytes;
        }
        Damage::Unlocked => all[target].lock = None,
        Damage::Short => all[target].lock = Some(Lock { mode: LockMode::Compliance, until: now + Duration::days(1) }),
        _ => {}
    }
    for (n, one) in all.iter().enumerate() {
        let parsed: Key = one.key.parse().unwrap();
        let version = store.overwrite(&one.key, one.bytes.clone());
        if n == target && damage == Damage::Deleted {
            store.delete_version(&parsed, Some(&version)).await.unwrap();
        } else if let Some(lock) = one.lock {
            store.extend_lock(&parsed, Some(&version), lock).await.unwrap();
        }
    }
    match damage {
        Damage::Marker => drop(store.hide(&key)),
        Damage::Newer => drop(store.overwrite(&key, &b"junk"[..])),
        Damage::Older => {
            store.overwrite(&key, &b"junk"[..]);
            store.overwrite(&key, whole);
        }
        Damage::Unreadable => store.lose(&key),
        Damage::Junk => drop(store.overwrite(junk, &b"junk"[..])),
        _ => {}
    }
    store
}

/// What a report says, as a cell of the table: the codes of its worst findings.
pub fn cell(report: &VerifyReport, quiet: &VerifyReport) -> (Option<Severity>, String) {
    let new = || report.findings.iter().filter(|f| !quiet.findings.contains(f));
    let worst = new().map(|f| f.severity).max();
    let mut codes: Vec<&str> = new().filter(|f| Some(f.severity) == worst).map(|f| f.code.as_str()).collect();
    codes.sort_unstable();
    codes.dedup();
    (
        worst,
        if codes.is_empty() {
            "–".to_owned()
        } else {
            codes.iter().map(|c| format!("`{c}`")).collect::<Vec<_>>().join(", ")
        },
    )
}

/// The least that a depth must say of a damage.
fn expected(kind: &str, damage: Damage, depth: Depth) -> Option<Severity> {
    match damage {
        // What lies in small documents, headers and pages is read at every depth; packs and indexes from `read` on.
        Damage::Flipped | Damage::Unreadable | Damage::Swapped
            if matches!(kind, "pack" | "index") && depth == Depth::Locks =>
        {
            None
        }
        // A piece has no signed size, and one that is gone is a gap: nothing says what was there.
        Damage::Flipped | Damage::Unreadable | Damage::Swapped | Damage::Truncated
            if kind == JOURNAL && depth == Depth::Locks =>
        {
            None
        }
        Damage::Deleted if kind == JOURNAL => Some(Severity::Weak),
        Damage::Deleted | Damage::Truncated | Damage::Flipped | Damage::Unreadable | Damage::Swapped => {
            Some(Severity::Error)
        }
        Damage::Unlocked | Damage::Short => Some(Severity::Weak),
        Damage::Marker | Damage::Older | Damage::Newer => Some(Severity::Warning),
        Damage::Junk => Some(Severity::Info),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_damage_is_found_at_the_depth_that_can_see_it() {
    let (made, clock, whole) = vault().await;
    let now = whole.server_time().await.unwrap();
    let all = stored(&whole).await;
    let mut quiet = Vec::new();
    for depth in DEPTHS {
        let report = verify(&made, &whole, depth, None).await;
        assert_eq!(report.findings, [], "a whole vault raises no alarm at {depth:?}");
        quiet.push(report);
    }
    let checkpoint = quiet[0].checkpoint.clone();
    let mut table =
        String::from("| object | damage | `locks` | `read` | `decrypt` |\n| --- | --- | --- | --- | --- |\n");
    let mut missed = Vec::new();
    for (kind, prefix, junk) in KINDS {
        // The first of its kind: of headers one that a later one names, of packs one that is needed.
        let mut of = all.iter().enumerate().filter(|(_, s)| s.key.starts_with(prefix)).map(|(at, _)| at);
        let target = match kind {
            NEWEST => of.next_back(),
            JOURNAL => of.nth(1),
            _ => of.next(),
        };
        let target = target.unwrap_or_else(|| panic!("no {kind}"));
        let hash = "ab".repeat(if kind == "pack" { 31 } else { 32 });
        let junk = junk.replace("{hash}", &hash);
        for (damage, name) in DAMAGES {
            let store = damaged(&all, &clock, now, target, damage, &junk).await;
            let _ = write!(table, "| {kind} | {name} |");
            for (n, depth) in DEPTHS.into_iter().enumerate() {
                let report = verify(&made, &store, depth, Some(checkpoint.clone())).await;
                let (worst, told) = cell(&report, &quiet[n]);
                let _ = write!(table, " {told} |");
                let least = expected(kind, damage, depth);
                let calm = matches!(damage, Damage::Marker | Damage::Older | Damage::Newer | Damage::Junk);
                // Whoever can only add must not be able to keep an alarm red.
                if worst < least || (calm && worst > Some(Severity::Warning)) {
                    missed.push(format!("{kind} {name} at {depth:?}: {:?}", report.findings));
                }
            }
            table.push('\n');
        }
    }
    assert!(missed.is_empty(), "{}\n{table}", missed.join("\n"));
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/audit.md")).unwrap();
    assert!(page.contains(&table), "docs/audit.md must hold this table:\n{table}");
}
