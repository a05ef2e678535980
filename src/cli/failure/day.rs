//! What the reports of the day itself mean, if not success.

use super::{Exit, Failure};
use crate::{
    cli::airgap::window::WindowReport,
    model::Finding,
    ops::{
        airgap::{OpenReport, StatusReport, TripReport},
        incident::IncidentReport,
        request::{RequestedReport, State, ToldError},
    },
    source::redact::redact,
};

impl Failure {
    /// What the answers to requests mean, if not success.
    #[must_use]
    pub fn of_requested(report: &RequestedReport) -> Option<Self> {
        let with = |state: State| report.requests.iter().find(|answer| answer.state == state);
        let verdicts = [
            (State::Refused, Exit::Usage, "refused", "[request] in the server's configuration lists users and sources"),
            (State::Failed, Exit::Failed, "source", "see the log of `request serve` on the writer's host"),
            (State::Busy, Exit::TryAgain, "try-again", "ask again later"),
        ];
        let (answer, exit, kind, hint) =
            verdicts.into_iter().find_map(|(state, exit, kind, hint)| Some((with(state)?, exit, kind, hint)))?;
        let source = answer.source.as_ref().map_or("the request", |source| source.as_str());
        let why = answer.why.as_deref().unwrap_or("no reason was given");
        let message = redact(&format!("{source}: {why}"));
        Some(Self { exit, kind, message, hint: Some(hint.to_owned()) })
    }

    /// How a look ended that a server of requests made, if it gave no answer.
    #[must_use]
    pub fn of_told(code: u8, error: Option<&ToldError>) -> Self {
        let (exit, kind) = match code {
            2 => (Exit::Usage, "usage"),
            4 => (Exit::Damage, "untrusted"),
            10 => (Exit::NoVault, "no-vault"),
            75 => (Exit::TryAgain, "try-again"),
            _ => (Exit::Failed, "failed"),
        };
        let why = error.map_or("its answer is none to what was asked", |error| &error.message);
        let message = redact(&format!("the request server could not answer whether it is ready: {why}"));
        let hint = error.and_then(|error| error.hint.clone());
        let hint = hint.unwrap_or_else(|| "see the log of `request serve` on the writer's host".to_owned());
        Self { exit, kind, message, hint: Some(redact(&hint)) }
    }

    /// What an incident's page means, if not success: damage before alarms.
    #[must_use]
    pub fn of_incident(report: &IncidentReport, findings: &[Finding]) -> Option<Self> {
        let told = Self::of_findings(findings);
        if told.as_ref().is_some_and(|failure| failure.exit == Exit::Damage) {
            return told;
        }
        let Some(first) = report.troubled().next() else { return told };
        let message = redact(&format!("{}: {}: {}", report.headline(), first.source, first.headline));
        let hint = "the page says what to type. If it was meant: watch --checkpoint FILE --acknowledge CAUSE";
        Some(Self { exit: Exit::Signal, kind: "alarm", message, hint: Some(hint.to_owned()) })
    }

    /// What a trip means, if not that all is cut.
    #[must_use]
    pub fn of_trip(report: &TripReport) -> Option<Self> {
        Self::of_open_ways(&report.open).or_else(|| {
            let why = report.unnoted.first()?;
            let message = redact(&format!("all is cut, and it could not be noted: {why}"));
            let hint = "`airgap run` would open it again: fix the journal file, and trip again".to_owned();
            Some(Self { exit: Exit::Weak, kind: "unnoted", message, hint: Some(hint) })
        })
    }

    /// What it means that ways could not be connected again.
    #[must_use]
    pub fn of_opening(report: &OpenReport) -> Option<Self> {
        let (name, why) = report.failed.first()?;
        let message = redact(&format!("{name} could not be connected: {why}"));
        let hint = "it counts as open: connect it by hand, then look with `airgap status`".to_owned();
        Some(Self { exit: Exit::Failed, kind: "unconnected", message, hint: Some(hint) })
    }

    /// What it means that it is not proved of ways that they are cut.
    #[must_use]
    pub fn of_open_ways(open: &[String]) -> Option<Self> {
        let message = redact(&format!("not proved to be cut: {}", open.join(", ")));
        let hint = "cut it by hand (pull the cable, take the key away), then look with `airgap status`".to_owned();
        (!open.is_empty()).then_some(Self { exit: Exit::Weak, kind: "not-cut", message, hint: Some(hint) })
    }

    /// What the state of the ways means, if they are not as they should be.
    #[must_use]
    pub fn of_airgap(report: &StatusReport) -> Option<Self> {
        Self::of_open_ways(&report.open).or_else(|| {
            let hint = "run `airgap trip` again: it does whatever is still to be done".to_owned();
            let message = "the last trip did not come to its end".to_owned();
            report.unfinished.then_some(Self { exit: Exit::Weak, kind: "unfinished", message, hint: Some(hint) })
        })
    }

    /// What a window means, if not success: ways that are open before all else.
    #[must_use]
    pub fn of_window(report: &WindowReport) -> Option<Self> {
        if let Some(failure) = Self::of_open_ways(&report.open) {
            return Some(failure);
        }
        if let Some((name, why)) = report.unconnected.first() {
            let message = redact(&format!("{name} could not be connected, so nothing was run: {why}"));
            return Some(Self { exit: Exit::Failed, kind: "unconnected", message, hint: None });
        }
        if !report.succeeded {
            let ended = report.ended.as_deref().unwrap_or("nothing");
            let why = report.stopped.map(|why| format!(", stopped since {why}")).unwrap_or_default();
            let message = redact(&format!("the command ended with {ended}{why}; all is cut again"));
            let exit = if report.stopped == Some("interrupted") { Exit::Interrupted } else { Exit::Failed };
            return Some(Self { exit, kind: "command", message, hint: None });
        }
        let message = format!("open before the window was: {}", report.was_open.join(", "));
        let hint = "all is cut now. Find out who connected it".to_owned();
        (!report.was_open.is_empty()).then_some(Self { exit: Exit::Weak, kind: "was-open", message, hint: Some(hint) })
    }
}
