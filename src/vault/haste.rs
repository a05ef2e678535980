//! Who goes first while a source's program is at work that holds locks for as long as it writes.
//!
//! A thread that was made to give way can't be made to stop doing so without privileges. So there are two threads that read, and
//! two sets of workers: one that gives way to everybody, for as long as such a program is at work, and the usual one for all other
//! time.
//!
//! Priorities count within one session or control group only: a kernel shares its cores between those first, so beside a server
//! that has one of its own, a thread that gives way may still have half of a core. Where a program and its server have no core
//! to spare, those who give way wait for its end, as long as what it writes has room elsewhere.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// How often somebody who waits looks whether it should stop.
const LOOK: Duration = Duration::from_millis(100);

/// A program at work and the server that it asks keep so many cores busy.
const CORES: usize = 2;

/// What says whether such a program is at work.
#[derive(Clone)]
pub struct Haste {
    inner: Arc<Inner>,
    /// Makes the thread that calls it give way to all others, for good.
    give_way: fn(),
    cores: usize,
}

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    at_work: usize,
    /// Whether what programs write has no room any more, until none is at work.
    full: bool,
    /// Bytes that programs wrote so far, of what has room elsewhere.
    written: u64,
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
        let mut state = self.0.lock();
        state.at_work -= 1;
        state.full &= state.at_work > 0;
        drop(state);
        self.0.changed.notify_all();
    }
}

impl Haste {
    /// Nothing is at work yet. `give_way` makes its thread give way.
    #[must_use]
    pub fn new(give_way: fn()) -> Self {
        Self::on(thread::available_parallelism().map_or(CORES, usize::from), give_way)
    }

    /// The same on so many cores.
    fn on(cores: usize, give_way: fn()) -> Self {
        Self { inner: Arc::default(), give_way, cores }
    }

    /// A program begins.
    #[must_use]
    pub fn begin(&self) -> AtWork {
        self.inner.lock().at_work += 1;
        self.inner.changed.notify_all();
        AtWork(Arc::clone(&self.inner))
    }

    /// What programs write has no room: they go on as it is taken, so nobody waits for their end.
    pub fn is_full(&self) {
        let mut state = self.inner.lock();
        if !state.full && state.at_work > 0 {
            state.full = true;
            self.inner.changed.notify_all();
        }
    }

    /// A program wrote so many bytes more.
    pub fn wrote(&self, bytes: u64) {
        self.inner.lock().written += bytes;
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

    /// Waits until it is the turn of those who give way, or of the others; false if it will never be again. While programs
    /// keep all cores busy and have room for what they write, it is nobody's. True, too, once somebody asks to `stop`, who
    /// hears again and again how many bytes programs wrote so far.
    pub(crate) fn turn_or(&self, gives_way: bool, mut stop: impl FnMut(u64) -> bool) -> bool {
        let mut state = self.inner.lock();
        loop {
            if state.over {
                return !gives_way;
            }
            let has_room = !state.full && self.cores <= state.at_work.saturating_mul(CORES);
            if (state.at_work > 0) == gives_way && !(gives_way && has_room) {
                return true;
            }
            state = self.inner.changed.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner).0;
            let written = state.written;
            drop(state);
            if stop(written) {
                return true;
            }
            state = self.inner.lock();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread, time::Duration};

    use super::*;

    fn turn(haste: &Haste, gives_way: bool) -> bool {
        haste.turn_or(gives_way, |_| false)
    }

    #[test]
    fn those_who_give_way_have_their_turn_while_a_program_is_at_work() {
        let haste = Haste::on(5, || {});
        assert!(turn(&haste, false));
        let (first, second) = (haste.begin(), haste.begin());
        assert!(turn(&haste, true));
        let (sender, had) = mpsc::channel();
        let waiting = haste.clone();
        let thread = thread::spawn(move || sender.send(turn(&waiting, false)));
        drop(first);
        assert!(had.recv_timeout(Duration::from_millis(50)).is_err(), "one is at work still");
        drop(second);
        assert!(had.recv().unwrap());
        thread.join().unwrap().unwrap();
        let parked = haste.clone();
        let thread = thread::spawn(move || turn(&parked, true));
        haste.over();
        assert!(!thread.join().unwrap() && turn(&haste, false));
    }

    #[test]
    fn on_few_cores_it_is_nobodys_turn_while_there_is_room() {
        let haste = Haste::on(2, || {});
        let program = haste.begin();
        haste.wrote(7);
        let mut heard = Vec::new();
        assert!(haste.turn_or(true, |written| {
            heard.push(written);
            heard.len() > 1
        }));
        assert_eq!(heard, [7, 7]);
        drop(program);
        for cores in [1, 2, 4] {
            let haste = Haste::on(cores, || {});
            haste.is_full();
            let programs: Vec<AtWork> = (0..cores.div_ceil(CORES)).map(|_| haste.begin()).collect();
            let waits = |gives_way| {
                let (waiting, (sender, had)) = (haste.clone(), mpsc::channel());
                thread::spawn(move || sender.send(turn(&waiting, gives_way)));
                had
            };
            let (gives_way, usual) = (waits(true), waits(false));
            let soon = Duration::from_millis(30);
            assert!(gives_way.recv_timeout(soon).is_err() && usual.recv_timeout(soon).is_err());
            haste.is_full();
            assert!(gives_way.recv().unwrap(), "what is written is to be read");
            assert!(usual.recv_timeout(soon).is_err());
            drop(programs);
            assert!(usual.recv().unwrap());
            // The next has room again.
            let programs: Vec<AtWork> = (0..cores.div_ceil(CORES)).map(|_| haste.begin()).collect();
            let gives_way = waits(true);
            assert!(gives_way.recv_timeout(soon).is_err());
            haste.over();
            assert!(!gives_way.recv().unwrap());
            drop(programs);
        }
    }
}
