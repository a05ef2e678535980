//! Opening a range of an age file without having the rest of it.

use std::ops::Range;

use super::{
    HEADER_LIMIT, SEGMENT, TAG,
    payload::{Payload, Segments, TAMPERED, plain_len},
};
use crate::codec::{CodecError, Result};

/// The length of what stands before the first segment: the age header and the nonce of 16 bytes.
///
/// `None` if there is no such header, or it is longer than [`HEADER_LIMIT`].
#[must_use]
pub fn header_len(sealed: &[u8]) -> Option<usize> {
    let head = sealed.get(..HEADER_LIMIT.min(sealed.len()))?;
    let mac = head.windows(4).position(|w| w == b"\n---")?.checked_add(1)?;
    let line = head.get(mac..)?.iter().position(|&b| b == b'\n')?;
    let end = mac.checked_add(line)?.checked_add(17)?;
    (end <= sealed.len()).then_some(end)
}

/// The bytes of an age file that must be had to open the plaintext range `plain`: whole segments.
///
/// `None` if the file has no such plaintext. An empty range needs no bytes.
#[must_use]
pub fn sealed_range(header_len: u64, sealed_len: u64, plain: Range<u64>) -> Option<Range<u64>> {
    if plain.start > plain.end || plain.end > plain_len(header_len, sealed_len)? {
        return None;
    }
    if plain.is_empty() {
        return Some(header_len..header_len);
    }
    let sealed_segment = SEGMENT.checked_add(TAG)?;
    let at = |segment: u64| header_len.checked_add(segment.checked_mul(sealed_segment)?);
    let start = at(plain.start.checked_div(SEGMENT)?)?;
    let end = at(plain.end.div_ceil(SEGMENT))?;
    Some(start..end.min(sealed_len))
}

/// Opens ranges of an age file of which only parts are at hand. Made by [`Opener::reader`](super::Opener::reader).
pub struct PartReader {
    payload: Payload,
    segments: Segments,
    plain_len: u64,
    /// The last segment of which only a piece was wanted: neighbouring ranges want the rest.
    recent: Option<u64>,
    opened: Vec<u8>,
}

impl PartReader {
    pub(super) fn new(payload: Payload, header_len: u64, sealed_len: u64) -> Result<Self> {
        const IMPOSSIBLE: CodecError = CodecError::Damaged("no age file has the length that is claimed for this one");
        let plain_len = plain_len(header_len, sealed_len).ok_or(IMPOSSIBLE)?;
        let segments = Segments::of(header_len, sealed_len).ok_or(IMPOSSIBLE)?;
        Ok(Self { payload, segments, plain_len, recent: None, opened: Vec::new() })
    }

    /// How many bytes of plaintext the file has.
    #[must_use]
    pub fn plain_len(&self) -> u64 {
        self.plain_len
    }

    /// Appends the plaintext range `plain` to `out`. `part` is what is at hand: where it begins in the file, and its
    /// bytes.
    ///
    /// Every byte is authenticated, but only within its segment: what the rest of the file is like stays unknown.
    ///
    /// # Errors
    /// [`CodecError::Damaged`] if the file has no such range, the part at hand does not cover it (see
    /// [`sealed_range`]), or its bytes were changed. `out` is then as it was.
    pub fn read_at(&mut self, part: (u64, &[u8]), plain: Range<u64>, out: &mut Vec<u8>) -> Result<()> {
        if plain.start > plain.end || plain.end > self.plain_len {
            return Err(CodecError::Damaged("the range reaches beyond the end of the sealed file"));
        }
        let before = out.len();
        let done = self.append(part, plain, out);
        if done.is_err() {
            out.truncate(before);
        }
        done
    }

    fn append(&mut self, part: (u64, &[u8]), plain: Range<u64>, out: &mut Vec<u8>) -> Result<()> {
        // A range that the part cannot cover must not make room first.
        let length = usize::try_from(plain.end.saturating_sub(plain.start)).map_err(|_| TAMPERED)?;
        if length > part.1.len().saturating_add(self.opened.len()) {
            return Err(TAMPERED);
        }
        out.reserve(length.saturating_add(usize::try_from(TAG).unwrap_or(0)));
        let mut at = plain.start;
        while at < plain.end {
            let no = at.checked_div(SEGMENT).ok_or(TAMPERED)?;
            let start = no.saturating_mul(SEGMENT);
            let end = start.saturating_add(SEGMENT).min(self.plain_len);
            let wanted = at.saturating_sub(start)..plain.end.min(end).saturating_sub(start);
            if self.recent != Some(no) && wanted == (0..end.saturating_sub(start)) {
                let last = self.segments.is_last(no);
                self.payload.open(no, last, sealed_segment(&self.segments, no, part)?, out)?;
            } else {
                let from = usize::try_from(wanted.start).map_err(|_| TAMPERED)?;
                let to = usize::try_from(wanted.end).map_err(|_| TAMPERED)?;
                out.extend_from_slice(self.segment(no, part)?.get(from..to).ok_or(TAMPERED)?);
            }
            at = end;
        }
        Ok(())
    }

    /// A whole segment, opened now or the last time.
    fn segment(&mut self, no: u64, part: (u64, &[u8])) -> Result<&[u8]> {
        if self.recent != Some(no) {
            self.recent = None;
            self.opened.clear();
            let sealed = sealed_segment(&self.segments, no, part)?;
            self.payload.open(no, self.segments.is_last(no), sealed, &mut self.opened)?;
            self.recent = Some(no);
        }
        Ok(&self.opened)
    }
}

/// The bytes of a segment in the part at hand.
fn sealed_segment<'a>(segments: &Segments, no: u64, (offset, part): (u64, &'a [u8])) -> Result<&'a [u8]> {
    let range = segments.range(no).ok_or(TAMPERED)?;
    let place = |at: u64| at.checked_sub(offset).and_then(|n| usize::try_from(n).ok()).ok_or(TAMPERED);
    part.get(place(range.start)?..place(range.end)?).ok_or(TAMPERED)
}
