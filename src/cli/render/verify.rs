//! `verify`, for people.

use std::fmt::Write as _;

use super::{Lines, finding_lines, plural};
use crate::{
    model::{Finding, Severity, codes, size},
    ops::verify::VerifyReport,
    vault::audit::Depth,
};

/// So many findings of each kind are shown.
const SHOWN: usize = 20;

/// For people.
pub(super) fn text(report: &VerifyReport, findings: &[Finding]) -> Lines {
    let depth = match report.depth {
        Depth::Locks => "signatures, presence and locks",
        Depth::Read => "signatures, presence, locks and every stored byte",
        Depth::Decrypt => "signatures, presence, locks, every stored byte and every stream",
    };
    let many = |n: u64, what| plural(usize::try_from(n).unwrap_or(usize::MAX), what);
    let mut text = Lines::of(finding_lines(findings, SHOWN).into_iter().chain(next(findings)));
    let (snapshots, objects) = (many(report.snapshots, "snapshot"), many(report.objects, "object"));
    let part = report.sample.map(|(a, b)| format!(", part {a} of {b}")).unwrap_or_default();
    text.add(format!("checked {snapshots} in {objects}: {depth}; {} read{part}", size::human(report.bytes_read)));
    let calls = report.calls;
    let mut asked = format!("asked the store {}", many(calls.get + calls.head + calls.list + calls.put, "time"));
    if let Some(cost) = report.cost {
        let _ = write!(
            asked,
            ": about ${:.4} at AWS list prices, and ${:.2} if the bytes leave the region",
            cost.requests_usd, cost.transfer_usd
        );
    }
    text.add(asked);
    if let (Some(until), Some(object)) = (report.weakest_lock, &report.weakest_object) {
        text.add(format!("the first lock that a snapshot needs ends {until} ({object})"));
    }
    for not in &report.not_checked {
        text.add(format!("not checked: {not}"));
    }
    if let Some(left) = &report.evidence {
        let (key, member, until) = (&left.key, &left.member, left.locked_until);
        text.add(format!("the result is kept as {key}, signed by {member}, until {until}"));
    }
    text
}

/// What to do about each kind of finding, told once.
fn next(findings: &[Finding]) -> Vec<String> {
    let mut codes: Vec<&str> =
        findings.iter().filter(|f| f.severity > Severity::Info).map(|finding| finding.code.as_str()).collect();
    codes.sort_unstable();
    codes.dedup();
    let known = codes.into_iter().filter_map(codes::of);
    known.map(|known| format!("what to do about {}: {}", known.code, known.next)).collect()
}
