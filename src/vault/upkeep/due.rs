//! What is due: locks that fall short, and what is told of renewing them.

use super::{journals, needs::lost};
use crate::{
    model::{Finding, Findings, Key, Lock, Severity, Span, Time},
    store::Version,
};

/// Locks are extended to ends this far apart, so that what is needed a day longer each day is extended once a month.
pub(super) const GENERATION: Span = Span::days(30);
/// How far the lock of a journal's object may end before what follows from the store's time.
const SLACK: Span = Span::seconds(3600);

/// What was done, or would be.
#[derive(Debug, Default)]
pub struct Renewed {
    /// Snapshots whose locks are kept.
    pub snapshots: u64,
    /// Headers that nothing is extended for.
    pub refused: u64,
    /// Objects that live snapshots and the vault itself need.
    pub objects: u64,
    /// Calls that listed or read: locks, headers, pages, and objects whose versions had to be told apart.
    pub reads: u64,
    /// Calls that extended a lock.
    pub updates: u64,
    /// Bytes of the objects whose locks were extended.
    pub bytes: u64,
    /// For how long they were: bytes times seconds.
    pub byte_seconds: f64,
    /// The furthest end of a lock that was set.
    pub extended_until: Option<Time>,
    /// The first end of a lock among all that is needed, afterwards.
    pub weakest_lock: Option<Time>,
    /// What was found.
    pub findings: Findings,
}

/// One object whose lock falls short.
pub(super) struct Due {
    pub(super) key: Key,
    pub(super) version: Option<Version>,
    pub(super) bytes: u64,
    pub(super) until: Time,
    pub(super) now: Option<Lock>,
}

/// What looking at an object told.
pub(super) enum Looked {
    /// No version has the bytes that were signed.
    Lost,
    /// Its lock, or which version was signed, can't be read.
    Unread(String),
    /// Its lock, whether that must be extended and to when, and how many calls it took.
    Seen { version: Option<Version>, bytes: u64, lock: Option<Lock>, until: Option<Time>, reads: u64 },
}

impl Renewed {
    pub(super) fn take(&mut self, looked: Looked, key: Key, due: &mut Vec<Due>) {
        self.objects += 1;
        let (version, bytes, lock, until, reads) = match looked {
            Looked::Seen { version, bytes, lock, until, reads } => (version, bytes, lock, until, reads),
            Looked::Lost => return self.findings.push(lost(&key)),
            Looked::Unread(why) => {
                let what = format!("this can't be read, so its lock was not extended: {why}");
                return self.findings.push(Finding::new(Severity::Weak, "lock.unread", what).on(key));
            }
        };
        self.reads += reads;
        if let Some(until) = until {
            due.push(Due { key, version, bytes, until, now: lock });
        } else if let Some(lock) = lock {
            self.holds(lock.until);
        }
    }

    /// Looks at the lock of a journal's object: whatever is short of what it was promised is due at once.
    pub(super) fn piece(&mut self, looked: journals::Looked, (now, lead, cap): (Time, Span, Time), due: &mut Vec<Due>) {
        let journals::Looked { key, version, bytes, lock, promised, held } = looked;
        let lock = match lock {
            Ok(lock) => lock,
            Err(why) => return self.take(Looked::Unread(why), key, due),
        };
        let short = lock.is_none_or(|lock| lock.until + SLACK < promised).then_some(promised);
        let held = held.filter(|(until, floor)| {
            lock.is_none_or(|lock| lock.until < (*until).min(now + lead) || lock.until < *floor)
        });
        let until = short.max(held.map(|(until, _)| until)).map(|until| generation(until).min(cap));
        self.take(Looked::Seen { version, bytes, lock, until, reads: 1 }, key, due);
    }

    pub(super) fn holds(&mut self, until: Time) {
        self.weakest_lock = Some(self.weakest_lock.map_or(until, |weakest| weakest.min(until)));
    }

    #[allow(clippy::cast_precision_loss, reason = "an estimate for people")]
    pub(super) fn extended(&mut self, due: &Due, until: Time) {
        self.updates += 1;
        self.bytes += due.bytes;
        let from = due.now.map_or(until, |lock| lock.until);
        self.byte_seconds += due.bytes as f64 * until.since(from).as_seconds() as f64;
        self.extended_until = self.extended_until.max(Some(until));
        self.holds(until);
    }
}

/// The end of the generation in which `until` lies.
pub(super) fn generation(until: Time) -> Time {
    let length = i64::try_from(GENERATION.as_seconds()).unwrap_or(i64::MAX);
    let whole = until.unix() / length + i64::from(until.unix() % length > 0);
    Time::from_unix(whole.saturating_mul(length))
}
