//! What the shipper asks of what a receiver wrote, whatever server it is of.

use std::time::Duration;

use super::{
    super::{OpsError, Result},
    board::{Board, Seed},
};
use crate::{
    catalog::{JournalNote, Tail},
    codec::hash::{Hasher, hash},
    model::journal::{Line, Position},
    source::{
        journal::{Joint, Shipped},
        mariadb::binlog,
        postgres::journal::{self as wal, Held},
    },
};

/// The most bytes of the log in one piece.
pub(super) const PIECE: u64 = 16 << 20;
/// In so many timelines it is looked for the newest piece.
const TIMELINES: usize = 16;

/// The server counts the header of the page that comes next, and the log ends before it.
const HEADER: u64 = 64;
/// So long what the server said last is believed.
const BELIEVED: Duration = Duration::from_mins(1);

/// A part of the log that becomes a piece.
pub(super) struct Part<H> {
    /// Where it is.
    pub(super) held: H,
    /// Its timeline; 0 where there are none.
    pub(super) timeline: u32,
    pub(super) from: u64,
    pub(super) to: u64,
    /// How much it is.
    pub(super) bytes: u64,
}

/// What a look at the spool gives.
pub(super) struct Look<H> {
    /// What can be shipped, in the order of the log.
    pub(super) ready: Vec<Part<H>>,
    /// What lies between what was shipped and what comes next, and is not here.
    pub(super) gap: Option<(Shipped, Shipped)>,
    /// A file that is no whole log, and why.
    pub(super) broken: Option<(String, String)>,
    /// Bytes that were not shipped.
    pub(super) unshipped: u64,
}

/// The spool of a source. What has no meaning for a server has a default here.
pub(super) trait Log: Send {
    /// Where a part is.
    type Held: Send + Sync;

    /// What holds the log that finds no room here.
    const HOLDS: &'static str;
    /// How a log becomes one of another history.
    const OTHERWISE: &'static str;

    /// Learns what must be known before anything can be shipped. Says whether it is.
    fn learn(&mut self, board: &Board, note: &mut JournalNote) -> Result<bool>;

    /// The line of a timeline.
    fn line(&self, note: &JournalNote, timeline: u32) -> Result<Line>;

    /// The timelines that the vault may have the newest piece in, the youngest first.
    fn timelines(&self, _board: &Board) -> Result<Vec<u32>> {
        Ok(vec![0])
    }

    /// Looks what is new beyond `shipped`; of what grows, if `growing`.
    fn look(&mut self, shipped: Option<Shipped>, growing: bool) -> Result<Look<Self::Held>>;

    /// Reads a part; nothing if it can't be found any more, which another look tells.
    fn read(&self, part: &Part<Self::Held>) -> Result<Option<Vec<u8>>>;

    /// Lets go of what was shipped.
    fn clear(&mut self, shipped: Shipped) -> Result<()>;

    /// The timelines whose histories are here.
    fn histories(&self) -> Result<Vec<u32>> {
        Ok(Vec::new())
    }

    /// The history of a timeline.
    fn history(&self, _timeline: u32) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }

    /// The end of what was shipped, with where it begins, at most so many bytes, if the server has no more than that.
    fn still(&self, _board: &Board, _shipped: Shipped, _bytes: u64) -> Result<Option<(u64, Vec<u8>)>> {
        Ok(None)
    }

    /// The end of what there is once a part is put, by which it can be told whether what comes later goes on from it.
    fn tail(&mut self, part: &Part<Self::Held>, log: &[u8]) -> Result<Option<Tail>>;

    /// Whether what is here goes on from what was shipped, whose end was this.
    fn joint(&self, shipped: Shipped, tail: &Tail) -> Result<Joint>;

    /// Whether what came broke off, and what came then is of another history.
    fn broke_off(&self) -> Result<bool> {
        Ok(false)
    }

    /// Begins anew where the keeper wants that. Says whether it wants nothing.
    fn take_seed(&mut self, _board: &Board) -> Result<bool> {
        Ok(true)
    }
}

/// The log of a `PostgreSQL` server.
pub(super) struct Wal {
    spool: wal::Spool,
    /// What follows the spool, once it is known how large segments are.
    follower: Option<wal::Follower>,
    /// What was shipped of a segment, hashed: its timeline, where it begins, and up to where.
    hashed: Option<((u32, u64, u64), Hasher)>,
}

impl Wal {
    pub(super) const fn new(spool: wal::Spool) -> Self {
        Self { spool, follower: None, hashed: None }
    }

    fn following(&self) -> Result<&wal::Follower> {
        self.follower.as_ref().ok_or(OpsError::Defect("what follows a spool"))
    }
}

impl Log for Wal {
    type Held = Held;

    const HOLDS: &'static str = "the slot holds the rest on the server";
    const OTHERWISE: &'static str =
        "The server was rolled back (a snapshot of its machine, or a data directory that was copied back)";

    fn learn(&mut self, board: &Board, note: &mut JournalNote) -> Result<bool> {
        if self.follower.is_some() {
            return Ok(true);
        }
        let server = board.notes().server.clone();
        let known = match server {
            Some(server) => Some((server.system, server.segment)),
            // The server may never come back, and what is here is to get into the vault all the same.
            None => self.spool.geometry()?.map(|geometry| (geometry.system, geometry.segment)),
        };
        let Some((system, segment)) = known else { return Ok(false) };
        note.system.get_or_insert(system);
        self.follower = Some(wal::Follower::new(self.spool.clone(), segment));
        Ok(true)
    }

    fn line(&self, note: &JournalNote, timeline: u32) -> Result<Line> {
        let system = note.system.ok_or(OpsError::Defect("the journal's memory"))?;
        Ok(Line::postgres(system, timeline))
    }

    fn timelines(&self, board: &Board) -> Result<Vec<u32>> {
        let server = board.notes().server.as_ref().map(|server| server.timeline);
        let size = self.following()?.segment_size();
        let held = self.spool.segments(size)?.last().map(|held| held.timeline);
        // Of a server that was promoted, the log of the timeline before may be the newest that is there.
        Ok((1..=server.or(held).unwrap_or(1)).rev().take(TIMELINES).collect())
    }

    fn look(&mut self, shipped: Option<Shipped>, growing: bool) -> Result<Look<Held>> {
        let follower = self.follower.as_mut().ok_or(OpsError::Defect("what follows a spool"))?;
        let wal::Look { ready, gap, broken, unshipped, .. } = follower.look(shipped, growing)?;
        let mut parts = Vec::new();
        for wal::Ready { held, from, to } in ready {
            let starts = (0..).map(|n| from + n * PIECE).take_while(|at| *at < to);
            parts.extend(starts.map(|from| {
                let to = to.min(from + PIECE);
                Part { timeline: held.timeline, held: held.clone(), from, to, bytes: to - from }
            }));
        }
        let broken = broken.map(|(held, broken)| (format!("segment {}", held.name), broken.to_string()));
        Ok(Look { ready: parts, gap, broken, unshipped })
    }

    fn read(&self, part: &Part<Held>) -> Result<Option<Vec<u8>>> {
        let ready = wal::Ready { held: part.held.clone(), from: part.from, to: part.to };
        Ok(self.following()?.read(&ready)?)
    }

    fn clear(&mut self, shipped: Shipped) -> Result<()> {
        Ok(self.following()?.clear(shipped)?)
    }

    fn histories(&self) -> Result<Vec<u32>> {
        Ok(self.spool.histories()?.into_iter().collect())
    }

    fn history(&self, timeline: u32) -> Result<Option<Vec<u8>>> {
        Ok(self.spool.history(timeline)?)
    }

    fn still(&self, board: &Board, shipped: Shipped, bytes: u64) -> Result<Option<(u64, Vec<u8>)>> {
        let all = {
            let notes = board.notes();
            let ends = |(timeline, flushed): (u32, u64)| timeline == shipped.timeline && flushed <= shipped.to + HEADER;
            let heard = notes.heard.is_some_and(|at| at.elapsed() < BELIEVED);
            heard && notes.server.as_ref().is_some_and(|server| ends((server.timeline, server.flushed)))
        };
        if all { Ok(self.following()?.end(shipped, bytes)?) } else { Ok(None) }
    }

    fn tail(&mut self, part: &Part<Held>, log: &[u8]) -> Result<Option<Tail>> {
        // What is received again begins with the segment; the end of one may be empty, and the same in any history.
        let start = part.held.start;
        let place = (part.timeline, start, part.from);
        let known = self.hashed.take().filter(|(known, _)| *known == place).map(|(_, hasher)| hasher);
        let hasher = match known {
            Some(hasher) => Some(hasher),
            None => self.spool.hasher(&part.held, start, part.from)?,
        };
        // It may have been renamed, and then the next part tells.
        let Some(mut hasher) = hasher else { return Ok(None) };
        hasher.update(log);
        let hash = hasher.finish();
        self.hashed = Some(((part.timeline, start, part.to), hasher));
        let (from, to) = (Position(start), Position(part.to));
        Ok(Some(Tail { timeline: part.timeline, from, to, hash, made: None }))
    }

    fn joint(&self, shipped: Shipped, tail: &Tail) -> Result<Joint> {
        Ok(self.following()?.joint(shipped, tail.from.0, &tail.hash)?)
    }

    fn take_seed(&mut self, board: &Board) -> Result<bool> {
        let wanted = board.notes().seed;
        let Some(Seed { timeline, start, size }) = wanted else { return Ok(true) };
        match &mut self.follower {
            Some(follower) => follower.empty()?,
            None => wal::Follower::new(self.spool.clone(), size).empty()?,
        }
        self.spool.seed(timeline, start, size)?;
        board.notes().seed = None;
        board.wake();
        Ok(false)
    }
}

/// The binary log of a `MariaDB` server. It has one line and no timelines.
pub(super) struct Binlog {
    follower: binlog::Follower,
    /// The number of a file, and when the server made it.
    made: Option<(u64, u32)>,
}

impl Binlog {
    pub(super) fn new(spool: binlog::Spool) -> Self {
        Self { follower: binlog::Follower::new(spool, PIECE), made: None }
    }
}

impl Log for Binlog {
    type Held = binlog::Ready;

    const HOLDS: &'static str = "the server has the rest in its log files";
    const OTHERWISE: &'static str = "The server's log was reset (RESET MASTER), or the server was rolled back (a snapshot of its machine, \
                                     or a data directory that was copied back)";

    fn learn(&mut self, board: &Board, note: &mut JournalNote) -> Result<bool> {
        if note.line.is_none() {
            note.line.clone_from(&board.notes().line);
        }
        if self.made.is_none() {
            self.made = note.tail.and_then(|tail| Some((tail.from.0 >> 32, tail.made?)));
        }
        Ok(note.line.is_some())
    }

    fn line(&self, note: &JournalNote, _timeline: u32) -> Result<Line> {
        note.line.clone().ok_or(OpsError::Defect("the journal's memory"))
    }

    fn look(&mut self, shipped: Option<Shipped>, growing: bool) -> Result<Look<binlog::Ready>> {
        let binlog::Look { ready, gap, broken, unshipped } = self.follower.look(shipped, growing)?;
        let part = |ready: binlog::Ready| {
            let (from, to, bytes) = (ready.from, ready.to, ready.bytes);
            Part { held: ready, timeline: 0, from, to, bytes }
        };
        Ok(Look { ready: ready.into_iter().map(part).collect(), gap, broken, unshipped })
    }

    fn read(&self, part: &Part<binlog::Ready>) -> Result<Option<Vec<u8>>> {
        Ok(self.follower.read(&part.held)?)
    }

    fn clear(&mut self, shipped: Shipped) -> Result<()> {
        Ok(self.follower.clear(shipped)?)
    }

    fn tail(&mut self, part: &Part<binlog::Ready>, log: &[u8]) -> Result<Option<Tail>> {
        let number = part.from >> 32;
        if let Some(made) = binlog::made(log) {
            self.made = Some((number, made));
        }
        let made = self.made.filter(|(of, _)| *of == number).map(|(_, made)| made);
        let tail = |(at, event)| {
            let (from, to) = (Position(number << 32 | at), Position(part.to));
            Tail { timeline: 0, from, to, hash: hash(event), made }
        };
        Ok(binlog::last_event(log).map(tail))
    }

    fn joint(&self, _shipped: Shipped, tail: &Tail) -> Result<Joint> {
        Ok(self.follower.joint(tail.from.0, tail.made, &|event: &[u8]| hash(event) == tail.hash)?)
    }

    fn broke_off(&self) -> Result<bool> {
        Ok(self.follower.broke_off()?.is_some())
    }
}
