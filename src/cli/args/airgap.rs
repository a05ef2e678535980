//! `airgap`, as it is typed.

use std::ffi::OsString;

use clap::{Args, Subcommand};

use super::PapersArgs;

/// The ways to the vault.
#[derive(Debug, Subcommand)]
pub enum AirgapCommand {
    /// Cut all access to the vault now, and prove that it is cut
    Trip(TripArgs),
    /// Restore access, after approval
    Open(OpenArgs),
    /// Test each step and report whether it is open or cut, and which it should be
    Status,
    /// Restore access, run a command, and cut access again in any case
    Run(AirgapRunArgs),
    /// Listen for signed alerts, which trip the air gap
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

Runs every [[airgap.step]] of the configuration in order, whatever fails before it. The trip is recorded in the \
journal file first, and in the vault while that can be reached. Exit code 5, with the names of the steps, if it \
could not be proved that a step cut access. It can be repeated at any time.")]
pub struct TripArgs {
    /// Reason, for the record
    #[arg(long, value_name = "TEXT", default_value = "typed by hand")]
    pub reason: String,
}

/// `airgap open`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  strongroom approve new open trip=18ec6f2a-4d1 \\
      --reason 'incident 7 is over' > request.json
  strongroom airgap open --approved request.json \\
      --signature alice.sig --signature bob.sig

`airgap status` shows the id of the trip. The approval is used up before access is restored. Its record is written \
to the vault with the credentials at hand: name their principal in `allow` of a step that denies puts. Exit code 8 \
if there are too few approvals.")]
pub struct OpenArgs {
    /// What people approved.
    #[command(flatten)]
    pub papers: PapersArgs,
    /// Open without approvals, if the vault's list of approvers asks for none for `open`
    #[arg(long)]
    pub unapproved: bool,
}

/// `airgap run`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  strongroom airgap run -- strongroom backup orders

Access is restored, the command runs, and access is cut again: when it ends, after `longest`, on Ctrl-C, and if this \
process is killed (by a separate watchdog process). Exit code 5 if it could not be proved that access is cut \
afterwards, 1 if the command failed, 8 if the air gap is tripped.")]
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
