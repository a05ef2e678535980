//! Signatures: Ed25519 (RFC 8032), verified strictly, so that no key or signature of small order passes and every
//! implementation agrees on what is valid.

use std::{fmt, str::FromStr};

use ed25519_dalek::Signer as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use zeroize::Zeroizing;

use super::{CodecError, Result, secret};

/// A secret key that signs. Wiped when dropped.
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// A new random key.
    ///
    /// # Errors
    /// If the operating system has no randomness to give.
    pub fn generate() -> Result<Self> {
        Ok(Self(ed25519_dalek::SigningKey::from_bytes(&*secret::random()?)))
    }

    /// Reads a key from 64 lower-case hex digits: the seed of RFC 8032.
    ///
    /// # Errors
    /// If the text is anything else.
    pub fn from_hex(text: &str) -> Result<Self> {
        Ok(Self(ed25519_dalek::SigningKey::from_bytes(&*secret::from_hex(text, "signing key")?)))
    }

    /// The key as 64 lower-case hex digits.
    #[must_use]
    pub fn to_hex(&self) -> Zeroizing<String> {
        secret::to_hex(self.0.as_bytes())
    }

    /// The public key that verifies what this key signs.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// Signs `message`.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}

/// A public key, written as 64 lower-case hex digits.
///
/// Any 32 bytes can be named; bytes that are no point of the curve verify nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// The key made of these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes of the key.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Checks that the holder of the secret key signed exactly `message`.
    ///
    /// # Errors
    /// [`CodecError::BadSignature`] if not, and if this is no key at all.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<()> {
        ed25519_dalek::VerifyingKey::from_bytes(&self.0)
            .and_then(|key| key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(&signature.0)))
            .map_err(|_| CodecError::BadSignature)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl FromStr for PublicKey {
    type Err = CodecError;
    fn from_str(text: &str) -> Result<Self> {
        Ok(Self(*secret::from_hex(text, "public key")?))
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// The 64 bytes of a signature. They may be anything until [`PublicKey::verify`] has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; 64]);

impl Signature {
    /// Takes 64 bytes.
    ///
    /// # Errors
    /// [`CodecError::BadSignature`] if there are more or fewer.
    pub fn from_slice(bytes: &[u8]) -> Result<Self> {
        bytes.try_into().map(Self).map_err(|_| CodecError::BadSignature)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_ed25519_of_rfc_8032() {
        // Section 7.1, test 2.
        let key = SigningKey::from_hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb").unwrap();
        assert_eq!(key.public().to_string(), "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
        assert_eq!(
            hex::encode(key.sign(&[0x72]).as_bytes()),
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        );
    }

    #[test]
    fn only_the_exact_message_key_and_signature_pass() {
        let key = SigningKey::generate().unwrap();
        let signature = key.sign(b"message");
        key.public().verify(b"message", &signature).unwrap();
        assert!(key.public().verify(b"massage", &signature).is_err());
        assert!(SigningKey::generate().unwrap().public().verify(b"message", &signature).is_err());
        for byte in 0..64 {
            let mut bytes = *signature.as_bytes();
            bytes[byte] ^= 1;
            assert!(key.public().verify(b"message", &Signature::from_slice(&bytes).unwrap()).is_err(), "byte {byte}");
        }
        assert!(Signature::from_slice(&signature.as_bytes()[1..]).is_err());
    }

    #[test]
    fn keys_of_small_order_verify_nothing() {
        // The identity point with an all-zero scalar passes a check that is not strict, for every message.
        let mut identity = [0_u8; 32];
        identity[0] = 1;
        let mut signature = [0_u8; 64];
        signature[0] = 1;
        let signature = Signature::from_slice(&signature).unwrap();
        assert!(PublicKey::from_bytes(identity).verify(b"anything", &signature).is_err());
        assert!(PublicKey::from_bytes([0xff; 32]).verify(b"anything", &signature).is_err());
    }

    #[test]
    fn keys_survive_hex_and_json() {
        let key = SigningKey::generate().unwrap();
        assert_eq!(SigningKey::from_hex(&key.to_hex()).unwrap().public(), key.public());
        let json = serde_json::to_string(&key.public()).unwrap();
        assert_eq!(serde_json::from_str::<PublicKey>(&json).unwrap(), key.public());
        assert!(serde_json::from_str::<PublicKey>("\"00\"").is_err());
        assert!(key.public().to_string().to_uppercase().parse::<PublicKey>().is_err());
    }
}
