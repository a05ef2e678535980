//! `airgap`, for people.

use super::{Lines, finding_lines};
use crate::{
    cli::airgap::window::WindowReport,
    model::{Finding, lasting},
    ops::airgap::{OpenReport, StatusReport, StepReport, TripReport},
};

/// So many findings of each kind are told.
const SHOWN: usize = 5;

/// A trip.
pub(super) fn tripped(report: &TripReport, findings: &[Finding]) -> Lines {
    let mut text = Lines::default();
    let again = if report.again { ", once more" } else { "" };
    text.add(format!("tripped {}{again} by {}: {}", report.at, report.by, report.reason));
    steps(&report.steps, &mut text);
    for why in &report.unnoted {
        text.add(format!("  not noted: {why}"));
    }
    if let Some(key) = &report.stored {
        text.add(format!("  noted in the vault: {key}"));
    }
    for line in finding_lines(findings, SHOWN) {
        text.add(line);
    }
    let proved = if report.open.is_empty() { "all is cut" } else { "NOT ALL IS PROVED CUT" };
    text.add(proved);
    text
}

fn steps(steps: &[StepReport], text: &mut Lines) {
    for step in steps {
        let mark = if step.proved { "cut" } else { "OPEN" };
        text.add(format!("  {mark:4} {}: {} ({})", step.step, step.told, lasting(step.seconds)));
    }
}

/// How it is now.
pub(super) fn status(report: &StatusReport) -> Lines {
    let mut text = Lines::default();
    let trip = report.trip.as_ref().map(|id| format!(" (trip {id})")).unwrap_or_default();
    match (report.tripped_at, report.unfinished) {
        (Some(at), false) => text.add(format!("tripped since {at}{trip}")),
        (Some(at), true) => text.add(format!("tripped {at}{trip}, and that trip did not come to its end: trip again")),
        (None, _) => text.add("not tripped"),
    }
    if let Some(window) = &report.window {
        text.add(format!("a window is open until {}, held by process {}", window.until, window.pid));
    }
    for step in &report.steps {
        let seen = if step.seen_open { "" } else { " (its probe was never seen to get through)" };
        let told = if step.told.is_empty() { String::new() } else { format!(": {}", step.told) };
        text.add(format!("  {:7} {}{told}{seen}", step.state, step.step));
    }
    text
}

/// What was connected again.
pub(super) fn opened(report: &OpenReport) -> Lines {
    let mut text = Lines::default();
    text.add(format!("opened again by leave of {}", report.by));
    for name in &report.connected {
        text.add(format!("  open {name}"));
    }
    for (name, why) in &report.failed {
        text.add(format!("  {name} could not be connected: {why}"));
    }
    text
}

/// A window.
pub(super) fn window(report: &WindowReport) -> Lines {
    let mut text = Lines::default();
    for name in &report.was_open {
        text.add(format!("{name} was open already, though no window was"));
    }
    for (name, why) in &report.unconnected {
        text.add(format!("{name} could not be connected, so nothing was run: {why}"));
    }
    if let Some(ended) = &report.ended {
        let stopped = report.stopped.map(|why| format!(", stopped since {why}")).unwrap_or_default();
        text.add(format!("the command ended with {ended}{stopped}"));
    }
    text.add(format!("the window was open for {}", lasting(report.seconds)));
    steps(&report.steps, &mut text);
    text
}
