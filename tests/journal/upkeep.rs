//! Every call to the store fails once under whatever keeps, prunes and recovers a vault with journals: nothing that is needed
//! goes, no lock stays short in silence, and what is laid out is right or not there.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use serde_json::json;
use strongroom::{
    catalog::{Bases, Catalog},
    cli::target::{Cluster, Replay},
    model::{Cancel, FileMeta, Severity, Silent, SourceKind, Span as Duration, Tiers, journal::Position},
    ops::{
        recover::{Places, Point, RecoverRequest, Target, recover},
        snapshots::Wanted,
    },
    store::Deleter,
    vault::{
        Vault,
        audit::{self, Depth, VerifyRequest},
        input::{Facts, Incoming, Reading},
        upkeep::{
            prune::{self, PruneRequest},
            renew,
        },
        writer::{self, Request},
    },
};

use crate::{
    faults::{Fault, FaultyStore, When},
    lab::{Lab, START, line, span},
};

const FAULTS: [Fault; 2] = [Fault::Error, Fault::AppliedButUnanswered];

fn faulty(lab: &Lab, at: u64, fault: Fault) -> Arc<FaultyStore> {
    let when = if at == 0 { When::Never } else { When::At(at) };
    FaultyStore::with_deleter(Arc::new(lab.store.clone()), Arc::new(lab.store.clone()), when, fault)
}

async fn opened(lab: &Lab, store: &Arc<FaultyStore>) -> Result<Vault, String> {
    Vault::open(Arc::clone(store) as _, Some(lab.made.id)).await.map_err(|e| e.to_string())
}

/// What is wrong with the vault's journals and locks.
async fn wrong(lab: &Lab) -> Vec<String> {
    let request = VerifyRequest::new(Depth::Read);
    let report = audit::verify(&lab.vault().await, &request, Arc::new(Silent), &Cancel::default()).await.unwrap();
    let newest = report.recoveries.iter().filter_map(|one| one.to).max();
    let short = newest.is_none_or(|to| to.0 != START + 4000);
    // That the oldest base is gone, of which nobody knows any more how old it was, is told too.
    let bad = report.findings.iter().filter(|f| f.severity >= Severity::Weak && f.code != "header.missing");
    let found: Vec<String> = bad.map(|f| format!("{f:?}")).collect();
    found.into_iter().chain(short.then(|| format!("the newest base comes to {newest:?}"))).collect()
}

/// Old bases with log that nothing needs any more, and one that is to stay.
async fn aged(renewed: bool) -> Lab {
    let lab = Lab::new().await;
    let writer = lab.writer();
    lab.base(0).await;
    lab.put(&writer, 0, 1000).await;
    lab.put(&writer, 1000, 2000).await;
    lab.clock.pass(Duration::days(75));
    // The newest stay, however old they are.
    for at in 0..3 {
        lab.base(2000 + at).await;
    }
    lab.put(&writer, 2000, 3000).await;
    lab.put(&writer, 3000, 4000).await;
    lab.clock.pass(Duration::days(34));
    if renewed {
        renew::renew(&lab.vault().await, false, &Silent, &Cancel::default()).await.unwrap();
    }
    lab
}

/// A call that fails fails the run, or is told; either way the next run does what is left, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_and_a_pruning_that_fail_anywhere_are_made_good_by_the_next() {
    let request = PruneRequest { grace: Duration::days(1), clock_is_right: true };
    let mut bad = Vec::new();
    for what in ["renew", "prune"] {
        let (mut right, mut calls) = (None, 0);
        for (fault, at) in [0].into_iter().chain(1..).flat_map(|at| FAULTS.map(|fault| (fault, at))) {
            if at > calls && at > 0 {
                break;
            }
            // A renewal is the same whichever way a call fails: each way at every other call.
            if what == "renew" && (at % 2 == 0) != (fault == FAULTS[0]) {
                continue;
            }
            let lab = aged(what == "prune").await;
            let store = faulty(&lab, at, fault);
            let done = match (opened(&lab, &store).await, what) {
                (Err(error), _) => Err(error),
                (Ok(vault), "renew") => renew::renew(&vault, false, &Silent, &Cancel::default())
                    .await
                    .map(|done| format!("{:?}", done.findings))
                    .map_err(|e| e.to_string()),
                (Ok(vault), _) => {
                    let deleter: &dyn Deleter = &*store;
                    prune::prune(&vault, Some(deleter), request, &Silent, &Cancel::default())
                        .await
                        .map(|done| format!("{:?}", done.findings))
                        .map_err(|e| e.to_string())
                }
            };
            calls = calls.max(store.calls());
            let mut note = |why: String| bad.push(format!("{what}, {fault:?} at {at}: {why}"));
            match &done {
                Err(error) if at == 0 || !error.contains("injected") => note(error.clone()),
                _ => {}
            }
            // Whatever came of it, what is needed is there.
            if what == "prune" {
                wrong(&lab).await.into_iter().for_each(&mut note);
            }
            let vault = lab.vault().await;
            // Who says that all is done has done it.
            if done.as_ref().is_ok_and(|told| !told.contains("injected")) {
                let due = renew::renew(&vault, true, &Silent, &Cancel::default()).await.unwrap().updates;
                let left = lab.keys().await.len();
                if what == "renew" && due > 0 || what == "prune" && left != 2 {
                    note(format!("{due} locks are due, {left} pieces are left, and it said nothing"));
                }
            }
            if what == "renew" {
                renew::renew(&vault, false, &Silent, &Cancel::default()).await.unwrap();
            } else {
                prune::prune(&vault, Some(&lab.store as &dyn Deleter), request, &Silent, &Cancel::default())
                    .await
                    .unwrap();
            }
            wrong(&lab).await.into_iter().for_each(&mut note);
            let left = lab.keys().await.len();
            if *right.get_or_insert(left) != left {
                note(format!("{left} pieces are left"));
            }
        }
        assert!(calls > 10, "{what}: {calls} calls");
        assert_eq!(right, Some(if what == "renew" { 4 } else { 2 }), "{what}: {bad:#?}");
    }
    assert!(bad.is_empty(), "{bad:#?}");
}

/// The length of the segments of the log that is recovered.
const SEGMENT: u64 = 1 << 20;
const PAGE: usize = 8192;
/// A file of the cluster.
static FILE: &[u8] = &[7; 90_000];

/// A log of records that follow each other, with the headers of its pages, from `START` on.
fn records(count: u32) -> Vec<u8> {
    let mut log: Vec<u8> = Vec::new();
    let mut before = 0_u64;
    for no in 0..count {
        log.resize(log.len().next_multiple_of(8), 0);
        let mut record = 70_000_u32.to_le_bytes().to_vec();
        record.extend(no.to_le_bytes());
        record.extend(before.to_le_bytes());
        record.resize(70_000, u8::try_from(no % 250).unwrap());
        // Of a manager that nothing is asked of.
        record[16..24].copy_from_slice(&[0, 10, 0, 0, 0, 0, 0, 0]);
        for (n, byte) in record.iter().enumerate() {
            if log.len().is_multiple_of(PAGE) {
                page(&mut log, record.len() - n, n > 0);
            }
            if n == 0 {
                before = START + log.len() as u64;
            }
            log.push(*byte);
        }
    }
    log
}

fn page(log: &mut Vec<u8>, left: usize, goes_on: bool) {
    let at = START + log.len() as u64;
    let first = at.is_multiple_of(SEGMENT);
    log.extend(0xd110_u16.to_le_bytes());
    log.extend((u16::from(goes_on) | if first { 2 } else { 0 }).to_le_bytes());
    log.extend(1_u32.to_le_bytes());
    log.extend(at.to_le_bytes());
    log.extend(if goes_on { u32::try_from(left).unwrap() } else { 0 }.to_le_bytes());
    log.extend([0; 4]);
    if first {
        log.extend(line(1).postgres_parts().unwrap().0.to_le_bytes());
        log.extend(u32::try_from(SEGMENT).unwrap().to_le_bytes());
        log.extend(u32::try_from(PAGE).unwrap().to_le_bytes());
    }
}

/// A copied cluster of a few files.
struct Copied(Option<Vec<u8>>);

impl Copied {
    fn new() -> Self {
        let mut tar = Vec::new();
        for (path, kind, data) in [
            ("PG_VERSION", b'0', b"15\n".as_slice()),
            ("pg_wal", b'5', b""),
            ("base", b'5', b""),
            ("base/1", b'0', FILE),
        ] {
            let mut header = [0; 512];
            header[..path.len()].copy_from_slice(path.as_bytes());
            header[124..136].copy_from_slice(format!("{:011o}\0", data.len()).as_bytes());
            header[148..156].copy_from_slice(b"        ");
            header[156] = kind;
            let sum: u64 = header.iter().map(|b| u64::from(*b)).sum();
            header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            tar.extend(header);
            tar.extend(data);
            tar.resize(tar.len().next_multiple_of(512), 0);
        }
        tar.resize(tar.len() + 1024, 0);
        Self(Some(tar))
    }
}

impl Reading for Copied {
    fn next_stream(&mut self) -> strongroom::source::Result<Option<Incoming>> {
        Ok(self.0.take().map(|tar| Incoming {
            name: "base.tar".parse().unwrap(),
            path: None,
            meta: FileMeta::default(),
            expected: None,
            reader: Box::new(std::io::Cursor::new(tar)),
        }))
    }

    fn finish(self: Box<Self>) -> strongroom::source::Result<Facts> {
        let (from, end) = (Position(START), Position(START + 40));
        let base = json!({ "line": line(1), "from": from, "end": end, "end_timeline": 1, "segment": SEGMENT });
        let journal = Some(strongroom::model::journal::Start { line: line(1), from });
        Ok(Facts { details: json!({ "base": base }), journal, ..Facts::default() })
    }
}

async fn copied(lab: &Lab) {
    let made = &lab.made;
    let (place, state, id, name) = (made.place(), lab.state.path().to_owned(), made.id, made.writer.name.clone());
    let request = Request {
        source: Lab::source(),
        kind: SourceKind::Postgres,
        keep: None,
        tiers: Tiers::default(),
        full_every: None,
        allow_empty: false,
        level: 2,
        adapts: false,
        bases: Some(Arc::new(Bases::open(&state, id, &name, 1 << 20).unwrap())),
        warnings: Vec::new(),
        judge: None,
    };
    let runtime = tokio::runtime::Handle::current();
    let backup = move || {
        let mut catalog = Catalog::open(&state, id, &name).unwrap().into_catalog();
        writer::backup(&place, &runtime, &mut catalog, request, Box::new(Copied::new())).map(drop)
    };
    tokio::task::spawn_blocking(backup).await.unwrap().unwrap();
}

/// The files below a directory, and what is in them.
fn tree(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            found.insert(name.clone(), Vec::new());
            found.extend(tree(&entry.path()).into_iter().map(|(below, bytes)| (format!("{name}/{below}"), bytes)));
        } else {
            found.insert(name, std::fs::read(entry.path()).unwrap());
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_that_fails_anywhere_leaves_nothing_that_looks_like_a_cluster() {
    let lab = Lab::new().await;
    let (writer, log) = (lab.writer(), records(44));
    copied(&lab).await;
    let mut from = 0;
    for to in [300_000, 1 << 20, 1_400_000, 2 << 20, 2_500_000, log.len()] {
        let (at, end) = (START + from as u64, START + to as u64);
        writer.put(&line(1), span(at, end), &log[from..to], strongroom::model::Clock::now(&*lab.clock)).await.unwrap();
        from = to;
    }
    let (mut right, mut calls, mut whole) = (None, 0, 0);
    for at in 0.. {
        if at > calls && at > 0 {
            break;
        }
        let store = faulty(&lab, at, Fault::Error);
        let dir = tempfile::tempdir().unwrap();
        let done = match opened(&lab, &store).await {
            Err(error) => Err(error),
            Ok(vault) => {
                let request = RecoverRequest {
                    wanted: Wanted::Latest { source: Lab::source(), writer: None, at: None },
                    target: Target { point: Point::Latest, inclusive: true },
                    timeline: None,
                    fetch: None,
                };
                let (to, progress) = (dir.path().to_owned(), Arc::new(Silent) as _);
                let (mut cluster, mut replay) = (Cluster::new(to.clone(), Vec::new()), Replay::new(to));
                let places = Places { cluster: &mut cluster, replay: &mut replay };
                let done = recover(&vault, &lab.made.owner, &request, places, &progress, &Cancel::default()).await;
                done.map(|(_, findings)| assert!(findings.is_empty(), "{findings:?}")).map_err(|e| e.to_string())
            }
        };
        calls = calls.max(store.calls());
        let found = tree(dir.path());
        match done {
            Ok(()) => {
                whole += 1;
                assert!(*right.get_or_insert(found.clone()) == found, "call {at} fails, and what is laid out differs");
            }
            Err(error) => {
                assert!(at > 0 && error.contains("injected"), "{at}: {error}");
                assert!(!found.keys().any(|path| path.starts_with("orders")), "{at}: {:?}", found.keys());
            }
        }
    }
    let right = right.unwrap();
    let (mut segments, end) = (Vec::<u8>::new(), log.len().next_multiple_of(1 << 20));
    for no in 0..end as u64 / SEGMENT {
        segments.extend(&right[&format!("orders/pg_wal/0000000100000000{:08X}", START / SEGMENT + no)]);
    }
    assert!(segments[..log.len()] == log && segments[log.len()..].iter().all(|byte| *byte == 0));
    assert!(right["orders/base/1"] == FILE && right.contains_key("orders/recovery.signal"));
    assert!(calls > 15 && (1..calls).contains(&whole), "{calls} calls, {whole} whole");
}
