//! What a vault costs that has grown: packs, indexes, pages and headers of 1 TiB, without its data. Prints the time and
//! the memory of each step.
//!
//!     cargo bench --bench scale -- --packs 32000 --snapshots 1000
//!
//! A pack is a few bytes here, which are all that looking after it needs. `TMPDIR` says where the vault goes.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "it measures, and ends where it can't"
)]

#[path = "../support/parts.rs"]
mod parts;
#[path = "../support/vault.rs"]
mod vault_support;

use std::{
    env, fs,
    io::{self, Write as _},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use strongroom::{
    catalog::{Catalog, Memory, RunRow},
    codec::{
        compress::Codec,
        hash,
        seal::{NoPrompt, Opener},
    },
    format::{
        header::{Header, ObjectRef},
        list::{self, ChunkRef},
        pack::{Block, Directory},
        page::PACKS_PER_PAGE,
    },
    model::{Cancel, ChunkId, Clock, Name, Silent, SnapshotId, SourceKind, Time, size::human},
    source::{Facts, FileMeta, Incoming, Reading, Result as Read},
    store::{ObjectStore, local::LocalStore},
    vault::{
        Vault, VaultError,
        audit::{self, Depth, VerifyRequest},
        reader::Snapshot,
        rebuild, snapshots,
        writer::{self, Request, Workplace},
    },
};
use vault_support::{Made, make, noise, policy};

/// Chunks of a pack, and blocks: 32 MiB of chunks of 128 KiB in blocks of 4 MiB.
const CHUNKS: u64 = 256;
const BLOCKS: u64 = 8;
/// Bytes of sections in one index.
const INDEX: usize = 56 << 20;

struct Now;

impl Clock for Now {
    fn now(&self) -> Time {
        Time::from_unix(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().try_into().unwrap())
    }
}

/// What `--name N` says, or else `default`.
fn option(name: &str, default: u64) -> u64 {
    let mut args = env::args().skip_while(|arg| arg != name).skip(1);
    args.next().map_or(default, |value| value.parse().expect("a number"))
}

/// Runs a step and tells its time, and the most memory that the process had meanwhile.
fn step<T>(what: &str, work: impl FnOnce() -> T) -> T {
    // Forgets the peak so far.
    let _ = fs::write("/proc/self/clear_refs", "5");
    let began = Instant::now();
    let done = work();
    let seconds = began.elapsed().as_secs_f64();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("?").trim();
    println!("| {what} | {seconds:.2} s | {peak} |");
    done
}

/// The chunk `no` of the pack `pack`.
fn chunk(pack: u64, no: u64) -> ChunkRef {
    let id = hash::hash(&(pack * CHUNKS + no).to_le_bytes());
    ChunkRef { id: ChunkId::from_bytes(*id.as_bytes()), len: 128 << 10 }
}

fn directory(pack: u64) -> Directory {
    let each = CHUNKS / BLOCKS;
    let block = |at: u64| Block {
        codec: Codec::Zstd,
        stored: 2 << 20,
        plain: u32::try_from(each * (128 << 10)).unwrap(),
        base: None,
        chunks: (at * each..(at + 1) * each).map(|no| chunk(pack, no)).collect(),
    };
    Directory { blocks: (0..BLOCKS).map(block).collect() }
}

/// The vault in the making.
struct Large<'a> {
    made: &'a Made,
    runtime: &'a tokio::runtime::Handle,
    pages: Vec<ObjectRef>,
    indexes: Vec<ObjectRef>,
    last: Option<SnapshotId>,
    seq: u64,
}

impl Large<'_> {
    /// Stores packs, and the pages and indexes that tell of them.
    fn fill(&mut self, packs: u64) {
        let (mut refs, mut sections, mut bytes) = (Vec::new(), Vec::new(), 0);
        for no in 0..packs {
            let plain = no.to_le_bytes();
            let (named, section) = self.runtime.block_on(self.made.put_pack(&plain, directory(no)));
            refs.push(named);
            let section = section.encode().unwrap();
            bytes += section.len();
            sections.push(section);
            if bytes > INDEX || no + 1 == packs {
                self.indexes.push(self.runtime.block_on(self.made.put_index(self.seq, &sections)));
                (sections, bytes) = (Vec::new(), 0);
            }
        }
        for some in refs.chunks(PACKS_PER_PAGE) {
            self.pages.push(self.runtime.block_on(self.made.put_page(some.to_vec())));
        }
    }

    /// A snapshot that needs all of it.
    fn commit(&mut self) {
        self.seq += 1;
        let header = Header {
            source: "large".parse().unwrap(),
            pages: self.pages.clone(),
            indexes: self.indexes.clone(),
            body: vec![chunk(0, 0)],
            ..self.made.header(self.seq, self.last.into_iter().collect())
        };
        self.last = Some(self.runtime.block_on(self.made.put_header(&header)));
    }
}

/// A source that leans on streams of its last snapshot, and gives one more.
struct Leaning(Vec<Name>, Option<Vec<u8>>);

impl Reading for Leaning {
    fn carried(&mut self) -> Option<Vec<Name>> {
        Some(self.0.clone())
    }

    fn next_stream(&mut self) -> Read<Option<Incoming>> {
        Ok(self.1.take().map(|bytes| Incoming {
            name: "new".parse().unwrap(),
            path: None,
            meta: FileMeta::default(),
            expected: None,
            reader: Box::new(io::Cursor::new(bytes)),
        }))
    }

    fn finish(self: Box<Self>) -> Read<Facts> {
        Ok(Facts::default())
    }
}

/// Backs up 8 MiB of new data beside what `source` left.
fn run(place: &Workplace, runtime: &tokio::runtime::Handle, catalog: &mut Catalog, source: &str, seed: u64) {
    let request = Request {
        source: source.parse().unwrap(),
        kind: SourceKind::Git,
        keep: None,
        tiers: strongroom::model::Tiers::default(),
        full_every: None,
        allow_empty: false,
        level: 2,
        adapts: false,
        bases: None,
        warnings: Vec::new(),
        judge: None,
    };
    let done = writer::backup_from(place, runtime, catalog, request, |before| {
        let names = before.map(|before| before.streams.into_keys().collect()).unwrap_or_default();
        Ok::<_, VaultError>(Box::new(Leaning(names, Some(noise(seed, 8 << 20)))) as Box<dyn Reading>)
    })
    .unwrap();
    println!(
        "|   of {} in {} pages, {} indexes | | {} stored |",
        human(done.header.totals.bytes),
        done.header.pages.len(),
        done.header.indexes.len(),
        human(done.bytes_stored)
    );
}

/// Restores what the last run of a source stored anew; tells how many bytes that are.
async fn restore(store: Arc<dyn ObjectStore>, owner: &Opener, source: &str) -> Result<u64, VaultError> {
    let vault = Vault::open(store, None).await?;
    let listed = snapshots::list(&vault).await?.snapshots;
    let last = listed.iter().rfind(|listed| listed.header.source.as_str() == source).unwrap();
    let snapshot = Snapshot::open(&vault, vault.whole(last).await?, owner).await?;
    let new = snapshot.body.streams.iter().find(|stream| stream.name.as_str() == "new").unwrap();
    snapshot.restore_stream(new, Box::new(io::sink()), Arc::new(Silent), Cancel::default()).await?;
    Ok(new.bytes)
}

/// The same, in a process that has done nothing else, so that its memory is its own.
fn restore_apart(vault: &Path, identity: &str) {
    let mut child = Command::new(env::current_exe().unwrap());
    let mut child = child.arg("--restore").arg(vault).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(identity.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

fn restore_here(vault: &Path) {
    let identity = io::read_to_string(io::stdin()).unwrap();
    let owner = Opener::from_identity_text(&identity, "its parent", Arc::new(NoPrompt)).unwrap();
    let store: Arc<dyn ObjectStore> = Arc::new(LocalStore::open(vault, Arc::new(Now)).unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let bytes = step("a restore of 8 MiB of a snapshot that needs all of it, in a process of its own", || {
        runtime.block_on(restore(store, &owner, "large")).unwrap()
    });
    assert_eq!(bytes, 8 << 20);
}

/// Makes a source have left all chunks, as streams of 4096 packs each.
fn remember(catalog: &mut Catalog, source: &Name, packs: u64, snapshot: SnapshotId) {
    let mut streams = Vec::new();
    for part in 0..packs.div_ceil(4096) {
        let (mut chunks, mut bytes) = (Vec::new(), 0);
        for pack in part * 4096..packs.min((part + 1) * 4096) {
            for no in 0..CHUNKS {
                let chunk = chunk(pack, no);
                bytes += u64::from(chunk.len);
                list::push(&mut chunks, chunk);
            }
        }
        let name = format!("part-{part}").parse().unwrap();
        streams.push(catalog.keep(source, (name, None), (bytes, hash::hash(b"")), &chunks).unwrap());
    }
    let memory = Memory { snapshot, floor: Time::from_unix(0), note: "{}".to_owned(), streams };
    catalog.remember(source, &memory).unwrap();
}

fn main() {
    if let Some(vault) = env::args_os().skip_while(|arg| arg != "--restore").nth(1) {
        return restore_here(Path::new(&vault));
    }
    let (packs, headers) = (option("--packs", 500), option("--snapshots", 20));
    let dir = tempfile::tempdir().unwrap();
    let (vault_dir, state) = (dir.path().join("vault"), dir.path().join("state"));
    fs::create_dir(&state).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let handle = runtime.handle();
    let clock: Arc<dyn Clock> = Arc::new(Now);
    let store: Arc<dyn ObjectStore> = Arc::new(LocalStore::create(vault_dir.clone(), Arc::clone(&clock)).unwrap());
    let made = handle.block_on(make(store, clock, policy()));
    println!("{packs} packs, {} chunks, {headers} snapshots\n", packs * CHUNKS);
    println!("| step | time | peak memory |\n| --- | --- | --- |");
    let mut large = Large { made: &made, runtime: handle, pages: vec![], indexes: vec![], last: None, seq: 0 };
    step("making the vault", || {
        large.fill(packs);
        large.commit();
    });
    let place = Workplace {
        store: Arc::clone(&made.store),
        writer: Arc::clone(&made.writer),
        clock: Arc::clone(&made.clock),
        progress: Arc::new(Silent),
        cancel: Cancel::default(),
    };
    let mut catalog = Catalog::open(&state, made.id, &made.writer.name).unwrap().into_catalog();
    let found = step("catalog rebuild", || rebuild::rebuild(&place, handle, &mut catalog).unwrap());
    assert_eq!((found.packs, found.chunks), (packs, packs * CHUNKS));
    let size: u64 = fs::read_dir(&state).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    println!("|   the catalog on disk | | {} |", human(size));
    let look = |catalog: &mut Catalog, from: u64| {
        let (mut out, mut known) = (Vec::new(), 0);
        for pack in from..from + packs {
            // As many at once as a segment has.
            for part in 0..BLOCKS {
                let each = CHUNKS / BLOCKS;
                let ids: Vec<_> = (part * each..(part + 1) * each).map(|no| chunk(pack, no).id).collect();
                catalog.lookup(&ids, &mut out).unwrap();
                known += out.iter().flatten().count() as u64;
            }
        }
        known
    };
    assert_eq!(step("looking all chunks up", || look(&mut catalog, 0)), packs * CHUNKS);
    assert_eq!(step("looking as many unknown ones up", || look(&mut catalog, packs)), 0);
    step("a run that needs nothing of it", || run(&place, handle, &mut catalog, "small", 1));
    let snapshot = large.last.unwrap();
    let source: Name = "large".parse().unwrap();
    remember(&mut catalog, &source, packs, snapshot);
    let row = RunRow { seq: 1, snapshot, source, finished: made.clock.now(), bytes_read: 0, bytes_stored: 0 };
    catalog.record_run(&row).unwrap();
    step("a first run that needs all of it", || run(&place, handle, &mut catalog, "large", 2));
    step("the next, with all locks known", || run(&place, handle, &mut catalog, "large", 3));
    restore_apart(&vault_dir, &made.identity);
    // After what the runs made.
    large.seq += 3;
    step("making the snapshots", || (0..headers).for_each(|_| large.commit()));
    let vault = handle.block_on(Vault::open(Arc::clone(&made.store), Some(made.id))).unwrap();
    let listed = step("snapshots", || handle.block_on(snapshots::list(&vault)).unwrap().snapshots.len());
    assert_eq!(listed as u64, headers + 4);
    let request = VerifyRequest::new(Depth::Locks);
    let report = step("verify --depth locks", || {
        handle.block_on(audit::verify(&vault, &request, Arc::new(Silent), &Cancel::default())).unwrap()
    });
    println!("\nfindings of verify: {}", report.findings.len());
}
