//! What a file holds within: what is compressed, encoded or packed in it, a few levels deep and within bounds.
//!
//! Containers are read by what they begin with, never by their names, and never by running anything.

use std::io::Read;

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use flate2::{
    Decompress, FlushDecompress, Status,
    read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder},
};
use zeroize::Zeroizing;

/// The most that one container gives.
pub(super) const LARGEST: usize = 32 << 20;
/// The largest object of a git pack that is looked at.
const OBJECT: usize = 4 << 20;
/// The fewest characters of base64 that can hold a key.
const ENCODED: usize = 32;
/// The least that a line has which goes on in the next.
const WRAPPED: usize = 48;

/// What was taken out of something.
#[derive(Default)]
pub(super) struct Inside {
    /// The parts.
    pub(super) parts: Vec<Zeroizing<Vec<u8>>>,
    /// Whether there is more than was looked at.
    pub(super) cut: bool,
}

impl Inside {
    fn add(&mut self, (bytes, cut): (Vec<u8>, bool)) {
        self.cut |= cut;
        if !bytes.is_empty() {
            self.parts.push(Zeroizing::new(bytes));
        }
    }
}

/// How containers begin that are not opened here.
const CLOSED: [&[u8]; 5] = [b"\xfd7zXZ\0", b"BZh9", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07", b"\x28\xb5\x2f\xfd"];

/// Whether this is a container of a kind that is not opened.
pub(super) fn is_closed(bytes: &[u8]) -> bool {
    CLOSED.iter().any(|start| bytes.starts_with(start))
}

/// What `bytes` hold within.
pub(super) fn unpack(bytes: &[u8]) -> Inside {
    let mut inside = Inside::default();
    if bytes.starts_with(&[0x1f, 0x8b]) {
        inside.add(bounded(MultiGzDecoder::new(bytes)));
    } else if bytes.starts_with(b"PK\x03\x04") {
        zip(bytes, &mut inside);
    } else if bytes.starts_with(b"PACK\0\0\0") {
        pack(bytes, &mut inside);
    } else if let [0x78, second, ..] = bytes
        && (0x7800 + u32::from(*second)).is_multiple_of(31)
    {
        inside.add(bounded(ZlibDecoder::new(bytes)));
    }
    if let Some(narrow) = narrowed(bytes) {
        inside.parts.push(narrow);
    }
    inside
}

/// As much as there is, within bounds; what breaks off gives what came before.
fn bounded(mut from: impl Read) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    let mut buffer = [0_u8; 16 << 10];
    while let Ok(read) = from.read(&mut buffer) {
        let Some(part) = buffer.get(..read).filter(|part| !part.is_empty()) else { return (bytes, false) };
        if bytes.len() + part.len() > LARGEST {
            return (bytes, true);
        }
        bytes.extend_from_slice(part);
    }
    (bytes, false)
}

/// Text of two bytes a character, in one.
fn narrowed(bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let head = bytes.get(..bytes.len().min(4096))?;
    let zeros = memchr::memchr_iter(0, head).count();
    let wide = zeros * 4 > head.len() && head.len() > 16;
    wide.then(|| Zeroizing::new(bytes.iter().copied().filter(|byte| *byte != 0).collect()))
}

fn number(bytes: &[u8], at: usize, len: usize) -> Option<usize> {
    let part = bytes.get(at..at.checked_add(len)?)?;
    Some(part.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
}

/// The members of a zip file, by their local headers.
fn zip(bytes: &[u8], inside: &mut Inside) {
    let mut at = 0;
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr::memmem::find(rest, b"PK\x03\x04")) {
        let start = at + found;
        at = start + 4;
        let field = |offset, len| number(bytes, start + offset, len);
        let (Some(method), Some(packed), Some(name), Some(extra)) =
            (field(8, 2), field(18, 4), field(26, 2), field(28, 2))
        else {
            return;
        };
        let Some(rest) = bytes.get(start + 30 + name + extra..) else { return };
        // Whoever writes to a pipe tells sizes afterwards; then the stream itself ends.
        let body = if packed == 0 { rest } else { rest.get(..packed).unwrap_or(rest) };
        match method {
            8 => inside.add(bounded(DeflateDecoder::new(body))),
            0 if packed > 0 => inside.add((body.to_vec(), false)),
            _ => inside.cut |= packed > 0,
        }
        if packed > 0 {
            at = start + 30 + name + extra + packed;
        }
        if inside.parts.iter().map(|part| part.len()).sum::<usize>() > LARGEST {
            inside.cut = true;
            return;
        }
    }
}

/// The objects of a git pack. Of one that is told as a difference, what is new in it.
fn pack(bytes: &[u8], inside: &mut Inside) {
    let mut at = 12;
    let mut total = 0;
    // The last twenty bytes are the pack's own hash.
    while at + 20 < bytes.len() {
        let Some((kind, after)) = object_header(bytes, at) else { break };
        let Some((data, used)) = inflate(bytes.get(after..).unwrap_or_default()) else {
            inside.cut = true;
            return;
        };
        at = after + used;
        total += data.len();
        if total > LARGEST {
            inside.cut = true;
            return;
        }
        let data = if kind >= 6 { literals(&data) } else { data };
        inside.add((data, false));
    }
}

/// The kind of an object, and where its compressed bytes begin.
fn object_header(bytes: &[u8], at: usize) -> Option<(u8, usize)> {
    let mut next = at;
    let first = *bytes.get(next)?;
    let mut byte = first;
    while byte & 0x80 != 0 {
        next += 1;
        byte = *bytes.get(next)?;
    }
    next += 1;
    let kind = first >> 4 & 7;
    match kind {
        6 => {
            while bytes.get(next)? & 0x80 != 0 {
                next += 1;
            }
            next += 1;
        }
        7 => next += 20,
        _ => {}
    }
    Some((kind, next))
}

/// What a stream of zlib gives, and how long it is. Of a large object the beginning.
fn inflate(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut state = Decompress::new(true);
    let mut out = Vec::new();
    let mut buffer = vec![0_u8; 64 << 10];
    loop {
        let (read, written) = (state.total_in(), state.total_out());
        let rest = bytes.get(usize::try_from(read).ok()?..)?;
        let status = state.decompress(rest, &mut buffer, FlushDecompress::None).ok()?;
        let new = usize::try_from(state.total_out() - written).ok()?;
        if out.len() < OBJECT {
            out.extend_from_slice(buffer.get(..new)?);
        }
        match status {
            Status::StreamEnd => return Some((out, usize::try_from(state.total_in()).ok()?)),
            _ if state.total_in() == read && new == 0 => return None,
            _ => {}
        }
    }
}

/// What a difference adds.
fn literals(delta: &[u8]) -> Vec<u8> {
    let mut at = 0;
    for _ in 0..2 {
        while delta.get(at).is_some_and(|byte| byte & 0x80 != 0) {
            at += 1;
        }
        at += 1;
    }
    let mut text = Vec::new();
    while let Some(op) = delta.get(at) {
        at += 1;
        if op & 0x80 != 0 {
            at += usize::try_from((op & 0x7f).count_ones()).unwrap_or_default();
        } else {
            let end = at + usize::from(*op);
            text.extend_from_slice(delta.get(at..end).unwrap_or_default());
            at = end.max(at + 1);
        }
    }
    text
}

/// Where base64 begins in a text, and what it stands for: each word, and words that a line's end divides.
pub(super) fn decoded(text: &[u8]) -> Vec<(usize, Zeroizing<Vec<u8>>)> {
    let mut found = Vec::new();
    let mut at = 0;
    let mut line: Option<(usize, usize, Zeroizing<Vec<u8>>)> = None;
    let mut flush = |line: &mut Option<(usize, usize, Zeroizing<Vec<u8>>)>| {
        if let Some((start, words, joined)) = line.take()
            && words > 1
        {
            found.extend(plain(&joined).map(|bytes| (start, bytes)));
        }
    };
    let mut single = Vec::new();
    while at < text.len() {
        let rest = text.get(at..).unwrap_or_default();
        let len = rest.iter().take_while(|byte| is_encoded(**byte)).count();
        let word = rest.get(..len).unwrap_or_default();
        if len >= ENCODED {
            single.extend(plain(word).map(|bytes| (at, bytes)));
        }
        if len > 0 {
            match &mut line {
                Some((_, words, joined)) => {
                    joined.extend_from_slice(word);
                    *words += 1;
                }
                None if len >= WRAPPED => line = Some((at, 1, Zeroizing::new(word.to_vec()))),
                None => {}
            }
            if len < WRAPPED {
                flush(&mut line);
            }
        }
        at += len;
        let gap = text.get(at..).unwrap_or_default().iter().take_while(|byte| !is_encoded(**byte)).count();
        let between = text.get(at..at + gap).unwrap_or_default();
        if !between.iter().all(u8::is_ascii_whitespace) || !between.contains(&b'\n') {
            flush(&mut line);
        }
        at += gap.max(usize::from(len == 0));
    }
    flush(&mut line);
    found.extend(single);
    found
}

const fn is_encoded(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'-' | b'_')
}

/// The bytes that base64 of either alphabet stands for, with or without its padding.
pub(super) fn plain(word: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let alphabet =
        if word.iter().any(|byte| matches!(byte, b'-' | b'_')) { &alphabet::URL_SAFE } else { &alphabet::STANDARD };
    let trimmed = word.trim_suffix_of(b'=');
    // One character too many is the neighbour's.
    let whole = if trimmed.len() % 4 == 1 { trimmed.len() - 1 } else { trimmed.len() };
    GeneralPurpose::new(alphabet, config).decode(trimmed.get(..whole)?).ok().map(Zeroizing::new)
}

trait TrimSuffix {
    fn trim_suffix_of(&self, byte: u8) -> &[u8];
}

impl TrimSuffix for [u8] {
    fn trim_suffix_of(&self, byte: u8) -> &[u8] {
        let end = self.iter().rposition(|other| *other != byte).map_or(0, |at| at + 1);
        self.get(..end).unwrap_or_default()
    }
}
