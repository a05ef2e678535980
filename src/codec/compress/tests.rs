//! Compression and deltas, also of hostile bytes.

use proptest::prelude::*;

use super::{trials::TELLING, *};

fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn text(len: usize) -> Vec<u8> {
    (0_u64..).flat_map(|i| format!("{i}\trow {}\t2026-01-01\n", i * 7919 % 1000).into_bytes()).take(len).collect()
}

fn pack(src: &[u8]) -> (Codec, Vec<u8>) {
    let mut out = b"before".to_vec();
    let codec = Compressor::new(3).unwrap().compress(src, &mut out).unwrap();
    assert_eq!(out.drain(..6).as_slice(), b"before");
    (codec, out)
}

fn unpacked(codec: Codec, src: &[u8], len: usize) -> Result<Vec<u8>> {
    let mut out = b"before".to_vec();
    let done = Decompressor::new().unwrap().decompress(codec, src, len, &mut out);
    assert_eq!(out.drain(..6).as_slice(), b"before");
    assert!(done.is_ok() || out.is_empty(), "a failure leaves nothing behind");
    done.map(|()| out)
}

/// A frame made by other means than ours: streamed, so that it states no size.
fn streamed(src: &[u8], window_log: u32) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(window_log).unwrap();
    encoder.write_all(src).unwrap();
    encoder.finish().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn what_is_compressed_opens_again(noisy in 0_usize..150_000, texty in 0_usize..150_000, seed: u64) {
        let mut src = noise(noisy, seed);
        src.extend(text(texty));
        let (codec, packed) = pack(&src);
        prop_assert!(packed.len() <= src.len());
        prop_assert_eq!(&unpacked(codec, &packed, src.len()).unwrap(), &src);
        for wrong in [0, src.len().saturating_sub(1), src.len() + 1] {
            prop_assert!(wrong == src.len() || unpacked(codec, &packed, wrong).is_err());
        }
    }

    #[test]
    fn hostile_bytes_are_errors(mut bytes in prop::collection::vec(any::<u8>(), 0..300), len in 0_usize..5000) {
        let (_, good) = pack(&text(4000));
        let _ = unpacked(Codec::Zstd, &bytes, len);
        bytes.splice(..0, good.iter().take(12).copied());
        let _ = unpacked(Codec::Zstd, &bytes, 4000);
        let mut out = Vec::new();
        let _ = Decompressor::new().unwrap().undelta(b"base", &bytes, 4000, &mut out);
        prop_assert!(out.is_empty() || out.len() == 4000);
    }

    #[test]
    fn deltas_open_with_their_base(base in 0_usize..200_000, edit in 0_usize..1000, tail: u64) {
        let base = text(base);
        let mut src = base.clone();
        let middle = src.len() / 2;
        src.splice(middle..middle, noise(edit, tail));
        let mut delta = Vec::new();
        DeltaMaker::new().unwrap().delta(&base, &src, &mut delta).unwrap();
        let mut out = Vec::new();
        Decompressor::new().unwrap().undelta(&base, &delta, src.len(), &mut out).unwrap();
        prop_assert_eq!(&out, &src);
    }
}

#[test]
fn noise_stays_raw_and_text_within_it_is_found() {
    assert_eq!(pack(&noise(BLOCK_LIMIT, 1)), (Codec::Raw, noise(BLOCK_LIMIT, 1)));
    assert_eq!(pack(&noise(1000, 1)).0, Codec::Raw);
    assert_eq!(pack(b"").0, Codec::Raw);
    for front in [0, 100_000, 1 << 20, 2 << 20] {
        let mut half = noise(2 << 20, 2);
        half.splice(front..front, text(2 << 20));
        let (codec, packed) = pack(&half);
        assert_eq!(codec, Codec::Zstd);
        assert!(packed.len() < half.len() * 3 / 4, "{}", packed.len());
    }
}

#[test]
fn limits_hold() {
    let big = vec![0; BLOCK_LIMIT + 1];
    let mut out = Vec::new();
    let mut compressor = Compressor::new(3).unwrap();
    assert!(matches!(compressor.compress(&big, &mut out), Err(CodecError::TooLarge(_))));
    assert!(matches!(DeltaMaker::new().unwrap().delta(&big, b"", &mut out), Err(CodecError::TooLarge(_))));
    assert!(matches!(DeltaMaker::new().unwrap().delta(b"", &big, &mut out), Err(CodecError::TooLarge(_))));
    assert!(matches!(unpacked(Codec::Raw, &big, big.len()), Err(CodecError::TooLarge(_))));
    assert!(matches!(unpacked(Codec::Zstd, b"", big.len()), Err(CodecError::TooLarge(_))));
    assert!(out.is_empty());
    for level in [-1, 0, 20] {
        assert!(Compressor::new(level).is_err());
    }
}

#[test]
fn frames_that_lie_are_refused() {
    let (_, good) = pack(&text(4000));
    assert!(unpacked(Codec::Zstd, &good, 4000).is_ok());
    assert!(unpacked(Codec::ZstdDelta, &good, 4000).is_err(), "a delta has no base here");
    assert!(unpacked(Codec::Raw, b"abc", 4).is_err());
    assert!(unpacked(Codec::Zstd, &good[..good.len() - 1], 4000).is_err(), "cut short");
    assert!(unpacked(Codec::Zstd, &[good.as_slice(), b"x"].concat(), 4000).is_err(), "trailing bytes");
    assert!(unpacked(Codec::Zstd, &[good.as_slice(), &good].concat(), 8000).is_err(), "two frames");
    assert!(unpacked(Codec::Zstd, &streamed(&text(4000), 27), 4000).is_err(), "no size is stated");
    // Magic, a descriptor with an 8-byte size, a window of 2 TiB, a size of 2^60.
    let bomb = [&[0x28, 0xb5, 0x2f, 0xfd, 0xc0, 0xf8][..], &(1_u64 << 60).to_le_bytes(), &[1, 0, 0]].concat();
    assert!(unpacked(Codec::Zstd, &bomb, 4000).is_err());
}

#[test]
fn nothing_is_allocated_beyond_what_is_asked_for() {
    let (_, good) = pack(&vec![0; BLOCK_LIMIT]);
    let mut out = Vec::new();
    let mut decompressor = Decompressor::new().unwrap();
    assert!(decompressor.decompress(Codec::Zstd, &good, 100, &mut out).is_err());
    assert!(out.capacity() <= 100);
    decompressor.decompress(Codec::Zstd, &good, BLOCK_LIMIT, &mut out).unwrap();
    assert_eq!((out.len(), out.capacity()), (BLOCK_LIMIT, BLOCK_LIMIT));
}

#[test]
fn a_delta_is_small_reaches_the_whole_base_and_needs_it() {
    // Noise can only be small by pointing into the base; its far end is 4 MiB + 4 MiB away.
    let base = noise(BLOCK_LIMIT, 3);
    let mut src = base.clone();
    src.rotate_left(100_000);
    let mut delta = Vec::new();
    DeltaMaker::new().unwrap().delta(&base, &src, &mut delta).unwrap();
    assert!(delta.len() < 10_000, "{}", delta.len());
    let mut decompressor = Decompressor::new().unwrap();
    for wrong in [&base[1..], &[], &noise(BLOCK_LIMIT, 4)] {
        let mut out = Vec::new();
        if decompressor.undelta(wrong, &delta, src.len(), &mut out).is_ok() {
            assert_ne!(out, src);
        }
    }
    let mut out = Vec::new();
    decompressor.undelta(&base, &delta, src.len(), &mut out).unwrap();
    assert_eq!(out, src);
}

#[test]
fn rows_that_resemble_each_other_still_find_their_old_version() {
    for level in [1, 2, 3, 6] {
        for size in [50_000, 128 << 10, 512 << 10, BLOCK_LIMIT - 4] {
            let base = text(size);
            let mut src = base.clone();
            src.splice(size / 3..size / 3, *b"new!");
            let (mut plain, mut delta) = (Vec::new(), Vec::new());
            let mut compressor = Compressor::new(level).unwrap();
            compressor.compress(&src, &mut plain).unwrap();
            DeltaMaker::new().unwrap().delta(&base, &src, &mut delta).unwrap();
            assert!(delta.len() < plain.len() / 5, "level {level}: {} of {size}", delta.len());
        }
    }
}

#[test]
fn a_base_that_looks_like_a_dictionary_is_only_bytes() {
    let base = [&[0x37, 0xa4, 0x30, 0xec][..], &text(50_000)].concat();
    let mut delta = Vec::new();
    DeltaMaker::new().unwrap().delta(&base, &base.clone(), &mut delta).unwrap();
    assert!(delta.len() < 200, "{}", delta.len());
    let mut out = Vec::new();
    Decompressor::new().unwrap().undelta(&base, &delta, base.len(), &mut out).unwrap();
    assert_eq!(out, base);
}

#[test]
fn the_numbers_of_codecs_never_change() {
    for (number, codec) in [(0, Codec::Raw), (1, Codec::Zstd), (2, Codec::ZstdDelta)] {
        assert_eq!(Codec::try_from(number).unwrap(), codec);
        assert_eq!(u8::from(codec), number);
    }
    assert!(Codec::try_from(3).is_err());
}

/// Rows of which a hash is the most.
fn hashes(len: usize) -> Vec<u8> {
    let row = |i: u64| format!("{i}\t{}\tpaid\n", blake3::hash(&i.to_le_bytes()).to_hex()).into_bytes();
    (0_u64..).flat_map(row).take(len).collect()
}

/// Lines of which each was there before, too far back for the quick setting's small table.
fn lines(len: usize) -> Vec<u8> {
    let line = |i: u64| blake3::hash(&(i * i % 2003).to_le_bytes()).to_hex().as_bytes().to_vec();
    (0_u64..).flat_map(line).take(len).collect()
}

/// What one setting alone makes of `src`.
fn alone(context: &mut CCtx<'static>, src: &[u8]) -> usize {
    let mut room = Vec::new();
    frame(context, src, &mut room).unwrap();
    room.len()
}

#[test]
fn the_quick_setting_is_taken_where_it_loses_nothing_and_left_where_it_does() {
    let mut compressor = Compressor::new(USUAL_LEVEL).unwrap();
    let mut usual = context(USUAL_LEVEL).unwrap();
    shortest_match(&mut usual, SHORT_MATCH).unwrap();
    let (hashes, lines) = (hashes(20 * TELLING), lines(20 * TELLING));
    for (src, quick) in [(&hashes, true), (&lines, false), (&hashes, true)] {
        let (mut stored, mut bound) = (0, 0);
        for block in src.chunks(TELLING) {
            let mut out = Vec::new();
            let codec = compressor.compress(block, &mut out).unwrap();
            assert_eq!(unpacked(codec, &out, block.len()).unwrap(), block);
            stored += out.len();
            let best = alone(&mut usual, block);
            bound += best + best / 64;
        }
        assert!(stored <= bound, "{stored} bytes, {bound} would do");
        assert_eq!(compressor.quick.as_ref().unwrap().1.quick(TELLING), quick);
    }
}

#[test]
fn other_levels_are_what_they_say() {
    for level in [1, 2, 4, 19] {
        let mut out = Vec::new();
        let block = hashes(TELLING);
        Compressor::new(level).unwrap().compress(&block, &mut out).unwrap();
        assert_eq!(out.len(), alone(&mut context(level).unwrap(), &block), "{level}");
    }
}

#[test]
fn a_verdict_that_holds_is_asked_for_less_often() {
    let trials = Trials::default();
    let tried = |trials: &Trials, stored: usize, quick: usize, blocks: usize| {
        let due = (0..blocks).filter(|_| {
            let due = trials.due(TELLING, stored);
            if due {
                trials.decide(1000, quick);
            }
            due
        });
        due.count()
    };
    assert!(!trials.due(TELLING - 1, 1000), "small blocks tell nothing");
    assert!(tried(&trials, 50_000, 2000, 1000) < 1000 / 32 + 8);
    assert!(!trials.quick(TELLING));
    // Data that shrinks as before is not tried before its time; other data is, and soon again.
    assert_eq!(tried(&trials, 50_000, 1000, 1), 0);
    assert_eq!(tried(&trials, 25_000, 1000, 40), 6, "after 1 block, 2, 3, 5, 9 and 17");
    assert!(trials.quick(TELLING) && !trials.quick(TELLING - 1));
    assert_eq!(tried(&trials, 50_000, 2000, 1), 1);
    assert!(!trials.quick(TELLING));
    // Data that changes all the time is not worth it.
    let due = (0..800).filter(|no| tried(&trials, 10_000 << (no % 3), 2000, 1) == 1);
    assert!(due.count() < 800 / 8 + 8);
}

#[test]
fn every_effort_opens_again_and_stores_less() {
    let rows: Vec<u8> = (0_u64..)
        .flat_map(|i| {
            let hash = blake3::hash(&i.to_le_bytes()).to_hex();
            format!("{i}\t{}\trow {}\t{:.20}\t2026-01-0{}\n", i * 7919 % 99_991, i * 7919 % 1000, hash, i % 9)
                .into_bytes()
        })
        .take(1 << 20)
        .collect();
    let mut compressor = Compressor::new(3).unwrap();
    // In an order in which a context is used again with other settings.
    let mut made = [0; 4];
    for effort in Effort::ALL.into_iter().chain(Effort::ALL.into_iter().rev()) {
        for src in [&rows[..], &rows[..70_000], &noise(200_000, 3)] {
            let mut out = b"before".to_vec();
            let codec = compressor.compress_by(effort, src, &mut out).unwrap();
            assert_eq!(out.drain(..6).as_slice(), b"before");
            assert_eq!(unpacked(codec, &out, src.len()).unwrap(), src, "{effort:?}");
            if src.len() == rows.len() {
                made[effort.rank()] = out.len();
            }
        }
    }
    assert!(made[3] <= made[2] && made[2] < made[1].min(made[0]), "{made:?}");
    assert!(compressor.harder.is_one(), "one context serves whoever compresses one block at a time");
}
