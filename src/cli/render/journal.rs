//! `journal`, for people.

use super::{Lines, plural};
use crate::{
    model::{size, time::lasting},
    ops::journal::{Fetched, JournalLine, PushReport, RunReport},
};

/// What a run did.
pub(super) fn ran(report: &RunReport) -> Lines {
    let mut text = Lines::default();
    for source in &report.sources {
        let reach = match (&source.line, source.to) {
            (Some(line), Some(to)) => format!(", up to {} in {line}", line.say(to)),
            _ => String::new(),
        };
        let pieces = plural(usize::try_from(source.pieces).unwrap_or(usize::MAX), "piece");
        text.add(format!("{}: {pieces} of the log, {}{reach}", source.source, size::human(source.bytes)));
        for gap in &source.gaps {
            text.add(format!("  gap: nothing from {} to {}", gap.line.say(gap.from), gap.line.say(gap.to)));
        }
    }
    text
}

/// What was pushed.
pub(super) fn pushed(report: &PushReport) -> Lines {
    let PushReport { source, file, already, stored, ahead, .. } = report;
    let ahead = if *ahead > 0 { format!(", and {ahead} that wait") } else { String::new() };
    let what =
        if *already { "was in the vault already".to_owned() } else { format!("{} stored", size::human(*stored)) };
    Lines::of([format!("{source}: {file} {what}{ahead}")])
}

/// What was fetched.
pub(super) fn fetched(fetched: &Fetched) -> Lines {
    let what = match (fetched.found, fetched.from_ahead) {
        (false, _) => return Lines::default(),
        (true, true) => "was read ahead",
        (true, false) => "is there",
    };
    Lines::of([format!("{} {what}", fetched.file)])
}

/// How far journals reach.
#[allow(clippy::cast_precision_loss, reason = "for people")]
pub(super) fn listed(lines: &[JournalLine]) -> Lines {
    let mut text = Lines::default();
    if lines.is_empty() {
        text.add("no journals");
    }
    for line in lines {
        let age = line.age_s.map_or(String::new(), |age| format!(", the newest {} ago", lasting(age as f64)));
        let pieces = plural(usize::try_from(line.pieces).unwrap_or(usize::MAX), "piece");
        let more = if line.more { ", and more than is listed at once" } else { "" };
        text.add(format!(
            "{} by {}, {}: {pieces}, {}{age}{more}",
            line.source,
            line.writer,
            line.line,
            size::human(line.bytes)
        ));
        for (n, stretch) in line.stretches.iter().enumerate() {
            text.add(format!("  {} to {}", stretch.from_lsn, stretch.to_lsn));
            if let Some(gap) = line.gaps.get(n) {
                text.add(format!("  gap: nothing from {} to {}", gap.from_lsn, gap.to_lsn));
            }
        }
    }
    text
}
