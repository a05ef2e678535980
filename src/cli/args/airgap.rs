//! `airgap`, as it is typed.

use std::ffi::OsString;

use clap::{Args, Subcommand};

use super::PapersArgs;

/// The ways to the vault.
#[derive(Debug, Subcommand)]
pub enum AirgapCommand {
    /// Cut every way to the vault now, and prove that each is cut
    Trip(TripArgs),
    /// Connect the ways again, as the approvers decided
    Open(OpenArgs),
    /// Try each way, and tell what is open and what should be
    Status,
    /// Connect, run a command, and cut again whatever happens
    Run(AirgapRunArgs),
    /// Wait for a signed alert from elsewhere, which can trip and do nothing else
    Listen,
    /// What closes a window when nobody else does. `run` starts it
    #[command(hide = true)]
    Watchdog(WatchdogArgs),
}

impl AirgapCommand {
    /// The command as documents name it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Trip(_) => "airgap trip",
            Self::Open(_) => "airgap open",
            Self::Status => "airgap status",
            Self::Run(_) => "airgap run",
            Self::Listen => "airgap listen",
            Self::Watchdog(_) => "airgap watchdog",
        }
    }
}

/// `airgap trip`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  strongroom airgap trip --reason 'orders emptied'

Every [[airgap.step]] of the configuration runs, in order, whatever fails before it. It was noted in the journal before \
anything is done, and again in the vault while that can be reached. Exit code 5 if of any step it is not proved that it is \
cut, with its name. Run it again as often as you like.")]
pub struct TripArgs {
    /// Why, for whoever reads it later
    #[arg(long, value_name = "TEXT", default_value = "typed by hand")]
    pub reason: String,
}

/// `airgap open`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  strongroom approve new open trip=18ec6f2a-4d1 --reason 'incident 7 is over' > request.json
  strongroom airgap open --approved request.json --signature alice.sig --signature bob.sig

`airgap status` says which trip it is. The approval is used up before anything is connected. Its record is put into the vault: the \
credentials must be able to, so name their principal in `allow` of a step that denies puts. Exit code 8 if fewer people agreed \
than the root's list of approvers asks for.")]
pub struct OpenArgs {
    /// What people approved.
    #[command(flatten)]
    pub papers: PapersArgs,
    /// Open it though the root asks for no approvals of `open` in this vault
    #[arg(long)]
    pub unapproved: bool,
}

/// `airgap run`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  strongroom airgap run -- strongroom backup orders

The steps are connected, the command runs, and they are cut again: at its end, after `longest`, on Ctrl-C, and also where this \
process is killed, by a watchdog that is a process of its own. Exit code 5 if it is not proved that all is cut afterwards, 1 if \
the command failed, 8 if it is tripped.")]
pub struct AirgapRunArgs {
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// `airgap watchdog`.
#[derive(Debug, Args)]
pub struct WatchdogArgs {
    /// The window
    #[arg(long)]
    pub window: String,
    /// Until when, in seconds since 1970
    #[arg(long)]
    pub until: i64,
}
