//! Signed documents: DSSE envelopes with Ed25519 signatures.
//!
//! The envelope and its pre-authentication encoding are those of the DSSE protocol 1.0.2
//! (<https://github.com/secure-systems-lab/dsse/blob/master/protocol.md>), so that stock tools can check them.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{FormatError, Public, Result, text};
use crate::{
    codec::sign::{PublicKey, Signature, SigningKey},
    model::VaultId,
};

/// A kind of document that is signed.
pub trait Document: Serialize + DeserializeOwned {
    /// What it is called in errors.
    const WHAT: &'static str;
    /// The payload type, which the signature covers.
    const TYPE: &'static str;
    /// The largest payload in bytes.
    const LIMIT: usize;
    /// The vault that the document is bound to.
    fn vault(&self) -> VaultId;
}

/// A DSSE envelope: a payload, its type, and signatures over both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<EnvelopeSignature>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct EnvelopeSignature {
    keyid: String,
    sig: String,
}

/// The bytes that a DSSE signature covers.
fn pre_authentication(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(payload.len() + payload_type.len() + 40);
    bytes.extend_from_slice(format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).as_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

impl Envelope {
    /// Signs a document.
    ///
    /// # Errors
    /// If the document is larger than its kind allows.
    pub fn sign<T: Document>(document: &T, key: &SigningKey) -> Result<Self> {
        let payload = text::encode(T::WHAT, document)?;
        if payload.len() > T::LIMIT {
            return Err(FormatError::TooLarge { what: T::WHAT, limit: T::LIMIT });
        }
        let signature = key.sign(&pre_authentication(T::TYPE, &payload));
        Ok(Self {
            payload: STANDARD.encode(&payload),
            payload_type: T::TYPE.to_owned(),
            signatures: vec![EnvelopeSignature {
                keyid: key.public().to_string(),
                sig: STANDARD.encode(signature.as_bytes()),
            }],
        })
    }

    /// Decodes an envelope of a document of kind `T`. Nothing in it is to be believed yet.
    ///
    /// # Errors
    /// If the bytes are no envelope, or larger than one of this kind can be.
    pub fn decode<T: Document>(bytes: &[u8]) -> Result<Self> {
        let limit = T::LIMIT * 4 / 3 + 4096;
        if bytes.len() > limit {
            return Err(FormatError::TooLarge { what: T::WHAT, limit });
        }
        serde_json::from_slice(bytes).map_err(|e| FormatError::damaged(T::WHAT, e.to_string()))
    }

    /// The envelope as it is stored.
    ///
    /// # Errors
    /// Never in practice; encoding is fallible by type.
    pub fn encode(&self) -> Result<Public> {
        let bytes = serde_json::to_vec(self).map_err(|e| FormatError::damaged("envelope", e.to_string()))?;
        Ok(Public(Bytes::from(bytes)))
    }

    /// What the envelope claims, unverified: only to find out which key must have signed it, and its version.
    ///
    /// # Errors
    /// If the payload is of another kind, version or form.
    pub fn claims<T: Document>(&self) -> Result<T> {
        if self.payload_type != T::TYPE {
            let found: String = self.payload_type.chars().take(80).collect();
            return Err(FormatError::damaged(T::WHAT, format!("its payload type is {found:?}, not {:?}", T::TYPE)));
        }
        text::decode(T::WHAT, &self.payload(T::WHAT)?, T::LIMIT)
    }

    /// The document, if `key` signed it and it belongs to `vault`.
    ///
    /// # Errors
    /// If the signature or the binding does not hold, or the payload can't be decoded.
    pub fn open<T: Document>(&self, key: &PublicKey, vault: VaultId) -> Result<T> {
        let document: T = self.claims()?;
        let signed = pre_authentication(T::TYPE, &self.payload(T::WHAT)?);
        let holds = |s: &EnvelopeSignature| {
            STANDARD
                .decode(&s.sig)
                .ok()
                .and_then(|sig| Signature::from_slice(&sig).ok())
                .is_some_and(|sig| key.verify(&signed, &sig).is_ok())
        };
        // Every signature costs a verification, so their number is bounded.
        if !self.signatures.iter().take(4).any(holds) {
            return Err(FormatError::untrusted(T::WHAT, "no signature by the key that should have signed it"));
        }
        if document.vault() != vault {
            return Err(FormatError::untrusted(T::WHAT, format!("it belongs to vault {}", document.vault())));
        }
        Ok(document)
    }

    /// Whether `bytes` are this envelope as [`encode`](Self::encode) spells it, with one signature, by `key`.
    #[must_use]
    pub fn is_canonical(&self, bytes: &[u8], key: &PublicKey) -> bool {
        let one = matches!(self.signatures.as_slice(), [only] if only.keyid == key.to_string());
        one && self.encode().is_ok_and(|public| public.bytes() == bytes)
    }

    fn payload(&self, what: &'static str) -> Result<Vec<u8>> {
        STANDARD.decode(&self.payload).map_err(|e| FormatError::damaged(what, e.to_string()))
    }
}
