//! 32 secret bytes: made by the operating system, written as hex, wiped when dropped.

use zeroize::Zeroizing;

use super::{CodecError, Result};

/// 32 random bytes of the operating system.
pub(super) fn random() -> Result<Zeroizing<[u8; 32]>> {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    getrandom::fill(bytes.as_mut_slice()).map_err(|e| CodecError::Library {
        what: "ask the operating system for random bytes",
        source: e.to_string().into(),
    })?;
    Ok(bytes)
}

/// Reads 64 lower-case hex digits. The error never repeats the text.
pub(super) fn from_hex(text: &str, what: &str) -> Result<Zeroizing<[u8; 32]>> {
    let bad = || CodecError::BadKey(format!("the {what} is not 64 lower-case hex digits"));
    let mut bytes = Zeroizing::new([0_u8; 32]);
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(bad());
    }
    hex::decode_to_slice(text, bytes.as_mut_slice()).map_err(|_| bad())?;
    Ok(bytes)
}

/// Writes 64 lower-case hex digits.
pub(super) fn to_hex(bytes: &[u8; 32]) -> Zeroizing<String> {
    Zeroizing::new(hex::encode(bytes))
}
