//! The page as Markdown, for a ticket or a chat.

use std::fmt::Write as _;

use super::{
    IncidentReport, Loss, SourcePage, State, Step,
    words::{count, judged, said, say_beyond, say_stand, say_state, span},
};
use crate::{
    model::size,
    ops::report::{capital, marked_down as text, when},
};

/// So many rows of tables are shown.
const LISTED: usize = 40;

/// The page.
pub(super) fn page(report: &IncidentReport) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "# Incident: {}\n", text(&report.headline()));
    let _ = writeln!(out, "{} · {} UTC · vault {}\n", text(&report.url), when(report.at), report.vault);
    let _ = writeln!(out, "{}", judged(report));
    for page in &report.sources {
        source(page, &mut out);
    }
    if !report.commands.is_empty() {
        out.push_str("\n## For the vault as a whole\n");
        commands(&report.commands, &mut out);
    }
    out
}

fn source(page: &SourcePage, out: &mut String) {
    let _ = writeln!(
        out,
        "\n## {} of writer {}: {}\n",
        text(page.source.as_str()),
        text(page.writer.as_str()),
        say_state(page.state)
    );
    let _ = writeln!(out, "{}.\n", text(&capital(&page.headline)));
    let mut line = |name: &str, point: Option<&super::Point>| {
        let Some(point) = point else { return };
        let (at, age, bytes) = (when(point.at), span(point.age_s), size::human(point.bytes));
        let _ = writeln!(out, "- {name}: `{}`, {at} UTC, {age} ago, {bytes}", point.id.short());
    };
    line("last good snapshot", page.last_good.as_ref());
    line("first bad snapshot", page.first_bad.as_ref());
    line("newest", Some(&page.newest));
    if page.state != State::Calm && !page.commands.is_empty() {
        out.push_str("\n### What to type\n");
        commands(&page.commands, out);
    }
    if let Some(loses) = &page.loses {
        loss(loses, out);
    }
    if let Some(journal) = &page.journal {
        let _ = writeln!(out, "\n### Between the snapshots\n\n{}.", text(&capital(&say_beyond(journal))));
    }
    if page.state == State::Calm {
        return;
    }
    out.push_str("\n### What changed, newest first\n\n");
    for row in page.timeline.iter().rev() {
        let _ = writeln!(
            out,
            "- {} `{}` **{}** {}",
            when(row.at),
            row.id.short(),
            say_stand(row.stand),
            size::human(row.bytes)
        );
        for reason in &row.reasons {
            let _ = writeln!(out, "  - **{}** ({})", text(&reason.words), text(&reason.rule));
        }
        for change in &row.changes {
            let _ = writeln!(out, "  - {}", text(&said(change)));
        }
    }
    if page.earlier > 0 {
        let _ = writeln!(out, "\n{} earlier snapshots are not shown.", page.earlier);
    }
}

/// Commands between fences. What comes out of data is quoted for a shell and holds no line break, so no fence ends early.
fn commands(steps: &[Step], out: &mut String) {
    for step in steps {
        let fence = if step.command.contains("```") { "``````" } else { "```" };
        let _ = writeln!(out, "\n{}\n\n{fence}sh\n{}\n{fence}", text(&step.what), step.command);
    }
}

fn loss(loss: &Loss, out: &mut String) {
    let _ = writeln!(out, "\n### What restoring it loses\n\n{}.", text(&capital(&loss.said())));
    if !loss.rows.is_empty() {
        out.push_str("\n| table | good | now | then |\n| --- | ---: | ---: | --- |\n");
        for row in loss.rows.iter().take(LISTED) {
            let (good, newest) = (count(row.good), count(row.newest));
            let _ = writeln!(out, "| {} | {good} | {newest} | {} |", text(&row.table), text(&row.said()));
        }
    }
    if !loss.refs.is_empty() {
        out.push_str("\n| ref | good | now |\n| --- | --- | --- |\n");
        for one in loss.refs.iter().take(LISTED) {
            let oid = |oid: &Option<String>| {
                oid.as_ref().map_or_else(|| "–".to_owned(), |oid| oid.chars().take(12).collect())
            };
            let _ = writeln!(out, "| {} | {} | {} |", text(&one.name), text(&oid(&one.good)), text(&oid(&one.newest)));
        }
    }
    let more = loss.more_rows
        + loss.more_refs
        + loss.rows.len().saturating_sub(LISTED)
        + loss.refs.len().saturating_sub(LISTED);
    if more > 0 {
        let _ = writeln!(out, "\n{more} more are left out here.");
    }
}
