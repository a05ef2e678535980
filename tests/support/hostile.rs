//! What somebody with a writer's key and role can put into a directory vault, as many of it as is asked for.
#![allow(dead_code, reason = "each test file uses a part")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use strongroom::{
    codec::{compress::Compressor, hash, seal},
    format::{
        body::{Body, StreamRecord},
        header::{Header, ObjectRef, VerifiedHeader},
        index::{self, Binding, Section},
        layout,
        list::{self, ChunkRef},
        pack::{Block, Directory},
        page::{PACKS_PER_PAGE, PAGE_LIMIT, PackRef, Page},
        writer_key::{self, Writer},
    },
    model::{ChunkerParams, FileMeta, Key, PackId, SnapshotId},
};

/// So many pages are named by one header.
const PAGES: usize = 1500;

/// A writer's key in the wrong hands.
pub struct Hostile {
    vault: PathBuf,
    key: Writer,
    like: Header,
    seq: u64,
}

impl Hostile {
    /// With the key in a file, and a header of that writer as a model.
    pub fn of(vault: &Path, key: &Path) -> Self {
        let key = writer_key::open(&fs::read(key).unwrap()).unwrap();
        let own = vault.join(layout::own(layout::SNAPSHOTS, &key.name));
        let mut all = fs::read_dir(&own).unwrap().map(|entry| entry.unwrap().path());
        let first = all.find(|path| path.extension().is_some_and(|is| is == "json")).unwrap();
        let like = VerifiedHeader::open(&fs::read(first).unwrap(), key.descriptor.vault).unwrap().header;
        Self { vault: vault.to_owned(), key, like, seq: 1000 }
    }

    fn put(&self, key: &Key, bytes: &[u8]) {
        let path = self.vault.join(key.as_str());
        if fs::write(&path, bytes).is_err() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, bytes).unwrap();
        }
    }

    /// The name of a pack that was never stored.
    pub fn pack(no: u64) -> PackId {
        PackId::from_bytes(*hash::hash(&no.to_le_bytes()).as_bytes())
    }

    /// Stores a page of these packs.
    pub fn page(&self, packs: Vec<PackRef>) -> ObjectRef {
        let page = Page::new(self.key.descriptor.vault, self.key.name.clone(), packs).encode().unwrap();
        let bytes = page.bytes();
        let found = ObjectRef { hash: hash::hash(bytes), bytes: bytes.len() as u64, version: None };
        self.put(&layout::page(&self.key.name, &found.hash), bytes);
        found
    }

    /// Signs and stores a header that names these pages.
    pub fn header(&mut self, pages: Vec<ObjectRef>, change: impl FnOnce(&mut Header)) -> SnapshotId {
        self.seq += 1;
        let mut header = Header { seq: self.seq, pages, prev: Vec::new(), ..self.like.clone() };
        change(&mut header);
        let (id, public) = header.seal(&self.key.signing_key).unwrap();
        self.put(&layout::header(&self.key.name, header.seq, &id), public.bytes());
        id
    }

    /// Signs for packs that are not there, each with a version of so many bytes. Returns how many headers that took.
    pub fn name_absent(&mut self, packs: u64, version: usize) -> usize {
        let each = if version == 0 { PACKS_PER_PAGE } else { PACKS_PER_PAGE.min(PAGE_LIMIT / (version + 130)) };
        let version = (version > 0).then(|| "v".repeat(version));
        let named = |no| PackRef { id: Self::pack(no), bytes: 16 << 20, version: version.clone() };
        let starts: Vec<u64> = (0..packs).step_by(each).collect();
        let pages: Vec<ObjectRef> =
            starts.iter().map(|from| self.page((*from..packs.min(from + each as u64)).map(named).collect())).collect();
        let parts = pages.chunks(PAGES);
        let headers = parts.len();
        parts.for_each(|some| {
            self.header(some.to_vec(), |_| {});
        });
        headers
    }

    /// Stores junk under the names of packs, and signs for `named` of them if it is to be more than that.
    pub fn put_packs(&mut self, packs: u64, named: u64) {
        for no in 0..packs {
            self.put(&layout::pack(&self.key.name, &Self::pack(no)), b"j");
        }
        let starts: Vec<u64> = (0..named).step_by(PACKS_PER_PAGE).collect();
        let refer = |no| PackRef { id: Self::pack(no), bytes: 1, version: None };
        let page = |from: u64| self.page((from..named.min(from + PACKS_PER_PAGE as u64)).map(refer).collect());
        let pages: Vec<ObjectRef> = starts.into_iter().map(page).collect();
        for some in pages.chunks(PAGES) {
            self.header(some.to_vec(), |_| {});
        }
    }

    /// Stores junk under the names of headers.
    pub fn put_junk_headers(&self, headers: u64) {
        for no in 0..headers {
            let id = SnapshotId::from_bytes(*hash::hash(&no.to_le_bytes()).as_bytes());
            self.put(&layout::header(&self.key.name, 5000 + no, &id), b"j");
        }
    }

    /// Signs headers that name pages which are not there, each its own.
    pub fn name_absent_pages(&mut self, headers: u64, pages: u64) {
        for header in 0..headers {
            let absent = |no: u64| ObjectRef {
                hash: hash::hash(&((header << 32) | no).to_le_bytes()),
                bytes: 90_000,
                version: None,
            };
            self.header((0..pages).map(absent).collect(), |_| {});
        }
    }

    /// Stores and signs a snapshot whose body has so many files, all of them empty.
    pub fn sign_files(&mut self, files: usize) -> SnapshotId {
        let file = |no: usize| StreamRecord {
            name: format!("f{no:06}").parse().unwrap(),
            path: Some(format!("tree/{:03}/{no:06}", no % 1000).into()),
            meta: FileMeta::default(),
            bytes: 0,
            blake3: hash::hash(b""),
            chunks: 0,
            depth: 0,
            list: Vec::new(),
        };
        let body = Body::new((0..files).map(file).collect(), serde_json::Value::Null, Vec::new()).encode().unwrap();
        self.sign_body(&body, &[])
    }

    /// Stores and signs a snapshot of a stream whose list repeats one part so many times, and that part one chunk: half a
    /// tebibyte for each. All of it adds up.
    pub fn sign_list(&mut self, times: u64) -> SnapshotId {
        let chunk = vec![0; usize::try_from(ChunkerParams::LIMIT).unwrap()];
        let entries = u64::try_from(chunk.len() / list::ENTRY).unwrap();
        let named = self.name(&chunk);
        let mut part = Vec::new();
        (0..entries).for_each(|_| list::push(&mut part, named));
        let (chunks, repeated) = (entries * times, self.name(&part));
        let stream = StreamRecord {
            name: "zeros".parse().unwrap(),
            path: None,
            meta: FileMeta::default(),
            bytes: chunks * u64::from(named.len),
            blake3: hash::hash(b""),
            chunks,
            depth: 1,
            list: vec![repeated; usize::try_from(times).unwrap()],
        };
        let body = Body::new(vec![stream], serde_json::Value::Null, Vec::new()).encode().unwrap();
        self.sign_body(&body, &[chunk, part])
    }

    fn name(&self, plain: &[u8]) -> ChunkRef {
        ChunkRef { id: self.key.chunk_id_key.id(plain), len: u32::try_from(plain.len()).unwrap() }
    }

    /// Stores and signs a snapshot of this body, in a pack with these chunks.
    fn sign_body(&mut self, body: &[u8], chunks: &[Vec<u8>]) -> SnapshotId {
        let (mut blocks, mut plain, mut body_chunks) = (Vec::new(), Vec::new(), Vec::new());
        let of_body = body.chunks(1 << 20).map(|part| (part, true));
        for (part, is_body) in chunks.iter().map(|chunk| (chunk.as_slice(), false)).chain(of_body) {
            let (chunk, mut stored) = (self.name(part), Vec::new());
            let codec = Compressor::new(3).unwrap().compress(part, &mut stored).unwrap();
            let sealed = u32::try_from(stored.len()).unwrap();
            blocks.push(Block { codec, stored: sealed, plain: chunk.len, base: None, chunks: vec![chunk] });
            plain.extend_from_slice(&stored);
            if is_body {
                body_chunks.push(chunk);
            }
        }
        let directory = Directory { blocks };
        let encoded = directory.encode();
        plain.extend_from_slice(&encoded);
        plain.extend_from_slice(&u32::try_from(encoded.len()).unwrap().to_le_bytes());
        let sealed = self.key.pack_sealer.seal(&plain).unwrap();
        let bytes = sealed.bytes().clone();
        let pack = PackId::from_bytes(*hash::hash(&bytes).as_bytes());
        self.put(&layout::pack(&self.key.name, &pack), &bytes);
        let page = self.page(vec![PackRef { id: pack, bytes: bytes.len() as u64, version: None }]);
        let header = bytes.slice(..seal::header_len(&bytes).unwrap());
        let section = Section { pack, sealed_len: bytes.len() as u64, version: None, header, directory };
        let binding = Binding { vault: self.key.descriptor.vault, writer: self.key.name.clone(), seq: self.seq + 1 };
        let encoded = section.encode().unwrap();
        let sections = std::iter::once(encoded.as_slice());
        let index = index::seal(&binding, sections, &self.key.signing_key, &self.key.index_sealer).unwrap();
        let named = ObjectRef { hash: hash::hash(index.bytes()), bytes: index.bytes().len() as u64, version: None };
        self.put(&layout::index(&self.key.name, &named.hash), index.bytes());
        self.header(vec![page], |header| (header.body, header.indexes) = (body_chunks, vec![named]))
    }
}
