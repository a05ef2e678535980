//! BLAKE3, plain for stored bytes and streams, keyed for chunk ids.

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{Result, seal::LocalSealer, secret};
use crate::model::{ChunkId, Hash, Name};

/// Separates the derived keys from every other use of BLAKE3. Part of the vault format.
const WRITER_CONTEXT: &str = "strongroom 2026-01-01 chunk ids of one writer, format v1";

/// The same for the key of the writer's local cache, which is no part of it.
const CACHE_CONTEXT: &str = "strongroom 2026-11-24 local cache of bases";

/// The BLAKE3 hash of `bytes`.
#[must_use]
pub fn hash(bytes: &[u8]) -> Hash {
    Hash::from_bytes(*blake3::hash(bytes).as_bytes())
}

/// BLAKE3 of bytes that arrive in pieces.
#[derive(Clone, Default)]
pub struct Hasher(blake3::Hasher);

impl Hasher {
    /// A hasher of nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `bytes`. Pieces of 16 KiB and more are the fastest.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of all that was added.
    #[must_use]
    pub fn finish(&self) -> Hash {
        Hash::from_bytes(*self.0.finalize().as_bytes())
    }
}

/// SHA-256 of bytes that arrive in pieces. Nothing in a vault is named by it; objects of git LFS are, where they come from.
pub struct Sha256(ring::digest::Context);

impl Default for Sha256 {
    fn default() -> Self {
        Self(ring::digest::Context::new(&ring::digest::SHA256))
    }
}

impl Sha256 {
    /// Adds `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of all that was added, in lower-case hex.
    #[must_use]
    pub fn finish(self) -> String {
        hex::encode(self.0.finish())
    }

    /// The same as bytes.
    #[must_use]
    pub fn finish_bytes(self) -> Vec<u8> {
        self.0.finish().as_ref().to_vec()
    }
}

/// The secret under which chunks get their ids, so that an id does not reveal a chunk that can be guessed.
///
/// An epoch has a master key; every writer works with its own, made by [`ChunkIdKey::for_writer`]. So each writer has
/// its own domain of deduplication, and one writer's key says nothing about another writer's ids.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ChunkIdKey([u8; 32]);

impl ChunkIdKey {
    /// A new random key.
    ///
    /// # Errors
    /// If the operating system has no randomness to give.
    pub fn generate() -> Result<Self> {
        Ok(Self(*secret::random()?))
    }

    /// Reads a key from 64 lower-case hex digits.
    ///
    /// # Errors
    /// If the text is anything else.
    pub fn from_hex(text: &str) -> Result<Self> {
        Ok(Self(*secret::from_hex(text, "chunk-id key")?))
    }

    /// The key as 64 lower-case hex digits.
    #[must_use]
    pub fn to_hex(&self) -> Zeroizing<String> {
        secret::to_hex(&self.0)
    }

    /// The key of one writer: BLAKE3 in key derivation mode over master key ‖ name.
    #[must_use]
    pub fn for_writer(&self, writer: &Name) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(WRITER_CONTEXT);
        hasher.update(&self.0).update(writer.as_str().as_bytes());
        Self(*hasher.finalize().as_bytes())
    }

    /// The sealer of the local cache of the writer whose key this is. Whoever has the cache without the writer's key
    /// has nothing.
    ///
    /// # Errors
    /// Never in practice; taking a key is fallible by type.
    pub fn local_sealer(&self) -> Result<LocalSealer> {
        LocalSealer::new(&Zeroizing::new(blake3::derive_key(CACHE_CONTEXT, &self.0)))
    }

    /// The id of a chunk with this plaintext.
    #[must_use]
    pub fn id(&self, plain: &[u8]) -> ChunkId {
        ChunkId::from_bytes(*blake3::keyed_hash(&self.0, plain).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_hash_like_the_whole() {
        let bytes: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        let mut hasher = Hasher::new();
        for piece in bytes.chunks(7919) {
            hasher.update(piece);
        }
        assert_eq!(hasher.finish(), hash(&bytes));
        assert_eq!(
            hash(b"").to_string(),
            "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
            "the published test vector of BLAKE3"
        );
    }

    #[test]
    fn every_writer_has_ids_of_its_own() {
        let master = ChunkIdKey::from_hex(&"07".repeat(32)).unwrap();
        let (one, two) = (master.for_writer(&"db1".parse().unwrap()), master.for_writer(&"db2".parse().unwrap()));
        assert_eq!(one.id(b"x").short(), "fd3c42495a6d", "part of the vault format");
        assert_ne!(one.id(b"x"), two.id(b"x"));
        assert_ne!(one.id(b"x"), master.id(b"x"));
        assert_eq!(one.id(b"x"), master.for_writer(&"db1".parse().unwrap()).id(b"x"));
        assert_ne!(one.id(b"x"), ChunkIdKey::generate().unwrap().for_writer(&"db1".parse().unwrap()).id(b"x"));
    }

    #[test]
    fn a_key_survives_hex_and_nothing_else_is_a_key() {
        let key = ChunkIdKey::generate().unwrap();
        assert_eq!(ChunkIdKey::from_hex(&key.to_hex()).unwrap().id(b"x"), key.id(b"x"));
        for bad in [String::new(), "0".repeat(63), "0".repeat(66), "AB".repeat(32), "zz".repeat(32)] {
            let error = ChunkIdKey::from_hex(&bad).err().unwrap().to_string();
            assert!(bad.is_empty() || !error.contains(&bad), "a refused key must not be repeated");
        }
    }
}
