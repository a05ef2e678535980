//! What a stolen writer's key can make its readers hold in memory: snapshots with as many and as large indexes as a header can
//! name, and packs that are nothing but a directory. Prints the time and the memory of each command, in a process of its own.
//!
//!     cargo bench --bench indexes -- --indexes 32 --mib 63
//!
//! `TMPDIR` says where the vault goes, and needs twice the room.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
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
    codec::{
        compress::Codec,
        hash,
        seal::{NoPrompt, Opener},
    },
    format::{
        body::{Body, StreamRecord},
        header::Header,
        index::Section,
        list::ChunkRef,
        pack::{Block, Directory},
        page::{PACKS_PER_PAGE, PackRef},
    },
    model::{Cancel, ChunkId, Clock, FileMeta, PackId, Silent, SnapshotId, Time},
    store::{ObjectStore, local::LocalStore},
    vault::{
        Vault,
        audit::{self, Depth, VerifyRequest},
        reader::Snapshot,
        snapshots,
    },
};
use vault_support::{Made, make, policy};

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

fn id(no: u64) -> ChunkId {
    ChunkId::from_bytes(*hash::hash(&no.to_le_bytes()).as_bytes())
}

/// What a hostile index says of each pack.
#[derive(Clone, Copy)]
enum Kind {
    /// Deltas of one chunk each, with a base of its own.
    Deltas,
    /// Blocks of many chunks.
    Chunks,
    /// The same chunk all over.
    Same,
    /// Age headers of the largest size, and nothing else.
    Headers,
}

/// About two megabytes of directory, from chunk `from` on.
fn directory(kind: Kind, from: u64) -> Directory {
    let chunk = |no| ChunkRef { id: id(no), len: 1 };
    let delta = |no| {
        let base = Some(id(no + (1 << 40)));
        Block { codec: Codec::ZstdDelta, stored: 1, plain: 1, base, chunks: vec![chunk(no)] }
    };
    let whole = |chunks: Vec<ChunkRef>| {
        let plain = chunks.iter().map(|chunk| chunk.len).sum();
        Block { codec: Codec::Zstd, stored: 1, plain, base: None, chunks }
    };
    let blocks = match kind {
        Kind::Deltas => (from..from + 24_000).map(delta).collect(),
        Kind::Chunks => (0..50).map(|no| whole((0..1_000).map(|at| chunk(from + no * 1_000 + at)).collect())).collect(),
        Kind::Same => vec![whole((0..50_000).map(|_| chunk(0)).collect())],
        Kind::Headers => vec![whole(vec![chunk(from)])],
    };
    Directory { blocks }
}

/// A snapshot of one small stream whose indexes say what they can of packs that are not there.
async fn indexed(made: &Made, (seq, prev): (u64, Vec<SnapshotId>), kind: Kind, indexes: u64, mib: u64) -> SnapshotId {
    let (mut packs, mut names) = (Vec::new(), Vec::new());
    let (body, own, section) = body(made).await;
    packs.push(own);
    for no in 0..indexes {
        let mut sections = if no == 0 { vec![section.encode().unwrap()] } else { Vec::new() };
        let mut bytes = 0;
        loop {
            let number = packs.len() as u64;
            let pack = PackId::from_bytes(*id(number + seq * (1 << 32)).as_bytes());
            let header = vec![b'x'; if matches!(kind, Kind::Headers) { 65_000 } else { 184 }];
            let directory = directory(kind, number * 50_000);
            let section = Section { pack, sealed_len: 16 << 20, version: None, header: header.into(), directory };
            let encoded = section.encode().unwrap();
            bytes += encoded.len() as u64;
            if bytes > mib << 20 {
                break;
            }
            sections.push(encoded);
            packs.push(PackRef { id: pack, bytes: 16 << 20, version: None });
        }
        names.push(made.put_index(seq, &sections).await);
    }
    let mut pages = Vec::new();
    for some in packs.chunks(PACKS_PER_PAGE) {
        pages.push(made.put_page(some.to_vec()).await);
    }
    let header = Header { pages, indexes: names, body: vec![body], ..made.header(seq, prev) };
    made.put_header(&header).await
}

/// A body of one small stream, in a pack with it.
async fn body(made: &Made) -> (ChunkRef, PackRef, Section) {
    let key = &made.writer.chunk_id_key;
    let plain = b"what is restored";
    let chunk = ChunkRef { id: key.id(plain), len: u32::try_from(plain.len()).unwrap() };
    let stream = StreamRecord {
        name: "one".parse().unwrap(),
        path: None,
        meta: FileMeta::default(),
        bytes: plain.len() as u64,
        blake3: hash::hash(plain),
        chunks: 1,
        depth: 0,
        list: vec![chunk],
    };
    let body = Body::new(vec![stream], serde_json::Value::Null, Vec::new()).encode().unwrap();
    let of = ChunkRef { id: key.id(&body), len: u32::try_from(body.len()).unwrap() };
    let raw = |chunk: ChunkRef| Block {
        codec: Codec::Raw,
        stored: chunk.len,
        plain: chunk.len,
        base: None,
        chunks: vec![chunk],
    };
    let (named, section) = pack(made, &[plain, body.as_slice()].concat(), vec![raw(chunk), raw(of)]).await;
    (of, named, section)
}

async fn pack(made: &Made, stored: &[u8], blocks: Vec<Block>) -> (PackRef, Section) {
    let directory = Directory { blocks };
    let encoded = directory.encode();
    let length = u32::try_from(encoded.len()).unwrap().to_le_bytes();
    made.put_pack(&[stored, &encoded, &length].concat(), directory).await
}

/// A snapshot without an index, whose packs are nothing but their directories, as large as a pack may be.
async fn bare(made: &Made, (seq, prev): (u64, Vec<SnapshotId>), number: u64) -> SnapshotId {
    let (body, own, _) = body(made).await;
    let mut packs = vec![own];
    for no in 0..number {
        let of = |at| ChunkRef { id: id(seq << 50 | no << 32 | at), len: 1 };
        let block = |at| Block { codec: Codec::Raw, stored: 1, plain: 1, base: None, chunks: vec![of(at)] };
        packs.push(pack(made, &vec![0; 660_000], (0..660_000).map(block).collect()).await.0);
    }
    let page = made.put_page(packs).await;
    let header = Header { pages: vec![page], body: vec![body], ..made.header(seq, prev) };
    made.put_header(&header).await
}

fn main() {
    let after = |name: &str| env::args_os().skip_while(|arg| arg.to_str() != Some(name)).nth(1);
    if let Some(vault) = after("--vault") {
        return read(Path::new(&vault), &after("--do").unwrap().into_string().unwrap());
    }
    let (indexes, mib) = (option("--indexes", 32), option("--mib", 63));
    let kinds =
        [("deltas", Kind::Deltas), ("chunks", Kind::Chunks), ("one chunk", Kind::Same), ("headers", Kind::Headers)];
    println!(
        "{indexes} indexes of {mib} MiB\n\n| the snapshot's indexes | command | time | peak memory |\n| --- | --- | --- | --- |"
    );
    for (name, kind) in kinds {
        vault(name, async |made| {
            indexed(made, (1, vec![]), kind, indexes, mib).await;
        });
    }
    vault("none, 8 packs of directories", async |made| {
        bare(made, (1, vec![]), 8).await;
    });
}

/// Makes a vault, and reads it in two ways.
fn vault(name: &str, fill: impl AsyncFnOnce(&Made)) {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(Now);
    let path = dir.path().join("vault");
    let store: Arc<dyn ObjectStore> = Arc::new(LocalStore::create(path.clone(), Arc::clone(&clock)).unwrap());
    let made = runtime.block_on(async {
        let made = make(store, clock, policy()).await;
        fill(&made).await;
        made
    });
    for command in ["restore", "verify"] {
        print!("| {name} | ");
        io::stdout().flush().unwrap();
        let mut child = Command::new(env::current_exe().unwrap());
        let mut child = child.arg("--vault").arg(&path).args(["--do", command]).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(made.identity.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }
}

fn read(path: &Path, command: &str) {
    let identity = io::read_to_string(io::stdin()).unwrap();
    let owner = Opener::from_identity_text(&identity, "its parent", Arc::new(NoPrompt)).unwrap();
    let store: Arc<dyn ObjectStore> = Arc::new(LocalStore::open(path, Arc::new(Now)).unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let began = Instant::now();
    let vault = runtime.block_on(Vault::open(store, None)).unwrap();
    let what = runtime.block_on(async {
        if command == "verify" {
            let request = VerifyRequest { opener: Some(owner), ..VerifyRequest::new(Depth::Decrypt) };
            let report = audit::verify(&vault, &request, Arc::new(Silent), &Cancel::default()).await.unwrap();
            return format!("verify --depth decrypt, {} findings", report.findings.len());
        }
        let listed = snapshots::list(&vault).await.unwrap().snapshots;
        let snapshot = Snapshot::open(&vault, vault.whole(&listed[0]).await.unwrap(), &owner).await.unwrap();
        let stream = &snapshot.body.streams[0];
        snapshot.restore_stream(stream, Box::new(io::sink()), Arc::new(Silent), Cancel::default()).await.unwrap();
        "restore".to_owned()
    });
    let seconds = began.elapsed().as_secs_f64();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("?").trim();
    println!("{what} | {seconds:.1} s | {peak} |");
}
