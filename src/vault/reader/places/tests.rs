use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::{
    codec::hash,
    format::{list::ChunkRef, pack::Directory},
};

/// An id that is one of a few, which begin alike in pairs.
fn id(no: u8) -> ChunkId {
    let mut bytes = *hash::hash(&[no / 2]).as_bytes();
    bytes[31] = no;
    ChunkId::from_bytes(bytes)
}

fn block(chunks: Vec<ChunkRef>, base: Option<ChunkId>, stored: u32) -> Block {
    let codec = if base.is_some() { Codec::ZstdDelta } else { Codec::Zstd };
    Block { codec, stored, plain: chunks.iter().map(|chunk| chunk.len).sum(), base, chunks }
}

fn section(no: u8, blocks: Vec<Block>) -> (Section, PackRef) {
    let pack = PackId::from_bytes([no; 32]);
    let header = Bytes::from_static(b"header");
    let directory = Directory { blocks };
    let (version, sealed_len) = (Some(format!("v{no}")), 1000);
    let named = PackRef { id: pack, bytes: sealed_len, version: version.clone() };
    (Section { pack, sealed_len, version, header, directory }, named)
}

fn of(packs: &[Vec<Block>]) -> Places {
    let mut places = Places::default();
    for (no, blocks) in (0..).zip(packs) {
        let (section, named) = section(no, blocks.clone());
        assert!(places.add(&"w".parse().unwrap(), section, &named));
    }
    places.sort();
    places
}

fn blocks() -> impl Strategy<Value = Vec<Block>> {
    let chunk = (0..40_u8, 1..100_000_u32).prop_map(|(no, len)| ChunkRef { id: id(no), len });
    let whole = (prop::collection::vec(chunk.clone(), 1..6), 1..9_000_u32).prop_map(|(c, s)| block(c, None, s));
    let delta = (chunk, 40..80_u8, 1..9_000_u32).prop_map(|(c, base, s)| block(vec![c], Some(id(base % 41)), s));
    prop::collection::vec(prop_oneof![whole, delta], 0..8)
}

proptest! {
    /// What is kept in little memory is what a plain table would say.
    #[test]
    fn every_chunk_is_where_its_pack_says(packs in prop::collection::vec(blocks(), 0..6)) {
        let places = of(&packs);
        let mut table: HashMap<u64, Vec<Located>> = HashMap::new();
        for (pack, blocks) in (0..).zip(&packs) {
            let mut begin = 0;
            for (no, block) in (0..).zip(blocks) {
                let mut offset = 0;
                for chunk in &block.chunks {
                    let place = Located { pack, block: no, offset, len: chunk.len };
                    table.entry(beginning(&chunk.id)).or_default().push(place);
                    offset += chunk.len;
                }
                let (found, kept) = places.block(Located { pack, block: no, offset: 0, len: 0 }).unwrap();
                prop_assert_eq!(found.id, PackId::from_bytes([u8::try_from(pack).unwrap(); 32]));
                prop_assert_eq!((kept.offset, kept.stored, kept.plain), (begin, block.stored, block.plain));
                prop_assert_eq!((kept.codec, kept.base), (block.codec, block.base));
                begin += u64::from(block.stored);
            }
            prop_assert_eq!(places.blocks(places.pack(pack).unwrap()).count(), blocks.len());
        }
        for no in 0..80 {
            let known = table.get(&beginning(&id(no))).cloned().unwrap_or_default();
            prop_assert_eq!(places.candidates(&id(no)), known.clone());
            prop_assert_eq!(known.iter().all(|at| places.find_of(ChunkRef { id: id(no), len: at.len }).is_some()), true);
            let whole = |place: &Located| packs[place.pack as usize][place.block as usize].base.is_none();
            prop_assert_eq!(places.find_base(&id(no)), known.into_iter().find(whole));
        }
    }
}

#[test]
fn a_delta_whose_base_is_not_there_gives_way_to_another_place() {
    let chunk = ChunkRef { id: id(1), len: 10 };
    let packs = [vec![block(vec![chunk], Some(id(9)), 5)], vec![block(vec![chunk], None, 7)]];
    assert_eq!(of(&packs).find_of(chunk).unwrap().pack, 1);
    assert_eq!(of(&packs[..1]).find_of(chunk).unwrap().pack, 0, "then it is told which base is missing");
    let based = [packs[0].clone(), packs[1].clone(), vec![block(vec![ChunkRef { id: id(9), len: 3 }], None, 3)]];
    assert_eq!(of(&based).find_of(chunk).unwrap().pack, 0);
}

#[test]
fn a_chunk_whose_id_begins_as_that_of_another_is_found_by_its_length_and_what_can_be_opened() {
    // 0 and 1 begin alike.
    let (other, chunk) = (ChunkRef { id: id(0), len: 7 }, ChunkRef { id: id(1), len: 10 });
    let delta = block(vec![chunk], Some(id(9)), 5);
    let packs = [vec![block(vec![other], None, 3)], vec![delta], vec![block(vec![chunk], None, 7)]];
    assert_eq!(of(&packs).find_of(chunk).unwrap().pack, 2);
    assert_eq!(of(&packs).find_of(other).unwrap().pack, 0);
    assert_eq!(of(&packs[..1]).find_of(chunk), None);
}

#[test]
fn an_index_that_says_more_of_a_pack_than_one_can_hold_is_not_believed() {
    let chunk = ChunkRef { id: id(1), len: 10 };
    let (section, named) = section(0, (0..3).map(|_| block(vec![chunk], None, 12 << 20)).collect());
    let mut places = Places::default();
    assert!(!places.add(&"w".parse().unwrap(), section, &named));
    places.sort();
    assert_eq!((places.packs().count(), places.find_of(chunk)), (0, None));
}

#[test]
fn a_million_chunks_are_found_in_few_bytes_each() {
    let packs: Vec<Vec<Block>> = (0..40_u64)
        .map(|pack| {
            let chunks = |block: u64| {
                let no = |at: u64| (pack * 100 + block) * 256 + at;
                let id = |at: u64| ChunkId::from_bytes(*hash::hash(&no(at).to_le_bytes()).as_bytes());
                (0..256).map(|at| ChunkRef { id: id(at), len: 100 }).collect()
            };
            (0..100).map(|no| block(chunks(no), None, 1000)).collect()
        })
        .collect();
    let places = of(&packs);
    for (pack, blocks) in (0..).zip(&packs) {
        for (no, block) in (0..).zip(blocks) {
            for (offset, chunk) in (0..).map(|at| at * 100).zip(&block.chunks) {
                assert_eq!(places.find_of(*chunk), Some(Located { pack, block: no, offset, len: 100 }));
            }
        }
    }
    let bytes = places.entries.0.iter().map(|piece| piece.capacity() * 8).sum::<usize>()
        + (places.order.capacity() + places.ends.capacity()) * 4;
    let count = places.count as usize;
    assert!(bytes < count * 14, "{} bytes for each of {count} chunks", bytes / count);
}
