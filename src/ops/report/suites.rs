//! Checks as the page shows them: what did not pass first, what passed folded away.

use std::fmt::Write as _;

use super::{
    Case, Page, Status, Suite, charts, lasting,
    markup::{capital, escape, marked},
};

/// How many checks are listed of each sort.
const LISTED: usize = 2000;
/// A value longer than this does not fit into a column.
const LONG: usize = 48;

/// Checks that have more to tell than findings do: those of drills.
pub(super) fn suites(page: &Page, out: &mut String) {
    for suite in page.suites.iter().filter(|suite| suite.tells_more()) {
        let (passed, others): (Vec<&Case>, Vec<&Case>) =
            suite.cases.iter().partition(|case| case.status == Status::Pass);
        let (class, word) = if others.is_empty() { ("ok", "passed") } else { ("bad", "failed") };
        let _ = write!(out, "<section><h2>{}: <b class=\"{class}\">{word}</b>", escape(&capital(&suite.name)));
        if let Some(seconds) = suite.seconds {
            let _ = write!(out, " <span class=\"count\">in {}</span>", lasting(seconds));
        }
        out.push_str("</h2>");
        charts::parts(suite, out);
        facts(suite, out);
        if !others.is_empty() {
            table(&others, out);
        }
        if !passed.is_empty() {
            let open = if others.is_empty() && passed.len() <= 12 { " open" } else { "" };
            let _ = write!(
                out,
                "<details class=\"checks\"{open}><summary>{} of {} checks passed</summary>",
                passed.len(),
                suite.cases.len()
            );
            table(&passed, out);
            out.push_str("</details>");
        }
        if !suite.not_checked.is_empty() {
            out.push_str("<p class=\"not\">Not tested:</p><ul class=\"not\">");
            for not in &suite.not_checked {
                let _ = write!(out, "<li>{}</li>", marked(not));
            }
            out.push_str("</ul>");
        }
        out.push_str("</section>");
    }
}

fn facts(suite: &Suite, out: &mut String) {
    if suite.facts.is_empty() {
        return;
    }
    out.push_str("<dl class=\"inner\">");
    for (name, value) in &suite.facts {
        // What is long, such as a key, gets a line of its own.
        let class = if value.len() > LONG { " class=\"long\"" } else { "" };
        let _ = write!(out, "<div{class}><dt>{}</dt><dd>{}</dd></div>", escape(name), escape(value));
    }
    out.push_str("</dl>");
}

fn table(cases: &[&Case], out: &mut String) {
    out.push_str(
        "<div class=\"wide\"><table class=\"told\"><thead><tr><th>check</th><th>result</th><th>expected</th><th>found</th></tr></thead><tbody>",
    );
    for case in cases.iter().take(LISTED) {
        let (class, word) = match case.status {
            Status::Pass => ("ok", "passed"),
            Status::Fail => ("bad", "failed"),
            Status::Error => ("bad", "could not be run"),
        };
        let told = |value: &Option<String>| escape(value.as_deref().unwrap_or("–"));
        let detail = case.detail.as_ref().filter(|detail| *detail != word);
        let lines = |detail: &String| detail.lines().map(escape).collect::<Vec<_>>().join("<br>");
        let detail = detail.map(|d| format!("<br><small>{}</small>", lines(d))).unwrap_or_default();
        let _ = write!(
            out,
            "<tr><td>{}{detail}</td><td><b class=\"{class}\">{word}</b></td><td>{}</td><td>{}</td></tr>",
            escape(&case.name),
            told(&case.expected),
            told(&case.actual)
        );
    }
    out.push_str("</tbody></table></div>");
    if cases.len() > LISTED {
        let _ = write!(out, "<p>{} more are in the JSON report.</p>", cases.len() - LISTED);
    }
}
