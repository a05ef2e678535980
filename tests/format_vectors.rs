//! The test vectors of `docs/format.md`, read from there: what the document says is what the code does.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{collections::BTreeMap, fmt::Write, sync::Arc};

use strongroom::{
    codec::{
        chunker::Chunker,
        compress::{Codec, Decompressor},
        hash::{self, ChunkIdKey},
        seal::{NoPrompt, Opener},
        sign::{PublicKey, SigningKey},
    },
    format::{
        FormatError,
        certificate::Certificate,
        descriptor::Descriptor,
        dsse::{Document, Envelope},
        index, journal,
        list::{self, ChunkRef},
        pack::{self, Block, Directory},
        page::Page,
    },
    model::{
        ChunkId, ChunkerParams, Hash, Name, Sample, VaultId,
        journal::{Piece, Span},
    },
};

/// Every vector that a test below reads.
const TESTED: [&str; 11] =
    ["certificate", "chunker", "delta", "directory", "ids", "index", "journal", "list", "pack", "page", "sample"];

struct Vector(BTreeMap<String, String>);

/// The vectors of the document: blocks fenced as `vector NAME`, of lines `key = value`. An indented line goes on with
/// the value before it.
fn vectors() -> BTreeMap<String, Vector> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/format.md");
    let document = std::fs::read_to_string(path).unwrap();
    let mut vectors = BTreeMap::new();
    for block in document.split("\n```vector ").skip(1) {
        let block = block.split("\n```").next().unwrap();
        let (name, body) = block.split_once('\n').unwrap();
        let mut fields: BTreeMap<String, String> = BTreeMap::new();
        let mut last = String::new();
        for line in body.lines() {
            if let Some(more) = line.strip_prefix("  ") {
                fields.get_mut(&last).unwrap().push_str(more.trim());
            } else {
                let (key, value) = line.split_once(" = ").unwrap_or_else(|| panic!("{name}: {line}"));
                key.clone_into(&mut last);
                assert!(fields.insert(last.clone(), value.to_owned()).is_none(), "{name} has {key} twice");
            }
        }
        assert!(vectors.insert(name.to_owned(), Vector(fields)).is_none(), "{name} stands there twice");
    }
    vectors
}

fn vector(name: &str) -> Vector {
    assert!(TESTED.contains(&name), "add {name} to TESTED");
    vectors().remove(name).unwrap_or_else(|| panic!("docs/format.md has no vector {name}"))
}

impl Vector {
    fn text(&self, key: &str) -> &str {
        self.0.get(key).unwrap_or_else(|| panic!("the vector has no {key}"))
    }

    fn bytes(&self, key: &str) -> Vec<u8> {
        from_hex(self.text(key))
    }

    fn hash(&self, key: &str) -> Hash {
        self.text(key).parse().unwrap()
    }

    fn vault(&self) -> VaultId {
        self.text("vault").parse().unwrap()
    }

    fn writer(&self) -> Name {
        self.text("writer").parse().unwrap()
    }
}

fn from_hex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')), "{text}");
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, b| {
        write!(out, "{b:02x}").unwrap();
        out
    })
}

fn chunk(id: &str, len: u32) -> ChunkRef {
    ChunkRef { id: id.parse().unwrap(), len }
}

#[test]
fn every_vector_of_the_document_is_tested() {
    assert_eq!(vectors().into_keys().collect::<Vec<_>>(), TESTED);
}

#[test]
fn ids_and_keys_follow_from_their_parts() {
    let v = vector("ids");
    let root = SigningKey::from_hex(v.text("root-seed")).unwrap().public();
    assert_eq!(root.to_string(), v.text("root"));
    assert_eq!(Descriptor::vault_id(&root, &v.hash("nonce")).to_string(), v.text("vault"));
    let master = ChunkIdKey::from_hex(v.text("chunk-id-key")).unwrap();
    let own = master.for_writer(&v.writer());
    assert_eq!(own.to_hex().as_str(), v.text("writer-key"));
    assert_eq!(own.id(v.text("text").as_bytes()).to_string(), v.text("chunk"));
}

#[test]
fn a_certificate_is_signed_as_the_document_says() {
    let v = vector("certificate");
    let key = SigningKey::from_hex(v.text("root-seed")).unwrap();
    let certificate: Certificate = serde_json::from_str(v.text("payload")).unwrap();
    assert_eq!(serde_json::to_string(&certificate).unwrap(), v.text("payload"));
    let signed = format!(
        "DSSEv1 {} {} {} {}",
        Certificate::TYPE.len(),
        Certificate::TYPE,
        v.text("payload").len(),
        v.text("payload")
    );
    assert_eq!(to_hex(key.sign(signed.as_bytes()).as_bytes()), v.text("signature"));
    let stored = Envelope::sign(&certificate, &key).unwrap().encode().unwrap();
    assert_eq!(std::str::from_utf8(stored.bytes()).unwrap(), v.text("stored"));
    assert_eq!(hash::hash(stored.bytes()), v.hash("name"));
    let envelope = Envelope::decode::<Certificate>(v.text("stored").as_bytes()).unwrap();
    assert_eq!(envelope.open::<Certificate>(&key.public(), certificate.vault).unwrap(), certificate);
}

#[test]
fn streams_are_cut_where_the_document_says() {
    let v = vector("chunker");
    let mut data = vec![0; v.text("bytes").parse().unwrap()];
    // What `b3sum --length N` prints for an empty file.
    blake3::Hasher::new().finalize_xof().fill(&mut data);
    for (key, params) in [("data", ChunkerParams::DATA), ("list", ChunkerParams::LIST)] {
        let mut lengths = Vec::new();
        Chunker::new(params).unwrap().cut(&data, true, &mut lengths);
        let lengths: Vec<String> = lengths.iter().map(u32::to_string).collect();
        assert_eq!(lengths.join(" "), v.text(key), "{key}");
    }
}

#[test]
fn a_list_is_encoded_as_the_document_says() {
    let v = vector("list");
    let chunks = [chunk(v.text("first"), 131_072), chunk(v.text("second"), 40_001)];
    let mut encoded = Vec::new();
    for chunk in chunks {
        list::push(&mut encoded, chunk);
    }
    assert_eq!(to_hex(&encoded), v.text("list"));
    assert_eq!(list::decode(&v.bytes("list")).unwrap(), chunks);
}

#[test]
fn a_directory_is_encoded_as_the_document_says() {
    let v = vector("directory");
    let id = |n: u8| ChunkId::from_bytes([n; 32]).to_string();
    let block = |codec, stored, base: Option<u8>, chunks: Vec<ChunkRef>| {
        let plain = chunks.iter().map(|c| c.len).sum();
        Block { codec, stored, plain, base: base.map(|n| ChunkId::from_bytes([n; 32])), chunks }
    };
    let directory = Directory {
        blocks: vec![
            block(Codec::Raw, 7, None, vec![chunk(&id(0x11), 3), chunk(&id(0x22), 4)]),
            block(Codec::Zstd, 50, None, vec![chunk(&id(0x33), 1000)]),
            block(Codec::ZstdDelta, 20, Some(0x33), vec![chunk(&id(0x44), 1001)]),
        ],
    };
    assert_eq!(to_hex(&directory.encode()), v.text("directory"));
    assert_eq!(Directory::decode(&v.bytes("directory")).unwrap(), directory);
}

#[test]
fn a_delta_is_opened_with_its_base() {
    let v = vector("delta");
    let mut out = Vec::new();
    let plain = v.text("plain");
    let mut decompressor = Decompressor::new().unwrap();
    decompressor.undelta(v.text("base").as_bytes(), &v.bytes("delta"), plain.len(), &mut out).unwrap();
    assert_eq!(std::str::from_utf8(&out).unwrap(), plain);
}

#[test]
fn a_piece_of_a_journal_is_read_and_signed_as_the_document_says() {
    let v = vector("journal");
    let key = SigningKey::from_hex(v.text("signer-seed")).unwrap();
    let record: journal::Record = serde_json::from_str(v.text("payload")).unwrap();
    assert_eq!(serde_json::to_string(&record).unwrap(), v.text("payload"));
    let span = Span { from: record.from, to: record.to };
    let (writer, source, line) = (v.writer(), record.source.clone(), record.line.clone());
    let piece = Piece { writer, source, line, span, hash: Hash::from_bytes([0; 32]) };
    let (opened, log) = journal::open(&v.bytes("opened"), record.vault, &piece, &key.public()).unwrap();
    assert_eq!((opened, log), (record.clone(), v.bytes("log")));
    let signed = Envelope::sign(&record, &key).unwrap().encode().unwrap();
    let length = u32::try_from(signed.bytes().len()).unwrap().to_le_bytes();
    assert!(v.bytes("opened").starts_with(&[length.as_slice(), signed.bytes()].concat()));
}

#[test]
fn an_index_is_read_as_the_document_says() {
    let v = vector("index");
    let key: PublicKey = v.text("signer").parse().unwrap();
    let mut seen = Vec::new();
    let binding = index::open(&v.bytes("index"), v.vault(), &v.writer(), &key, |section, encoded| {
        assert_eq!(section.encode()?, encoded);
        seen.push(section);
        Ok::<_, FormatError>(())
    })
    .unwrap();
    assert_eq!((binding.seq.to_string().as_str(), seen.len()), (v.text("seq"), 1));
    assert_eq!(seen[0].pack.to_string(), v.text("pack"));
    assert_eq!(seen[0].sealed_len.to_string(), v.text("sealed-length"));
    assert_eq!(seen[0].version.as_deref(), Some(v.text("version")));
    assert_eq!(to_hex(&seen[0].header), v.text("age-header"));
    assert_eq!(to_hex(&seen[0].directory.encode()), v.text("directory"));
}

#[test]
fn a_sealed_pack_is_opened_with_its_epoch_identity() {
    let v = vector("pack");
    let sealed = v.bytes("sealed");
    assert_eq!(hash::hash(&sealed), v.hash("name"));
    let opener = Opener::from_identity_text(v.text("identity"), "test", Arc::new(NoPrompt)).unwrap();
    let plain = opener.open(&sealed, pack::PACK_LIMIT).unwrap();
    assert_eq!(to_hex(&plain), v.text("opened"));
    let (blocks, directory) = pack::split(&plain).unwrap();
    let key = ChunkIdKey::from_hex(v.text("writer-key")).unwrap();
    let text = v.text("text").as_bytes();
    assert_eq!((blocks, directory.blocks.len()), (text, 1));
    assert_eq!(directory.blocks[0].chunks, [ChunkRef { id: key.id(text), len: u32::try_from(text.len()).unwrap() }]);
}

#[test]
fn a_page_is_stored_as_the_document_says() {
    let v = vector("page");
    let page = Page::decode(v.text("page").as_bytes(), v.vault(), &v.writer()).unwrap();
    let stored = page.encode().unwrap();
    assert_eq!(std::str::from_utf8(stored.bytes()).unwrap(), v.text("page"));
    assert_eq!(hash::hash(stored.bytes()), v.hash("name"));
}

#[test]
fn a_sample_of_rows_is_spelled_as_the_document_says() {
    let v = vector("sample");
    let hashes: Vec<u64> = v.text("hashes").split(' ').map(|hash| u64::from_str_radix(hash, 16).unwrap()).collect();
    let sample = Sample::of(hashes, u64::MAX, v.text("kept").parse().unwrap());
    assert_eq!(serde_json::to_value(&sample).unwrap(), v.text("sample"));
    assert_eq!(serde_json::from_value::<Sample>(v.text("sample").into()).unwrap(), sample);
}
