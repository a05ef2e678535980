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
}
