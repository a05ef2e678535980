//! `keys/root-<hash>.age`: the root signing key, sealed to the owners.

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{FORMAT, FormatError, Result, text};
use crate::{
    codec::{
        seal::{Opener, Sealed, Sealer},
        sign::SigningKey,
    },
    model::VaultId,
};

const WHAT: &str = "root record";
const LIMIT: usize = 4 << 10;

#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
struct Secrets {
    format: String,
    #[zeroize(skip)]
    vault: VaultId,
    signing_key: String,
}

/// Seals the root signing key of a vault.
///
/// # Errors
/// If sealing fails.
pub fn seal(vault: VaultId, key: &SigningKey, owners: &Sealer) -> Result<Sealed> {
    let secrets = Secrets { format: FORMAT.to_owned(), vault, signing_key: key.to_hex().to_string() };
    let plain = zeroize::Zeroizing::new(text::encode(WHAT, &secrets)?);
    Ok(owners.seal(&plain)?)
}

/// Opens a root record of `vault`.
///
/// # Errors
/// If no identity opens it or it belongs to another vault.
pub fn open(vault: VaultId, sealed: &[u8], opener: &Opener) -> Result<SigningKey> {
    let plain = opener.open(sealed, LIMIT)?;
    let secrets: Secrets = text::decode(WHAT, &plain, LIMIT)?;
    if secrets.vault != vault {
        return Err(FormatError::untrusted(WHAT, format!("it belongs to vault {}", secrets.vault)));
    }
    Ok(SigningKey::from_hex(&secrets.signing_key)?)
}
