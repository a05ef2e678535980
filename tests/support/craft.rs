//! Snapshots put together by hand, out of what the writer does not make: deltas, false bases, streams with paths.

use bytes::Bytes;
use strongroom::{
    codec::{
        compress::{Codec, Compressor, DeltaMaker},
        hash, seal,
    },
    format::{
        FORMAT,
        body::{Body, StreamRecord},
        header::{Header, ObjectRef, Totals},
        index::{self, Binding, Section},
        layout::{self, ObjectName},
        list::ChunkRef,
        pack::{Block, Directory},
        page::{PackRef, Page},
    },
    model::{ChunkId, FileMeta, Hash, Key, Lock, PackId, SnapshotId, SourceKind},
    store::{Payload, Put},
};

use super::vault_support::{Made, policy};

/// A snapshot in the making.
pub struct Craft<'a> {
    made: &'a Made,
    packs: Vec<PackRef>,
    sections: Vec<Section>,
}

/// A block and its bytes in the pack.
pub type Crafted = (Block, Vec<u8>);

impl<'a> Craft<'a> {
    pub fn new(made: &'a Made) -> Self {
        Self { made, packs: Vec::new(), sections: Vec::new() }
    }

    /// How the writer names a chunk.
    pub fn chunk(&self, plain: &[u8]) -> ChunkRef {
        ChunkRef { id: self.made.writer.chunk_id_key.id(plain), len: u32::try_from(plain.len()).unwrap() }
    }

    fn block(&self, codec: Codec, plain: &[u8], stored: Vec<u8>, base: Option<ChunkId>) -> Crafted {
        let chunk = self.chunk(plain);
        (
            Block { codec, stored: u32::try_from(stored.len()).unwrap(), plain: chunk.len, base, chunks: vec![chunk] },
            stored,
        )
    }

    /// A block of one chunk, compressed if that helps.
    pub fn plain(&self, plain: &[u8]) -> Crafted {
        let mut stored = Vec::new();
        let codec = Compressor::new(3).unwrap().compress(plain, &mut stored).unwrap();
        self.block(codec, plain, stored, None)
    }

    /// A block of one chunk as a delta of `base`, which its directory calls `named`.
    pub fn delta(&self, base: &[u8], named: ChunkId, plain: &[u8]) -> Crafted {
        let mut stored = Vec::new();
        DeltaMaker::new().unwrap().delta(base, plain, &mut stored).unwrap();
        self.block(Codec::ZstdDelta, plain, stored, Some(named))
    }

    async fn put(&self, key: &Key, payload: Payload) {
        let lock: Lock = policy().lock_from(self.made.clock.now());
        let put = self.made.store.put_new(key, &payload, Some(lock)).await.unwrap();
        assert!(matches!(put, Put::Created { .. }), "{key} is there already");
    }

    /// Seals and stores a pack of these blocks.
    pub async fn pack(&mut self, blocks: Vec<Crafted>) {
        let (blocks, stored): (Vec<Block>, Vec<Vec<u8>>) = blocks.into_iter().unzip();
        let directory = Directory { blocks };
        let encoded = directory.encode();
        let mut plain = stored.concat();
        plain.extend_from_slice(&encoded);
        plain.extend_from_slice(&u32::try_from(encoded.len()).unwrap().to_le_bytes());
        let sealed = self.made.writer.pack_sealer.seal(&plain).unwrap();
        let bytes = sealed.bytes().clone();
        let id = PackId::from_bytes(*hash::hash(&bytes).as_bytes());
        self.put(&layout::pack(&self.made.writer.name, &id), Payload::Sealed(sealed)).await;
        let header = Bytes::copy_from_slice(&bytes[..seal::header_len(&bytes).unwrap()]);
        let sealed_len = bytes.len() as u64;
        self.packs.push(PackRef { id, bytes: sealed_len, version: None });
        self.sections.push(Section { pack: id, sealed_len, version: None, header, directory });
    }

    /// Stores the body, the page, with `with_index` an index, and the header.
    pub async fn commit(mut self, streams: Vec<StreamRecord>, with_index: bool) -> SnapshotId {
        let body = Body::new(streams, serde_json::Value::Null, Vec::new()).encode().unwrap();
        let body_chunk = self.chunk(&body);
        self.pack(vec![self.plain(&body)]).await;
        let writer = &self.made.writer;
        let (vault, name) = (self.made.id, writer.name.clone());
        let page = Page::new(vault, name.clone(), self.packs.clone()).encode().unwrap();
        let page_ref = reference(page.bytes());
        self.put(&layout::page(&name, &page_ref.hash), Payload::Public(page)).await;
        let mut indexes = Vec::new();
        let (seq, prev) = self.newest().await;
        if with_index {
            let binding = Binding { vault, writer: name.clone(), seq };
            let encoded: Vec<Vec<u8>> = self.sections.iter().map(|s| s.encode().unwrap()).collect();
            let sections = encoded.iter().map(Vec::as_slice);
            let sealed = index::seal(&binding, sections, &writer.signing_key, &writer.index_sealer).unwrap();
            indexes.push(reference(sealed.bytes()));
            self.put(&layout::index(&name, &indexes[0].hash), Payload::Sealed(sealed)).await;
        }
        let now = self.made.clock.now();
        let header = Header {
            format: FORMAT.to_owned(),
            vault,
            writer: name.clone(),
            seq,
            prev,
            source: "crafted".parse().unwrap(),
            kind: SourceKind::Path,
            started_at: now,
            claimed_at: now,
            floor_until: policy().floor(now),
            expires_at: policy().floor(now),
            tier: None,
            full_at: None,
            pages: vec![page_ref],
            indexes,
            body: vec![body_chunk],
            totals: Totals::default(),
            warnings: Vec::new(),
            features: Vec::new(),
            descriptor: writer.embedded.descriptor.clone(),
            certificate: writer.embedded.certificate.clone(),
            epoch: writer.embedded.epoch.clone(),
        };
        let (id, public) = header.seal(&writer.signing_key).unwrap();
        self.put(&layout::header(&name, seq, &id), Payload::Public(public)).await;
        id
    }

    /// The next number, and the newest header before it.
    async fn newest(&self) -> (u64, Vec<SnapshotId>) {
        let mut newest = (0, None);
        let mut look = |entry: strongroom::store::Entry| {
            if let Some(ObjectName::Header(_, seq, id)) = layout::parse(&entry.key) {
                newest = newest.max((seq, Some(id)));
            }
        };
        self.made.store.list(layout::SNAPSHOTS, &mut look).await.unwrap();
        (newest.0 + 1, newest.1.into_iter().collect())
    }
}

fn reference(bytes: &Bytes) -> ObjectRef {
    ObjectRef { hash: hash::hash(bytes), bytes: bytes.len() as u64, version: None }
}

/// A stream of these chunks, whose whole is `plain`.
pub fn stream(name: &str, path: Option<&str>, plain: &[u8], chunks: Vec<ChunkRef>) -> StreamRecord {
    StreamRecord {
        name: name.parse().unwrap(),
        path: path.map(str::to_owned),
        meta: FileMeta::default(),
        bytes: plain.len() as u64,
        blake3: hash_of(plain),
        chunks: chunks.len() as u64,
        depth: 0,
        list: chunks,
    }
}

fn hash_of(plain: &[u8]) -> Hash {
    hash::hash(plain)
}
