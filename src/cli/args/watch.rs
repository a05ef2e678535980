//! `watch`, as it is typed.

use std::path::PathBuf;

use clap::Args;

use super::IdentityArgs;

/// `watch`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  strongroom watch --checkpoint seen.json
  strongroom watch -i drill.key --checkpoint seen.json --react
  strongroom watch --checkpoint seen.json --acknowledge db1/orders@4f1c0a9b2d3e

Checks once and exits; run it by a timer outside the production host. Without an identity it checks sizes, order and \
times; with one, also the contents of snapshots. Exit code 7 if an alarm is not acknowledged, 5 if a source is older \
than its `every`, 4 if signed data is missing or forged. docs/signals.md has the rules.")]
pub struct WatchArgs {
    /// The identities.
    #[command(flatten)]
    pub identity: IdentityArgs,
    /// Record what was seen in this file, so that the next run checks only what is new. Created if missing
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// Run the [[watch.react]] actions of the configuration, once for each cause
    #[arg(long, requires = "checkpoint")]
    pub react: bool,
    /// Acknowledge this alarm. Repeatable
    #[arg(long, requires = "checkpoint", value_name = "CAUSE")]
    pub acknowledge: Vec<String>,
}
