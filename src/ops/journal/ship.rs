//! Shipping: what is whole in the spool goes into the vault, once, in order, several pieces at a time.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use super::{
    super::{OpsError, Result},
    board::{Board, Seed},
    event::{Event, Observer},
    run::{GapReport, SourceReport},
    sink::{Sink, is_passing, may_pass},
};
use crate::{
    catalog::{JournalMemory, JournalNote},
    model::{
        Clock, Name, Severity,
        journal::{Line, Position, Span},
        size,
    },
    source::postgres::journal::{Follower, Held, JournalOptions, Look, Ready, Shipped, Spool},
};

/// The most bytes of the log in one piece.
const PIECE: u64 = 16 << 20;
/// So many pieces are put at once.
const AT_ONCE: usize = 4;
/// How often the spool is looked at.
const POLL: Duration = Duration::from_millis(200);
/// How long it may take to ship what is left when it was asked to stop.
const DRAIN: Duration = Duration::from_secs(25);
/// How often it is told that the vault takes nothing.
const TELL_AGAIN: Duration = Duration::from_mins(5);
/// How often what grows is shipped where somebody waits for the end.
const SOON: Duration = Duration::from_secs(1);
/// In so many timelines it is looked for the newest piece.
const TIMELINES: usize = 16;
/// The longest time between two tries to reach the vault.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The shipper of one source.
pub(super) struct Shipper {
    pub(super) name: Name,
    pub(super) options: JournalOptions,
    pub(super) until_idle: bool,
    pub(super) sink: Box<dyn Sink>,
    pub(super) memory: JournalMemory,
    pub(super) note: JournalNote,
    pub(super) spool: Spool,
    pub(super) board: Arc<Board>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) report: SourceReport,
    pub(super) pace: Pace,
    /// The last segment that was told to be damaged.
    pub(super) damaged: Option<Held>,
}

/// When what is tried next.
pub(super) struct Pace {
    flushed: Option<Instant>,
    retry: Option<(Instant, Duration)>,
    pub(super) stopping: Option<Instant>,
    told: Option<Instant>,
    /// When it was told that the memory can't be written.
    unwritten: Option<Instant>,
    /// When a piece was put last.
    pub(super) put: Option<Instant>,
}

impl Pace {
    pub(super) const fn new() -> Self {
        Self { flushed: None, retry: None, stopping: None, told: None, unwritten: None, put: None }
    }
}

impl Shipper {
    /// Ships until it is asked to stop, or all that there was is shipped if that was asked for.
    pub(super) fn run(mut self) -> Result<SourceReport> {
        let mut follower = None;
        {
            let mut notes = self.board.notes();
            (notes.shipped, notes.asked) = (self.shipped(), self.note.shipped.is_some());
        }
        loop {
            if self.board.is_stopped() && self.pace.stopping.is_none() {
                self.pace.stopping = Some(Instant::now());
            }
            if follower.is_none() {
                follower = self.follower()?;
            }
            let idle = match &mut follower {
                Some(follower) if self.ask(follower)? => self.turn(follower)?,
                Some(_) => false,
                None => self.take_seed(None)?,
            };
            let receiving = self.board.notes().receiving;
            if let Some(since) = self.pace.stopping {
                if !receiving && (idle || since.elapsed() > DRAIN) {
                    if !idle {
                        let what = "not all that is here could be stored before the end: it is when this runs again";
                        self.tell("left", Severity::Warning, what.to_owned());
                    }
                    break;
                }
            } else if self.until_idle && idle && self.reached() {
                self.board.stop();
            }
            self.observer.alive();
            self.board.wait(POLL);
        }
        Ok(self.report)
    }

    /// What follows the spool, once it is known how large segments are.
    fn follower(&mut self) -> Result<Option<Follower>> {
        let server = self.board.notes().server.clone();
        let known = match server {
            Some(server) => Some((server.system, server.segment)),
            // The server may never come back, and what is here is to get into the vault all the same.
            None => self.spool.geometry()?.map(|geometry| (geometry.system, geometry.segment)),
        };
        let Some((system, segment)) = known else { return Ok(None) };
        self.note.system.get_or_insert(system);
        Ok(Some(Follower::new(self.spool.clone(), segment)))
    }

    /// Asks the vault how far the log is in it, where this memory does not know. Says whether that is known.
    fn ask(&mut self, follower: &Follower) -> Result<bool> {
        if self.board.notes().asked {
            return Ok(true);
        }
        if self.waits() {
            return Ok(false);
        }
        let server = self.board.notes().server.as_ref().map(|server| server.timeline);
        let held = self.spool.segments(follower.segment_size())?.last().map(|held| held.timeline);
        let newest = server.or(held).unwrap_or(1);
        // Of a server that was promoted, the log of the timeline before may be the newest that is there.
        for timeline in (1..=newest).rev().take(TIMELINES) {
            let line = self.line(timeline)?;
            match self.sink.covered(&line) {
                Ok(reach) => {
                    self.back();
                    if let Some(to) = reach.newest() {
                        self.note.shipped = Some((timeline, to));
                        break;
                    }
                }
                Err(error) => {
                    self.away(error)?;
                    return Ok(false);
                }
            }
        }
        let mut notes = self.board.notes();
        (notes.shipped, notes.asked) = (self.shipped(), true);
        drop(notes);
        self.board.wake();
        Ok(true)
    }

    /// Whether the vault is not tried now.
    pub(super) fn waits(&self) -> bool {
        self.pace.retry.is_some_and(|(at, _)| Instant::now() < at)
    }

    pub(super) fn shipped(&self) -> Option<Shipped> {
        self.note.shipped.map(|(timeline, to)| Shipped { timeline, to: to.0 })
    }

    pub(super) fn line(&self, timeline: u32) -> Result<Line> {
        let system = self.note.system.ok_or(OpsError::Defect("the journal's memory"))?;
        Ok(Line::postgres(system, timeline))
    }

    /// Looks at the spool and ships what is due. Says whether nothing is left that could be shipped.
    fn turn(&mut self, follower: &mut Follower) -> Result<bool> {
        // Who waits for the end of it wants that soon, and no object for each few records that come.
        let every = if self.until_idle { self.options.flush.min(SOON) } else { self.options.flush };
        let flush = self.pace.flushed.is_none_or(|at| at.elapsed() >= every);
        let asked = self.pace.stopping.is_some() || self.board.notes().seed.is_some();
        let growing = flush || asked;
        let mut look = follower.look(self.shipped(), growing)?;
        if growing {
            self.pace.flushed = Some(Instant::now());
            self.histories()?;
        }
        self.tell_room(&look);
        if let Some((held, broken)) = look.broken.take()
            && self.damaged.as_ref() != Some(&held)
        {
            // The server may have let go of it, and a later version may write what is not understood here.
            let what = format!(
                "segment {} came as no whole log, and is stored as it came: {broken}. Recovery may end there: take a new \
                 base now (strongroom backup {})",
                held.name, self.name
            );
            self.tell("damaged", Severity::Error, what);
            self.damaged = Some(held);
        }
        if look.ready.is_empty() {
            let idle = growing && self.take_seed(Some(follower))?;
            if idle {
                self.tell_still(follower)?;
            }
            return Ok(idle);
        }
        if self.waits() {
            return Ok(false);
        }
        if let Some((before, after)) = look.gap
            && !self.gap(before, after)?
        {
            return Ok(false);
        }
        match self.ship(follower, look.ready) {
            Ok(()) => self.back(),
            Err(error) => self.away(error)?,
        }
        Ok(false)
    }

    /// Puts pieces until all is put, or something fails.
    fn ship(&mut self, follower: &Follower, ready: Vec<Ready>) -> Result<()> {
        let cut = |ready: Ready| {
            let starts = (0..).map(move |n| ready.from + n * PIECE).take_while(move |from| *from < ready.to);
            starts.map(move |from| Ready { held: ready.held.clone(), from, to: ready.to.min(from + PIECE) })
        };
        let pieces: Vec<Ready> = ready.into_iter().flat_map(cut).collect();
        for batch in pieces.chunks(AT_ONCE) {
            let mut logs = Vec::new();
            for piece in batch {
                let Some(log) = follower.read(piece)? else { break };
                logs.push((self.line(piece.held.timeline)?, piece, log));
            }
            let whole = logs.len() == batch.len();
            let sink = &*self.sink;
            let results: Vec<Result<u64>> = thread::scope(|scope| {
                let put = |(line, piece, log): &(Line, &Ready, Vec<u8>)| {
                    let span = Span { from: Position(piece.from), to: Position(piece.to) };
                    sink.put(line, span, log)
                };
                let running: Vec<_> = logs.iter().map(|one| scope.spawn(move || put(one))).collect();
                let defect = || Err(OpsError::Defect("a thread that ships a piece"));
                running.into_iter().map(|thread| thread.join().unwrap_or_else(|_| defect())).collect()
            });
            let mut failed = None;
            for ((line, piece, _), result) in logs.iter().zip(results) {
                match result {
                    Ok(stored) if failed.is_none() => self.acknowledged(line, piece, stored),
                    // It is in the vault, and so will be a longer one: that does no harm.
                    Ok(_) => {}
                    Err(error) => drop(failed.get_or_insert(error)),
                }
            }
            self.note_down(follower)?;
            if let Some(error) = failed {
                return Err(error);
            }
            self.observer.alive();
            if !whole {
                break;
            }
        }
        Ok(())
    }

    fn acknowledged(&mut self, line: &Line, piece: &Ready, stored: u64) {
        let to = Position(piece.to);
        if self.note.shipped.is_some_and(|(timeline, _)| timeline != piece.held.timeline) {
            self.tell("timeline", Severity::Info, format!("goes on in {line}"));
        }
        self.note.shipped = Some((piece.held.timeline, to));
        self.pace.put = Some(Instant::now());
        let span = Span { from: Position(piece.from), to };
        let SourceReport { pieces, bytes, line: on, to: newest, .. } = &mut self.report;
        *pieces += 1;
        *bytes += span.distance();
        (*on, *newest) = (Some(line.clone()), Some(to));
        let message =
            format!("{} up to {} ({} stored)", size::human(span.distance()), line.say(to), size::human(stored));
        self.send(&self.event("shipped", Severity::Info, message).about(line, span).of(stored));
    }

    /// Remembers how far it got, and lets go of what is shipped.
    fn note_down(&mut self, follower: &Follower) -> Result<()> {
        // On a disk that is full only this makes room again. What is not remembered, the vault is asked.
        if let Err(error) = self.write_note()
            && self.pace.unwritten.is_none_or(|at| at.elapsed() > TELL_AGAIN)
        {
            self.pace.unwritten = Some(Instant::now());
            self.tell("unwritten", Severity::Error, format!("{error}; it goes on without"));
        }
        self.board.notes().shipped = self.shipped();
        if let Some(shipped) = self.shipped() {
            follower.clear(shipped)?;
        }
        Ok(())
    }

    fn write_note(&self) -> Result<()> {
        let failed =
            |source| OpsError::Io { what: "can't write the journal's memory", path: self.memory.spool(), source };
        self.memory.write(&self.note).map_err(failed)
    }

    /// Ships histories of timelines that are new.
    fn histories(&mut self) -> Result<()> {
        if self.pace.retry.is_some() {
            return Ok(());
        }
        for timeline in self.spool.histories()? {
            if self.note.histories.contains(&timeline) {
                continue;
            }
            let Some(history) = self.spool.history(timeline)? else { continue };
            match self.sink.put_history(&self.line(timeline)?, &history) {
                Ok(()) => {
                    self.note.histories.insert(timeline);
                    self.write_note()?;
                }
                Err(error) => return self.away(error),
            }
        }
        Ok(())
    }

    /// Something is missing between what was shipped and what is here. What the vault has decides; says whether it is so.
    fn gap(&mut self, before: Shipped, after: Shipped) -> Result<bool> {
        let line = self.line(before.timeline)?;
        let reach = match self.sink.covered(&line) {
            Ok(reach) => reach,
            Err(error) => {
                self.away(error)?;
                return Ok(false);
            }
        };
        let until = reach.until(Position(before.to)).unwrap_or(Position(before.to));
        if until.0 > before.to {
            // This memory is older than the vault.
            self.note.shipped = Some((before.timeline, until));
            self.write_note()?;
            return Ok(false);
        }
        let to = Position(after.to);
        let message = format!(
            "a gap: the log from {} to {} can't be had any more. What was committed there can be recovered from no base \
             before it: take a new base now (strongroom backup {})",
            line.say(until),
            line.say(to),
            self.name
        );
        let span = Span { from: until, to };
        self.send(&self.event("gap", Severity::Error, message).about(&line, span));
        self.report.gaps.push(GapReport { line, from: until, to });
        self.note.shipped = Some((after.timeline, to));
        self.write_note()?;
        Ok(true)
    }

    /// The receiver is to begin elsewhere, and all that there was is shipped.
    fn take_seed(&mut self, follower: Option<&mut Follower>) -> Result<bool> {
        let wanted = self.board.notes().seed;
        let Some(Seed { timeline, start, size }) = wanted else { return Ok(true) };
        match follower {
            Some(follower) => follower.empty()?,
            None => Follower::new(self.spool.clone(), size).empty()?,
        }
        self.spool.seed(timeline, start, size)?;
        self.board.notes().seed = None;
        self.board.wake();
        Ok(false)
    }

    /// Stops the receiver while there is no more room, and lets it go on when there is.
    fn tell_room(&mut self, look: &Look) {
        let mut notes = self.board.notes();
        notes.unshipped = look.unshipped;
        let (was, full) = (notes.paused, look.unshipped >= self.options.spool);
        notes.paused = full || was && look.unshipped > self.options.spool / 2;
        let now = notes.paused;
        drop(notes);
        if now != was {
            self.board.wake();
            let waiting = size::human(look.unshipped);
            let message = if now {
                format!(
                    "{waiting} wait to be stored, which is all that `spool` allows: the slot holds the rest on the server"
                )
            } else {
                format!("{waiting} wait to be stored: receiving again")
            };
            self.tell(
                if now { "paused" } else { "resumed" },
                if now { Severity::Warning } else { Severity::Info },
                message,
            );
        }
    }

    /// The vault took something not. What may pass is tried again for ever: all the while it is received, and then held by
    /// the slot.
    pub(super) fn away(&mut self, error: OpsError) -> Result<()> {
        if self.until_idle || !may_pass(&error) {
            return Err(error);
        }
        let wait = self.pace.retry.map_or(Duration::from_secs(1), |(_, before)| (before * 2).min(LONGEST_WAIT));
        self.pace.retry = Some((Instant::now() + wait, wait));
        self.board.notes().away = true;
        if self.pace.told.is_none_or(|at| at.elapsed() > TELL_AGAIN) {
            self.pace.told = Some(Instant::now());
            let severity = if is_passing(&error) { Severity::Warning } else { Severity::Error };
            self.tell("vault-away", severity, format!("the vault takes nothing now, and is tried again: {error}"));
        }
        Ok(())
    }

    pub(super) fn back(&mut self) {
        if self.pace.retry.take().is_some() {
            self.board.notes().away = false;
            self.pace.told = None;
            self.tell("vault-back", Severity::Info, "the vault takes pieces again".to_owned());
        }
    }

    /// Whether all is shipped that the server had when it was reached.
    fn reached(&self) -> bool {
        let target = self.board.notes().target;
        target.is_some_and(|target| self.shipped().is_some_and(|shipped| shipped >= target))
    }

    pub(super) fn event(&self, event: &'static str, severity: Severity, message: String) -> Event {
        Event::new(self.clock.now(), &self.name, event, severity, message)
    }

    pub(super) fn send(&self, event: &Event) {
        self.observer.event(event);
    }

    fn tell(&self, event: &'static str, severity: Severity, message: String) {
        self.send(&self.event(event, severity, message));
    }
}
