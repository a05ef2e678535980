//! What was done, in the vault, for whoever asks later.

use crate::{
    format::{evidence::EvidenceKind, member_key::Member},
    ops::{
        OpsError, Result,
        evidence::{Draft, Signer},
    },
    vault::Vault,
};

/// Signs `result` and leaves it in the vault; where.
///
/// # Errors
/// If nobody may sign it, or the vault does not take it any more.
pub async fn leave(vault: &Vault, member: Option<Member>, result: serde_json::Value) -> Result<String> {
    let (signer, unsigned) = Signer::find(vault, EvidenceKind::Airgap, member, None).await?;
    let Some(signer) = signer else {
        let what = unsigned.map(|finding| finding.message).unwrap_or_default();
        let next = "give [member] the key of a keeper, an auditor, a driller or a pruner".to_owned();
        return Err(OpsError::Request { what, next });
    };
    let at = vault.store.server_time().await?;
    let draft = Draft { kind: EvidenceKind::Airgap, snapshots: Vec::new(), at, result };
    Ok(signer.leave(vault, draft).await?.key)
}
