//! `replicate` and `repair`, for people.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Lines, plural};
use crate::{
    cli::copies::Replicated,
    model::size,
    ops::{repair::RepairReport, replicate::ReplicateReport},
    vault::{copying::CopiedCount, parity::Kept},
};

fn count(n: u64, what: &str) -> String {
    plural(usize::try_from(n).unwrap_or(usize::MAX), what)
}

/// `replicate` as JSON.
pub(super) fn value(all: &[Replicated]) -> Value {
    let one = |one: &Replicated| {
        json!({
            "name": one.name,
            "url": one.url,
            "there": one.report.is_some() || one.failure.is_some(),
            "last": one.last,
            "report": one.report,
            "error": one.failure,
        })
    };
    json!({ "copies": all.iter().map(one).collect::<Vec<_>>() })
}

/// `replicate`, for people.
pub(super) fn replicated(all: &[Replicated]) -> Lines {
    let mut text = Lines::default();
    for one in all {
        let name = one.name.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
        match (&one.report, &one.failure, &one.last) {
            (Some(report), ..) => report_lines(&mut text, &name, report),
            (None, Some(failure), _) => text.add(format!("{name}failed: {}", failure.message)),
            (None, None, Some(last)) => text.add(format!(
                "{name}{} is not there; it was seen last {} with {}",
                one.url,
                last.at,
                count(last.snapshots, "snapshot")
            )),
            (None, None, None) => text.add(format!(
                "{name}{} holds no copy yet, or is not there: `replicate --to {}` begins one",
                one.url, one.url
            )),
        }
    }
    text
}

fn report_lines(text: &mut Lines, name: &str, report: &ReplicateReport) {
    let verb = if report.dry_run { "would copy" } else { "copied" };
    text.add(format!(
        "{name}{verb} {} to {}, {} there already",
        count(report.copied.len() as u64, "snapshot"),
        report.target,
        if report.there == 1 { "1 was".to_owned() } else { format!("{} were", report.there) }
    ));
    moved(text, &report.moved);
    if !report.left_out.is_empty() {
        text.add(format!("  left out {}; what was found says why", count(report.left_out.len() as u64, "snapshot")));
    }
    if let Some(until) = report.weakest_lock {
        text.add(format!("  locks   the first that was read ends {until}"));
    }
    parity(text, report.parity.as_ref());
    let calls = |calls: &crate::store::counted::Calls| {
        format!("{} listed, {} read, {} looked at, {} put", calls.list, calls.get, calls.head, calls.put)
    };
    text.add(format!("  calls   source: {}; target: {}", calls(&report.source_calls), calls(&report.target_calls)));
}

/// How the parity beside it stands.
fn parity(text: &mut Lines, kept: Option<&Kept>) {
    if let Some(kept) = kept {
        text.add(format!(
            "  parity  {} of {} in {} ({}), {} written anew",
            kept.rate,
            count(kept.objects, "object"),
            count(kept.groups, "file"),
            size::human(kept.bytes),
            kept.written
        ));
    }
}

fn moved(text: &mut Lines, moved: &BTreeMap<&'static str, CopiedCount>) {
    for (kind, one) in moved {
        text.add(format!("  {kind:<11} {} ({})", count(one.objects, "object"), size::human(one.bytes)));
    }
}

/// `repair`, for people.
pub(super) fn repaired(report: &RepairReport) -> Lines {
    let mut text = Lines::default();
    let verb = if report.dry_run { "would put right" } else { "put right" };
    text.add(format!(
        "{} looked at; {verb} {} from {}",
        count(report.snapshots, "snapshot"),
        count(report.objects, "object"),
        report.from
    ));
    moved(&mut text, &report.mended);
    if report.extended > 0 {
        text.add(format!("  locks   {} extended", count(report.extended, "lock")));
    }
    parity(&mut text, report.parity.as_ref());
    if !report.broken.is_empty() {
        text.add(format!("  still broken: {}", count(report.broken.len() as u64, "snapshot")));
    }
    text
}
