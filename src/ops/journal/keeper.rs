//! Keeping a receiver running: finding the server, its slot, and where to go on; and telling what the server holds.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    super::{OpsError, Result},
    board::{Board, Seed},
    event::{Event, Observer},
};
use crate::{
    model::{
        Clock, Name, Severity,
        journal::{Line, Position},
        size,
    },
    source::{
        SourceError,
        postgres::journal::{
            Identity, JournalOptions, OnMaxLag, Receiver, Server, Shipped, Slot, SlotState, Spool, end_orphans,
        },
    },
};

/// How often it is looked after the receiver.
const POLL: Duration = Duration::from_millis(100);
/// How often the server is asked how it is.
const CHECK: Duration = Duration::from_secs(20);
/// How often what is bad and stays so is told.
const TELL_AGAIN: Duration = Duration::from_mins(5);
/// The longest time between two tries to reach the server.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// A receiver that lasted so long had nothing wrong with it.
const SOUND: Duration = Duration::from_secs(20);
/// So long another receiver may take to be found dead by the server before this one gives up.
const OTHERS: Duration = Duration::from_secs(5);
/// How long status messages to the server may take at most, in seconds: it lets go of its log by them.
const STATUS: u64 = 10;

/// The keeper of one source.
pub(super) struct Keeper {
    pub(super) name: Name,
    pub(super) options: JournalOptions,
    pub(super) until_idle: bool,
    pub(super) server: Server,
    pub(super) spool: Spool,
    pub(super) board: Arc<Board>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) clock: Arc<dyn Clock>,
    /// The cluster that the journal is of, if it has begun.
    pub(super) system: Option<u64>,
    pub(super) state: State,
}

#[derive(Default)]
#[allow(clippy::struct_excessive_bools, reason = "each says one thing that was seen, and any of them may go together")]
pub(super) struct State {
    receiver: Option<Receiver>,
    wait: Duration,
    again: Option<Instant>,
    checked: Option<Instant>,
    /// Whether the server has nothing of what comes next any more.
    removed: bool,
    /// How often in a row a receiver ended at once.
    hasty: u32,
    /// Since when another one has the slot.
    busy: Option<Instant>,
    /// Whether it ever received.
    received: bool,
    /// Whether the slot was let go of, since too much waited.
    released: bool,
    /// Whether the server's view of the slot can't be seen.
    blind: bool,
    told: Option<(&'static str, Instant)>,
}

impl Keeper {
    /// Receives until it is asked to stop.
    pub(super) fn run(mut self) {
        end_orphans(self.spool.dir());
        while !self.board.is_stopped() {
            if let Err(error) = self.turn() {
                self.board.fail(error);
            }
            self.board.wait(POLL);
        }
        self.stop();
    }

    fn turn(&mut self) -> Result<()> {
        let paused = self.board.notes().paused;
        if let Some(receiver) = &mut self.state.receiver {
            if paused {
                self.stop();
            } else if let Some(said) = receiver.ended() {
                let age = receiver.age();
                self.stop();
                self.ended(&said, age)?;
            }
        } else if !paused && !self.state.released && self.state.again.is_none_or(|at| at <= Instant::now()) {
            match self.connect() {
                Ok(()) => {}
                Err(OpsError::Source(error)) => self.unreachable(&error)?,
                Err(error) => return Err(error),
            }
            self.board.notes().tried = true;
        }
        if self.state.checked.is_none_or(|at| at.elapsed() >= CHECK) {
            self.check()?;
            self.state.checked = Some(Instant::now());
        }
        Ok(())
    }

    fn stop(&mut self) {
        if let Some(receiver) = self.state.receiver.take() {
            receiver.stop();
        }
        self.board.notes().receiving = false;
        self.board.wake();
    }

    /// Finds out where to go on, and goes on there.
    fn connect(&mut self) -> Result<()> {
        if self.board.notes().seed.is_some() {
            // First all that there is has to be shipped.
            return Ok(());
        }
        let identity = self.server.identify()?;
        self.must_be_the_same(&identity)?;
        let slot = self.slot(&identity)?;
        self.note(&identity);
        if !self.board.notes().asked {
            // Where to go on, the vault says, which the shipper asks.
            return Ok(());
        }
        if let Some(seed) = self.start(&identity, slot)? {
            self.state.removed = false;
            self.board.notes().seed = Some(seed);
            self.board.wake();
            return Ok(());
        }
        self.spool.mend(identity.segment)?;
        let status = STATUS.min(self.options.flush.as_secs().max(1));
        let receiver = Receiver::start(&self.server, &identity, &self.options.slot, self.spool.dir(), status)?;
        self.state.receiver = Some(receiver);
        self.board.notes().receiving = true;
        Ok(())
    }

    fn note(&mut self, identity: &Identity) {
        let target = Shipped { timeline: identity.timeline, to: identity.flushed };
        let mut notes = self.board.notes();
        notes.server = Some(identity.clone());
        notes.target.get_or_insert(target);
        drop(notes);
        self.board.wake();
    }

    /// A server that is not the one whose log the journal holds is never received from.
    fn must_be_the_same(&mut self, identity: &Identity) -> Result<()> {
        let known = *self.system.get_or_insert(identity.system);
        if known == identity.system {
            return Ok(());
        }
        let what = format!(
            "{} is another cluster: its system identifier is {}, and the journal of {} is of {known}; nothing was received",
            self.server.place(),
            identity.system,
            self.name
        );
        let next = "if the server was set up anew (initdb, pg_upgrade), give it a [[source]] of another name, or say \
                    --new-cluster once; otherwise correct the dsn";
        Err(OpsError::Request { what, next: next.to_owned() })
    }

    /// The slot, made if it is missing, and made again if it lost what it held.
    fn slot(&mut self, identity: &Identity) -> Result<Slot> {
        let name = self.options.slot.clone();
        match self.server.slot(&name, &identity.version)? {
            Some(slot) if slot.restart.is_some() => return Ok(slot),
            None => {
                self.server.create_slot(&name)?;
                let message = format!("made the replication slot {name} on {}", self.server.place());
                self.tell("slot-made", Severity::Info, message);
            }
            Some(_) => {
                self.server.drop_slot(&name)?;
                self.server.create_slot(&name)?;
                let message = format!(
                    "the replication slot {name} on {} held nothing of the log (it was invalidated, or never used) and \
                     was made again",
                    self.server.place()
                );
                self.tell("slot-lost", Severity::Warning, message);
            }
        }
        let slot = self.server.slot(&name, &identity.version)?;
        slot.ok_or_else(|| SourceError::new("was made and is not there", name).into())
    }

    /// Where the receiver must be told to begin; nothing if it goes on by itself.
    fn start(&mut self, identity: &Identity, slot: Slot) -> Result<Option<Seed>> {
        let size = identity.segment;
        let floor = |at: u64| at - at % size;
        let new = Seed { timeline: identity.timeline, start: floor(slot.restart.unwrap_or(identity.flushed)), size };
        let newest = self.spool.segments(size)?.pop();
        let empty = newest.is_none();
        let held = newest.map(|held| (held.timeline, held.start + if held.partial { 0 } else { size }));
        let shipped = self.board.notes().shipped;
        let Some((timeline, at)) = held.or(shipped.map(|shipped| (shipped.timeline, floor(shipped.to)))) else {
            return Ok(Some(new));
        };
        if self.state.removed {
            return Ok(Some(new).filter(|new| (new.timeline, new.start) != (timeline, at)));
        }
        if timeline == identity.timeline {
            return Ok(empty.then_some(Seed { timeline, start: at, size }));
        }
        if timeline > identity.timeline {
            let what = format!(
                "is on timeline {}, and the journal has come to {timeline}: it is an old primary, or a standby that \
                 follows one",
                identity.timeline
            );
            return Err(SourceError::new(what, self.server.place()).into());
        }
        let history = self.server.history(identity.timeline)?;
        let after = history.iter().position(|past| past.timeline == timeline);
        match after.and_then(|n| history.get(n)) {
            // It streams to where the timeline ended, and then the next.
            Some(past) if at <= past.end => Ok(empty.then_some(Seed { timeline, start: at, size })),
            // More came than what the server went on from: of that nothing is in the new timeline.
            Some(past) => {
                let next = after.and_then(|n| history.get(n + 1)).map_or(identity.timeline, |past| past.timeline);
                Ok(Some(Seed { timeline: next, start: floor(past.end), size }))
            }
            None => Ok(Some(new)),
        }
    }

    /// A receiver ended by itself.
    fn ended(&mut self, said: &str, age: Duration) -> Result<()> {
        if self.board.is_stopped() {
            return Ok(());
        }
        let removed = said.contains("has already been removed") || said.contains("has been invalidated");
        let busy = said.contains("is active for PID");
        if age >= SOUND {
            (self.state.wait, self.state.hasty, self.state.received) = (Duration::ZERO, 0, true);
        } else {
            self.state.hasty += 1;
        }
        if busy {
            let since = *self.state.busy.get_or_insert_with(Instant::now);
            if !self.state.received && since.elapsed() > OTHERS {
                let what = format!("another receiver has the replication slot {}", self.options.slot);
                return Err(OpsError::Busy { what });
            }
        } else {
            self.state.busy = None;
        }
        // Servers say it in their own language, so what the slot holds says it too.
        self.state.removed = removed || (self.state.hasty >= 3 && self.is_behind_the_slot());
        self.back_off();
        if removed || busy {
            self.state.again = Some(Instant::now() + Duration::from_secs(1));
        }
        self.tell("receiver-ended", Severity::Warning, format!("{said}; it is started again"));
        Ok(())
    }

    /// Whether the slot holds the log only from beyond what comes next.
    fn is_behind_the_slot(&self) -> bool {
        let (server, shipped) = {
            let notes = self.board.notes();
            (notes.server.clone(), notes.shipped)
        };
        let (Some(server), Some(shipped)) = (server, shipped) else { return false };
        let newest = self.spool.segments(server.segment).ok().and_then(|mut all| all.pop());
        let next = newest.map_or(shipped.to, |held| held.start + if held.partial { 0 } else { server.segment });
        let slot = self.server.slot(&self.options.slot, &server.version).ok().flatten();
        slot.and_then(|slot| slot.restart).is_some_and(|restart| restart - restart % server.segment > next)
    }

    fn unreachable(&mut self, error: &SourceError) -> Result<()> {
        if self.until_idle {
            return Err(SourceError { what: error.what.clone(), object: error.object.clone(), source: None }.into());
        }
        self.back_off();
        self.tell_now_and_then("server-away", format!("{error}; it is tried again"));
        Ok(())
    }

    fn back_off(&mut self) {
        self.state.wait = (self.state.wait * 2).clamp(Duration::from_secs(1), LONGEST_WAIT);
        self.state.again = Some(Instant::now() + self.state.wait);
    }

    /// Looks what the server holds for this journal.
    fn check(&mut self) -> Result<()> {
        if self.state.receiver.is_none() && !self.board.notes().paused && !self.state.released {
            return Ok(());
        }
        let Ok(identity) = self.server.identify() else { return Ok(()) };
        if Some(identity.system) == self.system {
            self.board.notes().server = Some(identity.clone());
        }
        if self.state.received || self.state.receiver.as_ref().is_some_and(|receiver| receiver.age() > SOUND) {
            self.state.received = true;
        }
        let (shipped, waiting) = {
            let notes = self.board.notes();
            (notes.shipped, notes.unshipped)
        };
        if self.state.released {
            // What was lost is lost; it begins anew once the vault has all that is here.
            if waiting == 0 && !self.board.notes().away {
                self.state.released = false;
            }
            return Ok(());
        }
        if !self.state.blind {
            match self.server.slot_state(&self.options.slot) {
                Some(state) => self.judge(&state),
                // A role for replication alone need not be let into a database, and is not to knock every minute.
                None => self.state.blind = true,
            }
        }
        let lag = shipped.map_or(0, |shipped| identity.flushed.saturating_sub(shipped.to));
        if lag < self.options.max_lag {
            return Ok(());
        }
        let message = format!(
            "{} of the log are not in the vault yet, more than `max_lag` ({}): the newest there is {}, the server is at {}",
            size::human(lag),
            size::human(self.options.max_lag),
            shipped.map_or_else(String::new, |shipped| Line::postgres(identity.system, shipped.timeline)
                .say(Position(shipped.to))),
            Line::postgres(identity.system, identity.timeline).say(Position(identity.flushed))
        );
        match self.options.on_max_lag {
            OnMaxLag::Wait => {
                let more = "the slot holds it, and the server's disk may fill: mend what keeps the vault away, or set \
                            on_max_lag = \"gap\"";
                self.tell_now_and_then("lag", format!("{message}; {more}"));
            }
            OnMaxLag::Gap => {
                self.stop();
                self.server.drop_slot(&self.options.slot)?;
                self.state.released = true;
                self.tell(
                    "released",
                    Severity::Error,
                    format!("{message}; the slot was let go of, as on_max_lag says"),
                );
            }
        }
        Ok(())
    }

    fn judge(&mut self, state: &SlotState) {
        let slot = &self.options.slot;
        match state.wal_status.as_deref() {
            Some("unreserved") => {
                let left = state.safe_wal_size.map_or(0, |left| u64::try_from(left).unwrap_or(0));
                let message = format!(
                    "the slot {slot} is about to be lost: the server keeps no more than max_slot_wal_keep_size, and {} \
                     are left",
                    size::human(left)
                );
                self.tell_now_and_then("slot-unreserved", message);
            }
            Some("lost") => {
                self.tell_now_and_then("slot-lost", format!("the server invalidated the slot {slot}"));
                // It ends by itself as soon as it notices; then all begins anew.
                self.stop();
            }
            _ => {}
        }
    }

    fn tell(&mut self, event: &'static str, severity: Severity, message: String) {
        self.observer.event(&Event::new(self.clock.now(), &self.name, event, severity, message));
    }

    /// The same, not again while it stays so.
    fn tell_now_and_then(&mut self, event: &'static str, message: String) {
        if self.state.told.is_some_and(|(told, at)| told == event && at.elapsed() < TELL_AGAIN) {
            return;
        }
        self.state.told = Some((event, Instant::now()));
        self.tell(event, Severity::Error, message);
    }
}
