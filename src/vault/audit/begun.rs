//! Whether a place holds a copy: of a part, or one that was stopped before there was anything to verify.

use crate::{
    format::layout,
    model::Time,
    store::StoreErrorKind,
    vault::{
        Result, Vault, VaultError, VaultErrorKind,
        copies::{Copies, Extent},
    },
};

/// What of the vault is to be here, and the records that say so. Fails where a copy was stopped before its first snapshot, so that nothing is to be verified.
pub(super) async fn extent(vault: &Vault, empty: bool, now: Time) -> Result<(Extent, Copies)> {
    let copies = Copies::of(&*vault.store).await?;
    if empty && (!copies.is_empty() || is_bare(vault).await?) {
        let what = "this is a copy that was begun and has no snapshot yet";
        return Err(VaultError::new(VaultErrorKind::Begun, what).on(vault.store.url()));
    }
    Ok((copies.extent(vault, now).await?, copies))
}

/// Whether there is a descriptor and nothing that belongs to it, nor ever was: the first object of a copy.
async fn is_bare(vault: &Vault) -> Result<bool> {
    let mut any = false;
    for prefix in [layout::KEYS, layout::MEMBERS] {
        match vault.store.list(prefix, &mut |_| any = true).await {
            Err(error) if error.kind == StoreErrorKind::Denied => return Ok(false),
            other => other?,
        }
    }
    vault.store.list_lost(&mut |_, _| any = true).await?;
    Ok(!any)
}
