//! Whether each source has a snapshot that is new enough.
//!
//! What is expected is told, or learned from the source's own past: the middle one of its last intervals. What was learned
//! is a warning only, since a schedule may have been changed; what was told and is not kept is a weakness.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::{
    format::header::Claim,
    model::{Finding, Name, Severity, Span, Time, lasting},
    vault::{snapshots::Summary, standing::owners},
};

/// How many intervals are looked at.
const INTERVALS: usize = 10;
/// From how many intervals something is learned.
const ENOUGH: usize = 3;

/// How a source stands.
#[derive(Debug, Clone, Serialize)]
pub struct Freshness {
    /// The source.
    pub source: Name,
    /// Whose it is; nobody's if there is no snapshot of it.
    pub writer: Option<Name>,
    /// When its newest snapshot was taken that is neither suspect nor of a time that is not yet.
    pub newest: Option<Time>,
    /// How often a snapshot is expected.
    pub every: Option<Span>,
    /// Whether that was told, and not learned.
    pub told: bool,
    /// Whether the newest is too old.
    pub stale: bool,
}

/// Holds the newest snapshot of each source against what is expected, for each writer to whom it belongs, or for `writer`
/// alone; `told` may name sources that have none.
pub(super) fn check(
    all: &[Summary],
    told: &BTreeMap<Name, Span>,
    writer: Option<&Name>,
    now: Time,
) -> (Vec<Freshness>, Vec<Finding>) {
    let mut claims: BTreeMap<&Name, Vec<(&Name, Claim)>> = told.keys().map(|source| (source, Vec::new())).collect();
    let mut times: BTreeMap<(&Name, &Name), Vec<Time>> = BTreeMap::new();
    let meant = |s: &&Summary| !s.standing.suspect && writer.is_none_or(|name| s.header.writer == *name);
    for snapshot in all.iter().filter(meant) {
        let (header, standing) = (&snapshot.header, snapshot.standing);
        claims.entry(&header.source).or_default().push((&header.writer, standing.claim));
        // The store's time cannot be backdated, and the run's start is the instant of the data.
        let at = header.started_at.min(standing.since.unwrap_or(header.started_at));
        times.entry((&header.source, &header.writer)).or_default().extend((!standing.future).then_some(at));
    }
    let (mut sources, mut findings) = (Vec::new(), Vec::new());
    let mut add = |source: &Name, writer: Option<&Name>, times: &[Time]| {
        let one = Freshness { writer: writer.cloned(), ..judge(source, times, told.get(source).copied(), now) };
        findings.extend(finding(&one, now));
        sources.push(one);
    };
    for (source, claims) in claims {
        let owners: BTreeSet<&Name> = owners(claims.into_iter()).into_iter().collect();
        if owners.is_empty() {
            add(source, None, &[]);
        }
        for owner in owners {
            let times = times.entry((source, owner)).or_default();
            times.sort_unstable();
            add(source, Some(owner), times);
        }
    }
    (sources, findings)
}

fn judge(source: &Name, times: &[Time], told: Option<Span>, now: Time) -> Freshness {
    let newest = times.last().copied();
    let every = told.or_else(|| learned(times));
    let age = newest.map(|at| now.since(at).as_seconds());
    let stale = match (age, every) {
        (None, _) => told.is_some(),
        (Some(_), None) => false,
        // Half an interval of grace where it was told, and one and a half where it was only learned.
        (Some(age), Some(every)) => {
            let every = every.as_seconds();
            age > if told.is_some() { every + every / 2 } else { every * 5 / 2 }
        }
    };
    Freshness { source: source.clone(), writer: None, newest, every, told: told.is_some(), stale }
}

/// The middle one of the last intervals.
fn learned(times: &[Time]) -> Option<Span> {
    let mut intervals: Vec<Span> =
        times.windows(2).rev().take(INTERVALS).filter_map(|pair| Some(pair.get(1)?.since(*pair.first()?))).collect();
    intervals.retain(|span| *span > Span::ZERO);
    intervals.sort_unstable();
    if intervals.len() < ENOUGH { None } else { intervals.get(intervals.len() / 2).copied() }
}

fn finding(one: &Freshness, now: Time) -> Option<Finding> {
    if !one.stale {
        return None;
    }
    let source = &one.source;
    let by = one.writer.as_ref().map(|writer| format!(" by writer {writer}")).unwrap_or_default();
    let Some(newest) = one.newest else {
        let what = format!(
            "source {source} is expected here, and has no snapshot{by} that is neither suspect nor of a time that is not yet"
        );
        return Some(Finding::new(Severity::Weak, "source.absent", what).on(source));
    };
    let (age, every) = (now.since(newest), one.every.unwrap_or(Span::ZERO));
    #[allow(clippy::cast_precision_loss, reason = "for people")]
    let long = |span: Span| lasting(span.as_seconds() as f64);
    let expected = if one.told { "every" } else { "so far about every" };
    let what = format!(
        "the newest snapshot of {source}{by} is {} old, and one is expected {expected} {}",
        long(age),
        if one.told || every.as_seconds() % 3600 == 0 { every.to_string() } else { long(every) }
    );
    let severity = if one.told { Severity::Weak } else { Severity::Warning };
    Some(Finding::new(severity, "source.stale", what).on(source))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(list: &[i64]) -> Vec<Time> {
        list.iter().map(|h| Time::from_unix(h * 3600)).collect()
    }

    fn stale(times: &[i64], told: Option<&str>, now: i64) -> bool {
        let told = told.map(|span| span.parse().unwrap());
        judge(&"x".parse().unwrap(), &hours(times), told, Time::from_unix(now * 3600)).stale
    }

    #[test]
    fn what_is_expected_is_told_or_learned() {
        assert!(!stale(&[0], None, 10_000), "of one snapshot nothing can be learned");
        assert!(!stale(&[0, 24, 48, 72], None, 72 + 59));
        assert!(stale(&[0, 24, 48, 72], None, 72 + 61));
        // One pause does not change what is expected.
        assert_eq!(learned(&hours(&[0, 24, 240, 264, 288])), Some(Span::days(1)));
        assert!(!stale(&[0], Some("24h"), 35));
        assert!(stale(&[0], Some("24h"), 37));
        assert!(stale(&[], Some("24h"), 0));
    }
}
