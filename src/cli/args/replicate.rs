//! `replicate` and `repair`, as they are typed.

use clap::{Args, ValueEnum};

use super::{IdentityArgs, said::Said};
use crate::{
    model::{Name, size::ByteSize},
    ops::replicate::Rate,
    store::Checksum,
};

/// What to do where a lock can't reach as far as the source promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LocksArg {
    /// Leave the snapshot out
    Required,
    /// Copy it anyway, and say so
    AsPossible,
}

/// `replicate`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  strongroom replicate --vault s3://acme-vault/prod --credentials file:reader-s3.toml \\
      --to s3://other-vault/prod --to-credentials file:copier-s3.toml --to-region eu-west-3
  strongroom replicate --vault s3://acme-vault/prod --credentials file:reader-s3.toml --to file:///mnt/disk-a
  strongroom replicate --config copies.toml

It needs no identity, and never replaces anything. One that was interrupted goes on when it is run again. Exit code 4 if \
something in the source is damaged: what needs it is left out. docs/copies.md says how to keep copies.")]
pub struct ReplicateArgs {
    /// Only these [[copy]] of the configuration. Without --to and names, all of them
    #[arg(value_name = "COPY", conflicts_with = "to")]
    pub copies: Vec<Name>,
    /// Where the copy goes: `s3://bucket/prefix` or `file:///path`
    #[arg(long, value_name = "URL")]
    pub to: Option<String>,
    /// How the copy's place is reached.
    #[command(flatten)]
    pub target: TargetArgs,
    /// Only snapshots of this source. May be given more than once
    #[arg(long, value_name = "NAME")]
    pub source: Vec<Name>,
    /// Only so many of the newest snapshots of each source
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub newest: Option<u32>,
    /// Only snapshots since then, such as 2026-11-22T06:00:00Z, yesterday or "30 days ago"
    #[arg(long, value_name = "TIME")]
    pub since: Option<Said>,
    /// Put nothing; say what would be
    #[arg(long)]
    pub dry_run: bool,
    /// What to do where the target's locks can't reach as far as the source promises
    #[arg(long, value_enum, value_name = "HOW")]
    pub locks: Option<LocksArg>,
    /// Put no more bytes per second into the target, such as 5MB: on the average, since an object is put as a whole
    #[arg(long, value_name = "BYTES")]
    pub limit_upload: Option<ByteSize>,
    /// Read no more bytes per second from the source
    #[arg(long, value_name = "BYTES")]
    pub limit_download: Option<ByteSize>,
    /// How many objects are moved at once [default: 8]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub jobs: Option<u16>,
    /// Make so much parity beside a copy in a directory, such as 5%: bad sectors heal from it. What is there is kept in step
    /// without being asked for
    #[arg(long, value_name = "RATE", requires = "to")]
    pub parity: Option<Rate>,
    /// Go on although another place fed this copy before, or nothing says that it is one
    #[arg(long)]
    pub adopt: bool,
    /// Says which vault is meant. Opens nothing here.
    #[command(flatten)]
    pub identity: IdentityArgs,
}

/// How the place that a copy goes to is reached.
#[derive(Debug, Clone, Default, Args)]
pub struct TargetArgs {
    /// Where the credentials for the target come from, as for --credentials
    #[arg(long, value_name = "SPEC", requires = "to")]
    pub to_credentials: Option<String>,
    /// The URL of the target's S3 server, if it is not AWS
    #[arg(long, value_name = "URL", requires = "to")]
    pub to_endpoint: Option<String>,
    /// The region of the target's bucket
    #[arg(long, value_name = "R", requires = "to")]
    pub to_region: Option<String>,
    /// Name the target's bucket in the path of requests
    #[arg(long, requires = "to")]
    pub to_path_style: bool,
    /// What a put sends along for the target's server to verify, as for --checksum
    #[arg(long, value_name = "ALGORITHM", requires = "to")]
    pub to_checksum: Option<Checksum>,
    /// The target's server has no conditional puts: look before each put
    #[arg(long, requires = "to")]
    pub to_no_conditional_put: bool,
}

/// How deep a repair looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RepairDepthArg {
    /// Presence, sizes and locks; of documents and pages the bytes, too
    Locks,
    /// And every stored byte
    Read,
}

/// `repair`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  strongroom repair --vault file:///mnt/disk-a/vault
  strongroom repair --vault file:///mnt/vault --from s3://other-vault/prod --from-credentials file:reader-s3.toml
  strongroom repair --vault s3://acme-vault/prod --credentials file:mender-s3.toml --from file:///mnt/disk-a --dry-run

What is damaged gets the true bytes as a new version under a lock, and no version is removed; in a directory they take the \
place of the damaged ones. Without --from a directory heals from the parity beside it. Needs no identity. Exit code 4 if something stays damaged.")]
pub struct RepairArgs {
    /// A copy of the vault: `s3://bucket/prefix` or `file:///path`
    #[arg(long, value_name = "URL")]
    pub from: Option<String>,
    /// How the copy is reached.
    #[command(flatten)]
    pub copy: FromArgs,
    /// Of the parity beside a directory have so much from now on, such as 5%
    #[arg(long, value_name = "RATE", conflicts_with = "from")]
    pub parity: Option<Rate>,
    /// How deep to look for damage. Parity always reads every byte
    #[arg(long, value_enum, default_value_t = RepairDepthArg::Read)]
    pub depth: RepairDepthArg,
    /// Put nothing; say what is damaged and whether the copy has it
    #[arg(long)]
    pub dry_run: bool,
    /// Says which vault is meant. Opens nothing here.
    #[command(flatten)]
    pub identity: IdentityArgs,
}

/// How the copy that a repair takes from is reached.
#[derive(Debug, Clone, Default, Args)]
pub struct FromArgs {
    /// Where the credentials for the copy come from, as for --credentials
    #[arg(long, value_name = "SPEC", requires = "from")]
    pub from_credentials: Option<String>,
    /// The URL of the copy's S3 server, if it is not AWS
    #[arg(long, value_name = "URL", requires = "from")]
    pub from_endpoint: Option<String>,
    /// The region of the copy's bucket
    #[arg(long, value_name = "R", requires = "from")]
    pub from_region: Option<String>,
    /// Name the copy's bucket in the path of requests
    #[arg(long, requires = "from")]
    pub from_path_style: bool,
}
