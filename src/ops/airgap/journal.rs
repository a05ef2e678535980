//! What was done, noted on the disk before it is done.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{codec::hash::hash, model::Time};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When, by this host's clock.
    pub at: Time,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A trip begins.
    Trip {
        /// Its id.
        id: String,
        /// Who asked for it: `typed`, `watch`, `alert` and the like.
        by: String,
        /// Why, in words.
        reason: String,
    },
    /// A step of a trip begins.
    Cutting {
        /// The trip.
        id: String,
        /// The step.
        step: String,
    },
    /// A step of a trip ended.
    Cut {
        /// The trip.
        id: String,
        /// The step.
        step: String,
        /// Whether it is proved that nothing gets through.
        proved: bool,
        /// What is to be said of it.
        told: String,
    },
    /// A trip ended.
    Tripped {
        /// Its id.
        id: String,
        /// The steps of which it is not proved that nothing gets through.
        open: Vec<String>,
    },
    /// A probe got through: that it fails later means something.
    Seen {
        /// The step.
        step: String,
        /// The probe, by a hash of what it is.
        probe: String,
    },
    /// Approvers had it opened again, and the steps begin.
    Opening {
        /// By whose leave.
        by: String,
    },
    /// It is open again.
    Opened {
        /// Steps that could not be connected.
        failed: Vec<String>,
    },
    /// A window is about to be opened.
    Window {
        /// Its id.
        id: String,
        /// The process that holds it.
        pid: u32,
        /// Until when at most.
        until: Time,
    },
    /// A window was closed.
    Closed {
        /// Its id.
        id: String,
        /// Who closed it: the `run` itself or its `watchdog`.
        by: String,
        /// The steps of which it is not proved that nothing gets through.
        open: Vec<String>,
    },
    /// An alert was heeded. It is not heeded twice.
    Alert {
        /// Its signature.
        tag: String,
    },
}

/// Where it is noted. What was noted is on the disk when this returns.
pub trait Journal {
    /// Notes something.
    ///
    /// # Errors
    /// Why it can't be noted, in words.
    fn note(&mut self, event: Event) -> Result<(), String>;

    /// All that was noted, also by others meanwhile.
    ///
    /// # Errors
    /// Why it can't be read, in words.
    fn read(&mut self) -> Result<State, String>;
}

/// A window that was not closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Window {
    /// Its id.
    pub id: String,
    /// The process that opened it.
    pub pid: u32,
    /// Until when at most.
    pub until: Time,
}

/// What the journal amounts to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// The last trip, unless it was opened again: its id, and when it began.
    pub tripped: Option<(String, Time)>,
    /// Whether that trip came to its end, and what was still open then.
    pub ended: Option<Vec<String>>,
    /// Probes that got through once: the step and the probe.
    seen: BTreeSet<(String, String)>,
    /// The window that was not closed.
    pub window: Option<Window>,
    /// Alerts that were heeded.
    pub alerts: BTreeSet<String>,
}

impl State {
    /// Out of all that was noted, oldest first.
    pub fn of(entries: impl IntoIterator<Item = Entry>) -> Self {
        let mut state = Self::default();
        entries.into_iter().for_each(|entry| state.take(entry));
        state
    }

    fn take(&mut self, Entry { at, event }: Entry) {
        match event {
            Event::Trip { id, .. } => (self.tripped, self.ended) = (Some((id, at)), None),
            Event::Tripped { id, open } if self.tripped.as_ref().is_some_and(|(last, _)| *last == id) => {
                self.ended = Some(open);
            }
            Event::Seen { step, probe } => drop(self.seen.insert((step, probe))),
            Event::Opened { .. } => (self.tripped, self.ended) = (None, None),
            Event::Window { id, pid, until } => self.window = Some(Window { id, pid, until }),
            Event::Closed { id, .. } if self.window.as_ref().is_some_and(|window| window.id == id) => {
                self.window = None;
            }
            Event::Alert { tag } => drop(self.alerts.insert(tag)),
            Event::Tripped { .. }
            | Event::Cutting { .. }
            | Event::Cut { .. }
            | Event::Opening { .. }
            | Event::Closed { .. } => {}
        }
    }

    /// Whether this probe got through once.
    #[must_use]
    pub fn has_seen(&self, step: &str, probed_by: &str) -> bool {
        self.seen.contains(&(step.to_owned(), probe(probed_by)))
    }
}

/// What a probe is called here.
pub(super) fn probe(probed_by: &str) -> String {
    hash(probed_by.as_bytes()).to_string().chars().take(16).collect()
}
