//! `policy`, as it is typed.

use clap::{Args, ValueEnum};

use super::{By, Mode};
use crate::model::{Name, Span};

/// Whom the policy is for.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum PolicyRoleArg {
    /// Stores under its own prefixes; reads neither packs nor keys; deletes nothing
    Writer,
    /// Reads everything, extends locks and leaves holds
    Keeper,
    /// Reads everything
    Reader,
    /// Reads everything and leaves evidence of drills
    Driller,
    /// Reads everything and leaves evidence of verifications
    Auditor,
    /// Reads everything, deletes what no lock protects, and proves that locks hold
    Pruner,
    /// Puts a copy of a vault into the bucket; replaces and deletes nothing
    Copier,
    /// Changes the bucket's policy and touches no object: for the air gap's `bucket-deny-puts`
    Gate,
    /// The bucket's own policy
    Bucket,
}

/// Whose language the policy is in.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum ProviderArg {
    /// AWS
    Aws,
    /// `SeaweedFS`
    Seaweedfs,
    /// Ceph's object gateway
    Ceph,
    /// `MinIO`
    Minio,
}

/// `policy`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  strongroom policy writer --provider aws --vault s3://acme-vault/prod --writer db1
  strongroom policy bucket --provider aws --vault s3://acme-vault/prod \\
      --admin arn:aws:iam::111122223333:role/vault-admin --pruner arn:aws:iam::111122223333:role/vault-pruner
  strongroom policy driller --provider minio --vault s3://acme-vault --member ci

It asks no server. Give it the lock settings that `init` was given; a configuration's `keep` and writer's name are \
taken from there.")]
pub struct PolicyArgs {
    /// Whom it is for
    #[arg(value_name = "ROLE")]
    pub role: PolicyRoleArg,
    /// Whose language it is in
    #[arg(long, value_enum)]
    pub provider: ProviderArg,
    /// Whose prefixes it opens [default: the configuration's writer for a writer, else the role's name]
    #[arg(long, alias = "writer", value_name = "NAME")]
    pub member: Option<Name>,
    /// How strongly the vault's locks are held
    #[arg(long, value_enum, default_value_t = Mode::Compliance)]
    pub mode: Mode,
    /// Who sets the lock of a new object
    #[arg(long, value_enum, default_value_t = By::BucketDefault)]
    pub lock_by: By,
    /// How long each snapshot is promised to live [default: as configured, else 35d]
    #[arg(long, value_name = "SPAN")]
    pub keep: Option<Span>,
    /// What nobody may lock beyond, counted from the day of the lock
    #[arg(long, value_name = "SPAN", default_value = "3650d")]
    pub max_lock: Span,
    /// An ARN that may still change the bucket, for its policy on AWS. May be given more than once
    #[arg(long, value_name = "ARN")]
    pub admin: Vec<String>,
    /// An ARN that may delete what no lock protects, for the bucket's policy on AWS. May be given more than once
    #[arg(long, value_name = "ARN")]
    pub pruner: Vec<String>,
    /// The account whose principals alone may use the bucket, for its policy on AWS
    #[arg(long, value_name = "ID")]
    pub account: Option<String>,
}
