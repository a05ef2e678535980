//! Opening what was sealed.

use std::{ops::Range, sync::Arc};

use zeroize::Zeroizing;

use super::{
    PartReader, Prompt, SEGMENT, TAG, header_len, identity, library,
    payload::{Caught, NONCE, Payload, Segments, TAMPERED, Watched, plain_len},
    plugin::{PluginFailed, without_isolates},
    prompt::Key,
};
use crate::codec::{CodecError, Result};

/// Opens what was sealed to any of its identities. Cannot seal. Clones share the keys.
#[derive(Clone)]
pub struct Opener(Arc<Vec<Arc<Key>>>);

impl Opener {
    /// Reads identities: the lines of an age identity file (X25519 and plugins), or one ssh private key (ed25519,
    /// RSA). `origin` names the text in errors and questions. The passphrase of an ssh key is asked for here, once.
    ///
    /// # Errors
    /// If there is anything else in it, a passphrase is not given, or a plugin is not installed.
    #[allow(clippy::needless_pass_by_value, reason = "a plugin keeps it, and a reference to an Arc does not coerce")]
    pub fn from_identity_text(text: &str, origin: &str, prompt: Arc<dyn Prompt>) -> Result<Self> {
        let keys = identity::parse(text, origin, &prompt)?;
        Ok(Self(Arc::new(keys.into_iter().map(Arc::new).collect())))
    }

    /// One opener with the identities of all of these, tried in this order.
    #[must_use]
    pub fn merge(openers: impl IntoIterator<Item = Self>) -> Self {
        Self(Arc::new(openers.into_iter().flat_map(|opener| opener.0.as_ref().clone()).collect()))
    }

    /// Opens a whole age file.
    ///
    /// # Errors
    /// [`CodecError::NoIdentity`] if it was sealed to others, [`CodecError::TooLarge`] beyond `limit` plaintext bytes,
    /// [`CodecError::Damaged`] if any byte was changed, is missing or was added.
    pub fn open(&self, sealed: &[u8], limit: usize) -> Result<Zeroizing<Vec<u8>>> {
        let len = header_len(sealed).ok_or(CodecError::Damaged("not an age file: its header does not end"))?;
        let (header, body) = sealed.split_at_checked(len).ok_or(TAMPERED)?;
        let payload = self.payload(header)?;
        let plain_len = plain_len(0, body.len() as u64).and_then(|n| usize::try_from(n).ok()).ok_or(TAMPERED)?;
        if plain_len > limit {
            return Err(CodecError::TooLarge(limit));
        }
        let segments = Segments::of(0, body.len() as u64).ok_or(TAMPERED)?;
        let size = usize::try_from(SEGMENT.saturating_add(TAG)).map_err(|_| TAMPERED)?;
        let mut plain = Zeroizing::new(Vec::with_capacity(plain_len.saturating_add(size)));
        for (no, segment) in (0..).zip(body.chunks(size)) {
            payload.open(no, segments.is_last(no), segment, &mut plain)?;
        }
        Ok(plain)
    }

    /// What opens ranges of a file from parts of it: `header` is what stands before the first segment, `sealed_len` the
    /// length of the whole file. The header is unwrapped once for all ranges.
    ///
    /// # Errors
    /// [`CodecError::NoIdentity`] if it was sealed to others, [`CodecError::Damaged`] if these can't be such a header
    /// and length.
    pub fn reader(&self, header: &[u8], sealed_len: u64) -> Result<PartReader> {
        if header_len(header) != Some(header.len()) {
            return Err(CodecError::Damaged("not the header of an age file"));
        }
        PartReader::new(self.payload(header)?, header.len() as u64, sealed_len)
    }

    /// Opens one range of a file from a part of it, see [`Opener::reader`], and appends it to `out`.
    ///
    /// # Errors
    /// As [`Opener::reader`] and [`PartReader::read_at`].
    pub fn open_range(
        &self,
        header: &[u8],
        sealed_len: u64,
        part: (u64, &[u8]),
        plain: Range<u64>,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        self.reader(header, sealed_len)?.read_at(part, plain, out)
    }

    /// What opens the segments of the file that begins with `header`, nonce included.
    fn payload(&self, header: &[u8]) -> Result<Payload> {
        let nonce = header.split_last_chunk::<NONCE>().map(|(_, nonce)| nonce).ok_or(TAMPERED)?;
        let caught = Caught::default();
        let watched: Vec<_> = self.0.iter().map(|key| Watched { inner: &***key, caught: &caught }).collect();
        let decryptor = age::Decryptor::new_buffered(header).map_err(failure)?;
        // It has checked that the key fits the header; the segments are none of its business.
        decryptor.decrypt(watched.iter().map(|key| key as &dyn age::Identity)).map(drop).map_err(failure)?;
        drop(watched);
        caught.payload(nonce)
    }
}

fn failure(error: age::DecryptError) -> CodecError {
    use age::DecryptError as E;
    match error {
        E::NoMatchingKeys => CodecError::NoIdentity,
        E::InvalidHeader | E::UnknownFormat => CodecError::Damaged("not an age file of a known version"),
        E::Io(e) if e.get_ref().and_then(|inner| inner.downcast_ref::<PluginFailed>()).is_some() => {
            CodecError::Plugin(e.to_string())
        }
        E::DecryptionFailed | E::InvalidMac | E::Io(_) => TAMPERED,
        E::Plugin(errors) => {
            let all: Vec<String> = errors.iter().map(|error| without_isolates(&error.to_string())).collect();
            CodecError::Plugin(all.join("; "))
        }
        other => library("open", other.to_string()),
    }
}
