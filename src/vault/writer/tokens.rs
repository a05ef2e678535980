//! Tokens, each of which stands for something large.

use crossbeam_channel::{Receiver, Sender, bounded};

/// A fixed number of tokens.
pub(super) struct Tokens {
    free: Receiver<()>,
    back: Sender<()>,
}

/// One token; gives itself back when dropped.
pub(super) struct Token(Sender<()>);

impl Tokens {
    pub(super) fn new(count: usize) -> Self {
        let (back, free) = bounded(count);
        for _ in 0..count {
            let _ = back.try_send(());
        }
        Self { free, back }
    }

    /// Waits for a token.
    pub(super) fn take(&self) -> Token {
        // Cannot fail: this end holds a sender too.
        let _ = self.free.recv();
        Token(self.back.clone())
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        let _ = self.0.try_send(());
    }
}
