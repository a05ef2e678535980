//! What each stage of a backup costs on data that looks like a dump: chunk, hash, compress, delta, seal, pack, look-up.
//!
//!     cargo bench --bench stages
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "it measures, and ends where it can't"
)]

#[path = "../support/vault.rs"]
mod vault_support;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use strongroom::{
    catalog::{Catalog, NewPack},
    codec::{
        Chunker, Compressor, Sealer,
        compress::{Codec, DeltaMaker},
        hash::{self, ChunkIdKey},
        seal, sketch,
    },
    format::{
        list::ChunkRef,
        pack::{Block, Directory},
    },
    model::{ChunkId, ChunkerParams, PackId, VaultId},
};
use vault_support::{dump, noise};

/// The level of a backup.
const LEVEL: i32 = 3;

/// The chunks of `data`.
fn chunks(data: &[u8]) -> Vec<&[u8]> {
    let mut lengths = Vec::new();
    Chunker::new(ChunkerParams::DATA).unwrap().cut(data, true, &mut lengths);
    let mut rest = data;
    let mut next = |length: &u32| {
        let (chunk, after) = rest.split_at(*length as usize);
        rest = after;
        chunk
    };
    lengths.iter().map(&mut next).collect()
}

/// The same rows, one in fifty of them changed.
fn changed(chunk: &[u8]) -> Vec<u8> {
    let rows = chunk.split_inclusive(|byte| *byte == b'\n').enumerate();
    rows.flat_map(|(no, row)| if no % 50 == 7 { row.to_ascii_uppercase() } else { row.to_vec() }).collect()
}

fn codec(c: &mut Criterion) {
    let data = dump(1, 16 << 20);
    let chunks = chunks(&data);
    let key = ChunkIdKey::generate().unwrap();
    let mut group = c.benchmark_group("16 MiB of a dump");
    group.throughput(Throughput::Bytes(data.len() as u64)).sample_size(20);
    let chunker = Chunker::new(ChunkerParams::DATA).unwrap();
    let mut lengths = Vec::new();
    group.bench_function("chunk", |b| {
        b.iter(|| {
            lengths.clear();
            chunker.cut(black_box(&data), true, &mut lengths)
        });
    });
    group.bench_function("hash", |b| b.iter(|| chunks.iter().map(|chunk| key.id(chunk)).fold(0, |n, _| n + 1)));
    group.bench_function("hash the stream", |b| b.iter(|| hash::hash(black_box(&data))));
    let mut samples = Vec::new();
    group.bench_function("chunk and sketch", |b| {
        b.iter(|| {
            lengths.clear();
            samples.clear();
            chunker.cut_sampling(black_box(&data), true, &mut lengths, &mut samples);
            let both = lengths.iter().zip(&samples);
            both.filter_map(|(length, samples)| sketch::sketch(*length as usize, samples)).count()
        });
    });
    let mut compressor = Compressor::new(LEVEL).unwrap();
    let mut out = Vec::new();
    group.bench_function("compress", |b| {
        b.iter(|| {
            for block in data.chunks(4 << 20) {
                out.clear();
                compressor.compress(block, &mut out).unwrap();
            }
        });
    });
    let random = noise(1, data.len());
    group.bench_function("compress what does not shrink", |b| {
        b.iter(|| {
            for block in random.chunks(4 << 20) {
                out.clear();
                assert_eq!(compressor.compress(block, &mut out).unwrap(), Codec::Raw);
            }
        });
    });
    let new: Vec<_> = chunks.iter().map(|chunk| changed(chunk)).collect();
    let mut maker = DeltaMaker::new().unwrap();
    group.bench_function("delta", |b| {
        b.iter(|| {
            for (base, chunk) in chunks.iter().zip(&new) {
                out.clear();
                maker.delta(base, chunk, &mut out).unwrap();
            }
        });
    });
    let sealer = Sealer::new(vec![seal::generate_identity().1]);
    group.bench_function("seal", |b| b.iter(|| sealer.seal(black_box(&random)).unwrap()));
    group.finish();
}

fn pack(c: &mut Criterion) {
    let block = |no: u64| Block {
        codec: Codec::Zstd,
        stored: 2 << 20,
        plain: 4 << 20,
        base: None,
        chunks: (0..32).map(|at| ChunkRef { id: id(no * 32 + at), len: 128 << 10 }).collect(),
    };
    let directory = Directory { blocks: (0..8).map(block).collect() };
    let encoded = directory.encode();
    c.bench_function("encode the directory of a pack", |b| b.iter(|| black_box(&directory).encode()));
    c.bench_function("decode it", |b| b.iter(|| Directory::decode(black_box(&encoded)).unwrap()));
}

fn id(no: u64) -> ChunkId {
    ChunkId::from_bytes(*hash::hash(&no.to_le_bytes()).as_bytes())
}

fn catalog(c: &mut Criterion) {
    const PACKS: u64 = 2000;
    let dir = tempfile::tempdir().unwrap();
    let vault = VaultId::from_bytes([7; 32]);
    let mut catalog = Catalog::open(dir.path(), vault, &"w1".parse().unwrap()).unwrap().into_catalog();
    let record = |catalog: &mut Catalog, pack: u64| {
        let chunks: Vec<_> = (0..256).map(|no| (id(pack * 256 + no), None)).collect();
        let pack = PackId::from_bytes(*hash::hash(&pack.to_be_bytes()).as_bytes());
        let new =
            NewPack { id: pack, bytes: 16 << 20, version: None, lock: None, section: b"section", chunks: &chunks };
        catalog.record_pack(&new).unwrap();
    };
    (0..PACKS).for_each(|pack| record(&mut catalog, pack));
    let mut group = c.benchmark_group("a catalog of 512 000 chunks");
    let mut out = Vec::new();
    let mut at = 0;
    let mut look = |catalog: &mut Catalog, from: u64| {
        at = (at + 1) % PACKS;
        let ids: Vec<_> = (0..32).map(|no| id(from + at * 256 + no)).collect();
        catalog.lookup(&ids, &mut out).unwrap();
        out.iter().flatten().count()
    };
    group.throughput(Throughput::Elements(32));
    group.bench_function("look 32 known chunks up", |b| b.iter(|| assert_eq!(look(&mut catalog, 0), 32)));
    group.bench_function("look 32 unknown chunks up", |b| b.iter(|| assert_eq!(look(&mut catalog, 1 << 40), 0)));
    group.throughput(Throughput::Elements(256));
    let mut next = 1 << 32;
    group.sample_size(20).bench_function("record a pack of 256 chunks", |b| {
        b.iter(|| {
            next += 1;
            record(&mut catalog, next);
        });
    });
    group.finish();
}

criterion_group!(stages, codec, pack, catalog);
criterion_main!(stages);
