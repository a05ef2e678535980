//! One frame of whatever length the caller allows: for what is stored by itself and not in blocks.

use zstd::zstd_safe::DCtx;

use super::{context, frame, no_memory, unpack_any};
use crate::codec::{CodecError, Result};

/// One zstd frame of `src`, whether that saves anything or not, so that stock tools open it always alike.
///
/// # Errors
/// [`CodecError::TooLarge`] beyond `limit` bytes; if zstd fails.
pub fn whole_frame(level: i32, src: &[u8], limit: usize) -> Result<Vec<u8>> {
    if src.len() > limit {
        return Err(CodecError::TooLarge(limit));
    }
    let mut out = Vec::new();
    frame(&mut context(level)?, src, &mut out)?;
    Ok(out)
}

/// The `plain_len` bytes that the frame `src` holds.
///
/// # Errors
/// [`CodecError::TooLarge`] beyond `limit` bytes; [`CodecError::Damaged`] if `src` is not one whole frame of exactly that
/// many bytes.
pub fn open_frame(src: &[u8], plain_len: usize, limit: usize) -> Result<Vec<u8>> {
    if plain_len > limit {
        return Err(CodecError::TooLarge(limit));
    }
    let mut context = DCtx::try_create().ok_or_else(|| no_memory("decompress"))?;
    let mut out = Vec::new();
    unpack_any(src, plain_len, &mut out, |room| context.decompress(room, src))?;
    Ok(out)
}
