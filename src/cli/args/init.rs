//! `init`, as it is typed.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::model::{Name, NamePattern, Span};

/// How strongly locks are held.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Mode {
    /// Nobody can shorten a lock, the account's root included
    Compliance,
    /// A principal with a special permission can
    Governance,
}

/// Who sets the lock of a new object.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum By {
    /// The bucket's default retention; the writer may not touch locks
    BucketDefault,
    /// The writer, with each object
    Explicit,
}

/// `init`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  strongroom init --vault file:///mnt/vault --out /etc/strongroom
  strongroom init --vault file:///mnt/vault --recipient age1... --recipient 'ssh-ed25519 AAAA...'
  strongroom init --vault s3://acme-vault --region eu-west-1 --create-bucket --credentials profile:vault-admin \\
      --writer-credentials file:writer-s3.toml --out /etc/strongroom

It writes strongroom.toml and writer.key for the writer, recovery-kit.txt for people and, if no recipient is given, \
recovery.key: the identity that opens the backups. Move that one off this machine.")]
pub struct InitArgs {
    /// Who can open everything: age1…, a plugin's recipient, or an ssh public key. Without any, an identity is made
    #[arg(long, value_name = "R")]
    pub recipient: Vec<String>,
    /// Who can open backups for drills, but not the root key
    #[arg(long, value_name = "R")]
    pub drill_recipient: Vec<String>,
    /// How long each snapshot is promised to live
    #[arg(long, value_name = "SPAN", default_value = "35d")]
    pub keep: Span,
    /// What no lock may exceed, whoever asks: bounds what a mistake costs, and how long a tier may last
    #[arg(long, value_name = "SPAN", default_value = "3650d")]
    pub max_lock: Span,
    /// How strongly locks are held
    #[arg(long, value_enum, default_value_t = Mode::Compliance)]
    pub mode: Mode,
    /// Who sets the lock of a new object
    #[arg(long, value_enum, default_value_t = By::BucketDefault)]
    pub lock_by: By,
    /// The name of the first writer
    #[arg(long, value_name = "NAME", default_value = "writer")]
    pub writer: Name,
    /// The sources that the first writer may make snapshots of, such as 'crm,code.*', where * is anything [default: any]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub sources: Vec<NamePattern>,
    /// Make the bucket, with versions, object lock and a default retention of keep and a window of 30 days
    #[arg(long)]
    pub create_bucket: bool,
    /// Where the writer will get its credentials from, for its configuration. The owner's are never written down
    #[arg(long, value_name = "SPEC")]
    pub writer_credentials: Option<String>,
    /// Where the files go that it writes
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub out: PathBuf,
}
