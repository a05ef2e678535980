//! Where the log that comes meets what was shipped. A server that was rolled back (a snapshot of a machine, a data directory that
//! was copied back) has the same name and the same timeline, and another history: what it writes must not go on from what is in
//! the vault. So the end of what was shipped is remembered, and what comes is held against it.

use super::{
    super::{OpsError, Result},
    keeper::Keeper,
    log::{Log, Part},
    ship::Shipper,
};
use crate::{
    catalog::Tail,
    codec::hash::hash,
    model::journal::{Line, Position},
    source::{
        SourceError,
        journal::{Joint, Shipped},
        postgres::journal::Identity,
    },
};

/// What to do about a log that is of another history.
const NEXT: &str = "give the server that goes on a [[source]] of another name, so that its log is not taken for the other one, \
                    and take a new base there (strongroom backup); what is in the vault stays as it is. If the wrong server \
                    answers, correct its address";

impl<L: Log> Shipper<L> {
    /// The end of a part that is being put.
    pub(super) fn tail_of(&self, part: &Part<L::Held>, log: &[u8]) -> Option<Tail> {
        let (from, end) = self.log.tail(part, log)?;
        Some(Tail { timeline: part.timeline, from: Position(from), to: Position(part.to), hash: hash(end) })
    }

    /// Whether what is here may be shipped: it goes on from what was. Fails if it is another history.
    pub(super) fn joins(&self, next: u32) -> Result<bool> {
        let sure = self.board.notes().sure_from;
        let Some(shipped) = self.shipped().filter(|shipped| shipped.timeline == next) else { return Ok(true) };
        if sure.is_some_and(|sure| shipped.to >= sure) {
            return Ok(true);
        }
        let tail = self.note.tail.as_ref().filter(|tail| (tail.timeline, tail.to.0) == (shipped.timeline, shipped.to));
        let joint = tail.map_or(Ok(Joint::Unknown), |tail| {
            self.log.joint(shipped, tail.from.0, &|log: &[u8]| hash(log) == tail.hash)
        })?;
        match joint {
            Joint::Same | Joint::Unknown => Ok(true),
            Joint::NotYet => Ok(false),
            Joint::Other => {
                let line = self.line(shipped.timeline)?;
                let what = format!(
                    "the log that comes for {} is of another history of {line}: before {} it is not what was stored. The server was \
                     rolled back (a snapshot of its machine, or a data directory that was copied back); nothing of it was stored",
                    self.name,
                    line.say(Position(shipped.to))
                );
                Err(OpsError::Request { what, next: NEXT.to_owned() })
            }
        }
    }
}

impl Keeper {
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
