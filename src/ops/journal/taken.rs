//! Whether a file that a server hands over is in the vault already with other content: then the server must not hear that it is
//! there.
//!
//! A writer can't read what it put, and what is sealed twice has two names. So what it remembers tells, and where it remembers
//! nothing, that names are there at all.

use super::{super::OpsError, super::Result, sink::VaultSink};
use crate::{
    catalog::Taken,
    model::{
        Name,
        journal::{Line, Reach, Span},
    },
};

/// What would be in the vault if a file were.
#[derive(Debug, Clone)]
pub(super) enum Sought {
    Segment(Line, Span),
    History(Line),
    /// It has no place of its own: what it holds, others may hold, too.
    Nothing,
}

impl Sought {
    /// Whether all of it is among what the vault has of a line.
    pub(super) fn lies_within(&self, other: &Line, reach: &Reach) -> bool {
        matches!(self, Self::Segment(line, span) if line == other
            && reach.until(span.from).is_some_and(|until| span.to <= until))
    }

    /// Whether the vault has all of it, by names.
    pub(super) async fn is_there(&self, sink: &VaultSink) -> Result<bool> {
        Ok(match self {
            Self::Segment(line, span) => self.lies_within(line, &sink.covered_within(line, *span).await?),
            Self::History(line) => sink.has_history(line).await?,
            Self::Nothing => false,
        })
    }
}

/// Fails if a file may not be pushed: one of its name was, or may have been, with other content.
pub(super) fn must_be_new(source: &Name, file: &str, taken: Taken, there: bool) -> Result<()> {
    let (what, next) = match (taken, there) {
        (Taken::Same, _) | (Taken::Unknown, false) => return Ok(()),
        (Taken::Other, _) => (
            format!("{file} was pushed to the journal of {source} before, with other content; it was not stored"),
            "two servers write one timeline: a clone of this one, or one restored without a new timeline, pushes there as well. Set \
             archive_mode = off on the wrong one, or give it a [[source]] of another name. --again stores a file all the \
             same; a recovery reads what was there first",
        ),
        (Taken::Unknown, true) => (
            format!(
                "the vault has {file} of {source}, and the memory below `state` does not tell what was in it, so that it may be \
                 another; it was not stored"
            ),
            "if `state` was lost, and no other server pushes there, add --again to archive_command until it gets past this; a \
             recovery reads what was there first. Else set archive_mode = off on the wrong server, or give it a [[source]] of \
             another name",
        ),
    };
    Err(OpsError::JournalTaken { what, next: next.to_owned() })
}
