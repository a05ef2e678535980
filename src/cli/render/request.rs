//! `request`, for people.

use super::Lines;
use crate::ops::request::{RequestedReport, State};

/// For people.
pub(super) fn text(report: &RequestedReport) -> Lines {
    let mut text = Lines::default();
    for answer in &report.requests {
        let source = answer.source.as_ref().map_or("the request", |source| source.as_str());
        let snapshot = match (&answer.snapshot, answer.created_at) {
            (Some(id), Some(at)) => format!("snapshot {} of {at}", id.short()),
            _ => "no snapshot".to_owned(),
        };
        let said = match answer.state {
            State::Fresh => format!("{snapshot} is recent enough"),
            State::Accepted => "accepted; `strongroom snapshots` shows when it is done".to_owned(),
            State::Done => snapshot,
            State::Failed => "failed".to_owned(),
            State::Busy => "not now".to_owned(),
            State::Refused => "refused".to_owned(),
        };
        let why = answer.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        text.add(format!("{source}: {said}{why}"));
    }
    text
}
