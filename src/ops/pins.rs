//! Which vault is meant. Trust begins here: whatever the store holds has to lead back to the id that is pinned.

use std::sync::Arc;

use super::{OpsError, Result};
use crate::{
    model::VaultId,
    store::ObjectStore,
    vault::{Vault, VaultError, VaultErrorKind},
};

/// A place that says which vault is meant.
#[derive(Debug, Clone)]
pub struct Pin {
    /// The vaults that it allows; an identity may belong to several. Never empty.
    pub ids: Vec<VaultId>,
    /// The place, in words, such as `the identity file key.txt`.
    pub origin: String,
}

impl Pin {
    /// A pin on one vault.
    #[must_use]
    pub fn one(id: VaultId, origin: impl Into<String>) -> Self {
        Self { ids: vec![id], origin: origin.into() }
    }
}

/// The vaults that all of `pins` allow; `None` if nothing pins any.
///
/// # Errors
/// If two of them contradict each other.
fn agree(pins: &[Pin]) -> Result<Option<Vec<VaultId>>> {
    let Some((first, rest)) = pins.split_first() else { return Ok(None) };
    let mut ids = first.ids.clone();
    for pin in rest {
        let both: Vec<VaultId> = ids.iter().copied().filter(|id| pin.ids.contains(id)).collect();
        if both.is_empty() {
            let said = |ids: &[VaultId]| ids.first().copied().unwrap_or(VaultId::from_bytes([0; 32]));
            return Err(OpsError::PinConflict {
                first: (first.origin.clone(), said(&ids)),
                second: (pin.origin.clone(), said(&pin.ids)),
            });
        }
        ids = both;
    }
    Ok(Some(ids))
}

/// Whether all of `pins` allow the vault that somebody else's answer is about.
///
/// # Errors
/// If they contradict each other, or it is another one.
pub fn must_allow(pins: &[Pin], id: VaultId) -> Result<()> {
    let Some(ids) = agree(pins)? else { return Ok(()) };
    if ids.contains(&id) {
        return Ok(());
    }
    let origins: Vec<&str> = pins.iter().map(|pin| pin.origin.as_str()).collect();
    let what = format!("the answer is about vault {id}, which is not the one that {} pins", origins.join(" and "));
    Err(VaultError::new(VaultErrorKind::Untrusted, what).into())
}

/// Opens the vault that all of `pins` mean. Without any, whatever vault is there is opened, and its findings say so.
///
/// # Errors
/// If the pins contradict each other, or the vault is not there, or is another one.
pub async fn open_vault(store: &Arc<dyn ObjectStore>, pins: &[Pin]) -> Result<Vault> {
    let Some(ids) = agree(pins)? else { return Ok(Vault::open(Arc::clone(store), None).await?) };
    let mut refused = None;
    for id in ids {
        match Vault::open(Arc::clone(store), Some(id)).await {
            Ok(vault) => return Ok(vault),
            Err(error) if error.kind == VaultErrorKind::Untrusted => refused = Some(error),
            Err(error) => return Err(error.into()),
        }
    }
    Err(refused.map_or(OpsError::Defect("the list of vaults"), OpsError::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> VaultId {
        VaultId::from_bytes([n; 32])
    }

    #[test]
    fn pins_allow_what_all_of_them_allow() {
        assert_eq!(agree(&[]).unwrap(), None);
        let key = Pin { ids: vec![id(1), id(2)], origin: "the identity file".into() };
        assert_eq!(agree(std::slice::from_ref(&key)).unwrap(), Some(vec![id(1), id(2)]));
        assert_eq!(agree(&[key.clone(), Pin::one(id(2), "the config")]).unwrap(), Some(vec![id(2)]));
        assert!(must_allow(&[], id(7)).is_ok() && must_allow(std::slice::from_ref(&key), id(2)).is_ok());
        let other = must_allow(std::slice::from_ref(&key), id(3)).unwrap_err().to_string();
        assert!(other.contains("the identity file"), "{other}");
        let error = agree(&[key, Pin::one(id(3), "the config")]).unwrap_err().to_string();
        assert!(error.contains("the identity file") && error.contains("the config"), "{error}");
    }
}
