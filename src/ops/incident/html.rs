//! The page for a browser, on a phone and on paper: no script, no font, no picture by address.

use std::fmt::Write as _;

use super::{
    IncidentReport, Loss, Point, Row, SourcePage, Stand, State, Step,
    words::{count, judged, said, say_beyond, say_stand, say_state, span},
};
use crate::{
    model::size,
    ops::report::{capital, escape, when},
};

/// The longest word of a command that is not broken.
const OPTION: usize = 24;

/// The page.
pub(super) fn page(report: &IncidentReport) -> String {
    let mut out = String::with_capacity(32 << 10);
    let title = format!("Incident: {} ({})", report.headline(), report.url);
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\"><meta http-equiv=\"Content-Security-Policy\" content=\"default-src \
         'none'; style-src 'unsafe-inline'\"><meta name=\"referrer\" content=\"no-referrer\"><meta name=\"color-scheme\" \
         content=\"light dark\"><title>{}</title><style>{}</style></head><body><main>",
        escape(&title),
        include_str!("style.css")
    );
    let worst = report.sources.iter().map(|page| page.state).max().unwrap_or(State::Calm);
    let _ = write!(
        out,
        "<header class=\"{}\"><p class=\"soft\">Incident · {} UTC</p><h1>{}</h1><p>{}</p><p class=\"soft\">{}</p></header>",
        class(worst),
        when(report.at),
        escape(&capital(&report.headline())),
        escape(judged(report)),
        escape(&report.url)
    );
    for page in &report.sources {
        source(page, &mut out);
    }
    if !report.commands.is_empty() {
        out.push_str("<section><h2>For the vault as a whole</h2>");
        commands(&report.commands, &mut out);
        out.push_str("</section>");
    }
    let _ = write!(out, "<footer>strongroom {} · vault {}</footer>", env!("CARGO_PKG_VERSION"), report.vault);
    out.push_str("</main></body></html>\n");
    out
}

const fn class(state: State) -> &'static str {
    match state {
        State::Alarm => "alarm",
        State::Over | State::Quiet => "warning",
        State::Calm => "calm",
    }
}

fn source(page: &SourcePage, out: &mut String) {
    let _ = write!(
        out,
        "<section class=\"{}\"><h2>{} <span class=\"soft\">{} of writer {}</span> <b class=\"state\">{}</b></h2><p \
         class=\"head\">{}.</p>",
        class(page.state),
        escape(page.source.as_str()),
        page.kind.as_str(),
        escape(page.writer.as_str()),
        say_state(page.state),
        escape(&capital(&page.headline))
    );
    out.push_str("<dl>");
    point("Last good snapshot", page.last_good.as_ref(), out);
    if page.first_bad.is_some() {
        point("First that is not", page.first_bad.as_ref(), out);
    }
    point("Newest", Some(&page.newest), out);
    out.push_str("</dl>");
    if page.state != State::Calm && !page.commands.is_empty() {
        out.push_str("<h3>What to type</h3>");
        commands(&page.commands, out);
    }
    if let Some(loses) = &page.loses {
        loss(loses, out);
    }
    if let Some(journal) = &page.journal {
        let _ = write!(out, "<h3>Between the snapshots</h3><p>{}.</p>", escape(&capital(&say_beyond(journal))));
    }
    timeline(page, out);
    out.push_str("</section>");
}

fn point(name: &str, point: Option<&Point>, out: &mut String) {
    let told = point.map_or_else(
        || "<dd>none of those that were looked at</dd>".to_owned(),
        |point| {
            format!(
                "<dd><code>{}</code><br>{} UTC, {} ago<br>{}</dd>",
                point.id.short(),
                when(point.at),
                span(point.age_s),
                size::human(point.bytes)
            )
        },
    );
    let _ = write!(out, "<div><dt>{name}</dt>{told}</div>");
}

fn commands(steps: &[Step], out: &mut String) {
    out.push_str("<ol class=\"steps\">");
    for step in steps {
        // A browser breaks lines within `--vault`, and whoever types it off a paper would not know.
        let words = step.command.split(' ').map(|word| {
            let option = word.starts_with('-') && word.len() <= OPTION;
            let word = escape(word);
            if option { format!("<span class=\"w\">{word}</span>") } else { word }
        });
        let command = words.collect::<Vec<_>>().join(" ");
        let _ = write!(out, "<li>{}<pre>{command}</pre></li>", escape(&step.what));
    }
    out.push_str("</ol>");
}

fn loss(loss: &Loss, out: &mut String) {
    let _ = write!(out, "<h3>What restoring it loses</h3><p>{}.</p>", escape(&capital(&loss.said())));
    if !loss.rows.is_empty() {
        out.push_str(
            "<table><thead><tr><th>table</th><th class=\"n\">good</th><th class=\"n\">now</th><th>then</th></tr></thead><tbody>",
        );
        for row in &loss.rows {
            let _ = write!(
                out,
                "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td>{}</td></tr>",
                escape(&row.table),
                count(row.good),
                count(row.newest),
                escape(&row.said())
            );
        }
        out.push_str("</tbody></table>");
    }
    if !loss.refs.is_empty() {
        out.push_str("<table><thead><tr><th>ref</th><th>good</th><th>now</th></tr></thead><tbody>");
        for one in &loss.refs {
            let oid = |oid: &Option<String>| {
                oid.as_ref().map_or_else(|| "–".to_owned(), |oid| oid.chars().take(10).collect())
            };
            let _ = write!(
                out,
                "<tr><td>{}</td><td><code>{}</code></td><td><code>{}</code></td></tr>",
                escape(&one.name),
                escape(&oid(&one.good)),
                escape(&oid(&one.newest))
            );
        }
        out.push_str("</tbody></table>");
    }
    let more = loss.more_rows + loss.more_refs;
    if more > 0 {
        let _ = write!(out, "<p class=\"soft\">{more} more are in the JSON document of one source at a time.</p>");
    }
}

fn timeline(page: &SourcePage, out: &mut String) {
    if page.timeline.is_empty() {
        return;
    }
    let open = if page.state == State::Calm { "" } else { " open" };
    let _ = write!(out, "<details{open}><summary><h3>What changed, newest first</h3></summary><ol class=\"line\">");
    for row in page.timeline.iter().rev() {
        one(row, out);
    }
    out.push_str("</ol>");
    if page.earlier > 0 {
        let _ = write!(out, "<p class=\"soft\">{} earlier snapshots are not shown.</p>", page.earlier);
    }
    out.push_str("</details>");
}

fn one(row: &Row, out: &mut String) {
    let class = match row.stand {
        Stand::Good => "good",
        Stand::Acknowledged => "known",
        Stand::Alarm | Stand::Unreadable => "alarm",
        Stand::Still => "still",
    };
    let _ = write!(
        out,
        "<li class=\"{class}\"><p><time>{}</time> <code>{}</code> <b>{}</b> <span class=\"soft\">{}</span></p>",
        when(row.at),
        row.id.short(),
        say_stand(row.stand),
        size::human(row.bytes)
    );
    if !row.reasons.is_empty() || !row.changes.is_empty() {
        out.push_str("<ul>");
        for reason in &row.reasons {
            let _ = write!(
                out,
                "<li class=\"why\">{} <span class=\"soft\">{}</span></li>",
                escape(&reason.words),
                escape(&reason.rule)
            );
        }
        for change in &row.changes {
            let _ = write!(out, "<li>{}</li>", escape(&said(change)));
        }
        out.push_str("</ul>");
    }
    out.push_str("</li>");
}
