//! How often the store is asked, as a number of packs, pages, indexes and snapshots. docs/performance.md says what that
//! comes to.

use std::{path::Path, sync::Arc, time::Duration};

use strongroom::{
    model::{Cancel, Silent, SourceKind, Span},
    ops::backup::{BackupRequest, Job, backup},
    source::{Reading, Result as Read, Source},
    store::{
        ObjectStore,
        counted::{Calls, Counted},
    },
    vault::{
        Vault,
        audit::{self, Depth, VerifyRequest},
        upkeep::{prune, renew},
        writer::Workplace,
    },
};

use crate::{
    lab::fresh,
    vault_support::{Made, noise, streams},
};

const MIB: usize = 1 << 20;
/// What is read: nothing of it shrinks, so that the number of packs follows from it.
const DATA: usize = 64 * MIB;

/// A source in memory.
struct Given(Option<Vec<u8>>);

impl Source for Given {
    fn kind(&self) -> SourceKind {
        SourceKind::Stdin
    }

    fn open(&mut self) -> Read<Box<dyn Reading>> {
        Ok(Box::new(streams([("dump", self.0.take().unwrap())])))
    }
}

/// What a run made and what it asked for.
struct Run {
    calls: Calls,
    /// Packs that were there before and that the snapshot needs, and packs that it made.
    old: u64,
    new: u64,
    pages: u64,
    indexes: u64,
}

/// `backup`, from opening the vault on.
async fn run(made: &Made, state: &Path, data: Vec<u8>) -> Run {
    let before = packs(made).await;
    let store = Arc::new(Counted::new(Arc::clone(&made.store)));
    let place = Workplace {
        store: Arc::clone(&store) as Arc<dyn ObjectStore>,
        writer: Arc::clone(&made.writer),
        clock: Arc::clone(&made.clock),
        progress: Arc::new(Silent),
        cancel: Cancel::default(),
    };
    let request = BackupRequest {
        expected: Vec::new(),
        jobs: vec![Job {
            name: "dump".parse().unwrap(),
            source: Box::new(Given(Some(data))),
            allow_empty: false,
            group: None,
            timeout: None,
        }],
        keep: None,
        tiers: made.tiers,
        full_every: None,
        state: state.to_owned(),
        adapts: false,
        delta_cache: Some(made.delta_cache),
        pins: Vec::new(),
        clock_is_right: false,
        acknowledge: false,
        no_rebuild: false,
        requested: None,
        elapsed: Box::new(|| Duration::ZERO),
    };
    let runtime = tokio::runtime::Handle::current();
    let report = tokio::task::spawn_blocking(move || backup(&place, &runtime, request)).await.unwrap().unwrap();
    let failed: Vec<_> = report.failed.iter().map(|failed| failed.error.to_string()).collect();
    assert!(failed.is_empty(), "{failed:?}");
    let calls = store.calls();
    let vault = vault(made, &made.store).await;
    let newest = strongroom::vault::snapshots::list(&vault).await.unwrap().snapshots.pop().unwrap();
    let header = vault.whole(&newest).await.unwrap().header;
    let new = packs(made).await - before;
    let (pages, indexes) = (header.pages.len() as u64, header.indexes.len() as u64);
    Run { calls, old: header.totals.packs - new, new, pages, indexes }
}

/// All bytes in the vault.
async fn bytes(made: &Made) -> u64 {
    let mut bytes = 0;
    made.store.list("", &mut |entry| bytes += entry.bytes).await.unwrap();
    bytes
}

async fn packs(made: &Made) -> u64 {
    let mut packs = 0;
    made.store.list("packs/", &mut |_| packs += 1).await.unwrap();
    packs
}

async fn vault(made: &Made, store: &Arc<dyn ObjectStore>) -> Vault {
    Vault::open(Arc::clone(store), Some(made.id)).await.unwrap()
}

/// What `work` asks of the store of a vault, from opening it on.
async fn counted<T>(made: &Made, work: impl AsyncFnOnce(Vault) -> T) -> (Calls, T) {
    let store = Arc::new(Counted::new(Arc::clone(&made.store)));
    let vault = vault(made, &(Arc::clone(&store) as Arc<dyn ObjectStore>)).await;
    let done = work(vault).await;
    (store.calls(), done)
}

/// One run asks as often as it makes and needs objects, whatever there is else.
fn must_be_few(what: &str, run: &Run) {
    let Run { calls, old, new, pages, indexes } = run;
    println!("{what}: {calls:?}, {old} packs were there and {new} are new, {pages} pages, {indexes} indexes");
    assert!(calls.put <= new + pages + indexes + 1, "{what}: each new object once, the header last: {calls:?}");
    // The time; the lock of each object when it was put, and of all that the snapshot needs before the header.
    let locks = new + pages + indexes + 1 + (old + new + pages + indexes);
    assert!(calls.head <= 3 + locks, "{what}: {calls:?}");
    // The packs, the headers, the headers that the catalog knows, the evidence, and where somebody looks for what is older, by pages
    // of a thousand.
    assert!(calls.list <= 8, "{what}: {calls:?}");
    // The descriptor and the writer's certificate, the last header or two, and indexes that are merged.
    assert!(calls.get <= 4 + indexes, "{what}: {calls:?}");
    assert!(calls.bytes < MIB as u64, "{what}: no pack is read: {calls:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_asks_for_each_object_a_few_times() {
    let (_, made, state) = fresh().await;
    let data = noise(1, DATA);
    let first = run(&made, state.path(), data.clone()).await;
    must_be_few("the first run", &first);
    assert!(first.new <= 5, "16 MiB to a pack");
    let same = run(&made, state.path(), data.clone()).await;
    must_be_few("the same again", &same);
    assert_eq!(same.calls.put, 1 + same.new, "its header, and no more than that");
    let mut changed = data;
    // One part in fifty, in one place.
    changed[7 * MIB..7 * MIB + DATA / 50].fill(7);
    let day = run(&made, state.path(), changed).await;
    must_be_few("a day later", &day);
    assert!(day.new <= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_looks_after_a_vault_asks_for_each_object_once() {
    let (_, made, state) = fresh().await;
    let runs = 3_u64;
    for no in 0..runs {
        let mut data = noise(1, DATA / 2);
        data[7 * MIB..8 * MIB].fill(u8::try_from(no).unwrap());
        run(&made, state.path(), data).await;
    }
    let stored = bytes(&made).await;
    let mut reads = 0;
    for depth in [Depth::Locks, Depth::Read, Depth::Decrypt] {
        let (calls, report) = counted(&made, async |vault| {
            let mut request = VerifyRequest::new(depth);
            request.opener = Some(made.owner.clone());
            audit::verify(&vault, &request, Arc::new(Silent), &Cancel::default()).await.unwrap()
        })
        .await;
        println!("verify {depth:?}: {calls:?} for {} objects", report.objects);
        assert_eq!(calls.head, report.objects + 2, "each lock, and the time twice");
        assert!(calls.list <= 12 && calls.put == 0, "{calls:?}");
        // Headers, pages and documents; then every object; then of each snapshot its pages, indexes, body and packs.
        let most = match depth {
            Depth::Locks => report.objects,
            Depth::Read => 2 * report.objects,
            Depth::Decrypt => (2 + runs) * report.objects,
        };
        assert!(calls.get <= most, "{depth:?}: {calls:?}, {most} at most");
        let most = match depth {
            Depth::Locks => MIB as u64,
            Depth::Read => stored + MIB as u64,
            Depth::Decrypt => (1 + runs) * stored + MIB as u64,
        };
        assert!(calls.bytes <= most, "{depth:?}: {calls:?}, {most} bytes at most");
        assert!(calls.get >= reads, "deeper is more");
        reads = calls.get;
    }
    let (calls, renewed) =
        counted(&made, async |vault| renew::renew(&vault, false, &Silent, &Cancel::default()).await.unwrap()).await;
    println!("renew: {calls:?} for {} objects", renewed.objects);
    assert_eq!((calls.head, calls.put), (renewed.objects + 2, renewed.updates));
    assert!(calls.get <= renewed.objects && calls.list <= 6 && calls.bytes < MIB as u64, "{calls:?}");
    let (calls, pruned) = counted(&made, async |vault| {
        let request = prune::PruneRequest { grace: Span::days(1), clock_is_right: false };
        prune::prune(&vault, None, request, &Silent, &Cancel::default()).await.unwrap()
    })
    .await;
    println!("prune: {calls:?} for {} snapshots", pruned.snapshots);
    assert!(calls.head <= 2 && calls.list <= 8, "no lock is read of what is needed: {calls:?}");
    // The vault's own, and of each snapshot its header and its pages.
    assert!(calls.get <= 4 + 2 * pruned.snapshots && calls.bytes < MIB as u64, "{calls:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_fetches_each_pack_once() {
    let (_, made, state) = fresh().await;
    let made_of = run(&made, state.path(), noise(1, DATA)).await;
    let store = Arc::new(Counted::new(Arc::clone(&made.store)));
    made.through(Arc::clone(&store) as Arc<dyn ObjectStore>).restore_all().await.unwrap();
    let calls = store.calls();
    println!("restore: {calls:?} of {} packs", made_of.new);
    // The descriptor, the header, pages, indexes, the parts of packs that hold the body and the list, and the packs. Listed are
    // descriptors, headers, members and records of copies.
    assert!(calls.get <= 4 + made_of.pages + made_of.indexes + 2 + made_of.new, "{calls:?}");
    assert!(calls.bytes <= bytes(&made).await + MIB as u64 && calls.list <= 4, "{calls:?}");
}

/// Of a tree of small files many lie in one block, which is fetched for the first of them.
#[tokio::test(flavor = "multi_thread")]
async fn small_files_of_a_tree_are_fetched_together() {
    let (_, made, state) = fresh().await;
    let names: Vec<String> = (0..300).map(|no| format!("file-{no}")).collect();
    let files: [(&str, Vec<u8>); 300] = std::array::from_fn(|no| (names[no].as_str(), noise(no as u64, 700)));
    made.backup(state.path(), "tree", streams(files.clone())).await.unwrap();
    let store = Arc::new(Counted::new(Arc::clone(&made.store)));
    let restored = made.through(Arc::clone(&store) as Arc<dyn ObjectStore>).restore_all().await.unwrap();
    for ((name, bytes), (wanted, data)) in restored[0].iter().zip(&files) {
        assert!(name == wanted && bytes == data, "{name}");
    }
    let calls = store.calls();
    assert!(calls.get < 20, "{calls:?}");
}
