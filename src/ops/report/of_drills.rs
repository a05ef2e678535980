//! The page of a run of drills.

use super::{Case, DrillLine, Page, Status, Suite, lasting, plural, when};
use crate::{
    engine::{self, Check},
    model::{Finding, Severity, size},
    ops::drill::{Drill, DrillReport, Parts},
};

/// The report of drills, with the drills of the past that are known.
#[must_use]
pub fn of_drills(report: &DrillReport, findings: &[Finding], past: Vec<DrillLine>) -> Page {
    let failed = report.failed().len();
    let worst = if failed > 0 { Some(Severity::Error) } else { crate::ops::verify::worst(findings) };
    let mut drills = past;
    // What was not signed is in no evidence, and belongs to the picture all the same.
    drills.extend(report.drills.iter().filter(|drill| drill.evidence.is_none()).map(|drill| line(report, drill)));
    Page {
        title: "Recovery drill".to_owned(),
        vault: report.vault,
        url: report.url.clone(),
        at: report.at,
        worst,
        headline: headline(report, failed),
        facts: facts(report, failed),
        suites: report.drills.iter().map(suite).collect(),
        findings: findings.to_vec(),
        not_checked: Vec::new(),
        sources: Vec::new(),
        snapshots: Vec::new(),
        drills,
    }
}

fn line(report: &DrillReport, drill: &Drill) -> DrillLine {
    DrillLine {
        at: report.at,
        source: drill.source.to_string(),
        passed: drill.passed,
        rto_s: Some(drill.rto_s),
        rpo_s: age(drill),
        member: None,
        suspect: false,
    }
}

#[allow(clippy::cast_precision_loss, reason = "an age for people")]
fn age(drill: &Drill) -> Option<f64> {
    drill.rpo_s.map(|seconds| seconds as f64)
}

fn headline(report: &DrillReport, failed: usize) -> String {
    let all = plural(report.drills.len() as u64, "source");
    if failed == 0 {
        let are = if report.drills.len() == 1 { "was restored and is" } else { "were restored and are" };
        return format!("{all} {are} what was backed up, according to the checks below");
    }
    let names: Vec<&str> = report.failed().iter().map(|name| name.as_str()).collect();
    format!("{failed} of {all} did not pass: {}", names.join(", "))
}

fn facts(report: &DrillReport, failed: usize) -> Vec<(String, String)> {
    let drills = &report.drills;
    let mut facts = Vec::new();
    let mut add = |name: &str, value: String| facts.push((name.to_owned(), value));
    add("Passed", format!("{} of {}", drills.len() - failed, drills.len()));
    add("Checks", drills.iter().map(|drill| drill.checks.len()).sum::<usize>().to_string());
    add("Longest recovery", lasting(drills.iter().map(|drill| drill.rto_s).fold(0.0, f64::max)));
    if let Some(oldest) = drills.iter().filter_map(age).reduce(f64::max) {
        add("Oldest data", lasting(oldest));
    }
    add("Restored", size::human(drills.iter().map(|drill| drill.bytes).sum()));
    facts
}

fn suite(drill: &Drill) -> Suite {
    let mut facts = Vec::new();
    let mut add = |name: &str, value: String| facts.push((name.to_owned(), value));
    add("Engine", if drill.engine.is_empty() { "none was started".to_owned() } else { drill.engine.clone() });
    add("Confined by", drill.confinement.clone());
    if let Some(id) = &drill.snapshot {
        add("Snapshot", format!("{} · {}", id.short(), size::human(drill.bytes)));
    }
    if let Some(at) = drill.created_at {
        add("Taken", format!("{} UTC", when(at)));
    }
    if let Some(age) = age(drill) {
        add("Data was old", lasting(age));
    }
    if let Some(writer) = &drill.writer {
        add("Writer", writer.to_string());
    }
    add("Evidence", drill.evidence.clone().unwrap_or_else(|| "none was stored".to_owned()));
    let Parts { list_s, fetch_s, load_s, check_s } = drill.parts;
    let parts = [("list", list_s), ("fetch", fetch_s), ("load", load_s), ("check", check_s)];
    Suite {
        name: format!("drill {}", drill.source),
        seconds: Some(drill.rto_s),
        cases: drill.checks.iter().map(case).collect(),
        facts,
        parts: parts.map(|(name, seconds)| (name.to_owned(), seconds)).into(),
        not_checked: drill.not_tested.clone(),
    }
}

fn case(check: &Check) -> Case {
    let (status, detail) = match check.status {
        engine::Status::Pass => (Status::Pass, None),
        engine::Status::Fail => (Status::Fail, None),
        engine::Status::Error => (Status::Error, Some("could not be run".to_owned())),
    };
    Case { name: check.name.clone(), status, expected: check.expected.clone(), actual: check.actual.clone(), detail }
}
