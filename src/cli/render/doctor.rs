//! `doctor`, for people.

use super::{Lines, finding::finding_text, plural};
use crate::{
    model::Finding,
    ops::doctor::{Check, DoctorReport, Status},
};

/// For people: what is not as it should be comes last, where it is read.
pub(super) fn text(report: &DoctorReport, findings: &[Finding]) -> Lines {
    let mut text = Lines::default();
    let (good, bad) = checks(&report.checks, &mut text);
    for finding in findings {
        text.add(finding_text(finding));
    }
    let good = plural(good, "check");
    text.add(format!("as {}: {good} passed, {bad} failed", report.role.as_str()));
    if let Some(evidence) = &report.evidence {
        text.add(format!("the signed result is kept as {evidence}"));
    }
    text
}

/// Each check on a line; tells how many are as they should be, and how many are not.
pub(super) fn checks(checks: &[Check], text: &mut Lines) -> (usize, usize) {
    let width = checks.iter().map(|check| check.name.len()).max().unwrap_or_default();
    let bad = |status| matches!(status, Status::Allowed | Status::Failed | Status::CouldNotRun);
    let (last, first): (Vec<_>, Vec<_>) = checks.iter().partition(|check| bad(check.status));
    for check in first.iter().chain(&last) {
        text.add(format!("{:<13} {:<width$}  {}", check.status.as_str(), check.name, check.detail));
    }
    (first.len(), last.len())
}
