//! What the vault is asked: how far the log is in it, where this memory does not know.

use super::{super::Result, log::Log, report::GapReport, ship::Shipper};
use crate::{
    model::{
        Severity,
        journal::{Position, Span},
    },
    source::journal::Shipped,
};

impl<L: Log> Shipper<L> {
    /// Asks the vault how far the log is in it, where this memory does not know. Says whether that is known.
    pub(super) fn ask(&mut self) -> Result<bool> {
        if self.board.notes().asked {
            return Ok(true);
        }
        if self.waits() {
            return Ok(false);
        }
        for timeline in self.log.timelines(&self.board)? {
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

    /// Something is missing between what was shipped and what is here. What the vault has decides; says whether it is so.
    pub(super) fn gap(&mut self, before: Shipped, after: Shipped) -> Result<bool> {
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
}
