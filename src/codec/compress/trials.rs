//! Which of two settings blocks are compressed with: the usual one, or a quicker one where that loses next to nothing.
//!
//! In the rows of one table, keys and hashes that nothing shrinks may leave the usual setting no more to find than a
//! quick one finds; in those of another it finds a third more. So now and then a block is compressed with both.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Blocks smaller than this are not tried: they tell little, and cost little.
pub(super) const TELLING: usize = 256 << 10;

/// The quick setting may make blocks larger by 1 part in this many.
const LOSS: usize = 64;

/// The most blocks from one trial to the next.
const MOST: u32 = 32;

/// Data counts as other data where it shrinks more, or less, by 1 part in this many.
const OTHER: usize = 8;

/// Other data is tried at once; but data that changes with each block is not, once so many blocks have gone by without
/// another verdict.
const PATIENCE: u32 = 8;

/// What was seen of the last blocks, and what follows for the next. Shared by the compressors of a run.
#[derive(Default)]
pub struct Trials(Mutex<State>);

#[derive(Default)]
struct State {
    quick: bool,
    /// Blocks from the last trial to the next. The longer a verdict has held, the less often it is asked for.
    gap: u32,
    /// Blocks from the last trial to one that other data calls for.
    patience: u32,
    /// Blocks since the last trial.
    since: u32,
    /// Bytes stored for each MiB, of the last block.
    density: Option<usize>,
}

impl Trials {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the next block, of so many bytes, is for the quick setting.
    pub(super) fn quick(&self, plain: usize) -> bool {
        plain >= TELLING && self.state().quick
    }

    /// Whether this block, of which the chosen setting made `stored` bytes, should be tried with the other one too.
    pub(super) fn due(&self, plain: usize, stored: usize) -> bool {
        if plain < TELLING {
            return false;
        }
        let mut state = self.state();
        let density = stored.saturating_mul(1 << 20) / plain;
        let before = state.density.replace(density).unwrap_or(density);
        let other = density.abs_diff(before) > before / OTHER;
        state.since += 1;
        let other = other && state.since >= state.patience;
        if other {
            // How long the verdict held for what came before says nothing of this.
            state.gap = state.gap.min(state.patience / 2);
            state.patience = (state.patience * 2).clamp(1, PATIENCE);
        }
        let due = other || state.since > state.gap;
        if due {
            // Whoever asks next, meanwhile, need not try as well.
            state.since = 0;
        }
        due
    }

    /// Takes what the two settings made of one block.
    pub(super) fn decide(&self, usual: usize, quick: usize) {
        let won = quick <= usual.saturating_add(usual / LOSS);
        let mut state = self.state();
        state.gap = (state.gap * 2).clamp(1, MOST);
        if won != state.quick {
            *state = State { quick: won, gap: 1, patience: 1, ..*state };
        }
    }
}
