//! What reports mean, if not success.

use super::{Exit, Failure, Verdict, ops};
#[cfg(feature = "full")]
use crate::cli::copies::Replicated;
use crate::{
    model::{Finding, Name, Severity, only_unread},
    ops::{
        approve::CheckReport,
        backup::BackupReport,
        doctor::{Check, Status},
        drill::DrillReport,
        look::Looked,
        people::KeysReport,
        prune::PruneReport,
        readiness::ReadyReport,
        status::StatusReport,
        verify::worst,
        watch::WatchReport,
    },
    source::redact::redact,
};

impl Failure {
    /// What a backup's report means, if not success.
    #[must_use]
    pub fn of_backup(report: &BackupReport) -> Option<Self> {
        if report.interrupted {
            return Some(Self::interrupted_backup(report.snapshots.len()));
        }
        let first = report.failed.first()?;
        let names: Vec<&str> = report.failed.iter().map(|failed| failed.source.as_str()).collect();
        let verdicts: Vec<Verdict> = report.failed.iter().map(|failed| ops(&failed.error)).collect();
        let of = report.failed.len() + report.snapshots.len();
        if of == 1 {
            let mut failure = Self::of_source(&first.error);
            failure.message = redact(&format!("no snapshot of {} was made: {}", first.source, first.error));
            return Some(failure);
        }
        let message = format!("{} of {of} sources failed: {}", names.len(), names.join(", "));
        let hint = Some("the findings say why; the other sources have their snapshots".to_owned());
        if !report.snapshots.is_empty() {
            return Some(Self { exit: Exit::SomeFailed, kind: "some-sources-failed", message, hint });
        }
        // Where all failed alike, that is what happened.
        let same = verdicts.windows(2).all(|pair| matches!(pair, [a, b] if a.0 == b.0));
        let exit = verdicts.first().filter(|_| same).map_or(Exit::Failed, |(exit, ..)| *exit);
        Some(Self { exit, kind: "all-sources-failed", message, hint: Some("the findings say why".to_owned()) })
    }

    fn interrupted_backup(whole: usize) -> Self {
        let message = if whole == 0 {
            "interrupted: nothing was committed, and earlier snapshots are safe".to_owned()
        } else {
            format!("interrupted: {whole} snapshots were committed before, the rest was not; earlier ones are safe")
        };
        let hint = Some("the next run continues with what was uploaded".to_owned());
        Self { exit: Exit::Interrupted, kind: "interrupted", message, hint }
    }

    /// What a look at sources means: as a backup that ends like it.
    #[must_use]
    pub fn of_rehearsal(looked: &Looked) -> Option<Self> {
        let (all, failed) = (looked.sources.len(), looked.failed.len());
        let hint = Some("nothing was stored; each check says what is wrong".to_owned());
        let names: Vec<&str> = looked.failed.iter().map(|(name, _)| name.as_str()).collect();
        match (looked.failed.first(), &looked.vanished) {
            (Some((name, why)), _) if all == 1 => {
                let message = redact(&format!("{name} could not be backed up: {why}"));
                Some(Self { exit: Exit::Failed, kind: "source", message, hint })
            }
            (Some(_), _) => {
                let message = format!("{failed} of {all} sources could not be backed up: {}", names.join(", "));
                let exit = if failed == all { Exit::Failed } else { Exit::SomeFailed };
                Some(Self { exit, kind: "some-sources-failed", message, hint })
            }
            (None, Some(gone)) => Some(Self { exit: Exit::SomeFailed, kind: "vanished", message: redact(gone), hint }),
            (None, None) => match &looked.lacking {
                Some(what) => Some(Self { exit: Exit::SomeFailed, kind: "not-whole", message: redact(what), hint }),
                None => Self::of_checks(&looked.checks),
            },
        }
    }

    /// What a doctor's checks mean, if not success.
    #[must_use]
    pub fn of_checks(checks: &[Check]) -> Option<Self> {
        let list = |wanted: &dyn Fn(&Check) -> bool| {
            let names: Vec<&str> = checks.iter().filter(|check| wanted(check)).map(|check| &*check.name).collect();
            (!names.is_empty()).then(|| names.join(", "))
        };
        let bad = list(&|check| matches!(check.status, Status::Allowed | Status::Failed));
        let unknown = list(&|check| check.status == Status::CouldNotRun && check.must);
        let (exit, kind, message, hint) = match (bad, unknown) {
            (Some(names), _) => {
                let hint = "each check says what to change, or which permission to take away";
                (Exit::Weak, "unprotected", format!("not as it should be: {names}"), hint)
            }
            (None, Some(names)) => {
                let hint = "what could not be tried proves nothing: each check says why it could not";
                (Exit::Failed, "could-not-run", format!("could not be tried: {names}"), hint)
            }
            (None, None) => return None,
        };
        Some(Self { exit, kind, message: redact(&message), hint: Some(hint.to_owned()) })
    }

    /// What a pruning's report means, if not success.
    #[must_use]
    pub fn of_prune(report: &PruneReport) -> Option<Self> {
        if let Some(why) = report.blocked.first() {
            let more = match report.blocked.len() {
                1 => String::new(),
                n => format!(" (and {} more)", n - 1),
            };
            let message = redact(&format!("nothing was deleted: {why}{more}"));
            let hint =
                "install a newer strongroom, or find out what it is: if it is junk, the owner deletes it by hand";
            return Some(Self { exit: Exit::Weak, kind: "prune-blocked", message, hint: Some(hint.to_owned()) });
        }
        let refused = report.refused;
        let message = format!("the store refused to delete {refused} versions; the others are gone");
        let hint = Some("the findings say which; check what this role may delete".to_owned());
        (refused > 0).then_some(Self { exit: Exit::Failed, kind: "prune-refused", message, hint })
    }

    /// What copies mean, if not success: damage before what is protected less, and that before what failed.
    #[cfg(feature = "full")]
    #[must_use]
    pub fn of_copies(all: &[Replicated]) -> Option<Self> {
        let mut failures: Vec<&Self> = all.iter().filter_map(|one| one.failure.as_ref()).collect();
        let rank = |failure: &Self| match failure.exit {
            Exit::Interrupted => 0,
            Exit::Damage => 1,
            Exit::Weak => 2,
            Exit::TryAgain => 4,
            _ => 3,
        };
        failures.sort_by_key(|failure| rank(failure));
        let worst = failures.first()?;
        let mut failure = Self::clone(worst);
        if all.len() > 1 {
            let names = all.iter().filter(|one| one.failure.is_some());
            let names: Vec<&str> = names.filter_map(|one| one.name.as_ref().map(Name::as_str)).collect();
            failure.message =
                format!("{} of {} copies ({}): {}", failures.len(), all.len(), names.join(", "), failure.message);
        }
        Some(failure)
    }

    /// What the state of a request means, if it would not be let through.
    #[must_use]
    pub fn of_request(report: &CheckReport) -> Option<Self> {
        let message = redact(&format!("not approved: {}", report.why_not));
        let hint = Some("the approvers sign the request's file as it is; `approvers list` names them".to_owned());
        (!report.approved).then_some(Self { exit: Exit::NotApproved, kind: "not-approved", message, hint })
    }

    /// What it means that an identity does not open all that is live.
    #[must_use]
    pub fn of_keys(report: &KeysReport) -> Option<Self> {
        let closed: Vec<String> =
            report.epochs.iter().filter(|line| line.opens == Some(false)).map(|line| line.epoch.to_string()).collect();
        let (count, epochs) = (report.closed, closed.join(", "));
        let message = format!("the identity given does not open epoch {epochs}, of which there are {count} snapshots");
        let hint = Some("`key add-recipient` lets it in, with an identity of an owner who opens that epoch".to_owned());
        (!closed.is_empty()).then_some(Self { exit: Exit::NoIdentity, kind: "no-identity", message, hint })
    }

    /// What drills mean, if not success.
    #[must_use]
    pub fn of_drill(report: &DrillReport) -> Option<Self> {
        let failed = report.failed();
        if failed.is_empty() {
            let drill = report.drills.iter().find(|drill| !drill.lacking.is_empty())?;
            let first = drill.lacking.first().map(String::as_str).unwrap_or_default();
            let message =
                redact(&format!("what is there passed, but the snapshot of {} has not all: {first}", drill.source));
            let hint = "the drill lists what is missing. Mend what the message says, and run the backup again: no drill can \
                        tell anything of what was never read";
            return Some(Self { exit: Exit::SomeFailed, kind: "not-whole", message, hint: Some(hint.to_owned()) });
        }
        let names: Vec<&str> = failed.iter().map(|name| name.as_str()).collect();
        let message = format!("{} of {} drills failed: {}", names.len(), report.drills.len(), names.join(", "));
        let hint = Some("the checks say what is not as it was, or could not be checked".to_owned());
        Some(Self { exit: Exit::Drill, kind: "drill-failed", message, hint })
    }

    /// What a watch means, if not success: damage before alarms, alarms before what is owed.
    #[must_use]
    pub fn of_watch(report: &WatchReport, findings: &[Finding]) -> Option<Self> {
        let told = Self::of_findings(findings);
        if told.as_ref().is_some_and(|failure| failure.exit == Exit::Damage) {
            return told;
        }
        // Who typed another alarm's name believes that this one is closed.
        if let Some(wrong) = findings.iter().find(|finding| finding.code == "watch.cause") {
            let hint = "take the cause from `watch --json`, result.open[].cause; what this pass saw is kept, and what else was \
                        named is acknowledged";
            let message = redact(&wrong.message);
            return Some(Self { exit: Exit::Usage, kind: "usage", message, hint: Some(hint.to_owned()) });
        }
        let Some(first) = report.open.first() else { return told };
        let more = match report.open.len() {
            1 => String::new(),
            n => format!(" (and {} more)", n - 1),
        };
        let why = first.reasons.first().map(|verdict| verdict.words.as_str()).unwrap_or_default();
        let message = format!("alarm {}{more}: {why}", first.cause);
        let hint = "look what happened to the source; earlier snapshots are as they were. If it was meant: watch \
                    --checkpoint FILE --acknowledge CAUSE";
        Some(Self { exit: Exit::Signal, kind: "alarm", message: redact(&message), hint: Some(hint.to_owned()) })
    }

    /// What an answer of `ready` means, if not yes.
    #[must_use]
    pub fn of_ready(report: &ReadyReport) -> Option<Self> {
        if report.ready {
            return None;
        }
        let names: Vec<&str> = report.not_ready().map(|one| one.source.as_str()).collect();
        let first = report.not_ready().flat_map(|one| &one.reasons).next();
        let why = first.map_or("nothing says that it is", |reason| reason.words.as_str());
        let message = format!("not ready: {}: {why}", names.join(", "));
        let hint = "do not start anything destructive. `backup` makes a new snapshot, `drill` tests it, `watch --acknowledge` closes an alarm that was expected";
        Some(Self { exit: Exit::Weak, kind: "not-ready", message: redact(&message), hint: Some(hint.to_owned()) })
    }

    /// What a status means, if not that nothing is owed.
    #[must_use]
    pub fn of_status(report: &StatusReport, findings: &[Finding]) -> Option<Self> {
        let told = Self::of_findings(findings);
        if told.as_ref().is_some_and(|failure| failure.exit == Exit::Damage) {
            return told;
        }
        let (source, first) = report.all_owed().next()?;
        let more = match report.all_owed().count() {
            1 => String::new(),
            n => format!(" (and {} more)", n - 1),
        };
        let source = source.map(|name| format!("{name}: ")).unwrap_or_default();
        let message = format!("something is owed: {source}{}{more}", first.words);
        let hint = "see the lines that begin with OWED; `backup`, `drill` or `renew` resolves them";
        Some(Self { exit: Exit::Weak, kind: "owed", message: redact(&message), hint: Some(hint.to_owned()) })
    }

    /// What the findings of a verification mean, if not success.
    #[must_use]
    pub fn of_findings(findings: &[Finding]) -> Option<Self> {
        let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
        let failure = |exit, kind, message, hint: &str| Some(Self { exit, kind, message, hint: Some(hint.to_owned()) });
        if let Some(unread) = only_unread(findings) {
            let message = format!(
                "{unread} objects can't be read, so whether they are whole is not known; all else was looked at"
            );
            let hint = "the findings name them: look at the owner and the mode of each, or at what this role may read, and run again";
            return failure(Exit::Failed, "unread", message, hint);
        }
        match worst(findings)? {
            Severity::Info | Severity::Warning => None,
            Severity::Weak => {
                let message =
                    format!("{} snapshots or objects are protected less than promised", count(Severity::Weak));
                failure(Exit::Weak, "unprotected", message, "a new backup stores what is not locked long enough again")
            }
            Severity::Error => {
                let message = format!("{} findings of damage", count(Severity::Error));
                let hint = "other snapshots may be intact; restore tries every signed copy of damaged data";
                failure(Exit::Damage, "damaged", message, hint)
            }
        }
    }
}
