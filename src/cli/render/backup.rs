//! `backup`, for people.

use super::{Lines, doctor, plural, since};
use crate::{
    model::size,
    ops::{backup::SnapshotReport, look::Looked},
};

/// For people.
pub(super) fn text(snapshots: &[SnapshotReport]) -> Lines {
    let mut text = Lines::default();
    for snapshot in snapshots {
        one(snapshot, &mut text);
    }
    text
}

fn one(snapshot: &SnapshotReport, text: &mut Lines) {
    let held = snapshot.held_s.map(|held| format!(" (the database's locks: {held:.1} s)")).unwrap_or_default();
    text.add(format!(
        "{}: snapshot {} of {} ({} new, {} stored) in {:.1} s{held}, locked until {}",
        snapshot.source,
        snapshot.id.short(),
        size::human(snapshot.bytes_read),
        size::human(snapshot.bytes_new),
        size::human(snapshot.bytes_stored),
        snapshot.duration_s,
        snapshot.floor_until
    ));
    since::add(snapshot.since.as_ref(), text);
    for signal in &snapshot.signals {
        text.add(format!("  {}: {} [{}]", signal.level.as_str(), signal.words, signal.rule));
    }
    for warning in &snapshot.warnings {
        text.add(format!("  warning: {warning}"));
    }
}

/// What a backup would meet.
pub(super) fn rehearsed(looked: &Looked) -> Lines {
    let mut text = Lines::default();
    doctor::checks(&looked.checks, &mut text);
    let (all, failed) = (looked.sources.len(), looked.failed.len());
    text.add(format!("{} of {} could be backed up now; nothing was stored", all - failed, plural(all, "source")));
    text
}
