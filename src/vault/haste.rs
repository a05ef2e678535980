//! Who goes first while a source's program is at work that holds locks for as long as it writes.
//!
//! A thread that was made to give way can't be made to stop doing so without privileges. So there are two threads that read, and
//! two sets of workers: one that gives way to everybody, for as long as such a program is at work, and the usual one for all other
//! time.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// What says whether such a program is at work.
#[derive(Clone)]
pub struct Haste {
    inner: Arc<Inner>,
    /// Makes the thread that calls it give way to all others, for good.
    give_way: fn(),
}

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    at_work: usize,
    over: bool,
}

/// A program at work, until this is dropped.
pub struct AtWork(Arc<Inner>);

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.lock().at_work -= 1;
        self.0.changed.notify_all();
    }
}

impl Haste {
    /// Nothing is at work yet. `give_way` makes its thread give way.
    #[must_use]
    pub fn new(give_way: fn()) -> Self {
        Self { inner: Arc::default(), give_way }
    }

    /// A program begins.
    #[must_use]
    pub fn begin(&self) -> AtWork {
        self.inner.lock().at_work += 1;
        self.inner.changed.notify_all();
        AtWork(Arc::clone(&self.inner))
    }

    /// None will begin any more.
    pub(crate) fn over(&self) {
        self.inner.lock().over = true;
        self.inner.changed.notify_all();
    }

    /// Makes this thread give way to all others, for good.
    pub(crate) fn give_way(&self) {
        (self.give_way)();
    }

    /// Waits until it is the turn of those who give way, or of the others; false if it will never be again.
    pub(crate) fn turn(&self, gives_way: bool) -> bool {
        let mut state = self.inner.lock();
        loop {
            if state.over {
                return !gives_way;
            }
            if (state.at_work > 0) == gives_way {
                return true;
            }
            state = self.inner.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread, time::Duration};

    use super::*;

    #[test]
    fn those_who_give_way_have_their_turn_while_a_program_is_at_work() {
        let haste = Haste::new(|| {});
        assert!(haste.turn(false));
        let (first, second) = (haste.begin(), haste.begin());
        assert!(haste.turn(true));
        let (sender, had) = mpsc::channel();
        let waiting = haste.clone();
        let thread = thread::spawn(move || sender.send(waiting.turn(false)));
        drop(first);
        assert!(had.recv_timeout(Duration::from_millis(50)).is_err(), "one is at work still");
        drop(second);
        assert!(had.recv().unwrap());
        thread.join().unwrap().unwrap();
        let parked = haste.clone();
        let thread = thread::spawn(move || parked.turn(true));
        haste.over();
        assert!(!thread.join().unwrap() && haste.turn(false));
    }
}
