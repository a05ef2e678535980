//! A server that writes nothing, told from a receiver that receives nothing: where somebody said how old the newest piece may
//! get (`every`), the end of the log is put once more while the server is no further. It is a piece like any other, whose log
//! another holds, too.

use std::time::Instant;

use super::{super::Result, log::Log, ship::Shipper};
use crate::{
    format::journal::Effort,
    model::{
        Severity, Span as Every,
        journal::{Position, Span},
    },
    vault::journal::Stretch,
};

/// How much of the log is put again at most.
const BYTES: u64 = 4096;

impl<L: Log> Shipper<L> {
    /// Tells that nothing is new, if that is wanted and it is time for it.
    pub(super) fn tell_still(&mut self) -> Result<()> {
        let Some(every) = self.options.every.map(Every::as_duration) else { return Ok(()) };
        let due = self.pace.put.is_none_or(|at| at.elapsed() >= every / 3);
        let Some(shipped) = self.shipped().filter(|_| due && self.pace.stopping.is_none() && !self.waits()) else {
            return Ok(());
        };
        self.ask_for_moment();
        let Some((from, log)) = self.log.still(&self.board, shipped, BYTES)? else { return Ok(()) };
        let (line, to) = (self.line(shipped.timeline)?, Position(shipped.to));
        let span = Span { from: Position(from), to };
        let covers = self.covers(shipped.timeline, shipped.to);
        match self.sink.put(&line, Stretch { span, log: log.into(), hash: None, covers }, Effort::Usual) {
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
}
