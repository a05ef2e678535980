//! What waits behind a segment that is pushed.

use std::{
    path::PathBuf,
    sync::{Condvar, Mutex, OnceLock},
    time::Duration,
};

use super::{Place, SIZE, switched};
use crate::{
    catalog::JournalNote,
    format::journal::Effort,
    model::journal::{Line, Position, Reach, Span},
    ops::{
        OpsError, Result,
        journal::{
            behind::{Gate, Queue, Work},
            sink::{Ready, Sink},
        },
    },
    vault::journal::Stretch,
};

/// So many segments wait.
const SEGMENTS: u64 = 20;
/// Nobody waits longer for what must come: a test that fails is to end.
const PATIENCE: Duration = Duration::from_mins(1);

/// A vault far away: a put is answered when `together` are on their way, or have been. The put of one segment fails.
#[derive(Default)]
struct Far {
    together: usize,
    fails: Option<u64>,
    state: Mutex<Seen>,
    changed: Condvar,
}

#[derive(Default)]
struct Seen {
    flying: usize,
    met: bool,
    put: Vec<u64>,
}

impl Sink for Far {
    fn pack(&self, _: &Line, stretch: Stretch, _: Effort) -> Result<Ready<'_>> {
        let from = stretch.span.from.0;
        assert_eq!(stretch.hash, Some(crate::codec::hash::hash(&stretch.log)));
        let put = move || {
            let mut state = self.state.lock().unwrap();
            state.flying += 1;
            state.met |= state.flying >= self.together;
            self.changed.notify_all();
            let (mut state, _) = self.changed.wait_timeout_while(state, PATIENCE, |state| !state.met).unwrap();
            state.flying -= 1;
            if self.fails == Some(from) {
                return Err(OpsError::Defect("a put that fails"));
            }
            state.put.push(from);
            Ok(1)
        };
        Ok(Ready { size: 1000, put: Box::new(put) })
    }

    fn put_history(&self, _: &Line, _: &[u8]) -> Result<()> {
        Ok(())
    }

    fn covered(&self, _: &Line) -> Result<Reach> {
        Ok(Reach::default())
    }
}

/// The file of a segment.
fn segment(place: &Place, n: u64) -> PathBuf {
    place.dir.path().join("pg_wal").join(format!("0000000100000000{n:08X}"))
}

/// A server's directory in which segments wait.
fn waiting() -> Place {
    let place = Place::new();
    let status = place.dir.path().join("pg_wal/archive_status");
    std::fs::create_dir_all(&status).unwrap();
    for n in 1..=SEGMENTS {
        std::fs::write(segment(&place, n), switched(1, n * SIZE)).unwrap();
        std::fs::write(status.join(format!("0000000100000000{n:08X}.ready")), "").unwrap();
    }
    place
}

/// Pushes what waits behind the first.
fn push(place: &Place, sink: &Far, open: impl FnOnce() -> Result<()>) -> Result<usize> {
    let (memory, note) = (place.memory(), JournalNote { system: Some(9), ..JournalNote::default() });
    let queue = Queue::new(&segment(place, 1), 64, Duration::from_millis(10));
    let (gate, opened, there) = (Gate::of(SIZE), OnceLock::new(), OnceLock::new());
    let work = Work { queue, gate, opened, there, again: false, sink, memory: &memory, note: &note };
    work.all(open)
}

fn marked(place: &Place) -> Vec<u64> {
    let memory = place.memory();
    (1..=SEGMENTS).filter(|n| memory.marked(&format!("0000000100000000{n:08X}")).is_some()).collect()
}

#[test]
fn many_more_are_on_their_way_than_are_compressed() {
    let place = waiting();
    let far = Far { together: 8, ..Far::default() };
    let pushed = push(&place, &far, || Ok(())).unwrap();
    assert!(far.state.lock().unwrap().met, "never so many were on their way");
    assert_eq!((pushed, marked(&place)), (20, (1..=SEGMENTS).collect()));
    assert_eq!(push(&place, &far, || Ok(())).unwrap(), 0, "nothing is put twice");
}

#[test]
fn what_was_not_put_is_not_marked() {
    let place = waiting();
    let far = Far { fails: Some(3 * SIZE), ..Far::default() };
    let pushed = push(&place, &far, || Ok(())).unwrap();
    let mut put: Vec<u64> = far.state.lock().unwrap().put.iter().map(|from| from / SIZE).collect();
    put.sort_unstable();
    assert_eq!((marked(&place), pushed), (put.clone(), put.len()));
    assert!(!put.contains(&3), "{put:?}");
}

#[test]
fn what_may_have_other_content_is_left_to_the_push_that_is_asked_for_it() {
    let place = waiting();
    let memory = place.memory();
    memory.begin(&format!("0000000100000000{:08X}", 5), &crate::codec::hash::hash(b"other")).unwrap();
    let seventh = Span { from: Position(7 * SIZE), to: Position(8 * SIZE) };
    let far = Far::default();
    let work = |again| {
        let there = OnceLock::from((Line::postgres(9, 1), Reach::of([seventh].into_iter())));
        let note = JournalNote { system: Some(9), ..JournalNote::default() };
        let queue = Queue::new(&segment(&place, 1), 64, Duration::from_millis(10));
        let (gate, opened) = (Gate::of(SIZE), OnceLock::new());
        Work { queue, gate, opened, there, again, sink: &far, memory: &memory, note: &note }.all(|| Ok(())).unwrap()
    };
    // Each that is refused ends a turn.
    while work(false) > 0 {}
    let marks = marked(&place);
    assert!(marks.contains(&4) && !marks.contains(&5) && !marks.contains(&7), "{marks:?}");
    while work(true) > 0 {}
    assert_eq!(marked(&place), (1..=SEGMENTS).collect::<Vec<_>>());
}

#[test]
fn nothing_is_put_into_a_vault_that_can_not_be_opened() {
    let place = waiting();
    let far = Far::default();
    let refused = push(&place, &far, || Err(OpsError::Defect("a vault that is none")));
    assert!(refused.is_err());
    assert!(far.state.lock().unwrap().put.is_empty() && marked(&place).is_empty());
}
