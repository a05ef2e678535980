//! Where the pieces of a log go.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::super::{OpsError, Result};
use crate::{
    format::journal::Effort,
    model::{
        Clock, Name, Span as Duration,
        journal::{Line, Reach, Span},
    },
    store::StoreErrorKind,
    vault::{
        VaultErrorKind,
        journal::{JournalWriter, Stretch},
        writer::Workplace,
    },
};

/// A piece that only needs to be put.
pub(super) struct Ready<'a> {
    /// How many bytes of memory it takes.
    pub(super) size: usize,
    /// Puts it: when it returns, that is stored and locked. Says how many bytes it took.
    pub(super) put: Box<dyn FnOnce() -> Result<u64> + Send + 'a>,
}

/// Takes pieces. All of it blocks, and may be called from several threads at once.
pub(super) trait Sink: Send + Sync {
    /// Makes a piece ready, which needs a processor and no store. Its log is let go of.
    fn pack(&self, line: &Line, stretch: Stretch, effort: Effort) -> Result<Ready<'_>>;
    /// Puts a piece: when it returns, that is stored and locked. Says how many bytes it took.
    fn put(&self, line: &Line, stretch: Stretch, effort: Effort) -> Result<u64> {
        (self.pack(line, stretch, effort)?.put)()
    }
    /// Puts the history of a line's timeline.
    fn put_history(&self, line: &Line, history: &[u8]) -> Result<()>;
    /// What is there of a line.
    fn covered(&self, line: &Line) -> Result<Reach>;
}

/// The vault.
pub(super) struct VaultSink {
    writer: JournalWriter,
    runtime: Handle,
    clock: Arc<dyn Clock>,
}

impl VaultSink {
    pub(super) fn new(place: &Workplace, runtime: &Handle, source: &Name, keep: Option<Duration>) -> Result<Self> {
        let writer = JournalWriter::new(place.clone(), source.clone(), keep)?;
        Ok(Self { writer, runtime: runtime.clone(), clock: Arc::clone(&place.clock) })
    }

    /// What the vault has of a stretch of a line, by the names that this writer may list; nothing where it may list none.
    pub(super) async fn covered_within(&self, line: &Line, span: Span) -> Result<Reach> {
        match self.writer.covered_within(line, span).await {
            Err(error) if error.kind == VaultErrorKind::Denied => Ok(Reach::default()),
            other => Ok(other?),
        }
    }

    /// Whether the vault has a history of a line's timeline, by the same.
    pub(super) async fn has_history(&self, line: &Line) -> Result<bool> {
        match self.writer.has_history(line).await {
            Err(error) if error.kind == VaultErrorKind::Denied => Ok(false),
            other => Ok(other?),
        }
    }

    /// Asks for the store's time, which each of several puts at once would ask for otherwise. That it can't be had a put tells.
    pub(super) async fn look_at_clock(&self) {
        if let Err(error) = self.writer.look_at_clock().await {
            tracing::debug!(%error, "the store's time");
        }
    }
}

impl Sink for VaultSink {
    fn pack(&self, line: &Line, stretch: Stretch, effort: Effort) -> Result<Ready<'_>> {
        let ready = self.writer.pack(line, stretch, effort, self.clock.now())?;
        let (size, put) = (ready.size(), || Ok(self.runtime.block_on(self.writer.put_ready(ready))?.bytes));
        Ok(Ready { size, put: Box::new(put) })
    }

    fn put_history(&self, line: &Line, history: &[u8]) -> Result<()> {
        self.runtime.block_on(self.writer.put_history(line, history, self.clock.now()))?;
        Ok(())
    }

    fn covered(&self, line: &Line) -> Result<Reach> {
        Ok(self.runtime.block_on(self.writer.covered(line))?)
    }
}

/// Whether the same may work later without anybody doing anything.
pub(super) fn is_passing(error: &OpsError) -> bool {
    match error {
        OpsError::Vault(error) => matches!(error.kind, VaultErrorKind::TryAgain),
        OpsError::Store(error) => matches!(error.kind, StoreErrorKind::Unreachable),
        _ => false,
    }
}

/// Whether the same may work once somebody mended something, which needs nothing of this process.
pub(super) fn may_pass(error: &OpsError) -> bool {
    use VaultErrorKind as K;
    match error {
        OpsError::Vault(error) => !matches!(error.kind, K::Invalid | K::Untrusted | K::Newer | K::Draft | K::Unknown),
        OpsError::Store(_) => true,
        _ => false,
    }
}
