//! How hard is compressed, by what was seen of the store.

use proptest::prelude::*;

use super::*;

/// Two threads that compress rows with hashes, and a store that takes 300 MB a second and has nothing on its way.
fn fast() -> View {
    View {
        slots: 4,
        taken: 0,
        given: 3,
        silent: false,
        waiting: 0,
        coming: 0,
        shares: false,
        takes: Some(300_000_000),
        workers: 2,
        density: MIB / 4,
        costs: COSTS,
    }
}

/// A line of 100 Mbit/s that all slots share, with all of them taken.
fn narrow() -> View {
    View { taken: 4, takes: Some(12_500_000), ..fast() }
}

#[test]
fn nothing_known_of_the_store_is_no_pressure() {
    for unknown in [View { takes: None, ..narrow() }, View { given: 0, ..narrow() }] {
        assert_eq!(effort(&unknown), Effort::Usual);
    }
}

#[test]
fn a_fast_store_is_no_pressure() {
    assert_eq!(effort(&fast()), Effort::Usual);
    assert_eq!(effort(&View { taken: 3, waiting: PACK, ..fast() }), Effort::Usual);
    // Full for a moment: what waits is gone before a block is compressed.
    assert_eq!(effort(&View { taken: 4, waiting: PACK, ..fast() }), Effort::Usual);
    assert_eq!(effort(&View { taken: 2, coming: PACK, shares: true, ..fast() }), Effort::Usual);
}

#[test]
fn on_a_narrow_line_cores_are_spent() {
    assert_eq!(effort(&narrow()), Effort::Much);
    // A pack that waits gives time for the next.
    assert_eq!(effort(&View { waiting: 15 << 20, ..narrow() }), Effort::Much);
    assert_eq!(effort(&View { waiting: 28 << 20, ..narrow() }), Effort::Parsed);
    assert_eq!(effort(&View { waiting: 30 << 20, ..narrow() }), Effort::Most);
    // What is on its way gives time once it is known that all share the line, even if slots are free.
    let coming = View { taken: 2, coming: 44 << 20, ..narrow() };
    assert_eq!(effort(&coming), Effort::Much);
    assert_eq!(effort(&View { shares: true, ..coming }), Effort::Parsed);
    assert_eq!(effort(&View { shares: true, waiting: 8 << 20, ..coming }), Effort::Most);
    // And where it runs out, nobody waits for compression.
    assert_eq!(effort(&View { shares: true, coming: 1 << 20, takes: Some(60_000_000), ..coming }), Effort::Usual);
    // What shrinks to next to nothing makes no packs, however fast it is compressed.
    assert_eq!(effort(&View { density: MIB / 120, ..narrow() }), Effort::Usual);
    // More cores can do more.
    assert!(effort(&View { workers: 5, ..narrow() }) > Effort::Much);
}

#[test]
fn a_store_that_does_not_answer_is_not_fast() {
    assert_eq!(effort(&View { silent: true, ..fast() }), Effort::Much);
    assert_eq!(effort(&View { silent: true, takes: None, ..fast() }), Effort::Usual, "it was asked for nothing");
}

proptest! {
    #[test]
    fn a_slower_store_and_a_longer_queue_never_ask_for_less(
        waiting in 0..PACK, more in 0..PACK, coming in 0_u64..(64 << 20), shares: bool,
        takes in 1_u64..500_000_000, faster in 0_u64..500_000_000, density in 1_u64..MIB, workers in 1_u64..6,
    ) {
        let now = View { waiting, coming, shares, takes: Some(takes + faster), density, workers, ..narrow() };
        let before = effort(&now);
        let with = effort(&View { waiting: waiting.midpoint(PACK - 1), ..now });
        prop_assert!(with >= before);
        let with = effort(&View { coming: coming + more, ..now });
        prop_assert!(with >= before);
        let with = effort(&View { takes: Some(takes), ..now });
        prop_assert!(with >= before);
        let with = effort(&View { shares: true, ..now });
        prop_assert!(with >= before);
        let with = effort(&View { silent: true, ..now });
        prop_assert!(with >= before);
    }
}

/// A minute of two threads that compress rows by what they see, and of a store that takes so many bytes a second: of all packs on
/// their way together, or of each slot a quarter.
struct Minute {
    hardest: Effort,
    /// Plain bytes that arrived in a second.
    plain: u64,
}

fn minute(rate: u64, shares: bool, adapts: bool) -> Minute {
    /// What rows become of a MiB with each effort.
    const STORES: [u64; EFFORTS] = [272_000, 245_000, 236_000, 232_000];
    const STEP: u64 = 2_000;
    let (start, mut now) = (Instant::now(), 0);
    let mut state = State { costs: COSTS, ..State::default() };
    let mut slots = [None::<(u64, u64, u64)>; 4];
    let mut busy = [None::<(u64, Effort)>; 2];
    let (mut filling, mut blocks, mut plain, mut hardest) = (0, 0, 0, Effort::Usual);
    while now < 60 * MICROS {
        now += STEP;
        let instant = start + Duration::from_micros(now);
        let taken = slots.iter().flatten().count() as u64;
        let each = rate * STEP / MICROS / if shares { taken.max(1) } else { 4 };
        for slot in &mut slots {
            if let Some((number, left, within)) = slot {
                *left = left.saturating_sub(each);
                if *left == 0 {
                    state.answer(*number, instant);
                    state.free(*number, instant);
                    plain += *within;
                    *slot = None;
                }
            }
            if slot.is_none() && (filling >= PACK || adapts && state.closes_early(usize::try_from(filling).unwrap())) {
                *slot = Some((state.give(filling, instant), filling, blocks * BLOCK_LIMIT as u64));
                (filling, blocks) = (0, 0);
            }
        }
        for thread in &mut busy {
            if let Some((until, chosen)) = *thread
                && until <= now
            {
                let (bytes, took) =
                    (BLOCK_MIB * STORES[chosen.rank()], Duration::from_micros(COSTS[chosen.rank()] * BLOCK_MIB));
                state.compressed(chosen, (BLOCK_LIMIT, usize::try_from(bytes).unwrap()), took);
                (filling, blocks, state.waiting) = (filling + bytes, blocks + 1, state.waiting + bytes);
                *thread = None;
            }
            // Blocks that find no room in a pack hold those back who compress.
            if thread.is_none() && filling < PACK + 4 * MIB {
                let chosen = if adapts { effort(&state.view((4, 2), instant)) } else { Effort::Usual };
                hardest = hardest.max(chosen);
                *thread = Some((now + BLOCK_MIB * (COSTS[chosen.rank()] + OTHER), chosen));
            }
        }
    }
    Minute { hardest, plain: plain / 60 }
}

#[test]
fn the_store_does_not_wait_for_those_who_compress_harder() {
    for shares in [true, false] {
        for rate in [2, 5, 12, 25, 40, 60, 80, 120, 200, 400] {
            let (adapts, usual) = (minute(rate * 1_000_000, shares, true), minute(rate * 1_000_000, shares, false));
            let what =
                format!("{rate} MB/s, shared: {shares}: {:?}, {} beside {}", adapts.hardest, adapts.plain, usual.plain);
            assert!(adapts.plain * 100 >= usual.plain * 96, "{what}");
            if shares && rate <= 25 {
                assert!(adapts.hardest >= Effort::Parsed && adapts.plain * 100 >= usual.plain * 110, "{what}");
            }
            // Nobody can tell whether each pack has a line of its own or the store is slow, but by giving it more.
            if rate >= if shares { 120 } else { 400 } {
                assert_eq!(adapts.hardest, Effort::Usual, "{what}");
            }
        }
    }
}

fn later(pressure: &Pressure, by: Duration) {
    let mut state = pressure.state();
    let back = |at: Instant| at.checked_sub(by).unwrap();
    state.pass(Instant::now());
    state.seen = state.seen.map(back);
    for one in state.on_their_way.values_mut() {
        one.since = back(one.since);
    }
}

#[test]
fn what_is_answered_and_given_back_is_seen() {
    let tokens = super::super::tokens::Tokens::new(4);
    let pressure = Arc::new(Pressure::new(true, 4, 2));
    let give = || pressure.give(PACK_TARGET, tokens.take());
    pressure.compressed(Effort::Usual, (4 << 20, 1 << 20), Duration::from_millis(12));
    assert!(!pressure.closes(FIRST[0]), "little was compressed so far");
    pressure.compressed(Effort::Usual, (4 << 20, 1 << 20), Duration::from_millis(12));
    assert!(pressure.closes(FIRST[0]) && !pressure.closes(FIRST[0] - 1));
    assert_eq!(pressure.effort(), Effort::Usual);
    let alone = give();
    assert!(!pressure.closes(FIRST[1]), "nothing is known so far");
    later(&pressure, Duration::from_secs(2));
    assert!(pressure.effort() > Effort::Usual, "it is on its way for so long");
    alone.answered();
    drop(alone);
    assert!(pressure.closes(FIRST[1]) && !pressure.closes(FIRST[1] - 1));
    assert!(pressure.state().on_their_way.is_empty() && pressure.effort() > Effort::Usual, "it took so long");
    // Four together take four times as long.
    let four: Vec<Slot> = (0..4).map(|_| give()).collect();
    later(&pressure, Duration::from_secs(8));
    four.iter().for_each(Slot::answered);
    assert!(pressure.state().shares);
    drop(four);
    // And now no longer than one alone did.
    let four: Vec<Slot> = (0..4).map(|_| give()).collect();
    later(&pressure, Duration::from_secs(2));
    four.iter().for_each(Slot::answered);
    assert!(!pressure.state().shares);
    drop(four);
    assert!(!pressure.closes(PACK_TARGET - 1) && pressure.closes(PACK_TARGET), "these are no first packs");
    for _ in 0..20 {
        give().answered();
    }
    assert_eq!(pressure.effort(), Effort::Usual, "the store is fast again");
    assert_eq!(pressure.levels(), Some(BTreeMap::from([(3, 8 << 20)])));
}

#[test]
fn who_did_not_ask_for_it_sees_nothing_of_it() {
    let fixed = Arc::new(Pressure::new(false, 4, 2));
    fixed.compressed(Effort::Usual, (64 << 20, 16 << 20), Duration::from_millis(200));
    assert!(!fixed.closes(PACK_TARGET - 1) && fixed.closes(PACK_TARGET));
    let _slot = fixed.give(PACK_TARGET, super::super::tokens::Tokens::new(1).take());
    later(&fixed, Duration::from_hours(1));
    assert_eq!(fixed.effort(), Effort::Usual);
    assert!(fixed.levels().is_none());
}
