//! Making a vault that has grown: packs, lists, indexes, pages and headers, by hand.

use std::{fs, ops::Range, os::unix::fs::PermissionsExt, path::Path, sync::Arc};

use strongroom::{
    codec::{
        compress::Compressor,
        hash::{self, Hasher},
    },
    format::{
        body::{Body, StreamRecord},
        header::{Header, ObjectRef, Totals},
        list::{self, ChunkRef},
        pack::{Block, Directory},
        page::{PACKS_PER_PAGE, PackRef},
    },
    model::{ChunkerParams, Clock, FileMeta, Hash, Name},
    store::local::LocalStore,
};

use crate::{
    content::{CHUNKS, Content, stored},
    vault_support::{Made, make_cutting, noise, policy},
};

/// Bytes of sections in one index.
const INDEX: usize = 56 << 20;
/// The bytes of a part of a list, and of the new file.
const PART: usize = 64 << 10;
pub const NEW: usize = 8 << 20;

/// The vault in the making.
pub struct Large {
    pub made: Made,
    runtime: tokio::runtime::Runtime,
    compressor: Compressor,
    pages: Vec<ObjectRef>,
    indexes: Vec<ObjectRef>,
    body: Vec<ChunkRef>,
    totals: Totals,
    refs: Vec<PackRef>,
    sections: Vec<Vec<u8>>,
}

impl Large {
    pub fn create(vault: &Path, clock: Arc<dyn Clock>, content: Content) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let store = Arc::new(LocalStore::create(vault.to_owned(), Arc::clone(&clock)).unwrap());
        // Of one length, so that who makes the chunks knows where a run will cut.
        let cut = ChunkerParams { min: content.chunk, avg: content.chunk, max: content.chunk };
        let made = runtime.block_on(make_cutting(store, clock, policy(), cut));
        Self {
            made,
            runtime,
            compressor: Compressor::new(1).unwrap(),
            pages: Vec::new(),
            indexes: Vec::new(),
            body: Vec::new(),
            totals: Totals::default(),
            refs: Vec::new(),
            sections: Vec::new(),
        }
    }

    /// What a writer's host has: the key, and what it is configured to.
    pub fn configure(&self, dir: &Path, vault: &Path) {
        fs::create_dir_all(dir).unwrap();
        let key = dir.join("writer.key");
        fs::write(&key, &*self.made.key).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        let (url, id) = (format!("file://{}", vault.display()), self.made.id);
        let text = format!(
            "[vault]\nurl = \"{url}\"\nid = \"{id}\"\n[writer]\nname = \"{}\"\nkey = \"writer.key\"\nstate = \"state\"\n",
            self.made.writer.name
        );
        fs::write(dir.join("strongroom.toml"), text).unwrap();
    }

    /// Stores all packs, and what tells of them, and the snapshot that needs them.
    pub fn fill(&mut self, content: Content) {
        let (all, whole) = self.data(content);
        let parts = self.parts(&all);
        let (new, bytes) = (noise(7, NEW), NEW as u64);
        let list = self.pieces(&new, usize::try_from(content.chunk).unwrap().max(PART));
        let listed: Vec<u8> = encode(&list);
        let new_parts = self.parts(&listed);
        let record = |name: &str, bytes, blake3, chunks, list| StreamRecord {
            name: name.parse().unwrap(),
            path: Some(format!("{name}.bin").into()),
            meta: FileMeta { mode: Some(0o644), ..FileMeta::default() },
            bytes,
            blake3,
            chunks,
            depth: 1,
            list,
        };
        let chunks = content.packs * CHUNKS;
        let streams = vec![
            record("large", content.bytes(), whole, chunks, parts),
            record("new", bytes, hash::hash(&new), list.len() as u64, new_parts),
        ];
        let body = Body::new(streams, serde_json::Value::Null, Vec::new()).encode().unwrap();
        self.body = self.pieces(&body, PART);
        self.totals =
            Totals { bytes: content.bytes() + bytes, streams: 2, chunks, packs: self.refs.len() as u64, packed: 0 };
        self.totals.packed = self.refs.iter().map(|pack| pack.bytes).sum();
        self.index();
        for some in std::mem::take(&mut self.refs).chunks(PACKS_PER_PAGE) {
            self.pages.push(self.runtime.block_on(self.made.put_page(some.to_vec())));
        }
    }

    /// Stores the packs of data; the encoded list of all chunks, and the hash of all bytes.
    fn data(&mut self, content: Content) -> (Vec<u8>, Hash) {
        let (mut all, mut whole) = (Vec::new(), Hasher::new());
        let len = usize::try_from(content.chunk).unwrap();
        for pack in 0..content.packs {
            let (mut blocks, mut bytes) = (Vec::new(), Vec::new());
            let each = content.chunks_of_a_block(pack);
            for from in (pack * CHUNKS..(pack + 1) * CHUNKS).step_by(usize::try_from(each).unwrap()) {
                let mut plain = vec![0; len * usize::try_from(each).unwrap()];
                for (no, chunk) in (from..).zip(plain.chunks_mut(len)) {
                    content.fill(no, chunk);
                }
                whole.update(&plain);
                let chunks: Vec<_> = plain.chunks(len).map(|chunk| self.name(chunk)).collect();
                for chunk in &chunks {
                    list::push(&mut all, *chunk);
                }
                self.block(&plain, chunks, (&mut blocks, &mut bytes));
            }
            self.pack(blocks, bytes);
        }
        (all, whole.finish())
    }

    fn name(&self, chunk: &[u8]) -> ChunkRef {
        ChunkRef { id: self.made.writer.chunk_id_key.id(chunk), len: u32::try_from(chunk.len()).unwrap() }
    }

    fn block(&mut self, plain: &[u8], chunks: Vec<ChunkRef>, (blocks, bytes): (&mut Vec<Block>, &mut Vec<u8>)) {
        let before = bytes.len();
        let codec = self.compressor.compress(plain, bytes).unwrap();
        let (stored, plain) = (u32::try_from(bytes.len() - before).unwrap(), u32::try_from(plain.len()).unwrap());
        blocks.push(Block { codec, stored, plain, base: None, chunks });
    }

    fn pack(&mut self, blocks: Vec<Block>, mut bytes: Vec<u8>) {
        assert_eq!(bytes.len(), stored(&blocks));
        let directory = Directory { blocks };
        let encoded = directory.encode();
        bytes.extend_from_slice(&encoded);
        bytes.extend_from_slice(&u32::try_from(encoded.len()).unwrap().to_le_bytes());
        let (named, section) = self.runtime.block_on(self.made.put_pack(&bytes, directory));
        self.refs.push(named);
        self.sections.push(section.encode().unwrap());
        if self.sections.iter().map(Vec::len).sum::<usize>() > INDEX {
            self.index();
        }
    }

    fn index(&mut self) {
        self.indexes.push(self.runtime.block_on(self.made.put_index(0, &self.sections)));
        self.sections.clear();
    }

    /// Stores the parts of an encoded list.
    fn parts(&mut self, encoded: &[u8]) -> Vec<ChunkRef> {
        self.pieces(encoded, PART)
    }

    /// Stores bytes as chunks of so many, in packs of their own.
    fn pieces(&mut self, bytes: &[u8], each: usize) -> Vec<ChunkRef> {
        let mut all = Vec::new();
        for pack in bytes.chunks(16 << 20) {
            let (mut blocks, mut stored) = (Vec::new(), Vec::new());
            for block in pack.chunks(4 << 20) {
                let chunks: Vec<_> = block.chunks(each).map(|chunk| self.name(chunk)).collect();
                all.extend_from_slice(&chunks);
                self.block(block, chunks, (&mut blocks, &mut stored));
            }
            self.pack(blocks, stored);
        }
        all
    }

    /// Snapshots that need all of it, of these numbers.
    pub fn commit(&self, made: &Made, numbers: Range<u64>) {
        let mut last = None;
        for seq in numbers {
            let header = Header {
                source: "large".parse().unwrap(),
                pages: self.pages.clone(),
                indexes: self.indexes.clone(),
                body: self.body.clone(),
                totals: self.totals,
                ..made.header(seq, last.into_iter().collect())
            };
            last = Some(self.runtime.block_on(made.put_header(&header)));
        }
    }
}

fn encode(chunks: &[ChunkRef]) -> Vec<u8> {
    let mut all = Vec::new();
    for chunk in chunks {
        list::push(&mut all, *chunk);
    }
    all
}

/// Makes a source have left all chunks besides what it left, as streams of 4096 packs each that its next run leans on: what
/// a repository of that size leaves.
pub fn graft(dir: &Path, made: &Made, source: &str, lists: &[Vec<u8>], each: u64) {
    use strongroom::catalog::Catalog;
    let source: Name = source.parse().unwrap();
    let mut catalog = Catalog::open(&dir.join("state"), made.id, &made.writer.name).unwrap().into_catalog();
    let mut memory = catalog.recall(&source).unwrap().expect("a memory of the repository");
    let mut note: serde_json::Value = serde_json::from_str(&memory.note).unwrap();
    for (no, chunks) in lists.iter().enumerate() {
        let name: Name = format!("grafted-{no}.pack").parse().unwrap();
        note["segments"][0]["streams"].as_array_mut().unwrap().push(name.to_string().into());
        let bytes = (chunks.len() / list::ENTRY) as u64 * each;
        memory.streams.push(catalog.keep(&source, (name, None), (bytes, hash::hash(b"")), chunks).unwrap());
    }
    memory.note = note.to_string();
    catalog.remember(&source, &memory).unwrap();
}

/// The lists of all chunks, for streams of so many packs each.
pub fn lists(made: &Made, content: Content, packs: u64) -> Vec<Vec<u8>> {
    let mut plain = vec![0; usize::try_from(content.chunk).unwrap()];
    let part = |from: u64| {
        let mut encoded = Vec::new();
        for no in from * CHUNKS..content.packs.min(from + packs) * CHUNKS {
            content.fill(no, &mut plain);
            list::push(&mut encoded, ChunkRef { id: made.writer.chunk_id_key.id(&plain), len: content.chunk });
        }
        encoded
    };
    (0..content.packs).step_by(usize::try_from(packs).unwrap()).map(part).collect()
}
