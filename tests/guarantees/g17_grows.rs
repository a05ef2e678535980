//! What a copy costs grows with what is missing: many objects that are there already cost listings alone.

use std::sync::Arc;

use bytes::Bytes;
use strongroom::{
    codec::hash,
    format::{copied::Copied, header::Header, layout, list::ChunkRef, page::PackRef},
    model::{ChunkId, PackId, SnapshotId, Span},
    store::{Payload, memory::MemoryStore},
};

use crate::{
    g17_elsewhere::{bucket, copied, explicit},
    store_support::HandClock,
    vault_support::{Made, make},
};

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

/// A snapshot of so many packs of its own. What is in them only a key could tell, and a copier has none.
async fn snapshot(made: &Made, seq: u64, packs: u64, prev: Option<SnapshotId>) -> SnapshotId {
    let mut named = Vec::new();
    for no in 0..packs {
        let bytes = Bytes::from(format!("pack {no} of snapshot {seq}"));
        let id = PackId::from_bytes(*hash::hash(&bytes).as_bytes());
        named.push(PackRef { id, bytes: bytes.len() as u64, version: None });
        let key = layout::pack(&made.writer.name, &id);
        let payload = Payload::Copied(Copied::of(&key, bytes).unwrap());
        made.store.put_new(&key, &payload, None).await.unwrap();
    }
    let pages = vec![made.put_page(named).await];
    let body = vec![ChunkRef { id: ChunkId::from_bytes([1; 32]), len: 5 }];
    made.put_header(&Header { pages, body, prev: prev.into_iter().collect(), ..made.header(seq, Vec::new()) }).await
}

/// `STRONGROOM_COPY_SNAPSHOTS=1000 STRONGROOM_COPY_PACKS=300` measures what docs/copies.md says.
#[tokio::test(flavor = "multi_thread")]
async fn g17_a_pass_costs_what_is_missing_however_much_is_there() {
    let (few, packs) = (number("STRONGROOM_COPY_SNAPSHOTS", 12), number("STRONGROOM_COPY_PACKS", 30));
    let mut costs = Vec::new();
    for snapshots in [4, few] {
        let clock = HandClock::new();
        let made = make(Arc::new(MemoryStore::new(clock.clone())), clock.clone(), explicit()).await;
        let mut prev = None;
        for seq in 1..=snapshots {
            prev = Some(snapshot(&made, seq, packs, prev).await);
            clock.pass(Span::seconds(60));
        }
        let target = bucket(&clock);
        let start = std::time::Instant::now();
        let first = copied(&made, &target).await;
        assert_eq!(first.copied.len() as u64, snapshots, "{first:?}");
        println!(
            "{} objects, the first: {:?} {:?} {:?}",
            first.objects,
            first.source_calls,
            first.target_calls,
            start.elapsed()
        );
        let start = std::time::Instant::now();
        let idle = copied(&made, &target).await;
        assert_eq!(idle.objects, 0, "{idle:?}");
        println!("nothing new: {:?} {:?} {:?}", idle.source_calls, idle.target_calls, start.elapsed());
        snapshot(&made, snapshots + 1, packs, prev).await;
        let start = std::time::Instant::now();
        let one = copied(&made, &target).await;
        assert_eq!((one.copied.len(), one.objects), (1, packs + 2), "{one:?}");
        println!("one more: {:?} {:?} {:?}", one.source_calls, one.target_calls, start.elapsed());
        let calls = |report: &strongroom::ops::replicate::ReplicateReport| {
            let (from, to) = (report.source_calls, report.target_calls);
            ([from.get, from.head, from.put, to.get, to.head, to.put], from.list + to.list)
        };
        costs.push((calls(&idle), calls(&one)));
    }
    let ((idle, one), (more_idle, more_one)) = (costs[0], costs[1]);
    assert_eq!((idle.0, one.0), (more_idle.0, more_one.0), "of a vault of 4 snapshots, and of one of {few}");
    // Listings have 1,000 names a page.
    let pages = |objects: u64| objects / 1000;
    assert!(more_idle.1 <= idle.1 + 4 * pages(few) && more_one.1 <= one.1 + 4 * pages(few * (packs + 4)), "{costs:?}");
}
