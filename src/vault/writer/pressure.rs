//! How hard blocks are compressed: harder while the store is what a run waits for.
//!
//! A pack on its way takes one of a few slots. What the store takes in a second is what packs took that were on their way together.
//! While slots are free nobody knows whether it could take more, so packs are made faster than it took them so far: it is
//! given more each time, until all slots are taken or the cores do what they can. What waits for a slot gives time to compress
//! harder, and what is on its way does so too once it was seen that packs share one line: then several together came through no
//! faster than one alone.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::tokens::Token;
use crate::codec::compress::{BLOCK_LIMIT, Effort};

/// A pack is closed when its blocks reach this many bytes. Half of what the format allows: two packs in flight then
/// need no more memory than one of full size.
pub(super) const PACK_TARGET: usize = 16 << 20;

/// How many efforts there are.
const EFFORTS: usize = Effort::ALL.len();
/// What a MiB takes with each, in microseconds, until that is measured: of rows with hashes.
const COSTS: [u64; EFFORTS] = [3_000, 14_000, 65_000, 110_000];
/// What else a worker does with a MiB takes about so long: naming its chunks, sealing.
const OTHER: u64 = 1_600;
/// While slots are free, packs are made faster than the store took them so far: 3 for 2.
const FASTER: (u64, u64) = (3, 2);
/// What the store has yet to take must last for longer than the next pack needs, by 1 part in so many.
const SPARE: u64 = 4;
/// Blocks of fewer bytes tell nothing of the time that others take.
const TELLING: usize = 256 << 10;
/// The first pack is closed with so many bytes, if so many bytes of blocks were compressed by then, and a few more once the
/// store answered for it: what the line bears is seen early, the line is busy early, and all slots are taken early. What
/// a day adds is mostly less, and not cut into more packs.
const FIRST: [usize; 4] = [2 << 20, 4 << 20, 4 << 20, 4 << 20];
const FIRST_PLAIN: u64 = 8 << 20;
/// A store that has not answered for the first pack by then, while so many bytes more were made, is not a fast one.
const SILENT: Duration = Duration::from_millis(20);
const MUCH_WAITS: u64 = 2 << 20;
/// Packs on their way together, in thousandths, from which they tell whether they share a line, and up to which one was alone.
const TOGETHER: u64 = 2_200;
const ALONE: u64 = 1_600;

/// Bytes a second that nothing waits for.
const ANY: u64 = 2_000_000_000;

const PACK: u64 = PACK_TARGET as u64;
const MICROS: u64 = 1_000_000;
const MIB: u64 = 1 << 20;
const BLOCK_MIB: u64 = BLOCK_LIMIT as u64 / MIB;

/// What is known when a block is about to be compressed.
#[derive(Debug, Clone, Copy)]
struct View {
    /// Packs that may be on their way at once.
    slots: u64,
    /// Packs that are.
    taken: u64,
    /// Packs that the store was given so far.
    given: u64,
    /// Whether it answered for none, for a while.
    silent: bool,
    /// Compressed bytes that wait for a slot.
    waiting: u64,
    /// Bytes on their way that have not arrived, about.
    coming: u64,
    /// Whether packs on their way were seen to share one line.
    shares: bool,
    /// Bytes that the store takes in a second, as far as was seen; `None` while nothing was.
    takes: Option<u64>,
    /// Threads that compress.
    workers: u64,
    /// Bytes stored of each MiB of the last blocks.
    density: u64,
    /// What a MiB takes with each effort, in microseconds.
    costs: [u64; EFFORTS],
}

/// How hard the next block may be compressed.
fn effort(view: &View) -> Effort {
    let Some(takes) = view.takes.filter(|_| view.given > 0) else { return Effort::Usual };
    let wanted = takes.saturating_mul(FASTER.0) / FASTER.1;
    // What the store can go on with until the next pack, and what that lacks.
    let full = view.taken >= view.slots;
    let whole = if full { view.waiting / PACK * PACK } else { 0 };
    let ready = whole + if view.shares { view.coming } else { 0 };
    let lacks = PACK.saturating_sub(view.waiting - whole);
    let lasts = ready.saturating_mul(MICROS) / takes.max(1);
    let fits = |cost: u64| {
        let makes = (view.workers * view.density).saturating_mul(MICROS) / (cost + OTHER);
        let needs = lacks.saturating_mul(MICROS) / makes.max(1) + cost * BLOCK_MIB;
        makes >= wanted || lasts >= needs.saturating_add(needs / SPARE)
    };
    let fit = |effort: &&Effort| view.costs.get(effort.rank()).is_some_and(|cost| fits(*cost));
    let most = Effort::ALL.iter().rev().find(fit).copied().unwrap_or_default();
    if view.silent { most.max(Effort::Much) } else { most }
}

/// Bytes a second that a store takes where one of `bytes` took so long while so many thousandths of a pack were on their way. Of a
/// small one half of the time is for its bytes, half whatever they are.
fn rate(bytes: u64, took: Duration, together: u64) -> u64 {
    let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).clamp(1, u64::MAX >> 32);
    let took = took / 2 + (took / 2).saturating_mul(PACK) / bytes.clamp(1, PACK);
    (PACK.saturating_mul(MICROS) / took.max(1) * together.max(1_000) / 1_000).min(ANY)
}

/// What was seen of a run so far.
pub(super) struct Pressure {
    /// Whether anything follows from it.
    adapts: bool,
    /// The slots, and the threads that compress.
    means: (u64, u64),
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    on_their_way: BTreeMap<u64, OnItsWay>,
    /// How many were on their way, by the time that they were: microseconds of packs, up to `seen`.
    area: u64,
    seen: Option<Instant>,
    given: u64,
    takes: Option<u64>,
    /// The most that it took in a second of a small one that was alone, and of a large one.
    alone: (u64, u64),
    shares: bool,
    /// Compressed bytes that wait for a slot.
    waiting: u64,
    density: u64,
    costs: [u64; EFFORTS],
    /// Bytes of blocks that were compressed with each.
    used: [u64; EFFORTS],
}

/// A pack on its way.
#[derive(Clone, Copy)]
struct OnItsWay {
    bytes: u64,
    since: Instant,
    /// The area by then.
    area: u64,
}

impl OnItsWay {
    /// How long it is on its way, and how many thousandths of a pack were with it.
    fn together(&self, now: Instant, area: u64) -> (Duration, u64) {
        let took = now.saturating_duration_since(self.since);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        (took, (area - self.area).saturating_mul(1_000) / micros)
    }
}

impl State {
    /// Brings the area up to `now`.
    fn pass(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.seen.replace(now).unwrap_or(now));
        self.area += u64::try_from(passed.as_micros()).unwrap_or(0) * self.on_their_way.len() as u64;
    }

    /// Whether a pack of so few bytes is closed, as one of the first.
    fn closes_early(&self, bytes: usize) -> bool {
        let first = usize::try_from(self.given).ok().and_then(|given| FIRST.get(given));
        let known = self.given == 0 || self.takes.is_some();
        known && first.is_some_and(|first| bytes >= *first) && self.used.iter().sum::<u64>() >= FIRST_PLAIN
    }

    /// A pack of so many bytes is on its way, and has this number.
    fn give(&mut self, bytes: u64, now: Instant) -> u64 {
        self.pass(now);
        let number = self.given;
        self.given += 1;
        self.waiting = self.waiting.saturating_sub(bytes);
        self.on_their_way.insert(number, OnItsWay { bytes, since: now, area: self.area });
        number
    }

    /// The store answered for one.
    fn answer(&mut self, number: u64, now: Instant) {
        self.pass(now);
        let Some(one) = self.on_their_way.get(&number).copied() else { return };
        let (took, together) = one.together(now, self.area);
        let seen = rate(one.bytes, took, together);
        // A small one takes longer for its bytes than a large one, so each is held against its like.
        let alone = if one.bytes < PACK / 2 { &mut self.alone.0 } else { &mut self.alone.1 };
        let plainly = one.bytes.saturating_mul(MICROS) / u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        if together < ALONE {
            *alone = plainly.max(*alone);
        } else if together >= TOGETHER && *alone > 0 {
            // As many times as fast as there are of them, if each has a line of its own; and no faster if they share one.
            self.shares = plainly.saturating_mul(together) / *alone < 1_000 + (together - 1_000) / 4;
        }
        // The middle of the times, not of the rates: one that was let through at once says little.
        let between = |before: u64| 2 * before * seen / (before + seen).max(1);
        self.takes = Some(self.takes.map_or(seen, between));
    }

    /// One gives its slot back.
    fn free(&mut self, number: u64, now: Instant) {
        self.pass(now);
        self.on_their_way.remove(&number);
    }

    /// A block of so many bytes became so many, in that time.
    fn compressed(&mut self, effort: Effort, (plain, stored): (usize, usize), took: Duration) {
        if let Some(used) = self.used.get_mut(effort.rank()) {
            *used += plain as u64;
        }
        if plain < TELLING {
            return;
        }
        let each = |all: u64| all.saturating_mul(MIB) / plain as u64;
        let follow = |known: &mut u64, seen: u64| *known = if *known == 0 { seen } else { (*known * 3 + seen) / 4 };
        follow(&mut self.density, each(stored as u64));
        if let Some(cost) = self.costs.get_mut(effort.rank()) {
            follow(cost, each(u64::try_from(took.as_micros()).unwrap_or(u64::MAX)));
        }
    }

    fn view(&mut self, (slots, workers): (u64, u64), now: Instant) -> View {
        self.pass(now);
        let mut view = View {
            slots,
            taken: self.on_their_way.len() as u64,
            given: self.given,
            silent: false,
            waiting: self.waiting,
            coming: 0,
            shares: self.shares,
            takes: self.takes,
            workers,
            density: self.density,
            costs: self.costs,
        };
        if let Some((_, oldest)) = self.on_their_way.first_key_value() {
            // What was not answered for so long takes longer than that.
            let (aged, together) = oldest.together(now, self.area);
            let at_most = rate(oldest.bytes, aged, together);
            let takes = view.takes.map_or(at_most, |takes| takes.min(at_most));
            view.silent = self.takes.is_none() && aged >= SILENT && self.waiting >= MUCH_WAITS;
            // Each had its part of the line.
            let left = |one: &OnItsWay| {
                let (took, together) = one.together(now, self.area);
                let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
                one.bytes.saturating_sub(takes.saturating_mul(took) / MICROS * 1_000 / together.max(1_000))
            };
            (view.takes, view.coming) = (Some(takes), self.on_their_way.values().map(left).sum());
        }
        view
    }
}

impl Pressure {
    /// Nothing was seen yet. So many packs may be on their way, and so many threads compress.
    pub(super) fn new(adapts: bool, slots: usize, workers: usize) -> Self {
        let state = State { costs: COSTS, ..State::default() };
        Self { adapts, means: (slots as u64, workers as u64), state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How hard the next block is to be compressed.
    pub(super) fn effort(&self) -> Effort {
        if self.adapts { effort(&self.state().view(self.means, Instant::now())) } else { Effort::Usual }
    }

    /// A block of so many bytes became so many, in that time.
    pub(super) fn compressed(&self, effort: Effort, bytes: (usize, usize), took: Duration) {
        self.state().compressed(effort, bytes, took);
    }

    /// So many compressed bytes wait for their pack.
    pub(super) fn made(&self, bytes: usize) {
        self.state().waiting += bytes as u64;
    }

    /// Whether a pack of so many bytes is to be closed.
    pub(super) fn closes(&self, bytes: usize) -> bool {
        bytes >= PACK_TARGET || self.adapts && self.state().closes_early(bytes)
    }

    /// A pack of so many bytes has a slot.
    pub(super) fn give(self: &Arc<Self>, bytes: usize, token: Token) -> Slot {
        let (mut state, now) = (self.state(), Instant::now());
        let number = state.give(bytes as u64, now);
        if self.adapts {
            let view = state.view(self.means, now);
            tracing::debug!(?view, effort = ?effort(&view), used = ?state.used, "a pack is closed");
        }
        drop(state);
        Slot { number, pressure: Arc::clone(self), _token: token }
    }

    /// The levels that blocks were compressed with, and how many of their bytes; `None` where all are as usual.
    pub(super) fn levels(&self) -> Option<BTreeMap<i32, u64>> {
        let used = self.state().used;
        let levels = Effort::ALL.iter().zip(used).filter(|(_, bytes)| *bytes > 0);
        self.adapts.then(|| levels.map(|(effort, bytes)| (effort.level(), bytes)).collect())
    }
}

/// A slot that a pack has; free again when this is dropped.
pub(super) struct Slot {
    number: u64,
    pressure: Arc<Pressure>,
    _token: Token,
}

impl Slot {
    /// The store answered that it has the pack.
    pub(super) fn answered(&self) {
        self.pressure.state().answer(self.number, Instant::now());
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.pressure.state().free(self.number, Instant::now());
    }
}

#[cfg(test)]
mod tests;
