//! `schedule`, as it is typed.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Whose box it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ScheduleRole {
    /// `backup` as often as the sources' `every`, `doctor` weekly, `journal run` where a source has a journal
    Writer,
    /// `renew` daily; and the runs of pruner, auditor and driller if their configurations lie beside the keeper's
    Keeper,
    /// `prune --yes` weekly
    Pruner,
    /// `verify` daily, `watch` every ten minutes, `status` hourly
    Auditor,
    /// `drill` weekly
    Driller,
    /// `replicate` daily, for each `[[copy]]` of its configuration
    Copier,
}

/// `schedule`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  strongroom --config /etc/strongroom/writer.toml schedule --role writer \\
      --systemd units
  strongroom --config /etc/strongroom/keeper.toml schedule --role keeper \\
      --identity /etc/strongroom/drill.key --systemd units
  strongroom --config /etc/strongroom/writer.toml schedule --role writer \\
      --cron > strongroom.cron

Writes files and starts nothing. For a keeper it also schedules pruner, auditor and driller if pruner.toml, \
auditor.toml and driller.toml lie beside its configuration, and warns about those that are missing; and a copier if \
copier.toml does. Each [[copy]] in a configuration gets a daily run of its own. Units run as an \
unprivileged user. They get the configuration, keys and identity by LoadCredential=, so that only root needs to be \
able to read them. A unit that fails starts strongroom-failed@.service. Files named in the configuration must lie \
beside it and be named without a path; `state` and the paths of sources must be absolute.")]
pub struct ScheduleArgs {
    /// The role of this host
    #[arg(long, value_enum)]
    pub role: ScheduleRole,
    /// Write systemd units into this directory, which is created if missing
    #[arg(long, visible_alias = "to", value_name = "DIR", required_unless_present = "cron")]
    pub systemd: Option<PathBuf>,
    /// Print a crontab for /etc/cron.d instead
    #[arg(long, conflicts_with = "systemd")]
    pub cron: bool,
    /// Identity for `drill` and `watch`: its path on the host where they run
    #[arg(long, short, value_name = "FILE")]
    pub identity: Option<PathBuf>,
    /// User that the runs use
    #[arg(long, value_name = "NAME", default_value = "strongroom")]
    pub user: String,
    /// Path of strongroom on the host where it runs [default: this program]
    #[arg(long, value_name = "FILE")]
    pub program: Option<PathBuf>,
}
