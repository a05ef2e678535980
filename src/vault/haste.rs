//! Who goes first while a source's program is at work that holds locks for as long as it writes.
//!
//! A thread that was made to give way can't be made to stop doing so without privileges. So there are two threads that read, and
//! two sets of workers: one that gives way to everybody, for as long as such a program is at work, and the usual one for all other
//! time.
//!
//! Priorities count within one session or control group only: a kernel shares its cores between those first, so beside a server
//! that has one of its own, a thread that gives way may still have half of a core. So once somebody waits for such locks, and a
//! program and its server have no core to spare, those who give way wait for its end, for as long as all that it writes has room
//! elsewhere. While nobody waits for the locks nobody would gain by that.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// How often somebody who waits looks whether it should stop.
const LOOK: Duration = Duration::from_millis(100);

/// A program at work and the server that it asks keep so many cores busy at most.
const CORES: usize = 2;

/// How long it is watched, while nobody works, whether cores are idle.
const WATCH: Duration = Duration::from_millis(400);

/// How long there is work after some were.
const WORK: Duration = Duration::from_secs(5);

/// Of a core, in percent: where less is idle, whoever worked would take it from the program or its server.
const SPARE: u32 = 75;

/// What is known of the machine.
#[derive(Clone, Copy)]
pub struct Machine {
    /// How many cores there are for this process.
    pub cores: usize,
    /// How long all cores together have been idle; `None` if that can't be told.
    pub idle: fn() -> Option<Duration>,
}

impl Machine {
    /// This one, which tells by `idle` how long its cores have been idle.
    #[must_use]
    pub fn this(idle: fn() -> Option<Duration>) -> Self {
        Self { cores: thread::available_parallelism().map_or(CORES, usize::from), idle }
    }
}

/// What says whether such a program is at work.
#[derive(Clone)]
pub struct Haste {
    inner: Arc<Inner>,
    /// Makes the thread that calls it give way to all others, for good.
    give_way: fn(),
    /// Where those who give way wait if no core is idle.
    machine: Option<Machine>,
}

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    at_work: usize,
    /// Programs of which all that they write has room elsewhere.
    aside: usize,
    /// Whether it has none any more, until no program is at work.
    full: bool,
    /// Whether somebody waits for the locks of a program at work.
    waited_for: bool,
    /// Bytes that were written aside so far.
    written: u64,
    over: bool,
    window: Window,
}

/// Nobody works for a while, to see how idle the machine is then.
#[derive(Default, Clone, Copy)]
enum Window {
    #[default]
    None,
    /// Since then, and how long cores had been idle by then.
    Watching(Instant, Option<Duration>),
    /// Until then somebody works.
    Working(Instant),
}

/// A program at work, until this is dropped.
pub struct AtWork(Arc<Inner>);

/// All that a program at work writes is put aside, until this is dropped.
pub struct Aside(Arc<Inner>);

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, how: impl FnOnce(&mut State)) {
        how(&mut self.lock());
        self.changed.notify_all();
    }
}

impl State {
    /// Whether nobody is to work now though a program is at work.
    fn pauses(&mut self, machine: &Machine) -> bool {
        let has_room = !self.full && self.at_work <= self.aside;
        if !self.waited_for || !has_room || machine.cores > self.at_work.saturating_mul(CORES) {
            self.window = Window::None;
            return false;
        }
        let now = Instant::now();
        let watch = |idle| Window::Watching(now, idle);
        self.window = match self.window {
            Window::Watching(since, _) if now.duration_since(since) < WATCH => return true,
            Window::Watching(since, before) => {
                let idle = (machine.idle)();
                let gained = idle.zip(before).map(|(idle, before)| idle.saturating_sub(before));
                let spare = gained.is_some_and(|gained| gained * 100 >= now.duration_since(since) * SPARE);
                if spare { Window::Working(now + WORK) } else { watch(idle) }
            }
            Window::Working(until) if now < until => return false,
            Window::Working(_) | Window::None => watch((machine.idle)()),
        };
        matches!(self.window, Window::Watching(..))
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.change(|state| {
            state.at_work -= 1;
            state.full &= state.at_work > 0;
            state.waited_for &= state.at_work > 0;
        });
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        self.0.change(|state| state.aside -= 1);
    }
}

impl Haste {
    /// Nothing is at work yet. `give_way` makes its thread give way.
    #[must_use]
    pub fn new(give_way: fn()) -> Self {
        Self { inner: Arc::default(), give_way, machine: None }
    }

    /// Lets those who give way wait where somebody waits for locks, all is put aside that programs write, and no core of
    /// `machine` is idle.
    #[must_use]
    pub fn pausing(mut self, machine: Machine) -> Self {
        self.machine = Some(machine);
        self
    }

    /// A program begins.
    #[must_use]
    pub fn begin(&self) -> AtWork {
        self.inner.change(|state| state.at_work += 1);
        AtWork(Arc::clone(&self.inner))
    }

    /// All that a program writes from now on is put aside, so that it needs no reader before [`Self::is_full`] is told.
    #[must_use]
    pub fn put_aside(&self) -> Aside {
        self.inner.change(|state| state.aside += 1);
        Aside(Arc::clone(&self.inner))
    }

    /// What programs write has no room: they go on as it is taken, so nobody waits for their end.
    pub fn is_full(&self) {
        let mut state = self.inner.lock();
        if !state.full && state.at_work > 0 {
            state.full = true;
            self.inner.changed.notify_all();
        }
    }

    /// Whether somebody waits for the locks of a program at work, as far as was said.
    #[must_use]
    pub fn waited_for(&self) -> bool {
        self.inner.lock().waited_for
    }

    /// Somebody waits for the locks of a program at work, or nobody does any more.
    pub fn is_waited_for(&self, yes: bool) {
        let mut state = self.inner.lock();
        state.waited_for = yes && state.at_work > 0;
        self.inner.changed.notify_all();
    }

    /// So many bytes more were put aside.
    pub fn wrote(&self, bytes: u64) {
        self.inner.lock().written += bytes;
    }

    /// None will begin any more.
    pub(crate) fn over(&self) {
        self.inner.change(|state| state.over = true);
    }

    /// Makes this thread give way to all others, for good.
    pub(crate) fn give_way(&self) {
        (self.give_way)();
    }

    /// Waits until it is the turn of those who give way, or of the others; false if it will never be again. While somebody waits
    /// for locks, and programs and their server keep all cores busy and have room for what they write, it is nobody's. True, too, once somebody asks
    /// to `stop`, who is asked again and again, and hears while it is nobody's turn how many bytes were put aside so far.
    pub(crate) fn turn_or(&self, gives_way: bool, mut stop: impl FnMut(Option<u64>) -> bool) -> bool {
        let mut state = self.inner.lock();
        loop {
            if state.over {
                return !gives_way;
            }
            let nobodys = state.at_work > 0 && self.machine.as_ref().is_some_and(|machine| state.pauses(machine));
            if (state.at_work > 0) == gives_way && !nobodys {
                return true;
            }
            state = self.inner.changed.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner).0;
            let aside = nobodys.then_some(state.written);
            drop(state);
            if stop(aside) {
                return true;
            }
            state = self.inner.lock();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        atomic::{AtomicU64, Ordering},
        mpsc,
    };

    use super::*;

    const SOON: Duration = Duration::from_millis(30);

    fn turn(haste: &Haste, gives_way: bool) -> bool {
        haste.turn_or(gives_way, |_| false)
    }

    /// A machine of so many cores, all of which are busy.
    fn busy(cores: usize) -> Haste {
        Haste::new(|| {}).pausing(Machine { cores, idle: || Some(Duration::ZERO) })
    }

    fn waits(haste: &Haste, gives_way: bool) -> mpsc::Receiver<bool> {
        let (waiting, (sender, had)) = (haste.clone(), mpsc::channel());
        thread::spawn(move || sender.send(turn(&waiting, gives_way)));
        had
    }

    #[test]
    fn those_who_give_way_have_their_turn_while_a_program_is_at_work() {
        let haste = Haste::new(|| {});
        assert!(turn(&haste, false));
        let (first, second) = (haste.begin(), haste.begin());
        assert!(turn(&haste, true));
        let had = waits(&haste, false);
        drop(first);
        assert!(had.recv_timeout(SOON).is_err(), "one is at work still");
        drop(second);
        assert!(had.recv().unwrap());
        let parked = waits(&haste, true);
        haste.over();
        assert!(!parked.recv().unwrap() && turn(&haste, false));
    }

    #[test]
    fn on_busy_cores_it_is_nobodys_turn_while_there_is_room() {
        for cores in [1, 2, 4] {
            let haste = busy(cores);
            haste.is_full();
            let begin = || (0..cores.div_ceil(CORES)).map(|_| (haste.begin(), haste.put_aside())).collect::<Vec<_>>();
            haste.is_waited_for(true);
            let programs = begin();
            assert!(turn(&haste, true), "nobody waits for its locks");
            haste.is_waited_for(true);
            let (gives_way, usual) = (waits(&haste, true), waits(&haste, false));
            assert!(gives_way.recv_timeout(SOON).is_err() && usual.recv_timeout(SOON).is_err());
            haste.is_full();
            assert!(gives_way.recv().unwrap(), "what is written is to be read");
            assert!(usual.recv_timeout(SOON).is_err());
            drop(programs);
            assert!(usual.recv().unwrap());
            // The next has room again, and nobody waits for it before that is said.
            let programs = begin();
            assert!(turn(&haste, true));
            haste.is_waited_for(true);
            let gives_way = waits(&haste, true);
            assert!(gives_way.recv_timeout(SOON).is_err());
            haste.is_waited_for(false);
            assert!(gives_way.recv().unwrap());
            haste.is_waited_for(true);
            let gives_way = waits(&haste, true);
            assert!(gives_way.recv_timeout(SOON).is_err());
            haste.over();
            assert!(!gives_way.recv().unwrap());
            drop(programs);
        }
    }

    #[test]
    fn nobody_waits_where_a_core_is_to_spare_or_a_reader_is_needed() {
        let haste = busy(3);
        let _program = (haste.begin(), haste.put_aside());
        haste.is_waited_for(true);
        assert!(turn(&haste, true), "a third core");
        let haste = busy(2);
        let first = haste.begin();
        haste.is_waited_for(true);
        assert!(turn(&haste, true), "nothing says that it needs no reader");
        let aside = haste.put_aside();
        assert!(waits(&haste, true).recv_timeout(SOON).is_err());
        let second = haste.begin();
        assert!(turn(&haste, true), "nothing says that the second needs none");
        drop((second, aside));
        assert!(turn(&haste, true), "what it writes is put aside no more");
        drop(first);
        let haste = Haste::new(|| {});
        let _program = (haste.begin(), haste.put_aside());
        haste.is_waited_for(true);
        assert!(turn(&haste, true), "who does not pause gives way only");
    }

    #[test]
    fn who_waits_hears_what_was_written_and_may_stop() {
        let haste = busy(2);
        let _program = (haste.begin(), haste.put_aside());
        haste.is_waited_for(true);
        haste.wrote(7);
        for gives_way in [false, true] {
            let mut heard = Vec::new();
            assert!(haste.turn_or(gives_way, |written| {
                heard.push(written);
                heard.len() > 1
            }));
            assert_eq!(heard, [Some(7), Some(7)]);
        }
    }

    #[test]
    fn idle_cores_are_used_and_looked_at_again() {
        static IDLE: AtomicU64 = AtomicU64::new(0);
        let machine = Machine { cores: 2, idle: || Some(Duration::from_millis(IDLE.load(Ordering::Relaxed))) };
        let mut state = State { at_work: 1, aside: 1, waited_for: true, ..State::default() };
        assert!(state.pauses(&machine));
        // As if it had been watched for long enough.
        let later = |state: &mut State| match state.window {
            Window::Watching(since, idle) => state.window = Window::Watching(since.checked_sub(WATCH).unwrap(), idle),
            Window::Working(_) => state.window = Window::Working(Instant::now()),
            Window::None => {}
        };
        assert!(state.pauses(&machine), "it was not watched for long");
        later(&mut state);
        assert!(state.pauses(&machine), "no core was idle");
        IDLE.fetch_add(100, Ordering::Relaxed);
        later(&mut state);
        assert!(state.pauses(&machine), "a quarter of a core was idle");
        IDLE.fetch_add(2000, Ordering::Relaxed);
        later(&mut state);
        assert!(!state.pauses(&machine) && !state.pauses(&machine), "a core was idle");
        later(&mut state);
        assert!(state.pauses(&machine), "work is over for a moment");
        later(&mut state);
        assert!(state.pauses(&machine), "no core was idle since");
        let unknown = Machine { cores: 2, idle: || None };
        later(&mut state);
        assert!(state.pauses(&unknown), "nobody can tell");
        assert!(!state.pauses(&Machine { cores: 3, ..unknown }));
    }
}
