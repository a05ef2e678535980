//! SSH public keys, and the signatures that `ssh-keygen -Y sign` makes (SSHSIG). Strongroom verifies them and makes none.
//!
//! The `ssh-key` crate reads keys and signatures; what verifies is what verifies everything else here, `ring` and strict
//! Ed25519. Keys of security keys (`sk-`) count only if the key was touched.

use std::{fmt, str::FromStr};

use ring::{digest, signature};
use ssh_key::{
    Algorithm, EcdsaCurve, HashAlg, SshSig,
    public::{EcdsaPublicKey, KeyData},
};

use super::{CodecError, Result};

/// The largest public key, in bytes of text.
const KEY_LIMIT: usize = 8 << 10;
/// The largest signature, in bytes of text.
const SIGNATURE_LIMIT: usize = 16 << 10;
/// The bytes after the signature of a security key: flags and a counter.
const TRAILER: usize = 5;
/// The flag of a security key that somebody touched it.
const TOUCHED: u8 = 1;

/// An SSH public key, written as in `authorized_keys` without a comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshKey {
    data: KeyData,
    text: String,
}

impl SshKey {
    fn new(data: KeyData) -> Result<Self> {
        usable(&data)?;
        let text = ssh_key::PublicKey::from(data.clone()).to_openssh();
        let text = text.map_err(|_| CodecError::BadKey("this SSH public key can't be written".to_owned()))?;
        Ok(Self { data, text: text.trim_end().to_owned() })
    }

    /// Its fingerprint, as `ssh-keygen -l` shows it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.data.fingerprint(HashAlg::Sha256).to_string()
    }
}

impl fmt::Display for SshKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for SshKey {
    type Err = CodecError;

    /// Reads a line of `authorized_keys` without options; its comment is left out.
    fn from_str(text: &str) -> Result<Self> {
        let bad = |why: &str| CodecError::BadKey(format!("this is not an SSH public key: {why}"));
        if text.len() > KEY_LIMIT {
            return Err(CodecError::TooLarge(KEY_LIMIT));
        }
        let key = ssh_key::PublicKey::from_openssh(text.trim()).map_err(|error| bad(&error.to_string()))?;
        Self::new(key.key_data().clone())
    }
}

impl serde::Serialize for SshKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for SshKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        let key: Self = text.parse().map_err(serde::de::Error::custom)?;
        // One key has one spelling, so that it can't stand in a document twice.
        if key.text == *text { Ok(key) } else { Err(serde::de::Error::custom("an SSH public key with a comment")) }
    }
}

/// Fails for kinds of keys whose signatures are not verified here.
fn usable(data: &KeyData) -> Result<()> {
    let refuse = |what: &str| Err(CodecError::BadKey(what.to_owned()));
    match data {
        KeyData::Ed25519(_)
        | KeyData::SkEd25519(_)
        | KeyData::SkEcdsaSha2NistP256(_)
        | KeyData::Ecdsa(EcdsaPublicKey::NistP256(_) | EcdsaPublicKey::NistP384(_)) => Ok(()),
        KeyData::Rsa(key) => {
            let bits = key.n.as_positive_bytes().map_or(0, |n| n.len() * 8);
            if (2048..=8192).contains(&bits) {
                Ok(())
            } else {
                refuse("an RSA key must have between 2048 and 8192 bits")
            }
        }
        KeyData::Ecdsa(EcdsaPublicKey::NistP521(_)) => {
            refuse("ECDSA keys on the curve P-521 are not accepted: make an ed25519 key, or ecdsa with 256 or 384 bits")
        }
        _ => refuse("keys of this kind are not accepted: ed25519, ecdsa, rsa and their sk- kinds are"),
    }
}

/// The key that signed exactly `message` in `namespace`. Whose key it is, and whether it may sign, is for the caller to say.
///
/// # Errors
/// `Damaged` or `BadKey` if this is no such signature, `BadSignature` if it does not hold.
pub fn signer(text: &[u8], namespace: &str, message: &[u8]) -> Result<SshKey> {
    if text.len() > SIGNATURE_LIMIT {
        return Err(CodecError::TooLarge(SIGNATURE_LIMIT));
    }
    let sig = SshSig::from_pem(text.trim_ascii()).map_err(|_| CodecError::Damaged("this is not an SSH signature"))?;
    if sig.namespace() != namespace {
        let other: String = sig.namespace().chars().take(60).collect();
        return Err(CodecError::BadKey(format!("the signature is for the namespace {other:?}, not {namespace:?}")));
    }
    let key = SshKey::new(sig.public_key().clone())?;
    let signed = SshSig::signed_data(namespace, sig.hash_alg(), message).map_err(|_| CodecError::BadSignature)?;
    verify(&key.data, sig.signature(), &signed)?;
    Ok(key)
}

fn verify(key: &KeyData, given: &ssh_key::Signature, signed: &[u8]) -> Result<()> {
    let bytes = given.as_bytes();
    match (key, given.algorithm()) {
        (KeyData::Ed25519(key), Algorithm::Ed25519) => ed25519(&key.0, bytes, signed),
        (KeyData::Ecdsa(key), Algorithm::Ecdsa { curve }) if key.curve() == curve => match curve {
            EcdsaCurve::NistP256 => {
                ring_verify(&signature::ECDSA_P256_SHA256_FIXED, key.as_sec1_bytes(), signed, &fixed::<32>(bytes)?)
            }
            EcdsaCurve::NistP384 => {
                ring_verify(&signature::ECDSA_P384_SHA384_FIXED, key.as_sec1_bytes(), signed, &fixed::<48>(bytes)?)
            }
            EcdsaCurve::NistP521 => Err(CodecError::BadSignature),
        },
        (KeyData::Rsa(key), Algorithm::Rsa { hash: Some(hash) }) => {
            let (n, e) = key.n.as_positive_bytes().zip(key.e.as_positive_bytes()).ok_or(CodecError::BadSignature)?;
            let scheme = match hash {
                HashAlg::Sha256 => &signature::RSA_PKCS1_2048_8192_SHA256,
                HashAlg::Sha512 => &signature::RSA_PKCS1_2048_8192_SHA512,
                _ => return Err(CodecError::BadSignature),
            };
            let key = signature::RsaPublicKeyComponents { n, e };
            key.verify(scheme, signed, bytes).map_err(|_| CodecError::BadSignature)
        }
        (KeyData::SkEd25519(key), Algorithm::SkEd25519) => {
            let (bytes, signed) = touched(key.application(), bytes, signed)?;
            ed25519(&key.public_key().0, bytes, &signed)
        }
        (KeyData::SkEcdsaSha2NistP256(key), Algorithm::SkEcdsaSha2NistP256) => {
            let (bytes, signed) = touched(key.application(), bytes, signed)?;
            let point = key.ec_point().as_bytes();
            ring_verify(&signature::ECDSA_P256_SHA256_FIXED, point, &signed, &fixed::<32>(bytes)?)
        }
        // Another kind than the key's, and SHA-1.
        _ => Err(CodecError::BadSignature),
    }
}

fn ed25519(key: &[u8; 32], bytes: &[u8], signed: &[u8]) -> Result<()> {
    let signature = super::Signature::from_slice(bytes)?;
    super::PublicKey::from_bytes(*key).verify(signed, &signature)
}

fn ring_verify(
    scheme: &'static dyn signature::VerificationAlgorithm,
    key: &[u8],
    signed: &[u8],
    given: &[u8],
) -> Result<()> {
    signature::UnparsedPublicKey::new(scheme, key).verify(signed, given).map_err(|_| CodecError::BadSignature)
}

/// What a security key signs: the application, what it says of itself, and the hash of the message.
fn touched<'a>(application: &str, bytes: &'a [u8], signed: &[u8]) -> Result<(&'a [u8], Vec<u8>)> {
    let at = bytes.len().checked_sub(TRAILER).ok_or(CodecError::BadSignature)?;
    let (bytes, trailer) = bytes.split_at(at);
    if trailer.first().is_none_or(|flags| flags & TOUCHED == 0) {
        return Err(CodecError::BadKey("the security key signed without being touched".to_owned()));
    }
    let sha256 = |bytes: &[u8]| digest::digest(&digest::SHA256, bytes);
    let message = [sha256(application.as_bytes()).as_ref(), trailer, sha256(signed).as_ref()].concat();
    Ok((bytes, message))
}

/// Two numbers as SSH writes them, as two of `N` bytes.
fn fixed<const N: usize>(bytes: &[u8]) -> Result<Vec<u8>> {
    let (r, rest) = number(bytes)?;
    let (s, rest) = number(rest)?;
    let mut out = Vec::with_capacity(2 * N);
    for part in [r, s] {
        let pad = N.checked_sub(part.len()).ok_or(CodecError::BadSignature)?;
        out.extend(std::iter::repeat_n(0, pad));
        out.extend_from_slice(part);
    }
    if rest.is_empty() { Ok(out) } else { Err(CodecError::BadSignature) }
}

/// A positive number of SSH's, without its sign, and what follows it.
fn number(bytes: &[u8]) -> Result<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or(CodecError::BadSignature)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| CodecError::BadSignature)?;
    let (number, rest) = rest.split_at_checked(length).ok_or(CodecError::BadSignature)?;
    match number {
        [0, positive @ ..] => Ok((positive, rest)),
        [first, ..] if *first < 0x80 => Ok((number, rest)),
        _ => Err(CodecError::BadSignature),
    }
}
