use std::{
    collections::{BTreeMap, VecDeque},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

mod behind;

use super::{
    board::Board,
    event::{Event, Observer},
    log::{Log, Wal},
    report::SourceReport,
    ship::{Pace, Shipper},
    sink::{Ready, Sink},
};
use crate::{
    catalog::{JournalMemory, JournalNote},
    format::journal::Effort,
    model::{
        Clock, Name, Time, VaultId,
        journal::{Line, Reach, Span},
    },
    ops::{OpsError, Result},
    source::{journal::JournalOptions, postgres::journal::Spool},
    store::{StoreError, StoreErrorKind},
    vault::journal::Stretch,
};

const SIZE: u64 = 1 << 20;

type Then = Box<dyn FnOnce() + Send>;

/// What a vault would have.
#[derive(Default, Clone)]
struct Double {
    pieces: Arc<Mutex<Vec<(Line, Span)>>>,
    histories: Arc<Mutex<BTreeMap<Line, Vec<u8>>>>,
    away: Arc<AtomicBool>,
    /// What happens while the next pieces are put.
    then: Arc<Mutex<VecDeque<Then>>>,
}

impl Double {
    fn reachable(&self) -> Result<()> {
        if self.away.load(Ordering::Relaxed) {
            return Err(StoreError::new(StoreErrorKind::Unreachable, "away").into());
        }
        Ok(())
    }

    fn spans(&self) -> Vec<(u32, u64, u64)> {
        let all = self.pieces.lock().unwrap();
        let mut spans: Vec<_> =
            all.iter().map(|(line, s)| (line.postgres_parts().unwrap().1, s.from.0, s.to.0)).collect();
        spans.sort_unstable();
        spans
    }
}

impl Sink for Double {
    fn pack(&self, line: &Line, stretch: Stretch, _effort: Effort) -> Result<Ready<'_>> {
        let (line, Stretch { span, log, .. }) = (line.clone(), stretch);
        assert_eq!(log.len() as u64, span.distance());
        let put = move || {
            self.reachable()?;
            if let Some(then) = self.then.lock().unwrap().pop_front() {
                then();
            }
            self.pieces.lock().unwrap().push((line, span));
            Ok(log.len() as u64)
        };
        Ok(Ready { size: 0, put: Box::new(put) })
    }

    fn put_history(&self, line: &Line, history: &[u8]) -> Result<()> {
        self.reachable()?;
        self.histories.lock().unwrap().insert(line.clone(), history.to_vec());
        Ok(())
    }

    fn covered(&self, line: &Line) -> Result<Reach> {
        self.reachable()?;
        Ok(Reach::of(self.pieces.lock().unwrap().iter().filter(|(of, _)| of == line).map(|(_, span)| *span)))
    }
}

#[derive(Default)]
struct Heard(Mutex<Vec<&'static str>>);

impl Observer for Heard {
    fn event(&self, event: &Event) {
        self.0.lock().unwrap().push(event.event);
    }
    fn ready(&self) {}
    fn alive(&self) {}
    fn stopping(&self) {}
}

struct Still;

impl Clock for Still {
    fn now(&self) -> Time {
        Time::from_unix(1_800_000_000)
    }
}

/// A complete segment that holds nothing but the order to go on in the next.
fn switched(timeline: u32, start: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend([0x10, 0xd1, 2, 0]);
    bytes.extend(timeline.to_le_bytes());
    bytes.extend(start.to_le_bytes());
    bytes.extend([0; 8]);
    bytes.extend(9_u64.to_le_bytes());
    bytes.extend([0, 0, 16, 0, 0, 32, 0, 0]);
    let mut record = 24_u32.to_le_bytes().to_vec();
    record.extend([0; 12]);
    record.extend([0x40, 0, 0, 0]);
    // The checksum of exactly these twenty bytes.
    record.extend(0xd29b_2203_u32.to_le_bytes());
    bytes.extend(record);
    bytes.resize(usize::try_from(SIZE).unwrap(), 0);
    bytes
}

/// Puts a complete segment into a spool, at once, as a receiver does.
fn complete(spool: &Path, timeline: u32, start: u64) {
    let (name, other) = (format!("{timeline:08X}00000000{:08X}", start / SIZE), spool.join("other"));
    std::fs::write(&other, switched(timeline, start)).unwrap();
    std::fs::rename(other, spool.join(name)).unwrap();
}

struct Place {
    dir: tempfile::TempDir,
    double: Double,
    heard: Arc<Heard>,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), double: Double::default(), heard: Arc::default() }
    }

    fn memory(&self) -> JournalMemory {
        let name = |text: &str| text.parse::<Name>().unwrap();
        JournalMemory::open(self.dir.path(), VaultId::from_bytes([7; 32]), &name("w"), &name("pg")).unwrap()
    }

    fn spool(&self) -> Spool {
        Spool::open(self.memory().spool()).unwrap()
    }

    fn put(&self, timeline: u32, start: u64) {
        complete(self.spool().dir(), timeline, start);
    }

    /// Ships what is there, as a run does that is asked to stop at once.
    fn ship(&self) -> Result<SourceReport> {
        let shipper = self.shipper(Duration::ZERO);
        shipper.board.stop();
        shipper.run()
    }

    fn shipper(&self, flush: Duration) -> Shipper<Wal> {
        let (memory, board) = (self.memory(), Arc::new(Board::default()));
        let note = memory.note().unwrap();
        let report =
            SourceReport { source: "pg".parse().unwrap(), pieces: 0, bytes: 0, line: None, to: None, gaps: Vec::new() };
        Shipper {
            name: "pg".parse().unwrap(),
            options: JournalOptions { flush, ..JournalOptions::default() },
            until_idle: true,
            sink: Arc::new(self.double.clone()),
            log: Wal::new(self.spool()),
            memory,
            note,
            board,
            observer: Arc::clone(&self.heard) as Arc<dyn Observer>,
            clock: Arc::new(Still),
            report,
            pace: Pace::new(),
            damaged: None,
        }
    }
}

#[test]
fn what_is_whole_is_shipped_once_whatever_is_forgotten() {
    let place = Place::new();
    place.put(1, 2 * SIZE);
    place.put(1, 3 * SIZE);
    place.ship().unwrap();
    assert_eq!(place.double.spans(), [(1, 2 * SIZE, 3 * SIZE), (1, 3 * SIZE, 4 * SIZE)]);
    place.ship().unwrap();
    assert_eq!(place.double.spans().len(), 2, "nothing is shipped twice");

    // The memory is lost: the vault says how far it got.
    std::fs::remove_file(place.spool().dir().parent().unwrap().join("note")).unwrap();
    place.put(1, 4 * SIZE);
    place.ship().unwrap();
    assert_eq!(place.double.spans()[2..], [(1, 4 * SIZE, 5 * SIZE)]);

    // An old memory comes back, and the spool is ahead of it, but not of the vault.
    let old =
        JournalNote { shipped: Some((1, crate::model::journal::Position(3 * SIZE))), ..place.memory().note().unwrap() };
    place.memory().write(&old).unwrap();
    place.put(1, 5 * SIZE);
    let report = place.ship().unwrap();
    assert!(report.gaps.is_empty(), "{:?}", report.gaps);
    assert_eq!(place.double.covered(&Line::postgres(9, 1)).unwrap().stretches.len(), 1);
}

#[test]
fn a_gap_is_told_with_both_ends_and_the_next_timeline_is_none() {
    let place = Place::new();
    place.put(1, 2 * SIZE);
    place.ship().unwrap();
    place.put(2, 3 * SIZE);
    std::fs::write(place.spool().dir().join("00000002.history"), "1\t0/300000\tx\n").unwrap();
    assert!(place.ship().unwrap().gaps.is_empty());
    assert!(place.double.histories.lock().unwrap().contains_key(&Line::postgres(9, 2)));
    place.put(2, 7 * SIZE);
    let report = place.ship().unwrap();
    let [gap] = report.gaps.as_slice() else { panic!("{:?}", report.gaps) };
    assert_eq!((gap.from.0, gap.to.0), (4 * SIZE, 7 * SIZE));
    assert!(place.heard.0.lock().unwrap().contains(&"gap"));
    assert!(place.ship().unwrap().gaps.is_empty(), "it is told once");
}

#[test]
fn a_vault_that_is_away_loses_nothing() {
    let place = Place::new();
    place.put(1, 2 * SIZE);
    place.ship().unwrap();
    place.put(1, 3 * SIZE);
    place.double.away.store(true, Ordering::Relaxed);
    assert!(matches!(place.ship(), Err(OpsError::Store(_))));
    assert_eq!(place.spool().segments(SIZE).unwrap().last().unwrap().start, 3 * SIZE);
    place.double.away.store(false, Ordering::Relaxed);
    place.ship().unwrap();
    assert_eq!(place.double.spans().len(), 2);
}

#[test]
fn what_becomes_complete_meanwhile_follows_at_once_and_what_lies_behind_a_gap_does_not() {
    let place = Place::new();
    place.put(1, 2 * SIZE);
    for at in [3, 5] {
        let spool = place.spool().dir().to_owned();
        place.double.then.lock().unwrap().push_back(Box::new(move || complete(&spool, 1, at * SIZE)));
    }
    let mut shipper = place.shipper(Duration::from_mins(10));
    assert!(shipper.log.learn(&shipper.board, &mut shipper.note).unwrap());
    shipper.turn().unwrap();
    assert_eq!(place.double.spans(), [(1, 2 * SIZE, 3 * SIZE), (1, 3 * SIZE, 4 * SIZE)]);
    assert!(shipper.report.gaps.is_empty());
    shipper.turn().unwrap();
    assert_eq!(place.double.spans()[2..], [(1, 5 * SIZE, 6 * SIZE)]);
    let [gap] = shipper.report.gaps.as_slice() else { panic!("{:?}", shipper.report.gaps) };
    assert_eq!((gap.from.0, gap.to.0), (4 * SIZE, 5 * SIZE));
    assert_eq!(place.memory().note().unwrap().shipped, Some((1, crate::model::journal::Position(6 * SIZE))));
}
