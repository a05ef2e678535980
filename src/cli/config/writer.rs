//! `[writer]`: who writes here, where it keeps what it needs, and how it stores.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::{
    Fault,
    delta::{self, RawDelta},
};
use crate::model::Name;

/// `[writer]`.
#[derive(Debug, Clone)]
pub struct WriterConfig {
    /// Its name, if the key is to be held against it.
    pub name: Option<Name>,
    /// Its key file.
    pub key: PathBuf,
    /// Where its catalog lives.
    pub state: PathBuf,
    /// How many bytes of recent data it keeps there to make deltas of; `None` for no deltas.
    pub delta_cache: Option<u64>,
    /// How hard it compresses.
    pub compression: Compression,
}

/// How hard blocks are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Compression {
    /// As fast as it serves.
    #[default]
    Usual,
    /// Harder while the store is what a run waits for.
    Auto,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWriter {
    name: Option<Name>,
    key: PathBuf,
    state: PathBuf,
    delta: Option<Spanned<RawDelta>>,
    compression: Option<Spanned<String>>,
}

/// What it means, beside `delta` where that stands for itself. Relative paths begin at `dir`.
pub(super) fn parse(
    raw: Option<RawWriter>,
    delta: Option<&Spanned<RawDelta>>,
    dir: &Path,
) -> Result<Option<WriterConfig>, Fault> {
    let in_writer = raw.as_ref().and_then(|writer| writer.delta.as_ref());
    let delta_cache = delta::parse(delta, in_writer)?;
    let Some(raw) = raw else { return Ok(None) };
    let compression = raw.compression.as_ref().map(compression).transpose()?.unwrap_or_default();
    Ok(Some(WriterConfig {
        name: raw.name,
        key: dir.join(raw.key),
        state: dir.join(raw.state),
        delta_cache,
        compression,
    }))
}

fn compression(text: &Spanned<String>) -> Result<Compression, Fault> {
    match text.get_ref().as_str() {
        "usual" => Ok(Compression::Usual),
        "auto" => Ok(Compression::Auto),
        other => Err(Fault::new(text, format!("`compression` is \"usual\" or \"auto\", not {other:?}"))),
    }
}
