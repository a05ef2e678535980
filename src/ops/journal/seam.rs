//! Where the log that comes meets what was shipped. A server that was rolled back (a snapshot of a machine, a data directory that
//! was copied back) has the same name and the same timeline, and another history: what it writes must not go on from what is in
//! the vault. So the end of what was shipped is remembered, and what comes is held against it.

use super::{
    super::{OpsError, Result},
    keeper::Keeper,
    log::Log,
    ship::Shipper,
};
use crate::{
    catalog::Tail,
    model::{
        Severity,
        journal::{Line, Position},
    },
    source::{
        SourceError,
        journal::{Joint, Shipped},
        postgres::journal::{Again, Held, Identity, SegmentName},
    },
};

/// Where in a position the offset within a file is.
const FILE: u64 = 0xffff_ffff;
/// What to do about a log that is of another history.
const NEXT: &str = "give the server that goes on a [[source]] of another name, so that its log is not taken for the other one, \
                    and take a new base there (strongroom backup); what is in the vault stays as it is. If the wrong server \
                    answers, correct its address";

impl<L: Log> Shipper<L> {
    /// Whether what is here may be shipped: it goes on from what was. Fails if it is another history.
    pub(super) fn joins(&mut self, next: u32) -> Result<bool> {
        if self.log.broke_off()? {
            return Err(self.other(next)?);
        }
        let sure = self.board.notes().sure_from;
        let Some(shipped) = self.shipped().filter(|shipped| shipped.timeline == next) else { return Ok(true) };
        if sure.is_some_and(|sure| shipped.to >= sure) {
            return Ok(true);
        }
        let tail = self.note.tail.as_ref().filter(|tail| (tail.timeline, tail.to.0) == (shipped.timeline, shipped.to));
        let joint = tail.map_or(Ok(Joint::Unknown), |tail| self.log.joint(shipped, tail))?;
        match joint {
            Joint::Same | Joint::Unknown => Ok(true),
            Joint::NotYet => Ok(false),
            // A file that ended in good order loses nothing.
            Joint::Lost if shipped.to & FILE != 0 => self.lost(shipped),
            Joint::Other | Joint::Lost => Err(self.other(shipped.timeline)?),
        }
    }

    /// What comes is of another history than what was shipped.
    fn other(&self, timeline: u32) -> Result<OpsError> {
        let line = self.line(timeline)?;
        let before = self.shipped().map_or_else(String::new, |shipped| {
            format!(": before {} it is not what was stored", line.say(Position(shipped.to)))
        });
        let what = format!(
            "the log that comes for {} is of another history of {line}{before}. {}; nothing of it was stored",
            self.name,
            L::OTHERWISE
        );
        Ok(OpsError::Request { what, next: NEXT.to_owned() })
    }

    /// The end of a file that was shipped is not in the log of the server any more, which goes on in the next: it crashed, and what it
    /// had not synced was lost. What was committed there is in the vault, and what follows does not go on from that.
    fn lost(&mut self, shipped: Shipped) -> Result<bool> {
        let line = self.line(shipped.timeline)?;
        let message = format!(
            "the server has lost the end of a file of its log, which was stored up to {}: it crashed without having synced that \
             (`sync_binlog = 1`)",
            line.say(Position(shipped.to))
        );
        self.send(&self.event("lost-end", Severity::Error, message));
        let next = Shipped { to: (shipped.to | FILE) + 1, ..shipped };
        if self.gap(shipped, next)? {
            self.note.tail = None;
            self.write_note()?;
        }
        let mut notes = self.board.notes();
        (notes.shipped, notes.tail) = (self.shipped(), self.note.tail);
        Ok(false)
    }
}

/// What the server has of a segment that came of it before.
enum Had {
    Same,
    Other,
    /// It can't be told, and why.
    Unknown(String),
}

impl Keeper {
    /// Fails if the last segment that came as a whole is another one on the server by now. It is asked for once more, which nothing
    /// else would: the receiver goes on behind it. Where the server has it no more, it is taken for the same.
    pub(super) fn must_have_written(&mut self, identity: &Identity) -> Result<()> {
        let size = identity.segment;
        let held = self.spool.segments(size)?.into_iter().rfind(|held| !held.partial);
        let tail = self.board.notes().tail.filter(|tail| tail.to.0.is_multiple_of(size) && tail.to.0 >= size);
        let place = |held: &Held| (held.timeline, held.start);
        let ended = |tail: &Tail| (tail.timeline, tail.to.0 - size);
        let Some((timeline, start)) = held.as_ref().map(place).max(tail.as_ref().map(ended)) else { return Ok(()) };
        if !self.has(identity, timeline, start + size)? {
            return Ok(());
        }
        let held = held.filter(|held| place(held) == (timeline, start));
        let tail = tail.filter(|tail| ended(tail) == (timeline, start));
        match self.had(identity, (timeline, start), held.as_ref(), tail.as_ref())? {
            Had::Same => Ok(()),
            Had::Unknown(why) => {
                let name = SegmentName::of(timeline, start, size);
                let message = format!(
                    "whether the server still has the log that came of it can't be told: segment {name} was asked for once more, and \
                     {why}. It is taken for the same (`wal_keep_size` keeps the last segments on the server)"
                );
                self.tell_now_and_then("unproven", Severity::Info, "", message);
                Ok(())
            }
            Had::Other => {
                let line = Line::postgres(identity.system, timeline);
                let what = format!(
                    "the log of {} is of another history of {line}: before {} it is not what came of it. The server was rolled back (a \
                     snapshot of its machine, or a data directory that was copied back); nothing of it was received",
                    self.server.place(),
                    line.say(Position(start + size))
                );
                Err(OpsError::Request { what, next: NEXT.to_owned() })
            }
        }
    }

    /// Whether the server's log goes along a timeline up to there.
    fn has(&self, identity: &Identity, timeline: u32, to: u64) -> Result<bool> {
        if timeline != identity.timeline {
            let history =
                if timeline < identity.timeline { self.server.history(identity.timeline)? } else { Vec::new() };
            return Ok(history.iter().any(|past| past.timeline == timeline && to <= past.end));
        }
        if identity.flushed < to {
            let line = Line::postgres(identity.system, timeline);
            let [here, there] = [identity.flushed, to].map(|at| line.say(Position(at)));
            let what = format!("is at {here}, and {there} came of it before: it is behind");
            return Err(SourceError::new(what, self.server.place()).into());
        }
        Ok(true)
    }

    fn had(&self, identity: &Identity, place: (u32, u64), held: Option<&Held>, tail: Option<&Tail>) -> Result<Had> {
        let again = Again::receive(&self.server, identity, &self.spool, place, &|| self.board.is_stopped())?;
        let again = match again {
            Ok(again) => again,
            Err(why) => return Ok(Had::Unknown(why)),
        };
        let shipped = tail.map(|tail| again.ends_as(tail.from.0, &tail.hash)).transpose()?;
        let all = tail.is_some_and(|tail| tail.from.0 == place.1);
        let here = held.map(|held| again.is_same(&self.spool, held)).transpose()?.flatten();
        Ok(match (shipped, here) {
            // What was shipped tells it alone, if that is all of it.
            (Some(true), Some(false)) if all => Had::Same,
            (Some(false), _) | (_, Some(false)) => Had::Other,
            (Some(true), _) | (None, Some(true)) => Had::Same,
            (None, None) => Had::Unknown("what is here of it is damaged".to_owned()),
        })
    }

    /// Fails if the server can't have written what was shipped: its log is shorter, or its timeline came about otherwise.
    pub(super) fn must_go_on(&self, identity: &Identity) -> Result<()> {
        let Identity { system, timeline, flushed, .. } = *identity;
        let place = self.server.place();
        if timeline > 1
            && let Some(known) = self.spool.history(timeline)?
            && known.trim_ascii() != self.server.history_text(timeline)?.as_bytes().trim_ascii()
        {
            let what = format!(
                "{place} is on timeline {timeline} and came there otherwise than the server whose log the journal of {} has: both \
                 were recovered from one, or promoted; nothing was received",
                self.name
            );
            return Err(OpsError::Request { what, next: NEXT.to_owned() });
        }
        let Some(Shipped { to, .. }) = self.board.notes().shipped.filter(|shipped| shipped.timeline == timeline) else {
            return Ok(());
        };
        if flushed >= to {
            return Ok(());
        }
        let line = Line::postgres(system, timeline);
        let [here, there] = [flushed, to].map(|at| line.say(Position(at)));
        if self.server.is_standby(&identity.version)? {
            let what = format!("is a standby at {here}, and the journal has come to {there}: it is behind");
            return Err(SourceError::new(what, place).into());
        }
        let what = format!(
            "the log of {place} is at {here} of timeline {timeline}, and the journal of {} at {there} of the same: the server was \
             rolled back (a snapshot of its machine, or a data directory that was copied back), and goes on with another history; \
             nothing was received",
            self.name
        );
        Err(OpsError::Request { what, next: NEXT.to_owned() })
    }
}
