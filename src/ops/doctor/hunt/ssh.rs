//! ssh private keys: which public key belongs to them, though a passphrase may close them.

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};

use super::unpack::plain;
use crate::codec::seal;

const MAGIC: &[u8] = b"openssh-key-v1\0";
/// The largest key that is looked at.
const LARGEST: usize = 64 << 10;

/// A private key in a text.
pub(super) struct PrivateKey {
    /// Where it begins.
    pub(super) at: usize,
    /// The tag by which age names its public half; `None` where it can't be told.
    pub(super) tag: Option<String>,
}

/// The private keys in `text`, be they escaped as in JSON.
pub(super) fn keys(text: &[u8]) -> Vec<PrivateKey> {
    let mut keys = Vec::new();
    for at in memchr::memmem::find_iter(text, b"-----BEGIN ") {
        let block = text.get(at..).unwrap_or_default();
        let block = block.get(..block.len().min(LARGEST)).unwrap_or_default();
        let Some(head) = memchr::memmem::find(block, b"PRIVATE KEY-----").filter(|head| *head < 40) else { continue };
        let body = block.get(head + 16..).unwrap_or_default();
        let Some(end) = memchr::memmem::find(body, b"-----END") else { continue };
        let body = body.get(..end).unwrap_or_default();
        keys.push(PrivateKey { at, tag: public(body).map(|blob| tag(&blob)) });
    }
    keys
}

/// How age names a public key: the beginning of its hash.
fn tag(blob: &[u8]) -> String {
    let hash = seal::sha256(blob);
    STANDARD_NO_PAD.encode(hash.first_chunk::<4>().map_or(&[][..], |tag| &tag[..]))
}

/// The public half of what stands between the lines of a key, as ssh has it in `.pub` files.
fn public(body: &[u8]) -> Option<Vec<u8>> {
    let mut word = Vec::new();
    let mut escaped = false;
    for byte in body {
        match byte {
            b'\\' => escaped = true,
            b'n' | b'r' | b't' if escaped => escaped = false,
            // The passphrase's cipher of an older form.
            b':' => return None,
            byte if byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/') => {
                escaped = false;
                word.push(*byte);
            }
            _ => escaped = false,
        }
    }
    let key = plain(&word)?;
    match key.strip_prefix(MAGIC) {
        Some(rest) => openssh(rest),
        None => rsa(&key),
    }
}

/// One field of ssh's: its length, and so many bytes.
fn field(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*len)).ok()?)
}

/// Cipher, its parameters and how many keys; then the public half of the first, in the clear.
fn openssh(rest: &[u8]) -> Option<Vec<u8>> {
    let (_, rest) = field(rest)?;
    let (_, rest) = field(rest)?;
    let (_, rest) = field(rest)?;
    let (_, rest) = rest.split_first_chunk::<4>()?;
    field(rest).map(|(public, _)| public.to_vec())
}

/// Modulus and exponent of an RSA key in DER.
fn rsa(der: &[u8]) -> Option<Vec<u8>> {
    let (sequence, _) = value(der, 0x30)?;
    let (_, rest) = value(sequence, 0x02)?;
    let (modulus, rest) = value(rest, 0x02)?;
    let (exponent, _) = value(rest, 0x02)?;
    let mut blob = Vec::new();
    for part in [b"ssh-rsa".as_slice(), exponent, modulus] {
        blob.extend_from_slice(&u32::try_from(part.len()).ok()?.to_be_bytes());
        blob.extend_from_slice(part);
    }
    Some(blob)
}

/// A value of DER with this tag, and what follows.
fn value(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let [first, len, rest @ ..] = bytes else { return None };
    if *first != tag {
        return None;
    }
    if *len < 0x80 {
        return rest.split_at_checked(usize::from(*len));
    }
    let (length, rest) = rest.split_at_checked(usize::from(*len & 0x7f))?;
    let length = length.iter().try_fold(0_usize, |sum, byte| sum.checked_mul(256)?.checked_add(usize::from(*byte)))?;
    rest.split_at_checked(length)
}
