//! `renew` and `prune`, for people.

use std::fmt::Write as _;

use super::plural;
use crate::{
    model::size,
    ops::{prune::PruneReport, renew::RenewReport},
};

fn count(n: u64, what: &str) -> String {
    plural(usize::try_from(n).unwrap_or(usize::MAX), what)
}

/// `renew`, for people.
pub(super) fn renewed(report: &RenewReport) -> String {
    let verb = if report.dry_run { "would extend" } else { "extended" };
    let mut text = format!(
        "{} and the vault itself need {}; {verb} the locks of {} ({})",
        count(report.snapshots, "snapshot"),
        count(report.objects, "object"),
        count(report.updates, "object"),
        size::human(report.bytes)
    );
    match report.extended_until {
        Some(until) => {
            let _ = writeln!(text, " until {until} at most");
        }
        None => text.push('\n'),
    }
    let _ = writeln!(
        text,
        "  calls   {} and {}: about {:.4}; keeping these bytes longer: about {:.4}",
        count(report.updates, "update"),
        count(report.reads, "read"),
        report.cost_calls,
        report.cost_storage
    );
    if let Some(until) = report.weakest_lock {
        let _ = writeln!(text, "  locks   the first that is needed ends {until}");
    }
    if report.refused > 0 {
        let _ = writeln!(text, "  refused {}", count(report.refused, "header"));
    }
    text
}

/// `prune`, for people.
pub(super) fn pruned(report: &PruneReport) -> String {
    let verb = if report.dry_run { "would delete" } else { "deleted" };
    let mut text = String::new();
    for (kind, deleted) in &report.deleted {
        let _ =
            writeln!(text, "{verb} {} of {kind} ({})", count(deleted.versions, "version"), size::human(deleted.bytes));
    }
    if report.deleted.is_empty() {
        text.push_str("nothing to delete\n");
    }
    let _ = writeln!(text, "{} and what they need stay", count(report.snapshots, "snapshot"));
    if let Some(next) = report.next {
        let waiting = count(report.waiting.versions, "version");
        let _ = writeln!(
            text,
            "{waiting} ({}) of what nothing needs wait for their locks and the grace, the first until {next}",
            size::human(report.waiting.bytes)
        );
    }
    if report.refused > 0 {
        let _ = writeln!(text, "the store refused to delete {}", count(report.refused, "version"));
    }
    if report.dry_run && !report.deleted.is_empty() {
        text.push_str("nothing was deleted: --yes deletes\n");
    }
    text
}
