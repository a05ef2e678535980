//! How work in progress is told, and how it is told to stop.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Receives what a command does while it does it. Called from many threads; must be cheap.
pub trait Progress: Send + Sync {
    /// A new phase of the work begins; `total` bytes if known.
    fn phase(&self, what: &str, total: Option<u64>);
    /// `bytes` more of the phase are done.
    fn advance(&self, bytes: u64);
    /// Something that a person should read now.
    fn note(&self, message: &str);
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn phase(&self, _what: &str, _total: Option<u64>) {}
    fn advance(&self, _bytes: u64) {}
    fn note(&self, _message: &str) {}
}

/// A request to stop that every stage looks at; set once by Ctrl-C or by the first failure.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks everybody to stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody asked to stop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_to_stop_is_heard_by_all() {
        let cancel = Cancel::default();
        let other = cancel.clone();
        assert!(!other.is_cancelled());
        cancel.cancel();
        assert!(other.is_cancelled() && cancel.is_cancelled());
    }
}
