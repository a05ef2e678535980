//! The reasons why a source is not ready, each with a stable code and words.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::LastDrill;
use crate::{
    model::{Finding, Name, Severity, SnapshotId, Span, Time, lasting},
    ops::watch::Checkpoint,
    signal::Level,
    vault::{snapshots::Summary, standing::AHEAD},
};

/// So many findings or alarms of one source are told; of more, how many there are.
const TOLD: usize = 5;

/// Why a source is not ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// A stable word for it.
    pub code: Cow<'static, str>,
    /// What is wrong.
    pub words: String,
}

impl Reason {
    /// A reason.
    #[must_use]
    pub fn new(code: &'static str, words: impl Into<String>) -> Self {
        Self { code: code.into(), words: words.into() }
    }
}

/// What is known of alarms besides the headers.
pub struct Alarms<'a> {
    /// What a watch saw last.
    pub seen: Option<&'a Checkpoint>,
    /// Causes that somebody knows of.
    pub acknowledge: &'a [String],
}

impl Alarms<'_> {
    fn is_known(&self, cause: &str) -> bool {
        self.acknowledge.iter().any(|known| known == cause)
            || self.seen.is_some_and(|seen| seen.acknowledged.contains_key(cause))
    }
}

#[allow(clippy::cast_precision_loss, reason = "a span for people")]
fn lasts(span: Span) -> String {
    lasting(span.as_seconds() as f64)
}

/// The clocks of this host and of the store do not agree: then no age can be believed.
#[must_use]
pub fn clock(host: Time, store: Time) -> Option<Reason> {
    let off = host.since(store).max(store.since(host));
    (off > AHEAD).then(|| {
        let words = format!(
            "this host's clock and the store's are {} apart ({host} and {store}), so no age can be believed",
            lasts(off)
        );
        Reason::new("clock", words)
    })
}

/// Something that would have told against the source could not be read, or nothing says which vault is meant: what was not
/// looked at is no yes.
#[must_use]
pub fn unread(findings: &[Finding]) -> Vec<Reason> {
    let of = |code: &'static str, wanted: &[&str]| {
        let found = findings.iter().find(|finding| wanted.contains(&finding.code.as_str()));
        found.map(|finding| Reason::new(code, finding.message.clone()))
    };
    of("unread", &["members.unread", "evidence.unread"])
        .into_iter()
        .chain(of("unpinned", &["vault.unpinned"]))
        .collect()
}

/// The snapshot is too old.
#[must_use]
pub fn aged(taken: Time, now: Time, most: Span) -> Option<Reason> {
    let age = now.since(taken);
    if taken > now + AHEAD {
        return Some(Reason::new("clock", format!("the snapshot is of {taken}, which is not yet: it is {now}")));
    }
    (age > most).then(|| {
        let words = format!("the newest snapshot is {} old, and at most {} is asked for", lasts(age), lasts(most));
        Reason::new("too-old", words)
    })
}

/// The snapshot has not all of its source: its writer says so in the header, which is in the clear and names nothing.
#[must_use]
pub fn partial(id: &SnapshotId, whole: bool) -> Option<Reason> {
    (!whole).then(|| {
        let words = format!(
            "snapshot {0} has not all of its source: its run could not read some of it and ended with 3; `strongroom show {0} -i \
             IDENTITY` names what. Mend that, and run the backup again",
            id.short()
        );
        Reason::new("not-whole", words)
    })
}

/// Newer snapshots of the same writer are suspect, or of a time that is not yet: what was chosen is not what comes last.
#[must_use]
pub fn doubted(own: &[Summary], chosen: &Summary) -> Vec<Reason> {
    let newer = |found: &&Summary| {
        found.header.writer == chosen.header.writer && found.id != chosen.id && found.since() >= chosen.since()
    };
    let suspect = own.iter().filter(newer).filter(|found| found.standing.suspect).count();
    let future = own.iter().filter(newer).filter(|found| found.standing.future && !found.standing.suspect).count();
    let mut reasons = Vec::new();
    if chosen.standing.suspect || suspect > 0 {
        let words = format!(
            "{} of writer {} are suspect, since it was revoked or may not write this source",
            counted(suspect.max(1), "snapshot"),
            chosen.header.writer
        );
        reasons.push(Reason::new("suspect", words));
    }
    if chosen.standing.future || future > 0 {
        let words = format!("{} claim to be of a time that is not yet", counted(future.max(1), "snapshot"));
        reasons.push(Reason::new("clock", words));
    }
    reasons
}

/// An alarm that nobody acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// What to call it when it is acknowledged.
    pub cause: String,
    /// What it says.
    pub words: String,
}

impl Open {
    /// All of them as a reason.
    #[must_use]
    pub fn reason(open: &[Self]) -> Option<Reason> {
        let told: Vec<String> = open.iter().take(TOLD).map(|one| format!("{}: {}", one.cause, one.words)).collect();
        let more = if open.len() > TOLD { format!("; and {} more", open.len() - TOLD) } else { String::new() };
        let words = format!("{} not acknowledged: {}{more}", counted(open.len(), "alarm"), told.join("; "));
        (!open.is_empty()).then(|| Reason::new("flagged", words))
    }
}

impl Alarms<'_> {
    /// Those of a source: what a watch keeps open, and what its writer put into the headers of live snapshots.
    #[must_use]
    pub fn open(&self, writer: &Name, source: &Name, flagged: impl Iterator<Item = (SnapshotId, Level)>) -> Vec<Open> {
        let mut open: Vec<Open> = Vec::new();
        for signal in self.seen.into_iter().flat_map(|seen| &seen.open) {
            if signal.writer == *writer && signal.source == *source && !self.is_known(&signal.cause) {
                let words = signal.reasons.first().map(|verdict| verdict.words.clone()).unwrap_or_default();
                open.push(Open { cause: signal.cause.clone(), words });
            }
        }
        for (id, _) in flagged.filter(|(_, level)| *level == Level::Alarm) {
            // A watch that says the same gives it a name without the end.
            let plain = format!("{writer}/{source}@{}", id.short());
            let cause = format!("{plain}-writer");
            let told = open.iter().any(|one| one.cause == plain || one.cause == cause);
            if !told && !self.is_known(&plain) && !self.is_known(&cause) {
                let words = "the writer itself raised an alarm in this snapshot's header".to_owned();
                open.push(Open { cause, words });
            }
        }
        open
    }
}

/// Alarms that nobody acknowledged, and a snapshot that the watch has not seen.
pub fn alarmed<'a>(live: impl Iterator<Item = &'a Summary>, chosen: &Summary, alarms: &Alarms<'_>) -> Vec<Reason> {
    let (writer, source) = (&chosen.header.writer, &chosen.header.source);
    let own = live.filter(|found| found.header.writer == *writer && !found.standing.suspect);
    let flagged = own.filter_map(|found| Some((found.id, found.header.signal?)));
    let mut reasons: Vec<Reason> = Open::reason(&alarms.open(writer, source, flagged)).into_iter().collect();
    if alarms.seen.is_some_and(|seen| !seen.knows(&chosen.id)) {
        let words = format!("`watch` has not looked at snapshot {} yet", chosen.id.short());
        reasons.push(Reason::new("unwatched", words));
    }
    reasons
}

/// Nothing holds the snapshot.
#[must_use]
pub fn locked(until: Option<Time>, expires: Time, now: Time) -> Option<Reason> {
    match until {
        _ if expires <= now => {
            Some(Reason::new("expired", format!("the snapshot was to be kept until {expires} only")))
        }
        None => Some(Reason::new("lock", "its locks could not be read")),
        Some(until) if until <= now => {
            let words = if until.unix() == 0 {
                "something that it needs has no lock, or its lock could not be read".to_owned()
            } else {
                format!("the first of its locks ended {until}")
            };
            Some(Reason::new("lock", words))
        }
        Some(_) => None,
    }
}

/// What an audit of the snapshot found wrong with it.
#[must_use]
pub fn found(findings: &[Finding]) -> Vec<Reason> {
    let mut reasons = Vec::new();
    for (severity, code) in [(Severity::Error, "damaged"), (Severity::Weak, "lock")] {
        let all: Vec<&Finding> = findings.iter().filter(|finding| finding.severity == severity).collect();
        let told: Vec<String> = all.iter().take(TOLD).map(|f| format!("{} [{}]", f.message, f.code)).collect();
        let more = if all.len() > TOLD { format!("; and {} more", all.len() - TOLD) } else { String::new() };
        if !all.is_empty() {
            reasons.push(Reason::new(code, format!("{}{more}", told.join("; "))));
        }
    }
    reasons
}

/// The last drill did not pass, or is too long ago.
#[must_use]
pub fn drilled(last: Option<&LastDrill>, within: Span, now: Time) -> Option<Reason> {
    let Some(drill) = last else {
        return Some(Reason::new("drill-never", "it has no signed drill"));
    };
    let (at, by) = (drill.at, &drill.member);
    if drill.at > now + AHEAD {
        return Some(Reason::new("clock", format!("its last drill is of {at}, which is not yet: it is {now}")));
    }
    if !drill.passed && drill.failed == 0 && drill.not_run > 0 {
        let words = format!("its last drill, of {at} by {by}, could not run {}", counted_u64(drill.not_run, "check"));
        return Some(Reason::new("drill-not-run", words));
    }
    if !drill.passed {
        let words = format!("its last drill, of {at} by {by}, failed {}", counted_u64(drill.failed, "check"));
        return Some(Reason::new("drill-failed", words));
    }
    let age = now.since(drill.at);
    (age > within).then(|| {
        let words = format!("its last drill is {} ago, and at most {} is asked for", lasts(age), lasts(within));
        Reason::new("drill-old", words)
    })
}

fn counted(n: usize, what: &str) -> String {
    counted_u64(n as u64, what)
}

fn counted_u64(n: u64, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
