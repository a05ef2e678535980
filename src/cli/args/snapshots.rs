//! `snapshots`, as it is typed.

use clap::Args;

use crate::model::Name;

/// `snapshots`.
#[derive(Debug, Args)]
pub struct SnapshotsArgs {
    /// Only those of this source
    #[arg(long, value_name = "NAME")]
    pub source: Option<Name>,
    /// Only those of this writer
    #[arg(long, value_name = "NAME")]
    pub writer: Option<Name>,
    /// List holds instead: which snapshots `freeze` keeps, until when and why
    #[cfg(feature = "full")]
    #[arg(long, conflicts_with_all = ["source", "writer"])]
    pub holds: bool,
}
