//! `init`, as it is typed.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::model::{Name, NamePattern, Span};

/// How strongly locks are held.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Mode {
    /// Nobody can shorten a lock, not even the account's root user
    Compliance,
    /// A principal with a special permission can shorten a lock
    Governance,
}

/// Who sets the lock of a new object.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum By {
    /// The bucket's default retention; the writer may not touch locks
    BucketDefault,
    /// The writer sets a lock with each object
    Explicit,
}

/// `init`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  strongroom init --vault file:///mnt/vault --out /etc/strongroom
  strongroom init --vault file:///mnt/vault --recipient age1... \\
      --recipient 'ssh-ed25519 AAAA...'
  strongroom init --vault s3://acme-vault --region eu-west-1 --create-bucket \\
      --credentials profile:vault-admin \\
      --writer-credentials file:writer-s3.toml --out /etc/strongroom

Writes strongroom.toml and writer.key for the writer, recovery-kit.txt for people and, if no recipient is given, \
recovery.key: the identity that opens the backups. Move recovery.key off this machine.")]
pub struct InitArgs {
    /// A recipient who can open everything: age1…, a plugin's recipient, or an ssh public key. Without any, an
    /// identity is created. Repeatable
    #[arg(long, value_name = "R")]
    pub recipient: Vec<String>,
    /// A recipient who can open backups for drills, but not the root key. Repeatable
    #[arg(long, value_name = "R")]
    pub drill_recipient: Vec<String>,
    /// How long each snapshot is kept and locked
    #[arg(long, value_name = "SPAN", default_value = "35d")]
    pub keep: Span,
    /// Upper limit of any lock. Bounds the cost of a mistake, and the length of a tier
    #[arg(long, value_name = "SPAN", default_value = "3650d")]
    pub max_lock: Span,
    /// Object lock mode
    #[arg(long, value_enum, default_value_t = Mode::Compliance)]
    pub mode: Mode,
    /// Who sets the lock of a new object
    #[arg(long, value_enum, default_value_t = By::BucketDefault)]
    pub lock_by: By,
    /// Name of the first writer
    #[arg(long, value_name = "NAME", default_value = "writer")]
    pub writer: Name,
    /// Sources that the first writer may back up, such as 'crm,code.*' [default: any]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub sources: Vec<NamePattern>,
    /// Create the bucket, with versioning, object lock, and a default retention of `keep` plus 30 days
    #[arg(long)]
    pub create_bucket: bool,
    /// Credentials of the writer, for its configuration. The owner's credentials are never written to a file
    #[arg(long, value_name = "SPEC")]
    pub writer_credentials: Option<String>,
    /// Directory for the files that are written
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub out: PathBuf,
}
