//! The cache in which fetched parts and decoded blocks lie until they are used, within their budgets.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;

use super::plan::{Budget, Decoding, Fetch, Plan};
use crate::vault::{Result, VaultError};

/// How many decodings are looked at for one that can be begun.
const LOOK_AHEAD: usize = 128;
/// Buffers of at least so many bytes are used again.
const SPARE: u64 = 1 << 20;

/// How many are kept for it.
const SPARES: usize = 8;

/// How many smaller ones are: deltas, of 128 KiB mostly.
const SMALL_SPARES: usize = 128;

/// Buffers of blocks that were thrown away. They outlive a stream: verify reads one after the other, and a tree of files
/// has thousands.
static SPARE_BUFFERS: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
static SMALL_BUFFERS: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// A part of a sealed pack and where it begins there; `None` if it could not be had.
type Part = Option<(u64, Bytes)>;

/// A decoded block that deltas need; `None` if it could not be had.
type Base = Option<Arc<Vec<u8>>>;

#[derive(Default)]
struct State {
    parts: Vec<Option<Part>>,
    blocks: Vec<Option<Result<Arc<Vec<u8>>>>>,
    /// How many decodings each part is still to serve.
    left: Vec<usize>,
    /// Decodings from `next` on that were taken before their turn.
    taken: BTreeSet<usize>,
    next: usize,
    next_fetch: usize,
    sealed: u64,
    decoded: u64,
    closed: bool,
}

/// Shared by the fetchers, the workers and the writer of one stream. A lock is taken a few times per block of megabytes.
pub(super) struct BlockCache {
    state: Mutex<State>,
    changed: Condvar,
    /// For those who fetch: there is room again.
    room: Condvar,
    decoded_budget: u64,
}

impl BlockCache {
    pub(super) fn new(plan: &Plan, budget: Budget) -> Self {
        let mut uses: HashMap<usize, usize> = HashMap::new();
        for decoding in &plan.decodings {
            *uses.entry(decoding.fetch).or_default() += 1;
        }
        let state = State {
            parts: (0..plan.fetches.len()).map(|_| None).collect(),
            blocks: (0..plan.decodings.len()).map(|_| None).collect(),
            left: plan.fetches.iter().enumerate().map(|(no, _)| uses.get(&no).copied().unwrap_or(0)).collect(),
            ..State::default()
        };
        let (changed, room) = (Condvar::new(), Condvar::new());
        Self { state: Mutex::new(state), changed, room, decoded_budget: plan.decoded_peak.max(budget.decoded) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `ready` gives something; `None` once the cache is closed.
    fn wait<T>(&self, ready: impl FnMut(&mut State) -> Option<T>) -> Option<T> {
        self.wait_for(&self.changed, ready)
    }

    fn wait_for<T>(&self, news: &Condvar, mut ready: impl FnMut(&mut State) -> Option<T>) -> Option<T> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(value) = ready(&mut state) {
                return Some(value);
            }
            state = news.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    /// Sends everybody home.
    pub(super) fn close(&self) {
        self.change(|state| state.closed = true);
        self.room.notify_all();
    }

    /// Waits for room for the next fetch of the plan and takes it; `None` when there is none left or the cache is closed.
    /// One part always has room. Rooms are given in the order of the plan, so that nobody who waits for a part waits for
    /// one that waits for room.
    pub(super) fn next_fetch<'a>(&self, plan: &'a Plan, budget: u64) -> Option<(usize, &'a Fetch)> {
        self.wait_for(&self.room, |state| {
            let Some(fetch) = plan.fetches.get(state.next_fetch) else { return Some(None) };
            let size = fetch.plain.end - fetch.plain.start;
            (state.sealed == 0 || state.sealed + size <= budget).then(|| {
                state.sealed += size;
                state.next_fetch += 1;
                Some((state.next_fetch - 1, fetch))
            })
        })
        .flatten()
    }

    pub(super) fn fetched(&self, no: usize, part: Part) {
        self.change(|state| {
            if let Some(slot) = state.parts.get_mut(no) {
                *slot = Some(part);
            }
        });
    }

    /// Waits for a fetched part.
    pub(super) fn part(&self, no: usize) -> Option<Part> {
        self.wait(|state| state.parts.get(no).cloned().flatten())
    }

    /// Waits for room for the next decoding of the plan and takes it. While the base of a delta is being decoded, one
    /// that can be begun now is taken before its turn, if its part is there and it leaves room for those that it passes.
    /// So what is next in turn never waits for room or for a fetch that one out of turn holds up.
    pub(super) fn next<'a>(&self, plan: &'a Plan, size: impl Fn(&Decoding) -> u64) -> Option<(usize, &'a Decoding)> {
        self.wait(|state| {
            if state.next >= plan.decodings.len() {
                return Some(None);
            }
            let mut passed = 0;
            for (no, decoding) in plan.decodings.iter().enumerate().skip(state.next).take(LOOK_AHEAD) {
                if state.taken.contains(&no) {
                    continue;
                }
                let size = size(decoding);
                let alone = state.decoded == 0 && no == state.next;
                if !alone && state.decoded + passed + size > self.decoded_budget {
                    return None;
                }
                let fetched = || state.parts.get(decoding.fetch).is_some_and(Option::is_some);
                let base = decoding.base.is_none_or(|(base, ..)| state.blocks.get(base).is_some_and(Option::is_some));
                if base && (no == state.next || fetched()) {
                    state.decoded += size;
                    state.taken.insert(no);
                    while state.taken.remove(&state.next) {
                        state.next += 1;
                    }
                    return Some(Some((no, decoding)));
                }
                passed += size;
            }
            None
        })
        .flatten()
    }

    /// Lays a decoded block down, and throws its part away if nobody needs it any more.
    pub(super) fn decoded(&self, plan: &Plan, no: usize, decoding: &Decoding, block: Result<Vec<u8>>) {
        let mut freed = false;
        self.change(|state| {
            if let Some(slot) = state.blocks.get_mut(no) {
                *slot = Some(block.map(Arc::new));
            }
            // Decodings end out of order; the part goes with the last of them to end.
            let Some(left) = state.left.get_mut(decoding.fetch) else { return };
            *left = left.saturating_sub(1);
            freed = *left == 0;
            if let (true, Some(part), Some(fetch)) =
                (freed, state.parts.get_mut(decoding.fetch), plan.fetches.get(decoding.fetch))
            {
                *part = Some(None);
                state.sealed = state.sealed.saturating_sub(fetch.plain.end - fetch.plain.start);
            }
        });
        if freed {
            self.room.notify_all();
        }
    }

    /// A buffer to decode `size` bytes into; what is in it is of no use. Deltas are small and many: were they given the
    /// buffers of whole blocks, those that are alive would hold many times the budget.
    pub(super) fn spare(size: u64) -> Vec<u8> {
        if size >= SPARE {
            return spares(&SPARE_BUFFERS).pop().unwrap_or_default();
        }
        let size = usize::try_from(size).unwrap_or(0).next_power_of_two();
        let mut spares = spares(&SMALL_BUFFERS);
        let found = spares.iter().rposition(|spare| spare.capacity() == size).map(|at| spares.swap_remove(at));
        found.unwrap_or_else(|| Vec::with_capacity(size))
    }

    /// Waits for a block that is needed as a base; the inner `None` if it could not be had.
    pub(super) fn block(&self, no: usize) -> Option<Base> {
        self.wait(|state| match state.blocks.get(no) {
            Some(Some(block)) => Some(block.as_ref().ok().cloned()),
            _ => None,
        })
    }

    /// Waits a while for a block; takes its error if it failed.
    ///
    /// # Errors
    /// Why the block could not be had.
    pub(super) fn try_block(&self, no: usize, wait: Duration) -> Result<Option<Arc<Vec<u8>>>> {
        let state = self.lock();
        let waiting = |state: &mut State| state.blocks.get(no).is_some_and(Option::is_none);
        let (mut state, _) =
            self.changed.wait_timeout_while(state, wait, waiting).unwrap_or_else(PoisonError::into_inner);
        match state.blocks.get_mut(no) {
            Some(Some(Ok(block))) => Ok(Some(Arc::clone(block))),
            Some(failed @ Some(Err(_))) => match failed.take() {
                Some(Err(error)) => Err(error),
                _ => Ok(None),
            },
            Some(None) => Ok(None),
            None => Err(VaultError::stage_gone("decoding")),
        }
    }

    /// A run was written: what nobody reads after it is thrown away.
    pub(super) fn done(&self, plan: &Plan, run: usize, decoding: usize, size: impl Fn(&Decoding) -> u64) {
        let base = plan.decodings.get(decoding).and_then(|d| d.base).map(|(base, ..)| base);
        let mut over_with = Vec::new();
        self.change(|state| {
            for no in std::iter::once(decoding).chain(base) {
                let Some(over) = plan.decodings.get(no).filter(|d| d.last_run == run) else { continue };
                let Some(slot) = state.blocks.get_mut(no) else { continue };
                let block = slot.replace(Ok(Arc::default()));
                state.decoded = state.decoded.saturating_sub(size(over));
                over_with.extend(block.and_then(std::result::Result::ok).and_then(Arc::into_inner));
            }
        });
        let (large, small): (Vec<_>, Vec<_>) =
            over_with.into_iter().partition(|buffer: &Vec<u8>| buffer.capacity() as u64 >= SPARE);
        give_back(&SPARE_BUFFERS, SPARES, large);
        give_back(&SMALL_BUFFERS, SMALL_SPARES, small);
    }
}

fn spares(buffers: &'static Mutex<Vec<Vec<u8>>>) -> MutexGuard<'static, Vec<Vec<u8>>> {
    buffers.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps buffers to be used again, up to `most`.
fn give_back(buffers: &'static Mutex<Vec<Vec<u8>>>, most: usize, used: Vec<Vec<u8>>) {
    let mut spares = spares(buffers);
    let room = most.saturating_sub(spares.len());
    spares.extend(used.into_iter().take(room));
}
