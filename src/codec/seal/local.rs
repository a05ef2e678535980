//! Sealing for this machine's own disk: AES-256-GCM under a key that follows from the writer's. Not part of the vault
//! format: what is sealed so is a cache, and never leaves the machine.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::codec::{CodecError, Result};

/// Bytes that sealing adds: nonce and tag.
pub const LOCAL_OVERHEAD: usize = NONCE_LEN + 16;

/// Seals and opens pieces of a local cache.
pub struct LocalSealer(LessSafeKey);

impl LocalSealer {
    /// A sealer with this key.
    ///
    /// # Errors
    /// Never in practice; the length of the key is right by type.
    pub(in crate::codec) fn new(key: &Zeroizing<[u8; 32]>) -> Result<Self> {
        let key = UnboundKey::new(&AES_256_GCM, key.as_slice()).map_err(|_| refused("take the key of the cache"))?;
        Ok(Self(LessSafeKey::new(key)))
    }

    /// Appends `plain`, sealed, to `out`. Only [`open`](Self::open) with the same `context` gives it back.
    ///
    /// # Errors
    /// If the operating system has no randomness to give, or `plain` is beyond 64 GiB.
    pub fn seal(&self, context: &[u8], plain: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|e| CodecError::Library {
            what: "ask the operating system for random bytes",
            source: e.to_string().into(),
        })?;
        out.extend_from_slice(&nonce);
        let start = out.len();
        out.extend_from_slice(plain);
        let room = out.get_mut(start..).unwrap_or_default();
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self
            .0
            .seal_in_place_separate_tag(nonce, Aad::from(context), room)
            .map_err(|_| refused("seal a piece of the cache"))?;
        out.extend_from_slice(tag.as_ref());
        Ok(())
    }

    /// Opens what [`seal`](Self::seal) made, in its own memory.
    ///
    /// # Errors
    /// [`CodecError::Damaged`] if it is anything else, or was sealed in another context.
    pub fn open(&self, context: &[u8], mut sealed: Vec<u8>) -> Result<Vec<u8>> {
        const DAMAGED: CodecError = CodecError::Damaged("a piece of the local cache is damaged");
        let (nonce, rest) = sealed.split_first_chunk_mut::<NONCE_LEN>().ok_or(DAMAGED)?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let len = self.0.open_in_place(nonce, Aad::from(context), rest).map_err(|_| DAMAGED)?.len();
        sealed.drain(..NONCE_LEN);
        sealed.truncate(len);
        Ok(sealed)
    }
}

fn refused(what: &'static str) -> CodecError {
    CodecError::Library { what, source: "the cipher refused".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_and_context_open_a_piece() {
        let sealer = |byte| LocalSealer::new(&Zeroizing::new([byte; 32])).unwrap();
        let mut out = b"before".to_vec();
        sealer(1).seal(b"here", b"some rows", &mut out).unwrap();
        let piece = out.split_off(6);
        assert_eq!(out, b"before");
        assert_eq!(piece.len(), 9 + LOCAL_OVERHEAD);
        assert_eq!(sealer(1).open(b"here", piece.clone()).unwrap(), b"some rows");
        assert!(sealer(1).open(b"there", piece.clone()).is_err());
        assert!(sealer(2).open(b"here", piece.clone()).is_err());
        for at in 0..piece.len() {
            let mut bad = piece.clone();
            bad[at] ^= 1;
            assert!(sealer(1).open(b"here", bad).is_err());
            assert!(sealer(1).open(b"here", piece[..at].to_vec()).is_err());
        }
    }
}
