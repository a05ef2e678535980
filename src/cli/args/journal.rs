//! `journal`, as it is typed.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[cfg(feature = "full")]
use super::IdentityArgs;
use crate::model::Name;

/// The logs of databases.
#[derive(Debug, Subcommand)]
pub enum JournalCommand {
    /// Receive the logs of servers and put them into the vault, until it is asked to stop: for systemd
    Run(JournalRunArgs),
    /// Put a segment of the log into the vault: the server's `archive_command`
    Push(JournalPushArgs),
    /// Get a segment of the log out of the vault: the `restore_command` of a server that recovers
    #[cfg(feature = "full")]
    Fetch(JournalFetchArgs),
    /// List how far journals reach, and what is missing
    #[cfg(feature = "full")]
    List(JournalListArgs),
}

impl JournalCommand {
    /// The command as documents name it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Run(_) => "journal run",
            Self::Push(_) => "journal push",
            #[cfg(feature = "full")]
            Self::Fetch(_) => "journal fetch",
            #[cfg(feature = "full")]
            Self::List(_) => "journal list",
        }
    }
}

/// `journal run`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  strongroom journal run                    every source that has a journal
  strongroom journal run orders --until-idle

What is committed is in the vault after `flush` (10s, if nothing else is configured). It stops in good order on SIGTERM and \
ships what is whole before. With --json each event is a line of JSON on standard error.")]
pub struct JournalRunArgs {
    /// Configured sources that have a journal [default: all of them]
    #[arg(value_name = "SOURCE")]
    pub sources: Vec<Name>,
    /// End once all that the servers have now is in the vault, for cron and for trying it out
    #[arg(long)]
    pub until_idle: bool,
    /// Go on though the server is another cluster than before, such as after `pg_upgrade`
    #[arg(long)]
    pub new_cluster: bool,
}

/// `journal push`.
#[derive(Debug, Args)]
#[command(after_help = "Example, in postgresql.conf:
  archive_command = 'strongroom --config /etc/strongroom/strongroom.toml --quiet journal push %p'

It ends with 0 only when the segment is in the vault and locked, and may be called again. Segments that wait behind it another \
process puts meanwhile, several at once, so that the next calls return at once; it ends when nothing waits any more.")]
pub struct JournalPushArgs {
    /// The segment: what PostgreSQL puts for %p
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// The source whose log it is [default: the only one that has a journal]
    #[arg(long, value_name = "NAME")]
    pub source: Option<Name>,
    /// So many segments that wait are put before the server asks for them, at most; 0 for none
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u64).range(0..=128))]
    pub ahead: u64,
    /// Push what waits behind it, and not itself: the process that a push begins
    #[arg(long, hide = true)]
    pub behind: bool,
    /// Go on though it is of another cluster than before, such as after `pg_upgrade`
    #[arg(long)]
    pub new_cluster: bool,
}

/// `journal fetch`.
#[cfg(feature = "full")]
#[derive(Debug, Args)]
#[command(after_help = "Example, in postgresql.conf:
  restore_command = 'strongroom --vault s3://acme-vault/prod --credentials file:/safe/s3.toml journal fetch -i /safe/id --source orders %f %p'

It ends with 1 where there is no such file and nothing beyond it: recovery is at its end. Anything else that goes wrong, a gap \
among it, ends with 255, by which PostgreSQL stops and does not take for the end what is none.")]
pub struct JournalFetchArgs {
    /// The file: what PostgreSQL puts for %f
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Where it goes: what PostgreSQL puts for %p
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// The source whose log it is [default: the only one that the configuration has a journal of]
    #[arg(long, value_name = "NAME")]
    pub source: Option<Name>,
    /// Take only what this writer put [default: whoever may write the source]
    #[arg(long, value_name = "NAME")]
    pub writer: Option<Name>,
    /// The system identifier of the cluster, as `pg_controldata` tells it [default: that of the data directory]
    #[arg(long, value_name = "NUMBER")]
    pub system: Option<u64>,
    /// A directory for segments that are read ahead, of this user alone [default: one below TMPDIR]
    #[arg(long, value_name = "DIR")]
    pub ahead: Option<PathBuf>,
    /// So many segments are read ahead; 0 for none
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(0..=16))]
    pub read_ahead: u64,
    /// Identities.
    #[command(flatten)]
    pub identity: IdentityArgs,
}

/// `journal list`.
#[cfg(feature = "full")]
#[derive(Debug, Args)]
pub struct JournalListArgs {
    /// Only of this source
    #[arg(long, value_name = "NAME")]
    pub source: Option<Name>,
    /// Only of this writer
    #[arg(long, value_name = "NAME")]
    pub writer: Option<Name>,
}
