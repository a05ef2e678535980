//! What is known of alarms before anybody looks: what the configuration announces, and what a checkpoint of `watch` remembers.

use std::{collections::BTreeSet, path::Path};

use crate::{
    cli::{error::CliError, files, settings::Settings},
    ops::{signals::Expected, watch::Checkpoint},
};

/// The largest checkpoint that is read, in bytes.
const LIMIT: u64 = 1 << 30;

/// The changes that the configuration announces.
pub(super) fn expected(settings: &Settings) -> Vec<Expected> {
    settings.config.iter().flat_map(|config| &config.sources).flat_map(|source| source.expect.clone()).collect()
}

/// The causes that a checkpoint of `watch` says somebody knows of.
///
/// # Errors
/// If there is no such file, or it is not a checkpoint.
pub(super) fn acknowledged(path: Option<&Path>) -> Result<BTreeSet<String>, CliError> {
    let Some(path) = path else { return Ok(BTreeSet::new()) };
    let checkpoint = checkpoint(path)?.ok_or_else(|| {
        let what = format!("there is no checkpoint {}", path.display());
        CliError::usage(what, "give the checkpoint file of `watch`, or leave --checkpoint out")
    })?;
    Ok(checkpoint.acknowledged.into_keys().collect())
}

/// Reads a checkpoint, if there is one yet.
///
/// # Errors
/// If it can't be read, or is none.
pub(super) fn checkpoint(path: &Path) -> Result<Option<Checkpoint>, CliError> {
    files::must_be_a_file(path)?;
    let Some(bytes) = files::read_up_to(path, LIMIT)? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| {
        let what = format!("{} is not a checkpoint of `watch`: {error}", path.display());
        CliError::usage(what, "give --checkpoint a file that `watch` wrote, or one that is not there yet")
    })
}
