//! `show` and `diff`, as they are typed.

use std::path::PathBuf;

use clap::Args;

use super::{IdentityArgs, said::Said};
use crate::model::Name;

/// `show`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  strongroom show 4f1c0a9b
  strongroom show latest --source orders -i recovery.key

Without an identity it shows the header: times, locks, totals, and what the snapshot added to the vault. With an \
identity also streams, rows of tables, and refs. Lists are cut off after 10000 entries, with a note.")]
pub struct ShowArgs {
    /// A snapshot id or a prefix of it (at least 8 digits), or `latest`
    pub snapshot: String,
    /// With latest: the source
    #[arg(long, value_name = "NAME")]
    pub source: Option<Name>,
    /// With latest: the writer, if several writers have a source of this name
    #[arg(long, value_name = "NAME")]
    pub writer: Option<Name>,
    /// With latest: the newest snapshot taken at or before this time, such as yesterday or "2 hours ago"
    #[arg(long, value_name = "TIME")]
    pub at: Option<Said>,
    /// The identities.
    #[command(flatten)]
    pub identity: IdentityArgs,
    /// Also write the result to this file: FILE.json as --json has it, FILE.md to read. Repeatable
    #[arg(long, value_name = "FILE")]
    pub report: Vec<PathBuf>,
}

/// `diff`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  strongroom diff 4f1c0a9b 77ab01c2 -i recovery.key
  strongroom diff 4f1c0a9b 77ab01c2 -i recovery.key --json

Compares tables by row count and content hash, refs by what they point to, and streams (files, dumps) by size and \
hash. Reads only the lists of the two snapshots, no data. Exit code 0 whether or not they differ.")]
pub struct DiffArgs {
    /// The first snapshot: its id or a prefix (at least 8 digits)
    #[arg(value_name = "A")]
    pub a: String,
    /// The second snapshot
    #[arg(value_name = "B")]
    pub b: String,
    /// The identities.
    #[command(flatten)]
    pub identity: IdentityArgs,
    /// Also write the result to this file: FILE.json as --json has it, FILE.md to read. Repeatable
    #[arg(long, value_name = "FILE")]
    pub report: Vec<PathBuf>,
}
