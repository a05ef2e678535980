//! Every decoder, given anything: arbitrary bytes, and valid ones with a few changes. The checks are those of the fuzz
//! targets: no panic, and what is accepted is what the encoder would write.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "fuzz/checks.rs"]
#[allow(clippy::cast_possible_truncation, clippy::precedence)]
mod checks;
#[path = "format_props/outside.rs"]
mod outside;
use bytes::Bytes;
use proptest::{collection::vec, prelude::*, sample::Index};
use strongroom::{
    codec::{
        compress::{BLOCK_LIMIT, Codec, Compressor, DeltaMaker},
        seal,
    },
    format::{
        FormatError,
        approval::{Action, Approval, Request, Spent},
        body::{BODY_LIMIT, Body, StreamRecord},
        dsse::Envelope,
        hold::Hold,
        index::{self, Binding, Section},
        list::{self, ChunkRef},
        pack::{Block, Directory},
        page::{PACKS_PER_PAGE, PAGE_LIMIT, PackRef, Page},
        share::Share,
    },
    model::{ChunkId, ChunkerParams, FileMeta, Hash, PackId, SnapshotId, Time},
};

fn config() -> ProptestConfig {
    ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() }
}

fn chunk_ref(most: u32) -> impl Strategy<Value = ChunkRef> {
    (any::<[u8; 32]>(), 1..=most).prop_map(|(id, len)| ChunkRef { id: ChunkId::from_bytes(id), len })
}

fn block() -> impl Strategy<Value = Block> {
    (0..3_u8, any::<[u8; 32]>(), 1..1_000_000_u32, vec(chunk_ref(ChunkerParams::LIMIT / 8), 1..8)).prop_map(
        |(codec, base, stored, mut chunks)| {
            let codec = Codec::try_from(codec).unwrap();
            if codec == Codec::ZstdDelta {
                chunks.truncate(1);
            }
            let plain = chunks.iter().map(|c| c.len).sum();
            let stored = if codec == Codec::Raw { plain } else { stored };
            let base = (codec == Codec::ZstdDelta).then(|| ChunkId::from_bytes(base));
            Block { codec, stored, plain, base, chunks }
        },
    )
}

fn directory() -> impl Strategy<Value = Directory> {
    vec(block(), 0..6).prop_map(|blocks| Directory { blocks })
}

fn section() -> impl Strategy<Value = Section> {
    (any::<[u8; 32]>(), any::<u64>(), proptest::option::of("[ -~é]{1,40}"), vec(any::<u8>(), 0..300), directory())
        .prop_map(|(pack, sealed_len, version, header, directory)| Section {
            pack: PackId::from_bytes(pack),
            sealed_len,
            version,
            header: Bytes::from(header),
            directory,
        })
}

fn page() -> impl Strategy<Value = Page> {
    let pack = (any::<[u8; 32]>(), any::<u64>(), proptest::option::of("\\PC{0,30}"))
        .prop_map(|(id, bytes, version)| PackRef { id: PackId::from_bytes(id), bytes, version });
    (vec(pack, 0..20), proptest::option::of(0..4_000_000_000_i64)).prop_map(|(packs, renewed)| {
        let mut page = Page::new(checks::VAULT, checks::writer(), packs);
        page.renewed_at = renewed.map(Time::from_unix);
        page
    })
}

fn stream(name: String) -> impl Strategy<Value = StreamRecord> {
    let meta = (proptest::option::of(0..0o10000_u32), any::<Option<i64>>(), any::<Option<String>>(), any::<bool>())
        .prop_map(|(mode, mtime_ns, link, dir)| FileMeta { mode, mtime_ns, link: link.map(Into::into), dir });
    let list = vec(chunk_ref(ChunkerParams::LIMIT), 0..40);
    (proptest::option::of("\\PC{0,40}"), meta, any::<[u8; 32]>(), list, 0..2_u8, any::<u64>()).prop_map(
        move |(path, mut meta, blake3, mut list, depth, bytes)| {
            // A list of lists adds up to whole entries.
            let total: u64 = list.iter().map(|c| u64::from(c.len)).sum();
            let short = (36 - total % 36) % 36;
            if depth == 1 && short > 0 {
                list.push(ChunkRef { id: ChunkId::from_bytes([9; 32]), len: u32::try_from(short).unwrap() });
            }
            let (bytes, chunks) = if depth == 0 { (total, list.len() as u64) } else { (bytes, (total + short) / 36) };
            // A link or a directory is empty, and not both.
            let empty = bytes == 0 && chunks == 0;
            meta.link = meta.link.filter(|_| empty);
            meta.dir &= empty && meta.link.is_none();
            let (name, blake3) = (name.parse().unwrap(), Hash::from_bytes(blake3));
            let path = path.map(Into::into);
            StreamRecord { name, path, meta, bytes, blake3, chunks, depth, list }
        },
    )
}

fn body() -> impl Strategy<Value = Body> {
    let streams = (0..5_usize).prop_flat_map(|n| (0..n).map(|i| stream(format!("s{i}"))).collect::<Vec<_>>());
    (streams, vec("\\PC{0,20}", 0..3)).prop_map(|(streams, warnings)| {
        let details = serde_json::json!({ "refs": { "refs/heads/main": warnings.len() }, "list": [1, null, "x"] });
        Body::new(streams, details, warnings)
    })
}

/// An index of these sections before it is signed.
fn unsigned(sections: &[Section]) -> Vec<u8> {
    let count = u32::try_from(sections.len()).unwrap().to_le_bytes();
    let seq = 7_u64.to_le_bytes();
    let mut out = [b"SRI1".as_slice(), checks::VAULT.as_bytes(), &[3], b"db1", &seq, &count].concat();
    for section in sections {
        out.extend(section.encode().unwrap());
    }
    out
}

/// One change of a byte string.
#[derive(Debug, Clone)]
enum Change {
    Set(Index, u8),
    Cut(Index),
    Insert(Index, Vec<u8>),
    Drop(Index, usize),
    Repeat(Index, usize),
    Number(Index, u32),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, to)| Change::Set(at, to)),
        1 => any::<Index>().prop_map(Change::Cut),
        1 => (any::<Index>(), vec(any::<u8>(), 1..40)).prop_map(|(at, what)| Change::Insert(at, what)),
        1 => (any::<Index>(), 1..40_usize).prop_map(|(at, n)| Change::Drop(at, n)),
        1 => (any::<Index>(), 1..80_usize).prop_map(|(at, n)| Change::Repeat(at, n)),
        2 => (any::<Index>(), prop_oneof![Just(0), Just(1), Just(u32::MAX), Just(1 << 31), any::<u32>()])
            .prop_map(|(at, n)| Change::Number(at, n)),
    ]
}

fn changed(mut bytes: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        if bytes.is_empty() {
            break;
        }
        let len = bytes.len();
        match change {
            Change::Set(at, to) => bytes[at.index(len)] = *to,
            Change::Cut(at) => bytes.truncate(at.index(len)),
            Change::Insert(at, what) => drop(bytes.splice(at.index(len)..at.index(len), what.iter().copied())),
            Change::Drop(at, n) => drop(bytes.drain(at.index(len)..len.min(at.index(len) + n))),
            Change::Repeat(at, n) => {
                let part = bytes[at.index(len)..len.min(at.index(len) + n)].to_vec();
                bytes.splice(at.index(len)..at.index(len), part);
            }
            Change::Number(at, n) => {
                for (byte, new) in bytes[at.index(len)..].iter_mut().zip(n.to_le_bytes()) {
                    *byte = new;
                }
            }
        }
    }
    bytes
}

fn every_check(data: &[u8]) {
    checks::directory(data);
    checks::split(data);
    checks::list(data);
    checks::index(data);
    checks::page(data);
    checks::body(data);
    checks::envelope(data);
    checks::header(data);
    checks::key_file(data);
    checks::sealed(data);
    checks::block(data);
    checks::name(data);
    checks::journal(data);
    checks::tar(data);
    checks::approval(data);
    checks::parity(data);
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn arbitrary_bytes_make_errors_and_no_panic(data in vec(any::<u8>(), 0..2000)) {
        every_check(&data);
    }

    #[test]
    fn arbitrary_text_makes_errors_and_no_panic(data in "\\PC{0,300}", json in "[\\[\\]{}\":,0-9a-z\\\\]{0,200}") {
        every_check(data.as_bytes());
        every_check(json.as_bytes());
    }

    #[test]
    fn directories_survive_and_changed_ones_are_no_others(d in directory(), changes in vec(change(), 1..4)) {
        let encoded = d.encode();
        prop_assert_eq!(&Directory::decode(&encoded).unwrap(), &d);
        checks::directory(&changed(encoded, &changes));
    }

    #[test]
    fn packs_split_where_their_directory_says(d in directory(), changes in vec(change(), 1..4)) {
        prop_assume!(d.blocks_len() < 1 << 20);
        let encoded = d.encode();
        let mut pack = vec![1; usize::try_from(d.blocks_len()).unwrap()];
        pack.extend_from_slice(&encoded);
        pack.extend_from_slice(&u32::try_from(encoded.len()).unwrap().to_le_bytes());
        prop_assert_eq!(&strongroom::format::pack::split(&pack).unwrap().1, &d);
        // What matters stands at the end.
        let (blocks, tail) = pack.split_at(pack.len() - encoded.len() - 4);
        checks::split(&[blocks, &changed(tail.to_vec(), &changes)].concat());
    }

    #[test]
    fn lists_survive(chunks in vec(chunk_ref(ChunkerParams::LIMIT), 0..20), changes in vec(change(), 1..4)) {
        let mut encoded = Vec::new();
        for chunk in &chunks {
            list::push(&mut encoded, *chunk);
        }
        prop_assert_eq!(list::decode(&encoded).unwrap(), chunks);
        checks::list(&changed(encoded, &changes));
    }

    #[test]
    fn indexes_survive_and_only_as_they_were_signed(sections in vec(section(), 0..4), changes in vec(change(), 1..4)) {
        let plain = unsigned(&sections);
        let signed = checks::signed_index(&plain);
        let mut seen = Vec::new();
        let key = checks::SIGNER.public();
        let binding = index::open(&signed, checks::VAULT, &checks::writer(), &key, |section, _| {
            seen.push(section);
            Ok::<_, FormatError>(())
        }).unwrap();
        prop_assert_eq!(binding, Binding { vault: checks::VAULT, writer: checks::writer(), seq: 7 });
        prop_assert_eq!(seen, sections);
        let other = changed(signed.clone(), &changes);
        let refused = index::open(&other, checks::VAULT, &checks::writer(), &key, |_, _| Ok::<_, FormatError>(()));
        prop_assert!(refused.is_err() || other == signed);
        checks::index(&changed(plain, &changes));
    }

    #[test]
    fn pages_survive(page in page(), changes in vec(change(), 1..4)) {
        let encoded = page.encode().unwrap();
        prop_assert_eq!(&Page::decode(encoded.bytes(), checks::VAULT, &checks::writer()).unwrap(), &page);
        checks::page(&changed(encoded.bytes().to_vec(), &changes));
    }

    #[test]
    fn bodies_survive(body in body(), changes in vec(change(), 1..4)) {
        let encoded = body.encode().unwrap();
        prop_assert_eq!(&Body::decode(&encoded).unwrap(), &body);
        checks::body(&changed(encoded, &changes));
    }

    #[test]
    fn frames_that_were_changed_are_opened_whole_or_not_at_all(seed in any::<[u8; 8]>(), changes in vec(change(), 0..4)) {
        let plain = seed.repeat(500);
        let (mut frame, mut delta) = (Vec::new(), Vec::new());
        let mut compressor = Compressor::new(3).unwrap();
        prop_assert_eq!(compressor.compress(&plain, &mut frame).unwrap(), Codec::Zstd);
        DeltaMaker::new().unwrap().delta(&plain[..1000], &plain, &mut delta).unwrap();
        for bytes in [frame, delta] {
            let length = u32::try_from(plain.len()).unwrap().to_le_bytes();
            checks::block(&[length.to_vec(), changed(bytes, &changes)].concat());
        }
    }

    #[test]
    fn sealed_files_that_were_changed_are_refused(plain in vec(any::<u8>(), 0..300), changes in vec(change(), 1..4)) {
        let sealed = seal::Sealer::new(vec![seal::generate_identity().1]).seal(&plain).unwrap();
        checks::sealed(&changed(sealed.bytes().to_vec(), &changes));
    }

    #[test]
    fn object_names_are_spelled_in_one_way(changes in vec(change(), 0..3), kind in 0..8_usize) {
        let hash = "0123456789abcdef".repeat(4);
        let name = [
            "vault.json".to_owned(),
            format!("keys/root-{hash}.age"),
            format!("keys/epoch-0001/0002-{hash}.json"),
            format!("members/db1/0001-{hash}.json"),
            format!("packs/db1/01/{hash}"),
            format!("indexes/db1/{hash}.age"),
            format!("lists/db1/{hash}"),
            format!("snapshots/db1/0000000012-{hash}.json"),
        ][kind].clone();
        prop_assert!(strongroom::format::layout::parse(&name).is_some());
        checks::name(&changed(name.into_bytes(), &changes));
    }

    /// What people sign and what they are given, with a few changes.
    #[test]
    fn requests_records_and_shares(changes in vec(change(), 0..4), text in "\\PC{0,40}", data in vec(any::<u8>(), 1..100)) {
        let request = Request {
            format: "1".to_owned(),
            vault: checks::VAULT,
            action: Action::Release,
            parameters: [("hold".to_owned(), text.clone())].into(),
            reason: Some(text.clone()),
            approvers: 1,
            nonce: Hash::from_bytes([3; 32]),
            made_at: Time::from_unix(1),
            not_after: Time::from_unix(2),
        };
        let bytes = request.encode().unwrap();
        prop_assert_eq!(&Request::decode(&bytes).unwrap(), &request);
        let approval = Approval { request: String::from_utf8(bytes.clone()).unwrap(), signatures: vec![text.clone()] };
        let (vault, run) = (checks::VAULT, Hash::from_bytes([4; 32]));
        let spent = Spent { format: "1".to_owned(), vault, at: Time::from_unix(1), approval, run };
        let recorded = spent.encode().unwrap().bytes().to_vec();
        let share = Share {
            vault: Some(checks::VAULT),
            recipient: "age1x".to_owned(),
            set: [5; 8],
            number: 1,
            of: 3,
            threshold: 2,
            data: [vec![1], data].concat().into(),
        };
        for bytes in [bytes, recorded, share.encode().as_bytes().to_vec()] {
            checks::approval(&bytes);
            checks::approval(&changed(bytes, &changes));
        }
        let hold = Hold {
            format: "1".to_owned(),
            vault: checks::VAULT,
            member: checks::writer(),
            at: Time::from_unix(1),
            until: Time::from_unix(2),
            snapshots: vec![SnapshotId::from_bytes([6; 32])],
            reason: Some(text),
        };
        let signed = Envelope::sign(&hold, &checks::SIGNER).unwrap().encode().unwrap();
        checks::envelope(&changed(signed.bytes().to_vec(), &changes));
        checks::envelope(&changed(serde_json::to_vec(&hold).unwrap(), &changes));
    }

    /// Headers whose sums are right again where they were changed, so that what they say is read.
    #[test]
    fn tars(entries in vec(("[a-z/.]{1,20}", any::<u8>(), vec(any::<u8>(), 0..1500)), 0..4), at in vec((0..512_usize, any::<u8>()), 0..3)) {
        let mut bytes = Vec::new();
        for (path, kind, data) in &entries {
            let mut header = [0_u8; 512];
            header[..path.len()].copy_from_slice(path.as_bytes());
            header[124..135].copy_from_slice(format!("{:011o}", data.len()).as_bytes());
            header[156] = if kind % 4 == 0 { *kind } else { b'0' };
            for (at, to) in &at {
                header[*at] = *to;
            }
            header[148..156].copy_from_slice(b"        ");
            let sum: u64 = header.iter().map(|b| u64::from(*b)).sum();
            header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            bytes.extend(header);
            bytes.extend(data);
            bytes.extend(vec![0; data.len().wrapping_neg() % 512]);
        }
        bytes.extend([0; 1024]);
        checks::tar(&bytes);
    }
}

#[test]
fn counts_that_claim_the_sky_cost_nothing() {
    let mut claims = b"SRD1".to_vec();
    claims.extend_from_slice(&u32::MAX.to_le_bytes());
    claims.extend_from_slice(&u32::MAX.to_le_bytes());
    every_check(&claims);
    let mut index = unsigned(&[]);
    let at = index.len() - 4;
    index[at..].copy_from_slice(&u32::MAX.to_le_bytes());
    checks::index(&index);
    // A frame that says it holds 4 GiB, and a caller who believes it.
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0xff, 0xff, 0xff, 0xff, 0x01, 0x00, 0x00];
    checks::block(&[u32::MAX.to_le_bytes().as_slice(), &frame].concat());
}

#[test]
fn deep_nesting_is_an_error() {
    for open in ["[", "{\"a\":", "{\"format\":\"1\",\"details\":["] {
        every_check(open.repeat(100_000).as_bytes());
    }
    let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    checks::body(format!("{{\"format\":\"1\",\"streams\":[],\"details\":{nested}}}").as_bytes());
}

#[test]
fn a_stream_that_contradicts_itself_is_refused() {
    let sound = |meta: FileMeta, bytes: u32| {
        let list: Vec<ChunkRef> =
            (bytes > 0).then(|| ChunkRef { id: ChunkId::from_bytes([1; 32]), len: bytes }).into_iter().collect();
        let (name, blake3, chunks) = ("s".parse().unwrap(), Hash::from_bytes([2; 32]), list.len() as u64);
        let stream = StreamRecord { name, path: None, meta, bytes: bytes.into(), blake3, chunks, depth: 0, list };
        Body::decode(&Body::new(vec![stream], serde_json::Value::Null, Vec::new()).encode().unwrap()).is_ok()
    };
    let mode = |mode| FileMeta { mode: Some(mode), ..FileMeta::default() };
    let link = || FileMeta { link: Some("there".into()), ..FileMeta::default() };
    let dir = || FileMeta { dir: true, ..FileMeta::default() };
    assert!(sound(mode(0o7777), 9) && sound(link(), 0) && sound(dir(), 0));
    assert!(!sound(mode(0o10_0644), 9) && !sound(link(), 9) && !sound(dir(), 9));
    assert!(!sound(FileMeta { dir: true, ..link() }, 0));
}

#[test]
fn what_is_too_large_is_neither_written_nor_read() {
    let too_large = |error: FormatError| assert!(matches!(error, FormatError::TooLarge { .. }), "{error}");
    let pack = PackRef { id: PackId::from_bytes([1; 32]), bytes: 1, version: None };
    let page = |packs| Page::new(checks::VAULT, checks::writer(), packs);
    assert!(page(vec![pack.clone(); PACKS_PER_PAGE]).encode().is_ok());
    too_large(page(vec![pack.clone(); PACKS_PER_PAGE + 1]).encode().err().unwrap());
    let hinted = PackRef { version: Some("v".repeat(PAGE_LIMIT)), ..pack.clone() };
    too_large(page(vec![hinted]).encode().err().unwrap());
    let padded = |bytes: &[u8], limit| [bytes, vec![b' '; limit + 1 - bytes.len()].as_slice()].concat();
    let stored = page(vec![pack.clone()]).encode().unwrap();
    too_large(Page::decode(&padded(stored.bytes(), PAGE_LIMIT), checks::VAULT, &checks::writer()).err().unwrap());
    let many = serde_json::to_vec(&page(vec![pack; PACKS_PER_PAGE + 1])).unwrap();
    assert!(matches!(Page::decode(&many, checks::VAULT, &checks::writer()), Err(FormatError::Damaged { .. })));
    let body = Body::new(Vec::new(), serde_json::Value::Null, Vec::new()).encode().unwrap();
    too_large(Body::decode(&padded(&body, BODY_LIMIT)).err().unwrap());
    let details = serde_json::Value::String("x".repeat(BODY_LIMIT));
    too_large(Body::new(Vec::new(), details, Vec::new()).encode().err().unwrap());
    let block = |len| Block {
        codec: Codec::Raw,
        stored: len,
        plain: len,
        base: None,
        chunks: vec![ChunkRef { id: ChunkId::from_bytes([1; 32]), len }],
    };
    let limit = u32::try_from(BLOCK_LIMIT).unwrap();
    assert!(Directory::decode(&Directory { blocks: vec![block(limit)] }.encode()).is_ok());
    assert!(Directory::decode(&Directory { blocks: vec![block(limit + 1)] }.encode()).is_err());
}
