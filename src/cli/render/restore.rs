//! `restore`, for people.

use std::{fmt::Write as _, path::PathBuf};

use super::plural;
use crate::{model::size, ops::restore::RestoreReport};

/// For people.
pub(super) fn text(report: &RestoreReport, to: Option<&PathBuf>) -> String {
    let to = to.map_or_else(|| "standard output".to_owned(), |to| to.display().to_string());
    let mut text = format!(
        "restored {} of {} ({}, taken {} by {}) to {to}: {}, every byte checked\n",
        plural(report.streams.len(), "stream"),
        report.source,
        report.id.short(),
        report.created_at,
        report.writer,
        size::human(report.bytes)
    );
    if let Some(reference) = &report.reference {
        let (name, object) = (&reference.name, &reference.object);
        let _ = writeln!(text, "  {name} was {object}");
        let _ = writeln!(text, "  to have it beside what is there now: git fetch {to} {name}:refs/heads/restored");
    }
    for warning in &report.warnings {
        let _ = writeln!(text, "  warned of when it was made: {warning}");
    }
    text
}
