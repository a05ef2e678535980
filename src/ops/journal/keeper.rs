//! Keeping a receiver running: finding the server, its slot, and where to go on; and telling what the server holds.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    super::{OpsError, Result},
    board::{Board, Seed},
    ear::Ear,
    event::{Event, Observer},
};
use crate::{
    model::{Clock, Name, Severity},
    source::{
        SourceError,
        journal::{JournalOptions, Shipped},
        postgres::journal::{Identity, Maker, SegmentName, Server, Slot, Spool, end_orphans, receive},
        receiver::Receiver,
    },
};

/// How often it is looked after the receiver.
const POLL: Duration = Duration::from_millis(100);
/// So long the shipper is waited for before the server is asked again.
const SOON: Duration = Duration::from_secs(1);
/// How often what is bad and stays so is told.
const TELL_AGAIN: Duration = Duration::from_mins(5);
/// So many things that were told are remembered.
const TOLD: usize = 64;
/// The longest time between two tries to reach the server.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// A receiver that lasted so long had nothing wrong with it.
pub(super) const SOUND: Duration = Duration::from_secs(20);
/// How long it is waited for room.
const FULL: Duration = Duration::from_secs(3);
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
    pub(super) receiver: Option<Receiver>,
    /// What makes its segments.
    maker: Option<Maker>,
    wait: Duration,
    again: Option<Instant>,
    pub(super) checked: Option<Instant>,
    /// Whether the server has nothing of what comes next any more.
    removed: bool,
    /// How often in a row a receiver ended at once.
    hasty: u32,
    /// Since when another one has the slot.
    busy: Option<Instant>,
    /// Whether it ever received.
    pub(super) received: bool,
    /// Whether the slot was let go of, since too much waited.
    pub(super) released: bool,
    /// Whether the server's view of the slot can't be seen.
    pub(super) blind: bool,
    /// Whether the server gave up what the slot held.
    pub(super) lost: bool,
    /// Whether the spool has no room for more.
    pub(super) full: bool,
    /// Whether the receiver still hears the server.
    pub(super) ear: Ear,
    /// What was told, and when.
    told: BTreeMap<String, Instant>,
}

impl Keeper {
    /// Receives until it is asked to stop.
    pub(super) fn run(mut self) {
        end_orphans(self.spool.dir());
        self.server.give_up_when(self.board.stopping());
        while !self.board.is_stopped() {
            if let Err(error) = self.turn() {
                self.board.fail(error);
            }
            self.board.wait(POLL);
        }
        self.stop();
    }

    fn turn(&mut self) -> Result<()> {
        let paused = self.look_at_room()? || self.board.notes().paused;
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
        self.tell_moment();
        self.check_now_and_then();
        Ok(())
    }

    pub(super) fn stop(&mut self) {
        if let Some(receiver) = self.state.receiver.take() {
            receiver.stop();
        }
        self.state.maker = None;
        self.board.notes().receiving = false;
        self.board.wake();
    }

    /// Finds out where to go on, and goes on there.
    fn connect(&mut self) -> Result<()> {
        if self.board.notes().seed.is_some() {
            // First all that there is has to be shipped.
            return Ok(());
        }
        // A killed run may have left some, and where to go on is told by what is there.
        self.spool.unmake(..)?;
        let identity = self.server.identify()?;
        self.must_be_the_same(&identity)?;
        self.must_go_on(&identity)?;
        let slot = self.slot(&identity)?;
        self.note(&identity);
        // Where to go on, the vault says, which the shipper asks. What takes longer is asked for again, and so is the server.
        if !self.board.wait_for(SOON, |notes| notes.asked) {
            return Ok(());
        }
        self.must_go_on(&identity)?;
        if !self.state.removed {
            self.must_have_written(&identity)?;
        }
        if let Some(seed) = self.start(&identity, slot)? {
            self.board.notes().seed = Some(seed);
            self.board.wake();
            // First all that there is has to be shipped.
            if !self.board.wait_for(SOON, |notes| notes.seed.is_none()) || self.start(&identity, slot)?.is_some() {
                return Ok(());
            }
        }
        self.spool.mend(identity.segment)?;
        let status = STATUS.min(self.options.flush.as_secs().max(1));
        // It looks where the receiver begins, so it comes before that.
        let maker = Maker::start(self.spool.clone(), identity.segment, self.room(identity.segment))?;
        let begins = self.next().map(|(_, at, size)| at + size);
        self.board.notes().sure_from = begins;
        let receiver = receive(&self.server, &identity, &self.options.slot, self.spool.dir(), status)?;
        (self.state.receiver, self.state.maker) = (Some(receiver), Some(maker));
        self.board.notes().receiving = true;
        Ok(())
    }

    fn note(&mut self, identity: &Identity) {
        let target = Shipped { timeline: identity.timeline, to: identity.flushed };
        let mut notes = self.board.notes();
        (notes.server, notes.heard) = (Some(identity.clone()), Some(Instant::now()));
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
        let next = "if the server was recreated (initdb, pg_upgrade), give it a [[source]] of another name, or use --new-cluster once; otherwise correct the dsn";
        Err(OpsError::Request { what, next: next.to_owned() })
    }

    /// The slot, made if it is missing, and made again if it lost what it held. Where the server has removed what comes next,
    /// a slot is worth nothing either: a receiver that asks for what is gone sets it back to there.
    fn slot(&mut self, identity: &Identity) -> Result<Slot> {
        let name = self.options.slot.clone();
        match self.server.slot(&name, &identity.version)? {
            Some(slot) if slot.restart.is_some() && !self.state.removed => return Ok(slot),
            None => {
                self.server.create_slot(&name)?;
                let message = format!("made the replication slot {name} on {}", self.server.place());
                self.tell("slot-made", Severity::Info, message);
            }
            Some(_) => {
                self.server.drop_slot(&name)?;
                self.server.create_slot(&name)?;
                let why = if self.state.removed {
                    "held no more of what comes next (the server has removed that)"
                } else {
                    "held nothing of the log (it was invalidated, or never used)"
                };
                let message =
                    format!("the replication slot {name} on {} {why} and was made again", self.server.place());
                self.tell("slot-lost", Severity::Warning, message);
            }
        }
        self.state.lost = false;
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
        if std::mem::take(&mut self.state.removed) {
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
            // It streams to where the timeline ended, and then the next. Where nothing is left of it (it ended with a segment),
            // the server has nothing to stream, and a receiver would ask for it for ever.
            Some(past) if at < past.end => Ok(empty.then_some(Seed { timeline, start: at, size })),
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
        let removed = self.is_removed(said);
        let busy = said.contains("is active for PID");
        let full = said.contains("No space left on device") || said.contains("Disk quota exceeded");
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
        if full {
            // What is stored makes room, which is soon.
            self.state.again = Some(Instant::now() + FULL);
            let what = format!(
                "the spool's disk is full ({}): the slot holds the rest on the server",
                self.spool.dir().display()
            );
            self.tell_now_and_then("disk-full", Severity::Error, "", what);
        }
        // Process ids change, and what it is about doesn't.
        let about: String = said.chars().filter(|c| !c.is_ascii_digit()).take(300).collect();
        self.tell_now_and_then("receiver-ended", Severity::Warning, &about, format!("{said}; it is started again"));
        Ok(())
    }

    /// Whether what ended a receiver is that the server has removed what it asked for. Servers say it in their own language,
    /// and name the segment.
    fn is_removed(&self, said: &str) -> bool {
        let next = || {
            let (timeline, at, size) = self.next()?;
            Some(SegmentName::of(timeline, at, size).to_string())
        };
        said.contains("has already been removed")
            || said.contains("has been invalidated")
            || (said.contains("unexpected termination of replication stream")
                && next().is_some_and(|name| said.contains(&name)))
    }

    /// The timeline and the position that the receiver asks for next, and the size of segments, as far as they are known.
    fn next(&self) -> Option<(u32, u64, u64)> {
        let (server, shipped) = {
            let notes = self.board.notes();
            (notes.server.clone()?, notes.shipped)
        };
        let size = server.segment;
        let newest = self.spool.segments(size).ok().and_then(|mut all| all.pop());
        let held = newest.map(|held| (held.timeline, held.start + if held.partial { 0 } else { size }));
        let (timeline, at) = held.or(shipped.map(|shipped| (shipped.timeline, shipped.to - shipped.to % size)))?;
        Some((timeline, at, size))
    }

    /// Whether the slot holds the log only from beyond what comes next.
    fn is_behind_the_slot(&self) -> bool {
        let Some((_, next, size)) = self.next() else { return false };
        let Some(version) = self.board.notes().server.as_ref().map(|server| server.version.clone()) else {
            return false;
        };
        let slot = self.server.slot(&self.options.slot, &version).ok().flatten();
        slot.and_then(|slot| slot.restart).is_some_and(|restart| restart - restart % size > next)
    }

    fn unreachable(&mut self, error: &SourceError) -> Result<()> {
        if self.until_idle {
            return Err(SourceError { what: error.what.clone(), object: error.object.clone(), source: None }.into());
        }
        self.back_off();
        self.tell_now_and_then("server-away", Severity::Error, "", format!("{error}; it is tried again"));
        Ok(())
    }

    fn back_off(&mut self) {
        self.state.wait = (self.state.wait * 2).clamp(Duration::from_secs(1), LONGEST_WAIT);
        self.state.again = Some(Instant::now() + self.state.wait);
    }

    pub(super) fn tell(&mut self, event: &'static str, severity: Severity, message: String) {
        self.observer.event(&Event::new(self.clock.now(), &self.name, event, severity, message));
    }

    /// The same, not again while the same stays so.
    pub(super) fn tell_now_and_then(&mut self, event: &'static str, severity: Severity, about: &str, message: String) {
        let key = format!("{event} {about}");
        if self.state.told.get(&key).is_some_and(|at| at.elapsed() < TELL_AGAIN) {
            return;
        }
        if self.state.told.len() >= TOLD {
            self.state.told.clear();
        }
        self.state.told.insert(key, Instant::now());
        self.tell(event, severity, message);
    }
}
