//! `incident`, as it is typed.

use std::path::PathBuf;

use clap::Args;

use super::{IdentityArgs, said::Said};
use crate::model::Name;

/// `incident`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  strongroom incident -i recovery.key
  strongroom incident -i recovery.key --source orders --since '2 days ago' \\
      --html incident.html
  strongroom incident -i recovery.key --markdown > incident.md

For each source: what changed and when, the last good snapshot, what restoring it loses, how far a journal goes \
beyond it, and the commands to run. It applies the rules of docs/signals.md to the snapshots in the vault; without \
an identity only to sizes and times. It changes nothing. Exit code 7 if a source has an unacknowledged alarm, 4 if \
signed data is damaged.")]
pub struct IncidentArgs {
    /// The identities.
    #[command(flatten)]
    pub identity: IdentityArgs,
    /// Only this source. Repeatable
    #[arg(long, value_name = "NAME")]
    pub source: Vec<Name>,
    /// Show events since this time, such as 2026-11-22T06:00:00Z, yesterday or "2 hours ago" [default: since the last
    /// good snapshot]
    #[arg(long, value_name = "TIME")]
    pub since: Option<Said>,
    /// Checkpoint file of `watch`, for acknowledged alarms
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// Write it as Markdown, for a ticket or a chat
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
    /// Also write one HTML page to this file, for a phone or a printer
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Also write it to this file: FILE.html as --html does, FILE.md as --markdown, FILE.json as --json. Repeatable
    #[arg(long, value_name = "FILE")]
    pub report: Vec<PathBuf>,
}
