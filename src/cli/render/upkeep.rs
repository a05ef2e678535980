//! `renew` and `prune`, for people.

use std::path::PathBuf;

use super::{Lines, plural};
use crate::{
    model::size,
    ops::{prune::PruneReport, renew::RenewReport},
};

fn count(n: u64, what: &str) -> String {
    plural(usize::try_from(n).unwrap_or(usize::MAX), what)
}

/// `renew`, for people.
pub(super) fn renewed(report: &RenewReport) -> Lines {
    let verb = if report.dry_run { "would extend" } else { "extended" };
    let mut text = Lines::default();
    let head = format!(
        "{} and the vault itself need {}; {verb} the locks of {} ({})",
        count(report.snapshots, "snapshot"),
        count(report.objects, "object"),
        count(report.updates, "object"),
        size::human(report.bytes)
    );
    match report.extended_until {
        Some(until) => text.add(format!("{head} until {until} at most")),
        None => text.add(head),
    }
    text.add(format!(
        "  calls   {} and {}: about {:.4}; keeping these bytes longer: about {:.4}",
        count(report.updates, "update"),
        count(report.reads, "read"),
        report.cost_calls,
        report.cost_storage
    ));
    if let Some(until) = report.weakest_lock {
        text.add(format!("  locks   the first that is needed ends {until}"));
    }
    if report.refused > 0 {
        text.add(format!("  refused {}", count(report.refused, "header")));
    }
    text
}

/// `prune`, for people.
pub(super) fn pruned(report: &PruneReport) -> Lines {
    let verb = if report.dry_run { "would delete" } else { "deleted" };
    let mut text = Lines::default();
    for (kind, deleted) in &report.deleted {
        let versions = count(deleted.versions, "version");
        text.add(format!("{verb} {versions} of {kind} ({})", size::human(deleted.bytes)));
    }
    if report.deleted.is_empty() {
        text.add("nothing to delete");
    }
    text.add(format!("{} and what they need stay", count(report.snapshots, "snapshot")));
    if report.held > 0 {
        text.add(format!("{} of them by holds: `snapshots --holds` lists these", report.held));
    }
    if let Some(next) = report.next {
        let waiting = count(report.waiting.versions, "version");
        text.add(format!(
            "{waiting} ({}) that nothing needs are kept until their lock and the grace period end, the first until {next}",
            size::human(report.waiting.bytes)
        ));
    }
    if report.refused > 0 {
        text.add(format!("the store refused to delete {}", count(report.refused, "version")));
    }
    if let Some(kept) = report.parity.filter(|kept| kept.written + kept.removed > 0) {
        text.add(format!("parity of {}: {} written, {} removed", kept.rate, kept.written, kept.removed));
    }
    if report.dry_run && !report.deleted.is_empty() {
        text.add("nothing was deleted; --yes deletes");
    }
    text
}

/// The one service that no timer starts.
const JOURNAL: &str = "strongroom-journal.service";

/// `schedule`, for people.
pub(super) fn scheduled(files: &[PathBuf]) -> Lines {
    let mut text = Lines::default();
    for file in files {
        text.add(file.display().to_string());
    }
    let ends = |file: &PathBuf, with: &str| file.extension().is_some_and(|end| end == with);
    let starts = |file: &&PathBuf| ends(file, "timer") || ends(file, "socket") || file.ends_with(JOURNAL);
    let name = |file: &PathBuf| file.file_name().map(|name| name.to_string_lossy().into_owned());
    let started: Vec<String> = files.iter().filter(starts).filter_map(name).collect();
    let dir = files.first().and_then(|file| file.parent()).map(|dir| dir.display().to_string()).unwrap_or_default();
    let kinds = ["service", "timer", "socket"].into_iter().filter(|kind| files.iter().any(|file| ends(file, kind)));
    let copied: Vec<String> = kinds.map(|kind| format!("{dir}/*.{kind}")).collect();
    text.add("nothing is started yet. As root:");
    text.add(format!("  systemd-sysusers {dir}/strongroom-sysusers.conf"));
    text.add(format!("  cp {} /etc/systemd/system/ && systemctl daemon-reload", copied.join(" ")));
    text.add(format!("  systemctl enable --now {}", started.join(" ")));
    text
}
