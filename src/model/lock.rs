//! Locks and the arithmetic of retention.

use serde::{Deserialize, Serialize};

use super::{Span, Time};

/// How strongly a store holds a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LockMode {
    /// Nobody shortens it, the account's root included.
    Compliance,
    /// A principal with a special permission can shorten it.
    Governance,
}

impl LockMode {
    /// Whether a lock of this mode is at least as strong as one of `wanted`.
    #[must_use]
    pub const fn covers(self, wanted: Self) -> bool {
        matches!((self, wanted), (Self::Compliance, _) | (Self::Governance, Self::Governance))
    }

    /// The mode as configuration and JSON spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Compliance => "compliance",
            Self::Governance => "governance",
        }
    }
}

/// A lock on one version of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// How strongly it is held.
    pub mode: LockMode,
    /// The first instant at which the version may be deleted.
    pub until: Time,
}

/// Who sets the lock of a new object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LockBy {
    /// The bucket's default retention; the writer may not touch locks.
    BucketDefault,
    /// The writer, on each put, and it may extend.
    Explicit,
}

/// The part of a vault's descriptor that says how long things are kept. Signed by root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockPolicy {
    /// How strongly locks are held.
    pub mode: LockMode,
    /// Who sets the lock of a new object.
    pub by: LockBy,
    /// How long each snapshot is promised to live.
    pub keep: Span,
    /// How much longer a new object is locked, so that later snapshots can lean on it.
    pub window: Span,
    /// No lock reaches further from now than this, whoever asks.
    pub max_lock: Span,
}

impl LockPolicy {
    /// The window that `init` chooses.
    pub const DEFAULT_WINDOW: Span = Span::days(30);
    /// What the window may not fall below: with less, nearly everything is stored again every day.
    pub const MIN_WINDOW: Span = Span::days(2);

    /// Until when a snapshot whose run started at `start` is promised to live.
    #[must_use]
    pub fn floor(&self, start: Time) -> Time {
        start + self.keep
    }

    /// The lock that a new object gets in a run that started at `start`.
    #[must_use]
    pub fn lock_from(&self, start: Time) -> Lock {
        let wanted = self.keep + self.window;
        Lock { mode: self.mode, until: start + wanted.min(self.max_lock) }
    }

    /// How many full copies of unchanging data the window implies: D / (D − keep), for D = keep + window.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a ratio for people")]
    pub fn implied_copies(&self) -> f64 {
        let d = (self.keep + self.window).as_seconds() as f64;
        d / (self.window.as_seconds().max(1) as f64)
    }
}

/// A longer promise that the first snapshot of a period gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// The first of an ISO week.
    Weekly,
    /// The first of a month.
    Monthly,
    /// The first of a year.
    Yearly,
}

/// How long the first snapshot of a week, a month or a year is kept, where that is longer than others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tiers {
    /// Of an ISO week.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weekly: Option<Span>,
    /// Of a month.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monthly: Option<Span>,
    /// Of a year.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yearly: Option<Span>,
}

impl Tiers {
    /// The longest tier of a snapshot taken `at`, where the source's snapshot before it is of `previous`: the first of
    /// a period (in UTC) gets the period's.
    #[must_use]
    pub fn of(&self, at: Time, previous: Option<Time>) -> Option<(Tier, Span)> {
        let first = |period: fn(Time) -> (i16, i8)| previous.is_none_or(|previous| period(previous) != period(at));
        let tiers = [
            (Tier::Weekly, self.weekly, first(Time::iso_week)),
            (Tier::Monthly, self.monthly, first(Time::month)),
            (Tier::Yearly, self.yearly, first(|time| (time.month().0, 0))),
        ];
        let fitting = tiers.into_iter().filter(|(_, _, first)| *first);
        fitting.filter_map(|(tier, span, _)| span.map(|span| (tier, span))).max_by_key(|(_, span)| *span)
    }

    /// The longest of them.
    #[must_use]
    pub fn longest(&self) -> Option<Span> {
        self.weekly.into_iter().chain(self.monthly).chain(self.yearly).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_period_is_kept_longer() {
        let tiers = Tiers { weekly: Some(Span::days(84)), monthly: Some(Span::days(400)), yearly: None };
        let at = |text: &str| text.parse::<Time>().unwrap();
        let of = |now, before: Option<&str>| tiers.of(at(now), before.map(at)).map(|(tier, _)| tier);
        assert_eq!(of("2026-11-24T03:00:00Z", None), Some(Tier::Monthly));
        assert_eq!(of("2026-11-24T03:00:00Z", Some("2026-11-23T00:00:00Z")), None);
        // A Monday after a Sunday; the first of a month in the middle of a week; and a new year in the same ISO week.
        assert_eq!(of("2026-11-23T00:00:00Z", Some("2026-11-22T23:59:59Z")), Some(Tier::Weekly));
        assert_eq!(of("2026-12-01T00:00:00Z", Some("2026-11-30T23:59:59Z")), Some(Tier::Monthly));
        let yearly = Tiers { yearly: Some(Span::days(3650)), weekly: Some(Span::days(84)), monthly: None };
        let of = |now, before| yearly.of(at(now), Some(at(before))).map(|(tier, _)| tier);
        assert_eq!(of("2027-01-01T00:00:00Z", "2026-12-31T00:00:00Z"), Some(Tier::Yearly));
        assert_eq!(of("2027-01-04T00:00:00Z", "2027-01-03T00:00:00Z"), Some(Tier::Weekly));
        assert_eq!(of("2027-01-02T00:00:00Z", "2027-01-01T00:00:00Z"), None);
    }

    #[test]
    fn a_new_lock_reaches_the_floor_and_the_window() {
        let policy = LockPolicy {
            mode: LockMode::Compliance,
            by: LockBy::BucketDefault,
            keep: Span::days(35),
            window: Span::days(30),
            max_lock: Span::days(400),
        };
        let start = Time::from_unix(1_000_000);
        assert_eq!(policy.floor(start), start + Span::days(35));
        assert_eq!(policy.lock_from(start).until, start + Span::days(65));
        assert!((policy.implied_copies() - 65.0 / 30.0).abs() < 1e-9);
        assert!(LockMode::Compliance.covers(LockMode::Governance));
        assert!(!LockMode::Governance.covers(LockMode::Compliance));
    }

    #[test]
    fn nothing_is_locked_for_longer_than_the_root_allows() {
        let policy = LockPolicy {
            mode: LockMode::Governance,
            by: LockBy::Explicit,
            keep: Span::days(35),
            window: Span::days(30),
            max_lock: Span::days(40),
        };
        let start = Time::from_unix(1_000_000);
        assert_eq!(policy.lock_from(start), Lock { mode: LockMode::Governance, until: start + Span::days(40) });
        let wide = LockPolicy { max_lock: Span::days(65), ..policy };
        assert_eq!(wide.lock_from(start).until, start + Span::days(65));
        assert!(LockMode::Governance.covers(LockMode::Governance) && LockMode::Compliance.covers(LockMode::Compliance));
        assert_eq!([LockMode::Compliance, LockMode::Governance].map(LockMode::as_str), ["compliance", "governance"]);
        let endless = LockPolicy { window: Span::ZERO, ..policy };
        assert!((endless.implied_copies() - 35.0 * 86_400.0).abs() < 1e-9, "a ratio, and no division by nothing");
    }

    #[test]
    fn of_several_tiers_the_longest_counts() {
        let (weekly, monthly, yearly) = (Some(Span::days(84)), Some(Span::days(400)), Some(Span::days(300)));
        let all = Tiers { weekly, monthly, yearly };
        let at: Time = "2027-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(all.of(at, None), Some((Tier::Monthly, Span::days(400))));
        assert_eq!(all.longest(), Some(Span::days(400)));
        assert_eq!(Tiers { monthly: None, ..all }.longest(), Some(Span::days(300)));
        assert_eq!(Tiers { weekly, ..Tiers::default() }.longest(), Some(Span::days(84)));
        assert_eq!((Tiers::default().longest(), Tiers::default().of(at, None)), (None, None));
    }
}
