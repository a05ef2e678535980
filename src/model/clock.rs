//! Where time comes from. Nothing below the command line asks the operating system for it.

use super::Time;

/// A source of the current time.
pub trait Clock: Send + Sync {
    /// The current time by this clock.
    fn now(&self) -> Time;
}
