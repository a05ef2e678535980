//! G17, elsewhere: damage in one place heals from another, whatever was done to which object; what no copy has is named.

use std::{collections::BTreeMap, sync::Arc};

use strongroom::{
    codec::hash,
    format::layout::{self, ObjectName},
    model::{
        Cancel, Clock, Finding, Key, Lock, Progress, Severity, Silent, Span,
        journal::{self, Line, Piece, Position, Start},
    },
    ops::{
        Pin,
        repair::{MendRequest, Places, RepairReport, repair},
    },
    store::{Mender, ObjectStore, local::LocalStore, memory::MemoryStore},
    vault::{
        Vault,
        audit::{Depth, VerifyRequest, verify},
    },
};

use crate::{
    g17_elsewhere::{bucket, copied, explicit, must_be_closed, run, spoiled, three, wanted},
    store_support::{HandClock, keys, versions},
    vault_support::{Based, Made, dump, make, policy, streams},
};

pub async fn mended(
    store: &(impl ObjectStore + Mender + Clone + 'static),
    made: &Made,
    read: bool,
) -> (RepairReport, Vec<Finding>) {
    let request = MendRequest { read, dry_run: false };
    let places = Places { vault: "the damaged".to_owned(), from: "the copy".to_owned() };
    let pins = [Pin::one(made.id, "the test")];
    let told = (&Silent as &dyn Progress, &Cancel::default());
    repair((Arc::new(store.clone()), store), Arc::clone(&made.store), (&pins, places), request, told).await.unwrap()
}

/// Makes of an object's bytes what is left of it.
pub type Spoil = fn(Vec<u8>) -> Option<Vec<u8>>;

/// What can be done to an object.
pub const DAMAGES: [(&str, Spoil); 4] = [
    ("flipped", |mut bytes| {
        let at = bytes.len() / 2;
        bytes[at] ^= 0x40;
        Some(bytes)
    }),
    ("cut", |mut bytes| {
        bytes.truncate(bytes.len() / 2);
        Some(bytes)
    }),
    ("emptied", |_| Some(Vec::new())),
    ("removed", |_| None),
];

/// The kinds of objects, each by a key of it.
pub async fn locations(store: &dyn ObjectStore) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for key in keys(store, "").await {
        let kind = match layout::parse(&key) {
            Some(ObjectName::Root(_)) => "root record".to_owned(),
            Some(ObjectName::Epoch(..)) => "epoch record".to_owned(),
            Some(ObjectName::Copy(_)) | None => continue,
            Some(_) => key.split('/').next().unwrap().to_owned(),
        };
        // The last of each: the newest header among them.
        found.insert(kind, key);
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn g17_every_damage_of_every_object_in_a_bucket_heals_from_a_copy() {
    let (made, clock, _state) = three(explicit()).await;
    let places = locations(&*made.store).await;
    let kinds: Vec<&str> = places.keys().map(String::as_str).collect();
    for kind in ["epoch record", "indexes", "lists", "members", "packs", "root record", "snapshots", "vault.json"] {
        assert!(kinds.contains(&kind), "{kinds:?}");
    }
    for (damage, spoil) in DAMAGES {
        for (kind, victim) in &places {
            let what = format!("{kind} {damage}");
            let change = |key: &str, bytes: Vec<u8>| if key == victim { spoil(bytes) } else { Some(bytes) };
            let broken = spoiled(&*made.store, &clock, change).await;
            let (report, findings) = mended(&broken, &made, true).await;
            assert_eq!(report.objects, 1, "{what}: {findings:?}");
            let told: Vec<_> = findings.iter().filter(|f| f.code == "repair.mended").collect();
            assert_eq!(told[0].object.as_deref(), Some(victim.as_str()), "{what}");
            must_be_whole(&broken, &made, &what).await;
            let (again, _) = mended(&broken, &made, true).await;
            assert_eq!((again.objects, again.extended), (0, 0), "{what}: once is enough");
        }
    }
}

/// Fails if `verify` finds damage, or what is needed is not locked.
async fn must_be_whole(store: &MemoryStore, made: &Made, what: &str) {
    let store: Arc<dyn ObjectStore> = Arc::new(store.clone());
    let vault = Vault::open(Arc::clone(&store), Some(made.id)).await.unwrap();
    let seen = verify(&vault, &VerifyRequest::new(Depth::Read), Arc::new(Silent), &Cancel::default()).await.unwrap();
    let bad: Vec<_> = seen.findings.iter().filter(|f| f.severity >= Severity::Weak).collect();
    assert!(bad.is_empty() && seen.snapshots == 3, "{what}: {bad:?}");
    assert_eq!(made.through(store).restore_all().await.unwrap(), made.restore_all().await.unwrap(), "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn g17_every_damage_of_every_object_in_a_directory_heals_from_a_copy() {
    let (made, clock, _state) = three(explicit()).await;
    for (damage, spoil) in DAMAGES {
        let root = tempfile::tempdir().unwrap();
        let directory = LocalStore::create(root.path().join("v"), clock.clone()).unwrap();
        let store: Arc<dyn ObjectStore> = Arc::new(directory.clone());
        copied(&made, &store).await;
        for (kind, victim) in &locations(&*store).await {
            let what = format!("{kind} {damage}");
            let path = root.path().join("v").join(victim);
            let bytes = std::fs::read(&path).unwrap();
            std::fs::remove_file(&path).unwrap();
            if let Some(bytes) = spoil(bytes) {
                std::fs::write(&path, bytes).unwrap();
            }
            let (report, findings) = mended(&directory, &made, true).await;
            assert_eq!(report.objects, 1, "{what}: {findings:?}");
            let bad: Vec<_> = findings.iter().filter(|f| f.severity >= Severity::Weak).collect();
            assert!(bad.is_empty(), "{what}: {bad:?}");
            assert_eq!(must_be_closed(&made, &*store, &what).await, 3, "{what}");
        }
        let vault = Vault::open(Arc::clone(&store), Some(made.id)).await.unwrap();
        let seen =
            verify(&vault, &VerifyRequest::new(Depth::Read), Arc::new(Silent), &Cancel::default()).await.unwrap();
        let bad: Vec<_> = seen.findings.iter().filter(|f| f.severity >= Severity::Weak).collect();
        assert!(bad.is_empty(), "{damage}: {bad:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g17_what_both_places_lost_is_named_whatever_it_is() {
    let (made, clock, _state) = three(explicit()).await;
    let mut silent = Vec::new();
    for (kind, victim) in &locations(&*made.store).await {
        for (damage, spoil) in DAMAGES {
            let what = format!("{kind} {damage}");
            let change = |key: &str, bytes: Vec<u8>| if key == victim { spoil(bytes) } else { Some(bytes) };
            let copy: Arc<dyn ObjectStore> = Arc::new(spoiled(&*made.store, &clock, change).await);
            let broken = spoiled(&*made.store, &clock, change).await;
            let (report, findings) = mended(&broken, &made.through(copy), true).await;
            let named = findings.iter().any(|f| f.severity >= Severity::Warning && f.object.as_deref() == Some(victim));
            // Nothing is made up: what is there afterwards under its name is what was there before, or the truth.
            let there = broken.get(&victim.parse().unwrap(), None, None).await.ok().map(|bytes| bytes.to_vec());
            let truth = made.store.get(&victim.parse().unwrap(), None, None).await.unwrap().to_vec();
            assert!(there == spoil(truth.clone()) || there.as_ref() == Some(&truth), "{what}");
            // What headers embed is put back from there.
            if !named && there != Some(truth) {
                silent.push(what.clone());
            }
            if ["packs", "lists", "indexes"].contains(&kind.as_str()) {
                assert!(!report.broken.is_empty(), "{what}: {findings:?}");
            }
        }
    }
    // The newest header is in neither place any more, nothing else names it, and a bucket keeps no record of its lock.
    assert_eq!(silent, ["snapshots removed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn g17_what_no_copy_has_is_named_and_short_locks_are_extended() {
    let (made, clock, _state) = three(explicit()).await;
    let places = locations(&*made.store).await;
    let pack = places["packs"].clone();
    let gone = |key: &str, bytes: Vec<u8>| (key != pack).then_some(bytes);
    let other: Arc<dyn ObjectStore> = Arc::new(spoiled(&*made.store, &clock, gone).await);
    // Both lost the same pack.
    let broken = spoiled(&*made.store, &clock, gone).await;
    let (report, findings) = mended(&broken, &made.through(other), true).await;
    assert!(findings.iter().any(|f| f.code == "repair.lost" && f.object.as_deref() == Some(&pack)), "{findings:?}");
    assert!(!report.broken.is_empty());
    // Nothing is locked here.
    let bare = MemoryStore::new(clock.clone());
    for key in keys(&*made.store, "").await {
        let bytes = made.store.get(&key.parse().unwrap(), None, None).await.unwrap();
        bare.overwrite(&key, bytes);
    }
    let dry = MendRequest { read: false, dry_run: true };
    let names = || Places { vault: "a".to_owned(), from: "b".to_owned() };
    let told = (&Silent as &dyn Progress, &Cancel::default());
    let here: Arc<dyn ObjectStore> = Arc::new(bare.clone());
    let (report, findings) = repair((here, &bare), Arc::clone(&made.store), (&[], names()), dry, told).await.unwrap();
    assert!(report.extended == 0 && findings.iter().any(|f| f.code == "repair.unlocked"), "{findings:?}");
    let (report, findings) = mended(&bare, &made, false).await;
    assert!(report.extended > 5 && report.objects == 0, "{findings:?}");
    must_be_whole(&bare, &made, "locked again").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g17_what_somebody_put_into_the_target_is_never_believed_and_never_replaced() {
    let (made, clock, _state) = three(explicit()).await;
    let copy = MemoryStore::new(clock.clone());
    let target: Arc<dyn ObjectStore> = Arc::new(copy.clone());
    // Under every pack's name something of the right size, before the copy begins.
    let mut request = wanted("the first");
    request.copy.newest = Some(1);
    run(&made, Arc::clone(&target), &request).await.unwrap();
    let before = keys(&*target, "").await;
    let packs: Vec<String> =
        keys(&*made.store, layout::PACKS).await.into_iter().filter(|k| !before.contains(k)).collect();
    assert!(!packs.is_empty());
    for key in &packs {
        let size = made.store.head(&key.parse().unwrap(), None).await.unwrap().bytes;
        copy.overwrite(key, vec![0_u8; usize::try_from(size).unwrap()]);
    }
    let (report, findings) = run(&made, Arc::clone(&target), &wanted("the first")).await.unwrap();
    assert!(findings.iter().any(|f| f.code == "copy.taken" && f.severity == Severity::Error), "{findings:?}");
    assert!(!report.left_out.is_empty());
    let headers = must_be_closed(&made, &*target, "planted").await;
    assert_eq!(headers, 3 - report.left_out.len());
    for key in &packs {
        assert_eq!(versions(&copy, key).await.len(), 1, "nothing was put over {key}");
    }
    // The repair puts the true ones above them, and then the copy is whole.
    let (report, findings) = mended(&copy, &made, true).await;
    assert!(report.objects >= packs.len() as u64, "{findings:?}");
    let bad: Vec<_> = findings.iter().filter(|f| f.severity >= Severity::Weak).collect();
    assert!(bad.is_empty(), "{bad:?}");
    assert_eq!(copied(&made, &target).await.there, 3);
    assert_eq!(made.through(target).restore_all().await.unwrap(), made.restore_all().await.unwrap());
}

/// Puts a piece of a journal; what is in it nobody without a key can see.
pub async fn piece(made: &Made, line: &Line, from: u64, to: u64) -> Key {
    let payload = crate::store_support::sealed(format!("log {from}").as_bytes());
    let of = Piece {
        writer: made.writer.name.clone(),
        source: "orders".parse().unwrap(),
        line: line.clone(),
        span: journal::Span::new(Position(from), Position(to)).unwrap(),
        hash: hash::hash(payload.bytes()),
    };
    let key = layout::piece(&of);
    let lock = Lock { mode: policy().mode, until: made.clock.now() + Span::days(65) };
    made.store.put_new(&key, &payload, Some(lock)).await.unwrap();
    key
}

#[tokio::test(flavor = "multi_thread")]
async fn g17_journals_come_along_as_far_as_a_base_needs_them_and_heal() {
    let clock = HandClock::new();
    let source = MemoryStore::new(clock.clone());
    let made = make(Arc::new(source.clone()), clock.clone(), explicit()).await;
    let state = tempfile::tempdir().unwrap();
    let line = Line::postgres(7, 1);
    let early = piece(&made, &line, 0x100, 0x200).await;
    let base = Based(streams([("a", dump(1, 20_000))]), Start { line: line.clone(), from: Position(0x1000) });
    made.backup(state.path(), "orders", base).await.unwrap();
    let mut needed = vec![piece(&made, &line, 0x1000, 0x1100).await, piece(&made, &line, 0x1100, 0x1200).await];
    let target = bucket(&clock);
    assert_eq!(copied(&made, &target).await.moved["journals"].objects, 2, "what comes before the base stays");
    needed.push(piece(&made, &line, 0x1200, 0x1300).await);
    let again = copied(&made, &target).await;
    assert_eq!(again.moved["journals"].objects, 1);
    assert!(again.source_calls.get <= 5, "no header is read for a piece that goes on: {:?}", again.source_calls);
    let there = keys(&*target, layout::JOURNALS).await;
    assert_eq!(there, needed.iter().map(ToString::to_string).collect::<Vec<_>>());
    assert!(!there.contains(&early.to_string()));
    for key in &needed {
        let lock = target.lock_of(key, None).await.unwrap().unwrap();
        assert!(lock.until >= clock.now() + Span::days(35), "{key}: {lock:?}");
    }
    assert_eq!(copied(&made, &target).await.objects, 0);
    // Whatever happens to a piece that a base needs heals.
    for (damage, spoil) in DAMAGES {
        let victim = needed[1].to_string();
        let change = |key: &str, bytes: Vec<u8>| if key == victim { spoil(bytes) } else { Some(bytes) };
        let broken = spoiled(&*made.store, &clock, change).await;
        let (report, findings) = mended(&broken, &made, true).await;
        assert_eq!(report.objects, 1, "{damage}: {findings:?}");
        assert!(findings.iter().any(|f| f.code == "repair.mended" && f.object.as_deref() == Some(&victim)));
        let bad: Vec<_> = findings.iter().filter(|f| f.severity >= Severity::Weak).collect();
        assert!(bad.is_empty(), "{damage}: {bad:?}");
        assert_eq!(mended(&broken, &made, true).await.0.objects, 0, "{damage}");
    }
}
