//! `drill`, as it is typed.

use std::path::PathBuf;

use clap::Args;

use super::{IdentityArgs, recover::PointArg};
use crate::model::{Name, Span};

/// `drill`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  strongroom drill -i drill.key                            the newest snapshot of every source of every writer
  strongroom drill orders -i drill.key --max-rto 30m --max-rpo 26h --report drill.md --report drill.xml
  strongroom drill orders -i drill.key --postgres 'host=scratch user=drill dbname=postgres'
  strongroom drill --history

Exit code 6 if any check failed or could not be run. The configuration's [[source.check]] are checks of your own.")]
pub struct DrillArgs {
    /// Sources [default: all that have a snapshot]
    #[arg(value_name = "SOURCE", conflicts_with = "snapshot")]
    pub sources: Vec<Name>,
    /// Whose, where two writers have a source of one name
    #[arg(long, value_name = "NAME", conflicts_with = "snapshot")]
    pub writer: Option<Name>,
    /// The identities.
    #[command(flatten)]
    pub identity: IdentityArgs,
    /// Only this snapshot, by the beginning of its id
    #[arg(long, value_name = "ID")]
    pub snapshot: Option<String>,
    /// Recover copied clusters to this point of their journals, and not to the end: as for `restore`
    #[arg(long, value_name = "POINT")]
    pub recover_to: Option<PointArg>,
    /// Load dumps of `PostgreSQL` into this server, such as 'host=scratch user=drill', instead of one that the drill starts:
    /// into databases with random names, dropped afterwards. Passwords belong into ~/.pgpass or `PGPASSWORD`
    #[arg(long, value_name = "DSN")]
    pub postgres: Option<String>,
    /// The same for dumps of MariaDB and `MySQL`, such as `mariadb://drill@scratch?password-file=PATH`
    #[arg(long, value_name = "DSN")]
    pub mariadb: Option<String>,
    /// Fail if a recovery takes longer than this, such as 30m
    #[arg(long, value_name = "TIME")]
    pub max_rto: Option<Span>,
    /// Fail if the data is older than this, such as 26h
    #[arg(long, value_name = "TIME")]
    pub max_rpo: Option<Span>,
    /// Write a report: .html, .md, .xml (`JUnit`) or .json. May be given more than once
    #[arg(long, value_name = "FILE")]
    pub report: Vec<PathBuf>,
    /// Run a drill though what loads the data, which may be hostile, can't be confined here, and confine nothing
    #[arg(long)]
    pub unconfined: bool,
    /// List the drills of the past, whose evidence is in the vault
    #[arg(long, conflicts_with_all = ["snapshot", "max_rto", "max_rpo", "report", "postgres", "mariadb", "unconfined"])]
    pub history: bool,
}
