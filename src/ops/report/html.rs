//! One page without anything from outside: no script, no font, no picture by address.

use std::fmt::Write as _;

use super::{
    Page, Suite, charts,
    markup::{capital, escape, marked},
    suites, when,
};
use crate::model::{Finding, Severity, codes, size};

/// How many findings are listed.
const LISTED: usize = 2000;

/// The page.
pub(super) fn page(page: &Page) -> String {
    let mut out = String::with_capacity(64 << 10);
    let title = format!("{} of {}: {}", page.title, page.url, page.verdict());
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\"><meta http-equiv=\"Content-Security-Policy\" content=\"default-src \
         'none'; style-src 'unsafe-inline'\"><meta name=\"color-scheme\" content=\"light dark\"><title>{}</title><style>{}</style>\
         </head><body><main>",
        escape(&title),
        include_str!("style.css")
    );
    head(page, &mut out);
    suites::suites(page, &mut out);
    if !(page.findings.is_empty() && page.suites.iter().any(Suite::tells_more)) {
        findings(&page.sorted(), &mut out);
    }
    not_checked(page, &mut out);
    charts::timeline(page, &mut out);
    charts::growth(page, &mut out);
    charts::drills(&page.drills, &mut out);
    snapshots(page, &mut out);
    let _ = write!(out, "<footer>strongroom {} · vault {}</footer>", env!("CARGO_PKG_VERSION"), page.vault);
    out.push_str("</main></body></html>\n");
    out
}

fn head(page: &Page, out: &mut String) {
    let class = match page.worst {
        Some(Severity::Error) => "error",
        Some(Severity::Weak) => "weak",
        Some(Severity::Warning) => "warning",
        Some(Severity::Info) | None => "good",
    };
    let _ = write!(
        out,
        "<header class=\"{class}\"><p class=\"what\">{} · {} UTC</p><h1>{}</h1><p>{}.</p><p class=\"where\">{}</p></header><dl>",
        escape(&page.title),
        when(page.at),
        capital(page.verdict()),
        escape(&page.headline),
        escape(&page.url)
    );
    for (name, value) in &page.facts {
        let _ = write!(out, "<div><dt>{}</dt><dd>{}</dd></div>", escape(name), escape(value));
    }
    out.push_str("</dl>");
}

fn not_checked(page: &Page, out: &mut String) {
    if page.not_checked.is_empty() {
        return;
    }
    out.push_str("<section><h2>Not checked</h2><ul>");
    for not in &page.not_checked {
        let _ = write!(out, "<li>{}</li>", escape(not));
    }
    out.push_str("</ul></section>");
}

fn findings(sorted: &[&Finding], out: &mut String) {
    out.push_str("<section><h2>Findings</h2>");
    if sorted.is_empty() {
        out.push_str("<p>None.</p></section>");
        return;
    }
    // What belongs to one code is told once, with all that it concerns below.
    let mut at = 0;
    let shown = sorted.get(..LISTED.min(sorted.len())).unwrap_or(sorted);
    let mut ordered: Vec<&Finding> = shown.to_vec();
    ordered.sort_by(|a, b| (b.severity, &a.code).cmp(&(a.severity, &b.code)));
    while let Some(first) = ordered.get(at) {
        let alike = |f: &&&Finding| f.code == first.code && f.severity == first.severity;
        let group: Vec<&&Finding> = ordered.iter().skip(at).take_while(alike).collect();
        at += group.len();
        let severity = first.severity.as_str();
        let open = if group.len() <= 12 && first.severity > Severity::Info { " open" } else { "" };
        let times =
            if group.len() > 1 { format!(" <span class=\"count\">×{}</span>", group.len()) } else { String::new() };
        let _ = write!(
            out,
            "<details class=\"finding {severity}\"{open}><summary><b>{severity}</b> <code>{}</code>{times}",
            escape(&first.code)
        );
        if let Some(known) = codes::of(&first.code) {
            let _ = write!(
                out,
                "<span class=\"means\">{}</span></summary><p class=\"next\">{}</p>",
                marked(&ended(known.means)),
                marked(&ended(known.next))
            );
        } else {
            out.push_str("</summary>");
        }
        out.push_str("<ul>");
        for finding in group {
            let object = finding.object.as_ref().map(|o| format!("<code>{}</code>: ", escape(o))).unwrap_or_default();
            let snapshot: String = finding.snapshot.iter().flat_map(|id| id.chars().take(12)).collect();
            let snapshot = if snapshot.is_empty() {
                snapshot
            } else {
                format!(" <span class=\"id\">{}</span>", escape(&snapshot))
            };
            let _ = write!(out, "<li>{object}{}{snapshot}</li>", escape(&finding.message));
        }
        out.push_str("</ul></details>");
    }
    if sorted.len() > LISTED {
        let _ = write!(out, "<p>{} more are in the JSON report.</p>", sorted.len() - LISTED);
    }
    out.push_str("</section>");
}

fn snapshots(page: &Page, out: &mut String) {
    if page.snapshots.is_empty() {
        return;
    }
    let _ = write!(
        out,
        "<section><details><summary><h2>All {} snapshots</h2></summary><div class=\"wide\"><table><thead><tr><th>taken</th>\
         <th>source</th><th>id</th><th class=\"n\">size</th><th class=\"n\">stored</th><th>promised until</th><th>locked \
         until</th><th>keep until</th></tr></thead><tbody>",
        page.snapshots.len()
    );
    for seen in page.snapshots.iter().rev() {
        let locked = seen.locked_until.map_or_else(|| "–".to_owned(), when);
        let suspect = if seen.suspect { " <b class=\"bad\">suspect</b>" } else { "" };
        let _ = write!(
            out,
            "<tr><td>{}</td><td>{}{suspect}</td><td><code>{}</code></td><td class=\"n\">{}</td><td class=\"n\">{}</td><td>{}</td>\
             <td>{locked}</td><td>{}</td></tr>",
            when(seen.started_at),
            escape(seen.source.as_str()),
            seen.id.short(),
            size::human(seen.bytes),
            size::human(seen.stored),
            when(seen.floor_until),
            when(seen.expires_at)
        );
    }
    out.push_str("</tbody></table></div></details></section>");
}

/// A sentence with its end.
fn ended(text: &str) -> String {
    if text.ends_with(['?', '.', '!']) { text.to_owned() } else { format!("{text}.") }
}
