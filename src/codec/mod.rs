//! Pure transformations of bytes: chunking, hashing, compression, deltas, sealing and signing.

pub mod buffer_pool;
pub mod chunker;
pub mod compress;
mod error;
mod gear;
pub mod git_object;
pub mod git_pack;
pub mod hash;
pub mod mac;
pub mod parity;
pub mod passing;
pub mod rsa;
pub mod seal;
mod secret;
pub mod shares;
pub mod sign;
pub mod sketch;
pub mod ssh;
pub mod tar;

pub use chunker::Chunker;
pub use compress::{BLOCK_LIMIT, Codec, Compressor, Decompressor};
pub use error::CodecError;
pub use hash::{ChunkIdKey, Hasher, Sha256, hash};
pub use seal::{IdentityText, NoPrompt, Opener, PartReader, Prompt, Recipient, SealStream, Sealed, SealedFile, Sealer};
pub use sign::{PublicKey, Signature, SigningKey};

/// The result of a transformation.
pub type Result<T> = std::result::Result<T, CodecError>;
