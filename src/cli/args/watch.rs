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

One pass, made for a timer on the vault's side. Without an identity it sees sizes, order and times; with one, what is in \
the snapshots. Exit code 7 on an alarm that nobody acknowledged, 5 if a source is older than its `every`, 4 if something that \
was signed is gone or false. docs/signals.md has the rules.")]
pub struct WatchArgs {
    /// The identities.
    #[command(flatten)]
    pub identity: IdentityArgs,
    /// Remember what was seen, so that the next pass looks at what is new. The file is made if it is missing
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// Run what [watch] in the configuration says, once for each cause
    #[arg(long, requires = "checkpoint")]
    pub react: bool,
    /// Note that this alarm is known. May be given more than once
    #[arg(long, requires = "checkpoint", value_name = "CAUSE")]
    pub acknowledge: Vec<String>,
}
