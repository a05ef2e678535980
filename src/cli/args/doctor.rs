//! `doctor`, as it is typed.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::IdentityArgs;
use crate::{model::Name, ops::doctor::Role};

/// Check the setup: credentials, bucket, clock, key files and sources
///
/// Tries what these credentials must not be able to do, on a test object of its own: delete, hide and overwrite it,
/// shorten or remove its lock, read packs and keys, write under the prefixes of others, change bucket settings. Each
/// must be refused. Also checks the bucket, the clock and the files that hold keys; for a writer also the configured
/// sources: programs, connections, permissions, disk space, what a backup would leave out, and how long the last run
/// took. With credentials that may delete (pruner, owner) it proves that the store enforces locks.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  strongroom doctor                  on the writer's host, with its configuration
  strongroom doctor --as pruner --credentials file:pruner.toml \\
      --vault s3://acme-vault/prod
  strongroom doctor --as agent --vault s3://acme-vault/prod \\
      --region eu-west-1 --hunt ~ /srv
  strongroom doctor --as reader --credentials profile:responder \\
      --vault s3://acme-vault/prod

Exit code 5 if something is allowed that must not be, or is not set up as it should be; 1 if a check that this role \
must be able to make could not be made. A check that could not be made never counts as passed.")]
pub struct DoctorArgs {
    /// Role of these credentials [default: that of the configuration, else reader]
    #[arg(long = "as", value_enum, value_name = "ROLE")]
    pub role: Option<AsArg>,
    /// Name under which this role writes its test objects and evidence [default: the name in the key of the
    /// configuration, else the role]
    #[arg(long, value_name = "NAME")]
    pub name: Option<Name>,
    /// The identities.
    #[command(flatten)]
    pub identity: IdentityArgs,
    /// Do not check the configured sources
    #[arg(long)]
    pub no_sources: bool,
    /// Search these directories for keys of the vault. Does nothing else unless --as is given
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
    /// Reads everything and writes evidence of drills
    Driller,
    /// Reads everything and writes evidence of verifications
    Auditor,
    /// Deletes what no lock protects
    Pruner,
    /// Created the vault
    Owner,
    /// Works on the production host: credentials found here must not reach the vault
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
