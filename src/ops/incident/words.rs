//! What the page says in words, in each of its forms.

use std::fmt::Write as _;

use super::{Beyond, Change, IncidentReport, Loss, RowLoss, Stand, State};
use crate::model::{lasting, size};

/// A time in its largest units.
#[allow(clippy::cast_precision_loss, reason = "told to people")]
pub(super) fn span(seconds: u64) -> String {
    lasting(seconds as f64)
}

/// From what it was found out.
pub(super) fn judged(report: &IncidentReport) -> &'static str {
    if report.judged_by == "bodies" {
        "Found out from what is in the snapshots, whatever their writer says of them. Earlier snapshots are as they were: \
         nothing here can change them."
    } else {
        "Found out from sizes and times alone, since no identity was given: what is in the snapshots was not looked at. \
         Earlier snapshots are as they were."
    }
}

/// What a state is called.
#[must_use]
pub const fn say_state(state: State) -> &'static str {
    match state {
        State::Alarm => "alarm",
        State::Over => "was not good",
        State::Quiet => "quiet",
        State::Calm => "nothing stands out",
    }
}

/// How a snapshot stands.
#[must_use]
pub const fn say_stand(stand: Stand) -> &'static str {
    match stand {
        Stand::Good => "good",
        Stand::Acknowledged => "acknowledged",
        Stand::Alarm => "ALARM",
        Stand::Still => "still so",
        Stand::Unreadable => "unreadable",
    }
}

/// How far a journal goes, in a sentence.
#[must_use]
pub fn say_beyond(journal: &Beyond) -> String {
    let gap = if journal.gap { "; there is more of it behind a gap, which can't be gone over" } else { "" };
    match (&journal.to, journal.to_at) {
        (Some(to), Some(at)) => format!(
            "the journal goes on from the last good snapshot without a gap from {} to {to}, stored {at}: {} beyond it{gap}",
            journal.from,
            span(journal.seconds)
        ),
        _ => format!(
            "it is a base of the journal {}, of which nothing is stored from {} on{gap}",
            journal.line, journal.from
        ),
    }
}

impl Loss {
    /// What is lost, in words, but for tables and refs.
    #[must_use]
    pub fn said(&self) -> String {
        let mut text = format!("what was made since {}, within {}", self.from, span(self.seconds));
        if let Some((good, newest)) = self.files {
            let _ = write!(text, "; {good} files come back, and there are {newest} now");
        }
        let (good, newest) = self.bytes;
        let _ = write!(text, "; {} come back, where {} are now", size::human(good), size::human(newest));
        text
    }
}

impl RowLoss {
    /// What becomes of the table, in words.
    #[must_use]
    pub fn said(&self) -> String {
        match (self.good, self.newest) {
            (Some(good), None) => format!("comes back whole, {good} rows"),
            (None, Some(newest)) => format!("is not in it, {newest} rows go"),
            _ if self.altered => "altered rows become what they were".to_owned(),
            _ if self.comes_back > 0 => format!("{} rows come back", self.comes_back),
            _ => format!("{} newer rows go", self.goes),
        }
    }
}

/// A number that may be none.
pub(super) fn count(rows: Option<u64>) -> String {
    rows.map_or_else(|| "–".to_owned(), |rows| rows.to_string())
}

/// A change in words.
#[must_use]
pub fn said(change: &Change) -> String {
    let name = if change.name.is_empty() { String::new() } else { format!(" {}", change.name) };
    match (&change.before, &change.after) {
        (Some(before), Some(after)) => format!("{}{name}: {before} → {after}", change.what),
        (Some(before), None) => format!("{}{name}: gone (was {before})", change.what),
        (None, Some(after)) => format!("{}{name}: new ({after})", change.what),
        (None, None) => format!("{}{name}", change.what),
    }
}
