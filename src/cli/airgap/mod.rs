//! The ways to the vault, as the configuration has them: programs and the bucket's policy, and a journal on the disk.

mod gates;
pub mod journal;
pub mod listen;
pub mod window;

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::runtime::Handle;

use self::journal::Disk;
use super::{config::airgap::AirgapConfig, error::CliError, settings::Settings, wiring::SystemClock};
use crate::{
    model::Clock,
    ops::airgap::{self, Gate, Trip, TripReport},
};

/// What `[airgap]` says.
///
/// # Errors
/// If there is no configuration, or it says nothing of it.
pub fn config(settings: &Settings) -> Result<AirgapConfig, CliError> {
    let config = settings.config.as_ref().ok_or_else(|| {
        CliError::usage("a configuration with [airgap] is needed, and there is none", "name it with --config")
    })?;
    config.must_be_ours()?;
    config.airgap.clone().ok_or_else(|| {
        let what = format!("{} has no [airgap]", config.path.display());
        CliError::usage(what, "docs/incident.md shows one")
    })
}

/// The ways, in their order. They must be used where blocking is allowed.
///
/// # Errors
/// If one needs a bucket, and the vault is none.
pub fn gates(config: &AirgapConfig, settings: &Settings) -> Result<Vec<Box<dyn Gate>>, CliError> {
    config.steps.iter().map(|step| gates::gate(step, settings, &config.journal, &Handle::current())).collect()
}

/// A name that no other trip or window has.
#[must_use]
pub fn fresh_id() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{:x}-{:x}", since.as_nanos(), std::process::id())
}

/// Cuts everything. Blocks.
#[must_use]
pub fn trip(config: &AirgapConfig, gates: &mut [Box<dyn Gate>], by: &str, reason: String) -> TripReport {
    let trip = Trip { id: fresh_id(), at: SystemClock.now(), by: by.to_owned(), reason };
    let mut journal = Disk::new(&config.journal);
    // A window that is being opened is waited for, and nobody for long.
    let _held = journal.hold(journal::PATIENCE);
    airgap::trip(trip, gates, &mut journal)
}
