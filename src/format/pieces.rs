//! Bytes of a large document, in pieces that are freed one by one while the document is decoded.

use std::io::Read;

/// How many bytes a piece has at most.
const PIECE: usize = 4 << 20;

/// Bytes in pieces.
#[derive(Debug, Default)]
pub struct Pieces(Vec<Vec<u8>>);

impl Pieces {
    /// Room for the first of `size` bytes. Of a small document all go into one piece.
    #[must_use]
    pub fn with_capacity(size: usize) -> Self {
        Self(vec![Vec::with_capacity(size.min(PIECE))])
    }

    /// Bytes that are there.
    #[must_use]
    pub fn from_whole(bytes: Vec<u8>) -> Self {
        Self(vec![bytes])
    }

    /// Adds bytes at the end.
    pub fn extend(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.0.last().is_none_or(|last| last.len() == PIECE) {
                self.0.push(Vec::with_capacity(PIECE));
            }
            let Some(last) = self.0.last_mut() else { return };
            let (now, rest) = bytes.split_at(bytes.len().min(PIECE - last.len()));
            last.extend_from_slice(now);
            bytes = rest;
        }
    }

    /// How many bytes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, where one piece holds them.
    pub(super) fn single(&self) -> Option<&[u8]> {
        match self.0.as_slice() {
            [] => Some(&[]),
            [only] => Some(only),
            _ => None,
        }
    }

    /// All of them in one.
    #[must_use]
    pub fn joined(mut self) -> Vec<u8> {
        if self.0.len() == 1 {
            return self.0.pop().unwrap_or_default();
        }
        self.0.concat()
    }

    /// Reads them and keeps them.
    pub(super) fn reader(&self) -> impl Read + '_ {
        Reader::of(self.0.iter())
    }

    /// Reads them, and frees each piece once it was read.
    pub(super) fn into_reader(self) -> impl Read {
        Reader::of(self.0.into_iter())
    }
}

struct Reader<I: Iterator> {
    rest: I,
    piece: Option<I::Item>,
    at: usize,
}

impl<I: Iterator> Reader<I> {
    const fn of(rest: I) -> Self {
        Self { rest, piece: None, at: 0 }
    }
}

impl<I: Iterator<Item: AsRef<[u8]>>> Read for Reader<I> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        loop {
            let left = self.piece.as_ref().and_then(|piece| piece.as_ref().get(self.at..)).unwrap_or_default();
            if !left.is_empty() {
                let count = left.len().min(buf.len());
                let ((now, _), to) = (left.split_at(count), buf.split_at_mut(count).0);
                to.copy_from_slice(now);
                self.at += count;
                return Ok(count);
            }
            // The piece that was read goes before the next one is taken.
            self.piece = None;
            self.at = 0;
            match self.rest.next() {
                Some(next) => self.piece = Some(next),
                None => return Ok(0),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        format::body::{Body, StreamRecord},
        model::{FileMeta, Hash},
    };

    #[test]
    fn what_went_in_comes_out_however_it_is_read() {
        for len in [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE + 7] {
            let bytes: Vec<u8> = (0_u32..).map(|no| no.to_le_bytes()[0]).take(len).collect();
            let mut pieces = Pieces::with_capacity(len);
            bytes.chunks(1_000_003).for_each(|part| pieces.extend(part));
            assert_eq!((pieces.len(), pieces.is_empty()), (len, len == 0));
            assert_eq!(pieces.single().is_some(), len <= PIECE);
            let (mut kept, mut freed) = (Vec::new(), Vec::new());
            pieces.reader().read_to_end(&mut kept).unwrap();
            assert!(kept == bytes);
            let again = Pieces(pieces.0.clone());
            pieces.into_reader().read_to_end(&mut freed).unwrap();
            assert!(freed == bytes && again.joined() == bytes);
        }
    }

    #[test]
    fn a_large_body_is_the_same_in_pieces_and_says_the_same_when_it_is_wrong() {
        let stream = |no: usize| StreamRecord {
            name: format!("s{no}").parse().unwrap(),
            path: Some(format!("d/{no:0>1000}").into()),
            meta: FileMeta::default(),
            bytes: 0,
            blake3: Hash::from_bytes([7; 32]),
            chunks: 0,
            depth: 0,
            list: Vec::new(),
        };
        let mut body = Body::new((0..4_500).map(stream).collect(), serde_json::Value::Null, Vec::new());
        let same = |bytes: &[u8]| {
            let mut pieces = Pieces::with_capacity(bytes.len());
            pieces.extend(bytes);
            assert!(pieces.single().is_none());
            let (whole, pieces) = (Body::decode(bytes), Body::decode_pieces(pieces));
            // Where an error lies is told by line and column, which a reader counts differently.
            let told = |found: &crate::format::Result<Body>| found.as_ref().err().map(std::mem::discriminant);
            assert_eq!(told(&whole), told(&pieces));
            assert_eq!(whole.as_ref().ok(), pieces.as_ref().ok());
            whole.is_ok()
        };
        let good = body.encode().unwrap();
        assert!(same(&good));
        assert!(!same(&good[..good.len() - 1]));
        assert!(!same(&[&good[..], b"x"].concat()));
        body.format = "2".to_owned();
        assert!(!same(&body.encode().unwrap()));
        body.format = crate::format::FORMAT.to_owned();
        body.streams.push(stream(0));
        assert!(!same(&body.encode().unwrap()));
    }
}
