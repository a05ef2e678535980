//! `restore`, for people.

use std::path::PathBuf;

use super::{Lines, plural, since};
use crate::{cli::shell, model::size, ops::restore::RestoreReport};

/// For people.
pub(super) fn text(report: &RestoreReport, to: Option<&PathBuf>) -> Lines {
    let to = to.map_or_else(|| "standard output".to_owned(), |to| to.display().to_string());
    let mut text = Lines::default();
    text.add(format!(
        "restored {} of {} ({}, taken {} by {}) to {to}: {}, every byte checked",
        plural(report.streams.len(), "stream"),
        report.source,
        report.id.short(),
        report.created_at,
        report.writer,
        size::human(report.bytes)
    ));
    let kept = report.kept;
    if kept.bytes > 0 || kept.streams > 0 {
        text.add(format!(
            "  of it {} in {} were there already and are right; {} were fetched for the rest",
            size::human(kept.bytes),
            plural(usize::try_from(kept.streams).unwrap_or(usize::MAX), "whole stream"),
            size::human(report.fetched_bytes)
        ));
    }
    for lost in &report.lost {
        text.add(format!("  not whole: {}: {}", lost.object, lost.message));
    }
    if let Some(reference) = &report.reference {
        let (name, object) = (&reference.name, &reference.object);
        let of = reference.commit.as_ref().filter(|commit| *commit != object);
        let of = of.map_or_else(String::new, |commit| format!(", a {} of the commit {commit}", reference.kind));
        text.add(format!("  {name} was {object}{of}"));
        // What the ref is called came with the backup, and a person is to paste this into a shell. Git takes nothing but
        // commits for a branch.
        let among = if reference.kind == "commit" { "heads" } else { "tags" };
        let refspec = shell::quoted(&format!("{name}:refs/{among}/restored"));
        text.add(format!("  to have it beside what is there now: git fetch {} {refspec}", shell::quoted(&to)));
    }
    since::add(report.since.as_ref(), &mut text);
    for warning in &report.warnings {
        text.add(format!("  warned of when it was made: {warning}"));
    }
    text
}
