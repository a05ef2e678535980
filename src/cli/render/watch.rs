//! `watch`, for people.

use super::{Lines, finding_lines, plural};
use crate::{
    model::Finding,
    ops::{signals::Signal, watch::WatchReport},
};

/// So many findings of each kind are told.
const SHOWN: usize = 5;

/// For people.
pub(super) fn text(report: &WatchReport, findings: &[Finding]) -> Lines {
    let mut text = Lines::default();
    let opened =
        if report.opened == report.new { String::new() } else { format!(", {} of them opened", report.opened) };
    let all = plural(usize::try_from(report.snapshots).unwrap_or(usize::MAX), "snapshot");
    text.add(format!("{} of {all} are new{opened}", report.new));
    for signal in &report.signals {
        one(signal, &mut text);
    }
    for signal in report.open.iter().filter(|open| !report.signals.iter().any(|s| s.cause == open.cause)) {
        text.add("still open:");
        one(signal, &mut text);
    }
    for reaction in &report.reactions {
        let ended = reaction.ended.as_deref().unwrap_or("result unknown");
        text.add(format!("reaction {} to {}: {ended}", reaction.name, reaction.cause));
    }
    for step in &report.commands {
        text.add(step.what.clone());
        text.add(format!("  {}", step.command));
    }
    for line in finding_lines(findings, SHOWN) {
        text.add(line);
    }
    if report.open.is_empty() {
        text.add("no alarm is open");
    }
    text
}

fn one(signal: &Signal, text: &mut Lines) {
    let of = signal.snapshot.map(|id| format!(", snapshot {}", id.short())).unwrap_or_default();
    let (level, at) = (signal.level.as_str().to_uppercase(), signal.at);
    text.add(format!("{level} {}: {} of writer {}{of}, {at}", signal.cause, signal.source, signal.writer));
    for reason in &signal.reasons {
        text.add(format!("  {}: {} [{}]", reason.level.as_str(), reason.words, reason.rule));
    }
    if let Some(good) = signal.last_good {
        text.add(format!("  the last snapshot without an alarm: {}", good.short()));
    }
}
