//! What was typed. What it means is found out in [`settings`](super::settings) and in the commands.

#[cfg(feature = "full")]
mod airgap;
mod backup;
mod doctor;
mod drill;
#[cfg(feature = "full")]
mod guard;
#[cfg(feature = "full")]
mod incident;
mod init;
mod journal;
#[cfg(feature = "full")]
mod mcp;
#[cfg(feature = "full")]
mod member;
mod needs;
mod policy;
#[cfg(feature = "full")]
mod ready;
mod recover;
#[cfg(feature = "full")]
mod replicate;
#[cfg(feature = "full")]
mod request;
mod restore;
mod said;
#[cfg(feature = "full")]
mod schedule;
#[cfg(feature = "full")]
mod show;
mod snapshots;
mod upkeep;
mod verify;
#[cfg(feature = "full")]
mod watch;
#[cfg(not(feature = "full"))]
mod writer;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use clap::{Args, Parser, Subcommand};

use crate::{model::VaultId, store::s3::Checksum};

#[cfg(feature = "full")]
pub use airgap::{AirgapCommand, AirgapRunArgs, OpenArgs, WatchdogArgs};
pub use backup::BackupArgs;
pub use doctor::{AsArg, DoctorArgs};
pub use drill::DrillArgs;
#[cfg(feature = "full")]
pub use guard::{
    ApproveCheckArgs, ApproveCommand, ApproveNewArgs, ApproversCommand, ApproversSetArgs, FreezeArgs, KeyAddArgs,
    KeyCheckArgs, KeyCombineArgs, KeyCommand, KeyRemoveArgs, KeyRotateArgs, KeySplitArgs, PapersArgs, ReleaseArgs,
};
#[cfg(feature = "full")]
pub use incident::IncidentArgs;
pub use init::{By, InitArgs, Mode};
pub use journal::{JournalCommand, JournalPushArgs, JournalRunArgs};
#[cfg(feature = "full")]
pub use journal::{JournalFetchArgs, JournalListArgs};
#[cfg(feature = "full")]
pub use mcp::McpArgs;
#[cfg(feature = "full")]
pub use member::{AddArgs, MemberAddArgs, MemberCommand, RevokeArgs, RoleArg, UnrevokeArgs, WriterCommand};
pub use policy::{PolicyArgs, PolicyRoleArg, ProviderArg};
#[cfg(feature = "full")]
pub use ready::{ReadyArgs, StatusArgs};
pub use recover::{PointArg, RecoverArgs, WalArg};
#[cfg(feature = "full")]
pub use replicate::{FromArgs, LocksArg, RepairArgs, RepairDepthArg, ReplicateArgs, TargetArgs};
#[cfg(feature = "full")]
pub use request::{RequestArgs, RequestCommand};
pub use restore::{Form, IntoArgs, RestoreArgs};
#[cfg(feature = "full")]
pub use schedule::{ScheduleArgs, ScheduleRole};
#[cfg(feature = "full")]
pub use show::{DiffArgs, ShowArgs};
pub use snapshots::SnapshotsArgs;
pub use upkeep::{PruneArgs, RenewArgs};
pub use verify::{DepthArg, VerifyArgs};
#[cfg(feature = "full")]
pub use watch::WatchArgs;
#[cfg(not(feature = "full"))]
pub use writer::{COMMANDS, Command};

/// The examples, and what the exit codes mean.
macro_rules! after {
    ($examples:literal) => {
        concat!(
            "Examples:\n",
            $examples,
            "

Exit codes:
    0  done
    1  failed
    2  wrong usage or configuration
    3  some sources failed, others have their snapshot
    4  damage found
    5  protection weaker than promised
    6  drill failed
    7  something looks wrong in what is backed up (`watch`, `incident`)
    8  not approved: too few approvals
   10  no vault found
   12  none of the given identities opens it
   75  try again: the store can't be reached, or another run of this writer is under way
  130  interrupted
  255  `journal fetch` only: recovery must stop, this is not the end of the log"
        )
    };
}

#[cfg(feature = "full")]
const AFTER: &str = after!(
    "  strongroom init --vault file:///mnt/vault --out /etc/strongroom
  strongroom backup --name orders -- pg_dump -Z0 orders
  strongroom snapshots
  strongroom restore latest --source orders -i recovery.key --to ~/orders"
);
#[cfg(not(feature = "full"))]
const AFTER: &str = after!(
    "  strongroom backup --name orders -- pg_dump -Z0 orders
  strongroom doctor"
);

const AFTER_LONG: &str = "\
Environment: STRONGROOM_CONFIG, _VAULT, _VAULT_ID, _ENDPOINT, _REGION, _PATH_STYLE, _CREDENTIALS, _CHECKSUM, _CONDITIONAL_PUT and _LOG_FORMAT stand in for the \
options of these names, STRONGROOM_IDENTITY (a path, or the identity itself) for --identity. An option beats a variable, a variable beats the \
configuration.

Standard output carries the result, standard error everything else. With --json the result is one document, \
{\"command\",\"ok\",\"result\",\"findings\",\"error\"}, also when the command fails.

";

/// Immutable, encrypted, deduplicated backups that the machine they come from can neither read nor delete.
#[derive(Debug, Parser)]
#[command(name = "strongroom", version, max_term_width = 100, after_help = AFTER,
    after_long_help = format!("{AFTER_LONG}{AFTER}"), subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Global {
    /// Configuration file [default: ./strongroom.toml, if it exists]
    #[arg(long, global = true, help_heading = "General options", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The vault, such as `s3://bucket/prefix` or `file:///mnt/vault`
    #[arg(long, global = true, help_heading = "General options", value_name = "URL")]
    pub vault: Option<String>,
    /// Id that the vault must have. Any other vault is refused
    #[arg(long, global = true, help_heading = "General options", value_name = "ID")]
    pub vault_id: Option<VaultId>,
    /// URL of an S3 server other than AWS, such as `http://127.0.0.1:8333`
    #[arg(long, global = true, help_heading = "S3 options", value_name = "URL")]
    pub endpoint: Option<String>,
    /// Region of the bucket
    #[arg(long, global = true, help_heading = "S3 options", value_name = "R")]
    pub region: Option<String>,
    /// Use path-style requests, as most servers other than AWS need
    #[arg(long, global = true, help_heading = "S3 options")]
    pub path_style: bool,
    /// Source of the credentials: `file:PATH`, `profile:NAME`, `process:CMD`, `systemd:NAME`, web-identity or ambient
    #[arg(long, global = true, help_heading = "S3 options", value_name = "SPEC")]
    pub credentials: Option<String>,
    /// Checksum sent with each upload: crc32c [default], crc64nvme, sha256, md5 or signed
    #[arg(long, global = true, help_heading = "S3 options", value_name = "ALGORITHM")]
    pub checksum: Option<Checksum>,
    /// The server has no conditional puts: check before each put. No two writers may share a name then
    #[arg(long, global = true, help_heading = "S3 options")]
    pub no_conditional_put: bool,
    /// Write the result as one JSON document
    #[arg(long, global = true, help_heading = "General options")]
    pub json: bool,
    /// Print only warnings, errors and requested data
    #[arg(long, short, global = true, help_heading = "General options", conflicts_with = "verbose")]
    pub quiet: bool,
    /// Log details to standard error; give it twice for more
    #[arg(long, short, global = true, help_heading = "General options", action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Show no progress bars
    #[arg(long, global = true, help_heading = "General options")]
    pub no_progress: bool,
    /// Format of log lines on standard error: text, or json with one object per line [default: text]
    #[arg(long, global = true, help_heading = "General options", value_name = "FORMAT", hide_possible_values = true)]
    pub log_format: Option<LogFormat>,
}

/// How events are written to standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// A JSON object on each line
    Json,
}

/// What to do.
#[cfg(feature = "full")]
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a vault, its keys and its first writer
    Init(InitArgs),
    /// Back up the configured sources, or one given on the command line
    Backup(BackupArgs),
    /// List the snapshots, newest last
    Snapshots(SnapshotsArgs),
    /// Show a snapshot in detail
    Show(ShowArgs),
    /// Compare two snapshots by table, ref and file
    Diff(DiffArgs),
    /// Restore a snapshot
    Restore(RestoreArgs),
    /// Check the vault: signatures, presence, locks, and if asked every byte
    Verify(VerifyArgs),
    /// Check new snapshots for suspicious changes
    Watch(WatchArgs),
    /// Check whether sources could be restored now, before a destructive step
    Ready(ReadyArgs),
    /// Ask the writer's host for a backup now, without keys or credentials
    Request(RequestArgs),
    /// Serve `ready`, `status` and `request` to agents (Model Context Protocol)
    Mcp(McpArgs),
    /// Show the state of each source: snapshots, locks, drills, alarms, journals
    Status(StatusArgs),
    /// Report what happened to each source, its last good snapshot, and how to restore it
    Incident(IncidentArgs),
    /// Cut access to the vault on demand, and prove that it is cut
    #[command(subcommand)]
    Airgap(AirgapCommand),
    /// Print the least-privilege bucket policy of a role
    Policy(PolicyArgs),
    /// Write systemd units or a crontab for the scheduled runs of a role
    Schedule(ScheduleArgs),
    /// Check the setup: credentials, bucket, clock, key files and sources
    Doctor(DoctorArgs),
    /// Extend the locks of the objects that snapshots need (keeper)
    Renew(RenewArgs),
    /// Delete unlocked objects that no snapshot needs (pruner)
    Prune(PruneArgs),
    /// Copy the vault to another bucket or to a disk
    Replicate(ReplicateArgs),
    /// Repair damaged or missing objects from a copy or from parity
    Repair(RepairArgs),
    /// Hold snapshots beyond their expiry (keeper)
    Freeze(FreezeArgs),
    /// End a hold made by `freeze`
    Release(ReleaseArgs),
    /// Set and list who must approve which actions
    #[command(subcommand)]
    Approvers(ApproversCommand),
    /// Make and check requests for approval
    #[command(subcommand)]
    Approve(ApproveCommand),
    /// Manage identities, recipients and key epochs
    #[command(subcommand)]
    Key(KeyCommand),
    /// Add and revoke members: writers, keepers, drillers, auditors, pruners
    #[command(subcommand)]
    Member(MemberCommand),
    /// Add and revoke writers
    #[command(subcommand)]
    Writer(WriterCommand),
    /// Restore into a temporary server, check the result, store signed evidence
    Drill(DrillArgs),
    /// Archive the logs of databases continuously
    #[command(subcommand)]
    Journal(JournalCommand),
    /// Manage the writer's local catalog
    #[command(subcommand)]
    Catalog(CatalogCommand),
    /// Print the completions of a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

/// The writer's local memory.
#[derive(Debug, Subcommand)]
pub enum CatalogCommand {
    /// Rebuild it from the writer's own indexes in the vault
    Rebuild,
}

/// Identities.
#[derive(Debug, Args)]
pub struct IdentityArgs {
    /// An identity that opens the backups: the path of an age identity file or an ssh private key, or - for standard
    /// input. May be given more than once
    #[arg(long, short, value_name = "FILE")]
    pub identity: Vec<OsString>,
}

/// The commands as they are typed.
#[cfg(feature = "full")]
pub const COMMANDS: &[&str] = &[
    "init",
    "backup",
    "snapshots",
    "show",
    "diff",
    "restore",
    "verify",
    "watch",
    "ready",
    "request",
    "mcp",
    "status",
    "schedule",
    "incident",
    "airgap",
    "doctor",
    "renew",
    "prune",
    "replicate",
    "repair",
    "freeze",
    "release",
    "approvers",
    "approve",
    "key",
    "member",
    "writer",
    "drill",
    "policy",
    "journal",
    "catalog",
    "completions",
    "man",
];

#[cfg(feature = "full")]
impl Command {
    /// Whether hooks, pings and metrics belong around it: it does something, and does not only say what it would do.
    #[must_use]
    pub const fn is_run(&self) -> bool {
        match self {
            Self::Backup(args) => !args.dry_run,
            Self::Drill(args) => !args.history,
            Self::Renew(args) => !args.dry_run,
            Self::Prune(args) => args.yes,
            Self::Verify(_) | Self::Watch(_) | Self::Status(_) => true,
            _ => false,
        }
    }

    /// The file of `status --metrics`.
    #[must_use]
    pub fn metrics(&self) -> Option<&Path> {
        if let Self::Status(args) = self { args.metrics.as_deref() } else { None }
    }

    /// The command as documents name it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Init(_) => "init",
            Self::Backup(_) => "backup",
            Self::Snapshots(_) => "snapshots",
            Self::Show(_) => "show",
            Self::Diff(_) => "diff",
            Self::Restore(_) => "restore",
            Self::Verify(_) => "verify",
            Self::Watch(_) => "watch",
            Self::Ready(_) => "ready",
            Self::Request(RequestArgs { command: Some(_), .. }) => "request serve",
            Self::Request(_) => "request",
            Self::Mcp(_) => "mcp",
            Self::Status(_) => "status",
            Self::Schedule(_) => "schedule",
            Self::Incident(_) => "incident",
            Self::Airgap(command) => command.name(),
            Self::Policy(_) => "policy",
            Self::Doctor(_) => "doctor",
            Self::Renew(_) => "renew",
            Self::Prune(_) => "prune",
            Self::Replicate(_) => "replicate",
            Self::Repair(_) => "repair",
            Self::Freeze(_) => "freeze",
            Self::Release(_) => "release",
            Self::Approvers(ApproversCommand::Set(_)) => "approvers set",
            Self::Approvers(ApproversCommand::List) => "approvers list",
            Self::Approve(ApproveCommand::New(_)) => "approve new",
            Self::Approve(ApproveCommand::Check(_)) => "approve check",
            Self::Key(KeyCommand::Split(_)) => "key split",
            Self::Key(KeyCommand::Combine(_)) => "key combine",
            Self::Key(KeyCommand::List) => "key list",
            Self::Key(KeyCommand::Check(_)) => "key check",
            Self::Key(KeyCommand::AddRecipient(_)) => "key add-recipient",
            Self::Key(KeyCommand::Rotate(_) | KeyCommand::RemoveRecipient(_)) => "key rotate",
            Self::Member(MemberCommand::Add(_)) => "member add",
            Self::Member(MemberCommand::Revoke(_)) => "member revoke",
            Self::Member(MemberCommand::Unrevoke(_)) => "member unrevoke",
            Self::Writer(WriterCommand::Add(_)) => "writer add",
            Self::Writer(WriterCommand::Revoke(_)) => "writer revoke",
            Self::Writer(WriterCommand::Unrevoke(_)) => "writer unrevoke",
            Self::Drill(_) => "drill",
            Self::Journal(command) => command.name(),
            Self::Catalog(CatalogCommand::Rebuild) => "catalog rebuild",
            Self::Completions { .. } => "completions",
            Self::Man => "man",
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }
}
