//! Whether chunks are sketched, and when.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

/// After so many blocks that did not shrink, chunks are no longer sketched until one does.
const DULL: u32 = 4;

/// What a delta that paid adds to the credit of deltas, and what the credit ends at. One that did not pay takes 1.
const EARNED: i32 = 4;

const CREDIT: i32 = 32;

/// Without credit, one chunk in so many is still tried.
const PROBE: u32 = 64;

/// Whether chunks are to be sketched, and when. Told by what came before.
#[derive(Debug, Default)]
pub(super) struct Sketching {
    /// Most chunks are new, so they are sketched as they are hashed; otherwise only those that turn out to be new.
    mostly_new: AtomicBool,
    dull: AtomicU32,
    /// Whether there are to be deltas at all.
    pub(super) wanted: bool,
    credit: AtomicI32,
    passed_over: AtomicU32,
}

impl Sketching {
    pub(super) fn new(wanted: bool, mostly_new: bool) -> Self {
        let (mostly_new, dull, passed_over) = (AtomicBool::new(mostly_new), AtomicU32::new(0), AtomicU32::new(0));
        Self { mostly_new, dull, wanted, credit: AtomicI32::new(CREDIT), passed_over }
    }

    /// Whether a new chunk is to be sketched.
    pub(super) fn worthwhile(&self) -> bool {
        self.wanted && self.dull.load(Ordering::Relaxed) < DULL
    }

    /// Whether chunks are to be sketched before it is known which are new.
    pub(super) fn ahead(&self) -> bool {
        self.mostly_new.load(Ordering::Relaxed) && self.worthwhile()
    }

    /// Notes how many chunks of a segment were new.
    pub(super) fn segment(&self, new: usize, all: usize) {
        self.mostly_new.store(new * 2 > all, Ordering::Relaxed);
    }

    /// Whether a chunk that resembles another is to be tried as a delta of it. A try costs more than compressing the
    /// chunk, and there is data of which all of it resembles all and no delta pays: tables of mostly equal rows.
    pub(super) fn promising(&self) -> bool {
        self.credit.load(Ordering::Relaxed) > 0
            || self.passed_over.fetch_add(1, Ordering::Relaxed).wrapping_add(1).is_multiple_of(PROBE)
    }

    /// Notes whether a delta paid. Credit is lost until one in five does.
    pub(super) fn tried(&self, paid: bool) {
        let step = if paid { EARNED } else { -1 };
        let next = |credit: i32| Some(credit.saturating_add(step).clamp(0, CREDIT));
        let _ = self.credit.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }

    /// Notes whether a block of sketched chunks shrank.
    pub(super) fn compressed(&self, shrank: bool) {
        if shrank {
            self.dull.store(0, Ordering::Relaxed);
        } else {
            self.dull.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deltas_that_do_not_pay_are_tried_less_until_they_do() {
        let sketching = Sketching::new(true, true);
        for _ in 0..CREDIT {
            assert!(sketching.promising());
            sketching.tried(false);
        }
        let tries = (0..10 * PROBE).filter(|_| sketching.promising()).count();
        assert_eq!(tries, 10, "one in {PROBE}");
        sketching.tried(true);
        assert!(sketching.promising());
        // One in five is enough to go on.
        for _ in 0..1000 {
            (0..4).for_each(|_| sketching.tried(false));
            sketching.tried(true);
        }
        assert!(sketching.promising());
        (0..EARNED).for_each(|_| sketching.tried(false));
        assert!((1..PROBE).any(|_| !sketching.promising()));
    }
}
