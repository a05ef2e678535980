//! `schedule`, as it is typed.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Whose box it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ScheduleRole {
    /// `backup` as often as the sources' `every`, `doctor` weekly, `journal run` where a source has a journal
    Writer,
    /// `renew` daily; and, where their configurations lie beside the keeper's, all that pruner, auditor and driller run
    Keeper,
    /// `prune --yes` weekly
    Pruner,
    /// `verify` daily, `watch` every ten minutes, `status` hourly
    Auditor,
    /// `drill` weekly
    Driller,
}

/// `schedule`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  strongroom --config /etc/strongroom/writer.toml schedule --role writer --systemd units
  strongroom --config /etc/strongroom/keeper.toml schedule --role keeper --identity /etc/strongroom/drill.key --systemd units
  strongroom --config /etc/strongroom/writer.toml schedule --role writer --cron > strongroom.cron

It writes files and starts nothing. The box of a keeper runs pruner.toml, auditor.toml and driller.toml, too, if they lie beside \
its own configuration; what is missing is said. Units run as a user of their own, get the configuration, keys and identity by \
LoadCredential=, so that root alone may own them, and a unit that fails starts strongroom-failed@.service. For that, files that the \
configuration names lie beside it and are named without a path, and `state` and sources are absolute paths.")]
pub struct ScheduleArgs {
    /// Whose box it is
    #[arg(long, value_enum)]
    pub role: ScheduleRole,
    /// Write units of systemd into this directory, which is made if it is missing
    #[arg(long, visible_alias = "to", value_name = "DIR", required_unless_present = "cron")]
    pub systemd: Option<PathBuf>,
    /// Print a crontab for /etc/cron.d instead
    #[arg(long, conflicts_with = "systemd")]
    pub cron: bool,
    /// The identity that `drill` and `watch` open snapshots with, on the box where they run
    #[arg(long, short, value_name = "FILE")]
    pub identity: Option<PathBuf>,
    /// Who runs it
    #[arg(long, value_name = "NAME", default_value = "strongroom")]
    pub user: String,
    /// The program, on the box where it runs [default: this one]
    #[arg(long, value_name = "FILE")]
    pub program: Option<PathBuf>,
}
