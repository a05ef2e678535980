//! `ready`, for people.

use super::{Lines, age};
use crate::{
    model::lasting,
    ops::readiness::{ReadyReport, SourceReady},
};

/// For people.
pub(super) fn text(report: &ReadyReport) -> Lines {
    let mut text = Lines::default();
    for source in &report.sources {
        one(source, report, &mut text);
    }
    for what in &report.not_checked {
        text.add(format!("not checked: {what}"));
    }
    text
}

fn one(source: &SourceReady, report: &ReadyReport, text: &mut Lines) {
    let by = source.writer.as_ref().map(|writer| format!(" (writer {writer})")).unwrap_or_default();
    text.add(format!("{}{by}: {}", source.source, if source.ready { "ready" } else { "NOT READY" }));
    for reason in &source.reasons {
        text.add(format!("  because: {} [{}]", reason.words, reason.code));
    }
    if let (Some(id), Some(taken)) = (source.snapshot, source.taken_at) {
        text.add(format!("  snapshot  {} of {taken}, {}", id.short(), age(taken, report.at)));
    }
    if let Some(until) = source.locked_until.filter(|until| until.unix() > 0) {
        text.add(format!("  locked    until {until} at least, {}", age(until, report.at)));
    }
    if let Some(drill) = &source.drill {
        let rto = drill.rto_s.map(|rto| format!(", recovered in {}", lasting(rto))).unwrap_or_default();
        let how = if drill.passed { "passed" } else { "did not pass" };
        text.add(format!("  drill     {how} {}, {}{rto}", drill.at, age(drill.at, report.at)));
    }
}
