//! Seals blocks that a process writes to a disk for itself alone and reads again: AES-256-GCM under a key that is in memory
//! only, so what is left of them on the disk says nothing to anybody.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use super::{CodecError, Result, secret};

/// How much longer a sealed block is.
pub const TAG: usize = 16;

/// A key for blocks, each of which has a number that no other block of this key has.
pub struct PassingKey(LessSafeKey);

impl PassingKey {
    /// A new one.
    ///
    /// # Errors
    /// If the operating system has no random bytes.
    pub fn new() -> Result<Self> {
        let bytes = secret::random()?;
        let key = UnboundKey::new(&AES_256_GCM, bytes.as_slice()).map_err(|_| failed("make a key"))?;
        Ok(Self(LessSafeKey::new(key)))
    }

    /// Seals a block in its place. `number` must not have been used before.
    ///
    /// # Errors
    /// If it is too long.
    pub fn seal(&self, number: u64, block: &mut Vec<u8>) -> Result<()> {
        self.0.seal_in_place_append_tag(nonce(number), Aad::empty(), block).map_err(|_| failed("seal a block"))
    }

    /// Opens a block in its place.
    ///
    /// # Errors
    /// If it is not the one that was sealed with this number.
    pub fn open(&self, number: u64, block: &mut Vec<u8>) -> Result<()> {
        let plain = self.0.open_in_place(nonce(number), Aad::empty(), block);
        let len = plain.map_err(|_| CodecError::Damaged("it is not what was written there"))?.len();
        block.truncate(len);
        Ok(())
    }
}

fn nonce(number: u64) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce.iter_mut().zip(number.to_le_bytes()).for_each(|(to, from)| *to = from);
    Nonce::assume_unique_for_key(nonce)
}

fn failed(what: &'static str) -> CodecError {
    CodecError::Library { what, source: "the library refuses".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_opens_under_its_key_and_number_alone_and_shows_nothing() {
        let (key, other) = (PassingKey::new().unwrap(), PassingKey::new().unwrap());
        let plain = b"a row that nobody else may see".repeat(100);
        let mut sealed = plain.clone();
        key.seal(7, &mut sealed).unwrap();
        assert_eq!(sealed.len(), plain.len() + TAG);
        assert!(!sealed.windows(8).any(|part| part == b"a row th"));
        let opened = |key: &PassingKey, number, block: &[u8]| {
            let mut block = block.to_vec();
            key.open(number, &mut block).map(|()| block)
        };
        assert!(opened(&key, 7, &sealed).unwrap() == plain);
        assert!(opened(&key, 8, &sealed).is_err() && opened(&other, 7, &sealed).is_err());
        let mut turned = sealed.clone();
        turned[9] ^= 1;
        assert!(opened(&key, 7, &turned).is_err() && opened(&key, 7, &sealed[..sealed.len() - 1]).is_err());
    }
}
