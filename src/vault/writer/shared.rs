//! What all stages of a run share: the request to stop, the first failure, and the progress.

use std::sync::{Arc, Mutex, PoisonError};

use super::pressure::Pressure;
use crate::{
    model::{Cancel, Progress},
    vault::VaultError,
};

/// Shared by the stages of one run.
pub(super) struct Shared {
    pub(super) progress: Arc<dyn Progress>,
    /// What says how hard blocks are compressed.
    pub(super) pressure: Arc<Pressure>,
    /// Set by the person at the keyboard.
    interrupt: Cancel,
    /// Set by the first stage that fails.
    stop: Cancel,
    failure: Mutex<Option<VaultError>>,
}

impl Shared {
    pub(super) fn new(progress: Arc<dyn Progress>, interrupt: Cancel, pressure: Pressure) -> Self {
        Self { progress, pressure: Arc::new(pressure), interrupt, stop: Cancel::default(), failure: Mutex::new(None) }
    }

    /// An error if the run is to stop.
    pub(super) fn check(&self) -> Result<(), VaultError> {
        if self.interrupt.is_cancelled() || self.stop.is_cancelled() {
            return Err(VaultError::cancelled());
        }
        Ok(())
    }

    /// Keeps the first failure, which is the cause of the others, and stops the run.
    pub(super) fn fail(&self, error: VaultError) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        if failure.is_none() && !self.interrupt.is_cancelled() {
            *failure = Some(error);
        }
        self.stop.cancel();
    }

    /// Stops the run without a failure of its own.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    /// Why a neighbouring stage is gone: the run was stopped, or a defect.
    pub(super) fn why(&self, stage: &str) -> VaultError {
        self.check().err().unwrap_or_else(|| VaultError::stage_gone(stage))
    }

    /// The failure to report at the end, if the run failed.
    pub(super) fn verdict(&self) -> Result<(), VaultError> {
        if self.interrupt.is_cancelled() {
            return Err(VaultError::cancelled());
        }
        match self.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) => Err(error),
            None => self.check(),
        }
    }
}
