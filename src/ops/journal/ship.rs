//! Shipping: what is whole in the spool goes into the vault, once, in order, several pieces at a time.

use std::{
    collections::VecDeque,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use super::{
    super::{OpsError, Result},
    board::Board,
    event::{Event, Observer},
    log::{Log, Look, PIECE, Part},
    report::SourceReport,
    sink::{Sink, is_passing, may_pass},
};
use crate::{
    catalog::{JournalMemory, JournalNote},
    format::journal::Effort,
    model::{
        Clock, Name, Severity,
        journal::{Line, Position, Span},
        size,
    },
    source::journal::{JournalOptions, Shipped},
    vault::journal::Stretch,
};

/// So many pieces are put at once, and are in memory: 16 MiB of log each, and what becomes of it.
const AT_ONCE: usize = 6;
/// How often it is noted how far it got while more follows.
const NOTE: Duration = Duration::from_secs(1);
/// How often the spool is looked at.
const POLL: Duration = Duration::from_millis(200);
/// How long it may take to ship what is left when it was asked to stop.
const DRAIN: Duration = Duration::from_secs(25);
/// How often it is told that the vault takes nothing.
const TELL_AGAIN: Duration = Duration::from_mins(5);
/// How often what grows is shipped where somebody waits for the end.
const SOON: Duration = Duration::from_secs(1);
/// The longest time between two tries to reach the vault.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The shipper of one source.
pub(super) struct Shipper<L> {
    pub(super) name: Name,
    pub(super) options: JournalOptions,
    pub(super) until_idle: bool,
    pub(super) sink: Arc<dyn Sink>,
    pub(super) memory: JournalMemory,
    pub(super) note: JournalNote,
    pub(super) log: L,
    pub(super) board: Arc<Board>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) report: SourceReport,
    pub(super) pace: Pace,
    /// The last file that was told to be damaged.
    pub(super) damaged: Option<String>,
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
    /// When it was noted last how far it got.
    noted: Option<Instant>,
}

impl Pace {
    pub(super) const fn new() -> Self {
        Self { flushed: None, retry: None, stopping: None, told: None, unwritten: None, put: None, noted: None }
    }
}

impl<L: Log> Shipper<L> {
    /// Ships until it is asked to stop, or all that there was is shipped if that was asked for.
    pub(super) fn run(mut self) -> Result<SourceReport> {
        {
            let mut notes = self.board.notes();
            (notes.shipped, notes.asked) = (self.shipped(), self.note.shipped.is_some());
            notes.tail = self.note.tail;
        }
        loop {
            if self.board.is_stopped() && self.pace.stopping.is_none() {
                self.pace.stopping = Some(Instant::now());
            }
            let (before, flushed) = (self.report.pieces, self.pace.flushed);
            let idle = if !self.log.learn(&self.board, &mut self.note)? {
                self.log.take_seed(&self.board)?
            } else if self.ask()? {
                self.turn()?
            } else {
                false
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
            } else if self.until_idle && (idle || self.pace.flushed != flushed) && self.reached() {
                // What grew was looked at, and histories are put.
                self.board.stop();
            }
            self.observer.alive();
            if self.report.pieces == before {
                self.board.wait(POLL);
            }
        }
        Ok(self.report)
    }

    /// Whether the vault is not tried now.
    pub(super) fn waits(&self) -> bool {
        self.pace.retry.is_some_and(|(at, _)| Instant::now() < at)
    }

    pub(super) fn shipped(&self) -> Option<Shipped> {
        self.note.shipped.map(|(timeline, to)| Shipped { timeline, to: to.0 })
    }

    pub(super) fn line(&self, timeline: u32) -> Result<Line> {
        self.log.line(&self.note, timeline)
    }

    /// Looks at the spool and ships what is due. Says whether nothing is left that could be shipped.
    pub(super) fn turn(&mut self) -> Result<bool> {
        // Who waits for the end of it wants that soon, and no object for each few records that come.
        let every = if self.until_idle { self.options.flush.min(SOON) } else { self.options.flush };
        let flush = self.pace.flushed.is_none_or(|at| at.elapsed() >= every);
        let asked = self.pace.stopping.is_some() || self.board.notes().seed.is_some();
        let growing = flush || asked;
        let mut look = self.log.look(self.shipped(), growing)?;
        if growing && !look.ready.is_empty() && !self.waits() && self.ask_for_moment() {
            // What it tells is of use only with all that came until then.
            look = self.log.look(self.shipped(), growing)?;
        }
        if growing {
            self.pace.flushed = Some(Instant::now());
            self.histories()?;
        }
        self.tell_room(&look);
        // What is of another history may be no log at all behind what was walked over, so it is looked at also where nothing is ready.
        let next = look.ready.first().map(|first| first.timeline);
        let next = next.or_else(|| self.shipped().filter(|_| growing).map(|shipped| shipped.timeline));
        let joined = next.filter(|_| !self.waits()).map_or(Ok(true), |next| self.joins(next))?;
        if let Some((file, broken)) = look.broken.take()
            && self.damaged.as_ref() != Some(&file)
        {
            // The server may have let go of it, and a later version may write what is not understood here.
            let what = format!(
                "{file} came as no whole log, and is stored as it came: {broken}. Recovery may end there: take a new \
                 base now (strongroom backup {})",
                self.name
            );
            self.tell("damaged", Severity::Error, what);
            self.damaged = Some(file);
        }
        if look.ready.is_empty() {
            let idle = growing && self.log.take_seed(&self.board)?;
            if idle {
                self.tell_still()?;
            }
            return Ok(idle);
        }
        if self.waits() {
            return Ok(false);
        }
        if !joined {
            return Ok(false);
        }
        if let Some((before, after)) = look.gap
            && !self.gap(before, after)?
        {
            return Ok(false);
        }
        match self.ship(look.ready) {
            Ok(()) => self.back(),
            Err(error) => self.away(error)?,
        }
        Ok(false)
    }

    /// Puts pieces until all is put, or something fails: several at once, acknowledged in the order of the log. What becomes
    /// complete meanwhile follows at once.
    fn ship(&mut self, parts: Vec<Part<L::Held>>) -> Result<()> {
        let sink = Arc::clone(&self.sink);
        let mut failed = None;
        thread::scope(|scope| {
            let (mut rest, mut flying) = (VecDeque::from(parts), VecDeque::new());
            let (mut last, mut bytes) = (None, 0);
            loop {
                while failed.is_none() && flying.len() < AT_ONCE {
                    if rest.is_empty() {
                        rest = self.more(last, bytes)?;
                    }
                    let Some(piece) = rest.pop_front() else { break };
                    let line = self.line(piece.timeline)?;
                    let Some(log) = self.log.read(&piece)? else {
                        // It has another name by now, which another look gives.
                        (rest, last) = (VecDeque::new(), None);
                        break;
                    };
                    last = Some(Shipped { timeline: piece.timeline, to: piece.to });
                    bytes += piece.bytes;
                    let span = Span { from: Position(piece.from), to: Position(piece.to) };
                    let here = (rest.len() + flying.len()) as u64 * PIECE;
                    let effort = if self.is_behind(&piece, here) { Effort::Less } else { Effort::Usual };
                    let (to, of) = (Arc::clone(&sink), line.clone());
                    let covers = self.covers(piece.timeline, piece.to);
                    let tail = self.log.tail(&piece, &log)?;
                    let stretch = Stretch { span, log: log.into(), hash: None, covers };
                    flying.push_back((line, piece, tail, scope.spawn(move || to.put(&of, stretch, effort))));
                }
                let Some((line, piece, tail, thread)) = flying.pop_front() else { break };
                bytes -= piece.bytes;
                match thread.join().unwrap_or(Err(OpsError::Defect("a thread that ships a piece"))) {
                    Ok(stored) if failed.is_none() => {
                        self.acknowledged(&line, &piece, stored);
                        self.note.tail = tail;
                        // What is not noted is put again after a crash, which does no harm.
                        if self.pace.noted.is_none_or(|at| at.elapsed() > NOTE) {
                            self.note_down()?;
                        }
                    }
                    // It is in the vault, and so will be a longer one: that does no harm.
                    Ok(_) => {}
                    Err(error) => drop(failed.get_or_insert(error)),
                }
                self.observer.alive();
            }
            self.note_down()
        })?;
        failed.map_or(Ok(()), Err)
    }

    /// Whether much waits behind a piece: in the spool, where so much does, or on the server.
    fn is_behind(&self, piece: &Part<L::Held>, here: u64) -> bool {
        let there = self.board.notes().server.as_ref().map_or(0, |server| {
            if server.timeline == piece.timeline { server.flushed.saturating_sub(piece.to) } else { 0 }
        });
        here.max(there) > AT_ONCE as u64 * PIECE
    }

    /// What became complete behind the `last` that is being put: to wait until all of that is put would leave the vault with
    /// nothing to do. Nothing where something else is due or is to be told first, for which another turn is there.
    fn more(&mut self, last: Option<Shipped>, flying: u64) -> Result<VecDeque<Part<L::Held>>> {
        let due = self.pace.flushed.is_none_or(|at| at.elapsed() >= self.options.flush);
        if last.is_none() || due || self.board.is_stopped() || self.board.notes().seed.is_some() {
            return Ok(VecDeque::new());
        }
        let mut look = self.log.look(last, false)?;
        if look.gap.is_some() || look.broken.is_some() || self.log.broke_off()? {
            return Ok(VecDeque::new());
        }
        look.unshipped += flying;
        self.tell_room(&look);
        Ok(look.ready.into())
    }

    fn acknowledged(&mut self, line: &Line, piece: &Part<L::Held>, stored: u64) {
        let to = Position(piece.to);
        if self.note.shipped.is_some_and(|(timeline, _)| timeline != piece.timeline) {
            self.tell("timeline", Severity::Info, format!("goes on in {line}"));
        }
        self.note.shipped = Some((piece.timeline, to));
        self.pace.put = Some(Instant::now());
        let span = Span { from: Position(piece.from), to };
        let SourceReport { pieces, bytes, line: on, to: newest, .. } = &mut self.report;
        *pieces += 1;
        *bytes += piece.bytes;
        (*on, *newest) = (Some(line.clone()), Some(to));
        let message = format!("{} up to {} ({} stored)", size::human(piece.bytes), line.say(to), size::human(stored));
        self.send(&self.event("shipped", Severity::Info, message).about(line, span).of(stored));
    }

    /// Remembers how far it got, and lets go of what is shipped.
    fn note_down(&mut self) -> Result<()> {
        self.pace.noted = Some(Instant::now());
        // On a disk that is full only this makes room again. What is not remembered, the vault is asked.
        if let Err(error) = self.write_note()
            && self.pace.unwritten.is_none_or(|at| at.elapsed() > TELL_AGAIN)
        {
            self.pace.unwritten = Some(Instant::now());
            self.tell("unwritten", Severity::Error, format!("{error}; it goes on without"));
        }
        {
            let mut notes = self.board.notes();
            (notes.shipped, notes.tail) = (self.shipped(), self.note.tail);
        }
        if let Some(shipped) = self.shipped() {
            self.log.clear(shipped)?;
        }
        Ok(())
    }

    pub(super) fn write_note(&self) -> Result<()> {
        let failed =
            |source| OpsError::Io { what: "can't write the journal's memory", path: self.memory.spool(), source };
        self.memory.write(&self.note).map_err(failed)
    }

    /// Ships histories of timelines that are new.
    fn histories(&mut self) -> Result<()> {
        if self.pace.retry.is_some() {
            return Ok(());
        }
        for timeline in self.log.histories()? {
            if self.note.histories.contains(&timeline) {
                continue;
            }
            let Some(history) = self.log.history(timeline)? else { continue };
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

    /// Stops the receiver while there is no more room, and lets it go on when there is.
    fn tell_room(&mut self, look: &Look<L::Held>) {
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
                format!("{waiting} wait to be stored, which is all that `spool` allows: {}", L::HOLDS)
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
    /// the server.
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
