//! `doctor`, as it is typed.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::IdentityArgs;
use crate::{model::Name, ops::doctor::Role};

/// Find out what the credentials at hand can do to the vault
///
/// It tries, on a canary of its own and in forms that change nothing: to delete, hide, overwrite, shorten and unlock, to
/// read packs and keys, to put where it has no business, and to set what belongs to the bucket. Each must be refused. It
/// also looks at the bucket, the clock, and the files that hold keys. For the writer it looks at the configured sources,
/// too: programs, connections, rights, room, what a backup would leave out, and how long the last run took. With credentials that may delete (the pruner's or
/// the owner's) it proves that the store enforces its locks.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  strongroom doctor                                      on the writer's host, with its configuration
  strongroom doctor --as pruner --credentials file:pruner.toml --vault s3://acme-vault/prod
  strongroom doctor --as agent --vault s3://acme-vault/prod --region eu-west-1 --hunt ~ /srv
  strongroom doctor --as reader --credentials profile:responder --vault s3://acme-vault/prod

Exit code 5 if anything is let through or is not as it should be, 1 if something that this role must be able to try could
not be tried. What could not be tried never counts as good.")]
pub struct DoctorArgs {
    /// Whose credentials these are [default: the writer's or the member's of the configuration, else reader]
    #[arg(long = "as", value_enum, value_name = "ROLE")]
    pub role: Option<AsArg>,
    /// The name under which this role puts its canaries and evidence [default: the name in the key of the configuration, else the role's]
    #[arg(long, value_name = "NAME")]
    pub name: Option<Name>,
    /// The identities.
    #[command(flatten)]
    pub identity: IdentityArgs,
    /// Don't look at the configured sources, which the writer's examination does otherwise
    #[arg(long)]
    pub no_sources: bool,
    /// Look through these directories for keys of the vault in files, and only for these unless --as is given
    #[arg(long, value_name = "DIR", num_args = 1..)]
    pub hunt: Vec<PathBuf>,
}

/// Whose credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AsArg {
    /// Adds backups
    Writer,
    /// Extends locks
    Keeper,
    /// Reads everything
    Reader,
    /// Reads everything, and leaves evidence of drills
    Driller,
    /// Reads everything, and leaves evidence of verifications
    Auditor,
    /// Deletes what no lock protects
    Pruner,
    /// Made the vault
    Owner,
    /// Works on production: whatever credentials are found here must not reach the vault
    Agent,
}

impl From<AsArg> for Role {
    fn from(role: AsArg) -> Self {
        match role {
            AsArg::Writer => Self::Writer,
            AsArg::Keeper => Self::Keeper,
            AsArg::Reader => Self::Reader,
            AsArg::Driller => Self::Driller,
            AsArg::Auditor => Self::Auditor,
            AsArg::Pruner => Self::Pruner,
            AsArg::Owner => Self::Owner,
            AsArg::Agent => Self::Agent,
        }
    }
}
