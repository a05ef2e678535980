//! `snapshots`, for people.

use comfy_table::{CellAlignment, Table, presets};

use super::Lines;
use crate::{model::size, ops::snapshots::SnapshotLine};

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

/// For people.
pub(super) fn text(lines: &[SnapshotLine]) -> Lines {
    if lines.is_empty() {
        return Lines::of(["no snapshots"]);
    }
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["ID", "SOURCE", "KIND", "TAKEN", "SIZE", "LOCKED UNTIL", "WRITER"]);
    for line in lines {
        table.add_row([
            line.id.short(),
            line.source.to_string(),
            line.kind.as_str().to_owned(),
            line.created_at.to_string(),
            size::human(line.bytes),
            line.floor_until.to_string(),
            format!("{}{}", line.writer, doubt(line)),
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
