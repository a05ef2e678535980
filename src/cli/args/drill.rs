//! `drill`, as it is typed.

use std::path::PathBuf;

use clap::Args;

use super::{IdentityArgs, recover::PointArg};
use crate::model::{Name, Span};

/// `drill`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  strongroom drill -i drill.key            the newest snapshot of every source
  strongroom drill orders -i drill.key --max-rto 30m --max-rpo 26h \\
      --report drill.md --report drill.xml
  strongroom drill orders -i drill.key \\
      --postgres 'host=scratch user=drill dbname=postgres'
  strongroom drill --history

Exit code 6 if any check failed or could not be run. Add checks of your own as [[source.check]] in the \
configuration.")]
pub struct DrillArgs {
    /// Sources [default: all that have a snapshot]
    #[arg(value_name = "SOURCE", conflicts_with = "snapshot")]
    pub sources: Vec<Name>,
    /// The writer, if several writers have a source of this name
    #[arg(long, value_name = "NAME", conflicts_with = "snapshot")]
    pub writer: Option<Name>,
    /// The identities.
    #[command(flatten)]
    pub identity: IdentityArgs,
    /// Only this snapshot, by a prefix of its id
    #[arg(long, value_name = "ID")]
    pub snapshot: Option<String>,
    /// Recover physically copied clusters to this point of their journals instead of to the end. See `restore
    /// --recover-to`
    #[arg(long, value_name = "POINT")]
    pub recover_to: Option<PointArg>,
    /// Load PostgreSQL dumps into this server, such as 'host=scratch user=drill', instead of starting a temporary
    /// one. Uses databases with random names, which are dropped afterwards. Put passwords into ~/.pgpass or
    /// PGPASSWORD
    #[arg(long, value_name = "DSN")]
    pub postgres: Option<String>,
    /// The same for dumps of MariaDB and MySQL, such as `mariadb://drill@scratch?password-file=PATH`
    #[arg(long, value_name = "DSN")]
    pub mariadb: Option<String>,
    /// Fail if a recovery takes longer than this, such as 30m
    #[arg(long, value_name = "TIME")]
    pub max_rto: Option<Span>,
    /// Fail if the data is older than this, such as 26h
    #[arg(long, value_name = "TIME")]
    pub max_rpo: Option<Span>,
    /// Write a report: .html, .md, .xml (JUnit) or .json. Repeatable
    #[arg(long, value_name = "FILE")]
    pub report: Vec<PathBuf>,
    /// Run the drill without a sandbox. Restored data may be hostile: only on a host with nothing else on it
    #[arg(long)]
    pub unconfined: bool,
    /// List past drills from the evidence in the vault
    #[arg(long, conflicts_with_all = ["snapshot", "max_rto", "max_rpo", "report", "postgres", "mariadb", "unconfined"])]
    pub history: bool,
}
