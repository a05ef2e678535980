//! Reports of verifications and drills for people and for machines: JSON, Markdown, `JUnit` XML, and one HTML page.
//!
//! What is to be told is gathered in a [`Page`], and each form writes that. None of it holds a secret: it comes out of
//! findings, headers and evidence.

mod charts;
mod html;
mod junit;
mod markdown;
mod markup;
mod of_drills;
mod suites;

use serde::Serialize;
use serde_json::Value;

pub(super) use markdown::text as marked_down;
pub(super) use markup::{capital, escape};
pub use of_drills::of_drills;

use super::{evidence::Signed, verify::VerifyReport};
use crate::{
    format::evidence::EvidenceKind,
    model::{Finding, Severity, Time, VaultId, lasting, size, visible},
    vault::audit::{Depth, Freshness, Seen},
};

/// A form of report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One self-contained page.
    Html,
    /// Markdown that fits the step summary of a CI job.
    Markdown,
    /// `JUnit` XML.
    Junit,
    /// Everything, for scripts.
    Json,
}

impl Form {
    /// The form that a file of this extension has.
    #[must_use]
    pub fn of_extension(extension: &str) -> Option<Self> {
        match extension {
            "html" | "htm" => Some(Self::Html),
            "md" => Some(Self::Markdown),
            "xml" => Some(Self::Junit),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should.
    Pass,
    /// Otherwise.
    Fail,
    /// It could not be carried out, which never counts as a pass.
    Error,
}

/// One check.
#[derive(Debug, Clone, Serialize)]
pub struct Case {
    /// What was checked.
    pub name: String,
    /// How it came out.
    pub status: Status,
    /// What should have been.
    pub expected: Option<String>,
    /// What was.
    pub actual: Option<String>,
    /// What else is to be said.
    pub detail: Option<String>,
}

/// Checks that belong together, such as those of one drill or of one snapshot.
#[derive(Debug, Clone, Serialize)]
pub struct Suite {
    /// What was looked at.
    pub name: String,
    /// How long it took, if that matters.
    pub seconds: Option<f64>,
    /// The checks.
    pub cases: Vec<Case>,
    /// What else is to be told of it, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<(String, String)>,
    /// The parts of the time that it took.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<(String, f64)>,
    /// What its checks say nothing about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_checked: Vec<String>,
}

impl Suite {
    /// Whether it has more to tell than findings do.
    fn tells_more(&self) -> bool {
        !self.facts.is_empty() || self.cases.iter().any(|case| case.expected.is_some())
    }
}

/// One drill of the past or of now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DrillLine {
    /// When.
    pub at: Time,
    /// Of which source.
    pub source: String,
    /// Whether every check passed.
    pub passed: bool,
    /// How long the recovery took, in seconds.
    pub rto_s: Option<f64>,
    /// How old the data was, in seconds.
    pub rpo_s: Option<f64>,
    /// Who signed it; nobody yet if it is of now.
    pub member: Option<String>,
    /// Whether that member was revoked from a time before it.
    pub suspect: bool,
}

/// What a report tells.
#[derive(Debug, Clone, Serialize)]
pub struct Page {
    /// What it is about, such as `Verification`.
    pub title: String,
    /// The vault.
    pub vault: VaultId,
    /// Where it is.
    pub url: String,
    /// When, by the store's clock.
    pub at: Time,
    /// The worst that was found; nothing if all is well.
    pub worst: Option<Severity>,
    /// The result in one sentence.
    pub headline: String,
    /// Figures, in order.
    pub facts: Vec<(String, String)>,
    /// Checks.
    pub suites: Vec<Suite>,
    /// Everything that was found.
    pub findings: Vec<Finding>,
    /// What was not checked.
    pub not_checked: Vec<String>,
    /// How sources stand with their schedule.
    pub sources: Vec<Freshness>,
    /// The snapshots, oldest first.
    pub snapshots: Vec<Seen>,
    /// Drills, oldest first.
    pub drills: Vec<DrillLine>,
}

impl Page {
    /// The report in this form.
    #[must_use]
    pub fn write(&self, form: Form) -> String {
        match form {
            Form::Html => html::page(self),
            Form::Markdown => markdown::page(self),
            Form::Junit => junit::page(self),
            Form::Json => serde_json::to_string_pretty(self).unwrap_or_default() + "\n",
        }
    }

    /// What it is called, for people.
    fn verdict(&self) -> &'static str {
        match self.worst {
            Some(Severity::Error) => "failed",
            Some(Severity::Weak) => "weak",
            Some(Severity::Warning) => "passed, with warnings",
            Some(Severity::Info) | None => "passed",
        }
    }

    /// The findings, worst first, in the order in which they were found.
    fn sorted(&self) -> Vec<&Finding> {
        let mut sorted: Vec<&Finding> = self.findings.iter().collect();
        sorted.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        sorted
    }
}

/// The report of a verification.
#[must_use]
pub fn of_verification(report: &VerifyReport, findings: &[Finding]) -> Page {
    let worst = super::verify::worst(findings);
    Page {
        title: "Verification".to_owned(),
        vault: report.vault_id,
        url: report.url.clone(),
        at: report.at,
        worst,
        headline: headline(report, findings),
        facts: facts(report),
        suites: suites(report, findings),
        findings: findings.to_vec(),
        not_checked: report.not_checked.clone(),
        sources: report.sources.clone(),
        snapshots: report.seen.clone(),
        drills: drills(&report.history),
    }
}

fn headline(report: &VerifyReport, findings: &[Finding]) -> String {
    let count = |severity| findings.iter().filter(|f| f.severity == severity).count();
    let checked = format!("{} and their {}", plural(report.snapshots, "snapshot"), plural(report.objects, "object"));
    match super::verify::worst(findings) {
        Some(Severity::Error) => {
            format!("{} of damage among {checked}", plural(count(Severity::Error) as u64, "finding"))
        }
        Some(Severity::Weak) => {
            format!("{checked} are there, but {} less protected than promised", are(count(Severity::Weak)))
        }
        Some(Severity::Warning) => {
            format!(
                "{checked} are as they were signed; {} to look at",
                plural(count(Severity::Warning) as u64, "warning")
            )
        }
        Some(Severity::Info) | None => format!("{checked} are as they were signed, and locked as promised"),
    }
}

fn are(n: usize) -> String {
    if n == 1 { "1 thing is".to_owned() } else { format!("{n} things are") }
}

fn facts(report: &VerifyReport) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    let mut add = |name: &str, value: String| facts.push((name.to_owned(), value));
    let depth = match report.depth {
        Depth::Locks => "signatures, presence and locks",
        Depth::Read => "locks, and every stored byte",
        Depth::Decrypt => "locks, stored bytes, and every stream",
    };
    add("Depth", depth.to_owned());
    if let Some((a, b)) = report.sample {
        add("Sample", format!("part {a} of {b}"));
    }
    add("Snapshots", report.snapshots.to_string());
    add("Objects", format!("{} · {}", report.objects, size::human(report.bytes)));
    add("Read", size::human(report.bytes_read));
    if report.depth == Depth::Decrypt {
        add("Decrypted", format!("{} in {}", size::human(report.bytes_decoded), plural(report.streams, "stream")));
    }
    if let Some(until) = report.weakest_lock {
        add("First lock ends", when(until));
    }
    let calls = report.calls;
    add("Calls", (calls.get + calls.head + calls.list + calls.put).to_string());
    if let Some(cost) = report.cost {
        let transfer =
            if cost.transfer_usd < 0.005 { String::new() } else { format!(" + {:.2} transfer", cost.transfer_usd) };
        add("Cost, about", format!("${:.4}{transfer}", cost.requests_usd));
    }
    if report.foreign > 0 {
        add("Foreign objects", format!("{} · {}", report.foreign, size::human(report.foreign_bytes)));
    }
    if let Some(left) = &report.evidence {
        add("Evidence", left.key.clone());
    }
    facts
}

/// One suite for the vault, and one check for each snapshot.
fn suites(report: &VerifyReport, findings: &[Finding]) -> Vec<Suite> {
    let case = |name: String, concerned: Vec<&Finding>| {
        let bad: Vec<String> = concerned.iter().filter(|f| f.severity >= Severity::Weak).map(|f| line(f)).collect();
        let status = if bad.is_empty() { Status::Pass } else { Status::Fail };
        let detail = (!bad.is_empty()).then(|| bad.join("\n"));
        Case { name, status, expected: None, actual: None, detail }
    };
    let mut cases = vec![case("the vault".to_owned(), findings.iter().filter(|f| f.snapshot.is_none()).collect())];
    for seen in &report.seen {
        let id = seen.id.to_string();
        let concerned = findings.iter().filter(|f| f.snapshot.as_ref() == Some(&id)).collect();
        cases.push(case(format!("{} {} {}", seen.source, seen.started_at, seen.id.short()), concerned));
    }
    // What concerns a snapshot that is not there any more.
    let known =
        |f: &&Finding| f.snapshot.as_ref().is_some_and(|id| !report.seen.iter().any(|s| s.id.to_string() == *id));
    let others: Vec<&Finding> = findings.iter().filter(known).collect();
    if !others.is_empty() {
        cases.push(case("other snapshots".to_owned(), others));
    }
    let (facts, parts, not_checked) = (Vec::new(), Vec::new(), Vec::new());
    vec![Suite { name: "strongroom verify".to_owned(), seconds: None, cases, facts, parts, not_checked }]
}

/// The drills among pieces of evidence. One piece may hold several, as `drills`.
#[must_use]
pub fn drills(evidence: &[Signed]) -> Vec<DrillLine> {
    let mut lines = Vec::new();
    for signed in evidence.iter().filter(|signed| signed.evidence.kind == EvidenceKind::Drill) {
        let result = &signed.evidence.result;
        let one = std::slice::from_ref(result);
        let all = result.get("drills").and_then(Value::as_array).map_or(one, Vec::as_slice);
        for drill in all {
            let number = |name: &str| drill.get(name).and_then(Value::as_f64);
            lines.push(DrillLine {
                at: signed.evidence.at,
                source: drill.get("source").and_then(Value::as_str).unwrap_or("?").to_owned(),
                passed: drill.get("passed").and_then(Value::as_bool).unwrap_or(false),
                rto_s: number("rto_s"),
                rpo_s: number("rpo_s"),
                member: Some(signed.evidence.member.to_string()),
                suspect: signed.suspect,
            });
        }
    }
    lines
}

/// A finding in one line of text.
fn line(finding: &Finding) -> String {
    let object = finding.object.as_ref().map(|object| format!("{object}: ")).unwrap_or_default();
    visible(&format!("{}: {object}{} [{}]", finding.severity.as_str(), finding.message, finding.code))
}

fn plural(n: u64, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// A time for people: the day and the minute.
pub(super) fn when(time: Time) -> String {
    let text = time.to_string();
    match text.get(..16) {
        Some(minute) => minute.replace('T', " "),
        None => text,
    }
}

/// The day of a time.
fn day(time: Time) -> String {
    time.to_string().chars().take(10).collect()
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
