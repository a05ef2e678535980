//! What the catalog promises, call by call.

mod fill;
mod memory;
mod model;
mod replace;

use std::path::Path;

use super::*;
use crate::model::{ChunkId, Lock, LockMode, Name, PackId, SnapshotId, Time, VaultId};

const VAULT: VaultId = VaultId::from_bytes([0xab; 32]);

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn open(state: &Path) -> Opened {
    Catalog::open(state, VAULT, &name("db1")).unwrap()
}

fn existing(state: &Path) -> Catalog {
    let Opened::Existing(catalog) = open(state) else { panic!("the catalog is not the one left there") };
    catalog
}

/// An id whose bytes are spread like those of a hash.
fn bytes(n: u64) -> [u8; 32] {
    *blake3::hash(&n.to_le_bytes()).as_bytes()
}

fn chunk(n: u64) -> ChunkId {
    ChunkId::from_bytes(bytes(n))
}

fn pack(n: u64) -> PackId {
    PackId::from_bytes(bytes(n))
}

fn lock(until: i64) -> Lock {
    Lock { mode: LockMode::Compliance, until: Time::from_unix(until) }
}

/// A copy of the files as they are now: what a killed run leaves.
fn copied(state: &Path) -> tempfile::TempDir {
    let crashed = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(state).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), crashed.path().join(entry.file_name())).unwrap();
    }
    crashed
}

fn new_pack(n: u64, chunks: &[(ChunkId, Option<ChunkId>)]) -> NewPack<'_> {
    NewPack { id: pack(n), bytes: 1000 + n, version: None, lock: None, section: b"section", chunks }
}

fn indexed_pack(n: u64, chunks: &[(u64, Option<u64>)]) -> IndexedPack {
    let chunks = chunks.iter().map(|(id, base)| (chunk(*id), base.map(chunk))).collect();
    IndexedPack { id: pack(n), bytes: 1000 + n, version: None, chunks }
}

fn record(catalog: &mut Catalog, n: u64, chunks: &[(u64, Option<u64>)]) -> Result<PackNo> {
    let chunks: Vec<_> = chunks.iter().map(|(id, base)| (chunk(*id), base.map(chunk))).collect();
    catalog.record_pack(&new_pack(n, &chunks))
}

fn look(catalog: &mut Catalog, ids: &[u64]) -> Vec<Option<Known>> {
    let ids: Vec<_> = ids.iter().map(|id| chunk(*id)).collect();
    let mut out = vec![None; 3];
    catalog.lookup(&ids, &mut out).unwrap();
    out
}

#[allow(clippy::unnecessary_wraps, reason = "what a lookup answers")]
fn whole(pack: PackNo) -> Option<Known> {
    Some(Known { pack, base_pack: None })
}

#[allow(clippy::unnecessary_wraps, reason = "what a lookup answers")]
fn delta(pack: PackNo, base: PackNo) -> Option<Known> {
    Some(Known { pack, base_pack: Some(base) })
}

#[test]
fn chunks_are_found_where_they_were_stored_last_and_in_the_order_asked() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalog = open(dir.path()).into_catalog();
    assert!(catalog.is_empty());
    let first = record(&mut catalog, 1, &[(10, None), (11, None)]).unwrap();
    assert!(!catalog.is_empty());
    let second = record(&mut catalog, 2, &[(13, Some(10)), (12, None), (14, Some(12)), (11, None)]).unwrap();
    assert!(first < second);
    let answers = [None, delta(second, second), whole(first), whole(second), delta(second, first), whole(first)];
    assert_eq!(look(&mut catalog, &[99, 14, 10, 11, 13, 10]), answers);
    assert_eq!(look(&mut catalog, &[]), []);

    drop(catalog);
    let mut catalog = existing(dir.path());
    assert!(!catalog.is_empty());
    assert_eq!(look(&mut catalog, &[99, 14, 10, 11, 13, 10]), answers);
    assert_eq!(catalog.counts().unwrap(), (5, 2, 0));
}

#[test]
fn a_delta_needs_a_whole_chunk_that_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalog = open(dir.path()).into_catalog();
    let first = record(&mut catalog, 1, &[(10, None), (11, Some(10))]).unwrap();
    for base in [99, 11, 12] {
        let error = record(&mut catalog, 2, &[(12, Some(base)), (13, None)]).unwrap_err();
        assert_eq!(error.kind, CatalogErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains(&chunk(base).to_string()), "{error}");
    }
    assert_eq!(look(&mut catalog, &[12, 13]), [None, None], "nothing of a refused pack stays");
    assert_eq!(catalog.find_pack(&pack(2)).unwrap(), None);
    assert_eq!(catalog.pending(None, usize::MAX).unwrap().len(), 1);

    // A base stored again as a delta beside the delta on its whole copy.
    let third = record(&mut catalog, 3, &[(20, None), (10, Some(20)), (21, Some(10))]).unwrap();
    assert_eq!(look(&mut catalog, &[10, 21]), [delta(third, third), delta(third, first)]);
    let error = record(&mut catalog, 1, &[]).unwrap_err();
    assert_eq!(error.kind, CatalogErrorKind::Invalid, "a pack is acknowledged once: {error}");
}

#[test]
fn packs_are_found_by_number_and_id() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalog = open(dir.path()).into_catalog();
    let full = NewPack { version: Some("v.1"), lock: Some(lock(5_000)), ..new_pack(1, &[]) };
    let a = catalog.record_pack(&full).unwrap();
    let b = record(&mut catalog, 2, &[]).unwrap();
    let row_a = PackRow { no: a, id: pack(1), bytes: 1001, version: Some("v.1".to_owned()), lock: full.lock };
    let row_b = PackRow { no: b, id: pack(2), bytes: 1002, version: None, lock: None };
    assert_eq!(catalog.pack(a).unwrap(), row_a);
    assert_eq!(catalog.find_pack(&pack(2)).unwrap().as_ref(), Some(&row_b));
    assert_eq!(catalog.find_pack(&pack(3)).unwrap(), None);
    assert_eq!(catalog.packs([b, a, b]).unwrap(), [row_a, row_b]);
    assert_eq!(catalog.packs([b, PackNo(77)]).unwrap_err().kind, CatalogErrorKind::Invalid);

    let governed = Lock { mode: LockMode::Governance, until: Time::from_unix(9_000) };
    catalog.set_lock(b, Some(governed)).unwrap();
    catalog.set_lock(a, None).unwrap();
    assert_eq!(catalog.pack(b).unwrap().lock, Some(governed));
    assert_eq!(catalog.pack(a).unwrap().lock, None);
    assert_eq!(catalog.set_lock(PackNo(77), None).unwrap_err().kind, CatalogErrorKind::Invalid);

    let huge = NewPack { bytes: u64::MAX, ..new_pack(4, &[]) };
    assert_eq!(catalog.record_pack(&huge).unwrap_err().kind, CatalogErrorKind::Invalid);
}

#[test]
fn forgetting_a_pack_takes_its_chunks_and_the_deltas_on_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalog = open(dir.path()).into_catalog();
    let first = record(&mut catalog, 1, &[(10, None), (11, None)]).unwrap();
    let second = record(&mut catalog, 2, &[(12, None), (13, Some(10)), (14, Some(12))]).unwrap();
    catalog.forget_pack(first).unwrap();
    catalog.forget_pack(first).unwrap();
    let left = [None, None, whole(second), None, delta(second, second)];
    let sections: Vec<_> = catalog.pending(None, usize::MAX).unwrap().into_iter().map(|(no, _)| no).collect();
    assert_eq!(sections, [second], "a lost pack is never indexed");
    assert_eq!(catalog.find_pack(&pack(1)).unwrap(), None);
    assert!(record(&mut catalog, 3, &[(15, Some(11))]).is_err(), "no new delta leans on it");

    drop(catalog);
    let mut catalog = existing(dir.path());
    assert_eq!(look(&mut catalog, &[10, 11, 12, 13, 14]), left);
    assert_eq!(catalog.counts().unwrap(), (2, 1, 0));
    assert_eq!(catalog.sweep().unwrap(), 3);
    assert_eq!(catalog.sweep().unwrap(), 0);
    assert_eq!(look(&mut catalog, &[10, 11, 12, 13, 14]), left);
    assert_eq!(catalog.counts().unwrap(), (2, 1, 0));

    catalog.forget_pack(second).unwrap();
    assert!(catalog.is_empty());
    assert!(record(&mut catalog, 4, &[]).unwrap() > second, "numbers are not used twice");
}

#[test]
fn sections_wait_for_an_index_through_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalog = open(dir.path()).into_catalog();
    let nos: Vec<_> = (0_u8..3)
        .map(|n| catalog.record_pack(&NewPack { section: &[n; 4], ..new_pack(n.into(), &[]) }).unwrap())
        .collect();
    let crashed = copied(dir.path());
    let mut catalog = existing(crashed.path());
    let all: Vec<_> = nos.iter().zip(0_u8..).map(|(no, n)| (*no, vec![n; 4])).collect();
    assert_eq!(catalog.pending(None, usize::MAX).unwrap(), all);
    catalog.mark_indexed(&[nos[0], nos[2]]).unwrap();
    assert_eq!(catalog.pending(None, usize::MAX).unwrap(), [(nos[1], vec![1; 4])]);
    catalog.record_indexed_packs(&[indexed_pack(1, &[])]).unwrap();
    assert_eq!(catalog.pending(None, usize::MAX).unwrap(), [], "found in an index after all");
    assert_eq!(catalog.counts().unwrap(), (0, 3, 0));
}

#[test]
fn objects_and_runs_come_back_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalog = open(dir.path()).into_catalog();
    let page = |bytes, lock| ObjectRow { key: "lists/db1/ab".to_owned(), bytes, version: Some("v".to_owned()), lock };
    catalog.remember_object(&page(1, None)).unwrap();
    catalog.remember_object(&page(2, Some(lock(77)))).unwrap();
    assert_eq!(catalog.object("lists/db1/ab").unwrap(), Some(page(2, Some(lock(77)))));
    assert_eq!(catalog.object("lists/db1/AB").unwrap(), None);
    catalog.forget_object("lists/db1/ab").unwrap();
    assert_eq!(catalog.object("lists/db1/ab").unwrap(), None);

    let run = |seq: u64, source: &str| RunRow {
        seq,
        snapshot: SnapshotId::from_bytes(bytes(seq)),
        source: name(source),
        finished: Time::from_unix(1_000 + seq.cast_signed()),
        bytes_read: seq * 10,
        bytes_stored: seq,
    };
    for (seq, source) in [(2, "wiki"), (1, "orders"), (3, "orders"), (3, "orders")] {
        catalog.record_run(&run(seq, source)).unwrap();
    }
    assert_eq!(catalog.runs(None, 2).unwrap(), [run(3, "orders"), run(2, "wiki")]);
    assert_eq!(catalog.runs(Some(&name("orders")), 9).unwrap(), [run(3, "orders"), run(1, "orders")]);
    assert_eq!(catalog.counts().unwrap(), (0, 0, 3));
    // Numbers go on to the last there is, and of those that share it the one that was made last is the newest.
    let late = |seq, id, at| RunRow {
        seq,
        snapshot: SnapshotId::from_bytes(bytes(id)),
        finished: Time::from_unix(at),
        ..run(4, "orders")
    };
    let late = [late(u64::MAX, 9, 2_002), late(u64::MAX, 8, 2_001), late(1 << 63, 7, 2_000)];
    for run in late.iter().rev() {
        catalog.record_run(run).unwrap();
    }
    assert_eq!(catalog.runs(None, 4).unwrap(), [&late[..], &[run(3, "orders")]].concat());
}

#[test]
fn clear_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalog = open(dir.path()).into_catalog();
    let first = record(&mut catalog, 1, &[(10, None)]).unwrap();
    let last = record(&mut catalog, 2, &[(11, None)]).unwrap();
    catalog.forget_pack(first).unwrap();
    catalog.clear().unwrap();
    assert!(catalog.is_empty());
    assert_eq!(look(&mut catalog, &[10, 11]), [None, None]);
    assert_eq!(catalog.pending(None, usize::MAX).unwrap(), []);
    assert_eq!(catalog.counts().unwrap(), (0, 0, 0));
    let again = record(&mut catalog, 2, &[(10, None)]).unwrap();
    assert!(again > last);
    assert_eq!(look(&mut catalog, &[10]), [whole(again)]);
}

#[test]
fn a_hundred_thousand_chunks() {
    const PACKS: u64 = 100;
    const EACH: u64 = 1000;
    let dir = tempfile::tempdir().unwrap();
    let mut catalog = open(dir.path()).into_catalog();
    let mut nos = Vec::new();
    for n in 0..PACKS {
        let chunks: Vec<_> = (n * EACH..(n + 1) * EACH).map(|id| (id, None)).collect();
        nos.push(record(&mut catalog, n, &chunks).unwrap());
    }
    assert_eq!(catalog.counts().unwrap(), (PACKS * EACH, PACKS, 0));
    let ids: Vec<_> = (0..PACKS * EACH).rev().step_by(7).chain([PACKS * EACH]).collect();
    for (id, answer) in ids.iter().zip(look(&mut catalog, &ids)) {
        let expected = usize::try_from(id / EACH).ok().and_then(|n| nos.get(n)).and_then(|no| whole(*no));
        assert_eq!(answer, expected, "chunk {id}");
    }
}
