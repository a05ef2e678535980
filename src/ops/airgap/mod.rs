//! `airgap`: the ways by which something reaches the vault, cut on demand. Each step is one way: what cuts it, what connects
//! it again, and a probe that goes through it and must fail once it is cut. What a step says of itself proves nothing.

mod cut;
mod journal;
mod note;
pub mod policy;

pub use cut::{
    GateReport, OpenReport, StatusReport, StepReport, Trip, TripReport, WindowEnd, close, connect, open, status, trip,
};
pub use journal::{Entry, Event, Journal, State, Window};
pub use note::leave;

use std::time::Duration;

/// Whether a way is open, as a probe found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Through {
    /// It got through.
    Open,
    /// It did not, and how it failed.
    Cut(String),
}

/// A way to the vault that can be cut. All of it blocks, and each call ends within a time limit of its own.
pub trait Gate: Send {
    /// What it is called.
    fn name(&self) -> &str;

    /// Cuts it. Cutting what is cut already is no failure.
    ///
    /// # Errors
    /// Why it did not end well, in words. It may be cut all the same.
    fn disconnect(&mut self) -> Result<(), String>;

    /// Connects it again.
    ///
    /// # Errors
    /// Why it did not end well, in words.
    fn connect(&mut self) -> Result<(), String>;

    /// Tries whether anything gets through.
    ///
    /// # Errors
    /// Why it could not be tried, which proves nothing.
    fn probe(&mut self) -> Result<Through, String>;

    /// What the probe is, so that another one is not taken for it.
    fn probed_by(&self) -> String;

    /// For how long the probe may go on to succeed after the step: some stores take a while to heed a policy.
    fn patience(&self) -> Duration;
}
