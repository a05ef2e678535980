//! `member` and `writer`, as they are typed.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{IdentityArgs, PapersArgs, said::Said};
use crate::{
    format::certificate::Role,
    model::{Name, NamePattern},
};

/// What a member may sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoleArg {
    /// Snapshots
    Writer,
    /// Evidence of drills
    Driller,
    /// Evidence of verifications
    Auditor,
    /// Evidence of lock proofs
    Pruner,
    /// Holds (`freeze`)
    Keeper,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Writer => Self::Writer,
            RoleArg::Driller => Self::Driller,
            RoleArg::Auditor => Self::Auditor,
            RoleArg::Pruner => Self::Pruner,
            RoleArg::Keeper => Self::Keeper,
        }
    }
}

/// `member`.
#[derive(Debug, Subcommand)]
pub enum MemberCommand {
    /// Create a member: a key and a certificate signed by the vault's root
    Add(MemberAddArgs),
    /// Revoke a member: what it signed from a given time on becomes suspect
    Revoke(RevokeArgs),
    /// Undo the revocation of a member
    Unrevoke(UnrevokeArgs),
}

/// `writer`.
#[derive(Debug, Subcommand)]
pub enum WriterCommand {
    /// Create a writer: a key and a certificate signed by the vault's root
    Add(AddArgs),
    /// Revoke a writer: what it wrote from a given time on becomes suspect
    Revoke(RevokeArgs),
    /// Undo the revocation of a writer
    Unrevoke(UnrevokeArgs),
}

/// `member add`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  strongroom member add ci --role driller -i owner.key --out ci \\
      --member-credentials file:ci-s3.toml
  strongroom member add vault-host --role pruner -i owner.key --out pruner
  strongroom member add crm1 --role writer --sources 'crm,code.*' \\
      -i owner.key --out crm1

Writes strongroom.toml and NAME.key. Credentials and permissions in the object store are set up there (`policy`).")]
pub struct MemberAddArgs {
    /// What it may sign
    #[arg(long, value_enum)]
    pub role: RoleArg,
    /// The rest.
    #[command(flatten)]
    pub add: AddArgs,
}

/// `writer add`.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// Name, never used before in this vault. Also the prefix of what it may write
    #[arg(value_name = "NAME")]
    pub name: Name,
    /// Sources that a writer may back up, such as 'crm,code.*' [default: any]. Snapshots of other sources are suspect
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub sources: Vec<NamePattern>,
    /// Credentials of the new member, for its configuration. The owner's credentials are never written to a file
    #[arg(long, alias = "writer-credentials", value_name = "SPEC")]
    pub member_credentials: Option<String>,
    /// Directory for the files that are written
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub out: PathBuf,
    /// An owner's identity.
    #[command(flatten)]
    pub identity: IdentityArgs,
}

/// `member revoke` and `writer revoke`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  strongroom writer revoke db1 --from 2026-11-20T03:00:00Z -i owner.key

Later snapshots of the writer stay and can be restored by their ids. To change the time, revoke again: the last \
revocation counts. Moving it to a later time undoes a part of it, and needs the same approvals as `unrevoke`.")]
pub struct RevokeArgs {
    /// Name of the member
    #[arg(value_name = "NAME")]
    pub name: Name,
    /// Time from which on its signatures are suspect, by the store's clock and including that second
    #[arg(long, value_name = "TIME")]
    pub from: Said,
    /// What people approved, where it is moved to a later time.
    #[command(flatten)]
    pub papers: PapersArgs,
    /// An owner's identity.
    #[command(flatten)]
    pub identity: IdentityArgs,
}

/// `member unrevoke` and `writer unrevoke`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  strongroom writer unrevoke db1 -i owner.key
  strongroom approve new revoke-undo member=db1 \\
      --reason 'it was another host' > request.json

What it signed since then counts again, and so does what it will sign. If the vault's list of approvers has a rule \
for `revoke-undo`, approvals are needed.")]
pub struct UnrevokeArgs {
    /// Name of the member
    #[arg(value_name = "NAME")]
    pub name: Name,
    /// What people approved.
    #[command(flatten)]
    pub papers: PapersArgs,
    /// An owner's identity.
    #[command(flatten)]
    pub identity: IdentityArgs,
}

impl From<WriterCommand> for MemberCommand {
    fn from(command: WriterCommand) -> Self {
        match command {
            WriterCommand::Add(add) => Self::Add(MemberAddArgs { role: RoleArg::Writer, add }),
            WriterCommand::Revoke(args) => Self::Revoke(args),
            WriterCommand::Unrevoke(args) => Self::Unrevoke(args),
        }
    }
}
