//! `status`, for people: one line for each source, in 80 columns, then all of it with absolute times.

use comfy_table::{CellAlignment, Table, presets};

use super::{Lines, age, brief, cut, wrapped};
use crate::{
    model::{Time, lasting, size},
    ops::{
        readiness::{LastDrill, Reason},
        status::{SourceStatus, StatusReport},
    },
};

/// A longer name is cut in the table.
const NAME: usize = 18;
/// Columns of numbers.
const NUMBERS: std::ops::Range<usize> = 1..7;

/// For people.
pub(super) fn text(report: &StatusReport) -> Lines {
    let now = report.at;
    let mut text = Lines::default();
    let vault: String = report.vault.to_string().chars().take(12).collect();
    wrapped(&format!("vault {vault} at {}", report.url), 2, &mut text);
    text.add(format!("{now}, by the store's clock"));
    text.add("");
    if report.sources.is_empty() {
        text.add("no snapshots");
    } else {
        table(report).lines().for_each(|line| text.add(line.trim_end()));
    }
    for source in &report.sources {
        text.add("");
        one(source, now, &mut text);
    }
    text.add("");
    let weakest = report.weakest_lock.map_or_else(
        || "no lock".to_owned(),
        |until| format!("the first lock that is needed ends {until}, {}", age(until, now)),
    );
    let need = if report.snapshots == 1 { "needs" } else { "need" };
    let kept = format!("{} {need} {}", counted(report.snapshots), size::human(report.bytes));
    wrapped(&format!("{kept}; {weakest}"), 2, &mut text);
    for copy in &report.copies {
        let last = copy.at.map_or_else(|| "never".to_owned(), |at| format!("last {at}, {}", age(at, now)));
        let kept = if copy.snapshots > 0 { format!("; {} snapshots", copy.snapshots) } else { String::new() };
        wrapped(&format!("copy {} at {}: {last}{kept}", copy.name, copy.url), 2, &mut text);
    }
    if !report.watched {
        wrapped("alarms: only those of writers; --checkpoint FILE adds those of `watch`", 2, &mut text);
    }
    owed(&report.owed, &mut text);
    let count = report.owed.len() + report.sources.iter().map(|one| one.owed.len()).sum::<usize>();
    text.add(match count {
        0 => "nothing is owed".to_owned(),
        1 => "1 thing is owed".to_owned(),
        more => format!("{more} things are owed"),
    });
    text
}

fn counted(snapshots: u64) -> String {
    if snapshots == 1 { "1 snapshot".to_owned() } else { format!("{snapshots} snapshots") }
}

fn table(report: &StatusReport) -> Table {
    let now = report.at;
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["SOURCE", "LAST", "DUE", "SIZE", "GROWTH", "LOCKED", "DRILL", "STATE"]);
    for one in &report.sources {
        let name = one.source.as_str();
        let due = match one.due_at {
            None => "-".to_owned(),
            Some(at) if at < now => format!("-{}", brief(now.since(at).as_seconds())),
            Some(at) => brief(at.since(now).as_seconds()),
        };
        let locked = |until: Time| if until <= now { "no".to_owned() } else { brief(until.since(now).as_seconds()) };
        let drill = one.drill.as_ref().map_or_else(
            || "never".to_owned(),
            |drill| {
                let mark = if drill.passed { "" } else { "!" };
                format!("{mark}{}", brief(now.since(drill.at).as_seconds()))
            },
        );
        let state = match (one.owed.is_empty(), one.alarms > 0) {
            (_, true) => "ALARM",
            (false, _) => "OWED",
            _ => "ok",
        };
        table.add_row([
            cut(name, NAME),
            one.age_s.map_or_else(|| "never".to_owned(), brief),
            due,
            if one.snapshot.is_some() { size::human(one.bytes) } else { "-".to_owned() },
            growth(one),
            one.locked_until.map_or_else(|| "-".to_owned(), locked),
            drill,
            state.to_owned(),
        ]);
    }
    for (at, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if NUMBERS.contains(&at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// In percent of what it was.
#[allow(clippy::cast_precision_loss, reason = "a percentage for people")]
fn growth(one: &SourceStatus) -> String {
    let before = i64::try_from(one.bytes).unwrap_or(i64::MAX).saturating_sub(one.grown);
    match (one.grown_s, before) {
        (0, _) => "-".to_owned(),
        (_, ..=0) => "new".to_owned(),
        _ => {
            let percent = one.grown as f64 * 100.0 / before as f64;
            if percent.abs() >= 1000.0 { ">999%".to_owned() } else { format!("{percent:+.0}%") }
        }
    }
}

fn one(one: &SourceStatus, now: Time, text: &mut Lines) {
    let mut of: Vec<String> = one.writer.iter().map(|writer| format!("writer {writer}")).collect();
    of.extend(one.kind.map(|kind| kind.as_str().to_owned()));
    let of = if of.is_empty() { String::new() } else { format!(" ({})", of.join(", ")) };
    wrapped(&format!("{}{of}", one.source), 2, text);
    let mut add = |line: String| wrapped(&format!("  {line}"), 4, text);
    if let (Some(id), Some(taken)) = (one.snapshot, one.taken_at) {
        add(format!("last     {} of {taken}, {}", id.short(), age(taken, now)));
    }
    if let (Some(due), Some(every)) = (one.due_at, one.every_s) {
        let how = if one.told { "every" } else { "so far about every" };
        add(format!("due      {due}, {}; {how} {}", age(due, now), brief(every)));
    }
    if let Some(until) = one.locked_until.filter(|until| until.unix() > 0) {
        let keep = one.expires_at.map(|at| format!("; to be kept until {at}")).unwrap_or_default();
        add(format!("locked   until {until}, {}{keep}", age(until, now)));
    }
    if one.snapshots > 0 {
        let stored = size::human(one.stored);
        add(format!("kept     {}; {stored} stored for them", counted(one.snapshots)));
    }
    if let Some(drill) = &one.drill {
        add(drilled(drill, now));
    }
    if let Some(journal) = &one.journal {
        let to = journal.to.as_deref().unwrap_or("no further than its base");
        let lag = journal.lag_s.map(|lag| format!(", newest piece {} old", brief(lag))).unwrap_or_default();
        let gap = journal.gap.as_ref().map(|(from, to)| format!("; GAP from {from} to {to}")).unwrap_or_default();
        add(format!("journal  reaches {to}{lag}{gap}"));
    }
    owed(&one.owed, text);
}

fn drilled(drill: &LastDrill, now: Time) -> String {
    let how = if drill.passed { "passed" } else { "did not pass" };
    let rto = drill.rto_s.map(|rto| format!("; RTO {}", lasting(rto))).unwrap_or_default();
    let rpo = drill.rpo_s.map(|rpo| format!(", RPO {}", lasting(rpo))).unwrap_or_default();
    format!("drill    {how} {}, {}, by {}{rto}{rpo}", drill.at, age(drill.at, now), drill.member)
}

fn owed(reasons: &[Reason], text: &mut Lines) {
    for reason in reasons {
        wrapped(&format!("  OWED     {} [{}]", reason.words, reason.code), 4, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_wrapped_at_80_columns_and_lose_nothing() {
        let mut text = Lines::default();
        let words = format!("  OWED     {} [lock]", "one two three four five six seven ".repeat(9).trim_end());
        wrapped(&words, 4, &mut text);
        assert!(text.0.lines().count() > 3 && text.0.lines().all(|line| line.chars().count() <= 80), "{}", text.0);
        let back: Vec<&str> = text.0.split_whitespace().collect();
        assert_eq!(back, words.split_whitespace().collect::<Vec<_>>());
        let mut long = Lines::default();
        wrapped(&"x".repeat(200), 2, &mut long);
        assert_eq!(long.0.trim(), "x".repeat(200), "a word is never cut");
    }
}
