//! G12: a vault that has more objects than are looked at together is worked through in parts, and nothing else comes of it.

use std::sync::Arc;

use strongroom::{
    codec::hash,
    format::{
        header::{Header, ObjectRef},
        layout,
        list::ChunkRef,
        pack::Directory,
        page::PackRef,
    },
    model::{Cancel, ChunkId, Finding, Hash, Name, PackId, Silent, SnapshotId, Span},
    ops::replicate::replicate,
    store::{Deleter, counted::Counted, memory::MemoryStore},
    vault::{
        Vault,
        audit::{self, Depth, VerifyRequest},
        reader::Snapshot,
        snapshots,
        upkeep::{
            prune::{PruneRequest, Pruned, prune},
            renew::renew,
        },
    },
};

use crate::{
    g17_elsewhere::{bucket, explicit, must_be_closed, wanted},
    house::House,
    store_support::{HandClock, keys, versions},
    vault_support::{Made, make, noise, policy, streams},
};

/// So many objects are looked at together.
const ROOMS: [usize; 4] = [1 << 17, 40, 7, 1];

async fn vault(house: &House, room: usize) -> Vault {
    let mut vault = Vault::open(Arc::new(house.bucket.clone()), Some(house.made.id)).await.unwrap();
    vault.room = room;
    vault
}

async fn pruned(house: &House, room: usize, deleter: Option<&dyn Deleter>) -> Pruned {
    let request = PruneRequest { grace: Span::ZERO, clock_is_right: true };
    prune(&vault(house, room).await, deleter, request, &Silent, &Cancel::default()).await.unwrap()
}

/// What a pruning says, in no order.
fn said(done: &Pruned) -> String {
    let mut findings: Vec<String> = done.findings.iter().map(|finding| format!("{finding:?}")).collect();
    findings.sort();
    format!("{:?} {:?} {:?} {} {findings:?}", done.deleted, done.waiting, done.next, done.snapshots)
}

/// A bucket with snapshots of two sources, of which the older ones are over, overwritten objects and hidden ones.
async fn aged() -> (House, tempfile::TempDir) {
    let house = House::new(policy(), true).await;
    let state = tempfile::tempdir().unwrap();
    for day in 0..6 {
        for source in ["orders", "files"] {
            let data = noise(day * 2 + u64::from(source == "files"), 200_000);
            house.made.backup(state.path(), source, streams([("a", data)])).await.unwrap();
        }
        house.clock.pass(Span::days(25));
    }
    for (no, key) in keys(&house.bucket, layout::PACKS).await.into_iter().enumerate().step_by(3) {
        house.bucket.overwrite(&key, vec![u8::try_from(no).unwrap(); 9]);
        if no % 2 == 0 {
            house.bucket.hide(&key);
        }
    }
    // Past the locks of what lies on top.
    house.clock.pass(Span::days(1));
    (house, state)
}

#[tokio::test(flavor = "multi_thread")]
async fn g12_a_pruning_in_parts_deletes_what_one_at_once_deletes() {
    let (house, _state) = aged().await;
    let mut all = Vec::new();
    for room in ROOMS {
        all.push(said(&pruned(&house, room, None).await));
    }
    assert!(all.iter().all(|one| *one == all[0]), "{all:#?}");
    let before = versions(&house.bucket, "").await.len();
    let done = pruned(&house, 2, Some(&house.bucket)).await;
    assert_eq!(said(&done), all[0]);
    let gone: u64 = done.deleted.values().map(|count| count.versions).sum();
    assert!(gone > 10, "{:?}", done.deleted);
    assert_eq!(versions(&house.bucket, "").await.len() as u64, before as u64 - gone);
    assert_eq!(house.made.restore_all().await.unwrap().len() as u64, done.snapshots);
}

#[tokio::test(flavor = "multi_thread")]
async fn g12_a_header_with_more_versions_than_a_run_looks_at_stays_and_is_reported() {
    let (house, _state) = aged().await;
    let over = pruned(&house, ROOMS[0], None).await.deleted["snapshots"].versions;
    let headers = keys(&house.bucket, layout::SNAPSHOTS).await;
    for no in 0..over {
        house.bucket.overwrite(&headers[0], format!("junk {no}").into_bytes());
    }
    house.clock.pass(Span::days(1));
    let told = |done: &Pruned| {
        let found = done.findings.iter().filter(|finding| finding.code == "prune.versions");
        found.map(|finding| finding.object.clone().unwrap()).collect::<Vec<_>>()
    };
    let first = pruned(&house, 1, Some(&house.bucket)).await;
    assert!(told(&first).iter().any(|key| *key == headers[0].as_str()), "{:?}", first.findings);
    assert!(keys(&house.bucket, layout::SNAPSHOTS).await.contains(&headers[0]));
    let all = pruned(&house, ROOMS[0], Some(&house.bucket)).await;
    assert_eq!(told(&all), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn g12_packs_stay_in_every_part_while_a_page_cannot_be_read() {
    let (house, _state) = aged().await;
    let gone = ObjectRef { hash: Hash::from_bytes([5; 32]), bytes: 9, version: None };
    let body = vec![ChunkRef { id: ChunkId::from_bytes([1; 32]), len: 5 }];
    let made = house.made.through(Arc::new(house.bucket.clone()));
    made.put_header(&Header { pages: vec![gone], body, ..made.header(99, Vec::new()) }).await;
    let packs = keys(&house.bucket, layout::PACKS).await;
    for room in ROOMS {
        let done = pruned(&house, room, Some(&house.bucket)).await;
        let told = done.findings.iter().filter(|finding| finding.code == "page.damaged").count();
        assert_eq!((told, done.deleted.get("packs")), (1, None), "{room}: {:?}", done.deleted);
    }
    assert_eq!(keys(&house.bucket, layout::PACKS).await, packs);
}

/// What is asked of the store by a verification, a renewal and a pruning that change nothing, and how often a page is damaged.
async fn asked(house: &House, room: usize) -> (u64, [usize; 3]) {
    let counted = Arc::new(Counted::new(Arc::new(house.bucket.clone())));
    let mut vault = Vault::open(Arc::clone(&counted) as _, Some(house.made.id)).await.unwrap();
    vault.room = room;
    let (silent, cancel) = (Arc::new(Silent), Cancel::default());
    let verified = audit::verify(&vault, &VerifyRequest::new(Depth::Locks), silent, &cancel).await.unwrap();
    let renewed = renew(&vault, true, &Silent, &cancel).await.unwrap();
    let request = PruneRequest { grace: Span::ZERO, clock_is_right: true };
    let pruned = prune(&vault, None, request, &Silent, &cancel).await.unwrap();
    let target = bucket(&house.clock);
    replicate(&vault, target, &wanted("the first"), &Silent, &cancel).await.unwrap();
    let calls = counted.calls();
    let damaged = |findings: &mut dyn Iterator<Item = &Finding>| findings.filter(|f| f.code == "page.damaged").count();
    let told = [
        damaged(&mut verified.findings.iter()),
        damaged(&mut renewed.findings.iter()),
        damaged(&mut pruned.findings.iter()),
    ];
    (calls.get + calls.head, told)
}

#[tokio::test(flavor = "multi_thread")]
async fn g12_pages_that_never_were_are_not_asked_for() {
    let (house, _state) = aged().await;
    let mut before = Vec::new();
    for room in ROOMS {
        before.push(asked(&house, room).await);
    }
    let gone = |no: u64| ObjectRef { hash: hash::hash(&no.to_le_bytes()), bytes: 90_000, version: None };
    let body = vec![ChunkRef { id: ChunkId::from_bytes([1; 32]), len: 5 }];
    let made = house.made.through(Arc::new(house.bucket.clone()));
    made.put_header(&Header { pages: (0..400).map(gone).collect(), body, ..made.header(99, Vec::new()) }).await;
    for (room, (calls, told)) in ROOMS.into_iter().zip(before) {
        let (now, damaged) = asked(&house, room).await;
        assert_eq!(told, [0; 3], "{room}");
        assert!(damaged.iter().all(|count| *count > 10), "{room}: {damaged:?}");
        // Its header is read in every part.
        assert!(now < calls + 250, "{room}: {calls} calls before and {now} with 400 pages that are not there");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g12_packs_that_never_were_are_not_asked_for_by_a_restore_without_indexes() {
    let (house, _state) = aged().await;
    let counted = Arc::new(Counted::new(Arc::new(house.bucket.clone())));
    let made = house.made.through(Arc::clone(&counted) as _);
    let vault = Vault::open(Arc::clone(&made.store), Some(made.id)).await.unwrap();
    let listing = snapshots::list(&vault).await.unwrap();
    let mut header = vault.whole(listing.snapshots.last().unwrap()).await.unwrap().header;
    let packs = keys(&house.bucket, layout::PACKS).await.len() as u64;
    let absent = |no: u64| PackRef { id: PackId::from_bytes([u8::try_from(no).unwrap(); 32]), bytes: 9, version: None };
    header.pages.push(made.put_page((0..250).map(absent).collect()).await);
    (header.seq, header.indexes) = (99, Vec::new());
    made.put_header(&header).await;
    let listing = snapshots::list(&vault).await.unwrap();
    let forged = listing.snapshots.iter().find(|one| one.header.seq == 99).unwrap();
    let header = vault.whole(forged).await.unwrap();
    let before = counted.calls();
    let snapshot = Snapshot::open(&vault, header, &made.owner).await.unwrap();
    let stream = &snapshot.body.streams[0];
    snapshot.restore_stream(stream, Box::new(std::io::sink()), Arc::new(Silent), Cancel::default()).await.unwrap();
    let calls = counted.calls();
    let asked = calls.get + calls.head - before.get - before.head;
    assert!(asked < 4 * packs + 40, "{asked} calls for {packs} packs that are there and 250 that are not");
}

#[tokio::test(flavor = "multi_thread")]
async fn g12_a_renewal_in_parts_extends_what_one_at_once_extends() {
    let (house, _state) = aged().await;
    let mut all = Vec::new();
    for room in ROOMS {
        let done = renew(&vault(&house, room).await, true, &Silent, &Cancel::default()).await.unwrap();
        let mut findings: Vec<String> = done.findings.iter().map(|finding| format!("{finding:?}")).collect();
        findings.sort();
        let counts = [done.snapshots, done.objects, done.updates, done.bytes];
        all.push(format!("{counts:?} {:?} {:?} {findings:?}", done.extended_until, done.weakest_lock));
        assert!(done.objects > 8, "{counts:?}");
    }
    assert!(all.iter().all(|one| *one == all[0]), "{all:#?}");
    let done = renew(&vault(&house, 2).await, false, &Silent, &Cancel::default()).await.unwrap();
    let again = renew(&vault(&house, ROOMS[0]).await, false, &Silent, &Cancel::default()).await.unwrap();
    assert!(done.updates > 0 && again.updates == 0, "{} and {}", done.updates, again.updates);
}

/// A snapshot with so many pages of one pack each, of which one may be nowhere.
async fn paged(made: &Made, seq: u64, pages: u64, absent: Option<u64>) -> SnapshotId {
    let mut named: Vec<ObjectRef> = Vec::new();
    for no in 0..pages {
        let pack = if absent == Some(no) {
            PackRef { id: PackId::from_bytes([7; 32]), bytes: 9, version: None }
        } else {
            made.put_pack(&noise(seq * 100 + no, 500), Directory { blocks: Vec::new() }).await.0
        };
        named.push(made.put_page(vec![pack]).await);
    }
    let body = vec![ChunkRef { id: ChunkId::from_bytes([1; 32]), len: 5 }];
    let source: Name = format!("s{seq}").parse().unwrap();
    made.put_header(&Header { pages: named, body, source, ..made.header(seq, Vec::new()) }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn g12_a_copy_of_snapshots_with_many_pages_is_made_a_few_pages_at_a_time() {
    for room in [1 << 17, 3, 1] {
        let clock = HandClock::new();
        let made = make(Arc::new(MemoryStore::new(clock.clone())), clock.clone(), explicit()).await;
        let (one, bad) = (paged(&made, 1, 5, None).await, paged(&made, 2, 5, Some(3)).await);
        let last = paged(&made, 3, 1, None).await;
        let target = bucket(&clock);
        let mut vault = Vault::open(Arc::clone(&made.store), Some(made.id)).await.unwrap();
        vault.room = room;
        let mut would = wanted("the first");
        would.copy.dry_run = true;
        let (rehearsed, _) = replicate(&vault, Arc::clone(&target), &would, &Silent, &Cancel::default()).await.unwrap();
        assert_eq!((rehearsed.copied.len(), keys(&*target, "").await.len()), (3, 0), "{room}");
        let asked = wanted("the first");
        let (report, findings) =
            replicate(&vault, Arc::clone(&target), &asked, &Silent, &Cancel::default()).await.unwrap();
        assert_eq!((report.copied.clone(), report.left_out.clone()), (vec![one, last], vec![bad]), "{room}");
        assert_eq!(must_be_closed(&made, &*target, "in parts").await, 2, "{room}");
        assert!(findings.iter().any(|finding| finding.code == "copy.damaged"), "{room}: {findings:?}");
        // Of the one that can't be there, no page that names what is not there.
        assert!((6..=10).contains(&keys(&*target, layout::LISTS).await.len()), "{room}");
        let (again, _) = replicate(&vault, target, &asked, &Silent, &Cancel::default()).await.unwrap();
        assert_eq!((again.copied.len(), again.there), (0, 2), "{room}");
    }
}
