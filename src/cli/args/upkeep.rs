//! `renew` and `prune`, as they are typed.

use clap::Args;

use super::IdentityArgs;
use crate::model::Span;

/// `renew`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  strongroom renew --vault s3://acme-vault/prod \\
      --credentials file:keeper-s3.toml --dry-run
  strongroom renew --vault s3://acme-vault/prod \\
      --credentials file:keeper-s3.toml --vault-id ID

Run it daily with the keeper's credentials. It needs no identity. Default prices are those of AWS S3 Standard.")]
pub struct RenewArgs {
    /// Extend nothing; report what is due
    #[arg(long)]
    pub dry_run: bool,
    /// Price of 1000 write calls
    #[arg(long, value_name = "PRICE", default_value = "0.005", value_parser = price)]
    pub price_updates: f64,
    /// Price of 1000 read calls
    #[arg(long, value_name = "PRICE", default_value = "0.0004", value_parser = price)]
    pub price_reads: f64,
    /// Price of storing one GiB for a month
    #[arg(long, value_name = "PRICE", default_value = "0.023", value_parser = price)]
    pub price_gib_month: f64,
    /// Says which vault is meant. Opens nothing here.
    #[command(flatten)]
    pub identity: IdentityArgs,
}

/// `prune`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  strongroom prune --vault s3://acme-vault/prod \\
      --credentials file:pruner-s3.toml
  strongroom prune --vault s3://acme-vault/prod \\
      --credentials file:pruner-s3.toml --yes

Never deletes vault.json, keys/, members/, holds, approvals, the three newest snapshots of each source however old, \
held snapshots, or anything that a remaining snapshot needs. If the vault's list of approvers has a rule for \
`prune`, --yes needs --approved and --signature.")]
pub struct PruneArgs {
    /// Delete nothing; report what would be deleted. The default
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
    /// Delete
    #[arg(long)]
    pub yes: bool,
    /// How long objects are kept after their lock has ended
    #[arg(long, value_name = "SPAN", default_value = "7d")]
    pub grace: Span,
    /// Continue although a directory vault has had no snapshot for months: confirms that this host's clock is right
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
    let price: f64 = text.parse().map_err(|_| format!("{text:?} is not a price"))?;
    if price.is_finite() && price >= 0.0 { Ok(price) } else { Err(format!("{text:?} is not a price")) }
}
