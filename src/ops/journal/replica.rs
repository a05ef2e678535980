//! Keeping the receiver of a `MariaDB` server's binary log running: finding the server, where to go on, and telling how far
//! the vault is behind it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    super::{OpsError, Result},
    board::Board,
    event::{Event, Observer},
    log::PIECE,
};
use crate::{
    model::{
        Clock, Name, Severity,
        journal::{Line, Position},
        size,
    },
    source::{
        SourceError,
        journal::{JournalOptions, Shipped},
        mariadb::binlog::{Follower, Log, Server, Spool, end_orphans, file_of, split},
        receiver::Receiver,
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
/// Where the first event of a file begins.
const FIRST: u64 = 4;
/// So often in a row a receiver may end at once, before it is told to begin with the whole file.
const HASTY: u32 = 2;
/// So often in a row nothing may come though the server goes on, before the connection is taken for dead.
const SILENT: u32 = 2;

/// The keeper of one source.
pub(super) struct Replica {
    pub(super) name: Name,
    pub(super) options: JournalOptions,
    /// What the server knows this replica by.
    pub(super) number: u32,
    pub(super) until_idle: bool,
    pub(super) server: Server,
    pub(super) spool: Spool,
    pub(super) board: Arc<Board>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) clock: Arc<dyn Clock>,
    /// The line that the journal is of, if it has begun.
    pub(super) line: Option<Line>,
    pub(super) state: State,
}

#[derive(Default)]
pub(super) struct State {
    receiver: Option<Receiver>,
    wait: Duration,
    again: Option<Instant>,
    checked: Option<Instant>,
    /// How often in a row a receiver ended at once.
    hasty: u32,
    /// How far the server was at the last check, and how much had come.
    seen: Option<(Position, u64)>,
    /// How often in a row nothing had come though the server had gone on.
    silent: u32,
    told: Option<(&'static str, Instant)>,
}

impl Replica {
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
                self.ended(&said, age);
            }
        } else if !paused && self.state.again.is_none_or(|at| at <= Instant::now()) {
            match self.connect() {
                Ok(()) => {}
                Err(OpsError::Source(error)) => self.unreachable(&error)?,
                Err(error) => return Err(error),
            }
            self.board.notes().tried = true;
        }
        self.tell_moment();
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
        let log = self.log()?;
        {
            let mut notes = self.board.notes();
            notes.line = Some(log.line.clone());
            notes.target.get_or_insert(Shipped { timeline: 0, to: log.newest.0 });
            if !notes.asked {
                // Where to go on, the vault says, which the shipper asks.
                drop(notes);
                self.board.wake();
                return Ok(());
            }
        }
        if let Some(unsound) = log.unsound() {
            self.tell_now_and_then("binlog-format", Severity::Warning, unsound);
        }
        let at = self.begin(&log)?;
        let receiver = self.server.receive(&log, at, &self.spool, self.number)?;
        self.state.receiver = Some(receiver);
        (self.state.seen, self.state.silent) = (None, 0);
        self.board.notes().receiving = true;
        Ok(())
    }

    /// What the server says of its log, if it is the one that the journal is of.
    fn log(&mut self) -> Result<Log> {
        let place = self.server.place();
        let log = self.server.log()?.ok_or_else(|| OpsError::Request {
            what: format!("{place} writes no binary log, so there is nothing that {} could be recovered by", self.name),
            next: "set log_bin and a server_id in the [mariadbd] group of its configuration, and start it again"
                .to_owned(),
        })?;
        let known = self.line.get_or_insert_with(|| log.line.clone());
        if *known == log.line {
            return Ok(log);
        }
        let what = format!(
            "{place} is another server: its log is {}, and the journal of {} is of {known}; nothing was received",
            log.line, self.name
        );
        let next = "if the server was recreated or replaced, give it a [[source]] of another name, or \
                    use --new-cluster once; otherwise correct the address of the source";
        Err(OpsError::Request { what, next: next.to_owned() })
    }

    /// Where to begin: behind what is here or in the vault, or at the oldest that the server has, if that is younger. A journal
    /// that has nothing begins with the file that the server writes to.
    fn begin(&self, log: &Log) -> Result<(u32, u64)> {
        let (last, written) = split(log.newest);
        let oldest = log.files.first().map_or(last, |(number, _)| *number);
        let shipped = self.board.notes().shipped.map(|shipped| shipped.to);
        let newest = Follower::new(self.spool.clone(), PIECE).newest(shipped)?;
        let Some((number, offset)) = newest.map(|at| split(Position(at))) else { return Ok((last, FIRST)) };
        if number > last || (number == last && offset > written) {
            return Err(self.reset(log, Position(newest.unwrap_or_default())));
        }
        let tail = self.board.notes().tail.filter(|tail| Some(tail.to.0) == newest).map(|tail| split(tail.from));
        // The end of what was shipped comes once more, and tells whether it is the same log still.
        let again = u64::from(tail.is_some());
        let (number, offset) = tail.unwrap_or((number, offset));
        if number < oldest {
            return Ok((oldest, FIRST));
        }
        // It may have been cut within an event, or the server may have lost the end of a file in a crash. Where that is missing, the
        // beginning of the file tells whether it is the same.
        let length = log.files.iter().find(|(file, _)| *file == number).map_or(0, |(_, length)| *length);
        Ok((number, if self.state.hasty >= HASTY || offset + again > length { FIRST } else { offset.max(FIRST) }))
    }

    /// The log that the vault has is longer than the server's.
    fn reset(&self, log: &Log, at: Position) -> OpsError {
        let what = format!(
            "the log of {} is at {}, and the journal of {} at {} of the same line: the server's log was reset (RESET MASTER, or another server with the same server_id); nothing was received",
            self.server.place(),
            log.line.say(log.newest),
            self.name,
            log.line.say(at)
        );
        let next = "give the source another name, or the server a server_id that no other one had, and take a new base";
        OpsError::Request { what, next: next.to_owned() }
    }

    /// A receiver ended by itself.
    fn ended(&mut self, said: &str, age: Duration) {
        if self.board.is_stopped() {
            return;
        }
        if age >= SOUND {
            (self.state.wait, self.state.hasty) = (Duration::ZERO, 0);
        } else {
            self.state.hasty += 1;
        }
        self.back_off();
        self.tell("receiver-ended", Severity::Warning, format!("{said}; it is started again"));
    }

    fn unreachable(&mut self, error: &SourceError) -> Result<()> {
        if self.until_idle {
            return Err(SourceError { what: error.what.clone(), object: error.object.clone(), source: None }.into());
        }
        self.back_off();
        self.tell_now_and_then("server-away", Severity::Error, format!("{error}; it is tried again"));
        Ok(())
    }

    fn back_off(&mut self) {
        self.state.wait = (self.state.wait * 2).clamp(Duration::from_secs(1), LONGEST_WAIT);
        self.state.again = Some(Instant::now() + self.state.wait);
    }

    /// Looks how far the vault is behind the server, and whether the receiver still hears from it.
    fn check(&mut self) -> Result<()> {
        if self.state.receiver.is_none() && !self.board.notes().paused {
            return Ok(());
        }
        let Ok(Some(log)) = self.server.log() else { return Ok(()) };
        if self.state.receiver.is_some() {
            let here = self.spool.newest_bytes()?;
            let stuck = self.state.seen.is_some_and(|(was, came)| was < log.newest && came == here);
            self.state.silent = if stuck { self.state.silent + 1 } else { 0 };
            self.state.seen = Some((log.newest, here));
            if self.state.silent >= SILENT {
                self.stop();
                let message = "nothing has come though the server goes on: the connection is made again".to_owned();
                self.tell("receiver-ended", Severity::Warning, message);
            }
        }
        let shipped = self.board.notes().shipped.map(|shipped| Position(shipped.to));
        let lag = shipped.map_or(0, |at| log.behind(at));
        if lag >= self.options.max_lag {
            let oldest = log.files.first().map(|(number, _)| file_of(&log.base, *number)).unwrap_or_default();
            let message = format!(
                "{} of the log are not in the vault yet, more than `max_lag` ({}): the newest there is {}, the server is at {}, \
                 and still has its files from {oldest} on: restore access to the vault before it removes them",
                size::human(lag),
                size::human(self.options.max_lag),
                shipped.map_or_else(String::new, |at| log.line.say(at)),
                log.line.say(log.newest),
            );
            self.tell_now_and_then("lag", Severity::Error, message);
        }
        Ok(())
    }

    fn tell(&mut self, event: &'static str, severity: Severity, message: String) {
        self.observer.event(&Event::new(self.clock.now(), &self.name, event, severity, message));
    }

    /// The same, not again while it stays so.
    fn tell_now_and_then(&mut self, event: &'static str, severity: Severity, message: String) {
        if self.state.told.is_some_and(|(told, at)| told == event && at.elapsed() < TELL_AGAIN) {
            return;
        }
        self.state.told = Some((event, Instant::now()));
        self.tell(event, severity, message);
    }
}
