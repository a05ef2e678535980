//! Copies of the vault, as `replicate` remembers them: when the last pass of each began, and what it left out.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::Reason;
use crate::model::{Name, Span, Time, lasting};

/// How far behind a copy may be before it is owed, and one on a disk that is not always there.
const BEHIND: Span = Span::seconds(26 * 3600);
const BEHIND_REMOVABLE: Span = Span::days(31);

/// A configured copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownCopy {
    /// What the configuration calls it.
    pub name: Name,
    /// Where it is.
    pub url: String,
    /// When the last pass began that went to its end, by the copy's own clock; nothing if there was none.
    pub at: Option<Time>,
    /// How long ago that was, in seconds.
    pub age_s: Option<u64>,
    /// How many snapshots it had then.
    pub snapshots: u64,
    /// How many could not be copied.
    pub left_out: u64,
    /// Of which sources it is, if not of all.
    pub sources: Vec<Name>,
    /// Whether it is on a disk that is not always there.
    pub removable: bool,
}

impl KnownCopy {
    /// Whether a snapshot of `source` is in it that was committed at `since`.
    fn has(&self, source: &Name, since: Time) -> bool {
        let of_source = self.sources.is_empty() || self.sources.contains(source);
        // Times are whole seconds: a pass that began in the second of the commit may have missed it.
        of_source && self.left_out == 0 && self.at.is_some_and(|at| at > since)
    }

    /// The same with its age at `now`.
    #[must_use]
    pub fn aged(mut self, now: Time) -> Self {
        self.age_s = self.at.map(|at| now.since(at).as_seconds());
        self
    }

    /// What it owes at `now`.
    #[must_use]
    pub fn owed(&self, now: Time) -> Option<Reason> {
        let name = &self.name;
        let Some(at) = self.at else {
            let words = format!("the copy {name} was never made: `replicate` makes it");
            return Some(Reason::new("copy-never", words));
        };
        if self.left_out > 0 {
            let words = format!(
                "the copy {name} lacks {} snapshots that could not be copied; `replicate` says why",
                self.left_out
            );
            return Some(Reason::new("copy-lacks", words));
        }
        let most = if self.removable { BEHIND_REMOVABLE } else { BEHIND };
        let age = now.since(at);
        (age > most).then(|| {
            let words = format!("the copy {name} is {} old, and `replicate` brings it up to date", lasts(age));
            Reason::new("copy-old", words)
        })
    }
}

#[allow(clippy::cast_precision_loss, reason = "a span for people")]
fn lasts(span: Span) -> String {
    lasting(span.as_seconds() as f64)
}

/// Fewer copies than `wanted` hold a snapshot of `source` that was committed at `since`.
#[must_use]
pub fn copied(copies: &[KnownCopy], source: &Name, since: Time, wanted: u32) -> Option<Reason> {
    let (with, without): (Vec<&KnownCopy>, Vec<&KnownCopy>) = copies.iter().partition(|copy| copy.has(source, since));
    if with.len() as u64 >= u64::from(wanted) {
        return None;
    }
    let mut words = format!("{} of the {wanted} copies that are asked for have the snapshot", with.len());
    let names: Vec<&str> = without.iter().map(|copy| copy.name.as_str()).collect();
    if names.is_empty() {
        words.push_str("; the configuration names no other copy");
    } else {
        let _ = write!(words, "; `replicate` brings up to date what has not: {}", names.join(", "));
    }
    Some(Reason::new("copies", words))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(at: Option<i64>) -> KnownCopy {
        let at = at.map(Time::from_unix);
        let name: Name = "disk".parse().unwrap();
        let url = "file:///x".to_owned();
        KnownCopy { name, url, at, age_s: None, snapshots: 1, left_out: 0, sources: Vec::new(), removable: false }
    }

    #[test]
    fn a_copy_counts_that_was_begun_after_the_snapshot_and_left_nothing_out() {
        let shop: Name = "shop".parse().unwrap();
        let asked = |copy: KnownCopy| copied(&[copy], &shop, Time::from_unix(1000), 1).is_none();
        assert!(asked(copy(Some(1001))));
        assert!(!asked(copy(Some(1000))) && !asked(copy(Some(5))) && !asked(copy(None)));
        assert!(!asked(KnownCopy { left_out: 1, ..copy(Some(1001)) }));
        assert!(!asked(KnownCopy { sources: vec!["other".parse().unwrap()], ..copy(Some(1001)) }));
        assert!(asked(KnownCopy { sources: vec![shop.clone()], ..copy(Some(1001)) }));
        assert!(
            copied(&[], &shop, Time::from_unix(1), 0).is_none() && copied(&[], &shop, Time::from_unix(1), 1).is_some()
        );
        let two = copied(&[copy(Some(1001)), copy(Some(7))], &shop, Time::from_unix(1000), 2).unwrap();
        assert!(two.words.contains("1 of the 2"), "{}", two.words);
    }

    #[test]
    fn a_copy_is_owed_when_it_was_never_made_lacks_something_or_is_old() {
        let now = Time::from_unix(100 * 86_400);
        let days = |n: i64| Some(now.unix() - n * 86_400);
        let code = |copy: &KnownCopy| copy.owed(now).map(|reason| reason.code.into_owned());
        assert_eq!(code(&copy(None)).as_deref(), Some("copy-never"));
        assert_eq!(code(&copy(days(0))), None);
        assert_eq!(code(&copy(days(2))).as_deref(), Some("copy-old"));
        assert_eq!(code(&KnownCopy { removable: true, ..copy(days(2)) }), None);
        assert_eq!(code(&KnownCopy { removable: true, ..copy(days(40)) }).as_deref(), Some("copy-old"));
        assert_eq!(code(&KnownCopy { left_out: 3, ..copy(days(0)) }).as_deref(), Some("copy-lacks"));
    }
}
