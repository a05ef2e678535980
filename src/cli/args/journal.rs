//! `journal`, as it is typed.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[cfg(feature = "full")]
use super::IdentityArgs;
use crate::model::Name;

/// The logs of databases.
#[derive(Debug, Subcommand)]
pub enum JournalCommand {
    /// Receive the logs of database servers and store them in the vault, until stopped. Runs as a service
    Run(JournalRunArgs),
    /// Store a WAL segment in the vault; for PostgreSQL's `archive_command`
    Push(JournalPushArgs),
    /// Fetch a WAL segment from the vault; for PostgreSQL's `restore_command`
    #[cfg(feature = "full")]
    Fetch(JournalFetchArgs),
    /// List how far journals reach, and gaps in them
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

Committed transactions are in the vault after `flush` (10s by default). On SIGTERM it stores complete segments and \
stops. With --json each event is a line of JSON on standard error.")]
pub struct JournalRunArgs {
    /// Configured sources that have a journal [default: all of them]
    #[arg(value_name = "SOURCE")]
    pub sources: Vec<Name>,
    /// Stop once everything the servers have now is in the vault; for cron and for tests
    #[arg(long)]
    pub until_idle: bool,
    /// Continue although the server is a new cluster, such as after `pg_upgrade`
    #[arg(long)]
    pub new_cluster: bool,
}

/// `journal push`.
#[derive(Debug, Args)]
#[command(after_help = "Example, in postgresql.conf:
  archive_command = 'strongroom --config /etc/strongroom/strongroom.toml --quiet journal push %p'

Exits with 0 only when the segment is in the vault and locked. It can be called again for the same segment; one of \
the same name with other content is refused. A \
background process stores further waiting segments in parallel, so that the next calls return at once; it ends when \
none is waiting.")]
pub struct JournalPushArgs {
    /// Path of the segment: %p of PostgreSQL
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// The source [default: the only one that has a journal]
    #[arg(long, value_name = "NAME")]
    pub source: Option<Name>,
    /// Maximum number of waiting segments to store before the server asks for them; 0 for none
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u64).range(0..=128))]
    pub ahead: u64,
    /// Store a file although the vault has it, or may have it, with other content; a recovery reads what was there first
    #[arg(long)]
    pub again: bool,
    /// Push what waits behind it, and not itself: the process that a push begins
    #[arg(long, hide = true)]
    pub behind: bool,
    /// Continue although the segment is of a new cluster, such as after `pg_upgrade`
    #[arg(long)]
    pub new_cluster: bool,
}

/// `journal fetch`.
#[cfg(feature = "full")]
#[derive(Debug, Args)]
#[command(after_help = "Example, in postgresql.conf:
  restore_command = 'strongroom --vault s3://acme-vault/prod --credentials file:/safe/s3.toml journal fetch -i /safe/id --source orders %f %p'

Exits with 1 if the file does not exist and nothing follows it: the end of recovery. Any other problem, such as a \
gap, ends with 255, which makes PostgreSQL stop instead of taking it for the end of the log.")]
pub struct JournalFetchArgs {
    /// Name of the file: %f of PostgreSQL
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Path to write to: %p of PostgreSQL
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// The source [default: the only one in the configuration that has a journal]
    #[arg(long, value_name = "NAME")]
    pub source: Option<Name>,
    /// Use only segments of this writer [default: any that may write the source]
    #[arg(long, value_name = "NAME")]
    pub writer: Option<Name>,
    /// System identifier of the cluster, as `pg_controldata` prints it [default: that of the data directory]
    #[arg(long, value_name = "NUMBER")]
    pub system: Option<u64>,
    /// Private directory for segments that are read ahead [default: one below TMPDIR]
    #[arg(long, value_name = "DIR")]
    pub ahead: Option<PathBuf>,
    /// Number of segments to read ahead; 0 for none
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
    /// Only this source
    #[arg(long, value_name = "NAME")]
    pub source: Option<Name>,
    /// Only this writer
    #[arg(long, value_name = "NAME")]
    pub writer: Option<Name>,
}
