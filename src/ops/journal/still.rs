//! A server that writes nothing, told from a receiver that receives nothing: where somebody said how old the newest piece may
//! get (`every`), the end of the log is put once more while the server is no further. It is a piece like any other, whose log
//! another holds, too.

use std::time::{Duration, Instant};

use super::{super::Result, ship::Shipper};
use crate::{
    model::{
        Severity, Span as Every,
        journal::{Position, Span},
    },
    source::postgres::journal::{Follower, Shipped},
};

/// How much of the log is put again at most.
const BYTES: u64 = 4096;
/// So long what the server said last is believed.
const BELIEVED: Duration = Duration::from_mins(1);
/// The server counts the header of the page that comes next, and the log ends before it.
const HEADER: u64 = 64;

impl Shipper {
    /// Tells that nothing is new, if that is wanted and it is time for it.
    pub(super) fn tell_still(&mut self, follower: &Follower) -> Result<()> {
        let Some(every) = self.options.every.map(Every::as_duration) else { return Ok(()) };
        let due = self.pace.put.is_none_or(|at| at.elapsed() >= every / 3);
        let Some(shipped) = self.shipped().filter(|_| due && self.pace.stopping.is_none() && !self.waits()) else {
            return Ok(());
        };
        if !self.is_all(shipped) {
            return Ok(());
        }
        let Some((from, log)) = follower.end(shipped, BYTES)? else { return Ok(()) };
        let (line, to) = (self.line(shipped.timeline)?, Position(shipped.to));
        let span = Span { from: Position(from), to };
        match self.sink.put(&line, span, &log) {
            Ok(stored) => {
                self.pace.put = Some(Instant::now());
                self.back();
                let message = format!("the server writes nothing: it is at {}, as before", line.say(to));
                self.send(&self.event("still", Severity::Info, message).about(&line, span).of(stored));
                Ok(())
            }
            Err(error) => self.away(error),
        }
    }

    /// Whether the server has no more than what was shipped.
    fn is_all(&self, shipped: Shipped) -> bool {
        let notes = self.board.notes();
        let heard = notes.heard.is_some_and(|at| at.elapsed() < BELIEVED);
        let ends = |(timeline, flushed): (u32, u64)| timeline == shipped.timeline && flushed <= shipped.to + HEADER;
        heard && notes.server.as_ref().is_some_and(|server| ends((server.timeline, server.flushed)))
    }
}
