//! `incident`, as it is typed.

use std::path::PathBuf;

use clap::Args;

use super::{IdentityArgs, said::Said};
use crate::model::Name;

/// `incident`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  strongroom incident -i recovery.key
  strongroom incident -i recovery.key --source orders --since '2 days ago' --html incident.html
  strongroom incident -i recovery.key --markdown > incident.md

For each source: what changed and when, the last good snapshot, what restoring it loses, how far a journal goes beyond it, \
and commands to type. It judges by the rules of docs/signals.md, out of the vault alone; without an identity by sizes and \
times alone. Nothing is changed. Exit code 7 if a source shows an alarm that nobody acknowledged, 4 if something that was \
signed is damaged.")]
pub struct IncidentArgs {
    /// The identities.
    #[command(flatten)]
    pub identity: IdentityArgs,
    /// Only this source. May be given more than once
    #[arg(long, value_name = "NAME")]
    pub source: Vec<Name>,
    /// Show what happened since then, such as 2026-11-22T06:00:00Z, yesterday or "2 hours ago" [default: what matters]
    #[arg(long, value_name = "TIME")]
    pub since: Option<Said>,
    /// What `watch` remembers, for the alarms that were acknowledged
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// Write it as Markdown, for a ticket or a chat
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
    /// Leave it as one HTML page in this file as well, for a phone or a printer
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}
