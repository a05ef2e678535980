//! What a body says of its streams, and packs of their blocks.

use super::{
    super::{
        Result,
        body::{BODY_LIMIT, Body, StreamRecord},
        cursor::Cursor,
        list::{self, ChunkRef},
        pack::{self, Block, Directory},
    },
    damaged, too_large,
};
use crate::{
    codec::compress::{BLOCK_LIMIT, Codec},
    model::{ChunkId, ChunkerParams, FileMeta, Hash},
};

fn chunk(id: u8, len: u32) -> ChunkRef {
    ChunkRef { id: ChunkId::from_bytes([id; 32]), len }
}

fn stream(bytes: u64, chunks: u64, depth: u8, list: Vec<ChunkRef>) -> StreamRecord {
    let (name, blake3) = ("s".parse().unwrap(), Hash::from_bytes([2; 32]));
    StreamRecord { name, path: None, meta: FileMeta::default(), bytes, blake3, chunks, depth, list }
}

fn read(stream: StreamRecord) -> Result<Body> {
    Body::decode(&Body::new(vec![stream], serde_json::Value::Null, Vec::new()).encode().unwrap())
}

#[test]
fn links_and_directories_are_empty_whatever_their_lists_say() {
    let link = FileMeta { link: Some("there".into()), ..FileMeta::default() };
    let dir = FileMeta { dir: true, ..FileMeta::default() };
    for meta in [link, dir] {
        let with = |record: StreamRecord| read(StreamRecord { meta: meta.clone(), ..record });
        assert!(with(stream(0, 0, 0, Vec::new())).is_ok());
        // Each of these adds up by itself.
        damaged(with(stream(9, 0, 1, Vec::new())), "has contents");
        damaged(with(stream(0, 1, 1, vec![chunk(1, 36)])), "has contents");
        damaged(with(stream(9, 1, 0, vec![chunk(1, 9)])), "has contents");
    }
}

#[test]
fn the_list_of_a_stream_adds_up() {
    let most = ChunkerParams::LIMIT;
    assert!(read(stream(u64::from(most), 1, 0, vec![chunk(1, most)])).is_ok());
    damaged(read(stream(u64::from(most) + 1, 1, 0, vec![chunk(1, most + 1)])), "out of bounds");
    damaged(read(stream(9, 2, 0, vec![chunk(1, 9), chunk(2, 0)])), "out of bounds");
    damaged(read(stream(9, 1, 0, vec![chunk(1, 8)])), "does not add up");
    damaged(read(stream(9, 2, 0, vec![chunk(1, 9)])), "does not hold the chunks");
    assert!(read(stream(1_000_000, 2, 1, vec![chunk(1, 36), chunk(2, 36)])).is_ok());
    damaged(read(stream(72, 3, 1, vec![chunk(1, 36), chunk(2, 36)])), "does not add up");
    damaged(read(stream(0, 0, 2, Vec::new())), "unknown depth");
    damaged(
        Body::decode(&Body::new(vec![stream(0, 0, 0, Vec::new()); 2], ().into(), Vec::new()).encode().unwrap()),
        "two of its streams have one name",
    );
}

#[test]
fn a_body_is_written_up_to_its_limit() {
    let with = |bytes: usize| Body::new(Vec::new(), "x".repeat(bytes).into(), Vec::new());
    let room = BODY_LIMIT - with(0).encode().unwrap().len();
    assert!(with(room).write(&mut std::io::sink()).is_ok());
    too_large(with(room + 1).write(&mut std::io::sink()));
}

#[test]
fn numbers_are_read_little_end_first_and_nothing_is_left_over() {
    let bytes = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
    let mut cursor = Cursor::new("thing", &bytes);
    assert_eq!((cursor.u8().unwrap(), cursor.u16().unwrap(), cursor.remaining()), (1, 0x0302, 13));
    assert_eq!(cursor.u32().unwrap(), 0x0706_0504);
    assert_eq!(cursor.u64().unwrap(), 0x0f0e_0d0c_0b0a_0908);
    damaged(cursor.clone().finish(), "left over");
    damaged(cursor.clone().u16(), "cut short");
    assert_eq!(cursor.take(1).unwrap(), [16]);
    assert!(cursor.finish().is_ok());
}

#[test]
fn the_chunks_of_a_list_have_a_length_within_bounds() {
    let with = |len: u32| {
        let mut bytes = Vec::new();
        list::push(&mut bytes, chunk(1, len));
        list::decode(&bytes)
    };
    assert!(with(1).is_ok() && with(ChunkerParams::LIMIT).is_ok());
    damaged(with(0), "out of bounds");
    damaged(with(ChunkerParams::LIMIT + 1), "out of bounds");
}

fn block(codec: Codec, stored: u32, base: Option<u8>, chunks: Vec<ChunkRef>) -> Block {
    let plain = chunks.iter().map(|chunk| chunk.len).sum();
    Block { codec, stored, plain, base: base.map(|id| ChunkId::from_bytes([id; 32])), chunks }
}

fn directory(block: Block) -> Result<Directory> {
    Directory::decode(&Directory { blocks: vec![block] }.encode())
}

#[test]
fn a_block_is_within_bounds_and_its_parts_fit_together() {
    let limit = u32::try_from(BLOCK_LIMIT).unwrap();
    assert!(directory(block(Codec::Zstd, 1, None, vec![chunk(1, limit)])).is_ok());
    damaged(directory(block(Codec::Zstd, 0, None, vec![chunk(1, 9)])), "out of bounds");
    let halves = vec![chunk(1, limit), chunk(2, 1)];
    damaged(directory(block(Codec::Zstd, 1, None, halves)), "out of bounds");
    let one = || block(Codec::Zstd, 1, None, vec![chunk(1, 9)]);
    damaged(directory(Block { plain: 8, ..one() }), "do not add up");
    damaged(directory(Block { plain: 0, chunks: Vec::new(), ..one() }), "");
    damaged(directory(block(Codec::Raw, 8, None, vec![chunk(1, 9)])), "do not fit together");
    assert!(directory(block(Codec::ZstdDelta, 1, Some(2), vec![chunk(1, 9)])).is_ok());
    damaged(directory(block(Codec::ZstdDelta, 1, Some(1), vec![chunk(1, 9)])), "do not fit together");
    damaged(directory(block(Codec::ZstdDelta, 1, Some(3), vec![chunk(1, 9), chunk(2, 9)])), "do not fit together");
}

#[test]
fn the_counts_of_a_directory_are_those_of_its_entries() {
    let good = Directory {
        blocks: vec![
            block(Codec::Zstd, 1, None, vec![chunk(1, 9)]),
            block(Codec::Zstd, 2, None, vec![chunk(2, 9), chunk(3, 9)]),
        ],
    };
    let encoded = good.encode();
    assert_eq!(encoded.len(), 12 + 2 * 13 + 3 * 36);
    assert_eq!((Directory::decode(&encoded).unwrap(), good.blocks_len()), (good, 3));
    let changed = |at: usize, to: u8| {
        let mut bytes = encoded.clone();
        bytes[at] = to;
        Directory::decode(&bytes)
    };
    damaged(changed(0, b'X'), "SRD1");
    damaged(changed(8, 4), "counts exceed its length");
    damaged(changed(8, 2), "do not hold the chunks");
    damaged(changed(8, 1), "counts exceed its length");
    damaged(changed(4, 4), "counts exceed its length");
    // The count of the first block, and that of the second.
    damaged(changed(12 + 9, 2), "do not hold the chunks");
    damaged(changed(12 + 13 + 9, 200), "more chunks than there are");
    damaged(Directory::decode(&[&encoded[..], b"x"].concat()), "left over");
    damaged(Directory::decode(&encoded[..encoded.len() - 1]), "counts exceed its length");
    assert_eq!(Directory::decode(&Directory::default().encode()).unwrap(), Directory::default());
}

#[test]
fn a_pack_is_filled_by_its_blocks_whoever_takes_it_apart() {
    let directory = Directory { blocks: vec![block(Codec::Raw, 3, None, vec![chunk(1, 3)])] };
    let encoded = directory.encode();
    let pack = |blocks: &[u8]| [blocks, &encoded, &u32::try_from(encoded.len()).unwrap().to_le_bytes()].concat();
    let sound = pack(b"abc");
    assert_eq!(pack::split(&sound).unwrap(), (b"abc".as_slice(), directory));
    assert_eq!(pack::encoded(&sound).unwrap(), (b"abc".as_slice(), encoded.as_slice()));
    assert!(pack::check_directory(3, &encoded).is_ok());
    for bytes in [b"ab".as_slice(), b"abcd"] {
        damaged(pack::split(&pack(bytes)), "do not fill");
        damaged(pack::encoded(&pack(bytes)), "do not fill");
    }
    damaged(pack::split(&sound[sound.len() - 3..]), "too short");
    damaged(pack::split(&sound[5..]), "too short");
}
