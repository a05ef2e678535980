//! `JUnit` XML, as CI servers read it (the schema of Jenkins: <https://github.com/jenkinsci/xunit-plugin>).

use std::fmt::Write as _;

use super::{Case, Page, Status};
use crate::model::visible;

/// The page.
pub(super) fn page(page: &Page) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let all = || page.suites.iter().flat_map(|suite| &suite.cases);
    let count = |status| all().filter(|case| case.status == status).count();
    let (tests, failures, errors) = (all().count(), count(Status::Fail), count(Status::Error));
    let _ =
        writeln!(out, "<testsuites name=\"strongroom\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\">");
    for suite in &page.suites {
        let count = |status| suite.cases.iter().filter(|case| case.status == status).count();
        let (tests, failures, errors) = (suite.cases.len(), count(Status::Fail), count(Status::Error));
        let time = suite.seconds.map(|s| format!(" time=\"{s:.3}\"")).unwrap_or_default();
        let name = escape(&suite.name);
        let stamp = page.at.to_string().replace('Z', "");
        let _ = writeln!(
            out,
            "  <testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"0\" \
             timestamp=\"{stamp}\"{time}>"
        );
        suite.cases.iter().for_each(|case| one(&suite.name, case, &mut out));
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

fn one(suite: &str, case: &Case, out: &mut String) {
    let _ = write!(out, "    <testcase classname=\"{}\" name=\"{}\"", escape(suite), escape(&case.name));
    let element = match case.status {
        Status::Pass => return out.push_str("/>\n"),
        Status::Fail => "failure",
        Status::Error => "error",
    };
    let detail = case.detail.clone().unwrap_or_default();
    // The breaks between lines are ours, and none comes out of data.
    let one_line = |value: &Option<String>| value.as_deref().map(visible);
    let told = match (&one_line(&case.expected), &one_line(&case.actual)) {
        (Some(expected), Some(actual)) if case.status == Status::Fail => {
            format!("expected {expected}, found {actual}\n{detail}")
        }
        // Why it could not be run.
        (_, Some(actual)) if !detail.is_empty() => format!("{detail}: {actual}"),
        (_, Some(actual)) => actual.clone(),
        (Some(expected), None) => format!("expected {expected}, found nothing\n{detail}"),
        (None, None) => detail,
    };
    let first = told.lines().next().unwrap_or_default();
    let _ = writeln!(
        out,
        ">\n      <{element} message=\"{}\">{}</{element}>\n    </testcase>",
        escape(first),
        told.trim_end().lines().map(escape).collect::<Vec<_>>().join("\n")
    );
}

/// Text that can't become markup. Characters that XML 1.0 has no way to write are replaced.
fn escape(plain: &str) -> String {
    let plain = visible(plain);
    let mut out = String::with_capacity(plain.len());
    for c in plain.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
