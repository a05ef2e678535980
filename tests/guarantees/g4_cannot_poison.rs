//! G4, cannot poison the past or others: junk under plausible names changes nothing that was there, nor what comes.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use strongroom::{
    codec::hash,
    format::{
        header::{Header, ObjectRef},
        layout,
    },
    model::{Severity, Span},
    ops::snapshots::{Wanted, choose},
    store::{ObjectStore, memory::MemoryStore},
    vault::{Vault, snapshots},
};

use crate::{
    faults::{Fault, FaultyStore, When},
    house::House,
    store_support::{self, HandClock},
    vault_support::{Made, dump, make, policy, streams},
};

/// An envelope of a header's type around `payload`, signed by nobody.
fn unsigned(payload: &str) -> Vec<u8> {
    let payload = STANDARD.encode(payload);
    format!(
        "{{\"payload\":\"{payload}\",\"payloadType\":\"application/vnd.strongroom.snapshot+json\",\"signatures\":[]}}"
    )
    .into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn g4_junk_headers_close_no_vault_and_stop_no_backup() {
    let clock = store_support::HandClock::new();
    let store = MemoryStore::new(clock.clone());
    let made = make(Arc::new(store.clone()), clock, policy()).await;
    let other = make(Arc::new(MemoryStore::new(Arc::clone(&made.clock))), Arc::clone(&made.clock), policy()).await;
    let state = tempfile::tempdir().unwrap();
    let data = dump(1, 1 << 20);
    let first = made.backup(state.path(), "orders", streams([("a", data.clone())])).await.unwrap();
    other.backup(state.path(), "orders", streams([("a", b"theirs".to_vec())])).await.unwrap();

    let theirs = store_support::keys(&*other.store, "snapshots/").await.remove(0);
    let theirs = other.store.get(&theirs.parse().unwrap(), None, None).await.unwrap().to_vec();
    let junk: [Vec<u8>; 6] = [
        b"junk".to_vec(),
        unsigned("{\"format\":\"99\"}"),
        unsigned("{}"),
        unsigned("not json"),
        theirs,
        vec![b'['; 200_000],
    ];
    for (i, bytes) in junk.into_iter().enumerate() {
        // Under a name that fits its hash and one that does not; numbered beyond the newest.
        let hash = strongroom::codec::hash::hash(&bytes);
        store.overwrite(&format!("snapshots/w1/{:010}-{hash}.json", 500 + i), bytes.clone());
        store.overwrite(&format!("snapshots/w1/{:010}-{}.json", 600 + i, "ab".repeat(32)), bytes.clone());
        store.overwrite(&format!("snapshots/w2/{:010}-{hash}.json", 1), bytes.clone());
        store.overwrite(&format!("indexes/w1/{hash}.age"), bytes.clone());
        store.overwrite(&format!("snapshots/w1/{hash}"), bytes);
    }

    let vault = Vault::open(Arc::clone(&made.store), Some(made.id)).await.unwrap();
    let listing = snapshots::list(&vault).await.unwrap();
    assert_eq!(listing.snapshots.iter().map(|s| s.id).collect::<Vec<_>>(), [first.id]);
    assert!(listing.findings.iter().all(|f| f.severity == Severity::Warning), "{:?}", listing.findings);
    let newer = listing.findings.iter().find(|f| f.code == "header.newer").unwrap();
    assert!(newer.message.contains("99") && newer.message.contains(strongroom::format::FORMAT), "{}", newer.message);

    let next = made.backup(state.path(), "orders", streams([("a", data.clone())])).await.unwrap();
    assert_eq!((next.header.seq, next.header.prev, next.bytes_new), (first.header.seq + 1, vec![first.id], 0));
    let restored = made.restore_all().await.unwrap();
    assert!(restored.len() == 2 && restored.iter().all(|s| s[0].1 == data));
}

#[tokio::test(flavor = "multi_thread")]
async fn g4_other_spellings_of_a_header_are_no_snapshots() {
    let clock = store_support::HandClock::new();
    let store = MemoryStore::new(clock.clone());
    let made = make(Arc::new(store.clone()), clock, policy()).await;
    let state = tempfile::tempdir().unwrap();
    let first = made.backup(state.path(), "orders", streams([("a", dump(1, 9_000))])).await.unwrap();
    let key = store_support::keys(&store, "snapshots/").await.remove(0);
    let bytes = strongroom::store::ObjectStore::get(&store, &key.parse().unwrap(), None, None).await.unwrap();
    for spaces in 1..=70 {
        let mut copy = bytes.to_vec();
        copy.extend(std::iter::repeat_n(b' ', spaces));
        store.overwrite(&format!("snapshots/w1/0000000001-{}.json", strongroom::codec::hash::hash(&copy)), copy);
    }
    let next = made.backup(state.path(), "orders", streams([("a", dump(2, 9_000))])).await.unwrap();
    assert_eq!((next.header.seq, next.header.prev), (2, vec![first.id]));
    assert_eq!(made.restore_all().await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn g4_a_lost_index_stops_no_backup_and_no_restore() {
    let clock = store_support::HandClock::new();
    let store = MemoryStore::new(clock.clone());
    let made = make(Arc::new(store.clone()), clock, policy()).await;
    let state = tempfile::tempdir().unwrap();
    made.backup(state.path(), "orders", streams([("a", dump(1, 900_000))])).await.unwrap();
    let bare = MemoryStore::new(Arc::clone(&made.clock));
    for key in store_support::keys(&store, "").await.into_iter().filter(|k| !k.starts_with("indexes/")) {
        let bytes = strongroom::store::ObjectStore::get(&store, &key.parse().unwrap(), None, None).await.unwrap();
        let lock = strongroom::store::ObjectStore::lock_of(&store, &key.parse().unwrap(), None).await.unwrap();
        bare.overwrite(&key, bytes);
        if let Some(lock) = lock {
            strongroom::store::ObjectStore::extend_lock(&bare, &key.parse().unwrap(), None, lock).await.unwrap();
        }
    }
    let without = made.through(Arc::new(bare));
    // Told once: by a warning where the index is merged, else when its lock is read back.
    match without.backup(state.path(), "orders", streams([("a", dump(2, 900_000))])).await {
        Ok(run) => assert!(run.header.warnings.iter().any(|w| w.contains("lost")), "{:?}", run.header.warnings),
        Err(error) => assert_eq!(error.kind, strongroom::vault::VaultErrorKind::Damaged),
    }
    for seed in [2, 3] {
        without.backup(state.path(), "orders", streams([("a", dump(seed, 900_000))])).await.unwrap();
    }
    let restored = without.restore_all().await.unwrap();
    assert!(restored.len() >= 3);
    assert!(restored.first().unwrap()[0].1 == dump(1, 900_000));
    assert!(restored.last().unwrap()[0].1 == dump(3, 900_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn g4_what_was_stored_before_is_trusted_no_longer_than_full_every() {
    let clock = HandClock::new();
    let store: Arc<dyn ObjectStore> = Arc::new(MemoryStore::new(clock.clone()));
    let made = Made { full_every: Some(Span::days(9)), ..make(store, clock.clone(), policy()).await };
    let state = tempfile::tempdir().unwrap();
    let data = dump(1, 2 << 20);
    let (mut full, mut dates) = (Vec::new(), Vec::new());
    for day in 0..20 {
        if day == 5 {
            // What the catalog knows is not what decides: a new one changes nothing.
            std::fs::remove_dir_all(state.path()).unwrap();
        }
        let run = made.backup(state.path(), "orders", streams([("a", data.clone())])).await.unwrap();
        if run.bytes_new == data.len() as u64 {
            full.push(day);
        }
        dates.push(run.header.full_at.unwrap());
        clock.pass(Span::days(1));
    }
    assert_eq!(full, [0, 5, 9, 18], "in full, day 5 for want of a catalog");
    dates.dedup();
    assert_eq!(dates.len(), 3);
    assert_eq!(made.restore_all().await.unwrap().len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn g4_a_thousand_forged_headers_make_no_run_slow_and_hide_no_honest_one() {
    let clock = HandClock::new();
    let store = MemoryStore::new(clock.clone());
    let made = make(Arc::new(store.clone()), clock.clone(), policy()).await;
    let state = tempfile::tempdir().unwrap();
    let data = dump(1, 1 << 20);
    made.backup(state.path(), "orders", streams([("a", data.clone())])).await.unwrap();
    let honest = made.backup(state.path(), "notes", streams([("b", dump(2, 9_000))])).await.unwrap();
    // Numbered one by one and all with the last number, as a chain and beside each other; none names a true index.
    let mut before = Vec::new();
    for n in 0..1000_u64 {
        let header = Header {
            seq: if n % 2 == 0 { u64::MAX } else { 1_000_000 + n },
            prev: std::mem::take(&mut before),
            warnings: vec![n.to_string()],
            indexes: vec![ObjectRef { hash: hash::hash(&n.to_le_bytes()), bytes: 500, version: None }],
            ..honest.header.clone()
        };
        let (id, public) = header.seal(&made.writer.signing_key).unwrap();
        store.overwrite(layout::header(&made.writer.name, header.seq, &id).as_str(), public.bytes().clone());
        before.extend((n % 3 == 0).then_some(id));
    }
    let counted = FaultyStore::new(Arc::new(store.clone()), When::Never, Fault::Error);
    let made = made.through(counted.clone());
    let next = made.backup(state.path(), "orders", streams([("a", data.clone())])).await.unwrap();
    assert_eq!(next.bytes_new, 0, "everything is known");
    assert!(next.header.prev.contains(&honest.id), "what this writer made itself is not passed over");
    for index in &honest.header.indexes {
        assert!(next.header.indexes.iter().any(|i| i.hash == index.hash), "nor are its indexes");
    }
    assert!(counted.calls() < 700, "{} calls", counted.calls());
    // Again, though the numbers are used up, and with a new catalog.
    let again = made.backup(state.path(), "orders", streams([("a", data.clone())])).await.unwrap();
    assert!(again.header.prev.contains(&next.id) && again.warnings.is_empty(), "{:?}", again.warnings);
    std::fs::remove_dir_all(state.path()).unwrap();
    clock.pass(Span::seconds(1));
    let rebuilt = made.backup(state.path(), "orders", streams([("a", data.clone())])).await.unwrap();
    assert_eq!(rebuilt.header.seq, u64::MAX);
    let vault = Vault::open(Arc::clone(&made.store), Some(made.id)).await.unwrap();
    let newest = snapshots::list(&vault).await.unwrap().snapshots.pop().unwrap();
    assert_eq!(newest.id, rebuilt.id, "without its memory, too");
}

#[tokio::test(flavor = "multi_thread")]
async fn g4_a_writer_speaks_for_no_source_that_the_root_did_not_give_it() {
    let house = House::new(policy(), false).await;
    let state = tempfile::tempdir().unwrap();
    let first = house.backup(state.path(), b"true").await;
    let bound = house.writer_of(&["crm", "code.*"]).await;
    let own = bound.backup(state.path(), "code.a", streams([("a", vec![1; 9])])).await.unwrap();
    house.clock.pass(Span::days(1));
    // Its key was stolen: it signs what nobody let it sign.
    let header = Header { seq: 2, prev: vec![own.id], source: "orders".parse().unwrap(), ..own.header.clone() };
    let (id, public) = header.seal(&bound.writer.signing_key).unwrap();
    house.bucket.overwrite(layout::header(&bound.writer.name, 2, &id).as_str(), public.bytes().clone());
    let listing = snapshots::list(&house.vault().await).await.unwrap();
    let doubted: Vec<_> = listing.snapshots.iter().filter(|s| s.standing.suspect).map(|s| s.id).collect();
    assert_eq!(doubted, [id]);
    let told: Vec<_> = listing.findings.iter().filter(|f| f.code == "writer.outside").collect();
    assert!(matches!(told[..], [one] if one.object.as_deref() == Some("w2/orders")), "{:?}", listing.findings);
    let latest = Wanted::Latest { source: "orders".parse().unwrap(), writer: None, at: None };
    assert_eq!(choose(listing.snapshots, &latest).unwrap().snapshot.id, first.id);
}
