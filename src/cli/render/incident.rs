//! `incident`, for people at a terminal.

use super::{Lines, finding_lines, plural};
use crate::{
    model::{Finding, lasting, size},
    ops::incident::{IncidentReport, Loss, Point, Row, SourcePage, State, said, say_beyond, say_stand, say_state},
};

/// So many findings of each kind are told.
const SHOWN: usize = 5;
/// So many tables and refs are told.
const LISTED: usize = 15;
/// So many changes of each snapshot are told.
const CHANGES: usize = 8;

/// For people.
pub(super) fn text(report: &IncidentReport, findings: &[Finding]) -> Lines {
    let mut text = Lines::default();
    text.add(format!("{} ({}, {})", report.headline(), report.url, report.at));
    if report.judged_by == "headers" {
        text.add("no identity was given: only sizes and times were checked, nothing was opened");
    }
    for page in &report.sources {
        source(page, &mut text);
    }
    if !report.commands.is_empty() {
        text.add("");
        text.add("for the vault as a whole:");
        for step in &report.commands {
            text.add(format!("  {}:", step.what));
            text.add(format!("    {}", step.command));
        }
    }
    for line in finding_lines(findings, SHOWN) {
        text.add(line);
    }
    text
}

fn source(page: &SourcePage, text: &mut Lines) {
    text.add("");
    let state = say_state(page.state).to_uppercase();
    text.add(format!("{} of writer {}: {state}", page.source, page.writer));
    text.add(format!("  {}", page.headline));
    if page.state == State::Calm {
        return;
    }
    point("last good snapshot", page.last_good.as_ref(), text);
    point("first bad snapshot", page.first_bad.as_ref(), text);
    point("newest", Some(&page.newest), text);
    if let Some(loss) = &page.loses {
        loses(loss, text);
    }
    if let Some(journal) = &page.journal {
        text.add(format!("  {}", say_beyond(journal)));
    }
    text.add("  what changed, newest first:");
    for row in page.timeline.iter().rev() {
        one(row, text);
    }
    if page.earlier > 0 {
        let earlier = plural(usize::try_from(page.earlier).unwrap_or(usize::MAX), "earlier snapshot");
        text.add(format!("    {earlier} not shown"));
    }
    if !page.commands.is_empty() {
        text.add("  commands:");
    }
    for step in &page.commands {
        text.add(format!("    {}:", step.what));
        text.add(format!("      {}", step.command));
    }
}

#[allow(clippy::cast_precision_loss, reason = "told to people")]
fn span(seconds: u64) -> String {
    lasting(seconds as f64)
}

fn point(name: &str, point: Option<&Point>, text: &mut Lines) {
    let Some(point) = point else { return };
    let (id, age, bytes) = (point.id.short(), span(point.age_s), size::human(point.bytes));
    text.add(format!("  {name}: {id}, of {}, {age} ago, {bytes}", point.at));
}

fn loses(loss: &Loss, text: &mut Lines) {
    text.add(format!("  restoring the last good one loses {}", loss.said()));
    for row in loss.rows.iter().take(LISTED) {
        text.add(format!("    table {}: {}", row.table, row.said()));
    }
    for one in loss.refs.iter().take(LISTED) {
        let oid =
            |oid: &Option<String>| oid.as_ref().map_or_else(|| "none".to_owned(), |oid| oid.chars().take(12).collect());
        text.add(format!("    {}: {} again, is {} now", one.name, oid(&one.good), oid(&one.newest)));
    }
    let more = loss.more_rows + loss.more_refs;
    let more = more + loss.rows.len().saturating_sub(LISTED) + loss.refs.len().saturating_sub(LISTED);
    if more > 0 {
        text.add(format!("    and {more} more; --json has them"));
    }
}

fn one(row: &Row, text: &mut Lines) {
    text.add(format!("    {} {} {} ({})", row.at, row.id.short(), say_stand(row.stand), size::human(row.bytes)));
    for reason in &row.reasons {
        text.add(format!("      {}: {} [{}]", reason.level.as_str(), reason.words, reason.rule));
    }
    for change in row.changes.iter().take(CHANGES) {
        text.add(format!("      {}", said(change)));
    }
    if let Some(more) = row.changes.len().checked_sub(CHANGES).filter(|more| *more > 0) {
        text.add(format!("      and {more} more"));
    }
}
