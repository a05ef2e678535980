//! `verify`, for people.

use std::fmt::Write as _;

use super::{Lines, finding_lines, plural};
use crate::{
    model::{Finding, Severity, codes, lasting, size},
    ops::verify::{Recovery, VerifyReport},
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
    if let Some(parity) = &report.parity {
        let (files, covered) = (many(parity.groups, "file"), many(parity.objects, "object"));
        let rate = parity.rate.map(|rate| format!(" of {rate}")).unwrap_or_default();
        text.add(format!("parity{rate}: {files} ({}) cover {covered}", size::human(parity.bytes)));
    }
    for hold in report.holds.iter().filter(|hold| hold.holds) {
        let (short, held) = (hold.hold.short(), many(hold.snapshots.len() as u64, "snapshot"));
        text.add(format!("hold {short} of {} keeps {held} until {}", hold.member, hold.until));
    }
    recoveries(report, &mut text);
    for not in &report.not_checked {
        text.add(format!("not checked: {not}"));
    }
    if let Some(left) = &report.evidence {
        let (key, member, until) = (&left.key, &left.member, left.locked_until);
        text.add(format!("the result is kept as {key}, signed by {member}, until {until}"));
    }
    text
}

/// Up to where the newest base of each source can be recovered, and those before it that meet a gap.
fn recoveries(report: &VerifyReport, text: &mut Lines) {
    let mut newest: Vec<&Recovery> = Vec::new();
    for one in &report.recoveries {
        newest.retain(|other| other.gap.is_some() || (&other.writer, &other.source) != (&one.writer, &one.source));
        newest.push(one);
    }
    for one in newest.iter().take(SHOWN) {
        let mut line = format!("{} of {}", one.source, one.snapshot.short());
        let _ = match &one.to_text {
            Some(to) => write!(line, ": recoverable from {} to {to}", one.from_text),
            None => write!(line, ": recoverable as it is, at {}, and no further", one.from_text),
        };
        for further in &one.goes_on {
            let _ = write!(line, ", on {} to {}", further.line, further.to_text);
        }
        if let Some((from, to)) = &one.gap_text {
            let _ = write!(line, "; gap at {from} to {to}");
        }
        if let Some((at, age)) = one.newest_at.zip(one.age_s) {
            let newest = one.newest.map(|at| one.line.say(at)).unwrap_or_default();
            let _ = write!(
                line,
                "; newest {newest}, {} old ({at})",
                lasting(f64::from(u32::try_from(age).unwrap_or(u32::MAX)))
            );
        }
        text.add(line);
    }
    if let Some(more) = newest.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        text.add(format!("and {more} more bases with gaps: --json has all"));
    }
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
