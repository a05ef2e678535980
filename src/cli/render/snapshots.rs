//! `snapshots`, for people.

use comfy_table::{CellAlignment, Table, presets};

use super::Lines;
use crate::{
    model::{Time, size},
    ops::snapshots::SnapshotLine,
    signal::Level,
};

/// The column of sizes.
const SIZE: usize = 4;

/// Why it is never the latest.
fn doubt(line: &SnapshotLine) -> &'static str {
    match (line.outside, line.suspect, line.future) {
        (true, ..) => " (not its source: suspect)",
        (_, true, _) => " (revoked: suspect)",
        (.., true) => " (not yet: a clock was wrong)",
        _ => "",
    }
}

/// What its writer says of it.
fn flagged(line: &SnapshotLine) -> &'static str {
    if line.signal == Some(Level::Alarm) { " (ALARM by its writer: see watch)" } else { "" }
}

/// Until when a hold keeps it.
fn held(line: &SnapshotLine) -> String {
    line.held_until.map_or_else(String::new, |until| format!(" (held until {})", shortened(until, 10)))
}

/// A time to the minute, or to the day: with all of both the table would be wider than a terminal.
fn shortened(time: Time, to: usize) -> String {
    time.to_string().chars().take(to).map(|c| if c == 'T' { ' ' } else { c }).collect()
}

/// For people.
pub(super) fn text(lines: &[SnapshotLine]) -> Lines {
    if lines.is_empty() {
        return Lines::of(["no snapshots"]);
    }
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["ID", "SOURCE", "KIND", "TAKEN (UTC)", "SIZE", "LOCKED UNTIL", "WRITER"]);
    for line in lines {
        table.add_row([
            line.id.short(),
            line.source.to_string(),
            line.kind.as_str().to_owned(),
            shortened(line.created_at, 16),
            size::human(line.bytes),
            shortened(line.floor_until, 10),
            format!("{}{}{}{}", line.writer, doubt(line), flagged(line), held(line)),
        ]);
    }
    for (at, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if at == SIZE {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    Lines::of(table.lines().map(|line| line.trim_end().to_owned()))
}
