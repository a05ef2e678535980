//! `backup`, for people.

use std::fmt::Write as _;

use crate::{model::size, ops::backup::SnapshotReport};

/// For people.
pub(super) fn text(snapshot: &SnapshotReport) -> String {
    let mut text = format!(
        "{}: snapshot {} of {} ({} new, {} stored) in {:.1} s, locked until {}\n",
        snapshot.source,
        snapshot.id.short(),
        size::human(snapshot.bytes_read),
        size::human(snapshot.bytes_new),
        size::human(snapshot.bytes_stored),
        snapshot.duration_s,
        snapshot.floor_until
    );
    for warning in &snapshot.warnings {
        let _ = writeln!(text, "  warning: {warning}");
    }
    text
}
