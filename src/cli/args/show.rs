//! `show` and `diff`, as they are typed.

use clap::Args;

use super::{IdentityArgs, said::Said};
use crate::model::Name;

/// `show`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  strongroom show 4f1c0a9b
  strongroom show latest --source orders -i recovery.key

Without an identity it shows what the header says: times, locks, totals, what the snapshot added to the vault. With one also its \
streams, the rows of its tables, and its refs. Lists end after 10000 entries and say so.")]
pub struct ShowArgs {
    /// The beginning of a snapshot's id (8 digits at least), or `latest`
    pub snapshot: String,
    /// With latest: of which source
    #[arg(long, value_name = "NAME")]
    pub source: Option<Name>,
    /// With latest: whose, where two writers have a source of this name
    #[arg(long, value_name = "NAME")]
    pub writer: Option<Name>,
    /// With latest: the newest that is not younger than this, such as yesterday or "2 hours ago"
    #[arg(long, value_name = "TIME")]
    pub at: Option<Said>,
    /// The identities.
    #[command(flatten)]
    pub identity: IdentityArgs,
}

/// `diff`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  strongroom diff 4f1c0a9b 77ab01c2 -i recovery.key
  strongroom diff 4f1c0a9b 77ab01c2 -i recovery.key --json

It compares tables by rows and by the hash of their content, refs by what they point to, streams (files, dumps) by size and hash. \
It reads no data but the two snapshots' own lists. Exit code 0 whether or not they differ.")]
pub struct DiffArgs {
    /// The beginning of the first snapshot's id (8 digits at least)
    #[arg(value_name = "A")]
    pub a: String,
    /// The beginning of the second one's
    #[arg(value_name = "B")]
    pub b: String,
    /// The identities.
    #[command(flatten)]
    pub identity: IdentityArgs,
}
