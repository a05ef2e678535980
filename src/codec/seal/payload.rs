//! The payload of an age file: segments of 64 KiB, each sealed with ChaCha20-Poly1305 under its number and whether it is
//! the last (C2SP age v1, "Payload").
//!
//! Headers, which are where keys and people meet, are made and opened by the age crate alone. This is the part that
//! every byte of a vault goes through; ring does it at several times the speed.

use std::cell::RefCell;

use age::secrecy::ExposeSecret as _;
use age_core::format::{FileKey, Stanza};
use ring::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf,
};
use zeroize::Zeroizing;

use super::{SEGMENT, TAG, library};
use crate::codec::{CodecError, Result};

/// Bytes of the nonce between an age header and the first segment.
pub(super) const NONCE: usize = 16;

/// What seals and opens the segments of one file.
pub(super) struct Payload(LessSafeKey);

impl Payload {
    /// The payload's key, which follows from the file's key and the nonce.
    fn new(file_key: &[u8; 16], nonce: &[u8]) -> Result<Self> {
        let key = hkdf::Salt::new(hkdf::HKDF_SHA256, nonce).extract(file_key);
        let key = key.expand(&[b"payload"], &CHACHA20_POLY1305).map_err(|_| refused("derive a key"))?;
        Ok(Self(LessSafeKey::new(UnboundKey::from(key))))
    }

    /// Seals what `out` holds from `start` on as one segment, in its place.
    ///
    /// # Errors
    /// Never in practice: a segment is far shorter than the cipher allows.
    pub(super) fn seal(&self, no: u64, last: bool, out: &mut Vec<u8>, start: usize) -> Result<()> {
        let segment = out.get_mut(start..).unwrap_or_default();
        let tag = self.0.seal_in_place_separate_tag(nonce(no, last), Aad::empty(), segment);
        out.extend_from_slice(tag.map_err(|_| refused("seal a segment"))?.as_ref());
        Ok(())
    }

    /// Opens one segment and appends what was in it to `out`, which is as it was if that fails.
    ///
    /// # Errors
    /// [`CodecError::Damaged`] if it is not this segment, or any bit of it was changed.
    pub(super) fn open(&self, no: u64, last: bool, sealed: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        out.extend_from_slice(sealed);
        let segment = out.get_mut(start..).unwrap_or_default();
        let opened = self.0.open_in_place(nonce(no, last), Aad::empty(), segment).map(|plain| plain.len());
        out.truncate(start.saturating_add(opened.unwrap_or(0)));
        opened.map(drop).map_err(|_| TAMPERED)
    }
}

/// Where a file's segments are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segments {
    header: u64,
    sealed: u64,
    /// How many there are.
    pub(super) count: u64,
}

impl Segments {
    /// Of a file of `sealed` bytes that begins with a header of `header` bytes, nonce included; `None` if no age file
    /// has these lengths.
    pub(super) fn of(header: u64, sealed: u64) -> Option<Self> {
        plain_len(header, sealed)?;
        let count = sealed.checked_sub(header)?.div_ceil(SEGMENT.checked_add(TAG)?);
        Some(Self { header, sealed, count })
    }

    /// Whether a segment is the last.
    pub(super) fn is_last(&self, no: u64) -> bool {
        no.checked_add(1) == Some(self.count)
    }

    /// The bytes of a segment in the file; `None` if there is no such segment.
    pub(super) fn range(&self, no: u64) -> Option<std::ops::Range<u64>> {
        let size = SEGMENT.checked_add(TAG)?;
        let start = self.header.checked_add(no.checked_mul(size)?)?;
        (no < self.count).then(|| start..start.saturating_add(size).min(self.sealed))
    }
}

/// The number of a segment and whether it is the last one: 11 bytes, big end first, and one.
fn nonce(no: u64, last: bool) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    for (byte, digit) in bytes.iter_mut().skip(3).zip(no.to_be_bytes()) {
        *byte = digit;
    }
    if let Some(end) = bytes.last_mut() {
        *end = u8::from(last);
    }
    Nonce::assume_unique_for_key(bytes)
}

fn refused(what: &'static str) -> CodecError {
    library(what, "the cipher refused")
}

/// Remembers the key of the file whose header is being made or opened.
#[derive(Default)]
pub(super) struct Caught(RefCell<Option<Zeroizing<[u8; 16]>>>);

impl Caught {
    fn note(&self, key: &FileKey) {
        *self.0.borrow_mut() = Some(Zeroizing::new(*key.expose_secret()));
    }

    /// The payload of that file.
    ///
    /// # Errors
    /// If no header was made or opened, which whoever calls this has seen to.
    pub(super) fn payload(self, nonce: &[u8]) -> Result<Payload> {
        let key = self.0.into_inner().ok_or_else(|| library("learn the key of a file", "age did not use it"))?;
        Payload::new(&key, nonce)
    }
}

/// An identity or a recipient of age's, whose file keys are caught.
pub(super) struct Watched<'a, T: ?Sized> {
    pub(super) inner: &'a T,
    pub(super) caught: &'a Caught,
}

impl<T: age::Identity + ?Sized> age::Identity for Watched<'_, T> {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<std::result::Result<FileKey, age::DecryptError>> {
        let found = self.inner.unwrap_stanza(stanza);
        found.iter().flatten().for_each(|key| self.caught.note(key));
        found
    }

    fn unwrap_stanzas(&self, stanzas: &[Stanza]) -> Option<std::result::Result<FileKey, age::DecryptError>> {
        let found = self.inner.unwrap_stanzas(stanzas);
        found.iter().flatten().for_each(|key| self.caught.note(key));
        found
    }
}

impl<T: age::Recipient + ?Sized> age::Recipient for Watched<'_, T> {
    fn wrap_file_key(
        &self,
        key: &FileKey,
    ) -> std::result::Result<(Vec<Stanza>, std::collections::HashSet<String>), age::EncryptError> {
        self.caught.note(key);
        self.inner.wrap_file_key(key)
    }
}

pub(super) const TAMPERED: CodecError = CodecError::Damaged("the sealed bytes were changed or cut short");

/// The length of the plaintext in an age file of `sealed_len` bytes. `None` if no age file has these lengths.
#[must_use]
pub fn plain_len(header_len: u64, sealed_len: u64) -> Option<u64> {
    let body = sealed_len.checked_sub(header_len)?;
    let segments = body.div_ceil(SEGMENT.checked_add(TAG)?);
    let before_last = segments.checked_sub(1)?.checked_mul(SEGMENT.checked_add(TAG)?)?;
    let last = body.checked_sub(before_last)?.checked_sub(TAG)?;
    (last > 0 || segments == 1).then_some(())?;
    body.checked_sub(segments.checked_mul(TAG)?)
}
