//! `drill`, for people.

use std::fmt::Write as _;

use super::{Lines, brief, cut, plural};
use crate::{
    engine::{Check, Status},
    model::{lasting, size, visible},
    ops::drill::{Drill, DrillReport, HistoryLine, Parts},
};

/// So many checks that did not pass are told of each drill.
const TOLD: usize = 20;
/// A longer name is cut in the table.
const NAME: usize = 16;

/// For people: one paragraph for each drill, and what did not pass.
pub(super) fn text(report: &DrillReport) -> Lines {
    let mut text = Lines::default();
    report.drills.iter().for_each(|drill| one(drill, &mut text));
    text
}

fn one(drill: &Drill, text: &mut Lines) {
    let how = match (drill.passed, drill.lacking.is_empty()) {
        (false, _) => "FAILED",
        (true, true) => "passed",
        (true, false) => "NOT ALL OF IT (what is there passed)",
    };
    let mut head = format!("{}: {how}", drill.source);
    if let Some(id) = &drill.snapshot {
        let by = drill.writer.as_ref().map(|writer| format!(" by {writer}")).unwrap_or_default();
        let _ = write!(head, ", snapshot {}{by}, {}", id.short(), size::human(drill.bytes));
    }
    if !drill.engine.is_empty() {
        let _ = write!(head, " into {}", drill.engine);
    }
    let passed = drill.checks.iter().filter(|check| check.passed()).count();
    text.add(format!("{head}: {passed} of {} passed", plural(drill.checks.len(), "check")));
    let Parts { list_s, fetch_s, load_s, check_s } = drill.parts;
    let took = format!(
        "  recovery took {:.1} s (list {list_s:.1}, fetch {fetch_s:.1}, load {load_s:.1}, check {check_s:.1})",
        drill.rto_s
    );
    match drill.rpo_s {
        #[allow(clippy::cast_precision_loss, reason = "an age for people")]
        Some(rpo) => text.add(format!("{took}; the data is {} old", lasting(rpo as f64))),
        None => text.add(took),
    }
    if let Some(recovery) = &drill.recovery {
        let at = recovery.last_commit_at.as_deref().unwrap_or("none of the log");
        let stop = recovery.stop.as_deref().unwrap_or(&recovery.base_end);
        let timeline = if recovery.timeline > 0 { format!(", timeline {}", recovery.timeline) } else { String::new() };
        text.add(format!(
            "  recovered to {} at {stop}{timeline}, with {} of log; the last transaction that came back: {at}",
            recovery.point,
            size::human(recovery.log_bytes)
        ));
    }
    if !drill.confinement.is_empty() {
        text.add(format!("  confined by: {}", drill.confinement));
    }
    for check in drill.checks.iter().filter(|check| !check.passed()).take(TOLD) {
        text.add(format!("  {}", line(check)));
    }
    if drill.damaged {
        text.add("  the next backup stores all of it again; `backup --full` does so at any time");
    }
    for lacking in &drill.lacking {
        text.add(format!("  not in the snapshot: {lacking}"));
    }
    for not in &drill.not_tested {
        text.add(format!("  not tested: {not}"));
    }
    if let Some(key) = &drill.evidence {
        text.add(format!("  evidence: {key}"));
    }
}

fn line(check: &Check) -> String {
    let or = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
    match check.status {
        Status::Pass => format!("pass: {}", check.name),
        Status::Fail => format!("fail: {}: expected {}, found {}", check.name, or(&check.expected), or(&check.actual)),
        Status::Error => format!("could not be run: {}: {}", check.name, or(&check.actual)),
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an age for people, never below zero")]
fn whole(seconds: f64) -> u64 {
    seconds.max(0.0) as u64
}

/// The drills of the past.
pub(super) fn history(lines: &[HistoryLine]) -> Lines {
    if lines.is_empty() {
        return Lines::of(["this vault has no evidence of drills yet"]);
    }
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table.set_header(["WHEN (UTC)", "SOURCE", "RESULT", "TOOK", "AGE", "CHECKS", "SIGNED BY"]);
    for line in lines {
        let (all, failed) = line.checks;
        table.add_row([
            line.at.to_string().chars().take(16).map(|c| if c == 'T' { ' ' } else { c }).collect(),
            cut(&visible(&line.source), NAME),
            if line.passed { "passed" } else { "FAILED" }.to_owned(),
            line.rto_s.map_or_else(|| "-".to_owned(), lasting),
            line.rpo_s.map_or_else(|| "-".to_owned(), |seconds| brief(whole(seconds))),
            format!("{} of {all}", all - failed),
            format!("{}{}", line.member, if line.suspect { " (revoked: suspect)" } else { "" }),
        ]);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let rows = table.lines().map(|line| line.trim_end().to_owned());
    Lines::of(rows.chain(["--json also has the snapshot, its writer, the engine and where the evidence is".to_owned()]))
}
