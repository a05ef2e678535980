//! `doctor`, for people.

use std::fmt::Write as _;

use super::{finding_line, plural};
use crate::{
    model::Finding,
    ops::doctor::{DoctorReport, Status},
};

/// For people: what is not as it should be comes last, where it is read.
pub(super) fn text(report: &DoctorReport, findings: &[Finding]) -> String {
    let mut text = String::new();
    let width = report.checks.iter().map(|check| check.name.len()).max().unwrap_or_default();
    let bad = |status| matches!(status, Status::Allowed | Status::Failed | Status::CouldNotRun);
    let (last, first): (Vec<_>, Vec<_>) = report.checks.iter().partition(|check| bad(check.status));
    for check in first.iter().chain(&last) {
        let _ = writeln!(text, "{:<13} {:<width$}  {}", check.status.as_str(), check.name, check.detail);
    }
    for finding in findings {
        text.push_str(&finding_line(finding));
        text.push('\n');
    }
    let good = plural(first.len(), "check");
    let _ = writeln!(text, "as {}: {good} as they should be, {} not", report.role.as_str(), last.len());
    if let Some(evidence) = &report.evidence {
        let _ = writeln!(text, "the signed result is kept as {evidence}");
    }
    text
}
