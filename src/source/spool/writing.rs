//! How long a program is at work.

use std::{
    sync::{Arc, OnceLock, mpsc},
    time::{Duration, Instant},
};

use crate::vault::haste::AtWork;

/// A program at work, until this is dropped.
pub(in crate::source) struct Writing {
    began: Instant,
    took: Arc<OnceLock<Duration>>,
    _haste: AtWork,
    /// Its end is heard.
    _written: mpsc::Sender<()>,
}

impl Writing {
    /// Since `began`. What is given back hears when it ends, and then has how long it took.
    pub(in crate::source) fn since(
        began: Instant,
        haste: AtWork,
    ) -> (Self, mpsc::Receiver<()>, Arc<OnceLock<Duration>>) {
        let (written, heard) = mpsc::channel();
        let took = Arc::default();
        (Self { began, took: Arc::clone(&took), _haste: haste, _written: written }, heard, took)
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        let _ = self.took.set(self.began.elapsed());
    }
}
