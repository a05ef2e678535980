//! Reads ahead of whoever reads: a child goes on writing while another's output is read.

use std::{
    io::{self, Read},
    sync::mpsc::{Receiver, sync_channel},
    thread,
};

/// How much is read at once, and how many of these wait: 32 MiB.
const BLOCK: usize = 1 << 20;
const BLOCKS: usize = 32;

/// The output of something, read on a thread of its own into a bounded buffer.
pub(super) struct Ahead {
    blocks: Receiver<io::Result<Vec<u8>>>,
    block: Vec<u8>,
    at: usize,
    ended: bool,
}

impl Ahead {
    /// Begins to read. The thread ends with `from`, or at its next block after this is dropped.
    pub(super) fn start(mut from: impl Read + Send + 'static) -> Self {
        let (sender, blocks) = sync_channel(BLOCKS);
        thread::spawn(move || {
            loop {
                let mut block = Vec::with_capacity(BLOCK);
                let read = from.by_ref().take(BLOCK as u64).read_to_end(&mut block);
                let over = block.is_empty() || read.is_err();
                if sender.send(read.map(|_| block)).is_err() || over {
                    return;
                }
            }
        });
        Self { blocks, block: Vec::new(), at: 0, ended: false }
    }
}

impl Read for Ahead {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.at == self.block.len() && !self.ended {
            // An empty block is the end; a thread that is gone without one did not see it.
            self.block = self.blocks.recv().map_err(|_| io::Error::other("its reader stopped before the end"))??;
            self.at = 0;
            self.ended = self.block.is_empty();
        }
        let mut rest = self.block.get(self.at..).unwrap_or_default();
        let n = rest.read(buf)?;
        self.at += n;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_comes_through_in_order() {
        let bytes: Vec<u8> = (0..3 * BLOCK + 7).map(|i| u8::try_from(i % 251).unwrap()).collect();
        let mut out = Vec::new();
        Ahead::start(io::Cursor::new(bytes.clone())).read_to_end(&mut out).unwrap();
        assert!(out == bytes);
    }

    #[test]
    fn an_error_comes_through() {
        struct Bad;
        impl Read for Bad {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("bad sector"))
            }
        }
        let mut out = Vec::new();
        let error = Ahead::start(io::Cursor::new([1]).chain(Bad)).read_to_end(&mut out).unwrap_err();
        assert!(error.to_string().contains("bad sector"));
    }
}
