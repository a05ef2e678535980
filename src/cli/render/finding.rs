//! What was found, for people and for the log.

use std::{collections::BTreeMap, fmt::Write as _};

use crate::{
    cli::log::{Fields, Level},
    model::{Finding, Severity, visible},
};

/// A finding for people, in one line.
#[must_use]
pub fn finding_line(finding: &Finding) -> String {
    visible(&finding_text(finding))
}

pub(super) fn finding_text(finding: &Finding) -> String {
    let word = match finding.severity {
        Severity::Info => "note",
        Severity::Warning => "warning",
        Severity::Weak => "weak",
        Severity::Error => "damage",
    };
    // A source's failure is no damage to the vault.
    let word = match finding.code.as_str() {
        "source.failed" => "failed",
        _ if finding.is_unread() => "unread",
        "source.vanished" if finding.severity == Severity::Error => "gone",
        _ => word,
    };
    let mut line = format!("{word}: ");
    if let Some(object) = &finding.object {
        let _ = write!(line, "{object}: ");
    }
    line.push_str(&finding.message);
    if let Some(snapshot) = &finding.snapshot {
        let _ = write!(line, " (snapshot {})", snapshot.chars().take(12).collect::<String>());
    }
    let _ = write!(line, " [{}]", finding.code);
    line
}

/// Findings for people, in their order: of each kind the first `most`, and how many more there are.
#[must_use]
pub fn graded_lines<'a>(findings: impl IntoIterator<Item = &'a Finding>, most: usize) -> Vec<(Level, String)> {
    let mut counts: BTreeMap<&str, (usize, Level)> = BTreeMap::new();
    let mut lines = Vec::new();
    for finding in findings {
        let level = level_of(finding);
        let (count, _) = counts.entry(&finding.code).or_insert((0, level));
        *count += 1;
        if *count <= most {
            lines.push((level, finding_line(finding)));
        }
    }
    let more = counts.into_iter().filter(|(_, (count, _))| *count > most);
    let words = |(code, (count, level))| (level, format!("and {} more [{code}]; --json has them", count - most));
    lines.extend(more.map(words));
    lines
}

/// The same without how much each matters.
#[must_use]
pub fn finding_lines<'a>(findings: impl IntoIterator<Item = &'a Finding>, most: usize) -> Vec<String> {
    graded_lines(findings, most).into_iter().map(|(_, line)| line).collect()
}

/// How much a finding matters in the log.
#[must_use]
pub const fn level_of(finding: &Finding) -> Level {
    match finding.severity {
        Severity::Info => Level::Info,
        Severity::Warning | Severity::Weak => Level::Warning,
        Severity::Error => Level::Error,
    }
}

/// What a finding has besides its words.
#[must_use]
pub fn fields_of(finding: &Finding) -> Fields {
    let mut fields = Fields::from_iter([
        ("code".to_owned(), finding.code.as_str().into()),
        ("severity".to_owned(), finding.severity.as_str().into()),
    ]);
    let more = [("object", &finding.object), ("snapshot", &finding.snapshot)];
    fields.extend(more.into_iter().filter_map(|(name, it)| Some((name.to_owned(), it.as_deref()?.into()))));
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line() {
        let hostile = Finding::new(Severity::Warning, "x", "a\x1b[2Jb\r\n::error::c\u{202e}").on("f\n::warning::g");
        let line = "warning: f\\n::warning::g: a\\u{1b}[2Jb\\r\\n::error::c\\u{202e} [x]";
        assert_eq!(finding_line(&hostile), line);
        let finding = Finding::new(Severity::Error, "pack.missing", "it is gone").on("packs/w/00").of("ab".repeat(32));
        assert_eq!(finding_line(&finding), "damage: packs/w/00: it is gone (snapshot abababababab) [pack.missing]");
    }
}
