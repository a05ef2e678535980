//! What a pass of `watch` costs, and what it says of a writer that was taken over: headers signed with its key, put by hand.

use std::{collections::BTreeMap, sync::Arc};

use strongroom::{
    format::{
        header::{Header, snapshot_id},
        layout,
    },
    model::{Cancel, Finding, Name, Progress, Silent, Span},
    ops::watch::{Checkpoint, WatchReport, WatchRequest, watch},
    store::{
        ObjectStore, Payload,
        counted::{Calls, Counted},
        memory::MemoryStore,
    },
    vault::Vault,
};

use crate::{
    store_support::HandClock,
    vault_support::{Made, dump, make, policy, streams},
};

/// A vault whose clock is turned by hand, with a day's backup of `dump` for each of `days`.
async fn days(days: u64) -> (Made, Arc<HandClock>, tempfile::TempDir) {
    let clock = HandClock::new();
    let made = make(Arc::new(MemoryStore::new(clock.clone())), clock.clone(), policy()).await;
    let state = tempfile::tempdir().unwrap();
    for day in 0..days {
        made.backup(state.path(), "dump", streams([("dump", dump(day, 40_000 + 100 * usize::try_from(day).unwrap()))]))
            .await
            .unwrap();
        clock.pass(Span::days(1));
    }
    (made, clock, state)
}

async fn look(
    made: &Made,
    with_key: bool,
    checkpoint: Option<Checkpoint>,
    every: Option<Span>,
) -> (WatchReport, Vec<Finding>, Calls) {
    let store = Arc::new(Counted::new(Arc::clone(&made.store)));
    let vault = Vault::open(Arc::clone(&store) as Arc<dyn ObjectStore>, Some(made.id)).await.unwrap();
    let schedule: BTreeMap<Name, Span> = every.map(|every| ("dump".parse().unwrap(), every)).into_iter().collect();
    let opener = with_key.then(|| made.owner.clone());
    let request = WatchRequest { opener, schedule, expected: Vec::new(), checkpoint, acknowledge: Vec::new() };
    let (report, findings) =
        watch(&vault, request, &(Arc::new(Silent) as Arc<dyn Progress>), &Cancel::default()).await.unwrap();
    (report, findings, store.calls())
}

/// The newest header of the vault.
async fn newest(made: &Made) -> (Header, strongroom::model::SnapshotId) {
    let vault = Vault::open(Arc::clone(&made.store), Some(made.id)).await.unwrap();
    let newest = strongroom::vault::snapshots::list(&vault).await.unwrap().snapshots.pop().unwrap();
    (vault.whole(&newest).await.unwrap().header, newest.id)
}

/// Puts a header that the writer's key signs, after the newest one.
async fn put(made: &Made, change: impl Fn(&mut Header)) {
    let (header, id) = newest(made).await;
    put_after(made, (header, id), &change).await;
}

async fn put_after(
    made: &Made,
    (mut header, id): (Header, strongroom::model::SnapshotId),
    change: &impl Fn(&mut Header),
) -> (Header, strongroom::model::SnapshotId) {
    header.seq += 1;
    header.prev = vec![id];
    header.started_at = made.clock.now();
    header.claimed_at = made.clock.now();
    header.floor_until = header.started_at + Span::days(35);
    header.expires_at = header.floor_until;
    change(&mut header);
    let (id, public) = header.seal(&made.writer.signing_key).unwrap();
    assert_eq!(id, snapshot_id(public.bytes()));
    let lock = policy().lock_from(made.clock.now());
    made.store
        .put_new(&layout::header(&header.writer, header.seq, &id), &Payload::Public(public), Some(lock))
        .await
        .unwrap();
    (header, id)
}

fn rules(report: &WatchReport) -> Vec<String> {
    report.open.iter().flat_map(|signal| signal.reasons.iter().map(|reason| reason.rule.clone())).collect()
}

fn has(findings: &[Finding], code: &str) -> bool {
    findings.iter().any(|finding| finding.code == code)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_of_watch_asks_for_what_is_new() {
    let (made, clock, state) = days(8).await;
    let mut last = newest(&made).await;
    for _ in 0..1000 {
        clock.pass(Span::seconds(600));
        last = put_after(&made, last, &|header| header.source = "other".parse().unwrap()).await;
    }
    let (first, findings, calls) = look(&made, false, None, None).await;
    assert_eq!((first.new, first.snapshots), (1008, 1008), "{findings:?}");
    println!("first pass over 1008 headers: {calls:?}");
    // Nothing new: the descriptor, certificates, the listing, records of copies, the time.
    let (idle, _, calls) = look(&made, true, Some(first.checkpoint.clone()), None).await;
    println!("nothing new: {calls:?}");
    assert_eq!(idle.new, 0);
    assert!(calls.get + calls.head + calls.list <= 9, "{calls:?}");
    // One new snapshot, opened: its header, pages, indexes, body, and the pages of the one before it.
    made.backup(state.path(), "dump", streams([("dump", dump(99, 41_000))])).await.unwrap();
    let (one, findings, calls) = look(&made, true, Some(first.checkpoint), None).await;
    println!("one new snapshot: {calls:?} {findings:?}");
    assert_eq!((one.new, one.opened), (1, 1));
    // Where chunks end is each vault's own, and so is when indexes are merged: nine runs leave one to nine.
    assert!(calls.get + calls.head + calls.list <= 24 && calls.bytes < 2 << 20, "{calls:?}");
    let size = serde_json::to_vec(&one.checkpoint).unwrap().len();
    assert!(size < 512 << 10, "a checkpoint of 1009 headers has {size} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_was_taken_over_is_noticed() {
    // It says more than it has, in its header; and says that all is well.
    let (made, clock, _state) = days(14).await;
    let (calm, findings, _) = look(&made, true, None, Some(Span::days(1))).await;
    assert!(calm.open.is_empty() && findings.is_empty(), "{:?} {findings:?}", calm.open);
    put(&made, |header| header.totals.bytes += 1).await;
    let (_, findings, _) = look(&made, true, Some(calm.checkpoint.clone()), None).await;
    assert!(has(&findings, "header.false"), "{findings:?}");

    // It puts again each day what it put before.
    let mut checkpoint = calm.checkpoint.clone();
    let mut said = Vec::new();
    for _ in 0..4 {
        clock.pass(Span::days(1));
        put(&made, |header| header.totals = calm_totals(header)).await;
        let (report, _, _) = look(&made, true, Some(checkpoint), None).await;
        said = rules(&report);
        checkpoint = report.checkpoint;
    }
    assert!(said.contains(&"state.frozen".to_owned()), "{said:?}");

    // It goes quiet. Whether that was configured or learned makes the difference of what is owed.
    let (made, clock, _state) = days(14).await;
    let (calm, ..) = look(&made, false, None, None).await;
    clock.pass(Span::days(2));
    let (quiet, findings, _) = look(&made, false, Some(calm.checkpoint.clone()), None).await;
    assert_eq!(rules(&quiet), ["runs.quiet"]);
    assert!(findings.is_empty(), "{findings:?}");
    let (_, findings, _) = look(&made, false, Some(calm.checkpoint.clone()), Some(Span::days(1))).await;
    assert!(has(&findings, "source.stale"), "{findings:?}");

    // It floods: the flood is told, and what was usual before is not forgotten.
    let mut last = newest(&made).await;
    for _ in 0..200 {
        last = put_after(&made, last, &|header| header.totals.bytes = 9).await;
    }
    let (flood, ..) = look(&made, false, Some(quiet.checkpoint), None).await;
    let said = rules(&flood);
    assert!(said.contains(&"data.collapsed".to_owned()) && said.contains(&"runs.flood".to_owned()), "{said:?}");
    assert!(!said.contains(&"runs.quiet".to_owned()), "it is quiet no more");
    assert!(flood.open.len() <= 3, "{}", flood.open.len());
    let history = &flood.checkpoint.sources["w1/dump"].history;
    assert!(history.iter().filter(|facts| facts.bytes > 30_000).count() >= 13);

    // A second header of one number, and one that leaves numbers out.
    let first = last.clone();
    put_after(&made, last.clone(), &|header| header.totals.bytes = 8).await;
    let (report, ..) = look(&made, false, Some(flood.checkpoint), None).await;
    put_after(&made, first, &|header| header.seq += 7).await;
    let (_, findings, _) = look(&made, false, Some(report.checkpoint), None).await;
    assert!(has(&findings, "chain.fork"), "{findings:?}");
}

/// What the header said before somebody changed it.
fn calm_totals(header: &Header) -> strongroom::format::header::Totals {
    strongroom::format::header::Totals {
        bytes: header.totals.bytes - u64::from(header.totals.bytes % 100 == 1),
        ..header.totals
    }
}
