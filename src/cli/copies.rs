//! What is remembered of configured copies, beside the configuration: when each was seen last, since disks that lie in a
//! drawer can't be asked.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{config::Config, error::CliError, failure::Failure, files, settings::Settings};
use crate::{
    format::layout,
    model::{Name, Time},
    ops::{readiness::KnownCopy, replicate::ReplicateReport},
    store::VaultUrl,
};

/// What was seen of a copy at its last pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Last {
    /// Where it was.
    pub url: String,
    /// When, by its own clock.
    pub at: Time,
    /// How many snapshots it had then of those that it was to have.
    pub snapshots: u64,
    /// How many were left out.
    pub left_out: u64,
}

/// All of them, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    copies: BTreeMap<Name, Last>,
}

impl Memory {
    /// What was seen of a copy last.
    #[must_use]
    pub fn get(&self, name: &Name) -> Option<&Last> {
        self.copies.get(name)
    }

    /// Remembers a pass.
    pub fn note(&mut self, name: &Name, url: &str, report: &ReplicateReport) {
        let snapshots = report.there + report.copied.len() as u64;
        let last = Last { url: url.to_owned(), at: report.at, snapshots, left_out: report.left_out.len() as u64 };
        self.copies.insert(name.clone(), last);
    }
}

/// Where they are remembered: `strongroom.copies.json` beside `strongroom.toml`.
#[must_use]
pub fn path(config: &Path) -> PathBuf {
    config.with_extension("copies.json")
}

/// Reads what is remembered; nothing where there is no such file yet.
///
/// # Errors
/// If it can't be read, or is something else.
pub fn read(path: &Path) -> Result<Memory, CliError> {
    let Some(bytes) = files::read(path)? else { return Ok(Memory::default()) };
    serde_json::from_slice(&bytes).map_err(|error| {
        let what = format!("{} is not what `replicate` remembers of copies: {error}", path.display());
        CliError::usage(what, "move it away; only when each copy was seen last is lost with it")
    })
}

/// Writes what is remembered.
///
/// # Errors
/// If it can't be written.
pub fn write(path: &Path, memory: &Memory) -> Result<(), CliError> {
    let text =
        serde_json::to_vec_pretty(memory).map_err(|_| crate::ops::OpsError::Defect("what is remembered of copies"))?;
    files::replace(path, &text)
}

/// The configured copies with what is remembered of them.
///
/// # Errors
/// If what is remembered can't be read.
pub fn known(config: &Config) -> Result<Vec<KnownCopy>, CliError> {
    if config.copies.is_empty() {
        return Ok(Vec::new());
    }
    let memory = read(&path(&config.path))?;
    let of = |copy: &super::config::copy::CopyConfig| {
        // Where it is now is what counts: of another place nothing is known.
        let last = memory.get(&copy.name).filter(|last| last.url == copy.url.to_string());
        KnownCopy {
            name: copy.name.clone(),
            url: copy.url.to_string(),
            at: last.map(|last| last.at),
            age_s: None,
            snapshots: last.map_or(0, |last| last.snapshots),
            left_out: last.map_or(0, |last| last.left_out),
            sources: copy.sources.clone(),
            removable: copy.removable,
        }
    };
    Ok(config.copies.iter().map(of).collect())
}

/// Whether the disk of a copy is there, which the vault on it tells. An empty directory where a disk would be mounted is
/// none, or the copy would go to the disk below; so the first copy to a new disk is made with --to.
///
/// # Errors
/// If there is no place.
pub fn is_there(settings: &Settings) -> Result<bool, CliError> {
    let VaultUrl::Local(path) = settings.vault()? else { return Ok(true) };
    Ok(path.join(layout::DESCRIPTOR).exists())
}

/// What became of one.
pub struct Replicated {
    /// What the configuration calls it.
    pub name: Option<Name>,
    /// Where it is.
    pub url: String,
    /// What was done; nothing where its disk is not there.
    pub report: Option<ReplicateReport>,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
    /// When it was seen last, and what it lacks since: of a disk that is not there.
    pub last: Option<Last>,
}
