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
    /// Copy it anyway and report it
    AsPossible,
}

/// `replicate`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  strongroom replicate --vault s3://acme-vault/prod \\
      --credentials file:reader-s3.toml --to s3://other-vault/prod \\
      --to-credentials file:copier-s3.toml --to-region eu-west-3
  strongroom replicate --vault s3://acme-vault/prod \\
      --credentials file:reader-s3.toml --to file:///mnt/disk-a
  strongroom replicate --config copies.toml

Needs no identity, and never replaces an object. An interrupted run continues when it is started again. Exit code 4 \
if objects in the source are damaged: snapshots that need them are left out. See docs/copies.md.")]
pub struct ReplicateArgs {
    /// Names of [[copy]] in the configuration [default, without --to: all of them]
    #[arg(value_name = "COPY", conflicts_with = "to")]
    pub copies: Vec<Name>,
    /// Target: `s3://bucket/prefix` or `file:///path`
    #[arg(long, value_name = "URL")]
    pub to: Option<String>,
    /// How the copy's place is reached.
    #[command(flatten)]
    pub target: TargetArgs,
    /// Only snapshots of this source. Repeatable
    #[arg(long, value_name = "NAME")]
    pub source: Vec<Name>,
    /// Only this many of the newest snapshots of each source
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub newest: Option<u32>,
    /// Only snapshots since this time, such as 2026-11-22T06:00:00Z, yesterday or "30 days ago"
    #[arg(long, value_name = "TIME")]
    pub since: Option<Said>,
    /// Write nothing; report what would be written
    #[arg(long)]
    pub dry_run: bool,
    /// What to do if the target's locks would end before the source's
    #[arg(long, value_enum, value_name = "HOW")]
    pub locks: Option<LocksArg>,
    /// Limit the average rate of writes to the target, in bytes per second, such as 5MB
    #[arg(long, value_name = "BYTES", value_parser = some)]
    pub limit_upload: Option<ByteSize>,
    /// Limit the average rate of reads from the source, in bytes per second
    #[arg(long, value_name = "BYTES", value_parser = some)]
    pub limit_download: Option<ByteSize>,
    /// Number of objects copied in parallel [default: 8]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub jobs: Option<u16>,
    /// Amount of parity to keep beside a copy in a directory, such as 5%, to repair bad sectors from. Existing parity
    /// is always updated
    #[arg(long, value_name = "RATE", requires = "to")]
    pub parity: Option<Rate>,
    /// Continue although the copy was made from another vault URL before, or is not known to be a copy
    #[arg(long)]
    pub adopt: bool,
    /// Says which vault is meant. Opens nothing here.
    #[command(flatten)]
    pub identity: IdentityArgs,
}

/// How the place that a copy goes to is reached.
#[derive(Debug, Clone, Default, Args)]
pub struct TargetArgs {
    /// Credentials for the target, as for --credentials
    #[arg(long, value_name = "SPEC", requires = "to")]
    pub to_credentials: Option<String>,
    /// URL of the target's S3 server, if it is not AWS
    #[arg(long, value_name = "URL", requires = "to")]
    pub to_endpoint: Option<String>,
    /// Region of the target's bucket
    #[arg(long, value_name = "R", requires = "to")]
    pub to_region: Option<String>,
    /// Use path-style requests for the target
    #[arg(long, requires = "to")]
    pub to_path_style: bool,
    /// Checksum sent with each upload to the target, as for --checksum
    #[arg(long, value_name = "ALGORITHM", requires = "to")]
    pub to_checksum: Option<Checksum>,
    /// The target's server has no conditional puts: check before each put
    #[arg(long, requires = "to")]
    pub to_no_conditional_put: bool,
}

/// How deep a repair looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RepairDepthArg {
    /// Presence, sizes and locks; for documents and pages also the bytes
    Locks,
    /// The same, and every stored byte
    Read,
}

/// `repair`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  strongroom repair --vault file:///mnt/disk-a/vault
  strongroom repair --vault file:///mnt/vault --from s3://other-vault/prod \\
      --from-credentials file:reader-s3.toml
  strongroom repair --vault s3://acme-vault/prod \\
      --credentials file:mender-s3.toml --from file:///mnt/disk-a --dry-run

A damaged object gets the right bytes as a new, locked version, and no version is removed. In a directory they \
replace the damaged file. Without --from a directory is repaired from the parity beside it. Needs no identity. Exit \
code 4 if damage remains.")]
pub struct RepairArgs {
    /// A copy of the vault: `s3://bucket/prefix` or `file:///path`
    #[arg(long, value_name = "URL")]
    pub from: Option<String>,
    /// How the copy is reached.
    #[command(flatten)]
    pub copy: FromArgs,
    /// Change the amount of parity beside a directory vault, such as to 5%
    #[arg(long, value_name = "RATE", conflicts_with = "from")]
    pub parity: Option<Rate>,
    /// How much to check. With parity every byte is read in any case
    #[arg(long, value_enum, default_value_t = RepairDepthArg::Read)]
    pub depth: RepairDepthArg,
    /// Write nothing; report what is damaged and whether the copy has it
    #[arg(long)]
    pub dry_run: bool,
    /// Says which vault is meant. Opens nothing here.
    #[command(flatten)]
    pub identity: IdentityArgs,
}

/// How the copy that a repair takes from is reached.
#[derive(Debug, Clone, Default, Args)]
pub struct FromArgs {
    /// Credentials for the copy, as for --credentials
    #[arg(long, value_name = "SPEC", requires = "from")]
    pub from_credentials: Option<String>,
    /// URL of the copy's S3 server, if it is not AWS
    #[arg(long, value_name = "URL", requires = "from")]
    pub from_endpoint: Option<String>,
    /// Region of the copy's bucket
    #[arg(long, value_name = "R", requires = "from")]
    pub from_region: Option<String>,
    /// Use path-style requests for the copy
    #[arg(long, requires = "from")]
    pub from_path_style: bool,
}

/// A rate with which something is copied.
fn some(text: &str) -> Result<ByteSize, String> {
    let rate: ByteSize = text.parse()?;
    if rate.0 == 0 { Err("nothing would be copied: leave it out for no limit".to_owned()) } else { Ok(rate) }
}
