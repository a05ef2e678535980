//! Markdown, short enough for the step summary of a CI job.

use std::fmt::Write as _;

use super::{Case, Page, Status, Suite, lasting, when};
use crate::model::{Finding, Severity, codes, visible};

/// How many findings, checks and drills are listed.
const LISTED: usize = 200;

/// The page.
pub(super) fn page(page: &Page) -> String {
    let mut out = String::new();
    let mark = match page.worst {
        Some(Severity::Error) => "❌",
        Some(Severity::Weak) => "🟠",
        Some(Severity::Warning) => "⚠️",
        Some(Severity::Info) | None => "✅",
    };
    let _ = writeln!(out, "## {mark} {} {}\n\n{}.\n", text(&page.title), page.verdict(), text(&page.headline));
    let _ = writeln!(out, "`{}` · vault `{}` · {}\n", code(&page.url), page.vault, when(page.at));
    out.push_str("| | |\n| --- | --- |\n");
    for (name, value) in &page.facts {
        let _ = writeln!(out, "| {} | {} |", text(name), text(value));
    }
    sources(page, &mut out);
    checks(page, &mut out);
    findings(&page.sorted(), &mut out);
    drills(page, &mut out);
    if !page.not_checked.is_empty() {
        out.push_str("\n**Not checked**\n\n");
        for not in &page.not_checked {
            let _ = writeln!(out, "- {}", text(not));
        }
    }
    out
}

fn sources(page: &Page, out: &mut String) {
    if page.sources.is_empty() {
        return;
    }
    out.push_str("\n| source | newest snapshot | expected | |\n| --- | --- | --- | --- |\n");
    for source in page.sources.iter().take(LISTED) {
        let newest = source.newest.map_or_else(|| "none".to_owned(), when);
        let every = match (source.every, source.told) {
            (Some(every), true) => format!("every {every}"),
            (Some(every), false) => format!("about every {every}, as before"),
            (None, _) => "not known".to_owned(),
        };
        let mark = if source.stale { "late" } else { "ok" };
        let _ = writeln!(out, "| {} | {newest} | {every} | {mark} |", text(source.source.as_str()));
    }
}

/// Checks that have more to tell than findings do: those of drills. One line for each suite, and then what did not pass.
fn checks(page: &Page, out: &mut String) {
    let told: Vec<&Suite> = page.suites.iter().filter(|suite| suite.tells_more()).take(LISTED).collect();
    if told.is_empty() {
        return;
    }
    let passed = |suite: &Suite| suite.cases.iter().filter(|case| case.status == Status::Pass).count();
    out.push_str("\n| | result | checks | took | of that |\n| --- | --- | --- | --- | --- |\n");
    for suite in &told {
        let result = if passed(suite) == suite.cases.len() { "passed" } else { "**failed**" };
        let parts: Vec<String> =
            suite.parts.iter().map(|(name, s)| format!("{} {}", text(name), lasting(*s))).collect();
        let _ = writeln!(
            out,
            "| {} | {result} | {} of {} | {} | {} |",
            text(&suite.name),
            passed(suite),
            suite.cases.len(),
            suite.seconds.map(lasting).unwrap_or_default(),
            parts.join(", ")
        );
    }
    for suite in told {
        let others: Vec<&Case> = suite.cases.iter().filter(|case| case.status != Status::Pass).collect();
        let facts: Vec<String> = suite.facts.iter().map(|(name, v)| format!("{}: {}", text(name), text(v))).collect();
        let _ = writeln!(out, "\n**{}** · {}", text(&suite.name), facts.join(" · "));
        if !others.is_empty() {
            out.push_str("\n| check | result | expected | found |\n| --- | --- | --- | --- |\n");
        }
        let value = |value: &Option<String>| text(value.as_deref().unwrap_or("–"));
        for case in others.iter().take(LISTED) {
            let status = if case.status == Status::Fail { "failed" } else { "could not be run" };
            let (expected, found) = (value(&case.expected), value(&case.actual));
            let _ = writeln!(out, "| {} | {status} | {expected} | {found} |", text(&case.name));
        }
        more(others.len(), out);
        if !suite.not_checked.is_empty() {
            out.push_str("\nNot tested:\n\n");
        }
        for not in &suite.not_checked {
            let _ = writeln!(out, "- {}", text(not));
        }
    }
}

fn findings(sorted: &[&Finding], out: &mut String) {
    if sorted.is_empty() {
        return;
    }
    out.push_str("\n| severity | code | object | what |\n| --- | --- | --- | --- |\n");
    for finding in sorted.iter().take(LISTED) {
        let object = finding.object.as_deref().or(finding.snapshot.as_deref()).unwrap_or_default();
        let object = if object.is_empty() { String::new() } else { format!("`{}`", code(object)) };
        let severity = finding.severity.as_str();
        let _ = writeln!(out, "| {severity} | `{}` | {object} | {} |", code(&finding.code), text(&finding.message));
    }
    more(sorted.len(), out);
    let mut seen: Vec<&str> = sorted.iter().map(|f| f.code.as_str()).collect();
    seen.dedup();
    seen.sort_unstable();
    seen.dedup();
    out.push_str("\n**What to do**\n\n");
    for known in seen.into_iter().filter_map(codes::of) {
        let _ = writeln!(out, "- `{}`: {}", known.code, text(known.next));
    }
}

fn drills(page: &Page, out: &mut String) {
    if page.drills.is_empty() {
        return;
    }
    out.push_str("\n| drill | source | result | recovery took | data was old |\n| --- | --- | --- | --- | --- |\n");
    let told = |seconds: Option<f64>| seconds.map(lasting).unwrap_or_default();
    for drill in page.drills.iter().rev().take(LISTED) {
        let result = if drill.passed { "passed" } else { "**failed**" };
        let suspect = if drill.suspect { ", signer revoked" } else { "" };
        let (at, source) = (when(drill.at), text(&drill.source));
        let _ =
            writeln!(out, "| {at} | {source} | {result}{suspect} | {} | {} |", told(drill.rto_s), told(drill.rpo_s));
    }
    more(page.drills.len(), out);
}

fn more(all: usize, out: &mut String) {
    if all > LISTED {
        let _ = writeln!(out, "\n{} more are left out here; the JSON report has all.", all - LISTED);
    }
}

/// Text that can't become markup: names of objects may come from anybody.
pub(in crate::ops) fn text(plain: &str) -> String {
    let plain = visible(plain);
    let mut out = String::with_capacity(plain.len());
    for c in plain.chars() {
        match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' => out.extend(['\\', c]),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            c => out.push(c),
        }
    }
    out
}

/// What stands between backticks in a table.
fn code(plain: &str) -> String {
    visible(plain).chars().map(|c| if matches!(c, '`' | '|' | '<') { '\u{fffd}' } else { c }).collect()
}
