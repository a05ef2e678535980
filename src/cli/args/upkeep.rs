//! `renew` and `prune`, as they are typed.

use clap::Args;

use super::IdentityArgs;
use crate::model::Span;

/// `renew`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  strongroom renew --vault s3://acme-vault/prod --credentials file:keeper-s3.toml --dry-run
  strongroom renew --vault s3://acme-vault/prod --credentials file:keeper-s3.toml --vault-id ID

Run it daily, with the keeper's role. It needs no identity. Prices are those of AWS S3 Standard unless given.")]
pub struct RenewArgs {
    /// Extend nothing; say what is due
    #[arg(long)]
    pub dry_run: bool,
    /// The price of 1000 calls that change something
    #[arg(long, value_name = "PRICE", default_value = "0.005", value_parser = price)]
    pub price_updates: f64,
    /// The price of 1000 calls that read
    #[arg(long, value_name = "PRICE", default_value = "0.0004", value_parser = price)]
    pub price_reads: f64,
    /// The price of keeping a GiB for a month
    #[arg(long, value_name = "PRICE", default_value = "0.023", value_parser = price)]
    pub price_gib_month: f64,
    /// Says which vault is meant. Opens nothing here.
    #[command(flatten)]
    pub identity: IdentityArgs,
}

/// `prune`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  strongroom prune --vault s3://acme-vault/prod --credentials file:pruner-s3.toml
  strongroom prune --vault s3://acme-vault/prod --credentials file:pruner-s3.toml --yes

What a snapshot that stays needs, vault.json, keys/, members/, holds and approvals are never deleted, and neither are the three \
newest snapshots of each source, however old, nor those that a hold keeps. Where the vault's list of approvers has a rule for \
`prune`, --yes needs --approved and --signature.")]
pub struct PruneArgs {
    /// Delete nothing; say what would be. The default
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
    /// Delete
    #[arg(long)]
    pub yes: bool,
    /// How long after its lock has ended something is still kept
    #[arg(long, value_name = "SPAN", default_value = "7d")]
    pub grace: Span,
    /// This host's clock is right although the vault in a directory has had no snapshot for months
    #[arg(long)]
    pub clock_is_right: bool,
    /// What people approved.
    #[cfg(feature = "full")]
    #[command(flatten)]
    pub papers: super::PapersArgs,
    /// Says which vault is meant. Opens nothing here.
    #[command(flatten)]
    pub identity: IdentityArgs,
}

fn price(text: &str) -> Result<f64, String> {
    let price: f64 = text.parse().map_err(|_| format!("{text:?} is no price"))?;
    if price.is_finite() && price >= 0.0 { Ok(price) } else { Err(format!("{text:?} is no price")) }
}
