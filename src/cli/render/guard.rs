//! `freeze`, `release`, `approvers`, `approve` and `key`, for people.

use std::path::PathBuf;

use super::{Lines, plural};
use crate::{
    model::{Name, SnapshotId, size},
    ops::{
        approve::{ApproversReport, CheckReport},
        freeze::{FreezeReport, HoldLine, ReleaseReport},
        shares::{CombineReport, SplitReport},
    },
};

/// So many digits of a hold's hash are shown: as many as `release` needs, and some.
const DIGITS: usize = 12;
/// So many snapshots are named.
const SHOWN: usize = 20;

fn count(n: u64, what: &str) -> String {
    plural(usize::try_from(n).unwrap_or(usize::MAX), what)
}

fn short(hash: &impl ToString) -> String {
    hash.to_string().chars().take(DIGITS).collect()
}

/// `freeze`, for people.
pub(super) fn frozen(report: &FreezeReport) -> Lines {
    let mut text = Lines::default();
    let held = plural(report.snapshots.len(), "snapshot");
    text.add(format!("hold {}: {held} held until {}, signed by {}", short(&report.hold), report.until, report.member));
    for line in report.snapshots.iter().take(SHOWN) {
        text.add(format!("  {}  {} of {}, taken {}", line.id.short(), line.source, line.writer, line.created_at));
    }
    if let Some(more) = report.snapshots.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        text.add(format!("  and {more} more"));
    }
    let (extended, bytes) = (count(report.extended, "lock"), size::human(report.bytes));
    text.add(format!("  {} needed; extended {extended} ({bytes})", count(report.objects, "object")));
    if let Some(until) = report.locked_until {
        text.add(format!("  all of it is locked until {until} at least"));
    }
    if report.locked_until.is_none_or(|until| until < report.until) {
        text.add("  `renew` extends the locks while the hold lasts: run it daily");
    }
    text
}

/// `snapshots --holds`, for people.
pub(super) fn holds(lines: &[HoldLine]) -> Lines {
    if lines.is_empty() {
        return Lines::of(["no holds"]);
    }
    let mut text = Lines::default();
    for line in lines {
        let state = match (&line.released, line.suspect, line.holds) {
            (Some(at), ..) => format!("lifted at {at}"),
            (_, true, _) => "holds nothing: its keeper was revoked before".to_owned(),
            (_, _, true) => format!("until {}", line.until),
            _ => format!("ended {}", line.until),
        };
        let (hold, snapshots) = (short(&line.hold), plural(line.snapshots.len(), "snapshot"));
        let reason = line.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
        text.add(format!("{hold}  {snapshots} since {} by {}, {state}{reason}", line.since, line.member));
        let ids: Vec<String> = line.snapshots.iter().take(SHOWN).map(SnapshotId::short).collect();
        let more = line.snapshots.len().checked_sub(SHOWN).filter(|more| *more > 0);
        text.add(format!("  {}{}", ids.join(" "), more.map_or_else(String::new, |more| format!(" and {more} more"))));
    }
    text
}

/// `release`, for people.
pub(super) fn released(report: &ReleaseReport) -> Lines {
    let mut text = Lines::default();
    let held = plural(report.snapshots.len(), "snapshot");
    text.add(format!(
        "hold {} is lifted: {held} may go once their own time and their locks are over",
        short(&report.hold)
    ));
    if !report.approved_by.is_empty() {
        let names: Vec<&str> = report.approved_by.iter().map(Name::as_str).collect();
        text.add(format!("  approved by {}", names.join(", ")));
    }
    text
}

/// `approvers`, for people.
pub(super) fn approvers(report: Option<&ApproversReport>) -> Lines {
    let Some(report) = report else { return Lines::of(["no list of approvers: nothing here needs approvals"]) };
    let mut text = Lines::default();
    text.add(format!("approvers of vault {}, revision {}, since {}", report.vault_id, report.rev, report.since));
    for person in &report.people {
        text.add(format!("  {}  {}", person.name, person.keys.join(" ")));
    }
    for (action, needed) in &report.needs {
        text.add(format!("  {action} needs {needed} of {}", report.people.len()));
    }
    if report.needs.is_empty() {
        text.add("  nothing needs them yet: --need ACTION=N");
    }
    text
}

/// `approve check`, for people.
pub(super) fn checked(report: &CheckReport) -> Lines {
    let mut text = Lines::default();
    let parameters: Vec<String> = report.parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
    text.add(format!("{} {}, until {}", report.action, parameters.join(" "), report.not_after));
    if let Some(reason) = &report.reason {
        text.add(format!("  reason   {reason}"));
    }
    let names: Vec<&str> = report.signed_by.iter().map(Name::as_str).collect();
    let names = if names.is_empty() { "nobody".to_owned() } else { names.join(", ") };
    text.add(format!("  signed   {} of {}: {names}", report.signed_by.len(), report.needed));
    for why in &report.refused {
        text.add(format!("  refused  {why}"));
    }
    if report.approved {
        text.add("  it would be let through");
    }
    text
}

/// `key split`, for people.
pub(super) fn split(report: &SplitReport, files: &[PathBuf]) -> Lines {
    let mut text = Lines::default();
    text.add(format!("{} of {} shares restore the identity of {}", report.threshold, report.shares, report.recipient));
    for file in files {
        text.add(format!("  {}", file.display()));
    }
    text.add("print each, give it to somebody else, and delete the files; try `key combine` before the identity goes");
    text
}

/// `key combine`, for people.
pub(super) fn combined(report: &CombineReport, files: &[PathBuf]) -> Lines {
    let mut text = Lines::default();
    let used: Vec<String> = report.used.iter().map(u8::to_string).collect();
    text.add(format!("shares {} restored the identity of {}", used.join(", "), report.recipient));
    for file in files {
        text.add(format!("  {}", file.display()));
    }
    text
}
