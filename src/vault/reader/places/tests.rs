use std::collections::HashMap;

use proptest::prelude::*;

use super::{rows::beginning, *};
use crate::{
    codec::hash,
    format::{
        list::ChunkRef,
        pack::{Block, Directory},
    },
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

fn added(places: &mut Places, no: u8, blocks: Vec<Block>) -> Result<bool> {
    let (pack, directory) = (PackId::from_bytes([no; 32]), Directory { blocks }.encode());
    let hint = places.hint(Some(&format!("v{no}")))?;
    let header = vec![no; usize::from(no)];
    places.add(&Encoded { pack, sealed_len: 1000, version: None, header: &header, directory: &directory }, hint)
}

fn within(packs: &[Vec<Block>], limit: usize) -> Places {
    let mut places = Places::within("w".parse().unwrap(), limit);
    for (no, blocks) in (0..).zip(packs) {
        assert!(added(&mut places, no, blocks.clone()).unwrap());
    }
    places.sort().unwrap();
    places
}

fn of(packs: &[Vec<Block>]) -> Places {
    within(packs, IN_MEMORY)
}

fn pack_of(places: &Places, chunk: ChunkRef) -> Option<u32> {
    places.find_of(chunk).unwrap().map(|(place, _)| place.pack)
}

fn blocks() -> impl Strategy<Value = Vec<Block>> {
    let chunk = (0..40_u8, 1..100_000_u32).prop_map(|(no, len)| ChunkRef { id: id(no), len });
    let whole = (prop::collection::vec(chunk.clone(), 1..6), 1..9_000_u32).prop_map(|(c, s)| block(c, None, s));
    let delta = (chunk, 40..80_u8, 1..9_000_u32).prop_map(|(c, base, s)| {
        let base = Some(id(base % 41)).filter(|base| *base != c.id).unwrap_or_else(|| id(40));
        block(vec![c], Some(base), s)
    });
    prop::collection::vec(prop_oneof![whole, delta], 0..8)
}

proptest! {
    /// What is kept, in memory or in a file, is what a plain table would say.
    #[test]
    fn every_chunk_is_where_its_pack_says(
        packs in prop::collection::vec(blocks(), 0..6),
        limit in prop_oneof![Just(0), Just(200), Just(IN_MEMORY)],
    ) {
        let places = within(&packs, limit);
        let mut table: HashMap<u64, Vec<Found>> = HashMap::new();
        let mut number = 0;
        for (pack, blocks) in (0..).zip(&packs) {
            let mut begin = 0;
            for block in blocks {
                let mut offset = 0;
                let Block { codec, stored, plain, base, .. } = *block;
                let kept = BlockPlace { offset: begin, stored, plain, codec, base };
                prop_assert_eq!(places.row(number).unwrap(), (pack, kept));
                for chunk in &block.chunks {
                    let place = Located { pack, block: number, offset, len: chunk.len };
                    table.entry(beginning(&chunk.id)).or_default().push((place, kept));
                    offset += chunk.len;
                }
                begin += u64::from(block.stored);
                number += 1;
            }
            let no = u8::try_from(pack).unwrap();
            let found = places.pack(pack).unwrap();
            prop_assert_eq!((found.id, found.sealed_len), (PackId::from_bytes([no; 32]), 1000));
            prop_assert_eq!((found.version, found.header), (Some(format!("v{no}")), vec![no; usize::from(no)].into()));
            prop_assert_eq!(places.lengths(pack), Some((no.into(), 1000)));
        }
        prop_assert!(places.row(number).is_err());
        let mut all = 0;
        places.each_block(|_, _| all += 1).unwrap();
        prop_assert_eq!(all, number);
        for no in 0..80 {
            let known = table.get(&beginning(&id(no))).cloned().unwrap_or_default();
            let tried: Vec<Found> = known.iter().copied().take(TRIED).collect();
            prop_assert_eq!(&places.candidates(&id(no)).unwrap(), &tried);
            for (at, _) in &known {
                let found = places.find_of(ChunkRef { id: id(no), len: at.len }).unwrap();
                prop_assert!(found.is_some());
            }
            let whole = |(_, block): &Found| block.base.is_none();
            prop_assert_eq!(places.find_base(&id(no)).unwrap(), tried.into_iter().find(whole));
        }
    }

    /// The same order, however few are put into it at once.
    #[test]
    fn the_order_is_that_of_ids_and_then_of_packs(
        ids in prop::collection::vec(any::<u16>(), 0..2000),
        limit in prop_oneof![Just(0), Just(1000), Just(IN_MEMORY)],
    ) {
        let chunk = |id: u16| ChunkRef { id: ChunkId::from_bytes(*hash::hash(&(id % 500).to_le_bytes()).as_bytes()), len: 1 };
        let mut arrived = Scratch::new(limit);
        let mut table: HashMap<ChunkId, Vec<u32>> = HashMap::new();
        for (no, id) in (0..).zip(&ids) {
            let chunk = chunk(*id);
            arrived.append(&ChunkRow::new(&chunk, no, no).encode()).unwrap();
            table.entry(chunk.id).or_default().push(no);
        }
        let order = Order::of(arrived, limit).unwrap();
        for id in 0..600 {
            let id = chunk(id).id;
            let found: Vec<u32> = order.alike(&id).unwrap().iter().map(|row| row.block).collect();
            prop_assert_eq!(found, table.get(&id).cloned().unwrap_or_default());
        }
    }
}

#[test]
fn of_a_chunk_in_very_many_places_some_are_kept() {
    let mut arrived = Scratch::new(0);
    for no in 0..100_000 {
        // All begin alike, as whoever signs an index may have it.
        let chunk = ChunkRef { id: ChunkId::from_bytes([7; 32]), len: 1 };
        arrived.append(&ChunkRow::new(&chunk, 0, no).encode()).unwrap();
    }
    let order = Order::of(arrived, 16_000).unwrap();
    let kept: Vec<u32> = order.alike(&ChunkId::from_bytes([7; 32])).unwrap().iter().map(|row| row.block).collect();
    assert_eq!(kept, (0..4096).collect::<Vec<_>>());
}

#[test]
fn a_delta_whose_base_is_not_there_gives_way_to_another_place() {
    let chunk = ChunkRef { id: id(1), len: 10 };
    let packs = [vec![block(vec![chunk], Some(id(9)), 5)], vec![block(vec![chunk], None, 7)]];
    assert_eq!(pack_of(&of(&packs), chunk), Some(1));
    assert_eq!(pack_of(&of(&packs[..1]), chunk), Some(0), "then it is told which base is missing");
    let based = [packs[0].clone(), packs[1].clone(), vec![block(vec![ChunkRef { id: id(9), len: 3 }], None, 3)]];
    assert_eq!(pack_of(&of(&based), chunk), Some(0));
}

#[test]
fn a_chunk_whose_id_begins_as_that_of_another_is_found_by_its_length_and_what_can_be_opened() {
    // 0 and 1 begin alike.
    let (other, chunk) = (ChunkRef { id: id(0), len: 7 }, ChunkRef { id: id(1), len: 10 });
    let delta = block(vec![chunk], Some(id(9)), 5);
    let packs = [vec![block(vec![other], None, 3)], vec![delta], vec![block(vec![chunk], None, 7)]];
    assert_eq!(pack_of(&of(&packs), chunk), Some(2));
    assert_eq!(pack_of(&of(&packs), other), Some(0));
    assert_eq!(pack_of(&of(&packs[..1]), chunk), None);
}

#[test]
fn an_index_that_says_more_of_a_pack_than_one_can_hold_is_not_believed() {
    let chunk = ChunkRef { id: id(1), len: 10 };
    let mut places = Places::new("w".parse().unwrap());
    assert!(!added(&mut places, 0, (0..3).map(|_| block(vec![chunk], None, 12 << 20)).collect()).unwrap());
    assert!(added(&mut places, 1, vec![block(vec![chunk], None, 0)]).is_err(), "no block is empty");
    places.sort().unwrap();
    assert_eq!((places.ids().count(), pack_of(&places, chunk)), (0, None));
}

#[test]
fn of_chunks_beyond_the_bound_a_quarter_of_a_byte_each_is_in_memory() {
    const BLOCKS: u64 = 10;
    let chunk = |pack: u64, block: u64, at: u64| {
        let no = (pack * BLOCKS + block) * 256 + at;
        ChunkRef { id: ChunkId::from_bytes(*hash::hash(&no.to_le_bytes()).as_bytes()), len: 100 }
    };
    let mut places = Places::within("w".parse().unwrap(), 1 << 20);
    for pack in 0..80 {
        let of = |no| block((0..256).map(|at| chunk(pack, no, at)).collect(), None, 1000);
        assert!(added(&mut places, u8::try_from(pack).unwrap(), (0..BLOCKS).map(of).collect()).unwrap());
    }
    assert!(places.are_many());
    places.sort().unwrap();
    let Chunks::Ordered(order) = &places.chunks else { panic!("they are ordered") };
    assert!(order.in_memory() < 80 << 10, "{}", order.in_memory());
    for pack in 0..80 {
        for no in 0..BLOCKS {
            for at in (0..256).step_by(5) {
                let (place, _) = places.find_of(chunk(pack, no, at)).unwrap().unwrap();
                let block = u32::try_from(pack * BLOCKS + no).unwrap();
                let pack = u32::try_from(pack).unwrap();
                assert_eq!(place, Located { pack, block, offset: u32::try_from(at).unwrap() * 100, len: 100 });
            }
        }
    }
}
