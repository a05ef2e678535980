//! Signatures by RSA, with which apps of forges log in (RFC 7518, RS256). The key opens nothing of a vault.

use ring::{rand::SystemRandom, rsa::KeyPair, signature::RSA_PKCS1_SHA256};

/// Why bytes are no key.
const UNFIT: &str = "its key is not one of RSA with 2048 bits or more";

/// A private key.
pub struct RsaKey(KeyPair);

impl RsaKey {
    /// Of its bytes, as PKCS #1 has them.
    ///
    /// # Errors
    /// In words, if they are none.
    pub fn from_pkcs1(der: &[u8]) -> Result<Self, &'static str> {
        KeyPair::from_der(der).map(Self).map_err(|_| UNFIT)
    }

    /// Of its bytes, as PKCS #8 has them.
    ///
    /// # Errors
    /// In words, if they are none.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, &'static str> {
        KeyPair::from_pkcs8(der).map(Self).map_err(|_| UNFIT)
    }

    /// The signature of `message` by PKCS #1 v1.5 with SHA-256.
    ///
    /// # Errors
    /// In words, if this host gives no random bytes.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, &'static str> {
        let mut signature = vec![0; self.0.public().modulus_len()];
        let signed = self.0.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature);
        signed.map(|()| signature).map_err(|_| "its key does not sign")
    }
}
