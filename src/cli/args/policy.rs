//! `policy`, as it is typed.

use clap::{Args, ValueEnum};

use super::{By, Mode};
use crate::model::{Name, Span};

/// Whom the policy is for.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum PolicyRoleArg {
    /// Writes under its own prefixes; cannot read packs or keys; cannot delete
    Writer,
    /// Reads everything, extends locks, writes holds
    Keeper,
    /// Reads everything
    Reader,
    /// Reads everything, writes evidence of drills
    Driller,
    /// Reads everything, writes evidence of verifications
    Auditor,
    /// Reads everything, deletes unlocked objects, proves that locks hold
    Pruner,
    /// Writes a copy of a vault; cannot replace or delete
    Copier,
    /// Changes the bucket's policy, no objects: for the air gap's `bucket-deny-puts`
    Gate,
    /// The bucket's own policy
    Bucket,
}

/// Whose language the policy is in.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum ProviderArg {
    /// AWS
    Aws,
    /// SeaweedFS
    Seaweedfs,
    /// Ceph Object Gateway
    Ceph,
    /// MinIO
    Minio,
}

/// `policy`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  strongroom policy writer --provider aws --vault s3://acme-vault/prod \\
      --member db1
  strongroom policy bucket --provider aws --vault s3://acme-vault/prod \\
      --admin arn:aws:iam::111122223333:role/vault-admin \\
      --pruner arn:aws:iam::111122223333:role/vault-pruner
  strongroom policy driller --provider minio --vault s3://acme-vault --member ci

It asks no server. Give it the same lock settings as `init`; `keep` and the name of the writer are taken from the \
configuration.")]
pub struct PolicyArgs {
    /// The role
    #[arg(value_name = "ROLE")]
    pub role: PolicyRoleArg,
    /// The object store whose policy language is used
    #[arg(long, value_enum)]
    pub provider: ProviderArg,
    /// Name of the member, whose prefixes it opens [default: the configured writer for `writer`, else the role]
    #[arg(long, alias = "writer", value_name = "NAME")]
    pub member: Option<Name>,
    /// Object lock mode of the vault
    #[arg(long, value_enum, default_value_t = Mode::Compliance)]
    pub mode: Mode,
    /// Who sets the lock of a new object
    #[arg(long, value_enum, default_value_t = By::BucketDefault)]
    pub lock_by: By,
    /// How long snapshots are kept [default: as configured, else 35d]
    #[arg(long, value_name = "SPAN")]
    pub keep: Option<Span>,
    /// Upper limit of any lock
    #[arg(long, value_name = "SPAN", default_value = "3650d")]
    pub max_lock: Span,
    /// ARN that may change the bucket, for the bucket policy on AWS. Repeatable
    #[arg(long, value_name = "ARN")]
    pub admin: Vec<String>,
    /// ARN that may delete unlocked objects, for the bucket policy on AWS. Repeatable
    #[arg(long, value_name = "ARN")]
    pub pruner: Vec<String>,
    /// Account whose principals alone may use the bucket, for the bucket policy on AWS
    #[arg(long, value_name = "ID")]
    pub account: Option<String>,
}
