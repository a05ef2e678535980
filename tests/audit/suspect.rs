//! A writer whose key somebody else had was revoked: what was signed since is judged apart from what was before.

use std::sync::Arc;

use strongroom::{
    codec::hash,
    format::{
        header::{Header, ObjectRef},
        layout,
    },
    model::{Cancel, Clock, Finding, Key, Severity, Silent, SnapshotId, Span, Time},
    ops::member,
    store::{Deleter, ObjectStore, Payload, memory::MemoryStore},
    vault::{
        Vault,
        audit::{self, Depth, VerifyReport, VerifyRequest},
    },
};

use crate::{
    matrix::{DEPTHS, verify},
    store_support::{HandClock, keys, versions},
    vault_support::{Made, make, noise, policy, streams},
};

/// Three honest snapshots, and whatever a thief of the writer's key signs a day later.
struct Robbed {
    made: Made,
    clock: Arc<HandClock>,
    store: MemoryStore,
    honest: Vec<Header>,
    forged: Vec<SnapshotId>,
    since: Time,
}

async fn robbed() -> Robbed {
    let clock = HandClock::new();
    let store = MemoryStore::new(clock.clone()).with_default_lock(policy().mode, Span::days(65));
    let made = make(Arc::new(store.clone()), clock.clone(), policy()).await;
    let state = tempfile::tempdir().unwrap();
    let mut honest = Vec::new();
    for day in 0..3 {
        honest.push(made.backup(state.path(), "x", streams([("a", noise(day, 90_000))])).await.unwrap().header);
        clock.pass(Span::days(1));
    }
    let mut robbed = Robbed { since: clock.now(), made, clock, store, honest, forged: Vec::new() };
    robbed.forge().await;
    robbed
}

impl Robbed {
    async fn forge(&mut self) {
        let now = self.clock.now();
        let century = now + Span::days(36_500);
        let last = Header { started_at: now, claimed_at: now, seq: 4, ..self.honest[2].clone() };
        let none = ObjectRef { hash: hash::hash(b"none"), bytes: 5, version: None };
        // What is there, said to be of another size and version, and to be kept for a hundred years.
        let lying = |o: &ObjectRef| ObjectRef { bytes: o.bytes + 1, version: Some("x".to_owned()), ..o.clone() };
        for header in [
            Header { pages: vec![none.clone()], ..last.clone() },
            Header { indexes: vec![none], ..last.clone() },
            Header { prev: (0..64).map(|n| SnapshotId::from_bytes([n; 32])).collect(), ..last.clone() },
            Header { started_at: century, floor_until: century, expires_at: century, seq: u64::MAX, ..last.clone() },
            Header {
                indexes: last.indexes.iter().map(lying).collect(),
                floor_until: century,
                expires_at: century,
                ..last.clone()
            },
            Header { pages: last.pages.iter().map(lying).collect(), ..last.clone() },
            Header { source: "y".parse().unwrap(), expires_at: century, ..last },
        ] {
            let (id, public) = header.seal(&self.made.writer.signing_key).unwrap();
            let key = layout::header(&self.made.writer.name, header.seq, &id);
            self.made.store.put_new(&key, &Payload::Public(public), None).await.unwrap();
            self.forged.push(id);
        }
    }

    async fn vault(&self) -> Vault {
        Vault::open(Arc::new(self.store.clone()), Some(self.made.id)).await.unwrap()
    }

    async fn revoke(&self) {
        let writer = &self.made.writer.name;
        member::revoke(&self.vault().await, &self.made.owner, writer, self.since).await.unwrap();
    }

    async fn one(&self, id: SnapshotId) -> VerifyReport {
        let request = VerifyRequest { snapshot: Some(id), ..VerifyRequest::new(Depth::Locks) };
        audit::verify(&self.vault().await, &request, Arc::new(Silent), &Cancel::default()).await.unwrap()
    }

    /// The vault as it came about, but for one object that was taken away.
    async fn without(&self, gone: &Key) -> MemoryStore {
        let mut all = versions(&self.store, "").await;
        all.sort_by(|a, b| a.version.cmp(&b.version));
        let clock = HandClock::new();
        let copy = MemoryStore::new(clock.clone());
        for entry in all {
            clock.pass(entry.modified.since(clock.now()));
            let key: Key = entry.key.parse().unwrap();
            let bytes = self.store.get(&key, Some(&entry.version), None).await.unwrap();
            let version = copy.overwrite(&entry.key, bytes);
            assert_eq!(version, entry.version);
            match self.store.lock_of(&key, Some(&version)).await.unwrap() {
                _ if key == *gone => copy.delete_version(&key, Some(&version)).await.unwrap(),
                Some(lock) => drop(copy.extend_lock(&key, Some(&version), lock).await.unwrap()),
                None => {}
            }
        }
        copy
    }
}

fn bad(findings: &[Finding]) -> Vec<&Finding> {
    findings.iter().filter(|f| f.severity > Severity::Warning).collect()
}

/// The codes that stand for trouble with this, in order.
fn told(report: &VerifyReport) -> Vec<(Severity, &str)> {
    let mut told: Vec<_> = report.findings.iter().map(|f| (f.severity, f.code.as_str())).collect();
    told.sort_unstable();
    told.dedup();
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_revoked_writer_signed_since_keeps_no_alarm_red() {
    let robbed = robbed().await;
    let before = verify(&robbed.made, &robbed.store, Depth::Locks, None).await;
    let red: Vec<&str> = bad(&before.findings).iter().map(|f| f.code.as_str()).collect();
    for code in ["page.damaged", "index.missing", "header.missing", "lock.short"] {
        assert!(red.contains(&code), "{code} before the revocation: {red:?}");
    }
    robbed.revoke().await;
    let honest: u64 = 3;
    for depth in DEPTHS {
        let mut report = verify(&robbed.made, &robbed.store, depth, None).await;
        assert_eq!(bad(&report.findings), [] as [&Finding; 0], "{depth:?}");
        assert_eq!((report.snapshots, report.seen.len()), (honest, 3 + robbed.forged.len()));
        let hollow = report.findings.iter().find(|f| f.code == "suspect.hollow").unwrap();
        assert!(hollow.message.starts_with("2 of 7 suspect snapshots of writer w1"), "{}", hollow.message);
        assert!(report.seen.iter().all(|seen| seen.suspect == seen.locked_until.is_none()), "{:?}", report.seen);
        assert!(report.not_checked.iter().any(|not| not.contains("7 suspect snapshots")), "{:?}", report.not_checked);
        assert!(!report.findings.iter().any(|f| f.code == "foreign"), "who signed it is known: {:?}", report.findings);
        // Known once, it is a note from then on.
        report.checkpoint.acknowledge(&report.findings);
        let again = verify(&robbed.made, &robbed.store, depth, Some(report.checkpoint)).await;
        let known = [(Severity::Info, "suspect.hollow"), (Severity::Info, "writer.revoked")];
        assert_eq!(told(&again)[..2], known, "{:?}", told(&again));
        assert_eq!(bad(&again.findings), [] as [&Finding; 0]);
    }
    // Asked for one of them, it is judged like any other.
    let one = robbed.one(robbed.forged[0]).await;
    assert!(bad(&one.findings).iter().any(|f| f.code == "page.damaged"), "{:?}", one.findings);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_suspect_snapshots_name_as_well_hides_no_damage() {
    let robbed = robbed().await;
    robbed.revoke().await;
    let last = &robbed.honest[2];
    let name = &robbed.made.writer.name;
    // Suspect headers name all of these, too, and of other sizes.
    let pack = keys(&robbed.store, "packs/").await.remove(0).parse().unwrap();
    let newest = SnapshotId::from_bytes(*hash::hash(&self::header(&robbed).await).as_bytes());
    for (gone, code) in [
        (layout::page(name, &last.pages[0].hash), "page.missing"),
        (layout::index(name, &last.indexes[0].hash), "index.missing"),
        (pack, "pack.missing"),
        (layout::header(name, 3, &newest), "checkpoint.lost"),
    ] {
        let before = verify(&robbed.made, &robbed.store, Depth::Locks, None).await;
        let heads: Vec<SnapshotId> = before.checkpoint.heads.iter().map(|head| head.id).collect();
        assert_eq!(heads, [newest], "the last that is not suspect");
        let store = robbed.without(&gone).await;
        let report = verify(&robbed.made, &store, Depth::Locks, Some(before.checkpoint)).await;
        assert!(bad(&report.findings).iter().any(|f| f.code == code), "{code}: {:?}", told(&report));
    }
}

/// The bytes of the last honest header.
async fn header(robbed: &Robbed) -> bytes::Bytes {
    let all = keys(&robbed.store, "snapshots/w1/0000000003-").await;
    robbed.store.get(&all[0].parse().unwrap(), None, None).await.unwrap()
}
