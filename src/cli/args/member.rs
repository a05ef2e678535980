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
    /// Make the keys of a new member, signed by the root
    Add(MemberAddArgs),
    /// Make suspect what a member signed from a time on
    Revoke(RevokeArgs),
    /// Take a member's revocation back
    Unrevoke(UnrevokeArgs),
}

/// `writer`.
#[derive(Debug, Subcommand)]
pub enum WriterCommand {
    /// Make the keys of a new writer, signed by the root
    Add(AddArgs),
    /// Make suspect what a writer wrote from a time on
    Revoke(RevokeArgs),
    /// Take a writer's revocation back
    Unrevoke(UnrevokeArgs),
}

/// `member add`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  strongroom member add ci --role driller -i owner.key --out ci --member-credentials file:ci-s3.toml
  strongroom member add vault-host --role pruner -i owner.key --out pruner
  strongroom member add crm1 --role writer --sources 'crm,code.*' -i owner.key --out crm1

It writes strongroom.toml and NAME.key. The store's own credentials and rights are given in the store.")]
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
    /// Its name, which nobody in this vault has or had: also the prefix of what it may write
    #[arg(value_name = "NAME")]
    pub name: Name,
    /// The sources that a writer may make snapshots of, such as 'crm,code.*', where * is anything [default: any]. What it
    /// signs of others is suspect
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub sources: Vec<NamePattern>,
    /// Where it will get its credentials from, for its configuration. The owner's are never written down
    #[arg(long, alias = "writer-credentials", value_name = "SPEC")]
    pub member_credentials: Option<String>,
    /// Where the files go that it writes
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

Later snapshots of the writer stay and can be restored by their ids. To move the time, revoke again: the last counts. Moving it to \
a later time takes a part of it back, and needs the approvals that `unrevoke` needs.")]
pub struct RevokeArgs {
    /// The member
    #[arg(value_name = "NAME")]
    pub name: Name,
    /// From when on what it signed is suspect, by the store's clock, all of that second included
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
  strongroom approve new revoke-undo member=db1 --reason 'it was another host' > request.json

What it signed since counts again, and so does what it will sign. Where the vault's list of approvers has a rule for \
`revoke-undo`, approvals are needed.")]
pub struct UnrevokeArgs {
    /// The member
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
