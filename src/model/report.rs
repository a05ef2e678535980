//! What checks report.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; nothing is wrong with what was promised.
    Info,
    /// Something to look at; every snapshot is still whole and protected.
    Warning,
    /// A snapshot is protected less than was promised (exit code 5).
    Weak,
    /// Something signed is missing, damaged or false (exit code 4).
    Error,
}

impl Severity {
    /// The severity as JSON spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Weak => "weak",
            Self::Error => "error",
        }
    }
}

/// One thing that a check found. The code is stable; the message is for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// A stable dotted code, such as `pack.missing`.
    pub code: String,
    /// The key of the object concerned.
    pub object: Option<String>,
    /// The id of the snapshot concerned.
    pub snapshot: Option<String>,
    /// What was found, what it means and what to do.
    pub message: String,
}

impl Finding {
    /// A finding that concerns no object yet.
    #[must_use]
    pub fn new(severity: Severity, code: &str, message: impl Into<String>) -> Self {
        Self { severity, code: code.to_owned(), object: None, snapshot: None, message: message.into() }
    }

    /// The same finding, about this object.
    #[must_use]
    #[allow(clippy::needless_pass_by_value, reason = "an id, a key or a text, as the caller has it")]
    pub fn on(mut self, object: impl ToString) -> Self {
        self.object = Some(object.to_string());
        self
    }

    /// The same finding, about this snapshot.
    #[must_use]
    #[allow(clippy::needless_pass_by_value, reason = "an id, a key or a text, as the caller has it")]
    pub fn of(mut self, snapshot: impl ToString) -> Self {
        self.snapshot = Some(snapshot.to_string());
        self
    }
}

/// Codes of what could not be read, so that nobody knows whether it is whole: no damage is proven (exit code 1).
const UNREAD: [&str; 5] = ["copy.unread", "journal.unread", "object.unread", "page.unread", "repair.unread"];
/// Codes of what follows from another finding, which says why.
const FOLLOWS: [&str; 2] = ["copy.left-out", "repair.snapshot"];

impl Finding {
    /// Whether it says that something could not be read, and no damage is proven by it.
    #[must_use]
    pub fn is_unread(&self) -> bool {
        self.severity == Severity::Error && UNREAD.contains(&self.code.as_str())
    }
}

/// How much could not be read, where that is the worst that was found: no damage is proven, and the rest was looked at.
#[must_use]
pub fn only_unread(findings: &[Finding]) -> Option<usize> {
    let errors = || findings.iter().filter(|finding| finding.severity == Severity::Error);
    let unread = errors().filter(|finding| finding.is_unread()).count();
    let proven = errors().any(|finding| !finding.is_unread() && !FOLLOWS.contains(&finding.code.as_str()));
    (unread > 0 && !proven).then_some(unread)
}

/// So many findings of one code and severity are kept; of more, how many they are.
const KEPT: u64 = 10_000;
/// The longest message that is kept, in bytes.
const MESSAGE: usize = 4096;

/// Findings on their way into a report, bounded: whoever may add to a vault can give cause for millions of them.
#[derive(Debug, Default)]
pub struct Findings {
    kept: Vec<Finding>,
    counts: BTreeMap<(String, Severity), u64>,
}

impl Findings {
    /// Adds one.
    pub fn push(&mut self, mut finding: Finding) {
        let count = self.counts.entry((finding.code.clone(), finding.severity)).or_default();
        *count += 1;
        if *count > KEPT {
            return;
        }
        if finding.message.len() > MESSAGE {
            let end = (0..=MESSAGE).rev().find(|at| finding.message.is_char_boundary(*at)).unwrap_or_default();
            finding.message.truncate(end);
            finding.message.push('…');
        }
        self.kept.push(finding);
    }

    /// Adds one, unless it was told before.
    pub fn note(&mut self, finding: Finding) {
        let known = self.counts.get(&(finding.code.clone(), finding.severity)).copied().unwrap_or_default();
        if known == 0 || known >= KEPT || !self.kept.contains(&finding) {
            self.push(finding);
        }
    }

    /// How many are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Those that are kept.
    pub fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.kept.iter()
    }

    /// Those that are kept.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Finding> {
        self.kept.iter_mut()
    }

    /// Those that are kept, and of each code that had too many how many more there are.
    #[must_use]
    pub fn into_vec(self) -> Vec<Finding> {
        let Self { mut kept, counts } = self;
        for ((code, severity), count) in counts {
            if let Some(more) = count.checked_sub(KEPT).filter(|more| *more > 0) {
                kept.push(Finding::new(severity, &code, format!("and {more} more of the same kind, {count} in all")));
            }
        }
        kept
    }
}

impl Extend<Finding> for Findings {
    fn extend<T: IntoIterator<Item = Finding>>(&mut self, findings: T) {
        findings.into_iter().for_each(|finding| self.push(finding));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_of_one_kind_are_kept_up_to_a_bound_and_then_counted() {
        let mut findings = Findings::default();
        for no in 0..KEPT + 7 {
            findings.push(Finding::new(Severity::Error, "pack.missing", format!("{no}")));
        }
        findings.push(Finding::new(Severity::Info, "pack.missing", "é".repeat(MESSAGE)));
        let all = findings.into_vec();
        assert_eq!(all.len() as u64, KEPT + 2);
        let [.., long, last] = all.as_slice() else { panic!() };
        assert!(long.message.len() <= MESSAGE + 3 && long.severity == Severity::Info);
        assert_eq!(
            (last.severity, last.message.as_str()),
            (Severity::Error, "and 7 more of the same kind, 10007 in all")
        );
    }

    #[test]
    fn what_was_told_is_not_told_again_and_the_rest_is_kept_as_it_is() {
        let finding = |message: &str| Finding::new(Severity::Weak, "lock.short", message);
        let mut findings = Findings::default();
        assert!(findings.is_empty());
        assert_eq!(findings.len(), 0);
        findings.note(finding("one"));
        findings.note(finding("one"));
        findings.note(finding("two"));
        findings.note(Finding::new(Severity::Error, "lock.short", "one"));
        findings.extend([finding("one")]);
        let told = |findings: &Findings| findings.iter().map(|one| one.message.clone()).collect::<Vec<_>>();
        assert_eq!(told(&findings), ["one", "two", "one", "one"]);
        assert!(!findings.is_empty() && findings.len() == 4);
        findings.iter_mut().for_each(|one| one.message.push('!'));
        assert_eq!(told(&findings), ["one!", "two!", "one!", "one!"]);
        let about = finding("x").on("packs/a").of("ab");
        assert_eq!((about.object.as_deref(), about.snapshot.as_deref()), (Some("packs/a"), Some("ab")));
        let all = [Severity::Info, Severity::Warning, Severity::Weak, Severity::Error];
        assert_eq!(all.map(Severity::as_str), ["info", "warning", "weak", "error"]);
        assert!(all.is_sorted());
    }

    #[test]
    fn the_edges_of_the_bounds() {
        let mut findings = Findings::default();
        let long = "x".repeat(MESSAGE);
        findings.push(Finding::new(Severity::Info, "a.b", long.clone()));
        (1..KEPT).for_each(|no| findings.push(Finding::new(Severity::Info, "a.b", no.to_string())));
        assert_eq!(findings.iter().next().unwrap().message, long, "it is not too long");
        assert_eq!(findings.len() as u64, KEPT);
        let mut full = Findings::default();
        full.extend(findings.iter().cloned());
        assert_eq!(full.into_vec().len() as u64, KEPT, "none is too many");
        findings.note(Finding::new(Severity::Info, "a.b", "1"));
        assert_eq!(findings.len() as u64, KEPT, "of more, only how many they are");
        let all = findings.into_vec();
        assert_eq!(all.last().unwrap().message, "and 1 more of the same kind, 10001 in all");
        assert_eq!(all.len() as u64, KEPT + 1);
    }
}
