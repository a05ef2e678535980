//! Cutting, and proving that it is cut.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{Gate, Journal, Through, Window, journal::Event, journal::probe};
use crate::model::Time;

/// A probe fails so many times in a row before that proves anything.
const TWICE: usize = 2;
/// The time between two probes.
const BETWEEN: Duration = Duration::from_millis(500);

/// What became of one step.
#[derive(Debug, Clone, Serialize)]
pub struct StepReport {
    /// Its name.
    pub step: String,
    /// Whether what cuts it ended well.
    pub disconnected: bool,
    /// Whether it is proved that nothing gets through.
    pub proved: bool,
    /// What is to be said of it.
    pub told: String,
    /// How long it took, in seconds.
    pub seconds: f64,
}

/// What became of a trip.
#[derive(Debug, Clone, Serialize)]
pub struct TripReport {
    /// Its id.
    pub id: String,
    /// When it began, by this host's clock.
    pub at: Time,
    /// Who asked for it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Whether it was cut already.
    pub again: bool,
    /// The steps, in their order.
    pub steps: Vec<StepReport>,
    /// The steps of which it is not proved that nothing gets through.
    pub open: Vec<String>,
    /// Why something could not be noted on the disk.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unnoted: Vec<String>,
    /// Where it was noted in the vault.
    pub stored: Option<String>,
}

/// Who trips, and why.
#[derive(Debug, Clone)]
pub struct Trip {
    /// A name that no other trip has.
    pub id: String,
    /// When.
    pub at: Time,
    /// Who asks for it.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// Cuts every way, one after the other, whatever fails. It was noted before anything was done, if it could be.
pub fn trip(trip: Trip, gates: &mut [Box<dyn Gate>], journal: &mut dyn Journal) -> TripReport {
    let Trip { id, at, by, reason } = trip;
    let mut unnoted = Vec::new();
    let before = journal.read().unwrap_or_default();
    let again = before.tripped.is_some();
    let mut note = |journal: &mut dyn Journal, event| {
        if let Err(why) = journal.note(event) {
            unnoted.push(why);
        }
    };
    note(journal, Event::Trip { id: id.clone(), by: by.clone(), reason: reason.clone() });
    let mut steps = Vec::new();
    for gate in gates {
        let name = gate.name().to_owned();
        note(journal, Event::Cutting { id: id.clone(), step: name.clone() });
        let seen = before.has_seen(&name, &gate.probed_by());
        let (report, now_seen) = cut(&mut **gate, seen);
        if now_seen {
            note(journal, Event::Seen { step: name.clone(), probe: probe(&gate.probed_by()) });
        }
        note(journal, Event::Cut { id: id.clone(), step: name, proved: report.proved, told: report.told.clone() });
        steps.push(report);
    }
    let open: Vec<String> = steps.iter().filter(|step| !step.proved).map(|step| step.step.clone()).collect();
    note(journal, Event::Tripped { id: id.clone(), open: open.clone() });
    TripReport { id, at, by, reason, again, steps, open, unnoted, stored: None }
}

/// Cuts one way and proves it. `seen` says that its probe got through once; else it is tried before, since one that always
/// fails proves nothing. Returns whether it was seen to get through.
fn cut(gate: &mut dyn Gate, seen: bool) -> (StepReport, bool) {
    let begin = Instant::now();
    let now_seen = !seen && matches!(gate.probe(), Ok(Through::Open));
    let disconnected = gate.disconnect();
    let (mut proved, mut told) = match proof(gate) {
        Ok(how) => (true, format!("cut: the probe fails ({how})")),
        Err(why) => (false, why),
    };
    if proved && !seen && !now_seen {
        proved = false;
        "the probe fails, but it was never seen to succeed, so that proves nothing: run `airgap status` while the way is open"
            .clone_into(&mut told);
    }
    if let Err(why) = &disconnected {
        told = format!("{told}; its command failed: {why}");
    }
    let disconnected = disconnected.is_ok();
    let seconds = begin.elapsed().as_secs_f64();
    (StepReport { step: gate.name().to_owned(), disconnected, proved, told, seconds }, now_seen)
}

/// Probes until nothing gets through any more, and says how the probe fails.
fn proof(gate: &mut dyn Gate) -> Result<String, String> {
    let deadline = Instant::now() + gate.patience();
    let mut failures = 0;
    loop {
        match gate.probe() {
            Ok(Through::Cut(how)) => {
                failures += 1;
                if failures >= TWICE {
                    return Ok(how);
                }
            }
            Ok(Through::Open) if Instant::now() >= deadline => {
                return Err("STILL OPEN: the probe gets through".to_owned());
            }
            Err(why) if Instant::now() >= deadline => {
                return Err(format!("NOT PROVED: the probe can't be tried: {why}"));
            }
            Ok(Through::Open) | Err(_) => failures = 0,
        }
        thread::sleep(BETWEEN);
    }
}

/// How a way is now.
#[derive(Debug, Clone, Serialize)]
pub struct GateReport {
    /// Its name.
    pub step: String,
    /// `open`, `cut`, or `unknown` where the probe can't be tried.
    pub state: &'static str,
    /// Whether its probe was ever seen to get through.
    pub seen_open: bool,
    /// How the probe failed, or why it could not be tried.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub told: String,
}

/// How it is now.
#[derive(Debug, Clone, Serialize)]
pub struct StatusReport {
    /// The trip, if it is tripped: what approvers approve the end of.
    pub trip: Option<String>,
    /// Since when it is tripped, by this host's clock.
    pub tripped_at: Option<Time>,
    /// Whether the last trip did not come to its end.
    pub unfinished: bool,
    /// A window that was not closed.
    pub window: Option<Window>,
    /// The ways, in their order.
    pub steps: Vec<GateReport>,
    /// The ways that should be cut and are not known to be.
    pub open: Vec<String>,
}

/// Tries each way, and holds what it finds against the journal. `closed` says that all should be cut but within a window.
///
/// # Errors
/// If the journal can't be read or written, in words.
pub fn status(
    gates: &mut [Box<dyn Gate>],
    journal: &mut dyn Journal,
    (closed, now): (bool, Time),
) -> Result<StatusReport, String> {
    let state = journal.read()?;
    let window = state.window.clone();
    let within = window.as_ref().is_some_and(|window| window.until > now);
    let must = state.tripped.is_some() || (closed && !within) || window.is_some() && !within;
    let (mut steps, mut open) = (Vec::new(), Vec::new());
    for gate in gates {
        let (name, probed_by) = (gate.name().to_owned(), gate.probed_by());
        let mut seen_open = state.has_seen(&name, &probed_by);
        let (state, told) = match gate.probe() {
            Ok(Through::Open) => ("open", String::new()),
            Ok(Through::Cut(how)) => ("cut", how),
            Err(why) => ("unknown", why),
        };
        if state == "open" && !seen_open {
            journal.note(Event::Seen { step: name.clone(), probe: probe(&probed_by) })?;
            seen_open = true;
        }
        if must && state != "cut" {
            open.push(name.clone());
        }
        steps.push(GateReport { step: name, state, seen_open, told });
    }
    let unfinished = state.tripped.is_some() && state.ended.is_none();
    let (trip, tripped_at) = state.tripped.unzip();
    Ok(StatusReport { trip, tripped_at, unfinished, window, steps, open })
}

/// What became of opening.
#[derive(Debug, Clone, Serialize)]
pub struct OpenReport {
    /// By whose leave.
    pub by: String,
    /// The steps that are connected again.
    pub connected: Vec<String>,
    /// Those that could not be, and why.
    pub failed: Vec<(String, String)>,
}

/// Connects every way again, the last one first. Whoever calls this has asked the approvers.
///
/// # Errors
/// If it can't be noted before.
pub fn open(by: String, gates: &mut [Box<dyn Gate>], journal: &mut dyn Journal) -> Result<OpenReport, String> {
    journal.note(Event::Opening { by: by.clone() })?;
    let (connected, failed) = connect(gates, journal);
    journal.note(Event::Opened { failed: failed.iter().map(|(name, _)| name.clone()).collect() })?;
    Ok(OpenReport { by, connected, failed })
}

/// Connects every way, the last one first, and sees that its probe gets through. Which are connected, and which are not.
pub fn connect(gates: &mut [Box<dyn Gate>], journal: &mut dyn Journal) -> (Vec<String>, Vec<(String, String)>) {
    let (mut connected, mut failed) = (Vec::new(), Vec::new());
    for gate in gates.iter_mut().rev() {
        let name = gate.name().to_owned();
        let done = gate.connect().and_then(|()| reached(&mut **gate));
        match done {
            Ok(()) => {
                // That it can't be noted is told when it matters: at the next trip.
                let _ = journal.note(Event::Seen { step: name.clone(), probe: probe(&gate.probed_by()) });
                connected.push(name);
            }
            Err(why) => failed.push((name, why)),
        }
    }
    (connected, failed)
}

/// Probes until something gets through.
fn reached(gate: &mut dyn Gate) -> Result<(), String> {
    let deadline = Instant::now() + gate.patience();
    loop {
        let why = match gate.probe() {
            Ok(Through::Open) => return Ok(()),
            Ok(Through::Cut(how)) => format!("it was connected, and the probe still fails ({how})"),
            Err(why) => format!("it was connected, and the probe can't be tried: {why}"),
        };
        if Instant::now() >= deadline {
            return Err(why);
        }
        thread::sleep(BETWEEN);
    }
}

/// How a window ended.
#[derive(Debug, Clone, Serialize)]
pub struct WindowEnd {
    /// The steps, in their order.
    pub steps: Vec<StepReport>,
    /// Those of which it is not proved that nothing gets through.
    pub open: Vec<String>,
}

/// Cuts every way again at the end of a window, and notes it.
pub fn close(id: &str, by: &str, gates: &mut [Box<dyn Gate>], journal: &mut dyn Journal) -> WindowEnd {
    let before = journal.read().unwrap_or_default();
    let mut steps = Vec::new();
    for gate in gates {
        let seen = before.has_seen(gate.name(), &gate.probed_by());
        steps.push(cut(&mut **gate, seen).0);
    }
    let open: Vec<String> = steps.iter().filter(|step| !step.proved).map(|step| step.step.clone()).collect();
    // What is open is told by whoever called; a journal that can't be written leaves the window as it was.
    let _ = journal.note(Event::Closed { id: id.to_owned(), by: by.to_owned(), open: open.clone() });
    WindowEnd { steps, open }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
