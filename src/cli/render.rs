//! What people and scripts get to see. The only place that writes to standard output.

mod backup;
mod doctor;
mod drill;
mod init;
mod member;
mod restore;
mod snapshots;
mod upkeep;
mod verify;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{self, Write},
    path::PathBuf,
};

use serde::Serialize;
use serde_json::{Value, json};

use super::failure::Failure;
use crate::{
    model::{Finding, Severity},
    ops::{
        backup::BackupReport,
        catalog::RebuildReport,
        doctor::DoctorReport,
        drill::{DrillReport, HistoryLine},
        init::InitReport,
        member::MemberReport,
        member::RevokeReport,
        policy::Document,
        prune::PruneReport,
        renew::RenewReport,
        restore::RestoreReport,
        snapshots::SnapshotLine,
        verify::VerifyReport,
    },
};

/// What a command gives back.
pub enum Output {
    /// Nothing, since it failed before.
    Nothing,
    /// `init`, and the files that it left.
    Init(Box<InitReport>, Vec<PathBuf>),
    /// `renew`.
    Renew(RenewReport),
    /// `prune`.
    Prune(PruneReport),
    /// `member add`, and the files that it left.
    Member(MemberReport, Vec<PathBuf>),
    /// `member revoke`.
    Revoke(RevokeReport),
    /// `backup`.
    Backup(BackupReport),
    /// `snapshots`.
    Snapshots(Vec<SnapshotLine>),
    /// `restore`, and where to; nowhere if to standard output.
    Restore(RestoreReport, Option<PathBuf>),
    /// `verify`, and what it found.
    Verify(Box<VerifyReport>, Vec<Finding>),
    /// `policy`.
    Policy(Document),
    /// `doctor`, and what is worth saying besides.
    Doctor(Box<DoctorReport>, Vec<Finding>),
    /// `drill`.
    Drill(DrillReport),
    /// `drill --history`.
    Drills(Vec<HistoryLine>),
    /// `catalog rebuild`.
    Rebuild(RebuildReport),
    /// A text as it is.
    Text(String),
}

/// A command that ended.
pub struct Ended {
    /// What it is called.
    pub command: Option<&'static str>,
    /// What it gives back.
    pub output: Output,
    /// What it found. People were told already.
    pub findings: Vec<Finding>,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
}

#[derive(Serialize)]
struct Told<'a> {
    command: Option<&'static str>,
    ok: bool,
    result: Value,
    findings: &'a [Finding],
    error: Option<&'a Failure>,
}

/// How to show it.
#[derive(Debug, Clone, Copy)]
pub struct Console {
    /// As one JSON document.
    pub json: bool,
    /// Only warnings, errors and data that was asked for.
    pub quiet: bool,
}

impl Console {
    /// Shows how a command ended. Whoever does not listen any more misses it; that is no error.
    pub fn show(self, ended: &Ended) {
        let (mut out, mut err) = (io::stdout().lock(), io::stderr().lock());
        let shown = if self.json { document(&mut out, ended) } else { self.people(&mut out, &mut err, ended) };
        let _ = shown.and_then(|()| out.flush()).and_then(|()| err.flush());
    }

    fn people(self, out: &mut impl Write, err: &mut impl Write, ended: &Ended) -> io::Result<()> {
        let (result, asked_for) = text(&ended.output);
        if asked_for || !self.quiet {
            let result = if matches!(ended.output, Output::Text(_)) { result } else { clean(&result) };
            let beside = matches!(ended.output, Output::Restore(_, None));
            if beside { err.write_all(result.as_bytes())? } else { out.write_all(result.as_bytes())? }
        }
        out.flush()?;
        if let Some(failure) = &ended.failure {
            writeln!(err, "error: {}", clean(&failure.message))?;
            if let Some(hint) = &failure.hint {
                writeln!(err, "hint: {}", clean(hint))?;
            }
        }
        Ok(())
    }
}

fn document(out: &mut impl Write, ended: &Ended) -> io::Result<()> {
    let document = Told {
        command: ended.command,
        ok: ended.failure.is_none(),
        result: value(&ended.output),
        findings: &ended.findings,
        error: ended.failure.as_ref(),
    };
    serde_json::to_writer(&mut *out, &document)?;
    writeln!(out)
}

fn value(output: &Output) -> Value {
    match output {
        Output::Nothing => Value::Null,
        Output::Init(report, files) => with(report, "files", json!(files)),
        Output::Renew(report) => json!(report),
        Output::Prune(report) => json!(report),
        Output::Member(report, files) => with(report, "files", json!(files)),
        Output::Revoke(report) => json!(report),
        Output::Backup(report) => {
            let failed = report.failed.iter().map(|failed| {
                let failure = Failure::of_source(&failed.error);
                json!({ "source": failed.source, "kind": failure.kind, "message": failure.message })
            });
            json!({ "snapshots": report.snapshots, "failed": failed.collect::<Vec<_>>() })
        }
        Output::Snapshots(lines) => json!(lines),
        Output::Restore(report, to) => with(report, "to", json!(to)),
        Output::Verify(report, _) => json!(report),
        Output::Policy(document) => json!(document),
        Output::Doctor(report, _) => json!(report),
        Output::Drill(report) => json!(report),
        Output::Drills(lines) => json!({ "history": lines }),
        Output::Rebuild(report) => json!(report),
        Output::Text(text) => json!(text),
    }
}

/// A report with one more field.
fn with(report: &impl Serialize, key: &str, more: Value) -> Value {
    let mut value = json!(report);
    if let Value::Object(fields) = &mut value {
        fields.insert(key.to_owned(), more);
    }
    value
}

/// A finding for people.
#[must_use]
pub fn finding_line(finding: &Finding) -> String {
    let word = match finding.severity {
        Severity::Info => "note",
        Severity::Warning => "warning",
        Severity::Weak => "weak",
        Severity::Error => "damage",
    };
    // A source's failure is no damage to the vault.
    let word = if finding.code == "source.failed" { "failed" } else { word };
    let mut line = format!("{word}: ");
    if let Some(object) = &finding.object {
        let _ = write!(line, "{object}: ");
    }
    line.push_str(&finding.message);
    if let Some(snapshot) = &finding.snapshot {
        let _ = write!(line, " (snapshot {})", snapshot.chars().take(12).collect::<String>());
    }
    let _ = write!(line, " [{}]", finding.code);
    clean(&line)
}

/// Findings for people, in their order: of each kind the first `most`, and how many more there are.
#[must_use]
pub fn finding_lines<'a>(findings: impl IntoIterator<Item = &'a Finding>, most: usize) -> Vec<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut lines = Vec::new();
    for finding in findings {
        let count = counts.entry(&finding.code).or_default();
        *count += 1;
        if *count <= most {
            lines.push(finding_line(finding));
        }
    }
    let more = counts.into_iter().filter(|(_, count)| *count > most);
    lines.extend(more.map(|(code, count)| format!("and {} more [{code}]; --json has them", count - most)));
    lines
}

/// Control characters out of file names or other people's messages could rewrite what a terminal shows.
#[must_use]
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// The text for people, and whether it is data that was asked for.
fn text(output: &Output) -> (String, bool) {
    match output {
        Output::Nothing => (String::new(), false),
        Output::Init(report, files) => (init::text(report, files), false),
        Output::Renew(report) => (upkeep::renewed(report), false),
        Output::Prune(report) => (upkeep::pruned(report), false),
        Output::Member(report, files) => (member::added(report, files), false),
        Output::Revoke(report) => (member::revoked(report), false),
        Output::Backup(report) => (report.snapshots.iter().map(backup::text).collect(), false),
        Output::Snapshots(lines) => (snapshots::text(lines), true),
        Output::Restore(report, to) => (restore::text(report, to.as_ref()), false),
        // What verify finds is its result; elsewhere findings are remarks.
        Output::Verify(report, findings) => (verify::text(report, findings), !findings.is_empty()),
        // Writing to memory does not fail.
        Output::Policy(document) => (serde_json::to_string_pretty(document).unwrap_or_default() + "\n", true),
        Output::Doctor(report, findings) => (doctor::text(report, findings), true),
        Output::Drill(report) => (drill::text(report), report.drills.iter().any(|drill| !drill.passed)),
        Output::Drills(lines) => (drill::history(lines), true),
        Output::Rebuild(report) => {
            let RebuildReport { indexes, packs, chunks } = report;
            (format!("the catalog knows {chunks} chunks in {packs} packs again, from {indexes} indexes\n"), false)
        }
        Output::Text(text) => (text.clone(), true),
    }
}

fn plural(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_message_steers_the_terminal() {
        assert_eq!(clean("a\x1b[2Jb\r\nc"), "a\u{fffd}[2Jb\u{fffd}\nc");
    }

    #[test]
    fn a_finding_is_one_line() {
        let finding = Finding::new(Severity::Error, "pack.missing", "it is gone").on("packs/w/00").of("ab".repeat(32));
        assert_eq!(finding_line(&finding), "damage: packs/w/00: it is gone (snapshot abababababab) [pack.missing]");
    }

    #[test]
    fn a_failure_is_a_document_too() {
        let failure = Failure::usage("no such option");
        let ended = Ended { command: None, output: Output::Nothing, findings: Vec::new(), failure: Some(failure) };
        let mut out = Vec::new();
        document(&mut out, &ended).unwrap();
        let value: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["ok"], false);
        assert_eq!(value["result"], Value::Null);
        assert_eq!(value["error"]["kind"], "usage");
        assert_eq!(value["findings"], json!([]));
    }
}
