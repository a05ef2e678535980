//! Snapshots put together by hand, out of what the writer does not make: deltas, false bases, streams with paths.
#![allow(dead_code, reason = "each test file uses a part")]

use strongroom::{
    codec::{
        compress::{Codec, Compressor, DeltaMaker},
        hash,
    },
    format::{
        body::{Body, StreamRecord},
        header::Header,
        index::Section,
        layout::{self, ObjectName},
        list::ChunkRef,
        pack::{Block, Directory},
        page::PackRef,
    },
    model::{ChunkId, FileMeta, Hash, SnapshotId},
};

use super::vault_support::Made;

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

    /// A block that says that it is the chunk of `plain`, and holds another of that length.
    pub fn instead(&self, plain: &[u8], other: &[u8]) -> Crafted {
        let (_, stored) = self.plain(other);
        self.block(Codec::Zstd, plain, stored, None)
    }

    /// Another snapshot, which names the packs that were stored so far.
    pub fn another(&self) -> Self {
        Self { made: self.made, packs: self.packs.clone(), sections: self.sections.clone() }
    }

    /// A block of one chunk as a delta of `base`, which its directory calls `named`.
    pub fn delta(&self, base: &[u8], named: ChunkId, plain: &[u8]) -> Crafted {
        let mut stored = Vec::new();
        DeltaMaker::new().unwrap().delta(base, plain, &mut stored).unwrap();
        self.block(Codec::ZstdDelta, plain, stored, Some(named))
    }

    /// Seals and stores a pack of these blocks.
    pub async fn pack(&mut self, blocks: Vec<Crafted>) {
        let (blocks, stored): (Vec<Block>, Vec<Vec<u8>>) = blocks.into_iter().unzip();
        let directory = Directory { blocks };
        let encoded = directory.encode();
        let mut plain = stored.concat();
        plain.extend_from_slice(&encoded);
        plain.extend_from_slice(&u32::try_from(encoded.len()).unwrap().to_le_bytes());
        let (named, section) = self.made.put_pack(&plain, directory).await;
        self.packs.push(named);
        self.sections.push(section);
    }

    /// Stores the body, the page, with `with_index` an index, and the header.
    pub async fn commit(mut self, streams: Vec<StreamRecord>, with_index: bool) -> SnapshotId {
        let body = Body::new(streams, serde_json::Value::Null, Vec::new()).encode().unwrap();
        let body_chunk = self.chunk(&body);
        self.pack(vec![self.plain(&body)]).await;
        let page = self.made.put_page(self.packs.clone()).await;
        let (seq, prev) = self.newest().await;
        let mut indexes = Vec::new();
        if with_index {
            let encoded: Vec<Vec<u8>> = self.sections.iter().map(|s| s.encode().unwrap()).collect();
            indexes.push(self.made.put_index(seq, &encoded).await);
        }
        let header = Header { pages: vec![page], indexes, body: vec![body_chunk], ..self.made.header(seq, prev) };
        self.made.put_header(&header).await
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

/// A stream of these chunks, whose whole is `plain`.
pub fn stream(name: &str, path: Option<&str>, plain: &[u8], chunks: Vec<ChunkRef>) -> StreamRecord {
    StreamRecord {
        name: name.parse().unwrap(),
        path: path.map(Into::into),
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
