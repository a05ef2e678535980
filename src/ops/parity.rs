//! Parity beside a directory vault, kept in step by what changes the vault.

use std::collections::HashSet;

use super::Result;
use crate::{
    model::{Cancel, Findings, Progress},
    vault::{
        Vault,
        parity::{self, Kept, Rate},
    },
};

/// Brings it in step with the vault, at `rate` or at the one that there is. Where there is neither, in a bucket and in a dry run
/// nothing is done.
///
/// # Errors
/// If the directory fails. Objects that are not whole are findings.
pub(super) async fn keep(
    vault: &Vault,
    rate: Option<Rate>,
    dry_run: bool,
    told: (&dyn Progress, &Cancel),
) -> Result<(Option<Kept>, Findings)> {
    if dry_run {
        return Ok((None, Findings::default()));
    }
    let place = (vault.descriptor.vault, &*vault.store);
    Ok(parity::keep(place, rate, &HashSet::new(), told).await?)
}
